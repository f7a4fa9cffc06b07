//! One reading of the domain's policies: links and objects by LDAP, their files by SMB.

use std::ops;

use directory::{By, Directory, User};
use policy::gpo;
use sysvol::{Sysvol, policies::Cache};

use super::{Set, Subject, UNKNOWN_ACCOUNT};
use crate::{Error, daemon::Daemon, error::refused};

/// What a reading cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Objects that were looked at.
    pub(crate) objects: u32,
    /// Objects whose files were fetched.
    pub(crate) fetched: u32,
}

impl ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.fetched += other.fetched;
    }
}

impl Daemon {
    /// Reads a subject's policies as the machine account.
    pub(super) async fn read_policies(
        &self,
        subject: &Subject,
        cache: &mut Cache,
    ) -> Result<(Set, Counts), Error> {
        let directory = self.directory().await?;
        let user = user(&directory, subject).await?;
        if let Some(user) = &user
            && let Err(error) = self.take_names(user)
        {
            tracing::warn!(%error, "a person's names could not be kept");
        }
        let computer = directory.own_computer().await?;
        let inputs = directory.gpo_inputs(&computer, user.as_ref()).await?;
        let read = cache.read(&inputs.wanted(), sysvol(directory.dc())).await?;
        let counts = Counts {
            objects: inputs.gpcs.len() as u32,
            fetched: read.fetched,
        };
        let evaluation = gpo::evaluate(&inputs, &read.files);
        if let Some(failure) = evaluation.failures.first() {
            let more = match evaluation.failures.len() {
                1 => String::new(),
                count => format!(", and {} others are no better", count - 1),
            };
            return Err(refused(
                "policy_unreadable",
                format!(
                    "The group policy object {} applies and cannot be read: {}{more}.",
                    failure.gpo, failure.reason
                ),
            ));
        }
        Ok((Set::new(evaluation, directory.dc()), counts))
    }
}

async fn user(directory: &Directory, subject: &Subject) -> Result<Option<User>, Error> {
    let Subject::Person(sid) = subject else {
        return Ok(None);
    };
    match directory.user(&By::Sid(sid.clone())).await? {
        Some(user) => Ok(Some(user)),
        None => Err(refused(
            UNKNOWN_ACCOUNT,
            "The domain has no account of that person.",
        )),
    }
}

/// A session as the machine account, whose ticket-granting ticket the directory's connection left.
async fn sysvol(dc: &str) -> Result<Sysvol, Error> {
    let service = format!("cifs/{dc}");
    let ticket = tokio::task::spawn_blocking(move || {
        kerberos::Context::new()?
            .service_ticket(&service)?
            .marshal()
    });
    Ok(Sysvol::connect(dc, &ticket.await??).await?)
}
