//! Tokens: the server nonce, device tokens, native sign-in and the code exchange.
//!
//! Forms are `application/x-www-form-urlencoded`; errors are [`OAuthError`].

use model::Guid;
use serde::{Deserialize, Serialize};

/// `POST`: every grant (MS-OAPXBC, RFC 6749).
pub fn token_path(tenant: Guid) -> String {
    format!("/{tenant}/oauth2/token")
}

/// `POST`: every grant of the newer generation, with `scope` instead of `resource`.
pub fn token_path_v2(tenant: Guid) -> String {
    format!("/{tenant}/oauth2/v2.0/token")
}

/// `POST`: native sign-in by the authorization challenge endpoint (OAuth 2.0 for First-Party
/// Applications, IETF draft).
pub fn challenge_path(tenant: Guid) -> String {
    format!("/{tenant}/oauth2/v2.0/challenge")
}

/// `grant_type` of a signed request by a device or agent (MS-OAPXBC 3.2.5.1.2).
pub const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `client_assertion_type` of private_key_jwt (RFC 7523).
pub const ASSERTION_JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The header that carries a device's signed statement about itself (MS-OAPXBC 3.1.5.1.3).
pub const DEVICE_CREDENTIAL_HEADER: &str = "x-ms-devicecredential";

/// Answer to `grant_type=srv_challenge`.
#[derive(Debug, Serialize, Deserialize)]
pub struct NonceAnswer {
    /// Opaque, valid for 5 minutes.
    #[serde(rename = "Nonce")]
    pub nonce: String,
}

/// Claims of the RS256 request (`request=`) for a device token, header `x5c` = device certificate.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceTokenClaims {
    /// [`crate::WORKSTATION_CLIENT`].
    pub client_id: String,
    /// From [`NonceAnswer`].
    pub request_nonce: String,
    /// Always `device_token`.
    pub grant_type: String,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
}

/// Claims of `x-ms-DeviceCredential`, RS256, header `x5c` = device certificate.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceCredentialClaims {
    /// Always `device_auth`.
    pub grant_type: String,
    /// Always `aad:brokerplugin`.
    pub iss: String,
    /// From [`NonceAnswer`].
    pub request_nonce: String,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
}

/// Form of the challenge endpoint. The first request names the user and the PKCE challenge; each
/// further one carries `auth_session` and the one factor that was asked.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChallengeForm {
    /// [`crate::WORKSTATION_CLIENT`].
    pub client_id: String,
    /// The user principal name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The audience of the token to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Base64url SHA-256 of the verifier (RFC 7636); only S256 is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// `ngcmfa`: both factors anew, in this very attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr_values: Option<String>,
    /// From the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_session: Option<String>,
    /// The directory password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The one-time code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otp: Option<String>,
    /// With the first request: the second factors that the client can show, with blanks between
    /// them (`otp webauthn approval tap`); `otp` where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors: Option<String>,
    /// The second factor that the person chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<String>,
    /// A Temporary Access Pass; also in place of the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// What a browser says for a security key: JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webauthn: Option<String>,
    /// Seconds to wait for an approval, at most [`crate::MAX_WAIT_S`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// Success of the challenge endpoint.
#[derive(Serialize, Deserialize)]
pub struct ChallengeAnswer {
    /// Single use, valid for 60 seconds.
    pub authorization_code: String,
}

/// Success of the token endpoint.
#[derive(Default, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: i64,
    /// The same; clients of Entra ID refuse an answer without it.
    #[serde(default)]
    pub ext_expires_in: i64,
    /// Unix seconds.
    #[serde(default)]
    pub expires_on: i64,
    /// A JWT, RS256, claims [`AccessClaims`].
    pub access_token: String,
    /// What was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The audience, in answers of the older generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Opaque; good once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// A JWT, RS256, claims [`IdClaims`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// Base64url of [`ClientInfo`], where the client asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_info: Option<String>,
}

/// Answer to a request for a primary refresh token (MS-OAPXBC 3.2.5.1.2.2). Clients insist on which
/// of the times are strings.
#[derive(Serialize, Deserialize)]
pub struct PrimaryAnswer {
    /// `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: String,
    /// `0`.
    pub ext_expires_in: String,
    /// Unix seconds.
    pub expires_on: String,
    /// The primary refresh token.
    pub refresh_token: String,
    /// Seconds.
    pub refresh_token_expires_in: i64,
    /// The session key, wrapped to the transport key; absent where it stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key_jwe: Option<String>,
    /// A JWT, RS256, claims [`IdClaims`].
    pub id_token: String,
    /// Base64url of [`ClientInfo`].
    pub client_info: String,
    /// The tenant of the device.
    pub device_tenant_id: Guid,
}

/// Who signed in, for a client's cache.
#[derive(Serialize, Deserialize)]
pub struct ClientInfo {
    /// The user's objectGUID.
    pub uid: Guid,
    /// The tenant.
    pub utid: Guid,
}

/// Answer to the beginning of a sign-in on another device (RFC 8628 3.2).
#[derive(Serialize, Deserialize)]
pub struct DeviceCodeAnswer {
    /// What the client polls with.
    pub device_code: String,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same; the older generation's name for it.
    pub verification_url: String,
    /// Seconds.
    pub expires_in: i64,
    /// Seconds between polls.
    pub interval: i64,
    /// All of that in a sentence.
    pub message: String,
}

/// Claims of an ID token (OpenID Connect Core 2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdClaims {
    /// `https://…/{tenant}/` or `https://…/{tenant}/v2.0`, by the generation of the endpoint.
    pub iss: String,
    /// The client.
    pub aud: String,
    /// The user's objectGUID, for every client the same.
    pub sub: String,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub nbf: i64,
    /// Unix seconds.
    pub exp: i64,
    /// `1.0` or `2.0`.
    pub ver: String,
    /// The tenant.
    pub tid: Guid,
    /// The user's objectGUID.
    pub oid: Guid,
    /// For people.
    pub name: String,
    /// The user's principal name.
    pub preferred_username: String,
    /// The user's principal name.
    pub upn: String,
    /// The mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// How the user signed in (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When, unix seconds.
    pub auth_time: i64,
    /// The client's, as it sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The half of a hash by which it belongs to its access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_hash: Option<String>,
    /// The device that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviceid: Option<Guid>,
}

/// Claims of every access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessClaims {
    /// `https://…/{tenant}/` or `https://…/{tenant}/v2.0`, by the generation of the endpoint.
    pub iss: String,
    /// One of the audiences of this crate, or a resource of others.
    pub aud: String,
    /// `1.0` or `2.0`.
    #[serde(default)]
    pub ver: String,
    /// Whom the token is about: the user's objectGUID, or the client where it asks for itself.
    #[serde(default)]
    pub sub: String,
    /// The tenant.
    pub tid: Guid,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub nbf: i64,
    /// Unix seconds.
    pub exp: i64,
    /// Unique.
    pub jti: String,
    /// The client that asked.
    pub appid: String,
    /// The device that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviceid: Option<Guid>,
    /// The user's objectGUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<Guid>,
    /// The user's principal name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upn: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the client may do there for the user, in one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scp: Option<String>,
    /// `app` where no user is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idtyp: Option<String>,
    /// When the user signed in, unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How the user signed in: `pwd`, `mfa`, `ngcmfa`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the second factor was given, unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_time: Option<i64>,
    /// The agent that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Guid>,
}

/// A refusal of the token and challenge endpoints (RFC 6749 5.2 with Entra's fields).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OAuthError {
    /// `invalid_grant`, `insufficient_authorization`, …
    pub error: String,
    /// `AADSTSnnnnn: sentence`.
    pub error_description: String,
    /// The AADSTS numbers.
    #[serde(default)]
    pub error_codes: Vec<u32>,
    /// RFC 3339.
    #[serde(default)]
    pub timestamp: String,
    /// The request's id in the server's log.
    #[serde(default)]
    pub trace_id: String,
    /// Goes on with the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_session: Option<String>,
    /// The factor that is asked next: `password`, or a second one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<String>,
    /// Where the confirmation by a second factor stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Box<ConfirmationState>>,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// The statement that the device that asks was deleted ([`crate::device::DeletedClaims`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_deleted: Option<String>,
}

/// Where a confirmation by a second factor stands.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConfirmationState {
    /// `choosing`, `contacting`, `denied`, `timed_out`, `unreachable` or `exhausted`.
    pub state: String,
    /// The second factors that may be chosen now.
    #[serde(default)]
    pub next: Vec<String>,
    /// What is to be typed where the person is signed in already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// What a browser hands to a security key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webauthn: Option<serde_json::Value>,
}
