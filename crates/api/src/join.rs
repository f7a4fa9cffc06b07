//! Device join by a user (MS-DVRJ `JoinType` 0, 4 and 8), and the renewal of device certificates.

use model::Guid;
use serde::{Deserialize, Serialize};

use crate::device::CertificateRequest;

/// `POST ?api-version=`: join by a user's token.
pub const JOIN_PATH: &str = "/EnrollmentServer/device/";

/// `GET ?api-version=1.0` with a bearer: a nonce ([`NonceAnswer`]).
pub fn nonce_path(tenant: Guid) -> String {
    format!("/EnrollmentServer/nonce/{tenant}/")
}

/// `POST` [`RenewalRequest`] with the device's token → the next certificate
/// ([`crate::device::JoinAnswer`]).
pub const CERTIFICATE_PATH: &str = "/device/v1/certificate";

/// A join by a user. What foreign clients send besides is passed over.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserJoinRequest {
    /// 0 joined, 4 registered, 8 joined as well, by clients that join later.
    pub join_type: u8,
    /// PKCS#10 for the device certificate.
    pub certificate_request: CertificateRequest,
    /// Base64 of a BCRYPT RSA1 blob, or of a JSON Web Key.
    #[serde(default)]
    pub transport_key: Option<String>,
    /// Version 3 names its keys one by one.
    #[serde(default)]
    pub device_keys: Vec<DeviceKey>,
    /// `Windows`, `Linux`, …
    #[serde(default)]
    pub device_type: String,
    /// For people.
    #[serde(default, rename = "OSVersion")]
    pub os_version: String,
    /// For people.
    #[serde(default)]
    pub device_display_name: String,
    /// Ours; foreign clients send none.
    #[serde(rename = "latchkey", default)]
    pub latchkey: Option<crate::device::JoinAttestation>,
}

/// A key of version 3.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceKey {
    /// The key.
    pub data: String,
    /// `JWK`.
    pub encoding: String,
    /// `STK` is the transport key.
    pub usage: String,
}

/// Who joined.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinUser {
    /// The user's principal name.
    pub upn: String,
}

/// Answer of the nonce service, in its published spelling.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NonceAnswer {
    /// How it went.
    #[serde(rename = "ReponseStatus")]
    pub status: NonceStatus,
    /// The nonce.
    #[serde(rename = "Value")]
    pub value: String,
}

/// How it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NonceStatus {
    /// `Success`.
    pub message: String,
    /// The request's id in the server's log.
    #[serde(rename = "traceId")]
    pub trace_id: String,
    /// RFC 3339.
    pub time: String,
}

/// A device asks for its next certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewalRequest {
    /// Base64 DER of a PKCS#10 request by the same key.
    pub csr: String,
}
