//! Many keys at once into AD: the product against `ldapmodify` on the same domain controller.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Row;
use crate::company::{Company, REALM};
use crate::crowd::Crowd;
use crate::lab::address::full_name;
use crate::lab::{AGENT_ACCOUNT, AGENT_KEYTAB, Profile};

/// Ours and the reference take turns, each as often first as second.
const TURNS: [Whose; 8] = {
    use Whose::{Ours, Theirs};
    [Ours, Theirs, Theirs, Ours, Ours, Theirs, Theirs, Ours]
};

#[derive(Clone, Copy)]
enum Whose {
    Ours,
    Theirs,
}

/// Writes `count` keys, and as many by `ldapmodify`.
///
/// # Errors
/// When a key is not confirmed, or a program fails.
pub fn export(company: &Company, count: usize) -> Result<Vec<Row>> {
    let crowd = Crowd::gather(company, 2 * count, Profile::Release)?;
    crowd.configure()?;
    crowd.is_known(Duration::from_secs(600))?;
    // No listing runs meanwhile.
    company.grant_deletions()?;
    let turn = 2 * count / TURNS.len();
    let (mut ours, mut theirs) = (0.0, 0.0);
    for (place, whose) in TURNS.into_iter().enumerate() {
        let first = place * turn;
        match whose {
            Whose::Ours => ours += export_turn(&crowd, first, turn)?,
            Whose::Theirs => theirs += modify_turn(company, &crowd, first, turn)?,
        }
    }
    let rate = |seconds: f64| count as f64 / seconds;
    let note = format!(
        "{count} keys of as many users, each with a statement signed by a computer of the directory and \
         checked as ever, without a Kerberos proof of each user (allow_foreign_keys); from the first \
         confirmation at the server to the last; held against ldapmodify with one connection, sealed \
         as ours, from one file, on the same domain controller, in turns"
    );
    Ok(vec![Row::rate(
        "sync.export",
        rate(ours),
        rate(theirs),
        0.95,
        note,
    )])
}

/// Seconds that the agent takes for so many keys.
fn export_turn(crowd: &Crowd, first: usize, count: usize) -> Result<f64> {
    let before = crowd.times(0, 0, Duration::ZERO)?;
    let since = before.last().map_or(0, |(time, _)| *time);
    crowd.tell(crowd.keys(first, count, false)?)?;
    let times = crowd.times(since, count, Duration::from_secs(600))?;
    let done: u64 = times.iter().map(|(_, keys)| keys).sum();
    ensure!(
        done == count as u64,
        "{done} of {count}: {}",
        crowd.states()?
    );
    // The first page has no beginning here: its keys are left out on both sides.
    let ((begin, early), (end, _)) = times.first().zip(times.last()).context("no keys")?;
    ensure!(*early < count as u64, "too few keys for a rate");
    let share = count as f64 / (count as u64 - early) as f64;
    Ok((end - begin) as f64 / 1000.0 * share)
}

/// Seconds that `ldapmodify` takes for so many.
fn modify_turn(company: &Company, crowd: &Crowd, first: usize, count: usize) -> Result<f64> {
    let server = company.server()?;
    server.write_file("/root/keys.ldif", crowd.keys(first, count, true)?, 0o600)?;
    let script = format!(
        "set -e; export KRB5CCNAME=FILE:/root/keys.ccache; \
         kinit -k -t {AGENT_KEYTAB} {AGENT_ACCOUNT}@{REALM}; begin=$(date +%s%N); \
         ldapmodify -Q -N -Y GSSAPI -O minssf=56 -H ldap://{} -f /root/keys.ldif >/dev/null; \
         end=$(date +%s%N); echo $((end - begin))",
        full_name("dc")
    );
    let took = server.command(&["bash", "-c", &script]);
    let took = took.within(Duration::from_secs(900)).ok()?;
    Ok(took.trim().parse::<f64>()? / 1e9)
}
