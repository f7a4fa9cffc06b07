//! The command line as a program: what it prints and with what code it ends.

#![cfg(test)]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use keycred::{DnBinary, KeyCredential, RsaPublicKey};
use model::{Filetime, Guid};
use serde_json::Value;

const OWNER: &str = "CN=alice,OU=Staff,DC=corp,DC=test";

fn latchkey(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn value() -> String {
    let public = RsaPublicKey::from_components(&[0xc5; 256], &[1, 0, 1]).unwrap();
    let device = Guid::from_le_bytes([7; 16]);
    let time = Filetime(131_734_027_581_684_545);
    let binary = KeyCredential::for_user(&public, device, time, time).encode();
    let dn = OWNER.to_owned();
    DnBinary { binary, dn }.to_string()
}

#[test]
fn a_value_is_decoded_from_an_argument_and_from_standard_input_alike() {
    let value = value();
    let argument = latchkey(&["keys", "decode", &value], "");
    let piped = latchkey(&["keys", "decode"], &value);
    let ldif = latchkey(
        &["keys", "decode", "-"],
        &format!("msDS-KeyCredentialLink: {value}\n"),
    );
    for output in [argument, piped, ldif] {
        assert!(output.status.success());
        let text = stdout(&output);
        for part in [OWNER, "07070707-0707-0707-0707-070707070707"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}

#[test]
fn a_decoded_value_is_one_json_document_where_that_is_asked_for() {
    let output = latchkey(&["keys", "decode", "--json", &value()], "");
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json[0]["owner"], OWNER);
    assert_eq!(json[0]["form"], "dn_binary");
    assert_eq!(json[0]["samba_accepts"], true);
}

#[test]
fn what_is_no_value_ends_with_code_1_and_a_sentence() {
    for input in ["", "B:4:00zz:DC=x", "hello"] {
        let output = latchkey(&["keys", "decode"], input);
        assert_eq!(output.status.code(), Some(1), "{input:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("latchkey: "));
    }
}

#[test]
fn wrong_usage_ends_with_code_2() {
    for arguments in [&["nonsense"][..], &[], &["join", "--url", "https://s"]] {
        assert_eq!(
            latchkey(arguments, "").status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn completions_name_the_commands_and_the_manual_has_a_page_for_each() {
    let output = latchkey(&["completions", "bash"], "");
    assert!(output.status.success());
    assert!(stdout(&output).contains("enroll"));
    let folder = std::env::temp_dir().join(format!("latchkey-man-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let output = latchkey(&["man", folder.to_str().unwrap()], "");
    assert!(output.status.success());
    for page in ["latchkey.1", "latchkey-enroll.1", "latchkey-keys-list.1"] {
        assert!(folder.join(page).exists(), "{page}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn work_in_the_domain_without_a_ticket_says_how_to_get_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args(["gpo", "show"])
        .env("KRB5CCNAME", "FILE:/nonexistent/cache")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("kinit"), "{told}");
}

#[test]
fn a_link_order_of_zero_is_a_usage_error() {
    let output = latchkey(&["gpo", "order", "Some policy", "corp.test", "0"], "");
    assert_eq!(output.status.code(), Some(2));
}
