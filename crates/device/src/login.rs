//! One login by a helper, begun before the PIN is proven: the helper, which was started after the
//! login before, reads its profile and hears the KDC's first answer while the TPM is at the proof.
//!
//! What must hold: until the proof nothing is signed, because the right to the signature does not
//! exist; a login that is given up before is over at once, and so is its helper.

use std::{
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tpm::Unlocked;

use crate::{
    Error,
    accounts::Account,
    credential::Credential,
    daemon::Daemon,
    ffi,
    helper::{self, Deadline, Failed, Ids, Obtained, Request, Stored},
    keytab::Machine,
    peer::Process,
};

/// What came of a login: a ticket that is proven and stored, or why there is none.
type Came = Result<(Obtained, Stored), Failed>;

/// A login under way. Dropped, it is given up.
pub(crate) struct Login {
    right: oneshot::Sender<Unlocked>,
    came: oneshot::Receiver<Result<Came, Error>>,
    /// None where no helper could be started.
    line: Option<Line>,
}

/// The way to the helper, which its end cuts.
struct Line(UnixStream);

impl Drop for Line {
    fn drop(&mut self) {
        // One that is closed already needs no cut.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Login {
    /// Sets a helper to work for the account.
    pub(crate) fn begin(
        daemon: &Arc<Daemon>,
        account: &Account,
        credential: &Credential,
        patience: Duration,
    ) -> Result<Self, Error> {
        let end = Instant::now() + patience;
        let (give, right) = oneshot::channel();
        let (tell, came) = oneshot::channel();
        let mut login = Self {
            right: give,
            came,
            line: None,
        };
        let spare = daemon
            .spare
            .take()
            .map_or_else(|| Helper::start(daemon), Ok);
        let helper = match spare {
            Ok(helper) => helper,
            // The PIN is judged all the same.
            Err(error) => {
                let _ = tell.send(Err(error));
                return Ok(login);
            }
        };
        login.line = Some(Line(helper.socket.try_clone()?));
        let (daemon, account) = (Arc::clone(daemon), account.clone());
        let principal = credential.principal.clone();
        tokio::task::spawn_blocking(move || {
            let came = request(&daemon, &account, principal)
                .and_then(|request| run(&daemon, &helper, (&request, end), right));
            // Whoever waits waits for the outcome, and not for what comes after it.
            let _ = tell.send(came);
            drop(helper);
            daemon.spare.fill(&daemon);
        });
        Ok(login)
    }

    /// Gives the helper the right to its one signature, and waits for what comes of it.
    pub(crate) async fn finish(self, right: Unlocked) -> Result<Came, Error> {
        // A helper that has failed already says why.
        let _ = self.right.send(right);
        let came = self.came.await;
        drop(self.line);
        came.map_err(|_| Error::Bug("a login ended without an outcome"))?
    }
}

/// What the helper is told.
fn request(daemon: &Daemon, account: &Account, principal: String) -> Result<Request, Error> {
    Ok(Request {
        ids: Ids {
            uid: account.uid,
            gid: account.gid,
            groups: ffi::groups(account)?,
        },
        principal,
        module: daemon.config.module.to_string_lossy().into_owned(),
        anchors: [daemon.kdc_anchors_path(), daemon.device_root_path()]
            .map(|path| path.to_string_lossy().into_owned())
            .to_vec(),
    })
}

fn run(
    daemon: &Daemon,
    helper: &Helper,
    (request, end): (&Request, Instant),
    right: oneshot::Receiver<Unlocked>,
) -> Result<Came, Error> {
    let process = Process::of_child(helper.child.id() as i32, request.ids.uid)?;
    daemon.tickets().expect(process, right, Instant::now());
    let mut socket = Deadline::until(helper.socket.try_clone()?, end);
    let came = helper::log_in(&mut socket, request, || {
        let context = kerberos::Context::new();
        move |obtained: &Obtained, ticket: &[u8]| {
            prove(daemon, &context?, request, (obtained, ticket))
        }
    });
    daemon.tickets().revoke(&process);
    Ok(came)
}

/// A helper that waits to be told whom to become: started before the login that needs it.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Option<Helper>>);

impl Spare {
    /// The helper, if it still waits.
    fn take(&self) -> Option<Helper> {
        let mut helper = self.lock().take()?;
        matches!(helper.child.try_wait(), Ok(None)).then_some(helper)
    }

    /// Starts the next one. Blocks.
    pub(crate) fn fill(&self, daemon: &Daemon) {
        let mut spare = self.lock();
        if spare.is_none() {
            match Helper::start(daemon) {
                Ok(helper) => *spare = Some(helper),
                // The next login tries itself, and says so.
                Err(error) => tracing::debug!(%error, "no login helper could be started"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Helper>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A helper and the way to it. Dropped, it has done what it was for, or will not.
struct Helper {
    child: Child,
    socket: UnixStream,
}

impl Helper {
    /// Starts it with nothing of ours but its channel.
    fn start(daemon: &Daemon) -> Result<Self, Error> {
        let (socket, theirs) = UnixStream::pair()?;
        let profiles = [daemon.profile_path(), daemon.config.krb5_conf.clone()];
        let profiles = profiles.map(|path| path.to_string_lossy().into_owned());
        let mut command = Command::new(&daemon.config.login_helper);
        command
            .env_clear()
            .env("KRB5_CONFIG", profiles.join(":"))
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        Ok(Self { child, socket })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(%error, "the login helper was lost");
        }
    }
}

/// Does the ticket come from a KDC that knows this host, and is it the one that was asked for?
fn prove(
    daemon: &Daemon,
    context: &kerberos::Context,
    request: &Request,
    (obtained, ticket): (&Obtained, &[u8]),
) -> Result<(), Failed> {
    let tgt = context.unmarshal(ticket)?;
    // The names first: the daemon uses no ticket that it did not ask for.
    is_as_asked(request, obtained, &tgt.client()?, &tgt.server()?)?;
    let keytab = &daemon.config.keytab;
    let account = Machine::of_keytab(keytab).map_err(|error| Failed {
        code: "kdc_not_trusted".to_owned(),
        message: error.to_string(),
    })?;
    Ok(context.verify(&tgt, keytab, &account.principal())?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_person_s_own_ticket_granting_ticket_is_as_asked() {
        const ALICE: &str = "alice@CORP.TEST";
        const GRANTING: &str = "krbtgt/CORP.TEST@CORP.TEST";
        let is_as_asked = |told: (&str, &str), found: (&str, &str)| {
            let request = Request {
                ids: Ids {
                    uid: 1000,
                    gid: 100,
                    groups: Vec::new(),
                },
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
