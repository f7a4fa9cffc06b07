//! What every operation of the daemon works on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use model::{Sid, UnixTime};
use tpm::Unlocked;

use crate::{
    Error,
    accounts::{Account, Accounts},
    chip::Chip,
    config::Config,
    confirmations::Confirmations,
    credential::{Credential, Credentials},
    deleted::Deleted,
    enroll::Enrollments,
    error::refused,
    events::Events,
    files,
    identity::Identity,
    kdcs::Kdcs,
    lockout::Lockout,
    login::Spare,
    offline::Offline,
    pin::tries::Tries,
    policies::Policies,
    presence::Presence,
    primary::Primaries,
    server::{Bearer, Pattern},
    text,
    tickets::Tickets,
    turns::Turns,
};

/// The daemon: its doors and its state.
pub struct Daemon {
    /// Where things are.
    pub config: Config,
    /// The TPM.
    pub chip: Arc<Chip>,
    /// Accounts and their SIDs.
    pub accounts: Arc<dyn Accounts>,
    /// The device.
    pub identity: Identity,
    /// The users' credentials.
    pub credentials: Credentials,
    /// Enrollments under way.
    pub enrollments: Enrollments,
    /// Whether the server has deleted the device.
    pub(crate) deleted: Deleted,
    /// The token for the server.
    pub bearer: Bearer,
    /// What the domain demands, allows and offers.
    pub(crate) policies: Policies,
    /// What clients of the server are made after.
    pub(crate) pattern: Pattern,
    /// What was decided at sign-ins.
    pub(crate) events: Events,
    /// By which certificates domain controllers answered.
    pub(crate) kdcs: Kdcs,
    /// What was learned when the directory got keys.
    pub(crate) confirmations: Confirmations,
    /// What sets the TPM's count of failures back.
    pub(crate) lockout: Lockout,
    /// What the domain said of each key.
    pub(crate) offline: Offline,
    /// Whose sessions are open, and the PINs that are kept for them.
    pub(crate) presence: Presence,
    /// What people's sign-ins are worth at the server.
    pub(crate) primaries: Primaries,
    /// The next login's helper.
    pub(crate) spare: Spare,
    /// Whose turn it is.
    pub(crate) turns: Turns,
    /// Who tried wrong PINs.
    pub(crate) tries: Tries,
    /// Only one join or leave at a time.
    pub membership: tokio::sync::Mutex<()>,
    /// Since when the process's cache has the machine account's tickets.
    pub(crate) machine_tickets: tokio::sync::Mutex<Option<Instant>>,
    tickets: Mutex<Tickets<Unlocked>>,
}

impl Daemon {
    /// Makes the folders and reads the state.
    pub fn new(config: Config, accounts: Arc<dyn Accounts>) -> Result<Arc<Self>, Error> {
        let credentials = Credentials::in_folder(&config.state);
        files::folder(&config.state, 0o700)?;
        files::folder(credentials.path(), 0o700)?;
        files::sweep(&config.state)?;
        files::sweep(credentials.path())?;
        let identity = Identity::read(&config.state)?;
        let kept = identity.device().map(|device| device.key_storage);
        Ok(Arc::new(Self {
            chip: Chip::new(&config, kept)?,
            identity,
            accounts,
            credentials,
            enrollments: Enrollments::default(),
            deleted: Deleted::default(),
            bearer: Bearer::default(),
            policies: Policies::in_folder(&config.state)?,
            events: Events::in_folder(&config.state),
            kdcs: Kdcs::in_folder(&config.state),
            pattern: Pattern::default(),
            confirmations: Confirmations::in_folder(&config.state),
            lockout: Lockout::in_folder(&config.state),
            offline: Offline::in_folder(&config.state)?,
            presence: Presence::default(),
            primaries: Primaries::default(),
            spare: Spare::default(),
            turns: Turns::default(),
            tries: Tries::in_folder(&config.state)?,
            membership: tokio::sync::Mutex::default(),
            machine_tickets: tokio::sync::Mutex::default(),
            tickets: Mutex::default(),
            config,
        }))
    }

    /// The open tickets. Not to be held while anything waits.
    pub fn tickets(&self) -> MutexGuard<'_, Tickets<Unlocked>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The SID of a uid; none for an account that is not the domain's.
    pub async fn sid(&self, uid: u32) -> Result<Option<Sid>, Error> {
        self.ask_accounts(move |accounts| accounts.sid(uid)).await
    }

    /// The account of that name.
    pub async fn account_by_name(&self, name: String) -> Result<Option<Account>, Error> {
        self.ask_accounts(move |accounts| accounts.by_name(&name))
            .await
    }

    /// The account of that uid.
    pub async fn account_by_uid(&self, uid: u32) -> Result<Option<Account>, Error> {
        self.ask_accounts(move |accounts| accounts.by_uid(uid))
            .await
    }

    async fn ask_accounts<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Accounts) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let accounts = Arc::clone(&self.accounts);
        tokio::task::spawn_blocking(move || question(&*accounts)).await?
    }

    /// The credential of a uid, if the account behind the uid is still the one that enrolled.
    pub async fn credential(&self, uid: u32) -> Result<Option<Credential>, Error> {
        let found = self.credential_and(uid, |_| ()).await?;
        Ok(found.map(|(credential, ())| credential))
    }

    /// The same, with what is done while the name service is asked; it counts only with the credential.
    pub(crate) async fn credential_and<T>(
        &self,
        uid: u32,
        meanwhile: impl FnOnce(&Credential) -> T,
    ) -> Result<Option<(Credential, T)>, Error> {
        let Some(credential) = self.credentials.read(uid)? else {
            return Ok(None);
        };
        let (sid, done) = tokio::join!(self.sid(uid), async { meanwhile(&credential) });
        if sid?.as_ref() != Some(&credential.sid) {
            tracing::warn!(
                uid,
                "the uid is another account's now than the credential's"
            );
            return Ok(None);
        }
        Ok(Some((credential, done)))
    }

    /// The same, or the sentence that says there is none.
    pub async fn present_credential(&self, uid: u32) -> Result<Credential, Error> {
        self.credential(uid).await?.ok_or_else(no_credential)
    }
}

/// The refusal where there is nothing to open.
pub fn no_credential() -> Error {
    refused(
        "no_credential",
        "There is no PIN for this account on this machine; enroll with `latchkey enroll`.",
    )
}

/// The clock.
pub fn now() -> UnixTime {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    UnixTime(seconds as i64)
}

/// A name that nobody guesses.
pub fn random_name() -> Result<String, Error> {
    let mut bytes = [0; 24];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(text::hex(&bytes))
}

/// Stops at a joint where a test asks for it.
pub async fn joint(joint: protocol::Joint) {
    let stopped = tokio::task::spawn_blocking(move || joints::reach("daemon", joint)).await;
    if stopped.is_err() {
        tracing::error!(joint = joint.name(), "the stop point panicked");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// A folder of a test's own; it goes with its owner.
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new(name: &str) -> Self {
            let name = format!("latchkey-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }

        /// A daemon without a TPM, a domain or accounts, whose state is here.
        pub(crate) fn daemon(&self, config: Config) -> Arc<Daemon> {
            let config = Config {
                state: self.0.join("state"),
                ..config
            };
            Daemon::new(config, Arc::new(Nobody)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    struct Nobody;

    impl Accounts for Nobody {
        fn by_name(&self, _: &str) -> Result<Option<Account>, Error> {
            Ok(None)
        }
        fn by_uid(&self, _: u32) -> Result<Option<Account>, Error> {
            Ok(None)
        }
        fn sid(&self, _: u32) -> Result<Option<Sid>, Error> {
            Ok(None)
        }
    }
}
