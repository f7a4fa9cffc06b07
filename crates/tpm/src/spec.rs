//! Numbers of the TPM 2.0 Library Specification, part 2, by the names they have there. Those that
//! a public structure or a policy holds are in `attest`.

pub(crate) use attest::spec::{alg, object};

/// Command codes (TPM_CC).
pub(crate) mod cc {
    pub(crate) use attest::spec::cc::*;

    pub(crate) const NV_UNDEFINE_SPACE: u32 = 0x0122;
    pub(crate) const HIERARCHY_CHANGE_AUTH: u32 = 0x0129;
    pub(crate) const NV_DEFINE_SPACE: u32 = 0x012A;
    pub(crate) const CREATE_PRIMARY: u32 = 0x0131;
    pub(crate) const DICTIONARY_ATTACK_LOCK_RESET: u32 = 0x0139;
    pub(crate) const DICTIONARY_ATTACK_PARAMETERS: u32 = 0x013A;
    pub(crate) const SHUTDOWN: u32 = 0x0145;
    pub(crate) const ACTIVATE_CREDENTIAL: u32 = 0x0147;
    pub(crate) const NV_READ: u32 = 0x014E;
    pub(crate) const CREATE: u32 = 0x0153;
    pub(crate) const LOAD: u32 = 0x0157;
    pub(crate) const RSA_DECRYPT: u32 = 0x0159;
    pub(crate) const SIGN: u32 = 0x015D;
    pub(crate) const FLUSH_CONTEXT: u32 = 0x0165;
    pub(crate) const LOAD_EXTERNAL: u32 = 0x0167;
    pub(crate) const NV_READ_PUBLIC: u32 = 0x0169;
    pub(crate) const START_AUTH_SESSION: u32 = 0x0176;
    pub(crate) const GET_CAPABILITY: u32 = 0x017A;
}

/// Response codes (TPM_RC) with the parameter, session or handle number taken out.
pub(crate) mod rc {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const HANDLE: u32 = 0x08B;
    pub(crate) const AUTH_FAIL: u32 = 0x08E;
    pub(crate) const INTEGRITY: u32 = 0x09F;
    pub(crate) const BAD_AUTH: u32 = 0x0A2;
    pub(crate) const AUTH_UNAVAILABLE: u32 = 0x12F;
    pub(crate) const COMMAND_SIZE: u32 = 0x142;
    pub(crate) const NV_UNINITIALIZED: u32 = 0x14A;
    pub(crate) const NV_SPACE: u32 = 0x14B;
    pub(crate) const OBJECT_MEMORY: u32 = 0x902;
    pub(crate) const SESSION_MEMORY: u32 = 0x903;
    pub(crate) const YIELDED: u32 = 0x908;
    pub(crate) const TESTING: u32 = 0x90A;
    pub(crate) const REFERENCE_FIRST: u32 = 0x910;
    pub(crate) const REFERENCE_LAST: u32 = 0x91E;
    pub(crate) const NV_RATE: u32 = 0x920;
    pub(crate) const LOCKOUT: u32 = 0x921;
    pub(crate) const RETRY: u32 = 0x922;
}

/// Session attributes (TPMA_SESSION).
pub(crate) mod session {
    pub(crate) const CONTINUE: u8 = 1 << 0;
    pub(crate) const DECRYPT: u8 = 1 << 5;
    pub(crate) const ENCRYPT: u8 = 1 << 6;
    pub(crate) const TYPE_HMAC: u8 = 0x00;
    pub(crate) const TYPE_POLICY: u8 = 0x01;
}

/// Permanent handles, and the first byte of the others.
pub(crate) mod handle {
    pub(crate) const OWNER: u32 = 0x4000_0001;
    pub(crate) const NULL: u32 = 0x4000_0007;
    pub(crate) const PASSWORD: u32 = 0x4000_0009;
    pub(crate) const LOCKOUT: u32 = 0x4000_000A;
    pub(crate) const ENDORSEMENT: u32 = 0x4000_000B;
    pub(crate) const FIRST_LOADED_SESSION: u32 = 0x0200_0000;
    pub(crate) const FIRST_SAVED_SESSION: u32 = 0x0300_0000;
    pub(crate) const FIRST_TRANSIENT: u32 = 0x8000_0000;
}

/// Structure tags (TPM_ST).
pub(crate) mod tag {
    pub(crate) const NO_SESSIONS: u16 = 0x8001;
    pub(crate) const SESSIONS: u16 = 0x8002;
    pub(crate) const HASHCHECK: u16 = 0x8024;
}

/// Capabilities (TPM_CAP) and properties (TPM_PT).
pub(crate) mod cap {
    pub(crate) const HANDLES: u32 = 1;
    pub(crate) const PROPERTIES: u32 = 6;
    pub(crate) const REVISION: u32 = 0x102;
    pub(crate) const MANUFACTURER: u32 = 0x105;
    pub(crate) const FIRMWARE_1: u32 = 0x10B;
    pub(crate) const FIRMWARE_2: u32 = 0x10C;
    pub(crate) const PERMANENT: u32 = 0x200;
    pub(crate) const LOCKOUT_COUNTER: u32 = 0x20E;
    pub(crate) const MAX_AUTH_FAIL: u32 = 0x20F;
    pub(crate) const LOCKOUT_INTERVAL: u32 = 0x210;
    pub(crate) const LOCKOUT_RECOVERY: u32 = 0x211;
}
