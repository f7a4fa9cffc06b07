//! Why the daemon did not do what was asked: one sentence for the person, the chain for the log.

use std::path::PathBuf;

use ipc::Failure;
use model::UnixTime;

use crate::{pin::tries::duration, text};

/// A failure inside the daemon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whoever the sentence addresses.
    #[error("{}: {}", .0.code, .0.sentence)]
    Refused(Failure),
    /// The administrator: the configuration.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The administrator: a file of the daemon's own.
    #[error("{}: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The domain, or the way to it.
    #[error("the directory: {0}")]
    Directory(#[from] directory::Error),
    /// The domain's policy files, or the way to them.
    #[error("SYSVOL: {0}")]
    Sysvol(#[from] sysvol::Error),
    /// The server, or the way to it.
    #[error("the server: {0}")]
    Server(#[from] client::Error),
    /// The administrator who deleted this device at its server, by the server's signed word.
    #[error("this device was deleted at the server, at {}", .0.0)]
    Deleted(UnixTime),
    /// The TPM, or the person's PIN.
    #[error("the TPM: {0}")]
    Tpm(#[from] tpm::Error),
    /// Kerberos.
    #[error("Kerberos: {0}")]
    Kerberos(#[from] kerberos::Error),
    /// This machine.
    #[error("this machine: {0}")]
    System(#[from] std::io::Error),
    /// Nobody but us.
    #[error("a defect of latchkeyd: {0}")]
    Bug(&'static str),
}

/// A refusal with a code and a sentence.
pub fn refused(code: &str, sentence: impl Into<String>) -> Error {
    Error::Refused(Failure::new(code, sentence))
}

impl From<openssl::error::ErrorStack> for Error {
    fn from(stack: openssl::error::ErrorStack) -> Self {
        Self::System(std::io::Error::other(stack))
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Bug("a task panicked")
    }
}

impl Error {
    /// What the caller is told.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Refused(failure) => failure.clone(),
            Self::Config { .. } | Self::State { .. } => Failure::new(
                "state_unreadable",
                format!("A file of latchkeyd cannot be used: {self}."),
            ),
            Self::Directory(error) => of_directory(error),
            Self::Sysvol(error) => Failure::new(
                "policy_unreadable",
                format!("The domain's policy files cannot be read: {error}."),
            ),
            Self::Server(error) => of_server(error),
            Self::Deleted(_) => Failure::new(
                "device_deleted",
                "This machine was deleted at the Latchkey server: no PIN works here any more. An \
                 administrator runs `latchkey join`.",
            ),
            Self::Tpm(error) => of_tpm(error),
            Self::Kerberos(error) => of_kerberos(error.code()),
            Self::System(_) | Self::Bug(_) => Failure::new(
                "internal",
                "latchkeyd could not do this; its log says why (journalctl -u latchkeyd).",
            ),
        }
    }
}

fn of_directory(error: &directory::Error) -> Failure {
    match error {
        directory::Error::Unreachable(_) => Failure {
            retry_after_s: Some(10),
            ..Failure::new("directory_unreachable", "No domain controller answers.")
        },
        directory::Error::Kerberos(_) => Failure::new(
            "directory_unreachable",
            "The domain did not accept this machine's account. Is it still joined?",
        ),
        other => Failure::new("directory_refused", format!("The domain refused: {other}.")),
    }
}

fn of_server(error: &client::Error) -> Failure {
    match error {
        client::Error::Unreachable(_) => Failure {
            retry_after_s: Some(10),
            ..Failure::new(
                "server_unreachable",
                "The Latchkey server does not answer. Is this machine online?",
            )
        },
        client::Error::Refused(refusal) | client::Error::DeviceDeleted { refusal, .. } => Failure {
            code: refusal.code.clone(),
            sentence: text::as_sentence(&refusal.sentence),
            retry_after_s: refusal.retry_after_s,
            tries_left: refusal.tries_left,
        },
        client::Error::Protocol(_) => Failure::new(
            "server_unfit",
            "The Latchkey server answered something this release does not understand.",
        ),
    }
}

fn of_tpm(error: &tpm::Error) -> Failure {
    match error {
        tpm::Error::WrongPin { tries_left: 0 } | tpm::Error::Locked => Failure {
            tries_left: Some(0),
            ..Failure::new(
                "pin_locked",
                "The PIN is locked: too many wrong tries. Sign in with your password, then run \
                 `latchkey pin reset`.",
            )
        },
        tpm::Error::WrongPin { tries_left } => Failure {
            tries_left: Some(*tries_left),
            ..Failure::new(
                "wrong_pin",
                match tries_left {
                    1 => "Wrong PIN, one try left.".to_owned(),
                    n => format!("Wrong PIN, {n} tries left."),
                },
            )
        },
        tpm::Error::InLockout { retry_after_s } => Failure {
            retry_after_s: Some(*retry_after_s),
            ..Failure::new(
                "tpm_locked",
                format!(
                    "The TPM of this machine has seen too many failures and takes no PIN for {}. \
                     Sign in with your password meanwhile; an administrator can have it \
                     unlocked at once (`latchkey tpm unlock`).",
                    duration(*retry_after_s)
                ),
            )
        },
        tpm::Error::KeyUnusable(reason) => Failure::new(
            "key_unusable",
            format!("Your key on this machine does not work any more ({reason}). Enroll again."),
        ),
        tpm::Error::Authority(reason) => Failure {
            retry_after_s: Some(10),
            ..Failure::new(
                "recovery_refused",
                format!("The server's recovery key did not give its word: {reason}."),
            )
        },
        tpm::Error::Unavailable(reason) => Failure::new(
            "tpm_unavailable",
            format!("The TPM of this machine cannot be used: {reason}."),
        ),
        other => Failure::new(
            "tpm_unavailable",
            format!("The TPM of this machine refused: {other}."),
        ),
    }
}

/// What a person is told of a Kerberos failure, by [`kerberos::Error::code`].
pub fn of_kerberos(code: &str) -> Failure {
    match code {
        "key_not_trusted" => Failure::new(
            "key_not_in_directory",
            "The domain does not know your key: it is not, or not yet, in Active Directory.",
        ),
        "name_mismatch" => Failure::new(
            "name_mismatch",
            "The domain has your key under another account.",
        ),
        "account_revoked" => Failure::new(
            "account_revoked",
            "The account is disabled, locked or expired in the domain.",
        ),
        "account_disabled" => Failure::new(code, "The account is disabled in the domain."),
        "account_locked" => Failure::new(
            code,
            "The account is locked in the domain after too many wrong passwords; it is opened by \
             waiting, or by an administrator.",
        ),
        "account_expired" => Failure::new(code, "The account has expired in the domain."),
        "outside_hours" => Failure::new(
            code,
            "The domain does not let this account sign in at this hour.",
        ),
        "password_expired" => Failure::new(
            "password_expired",
            "The account's password has expired; change it first.",
        ),
        "policy_refused" => Failure::new(
            code,
            "A policy of the domain does not let this account sign in here.",
        ),
        "unknown_principal" => {
            Failure::new("unknown_account", "The domain does not know this account.")
        }
        "kdc_unreachable" => Failure {
            retry_after_s: Some(10),
            ..Failure::new("no_kdc", "No domain controller answers.")
        },
        "kdc_not_trusted" => Failure::new(
            "kdc_not_trusted",
            "The domain controller that answered could not prove that it is one; nothing was \
             accepted from it.",
        ),
        "clock_skew" => Failure::new(
            "clock_skew",
            "The clock of this machine and the domain's differ too much.",
        ),
        _ => Failure::new(
            "kerberos_failed",
            "The sign-in to the domain failed; latchkeyd's log says why.",
        ),
    }
}
