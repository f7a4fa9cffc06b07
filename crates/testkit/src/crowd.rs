//! Many users at once, and keys for them: what no workstation could enroll in the time of a test.
//!
//! The users and the computer are real ones of the directory, and the computer's certificate is in
//! its object, so that the agent finds every signature good. The keys come into the feed by the
//! server's store. There is no Kerberos proof of each user: the agent's configuration allows keys
//! without.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::company::Company;
use crate::lab::Profile;
use crate::wait::until_some;

const TELL: &str = include_str!("crowd/tell.py");
const SAM: &str = "/var/lib/samba/private/sam.ldb";
const BASE: &str = "DC=corp,DC=latchkey,DC=test";
const COMPUTER: &str = "signer";
const KEY: &str = "/root/signer.pem";
const MAKER: &str = "/usr/local/sbin/key-maker";

/// How long the store may take for what need not be waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The users.
pub struct Crowd {
    company: Company,
    /// Each as the maker of keys reads it.
    users: Vec<Value>,
    /// The objectGUID of the computer that signs for all of them.
    pub device: String,
}

impl Crowd {
    /// Makes users below `OU=Crowd,OU=Staff` and their computer. The agent is to be configured by
    /// [`Crowd::configure`].
    ///
    /// # Errors
    /// When the directory refuses.
    pub fn gather(company: &Company, count: usize, profile: Profile) -> Result<Self> {
        let dc = company.controller()?;
        let unit = format!("OU=Crowd,OU=Staff,{BASE}");
        let mut ldif = format!("dn: {unit}\nobjectClass: organizationalUnit\n\n");
        for n in 0..count {
            write!(
                ldif,
                "dn: CN=crowd{n},{unit}\nobjectClass: user\nsAMAccountName: crowd{n}\n\
                 userPrincipalName: crowd{n}@corp.latchkey.test\nuserAccountControl: 512\n\n"
            )?;
        }
        dc.command(&["ldbadd", "-H", SAM])
            .stdin(ldif)
            .within(Duration::from_secs(900))
            .ok()?;
        let words = ["ldbsearch", "-H", SAM, "-b", &unit, "(objectClass=user)"];
        let words = [&words[..], &["objectGUID", "objectSid"]].concat();
        let found = dc.command(&words).within(Duration::from_secs(300)).ok()?;
        let users: Vec<Value> = found.split("\n\n").filter_map(user).collect();
        ensure!(users.len() == count, "{} users: {found}", users.len());

        dc.sh(&format!("samba-tool computer create {COMPUTER}"))?;
        let filter = format!("(sAMAccountName={COMPUTER}$)");
        let found = dc
            .command(&["ldbsearch", "-H", SAM, &filter, "objectGUID"])
            .ok()?;
        let device = field(&found, "objectGUID").context(found.clone())?;
        let server = company.server()?;
        let certificate = server.sh(&format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout {KEY} -subj /CN={device} -outform DER \
             2>/dev/null | base64 -w0"
        ))?;
        let change = format!(
            "dn: CN={COMPUTER},CN=Computers,{BASE}\nchangetype: modify\nreplace: userAccountControl\n\
             userAccountControl: 4096\n-\nadd: userCertificate\nuserCertificate:: {}\n",
            certificate.trim()
        );
        dc.command(&["ldbmodify", "-H", SAM]).stdin(change).ok()?;

        let maker = profile.folder().join("examples/key-maker");
        let maker = std::fs::read(&maker)
            .with_context(|| format!("{} (cargo build --examples)", maker.display()))?;
        server.write_file(MAKER, maker, 0o755)?;
        Ok(Self {
            company: company.clone(),
            users,
            device,
        })
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// The DNs of the users.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().filter_map(|user| user["dn"].as_str())
    }

    /// Keys for the users from `first` on, as the server is told of them, or as LDIF. A statement is
    /// good for ten minutes, and newer than those of a second before.
    ///
    /// # Errors
    /// When the program fails.
    pub fn keys(&self, first: usize, count: usize, ldif: bool) -> Result<String> {
        let mut words = vec![MAKER, "--device", &self.device, "--signer", KEY];
        words.extend(ldif.then_some("--ldif"));
        let mut users = String::new();
        for user in self.users.iter().skip(first).take(count) {
            writeln!(users, "{user}")?;
        }
        let server = self.company.server()?;
        let maker = server.command(&words).stdin(users);
        maker.within(Duration::from_secs(300)).ok()
    }

    /// Puts such keys into the feed.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn tell(&self, keys: String) -> Result<()> {
        self.store(&["tell"], keys, Duration::ZERO).map(drop)
    }

    /// Puts the removal of all keys into the feed.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn remove_all(&self) -> Result<()> {
        self.store(&["remove", &self.device], String::new(), Duration::ZERO)
            .map(drop)
    }

    /// How many keys are in which state, with its code.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn states(&self) -> Result<Value> {
        self.store(&["states", &self.device], String::new(), Duration::ZERO)
    }

    /// When, after `since`, how many keys were confirmed, in milliseconds: once these are so many, or
    /// as they are when the time is up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn times(&self, since: u64, count: usize, within: Duration) -> Result<Vec<(u64, u64)>> {
        let numbers = [since, count as u64, within.as_secs()].map(|number| number.to_string());
        let [since, count, seconds] = &numbers;
        let words = ["times", &self.device, since, count, seconds];
        let told = self.store(&words, String::new(), within)?;
        Ok(serde_json::from_value(told)?)
    }

    /// Waits until the server knows the users.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn is_known(&self, within: Duration) -> Result<()> {
        until_some("the crowd at the server", within, || {
            let known = self.store(&["users"], String::new(), Duration::ZERO)?;
            let known = known.as_u64().unwrap_or_default();
            ensure!(known > self.users.len() as u64, "{known} users");
            Ok(())
        })
    }

    fn store(&self, words: &[&str], input: String, within: Duration) -> Result<Value> {
        let words = [&["python3", "-c", TELL], words].concat();
        let server = self.company.server()?;
        let told = server.command(&words).stdin(input);
        let told = told.within(within + PATIENCE).ok()?;
        Ok(serde_json::from_str(&told).unwrap_or(json!(null)))
    }

    /// Restarts the agent with a configuration that allows this.
    ///
    /// # Errors
    /// When it does not start.
    pub fn configure(&self) -> Result<()> {
        self.company.lift_limits("allow_foreign_keys = true")
    }
}

/// A user of the output of ldbsearch.
fn user(record: &str) -> Option<Value> {
    let [guid, sid, dn] = ["objectGUID", "objectSid", "dn"].map(|name| field(record, name));
    Some(json!({ "guid": guid?, "sid": sid?, "dn": dn? }))
}

fn field(record: &str, name: &str) -> Option<String> {
    let mut lines = record.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.map(|value| value.trim().to_owned())
}
