use std::sync::Arc;

use serde_json::json;

use super::*;

pub(crate) fn credential(key: &str) -> Credential {
    serde_json::from_value(json!({
        "uid": 1000,
        "sid": "S-1-5-21-1-2-3-1000",
        "upn": "alice@corp.test",
        "principal": "alice@CORP.TEST",
        "key": {
            "version": 2,
            "device": "fceee2df-8091-45de-a791-057f1d1abdcc",
            "user": "S-1-5-21-1-2-3-1000",
            "parent": "AA==",
            "public": key,
            "private": "AA==",
            "pending": null,
            "nv_public": "AA==",
            "recovery_public": "AA==",
        },
        "created": 1_800_000_000,
        "state": {"kind": "made"},
        "leaf": null,
    }))
    .unwrap()
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("latchkey-credential-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join("credentials")).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn writers_of_different_parts_lose_nothing_of_each_other() {
    let folder = Folder::new("parts");
    let credentials = Arc::new(Credentials::in_folder(&folder.0));
    let first = credential("AQ==");
    credentials.keep(&first).unwrap();
    let write = |change: fn(&mut Credential, u32)| {
        let (credentials, key) = (Arc::clone(&credentials), first.key.clone());
        std::thread::spawn(move || {
            for round in 0..50 {
                let one = |kept: &mut Credential| change(kept, round);
                credentials
                    .update(1000, key.public(), one)
                    .unwrap()
                    .unwrap();
            }
        })
    };
    let upn = write(|kept, round| kept.upn = format!("{round}"));
    let state = write(|kept, round| {
        kept.state = State::Registered {
            kid: format!("{round}"),
            last: KeyState::Registered,
            detail: None,
        };
    });
    upn.join().unwrap();
    state.join().unwrap();
    let kept = credentials.read(1000).unwrap().unwrap();
    assert_eq!((&*kept.upn, kept.state.kid()), ("49", Some("49")));
}

#[test]
fn what_was_removed_or_replaced_is_neither_changed_nor_removed() {
    let folder = Folder::new("replaced");
    let credentials = Credentials::in_folder(&folder.0);
    let (old, new) = (credential("AQ=="), credential("Ag=="));
    let change = |kept: &mut Credential| kept.upn = "mallory".to_owned();
    let update = || credentials.update(1000, old.key.public(), change).unwrap();
    assert_eq!(update(), None);
    assert_eq!(credentials.read(1000).unwrap(), None);
    credentials.keep(&new).unwrap();
    assert_eq!(update(), None);
    credentials.remove(1000, old.key.public()).unwrap();
    assert_eq!(credentials.read(1000).unwrap(), Some(new));
}
