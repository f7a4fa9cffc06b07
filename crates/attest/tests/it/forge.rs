//! A TPM's words, written and signed by the test: whatever a TPM could be made to say.

use std::sync::LazyLock;

use attest::policy::{self, Digest, IndexBranches, KeyBranches};
use attest::spec::{alg, nv, object};
use attest::{AttestationKey, Claim, Expected, Holder, Refusal, Signature, Verdict, verify_key};
use keycred::RsaPublicKey;
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;

static AK: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::generate(2048).unwrap());
static USER: LazyLock<Rsa<Private>> = LazyLock::new(|| Rsa::generate(2048).unwrap());
static RECOVERY: LazyLock<EcKey<Private>> = LazyLock::new(p256_key);

pub(crate) const NONCE: &[u8] = b"for this registration";
pub(crate) const AK_ATTRIBUTES: u32 = object::FIXED_TPM
    | object::FIXED_PARENT
    | object::SENSITIVE_DATA_ORIGIN
    | object::USER_WITH_AUTH
    | object::NO_DA
    | object::RESTRICTED
    | object::SIGN;
pub(crate) const KEY_ATTRIBUTES: u32 = object::FIXED_TPM
    | object::FIXED_PARENT
    | object::SENSITIVE_DATA_ORIGIN
    | object::ADMIN_WITH_POLICY
    | object::SIGN;
pub(crate) const INDEX_ATTRIBUTES: u32 =
    nv::POLICY_WRITE | nv::TYPE_PIN_FAIL | nv::OWNER_READ | nv::AUTH_READ | nv::NO_DA | nv::WRITTEN;

/// Whose key it is.
pub(crate) fn alice() -> Holder {
    Holder {
        device: model::Guid::from_le_bytes([1; 16]),
        user: "S-1-5-21-1-2-3-1104".parse().unwrap(),
    }
}

pub(crate) fn p256_key() -> EcKey<Private> {
    EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn numbers(list: &[u16]) -> Vec<u8> {
    list.iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

/// A TPMT_PUBLIC of an RSA key.
pub(crate) struct RsaArea {
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) symmetric: Vec<u16>,
    pub(crate) scheme: Vec<u16>,
    pub(crate) bits: u16,
    pub(crate) exponent: u32,
    pub(crate) modulus: Vec<u8>,
}

impl RsaArea {
    pub(crate) fn new(attributes: u32, policy: &[u8], modulus: &[u8]) -> Self {
        Self {
            attributes,
            policy: policy.to_vec(),
            symmetric: vec![alg::NULL],
            scheme: vec![alg::RSASSA, alg::SHA256],
            bits: 2048,
            exponent: 0,
            modulus: modulus.to_vec(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [
            numbers(&[alg::RSA, alg::SHA256]),
            self.attributes.to_be_bytes().to_vec(),
            sized(&self.policy),
            numbers(&self.symmetric),
            numbers(&self.scheme),
            numbers(&[self.bits]),
            self.exponent.to_be_bytes().to_vec(),
            sized(&self.modulus),
        ]
        .concat()
    }
}

/// A TPMT_PUBLIC of a key on P-256 without a policy.
pub(crate) fn p256_area(attributes: u32, scheme: &[u16], key: &EcKey<Private>) -> Vec<u8> {
    let (x, y) = point(key);
    [
        numbers(&[alg::ECC, alg::SHA256]),
        attributes.to_be_bytes().to_vec(),
        sized(&[]),
        numbers(&[alg::NULL]),
        numbers(scheme),
        numbers(&[alg::CURVE_P256, alg::NULL]),
        sized(&x),
        sized(&y),
    ]
    .concat()
}

pub(crate) fn point(key: &EcKey<Private>) -> ([u8; 32], [u8; 32]) {
    let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    let mut context = BigNumContext::new().unwrap();
    let point = key.public_key();
    point
        .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
        .unwrap();
    let full = |number: BigNum| number.to_vec_padded(32).unwrap().try_into().unwrap();
    (full(x), full(y))
}

/// A TPMS_NV_PUBLIC.
pub(crate) fn index_area(handle: u32, attributes: u32, policy: &[u8], size: u16) -> Vec<u8> {
    [
        handle.to_be_bytes().to_vec(),
        numbers(&[alg::SHA256]),
        attributes.to_be_bytes().to_vec(),
        sized(policy),
        numbers(&[size]),
    ]
    .concat()
}

/// A TPMS_ATTEST of TPM2_Certify.
pub(crate) fn certify(kind: u16, extra_data: &[u8], name: &[u8]) -> Vec<u8> {
    let qualified = policy::name(b"below some parent");
    [
        b"\xffTCG".to_vec(),
        numbers(&[kind]),
        sized(&qualified),
        sized(extra_data),
        vec![7; 25],
        sized(name),
        sized(&qualified),
    ]
    .concat()
}

/// A registration with its parts, before it is sent.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) ak_public: Vec<u8>,
    pub(crate) public: Vec<u8>,
    pub(crate) nv_public: Vec<u8>,
    pub(crate) recovery_public: Vec<u8>,
    pub(crate) branches: Vec<u8>,
    pub(crate) certify: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) registered: RsaPublicKey,
}

/// What a good registration is made of; a test changes a part and has the rest follow from it.
pub(crate) struct Plan {
    pub(crate) key: RsaArea,
    pub(crate) nv_public: Vec<u8>,
    pub(crate) recovery_public: Vec<u8>,
    pub(crate) branches: Vec<Digest>,
    pub(crate) extra_data: Vec<u8>,
}

impl Plan {
    /// As the device does it.
    pub(crate) fn good() -> Self {
        let (x, y) = point(&RECOVERY);
        Self::beside(
            |policy| index_area(0x0180_4c00, INDEX_ATTRIBUTES, policy, 8),
            policy::recovery_public(&x, &y),
        )
    }

    /// With this index, given the policy that it should have, and this recovery authority; the key's
    /// policy is true to both.
    pub(crate) fn beside(index: impl FnOnce(&[u8]) -> Vec<u8>, recovery_public: Vec<u8>) -> Self {
        let recovery_name = policy::name(&recovery_public);
        let nv_public = index(&IndexBranches::new(&recovery_name, &alice()).policy().0);
        let branches = KeyBranches::new(&policy::name(&nv_public), &recovery_name, &alice());
        Self {
            key: RsaArea::new(KEY_ATTRIBUTES, &branches.policy().0, &USER.n().to_vec()),
            nv_public,
            recovery_public,
            branches: branches.list().to_vec(),
            extra_data: NONCE.to_vec(),
        }
    }

    /// The key's attributes with these turned over.
    pub(crate) fn toggled(bits: u32) -> Self {
        let mut plan = Self::good();
        plan.key.attributes ^= bits;
        plan
    }

    /// Has the attestation key certify it.
    pub(crate) fn certified(self) -> Registration {
        let public = self.key.bytes();
        let certify = certify(0x8017, &self.extra_data, &policy::name(&public));
        let mut registration = Registration {
            ak_public: ak_public(),
            public,
            nv_public: self.nv_public,
            recovery_public: self.recovery_public,
            branches: self.branches.iter().flat_map(|digest| digest.0).collect(),
            certify,
            signature: Vec::new(),
            registered: RsaPublicKey::from_components(&USER.n().to_vec(), &[1, 0, 1]).unwrap(),
        };
        registration.sign(&AK);
        registration
    }
}

impl Registration {
    pub(crate) fn sign(&mut self, key: &Rsa<Private>) {
        let key = PKey::from_rsa(key.clone()).unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
        self.signature = signer.sign_oneshot_to_vec(&self.certify).unwrap();
    }

    pub(crate) fn sign_anew(&mut self) {
        self.sign(&AK);
    }

    pub(crate) fn judged(&self) -> Result<Verdict, Refusal> {
        self.judged_with(Signature::Rsassa(&self.signature))
    }

    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim {
            public: &self.public,
            nv_public: &self.nv_public,
            recovery_public: &self.recovery_public,
            branches: &self.branches,
            certify: &self.certify,
            signature: Signature::Rsassa(&self.signature),
        }
    }

    pub(crate) fn judged_with(&self, signature: Signature<'_>) -> Result<Verdict, Refusal> {
        let claim = Claim {
            signature,
            ..self.claim()
        };
        verify_key(
            Some(&claim),
            &Expected {
                attestation_key: &AttestationKey::read(&self.ak_public)?,
                key: &self.registered,
                holder: &alice(),
                qualifying_data: NONCE,
            },
        )
    }

    /// Judges it with an attestation key on P-256 in the place of the usual one.
    pub(crate) fn judged_by_p256(&mut self, key: &EcKey<Private>) -> Result<Verdict, Refusal> {
        self.ak_public = p256_area(AK_ATTRIBUTES, &[alg::ECDSA, alg::SHA256], key);
        let signature = EcdsaSig::sign(&model::sha256(&self.certify), key).unwrap();
        let (r, s) = (signature.r().to_vec(), signature.s().to_vec());
        self.judged_with(Signature::Ecdsa { r: &r, s: &s })
    }
}

pub(crate) fn ak_public() -> Vec<u8> {
    RsaArea::new(AK_ATTRIBUTES, &[], &AK.n().to_vec()).bytes()
}
