//! What counts for a subject: group policy as read last, with what a server delivered.
//!
//! What must hold: a delivery that cannot be read takes nothing from anybody, and gives nothing.
//! Group policy counts without it; where group policy leaves the decision to a server, nobody
//! enrolls.

use ipc::Failure;
use model::UnixTime;
use policy::{
    merge::{Effective, Sources, merge},
    report::{About, Report},
};

use super::{Kept, Subject, delivered::Delivered};

/// What is known of a subject's policies.
pub(crate) struct InForce {
    pub(super) subject: Subject,
    pub(super) kept: Kept,
    /// None where no server delivered anything.
    pub(super) delivered: Result<Option<Delivered>, Failure>,
}

impl InForce {
    /// What is in effect; none where group policy was never read.
    pub(crate) fn effective(&self) -> Option<Effective> {
        let evaluation = &self.kept.set.as_ref()?.evaluation;
        let user = evaluation.user.as_ref().map(|half| &half.registry);
        let gpo = Sources::gpo(&evaluation.computer.registry, user);
        Some(merge(&match &self.delivered {
            Ok(None) => gpo,
            Ok(Some(delivered)) => Sources {
                user_policy: delivered.user(self.subject.person()),
                device_policy: delivered.device(self.subject.person()),
                tenant: &delivered.policies.tenant,
                ..gpo
            },
            Err(failure) => Sources {
                server_unknown: Some(&failure.sentence),
                ..gpo
            },
        }))
    }

    /// Why group policy is not newer, or not known.
    pub(crate) fn error(&self) -> Option<&Failure> {
        self.kept.error.as_ref()
    }

    /// The whole for people to read.
    pub(super) fn report(&self, user: Option<String>, computer: String) -> Report {
        let seconds = |time: UnixTime| u64::try_from(time.0).ok();
        let delivered = self.delivered.as_ref().ok().and_then(Option::as_ref);
        let about = About {
            user,
            computer,
            taken_at: self.kept.set.as_ref().and_then(|set| seconds(set.read)),
            error: self.error().map(|failure| failure.sentence.clone()),
            server_at: delivered.and_then(|delivered| seconds(delivered.received)),
        };
        let mut report = match (&self.kept.set, self.effective()) {
            (Some(set), Some(effective)) => Report::new(about, &effective, &set.evaluation),
            _ => Report::without_policy(about),
        };
        let disagreements = delivered.map(|last| last.disagreements(self.subject.person()));
        report.notes.extend(disagreements.into_iter().flatten());
        report
    }
}
