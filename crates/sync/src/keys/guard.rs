//! Too many keys at once: to be taken out, or missing.

use api::agent::Alert;

use super::{Keys, now};
use crate::{
    history::{DELETION_THRESHOLD, ObjectError, Outcome},
    state::Folder,
    threshold::{self, Deletions, Lately, Side, Threshold},
};

/// One side's.
pub(super) struct Guard {
    /// What went in the last half hour, and nobody confirmed.
    lately: Lately,
    /// How many were stopped, and whether the server has heard of it.
    stopped: usize,
    is_told: bool,
}

impl Guard {
    /// As the folder has it.
    pub(super) fn new(folder: &Folder, side: Side) -> anyhow::Result<Self> {
        let stopped = threshold::is_stopped(folder, side)?;
        Ok(Self {
            lately: Lately::default(),
            stopped: stopped.map_or(0, |stopped| stopped.deletions),
            is_told: false,
        })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped > 0
    }
}

impl Keys {
    /// Whether so many are not too many; what is to be said if they are, is said.
    pub(super) async fn may_go(
        &mut self,
        side: Side,
        deletions: usize,
        outcome: &mut Outcome,
    ) -> anyhow::Result<bool> {
        let total = self.written.count().max(deletions);
        let guard = self.guard(side);
        let lately = guard.lately.count();
        let going = Deletions {
            deletions,
            lately,
            total: total + lately,
        };
        let threshold = Threshold::read(&self.folder)?;
        if !threshold.stops(side, &going) {
            self.guard(side).stopped = 0;
            threshold::passed(&self.folder, side, deletions)?;
            return Ok(true);
        }
        threshold::stopped(&self.folder, side, going)?;
        let detail = threshold.sentence(side, &going);
        outcome.errors.push(ObjectError {
            object: String::new(),
            code: DELETION_THRESHOLD.to_owned(),
            detail: detail.clone(),
        });
        self.tell_stopped(side, deletions, detail).await?;
        Ok(false)
    }

    /// So many went, and so many of those that may go are left.
    pub(super) fn went(&mut self, side: Side, count: usize, left: usize) -> anyhow::Result<()> {
        let is_confirmed = *Threshold::read(&self.folder)?.meant.of(side) > 0;
        self.guard(side).lately.went(count, is_confirmed);
        threshold::passed(&self.folder, side, left)
    }

    fn guard(&mut self, side: Side) -> &mut Guard {
        match side {
            Side::Lost => &mut self.losses,
            Side::Keys | Side::Accounts => &mut self.removals,
        }
    }

    /// Tells of what was stopped: here, and until it has heard of it, the server.
    async fn tell_stopped(
        &mut self,
        side: Side,
        count: usize,
        detail: String,
    ) -> anyhow::Result<()> {
        let (event, code) = (threshold::EVENT, DELETION_THRESHOLD);
        if self.guard(side).stopped != count {
            self.alarms.raise(code, event, detail.clone(), now());
            self.alarms.keep(&self.folder, now())?;
            let guard = self.guard(side);
            (guard.stopped, guard.is_told) = (count, false);
        }
        if !self.guard(side).is_told {
            let code = code.to_owned();
            let alert = Alert {
                event,
                code,
                detail,
            };
            self.agent.alert(&alert).await?;
            self.guard(side).is_told = true;
        }
        Ok(())
    }
}
