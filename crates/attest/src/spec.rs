//! Numbers of the TPM 2.0 Library Specification, part 2, by the names they have there: those that
//! a public structure or a policy digest holds.

#![expect(
    missing_docs,
    reason = "a name of the specification is explained there"
)]

/// Command codes (TPM_CC) that policies name or are made of.
pub mod cc {
    pub const NV_WRITE: u32 = 0x0137;
    pub const NV_CHANGE_AUTH: u32 = 0x013B;
    pub const CERTIFY: u32 = 0x0148;
    pub const OBJECT_CHANGE_AUTH: u32 = 0x0150;
    pub const POLICY_SECRET: u32 = 0x0151;
    pub const POLICY_SIGNED: u32 = 0x0160;
    pub const POLICY_AUTH_VALUE: u32 = 0x016B;
    pub const POLICY_COMMAND_CODE: u32 = 0x016C;
    pub const POLICY_OR: u32 = 0x0171;
}

/// Algorithm identifiers (TPM_ALG_ID) and the curve.
pub mod alg {
    pub const RSA: u16 = 0x0001;
    pub const SHA1: u16 = 0x0004;
    pub const AES: u16 = 0x0006;
    pub const SHA256: u16 = 0x000B;
    pub const NULL: u16 = 0x0010;
    pub const RSASSA: u16 = 0x0014;
    pub const OAEP: u16 = 0x0017;
    pub const ECDSA: u16 = 0x0018;
    pub const ECC: u16 = 0x0023;
    pub const CFB: u16 = 0x0043;
    pub const CURVE_P256: u16 = 0x0003;
}

/// Object attributes (TPMA_OBJECT).
pub mod object {
    pub const FIXED_TPM: u32 = 1 << 1;
    pub const FIXED_PARENT: u32 = 1 << 4;
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    pub const USER_WITH_AUTH: u32 = 1 << 6;
    pub const ADMIN_WITH_POLICY: u32 = 1 << 7;
    pub const NO_DA: u32 = 1 << 10;
    pub const RESTRICTED: u32 = 1 << 16;
    pub const DECRYPT: u32 = 1 << 17;
    pub const SIGN: u32 = 1 << 18;
}

/// Attributes of an NV index (TPMA_NV); the type sits in bits 4 to 7.
pub mod nv {
    pub const POLICY_WRITE: u32 = 1 << 3;
    pub const TYPE_PIN_FAIL: u32 = 8 << 4;
    pub const OWNER_READ: u32 = 1 << 17;
    pub const AUTH_READ: u32 = 1 << 18;
    pub const NO_DA: u32 = 1 << 25;
    pub const WRITTEN: u32 = 1 << 29;
}

/// The number with which everything begins that a TPM says and signs (TPM_GENERATED_VALUE).
pub const GENERATED: u32 = 0xFF54_4347;

/// Structure tags (TPM_ST).
pub mod tag {
    pub const ATTEST_CERTIFY: u16 = 0x8017;
}
