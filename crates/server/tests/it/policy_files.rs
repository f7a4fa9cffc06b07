//! Policies and enrollment configurations by the command line, and as files.

use serde_json::{Value, json};

use crate::{parties::ready, server::TestServer};

/// A verb of the command line; its answer.
#[track_caller]
fn run(server: &TestServer, arguments: &[&str]) -> Value {
    let arguments = [&["admin", "--json", "policies"], arguments].concat();
    let output = server.command(&arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same where it is refused; what is said.
#[track_caller]
fn refused(server: &TestServer, arguments: &[&str]) -> String {
    let arguments = [&["admin", "policies"], arguments].concat();
    let output = server.command(&arguments);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_what_a_policy_can_set() {
    let server = TestServer::start().await;
    let listed = run(&server, &["settings"]);
    let row = |name| {
        let mut rows = listed.as_array().unwrap().iter();
        rows.find(|row| row["setting"] == name).unwrap()
    };
    let digits = row("digits");
    assert_eq!(digits["scopes"], json!(["device", "user"]));
    // Each name and each value is one that `create` takes.
    let value = digits["values"].as_str().unwrap().split(' ').next();
    let set = format!("digits={}", value.unwrap());
    run(&server, &["create", "Digits", "--user", "--setting", &set]);
    let spoofing = row("anti-spoofing");
    assert_eq!(spoofing["scopes"], json!(["device"]));
    let shown = server.command(&["admin", "policies", "settings"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("SETTING"), "{shown}");
    assert!(shown.contains("min-pin-length"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_a_policy_in_the_words_of_the_page() {
    let (server, _, device) = ready().await;
    let block = "Block Windows Hello for Business=Disabled";
    let made = run(
        &server,
        &[
            "create",
            "Pilot",
            "--profile",
            "account-protection",
            "--set",
            block,
            "--set",
            "Enable to use a Trusted Platform Module (TPM)=Yes",
        ],
    );
    assert_eq!(
        made["settings"],
        json!(["use-hello = on", "require-security-device = on"])
    );
    assert_eq!(
        (&made["version"], &made["assigned"]),
        (&json!(1), &json!([]))
    );
    let assigned = run(
        &server,
        &[
            "assign",
            "pilot",
            "--group",
            "Outer",
            "--not-group",
            "Inner",
        ],
    );
    assert_eq!(assigned["assigned"], json!(["Outer", "not Inner"]));
    let set = [
        "set",
        "Pilot",
        "--set",
        "Minimum PIN length=8",
        "--description",
        "for all",
    ];
    assert_eq!(run(&server, &set)["version"], 3);
    for (arguments, part) in [
        (
            &["set", "Pilot", "--set", "Digits=Required"][..],
            "settings catalog",
        ),
        (
            &["set", "Pilot", "--setting", "digits=required"],
            "settings catalog",
        ),
        (
            &[
                "set",
                "Pilot",
                "--set",
                "Block Windows Hello for Business=Enabled",
            ],
            "only where",
        ),
        (
            &["set", "Pilot", "--setting", "min-pin-length=200"],
            "4 to 127",
        ),
        (
            &["set", "Pilot", "--setting", "nothing=1"],
            "there is no setting",
        ),
        (
            &["assign", "Pilot", "--group", "Nobody"],
            "there is no group",
        ),
        (&["assign", "Pilot"], "say for whom"),
        (&["show", "Other"], "there is no policy of that name"),
        (
            &["delete", "Pilot"],
            "min-pin-length = 8, for Outer, not Inner.",
        ),
    ] {
        let said = refused(&server, arguments);
        assert!(said.contains(part), "{said}");
    }
    let history = run(&server, &["history", "Pilot"]);
    let versions: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["version"])
        .collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(history[0]["modified_by"], "admin");

    let file = run(&server, &["export", "Pilot"]);
    let path = server.folder.join("pilot.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(run(&server, &["import", path])["version"], 3);
    run(&server, &["set", "Pilot", "--unset", "min-pin-length"]);
    assert_eq!(run(&server, &["import", path])["version"], 5);
    assert_eq!(run(&server, &["export", "Pilot"]), file);
    run(&server, &["copy", "Pilot", "Second"]);
    let user = ["set", "Second", "--set", block, "--user"];
    let settings = &run(&server, &user)["settings"];
    assert!(
        settings
            .as_array()
            .unwrap()
            .contains(&json!("use-hello (user) = on")),
        "{settings}"
    );
    let deleted = server.command(&["admin", "policies", "delete", "Pilot", "--yes"]);
    assert!(deleted.status.success(), "{deleted:?}");
    assert_eq!(run(&server, &["list"]).as_array().unwrap().len(), 1);
    assert_eq!(run(&server, &["conflicts"]), json!([]));
    assert_eq!(run(&server, &["status", "Second"]), json!([]));
    let of = device.id.to_string();
    let shown = server.command(&["admin", "--json", "device", "policies", &of]);
    assert!(shown.status.success(), "{shown:?}");
    let set = [
        "admin",
        "--json",
        "enrollment",
        "set",
        "state=enabled",
        "pinMinimumLength=8",
    ];
    assert!(server.command(&set).status.success());
    let shown = server.command(&["admin", "--json", "enrollment", "show"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&shown[0]["state"], &shown[0]["pinMinimumLength"]),
        (&json!("enabled"), &json!(8))
    );
    let history = server.command(&["admin", "--json", "enrollment", "history"]);
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    let versions: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["version"].clone(), row["state"].clone()))
        .collect();
    assert_eq!(
        versions,
        [
            (json!(2), json!("enabled")),
            (json!(1), json!("notConfigured"))
        ]
    );
    for (arguments, is_good) in [
        (&["create", "Own", "state=disabled"][..], true),
        (&["create", "Other", "digits=1"], false),
        (&["create", "Other", "state=enabled"], true),
        (&["assign", "Own", "--group", "Outer"], true),
        (&["assign", "default", "--all-users"], false),
        (&["priority", "Other", "1"], true),
        (&["priority", "Own", "3"], false),
        (
            &["set", "pinMinimumLength=8", "--configuration", "Own"],
            true,
        ),
        (&["delete", "default"], false),
        (&["delete", "Other"], true),
    ] {
        let output = server.command(&[&["admin", "enrollment"], arguments].concat());
        assert_eq!(output.status.success(), is_good, "{output:?}");
    }
    let history = server.command(&["admin", "--json", "enrollment", "history", "Own"]);
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    let versions: Vec<_> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|row| [&row["version"], &row["priority"], &row["assigned"]])
        .collect();
    let outer = json!(["Outer"]);
    assert_eq!(
        versions,
        [
            [&json!(4), &json!(2), &outer],
            [&json!(3), &json!(2), &outer],
            [&json!(2), &json!(1), &outer],
            [&json!(1), &json!(1), &json!([])],
        ]
    );
    let odd = server.command(&["admin", "enrollment", "set", "digits=1"]);
    assert!(!odd.status.success());
}

/// What `export` prints, byte by byte.
fn exported(server: &TestServer, name: &str) -> Vec<u8> {
    let output = server.command(&["admin", "policies", "export", name]);
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_goes_to_an_empty_server_as_a_file_and_its_file_there_is_the_same() {
    let (from, _, _) = ready().await;
    let (to, _, _) = ready().await;
    // The same names have other ids there.
    let groups = ["North", "South", "East", "West"];
    for server in [&from, &to] {
        for name in groups {
            let group = Some(json!({ "name": name }));
            server.admin("POST", "/groups", group).await.good();
            let path = format!("/scope-tags/{name}");
            server.admin("PUT", &path, Some(json!({}))).await.good();
        }
    }
    let name = "Pilot \"Süd\" & West";
    let tags = groups.map(|name| ["--scope-tag", name]).concat();
    let values = ["--setting", "min-pin-length=8", "--description", "a\nb"];
    run(&from, &[&["create", name][..], &values, &tags].concat());
    run(
        &from,
        &["set", name, "--user", "--setting", "digits=required"],
    );
    run(
        &from,
        &[
            "assign",
            name,
            "--all-devices",
            "--group",
            "West",
            "--not-group",
            "North",
        ],
    );
    let file = exported(&from, name);
    let path = to.folder.join("pilot.json");
    std::fs::write(&path, &file).unwrap();
    assert_eq!(run(&to, &["list"]), json!([]));
    run(&to, &["import", path.to_str().unwrap()]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(text(exported(&to, name)), text(file));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_as_it_should_be_is_refused_and_nothing_is_stored() {
    let (server, _, _) = ready().await;
    let path = server.folder.join("bad.json");
    let with = |settings: Value| json!({ "name": "Bad", "settings": settings });
    let one = |setting: &str, value: &str| json!({ "setting": setting, "value": value });
    for (file, part) in [
        (with(json!([one("nothing", "1")])), "there is no setting"),
        (with(json!([one("min-pin-length", "200")])), "4 to 127"),
        (
            with(json!([one("digits", "required"), one("digits", "allowed")])),
            "is there twice",
        ),
        (
            with(json!([
                one("min-pin-length", "9"),
                one("max-pin-length", "8")
            ])),
            "below the maximum",
        ),
        (
            with(json!(vec![one("digits", "required"); 10_000])),
            "longer than 65536 bytes",
        ),
        (json!({ "name": " " }), "the name is empty"),
        (json!({ "name": "Bad", "setting": [] }), "unknown field"),
        (json!([]), ""),
        (
            json!({ "name": "Bad", "template": "other" }),
            "the templates are",
        ),
        (
            json!({ "name": "Bad", "assignments": [{ "group": "Nobody" }] }),
            "there is no group",
        ),
        (
            json!({ "name": "Bad", "scope_tags": ["Nobody"] }),
            "there is no scope tag",
        ),
    ] {
        std::fs::write(&path, file.to_string()).unwrap();
        let said = refused(&server, &["import", path.to_str().unwrap()]);
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(run(&server, &["list"]), json!([]));
}
