//! Accounts as the server takes them: resources of SCIM.

use std::collections::HashSet;

use api::scim::{self, DirectoryFields, Email, Member};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::{Computer, Group, User};
use model::{Guid, Sid};

pub(crate) fn user(user: &User) -> scim::User {
    scim::User {
        external_id: user.guid,
        user_name: user.principal.clone(),
        display_name: user.display_name.clone(),
        active: user.enabled,
        emails: user.mail.iter().cloned().map(Email::from).collect(),
        directory: DirectoryFields {
            account_expires: user.expires,
            locked_until: user.locked_until,
            logon_hours: user.hours.map(|hours| STANDARD.encode(hours.0)),
            source_anchor: Some(STANDARD.encode(&user.source_anchor)),
            ..fields(&user.sid, &user.account, &user.dn)
        },
    }
}

pub(crate) fn computer(computer: &Computer) -> scim::Computer {
    let certificates = computer.certificates.iter();
    scim::Computer {
        external_id: computer.guid,
        display_name: computer.name.clone(),
        active: computer.enabled,
        user_certificates: certificates.map(|der| STANDARD.encode(der)).collect(),
        directory: fields(&computer.sid, &computer.account, &computer.dn),
    }
}

/// A group with those of its members who are `present`.
pub(crate) fn group(group: &Group, present: &HashSet<Guid>) -> scim::Group {
    let members = group.members.iter().copied();
    let mut members: Vec<Guid> = members.filter(|member| present.contains(member)).collect();
    // As the server tells them.
    members.sort();
    scim::Group {
        external_id: group.guid,
        display_name: group.account.clone(),
        members: members.into_iter().map(|value| Member { value }).collect(),
        directory: fields(&group.sid, &group.account, &group.dn),
    }
}

fn fields(sid: &Sid, account: &str, dn: &str) -> DirectoryFields {
    DirectoryFields {
        sid: sid.clone(),
        sam_account_name: account.to_owned(),
        dn: dn.to_owned(),
        account_expires: None,
        locked_until: None,
        logon_hours: None,
        source_anchor: None,
    }
}
