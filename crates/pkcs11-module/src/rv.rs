//! Return values of PKCS#11 and where a daemon's refusal lands among them.

use std::ffi::c_ulong;

use ipc::CallError;

/// A `CK_RV` other than `CKR_OK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rv(pub(crate) c_ulong);

impl Rv {
    pub(crate) const SLOT_ID_INVALID: Self = Self(0x03);
    pub(crate) const GENERAL_ERROR: Self = Self(0x05);
    pub(crate) const FUNCTION_FAILED: Self = Self(0x06);
    pub(crate) const ARGUMENTS_BAD: Self = Self(0x07);
    pub(crate) const CANT_LOCK: Self = Self(0x0a);
    pub(crate) const ATTRIBUTE_SENSITIVE: Self = Self(0x11);
    pub(crate) const ATTRIBUTE_TYPE_INVALID: Self = Self(0x12);
    pub(crate) const DATA_INVALID: Self = Self(0x20);
    pub(crate) const DATA_LEN_RANGE: Self = Self(0x21);
    pub(crate) const DEVICE_ERROR: Self = Self(0x30);
    pub(crate) const FUNCTION_NOT_SUPPORTED: Self = Self(0x54);
    pub(crate) const KEY_HANDLE_INVALID: Self = Self(0x60);
    pub(crate) const MECHANISM_INVALID: Self = Self(0x70);
    pub(crate) const OBJECT_HANDLE_INVALID: Self = Self(0x82);
    pub(crate) const OPERATION_ACTIVE: Self = Self(0x90);
    pub(crate) const OPERATION_NOT_INITIALIZED: Self = Self(0x91);
    pub(crate) const PIN_INCORRECT: Self = Self(0xa0);
    pub(crate) const PIN_EXPIRED: Self = Self(0xa3);
    pub(crate) const PIN_LOCKED: Self = Self(0xa4);
    pub(crate) const SESSION_HANDLE_INVALID: Self = Self(0xb3);
    pub(crate) const SESSION_PARALLEL_NOT_SUPPORTED: Self = Self(0xb4);
    pub(crate) const TOKEN_NOT_PRESENT: Self = Self(0xe0);
    pub(crate) const TOKEN_WRITE_PROTECTED: Self = Self(0xe2);
    pub(crate) const USER_ALREADY_LOGGED_IN: Self = Self(0x100);
    pub(crate) const USER_NOT_LOGGED_IN: Self = Self(0x101);
    pub(crate) const USER_TYPE_INVALID: Self = Self(0x103);
    pub(crate) const BUFFER_TOO_SMALL: Self = Self(0x150);
    pub(crate) const CRYPTOKI_NOT_INITIALIZED: Self = Self(0x190);
    pub(crate) const CRYPTOKI_ALREADY_INITIALIZED: Self = Self(0x191);
}

impl From<CallError> for Rv {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(_) => Self::DEVICE_ERROR,
            CallError::Refused(failure) => match failure.code.as_str() {
                "wrong_pin" if failure.tries_left == Some(0) => Self::PIN_LOCKED,
                "wrong_pin" => Self::PIN_INCORRECT,
                "pin_change_required" => Self::PIN_EXPIRED,
                // No PIN is taken this way for now; a program has no phrase to type.
                "pin_locked" | "pin_paused" | "phrase_required" => Self::PIN_LOCKED,
                _ => Self::FUNCTION_FAILED,
            },
        }
    }
}
