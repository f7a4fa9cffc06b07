//! Accounts on their way to the server: bulk requests of which several are under way at once.
//!
//! The next page of the directory is read while the server takes the one before. What the server
//! has taken is known ([`Known`]) only when it has said so: whatever is lost on the way is sent
//! once more, which changes nothing where it did arrive.
//!
//! *What must hold:* an account that the server has is known before anything counts as gone, whoever
//! sent it. So the server is asked for a list whenever another agent may have written, and after a
//! start; what was sent and not answered counts as there.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use api::{
    agent::Alert,
    scim::{self, BULK_REQUEST_SCHEMA, BulkRequest, MAX_OPERATIONS, Operation},
};
use client::Agent;
use directory::Kind;
use model::Guid;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    held::Held,
    history::{Connector, DELETION_THRESHOLD, ObjectError, Outcome},
    known::{self, Known},
    lease::Lease,
    pending::{Action, Pending},
};

/// How long a request becomes by several resources; a longer one goes alone.
const MAX_BATCH: usize = api::MAX_BULK_BODY / 4;
/// The longest single resource that a request has room for.
const MAX_RESOURCE: usize = api::MAX_BULK_BODY - 1024;
/// Requests under way at once: the server writes one after the other anyway.
const MAX_UNDER_WAY: usize = 2;
/// More accounts of a domain, and more pages of a kind, than there are.
const MAX_ACCOUNTS: usize = 5_000_000;
const MAX_PAGES: usize = MAX_ACCOUNTS / scim::MAX_RESULTS as usize;
/// How many times as long as everything took to compare it is not compared again by itself.
const PAUSE: u32 = 10;
/// The longest reason that is kept, in characters.
const MAX_DETAIL: usize = 500;

/// The way to the server, and what it is known to have.
pub(crate) struct Courier {
    agent: Arc<Agent>,
    pub(crate) known: Known,
    /// What the server did not take.
    pub(crate) held: Held,
    /// What became of everything since it was asked last.
    outcome: Outcome,
    batch: Batch,
    under_way: JoinSet<anyhow::Result<Vec<Sent>>>,
    lease: Arc<Lease>,
    pending: Arc<Pending>,
    /// Something was not sent because another agent writes.
    is_withheld: bool,
    /// The term of the lease in which the server said what it has.
    learnt: Option<u64>,
    /// The term in which everything was compared; when that was, and how long it took.
    whole: Option<u64>,
    rested: Option<(Instant, Duration)>,
    /// New to the server, and on their way there.
    unsure: HashMap<Guid, Kind>,
}

/// What is to be sent next.
#[derive(Default)]
struct Batch {
    bytes: usize,
    items: Vec<Item>,
    operations: Vec<Operation>,
}

/// One account of a request.
struct Item {
    kind: Kind,
    guid: Guid,
    /// What people call it.
    name: String,
    /// None: it is to go.
    version: Option<u64>,
}

impl Item {
    fn action(&self) -> Action {
        match self.version {
            Some(_) => Action::Put,
            None => Action::Delete,
        }
    }

    /// What it is called, where that is more than its path.
    fn account(&self) -> Option<&str> {
        self.version.map(|_| self.name.as_str())
    }
}

/// One account, and why the server did not take it.
struct Sent {
    item: Item,
    refused: Option<ObjectError>,
}

impl Courier {
    pub(crate) fn new(
        agent: Arc<Agent>,
        known: Known,
        held: Held,
        (lease, pending): (Arc<Lease>, Arc<Pending>),
    ) -> Self {
        Self {
            agent,
            known,
            held,
            outcome: Outcome::default(),
            batch: Batch::default(),
            under_way: JoinSet::new(),
            lease,
            pending,
            is_withheld: false,
            learnt: None,
            whole: None,
            rested: None,
            unsure: HashMap::new(),
        }
    }

    /// Returns when the server has said who writes, or does not say so in time.
    pub(crate) async fn first_word(&self) {
        self.lease.first_word().await;
    }

    /// Whether this agent writes.
    pub(crate) fn may_send(&self) -> bool {
        self.lease.may_write()
    }

    /// Whether the server neither has an account nor refused it.
    pub(crate) fn is_new(&self, account: Guid) -> bool {
        !self.known.contains(account) && !self.held.contains(account)
    }

    /// Whether this agent writes, and knows what the server has.
    pub(crate) fn is_sure(&self) -> bool {
        self.may_send() && self.learnt == Some(self.lease.term())
    }

    /// Whether something may not be at the server as it is here, and is to be sent now: not at once
    /// where everything was compared just before, so that a lease that comes and goes is no storm.
    pub(crate) fn is_owed(&self) -> bool {
        let is_open = self.is_withheld || self.whole != Some(self.lease.term());
        let rested = self.rested;
        let is_rested = rested.is_none_or(|(ended, took)| ended.elapsed() >= took * PAUSE);
        self.may_send() && is_open && is_rested
    }

    /// What is owed is sent with the next look.
    pub(crate) fn rest_no_more(&mut self) {
        self.rested = None;
    }

    /// Everything is compared anew, with what the server has.
    pub(crate) async fn begin_anew(&mut self) -> anyhow::Result<()> {
        let term = self.lease.term();
        if !self.is_sure() {
            let known = self.listed().await?;
            self.learn(known, term);
        }
        if std::mem::take(&mut self.is_withheld) {
            self.whole = None;
        }
        self.pending.clear(Connector::Server);
        Ok(())
    }

    /// Everything was compared, which took so long.
    pub(crate) fn compared(&mut self, took: Duration) {
        self.whole = self.learnt;
        self.rested = self.whole.map(|_| (Instant::now(), took));
    }

    /// Known is what the server has of the domain, whoever sent it.
    fn learn(&mut self, known: Known, term: u64) {
        self.known = known;
        self.learnt = self.may_send().then_some(term);
    }

    /// What the server has of the domain now.
    async fn listed(&self) -> anyhow::Result<Known> {
        let mut known = Known::listed();
        for kind in [Kind::User, Kind::Computer, Kind::Group] {
            let (mut next, mut pages) = (Some(String::new()), 0);
            while let Some(cursor) = next {
                let page = self.agent.resources(collection(kind), &cursor).await?;
                for resource in page.resources {
                    let id = resource.get("id").and_then(Value::as_str);
                    let guid = id.context("a resource without an id")?.parse()?;
                    match self.version(kind, guid, resource).await? {
                        Some(version) => known.taken(kind, guid, version),
                        None => known.may_have(kind, guid),
                    }
                }
                pages += 1;
                ensure!(
                    pages <= MAX_PAGES && known.len() <= MAX_ACCOUNTS,
                    "the server tells of too many accounts"
                );
                next = page.next_cursor;
            }
        }
        Ok(known)
    }

    /// The version of an account that the server has, read as what is sent: with no more than that, in
    /// the same order. None where it is no such thing, and of a group, whose members are asked for one by
    /// one: whoever writes sends all of them instead.
    async fn version(
        &self,
        kind: Kind,
        guid: Guid,
        resource: Value,
    ) -> anyhow::Result<Option<u64>> {
        let sent = match kind {
            Kind::User => as_sent::<scim::User>(resource),
            Kind::Computer => as_sent::<scim::Computer>(resource),
            Kind::Group if self.may_send() => None,
            Kind::Group => {
                let mut group = self.agent.group(guid).await?;
                group.members.sort_by_key(|member| member.value);
                serde_json::to_value(group).ok()
            }
        };
        Ok(sent.map(|sent| known::version(&sent.to_string())))
    }

    /// Sends an account, unless the server has it like this.
    pub(crate) async fn put(
        &mut self,
        (kind, guid, name): (Kind, Guid, &str),
        resource: &impl Serialize,
    ) -> anyhow::Result<()> {
        let data = serde_json::to_value(resource)?;
        let text = data.to_string();
        let version = known::version(&text);
        if !self.known.is_news(guid, version) {
            self.outcome.unchanged += 1;
            self.held.release(guid);
            return Ok(());
        }
        let item = Item {
            kind,
            guid,
            name: name.to_owned(),
            version: Some(version),
        };
        if text.len() > MAX_RESOURCE {
            let detail = format!(
                "{} bytes are more than a request may have; it is left out",
                text.len()
            );
            let refused = Some(error(&item, "too_long", detail));
            self.note(Sent { item, refused });
            return Ok(());
        }
        let path = path(kind, guid);
        let operation = Operation::Put { path, data };
        self.queue(item, text.len(), operation).await
    }

    /// Takes an account out.
    pub(crate) async fn delete(&mut self, kind: Kind, guid: Guid) -> anyhow::Result<()> {
        let path = path(kind, guid);
        let item = Item {
            kind,
            guid,
            name: path.clone(),
            version: None,
        };
        self.queue(item, 0, Operation::Delete { path }).await
    }

    /// These are gone from the directory, and wait until they count as that, or because they are too
    /// many, which `why` says.
    pub(crate) fn leave(&self, gone: &[(Kind, Guid)], why: Option<&str>) {
        let wait = |(kind, guid): &&(Kind, Guid)| {
            let path = path(*kind, *guid);
            let (side, action) = (Connector::Server, Action::Delete);
            let why = why.map(|why| (DELETION_THRESHOLD, why.to_owned()));
            self.pending.wait(side, &path, action, why)
        };
        let accounts = gone.iter().filter(wait).count();
        if accounts > 0 {
            tracing::info!(accounts, "gone from the directory or from the scope");
        }
    }

    /// It is not gone.
    pub(crate) fn stays(&self, kind: Kind, guid: Guid) {
        self.pending.settled(Connector::Server, &path(kind, guid));
    }

    /// These are gone, and nothing else is.
    pub(crate) fn leave_only(&self, gone: &[(Kind, Guid)]) {
        let gone = gone.iter().map(|(kind, guid)| path(*kind, *guid));
        self.pending
            .keep_deletions(Connector::Server, &gone.collect());
    }

    async fn queue(
        &mut self,
        item: Item,
        bytes: usize,
        operation: Operation,
    ) -> anyhow::Result<()> {
        const OVERHEAD: usize = 128;
        let bytes = bytes + OVERHEAD;
        let is_full = self.batch.operations.len() >= MAX_OPERATIONS;
        if is_full || self.batch.bytes + bytes > MAX_BATCH {
            self.send().await?;
        }
        self.batch.bytes += bytes;
        self.batch.items.push(item);
        self.batch.operations.push(operation);
        Ok(())
    }

    /// Sends what is queued, as soon as few enough requests are under way.
    async fn send(&mut self) -> anyhow::Result<()> {
        if self.batch.operations.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= MAX_UNDER_WAY {
            self.arrive().await?;
        }
        if !self.may_send() {
            self.is_withheld = true;
            for item in std::mem::take(&mut self.batch).items {
                let (side, path) = (Connector::Server, path(item.kind, item.guid));
                let object = (path.as_str(), item.account());
                self.pending.wait_as(side, object, item.action(), None);
            }
            return Ok(());
        }
        let Batch {
            items, operations, ..
        } = std::mem::take(&mut self.batch);
        let puts = items.iter().filter(|item| item.version.is_some());
        let new = puts.filter(|item| !self.known.contains(item.guid));
        self.unsure.extend(new.map(|item| (item.guid, item.kind)));
        self.under_way
            .spawn(carry(self.agent.clone(), items, operations));
        Ok(())
    }

    /// Waits until the server has taken everything.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        self.send().await?;
        while !self.under_way.is_empty() {
            self.arrive().await?;
        }
        Ok(())
    }

    async fn arrive(&mut self) -> anyhow::Result<()> {
        let Some(ended) = self.under_way.join_next().await else {
            return Ok(());
        };
        for sent in ended.context("a request died")?? {
            self.note(sent);
        }
        Ok(())
    }

    fn note(&mut self, Sent { item, refused }: Sent) {
        let (action, path) = (item.action(), path(item.kind, item.guid));
        let Item {
            kind,
            guid,
            version,
            ..
        } = item;
        self.unsure.remove(&guid);
        if let Some(error) = refused {
            let ObjectError {
                object,
                code,
                detail,
            } = &error;
            if self.held.hold(guid, error.clone()) {
                tracing::warn!(code, object, detail, "the server did not take an account");
            }
            let why = Some((code.as_str(), detail.clone()));
            let object = (path.as_str(), item.account());
            self.pending.wait_as(Connector::Server, object, action, why);
            self.outcome.errors.push(error);
            return;
        }
        self.pending.settled(Connector::Server, &path);
        self.held.release(guid);
        match version {
            Some(version) => {
                match self.known.contains(guid) {
                    true => self.outcome.changed += 1,
                    false => self.outcome.added += 1,
                }
                self.known.taken(kind, guid, version);
            }
            None => {
                self.outcome.removed += 1;
                self.known.forget(guid);
            }
        }
    }

    /// Forgets what is under way: it is not known what became of it.
    pub(crate) fn abandon(&mut self) {
        self.batch = Batch::default();
        self.under_way = JoinSet::new();
        for (guid, kind) in self.unsure.drain() {
            self.known.may_have(kind, guid);
        }
    }

    /// How much the server was told, or did not take, since the outcome was asked last.
    pub(crate) fn news(&self) -> u64 {
        let Outcome {
            added,
            changed,
            removed,
            errors,
            ..
        } = &self.outcome;
        added + changed + removed + errors.len() as u64
    }

    /// What became of everything since this was asked last.
    pub(crate) fn outcome(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }

    /// Tells the server what an administrator must look at.
    pub(crate) async fn alert(
        &self,
        event: u32,
        code: &str,
        detail: &str,
    ) -> Result<(), client::Error> {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        let alert = Alert {
            event,
            code,
            detail,
        };
        self.agent.alert(&alert).await
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.batch.operations.len()
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> Vec<crate::pending::Waiting> {
        self.pending
            .told(&crate::pending::Wanted::default())
            .waiting
    }

    /// Says that something could not be done that no single account stands for.
    pub(crate) fn report(&mut self, error: ObjectError) {
        self.outcome.errors.push(error);
    }
}

async fn carry(
    agent: Arc<Agent>,
    items: Vec<Item>,
    operations: Vec<Operation>,
) -> anyhow::Result<Vec<Sent>> {
    let schemas = vec![BULK_REQUEST_SCHEMA.to_owned()];
    let request = BulkRequest {
        schemas,
        operations,
    };
    let answer = agent.bulk(&request).await?;
    anyhow::ensure!(
        answer.operations.len() == items.len(),
        "the server answered {} of {} operations",
        answer.operations.len(),
        items.len()
    );
    let sent = items.into_iter().zip(answer.operations);
    let sent = sent.map(|(item, result)| {
        // What is to go may be gone already.
        let is_gone = item.version.is_none() && result.status == "404";
        let is_taken = result.status.starts_with('2') || is_gone;
        let refused = (!is_taken).then(|| {
            let code = match result.status.as_str() {
                "409" => "conflict",
                _ => "bad_object",
            };
            error(&item, code, result.detail.unwrap_or(result.status))
        });
        Sent { item, refused }
    });
    Ok(sent.collect())
}

fn error(item: &Item, code: &str, detail: String) -> ObjectError {
    ObjectError {
        object: item.name.clone(),
        code: code.to_owned(),
        detail: detail.chars().take(MAX_DETAIL).collect(),
    }
}

fn as_sent<T: Serialize + DeserializeOwned>(resource: Value) -> Option<Value> {
    let read: T = serde_json::from_value(resource).ok()?;
    serde_json::to_value(read).ok()
}

fn path(kind: Kind, guid: Guid) -> String {
    format!("/{}/{guid}", collection(kind))
}

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "Users",
        Kind::Group => "Groups",
        Kind::Computer => "Computers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    fn courier(parts: &Parts) -> Courier {
        let writes = (Lease::held(), Arc::default());
        Courier::new(
            parts.agent.clone(),
            Known::default(),
            Held::default(),
            writes,
        )
    }

    const ALICE: (Kind, Guid, &str) = (Kind::User, Guid::NIL, "alice");

    #[test]
    fn what_another_agent_may_have_sent_is_learnt_and_compared_once_in_a_term() {
        let parts = Parts::new("learnt", "");
        let mut courier = courier(&parts);
        let term = courier.lease.term();
        assert!(courier.is_owed() && !courier.is_sure());
        let mut listed = Known::listed();
        listed.may_have(Kind::User, Guid::NIL);
        courier.learn(listed, term);
        assert!(courier.known.contains(Guid::NIL), "others sent it");
        assert!(courier.is_sure());
        assert!(courier.is_owed(), "nothing was compared yet");
        courier.compared(Duration::ZERO);
        assert!(!courier.is_owed());
        assert!(courier.known.news_of_ids().is_some(), "it is to be kept");

        courier.learn(Known::listed(), term - 1);
        courier.compared(Duration::ZERO);
        assert!(!courier.is_sure() && courier.is_owed(), "of a former term");
        courier.compared(Duration::from_secs(60));
        assert!(!courier.is_owed(), "not each minute");
        courier.rest_no_more();
        assert!(courier.is_owed());
    }

    #[tokio::test]
    async fn what_was_sent_and_not_answered_counts_as_there_and_is_sent_again() {
        let parts = Parts::new("unsure", "");
        let mut courier = courier(&parts);
        courier.put(ALICE, &"resource").await.unwrap();
        // There is no server.
        assert!(courier.settle().await.is_err());
        courier.abandon();
        assert_eq!(courier.known.kind(Guid::NIL), Some(Kind::User));
        courier.put(ALICE, &"resource").await.unwrap();
        assert_eq!(courier.queued(), 1);
    }

    #[test]
    fn of_a_long_reason_the_beginning_is_kept() {
        let parts = Parts::new("reason", "");
        let mut courier = courier(&parts);
        let item = Item {
            kind: Kind::User,
            guid: Guid::NIL,
            name: "alice".to_owned(),
            version: Some(1),
        };
        let refused = Some(error(&item, "conflict", "ä".repeat(1_000_000)));
        courier.note(Sent { item, refused });
        let told = courier.waiting();
        assert_eq!(told[0].detail, Some("ä".repeat(500)));
        assert_eq!(courier.outcome().errors[0].detail.chars().count(), 500);
    }
}
