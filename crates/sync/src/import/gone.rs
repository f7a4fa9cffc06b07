//! Accounts that are gone: found, looked for once more, and taken out.
//!
//! Who is told of deletions looks through the directory only before it decides; any other does so
//! every few seconds.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use directory::{By, Directory, Kind};
use model::Guid;

use super::{Import, POLL};
use crate::{
    history::{DELETION_THRESHOLD, ObjectError},
    keys::now,
    threshold::{self, Deletions, Side, Threshold},
};

/// How often what is there is listed, if anything changed and nobody tells of deletions; less often
/// where that takes long.
const SWEEP: Duration = Duration::from_secs(4);
/// How often while deletions are stopped: each of them is looked at.
const STOPPED_SWEEP: Duration = Duration::from_secs(30);
/// How many times as long as a search for deletions took there is none.
const SWEEP_PAUSE: u32 = 10;
/// How long an account may take from one domain controller to another: replication between sites has
/// its hours.
const ON_THE_WAY: Duration = Duration::from_secs(3 * 60 * 60);
/// How long a cycle waits until nothing more is deleted.
const PATIENCE: Duration = Duration::from_secs(60);

impl Import {
    pub(super) fn is_sweep_due(&mut self, usn: u64) -> anyhow::Result<bool> {
        let Some((swept, took, swept_usn)) = self.swept else {
            return Ok(true);
        };
        let is_stopped = self.departures.are_stopped();
        if is_stopped
            && self.departures.is_empty()
            && *self.threshold()?.meant.of(Side::Accounts) > 0
        {
            return Ok(true);
        }
        let least = match is_stopped {
            true => STOPPED_SWEEP,
            false => SWEEP,
        };
        let is_due = swept.elapsed() >= least.max(took * SWEEP_PAUSE)
            && (is_stopped || (swept_usn != usn && !self.is_told));
        Ok(is_due || self.departures.wants_a_look())
    }

    /// Notes what the directory tells of deletions after `since`, up to `usn`.
    pub(super) async fn deletions(
        &mut self,
        directory: &Directory,
        since: u64,
        usn: u64,
    ) -> anyhow::Result<()> {
        let deleted = directory.deleted(since, usn).await?;
        self.is_told = deleted.is_some();
        let known = &self.courier.known;
        let account = |guid| Some((known.kind(guid)?, guid));
        let gone: Vec<_> = deleted.into_iter().flatten().filter_map(account).collect();
        if gone.iter().any(|(kind, _)| *kind == Kind::Group) {
            self.members_changed(directory).await?;
        }
        self.courier.leave(&gone, self.departures.why());
        self.departures.told(gone);
        Ok(())
    }

    /// These are here. Notes which others that the server knows are not.
    pub(super) fn compare(&mut self, present: &HashSet<Guid>) {
        for (account, (_, last_seen)) in &mut self.arrived {
            if present.contains(account) {
                *last_seen = self.at;
            }
        }
        self.miss(self.courier.known.missing(present));
    }

    /// Notes what is not there, and not on its way from another domain controller either.
    pub(super) fn miss(&mut self, mut missing: Vec<(Kind, Guid)>) {
        self.arrived
            .retain(|_, (since, _)| since.elapsed() < ON_THE_WAY);
        missing.retain(|(_, account)| {
            let last_seen = self.arrived.get(account);
            last_seen.is_none_or(|(_, last_seen)| *last_seen == self.at)
        });
        self.courier.leave(&missing, self.departures.why());
        self.departures.see(missing);
    }

    /// Finds accounts that are gone, and users who came with the unit that they are in: those whom that
    /// changed it did not. Of a unit that was renamed or moved within the scope, the server has the former
    /// name until the next initial cycle.
    pub(super) async fn sweep(&mut self, directory: &Directory, usn: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        let domain = directory.domain().dn.clone();
        let mut bases: Vec<(Kind, String)> = self
            .config
            .scope
            .bases()
            .map(|base| (Kind::User, base.to_owned()))
            .collect();
        bases.extend([(Kind::Computer, domain.clone()), (Kind::Group, domain)]);
        let (mut present, mut strangers) = (HashSet::new(), HashSet::new());
        for (kind, base) in bases {
            let mut pages = directory.ids(kind, &base);
            while let Some(page) = pages.next().await? {
                if kind == Kind::User && !self.config.scope.has_groups() {
                    let page = page.iter().copied();
                    strangers.extend(page.filter(|user| self.courier.is_new(*user)));
                }
                present.extend(page);
            }
        }
        // A group that was deleted is among no changes.
        self.members_changed(directory).await?;
        self.departures.looked();
        self.compare(&present);
        self.swept = Some((begun, begun.elapsed(), usn));
        if self.courier.may_send() {
            let new: Vec<_> = strangers.difference(&self.strangers).copied().collect();
            self.bring_in(directory, &new).await?;
            self.courier.settle().await?;
            self.put_groups_of_newcomers(directory, VecDeque::new())
                .await?;
            self.strangers = strangers;
        }
        if self.departures.are_back() {
            self.courier.leave_only(&[]);
            threshold::passed(&self.folder, Side::Accounts, 0)?;
        }
        Ok(())
    }

    /// Waits until nothing more goes, and takes out what has gone. Where more goes without end, the looks
    /// that follow do that.
    pub(super) async fn finish(&mut self, directory: &Directory) -> anyhow::Result<()> {
        self.departures.doubt();
        let begun = Instant::now();
        while !self.departures.are_settled() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(POLL).await;
            if self.departures.wants_a_look() {
                let usn = directory.highest_usn().await?;
                self.sweep(directory, usn).await?;
            }
        }
        self.depart(directory).await
    }

    /// Takes out what has gone, unless that is more than anybody can have meant.
    pub(super) async fn depart(&mut self, directory: &Directory) -> anyhow::Result<()> {
        if self.departures.is_empty() || !self.departures.are_settled() {
            return Ok(());
        }
        // What another agent has taken out meanwhile does not count.
        if !self.courier.is_sure() {
            return Ok(());
        }
        let mut gone = Vec::new();
        for (kind, guid) in self.departures.all() {
            if self.courier.known.contains(guid) && self.is_gone(directory, kind, guid).await? {
                gone.push((kind, guid));
            } else {
                self.courier.stays(kind, guid);
            }
        }
        let threshold = self.threshold()?;
        let lately = self.departures.lately();
        let going = Deletions {
            deletions: gone.len(),
            lately,
            total: self.courier.known.len() + lately,
        };
        if threshold.stops(Side::Accounts, &going) {
            self.stop(&threshold, &gone, going).await?;
            self.departures.decided();
            return Ok(());
        }
        let known = self.courier.known.len();
        let done = self.take_out(&gone).await;
        // Also what went before something failed counts.
        let went = known.saturating_sub(self.courier.known.len());
        let is_confirmed = done.is_ok() && *threshold.meant.of(Side::Accounts) > 0;
        self.departures.went(went, is_confirmed);
        done?;
        self.departures.decided();
        threshold::passed(&self.folder, Side::Accounts, 0)?;
        self.keep()
    }

    async fn take_out(&mut self, gone: &[(Kind, Guid)]) -> anyhow::Result<()> {
        for (kind, guid) in gone {
            self.courier.delete(*kind, *guid).await?;
        }
        self.courier.settle().await
    }

    /// More is gone than may go: nothing does.
    pub(super) async fn stop(
        &mut self,
        threshold: &Threshold,
        gone: &[(Kind, Guid)],
        stopped: Deletions,
    ) -> anyhow::Result<()> {
        let (code, event) = (DELETION_THRESHOLD, threshold::EVENT);
        let detail = threshold.sentence(Side::Accounts, &stopped);
        self.courier.leave_only(gone);
        self.courier.leave(gone, Some(&detail));
        self.courier.report(ObjectError {
            object: "/".to_owned(),
            code: code.to_owned(),
            detail: detail.clone(),
        });
        threshold::stopped(&self.folder, Side::Accounts, stopped)?;
        if self.departures.stop(gone.len(), detail.clone()) {
            self.alarms.raise(code, event, detail.clone(), now());
        }
        self.alarms.keep(&self.folder, now())?;
        if !self.departures.is_told() {
            self.courier.alert(event, code, &detail).await?;
            self.departures.tell();
        }
        Ok(())
    }

    fn threshold(&self) -> anyhow::Result<Threshold> {
        Threshold::read(&self.folder)
    }

    /// Looks once more: an account that is moved while pages are read is on none of them.
    async fn is_gone(
        &self,
        directory: &Directory,
        kind: Kind,
        guid: Guid,
    ) -> Result<bool, directory::Error> {
        let by = By::Guid(guid);
        Ok(match kind {
            Kind::User => !directory
                .user(&by)
                .await?
                .is_some_and(|user| self.is_inside(&user)),
            Kind::Computer => directory.computer(&by).await?.is_none(),
            Kind::Group => directory.group(guid).await?.is_none(),
        })
    }
}
