//! `init`: the whole way from nothing to an agent that is enrolled.
//!
//! What is not given is asked for at a terminal, and missing without one. The configuration is
//! written once the keytab opened the directory: what is there afterwards has worked. A second `init`
//! with the same answers goes on where the first one ended.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    config::Config,
    control::{Line, Request},
    door::{Tickets, connect},
    enroll, ffi,
    state::Folder,
};

/// What `init` is told. What is missing it asks for, if it can.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's URL.
    #[arg(long)]
    server: Option<String>,
    /// sha256: and the fingerprint of the server's certificate or its issuer, as the server's `init`
    /// printed it.
    #[arg(long)]
    fingerprint: Option<String>,
    /// The Kerberos realm, in capitals.
    #[arg(long)]
    realm: Option<String>,
    /// sAMAccountName of the agent's account.
    #[arg(long)]
    account: Option<String>,
    /// The agent's service, latchkey-sync/HOST.
    #[arg(long)]
    principal: Option<String>,
    /// The keytab with the keys of both.
    #[arg(long)]
    keytab: Option<String>,
    /// An organizational unit whose users are brought to the server; once for each.
    #[arg(long = "ou", value_name = "DN")]
    ous: Vec<String>,
    /// A domain controller; DNS tells unless it is given.
    #[arg(long)]
    dc: Option<String>,
    /// Import and compare, and change nothing.
    #[arg(long)]
    staging: bool,
    /// Read the one-time code from a file.
    #[arg(long)]
    code_file: Option<PathBuf>,
    /// Put another configuration in place of the one that is there, and enroll anew.
    #[arg(long)]
    replace: bool,
}

/// Where answers come from that are not given.
struct Questions(bool);

impl Questions {
    fn ask(&self, name: &str, question: &str, default: &str) -> anyhow::Result<String> {
        if !self.0 {
            ensure!(
                !default.is_empty(),
                "--{name} is missing, and there is nobody to ask"
            );
            return Ok(default.to_owned());
        }
        let mut out = io::stderr().lock();
        match default.is_empty() {
            true => write!(out, "{question}: ")?,
            false => write!(out, "{question} [{default}]: ")?,
        }
        out.flush()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        match line.trim() {
            "" if default.is_empty() => bail!("--{name} is missing"),
            "" => Ok(default.to_owned()),
            answer => Ok(answer.to_owned()),
        }
    }

    /// What was given, or else is asked for.
    fn or(&self, given: Option<String>, asked: [&str; 3]) -> anyhow::Result<String> {
        let [name, question, default] = asked;
        match given {
            Some(given) => Ok(given),
            None => self.ask(name, question, default),
        }
    }
}

/// Writes the configuration, tries it, and enrolls; answers what to say.
pub async fn init(path: &Path, args: Args) -> anyhow::Result<String> {
    let questions = Questions(io::stdin().is_terminal() && io::stderr().is_terminal());
    let text = configuration(&args, &questions)?;
    let config = Config::parse(&text)?;
    let there = fs::read_to_string(path).ok();
    if there.as_deref().is_some_and(|there| there != text) && !args.replace {
        bail!(
            "{} is there and says something else; --replace puts this one in its place",
            path.display()
        );
    }
    // An agent that runs begins no cycle meanwhile.
    let mut running = Line::open(&config.runtime)?;
    if let Some(line) = &mut running {
        line.ask::<Value>(Request::Suspend)?;
    }

    let keytab = config.keytab.display();
    fs::File::open(&config.keytab).with_context(|| {
        format!(
            "{keytab} cannot be read: export the keys of {} and {} into it first",
            config.account, config.principal
        )
    })?;
    let shared = Arc::new(config.clone());
    let directory = connect(&shared, &Tickets::default())
        .await
        .with_context(|| format!("{} gets in nowhere with {keytab}", config.account))?;
    let dc = directory.dc().to_owned();
    drop(directory);
    write(path, &text)?;

    let enrolled = Folder::open(&config.state)?.enrolled().is_ok();
    let said = match enrolled && !args.replace {
        true => "This agent is enrolled already.\n".to_owned(),
        false => {
            let server = config.server.clone();
            let enroll = enroll::Args {
                server,
                fingerprint: questions.or(
                    args.fingerprint,
                    ["fingerprint", "Fingerprint of the server, sha256:…", ""],
                )?,
                code_stdin: false,
                code: match &args.code_file {
                    Some(_) => None,
                    None => {
                        let question = "One-time code (latchkey-server admin agent code)";
                        Some(Zeroizing::new(questions.ask("code-file", question, "")?))
                    }
                },
                code_file: args.code_file,
            };
            enroll::enroll(config.clone(), enroll).await?
        }
    };
    let restart = match running {
        Some(_) => "An agent runs: systemctl restart latchkey-sync\n",
        None => "",
    };
    let account = &config.account;
    Ok(format!(
        "{} is written, and {dc} let {account} in.\n{said}\
         To write keys, {account} needs the right to write msDS-KeyCredentialLink below each \
         organizational unit, and nothing more: `latchkey-sync permissions grant` gives it.\n{restart}",
        path.display()
    ))
}

fn configuration(args: &Args, questions: &Questions) -> anyhow::Result<String> {
    let given = |value: &Option<String>, asked| questions.or(value.clone(), asked);
    let host = ffi::host_name();
    let domain = host.split_once('.').map_or("", |(_, domain)| domain);
    let service = match host.is_empty() {
        true => String::new(),
        false => format!("latchkey-sync/{host}"),
    };
    let realm = domain.to_uppercase();
    let base = match domain {
        "" => String::new(),
        domain => format!("DC={}", domain.replace('.', ",DC=")),
    };
    let server = given(&args.server, ["server", "URL of the server", ""])?;
    let realm = given(&args.realm, ["realm", "Kerberos realm", &realm])?;
    let account = given(&args.account, ["account", "Account", "svc-latchkey"])?;
    let principal = given(&args.principal, ["principal", "Service", &service])?;
    let keytab = ["keytab", "Keytab", "/etc/latchkey/sync.keytab"];
    let keytab = given(&args.keytab, keytab)?;
    let ous = match args.ous.is_empty() {
        false => args.ous.clone(),
        // The whole domain is never the default: whose accounts leave it is a decision.
        true => vec![questions.ask("ou", &format!("Organizational unit (OU=…,{base})"), "")?],
    };
    let text = |value: &str| toml::Value::from(value).to_string();
    let mut lines = vec![
        "# Written by `latchkey-sync init`: see latchkey-sync.toml(5).".to_owned(),
        format!("server = {}", text(&server)),
        format!("realm = {}", text(&realm)),
        format!("account = {}", text(&account)),
        format!("principal = {}", text(&principal)),
        format!("keytab = {}", text(&keytab)),
    ];
    if let Some(dc) = &args.dc {
        lines.push(format!("dc = {}", text(dc)));
    }
    if args.staging {
        lines.push("staging = true".to_owned());
    }
    let ous: Vec<_> = ous.iter().map(|ou| text(ou)).collect();
    lines.push(format!("\n[scope]\nous = [{}]\n", ous.join(", ")));
    Ok(lines.join("\n"))
}

/// Readable by everybody: it holds no secret, and the agent's user reads it.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&fresh)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Told {
        #[command(flatten)]
        args: Args,
    }

    fn written(words: &[&str]) -> anyhow::Result<String> {
        let told = Told::parse_from(["init"].iter().chain(words));
        configuration(&told.args, &Questions(false))
    }

    const ALL: &[&str] = &[
        "--server=https://server.corp.test",
        "--realm=CORP.TEST",
        "--account=svc",
        "--principal=latchkey-sync/host.corp.test",
        "--ou=OU=Staff,DC=corp,DC=test",
        "--ou=OU=\"Quoted\\, too\",DC=corp,DC=test",
    ];

    #[test]
    fn what_is_given_is_a_configuration() {
        let words = [ALL, &["--staging", "--dc=dc.corp.test"]].concat();
        let config = Config::parse(&written(&words).unwrap()).unwrap();
        assert_eq!(config.account_principal(), "svc@CORP.TEST");
        assert_eq!(config.scope.bases().count(), 2);
        assert_eq!(config.keytab, Path::new("/etc/latchkey/sync.keytab"));
        assert!(config.staging);
        let config = Config::parse(&written(ALL).unwrap()).unwrap();
        assert!(!config.staging);
    }

    #[test]
    fn what_is_missing_is_named_where_there_is_nobody_to_ask() {
        for (missing, name) in [(0, "--server"), (4, "--ou")] {
            let words: Vec<_> = ALL[..4].iter().chain(&ALL[4..5]).copied().collect();
            let words: Vec<_> = words
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != missing)
                .map(|(_, word)| *word)
                .collect();
            let error = written(&words).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
