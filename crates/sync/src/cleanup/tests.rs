use clap::Parser;
use serde_json::json;

use super::*;
use crate::testing::Parts;

#[derive(Parser)]
struct Told {
    #[command(flatten)]
    args: Args,
}

fn told(words: &[&str]) -> Args {
    Told::parse_from(["cleanup"].iter().chain(words)).args
}

fn finding(kind: Kind, ours: bool) -> Finding {
    Finding {
        kind,
        user: Guid::from_le_bytes([1; 16]),
        account: "eve\u{1b}[2J\n\u{202e}".to_owned(),
        key: None,
        device: None,
        ours,
        blob: Vec::new(),
    }
}

#[test]
fn without_a_question_only_what_was_said_to_be_meant_goes() {
    for (words, kind, ours, goes) in [
        (&[][..], Kind::Weak, true, false),
        (&["--yes"], Kind::Weak, true, true),
        (&["--yes"], Kind::Weak, false, false),
        (&["--yes", "--kind=orphan"], Kind::Orphan, true, true),
        (&["--yes", "--kind=orphan"], Kind::Orphan, false, false),
        (&["--yes", "--kind=orphan"], Kind::Weak, true, false),
        (
            &["--yes", "--kind=orphan", "--foreign"],
            Kind::Orphan,
            false,
            true,
        ),
        (
            &["--yes", "--kind=orphan", "--foreign"],
            Kind::Weak,
            false,
            false,
        ),
    ] {
        let (args, finding) = (told(words), finding(kind, ours));
        assert_eq!(
            args.names(&finding) && args.takes(&finding),
            goes,
            "{words:?} {finding:?}"
        );
    }
    for words in [&["--foreign"][..], &["--yes", "--foreign"]] {
        let told = Told::try_parse_from(["cleanup"].iter().chain(words));
        assert!(told.is_err(), "{words:?}");
    }
}

#[test]
fn only_values_of_the_named_kinds_are_asked_about() {
    let args = told(&["--kind=orphan"]);
    assert!(args.names(&finding(Kind::Orphan, false)));
    assert!(!args.names(&finding(Kind::Weak, true)));
}

#[test]
fn nothing_is_taken_out_beside_an_agent_that_writes_elsewhere() {
    let refused = |status: &Value| expect_lease(status).map_err(|error| error.to_string());
    let held = json!({ "lease": { "held": true, "staging": false } });
    assert_eq!(refused(&held), Ok(()));
    let unknown = json!({ "lease": { "held": false, "staging": false } });
    assert_eq!(refused(&unknown), Ok(()), "nobody is known to write");
    let other = json!({ "lease": { "held": false, "staging": false, "holder": "two\u{7}" } });
    let sentence = "two\u{fffd} writes: run cleanup there";
    assert_eq!(refused(&other), Err(sentence.to_owned()));
    let staging = json!({ "lease": { "held": false, "staging": true } });
    assert!(refused(&staging).unwrap_err().contains("staging"));

    let parts = Parts::new("cleanup", "");
    let config = |staging| Config {
        staging,
        runtime: "/nonexistent".into(),
        ..(*parts.config).clone()
    };
    let refused = |config| expect_to_write(&config).unwrap_err().to_string();
    assert!(refused(config(true)).contains("staging"));
    assert!(refused(config(false)).contains("does not run"));
}

#[test]
fn a_name_moves_no_cursor_and_begins_no_line() {
    let said = said(&[finding(Kind::Weak, false)], 0, false).unwrap();
    assert!(
        said.starts_with("eve\u{fffd}[2J\u{fffd}\u{fffd}: "),
        "{said}"
    );
}
