//! Device join, key registration (MS-DVRJ, MS-KPP) and our own device interface.

use model::{Guid, Sid, UnixTime};
use serde::{Deserialize, Serialize};
use token::RsaJwk;

use crate::{attestation::AttestationChallenge, join::JoinUser};

/// `GET ?api-version=1.9`, no token: where everything is.
pub fn discover_path(tenant: &str) -> String {
    format!("/{tenant}/Discover")
}

/// `PUT ?api-version=2.0`, no token: hybrid join; `DELETE`: leave, by a device token or the TLS client
/// certificate.
pub fn device_path(device: Guid) -> String {
    format!("/EnrollmentServer/device/{device}")
}

/// `POST ?api-version=1.0`: key registration.
pub const KEY_PATH: &str = "/EnrollmentServer/key/";

/// `GET ?user=SID`: a user's keys as this device may see them: [`KeyList`].
pub const KEYS_PATH: &str = "/device/v1/keys";

/// `GET ?wait=&seen=`: one key's state ([`KeyStatus`]), waiting until it is other than `seen`;
/// `DELETE`: removes the key (only of the calling device).
pub fn key_path(kid: &str) -> String {
    format!("{KEYS_PATH}/{kid}")
}

/// Answer of discovery, as far as a Latchkey device reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Discovery {
    /// The tenant.
    #[serde(rename = "TenantInfo")]
    pub tenant: TenantInfo,
    /// Where to join.
    #[serde(rename = "DeviceJoinService")]
    pub join: JoinService,
    /// Where to register keys.
    #[serde(rename = "KeyProvisioningService")]
    pub keys: KeyService,
    /// Where tokens come from.
    #[serde(rename = "AuthenticationService")]
    pub authentication: AuthenticationService,
}

/// The tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TenantInfo {
    /// Its id.
    pub tenant_id: Guid,
    /// Its name for people.
    pub tenant_name: String,
}

/// Device join.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinService {
    /// URL.
    pub join_endpoint: String,
    /// [`crate::REGISTRATION_AUDIENCE`].
    pub join_resource_id: String,
    /// `2.0`.
    pub service_version: String,
}

/// Key registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyService {
    /// URL.
    pub key_provision_endpoint: String,
    /// [`crate::REGISTRATION_AUDIENCE`].
    pub key_provision_resource_id: String,
    /// `1.0`.
    pub service_version: String,
}

/// Tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthenticationService {
    /// OAuth 2.0.
    #[serde(rename = "OAuth2")]
    pub oauth2: OAuth2Endpoints,
}

/// OAuth 2.0 endpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OAuth2Endpoints {
    /// URL.
    pub token_endpoint: String,
}

/// Hybrid join (protocols: `JoinType` 6, `PUT`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinRequest {
    /// 6.
    pub join_type: u8,
    /// PKCS#10 for the device certificate.
    pub certificate_request: CertificateRequest,
    /// What the computer says of itself.
    pub server_ad_join_data: AdJoinData,
    /// Ours; foreign clients send none.
    #[serde(rename = "latchkey", default, skip_serializing_if = "Option::is_none")]
    pub latchkey: Option<JoinAttestation>,
}

/// A certificate request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CertificateRequest {
    /// `pkcs10`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Base64 DER.
    pub data: String,
}

/// What the computer says of itself, and its signature by the key behind its `userCertificate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AdJoinData {
    /// Base64 of the transport key as a BCRYPT RSA1 blob.
    pub transport_key: String,
    /// DNS name of the domain.
    pub target_domain: String,
    /// `Linux`.
    pub device_type: String,
    /// For people.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// The host name.
    pub device_display_name: String,
    /// objectGUID of the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_domain_id: Option<String>,
    /// The signature.
    pub client_identity: ClientIdentity,
}

/// The computer's signed identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClientIdentity {
    /// `sha256signed`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `<computer SID>.<yyyy-MM-dd HH:mm:ss>Z`.
    pub sid: String,
    /// Base64 RSASSA-PKCS1-v1_5 SHA-256 signature over the UTF-8 of `sid`.
    pub signed_blob: String,
}

/// The TPM's own keys, kept for attestation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinAttestation {
    /// Base64 DER SubjectPublicKeyInfo of the endorsement key.
    pub ek_public: Option<String>,
    /// Base64 DER of its certificate.
    pub ek_certificate: Option<String>,
    /// Base64 TPMT_PUBLIC of the attestation key.
    pub ak_public: String,
}

/// A joined device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinAnswer {
    /// The device certificate.
    pub certificate: IssuedCertificate,
    /// Who joined it, where a user did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<JoinUser>,
    /// Local groups and whom to put into them: none, ever. Foreign clients want the member.
    #[serde(default)]
    pub membership_changes: Vec<serde_json::Value>,
    /// Ours; foreign clients pass over it.
    #[serde(rename = "latchkey", default, skip_serializing_if = "Option::is_none")]
    pub latchkey: Option<JoinedDevice>,
}

/// What a device of ours is told when it has joined, and with each certificate after that.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinedDevice {
    /// To be answered, so that the device's keys count as a TPM's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<AttestationChallenge>,
    /// Base64 TPMT_PUBLIC of the server's recovery key K.
    pub recovery_public: String,
    /// The keys by which the server signs statements to the device.
    pub statement_keys: Vec<RsaJwk>,
}

/// Claims of the statement by which a server tells a device that it was deleted: a JWS by a key of
/// [`JoinedDevice::statement_keys`], of the type [`DELETED_TYPE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedClaims {
    /// `https://…/{tenant}/`.
    pub iss: String,
    /// The device.
    pub device: Guid,
    /// When it was deleted, unix seconds.
    pub deleted: UnixTime,
    /// The nonce of the request that it answers.
    pub nonce: String,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
}

/// `typ` of a statement with [`DeletedClaims`]: it cannot be taken for a token, nor a token for it.
pub const DELETED_TYPE: &str = "latchkey-device-deleted";

/// An issued certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IssuedCertificate {
    /// SHA-1 of the DER, upper-case hexadecimal.
    pub thumbprint: String,
    /// Base64 DER on one line.
    pub raw_body: String,
}

/// A refusal of join and key registration (MS-KPP 2.2.3 `ErrorDetails`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegistrationError {
    /// Stable; `docs/joints.md` lists them.
    pub code: String,
    /// Names the cause and the next step.
    pub message: String,
    /// `ERROR_FAIL`.
    pub response: String,
    /// The request's id in the server's log.
    #[serde(default)]
    pub target: String,
    /// RFC 3339.
    #[serde(default)]
    pub time: String,
    /// The HRESULT by which Windows clients know the refusal, such as `0x801C0003`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hresult: Option<String>,
    /// Ours: seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

/// Key registration. Foreign clients send `kngc` alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRequest {
    /// Base64 of the public key as a BCRYPT RSA1 blob.
    pub kngc: String,
    /// What the agent and the server check beyond the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latchkey: Option<KeyEvidence>,
}

/// The evidence for one key. The signed bytes are `protocol::Statement::to_bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEvidence {
    /// When the statement was made.
    pub time: UnixTime,
    /// The device's sequence number in the statement.
    pub sequence: u64,
    /// Base64 signature by the key behind the computer's `userCertificate`.
    pub device_sig: String,
    /// The user's Kerberos proof.
    pub user_proof: UserProof,
    /// The TPM's word on the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<KeyAttestation>,
}

/// A Kerberos proof over a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProof {
    /// Base64 initial GSS-API token for the agent's service principal.
    pub token: String,
    /// Base64 GSS-API MIC over the statement.
    pub mic: String,
}

/// TPM2_Certify of the key, and what its policy digest is made of; all base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttestation {
    /// TPMT_PUBLIC of the key.
    pub public: String,
    /// TPMS_NV_PUBLIC of the PIN index.
    pub nv_public: String,
    /// TPMT_PUBLIC of the recovery key, whose name is in the branches and in the index's policy.
    pub recovery_public: String,
    /// The policy branches' digests, in the order of PolicyOR.
    pub branches: Vec<String>,
    /// TPMS_ATTEST.
    pub certify: String,
    /// The attestation key's signature over it.
    pub signature: String,
}

/// A registered key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyAnswer {
    /// The key's id at the server; a GUID.
    pub kid: String,
    /// The user's principal name.
    pub upn: String,
}

/// Where a key is on its way to AD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// At the server.
    Registered,
    /// Confirmed in AD by reading it back.
    Confirmed,
    /// The agent refused it, or AD did; `code` and `detail` say why.
    Failed,
    /// The agent needs a fresh Kerberos proof.
    NeedsProof,
    /// Deleted at the server; AD follows.
    Removing,
    /// Out of AD.
    Removed,
}

/// One key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyStatus {
    /// The key's id at the server.
    pub kid: String,
    /// Its user.
    pub user: Sid,
    /// The device that made it.
    pub device: Guid,
    /// Where it is.
    pub state: KeyState,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// `hardware` where it was shown to be in a TPM, else `none`.
    #[serde(default)]
    pub level: String,
    /// Why so.
    #[serde(default)]
    pub reason: String,
    /// The domain controller that was written, until all that are writable have the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dc: Option<String>,
    /// When it was registered, unix milliseconds of the server.
    pub registered_ms: i64,
    /// When the confirmation came, unix milliseconds of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_ms: Option<i64>,
}

/// A user's keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyList {
    /// The newest first.
    pub keys: Vec<KeyStatus>,
}
