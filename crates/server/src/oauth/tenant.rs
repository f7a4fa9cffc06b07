//! The tenant as paths name it: by its id, by a domain of it, or by a word for "whichever the user
//! is of". This server has one, so that all of them mean it.

use crate::{app::App, error::Refusal};

/// Refuses a name of another tenant.
pub(crate) async fn expect(app: &App, named: &str) -> Result<(), Refusal> {
    if is_ours(app, named).await? {
        return Ok(());
    }
    let sentence = "this server knows no such tenant";
    Err(Refusal::invalid_request(90002, sentence))
}

/// Whether a name is one of this server's tenant.
pub(crate) async fn is_ours(app: &App, named: &str) -> Result<bool, store::Error> {
    let is_any = ["common", "organizations"]
        .iter()
        .any(|word| named.eq_ignore_ascii_case(word));
    if is_any || named.parse() == Ok(app.tenant.id) {
        return Ok(true);
    }
    let domains = app.store.domains(app.tenant.id).await?;
    Ok(domains
        .iter()
        .any(|domain| domain.dns_name.eq_ignore_ascii_case(named)))
}
