//! Joining a server, and leaving it.
//!
//! The device proves itself by the one thing that only the domain can have given it: the computer
//! account writes a certificate of the device's key into its own `userCertificate`, the agent
//! brings it to the server, and the device signs its request with that key. Whom to join is read
//! from the directory, or told by an administrator together with the fingerprint of the server's
//! key; nothing is believed about a server before its certificate leads to that key.

use std::{sync::Arc, time::Duration};

use api::device::{
    AdJoinData, CertificateRequest, ClientIdentity, JoinAttestation, JoinRequest, JoinedDevice,
};
use client::Client;
use directory::{Computer, Directory, ServicePoint};
use ipc::{Done, Failure, Join, JoinAnswer, Leave};
use model::{Guid, Secret, UnixTime};
use openssl::x509::X509;
use time::OffsetDateTime;
use token::RsaJwk;
use tokio::time::Instant;
use tpm::{KeyBlob, Role, Tpm};

use crate::{
    Error, certificate,
    chip::is_tpm_missing,
    daemon::{Daemon, now},
    error::refused,
    events::{Event, Id},
    identity::{self, Device, Joined, Keys, public_key},
    key_storage::KeyStorage,
    peer::Peer,
    policies::Subject,
    text,
};

/// Whom to join.
struct Target {
    url: String,
    fingerprint: String,
    tenant: Option<Guid>,
    agent: Option<String>,
}

/// Joins this device to a server.
pub(crate) async fn join(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: Join,
) -> Result<JoinAnswer, Error> {
    if !peer.is_root() {
        return Err(refused("not_allowed", "Only root may join this machine."));
    }
    let _one = daemon.membership.lock().await;
    let outcome = attempt(daemon, args).await;
    daemon.events.tell(&match &outcome {
        Ok(answer) => joined(answer),
        Err((stage, error)) => failed(*stage, &error.failure()),
    });
    outcome.map_err(|(_, error)| error)
}

/// Joins, or tells what has failed and why. Only for whoever has the membership's lock.
pub(crate) async fn attempt(daemon: &Arc<Daemon>, args: Join) -> Result<JoinAnswer, (Id, Error)> {
    let mut stage = Id::NoServicePoint;
    let outcome = join_staged(daemon, args, &mut stage).await;
    outcome.map_err(|error| (stage, error))
}

/// The event of a join.
pub(crate) fn joined(answer: &JoinAnswer) -> Event {
    Event::new(Id::Joined)
        .with("Server", &answer.server)
        .with("DeviceId", &answer.device_id)
        .with("Thumbprint", &answer.thumbprint)
}

/// The event of one that failed.
pub(crate) fn failed(stage: Id, failure: &Failure) -> Event {
    Event::new(stage).because(failure)
}

/// Joins; `stage` is what has failed where that fails.
async fn join_staged(
    daemon: &Arc<Daemon>,
    args: Join,
    stage: &mut Id,
) -> Result<JoinAnswer, Error> {
    let directory = daemon.directory().await?;
    let target = target(args, directory.service_point().await?)?;
    let computer = directory.own_computer().await?;
    *stage = Id::NotDiscovered;
    let anchor = client::fetch_anchor(&target.url, &target.fingerprint).await?;
    let client = Client::new(&target.url, &anchor)?;

    *stage = Id::JoinNotProven;
    let device = device(daemon, &directory, &computer).await?;
    daemon.refresh_domain(&directory).await?;
    let auth = daemon.identity.auth()?;
    publish_certificate(daemon, &directory, &computer, &device, &auth).await?;

    let named = target.tenant.map(|tenant| tenant.to_string());
    let discovery = client
        .discover(named.as_ref().unwrap_or(&device.domain))
        .await?;
    *stage = Id::JoinFailed;
    let answer = put(daemon, &client, &device, &auth).await?;
    let certificate = issued(&answer.certificate.raw_body, &device)?;
    let (recovery_public, statement_keys) = told(answer.latchkey.as_ref());
    let challenge = answer.latchkey.and_then(|told| told.challenge);
    let joined = Joined {
        url: client.base_url().to_owned(),
        anchor: String::from_utf8_lossy(&anchor.to_pem()?).into_owned(),
        tenant: discovery.tenant.tenant_id,
        agent: target.agent,
        certificate,
        recovery_public,
        statement_keys,
    };
    let answer = JoinAnswer {
        device_id: device.id.to_string(),
        server: target.url,
        thumbprint: answer.certificate.thumbprint,
    };
    daemon.identity.keep_server(joined)?;
    daemon.forget_left_by_hand()?;
    daemon.bearer.forget().await;
    daemon.lockout.joined();
    tracing::info!(device = answer.device_id, server = answer.server, "joined");
    if let Some(challenge) = challenge
        && let Err(error) = daemon.answer_challenge(challenge).await
    {
        // Asked for again before a key is made.
        tracing::warn!(%error, "the server has not seen yet that this device's keys are in a TPM");
    }
    // A failure is kept with the set and tried again: the device has joined all the same.
    let _ = daemon.refresh_policies(&Subject::Computer).await;
    Ok(answer)
}

/// Leaves the server and removes every credential of this device.
pub(crate) async fn leave(daemon: &Arc<Daemon>, peer: &Peer, _: Leave) -> Result<Done, Error> {
    if !peer.is_root() {
        return Err(refused(
            "not_allowed",
            "Only root may take this machine out.",
        ));
    }
    let _one = daemon.membership.lock().await;
    let (device, joined) = daemon.identity.joined()?;
    let outcome = take_out(daemon, &device).await;
    let told = |id| {
        let event = Event::new(id).with("Server", &joined.url);
        event.with("DeviceId", device.id)
    };
    daemon.events.tell(&match &outcome {
        Ok(()) => told(Id::Left),
        Err(error) => told(Id::NotLeft).because(&error.failure()),
    });
    outcome.map(|()| Done {})
}

async fn take_out(daemon: &Arc<Daemon>, device: &Device) -> Result<(), Error> {
    let server = if has_its_keys(daemon, device).await? {
        let server = daemon.server()?;
        match daemon.bearer(&server).await {
            Ok(bearer) => Some((server, bearer)),
            Err(Error::Deleted(_)) => None,
            Err(error) => return Err(error),
        }
    } else {
        // Without its key this machine is nobody to the server; an administrator removes it there.
        tracing::warn!("the TPM has none of the device's keys, so the server is not told");
        None
    };
    // Keys first: a device that is gone can delete none.
    for uid in daemon.credentials.uids()? {
        let Some(credential) = daemon.credentials.read(uid)? else {
            continue;
        };
        if server.is_some() {
            daemon.delete_everywhere(&credential).await?;
        } else {
            daemon.discard(&credential).await?;
        }
    }
    if let Some((server, bearer)) = server {
        gone_is_fine(server.client.leave(&bearer, server.device.id).await)?;
    }
    forget(daemon).await
}

/// Forgets the server and what came from it. The credentials are gone by then; and the machine does not
/// come back by itself.
pub(crate) async fn forget(daemon: &Daemon) -> Result<(), Error> {
    daemon.note_left_by_hand()?;
    daemon.identity.forget()?;
    daemon.policies.forget()?;
    daemon.lockout.left()?;
    daemon.chip.forget().await?;
    daemon.bearer.forget().await;
    Ok(())
}

/// What the server does not know any more is as good as deleted.
pub(crate) fn gone_is_fine(outcome: Result<(), client::Error>) -> Result<(), Error> {
    match outcome {
        Err(client::Error::Refused(refusal)) if refusal.status == 404 => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn target(args: Join, point: Option<ServicePoint>) -> Result<Target, Error> {
    match (args.url, args.fingerprint, point) {
        (None, None, Some(point)) => Ok(Target {
            url: point.url,
            fingerprint: point.fingerprint,
            tenant: Some(point.tenant),
            agent: Some(point.agent),
        }),
        (None, None, None) => Err(refused(
            "no_scp",
            "The domain names no Latchkey server. Have its administrator run `latchkey-sync \
             publish`, or join with --url and --fingerprint.",
        )),
        (Some(url), Some(fingerprint), point) => Ok(Target {
            url,
            fingerprint,
            tenant: None,
            // Whom users may prove themselves to is the domain's word, never the server's.
            agent: point.map(|point| point.agent),
        }),
        _ => Err(refused(
            "bad_request",
            "A URL and a fingerprint belong together: a server is believed only by its key.",
        )),
    }
}

/// Does the TPM still open the device's keys? Not after it was cleared or exchanged.
pub(crate) async fn has_its_keys(daemon: &Daemon, device: &Device) -> Result<bool, Error> {
    let (auth, digest) = (daemon.identity.auth()?, model::sha256(PROBE));
    match identity::sign(&daemon.chip, &device.keys.device, &auth, digest).await {
        Ok(_) => Ok(true),
        Err(Error::Tpm(tpm::Error::KeyUnusable(_))) => Ok(false),
        Err(error) if is_tpm_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The device with its keys: as it is on disk where that is this computer's and its keys open,
/// else made now.
async fn device(
    daemon: &Daemon,
    directory: &Directory,
    computer: &Computer,
) -> Result<Device, Error> {
    let kept = daemon.identity.device();
    let kept = kept.filter(|device| device.id == computer.guid);
    if let Some(device) = &kept
        && has_its_keys(daemon, device).await?
    {
        return Ok(device.clone());
    }
    let used = kept.map_or(0, |device| device.sequence);
    let auth = daemon.identity.auth()?;
    let key_storage = daemon.chip.settle();
    let keys = make_keys(daemon, &auth).await?;
    let (id, at) = (computer.guid, now());
    let root_certificate = identity::with_signer(&daemon.chip, &keys.root, &auth, move |signer| {
        certificate::root(id, signer, at)
    })
    .await?;
    let realm = directory.domain().dns_name.to_uppercase();
    let device = Device {
        id,
        sid: computer.sid.clone(),
        realm: daemon.config.realm.clone().unwrap_or(realm),
        domain: directory.domain().dns_name.clone(),
        key_storage,
        keys,
        root_certificate,
        // A device that lost its state must not count from one again: the agent remembers.
        sequence: used.max(u64::try_from(at.0).unwrap_or(0) * 1000),
        server: None,
    };
    daemon.identity.keep(device.clone())?;
    Ok(device)
}

async fn make_keys(daemon: &Daemon, auth: &Secret<[u8; 32]>) -> Result<Keys, Error> {
    daemon.lockout.close(&daemon.chip).await?;
    let auth = auth.clone();
    let create = move |tpm: &mut Tpm| {
        let mut key = |role| -> Result<KeyBlob, Error> { Ok(tpm.create_device_key(role, &auth)?) };
        Ok(Keys {
            device: key(Role::Device)?,
            transport: key(Role::Transport)?,
            attestation: key(Role::Attestation)?,
            root: key(Role::DeviceRoot)?,
        })
    };
    daemon.chip.run(create).await
}

/// Puts the certificate of the device key into the computer's account, if it is not there.
async fn publish_certificate(
    daemon: &Daemon,
    directory: &Directory,
    computer: &Computer,
    device: &Device,
    auth: &Secret<[u8; 32]>,
) -> Result<(), Error> {
    let public = public_key(&device.keys.device)?.to_spki_der();
    let is_own = |der: &Vec<u8>| {
        X509::from_der(der)
            .and_then(|certificate| certificate.public_key()?.public_key_to_der())
            .is_ok_and(|key| key == public)
    };
    if computer.certificates.iter().any(is_own) {
        return Ok(());
    }
    let (id, at) = (device.id, now());
    let own = identity::with_signer(&daemon.chip, &device.keys.device, auth, move |signer| {
        certificate::own(id, signer, at)
    })
    .await?;
    Ok(directory.set_own_certificate(computer, &own).await?)
}

/// Sends the request, again and again while the agent has not yet brought the certificate.
async fn put(
    daemon: &Daemon,
    client: &Client,
    device: &Device,
    auth: &Secret<[u8; 32]>,
) -> Result<api::device::JoinAnswer, Error> {
    let deadline = Instant::now() + SYNC_PATIENCE;
    let attestation = match device.key_storage {
        KeyStorage::Hardware => Some(attestation(daemon, device).await?),
        // A program vouches for nothing.
        KeyStorage::Software => None,
    };
    loop {
        let request = request(daemon, device, auth, attestation.clone()).await?;
        match client.join(device.id, &request).await {
            Err(client::Error::Refused(refusal))
                if refusal.code == "device_not_synced" && Instant::now() < deadline =>
            {
                tokio::time::sleep(SYNC_PAUSE).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

async fn attestation(daemon: &Daemon, device: &Device) -> Result<JoinAttestation, Error> {
    let endorsement = |tpm: &mut Tpm| Ok((tpm.ek_public()?, tpm.ek_certificate()?));
    let (ek_public, ek_certificate) = daemon.chip.run(endorsement).await?;
    Ok(JoinAttestation {
        // The certificate carries the endorsement key; without one it proves nothing.
        ek_public: Some(text::base64(&ek_public.public_key_to_der()?)),
        ek_certificate: ek_certificate.map(|der| text::base64(&der)),
        ak_public: text::base64(&device.keys.attestation.public),
    })
}

async fn request(
    daemon: &Daemon,
    device: &Device,
    auth: &Secret<[u8; 32]>,
    attestation: Option<JoinAttestation>,
) -> Result<JoinRequest, Error> {
    let csr = identity::with_signer(
        &daemon.chip,
        &device.keys.device,
        auth,
        certificate::request,
    );
    let csr = csr.await?;
    let sid = signed_identity(device, now())?;
    let digest = model::sha256(sid.as_bytes());
    let signed = identity::sign(&daemon.chip, &device.keys.device, auth, digest).await?;
    Ok(JoinRequest {
        join_type: HYBRID_JOIN,
        certificate_request: CertificateRequest {
            kind: "pkcs10".to_owned(),
            data: text::base64(&csr),
        },
        server_ad_join_data: AdJoinData {
            transport_key: text::base64(&public_key(&device.keys.transport)?.to_rsa1()),
            target_domain: device.domain.clone(),
            device_type: "Linux".to_owned(),
            os_version: os_version(),
            device_display_name: host_name(),
            target_domain_id: None,
            client_identity: ClientIdentity {
                kind: "sha256signed".to_owned(),
                sid,
                signed_blob: text::base64(&signed),
            },
        },
        latchkey: attestation,
    })
}

/// `<computer SID>.<yyyy-MM-dd HH:mm:ss>Z`.
fn signed_identity(device: &Device, now: UnixTime) -> Result<String, Error> {
    let t = OffsetDateTime::from_unix_timestamp(now.0)
        .map_err(|_| Error::Bug("the clock is out of range"))?;
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    Ok(format!(
        "{}.{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z",
        device.sid
    ))
}

/// What a server tells its devices with each certificate.
pub(crate) fn told(told: Option<&JoinedDevice>) -> (Vec<u8>, Vec<RsaJwk>) {
    told.map_or_else(Default::default, |told| {
        let recovery_public = text::from_base64(&told.recovery_public);
        (
            recovery_public.unwrap_or_default(),
            told.statement_keys.clone(),
        )
    })
}

/// The issued certificate, if it is one for this device's key.
pub(crate) fn issued(encoded: &str, device: &Device) -> Result<Vec<u8>, Error> {
    let unfit = || {
        refused(
            "server_unfit",
            "The server's device certificate is not for this device's key.",
        )
    };
    let der = text::from_base64(encoded).ok_or_else(unfit)?;
    let certificate = X509::from_der(&der).map_err(|_| unfit())?;
    let key = certificate.public_key()?.public_key_to_der()?;
    if key != public_key(&device.keys.device)?.to_spki_der() {
        return Err(unfit());
    }
    Ok(der)
}

/// For people.
fn os_version() -> String {
    std::fs::read_to_string("/etc/os-release")
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
            Some(line.trim_matches('"').to_owned())
        })
        .unwrap_or_else(|| "Linux".to_owned())
}

pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// What is signed to learn whether the device key opens; it means nothing anywhere else.
const PROBE: &[u8] = b"latchkey: does the device key open";

/// `JoinType` of a computer that AD already knows (MS-DVRJ).
const HYBRID_JOIN: u8 = 6;

/// How long the agent may take to bring a new certificate to the server.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries.
const SYNC_PAUSE: Duration = Duration::from_secs(1);
