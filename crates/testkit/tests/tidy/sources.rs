//! The shape of sources and manifests.

use std::collections::BTreeSet;

use crate::{
    expect_none,
    graph::GRAPH,
    tree::{TEXTS, Text},
};

const MOST_LINES: usize = 800;

/// From this length on a file says what it is.
const SHORTEST_WITH_DOC: usize = 30;

fn rust() -> impl Iterator<Item = &'static Text> {
    TEXTS.iter().filter(|text| text.is_rust())
}

#[test]
fn every_source_file_says_what_it_is() {
    // `tests.rs` stands beside the file it tests: its name says it.
    let broken: Vec<String> = rust()
        .filter(|text| text.file_name() != "tests.rs")
        .filter(|text| text.content.lines().count() >= SHORTEST_WITH_DOC)
        .filter(|text| !text.content.starts_with("//!"))
        .map(|text| text.path.clone())
        .collect();
    expect_none("a source file of 30 lines or more opens with //!", &broken);
}

#[test]
fn no_source_file_is_longer_than_can_be_read() {
    let broken: Vec<String> = rust()
        .map(|text| (text, text.content.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(text, lines)| format!("{}: {lines} lines", text.path))
        .collect();
    expect_none("a source file has at most 800 lines", &broken);
}

#[test]
fn unsafe_code_is_allowed_in_ffi_files_only() {
    let allow = concat!("allow(", "unsafe_code");
    let broken: Vec<String> = rust()
        .filter(|text| text.content.contains(allow) && text.file_name() != "ffi.rs")
        .map(|text| text.path.clone())
        .collect();
    expect_none("unsafe code lives in files named ffi.rs", &broken);
}

#[test]
fn every_manifest_takes_the_lints_and_belongs_to_a_folder_of_its_name() {
    let mut seen = BTreeSet::new();
    let mut broken = Vec::new();
    for text in TEXTS
        .iter()
        .filter(|t| t.path.starts_with("crates/") && t.file_name() == "Cargo.toml")
    {
        let folder = text.path.split('/').nth(1).unwrap();
        seen.insert(folder);
        if !text.content.contains("[lints]\nworkspace = true\n") {
            broken.push(format!("{}: no [lints] workspace = true", text.path));
        }
        if !text.content.contains(&format!("name = \"{folder}\"\n")) {
            broken.push(format!("{}: the package is not named {folder}", text.path));
        }
    }
    expect_none("manifests", &broken);
    let ours: BTreeSet<&str> = GRAPH.ours().map(|package| package.name.as_str()).collect();
    assert_eq!(
        seen, ours,
        "folders of crates/, and members of the workspace"
    );
}

#[test]
fn no_test_is_ignored() {
    let ignored = concat!("#[", "ignore");
    let broken: Vec<String> = rust()
        .filter(|text| text.content.contains(ignored))
        .map(|text| text.path.clone())
        .collect();
    expect_none("no test is ignored", &broken);
}
