//! The program as an administrator meets it before there is a server or a domain.

#![cfg(test)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use latchkey_sync::state::{Enrolled, Folder};
use model::Guid;
use openssl::{pkey::PKey, rsa::Rsa};

/// A folder with a configuration and a state, gone with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, config: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("latchkey-sync-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let (state, runtime) = (path.join("state"), path.join("run"));
        let state = format!("state = {state:?}\nruntime = {runtime:?}\n");
        fs::write(path.join("sync.toml"), state + config).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn enroll(&self, server: &str) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let id = Guid::from_le_bytes([1; 16]);
        let anchor = String::new();
        let enrolled = Enrolled {
            agent: id,
            tenant: id,
            server: server.to_owned(),
            anchor,
        };
        Folder::open(&self.state())
            .unwrap()
            .keep_enrolled(&enrolled, &key)
            .unwrap();
    }

    fn agent(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_latchkey-sync"))
            .arg("--config")
            .arg(self.0.join("sync.toml"))
            .args(words)
            .output()
            .unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const GOOD: &str = r#"
server = "https://server.corp.test"
realm = "CORP.TEST"
account = "svc"
principal = "latchkey-sync/server.corp.test"
keytab = "/nonexistent/sync.keytab"
[scope]
ous = ["OU=Staff,DC=corp,DC=test"]
"#;

#[track_caller]
fn fails_with(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[test]
fn an_unknown_key_of_the_configuration_is_named() {
    let place = Place::new(
        "unknown",
        &GOOD.replace("[scope]", "allow_all = true\n[scope]"),
    );
    fails_with(&place.agent(&["status"]), &["sync.toml", "allow_all"]);
}

#[test]
fn an_agent_without_enrollment_says_the_next_step() {
    let place = Place::new("bare", GOOD);
    for verb in ["run", "status", "publish"] {
        fails_with(
            &place.agent(&[verb]),
            &["not enrolled", "latchkey-sync enroll"],
        );
    }
}

#[test]
fn an_enrollment_without_a_code_is_refused_before_anything_is_asked() {
    let place = Place::new("code", GOOD);
    let pin = format!("sha256:{}", "0".repeat(64));
    fails_with(
        &place.agent(&["enroll", "--fingerprint", &pin]),
        &["--code-stdin"],
    );
    assert!(!place.state().join("agent.json").exists());
}

#[test]
fn an_agent_of_another_server_does_not_run() {
    let place = Place::new("other", GOOD);
    place.enroll("https://old.corp.test");
    fails_with(
        &place.agent(&["run"]),
        &["https://old.corp.test", "enroll again"],
    );
}

#[test]
fn a_keytab_that_is_missing_is_named() {
    let place = Place::new("keytab", GOOD);
    fails_with(
        &place.agent(&["check-config"]),
        &["/nonexistent/sync.keytab"],
    );
}

#[test]
fn status_is_the_same_for_people_and_for_programs() {
    let place = Place::new("status", GOOD);
    place.enroll("https://server.corp.test");
    let people = place.agent(&["status"]);
    assert!(String::from_utf8_lossy(&people.stdout).contains("https://server.corp.test"));
    let programs: serde_json::Value =
        serde_json::from_slice(&place.agent(&["status", "--json"]).stdout).unwrap();
    assert_eq!(programs["server"], "https://server.corp.test");
    assert_eq!(programs["users"], 0);
}

#[test]
fn the_scheduler_is_seen_and_set_while_no_agent_runs_and_begins_no_cycle() {
    let place = Place::new("scheduler", GOOD);
    let interval = "--customized-sync-cycle-interval=03:00:00";
    let set = place.agent(&["scheduler", "set", interval]);
    assert!(set.status.success(), "{set:?}");
    let set = place.agent(&[
        "scheduler",
        "set",
        "--customized-sync-cycle-interval=00:10:00",
    ]);
    let said = String::from_utf8_lossy(&set.stderr);
    let no_effect = "00:10:00 is below the allowed 00:30:00 and has no effect";
    assert!(said.contains(no_effect), "{said}");
    place.agent(&["scheduler", "set", interval]);
    let shown = place.agent(&["scheduler", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["CurrentlyEffectiveSyncCycleInterval"], "03:00:00");
    assert_eq!(shown["AllowedSyncCycleInterval"], "00:30:00");
    let next = &shown["NextSyncCycleStartTimeInUTC"];
    assert!(next.is_null(), "nobody begins it: {next}");
    for verb in ["start", "stop"] {
        let output = place.agent(&["scheduler", verb]);
        fails_with(&output, &["does not run", "systemctl start"]);
    }
    fails_with(&place.agent(&["pending"]), &["does not run"]);
    let runs = place.agent(&["runs"]);
    assert_eq!(String::from_utf8_lossy(&runs.stdout), "Nothing ran yet.\n");
}

#[test]
fn what_the_environment_says_of_the_log_and_is_not_understood_is_named() {
    let place = Place::new("log", GOOD);
    place.enroll("https://server.corp.test");
    let said = Command::new(env!("CARGO_BIN_EXE_latchkey-sync"))
        .args(["status", "--config"])
        .arg(place.0.join("sync.toml"))
        .env("LATCHKEY_LOG", "latchkey_sync=loud")
        .env("LATCHKEY_LOG_FORMAT", "yaml")
        .output()
        .unwrap();
    assert!(said.status.success(), "--config may stand behind: {said:?}");
    let said = String::from_utf8_lossy(&said.stderr);
    for wrong in [
        "LATCHKEY_LOG=latchkey_sync=loud",
        "LATCHKEY_LOG_FORMAT=yaml",
    ] {
        assert!(said.contains(wrong), "{said}");
    }
}

#[test]
fn completions_name_what_an_administrator_may_want_and_nothing_else() {
    let place = Place::new("completions", GOOD);
    for shell in ["bash", "zsh", "fish"] {
        let said = place.agent(&["completions", shell]);
        let said = String::from_utf8_lossy(&said.stdout);
        assert!(said.contains("scheduler") && said.contains("customized"));
        assert!(!said.contains("manual pages"), "{shell}: {said}");
        let is_man = |word: &str| word == "man";
        let words = |c: char| !c.is_ascii_alphanumeric();
        assert!(!said.split(words).any(is_man), "{shell}: {said}");
    }
}

#[test]
fn init_leaves_a_configuration_alone_that_says_something_else_and_tries_the_keytab_first() {
    let place = Place::new("init", GOOD);
    let words = [
        "init",
        "--server=https://server.corp.test",
        "--realm=CORP.TEST",
        "--account=another",
        "--principal=latchkey-sync/server.corp.test",
        "--keytab=/nonexistent/sync.keytab",
        "--ou=OU=Staff,DC=corp,DC=test",
    ];
    let file = place.0.join("sync.toml");
    let before = fs::read_to_string(&file).unwrap();
    fails_with(&place.agent(&words), &["sync.toml", "--replace"]);
    let words = [&words[..], &["--replace"]].concat();
    fails_with(&place.agent(&words), &["/nonexistent/sync.keytab"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn init_goes_on_with_a_configuration_to_which_somebody_added() {
    let place = Place::new(
        "added",
        &GOOD.replace("[scope]", "[limits]\nper_user_keys = 3\n[scope]"),
    );
    let words = [
        "init",
        "--server=https://server.corp.test",
        "--realm=CORP.TEST",
        "--account=svc",
        "--principal=latchkey-sync/server.corp.test",
        "--keytab=/nonexistent/sync.keytab",
        "--ou=OU=Staff,DC=corp,DC=test",
    ];
    fails_with(&place.agent(&words), &["/nonexistent/sync.keytab"]);
}

#[test]
fn what_a_planted_link_names_is_never_printed() {
    let place = Place::new("planted", GOOD);
    place.enroll("https://server.corp.test");
    let secret = place.0.join("secret");
    write(&secret, "hunter2");
    for name in ["known.json", "agent.json"] {
        let planted = place.state().join(name);
        let _ = fs::remove_file(&planted);
        std::os::unix::fs::symlink(&secret, &planted).unwrap();
        let output = place.agent(&["status"]);
        fails_with(&output, &[name]);
        assert!(!format!("{output:?}").contains("hunter"), "{output:?}");
        fs::remove_file(planted).unwrap();
    }
}

#[test]
fn a_state_of_a_newer_program_is_left_alone() {
    let place = Place::new("newer", GOOD);
    place.enroll("https://server.corp.test");
    let file = place.state().join("state.json");
    write(&file, r#"{"version":3,"feed":"v9"}"#);
    fails_with(&place.agent(&["status"]), &["state.json", "version 3"]);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        r#"{"version":3,"feed":"v9"}"#
    );
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}
