//! What each verb asks the server, and what a person wants to see of the answer.

use std::{fs, io::Read as _, path::Path};

use anyhow::Context as _;
use clap::ValueEnum as _;
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    policies,
    verbs::{
        AgentVerb, AppSettings, AppVerb, AuditVerb, CaVerb, DeviceCodeVerb, DeviceVerb,
        EndorsementVerb, GroupVerb, HostVerb, KeyVerb, Noun, RoleName, RoleVerb, ScopeTagVerb,
        SettingsVerb, SignInVerb, SigningKeyVerb, TpmRootVerb, UserVerb, Weaker,
    },
};

/// The longest secret that standard input is read for.
const MAX_SECRET: u64 = 1024;

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// These fields, of one object or of each row.
    Fields(&'static [&'static str]),
    /// All of one object.
    All,
    /// Each row as JSON on a line.
    Lines,
    /// One object as a file.
    File,
}

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    pub(super) shown: Shown,
}

impl Call {
    fn new(method: Method, path: String, shown: Shown) -> Self {
        Self {
            method,
            path,
            body: None,
            shown,
        }
    }

    pub(super) fn get(path: impl Into<String>, shown: &'static [&'static str]) -> Self {
        Self::new(Method::GET, path.into(), Shown::Fields(shown))
    }

    pub(super) fn all(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into(), Shown::All)
    }

    fn lines(path: String) -> Self {
        Self::new(Method::GET, path, Shown::Lines)
    }

    pub(super) fn put(path: String) -> Self {
        Self::new(Method::PUT, path, Shown::All)
    }

    pub(super) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path.into(), Shown::All)
    }

    pub(super) fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, Shown::All)
    }

    pub(super) fn with(mut self, body: &impl Serialize) -> anyhow::Result<Self> {
        self.body = Some(Zeroizing::new(serde_json::to_vec(body)?));
        Ok(self)
    }
}

pub(super) fn call(noun: &Noun) -> anyhow::Result<Call> {
    Ok(match noun {
        Noun::Agent(AgentVerb::Code) => Call {
            shown: Shown::Fields(&["code", "expires"]),
            ..Call::post("/agent-codes")
        },
        Noun::Agent(AgentVerb::List) => Call::get(
            "/agents",
            &[
                "agent",
                "domain",
                "principal",
                "host",
                "version",
                "active",
                "staging",
                "seen",
            ],
        ),
        Noun::Agent(AgentVerb::Revoke { agent }) => Call::delete(path(&["agents", agent])),
        Noun::User(verb) => user(verb)?,
        Noun::Group(verb) => group(verb)?,
        Noun::Role(verb) => role(verb)?,
        Noun::ScopeTag(verb) => scope_tag(verb)?,
        Noun::Policies(verb) => policies::policy(verb)?,
        Noun::Enrollment(verb) => policies::enrollment(verb)?,
        Noun::Device(verb) => device(verb)?,
        Noun::DeviceCode(DeviceCodeVerb::Approve { code, user }) => {
            Call::put(path(&["device-codes", code])).with(&json!({ "user": user }))?
        }
        Noun::DeviceCode(DeviceCodeVerb::Deny { code }) => {
            Call::delete(path(&["device-codes", code]))
        }
        Noun::Key(KeyVerb::List) => Call::get("/keys", &["kid", "user", "device", "state", "code"]),
        Noun::Key(KeyVerb::Delete { kid }) => Call::delete(path(&["keys", kid])),
        Noun::App(verb) => app(verb)?,
        Noun::Settings(SettingsVerb::Show) => Call::all("/settings"),
        Noun::Settings(SettingsVerb::Set { name, values }) => Call {
            shown: Shown::Fields(&["name", "value"]),
            ..Call::put(path(&["settings", name])).with(&json!({ "values": values }))?
        },
        Noun::SigningKey(SigningKeyVerb::List) => {
            Call::get("/signing-keys", &["kid", "alg", "not_before", "retires"])
        }
        Noun::SigningKey(SigningKeyVerb::Rotate { at_once }) => {
            Call::post("/signing-keys").with(&json!({ "at_once": at_once }))?
        }
        Noun::SigningKey(SigningKeyVerb::Retire { kid }) => {
            Call::delete(path(&["signing-keys", kid]))
        }
        Noun::Ca(CaVerb::Show) => Call::get(
            "/device-authorities",
            &["sha256", "state", "trusted_until", "devices"],
        ),
        Noun::Ca(CaVerb::Rotate { trust_former_days }) => Call::post("/device-authorities")
            .with(&json!({ "trust_former_days": trust_former_days }))?,
        Noun::Host(HostVerb::List) => Call::get("/hosts", &["name"]),
        Noun::Host(HostVerb::Add { name }) => Call::put(path(&["hosts", name])),
        Noun::Host(HostVerb::Remove { name }) => Call::delete(path(&["hosts", name])),
        Noun::Endorsement(verb) => endorsement(verb)?,
        Noun::TpmRoot(verb) => tpm_root(verb)?,
        Noun::Audit(AuditVerb::List) => Call::get("/audit", &["at", "actor", "action", "subject"]),
        Noun::Audit(AuditVerb::Check) => Call::all("/audit/check"),
        Noun::Audit(AuditVerb::Export { after }) => Call::lines(format!("/audit?after={after}")),
        Noun::SignIn(SignInVerb::List { user }) => {
            let asked = user.as_ref().map(|user| format!("?user={}", escaped(user)));
            let path = format!("/sign-ins{}", asked.unwrap_or_default());
            let shown = &[
                "at", "name", "client", "device", "address", "stage", "result",
            ];
            Call::get(path, shown)
        }
        Noun::SignIn(SignInVerb::Export { after }) => {
            Call::lines(format!("/sign-ins?after={after}"))
        }
    })
}

fn user(verb: &UserVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        UserVerb::List(some) => Call::get(
            listed("/users", &some.prefix),
            &["upn", "kind", "active", "sid"],
        ),
        UserVerb::Policies { upn } => policies::for_user(upn),
        UserVerb::Show { upn } => Call::all(path(&["users", upn])),
        UserVerb::Create {
            upn,
            name,
            mail,
            password_stdin,
            must_change,
        } => {
            #[derive(Serialize)]
            struct Body<'a> {
                upn: &'a str,
                name: &'a Option<String>,
                mail: &'a Option<String>,
                password: Option<&'a str>,
                must_change: bool,
            }
            let password = password_stdin.then(secret).transpose()?;
            Call::post("/users").with(&Body {
                upn,
                name,
                mail,
                password: password.as_ref().map(|password| password.as_str()),
                must_change: *must_change,
            })?
        }
        UserVerb::Set {
            upn,
            new_upn,
            name,
            mail,
            expires,
            source_anchor,
        } => Call::put(path(&["users", upn])).with(&json!({
            "upn": new_upn,
            "name": name,
            "mail": mail,
            "expires": expires,
            "source_anchor": source_anchor,
        }))?,
        UserVerb::Disable { upn } => {
            Call::put(path(&["users", upn])).with(&json!({ "active": false }))?
        }
        UserVerb::Enable { upn } => {
            Call::put(path(&["users", upn])).with(&json!({ "active": true }))?
        }
        UserVerb::Delete { upn } => Call::delete(path(&["users", upn])),
        UserVerb::Password { upn, must_change } => {
            #[derive(Serialize)]
            struct Body<'a> {
                password: &'a str,
                must_change: bool,
            }
            Call::put(path(&["users", upn, "password"])).with(&Body {
                password: &secret()?,
                must_change: *must_change,
            })?
        }
        UserVerb::SignOut { upn } => Call::delete(path(&["users", upn, "sessions"])),
        UserVerb::Policy { upn, device } => Call::all(path(&["users", upn, "policy", device])),
        UserVerb::Totp { upn, secret_stdin } => {
            #[derive(Serialize)]
            struct Body<'a> {
                secret: &'a str,
            }
            let call = Call::post(path(&["users", upn, "totp"]));
            match secret_stdin {
                true => call.with(&Body {
                    secret: secret()?.trim(),
                })?,
                false => call,
            }
        }
        UserVerb::Factors { upn } => Call::get(
            path(&["users", upn, "factors"]),
            &["kind", "name", "created", "expires"],
        ),
        UserVerb::AccessPass {
            upn,
            minutes,
            starts_in_minutes,
            reusable,
        } => Call::post(path(&["users", upn, "access-pass"])).with(&json!({
            "minutes": minutes,
            "starts_in_minutes": starts_in_minutes,
            "once": !reusable,
        }))?,
        UserVerb::ForgetAccessPass { upn } => Call::delete(path(&["users", upn, "access-pass"])),
        UserVerb::ForgetFactors { upn } => Call::delete(path(&["users", upn, "factors"])),
    })
}

fn group(verb: &GroupVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        GroupVerb::List(some) => Call::get(
            listed("/groups", &some.prefix),
            &["name", "kind", "members", "sid", "guid"],
        ),
        GroupVerb::Create { name } => Call::post("/groups").with(&json!({ "name": name }))?,
        GroupVerb::Rename { group, name } => {
            Call::put(path(&["groups", group])).with(&json!({ "name": name }))?
        }
        GroupVerb::Delete { group } => Call::delete(path(&["groups", group])),
        GroupVerb::Members { group } => {
            Call::get(path(&["groups", group, "members"]), &["name", "guid"])
        }
        GroupVerb::Add { group, member } => Call::put(path(&["groups", group, "members", member])),
        GroupVerb::Remove { group, member } => {
            Call::delete(path(&["groups", group, "members", member]))
        }
    })
}

fn role(verb: &RoleVerb) -> anyhow::Result<Call> {
    let word = |role: &RoleName| {
        let value = role.to_possible_value();
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    };
    Ok(match verb {
        RoleVerb::List => Call::get("/roles", &["role", "principal", "scope_tags"]),
        RoleVerb::Add {
            role,
            principal,
            scopes,
        } => Call::put(path(&["roles", &word(role), principal]))
            .with(&json!({ "scope_tags": scopes }))?,
        RoleVerb::Remove { role, principal } => {
            Call::delete(path(&["roles", &word(role), principal]))
        }
    })
}

fn scope_tag(verb: &ScopeTagVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        ScopeTagVerb::List => Call::get("/scope-tags", &["name", "group", "description"]),
        ScopeTagVerb::Add {
            group,
            name,
            description,
        } => Call::put(path(&["scope-tags", group]))
            .with(&json!({ "name": name, "description": description }))?,
        ScopeTagVerb::Delete { group } => Call::delete(path(&["scope-tags", group])),
    })
}

fn device(verb: &DeviceVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        DeviceVerb::List(some) => Call::get(
            listed("/devices", &some.prefix),
            &["device", "name", "os", "enabled", "joined"],
        ),
        DeviceVerb::Show { device } => Call::all(path(&["devices", device])),
        DeviceVerb::Policies { device } => policies::on_device(device),
        DeviceVerb::Disable { device } => Call::post(path(&["devices", device, "disable"])),
        DeviceVerb::Enable { device } => Call::post(path(&["devices", device, "enable"])),
        DeviceVerb::Unlock { device } => Call::post(path(&["devices", device, "lockout"])),
        DeviceVerb::Delete { devices, confirm } => Call::post("/devices/deletions")
            .with(&json!({ "devices": devices, "confirm": confirm }))?,
    })
}

fn app(verb: &AppVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        AppVerb::List => Call::get("/apps", &["client_id", "name", "confidential", "enabled"]),
        AppVerb::Show { client } => Call::all(path(&["apps", client])),
        AppVerb::Put(settings) => {
            Call::put(path(&["apps", &settings.client])).with(&registration(settings)?)?
        }
        AppVerb::Delete { client } => Call::delete(path(&["apps", client])),
    })
}

fn registration(app: &AppSettings) -> anyhow::Result<Value> {
    let jwks = app.jwks.as_deref().map(read_json).transpose()?;
    let allows = |weaker| app.weaker.contains(&weaker);
    Ok(json!({
        "name": app.name.as_ref().unwrap_or(&app.client),
        "confidential": jwks.is_some(),
        "redirect_uris": app.redirect_uris,
        "post_logout_uris": app.post_logout_uris,
        "jwks": jwks,
        "resources": app.resources,
        "compat": {
            "ropc": allows(Weaker::Ropc),
            "device_code": allows(Weaker::DeviceCode),
            "kdf1": allows(Weaker::Kdf1),
            "cbc": allows(Weaker::Cbc),
            "no_pkce": allows(Weaker::NoPkce),
        },
        "enabled": !app.disabled,
    }))
}

fn endorsement(verb: &EndorsementVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        EndorsementVerb::List => Call::get("/endorsements", &["hash", "note", "added"]),
        EndorsementVerb::Add { hashes, note } => {
            Call::post("/endorsements").with(&json!({ "hashes": hashes, "note": note }))?
        }
        EndorsementVerb::Remove { hash } => Call::delete(path(&["endorsements", hash])),
    })
}

fn tpm_root(verb: &TpmRootVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        TpmRootVerb::List => Call::get("/tpm-roots", &["hash", "name", "added"]),
        TpmRootVerb::Add { name, file } => {
            let pem = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            Call::post("/tpm-roots").with(&json!({ "name": name, "pem": pem }))?
        }
        TpmRootVerb::Remove { hash } => Call::delete(path(&["tpm-roots", hash])),
    })
}

pub(super) fn read_json(file: &Path) -> anyhow::Result<Value> {
    let shown = file.display();
    let text = fs::read(file).with_context(|| shown.to_string())?;
    anyhow::ensure!(
        text.len() <= api::MAX_BODY,
        "{shown} is longer than {} bytes",
        api::MAX_BODY
    );
    serde_json::from_slice(&text).with_context(|| format!("{shown} is not JSON"))
}

/// The first line of standard input.
fn secret() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin()
        .take(MAX_SECRET)
        .read_to_string(&mut text)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or("").to_owned()))
}

pub(super) fn listed(path: &str, prefix: &str) -> String {
    match prefix {
        "" => path.to_owned(),
        prefix => format!("{path}?prefix={}", escaped(prefix)),
    }
}

pub(super) fn path(segments: &[&str]) -> String {
    let escaped = segments.iter().map(|segment| escaped(segment));
    format!("/{}", escaped.collect::<Vec<_>>().join("/"))
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
