//! What can be typed.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{gpo::arguments::Gpo, output::Output, pki::Pki};

/// Sign in to this machine and its domain with a PIN.
#[derive(Parser)]
#[command(name = "latchkey", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Join this machine to the Latchkey server that its domain names (root).
    Join(Join),
    /// Leave the server and remove every credential of this machine (root).
    Leave,
    /// Make a credential for yourself: confirm who you are, choose a PIN.
    Enroll(Enroll),
    /// Turn your PIN into a Kerberos ticket.
    Signin(Signin),
    /// Forget your PIN until the next unlock, as a screen locker does (root: everybody's).
    Lock,
    /// Change your PIN, or replace one that you have forgotten.
    #[command(subcommand)]
    Pin(Pin),
    /// Show this machine's state and your credential.
    Status,
    /// Show what happened on this machine, and to you (root: to everybody).
    Events(Events),
    /// Your registered keys, and what a key in the directory says.
    #[command(subcommand)]
    Keys(Keys),
    /// The TPM of this machine.
    #[command(subcommand)]
    Tpm(Tpm),
    /// What your organization's policies make of you on this machine, and why.
    #[command(subcommand)]
    Policy(Policy),
    /// Certificates for the KDCs of a domain without certificate services.
    Pki(Pki),
    /// Group policies of the domain, with an administrator's ticket.
    #[command(subcommand)]
    Gpo(Gpo),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Events {
    /// Only those of this number.
    #[arg(long)]
    pub(crate) id: Option<u16>,
    /// Only those since a time, or for so long: 2h, 3d, 2026-01-31, 2026-01-31T08:00:00Z.
    #[arg(long)]
    pub(crate) since: Option<String>,
}

#[derive(Args)]
pub(crate) struct Join {
    /// The server, where the domain names none.
    #[arg(long, requires = "fingerprint")]
    pub(crate) url: Option<String>,
    /// sha256: and the hexadecimal SHA-256 of a public key in the server's certificate chain.
    #[arg(long, requires = "url")]
    pub(crate) fingerprint: Option<String>,
}

#[derive(Args)]
pub(crate) struct Enroll {
    /// Read answers from standard input, one a line: password=…, otp=… or tap=…, pin=…; way=… says
    /// how to confirm where there are several ways (otp, approval, tap).
    #[arg(long)]
    pub(crate) answers_stdin: bool,
    /// Speak to the person through the program on standard input, which signs them in.
    #[arg(long, hide = true, conflicts_with_all = ["answers_stdin", "json"])]
    pub(crate) at_sign_in: bool,
}

#[derive(Args)]
pub(crate) struct Signin {
    /// Read the PIN from standard input.
    #[arg(long)]
    pub(crate) pin_stdin: bool,
    /// Whom to sign in; only root may name another user.
    #[arg(long)]
    pub(crate) user: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Pin {
    /// Change it, where you know it.
    Change {
        /// Read answers from standard input, one a line: old=…, pin=…, and another pin=… for when
        /// the first is refused.
        #[arg(long)]
        answers_stdin: bool,
    },
    /// Replace it, where you do not: confirm who you are, choose another.
    Reset {
        /// Make another key, also where the one that is there could get another PIN.
        #[arg(long)]
        new_key: bool,
        /// Read answers from standard input, one a line: password=…, otp=…, pin=…
        #[arg(long)]
        answers_stdin: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// List your registered keys.
    List {
        /// Another user's, by uid (root).
        #[arg(long)]
        uid: Option<u32>,
    },
    /// Delete a key at the server and in the directory.
    Delete {
        /// Its id, as `keys list` shows it.
        kid: String,
    },
    /// Explain values of msDS-KeyCredentialLink: DN-Binary, LDIF, hexadecimal or base64.
    Decode {
        /// The value; - or nothing: standard input.
        #[arg(default_value = "-")]
        input: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Tpm {
    /// Have it take PINs again, after too many failures: as root, or with an administrator's code.
    Unlock {
        /// Ask for a code, as root too.
        #[arg(long)]
        code: bool,
        /// Read the code from standard input.
        #[arg(long)]
        code_stdin: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Show every setting in effect and where it comes from.
    Show(Person),
    /// Show where one setting comes from, and what lost against it.
    Explain {
        /// Its name, as `policy show` shows it, or that of its registry value.
        setting: String,
        #[command(flatten)]
        person: Person,
    },
    /// Show everything: settings, objects, and why each did or did not apply.
    Report {
        /// As a page for a browser.
        #[arg(long, conflicts_with = "json")]
        html: bool,
        #[command(flatten)]
        person: Person,
    },
    /// Read the policies from the domain now.
    Refresh {
        /// Also the files that have not changed (root).
        #[arg(long)]
        force: bool,
    },
}

#[derive(Args)]
pub(crate) struct Person {
    /// Another user, by name (root).
    #[arg(long)]
    pub(crate) user: Option<String>,
}

pub(crate) fn completions(shell: Shell, output: &Output) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "latchkey", &mut text);
    output.write(&text)
}

pub(crate) fn man(folder: &Path) -> anyhow::Result<()> {
    Ok(clap_mangen::generate_to(Arguments::command(), folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_url_without_a_fingerprint_is_a_usage_error() {
        let read = Arguments::try_parse_from(["latchkey", "join", "--url", "https://s"]);
        assert_eq!(read.err().map(|error| error.exit_code()), Some(2));
    }
}
