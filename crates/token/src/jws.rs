//! Compact JWS by an RSA key: RS256, RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 3.3), and for clients
//! that sign with nothing else PS256, RSASSA-PSS with the same (RFC 7518 3.5).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{UnixTime, sha256};
use openssl::{
    error::ErrorStack,
    md::Md,
    pkey::{Id, PKey, Public},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
    sign::RsaPssSaltlen,
    x509::X509Ref,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, LEEWAY_S, Prepared, compact, json};

const RS256: &str = "RS256";
const PS256: &str = "PS256";

/// The most certificates that are read from `x5c`.
const MAX_CHAIN: usize = 4;

/// What a header says besides the algorithm, which is never the message's to choose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// `typ`.
    pub typ: Option<String>,
    /// `kid`.
    pub kid: Option<String>,
    /// `x5c`: certificates in DER, the signer's first. Whether to believe them is the caller's
    /// to decide before taking a key out of them.
    pub x5c: Vec<Vec<u8>>,
}

/// Which spellings of `x5c` are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum X5cForm {
    /// An array, as RFC 7515 4.1.6 wants it.
    Array,
    /// An array, or one certificate as a plain string, as some clients of Entra ID send it.
    ArrayOrString,
    /// Any: nobody looks at it, so that its spelling does not matter.
    Ignored,
}

/// A public key that signatures by one algorithm are checked with.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    key: PKey<Public>,
    alg: &'static str,
    prepared: Prepared<Public>,
}

/// A message whose signature is still to be made. Between [`Draft::digest`] and
/// [`Draft::finish`] the digest may travel to wherever the private key is.
#[derive(Debug)]
pub struct Draft {
    signing_input: String,
}

/// A message whose signature was not checked: only its header can be seen.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    alg: &'static str,
    usage: Option<String>,
    signing_input: &'a str,
    payload: json::Text,
    signature: Vec<u8>,
}

/// Signs claims; `signer` makes the RSASSA-PKCS1-v1_5 signature for the SHA-256 digest it gets.
pub fn sign<E: From<Error>>(
    header: &Header,
    claims: &impl Serialize,
    signer: impl FnOnce(&[u8; 32]) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let draft = Draft::new(header, claims)?;
    let signature = signer(&draft.digest())?;
    Ok(draft.finish(&signature)?)
}

impl Draft {
    /// Writes header and claims.
    pub fn new(header: &Header, claims: &impl Serialize) -> Result<Self, Error> {
        Self::of_usage(header, None, claims)
    }

    /// The same, and says what it is for.
    pub(crate) fn of_usage(
        header: &Header,
        usage: Option<&str>,
        claims: &impl Serialize,
    ) -> Result<Self, Error> {
        let header = RawHeader {
            alg: RS256.to_owned(),
            typ: header.typ.clone(),
            kid: header.kid.clone(),
            x5c: (!header.x5c.is_empty())
                .then(|| RawChain::Array(header.x5c.iter().map(|c| STANDARD.encode(c)).collect())),
            usage: usage.map(str::to_owned),
            crit: None,
        };
        let unsendable = |_| Error::Unsendable("the claims are not JSON");
        let header = serde_json::to_vec(&header).map_err(unsendable)?;
        let claims = serde_json::to_vec(claims).map_err(unsendable)?;
        Ok(Self {
            signing_input: format!("{}.{}", compact::encode(&header), compact::encode(&claims)),
        })
    }

    /// What is signed: SHA-256 of the signing input.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.signing_input.as_bytes())
    }

    /// Puts the signature to it.
    pub fn finish(self, signature: &[u8]) -> Result<String, Error> {
        let signature = compact::encode(signature);
        compact::within(format!("{}.{signature}", self.signing_input))
    }
}

impl<'a> Unverified<'a> {
    /// Takes a message apart; any algorithm but the two is refused here already.
    pub fn read(message: &'a str, x5c: X5cForm) -> Result<Self, Error> {
        let [header, payload, signature] = compact::split(message)?;
        let raw: RawHeader = json::read(&compact::decode(header)?)?;
        let alg = match raw.alg.as_str() {
            RS256 => RS256,
            PS256 => PS256,
            _ => return Err(Error::Algorithm(RS256)),
        };
        if raw.crit.is_some() {
            return Err(Error::Malformed(
                "its header has crit, of which nothing is known here",
            ));
        }
        let chain = raw
            .x5c
            .filter(|_| x5c != X5cForm::Ignored)
            .map(|chain| chain.read(x5c))
            .transpose()?
            .unwrap_or_default();
        let signature_at = header.len() + 1 + payload.len();
        Ok(Self {
            header: Header {
                typ: raw.typ,
                kid: raw.kid,
                x5c: chain,
            },
            alg,
            usage: raw.usage,
            signing_input: message.get(..signature_at).unwrap_or_default(),
            payload: json::Text::new(compact::decode(payload)?)?,
            signature: compact::decode(signature)?,
        })
    }

    /// The header. It is what the sender says, no more, until [`Unverified::verify`] succeeds.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// `sub`, by which the caller may find the key. It is what the sender says, no more, until
    /// [`Unverified::verify`] succeeds.
    pub fn subject(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Subject {
            sub: String,
        }
        self.claimed().map(|Subject { sub }| sub)
    }

    /// Claims by which the caller may find what the message is judged by. They are what the sender
    /// says, no more, until [`Unverified::verify`] succeeds.
    pub fn claimed<C: DeserializeOwned>(&self) -> Option<C> {
        self.payload.read().ok()
    }

    /// `use`, which headers of assertions by users' keys have.
    pub(crate) fn usage(&self) -> Option<&str> {
        self.usage.as_deref()
    }

    /// Checks the signature, then the times, and hands out the claims.
    ///
    /// `exp` must be there; `nbf` and `iat` count where they are there. Who may say what to whom
    /// (`iss`, `aud`) is in the claims and the caller's to check.
    pub fn verify<C: DeserializeOwned>(
        self,
        key: &VerifyingKey,
        now: UnixTime,
    ) -> Result<C, Error> {
        if self.checked(key, now)?.exp.is_none() {
            return Err(Error::Malformed("exp is missing"));
        }
        self.payload.read()
    }

    /// The same for a statement whose nonce shows that it is fresh: clients of MS-OAPXBC send some
    /// without `exp`. It counts where it is there; the nonce is the caller's to check.
    pub fn verify_nonced<C: DeserializeOwned>(
        self,
        key: &VerifyingKey,
        now: UnixTime,
    ) -> Result<C, Error> {
        self.checked(key, now)?;
        self.payload.read()
    }

    fn checked(&self, key: &VerifyingKey, now: UnixTime) -> Result<Times, Error> {
        if self.alg != key.alg {
            return Err(Error::Algorithm(key.alg));
        }
        key.check(self.signing_input.as_bytes(), &self.signature)?;
        let times: Times = self.payload.read()?;
        times.check(now)?;
        Ok(times)
    }
}

impl VerifyingKey {
    /// An RSA key of 2,048 to 4,096 bits for RS256.
    pub fn rs256(key: PKey<Public>) -> Result<Self, Error> {
        Self::of(key, RS256)
    }

    /// An RSA key of the same sizes for PS256.
    pub fn ps256(key: PKey<Public>) -> Result<Self, Error> {
        Self::of(key, PS256)
    }

    fn of(key: PKey<Public>, alg: &'static str) -> Result<Self, Error> {
        if key.id() != Id::RSA {
            return Err(Error::Key("not an RSA key"));
        }
        if !(2048..=4096).contains(&key.bits()) {
            return Err(Error::Key("not of 2,048 to 4,096 bits"));
        }
        Ok(Self {
            key,
            alg,
            prepared: Prepared::default(),
        })
    }

    /// The key of a certificate, which the caller has found worthy of it.
    pub fn rs256_of_certificate(certificate: &X509Ref) -> Result<Self, Error> {
        let key = certificate
            .public_key()
            .map_err(|_| Error::Key("the certificate holds no key that can be read"))?;
        Self::rs256(key)
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let digest = sha256(message);
        let check = |context: &mut PkeyCtx<Public>| context.verify(&digest, signature);
        // A signature of a wrong length is an error to OpenSSL and not a `false`.
        match self.prepared.with(|| self.prepare(), check) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Signature),
        }
    }

    fn prepare(&self) -> Result<PkeyCtx<Public>, ErrorStack> {
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        if self.alg == PS256 {
            // RFC 7518 3.5: both digests are SHA-256, and the salt is as long as they are.
            context.set_rsa_padding(Padding::PKCS1_PSS)?;
            context.set_signature_md(Md::sha256())?;
            context.set_rsa_mgf1_md(Md::sha256())?;
            context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        } else {
            context.set_rsa_padding(Padding::PKCS1)?;
            context.set_signature_md(Md::sha256())?;
        }
        Ok(context)
    }
}

#[derive(Serialize, Deserialize)]
struct RawHeader {
    alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<RawChain>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(skip_serializing)]
    crit: Option<json::Present>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawChain {
    Array(Vec<String>),
    One(String),
}

impl RawChain {
    fn read(self, form: X5cForm) -> Result<Vec<Vec<u8>>, Error> {
        let chain = match self {
            Self::Array(chain) => chain,
            Self::One(one) if form == X5cForm::ArrayOrString => vec![one],
            Self::One(_) => return Err(Error::Malformed("x5c is not an array")),
        };
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            return Err(Error::Malformed(
                "x5c does not hold one to four certificates",
            ));
        }
        chain
            .iter()
            .map(|c| {
                STANDARD
                    .decode(c)
                    .map_err(|_| Error::Malformed("x5c is not base64"))
            })
            .collect()
    }
}

/// A time of a statement in whole seconds (NumericDate, RFC 7519 2). Some clients write fractions,
/// and some write strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumericDate(pub UnixTime);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(i64),
            Fraction(f64),
            Text(String),
        }
        let seconds = match Written::deserialize(deserializer)? {
            Written::Whole(seconds) => Some(seconds),
            // Beyond a few thousand years nothing is a time; below, no whole second is lost.
            Written::Fraction(seconds) if seconds.abs() < 1e12 => Some(seconds.floor() as i64),
            Written::Fraction(_) => None,
            Written::Text(text) => text.parse().ok(),
        };
        let seconds = seconds.ok_or_else(|| serde::de::Error::custom("not a time"))?;
        Ok(Self(UnixTime(seconds)))
    }
}

/// The times of a statement.
#[derive(Deserialize)]
pub(crate) struct Times {
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

impl Times {
    /// Each that is there must fit `now`.
    pub(crate) fn check(&self, now: UnixTime) -> Result<(), Error> {
        if self.exp.is_some_and(|exp| now.plus(-LEEWAY_S) >= exp.0) {
            return Err(Error::Expired);
        }
        let latest = now.plus(LEEWAY_S);
        if [self.nbf, self.iat]
            .into_iter()
            .flatten()
            .any(|start| start.0 > latest)
        {
            return Err(Error::NotYetValid);
        }
        Ok(())
    }
}

/// The half of a SHA-256 by which an ID token names an access token or a code (`at_hash`, `c_hash`;
/// OpenID Connect Core 3.1.3.6).
pub fn half_hash(text: &str) -> String {
    let digest = sha256(text.as_bytes());
    compact::encode(digest.split_at(16).0)
}
