//! The agent's side: enrollment, the change feed, confirmations and leased work.

use model::{Guid, Sid, UnixTime};
use serde::{Deserialize, Serialize};

use crate::device::UserProof;

/// `POST`, no token: a one-time code and a PKCS#10 request for an agent's identity.
pub const ENROLL_PATH: &str = "/agent/v1/enroll";

/// `POST`: [`LeaseAsk`], [`LeaseAnswer`].
pub const LEASE_PATH: &str = "/agent/v1/lease";

/// `POST`: [`AgentKey`].
pub const KEY_PATH: &str = "/agent/v1/key";

/// `GET ?token=&wait=`: [`Changes`].
pub const CHANGES_PATH: &str = "/agent/v1/changes";

/// Which keys AD has: `GET ?after=`.
pub const KEYS_PATH: &str = "/agent/v1/keys";

/// `POST`: [`StatusReport`].
pub const STATUS_PATH: &str = "/agent/v1/status";

/// `POST`: [`Alert`].
pub const ALERTS_PATH: &str = "/agent/v1/alerts";

/// `GET ?wait=`: one leased [`Work`] or 204.
pub const WORK_PATH: &str = "/agent/v1/work";

/// `POST`: the signed [`WorkAnswer`].
pub fn work_answer_path(id: &str) -> String {
    format!("{WORK_PATH}/{id}")
}

/// Enrollment.
#[derive(Serialize, Deserialize)]
pub struct AgentEnroll {
    /// The one-time code, valid for an hour.
    pub code: String,
    /// Base64 DER of a PKCS#10 request; its key becomes the agent's.
    pub csr: String,
    /// The domain that the agent stands beside.
    pub domain: DomainInfo,
    /// The agent's service principal, `latchkey-sync/host@REALM`.
    pub principal: String,
}

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainInfo {
    /// Its objectGUID.
    pub guid: Guid,
    /// Its SID.
    pub sid: Sid,
    /// Its DNS name.
    pub dns_name: String,
    /// Its NetBIOS name.
    pub netbios_name: String,
}

/// An enrolled agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentEnrolled {
    /// Its id, the `iss` and `sub` of its private_key_jwt.
    pub agent: Guid,
    /// The tenant.
    pub tenant: Guid,
}

/// An agent asks whether it may write, and says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAsk {
    /// It only wants to look on: it gets no lease, and gives back the one it has.
    pub staging: bool,
    /// New with each start of the machine that it runs on.
    pub instance: Guid,
    /// The machine.
    pub host: String,
    /// Its release.
    pub version: String,
}

/// Whether it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// It may write.
    pub held: bool,
    /// How long, or when asking again makes sense.
    pub until_s: u32,
    /// The machine of the agent that may, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The shortest time between two scheduled cycles.
    pub allowed_interval_s: u32,
}

/// A key in place of the one that signed for the bearer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentKey {
    /// Base64 DER of a PKCS#10 request by it.
    pub csr: String,
}

/// Keys that AD has, as an agent has confirmed them, in the order of their additions; at most 500.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfirmedKeys {
    /// The keys; none: the end.
    pub keys: Vec<ConfirmedKey>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedKey {
    /// The change that added it: the next page is asked for behind the last one.
    pub seq: u64,
    /// objectGUID of its user.
    pub user: Guid,
    /// SHA-256 of its material, hexadecimal.
    pub id: String,
    /// The device that made it.
    pub device: Guid,
    /// The domain controller on which it was confirmed, until all that are writable have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dc: Option<String>,
    /// It is removed elsewhere, and may come yet from there. Told to whoever asks for `removed=true`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// A page of the change feed, oldest first, at most 100 changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Changes {
    /// Give this back as `token` next time.
    pub next: String,
    /// What changed since the token given.
    pub changes: Vec<KeyChange>,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Position in the feed.
    pub seq: u64,
    /// Add or remove.
    pub op: ChangeOp,
    /// Whose key.
    pub user: ChangeUser,
    /// The key.
    pub key: ChangeKey,
    /// Evidence: always for an addition of our own devices; none for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<ChangeEvidence>,
}

/// Add or remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOp {
    /// Write the value.
    Add,
    /// Take it out.
    Remove,
}

/// Whose key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeUser {
    /// objectGUID in AD.
    pub anchor: Guid,
    /// objectSid in AD.
    pub sid: Sid,
}

/// The key of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeKey {
    /// Its id at the server.
    pub kid: String,
    /// Base64 of the BCRYPT RSA1 blob.
    pub material: String,
    /// The device that made it: the computer's objectGUID.
    pub device: Guid,
    /// When it was registered.
    pub created: UnixTime,
}

/// What the agent checks against AD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeEvidence {
    /// When the statement was made.
    pub time: UnixTime,
    /// The device's sequence number in the statement.
    pub sequence: u64,
    /// Base64 signature by the key behind the computer's `userCertificate`.
    pub device_sig: String,
    /// The user's Kerberos proof; none for keys of foreign clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_proof: Option<UserProof>,
}

/// What an administrator must look at; it goes into the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The event's number, as Entra Connect has it where it has such an event.
    pub event: u32,
    /// Stable, for programs.
    pub code: String,
    /// The same in words, with what can be done.
    pub detail: String,
}

/// What became of changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReport {
    /// At most 100.
    pub results: Vec<ChangeResult>,
}

/// What became of one change. Reporting it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeResult {
    /// Position in the feed.
    pub seq: u64,
    /// The outcome.
    pub state: ResultState,
    /// The domain controller that was written and read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dc: Option<String>,
    /// Its highestCommittedUSN after the write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usn: Option<u64>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ChangeResult {
    /// An outcome of which nothing more is to be said yet.
    pub fn new(seq: u64, state: ResultState) -> Self {
        Self {
            seq,
            state,
            dc: None,
            usn: None,
            code: None,
            detail: None,
        }
    }
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultState {
    /// In AD and read back.
    Confirmed,
    /// Out of AD, or never in it.
    Removed,
    /// Refused; will not be tried again.
    Refused,
    /// The proof is too old; the device must make a fresh one.
    NeedsProof,
    /// It was in AD, and is no more without the server's having asked for it: the key is revoked.
    Lost,
    /// It is in AD, and every writable domain controller has it: none needs to be asked before another.
    Everywhere,
}

/// A piece of work, leased for 30 seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Its id.
    pub id: String,
    /// [`PASSWORD_WORK`] or [`POLICY_WORK`].
    pub kind: String,
    /// Compact JWE (RSA-OAEP-256, A256GCM) to the agent's key; the plaintext is [`PasswordWork`] or
    /// [`PolicyWork`].
    pub sealed: String,
}

/// The kind of work that checks a password.
pub const PASSWORD_WORK: &str = "password";

/// The kind of work that evaluates group policy.
pub const POLICY_WORK: &str = "evaluate_policy";

/// Whose password to check.
#[derive(Deserialize)]
pub struct PasswordWork {
    /// objectSid in AD.
    pub sid: Sid,
    /// The password.
    pub password: model::Secret<String>,
}

/// Whose group policy to evaluate, and at which computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyWork {
    /// The user's objectGUID.
    pub user: Guid,
    /// The computer's objectGUID.
    pub computer: Guid,
}

/// The answer to a piece of work: a compact JWS (RS256, the agent's key) with [`WorkClaims`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkAnswer {
    /// The JWS.
    pub answer: String,
}

/// What the agent says of a piece of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkClaims {
    /// The work's id.
    pub id: String,
    /// The outcome.
    pub outcome: WorkOutcome,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
}

/// The outcome of a piece of work, of the work's own kind: a word or an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WorkOutcome {
    /// Of a password.
    Password(PasswordOutcome),
    /// Of group policy.
    Policy(PolicyOutcome),
}

/// What group policy asks of the key of one user on one computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyOutcome {
    /// It could be evaluated as a whole.
    Evaluated {
        /// The key must live in a TPM.
        requires_hardware: bool,
        /// It must be proven that it does.
        requires_attestation: bool,
    },
    /// It could not. Whoever asked takes the strictest for granted.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// Whether a password is right, as AD says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordOutcome {
    /// Right, and the KDC proved itself by the agent's keytab.
    Right,
    /// Wrong, or no such account.
    Wrong,
    /// Right but expired.
    Expired,
    /// Right, and another one must be chosen at the next sign-in.
    MustChange,
    /// The account is disabled, or its time is over.
    Disabled,
    /// It is locked out by wrong passwords.
    Locked,
    /// It may not sign in at this time of the week.
    OutsideHours,
    /// No KDC answered, or the one that did could not prove itself.
    Unreachable,
}
