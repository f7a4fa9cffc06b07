//! A company that uses Latchkey, set up in a lab as its administrator would: the server, the agent
//! beside the domain controller, a joined workstation and people with a second factor.
//!
//! Everything here is done with the installed programs and their documented commands; nothing
//! reaches into their files.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::lab::{Call, Host, Lab, Output, Profile, until_ok};
use crate::wait::{until, until_some};

/// The server's URL.
pub const SERVER_URL: &str = "https://server.corp.latchkey.test";
/// The people who may register keys.
pub const PEOPLE_GROUP: &str = "Latchkey Users";
/// The realm of the domain.
pub const REALM: &str = "CORP.LATCHKEY.TEST";
/// A key of 160 bits, as people's authenticator apps hold it, in base32.
pub const TOTP_SECRET: &str = "MJXW4ZDFMQQHI3ZAMJSSA5DFON2CA6DZ";

/// How long a part may take to come up or to notice another.
const PATIENCE: Duration = Duration::from_secs(30);

/// The company and its lab.
#[derive(Clone)]
pub struct Company {
    /// Where it all runs.
    pub lab: Lab,
    workstation: String,
}

impl Company {
    /// The company in this lab; its people sit at `ws1`.
    #[must_use]
    pub fn new(lab: Lab) -> Self {
        let workstation = "ws1".to_owned();
        Self { lab, workstation }
    }

    /// The same company, with its people at another workstation.
    #[must_use]
    pub fn at(&self, workstation: &str) -> Self {
        Self {
            lab: self.lab.clone(),
            workstation: workstation.to_owned(),
        }
    }

    /// A new workstation of a lab that others hold too, such as `ws2`; its programs are still to
    /// be installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn with_workstation(&self, name: &str) -> Result<Self> {
        let mut company = self.at(name);
        company.lab.add_workstation(name)?;
        Ok(company)
    }

    /// A new workstation of such a lab whose programs come from the package `file`, and run as its
    /// scripts and systemd start them; it has joined the server.
    ///
    /// # Errors
    /// When a step fails.
    pub fn with_packaged_workstation(&self, name: &str, file: &Path) -> Result<Self> {
        let mut company = self.at(name);
        let host = company.lab.add_clean_workstation(name)?;
        host.write_file("/root/latchkey.deb", std::fs::read(file)?, 0o644)?;
        host.write_file("/etc/latchkey/device.toml", DEVICE_TOML, 0o600)?;
        host.command(&["dpkg", "--force-confold", "--install", "/root/latchkey.deb"])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .ok()?;
        host.command(&["latchkey", "join", "--json"])
            .within(Duration::from_secs(90))
            .ok()?;
        Ok(company)
    }

    /// The host of the server and the agent.
    ///
    /// # Errors
    /// When the lab has none.
    pub fn server(&self) -> Result<Host> {
        self.lab.host("server")
    }

    /// The workstation that people sit at.
    ///
    /// # Errors
    /// When the lab has none.
    pub fn workstation(&self) -> Result<Host> {
        self.lab.host(&self.workstation)
    }

    /// The domain controller.
    ///
    /// # Errors
    /// When the lab has none.
    pub fn controller(&self) -> Result<Host> {
        self.lab.host("dc")
    }

    /// Installs, initialises and starts the server; returns the fingerprint that it printed.
    ///
    /// # Errors
    /// When a step fails.
    pub fn start_server(&self, profile: Profile) -> Result<String> {
        let server = self.server()?;
        self.lab.install(&server, profile)?;
        let words = [
            "latchkey-server",
            "init",
            "--url",
            SERVER_URL,
            "--tls-cert",
            "/etc/latchkey/tls/fullchain.pem",
            "--tls-key",
            "/etc/latchkey/tls/key.pem",
            "--tenant-name",
            "Latchkey Lab",
        ];
        let printed = server.command(&words).ok()?;
        self.run_server()?;
        let fingerprint = printed
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"))
            .context("init printed no fingerprint")?;
        Ok(fingerprint.to_owned())
    }

    /// Starts the server and waits until it answers its administrator.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run_server(&self) -> Result<()> {
        let server = self.server()?;
        self.start(
            &server,
            "latchkey-server",
            &["latchkey-server", "run"],
            None,
        )?;
        until_ok("the server", PATIENCE, || {
            server.command(&["latchkey-server", "admin", "settings", "show", "--json"])
        })?;
        Ok(())
    }

    /// Runs a program on the server's host with the ticket of the domain's administrator.
    fn as_administrator(&self, words: &[&str]) -> Result<String> {
        let (server, ticket) = (self.server()?, "FILE:/run/administrator.ccache");
        let command = |words: &[&str]| server.command(words).env("KRB5CCNAME", ticket);
        let kinit = command(&["kinit", &format!("Administrator@{REALM}")]);
        let password = format!("{}\n", self.lab.administrator_password());
        kinit.stdin(password).ok()?;
        let said = command(words).ok()?;
        command(&["kdestroy"]).ok()?;
        Ok(said)
    }

    /// Lets the agent's account see what was deleted; answers what the agent's program says of it.
    ///
    /// # Errors
    /// When a step fails.
    pub fn grant_deletions(&self) -> Result<String> {
        self.as_administrator(&["latchkey-sync", "permissions", "grant", "--deletions"])
    }

    /// Enrolls the agent, publishes the service connection point and starts the agent; returns how
    /// many users the server then knows.
    ///
    /// # Errors
    /// When a step fails.
    pub fn connect_agent(&self, fingerprint: &str) -> Result<usize> {
        let server = self.server()?;
        server.write_file("/etc/latchkey/sync.toml", SYNC_TOML, 0o600)?;
        let code = self.admin(&["agent", "code"])?;
        let code = text(&code, "code")?;
        server
            .command(&[
                "latchkey-sync",
                "enroll",
                "--server",
                SERVER_URL,
                "--fingerprint",
                fingerprint,
                "--code-stdin",
            ])
            .stdin(format!("{code}\n"))
            .ok()?;
        self.as_administrator(&["latchkey-sync", "publish"])?;
        self.run_agent()?;
        let users = until_some(
            "the directory at the server",
            PATIENCE,
            || -> Result<usize> {
                let users = self.admin(&["user", "list"])?;
                let users = users.as_array().context("no list of users")?;
                match users
                    .iter()
                    .any(|user| text(user, "upn").is_ok_and(|name| name == upn("alice")))
                {
                    true => Ok(users.len()),
                    false => bail!("{} users, alice not among them", users.len()),
                }
            },
        )?;
        until_ok("the group at the server", PATIENCE, || {
            server.command(&[
                "latchkey-server",
                "admin",
                "settings",
                "set",
                "register-keys-group",
                PEOPLE_GROUP,
            ])
        })?;
        Ok(users)
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_agent(&self) -> Result<()> {
        self.start(
            &self.server()?,
            "latchkey-sync",
            &["latchkey-sync", "run"],
            None,
        )
    }

    /// Starts the agent anew without a bound on keys an hour, and with more lines of configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn lift_limits(&self, more: &str) -> Result<()> {
        let server = self.server()?;
        let path = "/etc/latchkey/sync.toml";
        let limits = "[limits]\nadditions_per_hour = 1000000\nremovals_per_hour = 1000000\n[scope]";
        let mut configuration = server.read_text(path)?;
        if !configuration.contains(limits) {
            configuration = configuration.replace("[scope]", limits);
        }
        let configuration = configuration.replace("[limits]", &format!("{more}\n[limits]"));
        server.write_file(path, configuration, 0o600)?;
        server.stop("latchkey-sync")?;
        self.run_agent()
    }

    /// Gives a person the second factor [`TOTP_SECRET`].
    ///
    /// # Errors
    /// When the server refuses.
    pub fn give_factor(&self, person: &str) -> Result<()> {
        self.server()?
            .command(&[
                "latchkey-server",
                "admin",
                "user",
                "totp",
                &upn(person),
                "--secret-stdin",
                "--json",
            ])
            .stdin(format!("{TOTP_SECRET}\n"))
            .ok()?;
        Ok(())
    }

    /// Installs the workstation's programs, starts the daemon and joins it by the service
    /// connection point; returns what `join --json` answered.
    ///
    /// # Errors
    /// When a step fails.
    pub fn join_workstation(&self, profile: Profile) -> Result<Value> {
        self.join_configured(profile, DEVICE_TOML)
    }

    /// The same with a device.toml of one's own.
    ///
    /// # Errors
    /// When a step fails.
    pub fn join_configured(&self, profile: Profile, device_toml: &str) -> Result<Value> {
        let workstation = self.workstation()?;
        self.lab.install(&workstation, profile)?;
        workstation.write_file("/etc/latchkey/device.toml", device_toml, 0o600)?;
        self.run_daemon()?;
        json(
            &workstation
                .command(&["latchkey", "join", "--json"])
                .within(Duration::from_secs(90))
                .ok()?,
        )
    }

    /// Starts the workstation's daemon and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run_daemon(&self) -> Result<()> {
        let workstation = self.workstation()?;
        self.start(&workstation, "latchkeyd", &["latchkeyd"], None)?;
        until_ok("the daemon", PATIENCE, || {
            workstation.command(&["latchkey", "status", "--json"])
        })?;
        Ok(())
    }

    /// Starts `words` as the daemon `name`, stopping at joints if `joints` names a socket.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        &self,
        host: &Host,
        name: &str,
        words: &[&str],
        joints: Option<&str>,
    ) -> Result<()> {
        let mut call = host.command(words);
        if let Some(socket) = joints {
            call = call.env("LATCHKEY_JOINTS", socket);
        }
        call.daemon(name)
    }

    /// What a verb of the server's administrator answers.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn admin(&self, verb: &[&str]) -> Result<Value> {
        let mut words = vec!["latchkey-server", "admin"];
        words.extend(verb);
        words.push("--json");
        json(&self.server()?.command(&words).ok()?)
    }

    /// A person signs in with the password, as before Latchkey, and has a ticket from it.
    ///
    /// # Errors
    /// When the domain refuses.
    pub fn password_sign_in(&self, person: &str) -> Result<()> {
        self.workstation()?
            .command(&["kinit", person])
            .user(person)
            .stdin(format!("{}\n", self.lab.password(person)?))
            .ok()?;
        Ok(())
    }

    /// Starts a person's enrollment; the answers are ready.
    ///
    /// # Errors
    /// When the one-time code cannot be made.
    pub fn enrollment(&self, person: &str, pin: &str) -> Result<Call> {
        let answers = format!(
            "password={}\notp={}\npin={pin}\n",
            self.lab.password(person)?,
            one_time_code()?
        );
        Ok(self
            .workstation()?
            .command(&["latchkey", "enroll", "--answers-stdin", "--json"])
            .user(person)
            .within(Duration::from_secs(60))
            .stdin(answers))
    }

    /// A person enrolls; returns what `enroll --json` answered last.
    ///
    /// # Errors
    /// When the enrollment fails.
    pub fn enroll(&self, person: &str, pin: &str) -> Result<Value> {
        let printed = self.enrollment(person, pin)?.ok()?;
        json(printed.lines().last().unwrap_or_default())
    }

    /// A person signs in with the PIN by `latchkey signin`; the caller judges the outcome.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn sign_in(&self, person: &str, pin: &str) -> Result<Output> {
        self.workstation()?
            .command(&["latchkey", "signin", "--pin-stdin", "--json"])
            .user(person)
            .stdin(format!("{pin}\n"))
            .run()
    }

    /// What `latchkey status` tells a person, or root.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn status(&self, person: &str) -> Result<Value> {
        let call = self
            .workstation()?
            .command(&["latchkey", "status", "--json"]);
        json(&call.user(person).ok()?)
    }

    /// A person enrolls with a fresh second factor and a ticket by password; returns the key's id
    /// at the server.
    ///
    /// # Errors
    /// When a step fails.
    pub fn enrolled(&self, person: &str, pin: &str) -> Result<String> {
        self.give_factor(person)?;
        self.password_sign_in(person)?;
        let done = self.enroll(person, pin)?;
        self.workstation()?
            .command(&["kdestroy"])
            .user(person)
            .ok()?;
        Ok(text(&done, "kid")?.to_owned())
    }

    /// Takes every credential off the workstation and waits until AD has none of them.
    ///
    /// # Errors
    /// When one stays.
    pub fn forget_everyone(&self) -> Result<()> {
        let status = self.status("root")?;
        let credentials = status.get("credentials").and_then(Value::as_array);
        for credential in credentials.context("no credentials in the status")? {
            let person = text(credential, "upn")?
                .split('@')
                .next()
                .unwrap_or_default();
            let words = ["latchkey", "keys", "delete", text(credential, "kid")?];
            self.workstation()?.command(&words).ok()?;
            until("AD to forget a key", PATIENCE, || {
                self.keys_in_directory(person)
                    .is_ok_and(|keys| keys.is_empty())
            })?;
        }
        Ok(())
    }

    /// Runs a program on the domain controller against its own database.
    ///
    /// # Errors
    /// When the program fails.
    pub fn on_controller(&self, line: &str) -> Result<String> {
        self.controller()?.sh(line)
    }

    /// The key credentials that AD has for a person.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn keys_in_directory(&self, person: &str) -> Result<Vec<String>> {
        self.keys_at("dc", person)
    }

    /// Those that one domain controller has.
    ///
    /// # Errors
    /// When its database cannot be read.
    pub fn keys_at(&self, controller: &str, person: &str) -> Result<Vec<String>> {
        let found = self.lab.host(controller)?.sh(&format!(
            "ldbsearch -H /var/lib/samba/private/sam.ldb '(sAMAccountName={person})' msDS-KeyCredentialLink"
        ))?;
        // Long values are folded: a line that begins with a space goes on.
        let unfolded = found.replace("\n ", "");
        Ok(unfolded
            .lines()
            .filter_map(|line| line.strip_prefix("msDS-KeyCredentialLink: "))
            .map(str::to_owned)
            .collect())
    }

    /// Takes every key credential of a person out of AD, as another administrator might.
    ///
    /// # Errors
    /// When the directory refuses.
    pub fn clear_keys_in_directory(&self, person: &str) -> Result<()> {
        let ldif = format!(
            "dn: CN={person},OU=Staff,DC=corp,DC=latchkey,DC=test\nchangetype: modify\nreplace: msDS-KeyCredentialLink\n-\n"
        );
        self.controller()?
            .command(&["ldbmodify", "-H", "/var/lib/samba/private/sam.ldb"])
            .stdin(ldif)
            .ok()?;
        Ok(())
    }
}

/// A person's user principal name.
#[must_use]
pub fn upn(person: &str) -> String {
    format!("{person}@corp.latchkey.test")
}

/// The code that an authenticator app with [`TOTP_SECRET`] shows now.
///
/// # Errors
/// When `oathtool` cannot be run.
pub fn one_time_code() -> Result<String> {
    let mut app = Command::new("oathtool")
        .args(["--totp", "-b", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("oathtool (Debian package oathtool)")?;
    app.stdin
        .take()
        .context("no input")?
        .write_all(TOTP_SECRET.as_bytes())?;
    let shown = app.wait_with_output()?;
    Ok(String::from_utf8(shown.stdout)?.trim().to_owned())
}

/// A text field of an answer.
///
/// # Errors
/// When the answer has none of that name.
pub fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    let field = answer.get(name).and_then(Value::as_str);
    field.with_context(|| format!("no {name} in {answer}"))
}

/// The refusal that a program of ours printed as JSON.
///
/// # Errors
/// When it did not refuse, or did not say why.
pub fn refused(output: &Output) -> Result<Value> {
    ensure!(
        output.status == 1,
        "not refused but {}: {}",
        output.status,
        output.text()
    );
    let line = output
        .text()
        .lines()
        .rev()
        .find(|line| line.starts_with('{'))
        .map(str::to_owned);
    let answer: Value = serde_json::from_str(&line.context("no JSON in the answer")?)?;
    Ok(answer.get("error").cloned().unwrap_or(answer))
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))
}

const SYNC_TOML: &str = r#"server = "https://server.corp.latchkey.test"
realm = "CORP.LATCHKEY.TEST"
account = "svc-latchkey"
principal = "latchkey-sync/server.corp.latchkey.test"
keytab = "/etc/latchkey/sync.keytab"

[scope]
ous = ["OU=Staff,DC=corp,DC=latchkey,DC=test"]
"#;

const DEVICE_TOML: &str = r#"tcti = "swtpm:host=127.0.0.1,port=2321"
join = "manual"
"#;
