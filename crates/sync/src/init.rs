//! `init`: the whole way from nothing to an agent that is enrolled.
//!
//! What is not given is asked for at a terminal, and missing without one. The configuration is
//! written once the keytab opened the directory: what is there afterwards has worked. A second `init`
//! with the same answers goes on where the first one ended. What `init` does not ask for stays as it
//! was.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use toml::Table;
use zeroize::Zeroizing;

use crate::{
    config::Config,
    control::{Line, Request},
    door::{Tickets, connect},
    enroll, ffi, publish,
    state::Folder,
};

const HEAD: &str = "# Written by `latchkey-sync init`: see latchkey-sync.toml(5).\n";

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
    /// The agent's service, latchkey-sync/HOST: the one that the domain's first agent has published, if
    /// there is one.
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
    /// Put another configuration in place of the one that is there, and enroll anew. What is not asked
    /// for is taken over, and the former file kept beside it with .bak at its end.
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
    let there = fs::read_to_string(path).ok();
    let former: Option<Table> = there.as_deref().and_then(|text| text.parse().ok());
    let mut table = configuration(&args, &questions, former.as_ref()).await?;
    keep(&mut table, former.as_ref());
    let text = format!("{HEAD}{table}");
    let config = Config::parse(&text)?;
    let is_news = former.as_ref() != Some(&table);
    if there.is_some() && is_news && !args.replace {
        bail!(
            "{} is there and says something else; --replace puts this one in its place",
            path.display()
        );
    }
    let folder = Folder::open(&config.state)?;
    let enrolls = args.replace || folder.enrolled().is_err();
    let _alone = enrolls.then(|| folder.take()).transpose()?;
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
    if is_news {
        if let Some(there) = there {
            let beside = path.with_added_extension("bak");
            write(&beside, &there)?;
            writeln!(io::stderr(), "the former one is now {}", beside.display())?;
        }
        write(path, &text)?;
    }

    let said = match enrolls {
        false => "This agent is enrolled already.\n".to_owned(),
        true => {
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
            enroll::enroll_alone(config.clone(), enroll, &folder).await?
        }
    };
    let restart = match running {
        Some(_) => "An agent runs: systemctl restart latchkey-sync\n",
        None => "",
    };
    let account = &config.account;
    Ok(format!(
        "{} is written, and {dc} let {account} in.\n{said}{restart}",
        path.display()
    ))
}

/// What was not asked for stays.
fn keep(table: &mut Table, former: Option<&Table>) {
    for (key, value) in former.into_iter().flatten() {
        match (table.get_mut(key), value) {
            (Some(toml::Value::Table(table)), toml::Value::Table(former)) => {
                keep(table, Some(former));
            }
            (Some(_), _) => {}
            (None, value) => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The service that the first agent of the domain has published, as far as it can be read by now.
async fn published(table: &Table, former: Option<&Table>) -> Option<String> {
    let mut table = table.clone();
    table.insert("principal".to_owned(), "latchkey-sync/unknown".into());
    keep(&mut table, former);
    let anywhere: Table = "ous = ['DC=unknown']".parse().ok()?;
    table.insert("scope".to_owned(), anywhere.into());
    let config = Config::parse(&table.to_string()).ok()?;
    fs::File::open(&config.keytab).ok()?;
    let directory = connect(&config, &Tickets::default()).await.ok()?;
    Some(publish::published(&directory).await.ok()??.agent)
}

async fn configuration(
    args: &Args,
    questions: &Questions,
    former: Option<&Table>,
) -> anyhow::Result<Table> {
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
    let keytab = ["keytab", "Keytab", "/etc/latchkey/sync.keytab"];
    let keytab = given(&args.keytab, keytab)?;
    let mut table = Table::new();
    for (key, value) in [
        ("server", server),
        ("realm", realm),
        ("account", account),
        ("keytab", keytab),
    ] {
        table.insert(key.to_owned(), value.into());
    }
    if let Some(dc) = &args.dc {
        table.insert("dc".to_owned(), dc.as_str().into());
    }
    if args.staging {
        table.insert("staging".to_owned(), true.into());
    }
    let principal = match &args.principal {
        Some(principal) => principal.clone(),
        // Workstations make their proofs for one service, whichever agent reads them.
        None => match published(&table, former).await {
            Some(published) => questions.ask("principal", "Service, as published", &published)?,
            None => questions.ask("principal", "Service", &service)?,
        },
    };
    table.insert("principal".to_owned(), principal.into());
    let ous = match args.ous.is_empty() {
        false => args.ous.clone(),
        // The whole domain is never the default: whose accounts leave it is a decision.
        true => vec![questions.ask("ou", &format!("Organizational unit (OU=…,{base})"), "")?],
    };
    let scope = Table::from_iter([("ous".to_owned(), ous.into())]);
    table.insert("scope".to_owned(), scope.into());
    Ok(table)
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

    async fn written(words: &[&str]) -> anyhow::Result<Table> {
        let told = Told::parse_from(["init"].iter().chain(words));
        configuration(&told.args, &Questions(false), None).await
    }

    const ALL: &[&str] = &[
        "--server=https://server.corp.test",
        "--realm=CORP.TEST",
        "--account=svc",
        "--principal=latchkey-sync/host.corp.test",
        "--ou=OU=Staff,DC=corp,DC=test",
        "--ou=OU=\"Quoted\\, too\",DC=corp,DC=test",
    ];

    #[tokio::test]
    async fn what_is_given_is_a_configuration() {
        let words = [ALL, &["--staging", "--dc=dc.corp.test"]].concat();
        let config = Config::parse(&written(&words).await.unwrap().to_string()).unwrap();
        assert_eq!(config.account_principal(), "svc@CORP.TEST");
        assert_eq!(config.scope.bases().count(), 2);
        assert_eq!(config.keytab, Path::new("/etc/latchkey/sync.keytab"));
        assert!(config.staging);
        let config = Config::parse(&written(ALL).await.unwrap().to_string()).unwrap();
        assert!(!config.staging);
    }

    #[tokio::test]
    async fn what_is_not_asked_for_stays_and_what_is_asked_for_does_not() {
        let former: Table = "account = 'former'\nreassert = 'auto'\n[limits]\nper_user_keys = 3\n\
             [scope]\nous = ['OU=Former,DC=corp,DC=test']\ngroups = ['CN=Some,DC=corp,DC=test']"
            .parse()
            .unwrap();
        let mut table = written(ALL).await.unwrap();
        keep(&mut table, Some(&former));
        let config = Config::parse(&format!("{HEAD}{table}")).unwrap();
        assert_eq!(config.account, "svc");
        assert_eq!(config.limits.per_user_keys, 3);
        assert_eq!(config.reassert, crate::config::Reassert::Auto);
        assert_eq!(table["scope"]["groups"], former["scope"]["groups"]);
        assert_ne!(table["scope"]["ous"], former["scope"]["ous"]);
        let again = table.clone();
        keep(&mut table, Some(&again));
        assert_eq!(table, again, "the same answers say the same");
    }

    #[tokio::test]
    async fn what_is_missing_is_named_where_there_is_nobody_to_ask() {
        for (missing, name) in [(0, "--server"), (4, "--ou")] {
            let words: Vec<_> = ALL[..4].iter().chain(&ALL[4..5]).copied().collect();
            let words: Vec<_> = words
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != missing)
                .map(|(_, word)| *word)
                .collect();
            let error = written(&words).await.unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
