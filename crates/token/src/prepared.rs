//! OpenSSL's contexts of one key for one use, set up once: finding the algorithm and setting its
//! parameters takes as long as checking a signature.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use openssl::{error::ErrorStack, pkey_ctx::PkeyCtx};

/// Those that nobody uses now. Clones share them.
pub struct Prepared<T>(Arc<Mutex<Vec<PkeyCtx<T>>>>);

impl<T> Clone for Prepared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Prepared<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Prepared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared(…)")
    }
}

impl<T> Prepared<T> {
    /// Does `work` with one of them, set up by `prepare` where none is free. One with which something
    /// failed is not used again.
    pub fn with<R>(
        &self,
        prepare: impl FnOnce() -> Result<PkeyCtx<T>, ErrorStack>,
        work: impl FnOnce(&mut PkeyCtx<T>) -> Result<R, ErrorStack>,
    ) -> Result<R, ErrorStack> {
        let idle = self.lock().pop();
        let mut context = idle.map_or_else(prepare, Ok)?;
        let done = work(&mut context)?;
        self.lock().push(context);
        Ok(done)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PkeyCtx<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
