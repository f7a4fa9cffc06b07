//! A secret that one side makes and only the holder of a TPM's key can read: the salt of a session,
//! the seed of a credential.

use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcGroupRef, EcKey, EcPointRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use zeroize::Zeroizing;

use crate::bytes::Writer;
use crate::kdf::kdfe;

/// A secret, and the form in which it travels.
pub struct Shared {
    /// What both sides know then.
    pub secret: Zeroizing<Vec<u8>>,
    /// The contents of TPM2B_ENCRYPTED_SECRET.
    pub encrypted: Vec<u8>,
}

impl Shared {
    /// One-pass ECDH on P-256 (part 1, annex C): the secret is made of the shared point, and the
    /// ephemeral point is what is sent.
    pub fn by_ecdh(
        label: &str,
        to: &PKeyRef<Public>,
        ephemeral: EcKey<Private>,
    ) -> Result<Self, ErrorStack> {
        let group = p256()?;
        let (x, y) = coordinates(&group, ephemeral.public_key())?;
        let (static_x, _) = coordinates(&group, to.ec_key()?.public_key())?;
        let ephemeral = PKey::from_ec_key(ephemeral)?;
        let mut deriver = Deriver::new(&ephemeral)?;
        deriver.set_peer(to)?;
        let point = Zeroizing::new(deriver.derive_to_vec()?);
        Ok(Self {
            secret: kdfe(&point, label, &x, &static_x),
            encrypted: Writer::new().sized(&x).sized(&y).done(),
        })
    }
}

/// The one curve that is used here.
pub(crate) fn p256() -> Result<EcGroup, ErrorStack> {
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)
}

/// Both coordinates of a point on P-256, at full width.
pub fn coordinates(
    group: &EcGroupRef,
    point: &EcPointRef,
) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let mut context = BigNumContext::new()?;
    let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
    point.affine_coordinates(group, &mut x, &mut y, &mut context)?;
    Ok((x.to_vec_padded(32)?, y.to_vec_padded(32)?))
}
