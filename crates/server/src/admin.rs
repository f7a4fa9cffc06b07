//! The administrator's interface: HTTP on a local socket, for root and the server's own user. Whoever may open it is
//! known by the socket's peer credentials, so that it needs no password.

use std::sync::Arc;

use api::agent::{PolicyOutcome, PolicyWork};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use model::{Guid, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{
    Attestation, Audit, EnrollmentCode, Group, GroupKind, Listing, Page, Settings, Totp, User,
};
use zeroize::Zeroizing;

use crate::{
    app::App,
    applications,
    clock::rfc3339,
    error::{Refusal, read_json},
    factors::{
        self,
        one_time::{self, ONE_TIME_PASSWORD, sealed_name},
    },
    keys,
    password::AGENT_WAIT,
    random, signing_keys, totp, verdict,
};

/// How long an agent's one-time code is good.
const CODE_S: i64 = 60 * 60;

/// The most rows of the audit log that are shown.
const AUDIT_ROWS: u32 = 1000;

/// `PUT /settings/{name}`: the name of a group, or none.
#[derive(Serialize, Deserialize)]
pub(crate) struct NewSetting {
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// A word, for settings that are none of a group.
    #[serde(default)]
    pub(crate) value: Option<String>,
}

/// `POST /users/{upn}/totp`: a secret in base32 where it is not to be made here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NewTotp {
    secret: Option<Secret<String>>,
}

/// Every path of the administrator's interface.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/agents", get(agents))
        .route("/agent-codes", post(agent_code))
        .route("/users", get(users))
        .route("/users/{upn}", get(user))
        .route("/users/{upn}/totp", post(set_totp))
        .route("/users/{upn}/policy/{device}", get(policy))
        .route("/groups", get(groups))
        .route("/devices", get(devices))
        .route("/keys", get(all_keys))
        .route("/keys/{kid}", axum::routing::delete(delete_key))
        .route("/settings", get(settings))
        .route("/settings/{name}", axum::routing::put(set_setting))
        .route("/audit", get(audit_log))
        .merge(factors::admin::routes())
        .merge(applications::routes())
        .merge(signing_keys::routes())
        .with_state(app)
}

pub(crate) fn audit(app: &App, action: &'static str, subject: &str) -> Audit {
    Audit {
        at: app.clock.now(),
        actor: "admin".to_owned(),
        action,
        subject: subject.to_owned(),
    }
}

fn unknown(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::NOT_FOUND, "not_found", sentence)
}

async fn agents(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let domains = app.store.domains(app.tenant.id).await?;
    let agents = app.store.agents(app.tenant.id).await?;
    let told = agents.into_iter().map(|agent| {
        let domain = domains.iter().find(|domain| domain.guid == agent.domain);
        json!({
            "agent": agent.id,
            "domain": domain.map(|domain| &domain.dns_name),
            "principal": agent.principal,
            "enrolled": rfc3339(agent.enrolled),
        })
    });
    Ok(Json(told.collect()))
}

async fn agent_code(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let (code, digest) = random::bearer_text()?;
    let expires = app.clock.now().plus(CODE_S);
    let row = audit(&app, "agent.code", "");
    app.store
        .add_enrollment_code(app.tenant.id, EnrollmentCode { digest, expires }, row)
        .await?;
    Ok(Json(json!({ "code": code, "expires": rfc3339(expires) })))
}

fn told_user(user: &User) -> Value {
    json!({
        "upn": user.upn,
        "name": user.display_name,
        "active": user.active,
        "sid": user.sid(),
        "guid": user.guid,
        "dn": user.dn(),
    })
}

async fn users(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let page = Page::first(u32::MAX);
    let Listing { rows, .. } = app.store.users(app.tenant.id, page).await?;
    Ok(Json(rows.iter().map(told_user).collect()))
}

async fn find_user(app: &App, upn: &str) -> Result<User, Refusal> {
    let user = app.store.user_by_upn(app.tenant.id, upn).await?;
    user.ok_or_else(|| unknown("no user of that name has come from the agent, or two have"))
}

async fn user(
    State(app): State<Arc<App>>,
    Path(upn): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let user = find_user(&app, &upn).await?;
    let keys = app.store.keys_of(app.tenant.id, user.guid).await?;
    let has_totp = app.store.totp(app.tenant.id, user.guid).await?.is_some();
    let mut told = told_user(&user);
    if let Some(fields) = told.as_object_mut() {
        fields.insert("second_factor".to_owned(), json!(has_totp));
        let keys: Vec<_> = keys.into_iter().filter_map(keys::told).collect();
        fields.insert("keys".to_owned(), serde_json::to_value(keys)?);
    }
    Ok(Json(told))
}

async fn set_totp(
    State(app): State<Arc<App>>,
    Path(upn): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let request: NewTotp = if body.is_empty() {
        NewTotp::default()
    } else {
        read_json(&body)?
    };
    let user = find_user(&app, &upn).await?;
    let given = request.secret.is_some();
    let secret = match request.secret {
        None => Secret::new(random::bytes::<20>()?.to_vec()),
        Some(text) => totp::secret_of(text.expose()).ok_or_else(|| {
            let sentence = "the secret is not base32 of 16 to 64 bytes";
            Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
        })?,
    };
    let sealed = app
        .keyring
        .master
        .seal(&sealed_name(user.guid), secret.expose())?;
    let row = audit(&app, "user.totp", &user.upn);
    let totp = Totp {
        sealed,
        last_step: 0,
        name: String::new(),
        created: row.at,
        confirmed: true,
    };
    app.store
        .set_totp(app.tenant.id, user.guid, totp, row)
        .await?;
    // Whoever was locked out by wrong guesses at the old one begins anew.
    app.store
        .forget_tries(app.tenant.id, ONE_TIME_PASSWORD, &user.guid.to_string())
        .await?;
    if given {
        return Ok(Json(json!({ "upn": user.upn })));
    }
    let text = Zeroizing::new(totp::base32(secret.expose()));
    let uri = one_time::uri(&user.upn, &text);
    Ok(Json(json!({ "upn": user.upn, "uri": uri })))
}

/// What group policy asks of a key that the user makes on the device, as an agent sees it now.
async fn policy(
    State(app): State<Arc<App>>,
    Path((upn, device)): Path<(String, String)>,
) -> Result<Json<PolicyOutcome>, Refusal> {
    let user = find_user(&app, &upn).await?;
    let devices = app
        .store
        .devices(app.tenant.id, Page::first(u32::MAX))
        .await?;
    let device = devices
        .rows
        .iter()
        .find(|known| {
            known.display_name.eq_ignore_ascii_case(&device) || device.parse() == Ok(known.id)
        })
        .ok_or_else(|| unknown("there is no device of that name or id"))?;
    let about = PolicyWork {
        user: user.guid,
        computer: device.id,
    };
    let outcome = match user.domain() {
        Some(domain) => app.work.evaluate_policy(domain, about, AGENT_WAIT).await,
        None => None,
    };
    verdict::note(&app, &user, device, outcome.as_ref()).await?;
    Ok(Json(outcome.unwrap_or_else(|| PolicyOutcome::Unknown {
        why: "no agent of the domain answers".to_owned(),
    })))
}

async fn all_groups(app: &App) -> Result<Vec<Group>, store::Error> {
    let page = Page::first(u32::MAX);
    Ok(app.store.groups(app.tenant.id, page).await?.rows)
}

async fn groups(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let mut told = Vec::new();
    for group in all_groups(&app).await? {
        let members = app.store.count_members(app.tenant.id, group.guid).await?;
        let (sid, dn) = match group.kind {
            GroupKind::Synced { sid, dn, .. } => (Some(sid), Some(dn)),
            GroupKind::Own => (None, None),
        };
        told.push(json!({
            "name": group.name,
            "members": members,
            "sid": sid,
            "guid": group.guid,
            "dn": dn,
        }));
    }
    Ok(Json(told.into()))
}

async fn devices(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let page = Page::first(u32::MAX);
    let devices = app.store.devices(app.tenant.id, page).await?;
    let told = devices.rows.into_iter().map(|device| {
        json!({
            "device": device.id,
            "name": device.display_name,
            "os": device.os_version,
            "enabled": device.enabled,
            "joined": rfc3339(device.joined),
        })
    });
    Ok(Json(told.collect()))
}

async fn all_keys(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let keys: Vec<_> = app
        .store
        .keys(app.tenant.id, None, u32::MAX)
        .await?
        .rows
        .into_iter()
        .filter_map(keys::told)
        .collect();
    Ok(Json(serde_json::to_value(keys)?))
}

async fn delete_key(
    State(app): State<Arc<App>>,
    Path(kid): Path<String>,
) -> Result<StatusCode, Refusal> {
    let no_such = || unknown("there is no key of that id");
    let id: Guid = kid.parse().map_err(|_| no_such())?;
    let row = audit(&app, "key.delete", &kid);
    if app.store.delete_key(app.tenant.id, id, row).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_such())
    }
}

async fn settings(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let settings = app.store.settings(app.tenant.id).await?;
    let groups = all_groups(&app).await?;
    let name = |guids: &[Guid]| {
        guids.first().map(|guid| {
            let group = groups.iter().find(|group| group.guid == *guid);
            group.map_or_else(|| guid.to_string(), |group| group.name.clone())
        })
    };
    Ok(Json(json!({
        "register-keys-group": name(&settings.register_keys_groups),
        "join-devices-group": name(&settings.join_devices_groups),
        "attestation": settings.attestation.as_str(),
        "trust-first-use": if settings.trust_first_use { "on" } else { "off" },
    })))
}

/// Sets a setting whose value is a word.
async fn set_word(app: &App, name: &str, value: Option<String>) -> Result<Json<Value>, Refusal> {
    let value = value.unwrap_or_default();
    let wrong = || {
        let sentence = "the value is none of this setting: attestation is off, prefer or require; \
                        trust-first-use is on or off";
        Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence)
    };
    let mut settings = app.store.settings(app.tenant.id).await?;
    match (name, &*value) {
        ("trust-first-use", "on" | "off") => settings.trust_first_use = value == "on",
        ("attestation", word) => settings.attestation = Attestation::of(word).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    }
    let row = audit(app, "settings.set", &format!("{name} = {value}"));
    app.store.set_settings(app.tenant.id, settings, row).await?;
    Ok(Json(json!({ "name": name, "value": value })))
}

async fn set_setting(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let request: NewSetting = read_json(&body)?;
    if name == "attestation" || name == "trust-first-use" {
        return set_word(&app, &name, request.value.or(request.group)).await;
    }
    let group = match &request.group {
        None => None,
        Some(wanted) => {
            let groups = all_groups(&app).await?;
            let mut found = groups.iter().filter(|group| {
                group.name.eq_ignore_ascii_case(wanted) || wanted.parse() == Ok(group.guid)
            });
            let first = found.next().map(|group| group.guid);
            if first.is_none() || found.next().is_some() {
                return Err(unknown(
                    "no group of that name has come from the agent, or two have",
                ));
            }
            first
        }
    };
    let settings = app.store.settings(app.tenant.id).await?;
    let settings = match name.as_str() {
        "register-keys-group" => Settings {
            register_keys_groups: group.into_iter().collect(),
            ..settings
        },
        "join-devices-group" => Settings {
            join_devices_groups: group.into_iter().collect(),
            ..settings
        },
        _ => return Err(unknown("there is no setting of that name")),
    };
    let subject = format!("{name} = {}", request.group.as_deref().unwrap_or("none"));
    let row = audit(&app, "settings.set", &subject);
    app.store.set_settings(app.tenant.id, settings, row).await?;
    Ok(Json(json!({ "name": name, "group": request.group })))
}

async fn audit_log(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let rows = app.store.audit_rows(app.tenant.id, AUDIT_ROWS).await?;
    let told = rows.into_iter().map(|row| {
        json!({
            "at": rfc3339(row.at),
            "actor": row.actor,
            "action": row.action,
            "subject": row.subject,
        })
    });
    Ok(Json(told.collect()))
}
