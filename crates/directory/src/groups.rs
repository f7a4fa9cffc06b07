//! Groups and who is in them.

use std::collections::HashSet;

use model::{Guid, Sid};

use crate::{
    Directory, Domain, Error,
    accounts::{Kind, plain_dn},
    entry::{Entry, Range},
    filter::Filter,
    message::{Scope, Search},
    search::{Pages, Query},
};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// objectGUID.
    pub guid: Guid,
    /// objectSid.
    pub sid: Sid,
    /// distinguishedName.
    pub dn: String,
    /// sAMAccountName.
    pub account: String,
    /// objectGUIDs of its direct members.
    pub members: Vec<Guid>,
    /// uSNChanged at the domain controller of this connection.
    pub usn: u64,
    /// Where the rest of the members begins that the page had no room for.
    more: Option<usize>,
}

/// Attributes of a group.
pub(crate) const GROUP: &[&str] = &[
    "objectGUID",
    "objectSid",
    "sAMAccountName",
    "member",
    "uSNChanged",
];

/// More than any group has.
const MAX_MEMBERS: usize = 10_000_000;

impl Directory {
    /// A group. Complete it with [`Directory::complete_members`].
    pub async fn group(&self, guid: Guid) -> Result<Option<Group>, Error> {
        let entry = self.by_guid(guid, &Kind::Group.filter(), GROUP).await?;
        entry
            .map(|entry| Group::read(&entry, self.domain()))
            .transpose()
    }

    /// All groups of the domain. Complete each with [`Directory::complete_members`].
    pub fn groups(&self) -> Pages<'_, Group> {
        self.group_pages(Kind::Group.filter())
    }

    /// The groups that `member` is in, directly or not.
    pub fn groups_above(&self, member: &str) -> Pages<'_, Group> {
        let within = Filter::InChain("member", member.to_owned());
        self.group_pages(Filter::And(vec![Kind::Group.filter(), within]))
    }

    fn group_pages(&self, filter: Filter) -> Pages<'_, Group> {
        self.pages(Query {
            base: self.domain().dn.clone(),
            scope: Scope::Subtree,
            filter,
            attributes: GROUP,
            extended_dn: true,
            read: Group::read,
        })
    }

    /// Who is in one of `groups`, directly or by other groups: users, computers and groups. A group
    /// that is not there is an error, so that a wrong name does not count as an empty group.
    pub async fn members_within(&self, groups: &[String]) -> Result<HashSet<Guid>, Error> {
        let mut members = HashSet::new();
        for dn in groups {
            let search = Search {
                base: dn,
                scope: Scope::Base,
                filter: &Kind::Group.filter(),
                attributes: GROUP,
                page: None,
                extended_dn: true,
            };
            let top = self.one(&search).await?;
            let top = top.ok_or(Error::Missing("a group that is named"))?;
            let within = Filter::InChain("memberOf", dn.clone());
            let within = Filter::And(vec![Kind::Group.filter(), within]);
            let mut below = self.group_pages(within).all().await?;
            below.push_back(Group::read(&top, self.domain())?);
            for group in &mut below {
                self.complete_members(group).await?;
                members.extend(group.members.iter().copied());
            }
        }
        Ok(members)
    }

    /// Whether an account is in one of `groups`, directly or by other groups. A primary group does
    /// not count.
    pub async fn is_within(&self, account: Guid, groups: &[String]) -> Result<bool, Error> {
        let within = groups.iter().cloned();
        let within = within.map(|group| Filter::InChain("memberOf", group));
        let filter = Filter::Or(within.collect());
        let found = self.by_guid(account, &filter, &["objectGUID"]).await?;
        Ok(found.is_some())
    }

    /// Reads the members of a large group that its page had no room for.
    pub async fn complete_members(&self, group: &mut Group) -> Result<(), Error> {
        self.complete(group, None).await
    }

    /// The members of a group, asked for at most so many at once, as a domain controller answers of its
    /// own accord where they are very many: Samba never does.
    pub async fn members_in_steps(&self, group: Guid, step: usize) -> Result<Vec<Guid>, Error> {
        let group = self.group(group).await?;
        let mut group = group.ok_or(Error::Missing("a group that is named"))?;
        group.members.clear();
        group.more = Some(0);
        self.complete(&mut group, Some(step)).await?;
        Ok(group.members)
    }

    async fn complete(&self, group: &mut Group, step: Option<usize>) -> Result<(), Error> {
        while let Some(start) = group.more {
            let last = step.map_or_else(
                || "*".to_owned(),
                |step| start.saturating_add(step.saturating_sub(1)).to_string(),
            );
            let search = Search {
                base: &format!("<GUID={}>", group.guid),
                scope: Scope::Base,
                filter: &Kind::Group.filter(),
                attributes: &[&format!("member;range={start}-{last}")],
                page: None,
                extended_dn: true,
            };
            let entry = self.one(&search).await?;
            let entry = entry.ok_or(Error::Missing("a group that was just there"))?;
            let range = entry.range("member");
            group.take(&range.ok_or(Error::Missing("members that were just there"))??)?;
        }
        Ok(())
    }
}

impl Group {
    pub(crate) fn read(entry: &Entry, _: &Domain) -> Result<Self, Error> {
        let mut group = Self {
            guid: entry.guid()?,
            sid: entry.sid()?,
            dn: plain_dn(&entry.dn).to_owned(),
            account: entry.required_text("sAMAccountName")?,
            members: Vec::new(),
            usn: entry.number("uSNChanged"),
            more: Some(0),
        };
        match entry.range("member") {
            Some(range) => group.take(&range?)?,
            None => group.take(&Range::whole(entry.values("member")))?,
        }
        Ok(group)
    }

    /// Takes the members that come next. What would never end is an error, and so is what leaves members
    /// out: whoever is missing would count as one who has left.
    fn take(&mut self, range: &Range<'_>) -> Result<(), Error> {
        if self.more != Some(range.start) {
            return Err(Error::Malformed(
                "other members of a group than were asked for",
            ));
        }
        let is_last = range.next.is_none();
        if !is_last && (range.values.is_empty() || range.start > MAX_MEMBERS) {
            return Err(Error::Malformed("a group whose members have no end"));
        }
        let members = range.values.iter();
        self.members
            .extend(members.filter_map(|value| extended_guid(value)));
        self.more = range.next;
        Ok(())
    }
}

fn extended_guid(value: &[u8]) -> Option<Guid> {
    let text = std::str::from_utf8(value).ok()?;
    text.strip_prefix("<GUID=")?.split_once('>')?.0.parse().ok()
}

#[cfg(test)]
mod tests;
