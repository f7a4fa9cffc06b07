//! Every operation of the socket: its arguments, its answer and who may call it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::Secret;

/// One operation: the arguments are the type itself.
pub trait Request: Serialize + DeserializeOwned {
    /// The operation's name on the wire.
    const OP: &'static str;
    /// What a success brings.
    type Answer: Serialize + DeserializeOwned;
}

/// A refusal: a code for programs, a sentence for the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable; `docs/joints.md` lists them.
    pub code: String,
    /// Names the cause and the next step; safe to show.
    pub sentence: String,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// PIN tries left before the key locks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u32>,
}

impl Failure {
    /// A refusal with neither a delay nor a count.
    pub fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            sentence: sentence.into(),
            retry_after_s: None,
            tries_left: None,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

macro_rules! operation {
    ($(#[$doc:meta])* $op:literal $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty),* $(,)? } -> $answer:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type),* }
        impl Request for $name {
            const OP: &'static str = $op;
            type Answer = $answer;
        }
    };
}

operation! {
    /// Who is there? Anyone may ask.
    "hello" Hello {} -> HelloAnswer
}

/// The daemon's answer to [`Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The daemon's release.
    pub release: String,
}

operation! {
    /// The state of the device and of the caller's credential. Anyone may ask; root sees every user's.
    "status" Status {
        /// Does the caller sit elsewhere? The prerequisites are judged by it.
        #[serde(default)]
        remote: bool,
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
    /// What stands between the caller and an enrollment.
    #[serde(flatten)]
    pub prerequisites: Prerequisites,
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

operation! {
    /// Checks a PIN and gets a Kerberos ticket into the user's default cache. Root (PAM) for anyone,
    /// a user for itself.
    "signin" Signin {
        /// A local account's name; resolved by the daemon. None: the caller.
        user: Option<String>,
        /// The PIN.
        pin: Secret,
        /// The PAM service, or `latchkey`.
        service: String,
        /// Comes the person over the network? Then the PIN is refused, unless a policy takes it.
        remote: bool,
        /// What a person typed because [`TokenInfoAnswer::phrase`] asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phrase: Option<String>,
    } -> SigninAnswer
}

/// How a sign-in went when the PIN was right.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SigninAnswer {
    /// The account's uid.
    pub uid: u32,
    /// The client principal.
    pub principal: String,
    /// The cache that now holds the ticket, as for `KRB5CCNAME`.
    pub ccache: String,
    /// The ticket's service principal.
    pub ticket_server: String,
    /// Milliseconds spent in the whole, as the daemon measured.
    pub took_ms: u64,
}

operation! {
    /// Begins or resumes the caller's enrollment. Never for another user.
    "enroll.start" EnrollStart {} -> EnrollAnswer
}

operation! {
    /// Answers the step that was shown. Exactly one field beside the session is set (`pin` with
    /// `pin_again`).
    "enroll.input" EnrollInput {
        /// From the last answer.
        session: String,
        /// The account shown is right.
        #[serde(default)]
        confirm: bool,
        /// The directory password.
        #[serde(default)]
        password: Option<Secret>,
        /// The one-time code.
        #[serde(default)]
        otp: Option<Secret>,
        /// The new PIN.
        #[serde(default)]
        pin: Option<Secret>,
        /// The new PIN once more.
        #[serde(default)]
        pin_again: Option<Secret>,
        /// The Kerberos proof.
        #[serde(default)]
        proof: Option<Proof>,
    } -> EnrollAnswer
}

operation! {
    /// Where the enrollment is now; waits up to `wait_s` for a change.
    "enroll.poll" EnrollPoll {
        /// From the last answer.
        session: String,
        /// At most 25 seconds.
        wait_s: u32,
    } -> EnrollAnswer
}

operation! {
    /// Gives the enrollment up; a key that was made and not registered is discarded.
    "enroll.cancel" EnrollCancel { /// From the last answer.
        session: String } -> Done
}

/// A Kerberos proof, made by the user's own process with the user's own ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The initial GSS-API token for the agent's principal, hexadecimal.
    pub token: String,
    /// GSS-API MIC over the statement, hexadecimal.
    pub mic: String,
}

/// An enrollment and the step it is at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrollAnswer {
    /// Names this enrollment; opaque.
    pub session: String,
    /// What is shown or asked next.
    pub step: EnrollStep,
}

/// A step of the enrollment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EnrollStep {
    /// "Use Latchkey with your organization account": wants `confirm`.
    Account {
        /// The account's user principal name.
        upn: String,
    },
    /// Wants `password`; `problem` tells why it is asked again.
    Password {
        /// Why the last one was refused.
        problem: Option<Failure>,
    },
    /// Wants `otp`.
    Otp {
        /// Why the last one was refused.
        problem: Option<Failure>,
    },
    /// Wants `pin` and `pin_again`.
    Pin {
        /// The rules, one sentence each.
        rules: Vec<String>,
        /// Why the last one was refused.
        problem: Option<Failure>,
    },
    /// Wants `proof`: a GSS-API token for `service` and a MIC over `statement`.
    Proof {
        /// A principal whose first component is always `latchkey-sync`.
        service: String,
        /// Hexadecimal.
        statement: String,
    },
    /// Nothing to do but wait: `making_key`, `registering`, `waiting_for_directory`, `setting_pin`.
    Working {
        /// What is being done.
        what: String,
    },
    /// Done: the PIN can be used.
    Done {
        /// The key's id at the server.
        kid: String,
        /// Milliseconds from registered to confirmed in the directory; None while the directory
        /// does not have it yet.
        directory_ms: Option<u64>,
    },
    /// Ended without a credential.
    Failed {
        /// Why, and whether trying again makes sense.
        problem: Failure,
    },
}

/// A success with nothing to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {}

operation! {
    /// Joins this device to a server. Root only.
    "join" Join {
        /// None: by the service connection point in AD.
        url: Option<String>,
        /// `sha256:` and the hexadecimal SHA-256 of a public key in the server's chain; with `url`.
        fingerprint: Option<String>,
    } -> JoinAnswer
}

/// A joined device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The computer's objectGUID.
    pub device_id: String,
    /// The server's URL.
    pub server: String,
    /// Thumbprint of the device certificate, SHA-1 in upper case.
    pub thumbprint: String,
}

operation! {
    /// Leaves the server and removes every credential of this device. Root only.
    "leave" Leave {} -> Done
}

operation! {
    /// The caller's keys as the server knows them; root: with `uid`, that user's.
    "keys.list" KeysList { /// None: the caller.
        uid: Option<u32> } -> KeysListAnswer
}

/// A user's registered keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeysListAnswer {
    /// One entry a key, the newest first.
    pub keys: Vec<KeyInfo>,
}

/// A registered key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Key id at the server.
    pub kid: String,
    /// The device that made it.
    pub device_id: String,
    /// Is that this device?
    pub here: bool,
    /// RFC 3339.
    pub created: String,
    /// As [`CredentialInfo::state`].
    pub state: String,
    /// The reason where it failed.
    pub detail: Option<String>,
}

operation! {
    /// Deletes one of the caller's keys at the server, hence in AD. The user itself or root.
    "keys.delete" KeysDelete { /// At the server.
        kid: String } -> Done
}

operation! {
    /// The certificates by which domain controllers answered at sign-ins here. Root only.
    "kdc.list" KdcList {} -> KdcListAnswer
}

/// What login helpers saw; a diagnosis, and no proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KdcListAnswer {
    /// One entry a domain controller.
    pub kdcs: Vec<KdcInfo>,
}

/// A domain controller that answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KdcInfo {
    /// Its DNS name.
    pub host: String,
    /// Base64 DER of its certificate.
    pub certificate: String,
    /// When that was seen last, to an hour: unix seconds.
    pub seen: i64,
}

operation! {
    /// What the policies make of a person on this device, and why. A user for itself, root for
    /// anyone.
    "policy.show" PolicyShow {
        /// A local account's name. None: the caller; where that is root, the device alone.
        user: Option<String>,
    } -> PolicyAnswer
}

/// What is in effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// JSON of `policy::Report`; the socket's other users need not know it.
    pub report: Box<RawValue>,
}

operation! {
    /// Reads the policies of the device and of the caller from the domain now. Anyone.
    "policy.refresh" PolicyRefresh {
        /// Files too that have not changed; root only.
        force: bool,
    } -> PolicyRefreshAnswer
}

/// How a refresh went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyRefreshAnswer {
    /// Milliseconds, as the daemon measured.
    pub took_ms: u64,
    /// Group policy objects that were found linked.
    pub objects: u32,
    /// Files that were fetched; whatever had not changed was not.
    pub fetched: u32,
}

operation! {
    /// A person's session has begun: reads its policies and judges whether an enrollment is
    /// offered. Root (PAM).
    "session.open" SessionOpen {
        /// A local account's name.
        user: String,
        /// Does the person come over the network?
        remote: bool,
    } -> SessionOpenAnswer
}

/// Is something to be offered?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionOpenAnswer {
    /// What the prerequisites amount to.
    pub result: PreReqResult,
}

operation! {
    /// What a new PIN must be. Root for anyone, a user for itself.
    "pin.rules" PinRules {
        /// A local account's name. None: the caller.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    } -> PinRulesAnswer
}

/// The rules for a new PIN.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PinRulesAnswer {
    /// One sentence each.
    pub rules: Vec<String>,
}

operation! {
    /// Changes a PIN. Root (PAM) for anyone, a user for itself.
    "pin.change" PinChange {
        /// A local account's name. None: the caller.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The PIN as it is.
        old: Secret,
        /// The PIN to be.
        new: Secret,
        /// As in [`Signin`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phrase: Option<String>,
    } -> Done
}

operation! {
    /// Begins the replacement of a PIN that nobody knows any more. The caller's own; its steps are
    /// those of an enrollment, and so are the operations that answer them.
    "pin.reset" PinReset {
        /// By a new key, in place of the old one; else the key stays and the server's recovery key
        /// gives its word.
        #[serde(default)]
        new_key: bool,
    } -> EnrollAnswer
}

operation! {
    /// What happened on this device: root everything, anyone else what happened to them.
    "events" EventsShow {
        /// Those of this number.
        #[serde(default)]
        id: Option<u16>,
        /// Those since then: unix seconds.
        #[serde(default)]
        since: Option<i64>,
        /// Those behind this place; 0 for all.
        #[serde(default)]
        after: u64,
    } -> EventsAnswer
}

/// Events, the oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventsAnswer {
    /// One object an event: `seq`, `time` (unix seconds), `event`, `level`, `message`, to whom it
    /// happened as `uid`, `user` and `sid`, and its fields in their order.
    pub events: Vec<Box<RawValue>>,
    /// Where to go on, where there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
