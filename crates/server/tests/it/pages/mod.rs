//! The pages as people meet them: in a browser, and by whoever has stolen a password.

mod factors;
mod native;
mod stolen;
mod webdriver;

use serde_json::{Value, json};

use crate::server::TestServer;

/// An access pass of a user, for an hour.
async fn pass_for(server: &TestServer, upn: &str, once: bool) -> String {
    let asked = json!({ "minutes": 60, "once": once });
    let path = format!("/users/{upn}/access-pass");
    let answer = server.admin("POST", &path, Some(asked)).await.good();
    answer["pass"].as_str().unwrap().to_owned()
}

/// The actions of the audit log, the newest first.
async fn audited(server: &TestServer) -> Vec<String> {
    let rows = server.admin("GET", "/audit", None).await.good();
    let action = |row: &Value| row["action"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(action).collect()
}

/// The secret of an authenticator app as its page shows it.
fn secret_in(page: &str) -> String {
    let (_, rest) = page.split_once("id=\"secret\">").unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

/// The one-time password of a secret in base32.
fn otp_of(secret: &str, now: i64) -> String {
    let mut bits = String::new();
    for letter in secret.chars() {
        let digit = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(letter).unwrap();
        bits.push_str(&format!("{digit:05b}"));
    }
    let bytes: Vec<u8> = bits
        .as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect();
    crate::parties::otp_by(&bytes, now)
}
