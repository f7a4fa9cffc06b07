use super::*;
use crate::gpo::{Data, Failure, LinkResult, Origin, Registry, Verdict};
use crate::merge::{Layer, Sources, merge};

const NOW: u64 = 1_800_000_000;
const EVIL: &str = "<script>alert('1')</script>&\"\u{1b}[2J\n";

fn link(name: &str, verdict: Verdict, order: Option<u32>) -> LinkResult {
    LinkResult {
        gpo: Origin {
            name: name.to_owned(),
            guid: None,
        },
        som: "DC=corp,DC=latchkey,DC=test".to_owned(),
        enforced: false,
        verdict,
        order,
        notes: Vec::new(),
    }
}

fn evaluation(gpo: &str) -> Evaluation {
    let hello = r"SOFTWARE\Policies\Microsoft\PassportForWork";
    let computer = Registry::from_values(gpo, [(hello, "RequireSecurityDevice", Data::Dword(1))]);
    let user = Registry::from_values(gpo, [(hello, "Enabled", Data::Dword(1))]);
    Evaluation {
        computer: HalfResult {
            links: vec![
                link("Filtered", Verdict::WmiFilter, None),
                link(gpo, Verdict::Applied, Some(1)),
            ],
            registry: computer,
        },
        user: Some(HalfResult {
            links: vec![link(gpo, Verdict::Applied, Some(1))],
            registry: user,
        }),
        loopback: Loopback::Merge,
        failures: Vec::new(),
        notes: vec!["The site is not known.".to_owned()],
    }
}

fn report(gpo: &str) -> Report {
    let evaluation = evaluation(gpo);
    let user = evaluation.user.as_ref().map(|half| &half.registry);
    let effective = merge(&Sources::gpo(&evaluation.computer.registry, user));
    let about = About {
        user: Some("alice".to_owned()),
        computer: "ws1".to_owned(),
        taken_at: Some(NOW - 120),
        ..About::default()
    };
    Report::new(about, &effective, &evaluation)
}

#[test]
fn the_text_says_what_counts_who_set_it_and_what_does_not_apply() {
    let text = report("Hello").text(NOW);
    let expected = expect_test::expect![[r#"
        Policy of alice on ws1
        Taken 2 minutes ago.
        Enrollment: offered at sign-in. "Hello" (group policy, user half) turns Windows Hello for Business on.

        PIN
          6 to 127 digits, nothing else.
          Not one digit repeated, and not digits in equal steps (123456, 975319).

        Notes
          The site is not known.
          Loopback: the user half of the computer's own objects comes on top of the user's.

        Settings
          use-hello = on
            set by "Hello" (group policy, user half)
          require-security-device = on
            set by "Hello" (group policy, computer half)
          Nobody sets any other.

        Group policy objects, computer half
            -  Filtered: WMI filter present: unsupported
              linked to DC=corp,DC=latchkey,DC=test
            1  Hello: applied
              linked to DC=corp,DC=latchkey,DC=test

        Group policy objects, user half
            1  Hello: applied
              linked to DC=corp,DC=latchkey,DC=test
    "#]];
    expected.assert_eq(&text);
}

#[test]
fn a_setting_is_explained_by_any_of_its_names() {
    let report = report("Hello");
    let explained = report.explain("RequireSecurityDevice", NOW).unwrap();
    assert_eq!(
        report.explain("require-security-device", NOW).as_ref(),
        Some(&explained)
    );
    for part in [
        "require-security-device: Use a hardware security device",
        r"SOFTWARE\Policies\Microsoft\PassportForWork\RequireSecurityDevice",
        "set by \"Hello\" (group policy, computer half)",
        "Filtered: WMI filter present",
    ] {
        assert!(explained.contains(part), "{part} is not in:\n{explained}");
    }
    assert!(
        report
            .explain("digits", NOW)
            .unwrap()
            .contains("Nobody sets it.")
    );
    assert_eq!(report.explain("no-such-setting", NOW), None);
}

#[test]
fn names_from_the_directory_cannot_become_markup_or_commands_to_a_terminal() {
    let report = report(EVIL);
    let html = report.html(NOW);
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"));
    let texts = [
        html,
        report.text(NOW),
        report.explain("use-hello", NOW).unwrap(),
    ];
    for text in texts {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let lines = report.text(NOW).lines().count();
    assert_eq!(lines, self::report("Hello").text(NOW).lines().count());
}

#[test]
fn the_page_closes_what_it_opens() {
    let html = report("Hello").html(NOW);
    for tag in [
        "html", "head", "body", "title", "h1", "h2", "p", "ul", "li", "table", "tr", "td",
    ] {
        let opened =
            html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert!(opened > 0, "{tag}");
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn a_report_survives_the_trip_as_json() {
    let report = report(EVIL);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["enrollment"]["event"], 358);
    assert_eq!(value["settings"][0]["value"], 1);
    assert_eq!(value["settings"][0]["winner"]["layer"], "user-gpo");
    assert_eq!(
        report.settings[0].winner.as_ref().unwrap().layer,
        Layer::UserGpo
    );
}

#[test]
fn a_failed_refresh_is_told_with_the_age_of_what_stays() {
    let about = |taken_at, error: Option<&str>| About {
        taken_at,
        error: error.map(str::to_owned),
        ..About::default()
    };
    let failed = "The domain controller does not answer.";
    for (taken_at, error, sentence) in [
        (Some(NOW - 5), None, "Taken just now."),
        (Some(NOW - 3700), None, "Taken 1 hour ago."),
        (Some(NOW + 5), None, "Taken just now."),
        (
            Some(NOW - 200_000),
            Some(failed),
            "The last refresh failed: The domain controller does not answer. What was taken 2 days \
             ago stays in force.",
        ),
        (
            None,
            Some(failed),
            "No policy is known. The last refresh failed: The domain controller does not answer.",
        ),
        (None, None, "No policy is known yet."),
    ] {
        let report = Report::without_policy(about(taken_at, error));
        assert!(report.show(NOW).contains(sentence), "{}", report.show(NOW));
        assert!(report.html(NOW).contains(sentence));
        assert!(!report.enrollment.allowed && !report.enrollment.offered);
    }
    let with_server = About {
        server_at: Some(NOW - 3700),
        ..about(Some(NOW), None)
    };
    let shown = Report::without_policy(with_server).show(NOW);
    let sentence = "Taken just now. What a server assigns came in 1 hour ago.";
    assert!(shown.contains(sentence), "{shown}");
}

#[test]
fn objects_that_failed_are_in_the_notes() {
    let mut evaluation = evaluation("Hello");
    evaluation.failures.push(Failure {
        gpo: "Broken".to_owned(),
        half: Half::User,
        reason: "the signature is wrong".to_owned(),
    });
    let effective = merge(&Sources::gpo(&evaluation.computer.registry, None));
    let report = Report::new(About::default(), &effective, &evaluation);
    let note = report.notes.last().unwrap();
    assert_eq!(
        note,
        "\"Broken\" (user half) could not be taken: the signature is wrong"
    );
}
