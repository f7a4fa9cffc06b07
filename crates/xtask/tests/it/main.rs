//! What `cargo xtask` says when the machine does not give it what it needs.

#![cfg(test)]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// Runs the program below `setpriv` with `rights`, and demands that it fails at once.
fn refused(test: &str, rights: &[&str], words: &[&str]) -> String {
    // A plain account may not reach the folder in which the program was built.
    let name = format!("latchkey-{test}-{}", std::process::id());
    let program = std::env::temp_dir().join(name);
    std::fs::copy(XTASK, &program).unwrap();
    let start = Instant::now();
    let output: Output = Command::new("setpriv")
        .args(rights)
        .arg("--")
        .arg(&program)
        .args(words)
        .output()
        .unwrap();
    let taken = start.elapsed();
    std::fs::remove_file(&program).unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    text
}

#[test]
fn a_plain_account_is_told_that_root_is_needed_and_why() {
    let plain = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    for words in [&["lab", "up"][..], &["test"], &["demo"], &["bench"]] {
        let text = refused("plain", &plain, words);
        assert!(
            text.contains("root") && text.contains("namespaces"),
            "{words:?}: {text}"
        );
    }
}

#[test]
fn a_root_without_capabilities_is_told_what_the_kernel_refused() {
    let bare = ["--bounding-set=-all", "--inh-caps=-all"];
    let text = refused("bare", &bare, &["lab", "up", "--name", "tests-bare"]);
    for part in [
        "PID namespaces",
        "mount namespaces",
        "network namespaces",
        "overlay mounts",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_task_that_does_not_exist_is_answered_with_those_that_do() {
    let output = Command::new(XTASK).arg("dance").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("no task dance") && text.contains("cargo xtask demo"),
        "{text}"
    );
}

#[test]
fn a_lab_with_a_path_for_a_name_is_refused() {
    let output = Command::new(XTASK)
        .args(["lab", "down", "--name", "../x"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("a lab's name is")
    );
}
