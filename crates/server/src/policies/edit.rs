//! Who may make which policy, and what one must hold before it is stored.
//!
//! Whoever is limited to scope tags sees and changes what carries one of them, gives no other tag, and
//! assigns to groups that a tag covers: else a policy would be a way out of the tags. What is refused
//! leaves everything as it was.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use model::Guid;
use policy::assigned::{Given, Target, check};
use store::{EnrollmentConfiguration, Policy, PolicyContent};

use super::enrollment;
use crate::{
    admin::{
        caller::{Caller, forbidden},
        stored,
    },
    app::App,
    error::Refusal,
    random,
    roles::Action,
};

/// The most policies of a tenant: each device looks through all.
const MOST_POLICIES: u32 = 1000;

/// The most assignments, and scope tags, of one.
const MOST_TARGETS: usize = 200;

const MAX_NAME: usize = 256;
const MAX_DESCRIPTION: usize = 4096;

/// The longest account of a change in the audit log.
const MAX_ACCOUNT: usize = 1000;

/// The tag of whatever carries no other.
pub(crate) const DEFAULT_TAG: Guid = Guid::from_le_bytes([0; 16]);

pub(crate) fn bad(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
}

fn no_such() -> Refusal {
    let sentence = "there is no policy of that id";
    Refusal::own(StatusCode::NOT_FOUND, "not_found", sentence)
}

/// Every policy that the caller may look at, by name.
pub(crate) async fn seen(app: &App, caller: &Caller) -> Result<Vec<Policy>, Refusal> {
    let policies = app.policies.current(&app.store, app.tenant.id).await?;
    let may =
        |policy: &&Policy| caller.may_tagged(Action::ReadPolicies, &policy.content.scope_tags);
    Ok(policies.all.iter().filter(may).cloned().collect())
}

/// One policy, as it is stored, that the caller may do this to. One that the caller may not look at is
/// none.
pub(crate) async fn one(
    app: &App,
    caller: &Caller,
    action: Action,
    id: Guid,
) -> Result<Policy, Refusal> {
    let found = app.store.policy(app.tenant.id, id).await?;
    let tags = |policy: &Policy| policy.content.scope_tags.clone();
    let policy = found
        .filter(|policy| caller.may_tagged(Action::ReadPolicies, &tags(policy)))
        .ok_or_else(no_such)?;
    match caller.may_tagged(action, &tags(&policy)) {
        true => Ok(policy),
        false => Err(forbidden()),
    }
}

/// Makes a policy.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    content: PolicyContent,
) -> Result<Policy, Refusal> {
    caller.expect(Action::EditPolicies)?;
    let content = checked(app, caller, content, None).await?;
    let account = format!("{}: {}", content.name, account(&[], &content));
    let audit = caller.audit(app, "policy.create", &shortened(&account));
    let policy = Policy {
        id: random::guid()?,
        content,
        version: 1,
        created: audit.at,
        modified: audit.at,
        modified_by: audit.actor.clone(),
    };
    let created = app
        .store
        .create_policy(app.tenant.id, policy.clone(), MOST_POLICIES, audit);
    stored(created.await)?;
    Ok(policy)
}

/// Replaces what stands in a policy that the caller may edit; what comes of it.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    policy: &Policy,
    content: PolicyContent,
) -> Result<Policy, Refusal> {
    let content = checked(app, caller, content, Some(&policy.content)).await?;
    if content == policy.content {
        return Ok(policy.clone());
    }
    let account = format!(
        "{}: {}",
        policy.content.name,
        account(&policy.content.values, &content)
    );
    let is_same = |other: &PolicyContent| *other == policy.content;
    let action = match is_same(&PolicyContent {
        assignments: policy.content.assignments.clone(),
        ..content.clone()
    }) {
        true => "policy.assign",
        false => "policy.change",
    };
    let audit = caller.audit(app, action, &shortened(&account));
    let place = (policy.id, policy.version);
    let changed = app
        .store
        .change_policy(app.tenant.id, place, content, audit);
    if !stored(changed.await)? {
        let sentence = "somebody else has changed this policy meanwhile: look at it again";
        return Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence));
    }
    let changed = app.store.policy(app.tenant.id, policy.id).await?;
    changed.ok_or_else(no_such)
}

/// Deletes a policy that the caller may edit.
pub(crate) async fn delete(app: &App, caller: &Caller, policy: &Policy) -> Result<(), Refusal> {
    let audit = caller.audit(app, "policy.delete", &policy.content.name);
    let deleted = app.store.delete_policy(app.tenant.id, policy.id, audit);
    match deleted.await? {
        true => Ok(()),
        false => Err(no_such()),
    }
}

/// The content, if the caller may have it so.
async fn checked(
    app: &App,
    caller: &Caller,
    mut content: PolicyContent,
    former: Option<&PolicyContent>,
) -> Result<PolicyContent, Refusal> {
    check_texts(&mut content.name, &content.description)?;
    check(&content.values).map_err(|why| bad(&why.to_string()))?;
    let former_tags = former.map_or(&[][..], |former| &former.scope_tags);
    content.scope_tags = checked_tags(app, caller, content.scope_tags, former_tags).await?;
    let former_targets = former.map_or(&[][..], |former| &former.assignments);
    check_targets(app, caller, &content.assignments, former_targets).await?;
    Ok(content)
}

/// A name and a description as people may be shown them.
pub(crate) fn check_texts(name: &mut String, description: &str) -> Result<(), Refusal> {
    *name = name.trim().to_owned();
    if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(bad(
            "the name is empty, longer than 256 bytes, or not one line",
        ));
    }
    if description.len() > MAX_DESCRIPTION {
        return Err(bad("the description is longer than 4,096 bytes"));
    }
    Ok(())
}

/// The tags, if the caller may give and take what is other than before.
pub(crate) async fn checked_tags(
    app: &App,
    caller: &Caller,
    mut tags: Vec<Guid>,
    former: &[Guid],
) -> Result<Vec<Guid>, Refusal> {
    if tags.len() > MOST_TARGETS {
        return Err(bad("more than 200 scope tags"));
    }
    let limits = caller.tags_for(Action::EditPolicies);
    if former.is_empty() && !limits.is_empty() && tags.iter().all(|tag| *tag == DEFAULT_TAG) {
        tags.clone_from(&limits);
    }
    if tags.is_empty() {
        tags.push(DEFAULT_TAG);
    }
    let (now, before): (BTreeSet<Guid>, BTreeSet<Guid>) =
        (tags.into_iter().collect(), former.iter().copied().collect());
    let known = app.store.scope_tags(app.tenant.id).await?;
    let is_known = |tag: &Guid| *tag == DEFAULT_TAG || known.iter().any(|known| known.id == *tag);
    if !now.difference(&before).all(is_known) {
        return Err(bad("there is no scope tag of that id (roleScopeTags)"));
    }
    if !limits.is_empty()
        && now
            .symmetric_difference(&before)
            .any(|tag| !limits.contains(tag))
    {
        let sentence = "your roles are limited to scope tags: give and take those only";
        return Err(Refusal::own(StatusCode::FORBIDDEN, "forbidden", sentence));
    }
    Ok(now.into_iter().collect())
}

/// Whether the caller may add these targets to those of before.
pub(crate) async fn check_targets(
    app: &App,
    caller: &Caller,
    targets: &[Target],
    former: &[Target],
) -> Result<(), Refusal> {
    if targets.len() > MOST_TARGETS {
        return Err(bad("more than 200 assignments"));
    }
    for (at, target) in targets.iter().enumerate() {
        if targets
            .iter()
            .take(at)
            .any(|other| group_of(other) == group_of(target))
        {
            return Err(bad("one and the same target is assigned twice"));
        }
    }
    for target in targets.iter().filter(|target| !former.contains(target)) {
        if let Some(group) = group_of(target).1
            && app.store.group(app.tenant.id, group).await?.is_none()
        {
            let sentence = format!("there is no group {group} to assign to");
            return Err(bad(&sentence));
        }
        let may = match target {
            Target::AllUsers | Target::AllDevices => {
                caller.tags_for(Action::EditPolicies).is_empty()
            }
            Target::Group(group) => caller.may(app, Action::Read, *group).await?,
            Target::NotGroup(_) => true,
        };
        if !may {
            let sentence = "your roles are limited to scope tags: assign to groups that they cover";
            return Err(Refusal::own(StatusCode::FORBIDDEN, "forbidden", sentence));
        }
    }
    Ok(())
}

/// What makes two targets the same: a group is taken in or left out, not both.
fn group_of(target: &Target) -> (u8, Option<Guid>) {
    match target {
        Target::AllUsers => (0, None),
        Target::AllDevices => (1, None),
        Target::Group(group) | Target::NotGroup(group) => (2, Some(*group)),
    }
}

/// Whether no policy is assigned to a group, and leaves none out: without it, it would reach others.
pub(crate) async fn expect_unassigned(app: &App, group: Guid) -> Result<(), Refusal> {
    let policies = app.policies.current(&app.store, app.tenant.id).await?;
    let configurations = enrollment::all(app).await?;
    let by_policies = policies
        .all
        .iter()
        .map(|policy| (&policy.content.name, &policy.content.assignments));
    let by_configurations = configurations
        .iter()
        .map(|one: &EnrollmentConfiguration| (&one.content.name, &one.content.assignments));
    let names_it = |targets: &[Target]| targets.iter().any(|one| group_of(one).1 == Some(group));
    for (name, targets) in by_policies.chain(by_configurations) {
        if names_it(targets) {
            let sentence =
                format!("the policy {name:?} is assigned to this group: change it first");
            return Err(Refusal::own(StatusCode::CONFLICT, "conflict", &sentence));
        }
    }
    Ok(())
}

/// What is other than before, for the audit log.
fn account(before: &[Given], now: &PolicyContent) -> String {
    let named = |given: &Given| format!("{} {:?}", given.setting.id, given.scope).to_lowercase();
    let mut parts = Vec::new();
    for given in &now.values {
        let was = before.iter().find(|other| named(other) == named(given));
        if was.is_none_or(|was| was.value != given.value) {
            let value = given.setting.describe(&given.value);
            parts.push(format!("{} = {value}", named(given)));
        }
    }
    let is_gone = |other: &&Given| !now.values.iter().any(|given| named(given) == named(other));
    parts.extend(
        before
            .iter()
            .filter(is_gone)
            .map(|gone| format!("{} not configured", named(gone))),
    );
    let targets = now.assignments.iter().map(target);
    parts.push(format!(
        "assigned to {}",
        match now.assignments.is_empty() {
            true => "nobody".to_owned(),
            false => targets.collect::<Vec<_>>().join(" and "),
        }
    ));
    parts.join(", ")
}

fn target(target: &Target) -> String {
    match target {
        Target::AllUsers => "all users".to_owned(),
        Target::AllDevices => "all devices".to_owned(),
        Target::Group(group) => format!("group {group}"),
        Target::NotGroup(group) => format!("not group {group}"),
    }
}

/// A text for the audit log, as far as it may be long.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_ACCOUNT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
