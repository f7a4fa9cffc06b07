//! The TPM's global protection against guessing: the net under the per-user counters.

use model::Secret;

use crate::command::{Command, Encrypts, Entity};
use crate::keys::trimmed;
use crate::spec::{cc, handle, rc};
use crate::wire::Writer;
use crate::{Error, Tpm};

/// Failures until the TPM refuses every protected value.
const MAX_TRIES: u32 = 32;

/// Seconds after which one failure is forgotten.
const RECOVERY: u32 = 600;

/// Seconds for which one wrong lockout value closes the lockout hierarchy.
const LOCKOUT_RECOVERY: u32 = 86_400;

/// TPM2_DictionaryAttackLockReset.
pub(crate) const RESET: &str = "DictionaryAttackLockReset";

/// What became of the lockout hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    /// The parameters are set and the hierarchy now has the given value.
    Taken,
    /// It had a value before, which this program does not try to guess: nothing was changed.
    Owned,
}

/// What became of the count of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// It is nothing again.
    Done,
    /// The value is not the one that the hierarchy has. The TPM takes none for a day now, the right
    /// one neither, so that a value that was wrong is never to be tried again.
    WrongValue,
    /// The hierarchy takes no value now, because there was a wrong one before. Nothing was tried.
    Closed,
}

impl Tpm {
    /// Sets the TPM's count of failures back with the lockout value. The counts of users' wrong PINs are
    /// others and stay.
    pub fn reset_lockout(&mut self, auth: &Secret<[u8; 32]>) -> Result<Reset, Error> {
        // One that has none, such as a TPM that was cleared, knows the empty one alone.
        let value: &[u8] = match self.info()?.lockout_auth_set {
            true => trimmed(auth.expose()),
            false => &[],
        };
        let reset = Command {
            name: RESET,
            code: cc::DICTIONARY_ATTACK_LOCK_RESET,
            handles: &[&Entity::by_handle(handle::LOCKOUT)],
            encrypts: Encrypts::NOTHING,
            params: Writer::new(),
            makes_handle: false,
        };
        match self.run(reset, value) {
            Ok(_) => Ok(Reset::Done),
            Err(error) if error.is_wrong_value() => Ok(Reset::WrongValue),
            Err(error) if error.code() == Some(rc::LOCKOUT) => Ok(Reset::Closed),
            Err(error) => Err(error),
        }
    }

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
