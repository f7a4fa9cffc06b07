//! What the agent remembers of keys: where it is in the feed, which statements are used up, and how
//! much it has done in the last hour.

use std::collections::{BTreeMap, VecDeque};

use model::{Guid, Sid, UnixTime};
use protocol::Statement;
use serde::{Deserialize, Serialize};

use crate::{
    addition::{MAX_AGE_S, MAX_AHEAD_S},
    config::Limits,
    state::Journaled,
};

/// The file's name.
pub const FILE: &str = "state.json";

const HOUR_S: i64 = 3600;

/// The memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// The feed's token; empty before the first answer.
    feed: String,
    /// The last statement that was carried out, by device and user.
    statements: BTreeMap<String, Used>,
    /// When a key was taken out, by device, user and key: the directory may have held one that is
    /// newer than the last statement here. Kept for as long as a statement about it is fresh.
    burnt: BTreeMap<String, UnixTime>,
    additions: VecDeque<UnixTime>,
    removals: VecDeque<UnixTime>,
    /// What is not on disk yet, in the same form.
    #[serde(skip)]
    changes: Option<Box<Ledger>>,
}

/// The last statement of a device about a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Its sequence number.
    pub sequence: u64,
    /// Its key, hexadecimal.
    pub key_id: String,
    /// The key was taken out again: its statement is burnt.
    pub removed: bool,
}

impl Journaled for Ledger {
    fn take_changes(&mut self) -> Option<Self> {
        let mut changes = *self.changes.take()?;
        changes.feed.clone_from(&self.feed);
        Some(changes)
    }

    fn take_in(&mut self, changes: Self) {
        self.feed = changes.feed;
        self.statements.extend(changes.statements);
        self.burnt.extend(changes.burnt);
        self.additions.extend(changes.additions);
        self.removals.extend(changes.removals);
    }
}

impl Ledger {
    /// Where it is in the feed.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// Everything before this place in the feed is settled.
    pub fn move_to(&mut self, place: &str) {
        if self.feed != place {
            place.clone_into(&mut self.feed);
            self.changes();
        }
    }

    fn changes(&mut self) -> &mut Ledger {
        self.changes.get_or_insert_default()
    }

    /// Whether a statement is used up: older than the last one that was carried out, or of a key
    /// that was taken out since. The very last one may come again, after a kill.
    pub fn is_replay(&self, statement: &Statement) -> bool {
        let Statement {
            device,
            user,
            key_id,
            ..
        } = statement;
        let burnt = self.burnt.contains_key(&key_name(*device, user, key_id));
        let used_up =
            self.used(statement)
                .is_some_and(|used| match used.key_id == hex(&statement.key_id) {
                    true => used.removed || statement.sequence < used.sequence,
                    false => statement.sequence <= used.sequence,
                });
        burnt || used_up
    }

    /// Whether this very statement is the last one, and counted: it is only tried again.
    pub fn is_counted(&self, statement: &Statement) -> bool {
        self.used(statement)
            .is_some_and(|used| *used == Used::by(statement))
    }

    /// A statement is carried out.
    pub fn carried_out(&mut self, statement: &Statement) {
        self.use_up(name(statement.device, &statement.user), Used::by(statement));
    }

    /// A key goes in.
    pub fn count_addition(&mut self, now: UnixTime) {
        self.additions.push_back(now);
        self.changes().additions.push_back(now);
    }

    fn used(&self, statement: &Statement) -> Option<&Used> {
        self.statements
            .get(&name(statement.device, &statement.user))
    }

    /// A key goes out: its statement will not bring it back.
    pub fn burn(&mut self, device: Guid, user: &Sid, key_id: &[u8; 32], now: UnixTime) {
        self.burnt
            .retain(|_, since| since.plus(MAX_AGE_S + MAX_AHEAD_S) >= now);
        let key = key_name(device, user, key_id);
        self.changes().burnt.insert(key.clone(), now);
        self.burnt.insert(key, now);
        let name = name(device, user);
        // Whoever invents devices leaves nothing that stays.
        if let Some(mut used) = self.statements.get(&name).cloned() {
            used.removed |= used.key_id == hex(key_id);
            self.use_up(name, used);
        }
    }

    fn use_up(&mut self, name: String, used: Used) {
        self.changes().statements.insert(name.clone(), used.clone());
        self.statements.insert(name, used);
    }

    /// Whether the agent itself took this key out.
    pub fn is_burnt(&self, device: Guid, user: &Sid, key_id: &[u8; 32]) -> bool {
        let used = self.statements.get(&name(device, user));
        self.burnt.contains_key(&key_name(device, user, key_id))
            || used.is_some_and(|used| used.removed && used.key_id == hex(key_id))
    }

    /// A key has gone out.
    pub fn count_removal(&mut self, now: UnixTime) {
        self.removals.push_back(now);
        self.changes().removals.push_back(now);
    }

    /// Whether one addition more would be too many this hour.
    pub fn additions_exhausted(&mut self, limits: &Limits, now: UnixTime) -> bool {
        exhausted(&mut self.additions, limits.additions_per_hour, now)
    }

    /// Whether one removal more would be too many this hour.
    pub fn removals_exhausted(&mut self, limits: &Limits, now: UnixTime) -> bool {
        exhausted(&mut self.removals, limits.removals_per_hour, now)
    }

    /// How many removals more are not too many this hour. Where none are allowed, ever, none need wait.
    pub fn removals_left(&mut self, limits: &Limits, now: UnixTime) -> usize {
        match limits.removals_per_hour {
            0 => usize::MAX,
            _ if self.removals_exhausted(limits, now) => 0,
            most => most - self.removals.len(),
        }
    }

    /// How many statements are remembered.
    pub fn statements(&self) -> usize {
        self.statements.len()
    }
}

impl Used {
    fn by(statement: &Statement) -> Self {
        Self {
            sequence: statement.sequence,
            key_id: hex(&statement.key_id),
            removed: false,
        }
    }
}

/// Whether `limit` of these times are of the last hour. Forgets the others.
pub(crate) fn exhausted(times: &mut VecDeque<UnixTime>, limit: usize, now: UnixTime) -> bool {
    // A time in the future is of a clock that was set back; it counts, but not for ever.
    times.retain(|time| *time > now.plus(-HOUR_S) && *time <= now.plus(HOUR_S));
    times.len() >= limit
}

fn name(device: Guid, user: &Sid) -> String {
    format!("{device}/{user}")
}

fn key_name(device: Guid, user: &Sid, key_id: &[u8; 32]) -> String {
    format!("{device}/{user}/{}", hex(key_id))
}

/// Hexadecimal digits, as the agent's files have them.
pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of such digits.
pub(crate) fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use protocol::Operation;

    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);
    const A: [u8; 32] = [1; 32];
    const B: [u8; 32] = [2; 32];

    fn device() -> Guid {
        Guid::from_le_bytes([9; 16])
    }

    fn user(rid: u32) -> Sid {
        format!("S-1-5-21-1-2-3-{rid}").parse().unwrap()
    }

    fn statement(rid: u32, key_id: [u8; 32], sequence: u64) -> Statement {
        Statement {
            operation: Operation::Add,
            user: user(rid),
            key_id,
            device: device(),
            time: NOW,
            sequence,
        }
    }

    #[test]
    fn a_statement_may_come_again_until_its_key_is_removed() {
        let mut ledger = Ledger::default();
        ledger.carried_out(&statement(1, A, 5));
        assert!(!ledger.is_replay(&statement(1, A, 5)));
        ledger.burn(device(), &user(1), &A, NOW);
        assert!(ledger.is_replay(&statement(1, A, 5)));
        assert!(
            ledger.is_replay(&statement(1, A, 6)),
            "a removed key does not come back"
        );
        assert!(!ledger.is_replay(&statement(1, B, 6)));
    }

    #[test]
    fn an_older_statement_or_one_number_for_two_keys_is_a_replay() {
        let mut ledger = Ledger::default();
        ledger.carried_out(&statement(1, A, 5));
        assert!(ledger.is_replay(&statement(1, B, 4)));
        assert!(ledger.is_replay(&statement(1, B, 5)));
        assert!(!ledger.is_replay(&statement(1, B, 6)));
        assert!(
            !ledger.is_replay(&statement(2, B, 4)),
            "users of a device are independent"
        );
    }

    #[test]
    fn the_removal_of_a_replaced_key_leaves_the_newer_one_alone() {
        let mut ledger = Ledger::default();
        ledger.carried_out(&statement(1, A, 5));
        ledger.carried_out(&statement(1, B, 6));
        ledger.burn(device(), &user(1), &A, NOW);
        assert!(!ledger.is_replay(&statement(1, B, 6)));
        assert!(ledger.is_replay(&statement(1, A, 5)));
    }

    #[test]
    fn a_key_that_is_removed_before_it_ever_came_does_not_come() {
        let mut ledger = Ledger::default();
        ledger.burn(device(), &user(1), &A, NOW);
        assert!(ledger.is_replay(&statement(1, A, 5)));
    }

    #[test]
    fn a_removed_key_that_is_newer_than_the_last_statement_does_not_come_back() {
        let mut ledger = Ledger::default();
        ledger.carried_out(&statement(1, A, 5));
        ledger.burn(device(), &user(1), &B, NOW);
        assert!(ledger.is_replay(&statement(1, B, 6)));
        assert!(!ledger.is_replay(&statement(1, A, 5)));
        assert!(!ledger.is_replay(&statement(2, B, 6)));
        let text = serde_json::to_string(&ledger).unwrap();
        let mut ledger: Ledger = serde_json::from_str(&text).unwrap();
        assert!(ledger.is_replay(&statement(1, B, 6)), "nor after a restart");
        let fresh = NOW.plus(MAX_AGE_S + MAX_AHEAD_S);
        ledger.burn(device(), &user(2), &A, fresh);
        assert!(ledger.is_replay(&statement(1, B, 6)));
        ledger.burn(device(), &user(2), &A, fresh.plus(1));
        assert_eq!(ledger.burnt.len(), 1, "an old statement needs no memory");
    }

    #[test]
    fn removals_of_invented_devices_leave_nothing_that_stays() {
        let mut ledger = Ledger::default();
        let device = |n| Guid::from_le_bytes([n; 16]);
        for n in 0..100 {
            ledger.burn(device(n), &user(1), &A, NOW);
        }
        assert!(ledger.is_burnt(device(7), &user(1), &A));
        let later = NOW.plus(MAX_AGE_S + MAX_AHEAD_S + 1);
        ledger.burn(device(100), &user(1), &A, later);
        assert_eq!((ledger.statements(), ledger.burnt.len()), (0, 1));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_empty_the_hour() {
        let limits = Limits {
            removals_per_hour: 3,
            ..Limits::default()
        };
        let mut ledger = Ledger::default();
        ledger.count_removal(NOW);
        ledger.count_removal(NOW);
        assert_eq!(ledger.removals_left(&limits, NOW.plus(-60)), 1);
        assert_eq!(ledger.removals_left(&limits, NOW.plus(-HOUR_S - 1)), 3);
    }

    #[test]
    fn a_state_of_before_there_were_burnt_keys_is_read() {
        let ledger: Ledger = serde_json::from_str(r#"{"feed":"v9"}"#).unwrap();
        assert_eq!(ledger.feed, "v9");
    }

    #[test]
    fn caps_count_the_last_hour_only() {
        let limits = Limits {
            additions_per_hour: 2,
            ..Limits::default()
        };
        let mut ledger = Ledger::default();
        ledger.count_addition(NOW);
        assert!(!ledger.additions_exhausted(&limits, NOW.plus(1)));
        ledger.count_addition(NOW.plus(60));
        assert!(ledger.additions_exhausted(&limits, NOW.plus(61)));
        assert!(!ledger.additions_exhausted(&limits, NOW.plus(3601)));
        assert!(!ledger.removals_exhausted(&limits, NOW));
    }

    #[test]
    fn only_what_really_went_out_counts_as_removed() {
        let limits = Limits {
            removals_per_hour: 1,
            ..Limits::default()
        };
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.burn(device(), &user(1), &A, NOW);
        }
        assert!(!ledger.removals_exhausted(&limits, NOW));
        ledger.count_removal(NOW);
        assert!(ledger.removals_exhausted(&limits, NOW));
        assert!(!ledger.removals_exhausted(&limits, NOW.plus(3601)));
    }
}
