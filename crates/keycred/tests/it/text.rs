//! The texts in which a value is handed around.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::{DnBinary, Form, Input, read};

use crate::vectors::{USER_KEY_1, bytes};

const DN: &str = "CN=Doe\\, Jane:1,OU=Staff,DC=corp,DC=latchkey,DC=test";

fn dn_binary() -> String {
    DnBinary {
        binary: bytes(USER_KEY_1),
        dn: DN.to_owned(),
    }
    .to_string()
}

fn expect_one(text: &str, form: Form, owner: Option<&str>) {
    let input = Input {
        form,
        blob: bytes(USER_KEY_1),
        owner: owner.map(str::to_owned),
    };
    assert_eq!(read(text), Ok(vec![input]));
}

/// Folded as RFC 2849 asks: 76 columns, a space before what goes on.
fn folded(line: &str) -> String {
    let mut text = String::new();
    for (column, letter) in line.chars().enumerate() {
        if column > 0 && column % 75 == 0 {
            text += "\n ";
        }
        text.push(letter);
    }
    text
}

#[test]
fn dn_binary_is_written_as_the_directory_writes_it() {
    assert_eq!(dn_binary(), format!("B:828:{USER_KEY_1}:{DN}"));
    let value: DnBinary = dn_binary().parse().unwrap();
    assert_eq!(value.to_string(), dn_binary());
    assert_eq!(value.dn, DN);
}

#[test]
fn dn_binary_with_a_wrong_count_or_digits_is_refused() {
    for text in [
        "",
        "B",
        "B:",
        "B:2",
        "B:2:00",
        "B:1:0:DC=x",
        "B:3:000:DC=x",
        "B:2:0g:DC=x",
        "B:2:+1:DC=x",
        "B:4:00:DC=x",
        "B:-2:00:DC=x",
        "B:99999999999999999999:00:DC=x",
        "S:2:00:DC=x",
        "B:2:é:DC=x",
        "B:2:€€:DC=x",
    ] {
        assert!(text.parse::<DnBinary>().is_err(), "{text}");
    }
}

#[test]
fn every_form_gives_the_same_bytes() {
    let blob = bytes(USER_KEY_1);
    expect_one(&dn_binary(), Form::DnBinary, Some(DN));
    expect_one(
        &format!("  {}\n", folded(&dn_binary())),
        Form::DnBinary,
        Some(DN),
    );
    expect_one(USER_KEY_1, Form::Hex, None);
    expect_one(&USER_KEY_1.to_lowercase(), Form::Hex, None);
    let base64 = STANDARD.encode(&blob);
    expect_one(&base64, Form::Base64, None);
    expect_one(base64.trim_end_matches('='), Form::Base64, None);
    expect_one(
        &base64.replace('+', "-").replace('/', "_"),
        Form::Base64,
        None,
    );
    expect_one(
        &base64
            .as_bytes()
            .chunks(64)
            .map(|l| String::from_utf8_lossy(l) + "\r\n")
            .collect::<String>(),
        Form::Base64,
        None,
    );
    expect_one(&STANDARD.encode(dn_binary()), Form::Base64, Some(DN));
}

#[test]
fn ldif_is_read_folded_plain_and_in_base64() {
    let plain = folded(&format!("msDS-KeyCredentialLink: {}", dn_binary()));
    let base64 = folded(&format!(
        "msds-keycredentiallink:: {}",
        STANDARD.encode(dn_binary())
    ));
    expect_one(&plain, Form::Ldif, Some(DN));
    expect_one(&base64, Form::Ldif, Some(DN));
    let record = format!("dn: {DN}\nobjectClass: user\n{plain}\n{base64}\n\n# end\n");
    assert_eq!(read(&record.replace('\n', "\r\n")).unwrap().len(), 2);
}

#[test]
fn what_is_no_form_is_refused() {
    for text in [
        "",
        "  \n",
        "hello world!",
        "msDS-KeyCredentialLink: 0002",
        "msDS-KeyCredentialLink:: ****",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read(&"0".repeat(600 * 1024)).is_err());
}
