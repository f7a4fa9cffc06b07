//! Why a TPM did not do what was asked, by who can mend it.

use crate::lockout::RESET;
use crate::spec::rc;

/// Why a TPM did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user mistyped; the TPM has counted it.
    #[error("wrong PIN, {tries_left} tries left")]
    WrongPin {
        /// How many more the TPM will take before it locks this user's key.
        tries_left: u32,
    },
    /// The user's tries are used up: only a recovery or a new key helps.
    #[error("the PIN is locked: too many wrong tries")]
    Locked,
    /// Too many failures anywhere on the TPM: time helps, and whoever holds its lockout value.
    #[error("the TPM takes no PIN for {retry_after_s} s: too many failures anywhere on it")]
    InLockout {
        /// Seconds until it has forgotten enough of them.
        retry_after_s: u32,
    },
    /// The stored key will never work again: the user needs a new one.
    #[error("the key cannot be used: {0}")]
    KeyUnusable(String),
    /// The TPM or the way to it is not in order: the machine's administrator, or time, helps.
    #[error("the TPM cannot be used: {0}")]
    Unavailable(String),
    /// Whoever has the recovery key K did not give its word.
    #[error("the recovery key did not sign: {0}")]
    Authority(String),
    /// A refusal that the caller did not expect.
    #[error("TPM2_{command} was refused with code {code:#05x}")]
    Refused {
        /// The command, by the name of the specification.
        command: &'static str,
        /// The response code as it came.
        code: u32,
    },
}

impl Error {
    /// The response code without the number of the parameter, session or handle at fault.
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(base(*code)),
            _ => None,
        }
    }

    /// Whether the TPM compared an authorisation value and found it wrong.
    pub(crate) fn is_wrong_value(&self) -> bool {
        matches!(self.code(), Some(rc::AUTH_FAIL | rc::BAD_AUTH))
    }
}

impl From<openssl::error::ErrorStack> for Error {
    fn from(stack: openssl::error::ErrorStack) -> Self {
        Self::Unavailable(format!("OpenSSL failed: {stack}"))
    }
}

pub(crate) fn foreign_key() -> Error {
    Error::KeyUnusable("it was made by another TPM, or the TPM was cleared".to_owned())
}

pub(crate) fn malformed(command: &'static str) -> Error {
    Error::Unavailable(format!("the answer to TPM2_{command} is malformed"))
}

/// Codes that mean the same wherever they come are said in words; the others stay codes.
pub(crate) fn refused(command: &'static str, code: u32) -> Error {
    let reason = match base(code) {
        // Of that hierarchy it means another thing.
        rc::LOCKOUT if command == RESET => return Error::Refused { command, code },
        rc::LOCKOUT => {
            "too many failures anywhere on it; it takes no protected value for some minutes"
        }
        rc::OBJECT_MEMORY | rc::SESSION_MEMORY => "all of its slots are taken",
        rc::NV_SPACE => "its NV memory is full",
        rc::REFERENCE_FIRST..=rc::REFERENCE_LAST => "it was reset since it was opened",
        _ => return Error::Refused { command, code },
    };
    Error::Unavailable(reason.to_owned())
}

/// Format-one codes carry the number of the culprit; the others are whole.
fn base(code: u32) -> u32 {
    if code & 0x080 == 0 {
        code
    } else {
        code & 0x0BF
    }
}
