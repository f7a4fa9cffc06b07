//! People whose names change in the domain.
//!
//! A credential belongs to a SID, and keeps the two names that a sign-in needs: the Kerberos principal, and
//! the principal name in the certificate. Both are read anew with a person's policies, and when a domain
//! controller refuses a sign-in as if it were somebody else's. So a name that changed costs one sign-in that
//! takes a moment longer, and never the credential.

use std::time::Duration;

use directory::{By, User};
use ipc::Failure;
use model::Sid;
use tokio::time::timeout;

use crate::{
    Error,
    credential::Credential,
    daemon::Daemon,
    events::{Event, Id},
};

impl Daemon {
    /// Takes in what a person is called today. Is it something else than before?
    pub(crate) fn take_names(&self, user: &User) -> Result<bool, Error> {
        let Some(device) = self.identity.device() else {
            return Ok(false);
        };
        let mut renamed = false;
        for uid in self.credentials.uids()? {
            let Some(credential) = self.credentials.read(uid)? else {
                continue;
            };
            let principal = format!("{}@{}", user.account, device.realm);
            let names = (&*user.principal, &*principal);
            if credential.sid != user.sid || !is_other(&credential, names) {
                continue;
            }
            let kept = self
                .credentials
                .update(uid, credential.key.public(), |kept| rename(kept, names))?;
            if let Some(kept) = kept {
                let event = Event::about(Id::Renamed, &kept).with("Before", &credential.upn);
                self.events.tell(&event.with("Principal", &kept.principal));
                renamed = true;
            }
        }
        Ok(renamed)
    }

    /// Is it because of a name of yesterday that a domain controller refused this credential? Then the next
    /// try has today's.
    pub(crate) async fn is_renamed(&self, credential: &Credential, why: &Failure) -> bool {
        OF_NAMES.contains(&&*why.code) && self.ask_names(&credential.sid).await
    }

    /// Asks the domain what a person is called today, if it can be reached. Is it something else than
    /// before?
    pub(crate) async fn ask_names(&self, sid: &Sid) -> bool {
        let asked = timeout(PATIENCE, async {
            let directory = self.directory().await?;
            match directory.user(&By::Sid(sid.clone())).await? {
                Some(user) => self.take_names(&user),
                None => Ok(false),
            }
        });
        match asked.await {
            Ok(Ok(renamed)) => renamed,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a person's names of today could not be read");
                false
            }
            Err(_) => false,
        }
    }
}

fn is_other(credential: &Credential, (upn, principal): (&str, &str)) -> bool {
    (&*credential.upn, &*credential.principal) != (upn, principal)
}

/// The certificate names the person too, and is made anew.
fn rename(credential: &mut Credential, (upn, principal): (&str, &str)) {
    upn.clone_into(&mut credential.upn);
    principal.clone_into(&mut credential.principal);
    credential.leaf = None;
}

/// What the caller is told where names have changed, and who then tries once more.
pub(crate) fn renamed() -> Failure {
    Failure::new(RENAMED, "Your name in the domain has changed; try again.")
}

pub(crate) const RENAMED: &str = "renamed";

/// Refusals that a name of yesterday brings: nobody has it, somebody else has it, the certificate does not
/// fit it, or the ticket is one for the name of today, which nobody asked for.
const OF_NAMES: [&str; 4] = [
    "unknown_account",
    "name_mismatch",
    "key_not_in_directory",
    "kdc_not_trusted",
];

/// How long the directory may take for it.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::tests::credential;

    #[test]
    fn each_name_that_changed_is_taken_in_and_takes_the_certificate_along() {
        let before = credential("AA==");
        let same = (&*before.upn, &*before.principal);
        assert!(!is_other(&before, same));
        for names in [
            ("alicia@corp.test", "alice@CORP.TEST"),
            ("alice@corp.test", "alicia@CORP.TEST"),
            ("ALICE@corp.test", "alice@CORP.TEST"),
        ] {
            let mut credential = before.clone();
            credential.leaf = Some(crate::credential::Leaf {
                certificate: vec![1],
                issuer: vec![2],
                renew: model::UnixTime(i64::MAX),
            });
            assert!(is_other(&credential, names));
            rename(&mut credential, names);
            assert!(!is_other(&credential, names));
            assert_eq!(credential.leaf, None);
            assert_eq!(
                (&credential.sid, &credential.key),
                (&before.sid, &before.key)
            );
        }
    }
}
