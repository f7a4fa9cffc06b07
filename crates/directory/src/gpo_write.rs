//! What an administrator changes about group policies.
//!
//! Numbers, names and links are changed by taking out exactly the value that was read and adding
//! the new one in the same request: where somebody else was faster, the domain controller refuses
//! instead of one change undoing the other.

use model::{Guid, Sid};
use policy::gpo::{Gpc, Som};

use crate::{
    Directory, Error, Kind,
    entry::Entry,
    filter::Filter,
    gpo::{braced, search},
    message::{Change, Request, Scope},
    search::{ENTRY_EXISTS, NO_SUCH_OBJECT, Query, VALUE_EXISTS, success},
};

/// Who can be a member of a group or be named in a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// distinguishedName.
    pub dn: String,
    /// objectSid.
    pub sid: Sid,
    /// sAMAccountName.
    pub account: String,
    /// It is a group.
    pub group: bool,
}

const PRINCIPAL: &[&str] = &["objectSid", "sAMAccountName", "objectClass"];
/// A global security group (MS-ADTS 2.2.12), as the signed number it is.
const GLOBAL_SECURITY: &str = "-2147483646";

impl Directory {
    /// Makes a policy without any setting, with both its containers; what of them is there already
    /// is kept.
    pub async fn add_gpo(&self, guid: Guid, name: &str) -> Result<(), Error> {
        let (dn, domain) = (self.gpo_dn(guid), &self.domain().dns_name);
        let path = format!(r"\\{domain}\sysvol\{domain}\Policies\{}", braced(guid));
        self.add_new(
            &dn,
            &[
                ("objectClass", &[b"groupPolicyContainer"]),
                ("displayName", &[name.as_bytes()]),
                ("gPCFileSysPath", &[path.as_bytes()]),
                ("gPCFunctionalityVersion", &[b"2"]),
                ("versionNumber", &[b"0"]),
                ("flags", &[b"0"]),
            ],
        )
        .await?;
        for half in ["User", "Machine"] {
            let container: &[&[u8]] = &[b"container"];
            self.add_new(&format!("CN={half},{dn}"), &[("objectClass", container)])
                .await?;
        }
        Ok(())
    }

    /// Brings a policy's version and extension names from what was read to what they shall be, in
    /// one request.
    pub async fn advance_gpo(&self, old: &Gpc, new: &Gpc) -> Result<(), Error> {
        let signed = |version: u32| version.cast_signed().to_string();
        let versions = (signed(old.version), signed(new.version));
        let mut changes = Vec::new();
        for (name, old, new) in [
            ("versionNumber", &versions.0, &versions.1),
            (
                "gPCMachineExtensionNames",
                &old.machine_extensions,
                &new.machine_extensions,
            ),
            (
                "gPCUserExtensionNames",
                &old.user_extensions,
                &new.user_extensions,
            ),
        ] {
            changes.extend(exchange(name, old, new));
        }
        self.modify(&old.dn, &changes).await
    }

    /// Removes a policy with everything below it; one that is gone is no error.
    pub async fn delete_gpo(&self, dn: &str) -> Result<(), Error> {
        let filter = Filter::Present("objectClass");
        let found = self
            .all(&search(dn, Scope::Subtree, &filter, &["cn"]))
            .await?;
        let mut dns: Vec<String> = found.into_iter().map(|entry| entry.dn).collect();
        // What is below has the longer name.
        dns.sort_by_key(|dn| std::cmp::Reverse(dn.len()));
        for dn in dns {
            let outcome = self.call(&Request::Delete(&dn)).await?;
            if outcome.code != NO_SUCH_OBJECT {
                success(outcome)?;
            }
        }
        Ok(())
    }

    /// Changes what is linked to a place, which was as `som` says.
    pub async fn set_links(&self, som: &Som, links: &str) -> Result<(), Error> {
        self.modify(&som.dn, &exchange("gPLink", &som.links, links))
            .await
    }

    /// A user, computer or group by its sAMAccountName, a computer's with or without `$`.
    pub async fn principal(&self, name: &str) -> Result<Option<Principal>, Error> {
        for account in [name.to_owned(), format!("{name}$")] {
            let filter = Filter::And(vec![
                Filter::equal("sAMAccountName", account),
                Filter::Present("objectSid"),
            ]);
            let base = &self.domain().dn;
            let found = self
                .one(&search(base, Scope::Subtree, &filter, PRINCIPAL))
                .await?;
            if let Some(entry) = found {
                return principal(&entry).map(Some);
            }
        }
        Ok(None)
    }

    /// The principal of a SID of this domain, to show a name.
    pub async fn principal_of(&self, sid: &Sid) -> Result<Option<Principal>, Error> {
        let filter = Filter::equal("objectSid", sid.to_bytes());
        let base = &self.domain().dn;
        let found = self
            .one(&search(base, Scope::Subtree, &filter, PRINCIPAL))
            .await?;
        found.as_ref().map(principal).transpose()
    }

    /// Whether an account is a computer or a group that has one, directly or not; membership by
    /// primary group is not looked at.
    pub async fn has_computers(&self, sid: &Sid) -> Result<bool, Error> {
        let Some(found) = self.principal_of(sid).await? else {
            return Ok(false);
        };
        let is_it = Filter::equal("objectSid", sid.to_bytes());
        let in_it = Filter::InChain("memberOf", found.dn);
        let filter = Filter::And(vec![
            Kind::Computer.filter(),
            Filter::Or(vec![is_it, in_it]),
        ]);
        let mut pages = self.pages(Query {
            base: self.domain().dn.clone(),
            scope: Scope::Subtree,
            filter,
            attributes: &["cn"],
            extended_dn: false,
            read: |_, _| Ok(()),
        });
        while let Some(page) = pages.next().await? {
            if !page.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a global security group among the domain's users.
    pub async fn add_group(&self, name: &str) -> Result<Principal, Error> {
        let dn = format!("CN={},CN=Users,{}", escaped(name), self.domain().dn);
        let attributes: &[(&str, &[&[u8]])] = &[
            ("objectClass", &[b"group"]),
            ("sAMAccountName", &[name.as_bytes()]),
            ("groupType", &[GLOBAL_SECURITY.as_bytes()]),
        ];
        success(self.call(&Request::Add(&dn, attributes)).await?)?;
        self.principal(name)
            .await?
            .ok_or(Error::Missing("the group that was just made"))
    }

    /// Puts somebody into a group; answers whether they were not in it.
    pub async fn add_member(&self, group: &Principal, member: &Principal) -> Result<bool, Error> {
        let change = [Change::Add("member", member.dn.as_bytes())];
        let outcome = self.call(&Request::Modify(&group.dn, &change)).await?;
        if matches!(outcome.code, VALUE_EXISTS | ENTRY_EXISTS) {
            return Ok(false);
        }
        success(outcome).map(|_| true)
    }

    async fn add_new(&self, dn: &str, attributes: &[(&str, &[&[u8]])]) -> Result<(), Error> {
        let outcome = self.call(&Request::Add(dn, attributes)).await?;
        if outcome.code == ENTRY_EXISTS {
            return Ok(());
        }
        success(outcome).map(drop)
    }

    async fn modify(&self, dn: &str, changes: &[Change<'_>]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        success(self.call(&Request::Modify(dn, changes)).await?).map(drop)
    }
}

/// The old value out and the new one in; an empty one is none.
fn exchange<'a>(name: &'a str, old: &'a str, new: &'a str) -> Vec<Change<'a>> {
    if old == new {
        return Vec::new();
    }
    let mut changes = Vec::new();
    if !old.is_empty() {
        changes.push(Change::Delete(name, old.as_bytes()));
    }
    if !new.is_empty() {
        changes.push(Change::Add(name, new.as_bytes()));
    }
    changes
}

fn principal(entry: &Entry) -> Result<Principal, Error> {
    Ok(Principal {
        dn: entry.dn.clone(),
        sid: entry.sid()?,
        account: entry.required_text("sAMAccountName")?,
        group: entry.is_a("group"),
    })
}

/// A value of a DN (RFC 4514 2.4).
fn escaped(value: &str) -> String {
    let mut text = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let blank = c == ' ' && (at == 0 || at == last);
        if blank || (c == '#' && at == 0) || "\"+,;<>\\=".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_more_of_a_dn() {
        for (name, text) in [
            ("Hello Users", "Hello Users"),
            ("a,CN=b", "a\\,CN\\=b"),
            (" #a ", "\\ #a\\ "),
            ("#a", "\\#a"),
        ] {
            assert_eq!(escaped(name), text);
        }
    }

    #[test]
    fn a_value_that_stays_is_not_touched() {
        assert!(exchange("a", "x", "x").is_empty());
        assert_eq!(exchange("a", "", "x").len(), 1);
        assert_eq!(exchange("a", "x", "").len(), 1);
        assert_eq!(exchange("a", "x", "y").len(), 2);
    }
}
