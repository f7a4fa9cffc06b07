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
        let digest = sha256(der);
        if let Some(known) = self.lock().get(&digest) {
            return Some(known.clone());
        }
        let certificate = X509::from_der(der).ok()?;
        let mut known = self.lock();
        if known.len() >= MOST {
            // Whoever is still about shows theirs again.
            known.clear();
        }
        known.insert(digest, certificate.clone());
        Some(certificate)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], X509>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
