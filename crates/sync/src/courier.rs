//! Accounts on their way to the server: bulk requests of which several are under way at once.
//!
//! The next page of the directory is read while the server takes the one before. What the server
//! has taken is known ([`Known`]) only when it has said so: whatever is lost on the way is sent
//! once more, which changes nothing where it did arrive.

use std::sync::Arc;

use anyhow::Context as _;
use api::{
    agent::Alert,
    scim::{self, BULK_REQUEST_SCHEMA, BulkRequest, MAX_OPERATIONS, Operation},
};
use client::Agent;
use directory::Kind;
use model::Guid;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    held::Held,
    history::{Connector, ObjectError, Outcome},
    known::{self, Known, News},
    lease::Lease,
    pending::{Action, Pending},
};

/// How long a request becomes by several resources; a longer one goes alone.
const MAX_BATCH: usize = api::MAX_BULK_BODY / 4;
/// The longest single resource that a request has room for.
const MAX_RESOURCE: usize = api::MAX_BULK_BODY - 1024;
/// Requests under way at once: the server writes one after the other anyway.
const MAX_UNDER_WAY: usize = 2;

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

    /// Whether something was not sent that may be sent now.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_withheld && self.may_send()
    }

    /// Everything is compared and sent anew.
    pub(crate) fn begin_anew(&mut self) {
        self.known.doubt();
        self.is_withheld = false;
        self.pending.clear(Connector::Server);
    }

    /// Known is what the server has of the domain now, whoever sent it.
    pub(crate) async fn learn(&mut self) -> anyhow::Result<()> {
        let mut known = Known::default();
        for kind in [Kind::User, Kind::Computer, Kind::Group] {
            let mut next = Some(String::new());
            while let Some(cursor) = next {
                let page = self.agent.resources(collection(kind), &cursor).await?;
                for resource in page.resources {
                    let (guid, version) = self.learnt(kind, resource).await?;
                    known.taken(kind, guid, version);
                }
                next = page.next_cursor;
            }
        }
        self.known = known;
        Ok(())
    }

    /// Which account a resource of the server's is, and in which version.
    async fn learnt(&self, kind: Kind, resource: Value) -> anyhow::Result<(Guid, u64)> {
        // Read as what is sent: it has no more than that, in the same order.
        let (guid, sent) = match kind {
            Kind::User => {
                let user: scim::User = serde_json::from_value(resource)?;
                (user.external_id, serde_json::to_value(user)?)
            }
            Kind::Computer => {
                let computer: scim::Computer = serde_json::from_value(resource)?;
                (computer.external_id, serde_json::to_value(computer)?)
            }
            Kind::Group => {
                let id = resource.get("id").and_then(Value::as_str);
                let id = id.unwrap_or_default().parse()?;
                let mut group = self.agent.group(id).await?;
                group.members.sort_by_key(|member| member.value);
                (id, serde_json::to_value(group)?)
            }
        };
        Ok((guid, known::version(&sent.to_string())))
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
        if self.known.news(guid, version) == News::None {
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

    /// These are gone from the directory, and wait until they count as that.
    pub(crate) fn leave(&self, gone: &[(Kind, Guid)]) {
        let wait = |(kind, guid): &&(Kind, Guid)| {
            let path = path(*kind, *guid);
            let (side, action) = (Connector::Server, Action::Delete);
            self.pending.wait(side, &path, action, None)
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
    }

    /// What became of everything since this was asked last.
    pub(crate) fn outcome(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }

    /// Who sends.
    pub(crate) fn agent_id(&self) -> Guid {
        self.agent.id()
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
        detail,
    }
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
