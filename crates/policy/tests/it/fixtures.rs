//! Where the exported domain is, and reading it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use policy::gpo::offline::{Answer, evaluate_folder};
use serde_json::Value;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gpo")
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

/// Evaluates one pair on the folder as it is.
pub(crate) fn evaluate(user: &str, computer: &str) -> Answer {
    let folder = folder();
    let (ldif, sysvol) = (folder.join("ldif"), folder.join("sysvol"));
    evaluate_folder(&ldif, &sysvol, user, computer, None).unwrap()
}

/// Every file below a folder of the fixtures with this ending.
pub(crate) fn files(under: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder().join(under)];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{under}: no *{ending}");
    found
}
