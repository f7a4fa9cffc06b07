//! Signing in: a PIN becomes a Kerberos ticket in the user's own cache.
//!
//! The PIN goes to the TPM and no further. A login helper then runs as the user with the right to
//! one signature, and shows the daemon its ticket before it keeps it: libkrb5 alone would also
//! believe a KDC whose certificate the device root issued, the host's keytab does not.

use std::{
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
    helper::{Failed, Obtained, Stored},
    login::Login,
    offline::{is_refusal, is_unheard},
    peer::Peer,
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
    let effective = daemon.allow_sign_in(&credential.sid, args.remote)?;
    let turn = daemon.turns.take(peer.process.uid, Time::Chip).await;
    let phrase = args.phrase.as_deref();
    daemon.tries.allow(account.uid, phrase, now())?;
    let patience = match args.offline && daemon.offline_until(&credential).is_ok() {
        true => PATIENCE_OFFLINE,
        false => PATIENCE,
    };
    // Made before the helper asks for it: the helper's clock is running then.
    daemon.leaf(credential.clone()).await?;
    let login = Login::begin(daemon, &account, &credential, patience)?;
    let right = daemon.prove_pin_with(&credential, &args.pin, phrase).await;
    if let Err(Error::Tpm(tpm::Error::KeyUnusable(_))) = &right {
        daemon
            .events
            .tell(&Event::about(Id::KeyMissing, &credential));
    }
    let right = right?;
    daemon.demand_fresh(&credential, &args.pin, effective.as_ref())?;
    // The helper is a process of the same user's.
    drop(turn);

    let key = right.key().clone();
    let mut came = daemon.obtain(&account, &credential, login, right).await?;
    if came.as_ref().is_err_and(|why| why.code == RENAMED) {
        credential = daemon.present_credential(account.uid).await?;
        daemon.leaf(credential.clone()).await?;
        let login = Login::begin(daemon, &account, &credential, patience)?;
        let right = daemon
            .prove_pin_with(&credential, &args.pin, phrase)
            .await?;
        came = daemon.obtain(&account, &credential, login, right).await?;
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
            .steer(Some(account.uid), |courses| match end {
                Some(end) => courses.ticket.got(end, now()),
                None => courses.ticket.failed(now()),
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

/// What the domain said stands, though it could not be written down.
fn note_word(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "what the domain said of a key could not be kept");
    }
}

impl Daemon {
    /// Gets a ticket by a login that was begun and the right to its signature, and keeps what the
    /// domain said. A failure inside is the domain's word, or its silence.
    pub(crate) async fn obtain(
        self: &Arc<Self>,
        account: &Account,
        credential: &Credential,
        login: Login,
        right: Unlocked,
    ) -> Result<Result<(Obtained, Stored), Failure>, Error> {
        let (obtained, stored) = match login.finish(right).await? {
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
        // That it is on disk, nobody has to wait for: until then it counts from memory.
        let (daemon, uid) = (Arc::clone(self), credential.uid);
        tokio::task::spawn_blocking(move || note_word(daemon.offline.write(uid)));
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
        note_word(self.offline.write(credential.uid));
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
