//! What a device and the credentials on it are.

use serde::{Deserialize, Serialize};

use super::{Failure, Request};

operation! {
    /// The state of the device and of the caller's credential. Anyone may ask; root sees every user's.
    "status" Status {
        /// Does the caller sit elsewhere? The prerequisites are judged by it.
        #[serde(default)]
        remote: bool,
        /// Try the device's key, the domain and the server, too? Root only; it takes some seconds
        /// where one of them does not answer.
        #[serde(default)]
        tests: bool,
    } -> StatusAnswer
}

/// The device and the credentials on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Joined to a server?
    pub joined: bool,
    /// The computer's objectGUID, which is the device id.
    pub device_id: Option<String>,
    /// Kerberos realm of the domain.
    pub realm: Option<String>,
    /// The server's URL.
    pub server: Option<String>,
    /// How keys are kept: `hardware` or `software`.
    pub key_storage: String,
    /// The TPM's manufacturer and firmware, or why there is none.
    pub tpm: String,
    /// The credentials that the caller may see.
    pub credentials: Vec<CredentialInfo>,
    /// How the device stands with its domain and its server.
    #[serde(flatten)]
    pub registration: Registration,
    /// What was tried.
    #[serde(flatten)]
    pub tests: Tests,
    /// What stands between the caller and an enrollment.
    #[serde(flatten)]
    pub prerequisites: Prerequisites,
    /// What the caller's sign-in is worth at the server.
    #[serde(flatten)]
    pub primary_token: PrimaryToken,
}

/// How a device stands with its domain and its server, under the names of `dsregcmd /status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    /// Joined to a server?
    pub azure_ad_joined: Answered,
    /// Is the machine a member of a domain?
    pub domain_joined: Answered,
    /// The domain's DNS name.
    pub domain_name: Option<String>,
    /// The machine's name.
    pub device_name: String,
    /// SHA-1 of the device certificate, in upper case.
    pub thumbprint: Option<String>,
    /// From when to when it is good.
    pub device_certificate_validity: Option<String>,
    /// What keeps the device's keys.
    pub key_provider: String,
    /// Is that a TPM?
    pub tpm_protected: Answered,
    /// The tenant.
    pub tenant_id: Option<String>,
    /// Where codes are given.
    pub auth_code_url: Option<String>,
    /// Where tokens are given.
    pub access_token_url: Option<String>,
    /// Where devices join.
    pub join_srv_url: Option<String>,
    /// Where keys are registered.
    pub key_srv_url: Option<String>,
    /// The caller's key: its id at the server.
    pub ngc_key_id: Option<String>,
}

/// What was tried, under the names of `dsregcmd /status`; None where it was not.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tests {
    /// `SUCCESS`, or why not: does the server take the device?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_auth_status: Option<String>,
    /// `PASSED`, or why not: does the device's key sign?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_sign_test: Option<String>,
    /// `PASS`, or why not: does a domain controller answer?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ad_connectivity_test: Option<String>,
    /// `PASS`, or why not: does the directory name a server?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ad_configuration_test: Option<String>,
    /// `PASS`, or why not: does that server answer, with the key that the directory names?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drs_discovery_test: Option<String>,
}

/// A primary refresh token, under the names by which administrators know it from
/// `dsregcmd /status`. Times are unix seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrimaryToken {
    /// Is there one?
    #[serde(rename = "AzureAdPrt")]
    pub present: Answered,
    /// When it was got or renewed last.
    #[serde(rename = "AzureAdPrtUpdateTime")]
    pub updated: Option<i64>,
    /// Until when it is good.
    #[serde(rename = "AzureAdPrtExpiryTime")]
    pub expires: Option<i64>,
    /// Why there is none, or no newer one.
    #[serde(
        rename = "AzureAdPrtFailure",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub failure: Option<Failure>,
}

/// The prerequisites of an enrollment that is offered, under the names by which administrators
/// know them from `dsregcmd /status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Prerequisites {
    /// Has the person a credential here already?
    pub ngc_set: Answered,
    /// Has the device joined a server?
    pub is_device_joined: Answered,
    /// Is the person an account of the domain?
    #[serde(rename = "IsUserAzureAD")]
    pub is_user_known: Answered,
    /// Does a policy turn the credential on for this person here?
    pub policy_enabled: Answered,
    /// Is the offer at sign-in left on?
    pub post_logon_enabled: Answered,
    /// Can this machine keep the key as the policy wants it kept?
    pub device_eligible: Answered,
    /// Does the person sit at the machine?
    pub session_is_not_remote: Answered,
    /// Where certificates would be enrolled: always `none`, the key itself is trusted.
    pub cert_enrollment: CertEnrollment,
    /// The verdict.
    pub pre_req_result: PreReqResult,
}

/// An answered question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Answered {
    /// Yes.
    Yes,
    /// No.
    No,
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yes => "YES",
            Self::No => "NO",
        })
    }
}

impl From<bool> for Answered {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Who would issue certificates for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertEnrollment {
    /// Nobody.
    #[serde(rename = "none")]
    None,
}

/// Is an enrollment offered?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreReqResult {
    /// At the next sign-in it is.
    WillProvision,
    /// It is not.
    WillNotProvision,
}

impl std::fmt::Display for PreReqResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WillProvision => "WillProvision",
            Self::WillNotProvision => "WillNotProvision",
        })
    }
}

/// One user's credential on this device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialInfo {
    /// The local user id it is bound to.
    pub uid: u32,
    /// The account's SID it is bound to.
    pub sid: String,
    /// The account's user principal name when it enrolled.
    pub upn: String,
    /// Key id at the server, once registered.
    pub kid: Option<String>,
    /// SHA-256 of the key material, hexadecimal: `KeyID` in the directory.
    pub key_id: String,
    /// Where the key is on its way: `made`, `registered`, `written`, `confirmed`, `failed`, `removed`.
    pub state: String,
    /// The reason where it failed.
    pub detail: Option<String>,
    /// PIN tries left.
    pub tries_left: u32,
    /// PIN tries after a success.
    pub tries_limit: u32,
    /// Is the PIN kept in memory, so that tickets come without a question?
    #[serde(default)]
    pub pin_kept: bool,
    /// Until when the last such ticket is good: unix seconds.
    #[serde(default)]
    pub ticket_until: Option<i64>,
    /// Days until the PIN has to be changed, none of them where that is now; None where it never
    /// has to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_expires_in_days: Option<u32>,
    /// How a forgotten PIN can be replaced.
    #[serde(default, rename = "CanReset")]
    pub can_reset: CanReset,
}

/// How the PIN of one key can be replaced by whoever does not know it, under the name by which
/// administrators know it from `dsregcmd /status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CanReset {
    /// By a new key alone.
    DestructiveOnly,
    /// By the word of the server's recovery key alone: no new key may be made now.
    NonDestructiveOnly,
    /// Either way.
    DestructiveAndNonDestructive,
    /// Neither way, or nobody can tell.
    #[default]
    Unknown,
}
