//! What lasts as long as a session does: the primary refresh token, renewed at the real server as the hours
//! go by; and the session itself, over a new start of the daemon.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::company::Company;
use testkit::lab::Host;
use testkit::wait::{until, until_some};

use crate::company;
use crate::sessions::is_kept;
use crate::terminal::{leave, shell_by_pin};

const PIN: &str = "739614025518";
/// How far the clock of whoever is started by [`Clock::run`] is from the machine's.
const OFFSET: &str = "/run/offset";
const LIBRARY: &str = "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The clocks of daemon and server; the machine's own in the end.
struct Clock<'c>(&'c Company);

impl<'c> Clock<'c> {
    /// Starts both anew by a clock that can be moved. The agent, who keeps to the machine's, rests.
    fn taken(company: &'c Company) -> Result<Self> {
        company.server()?.stop("latchkey-sync")?;
        let clock = Self(company);
        clock.set("+0")?;
        clock.run(&company.server()?, &["latchkey-server", "run"])?;
        clock.run(&company.workstation()?, &["latchkeyd"])?;
        until_some("the server by its clock", Duration::from_secs(30), || {
            company.admin(&["settings", "show"])
        })?;
        until_some("the daemon by its clock", Duration::from_secs(30), || {
            company.status("root")
        })?;
        Ok(clock)
    }

    fn run(&self, host: &Host, words: &[&str]) -> Result<()> {
        let name = words.first().context("no program")?;
        host.stop(name)?;
        let file = format!("FAKETIME_TIMESTAMP_FILE={OFFSET}");
        let under = ["env", LIBRARY, &file, "FAKETIME_CACHE_DURATION=1"];
        let words = [&under[..], words].concat();
        self.0.start(host, name, &words, None)
    }

    /// Moves both.
    fn set(&self, offset: &str) -> Result<()> {
        for host in [self.0.server()?, self.0.workstation()?] {
            host.write_file(OFFSET, offset, 0o644)?;
        }
        Ok(())
    }

    fn given_back(&self) -> Result<()> {
        let (server, workstation) = (self.0.server()?, self.0.workstation()?);
        server.stop("latchkey-server")?;
        workstation.stop("latchkeyd")?;
        // What was read later than now would count as fresh for hours.
        workstation.sh("rm -f /var/lib/latchkey/policy/*.json")?;
        self.0.run_server()?;
        self.0.run_daemon()?;
        self.0.run_agent()
    }
}

/// When alice's token was got or renewed; none while there is none.
fn updated(company: &Company) -> Result<i64> {
    let status = company.status("alice")?;
    let updated = status["AzureAdPrtUpdateTime"].as_i64();
    updated.with_context(|| format!("no primary refresh token in {status}"))
}

#[test]
fn a_primary_refresh_token_is_renewed_every_four_hours_while_the_session_lasts() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let clock = Clock::taken(company)?;
    let outcome = renewed(company, &clock);
    clock.given_back()?;
    outcome?;
    company.forget_everyone()
}

fn renewed(company: &Company, clock: &Clock<'_>) -> Result<()> {
    let session = shell_by_pin(company, "alice", PIN)?;
    let patience = Duration::from_secs(20);
    let mut last = until_some("a primary refresh token", patience, || updated(company))?;
    // Twice, because each successor must be good for the next.
    for (offset, hours) in [("+15000", 4), ("+30000", 4)] {
        clock.set(offset)?;
        let next = until_some("a newer one", patience, || {
            let next = updated(company)?;
            ensure!(next > last, "still that of {last}");
            Ok(next)
        })?;
        ensure!(next - last >= hours * 3600, "{last}, then {next}");
        last = next;
    }
    leave(session)?;
    until("the token to go with the session", patience, || {
        updated(company).is_err()
    })
}

#[test]
fn a_session_is_known_to_the_next_daemon_unless_it_ended_meanwhile() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let host = company.workstation()?;
    let gone = shell_by_pin(company, "alice", PIN)?;
    let stays = shell_by_pin(company, "alice", PIN)?;
    ensure!(is_kept(company, "alice")?, "the PIN is not kept");
    host.stop("latchkeyd")?;
    leave(gone)?;
    company.run_daemon()?;
    ensure!(!is_kept(company, "alice")?, "a PIN outlived its daemon");
    // In a session, a PIN that is right is kept, and brings the token.
    company.sign_in("alice", PIN)?.ok()?;
    ensure!(is_kept(company, "alice")?, "the session is not known");
    until_some("a primary refresh token", Duration::from_secs(20), || {
        updated(company)
    })?;

    // The end of one of before is seen as well, also by yet another daemon.
    host.stop("latchkeyd")?;
    company.run_daemon()?;
    company.sign_in("alice", PIN)?.ok()?;
    leave(stays)?;
    until("the PIN to go", Duration::from_secs(10), || {
        is_kept(company, "alice").is_ok_and(|kept| !kept)
    })?;
    // Nobody is here: a ticket by hand is all that is asked for.
    company.sign_in("alice", PIN)?.ok()?;
    ensure!(
        !is_kept(company, "alice")?,
        "a session is known that is over"
    );
    company.forget_everyone()
}
