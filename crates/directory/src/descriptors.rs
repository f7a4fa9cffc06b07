//! Who may do what to an object, as its descriptor says, and what an account counts as.
//!
//! Descriptors are read without their audit part, which few may see (MS-ADTS 3.1.1.3.4.1.11).

use model::{Guid, Sid};

use crate::{
    Directory, Error,
    accounts::Kind,
    entry::Entry,
    filter::Filter,
    gpo::search,
    message::{Change, Request, Scope},
    search::{Pages, Query, success},
};

/// An object and its descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// distinguishedName.
    pub dn: String,
    /// What kind of account it is, if any.
    pub kind: Option<Kind>,
    /// nTSecurityDescriptor without the SACL; none where it may not be read.
    pub descriptor: Option<Vec<u8>>,
    /// adminCount is set: AD itself replaces the descriptor.
    pub is_protected: bool,
}

/// An account and all it counts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// distinguishedName.
    pub dn: String,
    /// objectSid.
    pub sid: Sid,
    /// Its groups, directly or not.
    pub groups: Vec<Sid>,
    /// Those that it is in because everyone who signs in is.
    pub of_everyone: Vec<Sid>,
}

/// By what an attribute is known in descriptors (MS-ADTS 3.1.1.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// lDAPDisplayName.
    pub name: String,
    /// schemaIDGUID.
    pub id: Guid,
    /// attributeSecurityGUID: its property set.
    pub set: Option<Guid>,
}

const DESCRIPTOR: &str = "nTSecurityDescriptor";
const GUARDED: &[&str] = &[DESCRIPTOR, "adminCount", "objectCategory", "objectClass"];
/// Everyone, the network's users, and all who signed in.
const EVERYONE: [&str; 3] = ["S-1-1-0", "S-1-5-2", "S-1-5-11"];

impl Directory {
    /// An object's descriptor; `None` where there is no such object.
    pub async fn guarded(&self, dn: &str) -> Result<Option<Guarded>, Error> {
        let filter = Filter::Present("objectClass");
        let found = self.one(&search(dn, Scope::Base, &filter, GUARDED)).await?;
        Ok(found.as_ref().map(guarded))
    }

    /// All objects of the domain with their descriptors.
    pub fn guarded_objects(&self) -> Pages<'_, Guarded> {
        self.pages(Query {
            base: self.domain().dn.clone(),
            scope: Scope::Subtree,
            filter: Filter::Present("objectClass"),
            attributes: GUARDED,
            extended_dn: false,
            read: |entry, _| Ok(guarded(entry)),
        })
    }

    /// Sets owner, group and DACL of an object; its SACL stays.
    pub async fn set_descriptor(&self, dn: &str, descriptor: &[u8]) -> Result<(), Error> {
        let change = [Change::Replace(DESCRIPTOR, &[descriptor])];
        success(self.call(&Request::Modify(dn, &change)).await?).map(drop)
    }

    /// An account by its sAMAccountName, with all that it counts as.
    pub async fn identity(&self, account: &str) -> Result<Identity, Error> {
        let found = self.principal(account).await?;
        let found = found.ok_or(Error::Missing("the agent's account"))?;
        let filter = Filter::Present("objectClass");
        let token = ["tokenGroups"];
        let entry = self
            .one(&search(&found.dn, Scope::Base, &filter, &token))
            .await?
            .ok_or(Error::Missing("an account that was just there"))?;
        let groups = entry.values("tokenGroups").iter();
        let groups = groups.filter_map(|sid| Sid::from_bytes(sid).ok()).collect();
        let mut of_everyone: Vec<Sid> = Vec::new();
        for everyone in EVERYONE {
            of_everyone.extend(everyone.parse::<Sid>());
            let dn = format!(
                "CN={everyone},CN=ForeignSecurityPrincipals,{}",
                self.domain().dn
            );
            for group in self.groups_above(&dn).all().await? {
                if !of_everyone.contains(&group.sid) {
                    of_everyone.push(group.sid);
                }
            }
        }
        Ok(Identity {
            dn: found.dn,
            sid: found.sid,
            groups,
            of_everyone,
        })
    }

    /// How descriptors name these attributes; those that the schema lacks are left out.
    pub async fn properties(&self, names: &[&str]) -> Result<Vec<Property>, Error> {
        const ATTRIBUTES: &[&str] = &["lDAPDisplayName", "schemaIDGUID", "attributeSecurityGUID"];
        let named = |name: &&str| Filter::equal("lDAPDisplayName", *name);
        let filter = Filter::Or(names.iter().map(named).collect());
        let schema = format!("CN=Schema,{}", self.domain().configuration);
        let found = self
            .all(&search(&schema, Scope::Children, &filter, ATTRIBUTES))
            .await?;
        let guid =
            |entry: &Entry, name| entry.value(name)?.try_into().ok().map(Guid::from_le_bytes);
        let property = |entry: &Entry| {
            Some(Property {
                name: entry.text("lDAPDisplayName")?.to_owned(),
                id: guid(entry, "schemaIDGUID")?,
                set: guid(entry, "attributeSecurityGUID"),
            })
        };
        Ok(found.iter().filter_map(property).collect())
    }
}

impl Identity {
    /// All SIDs that descriptors may name it by.
    pub fn token(&self) -> Vec<Sid> {
        let own = [&self.sid].into_iter();
        let all = own.chain(&self.groups).chain(&self.of_everyone);
        all.cloned().collect()
    }

    /// The groups that make it an administrator of some kind.
    pub fn privileged_groups(&self) -> impl Iterator<Item = &Sid> {
        let privileged = |group: &&Sid| crate::accounts::is_privileged(group);
        self.groups.iter().filter(privileged)
    }
}

fn guarded(entry: &Entry) -> Guarded {
    Guarded {
        dn: entry.dn.clone(),
        kind: Kind::of(entry),
        descriptor: entry.value(DESCRIPTOR).map(<[u8]>::to_vec),
        is_protected: entry.number("adminCount") > 0,
    }
}
