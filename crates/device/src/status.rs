//! What the daemon says of itself, the device and the caller's credential.

mod registration;
mod trial;

use std::sync::Arc;

use ipc::{CredentialInfo, Hello, HelloAnswer, Status, StatusAnswer, Tests};

use crate::{
    Error, credential::Credential, daemon::Daemon, key_storage::KeyStorage, peer::Peer,
    pin::tries::duration, session::Visit, text,
};

/// Who is there?
pub(crate) async fn hello(_: &Arc<Daemon>, _: &Peer, _: Hello) -> Result<HelloAnswer, Error> {
    Ok(HelloAnswer {
        release: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The state of the device and of the credentials that the caller may see.
pub(crate) async fn status(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: Status,
) -> Result<StatusAnswer, Error> {
    let mut credentials = Vec::new();
    for uid in daemon.credentials.uids()? {
        // Root sees what lies there, also while nobody can tell whose uid it is.
        let credential = match (peer.is_root(), peer.process.uid == uid) {
            (true, _) => daemon.credentials.read(uid)?,
            (_, true) => daemon.credential(uid).await?,
            _ => None,
        };
        if let Some(credential) = credential {
            credentials.push(info(daemon, credential).await?);
        }
    }
    let uid = peer.process.uid;
    // While nobody can tell who the caller is, the rest is still worth knowing.
    let sid = daemon.sid(uid).await.ok().flatten();
    let person = sid.as_ref().map(|sid| (uid, sid));
    let judged = daemon.judge(person, Visit::of(args.remote)).await?;
    let device = daemon.identity.device();
    let server = device.as_ref().and_then(|device| device.server.as_ref());
    let own = credentials.iter().find(|credential| credential.uid == uid);
    let registration = registration::registration(daemon, own)?;
    let tests = match args.tests && peer.is_root() {
        true => trial::run(daemon).await,
        false => Tests::default(),
    };
    let asked = daemon
        .chip
        .run(|tpm| Ok((tpm.info()?, tpm.lockout_wait()?)));
    let tpm = match asked.await {
        Ok((info, lockout)) => {
            let (major, minor) = info.firmware;
            let counts = if info.has_pin_fail {
                "counts wrong PINs per user"
            } else {
                "counts wrong PINs for all users together"
            };
            let kind = match daemon.chip.storage() {
                KeyStorage::Hardware => "",
                KeyStorage::Software => "a program in its place, ",
            };
            let locked = lockout.map(|wait_s| {
                let wait = duration(wait_s);
                format!(", takes no PIN for {wait}: too many failures")
            });
            let locked = locked.unwrap_or_default();
            let maker = info.manufacturer;
            format!("{kind}{maker} {major:x}.{minor:x}, {counts}{locked}")
        }
        Err(error) => error.failure().sentence,
    };
    Ok(StatusAnswer {
        joined: server.is_some(),
        device_id: device.as_ref().map(|device| device.id.to_string()),
        realm: device.as_ref().map(|device| device.realm.clone()),
        server: server.map(|server| server.url.clone()),
        key_storage: daemon.chip.storage().word().to_owned(),
        tpm,
        credentials,
        registration,
        tests,
        prerequisites: judged.prerequisites,
        primary_token: daemon.primaries.state(uid),
    })
}

async fn info(daemon: &Daemon, credential: Credential) -> Result<CredentialInfo, Error> {
    let kept = daemon.presence.ticket(credential.uid);
    let key = credential.key.clone();
    let tries = daemon.chip.run(move |tpm| Ok(tpm.tries(&key)?)).await;
    // A key that the TPM does not open any more is shown with no tries and the reason.
    let (left, limit, broken) = match tries {
        Ok(tries) => (tries.left, tries.limit, None),
        Err(error) => (0, 0, Some(error.failure().sentence)),
    };
    Ok(CredentialInfo {
        uid: credential.uid,
        sid: credential.sid.to_string(),
        upn: credential.upn.clone(),
        kid: credential.state.kid().map(str::to_owned),
        key_id: text::hex(&credential.public_key()?.key_id()),
        state: credential.state.word().to_owned(),
        detail: broken.or_else(|| credential.state.detail().map(str::to_owned)),
        tries_left: left,
        tries_limit: limit,
        pin_kept: kept.is_some(),
        ticket_until: kept.flatten().map(|end| end.0),
        pin_expires_in_days: daemon.pin_days_left(&credential),
        can_reset: daemon.can_reset(&credential),
    })
}
