//! Two ways in: the service connection point in AD, and a fingerprint that somebody read out.

use anyhow::Result;
use testkit::company::{Company, SERVER_URL, refused, text};
use testkit::lab::Output;

use crate::chain::PIN;
use crate::company;

/// The fingerprint of the authority at the end of the chain that the server shows.
const FINGERPRINT: &str = "openssl x509 -in /etc/latchkey/tls/ca.pem -noout -pubkey \
     | openssl pkey -pubin -outform der | sha256sum | cut -d' ' -f1";

fn join(company: &Company, fingerprint: &str) -> Result<Output> {
    company
        .workstation()?
        .command(&[
            "latchkey",
            "join",
            "--json",
            "--url",
            SERVER_URL,
            "--fingerprint",
            fingerprint,
        ])
        .run()
}

#[test]
fn a_workstation_joins_by_a_fingerprint_and_only_the_right_one() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let workstation = company.workstation()?;
    let digest = workstation.sh(FINGERPRINT)?;
    let right = format!("sha256:{}", digest.trim());
    workstation.command(&["latchkey", "leave"]).ok()?;

    let wrong = format!("sha256:{}", "0".repeat(64));
    let answer = refused(&join(company, &wrong)?)?;
    assert_eq!(text(&answer, "code")?, "server_unfit", "{answer}");

    let joined: serde_json::Value = serde_json::from_str(&join(company, &right)?.ok()?)?;
    assert_eq!(text(&joined, "server")?, SERVER_URL);
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

/// What the firmware's menu does, while nobody else talks to the TPM.
const CLEAR: &str = "tpm2_clear -T swtpm:host=127.0.0.1,port=2321 -c p";

#[test]
fn a_workstation_whose_tpm_was_cleared_joins_and_enrolls_again() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let workstation = company.workstation()?;
    workstation.stop("latchkeyd")?;
    workstation.sh(CLEAR)?;
    company.run_daemon()?;
    let answer = refused(&company.sign_in("alice", PIN)?)?;
    assert_eq!(text(&answer, "code")?, "key_unusable", "{answer}");

    workstation.command(&["latchkey", "join"]).ok()?;
    company.enrolled("alice", PIN)?;
    company.sign_in("alice", PIN)?.ok()?;
    assert_eq!(company.keys_in_directory("alice")?.len(), 1);
    company.forget_everyone()
}
