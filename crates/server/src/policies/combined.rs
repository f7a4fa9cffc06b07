//! What all policies come to for one device and the people at it.

use std::collections::{BTreeMap, BTreeSet};

use api::policies::{NodeConflict, Policies, UserPolicies};
use model::{Guid, Sid};
use policy::{
    assigned::{Combined, Given, Reach, Subject, combine, reach},
    merge::ServerValue,
    settings::Scope,
};
use store::{DeviceEnrollment, Policy, Reached};

/// Policies that reach a device, or somebody at it.
pub(crate) fn reaching<'a>(
    all: &'a [Policy],
    device: &BTreeSet<Guid>,
    user: Option<&BTreeSet<Guid>>,
) -> Vec<&'a Policy> {
    let subject = Subject { device, user };
    all.iter()
        .filter(|policy| reach(&policy.content.assignments, subject) != Reach::Not)
        .collect()
}

/// What these come to in one tree.
pub(crate) fn in_tree<'a>(reaching: &[&'a Policy], scope: Scope) -> Combined<'a, Policy> {
    let policies = reaching
        .iter()
        .map(|policy| (*policy, policy.content.values.as_slice()));
    combine(policies, scope)
}

/// The most policies that are named with a value: an answer has its bounds.
const MOST_NAMED: usize = 8;

/// A value as it is delivered, with the names of the policies that give it.
fn delivered(tenant: &str, by: Vec<String>, given: &Given) -> ServerValue {
    let mut by = by.into_iter().take(MOST_NAMED);
    ServerValue {
        policy: by.next().unwrap_or_default(),
        also: by.collect(),
        loc_uri: given.loc_uri(tenant),
        value: given.text(),
    }
}

/// Everything for one device.
pub(crate) fn combined(
    all: &[Policy],
    tenant: Guid,
    reached: &Reached,
    enrollment: Option<&DeviceEnrollment>,
) -> Policies {
    let tenant = tenant.to_string();
    let mut conflicts = Vec::new();
    let mut tree = |reaching: &[&Policy], scope, user: Option<&Sid>| {
        let combined = in_tree(reaching, scope);
        conflicts.extend(combined.conflicts.iter().map(|conflict| NodeConflict {
            loc_uri: conflict.given.loc_uri(&tenant),
            user: user.cloned(),
            held: conflict.held,
            policies: names(&conflict.policies),
        }));
        let value = |value: &policy::assigned::Delivered<'_, Policy>| {
            delivered(&tenant, names(&value.by), &value.given)
        };
        combined.values.iter().map(value).collect::<Vec<_>>()
    };
    let device = tree(&reaching(all, &reached.device, None), Scope::Device, None);
    let mut users = BTreeMap::new();
    for (sid, groups) in &reached.users {
        let reaching = reaching(all, &reached.device, Some(groups));
        let policies = UserPolicies {
            device: tree(&reaching, Scope::Device, Some(sid)),
            user: tree(&reaching, Scope::User, Some(sid)),
        };
        users.insert(sid.clone(), policies);
    }
    let given = enrollment.map(|enrollment| {
        let value = |given| delivered(&tenant, vec![enrollment.configuration.clone()], given);
        enrollment.given.iter().map(value).collect()
    });
    Policies {
        version: 1,
        device,
        tenant: given.unwrap_or_default(),
        users,
        conflicts,
    }
}

/// Their names, as they are told.
pub(crate) fn names(policies: &[&Policy]) -> Vec<String> {
    let name = |policy: &&Policy| policy.content.name.clone();
    policies.iter().map(name).collect()
}
