//! The one way to the TPM: one command sequence at a time, on a thread that may block.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use tokio::sync::{Mutex, oneshot};
use tpm::Tpm;

use crate::{
    Error,
    config::Config,
    error::refused,
    key_storage::{Choice, KeyStorage, is_missing},
    software_tpm::{Place, Running},
};

/// The TPM, opened when it is first needed and again when it was lost.
pub struct Chip {
    tcti: String,
    choice: Choice,
    software: Place,
    /// As the device's keys are kept; none while it has none.
    kept: std::sync::Mutex<Option<KeyStorage>>,
    /// Fair, and waited for without a thread: whoever asks first is served first, and however many
    /// ask, there are threads for everything else.
    open: Arc<Mutex<Option<Open>>>,
}

enum Open {
    Hardware(Tpm),
    Software(Running),
}

impl Open {
    fn tpm(&mut self) -> Result<&mut Tpm, Error> {
        match self {
            Self::Hardware(tpm) => Ok(tpm),
            Self::Software(running) => running.tpm(),
        }
    }

    fn storage(&self) -> KeyStorage {
        match self {
            Self::Hardware(_) => KeyStorage::Hardware,
            Self::Software(_) => KeyStorage::Software,
        }
    }
}

impl Chip {
    /// The TPM of this configuration, for a device whose keys are kept so.
    pub(crate) fn new(config: &Config, kept: Option<KeyStorage>) -> Result<Arc<Self>, Error> {
        if let Some(reason) = kept.and_then(|kept| config.tpm.objection(kept)) {
            let path: PathBuf = config.state.join("device.json");
            return Err(Error::State { path, reason });
        }
        Ok(Arc::new(Self {
            tcti: config.tcti.clone(),
            choice: config.tpm,
            software: Place::in_folder(&config.state, &config.swtpm),
            kept: std::sync::Mutex::new(kept),
            open: Arc::default(),
        }))
    }

    /// What keeps this device's keys, or would if it made some now.
    pub fn storage(&self) -> KeyStorage {
        let kept = *self.lock();
        kept.unwrap_or_else(|| self.choice.decide(&self.tcti))
    }

    /// The device makes its keys now: from here on the kind stays.
    pub(crate) fn settle(&self) -> KeyStorage {
        let storage = self.storage();
        *self.lock() = Some(storage);
        storage
    }

    /// The device has no keys any more. What software kept is removed before anybody else has the
    /// TPM.
    pub(crate) async fn forget(self: &Arc<Self>) -> Result<(), Error> {
        let mut open = Arc::clone(&self.open).lock_owned().await;
        let chip = Arc::clone(self);
        let forget = move || {
            drop(open.take());
            match chip.lock().take() {
                Some(KeyStorage::Software) => chip.software.remove(),
                _ => Ok(()),
            }
        };
        tokio::task::spawn_blocking(forget).await?
    }

    /// Lets go of the TPM, in order.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<(), Error> {
        let mut open = Arc::clone(&self.open).lock_owned().await;
        Ok(tokio::task::spawn_blocking(move || drop(open.take())).await?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<KeyStorage>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the TPM. A connection that turns out dead (a resource manager or simulator
    /// that was restarted) is opened anew once, and `work` runs again.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnMut(&mut Tpm) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_and(work, |_| {}).await
    }

    /// The same, and `after` it what nobody waits for but who wants the TPM next.
    pub(crate) async fn run_and<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnMut(&mut Tpm) -> Result<T, Error> + Send + 'static,
        after: impl FnOnce(&mut Tpm) + Send + 'static,
    ) -> Result<T, Error> {
        let mut open = Arc::clone(&self.open).lock_owned().await;
        let chip = Arc::clone(self);
        let (tell, told) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            // Whoever asked may have gone.
            let _ = tell.send(chip.run_blocking(&mut open, work));
            if let Some(Ok(tpm)) = open.as_mut().map(Open::tpm) {
                after(tpm);
            }
        });
        told.await
            .map_err(|_| Error::Bug("what was to be done on the TPM broke off"))?
    }

    fn run_blocking<T>(
        &self,
        open: &mut Option<Open>,
        mut work: impl FnMut(&mut Tpm) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let storage = self.storage();
        if let Some(known) = open.as_mut().filter(|open| open.storage() == storage) {
            match work(known.tpm()?) {
                Err(Error::Tpm(tpm::Error::Unavailable(reason))) => {
                    tracing::warn!(reason, "the TPM is opened anew");
                }
                outcome => return outcome,
            }
        }
        // One software TPM has to be gone before there can be the next.
        *open = None;
        let outcome = work(open.insert(self.open(storage)?).tpm()?);
        if let Err(Error::Tpm(tpm::Error::Unavailable(_))) = outcome {
            *open = None;
        }
        outcome
    }

    fn open(&self, storage: KeyStorage) -> Result<Open, Error> {
        match storage {
            KeyStorage::Software => Ok(Open::Software(self.software.start()?)),
            KeyStorage::Hardware if is_missing(&self.tcti) => Err(refused(
                TPM_MISSING,
                format!(
                    "The keys of this machine belong in its TPM, and {} is not there. If it is \
                     gone for good: run `latchkey leave`, say tpm = \"auto\" in device.toml, and \
                     join again.",
                    self.tcti
                ),
            )),
            KeyStorage::Hardware => Ok(Open::Hardware(Tpm::open(&self.tcti)?)),
        }
    }
}

/// Is there no TPM, where one is wanted?
pub(crate) fn is_tpm_missing(error: &Error) -> bool {
    matches!(error, Error::Refused(failure) if failure.code == TPM_MISSING)
}

const TPM_MISSING: &str = "tpm_missing";
