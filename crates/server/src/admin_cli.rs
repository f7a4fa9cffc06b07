//! `latchkey-server admin`: the administrator's verbs, over the running server's local socket.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, Subcommand};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::{config, config::Config, say};

/// Talks to the running server as its administrator.
#[derive(ClapArgs)]
pub struct Args {
    /// The server's configuration.
    #[arg(long, default_value = config::PATH, global = true)]
    config: PathBuf,
    /// The answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Subcommand)]
enum Noun {
    /// Agents.
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Users.
    #[command(subcommand)]
    User(UserVerb),
    /// Groups.
    #[command(subcommand)]
    Group(ListVerb),
    /// Devices.
    #[command(subcommand)]
    Device(ListVerb),
    /// Keys.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Settings.
    #[command(subcommand)]
    Settings(SettingsVerb),
    /// The audit log.
    #[command(subcommand)]
    Audit(ListVerb),
}

#[derive(Subcommand)]
enum ListVerb {
    /// Lists all.
    List,
}

#[derive(Subcommand)]
enum AgentVerb {
    /// Makes a one-time code that enrolls an agent within the hour.
    Code,
    /// Lists all.
    List,
}

#[derive(Subcommand)]
enum UserVerb {
    /// Lists all.
    List,
    /// Shows one with its keys.
    Show {
        /// The user principal name.
        upn: String,
    },
    /// Shows what group policy asks of a key that the user makes on a device.
    Policy {
        /// The user principal name.
        upn: String,
        /// The device's name or id.
        device: String,
    },
    /// Gives the user a new one-time password generator and prints its URI, this once.
    Totp {
        /// The user principal name.
        upn: String,
        /// Takes the secret (base32) from standard input and prints nothing of it.
        #[arg(long)]
        secret_stdin: bool,
    },
}

#[derive(Subcommand)]
enum KeyVerb {
    /// Lists all.
    List,
    /// Deletes one, here and in AD.
    Delete {
        /// Its id.
        kid: String,
    },
}

#[derive(Subcommand)]
enum SettingsVerb {
    /// Shows all.
    Show,
    /// Sets one to a group's name, or to `none`.
    Set {
        /// `register-keys-group` (without it nobody may register keys) or `join-devices-group`
        /// (without it every computer of the domain may join).
        name: String,
        /// The group's name or objectGUID, or `none`.
        group: String,
    },
}

/// One request, and what a person wants to see of its answer.
struct Call {
    method: Method,
    path: String,
    body: Option<Zeroizing<Vec<u8>>>,
    shown: &'static [&'static str],
}

impl Call {
    fn get(path: &str, shown: &'static [&'static str]) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            body: None,
            shown,
        }
    }
}

/// Runs the verb.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    let call = call(&args.noun)?;
    let shown = call.shown;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(send(&config.admin_socket, call))?;
    if args.json {
        return Ok(say(&serde_json::to_string(&answer)?)?);
    }
    show(&answer, shown)
}

fn call(noun: &Noun) -> anyhow::Result<Call> {
    let keys = &["kid", "user", "device", "state", "code"];
    Ok(match noun {
        Noun::Agent(AgentVerb::Code) => Call {
            method: Method::POST,
            path: "/agent-codes".to_owned(),
            body: None,
            shown: &["code", "expires"],
        },
        Noun::Agent(AgentVerb::List) => {
            Call::get("/agents", &["agent", "domain", "principal", "enrolled"])
        }
        Noun::User(UserVerb::List) => Call::get("/users", &["upn", "active", "sid"]),
        Noun::User(UserVerb::Show { upn }) => Call::get(
            &format!("/users/{}", escaped(upn)),
            &[
                "upn",
                "name",
                "active",
                "sid",
                "guid",
                "dn",
                "second_factor",
                "keys",
            ],
        ),
        Noun::User(UserVerb::Policy { upn, device }) => Call::get(
            &format!("/users/{}/policy/{}", escaped(upn), escaped(device)),
            &["evaluated", "unknown"],
        ),
        Noun::User(UserVerb::Totp { upn, secret_stdin }) => Call {
            method: Method::POST,
            path: format!("/users/{}/totp", escaped(upn)),
            body: if *secret_stdin {
                Some(secret_body()?)
            } else {
                None
            },
            shown: &["upn", "uri"],
        },
        Noun::Group(ListVerb::List) => Call::get("/groups", &["name", "members", "sid", "guid"]),
        Noun::Device(ListVerb::List) => {
            Call::get("/devices", &["device", "name", "os", "enabled", "joined"])
        }
        Noun::Key(KeyVerb::List) => Call::get("/keys", keys),
        Noun::Key(KeyVerb::Delete { kid }) => Call {
            method: Method::DELETE,
            path: format!("/keys/{}", escaped(kid)),
            body: None,
            shown: &[],
        },
        Noun::Settings(SettingsVerb::Show) => Call::get(
            "/settings",
            &[
                "register-keys-group",
                "join-devices-group",
                "attestation",
                "trust-first-use",
            ],
        ),
        Noun::Settings(SettingsVerb::Set { name, group }) => {
            let group = (group != "none").then_some(group);
            let body = serde_json::to_vec(&json!({ "group": group }))?;
            Call {
                method: Method::PUT,
                path: format!("/settings/{}", escaped(name)),
                body: Some(Zeroizing::new(body)),
                shown: &["name", "group", "value"],
            }
        }
        Noun::Audit(ListVerb::List) => Call::get("/audit", &["at", "actor", "action", "subject"]),
    })
}

fn secret_body() -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(1024).read_to_string(&mut text)?;
    #[derive(serde::Serialize)]
    struct Body<'a> {
        secret: &'a str,
    }
    Ok(Zeroizing::new(serde_json::to_vec(&Body {
        secret: text.trim(),
    })?))
}

/// Percent-encodes what a path segment may not hold (RFC 3986 3.3).
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

async fn send(socket: &Path, call: Call) -> anyhow::Result<Value> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "{}: the server does not run, or you are not root",
            socket.display()
        )
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let body = call
        .body
        .as_ref()
        .map(|body| body.to_vec())
        .unwrap_or_default();
    let request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header("host", "localhost")
        .body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    driver.await??;
    let answer = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body)?
    };
    if !status.is_success() {
        let sentence = answer.get("sentence").and_then(Value::as_str);
        bail!(
            "{}",
            sentence.unwrap_or("the server refuses and does not say why")
        );
    }
    Ok(answer)
}

fn show(answer: &Value, shown: &[&str]) -> anyhow::Result<()> {
    match answer {
        Value::Null => Ok(say("done")?),
        Value::Array(rows) => show_table(rows, shown),
        one => {
            let width = shown.iter().map(|name| name.len()).max().unwrap_or(0);
            for name in shown {
                if let Some(value) = one.get(name) {
                    say(&format!("{name:width$}  {}", plain(value)))?;
                }
            }
            Ok(())
        }
    }
}

fn show_table(rows: &[Value], shown: &[&str]) -> anyhow::Result<()> {
    let cell = |row: &Value, name: &str| row.get(name).map_or_else(String::new, plain);
    let width = |name: &&str| {
        let cells = rows.iter().map(|row| cell(row, name).len());
        cells.chain([name.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = shown.iter().map(width).collect();
    let line = |cells: Vec<String>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(&line(
        shown.iter().map(|name| name.to_uppercase()).collect(),
    ))?;
    for row in rows {
        say(&line(shown.iter().map(|name| cell(row, name)).collect()))?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
