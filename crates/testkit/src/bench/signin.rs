//! From a PIN to a ticket, and from a PIN to a signature.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::footprint::footprint;
use super::reference::{self, FOLDER};
use super::{PERSON, PIN, Row, WARM_UP, columns, median};
use crate::company::Company;
use crate::lab::target_folder;

/// Where the program that signs beside the daemon is put.
const SIGNER: &str = "/usr/local/libexec/raw_signature";

/// Measures sign-in by `pairs` pairs, the unlocking inside it by twice as many, and what the daemon
/// takes meanwhile and in the time `idle` after it.
///
/// # Errors
/// When a sign-in or a signature fails: no row is made of failures.
pub fn signin(company: &Company, pairs: usize, idle: Duration) -> Result<Vec<Row>> {
    let tpm = reference::make(company)?;
    let mut rows = vec![
        ticket(company, &tpm, pairs)?,
        unlock(company, &tpm, 2 * pairs)?,
    ];
    rows.extend(footprint(company, idle)?);
    Ok(rows)
}

fn ticket(company: &Company, tpm: &str, pairs: usize) -> Result<Row> {
    let script = include_str!("signin.sh");
    let count = (pairs + WARM_UP).to_string();
    let told = company
        .workstation()?
        .command(&["bash", "-c", script, "bash", FOLDER, tpm, &count])
        .user(PERSON)
        .stdin(format!("{PIN}\n{PIN}\n"))
        .within(LIMIT)
        .ok()?;
    let [ours, reference] = columns(&told)?;
    let daemon = told.lines().skip(WARM_UP).map(took_ms);
    let daemon = median(&daemon.collect::<Result<Vec<f64>>>()?)?;
    let note = format!(
        "{pairs} pairs in turn, each a whole process of the person's; `latchkey signin`, which \
         also checks the KDC against the host's keytab ({daemon} ms of it in the daemon), beside \
         `kinit` with libtpm2_pkcs11 on a second swtpm of the same settings"
    );
    let (ours, reference) = (median(&ours)?, median(&reference)?);
    Ok(Row::time("signin.pin_to_tgt", ours, reference, 0.75, note))
}

/// What the daemon said it took, in a line of `signin.sh`.
fn took_ms(line: &str) -> Result<f64> {
    let answer = line.find('{').and_then(|begin| line.get(begin..));
    let answer: Value = serde_json::from_str(answer.context("no answer")?)?;
    let took = answer.get("took_ms").and_then(Value::as_f64);
    took.with_context(|| format!("no took_ms in {answer}"))
}

fn unlock(company: &Company, tpm: &str, pairs: usize) -> Result<Row> {
    let workstation = company.workstation()?;
    let built = target_folder().join("release/examples/raw_signature");
    let program = std::fs::read(&built).with_context(|| built.display().to_string())?;
    workstation.write_file(SIGNER, program, 0o755)?;
    let uid = workstation.command(&["id", "-u", PERSON]).ok()?;
    let count = (pairs + WARM_UP).to_string();
    let told = workstation
        .command(&[SIGNER, uid.trim(), tpm, &count])
        .stdin(format!("{PIN}\n"))
        .within(LIMIT)
        .ok()?;
    let [ours, signature, question] = columns(&told)?;
    let (ours, signature, question) = (median(&ours)?, median(&signature)?, median(&question)?);
    let note = format!(
        "{pairs} pairs in turn; `unlock` and `sign` on latchkeyd's socket, after the question that \
         precedes a prompt for the PIN and has the daemon start the session and load the key ahead, \
         beside one salted policy session with its key and signature on a second swtpm of the same \
         settings; the question for a lockout that ours asks first takes {question:.1} ms there, of \
         which the reference has none"
    );
    Ok(Row::time("signin.unlock", ours, signature, 1.15, note))
}

/// How long one series may take.
const LIMIT: Duration = Duration::from_secs(900);
