//! Users, and what lets them in.

use std::sync::Arc;

use api::agent::{PolicyOutcome, PolicyWork};
use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{delete, get, post, put},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Guid, Secret, UnixTime};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Password, Totp, User, UserKind};
use zeroize::Zeroizing;

use super::{
    caller::{Caller, needs},
    find::{self, unknown},
    keys,
    listing::{Asked, Rows},
    malformed, stored,
};
use crate::{
    accounts::{self, AGENT_WAIT},
    app::App,
    clock::rfc3339,
    error::{Refusal, read_json},
    factors::one_time::{self, ONE_TIME_PASSWORD, sealed_name},
    random,
    roles::Action,
    routing::Paths,
    totp, verdict,
};

/// The shortest password that an administrator may give.
const MIN_PASSWORD: usize = 12;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route(
            "/users",
            needs(Action::Read, get(list)).merge(needs(Action::ManageUsers, post(create))),
        )
        .route(
            "/users/{user}",
            needs(Action::Read, get(show))
                .merge(needs(Action::ManageUsers, put(change).delete(remove))),
        )
        .route(
            "/users/{user}/password",
            needs(Action::Help, put(set_password)),
        )
        .route(
            "/users/{user}/sessions",
            needs(Action::Help, delete(end_sessions)),
        )
        .route(
            "/users/{user}/totp",
            needs(Action::ManageFactors, post(set_totp)),
        )
        .route(
            "/users/{user}/policy/{device}",
            needs(Action::Read, get(policy)),
        )
}

fn told(user: &User) -> Value {
    json!({
        "upn": user.upn,
        "name": user.display_name,
        "mail": user.mail,
        "source_anchor": user.anchor(),
        "active": user.active,
        "kind": match user.kind {
            UserKind::Synced { .. } => "synced",
            UserKind::Cloud => "cloud",
        },
        "expires": user.account_expires.map(rfc3339),
        "locked_until": user.locked_until.map(rfc3339),
        "logon_hours": user.logon_hours.map(|hours| STANDARD.encode(hours.0)),
        "sid": user.sid(),
        "guid": user.guid,
        "dn": user.dn(),
    })
}

async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Rows, Refusal> {
    let listing = app.store.users(app.tenant.id, asked.page()?).await?;
    let seen = caller.seen(&app, listing, |user| user.guid).await?;
    Ok(Rows::of(&seen, told))
}

/// A user upon whom the caller may do this.
pub(super) async fn expect(
    app: &App,
    caller: &Caller,
    action: Action,
    named: &str,
) -> Result<User, Refusal> {
    let user = find::user(app, named).await?;
    caller.expect_on(app, action, user.guid).await?;
    Ok(user)
}

async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let user = expect(&app, &caller, Action::Read, &named).await?;
    let (store, tenant) = (&app.store, app.tenant.id);
    let keys = store.keys_of(tenant, user.guid).await?;
    let keys: Vec<_> = keys.iter().map(keys::told).collect();
    let factors = store.factors(tenant, user.guid).await?;
    let security_keys = factors.security_keys.iter().map(|key| &key.name);
    let mut groups = Vec::new();
    for group in store.groups_of(tenant, user.guid).await? {
        groups.push(find::name_of(&app, group).await?);
    }
    let roles = store.roles_of(tenant, user.guid).await?;
    let roles = roles.iter().map(|given| given.role.as_str());
    let mut told = told(&user);
    if let Some(fields) = told.as_object_mut() {
        fields.insert("second_factor".to_owned(), json!(factors.totp.is_some()));
        let security_keys: Vec<_> = security_keys.collect();
        fields.insert("security_keys".to_owned(), json!(security_keys));
        fields.insert("groups".to_owned(), json!(groups));
        fields.insert("roles".to_owned(), json!(roles.collect::<Vec<_>>()));
        fields.insert("keys".to_owned(), json!(keys));
    }
    Ok(Json(told))
}

/// `POST /users`. Without a password nobody knows the new user's: a pass lets them in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    upn: String,
    name: Option<String>,
    mail: Option<String>,
    password: Option<Secret<String>>,
    #[serde(default)]
    must_change: bool,
}

async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManageUsers)?;
    let new: NewUser = read_json(&body)?;
    let now = app.clock.now();
    let user = User {
        guid: random::guid()?,
        kind: UserKind::Cloud,
        display_name: new.name.unwrap_or_else(|| new.upn.clone()),
        upn: new.upn,
        mail: new.mail,
        active: true,
        account_expires: None,
        locked_until: None,
        logon_hours: None,
        source_anchor: None,
        tokens_valid_from: now,
    };
    accounts::expect_own(&app, &user).await?;
    let must_change = new.must_change && new.password.is_some();
    let secret = match new.password {
        Some(password) => good_password(password)?,
        None => Secret::new(random::bearer_text()?.0),
    };
    let hash = accounts::hash(&app, secret).await?;
    let password = Password { hash, must_change };
    let audit = caller.audit(&app, "user.create", &user.upn);
    let created = app
        .store
        .create_user(app.tenant.id, user.clone(), password, audit);
    stored(created.await)?;
    Ok(Json(told(&user)))
}

fn good_password(password: Secret<String>) -> Result<Secret<String>, Refusal> {
    let text = password.expose();
    if text.chars().count() < MIN_PASSWORD || text.len() > accounts::MAX_PASSWORD {
        return Err(malformed(
            "the password must have at least 12 characters, and at most 1,024 bytes",
        ));
    }
    Ok(password)
}

/// `PUT /users/{user}`: what is absent stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    upn: Option<String>,
    name: Option<String>,
    mail: Option<String>,
    active: Option<bool>,
    /// Unix seconds; 0 is never.
    expires: Option<i64>,
    source_anchor: Option<String>,
}

async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let user = expect(&app, &caller, Action::ManageUsers, &named).await?;
    let new: Changed = read_json(&body)?;
    let expires = new.expires.map(|end| (end != 0).then_some(UnixTime(end)));
    let user = User {
        upn: new.upn.unwrap_or(user.upn),
        display_name: new.name.unwrap_or(user.display_name),
        mail: new.mail.or(user.mail),
        source_anchor: new.source_anchor.or(user.source_anchor),
        active: new.active.unwrap_or(user.active),
        account_expires: expires.unwrap_or(user.account_expires),
        ..user
    };
    expect_cloud(&user)?;
    accounts::expect_own(&app, &user).await?;
    let audit = caller.audit(&app, "user.change", &user.upn);
    let updated = app.store.update_user(app.tenant.id, user.clone(), audit);
    match stored(updated.await)? {
        true => Ok(Json(told(&user))),
        false => Err(unknown("the user is gone")),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    let user = expect(&app, &caller, Action::ManageUsers, &named).await?;
    expect_cloud(&user)?;
    let audit = caller.audit(&app, "user.delete", &user.upn);
    match app
        .store
        .delete_user(app.tenant.id, user.guid, audit)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("the user is gone")),
    }
}

fn expect_cloud(user: &User) -> Result<(), Refusal> {
    match user.kind {
        UserKind::Cloud => Ok(()),
        UserKind::Synced { .. } => {
            let sentence = "this user is a directory's: change it there, and the agent brings it";
            Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence))
        }
    }
}

/// `PUT /users/{user}/password`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: Secret<String>,
    #[serde(default)]
    must_change: bool,
}

async fn set_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let user = expect(&app, &caller, Action::Help, &named).await?;
    expect_cloud(&user)?;
    let new: NewPassword = read_json(&body)?;
    let password = Password {
        hash: accounts::hash(&app, good_password(new.password)?).await?,
        must_change: new.must_change,
    };
    let (store, tenant) = (&app.store, app.tenant.id);
    let audit = caller.audit(&app, "user.password", &user.upn);
    if !store
        .set_password(tenant, user.guid, password, audit)
        .await?
    {
        return Err(unknown("the user is gone"));
    }
    revoke(&app, &caller, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end_sessions(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
) -> Result<StatusCode, Refusal> {
    let user = expect(&app, &caller, Action::Help, &named).await?;
    revoke(&app, &caller, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all that the user was given. What was given within this very second ends too.
async fn revoke(app: &App, caller: &Caller, user: &User) -> Result<(), Refusal> {
    let audit = caller.audit(app, "user.revoke", &user.upn);
    let from = audit.at.plus(1);
    app.store
        .revoke_tokens(app.tenant.id, user.guid, from, audit)
        .await?;
    Ok(())
}

/// `POST /users/{user}/totp`: a secret in base32 where it is not to be made here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NewTotp {
    secret: Option<Secret<String>>,
}

async fn set_totp(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(named): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let user = expect(&app, &caller, Action::ManageFactors, &named).await?;
    let request: NewTotp = if body.is_empty() {
        NewTotp::default()
    } else {
        read_json(&body)?
    };
    let given = request.secret.is_some();
    let secret = match request.secret {
        None => Secret::new(random::bytes::<20>()?.to_vec()),
        Some(text) => totp::secret_of(text.expose())
            .ok_or_else(|| malformed("the secret is not base32 of 16 to 64 bytes"))?,
    };
    let sealed = app
        .keyring
        .master
        .seal(&sealed_name(user.guid), secret.expose())?;
    let row = caller.audit(&app, "user.totp", &user.upn);
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
    caller: Caller,
    Path((named, device)): Path<(String, String)>,
) -> Result<Json<PolicyOutcome>, Refusal> {
    let user = expect(&app, &caller, Action::Read, &named).await?;
    let device = find::device(&app, &device).await?;
    let outcome = match user.domain() {
        Some(domain) => evaluated(&app, domain, user.guid, device.id).await,
        None => None,
    };
    verdict::note(&app, &user, &device, outcome.as_ref()).await?;
    Ok(Json(outcome.unwrap_or_else(|| PolicyOutcome::Unknown {
        why: "no agent of the domain answers".to_owned(),
    })))
}

async fn evaluated(app: &App, domain: Guid, user: Guid, computer: Guid) -> Option<PolicyOutcome> {
    let about = PolicyWork { user, computer };
    app.work.evaluate_policy(domain, about, AGENT_WAIT).await
}
