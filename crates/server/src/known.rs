//! Certificates and public keys of devices and users as they were read: OpenSSL takes longer to read
//! one than to check what it has signed, and the same one comes with every statement. That one is known
//! here says nothing about whether it is to be believed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Some ten thousand bytes each, and enough for those who sign in within a few minutes.
const MOST: usize = 1024;

/// By SHA-256 of what they were read of.
pub(crate) struct Known<T>(Mutex<HashMap<[u8; 32], T>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Known<T> {
    /// One that was read before.
    pub(crate) fn find(&self, digest: &[u8; 32]) -> Option<T> {
        self.lock().get(digest).cloned()
    }

    /// Keeps one that was found to be a device's or user's: nobody else fills the memory, or empties
    /// it.
    pub(crate) fn keep(&self, digest: [u8; 32], read: &T) {
        let mut known = self.lock();
        if known.contains_key(&digest) {
            return;
        }
        if known.len() >= MOST {
            // Whoever is still about shows theirs again.
            known.clear();
        }
        known.insert(digest, read.clone());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
