//! A thousand keys on their way into AD, and everything on that way fails.
//!
//! What must hold in the end: AD has of every user exactly the one value that was asked for, or none
//! once its removal was, and every value of another product's byte by byte as that one wrote it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::{DnBinary, Entry, KeyCredential, RsaPublicKey};
use model::{Filetime, UnixTime};
use serde_json::Value;
use testkit::company::{Company, REALM};
use testkit::crowd::Crowd;
use testkit::lab::{AGENT_ACCOUNT, Lab, Options, Profile, address};
use testkit::wait::{self, until_some};

use crate::name;

const COUNT: usize = 1000;
const SAM: &str = "/var/lib/samba/private/sam.ldb";
const PATIENCE: Duration = Duration::from_secs(300);
const ADMINISTRATOR: &str = "FILE:/root/administrator.ccache";

/// Blobs by user, sorted.
type Values = BTreeMap<String, Vec<Vec<u8>>>;

/// A server, an agent and a crowd, and nobody at a workstation.
struct Scene {
    company: Company,
    crowd: Crowd,
}

fn is_long() -> bool {
    std::env::var_os("LATCHKEY_LONG_TESTS").is_some()
}

fn scene() -> (MutexGuard<'static, ()>, &'static Scene) {
    static TURN: Mutex<()> = Mutex::new(());
    static SCENE: OnceLock<Scene> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = SCENE.get_or_init(|| Scene::set().expect("the company comes up"));
    (turn, scene)
}

impl Scene {
    fn set() -> Result<Self> {
        let name = name("tests-export");
        Lab::down(&name)?;
        let company = Company::new(Lab::up(&name, Options::default())?);
        let fingerprint = company.start_server(Profile::Debug)?;
        company.connect_agent(&fingerprint)?;
        let crowd = Crowd::gather(&company, COUNT, Profile::Debug)?;
        crowd.configure()?;
        crowd.is_known(PATIENCE)?;
        let ticket = company
            .server()?
            .command(&["kinit", &format!("Administrator@{REALM}")]);
        let ticket = ticket.env("KRB5CCNAME", ADMINISTRATOR);
        let password = format!("{}\n", company.lab.administrator_password());
        ticket.stdin(password).ok()?;
        Ok(Self { company, crowd })
    }

    /// Every key value of the crowd in AD.
    fn values(&self) -> Result<Values> {
        let base = "OU=Crowd,OU=Staff,DC=corp,DC=latchkey,DC=test";
        let words = ["ldbsearch", "-H", SAM, "-b", base, "msDS-KeyCredentialLink"];
        let found = self.company.controller()?.command(&words).ok()?;
        let mut values = Values::new();
        for line in found.replace("\n ", "").lines() {
            if let Some(value) = line.strip_prefix("msDS-KeyCredentialLink: ") {
                add(&mut values, value)?;
            }
        }
        Ok(sorted(values))
    }

    /// What AD must have of keys that the server was told of.
    fn expected(&self, keys: &str) -> Result<Values> {
        let names: Vec<&str> = self.crowd.names().collect();
        let mut values = Values::new();
        for (line, name) in keys.lines().zip(names) {
            let key: Value = serde_json::from_str(line)?;
            let text = |field: &str| key[field].as_str().context("no text");
            let public = RsaPublicKey::from_rsa1(&STANDARD.decode(text("material")?)?)?;
            let time = key["evidence"]["time"].as_i64().context("no time")?;
            let made = Filetime::from(UnixTime(time));
            let value = KeyCredential::for_user(&public, text("device")?.parse()?, made, made);
            values
                .entry(name.to_owned())
                .or_default()
                .push(value.encode());
        }
        Ok(values)
    }

    /// Changes AD as another product's administrator, from a file, while the rest goes on.
    fn another_product(&self, ldif: &str) -> Result<()> {
        let server = self.company.server()?;
        server.write_file("/root/other.ldif", ldif, 0o600)?;
        let url = format!("ldap://{}", address::full_name("dc"));
        let words = ["ldapmodify", "-Q", "-N", "-Y", "GSSAPI", "-H", &url];
        let words = [&words[..], &["-f", "/root/other.ldif"]].concat();
        let call = server.command(&words).env("KRB5CCNAME", ADMINISTRATOR);
        call.daemon("other-product")
    }

    /// How many keys are in this state.
    fn count(&self, state: &str) -> Result<u64> {
        Ok(self.crowd.states()?[state].as_u64().unwrap_or_default())
    }

    /// Waits until so many keys are in this state.
    fn reaches(&self, state: &str, count: u64) -> Result<()> {
        until_some(state, PATIENCE, || {
            let states = self.crowd.states()?;
            let there = states[state].as_u64().unwrap_or_default();
            ensure!(there >= count, "{states}");
            Ok(())
        })
    }

    /// Changes an entry as the domain controller itself.
    fn change(&self, dn: &str, change: &str) -> Result<()> {
        let ldif = format!("dn: {dn}\nchangetype: modify\n{change}\n");
        let call = self
            .company
            .controller()?
            .command(&["ldbmodify", "-H", SAM]);
        call.stdin(ldif).ok().map(drop)
    }

    /// Takes the other product's values out.
    fn clear(&self) -> Result<()> {
        let mut ldif = String::new();
        for dn in self.values()?.keys() {
            ldif += &format!("dn: {dn}\nchangetype: modify\ndelete: msDS-KeyCredentialLink\n\n");
        }
        let call = self
            .company
            .controller()?
            .command(&["ldbmodify", "-H", SAM]);
        call.stdin(ldif).within(PATIENCE).ok().map(drop)
    }

    fn restart_agent(&self) -> Result<()> {
        self.company.server()?.kill("latchkey-sync", "KILL")?;
        self.company.run_agent()
    }

    fn status(&self) -> Result<Value> {
        let words = ["latchkey-sync", "status", "--json"];
        let told = self.company.server()?.command(&words).ok()?;
        Ok(serde_json::from_str(&told)?)
    }

    /// Stops the agent amid its writes for longer than its lease lasts: awake, it writes nothing before
    /// it has a new one.
    fn outsleep_the_lease(&self) -> Result<()> {
        self.reaches("confirmed", 1)?;
        let server = self.company.server()?;
        let pid = server.pid("latchkey-sync").context("no agent")?;
        let log = || server.read_text("/var/log/latchkey-sync.log");
        server.sh(&format!("kill -s STOP {pid}"))?;
        let before = log()?.len();
        wait::pass(Duration::from_secs(65));
        server.sh(&format!("kill -s CONT {pid}"))?;
        until_some("a write that is not begun", PATIENCE, || {
            let log = log()?.split_off(before);
            ensure!(log.contains("nothing is written: "), "{log}");
            Ok(())
        })
    }

    /// Cuts the agent off from the domain controller.
    fn cut(&self, time: Duration) -> Result<()> {
        let server = self.company.server()?;
        let rule = format!(
            "nft add table inet cut; nft add chain inet cut out '{{ type filter hook output priority 0; }}'; \
             nft add rule inet cut out ip daddr {} drop",
            address::address("dc")?
        );
        server.sh(&rule)?;
        wait::pass(time);
        server.sh("nft delete table inet cut").map(drop)
    }
}

fn add(values: &mut Values, text: &str) -> Result<()> {
    let DnBinary { binary, dn } = text.parse().with_context(|| text.to_owned())?;
    values.entry(dn).or_default().push(binary);
    Ok(())
}

fn sorted(mut values: Values) -> Values {
    values.values_mut().for_each(|values| values.sort());
    values
}

/// Values that another product adds: one for each user, and takes out every second again.
fn others(ldif: &str) -> Result<(String, Values)> {
    let (mut changes, mut left) = (String::new(), Values::new());
    for (place, record) in ldif
        .split("\n\n")
        .filter(|text| !text.trim().is_empty())
        .enumerate()
    {
        let record = record.trim();
        changes += &format!("{record}\n\n");
        if place % 2 == 0 {
            changes += &format!("{}\n\n", record.replacen("\nadd:", "\ndelete:", 1));
            continue;
        }
        let value = record
            .lines()
            .find_map(|line| line.strip_prefix("msDS-KeyCredentialLink: "));
        add(&mut left, value.context("no value")?)?;
    }
    Ok((changes, left))
}

fn together(mut ours: Values, theirs: &Values) -> Values {
    for (user, values) in theirs {
        ours.entry(user.clone())
            .or_default()
            .extend(values.iter().cloned());
    }
    sorted(ours)
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        // Knuth's multiplier for 64 bits.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % (most + 1)
    }
}

#[test]
fn what_fails_on_the_way_of_a_thousand_keys_costs_none_and_doubles_none() -> Result<()> {
    let (_turn, scene) = scene();
    let crowd = &scene.crowd;
    let (changes, theirs) = others(&crowd.keys(0, COUNT, true)?)?;
    let keys = crowd.keys(0, COUNT, false)?;
    let expected = together(scene.expected(&keys)?, &theirs);
    crowd.tell(keys)?;
    scene.another_product(&changes)?;

    if is_long() {
        scene.outsleep_the_lease()?;
    }

    // The agent is killed at random points.
    let kills = if is_long() { 50 } else { 5 };
    let mut dice = Dice(7);
    for kill in 0..kills {
        scene.reaches("confirmed", COUNT as u64 * kill / (kills + 1))?;
        wait::pass(Duration::from_millis(dice.up_to(1500)));
        scene.restart_agent()?;
    }
    scene.reaches("confirmed", COUNT as u64)?;
    until_some("the other product's last change", PATIENCE, || {
        let values = scene.values()?;
        let count = |values: &Values| values.values().map(Vec::len).sum::<usize>();
        let (there, wanted) = (count(&values), count(&expected));
        ensure!(values == expected, "{there} values, {wanted} are wanted");
        Ok(())
    })?;
    ensure!(scene.count("confirmed")? == COUNT as u64);

    // So many removals are not carried out unless they are confirmed.
    crowd.remove_all()?;
    until_some("the alarm", PATIENCE, || {
        let status = scene.status()?;
        let alarm = &status["alarms"]["deletion_threshold"];
        ensure!(alarm["count"].as_u64() >= Some(1), "{status}");
        let told = scene.company.admin(&["audit", "list"])?.to_string();
        ensure!(told.contains("116 deletion_threshold"), "{told}");
        Ok(())
    })?;
    ensure!(scene.values()? == expected, "something was taken out");
    let server = scene.company.server()?;
    let said = server.command(&["latchkey-sync", "threshold", "confirm", "keys"]);
    let said = said.ok()?;
    ensure!(said.contains(&format!("confirmed  {COUNT}")), "{said}");

    // The server is killed, and the network is cut.
    let before = scene.count("removed")?;
    scene.reaches("removed", before + 1)?;
    server.kill("latchkey-server", "KILL")?;
    scene.company.run_server()?;
    scene.cut(Duration::from_secs(if is_long() { 60 } else { 3 }))?;
    scene.reaches("removed", before + COUNT as u64)?;
    ensure!(scene.values()? == sorted(theirs), "AD has other values");
    scene.clear()
}

#[test]
fn a_key_that_somebody_else_takes_out_counts_as_revoked() -> Result<()> {
    let (_turn, scene) = scene();
    let crowd = &scene.crowd;
    crowd.tell(crowd.keys(0, 2, false)?)?;
    scene.reaches("confirmed", 2)?;
    let names: Vec<&str> = crowd.names().take(3).collect();
    let [first, second, third] = names.as_slice() else {
        anyhow::bail!("too few users");
    };
    scene.change(first, "delete: msDS-KeyCredentialLink")?;
    scene.reaches("failed key_removed_by_other", 1)?;
    let alarms = &scene.status()?["alarms"];
    ensure!(alarms["key_removed_by_other"]["count"] == 1, "{alarms}");
    // Told again and again, it does not come back.
    scene.restart_agent()?;

    // A cleanup takes out of what is not the agent's only what it was told to.
    let nonsense = format!("B:8:DEADBEEF:{third}");
    scene.change(
        third,
        &format!("add: msDS-KeyCredentialLink\nmsDS-KeyCredentialLink: {nonsense}"),
    )?;
    let cleaned = |more: &[&str]| -> Result<Value> {
        let words = [&["latchkey-sync", "cleanup", "--json"], more].concat();
        let server = scene.company.server()?;
        // Nothing is taken out before the agent is there again.
        let told = until_some("a cleanup", PATIENCE, || server.command(&words).ok())?;
        Ok(serde_json::from_str(&told)?)
    };
    let unreadable = ["--yes", "--kind", "unreadable"];
    for more in [
        &[][..],
        &["--yes"],
        &["--yes", "--kind", "weak", "--foreign"],
        &unreadable,
    ] {
        let told = cleaned(more)?;
        ensure!(told["removed"] == 0, "{told}");
        ensure!(told["findings"][0]["kind"] == "unreadable", "{told}");
        ensure!(
            told["findings"].as_array().map(Vec::len) == Some(1),
            "{told}"
        );
    }
    let told = cleaned(&[&unreadable[..], &["--foreign"]].concat())?;
    ensure!(told["removed"] == 1, "{told}");
    let left = scene.values()?;
    ensure!(
        left.keys().map(String::as_str).eq([*second]),
        "{:?}",
        left.keys()
    );

    crowd.remove_all()?;
    until_some("the last key to go", PATIENCE, || {
        let left = scene.values()?;
        ensure!(left.is_empty(), "{:?}", left.keys());
        Ok(())
    })
}

#[test]
fn a_key_that_a_forgetful_release_takes_out_is_written_again_where_that_is_configured() -> Result<()>
{
    let (_turn, scene) = scene();
    let (server, crowd) = (scene.company.server()?, &scene.crowd);
    let release = |release: &str| {
        let dn = "CN=DC,OU=Domain Controllers,DC=corp,DC=latchkey,DC=test";
        let change = "replace: operatingSystemVersion";
        scene.change(dn, &format!("{change}\noperatingSystemVersion: {release}"))
    };
    let path = "/etc/latchkey/sync.toml";
    let configuration = server.read_text(path)?;
    let reasserting = format!("reassert = \"auto\"\n{configuration}");
    server.write_file(path, reasserting, 0o600)?;
    scene.restart_agent()?;
    let keys = crowd.keys(0, 1, false)?;
    let expected = scene.expected(&keys)?;
    crowd.tell(keys)?;
    scene.reaches("confirmed", 1)?;
    let user = crowd.names().next().context("no user")?;

    release("10.0 (14393)")?;
    scene.change(user, "delete: msDS-KeyCredentialLink")?;
    until_some("the key again", PATIENCE, || {
        ensure!(scene.values()? == expected, "it is not there");
        Ok(())
    })?;
    ensure!(scene.count("confirmed")? == 1);

    crowd.remove_all()?;
    until_some("the key to go", PATIENCE, || {
        ensure!(scene.values()?.is_empty(), "it is there");
        Ok(())
    })?;
    release("10.0 (20348)")?;
    server.write_file(path, configuration, 0o600)?;
    scene.restart_agent()
}

#[test]
fn a_removal_neither_takes_out_what_another_wrote_nor_believes_what_it_may_not_see() -> Result<()> {
    let (_turn, scene) = scene();
    let crowd = &scene.crowd;
    let keys = crowd.keys(0, 2, false)?;
    let expected = scene.expected(&keys)?;
    crowd.tell(keys)?;
    let before = scene.count("removed")?;
    until_some("the keys", PATIENCE, || {
        ensure!(scene.values()? == expected, "they are not there");
        Ok(())
    })?;
    let mut names = crowd.names();
    let (first, second) = names.next().zip(names.next()).context("too few users")?;

    // The first user's key in the form of another product; of the second the agent sees none.
    let [blob] = expected[first].as_slice() else {
        anyhow::bail!("more than one value");
    };
    let ours = KeyCredential::decode(blob)?;
    let entries = ours.entries().iter().map(|entry| match entry.id() {
        Entry::KEY_SOURCE => Entry::new(Entry::KEY_SOURCE, vec![1]),
        id => Entry::new(id, entry.value().to_vec()),
    });
    let foreign = KeyCredential::from_entries(entries.collect::<Result<_, _>>()?).encode();
    let text = DnBinary {
        binary: foreign.clone(),
        dn: first.to_owned(),
    };
    let change = "replace: msDS-KeyCredentialLink\nmsDS-KeyCredentialLink";
    scene.change(first, &format!("{change}: {text}"))?;
    let dc = scene.company.controller()?;
    let found = dc.sh(&format!(
        "ldbsearch -H {SAM} '(sAMAccountName={AGENT_ACCOUNT})' objectSid"
    ))?;
    let sid = found
        .lines()
        .find_map(|line| line.strip_prefix("objectSid: "));
    let sid = sid.context("no SID")?;
    let blind = |verb: &str| {
        let ace = format!("--sddl=(OD;;RP;5b47d60f-6090-40b2-9f37-2a4de88f3063;;{sid})");
        let dn = format!("--objectdn={second}");
        dc.command(&["samba-tool", "dsacl", verb, "-H", SAM, &dn, &ace])
            .ok()
    };
    blind("set")?;
    crowd.remove_all()?;
    until_some("what is put off, and why", PATIENCE, || {
        let words = ["latchkey-sync", "pending", "--json"];
        let told = scene.company.server()?.command(&words).ok()?;
        ensure!(told.contains("may not read the user's keys"), "{told}");
        Ok(())
    })?;
    let alarms = &scene.status()?["alarms"];
    ensure!(alarms["foreign_value"]["count"] == 1, "{alarms}");
    ensure!(scene.count("removed")? == before);
    let theirs = [(first.to_owned(), vec![foreign])];
    let there = [
        &theirs[..],
        &[(second.to_owned(), expected[second].clone())],
    ]
    .concat();
    ensure!(scene.values()? == there.into_iter().collect::<Values>());

    blind("delete")?;
    scene.reaches("removed", before + 1)?;
    ensure!(scene.values()? == theirs.into_iter().collect::<Values>());
    scene.clear()
}
