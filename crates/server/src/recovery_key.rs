//! K: the key that allows resets of PINs, one for the tenant, sealed in the store.
//!
//! It signs nothing but [`Permit`]s, each about one command, in one session of one TPM, for one user
//! on one device. A key whose policy names another K is beyond it for ever.

use anyhow::Context as _;
use attest::{Holder, Permit, coordinates, policy};
use openssl::{
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    error::ErrorStack,
    nid::Nid,
    pkey::{PKey, Private},
};
use store::{Audit, Sealed, SealedName, Store, Tenant};
use zeroize::Zeroizing;

use crate::{app::sealed_name, clock::Clock, master::MasterKey};

/// The key, and how a policy names it.
pub(crate) struct RecoveryKey {
    key: EcKey<Private>,
    public: Vec<u8>,
}

impl RecoveryKey {
    /// The tenant's; made where a store has none, which is one of an earlier release or a new one.
    pub(crate) async fn open(
        store: &Store,
        tenant: &Tenant,
        master: &MasterKey,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let name = SealedName::RecoveryKey;
        let sealed_as = sealed_name(tenant, name.as_str());
        if let Some(sealed) = store.sealed(tenant.id, name).await? {
            let der = master.open(&sealed_as, &sealed)?;
            let key = PKey::private_key_from_der(der.expose())?.ec_key()?;
            return Self::new(key);
        }
        let made = Self::new(EcKey::generate(&*p256()?)?)?;
        let der = Zeroizing::new(PKey::from_ec_key(made.key.clone())?.private_key_to_der()?);
        let sealed = Sealed {
            name,
            value: master.seal(&sealed_as, &der)?,
        };
        let audit = Audit {
            at: clock.now(),
            actor: "server".to_owned(),
            action: "recovery-key.make",
            subject: String::new(),
        };
        store.put_sealed(tenant.id, vec![sealed], audit).await?;
        Ok(made)
    }

    fn new(key: EcKey<Private>) -> anyhow::Result<Self> {
        let (x, y) = coordinates(key.group(), key.public_key())?;
        let x = x.try_into().ok().context("a coordinate is too long")?;
        let y = y.try_into().ok().context("a coordinate is too long")?;
        Ok(Self {
            public: policy::recovery_public(&x, &y),
            key,
        })
    }

    /// TPMT_PUBLIC.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// K's word, in DER.
    pub(crate) fn allow(
        &self,
        permit: &Permit<'_>,
        holder: &Holder,
    ) -> Result<Vec<u8>, ErrorStack> {
        EcdsaSig::sign(&permit.digest(holder), &self.key)?.to_der()
    }
}

fn p256() -> Result<EcGroup, ErrorStack> {
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)
}
