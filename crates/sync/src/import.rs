//! Directory up: users of the scope, the groups they are in, and all computers, as SCIM bulk.
//!
//! An initial import sends everything; a delta what changed since the last update sequence number.
//! Between the cycles, changes are looked for every second. Deletions are told only to an account that
//! may look into the container of what was deleted; any other finds them by listing what is there, as
//! often as that is cheap. [`Departures`] says when one counts.
//!
//! The place in the directory is in memory: whoever starts, or writes after another agent may have
//! written, compares everything with what the server has. Each domain controller has its own place, by
//! its invocationId: one that was never asked, or was put back from a backup, is read from the beginning.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use client::Agent;
use directory::{By, Computer, Directory, Group, Kind, User};
use model::Guid;
use tokio::sync::mpsc;

use crate::{
    alarms::Alarms,
    config::Config,
    courier::Courier,
    cycle::Asked,
    departures::Departures,
    door::Door,
    held::{self, Held},
    history::{DELETION_THRESHOLD, ObjectError, Outcome},
    keys::now,
    known::{self, Known},
    lease::Lease,
    pending::Pending,
    resources,
    retry::Backoff,
    scheduler::PolicyType,
    state::Folder,
    threshold::{self, Deletions, Side, Threshold},
};

/// How often the update sequence number is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How many times as long as a look took there is none, up to [`MAX_POLL`]: it keeps a domain
/// controller from writing.
const POLL_PAUSE: u32 = 8;
/// What changed is noticed in seconds, however long that takes.
const MAX_POLL: Duration = Duration::from_secs(3);
/// How long a cycle waits until nothing more is deleted.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many accounts that changed are read at once.
const AT_ONCE: usize = 100;
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
/// From so many new accounts on, all groups are read rather than those that each account is in: a
/// domain controller looks through many for every one.
const MANY: usize = 10;

/// The way up.
pub struct Import {
    config: Arc<Config>,
    door: Door,
    folder: Folder,
    courier: Courier,
    departures: Departures,
    alarms: Alarms,
    /// Where the last look at each domain controller ended: by its invocationId, the update sequence
    /// number.
    seen: HashMap<Guid, u64>,
    /// When everything was sent last, and how long that took to read.
    rested: Option<(Instant, Duration)>,
    /// The domain controller that is asked, by its invocationId.
    at: Guid,
    /// Accounts that came of late: when, and where they were seen last.
    arrived: HashMap<Guid, (Instant, Guid)>,
    /// When what is there was listed last, how long that took, and at which sequence number.
    swept: Option<(Instant, Duration, u64)>,
    /// The directory tells of deletions.
    is_told: bool,
    /// Who is in the groups of the scope; none where it has no groups, or before they are read.
    members: Option<HashSet<Guid>>,
    /// Who came in, and whose groups are still to be sent.
    newcomers: HashSet<String>,
    /// Users of the scope whom the last look through it found, and nobody understood.
    strangers: HashSet<Guid>,
}

impl Import {
    /// The way up, with what the server is known to know.
    pub fn new(
        config: Arc<Config>,
        door: Door,
        agent: Arc<Agent>,
        folder: Folder,
        writes: (Arc<Lease>, Arc<Pending>),
    ) -> anyhow::Result<Self> {
        let known = Known::from_ids(folder.read(known::FILE)?.unwrap_or_default());
        let held = Held::from_rows(folder.read(held::FILE)?.unwrap_or_default());
        let mut departures = Departures::default();
        if let Some(stopped) = threshold::is_stopped(&folder, Side::Accounts)? {
            let why = Threshold::read(&folder)?.sentence(Side::Accounts, &stopped);
            departures.stop(stopped.deletions, why);
        }
        Ok(Self {
            courier: Courier::new(agent, known, held, writes),
            departures,
            alarms: Alarms::default(),
            seen: HashMap::new(),
            rested: None,
            at: Guid::NIL,
            arrived: HashMap::new(),
            swept: None,
            is_told: false,
            members: None,
            newcomers: HashSet::new(),
            strangers: HashSet::new(),
            config,
            door,
            folder,
        })
    }

    /// Sends for ever, and takes its turn in cycles.
    pub async fn run(mut self, mut turns: mpsc::Receiver<Asked>) {
        let mut backoff = Backoff::default();
        // The first cycle is due at once, mostly: it comes first.
        let mut pause = POLL;
        self.courier.first_word().await;
        loop {
            tokio::select! {
                biased;
                Some(asked) = turns.recv() => {
                    self.turn(asked).await;
                    continue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            let begun = Instant::now();
            match self.watch().await {
                Ok(_) => {
                    backoff.reset();
                    pause = (begun.elapsed() * POLL_PAUSE).clamp(POLL, MAX_POLL);
                }
                Err(error) => {
                    tracing::warn!(code = "import_failed", error = format!("{error:#}"));
                    pause = backoff.pause();
                }
            }
        }
    }

    async fn turn(&mut self, asked: Asked) {
        let policy = asked.policy;
        let work = async {
            match policy {
                PolicyType::Delta => self.delta().await,
                PolicyType::Initial => self.initial().await,
            }
        };
        if !asked.answer(work).await {
            // Stopped or failed in the middle of something: the connection may owe answers.
            self.courier.abandon();
            self.door.forget().await;
        }
    }

    /// Sends everything, and takes out what is gone.
    pub async fn initial(&mut self) -> anyhow::Result<Outcome> {
        self.courier.known.doubt();
        let done = self.everything().await;
        self.ended(done).await
    }

    /// Sends what changed, tries what is held once more, and takes out what is gone.
    pub async fn delta(&mut self) -> anyhow::Result<Outcome> {
        let done = self.catch_up().await;
        self.ended(done).await
    }

    /// One look at what changed.
    pub async fn watch(&mut self) -> anyhow::Result<Outcome> {
        let done = self.look().await;
        self.ended(done).await
    }

    async fn ended(&mut self, done: anyhow::Result<()>) -> anyhow::Result<Outcome> {
        let outcome = self.courier.outcome();
        let Err(error) = done else { return Ok(outcome) };
        if let Some(error) = error.downcast_ref() {
            self.door.forget_if_broken(error).await;
        }
        self.courier.abandon();
        Err(error)
    }

    /// What is new since the last look, if that was at this domain controller; else everything.
    async fn look(&mut self) -> anyhow::Result<()> {
        let directory = self.door.open().await?;
        let usn = directory.highest_usn().await?;
        self.at = directory.invocation_id();
        let since = self.seen.get(&self.at).copied();
        // What was not sent is found by comparing everything.
        let rested = self.rested;
        let is_owed = self.courier.is_owed()
            && rested.is_none_or(|(ended, took)| ended.elapsed() >= took * SWEEP_PAUSE);
        let Some(since) = since.filter(|since| *since <= usn && !is_owed) else {
            return self.everything().await;
        };
        if self.config.scope.has_groups() && self.members.is_none() {
            self.members_changed(&directory).await?;
        }
        if since < usn {
            self.changes(&directory, since, usn).await?;
            self.deletions(&directory, since, usn).await?;
        }
        if self.is_sweep_due(usn)? {
            self.sweep(&directory, usn).await?;
        }
        self.depart(&directory).await?;
        self.seen.insert(self.at, usn);
        self.keep()
    }

    async fn catch_up(&mut self) -> anyhow::Result<()> {
        if self.config.staging {
            return self.everything().await;
        }
        (self.swept, self.rested) = (None, None);
        self.look().await?;
        let directory = self.door.open().await?;
        for guid in self.courier.held.ids() {
            self.retry(&directory, guid).await?;
        }
        self.courier.settle().await?;
        self.finish(&directory).await
    }

    /// Sends all that the server does not have like this.
    async fn everything(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let directory = self.door.open().await?;
        let usn = directory.highest_usn().await?;
        self.at = directory.invocation_id();
        self.courier.begin_anew().await?;
        if self.config.scope.has_groups() {
            self.read_members(&directory).await?;
        }
        let mut present = HashSet::new();
        let config = self.config.clone();
        for base in config.scope.bases() {
            let mut pages = directory.users(base);
            while let Some(page) = pages.next().await.with_context(|| base.to_owned())? {
                for user in &page {
                    if self.is_inside(user) {
                        present.insert(user.guid);
                        self.put_user(user).await?;
                    }
                }
            }
        }
        let mut pages = directory.computers();
        while let Some(page) = pages.next().await? {
            for computer in &page {
                present.insert(computer.guid);
                self.put_computer(computer).await?;
            }
        }
        // Groups refer to members: those must be known first.
        self.courier.settle().await?;
        let groups = directory.groups().all().await?;
        self.put_groups(&directory, groups, &mut present).await?;
        self.newcomers.clear();
        // Who is gone is found anew, and looked for twice.
        self.departures.decided();
        self.compare(&present);
        let took = begun.elapsed();
        self.finish(&directory).await?;
        self.swept = Some((Instant::now(), Duration::ZERO, usn));
        self.courier.is_whole();
        if self.courier.is_sure() {
            self.rested = Some((Instant::now(), took));
        }
        // What others had more, and was read and not sent, is read there once more.
        self.seen.clear();
        self.seen.insert(self.at, usn);
        self.keep()?;
        let known = &self.courier.known;
        tracing::info!(
            users = known.count(Kind::User),
            groups = known.count(Kind::Group),
            computers = known.count(Kind::Computer),
            ms = begun.elapsed().as_millis() as u64,
            "everything imported"
        );
        Ok(())
    }

    /// Sends what changed after `since`, up to `usn`.
    async fn changes(&mut self, directory: &Directory, since: u64, usn: u64) -> anyhow::Result<()> {
        let (begun, news) = (Instant::now(), self.courier.news());
        let changed = directory.changed(since, usn).await?;
        let mut read = changed.users.len() + changed.groups.len() + changed.computers.len();
        // Before the users: a member who comes in with a group is a user whom nothing changed.
        let mut groups = VecDeque::new();
        for guids in changed.groups.chunks(AT_ONCE) {
            groups.extend(directory.groups_of(guids).await?);
        }
        if !groups.is_empty() {
            self.members_changed(directory).await?;
        }
        // From the whole domain: a user may have left the scope.
        for guids in changed.users.chunks(AT_ONCE) {
            for user in &directory.users_of(guids).await? {
                if self.is_inside(user) {
                    if self.arrives(user.guid) {
                        self.newcomers.insert(user.dn.clone());
                    }
                    self.put_user(user).await?;
                } else if self.courier.known.contains(user.guid) {
                    self.miss(vec![(Kind::User, user.guid)]);
                }
            }
        }
        for guids in changed.computers.chunks(AT_ONCE) {
            for computer in &directory.computers_of(guids).await? {
                if self.arrives(computer.guid) {
                    self.newcomers.insert(computer.dn.clone());
                }
                self.put_computer(computer).await?;
            }
        }
        // Groups refer to members: those must be known first.
        self.courier.settle().await?;
        for group in &groups {
            let known = &self.courier.known;
            let mut members = group.members.iter();
            if members.any(|member| known.contains(*member)) && !known.contains(group.guid) {
                self.newcomers.insert(group.dn.clone());
            }
        }
        read += self.put_groups_of_newcomers(directory, groups).await?;
        let ms = begun.elapsed().as_millis() as u64;
        match self.courier.news() > news {
            true => tracing::info!(read, ms, "changes imported"),
            // The agent's own work, mostly.
            false => tracing::debug!(read, ms, "changes looked at"),
        }
        Ok(())
    }

    /// Sends groups, and those that newcomers are in. Answers how many that are.
    async fn put_groups_of_newcomers(
        &mut self,
        directory: &Directory,
        mut groups: VecDeque<Group>,
    ) -> anyhow::Result<usize> {
        let changed = groups.len();
        if self.newcomers.len() > MANY {
            groups = directory.groups().all().await?;
        } else {
            for member in &self.newcomers {
                groups.extend(directory.groups_above(member).all().await?);
            }
        }
        let read = groups.len().saturating_sub(changed);
        if !groups.is_empty() {
            let mut present = self.courier.known.all().collect();
            self.put_groups(directory, groups, &mut present).await?;
        }
        self.newcomers.clear();
        Ok(read)
    }

    async fn put_groups(
        &mut self,
        directory: &Directory,
        mut groups: VecDeque<Group>,
        present: &mut HashSet<Guid>,
    ) -> anyhow::Result<()> {
        for group in &mut groups {
            directory.complete_members(group).await?;
        }
        let links = groups.iter().map(|group| (group.guid, &group.members[..]));
        concerned(links, present, &self.courier.known);
        for group in groups.iter().filter(|group| present.contains(&group.guid)) {
            self.put_group(group, present).await?;
        }
        self.courier.settle().await
    }

    fn is_sweep_due(&mut self, usn: u64) -> anyhow::Result<bool> {
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
    async fn deletions(
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

    /// An account is here. Whether it is new; if so, it may yet be on its way to others.
    fn arrives(&mut self, account: Guid) -> bool {
        let is_new = !self.courier.known.contains(account);
        if is_new {
            self.arrived.insert(account, (Instant::now(), self.at));
        } else if let Some((_, last_seen)) = self.arrived.get_mut(&account) {
            *last_seen = self.at;
        }
        is_new
    }

    /// These are here. Notes which others that the server knows are not.
    fn compare(&mut self, present: &HashSet<Guid>) {
        for (account, (_, last_seen)) in &mut self.arrived {
            if present.contains(account) {
                *last_seen = self.at;
            }
        }
        self.miss(self.courier.known.missing(present));
    }

    /// Notes what is not there, and not on its way from another domain controller either.
    fn miss(&mut self, mut missing: Vec<(Kind, Guid)>) {
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
    async fn sweep(&mut self, directory: &Directory, usn: u64) -> anyhow::Result<()> {
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
    async fn finish(&mut self, directory: &Directory) -> anyhow::Result<()> {
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
    async fn depart(&mut self, directory: &Directory) -> anyhow::Result<()> {
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
        for (kind, guid) in &gone {
            self.courier.delete(*kind, *guid).await?;
        }
        self.courier.settle().await?;
        self.departures.decided();
        let is_confirmed = *threshold.meant.of(Side::Accounts) > 0;
        self.departures.went(gone.len(), is_confirmed);
        threshold::passed(&self.folder, Side::Accounts, 0)?;
        self.keep()
    }

    /// More is gone than may go: nothing does.
    async fn stop(
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

    /// Tries an account that is held once more.
    async fn retry(&mut self, directory: &Directory, guid: Guid) -> anyhow::Result<()> {
        let by = By::Guid(guid);
        if let Some(user) = directory.user(&by).await? {
            match self.is_inside(&user) {
                true => self.put_user(&user).await?,
                false => self.courier.held.release(guid),
            }
        } else if let Some(computer) = directory.computer(&by).await? {
            self.put_computer(&computer).await?;
        } else if let Some(group) = directory.group(guid).await? {
            let mut present = self.courier.known.all().collect();
            let groups = VecDeque::from([group]);
            self.put_groups(directory, groups, &mut present).await?;
        } else {
            self.courier.held.release(guid);
        }
        Ok(())
    }

    fn is_inside(&self, user: &User) -> bool {
        let is_member = |members: &HashSet<Guid>| members.contains(&user.guid);
        self.config.scope.contains(&user.dn)
            && (!self.config.scope.has_groups() || self.members.as_ref().is_some_and(is_member))
    }

    async fn read_members(&mut self, directory: &Directory) -> anyhow::Result<()> {
        let groups = directory.members_within(self.config.scope.groups());
        self.members = Some(groups.await.context("scope.groups")?);
        Ok(())
    }

    /// Lets users in who came into a group of the scope, and notes those who went.
    async fn members_changed(&mut self, directory: &Directory) -> anyhow::Result<()> {
        if !self.config.scope.has_groups() {
            return Ok(());
        }
        self.read_members(directory).await?;
        let members = self.members.clone().unwrap_or_default();
        let known = &self.courier.known;
        let went: Vec<_> = known
            .of(Kind::User)
            .filter(|user| !members.contains(user))
            .map(|user| (Kind::User, user))
            .collect();
        let came = members.into_iter();
        let came: Vec<_> = came.filter(|user| !known.contains(*user)).collect();
        self.miss(went);
        self.bring_in(directory, &came).await
    }

    /// Lets users in whom no change of their own brought.
    async fn bring_in(&mut self, directory: &Directory, users: &[Guid]) -> anyhow::Result<()> {
        for guids in users.chunks(AT_ONCE) {
            for user in &directory.users_of(guids).await? {
                if self.is_inside(user) {
                    self.arrives(user.guid);
                    self.put_user(user).await?;
                    self.newcomers.insert(user.dn.clone());
                }
            }
        }
        Ok(())
    }

    async fn put_user(&mut self, user: &User) -> anyhow::Result<()> {
        let account = (Kind::User, user.guid, user.principal.as_str());
        self.courier.put(account, &resources::user(user)).await
    }

    async fn put_computer(&mut self, computer: &Computer) -> anyhow::Result<()> {
        let account = (Kind::Computer, computer.guid, computer.account.as_str());
        let resource = resources::computer(computer);
        self.courier.put(account, &resource).await
    }

    async fn put_group(&mut self, group: &Group, present: &HashSet<Guid>) -> anyhow::Result<()> {
        let account = (Kind::Group, group.guid, group.account.as_str());
        let resource = resources::group(group, present);
        self.courier.put(account, &resource).await
    }

    fn keep(&mut self) -> anyhow::Result<()> {
        if let Some(ids) = self.courier.known.news_of_ids() {
            self.folder.write(known::FILE, &ids)?;
        }
        if let Some(rows) = self.courier.held.news() {
            self.folder.write(held::FILE, &rows)?;
        }
        Ok(())
    }
}

/// Lets groups join `present`: those that the server has, and those that hold an account of `present`,
/// directly or by other groups. Each comes with its members.
fn concerned<'g>(
    groups: impl Iterator<Item = (Guid, &'g [Guid])>,
    present: &mut HashSet<Guid>,
    known: &Known,
) {
    let mut above: HashMap<Guid, Vec<Guid>> = HashMap::new();
    let mut next = Vec::new();
    for (group, members) in groups {
        // Also one whose last member left: the server is told.
        if known.contains(group) || members.iter().any(|member| present.contains(member)) {
            next.push(group);
        }
        for member in members {
            above.entry(*member).or_default().push(group);
        }
    }
    while let Some(group) = next.pop() {
        present.insert(group);
        next.extend(above.remove(&group).into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{alarms, testing::Parts};

    #[tokio::test]
    async fn an_account_longer_than_a_request_does_not_keep_the_others_out() {
        let parts = Parts::new("long", "");
        let (config, agent) = (parts.config.clone(), parts.agent.clone());
        let writes = (Lease::held(), Arc::default());
        let folder = parts.folder.clone();
        let mut import = Import::new(config, parts.door(), agent, folder, writes).unwrap();
        let mut user = User {
            guid: Guid::from_le_bytes([1; 16]),
            sid: "S-1-5-21-1-2-3-1104".parse().unwrap(),
            dn: "CN=Alice,OU=Staff,DC=corp,DC=test".to_owned(),
            account: "alice".to_owned(),
            principal: "alice@corp.test".to_owned(),
            display_name: "a".repeat(api::MAX_BULK_BODY),
            mail: None,
            source_anchor: vec![1; 16],
            enabled: true,
            expires: None,
            locked_until: None,
            must_change: false,
            hours: None,
            protection: None,
            usn: 1,
        };
        import.put_user(&user).await.unwrap();
        assert_eq!(import.courier.held.ids(), [user.guid]);
        user.display_name = "Alice".to_owned();
        import.put_user(&user).await.unwrap();
        assert_eq!(import.courier.queued(), 1);
        let outcome = import.courier.outcome();
        assert_eq!(outcome.errors[0].code, "too_long");
    }

    #[tokio::test]
    async fn too_many_deletions_are_one_alarm_and_told_to_the_server_until_it_hears_of_it() {
        let parts = Parts::new("gone", "");
        let start = || {
            let (config, agent) = (parts.config.clone(), parts.agent.clone());
            let writes = (Lease::held(), Arc::default());
            Import::new(config, parts.door(), agent, parts.folder.clone(), writes).unwrap()
        };
        let mut import = start();
        let going = Deletions {
            deletions: 1,
            lately: 500,
            total: 600,
        };
        let gone = [(Kind::User, Guid::NIL)];
        for is_new in [false, false, true] {
            if is_new {
                import = start();
            }
            // There is no server.
            let stopped = import.stop(&Threshold::default(), &gone, going).await;
            assert!(stopped.is_err());
            assert!(!import.departures.is_told());
            let kept: Alarms = parts.folder.read(alarms::FILE).unwrap().unwrap();
            assert_eq!(kept.alarms[DELETION_THRESHOLD].count, 1);
            let waiting = import.courier.waiting();
            assert_eq!(waiting[0].code.as_deref(), Some(DELETION_THRESHOLD));
            let detail = waiting[0].detail.as_deref().unwrap();
            assert!(detail.contains("after 500"), "{detail}");
        }
    }

    fn guid(number: u32) -> Guid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Guid::from_le_bytes(bytes)
    }

    #[test]
    fn a_group_that_the_server_has_is_told_that_its_last_member_left() {
        let mut known = Known::default();
        known.taken(Kind::Group, guid(1), 1);
        let mut present = HashSet::from([guid(9)]);
        let left = [guid(8)];
        // The second was never told of; the third has the first in it.
        let groups = [(1, &left), (2, &left), (3, &[guid(1)])];
        let groups = groups.map(|(group, members)| (guid(group), &members[..]));
        concerned(groups.into_iter(), &mut present, &known);
        assert_eq!(present, HashSet::from([1, 3, 9].map(guid)));
    }

    #[test]
    fn groups_in_groups_in_groups_cost_no_more_than_others() {
        const DEPTH: u32 = 10_000;
        let chain: Vec<Guid> = (0..=DEPTH).map(guid).collect();
        let pairs = chain.windows(2);
        let groups = pairs.map(|pair| (pair[1], &pair[..1]));
        let mut present = HashSet::from([guid(0)]);
        let begun = Instant::now();
        concerned(groups.rev(), &mut present, &Known::default());
        assert_eq!(present.len(), DEPTH as usize + 1);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
