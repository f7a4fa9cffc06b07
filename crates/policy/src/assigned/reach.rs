//! Whom a policy reaches: groups that are taken in and left out, everybody, every device.

use std::collections::BTreeSet;

use model::Guid;
use serde::{Deserialize, Serialize};

/// One assignment of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Every user.
    AllUsers,
    /// Every device.
    AllDevices,
    /// The members of a group, users and devices, directly or through groups.
    Group(Guid),
    /// Not the members of this group, whatever else takes them in.
    NotGroup(Guid),
}

/// For whom the question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The groups that the device is in.
    pub device: &'a BTreeSet<Guid>,
    /// Those of the person at it; nothing where the question is about the device alone.
    pub user: Option<&'a BTreeSet<Guid>>,
}

/// What a policy does for a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing.
    Not,
    /// Its values for devices count on the device, and all of them for whoever is at it.
    Device,
    /// It came by the person: all of its values count for that person on this device, and for nobody
    /// else there.
    User,
}

/// Whether assignments reach a subject. Whoever is left out is left out as the person and as the device.
pub fn reach(assignments: &[Target], subject: Subject<'_>) -> Reach {
    let holds = |groups: Option<&BTreeSet<Guid>>, group: &Guid| {
        groups.is_some_and(|groups| groups.contains(group))
    };
    let device = Some(subject.device);
    let is_left_out = assignments.iter().any(|target| match target {
        Target::NotGroup(group) => holds(device, group) || holds(subject.user, group),
        _ => false,
    });
    let by_device = |target: &Target| match target {
        Target::AllDevices => true,
        Target::Group(group) => holds(device, group),
        _ => false,
    };
    let by_user = |target: &Target| match target {
        Target::AllUsers => subject.user.is_some(),
        Target::Group(group) => holds(subject.user, group),
        _ => false,
    };
    if is_left_out {
        Reach::Not
    } else if assignments.iter().any(by_device) {
        Reach::Device
    } else if assignments.iter().any(by_user) {
        Reach::User
    } else {
        Reach::Not
    }
}
