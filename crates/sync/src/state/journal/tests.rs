use std::{fs, path::PathBuf};

use model::{Guid, UnixTime};
use protocol::{Operation, Statement};
use serde_json::Value;

use super::*;
use crate::{
    ledger::Ledger,
    written::{Key, Written},
};

const NAME: &str = "written.json";

/// A folder that goes with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("latchkey-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open<T: Journaled>(&self) -> Journal<T> {
        Journal::open(&Folder::open(&self.0).unwrap(), NAME).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.0.join(NAME)).unwrap_or_default()
    }

    fn write(&self, text: &str) {
        Folder::open(&self.0).unwrap();
        fs::write(self.0.join(NAME), text).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a content is, apart from what of it is on disk.
fn plain<T: Serialize>(content: &T) -> Value {
    serde_json::to_value(content).unwrap()
}

fn guid(byte: u8) -> Guid {
    Guid::from_le_bytes([byte; 16])
}

fn put(written: &mut Written, user: u8, seq: u64) {
    written.put(guid(user), Key::new(&[user; 32], guid(9), seq), "dc1");
}

#[test]
fn a_line_that_a_kill_cut_off_anywhere_changes_nothing() {
    let place = Place::new("torn");
    let mut journal = place.open::<Written>();
    put(&mut journal, 1, 1);
    journal.keep().unwrap();
    put(&mut journal, 2, 2);
    journal.keep().unwrap();
    let (whole, before) = (place.text(), plain(&*journal));
    put(&mut journal, 3, 3);
    journal.forget(guid(1), &crate::ledger::hex(&[1; 32]), guid(9));
    journal.keep().unwrap();
    let (longer, after) = (place.text(), plain(&*journal));
    assert!(longer.starts_with(&whole), "a line more and nothing else");
    for end in whole.len()..longer.len() - 1 {
        place.write(&longer[..end]);
        assert_eq!(plain(&*place.open::<Written>()), before, "{end}");
    }
    place.write(&longer);
    assert_eq!(plain(&*place.open::<Written>()), after);
}

#[test]
fn nothing_is_appended_to_what_a_kill_cut_off() {
    let place = Place::new("cut");
    let mut journal = place.open::<Written>();
    put(&mut journal, 1, 1);
    journal.keep().unwrap();
    place.write(&(place.text() + "{\"dcs\":[\"dc"));
    let mut journal = place.open::<Written>();
    put(&mut journal, 2, 2);
    journal.keep().unwrap();
    assert_eq!(place.text().lines().count(), 1);
    assert_eq!(place.open::<Written>().users(), [guid(1), guid(2)]);
}

#[test]
fn an_unreadable_line_before_the_last_is_refused_and_kept() {
    let place = Place::new("unreadable");
    let mut journal = place.open::<Written>();
    for user in 1..4 {
        put(&mut journal, user, 1);
        journal.keep().unwrap();
    }
    let text = place.text().replacen("\n{", "\n[", 1);
    place.write(&text);
    let folder = Folder::open(&place.0).unwrap();
    let error = Journal::<Written>::open(&folder, NAME).unwrap_err();
    assert!(format!("{error:#}").contains("was not touched"));
    assert_eq!(place.text(), text);
}

#[test]
fn lines_that_are_longer_than_the_content_are_folded_into_it() {
    let place = Place::new("fold");
    let mut journal = place.open::<Written>();
    let (mut most, mut folded) = (0, 0);
    for seq in 0..800 {
        let before = place.text().len();
        put(&mut journal, (seq % 50) as u8, seq);
        journal.keep().unwrap();
        let length = place.text().len();
        folded += usize::from(length < before);
        most = most.max(length);
    }
    assert!(folded > 0);
    assert!(most < 2 * FEW, "{most}");
    assert_eq!(plain(&*place.open::<Written>()), plain(&*journal));
}

#[test]
fn a_file_of_version_1_is_taken_over_and_one_of_version_3_is_not() {
    let place = Place::new("old");
    let mut written = Written::default();
    put(&mut written, 1, 1);
    let folder = Folder::open(&place.0).unwrap();
    folder.write(NAME, &written).unwrap();
    let old = place.text();
    let mut journal = place.open::<Written>();
    assert_eq!(plain(&*journal), plain(&written));
    journal.keep().unwrap();
    assert_eq!(place.text(), old, "nothing has changed");
    put(&mut journal, 2, 2);
    journal.keep().unwrap();
    assert!(place.text().starts_with("{\"version\":2,"));
    assert_eq!(place.open::<Written>().users(), [guid(1), guid(2)]);
    place.write("{\"version\":3}\n");
    assert!(Journal::<Written>::open(&folder, NAME).is_err());
}

#[test]
fn what_did_not_get_to_the_disk_gets_there_with_the_next_attempt() {
    let place = Place::new("again");
    let mut journal = place.open::<Written>();
    put(&mut journal, 1, 1);
    journal.keep().unwrap();
    fs::remove_dir_all(&place.0).unwrap();
    put(&mut journal, 2, 2);
    assert!(journal.keep().is_err());
    Folder::open(&place.0).unwrap();
    journal.keep().unwrap();
    assert_eq!(place.open::<Written>().users(), [guid(1), guid(2)]);
}

/// A xorshift generator: the same seed makes the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Batches of `change`, with kills between them and in the middle of their lines: what is read is
/// what a process that never died has in its memory.
fn survives<T: Journaled>(name: &str, change: impl Fn(&mut T, &mut Random)) {
    let place = Place::new(name);
    for seed in 1..=10 {
        let random = &mut Random(seed);
        let _ = fs::remove_file(place.0.join(NAME));
        let mut journal = place.open::<T>();
        for _ in 0..40 {
            let before = (place.text(), plain(&*journal));
            for _ in 0..random.below(4) {
                change(&mut journal, random);
            }
            journal.keep().unwrap();
            let text = place.text();
            match (random.below(8), text.strip_prefix(&before.0)) {
                (0, _) => journal = place.open(),
                (1, Some(line)) if !line.is_empty() && !before.0.is_empty() => {
                    let cut = random.below(line.len() as u64 - 1) as usize;
                    place.write(&text[..before.0.len() + cut]);
                    journal = place.open();
                    assert_eq!(plain(&*journal), before.1, "seed {seed}");
                }
                _ => assert_eq!(plain(&*place.open::<T>()), plain(&*journal), "seed {seed}"),
            }
        }
    }
}

#[test]
fn keys_are_after_kills_what_they_are_in_memory() {
    survives::<Written>("keys", |written, random| {
        let (user, device) = (guid(random.below(6) as u8), guid(random.below(2) as u8));
        let id = [random.below(2) as u8; 32];
        let key = Key::new(&id, device, random.below(3));
        match random.below(4) {
            0 => written.forget(user, &key.id, device),
            1 => written.lose(user, &key, "gone".to_owned()),
            _ => written.put(user, key, ["dc1", "dc2", "dc3"][random.below(3) as usize]),
        }
    });
}

#[test]
fn statements_and_counts_are_after_kills_what_they_are_in_memory() {
    let now = UnixTime(1_800_000_000);
    survives::<Ledger>("ledger", |ledger, random| {
        let user = format!("S-1-5-21-1-2-3-{}", random.below(4));
        let statement = Statement {
            operation: Operation::Add,
            user: user.parse().unwrap(),
            key_id: [random.below(3) as u8; 32],
            device: guid(random.below(2) as u8),
            time: now,
            sequence: random.below(5),
        };
        let now = now.plus(random.below(100) as i64);
        match random.below(5) {
            0 => ledger.carried_out(&statement),
            1 => ledger.burn(statement.device, &statement.user, &statement.key_id, now),
            2 => ledger.count_addition(now),
            3 => ledger.count_removal(now),
            _ => ledger.move_to(&random.below(9).to_string()),
        }
    });
}
