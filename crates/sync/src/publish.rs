//! The service connection point and the agent's service principal name, by an Enterprise Admin.

use anyhow::ensure;
use directory::{Directory, Error, ServicePoint};

use crate::{
    config::Config,
    state::{Enrolled, Folder},
};

/// What is asked of it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Put this agent's service in place of another that is published: agents with the other write no
    /// more keys, because workstations make their proofs for the one that is published.
    #[arg(long)]
    replace: bool,
}

/// Publishes with the caller's own ticket; answers what to say.
pub async fn publish(config: Config, args: Args) -> anyhow::Result<String> {
    let (enrolled, _) = Folder::open(&config.state)?.enrolled()?;
    let directory = Directory::connect(&config.realm, config.dc.as_deref()).await?;
    if let Some(point) = published(&directory).await? {
        ensure!(
            args.replace || is_of(&point, &config),
            another(&point.agent, &config)
        );
    }
    let registered = directory
        .register_service(&config.account, &config.principal)
        .await?;
    let point = point(&enrolled, &config)?;
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

/// What is to be published of an agent.
pub(crate) fn point(enrolled: &Enrolled, config: &Config) -> anyhow::Result<ServicePoint> {
    Ok(ServicePoint {
        url: enrolled.server.clone(),
        fingerprint: enrolled.fingerprint()?,
        agent: config.principal.clone(),
        tenant: enrolled.tenant,
    })
}

/// What the directory says; nothing where it is not to be understood and is to be written anew.
pub(crate) async fn published(directory: &Directory) -> Result<Option<ServicePoint>, Error> {
    match directory.service_point().await {
        Err(Error::Malformed(_)) => Ok(None),
        point => point,
    }
}

/// Whether proofs that are made for it are for this agent.
pub(crate) fn is_of(point: &ServicePoint, config: &Config) -> bool {
    point.agent.eq_ignore_ascii_case(&config.principal)
}

/// What there is to say of another service that is published.
pub(crate) fn another(published: &str, config: &Config) -> String {
    format!(
        "The directory names {published} as the agent's service, and `principal` is {}: workstations make \
         their proofs for the one that is published, and an agent with another writes none of their keys. \
         A second agent has the same account, the same `principal` and a copy of the keytab; to change \
         what is published: latchkey-sync publish --replace",
        config.principal
    )
}

/// The error of an administrator's command, which says whose ticket it needs if that is what it lacks.
pub fn whose_ticket(error: anyhow::Error, realm: &str) -> anyhow::Error {
    match error.downcast_ref() {
        Some(Error::Kerberos(_)) => {
            let sentence = "this works with your own ticket, an administrator's of the domain";
            error.context(format!("{sentence}: kinit NAME@{realm}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[test]
    fn who_lacks_a_ticket_is_told_whose_and_who_lacks_a_domain_controller_is_not() {
        let said = |error: Error| {
            let error = whose_ticket(anyhow::Error::from(error), "CORP.TEST");
            format!("{error:#}")
        };
        let lacks = said(Error::Kerberos("none".to_owned()));
        assert!(
            lacks.contains("kinit NAME@CORP.TEST: no Kerberos"),
            "{lacks}"
        );
        assert!(!said(Error::Unreachable("none".to_owned())).contains("kinit"));
    }

    #[test]
    fn what_is_published_for_another_service_says_what_breaks() {
        let parts = Parts::new("publish", "");
        let config = &*parts.config;
        let point = |agent: &str| ServicePoint {
            url: String::new(),
            fingerprint: String::new(),
            agent: agent.to_owned(),
            tenant: model::Guid::from_le_bytes([1; 16]),
        };
        assert!(is_of(&point("latchkey-sync/HOST.corp.test"), config));
        assert!(!is_of(&point("latchkey-sync/other.corp.test"), config));
        let said = another("latchkey-sync/other.corp.test", config);
        for word in ["latchkey-sync/other.corp.test", "keytab", "--replace"] {
            assert!(said.contains(word), "{said}");
        }
    }
}
