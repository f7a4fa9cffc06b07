//! `latchkey keys`.

use std::io::Read;

use anyhow::bail;
use ipc::{KeyInfo, KeysDelete, KeysList};
use keycred::{Description, Form, KeyCredential};
use serde::Serialize;

use crate::{
    arguments::Keys,
    daemon::{self, PATIENT},
    output::Output,
};

pub(crate) fn run(keys: Keys, output: &Output) -> anyhow::Result<()> {
    match keys {
        Keys::List { uid } => {
            let answer = daemon::ask(&KeysList { uid }, PATIENT)?;
            output.result(&answer.keys, || list(&answer.keys))
        }
        Keys::Delete { kid } => {
            let done = daemon::ask(&KeysDelete { kid }, PATIENT)?;
            output.result(&done, || "Deleted; Active Directory follows.".to_owned())
        }
        Keys::Decode { input } if input == "-" => {
            let mut text = String::new();
            std::io::stdin().take(MAX_INPUT).read_to_string(&mut text)?;
            decode(&text, output)
        }
        Keys::Decode { input } => decode(&input, output),
    }
}

fn list(keys: &[KeyInfo]) -> String {
    if keys.is_empty() {
        return "No key is registered.".to_owned();
    }
    let line = |key: &KeyInfo| {
        let place = if key.here {
            "this machine"
        } else {
            &key.device_id
        };
        let detail = key.detail.as_ref().map(|reason| format!(" ({reason})"));
        let detail = detail.unwrap_or_default();
        format!(
            "{}  {}  {}{detail}  {place}",
            key.kid, key.created, key.state
        )
    };
    keys.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One value as read.
#[derive(Serialize)]
struct Decoded {
    form: &'static str,
    owner: Option<String>,
    #[serde(flatten)]
    credential: Description,
}

fn decode(text: &str, output: &Output) -> anyhow::Result<()> {
    let mut decoded = Vec::new();
    for input in keycred::read(text)? {
        decoded.push(Decoded {
            form: form(input.form),
            credential: KeyCredential::decode(&input.blob)?.describe(),
            owner: input.owner,
        });
    }
    if decoded.is_empty() {
        bail!("there is no value to decode");
    }
    output.result(&decoded, || {
        let text = |one: &Decoded| match &one.owner {
            Some(owner) => format!("owner: {owner}\n{}", one.credential),
            None => one.credential.to_string(),
        };
        decoded.iter().map(text).collect::<Vec<_>>().join("\n")
    })
}

fn form(form: Form) -> &'static str {
    match form {
        Form::DnBinary => "dn_binary",
        Form::Ldif => "ldif",
        Form::Hex => "hexadecimal",
        Form::Base64 => "base64",
    }
}

/// More than any attribute's values.
const MAX_INPUT: u64 = 4 * 1024 * 1024;
