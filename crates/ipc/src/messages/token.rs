//! A credential as a PKCS#11 token: its PIN, one signature, its certificate.

use serde::{Deserialize, Serialize};

use super::Request;
use crate::Secret;

operation! {
    /// Opens the key for one signature. With `pin`: the user itself or root. Without: only a login
    /// helper that the daemon started and that holds an open ticket.
    "unlock" Unlock {
        /// Whose key; the caller's own uid unless root.
        uid: u32,
        /// None on the protected authentication path.
        pin: Option<Secret>,
    } -> Ticket
}

/// The right to one signature, bound to the process that asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ticket {
    /// Opaque.
    pub ticket: String,
    /// Seconds until it lapses; 30 at most.
    pub expires_in_s: u32,
}

operation! {
    /// Uses a ticket up for one RSASSA-PKCS1-v1_5 signature.
    "sign" Sign {
        /// From [`Unlock`]; the caller must be the process that got it.
        ticket: String,
        /// The 51-byte DigestInfo of a SHA-256 digest, hexadecimal; anything else is refused.
        digest_info: String,
    } -> Signature
}

/// A signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signature {
    /// 256 bytes, hexadecimal.
    pub signature: String,
}

operation! {
    /// What a PKCS#11 token of this user would say of itself. The user itself or root.
    "token_info" TokenInfo {
        /// Whose.
        uid: u32,
        /// Does the person come over the network? Then it is refused where a sign-in would be.
        #[serde(default)]
        remote: bool,
    } -> TokenInfoAnswer
}

/// A user's credential as a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenInfoAnswer {
    /// Is there a credential?
    pub present: bool,
    /// Will the daemon sign for this very caller without a PIN?
    pub protected_path: bool,
    /// PIN tries left.
    pub tries_left: u32,
    /// PIN tries after a success.
    pub tries_limit: u32,
    /// What a person types before the next PIN is taken, after wrong ones in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phrase: Option<String>,
    /// Seconds until the next PIN is taken, where there are any to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

operation! {
    /// The user's certificate, a leaf issued by the device root. The user itself or root.
    "cert" Cert { /// Whose.
        uid: u32 } -> CertAnswer
}

/// The user's certificate and key as a PKCS#11 object needs them; all hexadecimal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertAnswer {
    /// DER.
    pub certificate: String,
    /// DER of the device root that issued it.
    pub issuer: String,
    /// SHA-256 of the key material.
    pub key_id: String,
    /// Big-endian RSA modulus.
    pub modulus: String,
    /// Big-endian RSA public exponent.
    pub exponent: String,
}
