//! What the agent's account may do, checked and given in the real directory.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testkit::lab::{Host, Lab, Output, Profile};
use testkit::wait::{until, until_some};

use crate::chain::PIN;
use crate::{company, shared};

const CONFIG: &str = r#"
realm = "CORP.LATCHKEY.TEST"
account = "svc-latchkey"
principal = "latchkey-sync/server.corp.latchkey.test"
keytab = "/etc/latchkey/sync.keytab"
state = "/var/lib/latchkey-permissions"
[scope]
ous = ["OU=Staff,DC=corp,DC=latchkey,DC=test"]
"#;
const PATH: &str = "/etc/latchkey/permissions.toml";
const DOMAIN: &str = "DC=corp,DC=latchkey,DC=test";
const STAFF: &str = "OU=Staff,DC=corp,DC=latchkey,DC=test";
const SAM: &str = "/var/lib/samba/private/sam.ldb";
const TICKET: &str = "FILE:/run/permissions.ccache";
const KEYS: &str = "5b47d60f-6090-40b2-9f37-2a4de88f3063";
const USER: &str = "bf967aba-0de6-11d0-a285-00aa003049e2";

/// A unit below Staff that takes no entries from above, with a person in it; or none again.
const BLOCK: &str = r#"
import sys, ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils
lp = LoadParm()
lp.load_default()
db = SamDB(session_info=system_session(), lp=lp)
unit = f"OU=Walled,OU=Staff,{db.domain_dn()}"
if sys.argv[1] == "off":
    db.delete(unit, ["tree_delete:1"])
    sys.exit()
db.add({"dn": unit, "objectClass": "organizationalUnit"})
utils = SDUtils(db)
descriptor = utils.read_sd_on_dn(unit)
descriptor.type |= security.SEC_DESC_DACL_PROTECTED
kept = [ace for ace in descriptor.dacl.aces if not ace.flags & security.SEC_ACE_FLAG_INHERITED_ACE]
descriptor.dacl.aces, descriptor.dacl.num_aces = kept, len(kept)
utils.modify_sd_on_dn(unit, descriptor)
db.newuser("wanda", "Walled-in.1234", userou="OU=Walled,OU=Staff")
"#;

struct Stage<'l> {
    lab: &'l Lab,
    server: Host,
    dc: Host,
    sid: String,
}

impl<'l> Stage<'l> {
    fn set(lab: &'l Lab) -> Result<Self> {
        let (server, dc) = (lab.host("server")?, lab.host("dc")?);
        lab.install(&server, Profile::Debug)?;
        server.write_file(PATH, CONFIG, 0o600)?;
        let found = dc.sh(&format!(
            "ldbsearch -H {SAM} '(sAMAccountName=svc-latchkey)' objectSid"
        ))?;
        let sid = found
            .lines()
            .find_map(|line| line.strip_prefix("objectSid: "));
        let sid = sid.context("no SID")?.to_owned();
        Ok(Self {
            lab,
            server,
            dc,
            sid,
        })
    }

    fn ask(&self, words: &[&str]) -> Result<Output> {
        let agent = ["latchkey-sync", "--config", PATH, "permissions"];
        let call = self.server.command(&[&agent[..], words].concat());
        call.env("KRB5CCNAME", TICKET).run()
    }

    fn check(&self) -> Result<(i32, Value)> {
        let said = self.ask(&["check", "--json"])?;
        let report = serde_json::from_str(&said.stdout).with_context(|| said.text())?;
        Ok((said.status, report))
    }

    fn ace(&self) -> String {
        format!("(OA;CIIO;RPWP;{KEYS};{USER};{})", self.sid)
    }

    fn dsacl(&self, verb: &str, dn: &str, ace: &str) -> Result<()> {
        let (dn, ace) = (format!("--objectdn={dn}"), format!("--sddl={ace}"));
        let words = ["samba-tool", "dsacl", verb, "-H", SAM, &dn, &ace];
        self.dc.command(&words).ok().map(drop)
    }

    fn administrators_ticket(&self) -> Result<()> {
        let call = self.server.command(&["kinit", "Administrator"]);
        let password = format!("{}\n", self.lab.administrator_password());
        call.env("KRB5CCNAME", TICKET)
            .stdin(password)
            .ok()
            .map(drop)
    }
}

#[test]
fn a_right_that_was_taken_is_named_with_its_entry_and_given_back_by_grant() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    let (status, report) = stage.check()?;
    ensure!(
        status == 0 && report["excessive"] == Value::Array(vec![]),
        "{report}"
    );

    stage.dsacl("delete", STAFF, &stage.ace())?;
    let (status, report) = stage.check()?;
    let missing = &report["missing"][0];
    ensure!(status == 3 && missing["ou"] == STAFF, "{report}");
    ensure!(missing["ace"] == stage.ace().as_str(), "{report}");
    ensure!(missing["accounts"].as_u64() >= Some(3), "{report}");
    let said = stage.ask(&["check"])?;
    ensure!(
        said.status == 3 && said.stdout.contains("permissions grant"),
        "{}",
        said.text()
    );

    // Nobody's ticket, then that of somebody who may not, would add nothing.
    let refused = stage.ask(&["grant"])?;
    ensure!(refused.status == 1, "{}", refused.text());
    stage.administrators_ticket()?;
    let would = stage.ask(&["grant", "--dry-run"])?.ok()?;
    ensure!(
        would.contains("would add") && would.contains(&stage.ace()),
        "{would}"
    );
    ensure!(stage.check()?.0 == 3);
    let before = stage
        .dc
        .sh(&format!("samba-tool dsacl get -H {SAM} --objectdn={STAFF}"))?;
    let added = stage.ask(&["grant"])?.ok()?;
    ensure!(added.contains("added"), "{added}");
    let again = stage.ask(&["grant"])?.ok()?;
    ensure!(again.contains("is there"), "{again}");
    let after = stage
        .dc
        .sh(&format!("samba-tool dsacl get -H {SAM} --objectdn={STAFF}"))?;
    let entries = |text: &str| -> Vec<String> {
        let entries = text.split('(').skip(1);
        entries
            .map(|entry| entry.split(')').next().unwrap_or_default().to_owned())
            .collect()
    };
    let kept = entries(&after);
    for entry in entries(&before) {
        ensure!(kept.contains(&entry), "({entry}) is gone: {after}");
    }
    stage
        .server
        .command(&["kdestroy"])
        .env("KRB5CCNAME", TICKET)
        .ok()?;
    let (status, report) = stage.check()?;
    ensure!(status == 0, "{report}");
    Ok(())
}

#[test]
fn every_right_beyond_the_one_is_named_where_it_is_given() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    let sid = &stage.sid;
    let holder = format!("CN=AdminSDHolder,CN=System,{DOMAIN}");
    let others = format!("OU=Others,{DOMAIN}");
    let admins = format!("CN=Domain Admins,CN=Users,{DOMAIN}");
    let administrator = format!("CN=Administrator,CN=Users,{DOMAIN}");
    let controller = format!("CN=DC,OU=Domain Controllers,{DOMAIN}");
    let full = format!("(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;{sid})");
    let secrets = "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2";
    let excess = [
        (DOMAIN, stage.ace(), "every account"),
        (
            DOMAIN,
            format!("(OA;;CR;{secrets};;{sid})"),
            "secrets included",
        ),
        (
            &holder,
            format!("(OA;;RPWP;{KEYS};;{sid})"),
            "protected accounts",
        ),
        (&others, stage.ace(), "outside the agent's scope"),
        (STAFF, format!("(A;CI;WDWO;;;{sid})"), "WRITE_DAC"),
        (STAFF, format!("(OA;CI;WP;{KEYS};;{sid})"), "computers too"),
        (&admins, full.clone(), "write attributes"),
        (&administrator, full.clone(), "WRITE_DAC"),
        (&controller, full, "every extended right"),
    ];
    for (dn, ace, _) in &excess {
        stage.dsacl("set", dn, ace)?;
    }
    stage
        .dc
        .sh("samba-tool group addmembers 'Account Operators' svc-latchkey")?;
    let (status, report) = stage.check()?;
    stage
        .dc
        .sh("samba-tool group removemembers 'Account Operators' svc-latchkey")?;
    for (dn, ace, _) in &excess {
        stage.dsacl("delete", dn, ace)?;
    }
    ensure!(status == 0, "{report}");
    let found = report["excessive"].as_array().context("no list")?;
    for (dn, ace, said) in &excess {
        let named = found.iter().any(|found| {
            let what = found["what"].as_str().unwrap_or_default();
            found["dn"] == *dn && what.contains(said)
        });
        ensure!(named, "{dn} {ace} is not named: {report}");
    }
    let is_group = |found: &Value| {
        found["dn"]
            .as_str()
            .is_some_and(|dn| dn.contains("Account Op"))
    };
    ensure!(found.iter().any(is_group), "{report}");
    let (_, report) = stage.check()?;
    ensure!(report["excessive"] == Value::Array(vec![]), "{report}");
    Ok(())
}

#[test]
fn a_unit_that_takes_no_entries_from_above_is_named() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    stage.dc.command(&["python3", "-c", BLOCK, "on"]).ok()?;
    let checked = stage.check();
    stage.dc.command(&["python3", "-c", BLOCK, "off"]).ok()?;
    let (status, report) = checked?;
    let blocked = &report["blocked"][0];
    ensure!(status == 3, "{report}");
    ensure!(
        blocked["dn"] == format!("OU=Walled,{STAFF}").as_str(),
        "{report}"
    );
    ensure!(blocked["accounts"] == 1, "{report}");
    Ok(())
}

#[test]
fn what_waits_while_the_right_is_withdrawn_is_written_when_it_is_back() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let stage = Stage::set(&company.lab)?;
    let log = || stage.server.read_text("/var/log/latchkey-sync.log");
    let from = log()?.len();
    stage.dsacl("delete", STAFF, &stage.ace())?;
    let (said, enrolled) = std::thread::scope(|scope| {
        let enrolling = scope.spawn(|| company.enrolled("alice", PIN));
        let said = until_some("the agent to say why", Duration::from_secs(40), || {
            let log = log()?;
            let fresh = log.get(from..).unwrap_or_default();
            ensure!(fresh.contains("permissions check"), "{fresh}");
            ensure!(
                company.keys_in_directory("alice")?.is_empty(),
                "it was written"
            );
            Ok(())
        });
        let back = stage.dsacl("set", STAFF, &stage.ace());
        let enrolled = enrolling.join();
        let enrolled = enrolled.unwrap_or_else(|_| bail!("the enrollment died"));
        (said.and(back), enrolled)
    });
    said?;
    enrolled?;
    until("the key in AD", Duration::from_secs(40), || {
        company
            .keys_in_directory("alice")
            .is_ok_and(|keys| keys.len() == 1)
    })?;
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}
