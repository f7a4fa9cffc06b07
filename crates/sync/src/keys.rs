//! Keys down: the changes of the feed are checked, written, read back and reported, page by page.
//!
//! A user's changes are carried out in their order, those of different users side by side. What
//! cannot be carried out now does not hold up the rest: the feed is read on, and from the first
//! unfinished change once more.
//!
//! While one round is written, the one before is read back and reported, and the next page is fetched
//! and looked at: writing is what takes the time, and nothing else is to take any.
//!
//! Removals wait until the feed's end is reached, because only then is it known how many they are:
//! more than the threshold are stopped before the first of them.

mod ends;
mod guard;
mod lanes;
mod proof;
mod reconcile;
mod round;
mod spread;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::ensure;
use api::agent::{ChangeOp, ChangeResult, Changes, KeyChange};
use client::Agent;
use directory::{Directory, KeyValue};
use joints::Joint;
use keycred::{KeyCredential, RsaPublicKey};
use model::{Guid, UnixTime};
use tokio::{
    sync::mpsc,
    task::block_in_place,
    time::{Instant, timeout},
};

use self::{
    ends::report,
    guard::Guard,
    reconcile::Watch,
    round::{Sight, Writing, read_back},
};
use crate::{
    addition::Refusal,
    alarms::Alarms,
    config::Config,
    cycle::Asked,
    door::Door,
    history::{Connector, DELETION_THRESHOLD, Outcome},
    lease::Lease,
    ledger::{self, Ledger},
    metrics::Counters,
    pending::{Action, Pending},
    retry::Backoff,
    state::{Folder, Journal},
    threshold::Side,
    written::{self, Written},
};

/// Result codes that say "not now" (RFC 4511 appendix A): operationsError, timeLimitExceeded,
/// adminLimitExceeded, busy, unavailable, other.
const NOT_NOW: [u32; 6] = [1, 3, 11, 51, 52, 80];

/// The most changes of a page, and results of a report.
const PAGE: usize = 100;

/// The most bytes of changes that wait for the feed's end: more than 100,000 removals.
const MAX_WAITING: usize = 64 << 20;

/// The longest name of a place in the feed.
const MAX_TOKEN: usize = 256;

/// The least time between two questions to a server that answers nothing, at once.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// How long all domain controllers are looked at.
const EVERYWHERE: Duration = Duration::from_secs(30);

/// How long to wait for changes, so that what is to be watched is watched.
const WAIT_S: u32 = reconcile::WATCH.as_secs() as u32;

/// The way down.
pub struct Keys {
    config: Arc<Config>,
    door: Arc<Door>,
    agent: Arc<Agent>,
    folder: Folder,
    ledger: Journal<Ledger>,
    written: Journal<Written>,
    alarms: Alarms,
    /// More connections, while there is much to do.
    lanes: Vec<Arc<Directory>>,
    ahead: Ahead,
    behind: Behind,
    /// How far the feed is read, beyond the ledger's place where something is unfinished.
    place: String,
    /// Removals, and what follows them for the same users, until the feed's end is reached.
    waiting: Vec<KeyChange>,
    unfinished: Unfinished,
    removals: Guard,
    losses: Guard,
    watch: Option<Watch>,
    lease: Arc<Lease>,
    pending: Arc<Pending>,
    counters: Arc<Counters>,
}

/// What the feed is read once more for.
#[derive(Default)]
struct Unfinished {
    /// Something before the place is unfinished.
    is: bool,
    /// Whose: later changes of theirs wait for it.
    users: HashSet<Guid>,
    /// When the feed is read from there.
    again: Option<Instant>,
    backoff: Backoff,
}

impl Unfinished {
    /// The feed's end is reached: when it is read again for the sake of what is unfinished.
    fn is_read_again(&mut self) {
        if !self.is {
            self.backoff.reset();
        } else if self.again.is_none() {
            self.again = Some(Instant::now() + self.backoff.pause());
        }
    }
}

/// What is known of changes that have not had their turn.
#[derive(Default)]
struct Ahead {
    /// The page from the place on.
    page: Option<Changes>,
    /// What the directory says of some of its changes, by their number.
    sights: HashMap<u64, Result<Sight, Failure>>,
}

/// What is to be done yet about changes that had their turn.
#[derive(Default)]
struct Behind {
    /// Written, and not read back; with where.
    written: Option<(Arc<Directory>, Vec<Writing>)>,
    /// Noted, and not reported.
    results: Vec<ChangeResult>,
    /// The connection is of no more use.
    broken: Option<anyhow::Error>,
}

/// How a change ended.
enum End {
    /// The value is in the directory.
    Confirmed(Place),
    /// The value is not, or no longer, in the directory.
    Removed(Place),
}

/// Which domain controller says so, and as of when.
struct Place {
    dc: String,
    usn: Option<u64>,
}

/// Why a change did not end well.
enum Failure {
    /// It will not, ever.
    Refused(Refusal),
    /// It may the next time.
    Later(anyhow::Error),
}

impl Keys {
    /// The way down, from where it ended the last time.
    pub fn new(
        config: Arc<Config>,
        door: Arc<Door>,
        agent: Arc<Agent>,
        folder: Folder,
        (lease, pending): (Arc<Lease>, Arc<Pending>),
        counters: Arc<Counters>,
    ) -> anyhow::Result<Self> {
        let ledger = Journal::<Ledger>::open(&folder, ledger::FILE)?;
        let removals = Guard::new(&folder, Side::Keys)?;
        let losses = Guard::new(&folder, Side::Lost)?;
        Ok(Self {
            config,
            door,
            agent,
            place: ledger.feed().to_owned(),
            ledger,
            written: Journal::open(&folder, written::FILE)?,
            alarms: Alarms::default(),
            folder,
            lanes: Vec::new(),
            ahead: Ahead::default(),
            behind: Behind::default(),
            waiting: Vec::new(),
            unfinished: Unfinished::default(),
            removals,
            losses,
            watch: None,
            lease,
            pending,
            counters,
        })
    }

    /// Takes changes for ever, and its turn in cycles.
    pub async fn run(mut self, mut turns: mpsc::Receiver<Asked>) {
        let mut backoff = Backoff::default();
        let mut pause = Duration::ZERO;
        loop {
            let wait_s = self.wait_s();
            let ahead = self.page_ahead();
            let (agent, lease, place) =
                (self.agent.clone(), self.lease.clone(), self.place.clone());
            let page = async {
                if let Some(page) = ahead {
                    return Ok(page);
                }
                tokio::time::sleep(pause).await;
                lease.wait().await;
                let asked = Instant::now();
                let page = agent.changes(&place, wait_s).await?;
                if wait_s > 0 && page.changes.is_empty() {
                    tokio::time::sleep_until(asked + LEAST_PAUSE).await;
                }
                Ok::<_, client::Error>(page)
            };
            let done = tokio::select! {
                Some(asked) = turns.recv() => {
                    if !asked.answer(self.cycle()).await {
                        // Stopped or failed in the middle of something.
                        self.door.forget().await;
                        self.start_over();
                    }
                    continue;
                }
                page = page => match page {
                    Ok(page) => self.step(page).await,
                    Err(error) => Err(error.into()),
                },
            };
            match done {
                Ok(()) => {
                    backoff.reset();
                    pause = Duration::ZERO;
                }
                Err(error) => {
                    tracing::warn!(code = "feed_failed", error = format!("{error:#}"));
                    if let Some(error) = error.downcast_ref() {
                        self.door.forget_if_broken(error).await;
                    }
                    self.start_over();
                    pause = backoff.pause();
                }
            }
        }
    }

    /// The next page, if it is here already. What was seen long ago is not gone by.
    fn page_ahead(&mut self) -> Option<Changes> {
        if !self.lease.may_write() {
            self.ahead = Ahead::default();
        }
        self.ahead.page.take()
    }

    /// How long to wait for the next page.
    fn wait_s(&mut self) -> u32 {
        let now = Instant::now();
        if self.unfinished.again.is_some_and(|again| again <= now) {
            self.start_over();
        }
        match (self.unfinished.again, self.waiting.is_empty()) {
            (_, false) => 0,
            (Some(again), true) => whole_seconds(again - now).min(WAIT_S),
            (None, true) => WAIT_S,
        }
    }

    /// Settles a page, and looks at what others did meanwhile.
    async fn step(&mut self, page: Changes) -> anyhow::Result<()> {
        let is_busy = page.changes.len() == PAGE;
        self.carry_out(page, &mut Outcome::default()).await?;
        match self.lease.may_write() {
            true => self.watch(is_busy).await,
            false => Ok(()),
        }
    }

    /// What the server has that AD has not yet, and what AD does not have any more.
    async fn cycle(&mut self) -> anyhow::Result<Outcome> {
        let side = Connector::Directory;
        let mut outcome = Outcome::default();
        // What was carried out is told once, and not carried out again.
        self.finish(&mut outcome).await?;
        self.start_over();
        loop {
            let page = match self.page_ahead() {
                Some(page) => page,
                None => self.agent.changes(&self.place, 0).await?,
            };
            if !self.lease.may_write() {
                let mut seen = HashSet::new();
                for change in &page.changes {
                    let (object, action) = named(change);
                    self.pending.wait(side, &object, action, None);
                    seen.insert(object);
                }
                self.pending.keep_untried(side, &seen);
                return Ok(outcome);
            }
            let is_last = page.changes.len() < PAGE;
            self.carry_out(page, &mut outcome).await?;
            if is_last {
                break;
            }
        }
        // What was seen while another agent wrote, that one has done.
        self.pending.keep_untried(side, &HashSet::new());
        let there = self.reconcile().await?;
        outcome.take_in(there);
        // Not for long: no key is written meanwhile.
        match timeout(EVERYWHERE, self.look_everywhere()).await {
            Ok(looked) => looked?,
            Err(_) => tracing::info!(code = "not_everywhere", "the domain controllers are slow"),
        }
        Ok(outcome)
    }

    /// Settles a page's changes in their order.
    async fn carry_out(&mut self, page: Changes, outcome: &mut Outcome) -> anyhow::Result<()> {
        if page.changes.len() > PAGE {
            let detail = format!(
                "the server asks for {} changes at once, where {PAGE} are the most; none was carried \
                 out",
                page.changes.len()
            );
            self.alarms
                .raise("too_many_changes", CHANGE_REFUSED, detail.clone(), now());
            self.alarms.keep(&self.folder, now())?;
            anyhow::bail!(detail);
        }
        for _ in &page.changes {
            block_in_place(|| joints::reach("agent", Joint::ChangeReceived));
        }
        let is_last = page.changes.len() < PAGE;
        ensure!(
            page.next.len() <= MAX_TOKEN,
            "the server names a place in the feed that is too long"
        );
        let now = self.put_off_removals(page.changes);
        self.place = page.next;
        self.settle(now, !is_last, outcome).await?;
        if !is_last && self.ahead.page.is_some() && self.lease.may_write() {
            return Ok(());
        }
        self.finish(outcome).await?;
        if !is_last {
            return Ok(());
        }
        self.settle_removals(outcome).await?;
        self.lanes.clear();
        if !self.unfinished.is {
            self.ledger.move_to(&self.place);
        }
        self.ledger.keep()?;
        self.unfinished.is_read_again();
        Ok(())
    }

    /// The next page is that of the first change that is unfinished.
    fn start_over(&mut self) {
        self.ledger.feed().clone_into(&mut self.place);
        self.waiting.clear();
        self.lanes.clear();
        self.ahead = Ahead::default();
        self.behind = Behind::default();
        self.unfinished.is = false;
        self.unfinished.users.clear();
        self.unfinished.again = None;
    }

    /// The changes that need not wait.
    fn put_off_removals(&mut self, changes: Vec<KeyChange>) -> Vec<KeyChange> {
        let mut users: HashSet<Guid> = self.waiting.iter().map(anchor).collect();
        let (wait, now) = changes.into_iter().partition(|change| {
            if change.op == ChangeOp::Remove {
                users.insert(change.user.anchor);
            }
            users.contains(&change.user.anchor)
        });
        let wait: Vec<KeyChange> = wait;
        self.waiting.extend(wait);
        let mut room = MAX_WAITING;
        let fit = self.waiting.iter().take_while(|change| {
            let left = room.checked_sub(weight(change));
            room = left.unwrap_or_default();
            left.is_some()
        });
        let fit = fit.count();
        if fit < self.waiting.len() {
            // The next reading of the feed has the others again.
            self.waiting.truncate(fit);
            self.unfinished.is = true;
        }
        now
    }

    /// Carries out what waited for the feed's end, if it is not too much.
    async fn settle_removals(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // What is stopped is in what is unfinished.
        if waiting.is_empty() && (self.unfinished.is || !self.removals.is_stopped()) {
            return Ok(());
        }
        let removals = removals(&waiting);
        match self.may_go(Side::Keys, removals, outcome).await {
            Ok(true) => {}
            stopped => {
                self.unfinished.is = true;
                let detail = "more than the deletion threshold: `latchkey-sync threshold show`";
                self.wait_because(&waiting, DELETION_THRESHOLD, detail);
                return stopped.map(drop);
            }
        }
        self.put_off_beyond_the_hour(&mut waiting);
        for page in waiting.chunks(PAGE) {
            self.settle(page.to_vec(), false, outcome).await?;
        }
        self.finish(outcome).await?;
        let left = waiting.iter().filter(|change| self.is_put_off(change));
        let left = removals - self::removals(&waiting) + self::removals(left);
        self.went(Side::Keys, removals - left, left)
    }

    /// Leaves what the configuration does not allow in this hour, all at once.
    fn put_off_beyond_the_hour(&mut self, waiting: &mut Vec<KeyChange>) {
        let room = self.ledger.removals_left(&self.config.limits, now());
        let mut removals = waiting
            .iter()
            .enumerate()
            .filter(|(_, change)| is_removal(change));
        let Some((first, _)) = removals.nth(room) else {
            return;
        };
        let late = waiting.split_off(first);
        let detail = "as many keys as the configuration allows in an hour have been removed";
        let waiting = self::removals(&late);
        tracing::warn!(code = "removals_put_off", waiting, "{detail}");
        self.wait_because(&late, "not_now", detail);
        self.unfinished.is = true;
        self.unfinished.users.extend(late.iter().map(anchor));
    }

    fn wait_because(&self, waiting: &[KeyChange], code: &str, detail: &str) {
        for change in waiting.iter().filter(|change| is_removal(change)) {
            let (object, action) = named(change);
            let error = Some((code, detail.to_owned()));
            self.pending
                .wait(Connector::Directory, &object, action, error);
        }
    }

    fn is_put_off(&self, change: &KeyChange) -> bool {
        self.unfinished.users.contains(&anchor(change))
    }

    /// Carries changes out: what can be tried again is left for the next reading of the feed, and so
    /// are later changes of the same user. Some may not be finished yet.
    async fn settle(
        &mut self,
        changes: Vec<KeyChange>,
        is_more: bool,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let directory = self.door.open().await?;
        let mut left = changes;
        while !left.is_empty() {
            let behind = self.behind.written.iter();
            let mut behind = behind.flat_map(|(_, writings)| writings).map(Writing::user);
            if behind.any(|user| left.iter().any(|change| anchor(change) == user)) {
                self.finish(outcome).await?;
            }
            left.retain(|change| !self.unfinished.users.contains(&anchor(change)));
            let mut users = HashSet::new();
            let (round, rest): (Vec<_>, _) = left
                .into_iter()
                .partition(|change| users.insert(anchor(change)));
            left = rest;
            let is_more = is_more && left.is_empty();
            self.round(&directory, round, is_more, outcome).await?;
        }
        Ok(())
    }

    /// Finishes what is behind.
    async fn finish(&mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let ended = read_back(self.behind.written.take()).await?;
        self.note(ended, outcome)?;
        report(&self.agent, std::mem::take(&mut self.behind.results)).await?;
        self.behind.broken.take().map_or(Ok(()), Err)
    }
}

/// The values that hold this key, name this device, and are such as the agent writes. All others are
/// someone else's.
fn ours<'v>(
    values: &'v [KeyValue],
    key: &RsaPublicKey,
    device: Guid,
) -> impl Iterator<Item = &'v KeyValue> {
    of_key(values, key, device)
        .filter(|(_, credential)| credential.is_for_user())
        .map(|(value, _)| value)
}

/// The values that hold this key and name this device, whoever wrote them.
fn of_key<'v>(
    values: &'v [KeyValue],
    key: &RsaPublicKey,
    device: Guid,
) -> impl Iterator<Item = (&'v KeyValue, KeyCredential)> {
    let material = key.to_rsa1();
    values.iter().filter_map(move |value| {
        let credential = KeyCredential::decode(&value.blob).ok()?;
        let is_it = credential.material() == Some(&material) && credential.device() == Some(device);
        is_it.then_some((value, credential))
    })
}

/// What a change is called where things wait.
fn named(change: &KeyChange) -> (String, Action) {
    let action = match change.op {
        ChangeOp::Add => Action::Put,
        ChangeOp::Remove => Action::Delete,
    };
    let object = format!("key {} of {}", change.key.kid, change.user.sid);
    (object, action)
}

fn is_removal(change: &KeyChange) -> bool {
    change.op == ChangeOp::Remove
}

fn removals<'c>(changes: impl IntoIterator<Item = &'c KeyChange>) -> usize {
    let changes = changes.into_iter();
    changes.filter(|change| is_removal(change)).count()
}

/// About how many bytes a change takes.
fn weight(change: &KeyChange) -> usize {
    let evidence = change.evidence.as_ref().map_or(0, |evidence| {
        let proof = evidence.user_proof.as_ref();
        let proof = proof.map_or(0, |proof| proof.token.len() + proof.mic.len());
        evidence.device_sig.len() + proof
    });
    size_of::<KeyChange>() + change.key.kid.len() + change.key.material.len() + evidence
}

fn anchor(change: &KeyChange) -> Guid {
    change.user.anchor
}

fn whole_seconds(time: Duration) -> u32 {
    time.as_millis().div_ceil(1000) as u32
}

/// The agent's clock.
pub fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(since.as_secs() as i64)
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Later(error)
    }
}

impl From<directory::Error> for Failure {
    fn from(error: directory::Error) -> Self {
        match &error {
            // An administrator took it and can give it back: what waits must not be lost until then.
            _ if error.is_of_rights() => Self::Later(anyhow::Error::from(error).context(
                "the agent's account may not write there: `latchkey-sync permissions check` names \
                 the right that is missing",
            )),
            directory::Error::Refused { code, .. } if !NOT_NOW.contains(code) => {
                Self::Refused(Refusal::new("directory_refused", error.to_string()))
            }
            _ => Self::Later(error.into()),
        }
    }
}

/// Events of the agent's own, beside [`threshold::EVENT`].
const CHANGE_REFUSED: u32 = 6801;
const KEY_REMOVED: u32 = 6802;

#[cfg(test)]
mod tests;
