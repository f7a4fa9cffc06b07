//! Settings: each under its name, with a value that says all of it.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    routing::{get, put},
};
use model::Guid;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{Attestation, Settings};

use super::{
    caller::{Caller, needs},
    find::{self, unknown},
    malformed,
};
use crate::{
    app::App,
    error::{Refusal, read_json},
    roles::Action,
    routing::Paths,
};

const MAX_GROUPS: usize = 100;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route("/settings", needs(Action::ReadTenant, get(show)))
        .route("/settings/{name}", needs(Action::ManagePolicy, put(set)))
}

/// Its names. The first two had one group once, and keep that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    RegisterKeys,
    JoinDevices,
    DevicesPerUser,
    PasswordEnough,
    Attestation,
    AttestationByGroup,
    TrustFirstUse,
    AllowDeviceCode,
    AllowPassword,
    LockoutTries,
    LockoutWindow,
    LockoutPause,
    BlockHardMatch,
    BlockSoftMatch,
}

const NAMES: [(Name, &str); 14] = [
    (Name::RegisterKeys, "register-keys-group"),
    (Name::JoinDevices, "join-devices-group"),
    (Name::DevicesPerUser, "devices-per-user"),
    (Name::PasswordEnough, "password-enough-for-first-factor"),
    (Name::Attestation, "attestation"),
    (Name::AttestationByGroup, "attestation-by-group"),
    (Name::TrustFirstUse, "trust-first-use"),
    (Name::AllowDeviceCode, "allow-device-code"),
    (Name::AllowPassword, "allow-ropc"),
    (Name::LockoutTries, "lockout-tries"),
    (Name::LockoutWindow, "lockout-window-s"),
    (Name::LockoutPause, "lockout-pause-s"),
    (Name::BlockHardMatch, "block-hard-match"),
    (Name::BlockSoftMatch, "block-soft-match"),
];

async fn show(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let settings = app.store.settings(app.tenant.id).await?;
    let mut told = Map::new();
    for (name, word) in NAMES {
        told.insert(word.to_owned(), value(&app, &settings, name).await?);
    }
    Ok(Json(told.into()))
}

/// A setting as it is shown: a list of one is that one, a list of none is null.
async fn value(app: &App, settings: &Settings, name: Name) -> Result<Value, Refusal> {
    Ok(match name {
        Name::RegisterKeys => names(app, &settings.register_keys_groups).await?,
        Name::JoinDevices => names(app, &settings.join_devices_groups).await?,
        Name::DevicesPerUser => json!(settings.devices_per_user),
        Name::PasswordEnough => json!(settings.password_enough_for_first_factor),
        Name::Attestation => json!(settings.attestation),
        Name::AttestationByGroup => {
            let mut told = Vec::new();
            for (group, level) in &settings.attestation_by_group {
                let group = find::name_of(app, *group).await?;
                told.push(format!("{group}={}", level.as_str()));
            }
            listed(told)
        }
        Name::TrustFirstUse => json!(settings.trust_first_use),
        Name::AllowDeviceCode => json!(settings.allow_device_code),
        Name::AllowPassword => json!(settings.allow_ropc),
        Name::LockoutTries => json!(settings.lockout.tries),
        Name::LockoutWindow => json!(settings.lockout.window_s),
        Name::LockoutPause => json!(settings.lockout.pause_s),
        Name::BlockHardMatch => json!(settings.block_hard_match),
        Name::BlockSoftMatch => json!(settings.block_soft_match),
    })
}

async fn names(app: &App, groups: &[Guid]) -> Result<Value, Refusal> {
    let mut told = Vec::new();
    for group in groups {
        told.push(find::name_of(app, *group).await?);
    }
    Ok(listed(told))
}

fn listed(mut texts: Vec<String>) -> Value {
    match texts.len() {
        0 => Value::Null,
        1 => json!(texts.pop()),
        _ => json!(texts),
    }
}

/// `PUT /settings/{name}`: words, as they are typed; `group` is one word or none, of the release
/// before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSetting {
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(word): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManagePolicy)?;
    let request: NewSetting = read_json(&body)?;
    let named = NAMES.iter().find(|(_, known)| *known == word);
    let (name, _) = named.ok_or_else(|| unknown("there is no setting of that name"))?;
    let mut words = request.values;
    words.extend(request.group);
    // `none` is how an empty list is typed.
    words.retain(|word| word != "none");
    if words.len() > MAX_GROUPS {
        return Err(malformed("more than 100 groups"));
    }
    let mut settings = app.store.settings(app.tenant.id).await?;
    change(&app, &mut settings, *name, &words).await?;
    let told = value(&app, &settings, *name).await?;
    let shown = match words.as_slice() {
        [] => "none".to_owned(),
        words => words.join(", "),
    };
    let audit = caller.audit(&app, "settings.set", &format!("{word} = {shown}"));
    app.store
        .set_settings(app.tenant.id, settings, audit)
        .await?;
    Ok(Json(json!({ "name": word, "value": told })))
}

async fn change(
    app: &App,
    settings: &mut Settings,
    name: Name,
    words: &[String],
) -> Result<(), Refusal> {
    match name {
        Name::RegisterKeys => settings.register_keys_groups = groups(app, words).await?,
        Name::JoinDevices => settings.join_devices_groups = groups(app, words).await?,
        Name::AttestationByGroup => {
            settings.attestation_by_group = attestation_by_group(app, words).await?;
        }
        Name::DevicesPerUser => settings.devices_per_user = number(words, 0..=10_000)?,
        Name::PasswordEnough => settings.password_enough_for_first_factor = truth(words)?,
        Name::Attestation => settings.attestation = attestation(one(words)?)?,
        Name::TrustFirstUse => settings.trust_first_use = truth(words)?,
        Name::AllowDeviceCode => settings.allow_device_code = truth(words)?,
        Name::AllowPassword => settings.allow_ropc = truth(words)?,
        Name::LockoutTries => settings.lockout.tries = number(words, 1..=100)? as usize,
        Name::LockoutWindow => settings.lockout.window_s = number(words, 60..=86_400)?.into(),
        Name::LockoutPause => settings.lockout.pause_s = number(words, 1..=86_400)?.into(),
        Name::BlockHardMatch => settings.block_hard_match = truth(words)?,
        Name::BlockSoftMatch => settings.block_soft_match = truth(words)?,
    }
    Ok(())
}

async fn groups(app: &App, words: &[String]) -> Result<Vec<Guid>, Refusal> {
    let mut found = Vec::new();
    for word in words {
        found.push(find::group(app, word).await?.guid);
    }
    Ok(found)
}

async fn attestation_by_group(
    app: &App,
    words: &[String],
) -> Result<Vec<(Guid, Attestation)>, Refusal> {
    let mut found = Vec::new();
    for word in words {
        let parts = word.rsplit_once('=');
        let (group, level) = parts.ok_or_else(|| malformed("each value is GROUP=LEVEL"))?;
        let group = find::group(app, group).await?.guid;
        found.push((group, attestation(level)?));
    }
    Ok(found)
}

fn attestation(word: &str) -> Result<Attestation, Refusal> {
    Attestation::of(word).ok_or_else(|| malformed("the levels are off, prefer and require"))
}

fn one(words: &[String]) -> Result<&str, Refusal> {
    match words {
        [word] => Ok(word),
        _ => Err(malformed("this setting has one value")),
    }
}

fn number(words: &[String], range: std::ops::RangeInclusive<u32>) -> Result<u32, Refusal> {
    let number = one(words)?.parse().ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let sentence = format!(
                "the value is a number from {} to {}",
                range.start(),
                range.end()
            );
            malformed(&sentence)
        })
}

fn truth(words: &[String]) -> Result<bool, Refusal> {
    match one(words)? {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(malformed("the value is on or off")),
    }
}
