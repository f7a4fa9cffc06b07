//! Second factors: one-time passwords by time (RFC 6238).

use async_trait::async_trait;
use model::Guid;

use crate::{Audit, Result};

/// A user's one-time password generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// The secret, sealed under a key that the store does not have.
    pub sealed: Vec<u8>,
    /// The last time step whose password was taken; that and earlier ones are worth nothing.
    pub last_step: u64,
}

/// Second factors.
#[async_trait]
pub trait Factors: Send + Sync {
    /// The user's generator.
    async fn totp(&self, tenant: Guid, user: Guid) -> Result<Option<Totp>>;

    /// Gives the user a generator; an earlier one is replaced.
    async fn set_totp(&self, tenant: Guid, user: Guid, sealed: Vec<u8>, audit: Audit)
    -> Result<()>;
}
