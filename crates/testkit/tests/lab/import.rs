//! The directory on its way up: who is in, what is held, and when nothing goes.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::company::{Company, REALM};
use testkit::lab::{AGENT_KEYTAB, Lab, Options, Profile, target_folder};
use testkit::wait::{pass, until, until_some};

use crate::name;

const BASE: &str = "DC=corp,DC=latchkey,DC=test";
const SAM: &str = "/var/lib/samba/private/sam.ldb";
const SYNC_TOML: &str = "/etc/latchkey/sync.toml";
/// Enough for a listing of the directory and for a second one that finds no more.
const PATIENCE: Duration = Duration::from_secs(150);
/// More than come with one page of a group's members.
const CROWD: usize = 1600;

/// One more than may go at once; they are in no group.
const TOO_MANY: usize = 501;

/// A company without workstations, with a crowd in the scope, all of whom are in one group.
fn office() -> (MutexGuard<'static, ()>, &'static Company) {
    static TURN: Mutex<()> = Mutex::new(());
    static OFFICE: OnceLock<Company> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (
        turn,
        OFFICE.get_or_init(|| found().expect("the office comes up")),
    )
}

fn found() -> Result<Company> {
    let name = name("tests-import");
    Lab::down(&name)?;
    let options = Options {
        workstations: 0,
        ..Options::default()
    };
    let company = Company::new(Lab::up(&name, options)?);
    let fingerprint = company.start_server(Profile::Debug)?;
    company.connect_agent(&fingerprint)?;
    let all = (0..CROWD).map(|n| format!("crowd{n}"));
    let users: String = all
        .chain((0..TOO_MANY).map(|n| format!("temp{n}")))
        .map(|name| {
            format!(
                "dn: CN={name},OU=Crowd,OU=Staff,{BASE}\nobjectClass: user\n\
                 sAMAccountName: {name}\nuserAccountControl: 544\n\n"
            )
        })
        .collect();
    let unit = format!("dn: OU=Crowd,OU=Staff,{BASE}\nobjectClass: organizationalUnit\n\n");
    let members: String = (0..CROWD)
        .map(|n| format!("member: CN=crowd{n},OU=Crowd,OU=Staff,{BASE}\n"))
        .collect();
    let group = format!(
        "dn: CN=Everybody,{BASE}\nobjectClass: group\nsAMAccountName: Everybody\n{members}\n"
    );
    add(&company, unit + &users + &group)?;
    Ok(company)
}

fn ldb(company: &Company, tool: &str, ldif: String) -> Result<()> {
    let call = company.controller()?.command(&[tool, "-H", SAM]);
    call.stdin(ldif)
        .within(Duration::from_secs(300))
        .ok()
        .map(drop)
}

fn add(company: &Company, ldif: String) -> Result<()> {
    ldb(company, "ldbadd", ldif)
}

fn modify(company: &Company, dn: &str, change: &str) -> Result<()> {
    let ldif = format!("dn: {dn}\nchangetype: modify\n{change}\n");
    ldb(company, "ldbmodify", ldif)
}

fn user(company: &Company, upn: &str) -> Result<Value> {
    company.admin(&["user", "show", &format!("{upn}@corp.latchkey.test")])
}

fn comes(company: &Company, upn: &str) -> Result<Value> {
    until_some(&format!("{upn} at the server"), PATIENCE, || {
        user(company, upn)
    })
}

fn goes(company: &Company, upn: &str) -> Result<()> {
    until(&format!("{upn} to go"), PATIENCE, || {
        user(company, upn).is_err()
    })
}

fn members(company: &Company, group: &str) -> Result<usize> {
    let rows = company.admin(&["group", "members", group])?;
    rows.as_array().map(Vec::len).context("no list")
}

fn agent(company: &Company, words: &[&str]) -> Result<String> {
    let words = [&["latchkey-sync"], words].concat();
    company.server()?.command(&words).ok()
}

/// Runs a delta cycle, after the one that runs.
fn cycle(company: &Company) -> Result<()> {
    let words = ["latchkey-sync", "scheduler", "start", "delta", "--wait"];
    let server = company.server()?;
    until_some("a cycle", PATIENCE, || {
        server.command(&words).within(PATIENCE).ok()
    })
    .map(drop)
}

fn scope(company: &Company, groups: &[&str]) -> Result<()> {
    let server = company.server()?;
    let text = server.read_text(SYNC_TOML)?;
    let kept = text.lines().filter(|line| !line.starts_with("groups"));
    let mut text = kept.collect::<Vec<_>>().join("\n");
    if !groups.is_empty() {
        text = format!("{text}\ngroups = {}", json!(groups));
    }
    server.stop("latchkey-sync")?;
    server.write_file(SYNC_TOML, text + "\n", 0o600)?;
    company.run_agent()
}

#[test]
fn a_group_of_more_members_than_a_page_holds_comes_up_whole() -> Result<()> {
    let (_turn, company) = office();
    until_some("everybody", PATIENCE, || {
        let status: Value = serde_json::from_str(&agent(company, &["status", "--json"])?)?;
        ensure!(status["users"].as_u64() >= Some(CROWD as u64), "{status}");
        let count = members(company, "Everybody")?;
        ensure!(count == CROWD, "{count} of {CROWD}");
        Ok(())
    })
}

#[test]
fn a_group_whose_members_come_in_ranges_has_each_of_them_once() -> Result<()> {
    let (_turn, company) = office();
    let server = company.server()?;
    let program = target_folder().join("debug/examples/members");
    let program = std::fs::read(&program)
        .with_context(|| format!("{} (cargo build --examples)", program.display()))?;
    server.write_file("/usr/local/sbin/members", program, 0o755)?;
    let told = server.sh(&format!(
        "export KRB5CCNAME=FILE:/run/members.ccache; kinit -k -t {AGENT_KEYTAB} svc-latchkey && \
         members --realm {REALM} --group Everybody --step 500"
    ))?;
    let mut members: Vec<&str> = told.lines().collect();
    ensure!(members.len() == CROWD, "{} of {CROWD}", members.len());
    members.sort_unstable();
    members.dedup();
    ensure!(members.len() == CROWD, "{} once", members.len());
    Ok(())
}

#[test]
fn of_a_scope_with_groups_are_their_members_and_whoever_leaves_goes() -> Result<()> {
    let (_turn, company) = office();
    comes(company, "alice")?;
    add(
        company,
        format!(
            "dn: CN=Inner,{BASE}\nobjectClass: group\nsAMAccountName: Inner\n\
             member: CN=alice,OU=Staff,{BASE}\nmember: CN=dave,OU=Others,{BASE}\n\n\
             dn: CN=Outer,{BASE}\nobjectClass: group\nsAMAccountName: Outer\n\
             member: CN=Inner,{BASE}\n\n"
        ),
    )?;
    let outer = format!("CN=Outer,{BASE}");
    // The crowd leaves too: more than anybody would lose by mistake.
    agent(company, &["threshold", "set", "--objects", "none"])?;
    scope(company, &[&outer])?;
    let checked = (|| {
        goes(company, "bob")?;
        comes(company, "alice")?;
        ensure!(user(company, "dave").is_err(), "of another unit");
        let inner = format!("CN=Inner,{BASE}");
        modify(
            company,
            &inner,
            &format!(
                "delete: member\nmember: CN=alice,OU=Staff,{BASE}\n-\n\
                 add: member\nmember: CN=bob,OU=Staff,{BASE}"
            ),
        )?;
        comes(company, "bob")?;
        goes(company, "alice")
    })();
    scope(company, &[])?;
    comes(company, "alice")?;
    comes(company, "crowd1")?;
    agent(company, &["threshold", "set", "--objects", "500"])?;
    checked
}

/// How long it takes until the agent shows that an account of this name is gone.
fn noticed(company: &Company, name: &str) -> Result<Duration> {
    let dn = format!("CN={name},OU=Staff,{BASE}");
    let user =
        format!("dn: {dn}\nobjectClass: user\nsAMAccountName: {name}\nuserAccountControl: 544\n\n");
    add(company, user)?;
    let id = comes(company, name)?["guid"]
        .as_str()
        .context("no id")?
        .to_owned();
    ldb(
        company,
        "ldbmodify",
        format!("dn: {dn}\nchangetype: delete\n\n"),
    )?;
    let begun = Instant::now();
    until_some("the agent to show it", Duration::from_secs(60), || {
        let waits = agent(company, &["pending"])?;
        let is_shown = |line: &str| line.contains("delete") && line.contains(&id);
        ensure!(waits.lines().any(is_shown), "{waits}");
        Ok(())
    })?;
    let took = begun.elapsed();
    goes(company, name)?;
    Ok(took)
}

#[test]
fn a_deletion_is_noticed_within_seconds_with_and_without_the_right_to_be_told() -> Result<()> {
    let (_turn, company) = office();
    comes(company, "alice")?;
    let listings = noticed(company, "judy")?;
    let check = || -> Result<Value> {
        let said = agent(company, &["permissions", "check", "--json"])?;
        Ok(serde_json::from_str(&said)?)
    };
    let container = format!("CN=Deleted Objects,{BASE}");
    ensure!(check()?["optional"][0]["ou"] == container.as_str());
    for word in ["added", "is there"] {
        let said = company.grant_deletions()?;
        let line = said.lines().find(|line| line.starts_with(&container));
        ensure!(line.is_some_and(|line| line.contains(word)), "{said}");
    }
    ensure!(check()?["optional"] == json!([]));
    let told = noticed(company, "mallory")?;
    // On a machine that is busy a listing takes long, and comes the less often.
    ensure!(told < Duration::from_secs(5), "{listings:?}, {told:?}");
    Ok(())
}

#[test]
fn more_deletions_than_the_threshold_stop_before_the_first_until_they_are_confirmed() -> Result<()>
{
    let (_turn, company) = office();
    comes(company, "temp500")?;
    let gone: String = (0..TOO_MANY)
        .map(|n| format!("dn: CN=temp{n},OU=Crowd,OU=Staff,{BASE}\nchangetype: delete\n\n"))
        .collect();
    ldb(company, "ldbmodify", gone)?;
    let show = || -> Result<Value> {
        Ok(serde_json::from_str(&agent(
            company,
            &["threshold", "show", "--json"],
        )?)?)
    };
    until_some("the stop", PATIENCE, || {
        let shown = show()?;
        ensure!(shown["stopped"]["accounts"]["deletions"] == 501, "{shown}");
        Ok(())
    })?;
    for n in [0, 250, 500] {
        user(company, &format!("temp{n}"))?;
    }
    let said = agent(company, &["threshold", "show"])?;
    ensure!(said.contains("threshold confirm accounts"), "{said}");
    let log = company.server()?.read_text("/var/log/latchkey-sync.log")?;
    ensure!(
        log.contains("code=\"deletion_threshold\" event=116"),
        "{log}"
    );
    let told = company.admin(&["audit", "list"])?.to_string();
    ensure!(told.contains("116 deletion_threshold: 501 of"), "{told}");
    let status = agent(company, &["status"])?;
    ensure!(status.contains("alarm      deletion_threshold"), "{status}");
    let waits = agent(company, &["pending"])?;
    ensure!(waits.contains("deletion_threshold  501 of"), "{waits}");

    // The rest flows.
    modify(
        company,
        &format!("CN=bob,OU=Staff,{BASE}"),
        "replace: mail\nmail: b@mail.example",
    )?;
    until_some("what changed meanwhile", PATIENCE, || {
        let bob = user(company, "bob")?;
        ensure!(bob["mail"] == "b@mail.example", "{bob}");
        Ok(())
    })?;
    agent(company, &["threshold", "confirm", "accounts"])?;
    for n in [0, 250, 500] {
        goes(company, &format!("temp{n}"))?;
    }
    user(company, "crowd1")?;
    until_some("the guard to be back", PATIENCE, || {
        let shown = show()?;
        ensure!(
            shown["meant"]["accounts"] == 0 && shown["stopped"]["accounts"].is_null(),
            "{shown}"
        );
        Ok(())
    })
}

#[test]
fn a_user_whom_the_server_does_not_take_is_held_and_let_in_when_it_does() -> Result<()> {
    let (_turn, company) = office();
    let erin = || company.admin(&["user", "show", "erin@company.example"]);
    company.admin(&["user", "create", "erin@company.example"])?;
    add(
        company,
        format!(
            "dn: CN=erin,OU=Staff,{BASE}\nobjectClass: user\nsAMAccountName: erin\n\
             userAccountControl: 544\nuserPrincipalName: erin@company.example\n\n\
             dn: CN=frank,OU=Staff,{BASE}\nobjectClass: user\nsAMAccountName: frank\n\
             userAccountControl: 544\nmail: not an address\n\n\
             dn: CN=grace,OU=Staff,{BASE}\nobjectClass: user\nsAMAccountName: grace\n\
             userAccountControl: 544\n\n"
        ),
    )?;
    // One was copied from the other with all that it had.
    let twins = ["olivia", "peggy"].map(|name| {
        format!(
            "dn: CN={name},OU=Staff,{BASE}\nobjectClass: user\nsAMAccountName: {name}\n\
             userAccountControl: 544\nmS-DS-ConsistencyGuid:: AAECAwQFBgcICQoLDA0ODw==\n\n"
        )
    });
    add(company, twins.concat())?;
    comes(company, "grace")?;
    until_some("who is held", PATIENCE, || {
        let said = agent(company, &["status"])?;
        let is_held = |line: &str| said.contains(line);
        ensure!(
            is_held("held       erin@company.example: the object is of"),
            "{said}"
        );
        ensure!(
            is_held("held       frank@corp.latchkey.test: the mail address"),
            "{said}"
        );
        for twin in ["olivia", "peggy"] {
            let why = format!("held       {twin}@corp.latchkey.test: the user with the objectGUID");
            ensure!(is_held(&why), "{said}");
        }
        Ok(())
    })?;
    ensure!(erin()?["kind"] == "cloud");
    modify(
        company,
        &format!("CN=frank,OU=Staff,{BASE}"),
        "replace: mail\nmail: f@mail.example",
    )?;
    comes(company, "frank")?;
    let peggy = format!("CN=peggy,OU=Staff,{BASE}");
    modify(company, &peggy, "delete: mS-DS-ConsistencyGuid")?;
    comes(company, "peggy")?;

    // At the server alone: in AD nothing changes.
    company.admin(&["settings", "set", "block-soft-match", "off"])?;
    cycle(company)?;
    let matched = until_some("erin of the directory", PATIENCE, || {
        let erin = erin()?;
        ensure!(erin["kind"] == "synced", "{erin}");
        Ok(())
    });
    company.admin(&["settings", "set", "block-soft-match", "on"])?;
    matched
}

#[test]
fn a_computer_that_published_a_certificate_goes_up_at_once() -> Result<()> {
    let (_turn, company) = office();
    comes(company, "alice")?;
    add(
        company,
        format!(
            "dn: CN=HYBRID,CN=Computers,{BASE}\nobjectClass: computer\nsAMAccountName: HYBRID$\n\
             userAccountControl: 4096\n\n"
        ),
    )?;
    // Computers of this name and certificates of theirs.
    let sql = "SELECT COUNT(DISTINCT c.guid), COUNT(p.place) FROM computers c \
               LEFT JOIN computer_certificates p ON p.computer = c.guid WHERE c.name = 'HYBRID'";
    let ask = format!(
        "import sqlite3
db = sqlite3.connect('/var/lib/latchkey-server/store.sqlite', timeout=60)
print(*db.execute(\"{sql}\").fetchone())"
    );
    let server = company.server()?;
    let has = |expected: &str| {
        let said = server.command(&["python3", "-c", &ask]).ok();
        said.is_ok_and(|said| said.trim() == expected)
    };
    until("the computer at the server", PATIENCE, || has("1 0"))?;
    modify(
        company,
        &format!("CN=HYBRID,CN=Computers,{BASE}"),
        "replace: userCertificate\nuserCertificate:: MAA=",
    )?;
    until("its certificate there", Duration::from_secs(5), || {
        has("1 1")
    })
}

#[test]
fn whom_another_agent_sent_and_the_directory_lost_goes_when_this_one_takes_over() -> Result<()> {
    let (_turn, company) = office();
    let (unit, group) = (format!("OU=Staff,{BASE}"), format!("CN=Couple,{BASE}"));
    add(
        company,
        format!(
            "dn: CN=trent,{unit}\nobjectClass: user\nsAMAccountName: trent\n\
             userAccountControl: 544\n\n\
             dn: {group}\nobjectClass: group\nsAMAccountName: Couple\n\
             member: CN=trent,{unit}\nmember: CN=alice,{unit}\n\n"
        ),
    )?;
    comes(company, "trent")?;
    until_some("both in the group", PATIENCE, || {
        let count = members(company, "Couple")?;
        ensure!(count == 2, "{count}");
        Ok(())
    })?;
    let server = company.server()?;
    server.stop("latchkey-sync")?;
    // As if it had never sent anything itself.
    server.sh("rm -f /var/lib/latchkey-sync/known.json")?;
    let gone = format!("dn: CN=trent,{unit}\nchangetype: delete\n\n");
    ldb(company, "ldbmodify", gone)?;
    let left = format!("delete: member\nmember: CN=alice,{unit}");
    modify(company, &group, &left)?;
    company.run_agent()?;
    goes(company, "trent")?;
    until_some("nobody in the group", PATIENCE, || {
        let count = members(company, "Couple")?;
        ensure!(count == 0, "{count}");
        Ok(())
    })
}

#[test]
fn users_come_with_the_unit_that_is_moved_into_the_scope() -> Result<()> {
    let (_turn, company) = office();
    let user = |name: &str| {
        format!(
            "dn: CN={name},OU=Guests,{BASE}\nobjectClass: user\nsAMAccountName: {name}\n\
             userAccountControl: 544\n\n"
        )
    };
    let unit = format!("dn: OU=Guests,{BASE}\nobjectClass: organizationalUnit\n\n");
    let group = format!(
        "dn: CN=Visitors,{BASE}\nobjectClass: group\nsAMAccountName: Visitors\n\
         member: CN=victor,OU=Guests,{BASE}\n\n"
    );
    add(company, unit + &user("victor") + &user("walter") + &group)?;
    // Whoever comes later was read later.
    add(company, user("wendy").replace("Guests", "Staff"))?;
    comes(company, "wendy")?;
    ensure!(self::user(company, "victor").is_err(), "not of the scope");
    let names = ["OU=Guests,", "OU=Guests,OU=Staff,"].map(|name| name.to_owned() + BASE);
    let [from, to] = &names;
    let moved = company.controller()?;
    moved.command(&["ldbrename", "-H", SAM, from, to]).ok()?;
    cycle(company)?;
    comes(company, "victor")?;
    comes(company, "walter")?;
    until_some("victor among the visitors", PATIENCE, || {
        let count = members(company, "Visitors")?;
        ensure!(count == 1, "{count}");
        Ok(())
    })
}

#[test]
fn what_changes_while_the_server_is_away_arrives_when_it_is_back() -> Result<()> {
    let (_turn, company) = office();
    comes(company, "alice")?;
    let server = company.server()?;
    server.stop("latchkey-server")?;
    let unit = format!("OU=Staff,{BASE}");
    let new = |name: &str| {
        format!(
            "dn: CN={name},{unit}\nobjectClass: user\nsAMAccountName: {name}\nuserAccountControl: 544\n\n"
        )
    };
    add(company, new("heidi"))?;
    modify(
        company,
        &format!("CN=carol,{unit}"),
        "replace: mail\nmail: c@mail.example",
    )?;
    // As long as a network that is cut and mended.
    pass(Duration::from_secs(30));
    add(company, new("ivan"))?;
    pass(Duration::from_secs(30));
    company.run_server()?;
    for name in ["heidi", "ivan"] {
        comes(company, name)?;
    }
    until_some("carol's change", PATIENCE, || {
        let carol = user(company, "carol")?;
        ensure!(carol["mail"] == "c@mail.example", "{carol}");
        Ok(())
    })
}
