//! The server was taken over: it feeds additions to the agent that nobody asked for, with all that a
//! real server has seen, and with more help than it could hope for: root on a workstation that
//! signs anything with the device's own key, and a person who proves anything with their own ticket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::RsaPublicKey;
use model::{UnixTime, sha256};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use protocol::{Operation, Statement};
use serde_json::{Value, json};
use testkit::company::{Company, text};
use testkit::lab::{AGENT_SERVICE, target_folder};
use testkit::wait::{until, until_some};

use crate::company;

const PIN: &str = "161803398874";
const LIE: &str = include_str!("lie.py");
const INSIDER: &str = "/usr/local/sbin/insider";
const MINTED: &str = "11111111-2222-4333-8444-555555555555";
const SAM: &str = "/var/lib/samba/private/sam.ldb";

/// Who signs a statement for the device.
enum Hand<'k> {
    /// The device's key, in its TPM.
    Device,
    /// A key that the server made itself.
    Own(&'k PKey<Private>),
}

struct Hostile<'c> {
    company: &'c Company,
    /// The workstation's id.
    device: String,
    /// Later than any that the workstation has used.
    sequence: u64,
    material: Vec<u8>,
    /// Each with the code that it must be refused with.
    lies: Vec<(Value, &'static str)>,
}

impl Hostile<'_> {
    /// An addition of a key of the attacker's to `account`, with `proof_of` a person's ticket.
    fn tell(
        &mut self,
        account: &Value,
        device: &str,
        hand: &Hand<'_>,
        proof_of: Option<&str>,
        code: &'static str,
    ) -> Result<()> {
        let workstation = self.company.workstation()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let statement = Statement {
            operation: Operation::Add,
            user: text(account, "sid")?.parse()?,
            key_id: sha256(&self.material),
            device: device.parse()?,
            time: UnixTime(i64::try_from(now)?),
            sequence: self.sequence,
        };
        let bytes = statement.to_bytes();
        let signature = match hand {
            Hand::Device => workstation
                .command(&[INSIDER, "sign"])
                .stdin(bytes.clone())
                .ok()?,
            Hand::Own(key) => {
                let mut signer = Signer::new(MessageDigest::sha256(), key)?;
                STANDARD.encode(signer.sign_oneshot_to_vec(&bytes)?)
            }
        };
        let mut evidence = json!({
            "time": now, "sequence": statement.sequence, "device_sig": signature,
        });
        if let Some(person) = proof_of {
            let call = workstation.command(&[INSIDER, "prove", AGENT_SERVICE]);
            let proof: Value = serde_json::from_str(&call.user(person).stdin(bytes).ok()?)?;
            evidence["user_proof"] = proof;
        }
        let lie = json!({
            "user": text(account, "user")?, "sid": text(account, "sid")?, "device": device,
            "material": STANDARD.encode(&self.material), "evidence": evidence,
        });
        self.add(lie, code);
        Ok(())
    }

    fn add(&mut self, mut lie: Value, code: &'static str) {
        lie["kid"] = json!(format!(
            "{:08x}-0000-4000-8000-000000000000",
            self.lies.len() + 1
        ));
        self.lies.push((lie, code));
    }

    fn plan(&self, verb: &str) -> Value {
        let lies: Vec<&Value> = self.lies.iter().map(|(lie, _)| lie).collect();
        json!({ "verb": verb, "lies": lies })
    }

    /// Changes the store of the server while that does not run.
    fn change_store(&self, verb: &str) -> Result<()> {
        self.company.server()?.stop("latchkey-server")?;
        let changed = on_store(self.company, &self.plan(verb));
        self.company.run_server()?;
        changed.map(drop)
    }

    /// What the agent said of each, in order.
    fn verdicts(&self) -> Result<Vec<String>> {
        let kept = self.company.admin(&["key", "list"])?;
        let kept = kept.as_array().context("no list of keys")?;
        let verdict = |lie: &Value| -> Result<String> {
            let found = kept.iter().find(|key| key["kid"] == lie["kid"]);
            let key = found.with_context(|| format!("{lie} is not in the list"))?;
            ensure!(key["state"] != "registered", "not judged yet: {key}");
            Ok(match key["code"].as_str() {
                Some(code) => code.to_owned(),
                None => format!("{key}"),
            })
        };
        self.lies.iter().map(|(lie, _)| verdict(lie)).collect()
    }
}

fn on_store(company: &Company, plan: &Value) -> Result<String> {
    let call = company.server()?.command(&["python3", "-c", LIE]);
    call.stdin(plan.to_string()).ok()
}

/// What the server knows of a key that was registered as it should be.
fn genuine(company: &Company, kid: &str) -> Result<Value> {
    let known = on_store(company, &json!({ "verb": "genuine", "kid": kid }))?;
    Ok(serde_json::from_str(&known)?)
}

fn account(company: &Company, name: &str) -> Result<Value> {
    let line = format!("ldbsearch -H {SAM} '(sAMAccountName={name})' objectGUID objectSid");
    let found = company.on_controller(&line)?;
    let value = |attribute: &str| {
        let mut lines = found.lines();
        lines.find_map(|line| line.strip_prefix(attribute)?.strip_prefix(": "))
    };
    Ok(json!({
        "user": value("objectGUID").with_context(|| found.clone())?,
        "sid": value("objectSid").with_context(|| found.clone())?,
    }))
}

/// Every key of every account in AD.
fn all_keys(company: &Company) -> Result<String> {
    let line = format!("ldbsearch -H {SAM} '(msDS-KeyCredentialLink=*)' msDS-KeyCredentialLink");
    let found = company.on_controller(&line)?;
    let kept = |line: &&str| !line.starts_with('#');
    Ok(found.lines().filter(kept).collect::<Vec<_>>().join("\n"))
}

/// A person's addition as it really was, and its removal.
fn added_and_removed(company: &Company, person: &str) -> Result<Value> {
    let kid = company.enrolled(person, PIN)?;
    let addition = genuine(company, &kid)?;
    company.admin(&["key", "delete", &kid])?;
    until("AD to forget the key", Duration::from_secs(30), || {
        company
            .keys_in_directory(person)
            .is_ok_and(|keys| keys.is_empty())
    })?;
    Ok(addition)
}

#[test]
fn a_server_that_was_taken_over_gets_no_key_into_the_directory() -> Result<()> {
    let (_turn, company) = company();
    let workstation = company.workstation()?;
    let program = target_folder().join("debug/examples/insider");
    let program = std::fs::read(&program)
        .with_context(|| format!("{} (cargo build --examples)", program.display()))?;
    workstation.write_file(INSIDER, program, 0o755)?;
    let alices = added_and_removed(company, "alice")?;
    let bobs = added_and_removed(company, "bob")?;
    let before = all_keys(company)?;

    let used = bobs["evidence"]["sequence"].as_u64();
    let own = PKey::from_rsa(Rsa::generate(2048)?)?;
    let public = RsaPublicKey::from_spki_der(&own.public_key_to_der()?)?;
    let mut hostile = Hostile {
        company,
        device: text(&alices, "device")?.to_owned(),
        sequence: 1000 + used.context("no sequence in bob's addition")?,
        material: public.to_rsa1(),
        lies: Vec::new(),
    };
    company.password_sign_in("alice")?;
    company.password_sign_in("bob")?;
    workstation.stop("latchkeyd")?;
    let told = tell_all(&mut hostile, &alices, &bobs, &own);
    company.run_daemon()?;
    told?;

    hostile.change_store("tell")?;
    let deadline = Duration::from_secs(60);
    let verdicts = until_some("the agent's verdicts", deadline, || hostile.verdicts());
    let after = all_keys(company);
    hostile.change_store("forget")?;
    company.on_controller("samba-tool user delete grace")?;
    let expected: Vec<&str> = hostile.lies.iter().map(|&(_, code)| code).collect();
    assert_eq!(verdicts?, expected);
    assert_eq!(after?, before);

    // What is honest goes through as before.
    for person in ["alice", "bob"] {
        added_and_removed(company, person)?;
        workstation.command(&["kdestroy"]).user(person).run()?;
    }
    Ok(())
}

fn tell_all(
    hostile: &mut Hostile<'_>,
    alices: &Value,
    bobs: &Value,
    own: &PKey<Private>,
) -> Result<()> {
    let (device, company) = (hostile.device.clone(), hostile.company);
    let own = Hand::Own(own);
    // A device of its own, and the workstation without the workstation's key.
    hostile.tell(alices, MINTED, &own, Some("alice"), "unknown_device")?;
    hostile.tell(alices, &device, &own, Some("alice"), "bad_device_signature")?;
    // With the workstation's key, but without the person.
    hostile.tell(alices, &device, &Hand::Device, None, "bad_user_proof")?;
    hostile.tell(
        alices,
        &device,
        &Hand::Device,
        Some("bob"),
        "bad_user_proof",
    )?;
    // With the key and a person, for accounts that get none.
    company.on_controller("samba-tool user create grace --random-password --userou=OU=Staff")?;
    let mark = "dn: CN=grace,OU=Staff,DC=corp,DC=latchkey,DC=test\nchangetype: modify\n\
                add: adminCount\nadminCount: 1\n";
    let call = company.controller()?.command(&["ldbmodify", "-H", SAM]);
    call.stdin(mark).ok()?;
    for (name, code) in [
        ("grace", "protected_account"),
        ("dave", "out_of_scope"),
        ("Administrator", "out_of_scope"),
        ("DC$", "unknown_user"),
        ("WS1$", "unknown_user"),
    ] {
        let account = account(company, name)?;
        hostile.tell(&account, &device, &Hand::Device, Some("alice"), code)?;
    }
    let mixed = json!({ "user": alices["user"], "sid": bobs["sid"] });
    hostile.tell(&mixed, &device, &Hand::Device, Some("bob"), "unknown_user")?;
    // What was genuine once: played again, and with another key or another's proof put in.
    hostile.add(alices.clone(), "replayed");
    let mut other = bobs.clone();
    other["material"] = alices["material"].clone();
    hostile.add(other, "bad_device_signature");
    Ok(())
}
