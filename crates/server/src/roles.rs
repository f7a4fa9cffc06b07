//! Who may do what in the administrator's interface: the one place that decides it.
//!
//! A role without scope tags is good for everything. One with tags is good for what a tag covers and
//! for nothing of the whole tenant; a tag covers the members of the group whose id it has, and that
//! group. Whatever changes somebody who holds a role, or a group that gives one, needs the global
//! role: else helping a global administrator would be a way to become one.

use std::collections::BTreeSet;

use model::Guid;
use store::{Role, RoleAssignment};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Looks at users, groups, devices and keys.
    Read,
    /// Looks at the logs.
    ReadLogs,
    /// Looks at settings, roles, applications and what else the tenant has.
    ReadTenant,
    /// Makes, changes and deletes the server's own users.
    ManageUsers,
    /// Lets somebody in who is shut out: passes, passwords, sessions.
    Help,
    /// Sets and takes factors, and deletes keys.
    ManageFactors,
    /// Makes, changes and deletes the server's own groups.
    ManageGroups,
    /// Switches devices off and on.
    SwitchDevices,
    /// Deletes devices.
    DeleteDevices,
    /// Looks at policies.
    ReadPolicies,
    /// Makes, changes, assigns and deletes policies.
    EditPolicies,
    /// Changes settings, and which TPMs are believed.
    ManagePolicy,
    /// Gives and takes roles; applications, agents, host names, keys that sign.
    ManageTenant,
}

/// Upon whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The tenant.
    Tenant,
    /// One user, group or device.
    Principal {
        /// It and every group that it is in.
        within: BTreeSet<Guid>,
        /// It holds a role, gives one, or says what roles cover.
        is_privileged: bool,
    },
    /// A policy, by the scope tags that it carries.
    Tagged(BTreeSet<Guid>),
}

/// Whether a role is for an action at all.
fn is_for(role: Role, action: Action) -> bool {
    match action {
        Action::Read | Action::ReadTenant | Action::ReadPolicies => true,
        Action::ReadLogs => role != Role::Helpdesk,
        Action::Help => matches!(role, Role::Global | Role::Authentication | Role::Helpdesk),
        Action::ManageFactors => matches!(role, Role::Global | Role::Authentication),
        Action::ManageGroups
        | Action::DeleteDevices
        | Action::EditPolicies
        | Action::ManagePolicy => matches!(role, Role::Global | Role::Policy),
        Action::SwitchDevices => matches!(role, Role::Global | Role::Policy | Role::Helpdesk),
        Action::ManageUsers | Action::ManageTenant => role == Role::Global,
    }
}

/// Whether an action only looks.
fn only_looks(action: Action) -> bool {
    matches!(
        action,
        Action::Read | Action::ReadLogs | Action::ReadTenant | Action::ReadPolicies
    )
}

/// Whether somebody with these roles may do this upon that.
pub(crate) fn allow(roles: &[RoleAssignment], action: Action, target: &Target) -> bool {
    roles.iter().any(|given| {
        let is_whole = given.scope_tags.is_empty();
        let covers = match target {
            Target::Tenant => is_whole,
            Target::Tagged(tags) => {
                is_whole || given.scope_tags.iter().any(|tag| tags.contains(tag))
            }
            Target::Principal {
                within,
                is_privileged,
            } => {
                let is_within = given.scope_tags.iter().any(|tag| within.contains(tag));
                let is_safe = !is_privileged
                    || only_looks(action)
                    || (given.role == Role::Global && is_whole);
                // Whoever fills the groups that tags name would choose what the tags cover.
                let is_within = is_within && action != Action::ManageGroups;
                (is_whole || is_within) && is_safe
            }
        };
        is_for(given.role, action) && covers
    })
}

/// Whether there is anything at all upon which somebody with these roles may do this.
pub(crate) fn allow_somewhere(roles: &[RoleAssignment], action: Action) -> bool {
    let only_tenant = matches!(
        action,
        Action::ReadTenant
            | Action::ReadLogs
            | Action::ManageGroups
            | Action::ManageTenant
            | Action::ManagePolicy
    );
    roles
        .iter()
        .any(|given| is_for(given.role, action) && (given.scope_tags.is_empty() || !only_tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [(Role, &str); 5] = [
        (Role::Global, "global"),
        (Role::Policy, "policy"),
        (Role::Authentication, "authentication"),
        (Role::Helpdesk, "helpdesk"),
        (Role::Reader, "reader"),
    ];

    fn guid(byte: u8) -> Guid {
        Guid::from_le_bytes([byte; 16])
    }

    fn principal(within: &[u8], is_privileged: bool) -> Target {
        Target::Principal {
            within: within.iter().copied().map(guid).collect(),
            is_privileged,
        }
    }

    /// A mark for each target: the tenant, one in scope, one out of it, one in scope with a role.
    fn marks(role: Role, scope_tags: &[u8], action: Action) -> String {
        let given = [RoleAssignment {
            principal: guid(1),
            role,
            scope_tags: scope_tags.iter().copied().map(guid).collect(),
        }];
        let targets = [
            Target::Tenant,
            principal(&[10, 7], false),
            principal(&[11, 8], false),
            principal(&[12, 7], true),
        ];
        let mark = |target| {
            if allow(&given, action, target) {
                'y'
            } else {
                '.'
            }
        };
        targets.iter().map(mark).collect()
    }

    #[test]
    fn each_role_may_what_the_table_says_and_nothing_else() {
        let table = [
            // action, then for each role: whole tenant | scope tag 7
            (
                Action::Read,
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
            ),
            (
                Action::ReadLogs,
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "....|....",
                "yyyy|.y.y",
            ),
            (
                Action::ReadTenant,
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
            ),
            (
                Action::ManageUsers,
                "yyyy|.y..",
                "....|....",
                "....|....",
                "....|....",
                "....|....",
            ),
            (
                Action::Help,
                "yyyy|.y..",
                "....|....",
                "yyy.|.y..",
                "yyy.|.y..",
                "....|....",
            ),
            (
                Action::ManageFactors,
                "yyyy|.y..",
                "....|....",
                "yyy.|.y..",
                "....|....",
                "....|....",
            ),
            (
                Action::ManageGroups,
                "yyyy|....",
                "yyy.|....",
                "....|....",
                "....|....",
                "....|....",
            ),
            (
                Action::SwitchDevices,
                "yyyy|.y..",
                "yyy.|.y..",
                "....|....",
                "yyy.|.y..",
                "....|....",
            ),
            (
                Action::DeleteDevices,
                "yyyy|.y..",
                "yyy.|.y..",
                "....|....",
                "....|....",
                "....|....",
            ),
            (
                Action::ManagePolicy,
                "yyyy|.y..",
                "yyy.|.y..",
                "....|....",
                "....|....",
                "....|....",
            ),
            (
                Action::ReadPolicies,
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
                "yyyy|.y.y",
            ),
            (
                Action::EditPolicies,
                "yyyy|.y..",
                "yyy.|.y..",
                "....|....",
                "....|....",
                "....|....",
            ),
            (
                Action::ManageTenant,
                "yyyy|.y..",
                "....|....",
                "....|....",
                "....|....",
                "....|....",
            ),
        ];
        for (action, global, policy, authentication, helpdesk, reader) in table {
            let expected = [global, policy, authentication, helpdesk, reader];
            for ((role, name), expected) in ROLES.iter().zip(expected) {
                let found = format!(
                    "{}|{}",
                    marks(*role, &[], action),
                    marks(*role, &[7], action)
                );
                assert_eq!(found, expected, "{action:?} by {name}");
            }
        }
    }

    #[test]
    fn a_role_with_tags_is_for_policies_that_carry_one_of_them() {
        let given = |scope_tags: &[u8]| {
            [RoleAssignment {
                principal: guid(1),
                role: Role::Policy,
                scope_tags: scope_tags.iter().copied().map(guid).collect(),
            }]
        };
        let may = |roles: &[u8], tags: &[u8]| {
            let tags = tags.iter().copied().map(guid).collect();
            allow(&given(roles), Action::EditPolicies, &Target::Tagged(tags))
        };
        assert!(may(&[7], &[0, 7]));
        assert!(!may(&[7], &[0]));
        assert!(!may(&[7], &[]));
        assert!(may(&[], &[0]));
        assert!(allow_somewhere(&given(&[7]), Action::EditPolicies));
    }

    #[test]
    fn nobody_without_a_role_may_anything() {
        assert!(!allow(&[], Action::Read, &Target::Tenant));
        assert!(!allow_somewhere(&[], Action::Read));
    }

    #[test]
    fn a_role_with_tags_is_none_where_only_the_whole_tenant_is_meant() {
        let given = |scope_tags: &[u8]| {
            [RoleAssignment {
                principal: guid(1),
                role: Role::Global,
                scope_tags: scope_tags.iter().copied().map(guid).collect(),
            }]
        };
        assert!(!allow_somewhere(&given(&[7]), Action::ManageTenant));
        assert!(allow_somewhere(&given(&[7]), Action::Read));
        assert!(allow_somewhere(&given(&[]), Action::ManageTenant));
    }
}
