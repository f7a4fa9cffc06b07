//! Resources of a directory, as its agent brings them: each under its objectGUID, with a SID of the
//! agent's own domain.

use std::borrow::Cow;

use api::scim;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, LogonHours, Sid, UnixTime};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Agent, Computer, DirectoryChange, Domain, Group, GroupKind, User, UserKind, Withheld};

use crate::app::App;

/// The most certificates of one computer.
const MAX_CERTIFICATES: usize = 64;

/// The longest mail address (RFC 5321 4.5.3.1.3).
const MAX_MAIL: usize = 254;

/// The longest text of a resource.
const MAX_TEXT: usize = 1024;

/// Why a resource is not taken.
pub(super) type Reason = &'static str;

/// Why the store does not make a change.
pub(super) fn why(withheld: Withheld) -> Cow<'static, str> {
    let why = match withheld {
        Withheld::AnchorTaken(other) => {
            return Cow::Owned(format!(
                "the user with the objectGUID {other} has the same source anchor: give one of them \
                 another mS-DS-ConsistencyGuid"
            ));
        }
        Withheld::NotOurs => {
            "the object is of another domain, or its name is that of one of the server's own"
        }
        Withheld::NameTaken => {
            "another user of the directory has this principal name: give one of them another"
        }
        Withheld::HoldsRole => {
            "the user of the server's own that it matches holds a role: withdraw that first"
        }
        Withheld::HardMatchBlocked => {
            "it matches a user of the server's own by its source anchor, which the setting \
             block-hard-match forbids"
        }
    };
    Cow::Borrowed(why)
}

/// The domain of an agent.
pub(super) async fn of(app: &App, agent: &Agent) -> Result<Domain, store::Error> {
    let domains = app.store.domains(app.tenant.id).await?;
    let domain = domains
        .into_iter()
        .find(|domain| domain.guid == agent.domain);
    domain.ok_or(store::Error::Bug("an agent has no domain"))
}

const MALFORMED: Reason = "the resource is not what its schema says";

fn read<T: DeserializeOwned>(data: Value) -> Result<T, Reason> {
    serde_json::from_value(data).map_err(|_| MALFORMED)
}

fn expect(condition: bool, reason: Reason) -> Result<(), Reason> {
    if condition { Ok(()) } else { Err(reason) }
}

fn expect_object(named: Guid, guid: Guid, texts: &[&String]) -> Result<(), Reason> {
    expect(
        named == guid,
        "externalId is not the objectGUID of the path",
    )?;
    expect(
        texts.iter().all(|text| text.len() <= MAX_TEXT),
        "a text is longer than 1,024 bytes",
    )
}

fn expect_account(sid: &Sid, domain: &Sid) -> Result<(), Reason> {
    expect(
        sid.domain().as_ref() == Some(domain),
        "the SID is of another domain",
    )
}

fn mail(emails: Vec<scim::Email>) -> Result<Option<String>, Reason> {
    let first = emails.into_iter().next().map(|email| email.value);
    match &first {
        Some(mail) if !is_mail(mail) => {
            Err("the mail address is none: correct it in the directory")
        }
        _ => Ok(first),
    }
}

/// Two parts around one sign, of visible characters; what mail systems make of them is theirs.
fn is_mail(text: &str) -> bool {
    let parts = text.split_once('@');
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.contains(['@', '<', '>', '"', ',', ';', '\\'])
            && !part.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    text.len() <= MAX_MAIL && parts.is_some_and(|(name, host)| is_part(name) && is_part(host))
}

pub(super) fn user(
    data: Value,
    guid: Guid,
    domain: Guid,
    sid: &Sid,
) -> Result<DirectoryChange, Reason> {
    let user: scim::User = read(data)?;
    let directory = user.directory;
    let texts = [
        &user.user_name,
        &user.display_name,
        &directory.sam_account_name,
        &directory.dn,
    ];
    expect_object(user.external_id, guid, &texts)?;
    expect_account(&directory.sid, sid)?;
    Ok(DirectoryChange::PutUser(User {
        guid,
        kind: UserKind::Synced {
            domain,
            sid: directory.sid,
            sam: directory.sam_account_name,
            dn: directory.dn,
        },
        upn: user.user_name,
        display_name: user.display_name,
        mail: mail(user.emails)?,
        active: user.active,
        account_expires: directory.account_expires,
        locked_until: directory.locked_until,
        logon_hours: hours(directory.logon_hours)?,
        source_anchor: directory
            .source_anchor
            .filter(|anchor| *anchor != STANDARD.encode(guid.to_le_bytes())),
        tokens_valid_from: UnixTime(0),
    }))
}

fn hours(text: Option<String>) -> Result<Option<LogonHours>, Reason> {
    let Some(text) = text else { return Ok(None) };
    let bytes = STANDARD.decode(text).ok();
    let hours = bytes.and_then(|bytes| bytes.try_into().ok());
    let hours = hours.ok_or("the logon hours are not 21 bytes in base64")?;
    Ok(Some(LogonHours(hours)))
}

/// A group may be one of the built-in domain, whose SID is every domain's.
pub(super) fn group(data: Value, guid: Guid, domain: Guid) -> Result<DirectoryChange, Reason> {
    let group: scim::Group = read(data)?;
    let texts = [&group.display_name, &group.directory.dn];
    expect_object(group.external_id, guid, &texts)?;
    let members = group.members.into_iter().map(|member| member.value);
    let members = members.collect();
    let group = Group {
        guid,
        kind: GroupKind::Synced {
            domain,
            sid: group.directory.sid,
            dn: group.directory.dn,
        },
        name: group.display_name,
    };
    Ok(DirectoryChange::PutGroup(group, members))
}

pub(super) fn computer(
    data: Value,
    guid: Guid,
    domain: Guid,
    sid: &Sid,
) -> Result<DirectoryChange, Reason> {
    let computer: scim::Computer = read(data)?;
    expect_object(
        computer.external_id,
        guid,
        &[&computer.display_name, &computer.directory.dn],
    )?;
    expect_account(&computer.directory.sid, sid)?;
    expect(
        computer.user_certificates.len() <= MAX_CERTIFICATES,
        "more than 64 certificates",
    )?;
    let certificates = computer
        .user_certificates
        .iter()
        .map(|der| STANDARD.decode(der));
    Ok(DirectoryChange::PutComputer(Computer {
        guid,
        domain,
        sid: computer.directory.sid,
        name: computer.display_name,
        dn: computer.directory.dn,
        active: computer.active,
        certificates: certificates
            .collect::<Result<_, _>>()
            .map_err(|_| "a certificate is not base64")?,
    }))
}
