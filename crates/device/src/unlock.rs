//! Opening a user's key for one signature: what the PKCS#11 module and the login helper ask for.

use std::{sync::Arc, time::Instant};

use attest::policy::PIN_LIMIT;
use ipc::{CertAnswer, Sign, Signature, Ticket, TokenInfo, TokenInfoAnswer, Unlock};
use keycred::RsaPublicKey;
use model::Secret;
use tpm::Unlocked;

use crate::{
    Error, certificate,
    certificate::LEAF_LIFETIME_S,
    credential::{Credential, Leaf},
    daemon::{Daemon, no_credential, now, random_name},
    error::refused,
    identity,
    peer::Peer,
    pin::tries::PHRASE,
    text, tickets,
};

/// DigestInfo of SHA-256 (RFC 8017 9.2, note 1), up to the digest.
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

fn may_act_for(peer: &Peer, uid: u32) -> Result<(), Error> {
    if peer.may_act_for(uid) {
        return Ok(());
    }
    Err(refused(
        "not_allowed",
        "Only the user itself or root may use this credential.",
    ))
}

/// Opens the key for one signature.
pub(crate) async fn unlock(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: Unlock,
) -> Result<Ticket, Error> {
    may_act_for(peer, args.uid)?;
    let right = match args.pin {
        Some(pin) => {
            let allow = |credential: &Credential| daemon.allow_sign_in(&credential.sid, false);
            let found = daemon.credential_and(args.uid, allow).await?;
            let (credential, effective) = found.ok_or_else(no_credential)?;
            let effective = effective?;
            let right = daemon.prove_pin(&credential, &pin).await?;
            daemon.demand_fresh(&credential, &pin, effective.as_ref())?;
            right
        }
        None => {
            let expected = daemon.tickets().fetch(&peer.process, Instant::now());
            let right = expected.ok_or_else(pin_required)?;
            // The PIN may not be proven yet, and perhaps never will be.
            right.await.map_err(|_| pin_required())?
        }
    };
    let ticket = random_name()?;
    daemon
        .tickets()
        .issue(ticket.clone(), peer.process, right, Instant::now());
    Ok(Ticket {
        ticket,
        expires_in_s: tickets::LIFETIME.as_secs() as u32,
    })
}

fn pin_required() -> Error {
    refused("pin_required", "This key opens by its PIN only.")
}

/// Uses a ticket up for one signature.
pub(crate) async fn sign(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: Sign,
) -> Result<Signature, Error> {
    let digest = digest_of(&args.digest_info).ok_or_else(|| {
        refused(
            "bad_digest",
            "Only the DigestInfo of a SHA-256 digest is signed.",
        )
    })?;
    let right = daemon
        .tickets()
        .redeem(&args.ticket, &peer.process, Instant::now())
        .filter(|_| !peer.has_ended())
        .ok_or_else(|| {
            refused(
                "bad_ticket",
                "The ticket is used, lapsed, or another process's.",
            )
        })?;
    let mut right = Some(right);
    let signature = daemon
        .chip
        .run_and(
            move |tpm| {
                let right = right.take().ok_or_else(lost)?;
                Ok(tpm.sign_unlocked(right, &digest)?)
            },
            |tpm| tpm.stand_by(None),
        )
        .await?;
    Ok(Signature {
        signature: text::hex(&signature),
    })
}

fn lost() -> Error {
    Error::Tpm(tpm::Error::Unavailable(
        "the connection to it broke".to_owned(),
    ))
}

fn digest_of(digest_info: &str) -> Option<[u8; 32]> {
    let bytes = text::from_hex(digest_info)?;
    bytes.strip_prefix(&SHA256_DIGEST_INFO)?.try_into().ok()
}

/// Is the peer a login helper of this user's that has not fetched its right yet? Whose credential
/// it is, the sign-in has found out that started it.
fn is_login_of(daemon: &Daemon, peer: &Peer, uid: u32) -> bool {
    peer.process.uid == uid && daemon.tickets().is_expected(&peer.process, Instant::now())
}

/// What a PKCS#11 token of this user would say of itself.
pub(crate) async fn token_info(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: TokenInfo,
) -> Result<TokenInfoAnswer, Error> {
    may_act_for(peer, args.uid)?;
    if is_login_of(daemon, peer, args.uid) {
        // The sign-in that started it asks TPM and accounts itself.
        return Ok(TokenInfoAnswer {
            present: true,
            protected_path: true,
            tries_left: PIN_LIMIT,
            tries_limit: PIN_LIMIT,
            phrase: None,
            retry_after_s: None,
        });
    }
    let Some(credential) = daemon.credential(args.uid).await? else {
        return Ok(TokenInfoAnswer {
            present: false,
            protected_path: false,
            tries_left: 0,
            tries_limit: 0,
            phrase: None,
            retry_after_s: None,
        });
    };
    if args.remote {
        daemon.allow_sign_in(&credential.sid, true)?;
    }
    let (key, expected) = (credential.key.clone(), credential.key);
    // Whoever asks this is about to ask for the PIN.
    let tries = daemon.chip.run_and(
        move |tpm| Ok(tpm.tries(&key)?),
        move |tpm| tpm.stand_by(Some(&expected)),
    );
    let tries = tries.await?;
    let demand = daemon.tries.demand(args.uid, now())?;
    Ok(TokenInfoAnswer {
        present: true,
        protected_path: false,
        tries_left: tries.left,
        tries_limit: tries.limit,
        phrase: demand.phrase.then(|| PHRASE.to_owned()),
        retry_after_s: Some(demand.wait_s).filter(|wait_s| *wait_s > 0),
    })
}

/// The user's certificate.
pub(crate) async fn cert(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: ipc::Cert,
) -> Result<CertAnswer, Error> {
    may_act_for(peer, args.uid)?;
    let credential = match is_login_of(daemon, peer, args.uid) {
        true => daemon
            .credentials
            .read(args.uid)?
            .ok_or_else(no_credential)?,
        false => daemon.present_credential(args.uid).await?,
    };
    let public = credential.public_key()?;
    let (leaf, issuer) = daemon.leaf(credential).await?;
    Ok(CertAnswer {
        certificate: text::hex(&leaf.certificate),
        issuer: text::hex(&issuer),
        key_id: text::hex(&public.key_id()),
        modulus: text::hex(public.modulus()),
        exponent: text::hex(public.exponent()),
    })
}

impl Daemon {
    /// Proves a PIN to the TPM, for whoever has typed no phrase.
    pub async fn prove_pin(
        &self,
        credential: &Credential,
        pin: &ipc::Secret,
    ) -> Result<Unlocked, Error> {
        self.prove_pin_with(credential, pin, None).await
    }

    /// Has the TPM compare a PIN that nobody types now: one that was right before. It neither waits for
    /// wrong ones nor makes up for them; what a person types goes to [`Daemon::prove_pin_with`]. Where
    /// another key, or another PIN, has taken the place of this one, there is no try.
    pub(crate) async fn try_kept_pin(
        self: &Arc<Self>,
        credential: &Credential,
        pin: &ipc::Secret,
    ) -> Result<Unlocked, Error> {
        let (daemon, uid, key) = (Arc::clone(self), credential.uid, credential.key.clone());
        let is_current = move || match daemon.credentials.read(uid)? {
            Some(stored) if stored.key == key => Ok(()),
            _ => Err(refused("pin_required", "The PIN was changed meanwhile.")),
        };
        self.try_pin(credential, pin, is_current).await
    }

    /// Has the TPM compare a PIN, unless `allow` says no once nobody else has the TPM.
    pub(crate) async fn try_pin(
        &self,
        credential: &Credential,
        pin: &ipc::Secret,
        allow: impl Fn() -> Result<(), Error> + Send + 'static,
    ) -> Result<Unlocked, Error> {
        let (proven, pin) = (credential.clone(), secret(pin));
        let unlock = move |tpm: &mut tpm::Tpm| {
            allow()?;
            Ok(tpm.unlock(&proven.key, &proven.value(&pin)?)?)
        };
        let right = self.chip.run_and(unlock, tpm::Tpm::prepare).await?;
        if *right.key() != credential.key {
            // A change of PIN was cut short; the TPM has now said which blob counts. One that was
            // begun since then knows better.
            let settle = |kept: &mut Credential| {
                if kept.key == credential.key {
                    kept.key = right.key().clone();
                }
            };
            self.credentials
                .update(credential.uid, credential.key.public(), settle)?;
        }
        Ok(right)
    }

    /// The user's leaf, made anew when half its life is over or its issuer is another now; and the
    /// device root.
    pub async fn leaf(&self, credential: Credential) -> Result<(Leaf, Vec<u8>), Error> {
        let device = self
            .identity
            .device()
            .ok_or(Error::Bug("a credential without a device"))?;
        let issuer = model::sha256(&device.root_certificate).to_vec();
        let at = now();
        if let Some(leaf) = &credential.leaf
            && leaf.issuer == issuer
            && at < leaf.renew
        {
            return Ok((leaf.clone(), device.root_certificate));
        }
        let user: RsaPublicKey = credential.public_key()?;
        let (id, upn) = (device.id, credential.upn.clone());
        let build =
            move |root: &certificate::Signer<'_>| certificate::leaf(id, root, &user, &upn, at);
        let auth = self.identity.auth()?;
        let certificate =
            identity::with_signer(&self.chip, &device.keys.root, &auth, build).await?;
        let leaf = Leaf {
            certificate,
            issuer,
            renew: at.plus(LEAF_LIFETIME_S / 2),
        };
        self.credentials
            .update(credential.uid, credential.key.public(), |kept| {
                // Who was renamed meanwhile gets another one.
                if kept.upn == credential.upn {
                    kept.leaf = Some(leaf.clone());
                }
            })?;
        Ok((leaf, device.root_certificate))
    }
}

/// A secret of the socket as a secret of the TPM's.
pub(crate) fn secret(text: &ipc::Secret) -> Secret<String> {
    Secret::new(text.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digest_info_of_sha_256_has_a_digest() {
        let whole = [&SHA256_DIGEST_INFO[..], &[7; 32]].concat();
        assert_eq!(digest_of(&text::hex(&whole)), Some([7; 32]));
        let mut sha512 = whole.clone();
        sha512[14] = 3;
        for bad in [
            &whole[..50],
            &whole[1..],
            &[whole.clone(), vec![0]].concat(),
            &sha512,
            &[],
        ] {
            assert_eq!(digest_of(&text::hex(bad)), None);
        }
    }
}
