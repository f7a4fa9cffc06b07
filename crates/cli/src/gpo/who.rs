//! Names of those whom rights are about.

use model::Sid;

use super::{Domain, scope::principal};

pub(super) const AUTHENTICATED_USERS: &str = "S-1-5-11";

/// Those that are no accounts of a domain (MS-DTYP 2.4.2.4).
const WELL_KNOWN: [(&str, &str); 5] = [
    ("S-1-1-0", "Everyone"),
    ("S-1-3-0", "Creator Owner"),
    ("S-1-5-9", "Enterprise Domain Controllers"),
    (AUTHENTICATED_USERS, "Authenticated Users"),
    ("S-1-5-18", "System"),
];

/// The SID of a name.
pub(super) async fn sid(domain: &Domain, name: &str) -> anyhow::Result<Sid> {
    let known = WELL_KNOWN
        .iter()
        .find(|(_, known)| known.eq_ignore_ascii_case(name));
    match known {
        Some((sid, _)) => Ok(sid.parse()?),
        None => Ok(principal(domain, name).await?.sid),
    }
}

/// The name of a SID; the SID itself where nobody has it any more.
pub(super) async fn name(domain: &Domain, sid: &Sid) -> anyhow::Result<String> {
    let text = sid.to_string();
    if let Some((_, name)) = WELL_KNOWN.iter().find(|(known, _)| *known == text) {
        return Ok((*name).to_owned());
    }
    let found = domain.directory.principal_of(sid).await?;
    Ok(found.map_or(text, |found| found.account))
}
