//! What an application may do for its user: the permissions in its token, beside the user's roles.
//!
//! A token for the whole of Graph (`.default`, of an application that is registered for the whole) narrows
//! nothing; any other is good for what it names. Both must allow a request: a permission gives nobody
//! what their roles do not, and a role gives no application what it did not ask for.

use axum::http::{Method, StatusCode};

use crate::error::Refusal;

/// The permission of a token for everything.
const WHOLE: &str = "user_impersonation";

/// Below which path which families of permissions count, for those who look and for those who change.
struct Needed {
    below: &'static str,
    look: &'static [&'static str],
    change: &'static [&'static str],
}

const CONFIGURATION: &[&str] = &["DeviceManagementConfiguration"];
const SERVICE: &[&str] = &["DeviceManagementServiceConfig"];
const RBAC: &[&str] = &["DeviceManagementRBAC"];
const METHODS: &[&str] = &["UserAuthenticationMethod"];
const MEMBERS: &[&str] = &["GroupMember", "Group", "Directory"];

/// The first one that fits counts.
const NEEDED: [Needed; 9] = [
    Needed {
        below: "/deviceManagement/deviceEnrollmentConfigurations",
        look: SERVICE,
        change: SERVICE,
    },
    Needed {
        below: "/deviceManagement/roleScopeTags",
        look: RBAC,
        change: RBAC,
    },
    Needed {
        below: "/deviceManagement",
        look: CONFIGURATION,
        change: CONFIGURATION,
    },
    Needed {
        below: "/groups/{group}/members",
        look: MEMBERS,
        change: MEMBERS,
    },
    Needed {
        below: "/groups",
        look: MEMBERS,
        change: &["Group", "Directory"],
    },
    Needed {
        below: "/users/{user}/authentication",
        look: METHODS,
        change: METHODS,
    },
    Needed {
        below: "/me/authentication",
        look: METHODS,
        change: METHODS,
    },
    Needed {
        below: "/users",
        look: &["User", "Directory"],
        change: &["User", "Directory"],
    },
    Needed {
        below: "/devices",
        look: &["Device", "Directory"],
        change: &["Device", "Directory"],
    },
];

/// Whether a token with these permissions is good for a method of a path, as routers write it, below the
/// version.
pub(super) fn expect(permissions: &str, method: &Method, path: &str) -> Result<(), Refusal> {
    let needed = NEEDED.iter().find(|needed| path.starts_with(needed.below));
    let looks = [Method::GET, Method::HEAD].contains(method);
    let families = match (needed, looks) {
        (Some(needed), true) => needed.look,
        (Some(needed), false) => needed.change,
        (None, _) => &[],
    };
    let is_own = path.starts_with("/me/");
    let is_good =
        |permission: &str| permission == WHOLE || gives(permission, families, (looks, is_own));
    if permissions.split(' ').any(is_good) {
        return Ok(());
    }
    let verb = if looks { "Read" } else { "ReadWrite" };
    let wanted: Vec<_> = families
        .iter()
        .map(|family| format!("{family}.{verb}.All"))
        .collect();
    let sentence = format!(
        "the application's token does not allow this; it needs {}",
        wanted.join(" or ")
    );
    Err(Refusal::own(StatusCode::FORBIDDEN, "forbidden", &sentence))
}

/// Whether a permission is one of these families that suffices. `.All` may be left out where it is about
/// nobody but the user.
fn gives(permission: &str, families: &[&str], (looks, is_own): (bool, bool)) -> bool {
    let mut parts = permission.splitn(3, '.');
    let (family, verb, whose) = (parts.next(), parts.next(), parts.next());
    let is =
        |part: Option<&str>, word: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(word));
    let is_verb = is(verb, "ReadWrite") || (looks && is(verb, "Read"));
    let is_wide = is(whose, "All") || (is_own && whose.is_none());
    is_verb && is_wide && families.iter().any(|one| is(family, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_good_for_its_family_and_to_write_is_to_read() {
        let policies = "/deviceManagement/configurationPolicies/{id}";
        let members = "/groups/{group}/members/$ref";
        let mine = "/me/authentication/windowsHelloForBusinessMethods";
        for (permissions, method, path, good) in [
            ("user_impersonation", Method::DELETE, policies, true),
            (
                "DeviceManagementConfiguration.Read.All",
                Method::GET,
                policies,
                true,
            ),
            (
                "DeviceManagementConfiguration.Read.All",
                Method::PUT,
                policies,
                false,
            ),
            (
                "x devicemanagementconfiguration.readwrite.all",
                Method::PUT,
                policies,
                true,
            ),
            (
                "DeviceManagementConfiguration.ReadWrite",
                Method::GET,
                policies,
                false,
            ),
            (
                "DeviceManagementServiceConfig.ReadWrite.All",
                Method::GET,
                policies,
                false,
            ),
            ("GroupMember.ReadWrite.All", Method::POST, members, true),
            ("GroupMember.ReadWrite.All", Method::POST, "/groups", false),
            ("GroupMember.Read.All", Method::GET, "/groups", true),
            ("Device.Read.All", Method::GET, "/devices/{device}", true),
            ("UserAuthenticationMethod.Read", Method::GET, mine, true),
            ("UserAuthenticationMethod.Read", Method::DELETE, mine, false),
            ("User.Read", Method::GET, "/users", false),
            ("", Method::GET, "/users", false),
        ] {
            let found = expect(permissions, &method, path).is_ok();
            assert_eq!(found, good, "{permissions} {method} {path}");
        }
    }
}
