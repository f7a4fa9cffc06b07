//! The next certificate of a device, before the last one ends.
//!
//! It is for the same key: what AD has in `userCertificate`, and what signs statements, stays. The
//! older one is good to its end, so that an answer that is lost costs nothing.

use std::sync::Arc;

use api::{device::JoinAnswer, join::RenewalRequest};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use openssl::x509::X509;
use store::Audit;

use crate::{
    access,
    app::App,
    authority,
    error::{Refusal, read_json},
    join,
};

/// `POST /device/v1/certificate`.
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<JoinAnswer>, Refusal> {
    let device = access::device(&app, &headers).await?;
    let request: RenewalRequest = read_json(&body)?;
    let refused = |sentence| Refusal::own(StatusCode::BAD_REQUEST, "bad_csr", sentence);
    let key = authority::requested_key(&request.csr).map_err(|why| refused(why.0))?;
    let current = X509::from_der(&device.certificate)?.public_key()?;
    if !current.public_eq(&key) {
        return Err(refused(
            "the request is for another key than the device's: a device with a new key joins again",
        ));
    }
    let now = app.clock.now();
    let certificate = app.issue(device.id, &key, true).await?;
    let audit = Audit {
        at: now,
        actor: format!("device:{}", device.id),
        action: "device.renew",
        subject: device.display_name.clone(),
    };
    app.store
        .renew_device_certificate(app.tenant.id, device.id, certificate.clone(), audit)
        .await?;
    Ok(Json(JoinAnswer {
        certificate: join::issued(&certificate)?,
        user: None,
        membership_changes: Vec::new(),
        latchkey: Some(join::told(&app, &device).await?),
    }))
}
