//! The agent's enrollment: a one-time code for an identity.

use std::{
    io::{BufRead, Read},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use api::agent::{AgentEnroll, DomainInfo};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::{Client, fetch_anchor};
use zeroize::Zeroizing;

use crate::{
    agent_key,
    config::Config,
    door::{Tickets, connect},
    ledger::{self, Ledger},
    publish,
    state::{Enrolled, Folder, Journal},
};

/// What enrollment is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's URL, if the configuration does not name it.
    #[arg(long)]
    pub(crate) server: Option<String>,
    /// sha256: and the fingerprint of the server's certificate or its issuer, as `init` printed it.
    #[arg(long)]
    pub(crate) fingerprint: String,
    /// Read the one-time code from standard input.
    #[arg(long, conflicts_with = "code_file")]
    pub(crate) code_stdin: bool,
    /// Read the one-time code from a file.
    #[arg(long)]
    pub(crate) code_file: Option<PathBuf>,
    /// It was asked for already.
    #[arg(skip)]
    pub(crate) code: Option<Zeroizing<String>>,
}

const MAX_CODE: u64 = 256;

/// Enrolls while no agent runs, which would go on with the former one's place and key; answers what
/// to say.
pub async fn enroll(config: Config, args: Args) -> anyhow::Result<String> {
    let folder = Folder::open(&config.state)?;
    let _alone = folder.take()?;
    enroll_alone(config, args, &folder).await
}

/// The same for whoever has taken the folder.
pub(crate) async fn enroll_alone(
    config: Config,
    args: Args,
    folder: &Folder,
) -> anyhow::Result<String> {
    let server = args.server.as_deref().or(config.server.as_deref());
    let server = server.context("no server: give --server or name it in the configuration")?;
    let server = server.trim_end_matches('/').to_owned();
    let code = code(&args)?;

    let config = Arc::new(config);
    let directory = connect(&config, &Tickets::default())
        .await
        .context("the directory must be reachable to enroll")?;
    let domain = directory.domain();

    let anchor = fetch_anchor(&server, &args.fingerprint).await?;
    let client = Client::new(&server, &anchor)?;
    let key = agent_key::make()?;
    let answer = client
        .enroll_agent(&AgentEnroll {
            code: code.to_string(),
            csr: STANDARD.encode(agent_key::request(&key, &config.principal)?),
            domain: DomainInfo {
                guid: domain.guid,
                sid: domain.sid.clone(),
                dns_name: domain.dns_name.clone(),
                netbios_name: domain.netbios_name.clone(),
            },
            principal: config.service_principal(),
        })
        .await?;
    let enrolled = Enrolled {
        agent: answer.agent,
        tenant: answer.tenant,
        server,
        anchor: String::from_utf8(anchor.to_pem()?)?,
    };
    forget_feed(folder)?;
    folder.keep_enrolled(&enrolled, &key)?;
    let next = match publish::published(&directory).await.ok().flatten() {
        Some(point) if !publish::is_of(&point, &config) => {
            publish::another(&point.agent, &config) + "\n"
        }
        Some(point) if point == publish::point(&enrolled, &config)? => String::new(),
        _ => "Next, with an Enterprise Admin's ticket (kinit): latchkey-sync publish\n".to_owned(),
    };
    Ok(format!(
        "Enrolled as agent {} of tenant {} for the domain {}.\n{next}\
         Next, with a Domain Admin's ticket (kinit), so that it may write keys: \
         latchkey-sync permissions grant\n\
         Then: systemctl restart latchkey-sync\n",
        enrolled.agent, enrolled.tenant, domain.dns_name
    ))
}

/// The place in the feed is the former server's; what was carried out and counted stays. Before the
/// enrollment is kept: a kill between makes the old one read its feed once more, no worse.
fn forget_feed(folder: &Folder) -> anyhow::Result<()> {
    let mut ledger = Journal::<Ledger>::open(folder, ledger::FILE)?;
    ledger.move_to("");
    ledger.keep()
}

fn code(args: &Args) -> anyhow::Result<Zeroizing<String>> {
    if let Some(code) = &args.code {
        return Ok(code.clone());
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_CODE as usize));
    match &args.code_file {
        Some(path) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            file.take(MAX_CODE).read_to_string(&mut text)?;
        }
        None if args.code_stdin => {
            std::io::stdin()
                .lock()
                .take(MAX_CODE)
                .read_line(&mut text)?;
        }
        None => bail!("no one-time code: give --code-stdin or --code-file"),
    }
    let code = Zeroizing::new(text.trim().to_owned());
    anyhow::ensure!(!code.is_empty(), "the one-time code is empty");
    Ok(code)
}

#[cfg(test)]
mod tests {
    use model::UnixTime;

    use super::*;
    use crate::testing::Parts;

    #[test]
    fn a_new_enrollment_begins_the_feed_anew_and_forgets_nothing_else() {
        let parts = Parts::new("feed", "additions_per_hour = 1");
        forget_feed(&parts.folder).unwrap();
        let now = UnixTime(1_800_000_000);
        let open = || Journal::<Ledger>::open(&parts.folder, ledger::FILE).unwrap();
        let mut ledger = open();
        ledger.move_to("v9");
        ledger.count_addition(now);
        ledger.keep().unwrap();
        forget_feed(&parts.folder).unwrap();
        let mut ledger = open();
        assert_eq!(ledger.feed(), "");
        assert!(ledger.additions_exhausted(&parts.config.limits, now));
    }
}
