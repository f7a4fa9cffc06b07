//! The agent's command line.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::bail;
use clap::{Command, CommandFactory as _, Parser, Subcommand, ValueEnum};
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
    #[arg(long, global = true, value_name = "FILE", default_value = config::PATH)]
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
    Publish(publish::Args),
    /// What the agent may do in the directory, and giving it the right that it needs.
    #[command(subcommand)]
    Permissions(permissions::Verb),
    /// Runs the agent in the foreground; systemd does this.
    Run,
    /// Shows, changes, starts and stops the sync cycle (as Get-, Set-ADSyncScheduler, Start-,
    /// Stop-ADSyncSyncCycle).
    #[command(subcommand)]
    Scheduler(scheduling::Verb),
    /// Shows the run history: each cycle has six steps.
    Runs {
        /// How many steps.
        #[arg(long, default_value_t = 24)]
        last: usize,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Shows what waits on either side, and why.
    Pending(scheduling::Sought),
    /// Reports key values that nobody should have, and takes them out on demand.
    Cleanup(cleanup::Args),
    /// Tries what the configuration names.
    CheckConfig,
    /// Shows at a glance: who writes, the last and the next cycle, what waits, alarms.
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
        Err(error) if error.is::<scheduling::Unfinished>() => {
            let _ = write!(std::io::stdout(), "{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "latchkey-sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(format: Option<LogFormat>) {
    let filter = of_environment("LATCHKEY_LOG", |text| EnvFilter::try_new(text).ok());
    let format = format.or_else(|| {
        of_environment("LATCHKEY_LOG_FORMAT", |text| {
            LogFormat::from_str(text, true).ok()
        })
    });
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new("info")));
    match format {
        Some(LogFormat::Json) => log.json().init(),
        _ => log.init(),
    }
}

/// What a variable says, if it is set; one that is not understood is named.
fn of_environment<T>(name: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let text = std::env::var_os(name)?;
    let said = text.to_str().and_then(read);
    if said.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "latchkey-sync: {name}={} is not understood and has no effect",
            text.display()
        );
    }
    said
}

fn work(cli: Cli) -> anyhow::Result<String> {
    match &cli.verb {
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut visible(), "latchkey-sync", &mut text);
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
        Verb::Publish(_) | Verb::Permissions(permissions::Verb::Grant { .. })
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
        let realm = config.realm.clone();
        let done = match cli.verb {
            Verb::Enroll(args) => enroll::enroll(config, args).await,
            Verb::Publish(args) => publish::publish(config, args).await,
            Verb::Permissions(verb) => permissions::run(config, verb).await,
            Verb::Run => run::run(config).await.map(|()| String::new()),
            Verb::Cleanup(args) => cleanup::cleanup(config, args).await,
            Verb::CheckConfig => check::check(config).await,
            Verb::Scheduler(verb) => scheduling::scheduler(&config, verb),
            Verb::Runs { last, json } => scheduling::runs(&config, last, json),
            Verb::Pending(sought) => scheduling::pending(&config, sought).await,
            Verb::Status { json } => status::status(&config, json),
            Verb::Threshold(verb) => threshold::run(&config, verb),
            Verb::Init(_) | Verb::Completions { .. } | Verb::Man { .. } => {
                bail!("answered above: a bug")
            }
        };
        match is_administrators {
            true => done.map_err(|error| publish::whose_ticket(error, &realm)),
            false => done,
        }
    })
}

/// The command line without what is hidden.
fn visible() -> Command {
    let whole = Cli::command();
    let shown = |command: &&Command| !command.is_hide_set();
    Command::new("latchkey-sync")
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments())
        .subcommands(whole.get_subcommands().filter(shown))
}
