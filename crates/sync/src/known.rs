//! Which accounts the server knows from this agent, and in which version.
//!
//! Kept on disk without the versions, so that an account that is deleted while the agent is away
//! is still found missing.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use directory::Kind;
use model::Guid;
use serde::{Deserialize, Serialize};

/// The file's name.
pub const FILE: &str = "known.json";

/// The accounts.
#[derive(Debug, Default)]
pub struct Known {
    accounts: HashMap<Guid, (Kind, u64)>,
    /// There is one more or one less than on disk.
    is_news: bool,
}

/// The form on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ids {
    users: Vec<Guid>,
    groups: Vec<Guid>,
    computers: Vec<Guid>,
}

impl Known {
    /// As the server lists it; what was kept is another matter.
    pub fn listed() -> Self {
        Self {
            accounts: HashMap::new(),
            is_news: true,
        }
    }

    /// As it was kept; all versions count as old.
    pub fn from_ids(ids: Ids) -> Self {
        let mut known = HashMap::new();
        for (kind, ids) in [
            (Kind::User, ids.users),
            (Kind::Group, ids.groups),
            (Kind::Computer, ids.computers),
        ] {
            known.extend(ids.into_iter().map(|guid| (guid, (kind, UNKNOWN))));
        }
        Self {
            accounts: known,
            is_news: false,
        }
    }

    /// To be kept, where it is not what was kept last.
    pub fn news_of_ids(&mut self) -> Option<Ids> {
        std::mem::take(&mut self.is_news).then(|| Ids {
            users: self.of(Kind::User).collect(),
            groups: self.of(Kind::Group).collect(),
            computers: self.of(Kind::Computer).collect(),
        })
    }

    /// Whether the server knows the account.
    pub fn contains(&self, guid: Guid) -> bool {
        self.accounts.contains_key(&guid)
    }

    /// All accounts.
    pub fn all(&self) -> impl Iterator<Item = Guid> {
        self.accounts.keys().copied()
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All accounts of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = Guid> {
        self.accounts
            .iter()
            .filter(move |(_, (of, _))| *of == kind)
            .map(|(guid, _)| *guid)
    }

    /// All accounts that are not in `present`.
    pub fn missing(&self, present: &HashSet<Guid>) -> Vec<(Kind, Guid)> {
        let all = self.accounts.iter().map(|(guid, (kind, _))| (*kind, *guid));
        all.filter(|(_, guid)| !present.contains(guid)).collect()
    }

    /// What kind of account the server knows by this id.
    pub fn kind(&self, guid: Guid) -> Option<Kind> {
        self.accounts.get(&guid).map(|(kind, _)| *kind)
    }

    /// Whether this version of an account is news to the server.
    pub fn is_news(&self, guid: Guid, version: u64) -> bool {
        let known = self.accounts.get(&guid);
        known.is_none_or(|(_, known)| *known != version)
    }

    /// The server has taken this version of an account.
    pub fn taken(&mut self, kind: Kind, guid: Guid, version: u64) {
        self.is_news |= self.accounts.insert(guid, (kind, version)).is_none();
    }

    /// The server may have the account, in whatever version.
    pub fn may_have(&mut self, kind: Kind, guid: Guid) {
        self.taken(kind, guid, UNKNOWN);
    }

    /// The server has taken that the account is gone.
    pub fn forget(&mut self, guid: Guid) {
        self.is_news |= self.accounts.remove(&guid).is_some();
    }

    /// All versions count as old: everything is sent once more.
    pub fn doubt(&mut self) {
        self.accounts
            .values_mut()
            .for_each(|(_, version)| *version = UNKNOWN);
    }

    /// How many accounts of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.of(kind).count()
    }
}

/// A version's number; never that of an unknown one.
pub fn version(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish().max(UNKNOWN + 1)
}

/// The version of an account that is to be sent whatever it is.
const UNKNOWN: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_news_once_per_version() {
        let guid = Guid::from_le_bytes([1; 16]);
        let (a, b) = (version(&"a"), version(&"b"));
        let mut known = Known::default();
        assert!(known.is_news(guid, a));
        known.taken(Kind::User, guid, a);
        assert!(!known.is_news(guid, a));
        assert!(known.is_news(guid, b));
        known.doubt();
        assert!(known.is_news(guid, a));
        known.taken(Kind::User, guid, a);
        known.forget(guid);
        assert!(known.is_news(guid, a));
    }

    #[test]
    fn what_was_kept_is_found_missing() {
        let (a, b) = (Guid::from_le_bytes([1; 16]), Guid::from_le_bytes([2; 16]));
        let mut known = Known::default();
        known.taken(Kind::User, a, 1);
        known.taken(Kind::User, b, 1);
        let mut known = Known::from_ids(known.news_of_ids().unwrap());
        assert!(known.news_of_ids().is_none());
        assert_eq!(known.missing(&HashSet::from([a])), [(Kind::User, b)]);
    }
}
