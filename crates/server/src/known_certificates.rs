//! Certificates of devices as they were read: OpenSSL takes longer to read one than to check what it
//! has signed, and a device shows the same one with every statement. That one is known here says
//! nothing about whether it is to be believed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use model::sha256;
use openssl::x509::X509;

/// Some thousand bytes each.
const MOST: usize = 2048;

/// By SHA-256 of their DER.
#[derive(Default)]
pub(crate) struct KnownCertificates(Mutex<HashMap<[u8; 32], X509>>);

impl KnownCertificates {
    /// Reads a certificate; none where it is none.
    pub(crate) fn read(&self, der: &[u8]) -> Option<X509> {
        let known = self.lock().get(&sha256(der)).cloned();
        known.or_else(|| X509::from_der(der).ok())
    }

    /// Keeps one that was found to be a device's: nobody else fills the memory, or empties it.
    pub(crate) fn keep(&self, der: &[u8], certificate: &X509) {
        let digest = sha256(der);
        let mut known = self.lock();
        if known.contains_key(&digest) {
            return;
        }
        if known.len() >= MOST {
            // Whoever is still about shows theirs again.
            known.clear();
        }
        known.insert(digest, certificate.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], X509>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
