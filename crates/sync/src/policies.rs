//! Group policy of one user at one computer, evaluated for the server: does it ask that the key
//! lives in a TPM?
//!
//! *What must hold:* an answer is about the whole policy or it is none. The agent reads with its own
//! account, so an object that it cannot see may hold the very setting that was asked for.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use api::agent::{PolicyOutcome, PolicyWork};
use directory::{By, Directory};
use policy::{
    gpo::{self, Inputs, dn},
    merge::{Attestation, Sources, merge},
};
use sysvol::{Sysvol, policies::Cache};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{
    config::Config,
    door::{Door, Tickets},
};

/// What reads and evaluates policies.
pub struct Policies {
    config: Arc<Config>,
    door: Arc<Door>,
    cache: Mutex<Cache>,
}

impl Policies {
    /// Reads through `door`.
    pub fn new(config: Arc<Config>, door: Arc<Door>) -> Self {
        Self {
            config,
            door,
            cache: Mutex::default(),
        }
    }

    /// Evaluates what was asked; what cannot be evaluated is `Unknown`, with the reason.
    pub async fn evaluate(&self, asked: &PolicyWork) -> PolicyOutcome {
        self.read(asked).await.unwrap_or_else(|error| {
            let why = format!("{error:#}");
            tracing::warn!(code = "policy_unknown", user = %asked.user, why);
            PolicyOutcome::Unknown { why }
        })
    }

    async fn read(&self, asked: &PolicyWork) -> anyhow::Result<PolicyOutcome> {
        let directory = self.door.open().await?;
        let inputs = self.inputs(&directory, asked).await;
        if let Err(error) = &inputs
            && let Some(error) = error.downcast_ref()
        {
            self.door.forget_if_broken(error).await;
        }
        let inputs = inputs?;
        every_link_is_seen(&inputs)?;
        let files = self
            .cache
            .lock()
            .await
            .read(
                &inputs.wanted(),
                sysvol(directory.dc(), self.door.tickets()),
            )
            .await?
            .files;
        let evaluation = gpo::evaluate(&inputs, &files);
        if let Some(failure) = evaluation.failures.first() {
            bail!("{} cannot be read: {}", failure.gpo, failure.reason);
        }
        let user = evaluation.user.as_ref().map(|half| &half.registry);
        let effective = merge(&Sources::gpo(&evaluation.computer.registry, user));
        Ok(PolicyOutcome::Evaluated {
            requires_hardware: effective.requires_hardware(),
            requires_attestation: effective.attestation() == Attestation::Require,
        })
    }

    async fn inputs(&self, directory: &Directory, asked: &PolicyWork) -> anyhow::Result<Inputs> {
        let computer = directory.computer(&By::Guid(asked.computer)).await?;
        let computer = computer.context("the domain has no such computer")?;
        let user = directory.user(&By::Guid(asked.user)).await?;
        let missing = "there is no such user in this agent's scope";
        let user = user.context(missing)?;
        ensure!(self.config.scope.holds(directory, &user).await?, missing);
        Ok(directory.gpo_inputs(&computer, Some(&user)).await?)
    }
}

/// A link to an object that is not seen leads nowhere, or to one that this account may not read: the
/// directory answers both alike.
fn every_link_is_seen(inputs: &Inputs) -> anyhow::Result<()> {
    for linked in gpo::linked(&inputs.soms)? {
        let seen = inputs.gpcs.iter().any(|gpc| dn::same(&gpc.dn, &linked));
        ensure!(
            seen,
            "{linked} is linked, and is gone or may not be read by the agent: remove the link, or \
             let the agent's account read the policy"
        );
    }
    Ok(())
}

/// A session as the agent's account, whose ticket the directory's connection left.
async fn sysvol(dc: &str, tickets: &Tickets) -> anyhow::Result<Sysvol> {
    let service = format!("cifs/{dc}");
    let reading = tickets.reading().await;
    let ticket = spawn_blocking(move || {
        kerberos::Context::new()?
            .service_ticket(&service)?
            .marshal()
    });
    let ticket = ticket.await??;
    drop(reading);
    Ok(Sysvol::connect(dc, &ticket).await?)
}

#[cfg(test)]
mod tests {
    use model::Guid;
    use policy::gpo::{Gpc, Som, Target};

    use super::*;

    fn inputs(linked: &str, known: &str) -> Inputs {
        let target = || {
            let sid: model::Sid = "S-1-5-21-1-2-3-1104".parse().unwrap();
            Target::new("CN=WS1,DC=x".to_owned(), sid, Vec::new())
        };
        Inputs {
            gpcs: vec![Gpc {
                dn: known.to_owned(),
                guid: Guid::from_le_bytes([1; 16]),
                display_name: None,
                path: String::new(),
                version: 0,
                flags: 0,
                functionality: 2,
                machine_extensions: String::new(),
                user_extensions: String::new(),
                wql_filter: None,
                descriptor: None,
            }],
            soms: vec![Som {
                dn: "DC=x".to_owned(),
                links: format!("[LDAP://{linked};0]"),
                options: 0,
            }],
            site: None,
            computer: target(),
            user: Some(target()),
        }
    }

    #[test]
    fn a_link_to_an_object_that_the_agent_does_not_see_makes_policy_unknown() {
        let (one, other) = ("CN={A},CN=Policies,DC=x", "CN={B},CN=Policies,DC=x");
        every_link_is_seen(&inputs("cn={a},cn=policies,dc=X", one)).unwrap();
        let error = every_link_is_seen(&inputs(other, one)).unwrap_err();
        assert!(error.to_string().contains(other), "{error}");
    }
}
