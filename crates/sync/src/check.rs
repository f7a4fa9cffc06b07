//! `check-config`: whether the agent could work with its configuration.

use std::fmt::Write;

use anyhow::Context as _;

use crate::{
    config::Config,
    door::{Tickets, connect},
    publish,
};

/// Tries what the configuration names; answers what to say.
pub async fn check(config: Config) -> anyhow::Result<String> {
    let mut said = String::new();
    let keytab = &config.keytab;
    std::fs::File::open(keytab).with_context(|| format!("cannot read {}", keytab.display()))?;
    let directory = connect(&config, &Tickets::default())
        .await
        .with_context(|| {
            format!(
                "the directory is not reachable as {}",
                config.account_principal()
            )
        })?;
    writeln!(
        said,
        "directory  {} as {}",
        directory.dc(),
        directory.who_am_i().await?
    )?;
    for base in config.scope.bases() {
        let mut pages = directory.users(base);
        let mut users = 0;
        while let Some(page) = pages
            .next()
            .await
            .with_context(|| format!("scope.ous: {base}"))?
        {
            users += page.len();
        }
        writeln!(said, "scope      {base}: {users} users")?;
    }
    if let Some(point) = publish::published(&directory).await?
        && !publish::is_of(&point, &config)
    {
        writeln!(said, "{}", publish::another(&point.agent, &config))?;
    }
    writeln!(said, "the configuration is good")?;
    Ok(said)
}
