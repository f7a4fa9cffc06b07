//! Sign-in by user name and password without a page (RFC 6749 4.3). Foreign clients need it in
//! laboratories and nowhere else: it is offered only where the tenant's setting and the client's
//! registration both say so, and proves one factor.

use api::oauth::TokenAnswer;
use model::Secret;
use store::App as Application;

use super::{
    issue::{self, Order, Refresh},
    scope::Version,
    subject::{Kept, Subject},
    token::{Form, needed},
};
use crate::{accounts, app::App, error::Refusal, random, source::Source};

/// The tokens for a name and a password.
pub(crate) async fn redeem(
    app: &App,
    version: Version,
    form: &Form,
    client: &Application,
) -> Result<TokenAnswer, Refusal> {
    let name = needed(&form.username, "username")?;
    let secret = form
        .password
        .clone()
        .ok_or_else(|| Refusal::malformed("password is missing"))?;
    let asked = form.asked()?.unwrap_or_default();
    issue::audience(client, &asked)?;
    let subject = sign_in(app, client, name, secret).await?;
    let order = Order {
        client,
        version,
        asked: &asked,
        nonce: None,
        client_info: form.wants_client_info(),
        refresh: Refresh::Begins(random::guid()?),
    };
    issue::answer(app, &subject, order).await
}

/// The subject of a name and a password, where this way in is open.
pub(crate) async fn sign_in(
    app: &App,
    client: &Application,
    name: &str,
    secret: Secret<String>,
) -> Result<Subject, Refusal> {
    let is_open = client.compat.ropc && app.store.settings(app.tenant.id).await?.allow_ropc;
    if !is_open {
        let sentence = "sign-in by user name and password is not offered to this client";
        return Err(Refusal::bad("unauthorized_client", 7_000_218, sentence));
    }
    let user = accounts::check_password(app, name, secret, &Source::of(None)).await?;
    let kept = Kept {
        user: user.guid,
        device: None,
        methods: vec!["pwd".to_owned()],
        auth_time: app.clock.now(),
        mfa_time: None,
    };
    kept.stand(app).await
}
