//! Which TPMs are believed: endorsement keys that an administrator names, and manufacturers.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use model::sha256;
use openssl::x509::X509;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Digest, Endorsement, TpmRoot};

use super::{
    caller::{Caller, needs},
    find::unknown,
    listing::Rows,
    malformed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Refusal, read_json},
    roles::Action,
    routing::Paths,
};

/// The most endorsement keys of one request.
const MOST: usize = 500;

const MAX_TEXT: usize = 256;

pub(super) fn routes() -> Paths {
    Paths::new()
        .route(
            "/endorsements",
            needs(Action::ReadTenant, get(list)).merge(needs(Action::ManagePolicy, post(add))),
        )
        .route(
            "/endorsements/{hash}",
            needs(Action::ManagePolicy, delete(remove)),
        )
        .route(
            "/tpm-roots",
            needs(Action::ReadTenant, get(list_roots))
                .merge(needs(Action::ManagePolicy, post(add_root))),
        )
        .route(
            "/tpm-roots/{hash}",
            needs(Action::ManagePolicy, delete(remove_root)),
        )
}

pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A SHA-256 in hexadecimal, as tools write it: with or without colons.
fn digest(text: &str) -> Result<Digest, Refusal> {
    let bad = || malformed("this is no SHA-256 in hexadecimal");
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let digits = digits.strip_prefix("sha256").unwrap_or(&digits);
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad());
    }
    let byte = |place: usize| {
        let pair = digits.get(place * 2..place * 2 + 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(bad)
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let named = app.store.endorsements(app.tenant.id).await?;
    Ok(Rows::all(named.iter().map(|named| {
        json!({ "hash": hex(&named.hash), "note": named.note, "added": rfc3339(named.added) })
    })))
}

/// `POST /endorsements`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndorsements {
    hashes: Vec<String>,
    #[serde(default)]
    note: String,
}

async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManagePolicy)?;
    let new: NewEndorsements = read_json(&body)?;
    if !(1..=MOST).contains(&new.hashes.len()) || new.note.len() > MAX_TEXT {
        return Err(malformed(
            "name 1 to 500 endorsement keys, and a note of 256 bytes at most",
        ));
    }
    let audit = caller.audit(&app, "endorsement.add", &new.hashes.join(", "));
    let named = new.hashes.iter().map(|hash| {
        Ok(Endorsement {
            hash: digest(hash)?,
            note: new.note.clone(),
            added: audit.at,
        })
    });
    let named = named.collect::<Result<Vec<_>, Refusal>>()?;
    let count = named.len();
    app.store
        .add_endorsements(app.tenant.id, named, audit)
        .await?;
    Ok(Json(json!({ "added": count })))
}

async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManagePolicy)?;
    let digest = digest(&hash)?;
    let audit = caller.audit(&app, "endorsement.remove", &hash);
    match app
        .store
        .remove_endorsement(app.tenant.id, digest, audit)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("this endorsement key is not named")),
    }
}

async fn list_roots(State(app): State<Arc<App>>, caller: Caller) -> Result<Rows, Refusal> {
    caller.expect_whole(Action::ReadTenant)?;
    let roots = app.store.tpm_roots(app.tenant.id).await?;
    Ok(Rows::all(roots.iter().map(|root| {
        json!({
            "hash": hex(&sha256(&root.der)),
            "name": root.name,
            "added": rfc3339(root.added),
        })
    })))
}

/// `POST /tpm-roots`: a certificate in PEM.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRoot {
    name: String,
    pem: String,
}

async fn add_root(
    State(app): State<Arc<App>>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    caller.expect_whole(Action::ManagePolicy)?;
    let new: NewRoot = read_json(&body)?;
    if !(1..=MAX_TEXT).contains(&new.name.len()) {
        return Err(malformed("the name is empty, or longer than 256 bytes"));
    }
    let certificate = X509::from_pem(new.pem.as_bytes())
        .map_err(|_| malformed("this is no certificate in PEM"))?;
    let der = certificate.to_der()?;
    let hash = hex(&sha256(&der));
    let audit = caller.audit(&app, "tpm_root.add", &format!("{} {hash}", new.name));
    let root = TpmRoot {
        name: new.name,
        der,
        added: audit.at,
    };
    app.store.add_tpm_root(app.tenant.id, root, audit).await?;
    Ok(Json(json!({ "hash": hash })))
}

async fn remove_root(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.expect_whole(Action::ManagePolicy)?;
    let digest = digest(&hash)?;
    let audit = caller.audit(&app, "tpm_root.remove", &hash);
    match app
        .store
        .remove_tpm_root(app.tenant.id, digest, audit)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown("there is no such certificate")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_tools_write_it() {
        let plain = "00ff".repeat(16);
        let colons = ["00", "FF"].repeat(16).join(":");
        for text in [plain.clone(), colons, format!("sha256:{plain}")] {
            assert_eq!(hex(&digest(&text).unwrap()), plain, "{text}");
        }
        for bad in [
            "",
            "00",
            &"zz".repeat(32),
            &format!("{plain}0"),
            &"é".repeat(32),
        ] {
            assert!(digest(bad).is_err(), "{bad}");
        }
    }
}
