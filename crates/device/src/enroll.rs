//! Enrollments: the operations that lead a person through one.
//!
//! What is asked next is `protocol::enroll`'s to decide; `enroll::work` does what it asks to be
//! done. Here is who may talk to which enrollment, and what a caller sees of it.
//!
//! A person has at most one enrollment at a time, and it is never anybody else's: it belongs to
//! the uid that the kernel names.

mod early;
mod work;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ipc::{
    Done, EnrollAnswer, EnrollCancel, EnrollInput, EnrollPoll, EnrollStart, EnrollStep, Failure,
};
use policy::PinRules;
use protocol::{
    Joint,
    enroll::{Asked, Enrollment, Factor, Input, Output, Problem, Proof, Stage},
    factor::Method,
};
use tokio::{
    sync::{OwnedMutexGuard, watch},
    time::timeout,
};

use crate::{
    Error,
    credential::{Credential, State},
    daemon::{Daemon, joint, no_credential, now, random_name},
    error::refused,
    key_storage::KeyStorage,
    peer::Peer,
    text,
    unlock::secret,
};
use work::{Known, Work};

/// Enrollments under way, by uid.
#[derive(Default)]
pub struct Enrollments(Mutex<HashMap<u32, Arc<Session>>>);

/// What somebody is led through the steps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The first key, or the next one where the last is worth nothing.
    Key,
    /// Another key in place of one that works, for a PIN that is forgotten.
    NewKey,
    /// Another PIN for the key that is there.
    NewPin,
}

/// One enrollment.
struct Session {
    name: String,
    purpose: Purpose,
    look: Look,
    run: Arc<tokio::sync::Mutex<Run>>,
    /// What the person sees; none while a quick answer is on its way.
    step: watch::Sender<Option<EnrollStep>>,
}

/// What every step is shown with.
#[derive(Clone)]
struct Look {
    upn: String,
    rules: PinRules,
    storage: KeyStorage,
    /// In how many seconds the directory mostly has a key.
    about_s: u32,
}

/// The machine and those who carry out what it asks.
struct Run {
    enrollment: Enrollment,
    work: Work,
}

/// Begins or resumes the caller's enrollment.
pub(crate) async fn start(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    _: EnrollStart,
) -> Result<EnrollAnswer, Error> {
    begin(daemon, peer, Purpose::Key).await
}

/// Begins or resumes what the caller is led through the steps for.
pub(crate) async fn begin(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    purpose: Purpose,
) -> Result<EnrollAnswer, Error> {
    let uid = peer.process.uid;
    let (device, joined) = daemon.identity.joined()?;
    let agent = joined
        .agent
        .filter(|agent| agent.starts_with(AGENT_SERVICE));
    let agent = agent.ok_or_else(|| {
        refused(
            "no_agent",
            "The domain names no Latchkey agent to prove yourself to; its administrator runs \
             `latchkey-sync publish`, then this machine joins again.",
        )
    })?;
    let sid = daemon.domain_sid(uid).await?;
    let known = Known {
        uid,
        sid,
        agent,
        realm: device.realm,
    };
    let rules = match purpose {
        Purpose::Key | Purpose::NewKey => daemon.allow_enrollment(&known.sid).await?.pin_rules(),
        // No new key, and no domain controller is needed for it.
        Purpose::NewPin => {
            // The server knows the person by the name of today.
            daemon.ask_names(&known.sid).await;
            daemon.pin_rules(&known.sid)
        }
    };
    match daemon.enrollments.of(uid) {
        Some(session) if session.purpose == purpose && session.goes_on_under(&rules) => {
            return session.settled().await;
        }
        // Nobody is asked anything there, so that nobody could come back to it.
        Some(session) if session.is_working() => {
            return Err(refused("busy", "The enrollment is still working."));
        }
        _ => {}
    }
    let existing = daemon.credential(uid).await?;
    let (enrollment, work, output) = match existing.map(|kept| standing(kept, purpose)) {
        Some(Standing::Forgotten { credential, kid }) => {
            let work = Work::resume(daemon, known, *credential)?;
            (Enrollment::reset(rules, kid), work, None)
        }
        Some(Standing::Unfinished { credential, kid }) if daemon.opens(&credential).await? => {
            let (enrollment, output) = Enrollment::resume(rules, kid, now());
            let work = Work::resume(daemon, known, *credential)?;
            (enrollment, work, Some(output))
        }
        Some(Standing::Confirmed { credential, kid })
            if daemon.works(&credential, &kid).await? =>
        {
            return Err(refused(
                "already_enrolled",
                "You already have a PIN on this machine.",
            ));
        }
        // It is gone since it was looked at, and no key may be made for this purpose.
        _ if purpose == Purpose::NewPin => return Err(no_credential()),
        _ => {
            let work = Work::begin(daemon, known).await?;
            (Enrollment::begin(rules), work, None)
        }
    };
    joint(Joint::EnrollStarted).await;
    let look = Look {
        upn: work.upn().to_owned(),
        rules,
        storage: daemon.chip.storage(),
        about_s: daemon.confirmations.about_s(),
    };
    let session = Session::open(enrollment, work, (purpose, look))?;
    daemon.enrollments.put(uid, &session);
    if let Some(output) = output {
        let run = session.take().await?;
        session.carry_on(run, output);
    }
    session.settled().await
}

/// Answers the step that was shown.
pub(crate) async fn input(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: EnrollInput,
) -> Result<EnrollAnswer, Error> {
    let session = daemon.enrollments.find(peer, &args.session)?;
    let mut run = session.take().await?;
    let input = read(args, run.enrollment.stage())
        .ok_or_else(|| refused("wrong_step", "That is not what was asked."))?;
    if matches!(input, Input::Proven(_)) {
        joint(Joint::ProofMade).await;
    }
    let output = run.enrollment.step(input, now());
    session.show(run.enrollment.stage());
    if let Some(output) = output {
        session.carry_on(run, output);
    }
    session.settled().await
}

/// Where the enrollment is now; waits for a change where one comes by itself.
pub(crate) async fn poll(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: EnrollPoll,
) -> Result<EnrollAnswer, Error> {
    let session = daemon.enrollments.find(peer, &args.session)?;
    let seen = session.settled().await?;
    if let EnrollStep::Working { .. } | EnrollStep::Approve { .. } = seen.step {
        let wait = Duration::from_secs(args.wait_s.min(api::MAX_WAIT_S).into());
        let mut step = session.step.subscribe();
        let changed = step.wait_for(|now| now.as_ref().is_some_and(|now| *now != seen.step));
        if let Ok(Ok(now)) = timeout(wait, changed).await
            && let Some(step) = now.clone()
        {
            return Ok(EnrollAnswer { step, ..seen });
        }
    }
    Ok(seen)
}

/// Gives the enrollment up.
pub(crate) async fn cancel(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: EnrollCancel,
) -> Result<Done, Error> {
    let session = daemon.enrollments.find(peer, &args.session)?;
    let run = session.take().await?;
    daemon.enrollments.remove(peer.process.uid);
    // A key that the server has, or may have, stays: only its deletion there would be an end.
    if let Some(made) = run.work.made()
        && made.state == State::Made
        && !matches!(run.enrollment.stage(), Stage::Registering)
    {
        daemon.discard(made).await?;
    }
    Ok(Done {})
}

/// What a credential on disk means for a new enrollment.
enum Standing {
    /// The server has it, the directory's word is missing.
    Unfinished {
        credential: Box<Credential>,
        kid: String,
    },
    /// It was in the directory.
    Confirmed {
        credential: Box<Credential>,
        kid: String,
    },
    /// It never got to the server, or was refused or removed; or another is to take its place.
    Worthless,
    /// It stays and gets another PIN.
    Forgotten {
        credential: Box<Credential>,
        kid: String,
    },
}

fn standing(credential: Credential, purpose: Purpose) -> Standing {
    use api::device::KeyState;
    let State::Registered { kid, last, .. } = &credential.state else {
        return Standing::Worthless;
    };
    let (kid, last) = (kid.clone(), *last);
    let credential = Box::new(credential);
    match purpose {
        Purpose::Key => {}
        Purpose::NewKey => return Standing::Worthless,
        Purpose::NewPin => return Standing::Forgotten { credential, kid },
    }
    match last {
        KeyState::Registered | KeyState::NeedsProof => Standing::Unfinished { credential, kid },
        KeyState::Confirmed => Standing::Confirmed { credential, kid },
        KeyState::Failed | KeyState::Removing | KeyState::Removed => Standing::Worthless,
    }
}

impl Daemon {
    /// Is there a PIN that the TPM would open it for?
    async fn opens(&self, credential: &Credential) -> Result<bool, Error> {
        let key = credential.key.clone();
        match self.chip.run(move |tpm| Ok(tpm.tries(&key)?)).await {
            Ok(tries) => Ok(tries.left > 0),
            Err(Error::Tpm(tpm::Error::KeyUnusable(_))) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Can the person still sign in with it? What the server cannot be asked is believed.
    async fn works(&self, credential: &Credential, kid: &str) -> Result<bool, Error> {
        use api::device::KeyState;
        if !self.opens(credential).await? {
            return Ok(false);
        }
        let asked = timeout(ASK_PATIENCE, async {
            let server = self.server()?;
            let bearer = self.bearer(&server).await?;
            Ok::<_, Error>(server.client.key_status(&bearer, kid, None, 0).await?)
        });
        Ok(match asked.await {
            Ok(Ok(status)) => matches!(status.state, KeyState::Confirmed | KeyState::Registered),
            Ok(Err(Error::Server(client::Error::Refused(refusal)))) => refusal.status != 404,
            Ok(Err(_)) | Err(_) => true,
        })
    }
}

impl Session {
    fn open(
        enrollment: Enrollment,
        work: Work,
        (purpose, look): (Purpose, Look),
    ) -> Result<Arc<Self>, Error> {
        let step = watch::Sender::new(look.at(enrollment.stage()));
        Ok(Arc::new(Self {
            name: random_name()?,
            purpose,
            look,
            run: Arc::new(tokio::sync::Mutex::new(Run { enrollment, work })),
            step,
        }))
    }

    /// The machine, when nothing is under way.
    async fn take(&self) -> Result<OwnedMutexGuard<Run>, Error> {
        timeout(BUSY_PATIENCE, Arc::clone(&self.run).lock_owned())
            .await
            .map_err(|_| refused("busy", "The enrollment is still working."))
    }

    fn show(&self, stage: &Stage) {
        self.step.send_replace(self.look.at(stage));
    }

    /// Carries out what the machine asks, until it asks the person or has ended.
    fn carry_on(self: &Arc<Self>, mut run: OwnedMutexGuard<Run>, first: Output) {
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(output) = next {
                let input = run.work.carry_out(output).await;
                next = run.enrollment.step(input, now());
                let key_is_due = run.enrollment.key_is_due();
                run.work.want_key(key_is_due);
                session.show(run.enrollment.stage());
            }
            if session.has_ended() {
                run.work.end();
            }
        });
    }

    /// The step, once there is one to show.
    async fn settled(&self) -> Result<EnrollAnswer, Error> {
        let mut step = self.step.subscribe();
        let step = step
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|step| step.clone())
            .ok_or(Error::Bug("an enrollment lost its steps"))?;
        Ok(EnrollAnswer {
            session: self.name.clone(),
            step,
        })
    }

    /// Is there something to come back to? What was begun under other rules begins anew, unless it
    /// waits for nobody.
    fn goes_on_under(&self, rules: &PinRules) -> bool {
        match *self.step.borrow() {
            Some(EnrollStep::Done { .. } | EnrollStep::Failed { .. }) => false,
            Some(EnrollStep::Working { .. }) | None => true,
            Some(_) => self.look.rules == *rules,
        }
    }

    fn is_working(&self) -> bool {
        matches!(*self.step.borrow(), Some(EnrollStep::Working { .. }) | None)
    }

    fn has_ended(&self) -> bool {
        matches!(
            *self.step.borrow(),
            Some(EnrollStep::Done { .. } | EnrollStep::Failed { .. })
        )
    }
}

impl Enrollments {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is one under way?
    pub(crate) fn is_any(&self) -> bool {
        !self.lock().is_empty()
    }

    fn of(&self, uid: u32) -> Option<Arc<Session>> {
        self.lock().get(&uid).cloned()
    }

    fn put(&self, uid: u32, session: &Arc<Session>) {
        self.lock().insert(uid, Arc::clone(session));
    }

    fn remove(&self, uid: u32) {
        self.lock().remove(&uid);
    }

    /// The caller's own enrollment, if that is its name.
    fn find(&self, peer: &Peer, name: &str) -> Result<Arc<Session>, Error> {
        self.of(peer.process.uid)
            .filter(|session| session.name == name)
            .ok_or_else(|| refused("bad_session", "There is no such enrollment; start again."))
    }
}

/// What the person gives, if it is the one thing that the stage asks for.
fn read(args: EnrollInput, stage: &Stage) -> Option<Input> {
    let EnrollInput {
        session: _,
        confirm,
        password,
        otp,
        tap,
        way,
        pin,
        pin_again,
        proof,
    } = args;
    let mut given = Vec::new();
    if confirm {
        given.push(Input::Confirmed);
    }
    for (factor, value) in [
        (Factor::Password, password),
        (Factor::Otp, otp),
        (Factor::AccessPass, tap),
    ] {
        if let Some(value) = value {
            let typed = matches!(stage, Stage::Asking(Asked::Typed { factor: asked, .. })
                if *asked == factor);
            given.push(typed.then(|| Input::Factor(secret(&value)))?);
        }
    }
    if let Some(way) = way {
        given.push(match way.as_str() {
            "skip" => Input::Skipped,
            word => Input::Chosen(Method::of(word)?),
        });
    }
    if let (Some(pin), Some(again)) = (&pin, &pin_again) {
        let (pin, again) = (secret(pin), secret(again));
        given.push(Input::Pin { pin, again });
    }
    if let Some(proof) = proof {
        given.push(Input::Proven(Proof {
            token: text::from_hex(&proof.token)?,
            mic: text::from_hex(&proof.mic)?,
        }));
    }
    let input = given.pop()?;
    let belongs = matches!(
        (stage, &input),
        (Stage::Biometrics, Input::Skipped)
            | (Stage::Account, Input::Confirmed)
            | (Stage::Asking(_), Input::Factor(_) | Input::Chosen(_))
            | (Stage::Pin { .. }, Input::Pin { .. })
            | (Stage::Proof(_), Input::Proven(_))
    );
    (given.is_empty() && belongs && pin.is_some() == pin_again.is_some()).then_some(input)
}

impl Look {
    /// What the person sees; none for what is over in a moment.
    fn at(&self, stage: &Stage) -> Option<EnrollStep> {
        let working = |what: &str| EnrollStep::Working {
            what: what.to_owned(),
            about_s: None,
        };
        Some(match stage {
            Stage::Biometrics => EnrollStep::Biometrics {},
            Stage::Account => EnrollStep::Account {
                upn: self.upn.clone(),
            },
            Stage::Checking | Stage::Stating => return None,
            Stage::Asking(asked) => shown(asked),
            Stage::Pin { problem } => EnrollStep::Pin {
                rules: self.rules.sentences(),
                problem: problem.as_ref().map(failure),
            },
            Stage::MakingKey => working(match self.storage {
                KeyStorage::Hardware => "making_key",
                KeyStorage::Software => "making_software_key",
            }),
            Stage::SettingPin => working("setting_pin"),
            Stage::Proof(statement) => EnrollStep::Proof {
                service: statement.service.clone(),
                statement: text::hex(&statement.bytes),
            },
            Stage::Registering => working("registering"),
            Stage::Waiting { .. } => EnrollStep::Working {
                what: "waiting_for_directory".to_owned(),
                about_s: Some(self.about_s),
            },
            Stage::Done { kid, directory_ms } => EnrollStep::Done {
                kid: kid.clone(),
                directory_ms: *directory_ms,
            },
            Stage::Failed(problem) => EnrollStep::Failed {
                problem: failure(problem),
            },
        })
    }
}

fn shown(asked: &Asked) -> EnrollStep {
    let words = |ways: &[Method]| ways.iter().map(|way| way.as_str().to_owned()).collect();
    match asked {
        Asked::Typed {
            factor,
            others,
            problem,
        } => {
            let (others, problem) = (words(others), problem.as_ref().map(failure));
            match factor {
                Factor::Password => EnrollStep::Password { problem },
                Factor::Otp => EnrollStep::Otp { problem, others },
                Factor::AccessPass => EnrollStep::AccessPass { problem, others },
            }
        }
        Asked::Choice { ways, problem } => EnrollStep::Choose {
            ways: words(ways),
            problem: problem.as_ref().map(failure),
        },
        Asked::Approval { number } => EnrollStep::Approve { number: *number },
    }
}

fn failure(problem: &Problem) -> Failure {
    Failure {
        retry_after_s: problem.retry_after_s,
        ..Failure::new(&problem.code, problem.sentence.clone())
    }
}

/// The first component of every agent's principal. A server that names another service would have
/// the user's ticket for it.
const AGENT_SERVICE: &str = "latchkey-sync/";

/// How long an input waits for what is under way.
const BUSY_PATIENCE: Duration = Duration::from_secs(2);

/// How long the server may take to say whether a credential is still good.
const ASK_PATIENCE: Duration = Duration::from_secs(2);
