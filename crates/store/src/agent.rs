//! Agents: who brings the directory in and carries keys out, and the domain each stands beside.

use async_trait::async_trait;
use model::{Guid, Sid, UnixTime};

use crate::{Audit, Digest, Result};

/// A domain of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// objectGUID.
    pub guid: Guid,
    /// Its SID.
    pub sid: Sid,
    /// Its DNS name.
    pub dns_name: String,
    /// Its NetBIOS name.
    pub netbios_name: String,
}

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: Guid,
    /// Its domain.
    pub domain: Guid,
    /// Its service principal.
    pub principal: String,
    /// DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// When it was enrolled.
    pub enrolled: UnixTime,
}

/// A code that enrolls one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentCode {
    /// SHA-256 of the code.
    pub digest: Digest,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

/// Agents and their domains.
#[async_trait]
pub trait Agents: Send + Sync {
    /// Keeps a one-time code.
    async fn add_enrollment_code(
        &self,
        tenant: Guid,
        code: EnrollmentCode,
        audit: Audit,
    ) -> Result<()>;

    /// Spends the code and takes the agent and its domain in; false where the code is unknown,
    /// spent or expired, and then nothing has changed. A domain that is known keeps its SID: the
    /// call contradicts what is stored where the SID is another.
    async fn enroll_agent(
        &self,
        tenant: Guid,
        code: Digest,
        domain: Domain,
        agent: Agent,
        audit: Audit,
    ) -> Result<bool>;

    /// One agent.
    async fn agent(&self, tenant: Guid, id: Guid) -> Result<Option<Agent>>;

    /// Every agent, in the order of enrollment.
    async fn agents(&self, tenant: Guid) -> Result<Vec<Agent>>;

    /// Every domain, in the order of enrollment.
    async fn domains(&self, tenant: Guid) -> Result<Vec<Domain>>;

    /// Remembers the id of a statement until `expires`; false where it was there already.
    async fn spend_statement(
        &self,
        tenant: Guid,
        id: Digest,
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<bool>;
}
