//! The agent against the real directory: a server that lies gets nothing written, and what is
//! written is exactly what was asked for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    lab::{Host, Lab, Profile, target_folder},
    wait::until_some,
};

use crate::shared;

const STAFF: &str = "OU=Staff,DC=corp,DC=latchkey,DC=test";
const SAM: &str = "/var/lib/samba/private/sam.ldb";
const CONFIG: &str = r#"
realm = "CORP.LATCHKEY.TEST"
account = "svc-latchkey"
principal = "latchkey-sync/server.corp.latchkey.test"
keytab = "/etc/latchkey/sync.keytab"
state = "/var/lib/latchkey-lied-to"
runtime = "/run/latchkey-lied-to"
[scope]
ous = ["OU=Staff,DC=corp,DC=latchkey,DC=test"]
"#;

/// Keys for a user, for the workstation, and for whoever has neither.
const MAKE_KEYS: &str = "set -e; rm -rf /tmp/lies; mkdir /tmp/lies; cd /tmp/lies
for name in user user2 device rogue; do
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $name.pem
done";

/// What the directory says of the accounts in play.
pub(crate) struct Stage<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) server: Host,
    pub(crate) dc: Host,
    pub(crate) device: String,
}

/// One account.
pub(crate) struct Account {
    pub(crate) guid: String,
    pub(crate) sid: String,
}

impl<'l> Stage<'l> {
    pub(crate) fn set(lab: &'l Lab) -> Result<Self> {
        let (server, dc) = (lab.host("server")?, lab.host("dc")?);
        lab.install(&server, Profile::Debug)?;
        let double = target_folder().join("debug/examples/hostile-server");
        let double = std::fs::read(&double)
            .with_context(|| format!("{} (cargo build --examples)", double.display()))?;
        server.write_file("/usr/local/sbin/hostile-server", double, 0o755)?;
        server.write_file("/etc/latchkey/lied-to.toml", CONFIG, 0o600)?;
        server.sh(MAKE_KEYS)?;
        let mut stage = Self {
            lab,
            server,
            dc,
            device: String::new(),
        };
        stage.device = stage.account("WS1$")?.guid;
        // The workstation's certificate, as its own join would have written it.
        let certificate = stage.server.sh(&format!(
            "openssl req -x509 -key /tmp/lies/device.pem -subj /CN={} -outform DER | base64 -w0",
            stage.device
        ))?;
        stage.change(
            "CN=WS1,CN=Computers,DC=corp,DC=latchkey,DC=test",
            &format!(
                "replace: userCertificate\nuserCertificate:: {}",
                certificate.trim()
            ),
        )?;
        Ok(stage)
    }

    /// Changes an entry as the domain controller itself.
    pub(crate) fn change(&self, dn: &str, change: &str) -> Result<()> {
        let ldif = format!("dn: {dn}\nchangetype: modify\n{change}\n");
        self.dc
            .command(&["ldbmodify", "-H", SAM])
            .stdin(ldif)
            .ok()
            .map(drop)
    }

    fn attribute(&self, account: &str, name: &str) -> Result<Vec<String>> {
        let filter = format!("(sAMAccountName={account})");
        let found = self
            .dc
            .command(&["ldbsearch", "-H", SAM, &filter, name])
            .ok()?;
        let unfolded = found.replace("\n ", "");
        let prefix = format!("{name}: ");
        let values = unfolded
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix));
        Ok(values.map(str::to_owned).collect())
    }

    pub(crate) fn account(&self, account: &str) -> Result<Account> {
        let one = |name| {
            let values = self.attribute(account, name)?;
            values
                .into_iter()
                .next()
                .with_context(|| format!("{account} has no {name}"))
        };
        Ok(Account {
            guid: one("objectGUID")?,
            sid: one("objectSid")?,
        })
    }

    pub(crate) fn keys(&self, account: &str) -> Result<Vec<String>> {
        self.attribute(account, "msDS-KeyCredentialLink")
    }

    /// What the agent says that somebody must look at.
    fn alarms(&self) -> Result<Value> {
        let words = ["latchkey-sync", "--config", "/etc/latchkey/lied-to.toml"];
        let words = [&words[..], &["status", "--json"]].concat();
        let told: Value = serde_json::from_str(&self.server.command(&words).ok()?)?;
        Ok(told["alarms"].clone())
    }

    /// An addition as an honest device of an honest user makes it.
    pub(crate) fn honest(&self, user: &Account) -> Value {
        json!({
            "op": "add", "anchor": user.guid, "sid": user.sid, "device": self.device,
            "key": "/tmp/lies/user.pem", "signer": "/tmp/lies/device.pem",
            "proof": true, "age": 0, "sequence": 1,
        })
    }

    /// Lets the lying server feed `lies`, with `person`'s ticket for the proofs, to an agent without
    /// a past; returns what the agent reported of each.
    pub(crate) fn play(&self, person: &str, lies: &[Value]) -> Result<Vec<Value>> {
        let ticket = "FILE:/tmp/lies/ticket";
        let reports = "/tmp/lies/reports";
        self.server
            .sh("rm -rf /tmp/lies/reports /var/lib/latchkey-lied-to")?;
        self.server
            .write_file("/tmp/lies/plan.json", serde_json::to_vec(lies)?, 0o600)?;
        self.server
            .command(&["kinit", person])
            .env("KRB5CCNAME", ticket)
            .stdin(format!("{}\n", self.lab.password(person)?))
            .ok()?;
        self.server
            .command(&[
                "hostile-server",
                "--listen=0.0.0.0:9443",
                "--chain=/etc/latchkey/tls/fullchain.pem",
                "--key=/etc/latchkey/tls/key.pem",
                "--plan=/tmp/lies/plan.json",
                "--reports=/tmp/lies/reports",
            ])
            .env("KRB5CCNAME", ticket)
            .daemon("hostile-server")?;
        let played = self.enroll_and_listen(reports, lies.len());
        self.server.kill("latchkey-sync", "KILL").ok();
        self.server.kill("hostile-server", "KILL").ok();
        played
    }

    fn enroll_and_listen(&self, reports: &str, wanted: usize) -> Result<Vec<Value>> {
        let agent = ["latchkey-sync", "--config", "/etc/latchkey/lied-to.toml"];
        let pin = self
            .server
            .sh("openssl x509 -in /etc/latchkey/tls/ca.pem -noout -pubkey \
             | openssl pkey -pubin -outform DER | sha256sum")?;
        let pin = format!("sha256:{}", pin.split(' ').next().unwrap_or_default());
        let enroll = [
            "enroll",
            "--server",
            "https://server.corp.latchkey.test:9443",
        ];
        let words = [
            &agent[..],
            &enroll,
            &["--fingerprint", &pin, "--code-stdin"],
        ]
        .concat();
        // It signs all of them before it listens.
        let patience = Duration::from_secs(10 + wanted as u64 / 100);
        until_some("the lying server", patience, || {
            self.server.command(&words).stdin("code\n").ok()
        })?;
        self.server
            .command(&[&agent[..], &["run"]].concat())
            .daemon("latchkey-sync")?;
        until_some(
            "the agent's reports",
            Duration::from_secs(300),
            || -> Result<Vec<Value>> {
                let lines = self.server.read_text(reports)?;
                let mut told = lines
                    .lines()
                    .map(serde_json::from_str)
                    .collect::<Result<Vec<Value>, _>>()?;
                ensure!(told.len() == wanted, "{} of {wanted}: {lines}", told.len());
                told.sort_by_key(|told| told["seq"].as_u64());
                Ok(told)
            },
        )
    }
}

fn with(base: &Value, fields: Value) -> Value {
    let mut changed = base.clone();
    let fields = fields.as_object().cloned().unwrap_or_default();
    changed
        .as_object_mut()
        .into_iter()
        .for_each(|object| object.extend(fields.clone()));
    changed
}

#[test]
fn a_server_that_lies_gets_no_key_into_the_directory() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    // An administrator within the scope, whom Samba does not mark by adminCount.
    stage
        .dc
        .sh("samba-tool user show erin >/dev/null 2>&1 || { \
         samba-tool user create erin --random-password --userou=OU=Staff; \
         samba-tool group addmembers 'Domain Admins' erin; }")?;
    let (alice, bob) = (stage.account("alice")?, stage.account("bob")?);
    let (dave, erin) = (stage.account("dave")?, stage.account("erin")?);
    let (administrator, controller) = (stage.account("Administrator")?, stage.account("DC$")?);
    let base = stage.honest(&alice);
    let of = |account: &Account| json!({ "anchor": account.guid, "sid": account.sid });
    let rogue = "/tmp/lies/rogue.pem";
    let minted = "11111111-2222-3333-4444-555555555555";
    let cases = [
        (
            with(&base, json!({ "device": minted, "signer": rogue })),
            "unknown_device",
        ),
        (
            with(&base, json!({ "signer": rogue })),
            "bad_device_signature",
        ),
        (
            with(&base, json!({ "signer": null })),
            "bad_device_signature",
        ),
        (with(&base, json!({ "proof": false })), "bad_user_proof"),
        (with(&base, of(&bob)), "bad_user_proof"),
        (with(&base, of(&dave)), "out_of_scope"),
        (with(&base, of(&erin)), "protected_account"),
        (with(&base, json!({ "sid": bob.sid })), "unknown_user"),
        (with(&base, of(&administrator)), "out_of_scope"),
        (with(&base, of(&controller)), "unknown_user"),
        (with(&base, json!({ "age": 3600 })), "proof_expired"),
    ];
    let lies: Vec<Value> = cases.iter().map(|(lie, _)| lie.clone()).collect();
    let told = stage.play("alice", &lies)?;
    let codes: Vec<&str> = told
        .iter()
        .filter_map(|told| told["code"].as_str())
        .collect();
    let expected: Vec<&str> = cases.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, expected, "{told:?}");
    let alarms = stage.alarms()?;
    for (_, code) in &cases {
        let is_told = alarms[code]["count"].as_u64() >= Some(1);
        assert_eq!(is_told, *code != "proof_expired", "{code}: {alarms}");
    }
    for person in ["alice", "bob", "dave", "erin"] {
        assert_eq!(stage.keys(person)?, Vec::<String>::new(), "{person}");
    }
    Ok(())
}

#[test]
fn a_server_that_asks_for_very_many_keys_gets_none_and_an_alarm() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    let is_long = std::env::var_os("LATCHKEY_LONG_TESTS").is_some();
    let count: usize = if is_long { 10_000 } else { 1_000 };
    let victims = ["alice", "bob", "Administrator", "DC$"];
    let victims = victims.map(|name| stage.account(name));
    let victims = victims.into_iter().collect::<Result<Vec<_>>>()?;
    let unsigned = |victim| with(&stage.honest(victim), json!({ "signer": null }));
    let nobody = |n: usize| {
        let guid = format!("{n:08x}-2222-3333-4444-555555555555");
        with(&unsigned(&victims[0]), json!({ "anchor": guid }))
    };
    let mut lies: Vec<Value> = victims.iter().map(unsigned).collect();
    lies.extend((victims.len()..count).map(nobody));
    let told = stage.play("alice", &lies)?;
    assert!(told.iter().all(|told| told["state"] == "refused"));
    let alarms = stage.alarms()?;
    let alarms = alarms.as_object().context("no alarms")?;
    let raised: u64 = alarms
        .values()
        .filter_map(|alarm| alarm["count"].as_u64())
        .sum();
    assert_eq!(raised, count as u64, "{alarms:?}");
    for person in ["alice", "bob", "Administrator", "DC$"] {
        assert_eq!(stage.keys(person)?, Vec::<String>::new(), "{person}");
    }
    Ok(())
}

#[test]
fn an_honest_key_is_written_once_and_its_removal_is_final_and_touches_nothing_else() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    // A key of another product's, which must survive.
    stage
        .server
        .sh("openssl pkey -in /tmp/lies/rogue.pem -pubout -out /tmp/lies/other.pub")?;
    let other = stage.server.read_file("/tmp/lies/other.pub")?;
    stage.dc.write_file("/root/other.pub", other, 0o644)?;
    stage
        .dc
        .sh("samba-tool user keytrust add carol /root/other.pub")?;
    let foreign = stage.keys("carol")?;
    assert_eq!(foreign.len(), 1);

    let add = stage.honest(&stage.account("carol")?);
    let second = with(&add, json!({ "key": "/tmp/lies/user2.pem", "sequence": 2 }));
    let told = stage.play("carol", &[add.clone(), add.clone(), second.clone()])?;
    let states: Vec<&Value> = told.iter().map(|told| &told["state"]).collect();
    assert_eq!(states, ["confirmed", "confirmed", "confirmed"], "{told:?}");
    assert_eq!(told[0]["dc"], "dc.corp.latchkey.test");
    assert_eq!(stage.keys("carol")?.len(), 3);

    // Renamed in between: the values' text is another one now.
    let carol = format!("CN=carol,{STAFF}");
    let rename = [
        "samba-tool",
        "user",
        "rename",
        "carol",
        "--force-new-cn=Carol Two",
    ];
    stage.dc.command(&rename).ok()?;
    let remove = with(&add, json!({ "op": "remove", "signer": null }));
    let told = stage.play(
        "carol",
        &[
            with(
                &remove,
                json!({ "device": "11111111-2222-3333-4444-555555555555" }),
            ),
            remove.clone(),
            remove,
            add,
            with(&second, json!({ "op": "remove", "signer": null })),
        ],
    )?;
    let states: Vec<&Value> = told.iter().map(|told| &told["state"]).collect();
    assert_eq!(
        states,
        ["removed", "removed", "removed", "refused", "removed"],
        "{told:?}"
    );
    assert_eq!(told[3]["code"], "replayed");
    let kept = stage.keys("carol")?;
    let bytes = |value: &String| value.rsplit_once(':').map(|(bytes, _)| bytes.to_owned());
    assert_eq!(
        kept.iter().map(bytes).collect::<Vec<_>>(),
        foreign.iter().map(bytes).collect::<Vec<_>>()
    );

    stage
        .dc
        .sh("samba-tool user rename carol --force-new-cn=carol")?;
    stage.change(&carol, "delete: msDS-KeyCredentialLink")
}

#[test]
fn an_answer_of_many_sealed_buffers_is_read_whole() -> Result<()> {
    let (_turn, lab) = shared();
    let stage = Stage::set(lab)?;
    let crowd: String = (0..100)
        .map(|n| {
            format!(
                "dn: CN=crowd{n},OU=Crowd,{STAFF}\nobjectClass: user\nsAMAccountName: crowd{n}\n\
                 userPrincipalName: crowd{n}{}@corp.latchkey.test\n\n",
                "x".repeat(800)
            )
        })
        .collect();
    let unit = format!("dn: OU=Crowd,{STAFF}\nobjectClass: organizationalUnit\n\n");
    stage
        .dc
        .command(&["ldbadd", "-H", SAM])
        .stdin(unit + &crowd)
        .ok()?;
    let checked = stage
        .server
        .command(&[
            "latchkey-sync",
            "--config",
            "/etc/latchkey/lied-to.toml",
            "check-config",
        ])
        .ok();
    stage
        .dc
        .sh(&format!("ldbdel -r -H {SAM} 'OU=Crowd,{STAFF}'"))?;
    let checked = checked?;
    let users: u32 = checked
        .split_once("test: ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .with_context(|| checked.clone())?;
    assert!((103..110).contains(&users), "{checked}");
    Ok(())
}
