//! Which keys the agent has written, so that it knows what is its own and sees what others took out.
//!
//! A key is added after it was read back and before the server hears of it. A kill in between loses
//! nothing: the change is handed out again, the value is found, and noted then.
//!
//! A key that was removed through a domain controller to which it had not come is kept as one that is
//! to go, until no domain controller shows it.

use std::collections::{BTreeMap, BTreeSet};

use api::agent::ConfirmedKey;
use model::Guid;
use serde::{Deserialize, Serialize};

use crate::{ledger::hex, state::Journaled};

/// The file's name.
pub const FILE: &str = "written.json";

/// The keys, by user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// Domain controllers by name, which a key refers to by their place.
    dcs: Vec<String>,
    /// What its database was when one was looked at last: invocationId, by name.
    databases: BTreeMap<String, Guid>,
    keys: BTreeMap<Guid, Vec<Key>>,
    /// Users whose keys are not on disk as they are here.
    #[serde(skip)]
    changed: BTreeSet<Guid>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// SHA-256 of its material, hexadecimal.
    pub id: String,
    /// The device that made it.
    pub device: Guid,
    /// The change that brought it.
    pub seq: u64,
    /// Where it has been seen, as places in the list. Only where it was seen can it be missing.
    #[serde(default)]
    seen: Vec<usize>,
    /// Every writable domain controller has shown it.
    #[serde(default, skip_serializing_if = "is_false")]
    everywhere: bool,
    /// It is removed, and may come yet from where it was written.
    #[serde(default, skip_serializing_if = "is_false")]
    gone: bool,
    /// The value, base64, where it may be written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why it is lost, until the server has heard of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
}

impl Key {
    /// A key that nobody has seen yet.
    pub fn new(id: &[u8; 32], device: Guid, seq: u64) -> Self {
        Self {
            id: hex(id),
            device,
            seq,
            seen: Vec::new(),
            everywhere: false,
            gone: false,
            value: None,
            lost: None,
        }
    }

    /// It is removed, and may come yet.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The server has not heard yet that somebody else took it out.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    fn is(&self, id: &str, device: Guid) -> bool {
        self.id == id && self.device == device
    }
}

impl Journaled for Written {
    /// All keys of each user of whom something has changed, and none of one who has none left.
    fn take_changes(&mut self) -> Option<Self> {
        let changed = std::mem::take(&mut self.changed);
        let keys = |user| (user, self.of(user).to_vec());
        (!changed.is_empty()).then(|| Self {
            dcs: self.dcs.clone(),
            databases: self.databases.clone(),
            keys: changed.into_iter().map(keys).collect(),
            changed: BTreeSet::new(),
        })
    }

    fn take_in(&mut self, changes: Self) {
        self.dcs = changes.dcs;
        self.databases = changes.databases;
        for (user, keys) in changes.keys {
            match keys.is_empty() {
                true => self.keys.remove(&user),
                false => self.keys.insert(user, keys),
            };
        }
    }
}

impl Written {
    /// A domain controller is looked at. One that was put back from a backup, or made anew, has not
    /// shown what it showed before.
    pub fn meet(&mut self, dc: &str, database: Guid) {
        let before = self.databases.insert(dc.to_owned(), database);
        if before.is_none_or(|before| before == database) {
            return;
        }
        let place = self.place(dc);
        for (user, keys) in &mut self.keys {
            for key in keys {
                if key.everywhere || key.seen.contains(&place) {
                    key.everywhere = false;
                    key.seen.retain(|seen| *seen != place);
                    self.changed.insert(*user);
                }
            }
        }
    }

    /// A key is in the directory, as `dc` says.
    pub fn put(&mut self, user: Guid, key: Key, dc: &str) {
        let place = self.place(dc);
        let keys = self.keys.entry(user).or_default();
        match keys.iter_mut().find(|known| known.is(&key.id, key.device)) {
            Some(known) if known.seq == key.seq && known.seen.contains(&place) && !known.gone => {
                return;
            }
            Some(known) => {
                known.everywhere &= known.seq == key.seq;
                known.gone = false;
                known.seq = key.seq;
                if !known.seen.contains(&place) {
                    known.seen.push(place);
                }
            }
            None => {
                let seen = vec![place];
                keys.push(Key { seen, ..key });
            }
        }
        self.changed.insert(user);
    }

    /// Takes what the server says is in the directory, or may come back, for what the agent has written
    /// and taken out: another agent did some of it.
    pub fn learn(&mut self, confirmed: Vec<ConfirmedKey>) {
        let before = std::mem::take(&mut self.keys);
        for ConfirmedKey {
            seq,
            user,
            id,
            device,
            dc,
            removed,
        } in confirmed
        {
            let mut known = before.get(&user).into_iter().flatten();
            let known = known.find(|key| key.is(&id, device)).cloned();
            let mut key = known.unwrap_or(Key {
                id,
                device,
                seq,
                seen: Vec::new(),
                everywhere: false,
                gone: false,
                value: None,
                lost: None,
            });
            key.seq = seq;
            key.gone = removed;
            key.everywhere = dc.is_none();
            if let Some(dc) = dc.filter(|_| !removed) {
                let place = self.place(&dc);
                if !key.seen.contains(&place) {
                    key.seen.push(place);
                }
            }
            self.keys.entry(user).or_default().push(key);
        }
        for (user, key) in before
            .iter()
            .flat_map(with_user)
            .filter(|(_, key)| key.gone)
        {
            if !self.has(user, &key.id, key.device) {
                self.keys.entry(user).or_default().push(key.clone());
            }
        }
        let users = before.keys().chain(self.keys.keys());
        let changed = users.filter(|user| before.get(user) != self.keys.get(user));
        self.changed.extend(changed);
    }

    /// A key is not at `dc`, as the server asked. Where it is not known to have been, it may come,
    /// from wherever it was written.
    pub fn take_out(&mut self, user: Guid, key: Key, dc: &str) {
        let known = self
            .of(user)
            .iter()
            .find(|known| known.is(&key.id, key.device));
        if known.is_some_and(|known| self.was_seen(known, dc)) {
            return self.forget(user, &key.id, key.device);
        }
        let keys = self.keys.entry(user).or_default();
        keys.retain(|known| !known.is(&key.id, key.device));
        keys.push(Key { gone: true, ..key });
        self.changed.insert(user);
    }

    /// Keys that may be at some domain controllers and not at others.
    pub fn spreading(&self) -> Vec<(Guid, Key)> {
        let all = self.keys.iter().flat_map(with_user);
        let some = all.filter(|(_, key)| !key.everywhere && key.lost.is_none());
        some.map(|(user, key)| (user, key.clone())).collect()
    }

    /// Every writable domain controller has shown a key.
    pub fn spread(&mut self, user: Guid, key: &Key) {
        let keys = self.keys.get_mut(&user).into_iter().flatten();
        for known in keys.filter(|known| known.is(&key.id, key.device)) {
            known.everywhere = true;
            self.changed.insert(user);
        }
    }

    /// A key is no longer the agent's.
    pub fn forget(&mut self, user: Guid, id: &str, device: Guid) {
        let Some(keys) = self.keys.get_mut(&user) else {
            return;
        };
        let before = keys.len();
        keys.retain(|key| !key.is(id, device));
        if keys.len() < before {
            self.changed.insert(user);
        }
        if keys.is_empty() {
            self.keys.remove(&user);
        }
    }

    /// Somebody else took a key out, of which the server is to hear.
    pub fn lose(&mut self, user: Guid, key: &Key, why: String) {
        let keys = self.keys.get_mut(&user).into_iter().flatten();
        for known in keys.filter(|known| known.is(&key.id, key.device)) {
            known.lost = Some(why.clone());
            self.changed.insert(user);
        }
    }

    /// Keys that are lost, whose, and why.
    pub fn lost(&self) -> Vec<(Guid, Key, String)> {
        let all = self.keys.iter().flat_map(with_user);
        all.filter_map(|(user, key)| Some((user, key.clone(), key.lost.clone()?)))
            .collect()
    }

    /// Whether the agent wrote this.
    pub fn has(&self, user: Guid, id: &str, device: Guid) -> bool {
        self.of(user).iter().any(|key| key.is(id, device))
    }

    /// Whether `dc` has shown this key.
    pub fn was_seen(&self, key: &Key, dc: &str) -> bool {
        let place = self.dcs.iter().position(|known| known == dc);
        key.everywhere || place.is_some_and(|place| key.seen.contains(&place))
    }

    /// A user's keys.
    pub fn of(&self, user: Guid) -> &[Key] {
        self.keys.get(&user).map_or(&[], Vec::as_slice)
    }

    /// The users that have keys.
    pub fn users(&self) -> Vec<Guid> {
        self.keys.keys().copied().collect()
    }

    /// How many keys.
    pub fn count(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    fn place(&mut self, dc: &str) -> usize {
        match self.dcs.iter().position(|known| known == dc) {
            Some(place) => place,
            None => {
                self.dcs.push(dc.to_owned());
                self.dcs.len() - 1
            }
        }
    }
}

fn with_user<'w>(
    (user, keys): (&'w Guid, &'w Vec<Key>),
) -> impl Iterator<Item = (Guid, &'w Key)> + use<'w> {
    keys.iter().map(|key| (*user, key))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(word: &bool) -> bool {
    !word
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 32] = [1; 32];

    fn guid(byte: u8) -> Guid {
        Guid::from_le_bytes([byte; 16])
    }

    #[test]
    fn a_key_is_missing_only_where_it_was_seen() {
        let mut written = Written::default();
        written.put(guid(1), Key::new(&A, guid(9), 5), "dc1");
        assert!(written.take_changes().is_some());
        written.put(guid(1), Key::new(&A, guid(9), 5), "dc1");
        assert!(written.take_changes().is_none());
        let key = written.of(guid(1)).first().unwrap().clone();
        assert!(written.was_seen(&key, "dc1"));
        assert!(!written.was_seen(&key, "dc2"));
        written.put(guid(1), key, "dc2");
        let key = written.of(guid(1)).first().unwrap();
        assert!(written.was_seen(key, "dc2"));
        assert_eq!(written.count(), 1);
    }

    #[test]
    fn what_a_domain_controller_showed_before_it_was_put_back_is_not_missing_there() {
        let mut written = Written::default();
        written.meet("dc1", guid(7));
        for (user, dc) in [(1, "dc1"), (2, "dc2")] {
            written.put(guid(user), Key::new(&A, guid(9), 5), dc);
        }
        let key = written.of(guid(2)).first().unwrap().clone();
        written.spread(guid(2), &key);
        written.meet("dc1", guid(7));
        let seen = |written: &Written, user, dc| {
            let key = written.of(guid(user)).first().unwrap();
            written.was_seen(key, dc)
        };
        assert!(seen(&written, 1, "dc1") && seen(&written, 2, "dc1"));
        written.meet("dc1", guid(8));
        assert!(!seen(&written, 1, "dc1") && !seen(&written, 2, "dc1"));
        assert!(seen(&written, 2, "dc2"));
        let mut kept = Written::default();
        kept.take_in(written.take_changes().unwrap());
        kept.meet("dc1", guid(8));
        assert_eq!(kept.databases, written.databases);
    }

    #[test]
    fn a_key_that_was_removed_where_it_had_not_come_is_to_go_until_it_is_nowhere() {
        let mut written = Written::default();
        for user in [1, 2] {
            written.put(guid(user), Key::new(&A, guid(9), 5), "dc1");
        }
        let key = Key::new(&A, guid(9), 6);
        written.take_out(guid(1), key.clone(), "dc1");
        assert_eq!(written.users(), [guid(2)], "it was there");
        written.learn(Vec::new());
        written.take_out(guid(2), key, "dc2");
        written.learn(Vec::new());
        let text = serde_json::to_string(&written).unwrap();
        let mut written: Written = serde_json::from_str(&text).unwrap();
        assert!(written.of(guid(2)).iter().all(Key::is_gone));
        assert_eq!(written.spreading().len(), 1);
        written.put(guid(2), Key::new(&A, guid(9), 6), "dc2");
        assert!(
            !written.of(guid(2)).iter().any(Key::is_gone),
            "asked for anew"
        );
    }

    #[test]
    fn a_key_that_is_everywhere_is_missing_anywhere_until_it_is_written_anew() {
        let mut written = Written::default();
        written.put(guid(1), Key::new(&A, guid(9), 5), "dc1");
        let [(user, key)] = written.spreading().try_into().unwrap();
        written.spread(user, &key);
        assert_eq!(written.spreading(), []);
        let key = written.of(guid(1)).first().unwrap().clone();
        assert!(written.was_seen(&key, "dc3"));
        written.put(guid(1), Key::new(&A, guid(9), 6), "dc1");
        assert_eq!(written.spreading().len(), 1);
    }

    #[test]
    fn a_key_that_is_lost_stays_so_until_the_server_has_heard_of_it() {
        let mut written = Written::default();
        written.put(guid(1), Key::new(&A, guid(9), 5), "dc1");
        let key = written.of(guid(1)).first().unwrap().clone();
        written.lose(guid(1), &key, "gone".to_owned());
        let text = serde_json::to_string(&written).unwrap();
        let mut written: Written = serde_json::from_str(&text).unwrap();
        let lost = written.lost();
        assert_eq!(lost.len(), 1);
        assert!(written.of(guid(1)).iter().all(Key::is_lost));
        written.forget(guid(1), &key.id, key.device);
        assert_eq!(written.lost(), []);
    }

    #[test]
    fn what_another_agent_wrote_and_took_out_is_learned_from_the_server() {
        let confirmed = |user, id: &[u8; 32], seq, dc: &str| ConfirmedKey {
            seq,
            user: guid(user),
            id: hex(id),
            device: guid(9),
            dc: Some(dc.to_owned()),
            removed: false,
        };
        let mut written = Written::default();
        for user in [1, 2] {
            written.put(guid(user), Key::new(&A, guid(9), 5), "dc1");
        }
        let mine = written.of(guid(1)).to_vec();
        written.take_changes();
        let others = confirmed(3, &[2; 32], 8, "dc2");
        written.learn(vec![confirmed(1, &A, 5, "dc1"), others]);
        assert_eq!(written.of(guid(1)), mine);
        assert_eq!(written.users(), [guid(1), guid(3)]);
        let theirs = written.of(guid(3)).first().unwrap();
        assert!(written.was_seen(theirs, "dc2") && !written.was_seen(theirs, "dc1"));
        assert!(written.take_changes().is_some());
        let others = confirmed(3, &[2; 32], 8, "dc2");
        written.learn(vec![confirmed(1, &A, 5, "dc1"), others]);
        assert!(written.take_changes().is_none());
        let mut others = confirmed(3, &[2; 32], 9, "dc2");
        others.removed = true;
        written.learn(vec![others]);
        assert!(written.of(guid(3)).iter().all(Key::is_gone));
        assert_eq!(written.spreading().len(), 1);
    }

    #[test]
    fn a_key_is_one_user_s_and_one_device_s() {
        let mut written = Written::default();
        written.put(guid(1), Key::new(&A, guid(9), 5), "dc1");
        let id = hex(&A);
        assert!(written.has(guid(1), &id, guid(9)));
        assert!(!written.has(guid(2), &id, guid(9)));
        written.forget(guid(1), &id, guid(8));
        assert_eq!(written.count(), 1);
        written.forget(guid(1), &id, guid(9));
        assert_eq!((written.count(), written.users()), (0, vec![]));
    }
}
