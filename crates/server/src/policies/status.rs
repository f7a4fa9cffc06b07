//! What became of policies where they went: each value of each policy, on each device and for each
//! person at it.
//!
//! Two things say so. What the policies come to says which value counts, which one was less strict and
//! which contradict each other; the device's last report says what became there of what counts. A report
//! about other policies than those of now is told as what it is.

use std::collections::BTreeSet;

use model::{Guid, Sid};
use policy::{
    assigned::Held,
    merge::{Outcome, State},
    settings::Scope,
};
use serde::Serialize;
use store::{Device, Policy, PolicyReport, User};

use super::{combined, deliver, edit};
use crate::{admin::caller::Caller, app::App, error::Refusal, roles::Action};

/// What became of one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) policy: String,
    pub(crate) policy_id: Guid,
    pub(crate) device: String,
    pub(crate) device_id: Guid,
    /// Whose; nothing for the device.
    pub(crate) user: Option<Sid>,
    /// The same, as people know them.
    #[serde(flatten)]
    pub(crate) person: Option<Person>,
    pub(crate) setting: &'static str,
    pub(crate) scope: Scope,
    pub(crate) value: String,
    /// `applied`, `overridden`, `conflict`, `not_applicable`, `error`; or `pending` until a device says.
    pub(crate) state: &'static str,
    /// What is in its place, or stands against it.
    pub(crate) by: Option<String>,
    /// When the device reported last.
    pub(crate) reported: Option<i64>,
    /// Whether that was about the policies of now.
    pub(crate) current: bool,
}

/// A user who is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Person {
    pub(crate) user_id: Guid,
    pub(crate) upn: String,
    pub(crate) name: String,
}

/// A node upon which policies do not agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct ConflictRow {
    pub(crate) setting: &'static str,
    pub(crate) scope: Scope,
    pub(crate) policies: Vec<String>,
    /// Whether devices keep the value that they had, or have none.
    pub(crate) held: &'static str,
}

/// A device with what is known of it.
struct Seen {
    reached: store::Reached,
    report: Option<PolicyReport>,
    is_current: bool,
}

async fn seen(app: &App, device: &Device) -> Result<Seen, Refusal> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let report = store.policy_report(tenant, device.id).await?;
    let users: Vec<Sid> = report
        .iter()
        .flat_map(|report| &report.outcomes)
        .filter_map(|(user, _)| user.clone())
        .collect();
    let reached = store.reached(tenant, device.id, users.clone()).await?;
    let is_current = match &report {
        None => false,
        Some(report) => deliver::tag(app, device.id, &users).await? == report.etag,
    };
    Ok(Seen {
        reached,
        report,
        is_current,
    })
}

/// The device itself, and each person at it: a tree each counts in, and the policies that reach there.
fn subjects<'a>(
    seen: &'a Seen,
    policies: &'a [Policy],
) -> Vec<(Option<&'a Sid>, Scope, Vec<&'a Policy>)> {
    let device = &seen.reached.device;
    let mut subjects = vec![(
        None,
        Scope::Device,
        combined::reaching(policies, device, None),
    )];
    for (sid, groups) in &seen.reached.users {
        let reaching = combined::reaching(policies, device, Some(groups));
        subjects.push((Some(sid), Scope::Device, reaching.clone()));
        subjects.push((Some(sid), Scope::User, reaching));
    }
    subjects
}

/// What became of every value of every policy that reaches a device, or somebody at it.
pub(crate) async fn of_device(app: &App, device: &Device) -> Result<Vec<Row>, Refusal> {
    let policies = app.policies.current(&app.store, app.tenant.id).await?;
    let seen = seen(app, device).await?;
    let tenant = app.tenant.id.to_string();
    let users = seen.reached.users.iter().map(|(sid, _)| sid.clone());
    let known = app
        .store
        .users_by_sid(app.tenant.id, users.collect())
        .await?;
    let mut rows = Vec::new();
    for (user, scope, reaching) in subjects(&seen, &policies.all) {
        let is_it = |known: &&User| user.is_some_and(|sid| known.sid() == Some(sid));
        let person = known.iter().find(is_it).map(|known| Person {
            user_id: known.guid,
            upn: known.upn.clone(),
            name: known.display_name.clone(),
        });
        let row = |policy: &Policy, given: &policy::assigned::Given, (state, by)| Row {
            policy: policy.content.name.clone(),
            policy_id: policy.id,
            device: device.display_name.clone(),
            device_id: device.id,
            user: user.cloned(),
            person: person.clone(),
            setting: given.setting.id,
            scope,
            value: given.setting.describe(&given.value),
            state,
            by,
            reported: seen.report.as_ref().map(|report| report.at.0),
            current: seen.is_current,
        };
        let own = |policy: &Policy, given: &policy::assigned::Given| {
            let values = &policy.content.values;
            let is_it = |other: &&policy::assigned::Given| {
                other.setting.id == given.setting.id && other.scope == scope
            };
            values.iter().find(is_it).unwrap_or(given).clone()
        };
        let all = combined::in_tree(&reaching, scope);
        for value in &all.values {
            let told = outcome(seen.report.as_ref(), user, &value.given.loc_uri(&tenant));
            for policy in &value.by {
                rows.push(row(policy, &value.given, told.clone()));
            }
            let stricter = combined::names(&value.by).join(", ");
            for policy in &value.instead_of {
                let by = Some(format!("{stricter}, which is stricter"));
                rows.push(row(policy, &own(policy, &value.given), ("overridden", by)));
            }
        }
        for conflict in &all.conflicts {
            for policy in &conflict.policies {
                let others = conflict.policies.iter().filter(|one| one.id != policy.id);
                let others: Vec<&Policy> = others.copied().collect();
                let by = Some(combined::names(&others).join(", "));
                rows.push(row(policy, &own(policy, &conflict.given), ("conflict", by)));
            }
        }
    }
    Ok(rows)
}

/// The same, as far as the caller may look at the device and at policies.
pub(crate) async fn seen_on(
    app: &App,
    caller: &Caller,
    device: &Device,
) -> Result<Vec<Row>, Refusal> {
    caller.expect_on(app, Action::Read, device.id).await?;
    let policies = edit::seen(app, caller).await?;
    let mut rows = of_device(app, device).await?;
    rows.retain(|row| policies.iter().any(|policy| policy.id == row.policy_id));
    Ok(rows)
}

/// What a device said of a node.
fn outcome(
    report: Option<&PolicyReport>,
    user: Option<&Sid>,
    loc_uri: &str,
) -> (&'static str, Option<String>) {
    let outcomes = report.and_then(|report| {
        let mut all = report.outcomes.iter();
        all.find(|(of, _)| of.as_ref() == user)
    });
    let found = outcomes.and_then(|(_, outcomes)| {
        let mut outcomes = outcomes.iter();
        outcomes.find(|outcome: &&Outcome| outcome.loc_uri == loc_uri)
    });
    let Some(found) = found else {
        return ("pending", None);
    };
    let state = match found.state {
        State::Applied => "applied",
        State::Overridden => "overridden",
        State::NotApplicable => "not_applicable",
        State::Conflict => "conflict",
        State::Error => "error",
    };
    (state, found.by.clone())
}

/// Where policies do not agree for a device, or for somebody at it.
pub(crate) async fn conflicts_of(
    app: &App,
    device: &Device,
    all: &mut BTreeSet<ConflictRow>,
) -> Result<(), Refusal> {
    let policies = app.policies.current(&app.store, app.tenant.id).await?;
    let seen = seen(app, device).await?;
    for (_, scope, reaching) in subjects(&seen, &policies.all) {
        for conflict in combined::in_tree(&reaching, scope).conflicts {
            all.insert(ConflictRow {
                setting: conflict.given.setting.id,
                scope,
                policies: combined::names(&conflict.policies),
                held: match conflict.held {
                    Held::Kept => "kept",
                    Held::Unset => "unset",
                },
            });
        }
    }
    Ok(())
}
