//! Directory up: users of the scope, the groups they are in, and all computers, as SCIM bulk.
//!
//! At start, and in initial cycles, everything is sent; in between, what changed since the last update
//! sequence number, looked for every second. Nothing tells an ordinary account of deletions, so
//! that they are found by listing what is there.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use api::scim::{
    self, BULK_REQUEST_SCHEMA, BulkRequest, DirectoryFields, Email, MAX_OPERATIONS, Member,
    Operation,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Agent;
use directory::{By, Computer, Directory, Group, Kind, User};
use model::Guid;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    config::Config,
    cycle::Asked,
    door::Door,
    history::{Connector, ObjectError, Outcome},
    known::{self, Known, News},
    lease::Lease,
    pending::{Action, Pending},
    retry::Backoff,
    scheduler::PolicyType,
    state::Folder,
};

/// How often the update sequence number is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How often deletions are looked for, if anything changed.
const SWEEP: Duration = Duration::from_secs(30);
/// How long a request becomes by several resources; a longer one goes alone.
const MAX_BATCH: usize = api::MAX_BULK_BODY / 2;
/// The longest single resource that a request has room for.
const MAX_RESOURCE: usize = api::MAX_BULK_BODY - 1024;

/// The way up.
pub struct Import {
    config: Arc<Config>,
    door: Door,
    agent: Arc<Agent>,
    folder: Folder,
    known: Known,
    /// Where the last look at the directory ended.
    position: Option<Position>,
    batch: Batch,
    lease: Arc<Lease>,
    pending: Arc<Pending>,
    /// What was done since a cycle asked.
    tally: Outcome,
    /// Something was not sent because another agent writes.
    withheld: bool,
}

struct Position {
    /// Update sequence numbers are those of one domain controller.
    dc: String,
    usn: u64,
    swept_usn: u64,
    swept: Instant,
}

/// What is to be sent next.
#[derive(Default)]
struct Batch {
    bytes: usize,
    news: Vec<(Kind, Guid, Option<u64>)>,
    operations: Vec<Operation>,
}

impl Import {
    /// The way up, with what the server is known to know.
    pub fn new(
        config: Arc<Config>,
        door: Door,
        agent: Arc<Agent>,
        folder: Folder,
        (lease, pending): (Arc<Lease>, Arc<Pending>),
    ) -> anyhow::Result<Self> {
        let known = Known::from_ids(folder.read(known::FILE)?.unwrap_or_default());
        let batch = Batch::default();
        Ok(Self {
            config,
            door,
            agent,
            folder,
            known,
            position: None,
            batch,
            lease,
            pending,
            tally: Outcome::default(),
            withheld: false,
        })
    }

    /// Sends for ever, and takes its turn in cycles.
    pub async fn run(mut self, mut turns: mpsc::Receiver<Asked>) {
        let mut backoff = Backoff::default();
        // The first cycle is due at once, mostly: it comes first.
        let mut pause = POLL;
        self.lease.first_word().await;
        loop {
            tokio::select! {
                biased;
                Some(asked) = turns.recv() => {
                    self.turn(asked).await;
                    continue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            match self.step().await {
                Ok(()) => {
                    backoff.reset();
                    self.tally = Outcome::default();
                    pause = POLL;
                }
                Err(error) => {
                    tracing::warn!(code = "import_failed", error = format!("{error:#}"));
                    if let Some(error) = error.downcast_ref() {
                        self.door.forget_if_broken(error).await;
                    }
                    self.batch = Batch::default();
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
            self.batch = Batch::default();
            self.door.forget().await;
        }
    }

    /// Sends what changed, and finds what is gone.
    pub async fn delta(&mut self) -> anyhow::Result<Outcome> {
        self.tally = Outcome::default();
        if let Some(position) = &mut self.position {
            position.swept_usn = 0;
            position.swept = Instant::now().checked_sub(SWEEP).unwrap_or(position.swept);
        }
        self.step().await?;
        Ok(std::mem::take(&mut self.tally))
    }

    /// Sends everything.
    pub async fn initial(&mut self) -> anyhow::Result<Outcome> {
        self.position = None;
        self.delta().await
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let directory = self.door.open().await?;
        let usn = directory.highest_usn().await?;
        // What was not sent is found by sending everything.
        let is_owed = self.withheld && self.lease.may_write();
        let current = self
            .position
            .as_ref()
            .filter(|position| position.dc == directory.dc() && position.usn <= usn && !is_owed);
        let Some(Position {
            usn: since,
            swept,
            swept_usn,
            ..
        }) = current
        else {
            return self.everything(&directory, usn).await;
        };
        let (since, sweep) = (*since, swept.elapsed() >= SWEEP && *swept_usn < usn);
        if since < usn {
            self.changes(&directory, since + 1).await?;
        }
        if sweep {
            self.sweep(&directory).await?;
        }
        if let Some(position) = &mut self.position {
            position.usn = usn;
            if sweep {
                position.swept = Instant::now();
                position.swept_usn = usn;
            }
        }
        Ok(())
    }

    /// Sends everything.
    async fn everything(&mut self, directory: &Directory, usn: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.known.doubt();
        self.withheld = false;
        self.pending.clear(Connector::Server);
        let mut present = HashSet::new();
        let config = self.config.clone();
        for base in config.scope.bases() {
            let mut pages = directory.users(base, 0);
            while let Some(page) = pages.next().await.with_context(|| base.to_owned())? {
                for user in page.iter().filter(|user| config.scope.contains(&user.dn)) {
                    present.insert(user.guid);
                    self.put_user(user).await?;
                }
            }
        }
        let mut pages = directory.computers(0);
        while let Some(page) = pages.next().await? {
            for computer in &page {
                present.insert(computer.guid);
                self.put_computer(computer).await?;
            }
        }
        let mut groups = directory.groups(0).all().await?;
        for group in &mut groups {
            directory.complete_members(group).await?;
        }
        let concerned = concerned(&groups, &mut present);
        for group in &concerned {
            self.put_group(group, &present).await?;
        }
        for kind in [Kind::User, Kind::Computer, Kind::Group] {
            for gone in self.known.missing(kind, &present) {
                self.delete(kind, gone).await?;
            }
        }
        self.send().await?;
        self.keep()?;
        let now = Instant::now();
        let dc = directory.dc().to_owned();
        self.position = Some(Position {
            dc,
            usn,
            swept_usn: usn,
            swept: now,
        });
        tracing::info!(
            users = self.known.count(Kind::User),
            groups = self.known.count(Kind::Group),
            computers = self.known.count(Kind::Computer),
            ms = begun.elapsed().as_millis() as u64,
            "everything imported"
        );
        Ok(())
    }

    /// Sends what changed since `usn`.
    async fn changes(&mut self, directory: &Directory, usn: u64) -> anyhow::Result<()> {
        // From the whole domain: a user may have left the scope.
        let mut new_members = Vec::new();
        let mut pages = directory.users(&directory.domain().dn, usn);
        while let Some(page) = pages.next().await? {
            for user in &page {
                if self.config.scope.contains(&user.dn) {
                    if !self.known.contains(user.guid) {
                        new_members.push(user.dn.clone());
                    }
                    self.put_user(user).await?;
                } else if self.known.contains(user.guid) {
                    self.delete(Kind::User, user.guid).await?;
                }
            }
        }
        let mut pages = directory.computers(usn);
        while let Some(page) = pages.next().await? {
            for computer in &page {
                if !self.known.contains(computer.guid) {
                    new_members.push(computer.dn.clone());
                }
                self.put_computer(computer).await?;
            }
        }
        // Groups refer to members: those must be known first.
        self.send().await?;
        let mut groups = directory.groups(usn).all().await?;
        let mut above = Vec::new();
        for group in &groups {
            let holds_known = group
                .members
                .iter()
                .any(|member| self.known.contains(*member));
            if holds_known && !self.known.contains(group.guid) {
                new_members.push(group.dn.clone());
            }
        }
        for member in new_members {
            above.extend(directory.groups_of(&member).all().await?);
        }
        groups.extend(above);
        for group in &mut groups {
            directory.complete_members(group).await?;
        }
        let mut present: HashSet<Guid> = [Kind::User, Kind::Computer, Kind::Group]
            .into_iter()
            .flat_map(|k| self.known.of(k))
            .collect();
        concerned(&groups, &mut present);
        for group in groups.iter().filter(|group| present.contains(&group.guid)) {
            self.put_group(group, &present).await?;
        }
        self.send().await?;
        self.keep()
    }

    /// Finds accounts that are gone.
    async fn sweep(&mut self, directory: &Directory) -> anyhow::Result<()> {
        let domain = directory.domain().dn.clone();
        let mut bases: Vec<(Kind, String)> = self
            .config
            .scope
            .bases()
            .map(|base| (Kind::User, base.to_owned()))
            .collect();
        bases.extend([(Kind::Computer, domain.clone()), (Kind::Group, domain)]);
        let mut present = HashSet::new();
        for (kind, base) in bases {
            let mut pages = directory.ids(kind, &base);
            while let Some(page) = pages.next().await? {
                present.extend(page);
            }
        }
        for kind in [Kind::User, Kind::Computer, Kind::Group] {
            for missing in self.known.missing(kind, &present) {
                if self.is_gone(directory, kind, missing).await? {
                    self.delete(kind, missing).await?;
                }
            }
        }
        self.send().await?;
        self.keep()
    }

    /// Looks once more: an account that is moved while pages are read is on none of them.
    async fn is_gone(
        &self,
        directory: &Directory,
        kind: Kind,
        guid: Guid,
    ) -> Result<bool, directory::Error> {
        Ok(match kind {
            Kind::User => !directory
                .user(&By::Guid(guid))
                .await?
                .is_some_and(|user| self.config.scope.contains(&user.dn)),
            Kind::Computer => directory.computer(&By::Guid(guid)).await?.is_none(),
            Kind::Group => directory.group(guid).await?.is_none(),
        })
    }

    async fn put_user(&mut self, user: &User) -> anyhow::Result<()> {
        let resource = scim::User {
            external_id: user.guid,
            user_name: user.principal.clone(),
            display_name: user.display_name.clone(),
            active: user.enabled,
            emails: user.mail.iter().cloned().map(Email::from).collect(),
            directory: DirectoryFields {
                account_expires: user.expires,
                locked_until: user.locked_until,
                ..fields(&user.sid, &user.account, &user.dn)
            },
        };
        self.put(Kind::User, user.guid, &resource).await
    }

    async fn put_computer(&mut self, computer: &Computer) -> anyhow::Result<()> {
        let certificates = computer.certificates.iter();
        let resource = scim::Computer {
            external_id: computer.guid,
            display_name: computer.name.clone(),
            active: computer.enabled,
            user_certificates: certificates.map(|der| STANDARD.encode(der)).collect(),
            directory: fields(&computer.sid, &computer.account, &computer.dn),
        };
        self.put(Kind::Computer, computer.guid, &resource).await
    }

    async fn put_group(&mut self, group: &Group, present: &HashSet<Guid>) -> anyhow::Result<()> {
        let members = group
            .members
            .iter()
            .copied()
            .filter(|member| present.contains(member));
        let resource = scim::Group {
            external_id: group.guid,
            display_name: group.account.clone(),
            members: members.map(|value| Member { value }).collect(),
            directory: fields(&group.sid, &group.account, &group.dn),
        };
        self.put(Kind::Group, group.guid, &resource).await
    }

    async fn put(
        &mut self,
        kind: Kind,
        guid: Guid,
        resource: &impl Serialize,
    ) -> anyhow::Result<()> {
        let data = serde_json::to_value(resource)?;
        let text = data.to_string();
        let version = known::version(&text);
        if self.known.news(guid, version) == News::None {
            self.tally.unchanged += 1;
            return Ok(());
        }
        if text.len() > MAX_RESOURCE {
            let detail = format!(
                "its {} bytes are more than a request has room for",
                text.len()
            );
            self.failed(kind, guid, Action::Put, detail);
            tracing::warn!(
                code = "resource_refused",
                resource = path(kind, guid),
                bytes = text.len(),
                "an account is longer than a request may be; it is left out"
            );
            return Ok(());
        }
        let operation = Operation::Put {
            path: path(kind, guid),
            data,
        };
        self.queue(kind, guid, Some(version), text.len(), operation)
            .await
    }

    async fn delete(&mut self, kind: Kind, guid: Guid) -> anyhow::Result<()> {
        self.queue(
            kind,
            guid,
            None,
            0,
            Operation::Delete {
                path: path(kind, guid),
            },
        )
        .await
    }

    async fn queue(
        &mut self,
        kind: Kind,
        guid: Guid,
        version: Option<u64>,
        bytes: usize,
        operation: Operation,
    ) -> anyhow::Result<()> {
        const OVERHEAD: usize = 128;
        let bytes = bytes + OVERHEAD;
        if self.batch.operations.len() >= MAX_OPERATIONS || self.batch.bytes + bytes > MAX_BATCH {
            self.send().await?;
        }
        self.batch.bytes += bytes;
        self.batch.news.push((kind, guid, version));
        self.batch.operations.push(operation);
        Ok(())
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let Batch {
            news, operations, ..
        } = std::mem::take(&mut self.batch);
        if operations.is_empty() {
            return Ok(());
        }
        if !self.lease.may_write() {
            self.withheld = true;
            for (kind, guid, version) in news {
                let object = path(kind, guid);
                self.pending
                    .wait(Connector::Server, &object, action(version), None);
            }
            return Ok(());
        }
        let schemas = vec![BULK_REQUEST_SCHEMA.to_owned()];
        let answer = self
            .agent
            .bulk(&BulkRequest {
                schemas,
                operations,
            })
            .await?;
        anyhow::ensure!(
            answer.operations.len() == news.len(),
            "the server answered {} of {} operations",
            answer.operations.len(),
            news.len()
        );
        for ((kind, guid, version), result) in news.into_iter().zip(answer.operations) {
            // What is to go may be gone already.
            let gone = version.is_none() && result.status == "404";
            if !result.status.starts_with('2') && !gone {
                tracing::warn!(
                    code = "resource_refused",
                    resource = path(kind, guid),
                    status = result.status,
                    detail = result.detail.as_deref().unwrap_or_default(),
                    "the server did not take an account"
                );
                let detail = result.detail.unwrap_or(result.status);
                self.failed(kind, guid, action(version), detail);
                continue;
            }
            self.pending.settled(Connector::Server, &path(kind, guid));
            match version {
                Some(version) => {
                    match self.known.contains(guid) {
                        true => self.tally.changed += 1,
                        false => self.tally.added += 1,
                    }
                    self.known.taken(kind, guid, version);
                }
                None => {
                    self.tally.removed += 1;
                    self.known.forget(guid);
                }
            }
        }
        Ok(())
    }

    /// The server does not take an object: it is tried again when everything is sent.
    fn failed(&mut self, kind: Kind, guid: Guid, action: Action, detail: String) {
        const CODE: &str = "resource_refused";
        let object = path(kind, guid);
        let error = Some((CODE, detail.clone()));
        self.pending.wait(Connector::Server, &object, action, error);
        self.tally.errors.push(ObjectError {
            object,
            code: CODE.to_owned(),
            detail,
        });
    }

    fn keep(&self) -> anyhow::Result<()> {
        self.folder.write(known::FILE, &self.known.to_ids())
    }
}

/// The groups that hold an account of `present`, directly or by other groups. They join `present`.
fn concerned<'g>(groups: &'g VecDeque<Group>, present: &mut HashSet<Guid>) -> Vec<&'g Group> {
    let mut rest: Vec<&Group> = groups.iter().collect();
    let mut concerned = Vec::new();
    loop {
        let (hold, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|group| group.members.iter().any(|member| present.contains(member)));
        if hold.is_empty() {
            return concerned;
        }
        present.extend(hold.iter().map(|group| group.guid));
        concerned.extend(hold);
        rest = others;
    }
}

fn action(version: Option<u64>) -> Action {
    match version {
        Some(_) => Action::Put,
        None => Action::Delete,
    }
}

fn fields(sid: &model::Sid, account: &str, dn: &str) -> DirectoryFields {
    DirectoryFields {
        sid: sid.clone(),
        sam_account_name: account.to_owned(),
        dn: dn.to_owned(),
        account_expires: None,
        locked_until: None,
    }
}

fn path(kind: Kind, guid: Guid) -> String {
    let collection = match kind {
        Kind::User => "Users",
        Kind::Group => "Groups",
        Kind::Computer => "Computers",
    };
    format!("/{collection}/{guid}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Parts;

    #[tokio::test]
    async fn an_account_longer_than_a_request_does_not_keep_the_others_out() {
        let parts = Parts::new("long", "");
        let (config, agent) = (parts.config.clone(), parts.agent.clone());
        let door = parts.door();
        let writes = (Lease::held(), Arc::default());
        let mut import = Import::new(config, door, agent, parts.folder.clone(), writes).unwrap();
        let mut user = User {
            guid: Guid::from_le_bytes([1; 16]),
            sid: "S-1-5-21-1-2-3-1104".parse().unwrap(),
            dn: "CN=Alice,OU=Staff,DC=corp,DC=test".to_owned(),
            account: "alice".to_owned(),
            principal: "alice@corp.test".to_owned(),
            display_name: "a".repeat(api::MAX_BULK_BODY),
            mail: None,
            enabled: true,
            expires: None,
            locked_until: None,
            protection: None,
            usn: 1,
        };
        import.put_user(&user).await.unwrap();
        assert_eq!(import.batch.operations.len(), 0);
        user.display_name = "Alice".to_owned();
        import.put_user(&user).await.unwrap();
        assert_eq!(import.batch.operations.len(), 1);
    }
}
