//! The server's command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use latchkey_server::{admin_cli, backup, check_config, init, run};

/// Freed memory is wiped: passwords pass through buffers of libraries that do not wipe theirs.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<mimalloc::MiMalloc> =
    zeroizing_alloc::ZeroAlloc(mimalloc::MiMalloc);

/// Accounts, second factors, tokens, devices, keys and the change feed of Latchkey.
#[derive(Parser)]
#[command(name = "latchkey-server", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Makes the folder, the keys, the first administrator and the configuration.
    Init(init::Args),
    /// Serves until it is told to stop.
    Run(run::Args),
    /// Talks to the running server as its administrator.
    Admin(admin_cli::Args),
    /// Looks whether the server would start, and changes nothing.
    CheckConfig(check_config::Args),
    /// Writes the store to one file, while the server goes on.
    Backup(backup::BackupArgs),
    /// Puts such a file in the place of the store, while the server is stopped.
    Restore(backup::RestoreArgs),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// The folder.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Init(args) => init::main(&args),
        Verb::Run(args) => run::main(&args),
        Verb::Admin(args) => admin_cli::main(&args),
        Verb::CheckConfig(args) => check_config::main(&args),
        Verb::Backup(args) => backup::back_up(&args),
        Verb::Restore(args) => backup::restore(&args),
        Verb::Completions { shell } => {
            let to = &mut std::io::stdout();
            clap_complete::generate(shell, &mut Cli::command(), "latchkey-server", to);
            Ok(())
        }
        Verb::Man { folder } => {
            clap_mangen::generate_to(Cli::command(), folder).map_err(Into::into)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            latchkey_server::complain(&error);
            ExitCode::FAILURE
        }
    }
}
