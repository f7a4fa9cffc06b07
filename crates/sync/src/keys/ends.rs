//! How changes ended: noted, on disk, and then reported.

use api::agent::{ChangeResult, KeyChange, ResultState, StatusReport};
use client::Agent;

use super::{CHANGE_REFUSED, End, Failure, Keys, PAGE, anchor, named, now, round::Ended};
use crate::{
    addition::Refusal,
    history::{Connector, Outcome},
};

impl Keys {
    /// Notes how changes ended. The server is to be told of them after this.
    pub(super) fn note(&mut self, ended: Vec<Ended>, outcome: &mut Outcome) -> anyhow::Result<()> {
        for Ended { change, key, how } in ended {
            if let (Ok(end), Some(key)) = (&how, key) {
                self.note_written(&change, &key, end);
            }
            let (object, action) = named(&change);
            match self.told(&change, how) {
                Ok(result) => {
                    self.pending.settled(Connector::Directory, &object);
                    self.counters.settled(&result, change.key.created, now());
                    outcome.count(object, &result);
                    self.behind.results.push(result);
                }
                Err(error) => {
                    let why = Some(("not_now", format!("{error:#}")));
                    self.pending
                        .wait(Connector::Directory, &object, action, why);
                    tracing::warn!(
                        code = "change_put_off",
                        seq = change.seq,
                        kid = change.key.kid,
                        error = format!("{error:#}")
                    );
                    self.unfinished.is = true;
                    self.unfinished.users.insert(anchor(&change));
                    let cause = error.downcast_ref::<directory::Error>();
                    if cause.is_some_and(directory::Error::is_broken) {
                        self.behind.broken = Some(error);
                    }
                }
            }
        }
        self.folder_keeps_up()
    }

    /// What was written, and what was refused: on disk before the server hears of it.
    pub(super) fn folder_keeps_up(&mut self) -> anyhow::Result<()> {
        self.written.keep()?;
        self.alarms.keep(&self.folder, now())
    }

    /// What the server is told of an outcome. An error is for trying again.
    fn told(
        &mut self,
        change: &KeyChange,
        outcome: Result<End, Failure>,
    ) -> anyhow::Result<ChangeResult> {
        let (seq, kid) = (change.seq, change.key.kid.as_str());
        let user = &change.user.sid;
        match outcome {
            Ok(end) => {
                let (state, place) = match end {
                    End::Confirmed(place) => (ResultState::Confirmed, place),
                    End::Removed(place) => (ResultState::Removed, place),
                };
                tracing::info!(seq, kid, %user, ?state, dc = place.dc, "change carried out");
                Ok(ChangeResult {
                    dc: Some(place.dc),
                    usn: place.usn,
                    ..ChangeResult::new(seq, state)
                })
            }
            Err(Failure::Refused(refusal)) => {
                let Refusal {
                    code,
                    detail,
                    needs_proof,
                } = refusal;
                tracing::warn!(seq, kid, %user, code, detail, "change refused");
                let state = match needs_proof {
                    true => ResultState::NeedsProof,
                    false => ResultState::Refused,
                };
                if state == ResultState::Refused || code == "limit_reached" {
                    let detail = format!("a key for {user} was refused: {detail}");
                    self.alarms.raise(code, CHANGE_REFUSED, detail, now());
                }
                let (code, detail) = (Some(code.to_owned()), Some(detail));
                Ok(ChangeResult {
                    code,
                    detail,
                    ..ChangeResult::new(seq, state)
                })
            }
            Err(Failure::Later(error)) => Err(error),
        }
    }
}

/// Tells the server how changes ended.
pub(super) async fn report(agent: &Agent, mut results: Vec<ChangeResult>) -> anyhow::Result<()> {
    results.sort_by_key(|result| result.seq);
    for results in results.chunks(PAGE) {
        let results = results.to_vec();
        agent.status(&StatusReport { results }).await?;
    }
    Ok(())
}
