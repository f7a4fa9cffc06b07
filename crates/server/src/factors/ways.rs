//! Which ways a user has to confirm who it is, now.

use model::Guid;
use protocol::factor::Method;
use store::Factors;

use crate::app::App;

/// The ways of a user, the strongest first.
///
/// An approval needs a browser in which the user is signed in already, by two factors: what has only
/// shown the password must not vouch for it a second time.
pub(crate) async fn of(app: &App, user: Guid) -> Result<Vec<Method>, store::Error> {
    let (tenant, now) = (app.tenant.id, app.clock.now());
    let factors = app.store.factors(tenant, user).await?;
    let sessions = app.store.sessions_of(tenant, user, now).await?;
    let mut ways = Vec::new();
    if !factors.security_keys.is_empty() && app.security_keys.is_some() {
        ways.push(Method::SecurityKey);
    }
    if sessions.iter().any(|session| session.mfa_time.is_some()) {
        ways.push(Method::Approval);
    }
    if factors.totp.is_some_and(|totp| totp.confirmed) {
        ways.push(Method::Otp);
    }
    let is_good = |pass: &store::AccessPass| {
        pass.starts <= now && now < pass.expires && !(pass.once && pass.used.is_some())
    };
    if factors.access_pass.as_ref().is_some_and(is_good) {
        ways.push(Method::AccessPass);
    }
    Ok(ways)
}

/// Whether the user has registered anything that lasts.
pub(crate) fn has_lasting(factors: &Factors) -> bool {
    !factors.security_keys.is_empty() || factors.totp.as_ref().is_some_and(|totp| totp.confirmed)
}
