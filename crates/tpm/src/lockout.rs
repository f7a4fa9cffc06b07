//! The TPM's global protection against guessing: the net under the per-user counters.

use model::Secret;

use crate::command::{Command, Encrypts, Entity};
use crate::keys::trimmed;
use crate::spec::{cc, handle};
use crate::wire::Writer;
use crate::{Error, Tpm};

/// Failures until the TPM refuses every protected value.
const MAX_TRIES: u32 = 32;

/// Seconds after which one failure is forgotten.
const RECOVERY: u32 = 600;

/// Seconds for which one wrong lockout value closes the lockout hierarchy.
const LOCKOUT_RECOVERY: u32 = 86_400;

/// What became of the lockout hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    /// The parameters are set and the hierarchy now has the given value.
    Taken,
    /// It had a value before, which this program does not try to guess: nothing was changed.
    Owned,
}

impl Tpm {
    /// Sets the dictionary attack parameters (32 tries, one back every ten minutes), and closes
    /// the lockout hierarchy with `auth`, through which anybody could else reset the count.
    ///
    /// The caller has `auth` on disk before it calls: a value that is lost here is lost for good.
    pub fn set_dictionary_attack(&mut self, auth: &Secret<[u8; 32]>) -> Result<Lockout, Error> {
        if self.info()?.lockout_auth_set {
            return Ok(Lockout::Owned);
        }
        let lockout = Entity::by_handle(handle::LOCKOUT);
        let parameters = Command {
            name: "DictionaryAttackParameters",
            code: cc::DICTIONARY_ATTACK_PARAMETERS,
            handles: &[&lockout],
            encrypts: Encrypts::NOTHING,
            params: Writer::new()
                .u32(MAX_TRIES)
                .u32(RECOVERY)
                .u32(LOCKOUT_RECOVERY),
            makes_handle: false,
        };
        self.run(parameters, &[])?;
        let value = trimmed(auth.expose());
        let change = Command {
            name: "HierarchyChangeAuth",
            code: cc::HIERARCHY_CHANGE_AUTH,
            handles: &[&lockout],
            encrypts: Encrypts::COMMAND,
            params: Writer::new().sized(value),
            makes_handle: false,
        };
        self.run_becoming(change, &[], value)?;
        Ok(Lockout::Taken)
    }
}
