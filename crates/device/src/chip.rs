//! The one way to the TPM: one command sequence at a time, on a thread that may block.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tpm::Tpm;

use crate::Error;

/// The TPM, opened when it is first needed and again when it was lost.
pub struct Chip {
    tcti: String,
    /// Fair, and waited for without a thread: whoever asks first is served first, and however many
    /// ask, there are threads for everything else.
    open: Arc<Mutex<Option<Tpm>>>,
}

impl Chip {
    /// The TPM that `tcti` names.
    pub fn new(tcti: &str) -> Arc<Self> {
        Arc::new(Self {
            tcti: tcti.to_owned(),
            open: Arc::default(),
        })
    }

    /// Runs `work` on the TPM. A connection that turns out dead (a resource manager or simulator
    /// that was restarted) is opened anew once, and `work` runs again.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnMut(&mut Tpm) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let open = Arc::clone(&self.open).lock_owned().await;
        let chip = Arc::clone(self);
        tokio::task::spawn_blocking(move || chip.run_blocking(open, work)).await?
    }

    fn run_blocking<T>(
        &self,
        mut open: OwnedMutexGuard<Option<Tpm>>,
        mut work: impl FnMut(&mut Tpm) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(tpm) = open.as_mut() {
            match work(tpm) {
                Err(Error::Tpm(tpm::Error::Unavailable(reason))) => {
                    tracing::warn!(reason, "the TPM is opened anew");
                    *open = None;
                }
                outcome => return outcome,
            }
        }
        let outcome = work(open.insert(Tpm::open(&self.tcti)?));
        if let Err(Error::Tpm(tpm::Error::Unavailable(_))) = outcome {
            *open = None;
        }
        outcome
    }
}
