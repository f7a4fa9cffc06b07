//! A sign-in without C: what is asked, what is said, what the stack is told.

use std::{os::unix::net::UnixStream, path::PathBuf, time::Duration};

use ipc::{
    CallError, Connection, Done, Failure, PinChange, PinRules, PinRulesAnswer, PreReqResult,
    Request, Secret, SessionClose, SessionOpen, SessionOpenAnswer, Signin, SigninAnswer, TokenInfo,
    TokenInfoAnswer,
};

use crate::pin;

/// What a PAM function answers; the names and numbers of `_pam_types.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Code {
    Success = 0,
    ServiceError = 3,
    AuthError = 7,
    AuthInfoUnavailable = 9,
    MaxTries = 11,
    AccountExpired = 13,
    ConversationError = 19,
    Ignore = 25,
}

/// The module's arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Take what an earlier module asked for.
    pub(crate) first_pass: bool,
    /// Ask nothing.
    pub(crate) never_ask: bool,
    /// Lead nobody through an enrollment; say that there could be one.
    pub(crate) no_enrollment: bool,
    /// Another socket of the daemon.
    pub(crate) socket: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments; None where one is not known.
    pub(crate) fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut options = Self::default();
        for argument in arguments {
            match argument {
                "try_first_pass" => options.first_pass = true,
                "no_enrollment" => options.no_enrollment = true,
                "use_first_pass" => (options.first_pass, options.never_ask) = (true, true),
                other => options.socket = Some(other.strip_prefix("socket=")?.into()),
            }
        }
        Some(options)
    }
}

/// Who wants in, and how.
pub(crate) struct Visit {
    pub(crate) user: String,
    pub(crate) uid: u32,
    /// Whose program this is: root's for `login` and greeters, the caller's for `su`.
    pub(crate) caller: u32,
    pub(crate) service: String,
    pub(crate) remote_host: String,
    /// What an earlier module asked for.
    pub(crate) earlier: Option<Secret>,
}

/// The conversation with the person.
pub(crate) trait Person {
    /// Asks without echo.
    fn ask(&mut self, prompt: &str) -> Result<Secret, Code>;
    /// Asks for what everybody may see.
    fn ask_shown(&mut self, prompt: &str) -> Result<Secret, Code>;
    /// Says why something is not as it should be.
    fn tell(&mut self, sentence: &str);
    /// Says a sentence.
    fn inform(&mut self, sentence: &str);
}

/// The daemon as a sign-in needs it.
pub(crate) trait Daemon {
    /// Is there a credential that counts here, and how many tries has it left?
    fn token_info(&self, request: TokenInfo) -> Result<TokenInfoAnswer, CallError>;
    /// Checks the PIN and gets the ticket.
    fn sign_in(&self, request: Signin) -> Result<SigninAnswer, CallError>;
    /// What a new PIN must be.
    fn pin_rules(&self, request: PinRules) -> Result<PinRulesAnswer, CallError>;
    /// Replaces the PIN.
    fn change_pin(&self, request: PinChange) -> Result<Done, CallError>;
    /// A session has begun; is an enrollment to be offered?
    fn open_session(&self, request: SessionOpen) -> Result<SessionOpenAnswer, CallError>;
    /// A session is over.
    fn close_session(&self, request: SessionClose) -> Result<Done, CallError>;
}

/// The daemon behind its socket.
pub(crate) struct Socket<'a>(pub(crate) &'a Options);

impl Socket<'_> {
    fn call<R: Request>(&self, request: &R, patience: Duration) -> Result<R::Answer, CallError> {
        let mut connection = match &self.0.socket {
            Some(path) => Connection::over(UnixStream::connect(path)?, patience)?,
            None => Connection::open(patience)?,
        };
        connection.call(request)
    }
}

impl Daemon for Socket<'_> {
    fn token_info(&self, request: TokenInfo) -> Result<TokenInfoAnswer, CallError> {
        self.call(&request, GLANCE)
    }

    fn sign_in(&self, request: Signin) -> Result<SigninAnswer, CallError> {
        self.call(&request, SIGN_IN)
    }

    fn pin_rules(&self, request: PinRules) -> Result<PinRulesAnswer, CallError> {
        self.call(&request, GLANCE)
    }

    fn change_pin(&self, request: PinChange) -> Result<Done, CallError> {
        self.call(&request, SIGN_IN)
    }

    fn open_session(&self, request: SessionOpen) -> Result<SessionOpenAnswer, CallError> {
        self.call(&request, SESSION)
    }

    fn close_session(&self, request: SessionClose) -> Result<Done, CallError> {
        self.call(&request, SESSION)
    }
}

/// Tells the daemon of a session. Is an enrollment offered? Whatever goes wrong here is no reason to
/// keep anybody out, and nothing to bother them with.
pub(crate) fn open_session(visit: Visit, daemon: &dyn Daemon) -> bool {
    if visit.uid == 0 {
        return false;
    }
    let request = SessionOpen {
        remote: is_remote(&visit),
        user: visit.user,
    };
    let answer = daemon.open_session(request);
    answer.is_ok_and(|answer| answer.result == PreReqResult::WillProvision)
}

/// Tells the daemon of a session's end. Where it cannot be told, it sees the program's end.
pub(crate) fn close_session(visit: Visit, daemon: &dyn Daemon) {
    if visit.uid != 0 {
        let _ = daemon.close_session(SessionClose { user: visit.user });
    }
}

/// Signs a person in; a success brings the name of the cache with the ticket, if there is one.
pub(crate) fn authenticate(
    visit: Visit,
    options: &Options,
    person: &mut dyn Person,
    daemon: &dyn Daemon,
) -> Result<Option<String>, Code> {
    if visit.uid == 0 {
        return Err(Code::AuthInfoUnavailable);
    }
    let (uid, remote) = (visit.uid, is_remote(&visit));
    let info = daemon
        .token_info(TokenInfo { uid, remote })
        .map_err(|_| Code::AuthInfoUnavailable)?;
    if !info.present {
        return Err(Code::AuthInfoUnavailable);
    }
    if info.tries_left == 0 {
        person
            .tell("Your PIN is locked. Sign in with your password, then run `latchkey pin reset`.");
        return Err(Code::AuthInfoUnavailable);
    }
    // The count does not come back by waiting. Somebody else at `su`, or whoever is at the other end
    // of a network, may use up half of it, and leaves the rest to the person.
    let is_stranger = remote || (visit.caller != 0 && visit.caller != visit.uid);
    if is_stranger && info.tries_left <= info.tries_limit / 2 {
        return Err(Code::AuthInfoUnavailable);
    }
    if options.never_ask && (info.phrase.is_some() || info.retry_after_s.is_some()) {
        return Err(Code::AuthInfoUnavailable);
    }
    let phrase = pin::phrase(&info, person)?;
    let pin = match visit.earlier.filter(|_| options.first_pass) {
        Some(earlier) => earlier,
        None if options.never_ask => return Err(Code::AuthInfoUnavailable),
        None => person.ask("PIN: ")?,
    };
    if pin.expose().is_empty() {
        return Err(Code::Ignore);
    }
    let user = Some(visit.user);
    let request = Signin {
        user,
        pin,
        service: visit.service,
        remote,
        offline: true,
        phrase,
    };
    match pin::sign_in(request, !options.never_ask, person, daemon) {
        Ok(answer) => {
            if let Some(notice) = answer.notice {
                person.inform(&notice);
            }
            Ok(answer.ccache)
        }
        Err(CallError::Refused(failure)) => Err(refused(&failure, person)),
        Err(error @ CallError::Unreachable(_)) => {
            person.tell(&error.to_string());
            Err(Code::AuthInfoUnavailable)
        }
    }
}

/// Says why, and sorts for the stack: whether it is the PIN, the account, or nothing that the
/// person did.
fn refused(failure: &Failure, person: &mut dyn Person) -> Code {
    match (failure.code.as_str(), failure.tries_left) {
        ("wrong_pin", Some(tries @ 1..)) => {
            let tries = if tries == 1 {
                "1 try".to_owned()
            } else {
                format!("{tries} tries")
            };
            let wait = failure.retry_after_s;
            let wait = wait.map(|wait_s| format!(" The next one is taken in {wait_s} s."));
            person.tell(&format!(
                "Wrong PIN, {tries} left.{}",
                wait.unwrap_or_default()
            ));
            return Code::AuthError;
        }
        ("remote_refused" | "no_credential", _) => return Code::AuthInfoUnavailable,
        _ => person.tell(&failure.sentence),
    }
    match failure.code.as_str() {
        "wrong_pin" | "pin_locked" => Code::MaxTries,
        "account_revoked" | "account_disabled" | "account_locked" | "account_expired"
        | "outside_hours" | "policy_refused" => Code::AccountExpired,
        "no_kdc" | "offline_refused" | "offline_expired" | "tpm_locked" | "pin_paused"
        | "phrase_required" => Code::AuthInfoUnavailable,
        _ => Code::AuthError,
    }
}

/// A PIN belongs to the keys of this device: over the network it would be a password. Where a policy
/// wants it all the same, is the daemon's to know.
fn is_remote(visit: &Visit) -> bool {
    let local = ["", "localhost", "127.0.0.1", "::1"];
    visit.service == "sshd" || !local.contains(&visit.remote_host.as_str())
}

/// For a question to the TPM, which may be busy with another's key.
const GLANCE: Duration = Duration::from_secs(10);
/// For a sign-in: the TPM, then a KDC that may have to be looked for.
const SIGN_IN: Duration = Duration::from_secs(90);
/// For what may have to ask the domain, at the beginning of every session.
const SESSION: Duration = Duration::from_secs(5);
