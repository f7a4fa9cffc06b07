//! `/security`: a user's own factors, to see, add and take. `factors::rules` says who may.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Secret;
use serde::Deserialize;
use store::Factors;

use super::{
    Manner, SECURITY_KEY, answer, message,
    qr::{self, Qr},
    told,
    visitor::Visitor,
    when,
};
use crate::{
    app::App,
    error::Refusal,
    factors::{
        Origin, audit, one_time,
        rules::{Standing, Verdict},
        security_key::{self, Added},
        ways,
    },
    signin::{self, Purpose},
};

const PATH: &str = "/security";

/// What names the authenticator app in a form; a key has its id.
const APP: &str = "app";

/// A factor, as it is told.
struct Told {
    kind: &'static str,
    name: String,
    created: String,
    last_used: Option<String>,
    /// To take it by; a pass is its administrator's to take.
    id: Option<String>,
}

#[derive(Template)]
#[template(path = "security.html")]
struct Page<'a> {
    visitor: &'a Visitor,
    may_see: bool,
    factors: Vec<Told>,
    done: Option<&'a str>,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "add_app.html")]
struct AddApp<'a> {
    visitor: &'a Visitor,
    qr: Qr,
    secret: &'a str,
    sealed: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "add_key.html")]
struct AddKey<'a> {
    visitor: &'a Visitor,
    options: &'a str,
    sealed: &'a str,
    problem: Option<&'a str>,
}

/// The query of the page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    done: Option<String>,
}

/// The fields of its forms.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    step: String,
    id: String,
    sealed: String,
    code: String,
    credential: String,
    name: String,
}

/// `GET /security`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Response {
    let outcome = async {
        let Some(visitor) = Visitor::of(&app, &headers).await? else {
            return signin::begin(&app, &headers, Purpose::page(PATH));
        };
        let (factors, standing) = standing(&app, &visitor).await?;
        let verdict = match standing.may_see() {
            true => Verdict::Go,
            false => standing.add(app.clock.now()),
        };
        if verdict != Verdict::Go {
            return refused(&app, &headers, &visitor, verdict);
        }
        let done = match asked.done.as_deref() {
            Some("added") => Some("It is set up."),
            Some("removed") => Some("It is taken out."),
            _ => None,
        };
        page(&visitor, (&factors, standing.may_see()), done)
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

/// `POST /security`.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let Some(visitor) = Visitor::of(&app, &headers).await? else {
            return signin::begin(&app, &headers, Purpose::page(PATH));
        };
        let fields: Fields = visitor.form(&body)?;
        let (_, standing) = standing(&app, &visitor).await?;
        let now = app.clock.now();
        let verdict = match fields.step.as_str() {
            "remove" => standing.remove(now),
            _ => standing.add(now),
        };
        if verdict != Verdict::Go {
            return refused(&app, &headers, &visitor, verdict);
        }
        change(&app, &visitor, fields, &Origin::of(&headers)).await
    };
    outcome
        .await
        .unwrap_or_else(|refusal| told(&headers, refusal))
}

async fn standing(app: &App, visitor: &Visitor) -> Result<(Factors, Standing), Refusal> {
    let (tenant, subject) = (app.tenant.id, &visitor.open.subject);
    let factors = app.store.factors(tenant, subject.user.guid).await?;
    let settings = app.store.settings(tenant).await?;
    let standing = Standing {
        auth_time: subject.auth_time,
        mfa_time: subject.mfa_time,
        has_factor: ways::has_lasting(&factors),
        password_enough: settings.password_enough_for_first_factor,
    };
    Ok((factors, standing))
}

/// What is answered where a verdict lets nothing through.
fn refused(
    app: &App,
    headers: &HeaderMap,
    visitor: &Visitor,
    verdict: Verdict,
) -> Result<Response, Refusal> {
    if verdict == Verdict::ConfirmFirst {
        return signin::begin(app, headers, Purpose::page_of(PATH, &visitor.upn));
    }
    let text = "Nothing is set up to confirm who you are. Ask your administrator for a Temporary \
                Access Pass, and sign in with it to set something up.";
    let words = ("You need an access pass", text);
    let link = Some(("/signin", "Sign in again"));
    Ok(message(StatusCode::FORBIDDEN, words, link))
}

async fn change(
    app: &App,
    visitor: &Visitor,
    fields: Fields,
    origin: &Origin,
) -> Result<Response, Refusal> {
    match fields.step.as_str() {
        "add-app" => {
            let user = &visitor.open.subject.user;
            let setup = one_time::set_up(app, user.guid, &user.upn)?;
            add_app(visitor, &setup, None)
        }
        "confirm-app" => confirm_app(app, visitor, fields, origin).await,
        "add-key" => add_key(app, visitor, None).await,
        "confirm-key" => confirm_key(app, visitor, fields).await,
        "remove" => remove(app, visitor, &fields.id).await,
        _ => Err(Refusal::malformed("the step is none of this page")),
    }
}

fn add_app(
    visitor: &Visitor,
    setup: &one_time::Setup,
    problem: Option<&str>,
) -> Result<Response, Refusal> {
    let too_long = || anyhow::anyhow!("the name is too long for a QR code");
    let page = AddApp {
        visitor,
        qr: qr::of(&setup.uri).ok_or_else(too_long)?,
        secret: &setup.secret,
        sealed: &setup.sealed,
        problem,
    };
    Ok(answer(&page, Manner::default()))
}

async fn confirm_app(
    app: &App,
    visitor: &Visitor,
    fields: Fields,
    origin: &Origin,
) -> Result<Response, Refusal> {
    let user = &visitor.open.subject.user;
    let code = Secret::new(fields.code);
    let shown = (fields.sealed.as_str(), &code);
    if one_time::confirm(app, user.guid, shown, origin).await? {
        return Ok(Redirect::to("/security?done=added").into_response());
    }
    let (setup, problem) = match one_time::resume(app, user.guid, &user.upn, &fields.sealed) {
        Some(setup) => (setup, "That is not the code that the app shows now."),
        None => (
            one_time::set_up(app, user.guid, &user.upn)?,
            "That took too long. Scan this one instead.",
        ),
    };
    add_app(visitor, &setup, Some(problem))
}

async fn add_key(app: &App, visitor: &Visitor, problem: Option<&str>) -> Result<Response, Refusal> {
    let user = &visitor.open.subject.user;
    let who = (user.guid, user.upn.as_str(), user.display_name.as_str());
    let Some(setup) = security_key::set_up(app, who, visitor.open.id).await? else {
        let text = "This account has as many security keys as it may have, or this server is \
                    reached by an address, which security keys are not made for.";
        let words = ("This does not work", text);
        return Ok(message(StatusCode::CONFLICT, words, Some((PATH, "Back"))));
    };
    let page = AddKey {
        visitor,
        options: &setup.options,
        sealed: &setup.sealed,
        problem,
    };
    let manner = Manner {
        script: Some(SECURITY_KEY),
        ..Manner::default()
    };
    Ok(answer(&page, manner))
}

async fn confirm_key(app: &App, visitor: &Visitor, fields: Fields) -> Result<Response, Refusal> {
    let who = (visitor.open.subject.user.guid, visitor.open.id);
    let said = (fields.sealed.as_str(), fields.credential.as_str());
    let problem = match security_key::confirm(app, who, said, &fields.name).await? {
        Added::Yes => return Ok(Redirect::to("/security?done=added").into_response()),
        Added::Refused => "The key was not accepted. Try again.",
        Added::Known => "This key is registered already.",
    };
    add_key(app, visitor, Some(problem)).await
}

async fn remove(app: &App, visitor: &Visitor, id: &str) -> Result<Response, Refusal> {
    let (tenant, user) = (app.tenant.id, visitor.open.subject.user.guid);
    let row = |subject: &str| audit(app, user, "factor.remove", subject.to_owned());
    if id == APP {
        app.store.delete_totp(tenant, user, row("totp")).await?;
    } else {
        let id = URL_SAFE_NO_PAD
            .decode(id)
            .map_err(|_| Refusal::malformed("the id is none"))?;
        app.store
            .delete_security_key(tenant, user, &id, row("security key"))
            .await?;
    }
    Ok(Redirect::to("/security?done=removed").into_response())
}

fn page(
    visitor: &Visitor,
    (factors, may_see): (&Factors, bool),
    done: Option<&str>,
) -> Result<Response, Refusal> {
    let page = Page {
        visitor,
        may_see,
        factors: if may_see {
            told_of(factors)
        } else {
            Vec::new()
        },
        done,
        problem: None,
    };
    Ok(answer(&page, Manner::default()))
}

fn told_of(factors: &Factors) -> Vec<Told> {
    let keys = factors.security_keys.iter().map(|key| Told {
        kind: "Security key",
        name: key.name.clone(),
        created: when(key.created),
        last_used: key.last_used.map(when),
        id: Some(URL_SAFE_NO_PAD.encode(&key.id)),
    });
    let app = factors.totp.iter().map(|totp| Told {
        kind: "Authenticator app",
        name: String::new(),
        created: when(totp.created),
        last_used: None,
        id: Some(APP.to_owned()),
    });
    let pass = factors.access_pass.iter().map(|pass| Told {
        kind: "Temporary Access Pass",
        name: format!("good until {}", when(pass.expires)),
        created: when(pass.starts),
        last_used: pass.used.map(when),
        id: None,
    });
    keys.chain(app).chain(pass).collect()
}
