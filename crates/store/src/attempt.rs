//! Sign-in attempts, and the authorization codes that end them.

use async_trait::async_trait;
use model::{Guid, UnixTime};

use crate::{Digest, Result};

/// A sign-in that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// SHA-256 of the session that its bearer holds.
    pub id: Digest,
    /// The client.
    pub client: String,
    /// The device it began on.
    pub device: Guid,
    /// The user name as it was typed, in lower case.
    pub username: String,
    /// The user of that name, if there is one: an attempt for nobody goes the same way.
    pub user: Option<Guid>,
    /// The audience of the token to come.
    pub resource: String,
    /// PKCE, S256.
    pub code_challenge: String,
    /// Both factors are asked.
    pub two_factors: bool,
    /// When the password was shown to be right.
    pub password_at: Option<UnixTime>,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

/// What an authorization code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// SHA-256 of the code.
    pub id: Digest,
    /// The client that may redeem it.
    pub client: String,
    /// The device of the attempt.
    pub device: Guid,
    /// Who signed in.
    pub user: Guid,
    /// The audience of the token.
    pub resource: String,
    /// PKCE, S256.
    pub code_challenge: String,
    /// How the user signed in.
    pub methods: Vec<String>,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

/// Attempts and codes.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// Begins an attempt; those that expired before `now` are forgotten.
    async fn begin_attempt(&self, tenant: Guid, attempt: Attempt, now: UnixTime) -> Result<()>;

    /// One that is under way at `now`.
    async fn attempt(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<Option<Attempt>>;

    /// The password was right.
    async fn password_shown(&self, tenant: Guid, id: Digest, at: UnixTime) -> Result<()>;

    /// Ends the attempt with a code, and spends the time step of the one-time password that was
    /// shown, if one was. False where that step or a later one is spent already: then nothing has
    /// changed. An attempt that is over already contradicts the call.
    async fn finish_attempt(
        &self,
        tenant: Guid,
        attempt: Digest,
        step: Option<u64>,
        code: Code,
    ) -> Result<bool>;

    /// Takes a code out: whoever comes second finds nothing, nor who comes after its end.
    async fn take_code(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<Option<Code>>;
}
