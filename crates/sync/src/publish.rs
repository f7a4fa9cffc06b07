//! The service connection point and the agent's service principal name, by an Enterprise Admin.

use directory::{Directory, ServicePoint};

use crate::{config::Config, state::Folder};

/// Publishes with the caller's own ticket; answers what to say.
pub async fn publish(config: Config) -> anyhow::Result<String> {
    let (enrolled, _) = Folder::open(&config.state)?.enrolled()?;
    let directory = Directory::connect(&config.realm, config.dc.as_deref()).await?;
    let registered = directory
        .register_service(&config.account, &config.principal)
        .await?;
    let point = ServicePoint {
        url: enrolled.server.clone(),
        fingerprint: enrolled.fingerprint()?,
        agent: config.principal.clone(),
        tenant: enrolled.tenant,
    };
    directory.publish_service_point(&point).await?;
    let spn = if registered {
        "registered now"
    } else {
        "registered already"
    };
    Ok(format!(
        "Published at {} as {}:\n  url {}\n  {}\n  agent {} ({spn})\n",
        directory.dc(),
        directory.who_am_i().await?,
        point.url,
        point.fingerprint,
        point.agent,
    ))
}
