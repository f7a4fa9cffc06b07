//! The agent's command line.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use latchkey_sync::{
    check, cleanup, config, config::Config, enroll, hardening, init, permissions, publish, run,
    scheduling, status, threshold,
};
use tracing_subscriber::EnvFilter;

/// Freed memory is wiped: passwords pass through buffers of libraries that do not wipe theirs.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// The agent beside the domain controllers: users up, keys down, passwords checked.
#[derive(Parser)]
#[command(name = "latchkey-sync", version)]
struct Cli {
    /// The configuration.
    #[arg(long, default_value = config::PATH)]
    config: PathBuf,
    /// How the log is written; LATCHKEY_LOG_FORMAT says it unless it is given.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Subcommand)]
enum Verb {
    /// Asks for what is needed, writes the configuration, tries it, and enrolls.
    Init(init::Args),
    /// Makes the agent known to a server by a one-time code.
    Enroll(enroll::Args),
    /// Writes where the server is into the directory, with an Enterprise Admin's ticket.
    Publish,
    /// What the agent may do in the directory, and giving it the right that it needs.
    #[command(subcommand)]
    Permissions(permissions::Verb),
    /// Works until it is told to stop.
    Run,
    /// Shows and sets when cycles run, begins and stops them.
    #[command(subcommand)]
    Scheduler(scheduling::Verb),
    /// Shows what the last cycles did, step by step.
    Runs {
        /// How many steps.
        #[arg(long, default_value_t = 24)]
        last: usize,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Shows what waits on either side, and why.
    Pending {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Reports key values that nobody should have, and takes them out on demand.
    Cleanup(cleanup::Args),
    /// Tries what the configuration names.
    CheckConfig,
    /// Says what the agent's files say.
    Status {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says how many deletions stop, and lets those go on that were meant.
    #[command(subcommand)]
    Threshold(threshold::Verb),
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
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    match work(cli) {
        Ok(said) => match std::io::stdout().lock().write_all(said.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) if error.is::<permissions::Incomplete>() => {
            let _ = write!(std::io::stdout(), "{error}");
            ExitCode::from(permissions::INCOMPLETE)
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "latchkey-sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(format: Option<LogFormat>) {
    let of_environment = || {
        let word = std::env::var("LATCHKEY_LOG_FORMAT").ok()?;
        LogFormat::from_str(&word, true).ok()
    };
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(
            EnvFilter::try_from_env("LATCHKEY_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        );
    match format.or_else(of_environment) {
        Some(LogFormat::Json) => log.json().init(),
        _ => log.init(),
    }
}

fn work(cli: Cli) -> anyhow::Result<String> {
    match &cli.verb {
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "latchkey-sync", &mut text);
            return Ok(String::from_utf8(text)?);
        }
        Verb::Man { folder } => {
            clap_mangen::generate_to(Cli::command(), folder)?;
            return Ok(String::new());
        }
        _ => {}
    }
    hardening::harden()?;
    let is_administrators = matches!(
        cli.verb,
        Verb::Publish | Verb::Permissions(permissions::Verb::Grant { .. })
    );
    if !is_administrators {
        hardening::use_own_tickets();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if let Verb::Init(args) = cli.verb {
            return init::init(&cli.config, args).await;
        }
        let config = Config::read(&cli.config)?;
        match cli.verb {
            Verb::Enroll(args) => enroll::enroll(config, args).await,
            Verb::Publish => publish::publish(config).await,
            Verb::Permissions(verb) => permissions::run(config, verb).await,
            Verb::Run => run::run(config).await.map(|()| String::new()),
            Verb::Cleanup(args) => cleanup::cleanup(config, args).await,
            Verb::CheckConfig => check::check(config).await,
            Verb::Scheduler(verb) => scheduling::scheduler(&config, verb),
            Verb::Runs { last, json } => scheduling::runs(&config, last, json),
            Verb::Pending { json } => scheduling::pending(&config, json),
            Verb::Status { json } => status::status(&config, json),
            Verb::Threshold(verb) => threshold::run(&config, verb),
            Verb::Init(_) | Verb::Completions { .. } | Verb::Man { .. } => {
                bail!("answered above: a bug")
            }
        }
    })
}
