//! What a person meets around the sign-in: refusals, questions asked again, status, keys, the PIN.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::company::{Company, PEOPLE_GROUP, one_time_code, refused, text};
use testkit::{lab::Talk, wait::until_some};

use crate::chain::PIN;
use crate::company;

/// An enrollment that is refused for want of the right to register keys.
fn is_not_allowed(company: &Company, person: &str) -> Result<()> {
    company.give_factor(person)?;
    company.password_sign_in(person)?;
    let answer = refused(&company.enrollment(person, PIN)?.run()?)?;
    assert_eq!(text(&answer, "code")?, "not_allowed", "{answer}");
    let keys = company.keys_in_directory(person)?;
    assert!(keys.is_empty(), "{keys:?}");
    let status = company.status(person)?;
    assert_eq!(status["credentials"], Value::Array(vec![]), "{status}");
    Ok(())
}

#[test]
fn whoever_is_not_in_the_group_registers_no_key() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    is_not_allowed(company, "carol")
}

#[test]
fn without_a_group_nobody_registers_a_key() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let set = |group| company.admin(&["settings", "set", "register-keys-group", group]);
    set("none")?;
    let outcome = is_not_allowed(company, "alice");
    set(PEOPLE_GROUP)?;
    outcome?;
    company.enrolled("alice", PIN)?;
    company.forget_everyone()
}

/// `latchkey enroll` on a terminal, up to the first question.
pub(crate) fn enroll_on_terminal(company: &Company, person: &str) -> Result<Talk> {
    company.give_factor(person)?;
    company.password_sign_in(person)?;
    let call = company.workstation()?.command(&["latchkey", "enroll"]);
    let mut talk = call.user(person).talk()?;
    talk.expect(&format!("for {person}@corp.latchkey.test?"))?;
    talk.type_line("y")?;
    talk.expect("Password: ")?;
    Ok(talk)
}

#[test]
fn when_an_account_ends_and_that_it_is_locked_out_comes_up_with_it() -> Result<()> {
    let (_turn, company) = company();
    let set = |what: &str| {
        let dn = "CN=bob,OU=Staff,DC=corp,DC=latchkey,DC=test";
        company.on_controller(&format!(
            "printf 'dn: {dn}\\nchangetype: modify\\n{what}\\n' \\
             | ldbmodify -H /var/lib/samba/private/sam.ldb"
        ))
    };
    let shown = |field: &str, expected: &Value| {
        until_some("what AD says", Duration::from_secs(30), || {
            let found = company.admin(&["user", "show", "bob"])?[field].clone();
            ensure!(found == *expected, "{field} is {found}");
            Ok(())
        })
    };
    set("replace: mail\\nmail: bob@mail.example\\n-\\n\
         replace: accountExpires\\naccountExpires: 135443736000000000")?;
    shown("expires", &json!("2030-03-16T14:00:00Z"))?;
    shown("mail", &json!("bob@mail.example"))?;
    // Thirty minutes, as Samba locks out unless somebody says otherwise.
    set("replace: lockoutTime\\nlockoutTime: 135443736000000000")?;
    shown("locked_until", &json!("2030-03-16T14:30:00Z"))?;
    let weekdays = "AAAAAP8DAP8DAP8DAP8DAP8DAAAA";
    set(&format!("replace: logonHours\\nlogonHours:: {weekdays}"))?;
    shown("logon_hours", &json!(weekdays))?;
    set(
        "replace: logonHours\\n-\\nreplace: accountExpires\\naccountExpires: 0\\n-\\n\
         replace: lockoutTime\\nlockoutTime: 0\\n-\\nreplace: mail",
    )?;
    shown("expires", &Value::Null)?;
    shown("locked_until", &Value::Null)?;
    shown("logon_hours", &Value::Null)?;
    shown("mail", &Value::Null)
}

#[test]
fn wrong_answers_are_asked_for_again() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let mut talk = enroll_on_terminal(company, "alice")?;
    talk.type_line("not the password")?;
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password("alice")?)?;
    talk.expect("Code from your authenticator: ")?;
    let code = one_time_code()?;
    let other = if code == "000000" { "111111" } else { "000000" };
    talk.type_line(other)?;
    talk.expect("Code from your authenticator: ")?;
    talk.type_line(&one_time_code()?)?;
    talk.expect("New PIN: ")?;
    talk.type_line("1111")?;
    talk.expect("New PIN again: ")?;
    talk.type_line("1111")?;
    talk.expect("New PIN: ")?;
    talk.type_line(PIN)?;
    talk.expect("New PIN again: ")?;
    talk.type_line("314159265358")?;
    talk.expect("New PIN: ")?;
    talk.type_line(PIN)?;
    talk.expect("New PIN again: ")?;
    talk.type_line(PIN)?;
    let (status, shown) = talk.finish()?;
    assert_eq!(status, 0, "{shown}");
    for secret in [PIN, company.lab.password("alice")?] {
        assert!(
            !shown.contains(secret),
            "a secret is on the screen: {shown}"
        );
    }
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

#[test]
fn wrong_answers_without_others_to_follow_end_the_enrollment_with_their_codes() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.give_factor("alice")?;
    company.password_sign_in("alice")?;
    let host = company.workstation()?;
    let enroll = |answers: String| {
        let words = ["latchkey", "enroll", "--answers-stdin", "--json"];
        let output = host.command(&words).user("alice").stdin(answers).run()?;
        Ok::<_, anyhow::Error>(text(&refused(&output)?, "code")?.to_owned())
    };
    assert_eq!(enroll("password=not it\n".to_owned())?, "wrong_password");
    let password = company.lab.password("alice")?;
    let answers = format!("password={password}\notp=12345\n");
    assert_eq!(enroll(answers)?, "wrong_otp");
    company.enrolled("alice", PIN)?;
    company.forget_everyone()
}

#[test]
fn whoever_has_a_pin_enrolls_no_second_time() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let answer = refused(&company.enrollment("alice", PIN)?.run()?)?;
    assert_eq!(text(&answer, "code")?, "already_enrolled", "{answer}");
    assert_eq!(company.keys_in_directory("alice")?.len(), 1);
    company.sign_in("alice", PIN)?.ok()?;
    company.forget_everyone()
}

fn names(status: &Value) -> Result<Vec<String>> {
    let credentials = status["credentials"].as_array().context("no credentials")?;
    let mut names = Vec::new();
    for credential in credentials {
        names.push(text(credential, "upn")?.to_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn status_and_keys_show_a_person_the_own_ones_and_root_everybodys() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    let kid = company.enrolled("alice", PIN)?;
    company.enrolled("bob", PIN)?;
    let (alice, bob) = ("alice@corp.latchkey.test", "bob@corp.latchkey.test");
    assert_eq!(names(&company.status("alice")?)?, [alice]);
    assert_eq!(names(&company.status("bob")?)?, [bob]);
    assert_eq!(names(&company.status("root")?)?, [alice, bob]);

    let host = company.workstation()?;
    let told = host.command(&["latchkey", "status"]).user("alice").ok()?;
    assert!(told.contains(alice) && !told.contains("bob"), "{told}");
    assert!(told.contains("10 of 10 left"), "{told}");
    assert!(told.contains("| Ngc Prerequisite Check"), "{told}");
    let tried = company.status("root")?;
    for (name, expected) in [
        ("KeySignTest", "PASSED"),
        ("DeviceAuthStatus", "SUCCESS"),
        ("AdConnectivityTest", "PASS"),
        ("AdConfigurationTest", "PASS"),
        ("DrsDiscoveryTest", "PASS"),
    ] {
        assert_eq!(tried[name], expected, "{tried}");
    }
    let told = host
        .command(&["latchkey", "events", "--json"])
        .user("alice");
    let told: Value = serde_json::from_str(&told.ok()?)?;
    let events = told["events"].as_array().context("no events")?;
    for expected in [350, 302, 300] {
        let has = |event: &Value| event["event"] == expected && event["UPN"] == alice;
        assert!(events.iter().any(has), "no {expected} in {told}");
    }
    assert!(events.iter().all(|event| event["UPN"] != bob), "{told}");

    let words = ["latchkey", "keys", "list", "--json"];
    let keys: Value = serde_json::from_str(&host.command(&words).user("alice").ok()?)?;
    let current: Vec<_> = keys.as_array().context("no list")?.iter().collect();
    let own = current.iter().find(|key| key["kid"] == kid.as_str());
    let own = own.with_context(|| format!("no {kid} in {keys}"))?;
    assert_eq!(
        (&own["here"], &own["state"]),
        (&Value::Bool(true), &Value::from("confirmed"))
    );
    company.forget_everyone()
}

#[test]
fn the_value_in_ad_is_decoded_and_names_this_computer() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let values = company.keys_in_directory("alice")?;
    let host = company.workstation()?;
    let decode = |words: &[&str]| {
        let words = [&["latchkey", "keys", "decode"], words].concat();
        host.command(&words)
            .user("carol")
            .stdin(values[0].clone())
            .ok()
    };
    let told = decode(&[])?;
    assert!(told.contains("NGC"), "{told}");
    let decoded: Value = serde_json::from_str(&decode(&["--json"])?)?;
    let decoded = &decoded[0];
    let entry = |name: &str| {
        let entries = decoded["entries"].as_array().context("no entries")?;
        let entry = entries.iter().find(|entry| entry["name"] == name);
        let entry = entry.with_context(|| format!("no {name} in {decoded}"))?;
        Ok::<_, anyhow::Error>(text(entry, "meaning")?.to_owned())
    };
    assert!(entry("KeyUsage")?.contains("NGC"), "{decoded}");
    let computer = company.on_controller(
        "ldbsearch -H /var/lib/samba/private/sam.ldb '(sAMAccountName=WS1$)' objectGUID",
    )?;
    let guid = computer
        .lines()
        .find_map(|line| line.strip_prefix("objectGUID: "));
    assert_eq!(entry("DeviceId")?, guid.context("no objectGUID")?);
    let owner = text(decoded, "owner")?;
    assert_eq!(owner, "CN=alice,OU=Staff,DC=corp,DC=latchkey,DC=test");
    assert_eq!(decoded["key_id_matches"], true, "{decoded}");
    assert_eq!(decoded["key_hash_matches"], true, "{decoded}");
    company.forget_everyone()
}

#[test]
fn after_a_change_of_the_pin_the_old_one_is_refused_and_the_new_one_works() -> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.enrolled("alice", PIN)?;
    let new = "577215664901";
    let host = company.workstation()?;
    let change = |old: &str, new: &str| {
        let words = ["latchkey", "pin", "change", "--answers-stdin", "--json"];
        let answers = format!("old={old}\npin={new}\n");
        host.command(&words).user("alice").stdin(answers).run()
    };
    let wrong = refused(&change("314159265358", new)?)?;
    assert_eq!(text(&wrong, "code")?, "wrong_pin", "{wrong}");
    change(PIN, new)?.ok()?;
    let old = refused(&company.sign_in("alice", PIN)?)?;
    assert_eq!(text(&old, "code")?, "wrong_pin", "{old}");
    company.sign_in("alice", new)?.ok()?;
    company.forget_everyone()
}
