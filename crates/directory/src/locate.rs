//! Finding a domain controller (MS-ADTS 6.3.6): DNS names them, a ping tells what each is.
//!
//! *What must hold:* a ping is a hint. It comes unsealed, from whoever answers, so it puts the
//! candidates into an order and explains a refusal; what a controller is, it says again once the
//! connection is sealed. Those that answered before are asked before DNS is, because the controller
//! that has just died was often the name server too.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    task::{JoinSet, spawn_blocking},
    time::{sleep_until, timeout},
};

use crate::{
    Directory, Error,
    connection::Connection,
    dns::{self, Service},
    filter::Filter,
    message::{Body, Request, Response, Scope, Search, first_message},
    netlogon::{self, Answer},
};

/// What the controller is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Reading: any will do, a read-only one where no other answers.
    Read,
    /// Writing: never a read-only one. Among equals always the same one, because update sequence numbers
    /// and what was just written are one controller's.
    Write,
}

/// Finds domain controllers of one domain, and remembers those that it found.
pub struct Locator {
    realm: String,
    pinned: Option<String>,
    need: Need,
    known: Mutex<Option<Known>>,
}

/// What DNS and pings said when somebody was found last.
#[derive(Clone)]
struct Known {
    since: Instant,
    candidates: Vec<Candidate>,
    site: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    host: String,
    priority: u16,
    weight: u16,
    address: SocketAddr,
}

const LDAP: u16 = 389;
/// As many are pinged at once: a large domain has hundreds.
const MAX_PINGED: usize = 16;
/// How long answers are waited for, and how long once a good one is there.
const PING: Duration = Duration::from_millis(1000);
const PING_MORE: Duration = Duration::from_millis(400);
/// A datagram may be lost.
const PING_AGAIN: Duration = Duration::from_millis(300);
/// How long one may take until it is bound: it may answer pings, and hang in the bind.
const CONTROLLER: Duration = Duration::from_secs(10);
/// How long what DNS said is believed.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

impl Locator {
    /// Of the domain of `realm`: the best that DNS names, or no other than `pinned`.
    pub fn new(realm: &str, pinned: Option<&str>, need: Need) -> Self {
        Self {
            realm: realm.to_owned(),
            pinned: pinned.map(str::to_owned),
            need,
            known: Mutex::default(),
        }
    }

    /// Connects to the best that answers, with the credentials of the process (`KRB5CCNAME`,
    /// `KRB5_CLIENT_KTNAME`).
    pub async fn connect(&self) -> Result<Directory, Error> {
        let (site, mut why) = match self.remembered() {
            Some(known) if known.since.elapsed() < REMEMBERED => {
                match self.first_of(known.candidates, known.site.clone()).await {
                    Ok(directory) => return Ok(directory),
                    Err(error) => (known.site, error),
                }
            }
            Some(known) => (known.site, self.nobody()),
            None => (None, self.nobody()),
        };
        let found = match &self.pinned {
            Some(host) => addresses(vec![service(host.clone())]).await?,
            None => self.look_up(None).await?,
        };
        if !found.is_empty() {
            match self.first_of(found, site).await {
                Ok(directory) => return Ok(directory),
                Err(error) => why = telling(why, error),
            }
        }
        Err(why)
    }

    fn remembered(&self) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn nobody(&self) -> Error {
        let realm = &self.realm;
        Error::Unreachable(match &self.pinned {
            Some(host) => format!("{host} has no address"),
            None => format!("DNS names no domain controller of {realm}"),
        })
    }

    /// What DNS names in the whole domain, or in a site.
    async fn look_up(&self, site: Option<String>) -> Result<Vec<Candidate>, Error> {
        let domain = self.realm.to_ascii_lowercase();
        let found = spawn_blocking(move || dns::domain_controllers(&domain, site.as_deref()));
        let found = found
            .await
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        addresses(found).await
    }

    async fn first_of(
        &self,
        mut candidates: Vec<Candidate>,
        site: Option<String>,
    ) -> Result<Directory, Error> {
        let mut answers = ping(&candidates).await;
        let seen = answers
            .iter()
            .find_map(|(_, answer)| answer.client_site.clone());
        let site = seen.or(site);
        let is_close = answers.iter().any(|(_, answer)| answer.is_closest);
        if let (Some(site), None, false) = (&site, &self.pinned, is_close) {
            let mut new = self.look_up(Some(site.clone())).await?;
            new.retain(|found| !candidates.contains(found));
            let more = ping(&new).await.into_iter();
            answers.extend(more.map(|(at, answer)| (at + candidates.len(), answer)));
            candidates.extend(new);
        }
        let (ordered, mut why) = rank(self, &candidates, &answers);
        for candidate in ordered {
            let answered = |(at, _): &(usize, Answer)| candidates.get(*at) == Some(candidate);
            let is_pinged = answers.iter().any(answered);
            let tried = self.try_one(candidate, is_pinged);
            match in_time(&candidate.host, CONTROLLER, tried).await {
                Ok(directory) => {
                    let since = Instant::now();
                    let known = Known {
                        since,
                        candidates,
                        site,
                    };
                    *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                    return Ok(directory);
                }
                Err(error) => {
                    let host = &candidate.host;
                    tracing::debug!(%host, %error, "domain controller passed over");
                    why = telling(why, error);
                }
            }
        }
        Err(why)
    }

    async fn try_one(&self, candidate: &Candidate, is_pinged: bool) -> Result<Directory, Error> {
        let Candidate { host, address, .. } = candidate;
        let connection = Connection::open(*address, host, &self.realm, is_pinged).await?;
        let directory = Directory::bound(connection).await?;
        let domain = &directory.domain().dns_name;
        if !domain.eq_ignore_ascii_case(&self.realm) {
            return Err(self.of_another(host, domain));
        }
        if self.need == Need::Write && !directory.is_writable() {
            return Err(Error::ReadOnly(host.clone()));
        }
        Ok(directory)
    }

    fn of_another(&self, host: &str, domain: &str) -> Error {
        Error::AnotherDomain {
            host: host.to_owned(),
            domain: domain.to_owned(),
            expected: self.realm.to_ascii_lowercase(),
        }
    }
}

async fn in_time<T>(
    host: &str,
    limit: Duration,
    tried: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |_| Error::Unreachable(format!("{host}: not bound in time"));
    timeout(limit, tried).await.map_err(late)?
}

/// The error that says more of two: what a controller said, rather than that one is silent.
fn telling(earlier: Error, later: Error) -> Error {
    match (&earlier, &later) {
        (Error::ReadOnly(_) | Error::AnotherDomain { .. }, _) => earlier,
        (Error::Unreachable(_), _) => later,
        (_, Error::Unreachable(_)) => earlier,
        _ => later,
    }
}

/// Those that may be tried, best first: of the client's site, by priority and weight; the silent ones last,
/// since a wall may keep out pings and nothing else. Besides, what there is to say of the others.
fn rank<'c>(
    locator: &Locator,
    candidates: &'c [Candidate],
    answers: &[(usize, Answer)],
) -> (Vec<&'c Candidate>, Error) {
    let mut why = Error::Unreachable("nobody answers".to_owned());
    let mut ranked = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let place = answers.iter().position(|(found, _)| *found == at);
        let answer = place.and_then(|place| answers.get(place));
        let answer = answer.map(|(_, answer)| answer);
        if let Some(answer) = answer {
            if !answer.domain.eq_ignore_ascii_case(&locator.realm) {
                why = locator.of_another(&candidate.host, &answer.domain);
                continue;
            }
            if locator.need == Need::Write && !answer.is_writable {
                why = Error::ReadOnly(candidate.host.clone());
                continue;
            }
        }
        let key = (
            answer.is_none(),
            !answer.is_some_and(|answer| answer.is_writable),
            !answer.is_some_and(|answer| answer.is_closest),
            candidate.priority,
            u16::MAX - candidate.weight,
            (locator.need == Need::Write).then_some(&candidate.host),
            place,
        );
        ranked.push((key, candidate));
    }
    ranked.sort();
    let ranked = ranked.into_iter().map(|(_, candidate)| candidate);
    (ranked.collect(), why)
}

fn service(host: String) -> Service {
    Service {
        priority: 0,
        weight: 0,
        port: LDAP,
        host,
    }
}

/// Hosts with their first address; those that have none are left out.
async fn addresses(found: Vec<Service>) -> Result<Vec<Candidate>, Error> {
    let mut lookups = JoinSet::new();
    for (at, service) in found.into_iter().take(MAX_PINGED).enumerate() {
        lookups.spawn(async move {
            let host = (service.host.as_str(), service.port);
            let address = tokio::net::lookup_host(host).await.ok()?.next()?;
            let Service {
                priority,
                weight,
                host,
                ..
            } = service;
            // As tickets in a cache are named: there, case counts.
            let candidate = Candidate {
                host: host.to_ascii_lowercase(),
                priority,
                weight,
                address,
            };
            Some((at, candidate))
        });
    }
    let mut known: Vec<_> = lookups.join_all().await.into_iter().flatten().collect();
    known.sort_by_key(|(at, _)| *at);
    Ok(known.into_iter().map(|(_, candidate)| candidate).collect())
}

/// Who answered, in the order of the answers.
async fn ping(candidates: &[Candidate]) -> Vec<(usize, Answer)> {
    let mut pings = JoinSet::new();
    for (at, candidate) in candidates.iter().enumerate().take(MAX_PINGED) {
        let address = candidate.address;
        pings.spawn(async move { Some((at, ping_one(address).await?)) });
    }
    let mut answers = Vec::new();
    let mut end = tokio::time::Instant::now() + PING;
    loop {
        tokio::select! {
            ended = pings.join_next() => match ended {
                None => return answers,
                Some(Ok(Some(answer))) => {
                    answers.push(answer);
                    end = end.min(tokio::time::Instant::now() + PING_MORE);
                }
                Some(_) => {}
            },
            () = sleep_until(end) => return answers,
        }
    }
}

/// Whether a domain controller answers a ping.
pub(crate) async fn is_there(address: SocketAddr) -> bool {
    matches!(timeout(PING, ping_one(address)).await, Ok(Some(_)))
}

async fn ping_one(address: SocketAddr) -> Option<Answer> {
    let own: IpAddr = match address {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => [0; 16].into(),
    };
    let socket = UdpSocket::bind((own, 0)).await.ok()?;
    socket.connect(address).await.ok()?;
    // Samba answers a conjunction only. No domain is named: so each says which it is of.
    let version = Filter::equal("NtVer", netlogon::VERSION.to_le_bytes());
    let filter = Filter::And(vec![version]);
    let search = Search {
        base: "",
        scope: Scope::Base,
        filter: &filter,
        attributes: &["Netlogon"],
        page: None,
        extended_dn: false,
    };
    let question = Request::Search(&search).encode(1);
    let mut buffer = vec![0; 8 * 1024];
    loop {
        socket.send(&question).await.ok()?;
        let Ok(received) = timeout(PING_AGAIN, socket.recv(&mut buffer)).await else {
            continue;
        };
        // Refused: nobody listens there.
        let received = buffer.get(..received.ok()?)?;
        let (message, _) = first_message(received).ok()??;
        let Body::Entry(entry) = Response::decode(message).ok()?.body else {
            return None;
        };
        return netlogon::answer(entry.value("Netlogon")?);
    }
}

#[cfg(test)]
mod tests;
