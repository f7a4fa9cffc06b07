//! The rotation of the authority that issues device certificates, for the administrator.
//!
//! Devices of ours move over as they renew; those of others keep theirs for up to ten years. So those
//! before are trusted until nothing that they issued is good any more, unless their key got out.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use model::{UnixTime, sha256};
use openssl::{
    pkey::{PKey, Public},
    x509::{X509, X509Ref},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Page;

use super::{
    caller::{Caller, needs},
    listing::Rows,
    malformed,
};
use crate::{
    app::App,
    authorities::Former,
    authority::has_signed,
    clock::rfc3339,
    error::{Refusal, read_json},
    roles::Action,
    routing::Paths,
};

/// The longest that an administrator may state, in days.
const MOST_DAYS: u32 = 3650;

/// Devices that are looked at together.
const PIECE: u32 = 500;

pub(super) fn routes() -> Paths {
    let rotate = post(rotate);
    Paths::new().route(
        "/device-authorities",
        needs(Action::ReadTenant, get(list)).merge(needs(Action::ManageTenant, rotate)),
    )
}

/// One authority, and how many devices have a certificate of it.
struct Told {
    key: PKey<Public>,
    sha256: String,
    until: Option<UnixTime>,
    devices: u64,
}

impl Told {
    fn new(certificate: &X509Ref, until: Option<UnixTime>) -> anyhow::Result<Self> {
        let digest = sha256(&certificate.to_der()?);
        Ok(Self {
            key: certificate.public_key()?,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            until,
            devices: 0,
        })
    }
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let authorities = app.authorities().await?;
    let mut all = vec![Told::new(authorities.current.certificate(), None)?];
    for Former { certificate, until } in &authorities.former {
        all.push(Told::new(certificate, Some(*until))?);
    }
    let mut page = Page::first(PIECE);
    loop {
        let devices = app.store.devices(app.tenant.id, page.clone()).await?;
        for device in &devices.rows {
            let certificate = X509::from_der(&device.certificate)?;
            let issuer = all
                .iter_mut()
                .find(|told| has_signed(&told.key, &certificate));
            if let Some(issuer) = issuer {
                issuer.devices += 1;
            }
        }
        let Some(next) = devices.next else {
            break;
        };
        page.after = Some(next);
    }
    Ok(Rows::all(all.into_iter().map(|told| {
        json!({
            "sha256": told.sha256,
            "state": if told.until.is_some() { "former" } else { "issues" },
            "trusted_until": told.until.map(rfc3339),
            "devices": told.devices,
        })
    })))
}

/// `POST /device-authorities`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    /// How long those before are trusted; absent where that is until the last that they issued ends.
    trust_former_days: Option<u32>,
}

async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManageTenant)?;
    let Rotation { trust_former_days } = match body.is_empty() {
        true => Rotation::default(),
        false => read_json(&body)?,
    };
    if trust_former_days.is_some_and(|days| days > MOST_DAYS) {
        return Err(malformed("trust_former_days is a number from 0 to 3,650"));
    }
    let subject = match trust_former_days {
        None => "those before are trusted to the end of what they issued".to_owned(),
        Some(days) => format!("those before are trusted for {days} days"),
    };
    let audit = caller.audit(&app, "device_authority.rotate", &subject);
    let trust_s = trust_former_days.map(|days| i64::from(days) * 86_400);
    if !app.rotate_authority(trust_s, audit).await? {
        let sentence = "somebody else has made a new authority just now: look at it first";
        return Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence));
    }
    let authorities = app.authorities().await?;
    let told = Told::new(authorities.current.certificate(), None)?;
    Ok(Json(
        json!({ "sha256": told.sha256, "former": authorities.former.len() }),
    ))
}
