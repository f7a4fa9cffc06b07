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

mod gone;

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
    history::Outcome,
    known::{self, Known},
    lease::Lease,
    pending::Pending,
    resources,
    retry::Backoff,
    scheduler::PolicyType,
    state::Folder,
    threshold::{self, Side, Threshold},
};

/// How often the update sequence number is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How many times as long as a look took there is none, up to [`MAX_POLL`]: it keeps a domain
/// controller from writing.
const POLL_PAUSE: u32 = 8;
/// What changed is noticed in seconds, however long that takes.
const MAX_POLL: Duration = Duration::from_secs(3);
/// How many accounts that changed are read at once.
const AT_ONCE: usize = 100;
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
        let is_owed = self.courier.is_owed();
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
        self.seen.insert(self.at, usn);
        self.keep()?;
        self.depart(&directory).await
    }

    async fn catch_up(&mut self) -> anyhow::Result<()> {
        if self.config.staging {
            return self.everything().await;
        }
        self.swept = None;
        self.courier.rest_no_more();
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
        self.swept = Some((Instant::now(), Duration::ZERO, usn));
        self.courier.compared(begun.elapsed());
        // What others had more, and was read and not sent, is read there once more.
        self.seen.clear();
        self.seen.insert(self.at, usn);
        self.keep()?;
        self.finish(&directory).await?;
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
mod tests;
