//! Signing in: a PIN becomes a Kerberos ticket in the user's own cache.
//!
//! The PIN goes to the TPM and no further. A login helper then runs as the user with the right to
//! one signature, and shows the daemon its ticket before it keeps it: libkrb5 alone would also
//! believe a KDC whose certificate the device root issued, the host's keytab does not.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ipc::{Failure, Signin, SigninAnswer};
use model::{Sid, UnixTime};
use tpm::Unlocked;

use crate::{
    Error,
    accounts::Account,
    credential::{Credential, State},
    daemon::{Daemon, no_credential, now},
    error::{of_kerberos, refused},
    events::{Event, Id},
    ffi,
    helper::{self, Deadline, Failed, Obtained, Request, Stored},
    offline::{is_refusal, is_unheard},
    peer::{Peer, Process},
    policies::{Subject, remote_refused},
    renamed::{RENAMED, renamed},
    turns::Time,
};

/// Checks a PIN and gets a Kerberos ticket into the user's default cache.
pub(crate) async fn signin(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: Signin,
) -> Result<SigninAnswer, Error> {
    let begun = Instant::now();
    let only_root = "Only root may sign in another user.";
    let account = account(daemon, peer, args.user, only_root).await?;
    let mut credential = match daemon.present_credential(account.uid).await {
        Ok(credential) => credential,
        Err(_) if args.remote => return Err(remote_refused()),
        Err(error) => return Err(error),
    };
    daemon.allow_sign_in(&credential.sid, args.remote)?;
    let turn = daemon.turns.take(peer.process.uid, Time::Chip).await;
    let phrase = args.phrase.as_deref();
    let right = daemon.prove_pin_with(&credential, &args.pin, phrase).await;
    if let Err(Error::Tpm(tpm::Error::KeyUnusable(_))) = &right {
        daemon
            .events
            .tell(&Event::about(Id::KeyMissing, &credential));
    }
    let right = right?;
    daemon.demand_fresh(&credential, &args.pin)?;
    // Made before the helper asks for it: the helper's clock is running then.
    daemon.leaf(credential.clone()).await?;
    // The helper is a process of the same user's.
    drop(turn);

    let key = right.key().clone();
    let patience = match args.offline && daemon.offline_until(&credential).is_ok() {
        true => PATIENCE_OFFLINE,
        false => PATIENCE,
    };
    let mut came = daemon
        .obtain(&account, &credential, right, patience)
        .await?;
    if came.as_ref().is_err_and(|why| why.code == RENAMED) {
        credential = daemon.present_credential(account.uid).await?;
        let right = daemon
            .prove_pin_with(&credential, &args.pin, phrase)
            .await?;
        daemon.leaf(credential.clone()).await?;
        came = daemon
            .obtain(&account, &credential, right, patience)
            .await?;
    }
    let (ticket, notice) = match came {
        Ok(ticket) => (Some(ticket), None),
        Err(failure) if args.offline && is_unheard(&failure) => {
            let notice = daemon.allow_offline(&credential, &failure)?;
            (None, Some(notice))
        }
        Err(failure) => {
            return Err(Error::Refused(daemon.explained(failure, &credential).await));
        }
    };
    // A ticket by hand, outside of every session, is all that was asked for.
    let in_session = daemon.presence.has_session(account.uid);
    if (in_session || args.offline) && daemon.keeps_pin(&credential.sid) {
        let end = ticket
            .as_ref()
            .map(|(obtained, _)| UnixTime(obtained.end as i64));
        daemon
            .presence
            .keep(account.uid, &key, &args.pin, Instant::now());
        daemon
            .presence
            .steer(Some(account.uid), |course| match end {
                Some(end) => course.got(end, now()),
                None => course.failed(now()),
            });
    }
    if ticket.is_some() && in_session {
        let opened = Credential {
            key,
            ..credential.clone()
        };
        daemon.get_primary(opened, args.pin);
    }
    daemon.refresh_at_sign_in(&credential.sid);
    let took_ms = begun.elapsed().as_millis() as u64;
    tracing::info!(
        uid = account.uid,
        service = args.service,
        offline = ticket.is_none(),
        took_ms,
        "signed in"
    );
    let (principal, ticket_server, ccache) = match ticket {
        Some((obtained, stored)) => (
            obtained.principal,
            Some(obtained.server),
            Some(stored.ccache),
        ),
        None => (credential.principal, None, None),
    };
    Ok(SigninAnswer {
        uid: account.uid,
        principal,
        ccache,
        ticket_server,
        notice,
        took_ms,
    })
}

/// Root names anybody, a user only itself.
pub(crate) async fn account(
    daemon: &Daemon,
    peer: &Peer,
    user: Option<String>,
    only_root: &str,
) -> Result<Account, Error> {
    let found = match user {
        Some(name) => daemon.account_by_name(name).await?,
        None => daemon.account_by_uid(peer.process.uid).await?,
    };
    match found {
        Some(account) if peer.may_act_for(account.uid) => Ok(account),
        None if peer.is_root() => Err(no_credential()),
        // A caller who may not ask learns nothing about which accounts exist.
        _ => Err(refused("not_allowed", only_root)),
    }
}

/// Runs a login helper for the account, with the right to one signature.
async fn log_in(
    daemon: &Arc<Daemon>,
    account: &Account,
    credential: &Credential,
    right: Unlocked,
    patience: Duration,
) -> Result<Result<(Obtained, Stored), Failed>, Error> {
    let request = Request {
        principal: credential.principal.clone(),
        module: daemon.config.module.to_string_lossy().into_owned(),
        anchors: [daemon.kdc_anchors_path(), daemon.device_root_path()]
            .map(|path| path.to_string_lossy().into_owned())
            .to_vec(),
    };
    let (daemon, account) = (Arc::clone(daemon), account.clone());
    let run = move || run_helper(&daemon, &account, (&request, patience), right);
    tokio::task::spawn_blocking(run).await?
}

fn run_helper(
    daemon: &Daemon,
    account: &Account,
    (request, patience): (&Request, Duration),
    right: Unlocked,
) -> Result<Result<(Obtained, Stored), Failed>, Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut socket = Deadline::new(ours, patience);
    let mut child = start(daemon, account, theirs.into())?;
    let process = Process::of_child(child.id() as i32, account.uid)?;
    daemon.tickets().hold(process, right, Instant::now());
    let outcome = helper::log_in(&mut socket, request, |obtained, ticket| {
        prove(daemon, request, obtained, ticket)
    });
    daemon.tickets().revoke(&process);
    drop(socket);
    end(&mut child);
    Ok(outcome)
}

/// Starts the helper as the account, with nothing of ours but its channel.
fn start(daemon: &Daemon, account: &Account, channel: OwnedFd) -> Result<Child, Error> {
    let profiles = [daemon.profile_path(), daemon.config.krb5_conf.clone()];
    let profiles = profiles.map(|path| path.to_string_lossy().into_owned());
    let mut command = Command::new(&daemon.config.login_helper);
    command
        .env_clear()
        .env("KRB5_CONFIG", profiles.join(":"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let groups = ffi::groups(account)?;
    ffi::become_account(&mut command, account, groups, ffi::move_up(&channel)?);
    Ok(command.spawn()?)
}

/// What the domain said stands, though it could not be written down.
fn note_word(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "what the domain said of a key could not be kept");
    }
}

/// Does the ticket come from a KDC that knows this host, and is it the one that was asked for?
fn prove(
    daemon: &Daemon,
    request: &Request,
    obtained: &Obtained,
    ticket: &[u8],
) -> Result<(), Failed> {
    let context = kerberos::Context::new()?;
    let tgt = context.unmarshal(ticket)?;
    // The names first: the daemon uses no ticket that it did not ask for.
    is_as_asked(request, obtained, &tgt.client()?, &tgt.server()?)?;
    Ok(context.verify(&tgt, Some(&daemon.config.keytab))?)
}

/// Is it the person's own ticket-granting ticket, and the one that the helper told of?
fn is_as_asked(
    request: &Request,
    obtained: &Obtained,
    client: &str,
    server: &str,
) -> Result<(), Failed> {
    let realm = request.principal.rsplit('@').next().unwrap_or_default();
    let granting = format!("krbtgt/{realm}@{realm}");
    if client.eq_ignore_ascii_case(&request.principal)
        && server.eq_ignore_ascii_case(&granting)
        && (client, server) == (&*obtained.principal, &*obtained.server)
    {
        return Ok(());
    }
    Err(Failed {
        code: "kdc_not_trusted".to_owned(),
        message: format!(
            "the ticket is one of {client} for {server}, not of {} for {granting}",
            request.principal
        ),
    })
}

/// The helper has done what it was for, or will not.
fn end(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::warn!(%error, "the login helper was lost");
    }
}

impl Daemon {
    /// Gets a ticket by a right to one signature, and keeps what the domain said. A failure inside is
    /// the domain's word, or its silence.
    pub(crate) async fn obtain(
        self: &Arc<Self>,
        account: &Account,
        credential: &Credential,
        right: Unlocked,
        patience: Duration,
    ) -> Result<Result<(Obtained, Stored), Failure>, Error> {
        let came = log_in(self, account, credential, right, patience).await?;
        let (obtained, stored) = match came {
            Ok(tickets) => tickets,
            Err(failed) => {
                tracing::warn!(
                    uid = account.uid,
                    code = failed.code,
                    reason = failed.message,
                    "no ticket was got"
                );
                let failure = of_kerberos(&failed.code);
                if self.is_renamed(credential, &failure).await {
                    return Ok(Err(renamed()));
                }
                if is_refusal(&failure) {
                    note_word(self.offline.refused(credential, &failure, now()));
                }
                if !is_unheard(&failure) || failure.code == "kdc_not_trusted" {
                    self.tell_refused(account, &credential.sid, &failed);
                }
                return Ok(Err(failure));
            }
        };
        if let Some(certificate) = &obtained.kdc_certificate {
            self.keep_kdc_certificate(certificate);
        }
        note_word(self.offline.accepted(credential, now()));
        Ok(Ok((obtained, stored)))
    }

    /// Until when a session may begin without a ticket.
    fn offline_until(&self, credential: &Credential) -> Result<UnixTime, Error> {
        let person = Subject::Person(credential.sid.clone());
        let effective = self.policies.in_force(&person).effective();
        let days = effective.map_or(DEFAULT_OFFLINE_DAYS, |policy| policy.offline_days());
        self.offline.judge(credential, days, now())
    }

    /// A session without a ticket, where the domain was not heard: what to tell the person.
    fn allow_offline(&self, credential: &Credential, why: &Failure) -> Result<String, Error> {
        let until = self.offline_until(credential)?;
        let left = (until.0 - now().0).max(0) / (24 * 3600);
        let days = if left == 1 { "day" } else { "days" };
        Ok(format!(
            "{} You are signed in without a ticket; the PIN works so for {left} more {days}.",
            why.sentence
        ))
    }

    /// The domain does not let the person in, or somebody answered like one of its controllers.
    fn tell_refused(&self, account: &Account, sid: &Sid, failed: &Failed) {
        let event = Event::new(Id::SignInFailed)
            .of(account.uid, &account.name, Some(sid))
            .with("DeploymentType", "Key Trust")
            .with("ErrorCode", &failed.code)
            .with("Message", &failed.message);
        self.events.tell(&event);
    }

    /// A refusal because of the key, with what the server knows of the key.
    async fn explained(&self, failure: Failure, credential: &Credential) -> Failure {
        if failure.code != "key_not_in_directory" {
            return failure;
        }
        let asked = tokio::time::timeout(EXPLAIN_PATIENCE, self.ask_key_status(credential)).await;
        let sentence = match asked {
            Ok(Ok(Some(known))) => known,
            Ok(Ok(None)) => {
                "The server does not know the key either; enroll again with `latchkey enroll`."
                    .to_owned()
            }
            Ok(Err(_)) | Err(_) => {
                "The server does not answer, so this is all there is.".to_owned()
            }
        };
        Failure {
            sentence: format!("{} {sentence}", failure.sentence),
            ..failure
        }
    }

    /// Where the key is, as the server says; none when it knows nothing of it.
    async fn ask_key_status(&self, credential: &Credential) -> Result<Option<String>, Error> {
        use api::device::KeyState::*;
        let Some(kid) = credential.state.kid() else {
            return Ok(None);
        };
        let server = self.server()?;
        let bearer = self.bearer(&server).await?;
        let status = match server.client.key_status(&bearer, kid, None, 0).await {
            Err(client::Error::Refused(refusal)) if refusal.status == 404 => return Ok(None),
            outcome => outcome?,
        };
        // The next try then asks the controller that has it.
        self.note_status(&status, false);
        let reason = status
            .detail
            .clone()
            .unwrap_or_else(|| "no reason given".to_owned());
        let state = status.state;
        // `status` and the next enrollment are to know it too.
        self.credentials
            .update(credential.uid, credential.key.public(), |kept| {
                if kept.state.kid() == Some(kid) {
                    kept.state = State::of_status(status);
                }
            })?;
        Ok(Some(match state {
            Registered => "It is registered, and the sync agent has not written it yet; try \
                           again in a moment."
                .to_owned(),
            NeedsProof => {
                "The sync agent wants a fresh proof from you; run `latchkey enroll`.".to_owned()
            }
            Confirmed => "The sync agent has written it; this domain controller may not have \
                          received it yet, or somebody has removed it there."
                .to_owned(),
            Failed => format!("The sync agent refused it: {reason}."),
            Removing | Removed => "It was deleted; enroll again with `latchkey enroll`.".to_owned(),
        }))
    }
}

/// How long a login helper may take in all.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same, where a session can be had without a ticket.
const PATIENCE_OFFLINE: Duration = Duration::from_secs(12);

/// Where no policy was ever read.
const DEFAULT_OFFLINE_DAYS: u32 = 30;

/// How long a person waits for an explanation.
const EXPLAIN_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_person_s_own_ticket_granting_ticket_is_as_asked() {
        const ALICE: &str = "alice@CORP.TEST";
        const GRANTING: &str = "krbtgt/CORP.TEST@CORP.TEST";
        let is_as_asked = |told: (&str, &str), found: (&str, &str)| {
            let request = Request {
                principal: "Alice@CORP.TEST".to_owned(),
                module: String::new(),
                anchors: Vec::new(),
            };
            let obtained = Obtained {
                principal: told.0.to_owned(),
                server: told.1.to_owned(),
                end: 0,
                kdc_certificate: None,
            };
            is_as_asked(&request, &obtained, found.0, found.1).is_ok()
        };
        assert!(is_as_asked((ALICE, GRANTING), (ALICE, GRANTING)));
        for other in [
            ("bob@CORP.TEST", GRANTING),
            ("alice@OTHER.TEST", GRANTING),
            (ALICE, "krbtgt/OTHER.TEST@CORP.TEST"),
            (ALICE, "host/ws1.corp.test@CORP.TEST"),
            (ALICE, "krbtgt/OTHER.TEST@OTHER.TEST"),
        ] {
            assert!(!is_as_asked(other, other), "{other:?}");
            assert!(!is_as_asked((ALICE, GRANTING), other), "{other:?}");
            assert!(!is_as_asked(other, (ALICE, GRANTING)), "{other:?}");
        }
    }
}
