//! latchkey: the command line of administrators and of the person at the machine.
//!
//! What concerns this machine is done by latchkeyd; here is what people type and see, and what only
//! the person's own process can do, by the person's own ticket: the Kerberos proof of an enrollment,
//! and an administrator's work in the domain (`gpo`, `pki`).

mod answers;
mod arguments;
mod daemon;
mod enroll;
mod events;
mod ffi;
mod gpo;
mod keys;
mod machine;
mod output;
mod person;
mod pin;
mod pki;
mod policy;
mod status;

use std::process::ExitCode;

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

use arguments::{Arguments, Command};
use output::Output;

/// What is freed is wiped: a PIN passes through buffers that are not ours to wipe.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    // Usage errors end here, with code 2.
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let outcome = ffi::harden().map_err(anyhow::Error::from);
    match outcome.and_then(|()| run(arguments.command, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, output: &Output) -> anyhow::Result<()> {
    match command {
        Command::Join(join) => machine::join(join, output),
        Command::Leave => machine::leave(output),
        Command::Status => status::show(output),
        Command::Events(which) => events::show(&which, output),
        Command::Enroll(how) => enroll::enroll(how, output),
        Command::Signin(how) => person::sign_in(how, output),
        Command::Lock => person::lock(output),
        Command::Pin(pin) => pin::run(pin, output),
        Command::Keys(keys) => keys::run(keys, output),
        Command::Tpm(tpm) => machine::tpm(tpm, output),
        Command::Policy(policy) => policy::run(policy, output),
        Command::Pki(how) => pki::run(how, output),
        Command::Gpo(command) => gpo::run(command, output),
        Command::Completions { shell } => arguments::completions(shell, output),
        Command::Man { folder } => arguments::man(&folder),
    }
}
