//! The policies of this device and its people: read from the domain, kept, asked.
//!
//! What must hold: a set is read as a whole or not at all. Where an object that applies cannot be
//! read, the last whole set stays in effect, with its age and the reason why it is not newer; where
//! there never was one, nobody enrolls. What is kept is what was read, never what was made of it,
//! so that a newer release judges old sets by its own rules.

mod check_in;
mod delivered;
mod in_force;
mod read;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ipc::{Failure, PolicyAnswer, PolicyRefresh, PolicyRefreshAnswer, PolicyShow};
use model::{Sid, UnixTime};
use policy::{
    gpo::Evaluation,
    merge::{Effective, Provision},
};
use serde::{Deserialize, Serialize};
use sysvol::policies::Cache;
use tokio::time::timeout;

use crate::{
    Error,
    daemon::{Daemon, now},
    error::refused,
    events::{Event, Id},
    files,
    join::host_name,
    key_storage::KeyStorage,
    peer::Peer,
    signin::account,
};
use check_in::CheckIn;
pub(crate) use check_in::keep_checked_in;
use in_force::InForce;
use read::Counts;

/// Where sets are kept, and what SYSVOL said last.
pub(crate) struct Policies {
    folder: PathBuf,
    /// Held by whoever reads: two at once would only read the same twice.
    cache: tokio::sync::Mutex<Cache>,
    check_in: CheckIn,
}

/// Whose set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// This computer's own.
    Computer,
    /// A person's on this computer.
    Person(Sid),
}

impl Subject {
    fn person(&self) -> Option<&Sid> {
        match self {
            Self::Computer => None,
            Self::Person(sid) => Some(sid),
        }
    }
}

/// What is kept of a subject's group policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The last whole set.
    set: Option<Set>,
    /// Why the last reading brought none.
    error: Option<Failure>,
}

/// One reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    read: UnixTime,
    domain_controller: String,
    evaluation: Evaluation,
}

impl Policies {
    /// In the daemon's folder.
    pub(crate) fn in_folder(folder: &std::path::Path) -> Result<Self, Error> {
        let folder = folder.join("policy");
        files::folder(&folder, 0o700)?;
        files::sweep(&folder)?;
        Ok(Self {
            folder,
            cache: tokio::sync::Mutex::default(),
            check_in: CheckIn::default(),
        })
    }

    /// What counts for a subject now.
    pub(crate) fn in_force(&self, subject: &Subject) -> InForce {
        InForce {
            subject: subject.clone(),
            kept: self.kept(subject),
            delivered: delivered::read(&self.folder).map_err(|error| error.failure()),
        }
    }

    /// What is kept of a subject. A file that this release cannot read is as good as none: the
    /// next reading replaces it.
    fn kept(&self, subject: &Subject) -> Kept {
        match files::read(&self.file(subject)) {
            Ok(kept) => kept.unwrap_or_default(),
            Err(error) => Kept {
                set: None,
                error: Some(error.failure()),
            },
        }
    }

    /// A number of the computer's own policies; the outer none: they were never read.
    pub(crate) fn computer_number(&self, key: &str, value: &str) -> Option<Option<u32>> {
        let set = self.kept(&Subject::Computer).set?;
        Some(set.evaluation.computer.registry.number(key, value))
    }

    fn keep(&self, subject: &Subject, kept: &Kept) -> Result<(), Error> {
        files::write(&self.file(subject), kept)
    }

    /// Forgets every set: the device has left.
    pub(crate) fn forget(&self) -> Result<(), Error> {
        for entry in std::fs::read_dir(&self.folder)? {
            files::remove(&entry?.path())?;
        }
        Ok(())
    }

    fn file(&self, subject: &Subject) -> PathBuf {
        self.folder.join(match subject {
            Subject::Computer => "computer.json".to_owned(),
            Subject::Person(sid) => format!("{sid}.json"),
        })
    }
}

impl Daemon {
    /// Reads a subject's policies anew and acts on what they say. A failure is kept beside the
    /// last whole set.
    pub(crate) async fn refresh_policies(&self, subject: &Subject) -> Result<Counts, Error> {
        let mut cache = self.policies.cache.lock().await;
        let begun = Instant::now();
        let outcome = timeout(READ_PATIENCE, self.read_policies(subject, &mut cache))
            .await
            .unwrap_or_else(|_| {
                Err(refused(
                    "directory_unreachable",
                    "The domain controller takes too long to tell the policies.",
                ))
            });
        let (set, counts) = match outcome {
            Ok((set, counts)) => (set, counts),
            Err(error) => {
                let kept = Kept {
                    error: Some(error.failure()),
                    ..self.policies.kept(subject)
                };
                self.policies.keep(subject, &kept)?;
                tracing::warn!(?subject, %error, "the policies could not be read");
                return Err(error);
            }
        };
        let kept = Kept {
            set: Some(set),
            error: None,
        };
        self.policies.keep(subject, &kept)?;
        drop(cache);
        let took_ms = begun.elapsed().as_millis() as u64;
        let (objects, fetched) = (counts.objects, counts.fetched);
        tracing::info!(?subject, objects, fetched, took_ms, "policies read");
        match subject {
            Subject::Person(sid) => self.withdraw(sid).await,
            // What helpers demand of a KDC's certificate is a policy too.
            Subject::Computer => drop(self.publish_known()?),
        }
        self.policies.changed();
        Ok(counts)
    }

    /// Reads a person's policies anew, of the domain and of the server, side by side. What could not be
    /// read is told by what is kept.
    pub(crate) async fn refresh_person(self: &Arc<Self>, sid: &Sid) {
        let subject = Subject::Person(sid.clone());
        let _ = tokio::join!(self.refresh_policies(&subject), self.check_in_for(sid));
    }

    /// Removes a person's credential where the policy forbids it.
    async fn withdraw(&self, sid: &Sid) {
        let in_force = self.policies.in_force(&Subject::Person(sid.clone()));
        let allowed = |effective: Effective| effective.pin_sign_in_allowed();
        if in_force.effective().is_none_or(allowed) {
            return;
        }
        let outcome = async {
            for uid in self.credentials.uids()? {
                let credential = self.credentials.read(uid)?;
                if let Some(credential) = credential.filter(|credential| credential.sid == *sid) {
                    self.delete_everywhere(&credential).await?;
                    self.events
                        .tell(&Event::about(Id::DeletedByPolicy, &credential));
                }
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = outcome.await {
            // Nobody signs in with it meanwhile, and the next reading tries again.
            tracing::warn!(%error, "a key that a policy turned off could not be removed");
        }
    }

    /// The device's policies, and those of everybody who has a credential here. What fails for one
    /// fails for that one; the first failure is told when all have had their turn.
    async fn refresh_everybody(&self) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        let mut failed = None;
        let computer = self.refresh_policies(&Subject::Computer).await;
        settle(computer, &mut counts, &mut failed);
        for uid in self.credentials.uids()? {
            let read = match self.credentials.read(uid) {
                Ok(None) => continue,
                Ok(Some(credential)) => {
                    let subject = Subject::Person(credential.sid);
                    self.refresh_policies(&subject).await
                }
                Err(error) => Err(error),
            };
            settle(read, &mut counts, &mut failed);
        }
        failed.map_or(Ok(counts), Err)
    }

    /// May the person enroll, and by which rules? Policies are read first, so that a change in the
    /// domain counts at once; where they cannot be, the last whole set counts.
    pub(crate) async fn allow_enrollment(self: &Arc<Self>, sid: &Sid) -> Result<Effective, Error> {
        let _ = timeout(SESSION_PATIENCE, self.refresh_person(sid)).await;
        let in_force = self.policies.in_force(&Subject::Person(sid.clone()));
        let Some(effective) = in_force.effective() else {
            let cause = in_force.error().map(|failure| failure.sentence.as_str());
            return Err(refused(
                "policy_unknown",
                format!(
                    "The policies of the domain could not be read yet, so nobody can enroll. {}",
                    cause.unwrap_or_default()
                )
                .trim_end(),
            ));
        };
        match effective.provision() {
            Provision::Offer { .. } | Provision::ByHand { .. }
                if effective.requires_hardware() && self.chip.storage() == KeyStorage::Software =>
            {
                Err(refused(
                    "hardware_required",
                    "Your organization wants keys in a TPM, and this machine keeps them in \
                     software; nobody can enroll here.",
                ))
            }
            Provision::Offer { .. } | Provision::ByHand { .. } => Ok(effective),
            Provision::Refuse { why } => Err(refused("policy_disabled", why)),
            Provision::Certificate { why } => Err(refused("certificate_trust", why)),
            Provision::Unknown { why } => Err(refused("policy_unreadable", why)),
        }
    }

    /// Refuses where a policy has turned the PIN off, or has not turned it on for a person who
    /// comes over the network; else says what is in effect.
    pub(crate) fn allow_sign_in(
        &self,
        sid: &Sid,
        remote: bool,
    ) -> Result<Option<Effective>, Error> {
        let in_force = self.policies.in_force(&Subject::Person(sid.clone()));
        let effective = in_force.effective();
        if remote
            && !effective
                .as_ref()
                .is_some_and(Effective::pin_in_remote_sessions)
        {
            return Err(remote_refused());
        }
        let Some(effective) = effective else {
            return Ok(None);
        };
        if !effective.pin_sign_in_allowed() {
            return Err(refused(
                "policy_disabled",
                "Your organization has turned the PIN off for you on this machine; sign in with \
                 your password.",
            ));
        }
        if effective.requires_hardware() && self.chip.storage() == KeyStorage::Software {
            return Err(refused(
                "key_not_in_hardware",
                "Your organization takes keys in a TPM only, and yours is in software. Sign in \
                 with your password, and ask your administrator for a machine with a TPM.",
            ));
        }
        Ok(Some(effective))
    }

    /// Reads a person's policies in the background where the last reading is not of just now.
    pub(crate) fn refresh_at_sign_in(self: &Arc<Self>, sid: &Sid) {
        let subject = Subject::Person(sid.clone());
        if self
            .policies
            .kept(&subject)
            .set
            .is_some_and(|set| set.is_fresh())
        {
            return;
        }
        let daemon = Arc::clone(self);
        tokio::spawn(async move { daemon.refresh_policies(&subject).await.map(drop) });
    }

    /// Reads what a person asks for itself. Nobody but root has the domain asked again and again.
    async fn refresh_own(&self, peer: &Peer, subject: &Subject) -> Result<Counts, Error> {
        let kept = self.policies.kept(subject);
        match kept.set {
            Some(set) if !peer.is_root() && kept.error.is_none() && set.is_fresh() => Ok(Counts {
                objects: set.objects(),
                fetched: 0,
            }),
            _ => self.refresh_policies(subject).await,
        }
    }

    /// Until the next reading, in the domain's own measure where it gives one.
    fn pause(&self) -> Duration {
        let number = |value| self.policies.computer_number(SYSTEM_KEY, value).flatten();
        let minutes = number("GroupPolicyRefreshTime").unwrap_or(90).min(64_800);
        let offset = number("GroupPolicyRefreshTimeOffset")
            .unwrap_or(30)
            .min(1_440);
        let mut random = [0; 4];
        let share = match openssl::rand::rand_bytes(&mut random) {
            Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
            Err(_) => 0.5,
        };
        let pause = Duration::from_secs(u64::from(minutes) * 60);
        let spread = Duration::from_secs(u64::from(offset) * 60).mul_f64(share);
        (pause + spread).max(SHORTEST_PAUSE)
    }
}

/// Adds one reading to the others.
fn settle(read: Result<Counts, Error>, counts: &mut Counts, failed: &mut Option<Error>) {
    match read {
        Ok(read) => *counts += read,
        // The domain has answered, and will not answer otherwise the sooner it is asked again.
        Err(Error::Refused(failure)) if failure.code == UNKNOWN_ACCOUNT => {}
        Err(error) => {
            failed.get_or_insert(error);
        }
    }
}

/// Reads the policies at the start and again and again.
pub(crate) async fn keep_current(daemon: Arc<Daemon>) {
    loop {
        let pause = match daemon.refresh_everybody().await {
            Ok(_) => daemon.pause(),
            // What was wrong is in the log.
            Err(_) => RETRY_PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
}

/// What the policies make of a person on this device, and why.
pub(crate) async fn show(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: PolicyShow,
) -> Result<PolicyAnswer, Error> {
    let (subject, user) = match args.user {
        None if peer.is_root() => (Subject::Computer, None),
        user => {
            let account = account(daemon, peer, user, "Only root may see another's policies.");
            let account = account.await?;
            let sid = daemon.domain_sid(account.uid).await?;
            (Subject::Person(sid), Some(account.name))
        }
    };
    if daemon.policies.kept(&subject).set.is_none() {
        // Nobody has asked for this person yet.
        let _ = daemon.refresh_policies(&subject).await;
    }
    let report = daemon.policies.in_force(&subject);
    let report = serde_json::value::to_raw_value(&report.report(user, host_name()));
    Ok(PolicyAnswer {
        report: report.map_err(|_| Error::Bug("a report is not JSON"))?,
    })
}

/// Reads the policies of the device and of the caller now, unless that was just done; root: of everybody who has a credential.
pub(crate) async fn refresh(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: PolicyRefresh,
) -> Result<PolicyRefreshAnswer, Error> {
    if args.force {
        if !peer.is_root() {
            return Err(refused(
                "not_allowed",
                "Only root may have everything read anew.",
            ));
        }
        daemon.forget_tickets().await;
        *daemon.policies.cache.lock().await = Cache::default();
    }
    let begun = Instant::now();
    let counts = match daemon.sid(peer.process.uid).await? {
        Some(sid) => {
            daemon.check_in_for(&sid).await;
            daemon.refresh_own(peer, &Subject::Person(sid)).await?
        }
        None if peer.is_root() => daemon.refresh_everybody().await?,
        None => {
            return Err(refused(
                "not_a_domain_account",
                "This account is not an account of the domain, so no policy is about it.",
            ));
        }
    };
    Ok(PolicyRefreshAnswer {
        took_ms: begun.elapsed().as_millis() as u64,
        objects: counts.objects,
        fetched: counts.fetched,
    })
}

impl Set {
    fn new(evaluation: Evaluation, domain_controller: &str) -> Self {
        Self {
            read: now(),
            domain_controller: domain_controller.to_owned(),
            evaluation,
        }
    }

    /// Was it read just now?
    fn is_fresh(&self) -> bool {
        now().0.abs_diff(self.read.0) < FRESHNESS_S
    }

    /// How many objects it was made of.
    fn objects(&self) -> u32 {
        let Evaluation { computer, user, .. } = &self.evaluation;
        let links = computer.links.iter();
        let links = links.chain(user.iter().flat_map(|half| &half.links));
        let objects: HashSet<_> = links.map(|link| link.gpo.guid).collect();
        objects.len() as u32
    }
}

/// The refusal of a PIN that comes over the network.
pub(crate) fn remote_refused() -> Error {
    refused(
        "remote_refused",
        "A PIN is good at the machine itself only, not over the network.",
    )
}

/// The refusal of a person whom the domain does not know any more.
const UNKNOWN_ACCOUNT: &str = "unknown_account";

/// Where the domain says how often policies are read.
const SYSTEM_KEY: &str = r"Software\Policies\Microsoft\Windows\System";

/// For a whole reading, SYSVOL and all.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// For a reading that somebody waits for at a sign-in.
pub(crate) const SESSION_PATIENCE: Duration = Duration::from_secs(4);

/// A person who signs in or asks again within this time causes no further reading.
const FRESHNESS_S: u64 = 60;

/// Between two tries to reach the domain.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// However often the domain wants it.
const SHORTEST_PAUSE: Duration = Duration::from_secs(7);

#[cfg(test)]
mod tests;
