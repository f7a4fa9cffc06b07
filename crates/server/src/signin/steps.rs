//! The steps of a sign-in up to the password, or to what stands in its place.

use axum::response::Response;
use model::Secret;
use protocol::factor::Method;
use store::{Attempt, AttemptKind};

use super::{
    Call, Fields,
    end::{Done, finish},
    flow::Flow,
    over, second,
    show::{Ask, Held, Sheet},
};
use crate::{
    accounts,
    app::App,
    challenge::PASSWORD,
    error::Refusal,
    factors::{access_pass, count_address, methods, security_key},
    oauth::session,
    random, sign_in_log,
    source::Source,
};

/// How long an attempt may take.
const ATTEMPT_S: i64 = 10 * 60;

/// An attempt under way.
pub(super) struct Going<'a> {
    pub(super) flow: Flow,
    /// What the forms carry.
    pub(super) text: &'a str,
    pub(super) attempt: Attempt,
}

/// Takes one form.
pub(super) async fn go_on(app: &App, call: &Call<'_>, fields: Fields) -> Result<Response, Refusal> {
    let Some(text) = fields.attempt.clone() else {
        let browser = session::browser(call.headers).ok_or_else(over)?;
        let flow = Flow::open(app, fields.flow.as_deref().unwrap_or(""), browser)?;
        return first(app, call, flow, fields).await;
    };
    let going = find(app, call, &text).await?;
    step(app, call, going, fields).await
}

/// The attempt of a name, in the browser that it was begun in.
pub(super) async fn find<'a>(
    app: &App,
    call: &Call<'_>,
    text: &'a str,
) -> Result<Going<'a>, Refusal> {
    let browser = session::browser(call.headers).ok_or_else(over)?;
    let (id, now) = (model::sha256(text.as_bytes()), app.clock.now());
    let attempt = app.store.attempt(app.tenant.id, id, now).await?;
    let attempt = attempt
        .filter(|attempt| attempt.kind == AttemptKind::Browser)
        .ok_or_else(over)?;
    let flow = Flow::kept(&attempt.request, browser)?;
    Ok(Going {
        flow,
        text,
        attempt,
    })
}

/// What the sign-in log has for what was wrong.
const WRONG: u32 = 50126;

/// Asks for the name, of a flow that has no attempt.
fn ask_name(
    app: &App,
    flow: &Flow,
    (name, problem): (&str, Option<&str>),
) -> Result<Response, Refusal> {
    let held = Held {
        field: "flow",
        value: &flow.seal(app)?,
    };
    let sheet = Sheet {
        flow,
        held,
        name,
        problem,
        ways: Vec::new(),
    };
    sheet.name()
}

/// The first form, which knows no attempt yet.
async fn first(
    app: &App,
    call: &Call<'_>,
    flow: Flow,
    fields: Fields,
) -> Result<Response, Refusal> {
    let name = match fields.step.as_str() {
        "restart" => return ask_name(app, &flow, ("", None)),
        "passkey" => String::new(),
        _ => fields.login.trim().to_lowercase(),
    };
    let is_passkey = fields.step == "passkey";
    if !is_passkey && !(1..=accounts::MAX_NAME).contains(&name.len()) {
        let problem = Some("Enter the name that you sign in with.");
        return ask_name(app, &flow, ("", problem));
    }
    let (text, attempt) = begin_attempt(app, &flow, name).await?;
    let going = Going {
        flow,
        text: &text,
        attempt,
    };
    match fields.step.as_str() {
        "passkey" => going.ask_passkey(app, None).await,
        "name" => going.sheet(None).ask(Ask::Password),
        _ => step(app, call, going, fields).await,
    }
}

/// Begins an attempt; one without a name is of whoever has the passkey that answers.
async fn begin_attempt(app: &App, flow: &Flow, name: String) -> Result<(String, Attempt), Refusal> {
    let now = app.clock.now();
    let (text, id) = random::bearer_text()?;
    let user = match name.as_str() {
        "" => None,
        name => accounts::resolve(app, name).await?,
    };
    let attempt = Attempt {
        id,
        kind: AttemptKind::Browser,
        client: flow.purpose.client().to_owned(),
        device: flow.purpose.device(),
        username: name,
        user: user.map(|user| user.guid),
        resource: String::new(),
        code_challenge: None,
        two_factors: flow.purpose.wants_second(),
        request: flow.keep()?,
        password_at: None,
        methods: Vec::new(),
        mfa_time: None,
        webauthn: None,
        approval: None,
        expires: now.plus(ATTEMPT_S),
    };
    app.store
        .begin_attempt(app.tenant.id, attempt.clone(), now)
        .await?;
    Ok((text, attempt))
}

async fn step(
    app: &App,
    call: &Call<'_>,
    going: Going<'_>,
    fields: Fields,
) -> Result<Response, Refusal> {
    if fields.step == "restart" {
        let (tenant, id) = (app.tenant.id, going.attempt.id);
        app.store.end_attempt(tenant, id).await?;
        return ask_name(app, &going.flow, ("", None));
    }
    if going.attempt.username.is_empty() {
        return going.take_passkey(app, call, &fields.credential).await;
    }
    match (going.attempt.password_at, going.attempt.user) {
        (Some(_), Some(user)) => second::step(app, call, (going, user), fields).await,
        _ => going.first_factor(app, call, fields).await,
    }
}

impl Going<'_> {
    /// A page of this attempt.
    pub(super) fn sheet<'a>(&'a self, problem: Option<&'a str>) -> Sheet<'a> {
        Sheet {
            flow: &self.flow,
            held: Held {
                field: "attempt",
                value: self.text,
            },
            name: &self.attempt.username,
            problem,
            ways: Vec::new(),
        }
    }

    /// Says to the sign-in log what is tried here, and what it ends with unless something else is said.
    pub(super) fn note(&self, stage: &str, result: u32) {
        let attempt = &self.attempt;
        sign_in_log::note(|row| {
            stage.clone_into(&mut row.stage);
            row.name.clone_from(&attempt.username);
            row.user = attempt.password_at.and(attempt.user);
            row.client.clone_from(&attempt.client);
            row.device = attempt.device;
            row.result = result;
        });
    }

    async fn ask_passkey(&self, app: &App, problem: Option<&str>) -> Result<Response, Refusal> {
        let Some(keys) = &app.security_keys else {
            let problem = "This server is reached by an address, which passkeys are not made for.";
            return ask_name(app, &self.flow, ("", Some(problem)));
        };
        let (options, ceremony) = keys.ask()?;
        let state = serde_json::to_string(&ceremony)?;
        let (tenant, id) = (app.tenant.id, self.attempt.id);
        app.store.set_webauthn(tenant, id, state).await?;
        self.sheet(problem).ask(Ask::SecurityKey(&options))
    }

    async fn take_passkey(
        &self,
        app: &App,
        call: &Call<'_>,
        said: &str,
    ) -> Result<Response, Refusal> {
        self.note("passkey", WRONG);
        let counted = count_address(app, &call.origin).await?;
        let (tenant, id) = (app.tenant.id, self.attempt.id);
        let user = match app.store.take_webauthn(tenant, id).await? {
            None => None,
            Some(state) => security_key::check(app, serde_json::from_str(&state)?, said).await?,
        };
        let Some(user) = user else {
            let problem = "This key is not known here, or its answer came too late.";
            return self.ask_passkey(app, Some(problem)).await;
        };
        counted.was_right(app, &call.origin).await?;
        let done = Done {
            user,
            methods: methods(false, Some(Method::SecurityKey)),
            mfa_time: Some(app.clock.now()),
        };
        finish(app, call, (&self.flow, &self.attempt), done).await
    }

    /// The password, or a pass in its place.
    async fn first_factor(
        self,
        app: &App,
        call: &Call<'_>,
        fields: Fields,
    ) -> Result<Response, Refusal> {
        match fields.step.as_str() {
            "password" => self.take_password(app, call, fields.passwd).await,
            "tap" => self.sheet(None).ask(Ask::AccessPass),
            "access-pass" => self.take_access_pass(app, call, fields.pass).await,
            _ => self.sheet(None).ask(Ask::Password),
        }
    }

    async fn take_password(
        self,
        app: &App,
        call: &Call<'_>,
        typed: String,
    ) -> Result<Response, Refusal> {
        let tenant = app.tenant.id;
        let user = match self.attempt.user {
            Some(user) => app.store.user(tenant, user).await?,
            None => None,
        };
        self.note(PASSWORD, 0);
        let name = &self.attempt.username;
        let (named, source) = ((name.as_str(), user), Source::of(self.attempt.device));
        let checked = accounts::check_password_of(app, named, Secret::new(typed), &source);
        let user = match checked.await {
            Ok(user) => user.guid,
            Err(Refusal::Internal(cause)) => return Err(Refusal::Internal(cause)),
            Err(refusal) => {
                let problem = refusal.sentence();
                return self.sheet(Some(&problem)).ask(Ask::Password);
            }
        };
        let (id, now) = (self.attempt.id, app.clock.now());
        app.store.password_shown(tenant, id, now).await?;
        second::begin(app, call, (self, user)).await
    }

    async fn take_access_pass(
        self,
        app: &App,
        call: &Call<'_>,
        typed: String,
    ) -> Result<Response, Refusal> {
        self.note("access pass", WRONG);
        let typed = Secret::new(typed);
        let whose = (self.attempt.username.as_str(), self.attempt.user);
        let outcome = access_pass::redeem(app, whose, typed.expose(), &call.origin).await;
        let problem = match (outcome, self.attempt.user) {
            (Ok(true), Some(user)) => {
                let done = Done {
                    user,
                    methods: methods(false, Some(Method::AccessPass)),
                    mfa_time: Some(app.clock.now()),
                };
                return finish(app, call, (&self.flow, &self.attempt), done).await;
            }
            (Err(Refusal::Internal(cause)), _) => return Err(Refusal::Internal(cause)),
            (Err(refusal), _) => refusal.sentence(),
            _ => "The name or the pass is wrong, or the pass is not good now.".to_owned(),
        };
        self.sheet(Some(&problem)).ask(Ask::AccessPass)
    }
}
