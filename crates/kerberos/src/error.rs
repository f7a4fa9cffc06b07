//! Why Kerberos said no, told apart by who can do something about it.

/// Every text in a variant is the library's own and belongs in the log, not before the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The person: another password.
    #[error("the password is wrong: {0}")]
    WrongPassword(String),
    /// The person: a new password.
    #[error("the password has expired: {0}")]
    PasswordExpired(String),
    /// The administrator: the account is disabled, locked or expired; it is not said which.
    #[error("the account is disabled, locked or expired: {0}")]
    AccountRevoked(String),
    /// The administrator: the same, and the domain controller said which.
    #[error("the account is {why}: {message}")]
    AccountClosed {
        /// Which.
        why: Closed,
        /// The library's own text.
        message: String,
    },
    /// The administrator: a policy of the domain does not let the account in, from here or so.
    #[error("a policy of the domain refuses: {0}")]
    PolicyRefused(String),
    /// The administrator: the KDC knows no such account.
    #[error("the principal is unknown: {0}")]
    UnknownPrincipal(String),
    /// The person or the administrator: the key is not, or no longer, in the directory.
    #[error("the KDC does not trust the key: {0}")]
    NotTrusted(String),
    /// The administrator: the certificate names another account.
    #[error("the certificate names another account: {0}")]
    NameMismatch(String),
    /// The network: no KDC answered.
    #[error("no KDC answers: {0}")]
    KdcUnreachable(String),
    /// The administrator: the KDC could not prove that it is the domain's.
    #[error("the KDC is not trusted: {0}")]
    KdcNotTrusted(String),
    /// The administrator: the clocks differ by more than Kerberos tolerates.
    #[error("the clocks differ too much: {0}")]
    ClockSkew(String),
    /// This device: the PKCS#11 token did not open or did not sign.
    #[error("the token refused: {0}")]
    TokenRefused(String),
    /// None of the above.
    #[error("Kerberos error {code}: {message}")]
    Other {
        /// The library's error code; for GSS-API the minor status.
        code: i64,
        /// The library's own text.
        message: String,
    },
}

/// Why an account may not sign in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Disabled.
    Disabled,
    /// Locked after wrong passwords.
    Locked,
    /// Its time is over.
    Expired,
    /// Outside the hours in which it may sign in.
    OutsideHours,
}

impl Closed {
    /// By the NTSTATUS that came with the refusal (MS-ERREF 2.3.1).
    fn of_status(status: u32) -> Option<Self> {
        match status {
            0xc000_0072 => Some(Self::Disabled),
            0xc000_0234 => Some(Self::Locked),
            0xc000_0193 => Some(Self::Expired),
            0xc000_006f => Some(Self::OutsideHours),
            _ => None,
        }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Locked => "locked",
            Self::Expired => "expired",
            Self::OutsideHours => "outside its hours",
        })
    }
}

impl Error {
    /// A stable name for programs; `docs/joints.md` lists them.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPassword(_) => "wrong_password",
            Self::PasswordExpired(_) => "password_expired",
            Self::AccountRevoked(_) => "account_revoked",
            Self::AccountClosed { why, .. } => match why {
                Closed::Disabled => "account_disabled",
                Closed::Locked => "account_locked",
                Closed::Expired => "account_expired",
                Closed::OutsideHours => "outside_hours",
            },
            Self::PolicyRefused(_) => "policy_refused",
            Self::UnknownPrincipal(_) => "unknown_principal",
            Self::NotTrusted(_) => "key_not_trusted",
            Self::NameMismatch(_) => "name_mismatch",
            Self::KdcUnreachable(_) => "kdc_unreachable",
            Self::KdcNotTrusted(_) => "kdc_not_trusted",
            Self::ClockSkew(_) => "clock_skew",
            Self::TokenRefused(_) => "token_refused",
            Self::Other { .. } => "kerberos",
        }
    }

    /// The text cannot be handed to the library.
    pub(crate) fn unfit(what: &str) -> Self {
        Self::Other {
            code: i64::from(libc::EINVAL),
            message: format!("{what} does not fit"),
        }
    }

    /// Sorts a libkrb5 error code.
    pub(crate) fn from_code(code: i32, message: String) -> Self {
        match code {
            C_PRINCIPAL_UNKNOWN => Self::UnknownPrincipal(message),
            CLIENT_EXPIRED | CLIENT_REVOKED | CLIENT_NOT_YET => Self::AccountRevoked(message),
            KEY_EXPIRED => Self::PasswordExpired(message),
            POLICY => Self::PolicyRefused(message),
            CLIENT_NOT_TRUSTED => Self::NotTrusted(message),
            CLIENT_NAME_MISMATCH => Self::NameMismatch(message),
            KDC_UNREACHABLE | REALM_CANT_RESOLVE | REALM_UNKNOWN => Self::KdcUnreachable(message),
            CLOCK_SKEW | KDC_REPLY_SKEW => Self::ClockSkew(message),
            KDC_NOT_TRUSTED
            | INVALID_SIGNATURE
            | CANT_VERIFY_CERTIFICATE..=REVOCATION_STATUS_UNAVAILABLE
            | KDC_NAME_MISMATCH
            | INCONSISTENT_KEY_PURPOSE => Self::KdcNotTrusted(message),
            code => Self::Other {
                code: i64::from(code),
                message,
            },
        }
    }

    /// Sorts what a login by key failed with. `reason` is what the PKINIT module itself reported,
    /// which libkrb5 replaces by something vaguer; `status` is what the domain controller added.
    pub(crate) fn of_pkinit(
        code: i32,
        message: String,
        (reason, status): (Option<String>, Option<u32>),
    ) -> Self {
        let is_module = reason.is_some();
        let told = reason.map_or(message.clone(), |reason| format!("{message} ({reason})"));
        match code {
            // The library looked for a password to decrypt the KDC's reply with and found none:
            // the module rejected the reply, or the KDC never asked for the key at all.
            libc::EIO => Self::KdcNotTrusted(told),
            // The module could not make its request: the token did not do its part.
            PREAUTH_FAILED_HERE if is_module => Self::TokenRefused(told),
            // Nothing failed here, so these are the KDC's word on what it was shown: the person's
            // certificate, or the signature by its key.
            INVALID_SIGNATURE
            | CANT_VERIFY_CERTIFICATE..=REVOCATION_STATUS_UNAVAILABLE
            | INCONSISTENT_KEY_PURPOSE
                if !is_module =>
            {
                Self::NotTrusted(told)
            }
            code => Self::from_code(code, told).told_by(status),
        }
    }

    /// Sorts what a login by password failed with. `status` is what the domain controller added.
    pub(crate) fn of_password(code: i32, message: String, status: Option<u32>) -> Self {
        match code {
            PREAUTH_FAILED | BAD_INTEGRITY => Self::WrongPassword(message),
            code => Self::from_code(code, message).told_by(status),
        }
    }

    /// The same, where a domain controller added why an account is closed.
    fn told_by(self, status: Option<u32>) -> Self {
        match (self, status.and_then(Closed::of_status)) {
            (Self::AccountRevoked(message), Some(why)) => Self::AccountClosed { why, message },
            (error, _) => error,
        }
    }

    /// Sorts what the check against a keytab failed with: whatever is not plainly the network or
    /// the clock means that the KDC could not make a ticket for a key that this host has.
    pub(crate) fn of_verify(code: i32, message: String) -> Self {
        match Self::from_code(code, message) {
            kept @ (Self::KdcUnreachable(_) | Self::ClockSkew(_)) => kept,
            Self::Other { code, message } => Self::KdcNotTrusted(format!("{message} [{code}]")),
            other => Self::KdcNotTrusted(other.to_string()),
        }
    }
}

// krb5_err.et: the KDC's codes are offsets from the table's base, the library's own follow.
const BASE: i32 = -1_765_328_384;
const CLIENT_EXPIRED: i32 = BASE + 1;
const C_PRINCIPAL_UNKNOWN: i32 = BASE + 6;
const POLICY: i32 = BASE + 12;
const CLIENT_REVOKED: i32 = BASE + 18;
const CLIENT_NOT_YET: i32 = BASE + 21;
const KEY_EXPIRED: i32 = BASE + 23;
const PREAUTH_FAILED: i32 = BASE + 24;
const BAD_INTEGRITY: i32 = BASE + 31;
const CLOCK_SKEW: i32 = BASE + 37;
const CLIENT_NOT_TRUSTED: i32 = BASE + 62;
const KDC_NOT_TRUSTED: i32 = BASE + 63;
const INVALID_SIGNATURE: i32 = BASE + 64;
const CANT_VERIFY_CERTIFICATE: i32 = BASE + 70;
const REVOCATION_STATUS_UNAVAILABLE: i32 = BASE + 74;
const CLIENT_NAME_MISMATCH: i32 = BASE + 75;
const KDC_NAME_MISMATCH: i32 = BASE + 76;
const INCONSISTENT_KEY_PURPOSE: i32 = BASE + 77;
const KDC_REPLY_SKEW: i32 = BASE + 148;
const REALM_UNKNOWN: i32 = BASE + 154;
const KDC_UNREACHABLE: i32 = BASE + 156;
const PREAUTH_FAILED_HERE: i32 = BASE + 210;
const REALM_CANT_RESOLVE: i32 = BASE + 220;
