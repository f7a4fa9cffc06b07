//! What an enrollment asks to be done: factors at the server, a key in the TPM, a statement, the
//! registration, and the directory's word.
//!
//! What must hold: a key is on disk before anybody is told of it, and its id at the server is on
//! disk before the person is; a statement's sequence number is on disk before it is signed. A key
//! that was made and not registered when the daemon died is discarded by the next enrollment and
//! made anew: its PIN is not known to be the one the person remembers, and the server replaces a
//! device's older key of the same person by the newer, so that the directory ends with one value.

use std::{sync::Arc, time::Duration};

use api::device::{KeyAttestation, KeyEvidence, KeyRequest, KeyState, KeyStatus, UserProof};
use directory::By;
use model::{Secret, Sid};
use protocol::{
    Joint, Operation,
    enroll::{
        DirectoryOutcome, FactorOutcome, Input, Output, Problem, Proof, RegisterOutcome, Statement,
    },
};
use tpm::{Attestation, Holder, Keeper, NewKey, Permit, Tpm, UserKey};

use super::early::Early;
use crate::{
    Error,
    credential::{Credential, State},
    daemon::{Daemon, joint, now},
    error::refused,
    events::{Event, Id},
    factors::{Attempt, Step},
    key_storage::KeyStorage,
    policies::Subject,
    recovery::{self, Authority},
    stretch::Stretch,
    text,
};

/// What is known of the person before anything is asked.
pub(super) struct Known {
    /// Its uid.
    pub(super) uid: u32,
    /// Its SID.
    pub(super) sid: Sid,
    /// The agent's service principal.
    pub(super) agent: String,
    /// The Kerberos realm.
    pub(super) realm: String,
}

/// The doors of one enrollment and what came through them.
pub(super) struct Work {
    daemon: Arc<Daemon>,
    known: Known,
    upn: String,
    principal: String,
    attempt: Attempt,
    token: Option<Secret<String>>,
    early: Option<Early>,
    made: Option<Credential>,
    attestation: Option<Attestation>,
    stated: Option<Stated>,
}

/// The signed statement, without the proof that is to come.
struct Stated {
    statement: protocol::Statement,
    device_sig: Vec<u8>,
}

impl Work {
    /// Of a person who has no key here: who that is, is the directory's to say.
    pub(super) async fn begin(daemon: &Arc<Daemon>, known: Known) -> Result<Self, Error> {
        let directory = daemon.directory().await?;
        let user = directory.user(&By::Sid(known.sid.clone())).await?;
        let user = user.filter(|user| user.enabled).ok_or_else(|| {
            refused(
                "unknown_account",
                "The domain has no active account for you.",
            )
        })?;
        let principal = format!("{}@{}", user.account, known.realm);
        Self::new(daemon, known, user.principal, principal)
    }

    /// Of a key that the server has.
    pub(super) fn resume(
        daemon: &Arc<Daemon>,
        known: Known,
        credential: Credential,
    ) -> Result<Self, Error> {
        let (upn, principal) = (credential.upn.clone(), credential.principal.clone());
        let work = Self::new(daemon, known, upn, principal)?;
        Ok(Self {
            made: Some(credential),
            ..work
        })
    }

    fn new(
        daemon: &Arc<Daemon>,
        known: Known,
        upn: String,
        principal: String,
    ) -> Result<Self, Error> {
        Ok(Self {
            daemon: Arc::clone(daemon),
            attempt: Attempt::new(upn.clone())?,
            known,
            upn,
            principal,
            token: None,
            early: None,
            made: None,
            attestation: None,
            stated: None,
        })
    }

    /// The account's principal name.
    pub(super) fn upn(&self) -> &str {
        &self.upn
    }

    /// The key, once made.
    pub(super) fn made(&self) -> Option<&Credential> {
        self.made.as_ref()
    }

    /// Nothing is to be made or registered any more.
    pub(super) fn end(&mut self) {
        self.token = None;
        self.early = None;
    }

    /// Begins the key while the person confirms who they are, or throws away what was begun. Where
    /// beginning fails, it is made when the PIN is there.
    pub(super) fn want_key(&mut self, is_due: bool) {
        if !is_due {
            self.early = None;
            return;
        }
        if self.early.is_some() {
            return;
        }
        let whose = self.holder();
        match whose.and_then(|holder| Ok((holder, self.keeper()?))) {
            Ok(whose) => self.early = Some(Early::begin(&self.daemon, self.known.uid, whose)),
            Err(error) => tracing::warn!(%error, "no key is begun yet"),
        }
    }

    fn holder(&self) -> Result<Holder, Error> {
        Ok(Holder {
            device: self.daemon.identity.device().ok_or(NO_DEVICE)?.id,
            user: self.known.sid.clone(),
        })
    }

    /// Does one thing; whatever goes wrong is part of the outcome.
    pub(super) async fn carry_out(&mut self, output: Output) -> Input {
        match output {
            Output::CheckFactor(factor, value) => self.confirm(Step::Typed(factor, value)).await,
            Output::Contact(way) => self.confirm(Step::Chosen(way)).await,
            Output::AwaitApproval => self.confirm(Step::Waited).await,
            Output::MakeKey(pin) => {
                let made = self.make_key(pin).await;
                Input::KeyMade(made.map_err(|error| told(&error)))
            }
            Output::SetPin(pin) => {
                let set = self.set_pin(pin).await;
                Input::PinSet(set.map_err(|error| told(&error)))
            }
            Output::State => {
                let stated = self.state().await;
                Input::Stated(stated.map_err(|error| told(&error)))
            }
            Output::Register(proof) => {
                let outcome = self.register(proof).await;
                let outcome = outcome.unwrap_or_else(|error| RegisterOutcome::Ended(told(&error)));
                Input::Registered(outcome)
            }
            Output::AskDirectory { kid } => Input::Directory(self.ask_directory(&kid).await),
        }
    }

    async fn confirm(&mut self, step: Step) -> Input {
        let sent = async {
            let server = self.daemon.server()?;
            self.attempt.send(&server, step).await
        };
        Input::FactorChecked(match sent.await {
            Ok((outcome, token)) => {
                self.token = token.map(Secret::new);
                outcome
            }
            Err(error) => FactorOutcome::Ended(told(&error)),
        })
    }

    async fn make_key(&mut self, pin: Secret<String>) -> Result<(), Error> {
        let Known { uid, sid, .. } = &self.known;
        // Whatever this uid has here is of no use any more, or nobody would be enrolling.
        if let Some(old) = self.daemon.credentials.read(*uid)? {
            self.daemon.discard(&old).await?;
        }
        if let Err(error) = self.daemon.show_tpm().await {
            // It matters only where hardware is demanded, and then the server says so.
            tracing::warn!(%error, "the server could not be shown the TPM");
        }
        let device = self.daemon.identity.device().ok_or(NO_DEVICE)?;
        let authority = self.authority()?;
        let auth = self.daemon.identity.auth()?;
        let attestation_key = device.keys.attestation;
        let (holder, keeper) = (self.holder()?, self.keeper()?);
        let early = match self.early.take() {
            Some(early) => early.take(&holder, authority.as_ref()).await,
            None => None,
        };
        let stretch = match device.key_storage {
            KeyStorage::Hardware => None,
            KeyStorage::Software => Some(Stretch::new()?),
        };
        let stretching = stretch.clone();
        let (key, attestation): (UserKey, Option<Attestation>) = self
            .daemon
            .chip
            .run(move |tpm| {
                let stretched = stretching.as_ref().map(|stretch| stretch.apply(&pin));
                let stretched = stretched.transpose()?;
                let value = stretched.as_ref().unwrap_or(&pin);
                let finish = |tpm: &mut Tpm, new: &NewKey| match &authority {
                    None => tpm.finish_user_key(new, value, None),
                    Some(server) => {
                        let mut sign = |permit: &Permit<'_>| server.allow_limit(permit);
                        tpm.finish_user_key(new, value, Some(&mut sign))
                    }
                };
                let key = match early.as_ref().map(|new| finish(tpm, new)) {
                    // None was begun, or it was lost.
                    None | Some(Err(tpm::Error::KeyUnusable(_))) => {
                        let new = tpm.begin_user_key(&holder, &keeper)?;
                        finish(tpm, &new)?
                    }
                    Some(key) => key?,
                };
                if stretching.is_some() {
                    // What a program certifies proves nothing, so it certifies nothing.
                    return Ok((key, None));
                }
                let nonce = model::sha256(key.public());
                let attestation = tpm.certify(&key, value, &attestation_key, &auth, &nonce)?;
                Ok((key, Some(attestation)))
            })
            .await?;
        let credential = Credential {
            uid: *uid,
            sid: sid.clone(),
            upn: self.upn.clone(),
            principal: self.principal.clone(),
            key,
            stretch,
            created: now(),
            kept: None,
            state: State::Made,
            leaf: None,
        };
        let storage = self.daemon.chip.storage().word();
        let saved = |id| Event::about(id, &credential).with("KeyStorage", storage);
        if let Err(error) = self.daemon.credentials.keep(&credential) {
            let event = saved(Id::KeyNotSaved).because(&error.failure());
            self.daemon.events.tell(&event);
            return Err(error);
        }
        self.daemon.events.tell(&saved(Id::KeySaved));
        self.made = Some(credential);
        self.attestation = attestation;
        joint(Joint::KeyMade).await;
        Ok(())
    }

    /// Gives the key that is there another PIN, by the server's word.
    async fn set_pin(&self, pin: Secret<String>) -> Result<(), Error> {
        let token = self.token.clone().ok_or(NO_TOKEN)?;
        self.daemon
            .recover_pin(self.credential()?, token, pin)
            .await
    }

    /// The server's K, where policy wants it to be able to reset the key's PIN.
    fn recovery_public(&self) -> Result<Option<Vec<u8>>, Error> {
        let person = Subject::Person(self.known.sid.clone());
        let effective = self.daemon.policies.in_force(&person).effective();
        if !effective.is_some_and(|effective| effective.pin_recovery()) {
            return Ok(None);
        }
        let (_, joined) = self.daemon.identity.joined()?;
        if joined.recovery_public.is_empty() {
            return Err(refused(
                "server_unfit",
                "Policy wants PIN recovery and the server offers none; have an administrator join \
                 this machine again.",
            ));
        }
        Ok(Some(joined.recovery_public))
    }

    fn keeper(&self) -> Result<Keeper, Error> {
        Ok(match self.recovery_public()? {
            Some(public) => Keeper::Server(recovery::key(&public)?),
            None => Keeper::Nobody,
        })
    }

    /// The server as the one who has K, where it is to have it.
    fn authority(&self) -> Result<Option<Authority>, Error> {
        let Some(public) = self.recovery_public()? else {
            return Ok(None);
        };
        Ok(Some(Authority {
            client: self.daemon.server()?.client,
            bearer: self.token.clone().ok_or(NO_TOKEN)?,
            runtime: tokio::runtime::Handle::current(),
            public,
        }))
    }

    async fn state(&mut self) -> Result<Statement, Error> {
        let server = self.daemon.server()?;
        let statement = protocol::Statement {
            operation: Operation::Add,
            user: self.known.sid.clone(),
            key_id: self.credential()?.public_key()?.key_id(),
            device: server.device.id,
            time: now(),
            sequence: self.daemon.identity.next_sequence()?,
        };
        let bytes = statement.to_bytes();
        let device_sig = server.sign(&bytes).await?;
        self.stated = Some(Stated {
            statement,
            device_sig,
        });
        Ok(Statement {
            service: self.known.agent.clone(),
            bytes,
        })
    }

    async fn register(&mut self, proof: Proof) -> Result<RegisterOutcome, Error> {
        let stated = self.stated.take().ok_or(Error::Bug("no statement"))?;
        let token = self.token.clone().ok_or(NO_TOKEN)?;
        let credential = self.credential()?.clone();
        let request = KeyRequest {
            kngc: text::base64(&credential.public_key()?.to_rsa1()),
            latchkey: Some(KeyEvidence {
                time: stated.statement.time,
                sequence: stated.statement.sequence,
                device_sig: text::base64(&stated.device_sig),
                user_proof: UserProof {
                    token: text::base64(&proof.token),
                    mic: text::base64(&proof.mic),
                },
                attestation: self.attestation.as_ref().map(attestation),
            }),
        };
        let server = self.daemon.server()?;
        joint(Joint::KeyPosting).await;
        let tell = |event: &Event| self.daemon.events.tell(event);
        tell(&Event::about(Id::RegistrationSent, &credential));
        let answer = match server.client.register_key(token.expose(), &request).await {
            Err(client::Error::Refused(refusal)) if FACTOR_TOO_OLD.contains(&&*refusal.code) => {
                return Ok(RegisterOutcome::FactorTooOld);
            }
            // A clear no: the server has not taken the key and will not, so it is nothing.
            Err(error @ client::Error::Refused(_)) => {
                let error = Error::from(error);
                tell(&Event::about(Id::KeyNotRegistered, &credential).because(&error.failure()));
                self.daemon.discard(&credential).await?;
                self.made = None;
                return Err(error);
            }
            outcome => outcome?,
        };
        joint(Joint::KeyAcknowledged).await;
        let attested = match self.attestation {
            Some(_) => "TPM",
            None => "none",
        };
        let registered = Event::about(Id::KeyRegistered, &credential);
        tell(
            &registered
                .with("Attestation", attested)
                .with("Kid", &answer.kid),
        );
        self.keep(State::Registered {
            kid: answer.kid.clone(),
            last: KeyState::Registered,
            detail: None,
        })?;
        Ok(RegisterOutcome::Done { kid: answer.kid })
    }

    async fn ask_directory(&mut self, kid: &str) -> DirectoryOutcome {
        let asked = async {
            let server = self.daemon.server()?;
            let bearer = self.daemon.bearer(&server).await?;
            let seen = Some(KeyState::Registered);
            let asked = server.client.key_status(&bearer, kid, seen, WAIT_S);
            Ok::<_, Error>(asked.await?)
        };
        match asked.await {
            Ok(status) => match self.take_in(status).await {
                Ok(outcome) => outcome,
                Err(error) => DirectoryOutcome::Refused(told(&error)),
            },
            Err(Error::Server(client::Error::Refused(refusal))) if refusal.status == 404 => {
                DirectoryOutcome::Refused(Problem::new(
                    "unknown_key",
                    "The server does not know the key any more; enroll again.",
                ))
            }
            Err(error) => {
                tracing::warn!(%error, "the key's state could not be asked");
                tokio::time::sleep(RETRY_PAUSE).await;
                DirectoryOutcome::NotYet
            }
        }
    }

    async fn take_in(&mut self, status: KeyStatus) -> Result<DirectoryOutcome, Error> {
        self.daemon.note_status(&status, true);
        let took_ms = status
            .confirmed_ms
            .and_then(|confirmed| u64::try_from(confirmed - status.registered_ms).ok());
        let detail = status.detail.clone().or_else(|| status.code.clone());
        let detail = detail.unwrap_or_else(|| "it gives no reason".to_owned());
        let state = status.state;
        if state == KeyState::Confirmed {
            joint(Joint::ReadySeen).await;
        }
        self.keep(State::of_status(status))?;
        Ok(match state {
            KeyState::Registered => DirectoryOutcome::NotYet,
            KeyState::Confirmed => DirectoryOutcome::Confirmed { took_ms },
            KeyState::NeedsProof => DirectoryOutcome::NeedsProof,
            KeyState::Failed => DirectoryOutcome::Refused(Problem::new(
                "refused_by_agent",
                text::as_sentence(&format!("the sync agent refused the key: {detail}")),
            )),
            KeyState::Removing | KeyState::Removed => DirectoryOutcome::Refused(Problem::new(
                "removed",
                "The key was deleted at the server; enroll again.",
            )),
        })
    }

    fn credential(&self) -> Result<&Credential, Error> {
        self.made.as_ref().ok_or(Error::Bug("no key was made"))
    }

    fn keep(&mut self, state: State) -> Result<(), Error> {
        let Credential { uid, key, .. } = self.credential()?;
        let change = |kept: &mut Credential| kept.state = state;
        let kept = self.daemon.credentials.update(*uid, key.public(), change)?;
        let kept = kept.ok_or_else(|| {
            refused(
                "removed",
                "The key was removed from this machine meanwhile; enroll again.",
            )
        })?;
        self.made = Some(kept);
        Ok(())
    }
}

fn told(error: &Error) -> Problem {
    tracing::warn!(%error, "an enrollment stopped");
    let failure = error.failure();
    Problem {
        code: failure.code,
        sentence: failure.sentence,
        retry_after_s: failure.retry_after_s,
    }
}

fn attestation(made: &Attestation) -> KeyAttestation {
    KeyAttestation {
        public: text::base64(&made.public),
        nv_public: text::base64(&made.nv_public),
        recovery_public: text::base64(&made.recovery_public),
        branches: made.branches.chunks(32).map(text::base64).collect(),
        certify: text::base64(&made.certify),
        signature: text::base64(&made.signature),
    }
}

const NO_TOKEN: Error = Error::Bug("no token");

const NO_DEVICE: Error = Error::Bug("an enrollment without a device");

/// The server's words for a second factor that is too old for a registration.
const FACTOR_TOO_OLD: &[&str] = &["mfa_stale", "token_refused"];

/// How long one question about the key waits for a change.
const WAIT_S: u32 = 20;

/// After a question that brought no answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
