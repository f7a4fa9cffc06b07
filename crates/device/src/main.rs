//! latchkeyd, the daemon that owns a workstation's credentials.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use lexopt::{Arg, Parser};
use tracing_subscriber::EnvFilter;
use zeroizing_alloc::ZeroAlloc;

/// What is freed is wiped: requests pass through buffers that are not ours to wipe.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

const HELP: &str = "\
latchkeyd - owns this workstation's credentials

usage: latchkeyd [--config FILE]

  --config FILE   instead of /etc/latchkey/device.toml
  --help          this text
  --version       the release
";

fn main() -> ExitCode {
    let filter = EnvFilter::new("info");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    let config = match arguments() {
        Ok(Some(config)) => config,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "usage");
            return ExitCode::from(2);
        }
    };
    match latchkey_device::run::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "latchkeyd cannot run");
            ExitCode::FAILURE
        }
    }
}

/// The configuration file, if one is named; none at all where only a text was asked for.
fn arguments() -> Result<Option<Option<PathBuf>>, lexopt::Error> {
    let mut config = None;
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("config") => config = Some(parser.value()?.into()),
            Arg::Long("help") | Arg::Short('h') => return said(HELP),
            Arg::Long("version") => return said(concat!(env!("CARGO_PKG_VERSION"), "\n")),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(config))
}

fn said(text: &str) -> Result<Option<Option<PathBuf>>, lexopt::Error> {
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| error.to_string())?;
    Ok(None)
}
