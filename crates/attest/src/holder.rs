//! Whose key it is.

use model::{Guid, Sid};

/// Begins what is hashed; no other statement begins so.
const LABEL: &[u8] = b"latchkey-recovery\0";

/// A user on one device: whom a key belongs to.
///
/// A key's policy names its holder beside the recovery authority K. K is one key for everybody: by its
/// name alone, what it signed for one user's key would open every other's on the same TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The device.
    pub device: Guid,
    /// The user.
    pub user: Sid,
}

impl Holder {
    /// The policyRef of each branch that K opens.
    pub fn policy_ref(&self) -> [u8; 32] {
        let user = self.user.to_string();
        model::sha256(&[LABEL, &self.device.to_le_bytes(), user.as_bytes()].concat())
    }
}
