//! May this key be written? A pure function over what the server says and what the directory says.
//!
//! The server's word counts for nothing here: every fact comes from Active Directory, from a
//! signature by a key that Active Directory vouches for, or from the user's own Kerberos ticket.

use api::agent::KeyChange;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use directory::{Computer, Protection, User};
use keycred::RsaPublicKey;
use model::{Guid, Sid, UnixTime, sha256};
use openssl::{
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKey, Public},
    sign::Verifier,
    x509::X509,
};
use protocol::{Operation, Statement};

use crate::scope::Scope;

/// How long after it was made a statement is carried out. A Kerberos proof lives no longer.
pub const MAX_AGE_S: i64 = 600;
/// How far a device's clock may be ahead.
pub const MAX_AHEAD_S: i64 = 300;

/// What the directory and the agent's memory say.
pub struct Facts<'a> {
    /// The user with the change's objectGUID.
    pub user: Option<&'a User>,
    /// How many keys the user has.
    pub user_keys: usize,
    /// What [`signed`] says of the statement.
    pub signed: Result<(), Refusal>,
    /// What the Kerberos proof shows.
    pub proof: Proof,
    /// The statement is used up.
    pub replayed: bool,
    /// The cap of the hour is reached.
    pub exhausted: bool,
    /// The agent's clock.
    pub now: UnixTime,
}

/// What the Kerberos proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// There is none.
    Absent,
    /// It proves nothing: not for this agent, not over this statement, or not a proof.
    Bad(String),
    /// It was good, but its time is over.
    Expired,
    /// It was made with a ticket whose name these accounts could claim.
    By(Vec<Sid>),
}

/// The agent's own rules.
pub struct Rules<'a> {
    /// Whose keys.
    pub scope: &'a Scope,
    /// Keys without a device's signature and a user's ticket.
    pub allow_foreign: bool,
    /// Keys of one user at most.
    pub per_user_keys: usize,
}

/// A no, and whether it is for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Stable; `docs/joints.md` lists them.
    pub code: &'static str,
    /// The same in words.
    pub detail: String,
    /// A fresh proof would help.
    pub needs_proof: bool,
}

impl Refusal {
    /// A no for ever.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            needs_proof: false,
        }
    }

    fn needs_proof(detail: impl Into<String>) -> Self {
        Self {
            needs_proof: true,
            ..Self::new("proof_expired", detail)
        }
    }
}

/// Reads the material of a change: an RSA-2048 key in the one form that every KDC reads.
pub fn key_of(change: &KeyChange) -> Result<RsaPublicKey, Refusal> {
    let bad = |detail: &str| Refusal::new("bad_material", detail);
    let blob = STANDARD
        .decode(&change.key.material)
        .map_err(|_| bad("The key material is not base64."))?;
    let key = RsaPublicKey::from_rsa1(&blob).map_err(|error| bad(&error.to_string()))?;
    if key.bits() != 2048 || key.exponent() != [1, 0, 1] {
        return Err(bad("The key is not RSA-2048 with exponent 65537."));
    }
    if key.to_rsa1() != blob {
        return Err(bad("The key material is not in its shortest form."));
    }
    Ok(key)
}

/// The statement that the evidence of a change is about.
pub fn statement(change: &KeyChange, key: &RsaPublicKey) -> Option<Statement> {
    let evidence = change.evidence.as_ref()?;
    Some(Statement {
        operation: Operation::Add,
        user: change.user.sid.clone(),
        key_id: sha256(&key.to_rsa1()),
        device: change.key.device,
        time: evidence.time,
        sequence: evidence.sequence,
    })
}

/// The user of a change, if the agent may write to it at all.
pub fn user_of<'a>(
    change: &KeyChange,
    user: Option<&'a User>,
    scope: &Scope,
) -> Result<&'a User, Refusal> {
    let user = user
        .filter(|user| user.sid == change.user.sid && user.guid == change.user.anchor)
        .ok_or_else(|| Refusal::new("unknown_user", "The directory has no such user."))?;
    if !scope.contains(&user.dn) {
        return Err(Refusal::new(
            "out_of_scope",
            "The user is outside the organizational units of the agent's configuration.",
        ));
    }
    Ok(user)
}

/// Whether a key that the directory has for the device, the computer with its objectGUID, verifies the
/// statement of a change that has evidence. It is what takes time, and so it is asked before the turn of
/// the change.
pub fn signed(
    change: &KeyChange,
    key: &RsaPublicKey,
    device: Option<&Computer>,
) -> Result<(), Refusal> {
    let bad = |detail: &str| Refusal::new("bad_device_signature", detail);
    let evidence = change.evidence.as_ref();
    let (evidence, statement) = evidence
        .zip(statement(change, key))
        .ok_or_else(|| bad("The key comes without evidence."))?;
    let device = device
        .filter(|device| device.guid == change.key.device && device.enabled)
        .ok_or_else(|| {
            Refusal::new(
                "unknown_device",
                "The directory has no such computer, or a disabled one.",
            )
        })?;
    let signature = STANDARD.decode(&evidence.device_sig).unwrap_or_default();
    let bytes = statement.to_bytes();
    match keys_of(device).any(|key| verifies(&key, &bytes, &signature)) {
        true => Ok(()),
        false => Err(bad(
            "No certificate that the computer has in the directory verifies the statement.",
        )),
    }
}

/// May this key be written? The first no is the answer.
pub fn check(change: &KeyChange, facts: &Facts<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    let user = user_of(change, facts.user, rules.scope)?;
    if user.protection == Some(Protection::Unreadable) {
        return Err(Refusal::new(
            "directory_refused",
            "The agent may not read the user's groups.",
        ));
    }
    if let Some(protection) = user.protection {
        return Err(Refusal::new(
            "protected_account",
            format!("The account is protected ({protection:?}); it gets no keys."),
        ));
    }
    if !user.enabled {
        return Err(Refusal::new(
            "protected_account",
            "The account is disabled.",
        ));
    }
    check_evidence(change, facts, rules)?;
    if facts.user_keys >= rules.per_user_keys {
        return Err(Refusal::new(
            "limit_reached",
            format!("The user has {} keys; remove one first.", facts.user_keys),
        ));
    }
    if facts.exhausted {
        return Err(Refusal {
            needs_proof: true,
            ..Refusal::new(
                "limit_reached",
                "The agent has written as many keys as limits.additions_per_hour of its configuration \
                 allows; the device asks again at a later sign-in.",
            )
        });
    }
    Ok(())
}

fn check_evidence(change: &KeyChange, facts: &Facts<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    let Some(evidence) = &change.evidence else {
        return match rules.allow_foreign {
            true => Ok(()),
            false => Err(Refusal::new(
                "bad_device_signature",
                "The key comes without evidence, and the agent takes no foreign keys.",
            )),
        };
    };
    facts.signed.clone()?;
    if facts.replayed {
        return Err(Refusal::new(
            "replayed",
            "The statement is used up; the device makes a new one.",
        ));
    }
    check_proof(&change.user.sid, facts, rules)?;
    let age = facts.now.0.saturating_sub(evidence.time.0);
    if !(-MAX_AHEAD_S..=MAX_AGE_S).contains(&age) {
        return Err(Refusal::needs_proof(format!(
            "The statement is {age} seconds old; a fresh one is needed.",
        )));
    }
    Ok(())
}

fn check_proof(user: &Sid, facts: &Facts<'_>, rules: &Rules<'_>) -> Result<(), Refusal> {
    let bad = |detail: &str| Err(Refusal::new("bad_user_proof", detail));
    match &facts.proof {
        Proof::By(sids) if sids.as_slice() == [user.clone()] => Ok(()),
        Proof::By(sids) if sids.contains(user) => {
            bad("The ticket's name could be another account's too.")
        }
        Proof::By(_) => bad("The ticket is another account's."),
        Proof::Bad(reason) => bad(&format!("The Kerberos proof is not good: {reason}.")),
        Proof::Absent if rules.allow_foreign => Ok(()),
        Proof::Absent => bad("The key comes without the user's own Kerberos proof."),
        Proof::Expired => Err(Refusal::needs_proof(
            "The Kerberos proof has expired; the device makes a fresh one.",
        )),
    }
}

/// The RSA keys of a computer's certificates that name its objectGUID as their subject.
///
/// Their dates are not looked at: that the certificate stands in the computer's own object, which
/// only the computer and its administrators can write, is what counts.
fn keys_of(device: &Computer) -> impl Iterator<Item = PKey<Public>> {
    device.certificates.iter().filter_map(|der| {
        let certificate = X509::from_der(der).ok()?;
        let key = certificate.public_key().ok()?;
        let fit = names(&certificate, device.guid) && key.id() == Id::RSA && key.bits() >= 2048;
        fit.then_some(key)
    })
}

fn names(certificate: &X509, guid: Guid) -> bool {
    let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let name = names.next().and_then(|name| name.data().to_string().ok());
    name.is_some_and(|name| name.eq_ignore_ascii_case(&guid.to_string()))
}

/// RSASSA-PKCS1-v1_5 with SHA-256.
fn verifies(key: &PKey<Public>, message: &[u8], signature: &[u8]) -> bool {
    Verifier::new(MessageDigest::sha256(), key)
        .and_then(|mut verifier| verifier.verify_oneshot(signature, message))
        .unwrap_or(false)
}

#[cfg(test)]
mod tests;
