//! A join that nobody asks for: a machine that is a member of a domain joins the server that its directory
//! names.
//!
//! So it does unless `device.toml` or the domain's policy says no ("Register domain joined computers as
//! devices", which is on unless it is turned off), or somebody has taken the machine out, here by `latchkey
//! leave` or at the server: then somebody joins it again. What keeps it from joining is told once for each cause, however often it is tried.

use std::{path::PathBuf, sync::Arc, time::Duration};

use model::UnixTime;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    daemon::{Daemon, now},
    events::Id,
    files, join,
    keytab::Machine,
    policies::Subject,
};

/// Who joins the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Joining {
    /// The daemon, where nothing speaks against it.
    #[default]
    Automatic,
    /// Root, by `latchkey join`.
    Manual,
}

/// What `left.json` holds: somebody has taken the machine out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftByHand {
    at: UnixTime,
}

/// How a try ended.
enum Tried {
    /// It has joined, or is not to.
    Over,
    /// The machine is no member of a domain, which costs nothing to ask.
    NoMember,
    /// Something may change.
    Later,
}

/// Tries until the machine has joined, or is not to.
pub(crate) async fn keep_joining(daemon: Arc<Daemon>) {
    let mut told = None;
    let mut pause = FIRST_PAUSE;
    loop {
        match daemon.join_unasked(&mut told).await {
            Ok(Tried::Over) => return,
            Ok(Tried::NoMember) => pause = FIRST_PAUSE,
            Ok(Tried::Later) => {}
            Err(error) => tracing::info!(%error, "the machine has not joined by itself yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Daemon {
    /// One try; `told` is the cause that an event told last.
    async fn join_unasked(
        self: &Arc<Self>,
        told: &mut Option<(Id, String)>,
    ) -> Result<Tried, Error> {
        if self.config.join == Joining::Manual
            || self.identity.joined().is_ok()
            || self.left_by_hand_path().exists()
        {
            return Ok(Tried::Over);
        }
        if Machine::of_keytab(&self.config.keytab).is_err() {
            return Ok(Tried::NoMember);
        }
        // A failure is kept with the last set, which counts then; where there is none, nobody knows whether
        // it is wanted.
        let _ = self.refresh_policies(&Subject::Computer).await;
        let wanted = self.policies.computer_number(POLICY_KEY, POLICY_VALUE);
        let Some(wanted) = wanted else {
            return Ok(Tried::Later);
        };
        if wanted == Some(0) {
            tracing::info!("a policy wants this machine not to join by itself");
            return Ok(Tried::Later);
        }
        let _one = self.membership.lock().await;
        if self.identity.joined().is_ok() {
            return Ok(Tried::Over);
        }
        let by_directory = ipc::Join {
            url: None,
            fingerprint: None,
        };
        match join::attempt(self, by_directory).await {
            Ok(joined) => {
                self.events.tell(&join::joined(&joined));
                Ok(Tried::Over)
            }
            Err((stage, error)) => {
                let failure = error.failure();
                let cause = Some((stage, failure.code.clone()));
                if *told != cause {
                    self.events.tell(&join::failed(stage, &failure));
                    *told = cause;
                }
                Err(error)
            }
        }
    }

    /// The machine was taken out, and is not to come back by itself.
    pub(crate) fn note_left_by_hand(&self) -> Result<(), Error> {
        files::write(&self.left_by_hand_path(), &LeftByHand { at: now() })
    }

    /// It has joined again.
    pub(crate) fn forget_left_by_hand(&self) -> Result<(), Error> {
        files::remove(&self.left_by_hand_path())
    }

    fn left_by_hand_path(&self) -> PathBuf {
        self.config.state.join("left.json")
    }
}

/// "Register domain joined computers as devices".
const POLICY_KEY: &str = r"Software\Policies\Microsoft\Windows\WorkplaceJoin";
const POLICY_VALUE: &str = "autoWorkplaceJoin";

/// Between two tries.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, daemon::tests::Folder};

    #[tokio::test]
    async fn nobody_joins_what_is_to_be_joined_by_hand_was_taken_out_or_is_in_no_domain() {
        let folder = Folder::new("unasked");
        let daemon = |join| {
            folder.daemon(Config {
                join,
                keytab: folder.path().join("keytab"),
                ..Config::default()
            })
        };
        let by_hand = daemon(Joining::Manual).join_unasked(&mut None).await;
        assert!(matches!(by_hand, Ok(Tried::Over)));
        let daemon = daemon(Joining::Automatic);
        let no_member = daemon.join_unasked(&mut None).await;
        assert!(matches!(no_member, Ok(Tried::NoMember)));
        daemon.note_left_by_hand().unwrap();
        let taken_out = daemon.join_unasked(&mut None).await;
        assert!(matches!(taken_out, Ok(Tried::Over)));
        daemon.forget_left_by_hand().unwrap();
        let again = daemon.join_unasked(&mut None).await;
        assert!(matches!(again, Ok(Tried::NoMember)));
    }
}
