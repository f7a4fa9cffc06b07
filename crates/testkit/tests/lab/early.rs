//! The key that is made while a person confirms who they are, and what is left of it where nothing comes of it.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use testkit::company::Company;
use testkit::wait::until;

use crate::chain::PIN;
use crate::company;
use crate::people::enroll_on_terminal;

const BEGUN: &str = "a key is begun while its person confirms who they are";

/// How many keys the daemon has begun early.
fn begun(company: &Company) -> Result<usize> {
    let log = company.workstation()?.read_text("/var/log/latchkeyd.log")?;
    Ok(log.matches(BEGUN).count())
}

#[test]
fn a_key_is_begun_with_the_second_factor_and_nothing_of_it_outlives_the_daemon() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let host = company.workstation()?;
    let before = begun(company)?;
    let mut talk = enroll_on_terminal(company, "alice")?;
    talk.type_line("not the password")?;
    talk.expect("Password: ")?;
    assert_eq!(begun(company)?, before, "for whom nobody knows yet");
    talk.type_line(company.lab.password("alice")?)?;
    talk.expect("Code from your authenticator: ")?;
    until("the key to be begun", Duration::from_secs(20), || {
        begun(company).is_ok_and(|now| now == before + 1)
    })?;
    let status = company.status("alice")?;
    assert_eq!(status["credentials"], Value::Array(vec![]), "{status}");

    host.kill("latchkeyd", "KILL")?;
    drop(talk);
    let left = host.sh("tpm2_getcap -T swtpm:host=127.0.0.1,port=2321 handles-nv-index")?;
    assert!(!left.to_lowercase().contains("0x1804c"), "{left}");
    let files = host.sh("ls /var/lib/latchkey/credentials")?;
    assert_eq!(files, "", "something is on disk");
    company.run_daemon()?;
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    assert_eq!(company.keys_in_directory("alice")?.len(), 1);
    company.forget_everyone()
}
