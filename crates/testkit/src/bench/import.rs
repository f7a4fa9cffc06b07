//! The way of a whole directory up to the server, beside reading it with `ldapsearch`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Row, median};
use crate::company::{Company, REALM};
use crate::lab::{AGENT_ACCOUNT, AGENT_KEYTAB, Host, Lab, Options, Profile};
use crate::wait::until_some;

/// Entries that the agent may read for one change.
const MOST_READ: f64 = 10.0;
/// What the agent may take of memory.
const MEMORY_MIB: f64 = 256.0;
/// How soon a change is at the server, in milliseconds.
const NOTICED_MS: f64 = 5000.0;
const PATIENCE: Duration = Duration::from_secs(1800);
const BASE: &str = "DC=corp,DC=latchkey,DC=test";
const CONFIG: &str = "/etc/latchkey/sync.toml";
const LOG: &str = "/var/log/latchkey-sync.log";
/// What the agent asks for of a user.
const ATTRIBUTES: &str = "objectGUID objectSid objectClass sAMAccountName userPrincipalName displayName \
    mail proxyAddresses mS-DS-ConsistencyGuid userAccountControl accountExpires lockoutTime pwdLastSet \
    logonHours adminCount uSNChanged";

/// Imports `crowd` users into a server that has none of them, in a fresh lab `name`.
///
/// # Errors
/// When a part does not come up, or the import does not end.
pub fn import(name: &str, crowd: u32, say: fn(&str)) -> Result<Vec<Row>> {
    Lab::down(name)?;
    let options = Options {
        workstations: 0,
        crowd,
        say,
    };
    let company = Company::new(Lab::up(name, options)?);
    let fingerprint = company.start_server(Profile::Release)?;
    company.connect_agent(&fingerprint)?;
    let server = company.server()?;
    server.stop("latchkey-sync")?;
    let config = server.read_text(CONFIG)?;
    let wider = config.replace("ous = [", &format!("ous = [\"OU=Crowd,{BASE}\", "));
    server.write_file(CONFIG, wider, 0o600)?;
    // What is deleted is told, not found by a listing that runs beside what is measured.
    company.grant_deletions()?;

    // One reading warms the domain controller's cache for both.
    listing(&server, crowd)?;
    let before = listing(&server, crowd)?;
    server.write_file(LOG, "", 0o600)?;
    company.run_agent()?;
    let line = line_of(&server, "everything imported")?;
    let users = field(&line, "users")?;
    ensure!(users >= f64::from(crowd), "{line}");
    let ours = field(&line, "ms")?;
    let memory = peak(&server)?;
    let reference = median(&[before, listing(&server, crowd)?])?;

    let (ms, read) = one_change(&company)?;
    let memory = memory.max(peak(&server)?);
    let what = format!("{crowd} users, groups and computers into a server that had none of them");
    Ok(vec![
        Row::time(
            "sync.import",
            ours,
            reference,
            1.5,
            format!(
                "{what}; beside the median of two paged ldapsearch (1,000 a page, sealed as the agent's \
                 is) of the same attributes, before and after"
            ),
        ),
        Row::memory(
            "sync.import_memory",
            memory,
            MEMORY_MIB,
            format!("the most resident memory of the agent; {what}"),
        ),
        Row::time(
            "sync.one_change",
            ms,
            NOTICED_MS,
            1.0,
            format!(
                "from one user's change in AD to the server, among {crowd}; the agent read {read} \
                 entries for it; held against the 5 s in which changes are to be noticed"
            ),
        ),
    ])
}

/// Reads all users as the agent does, but with the usual tool; answers milliseconds.
fn listing(server: &Host, crowd: u32) -> Result<f64> {
    let line = format!(
        "set -e; export KRB5CCNAME=FILE:/run/listing.ccache
         kinit -k -t {AGENT_KEYTAB} {AGENT_ACCOUNT}@{REALM}
         begun=$(date +%s%N)
         ldapsearch -LLL -Q -N -Y GSSAPI -o ldif-wrap=no -E pr=1000/noprompt -H ldap://dc.corp.latchkey.test \
             -b OU=Crowd,{BASE} '(&(objectCategory=person)(objectClass=user))' {ATTRIBUTES} >/tmp/listing
         ended=$(date +%s%N)
         echo $(( (ended - begun) / 1000 )) $(grep -c ^dn: /tmp/listing)
         rm /tmp/listing; kdestroy"
    );
    let call = server.command(&["sh", "-c", &line]).within(PATIENCE);
    let told = call.ok()?;
    let (us, count) = told.trim().split_once(' ').context("no times")?;
    ensure!(count.parse() == Ok(crowd), "{count} users were listed");
    Ok(us.parse::<f64>()? / 1000.0)
}

fn line_of(server: &Host, what: &str) -> Result<String> {
    until_some(what, PATIENCE, || -> Result<String> {
        let log = server.read_text(LOG)?;
        let mut lines = log.lines().rev();
        let line = lines.find(|line| line.contains(what));
        line.map(str::to_owned).with_context(|| log.clone())
    })
}

/// The number behind `name=` in a line of the log.
fn field(line: &str, name: &str) -> Result<f64> {
    let mut words = line.split([' ', '\n']);
    let prefix = format!("{name}=");
    let value = words.find_map(|word| word.strip_prefix(&prefix));
    Ok(value.with_context(|| line.to_owned())?.parse()?)
}

fn peak(server: &Host) -> Result<f64> {
    let number = server.pid("latchkey-sync").context("the agent ended")?;
    let status = server.read_text(&format!("/proc/{number}/status"))?;
    super::footprint::mib(&status, "VmHWM:")
}

/// Changes one user in AD; answers the milliseconds until the server has it, and how many entries the
/// agent read for it.
fn one_change(company: &Company) -> Result<(f64, f64)> {
    let (server, name) = (company.server()?, "crowd000777");
    // Emptied in place: the agent goes on writing into this very file.
    server.sh(&format!("truncate -s 0 {LOG}"))?;
    let ldif = format!(
        "dn: CN={name},OU=Crowd,{BASE}\nchangetype: modify\nreplace: displayName\n\
         displayName: Another\n"
    );
    let change = ["ldbmodify", "-H", "/var/lib/samba/private/sam.ldb"];
    company.controller()?.command(&change).stdin(ldif).ok()?;
    let begun = Instant::now();
    until_some("the change at the server", PATIENCE, || -> Result<()> {
        let shown = company.admin(&["user", "show", &format!("{name}@corp.latchkey.test")])?;
        let name = shown.get("name").and_then(Value::as_str);
        ensure!(name == Some("Another"), "{shown}");
        Ok(())
    })?;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    let line = line_of(&server, "changes imported")?;
    let read = field(&line, "read")?;
    ensure!(read <= MOST_READ, "{read} entries for one change: {line}");
    Ok((ms, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_name() {
        let line = "INFO everything imported users=5 ms=12";
        assert!((field(line, "users").unwrap() - 5.0).abs() < 1e-9);
        assert!(field(line, "groups").is_err());
    }
}
