//! What speaks for a computer and for a key: signatures by the key behind the computer's
//! `userCertificate` in AD. Nothing here does I/O.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keycred::RsaPublicKey;
use model::{Guid, Sid, UnixTime};
use openssl::{hash::MessageDigest, pkey::Id, sign::Verifier, x509::X509};

use crate::{authority::subject_name, clock::read_utc};

/// How far the time in a signed identity may be from ours.
const IDENTITY_S: i64 = 10 * 60;

/// The exponent of every RSA key that is taken.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Whether `signature` (base64) over `message` is by a certificate of `certificates` (DER) whose
/// subject is the device.
pub(crate) fn signed_by_computer(
    certificates: &[Vec<u8>],
    device: Guid,
    message: &[u8],
    signature: &str,
) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    let is_signer = |der: &Vec<u8>| {
        let certificate = X509::from_der(der).ok()?;
        if subject_name(&certificate)?.parse() != Ok(device) {
            return None;
        }
        let key = certificate.public_key().ok()?;
        if key.id() != Id::RSA || key.bits() < 2048 {
            return None;
        }
        let mut verifier = Verifier::new(MessageDigest::sha256(), &key).ok()?;
        verifier.verify_oneshot(&signature, message).ok()
    };
    certificates.iter().any(|der| is_signer(der) == Some(true))
}

/// Whether the text of a signed identity, `<SID>.<yyyy-MM-dd HH:mm:ss>Z`, names this computer and
/// a time near `now`.
pub(crate) fn identity_names(text: &str, sid: &Sid, now: UnixTime) -> bool {
    let read = || {
        let (named, time) = text.split_once('.')?;
        let time = read_utc(time.strip_suffix('Z')?)?;
        Some((named.parse::<Sid>().ok()?, time))
    };
    read().is_some_and(|(named, time)| named == *sid && (time.0 - now.0).abs() <= IDENTITY_S)
}

/// A user's key as it is registered: RSA with 2,048 bits and exponent 65537, as a BCRYPT RSA1 blob in
/// base64, in its one form, so that one key has one hash; and none of the faulty library's.
pub(crate) fn user_key(base64: &str) -> Result<RsaPublicKey, &'static str> {
    let blob = STANDARD
        .decode(base64)
        .map_err(|_| "the key is not base64")?;
    let key = RsaPublicKey::from_rsa1(&blob).map_err(|_| "the key is not a BCRYPT RSA1 blob")?;
    if key.bits() != 2048 || key.exponent() != EXPONENT {
        return Err("the key is not RSA with 2,048 bits and the exponent 65537");
    }
    if key.to_rsa1() != blob {
        return Err("the key's blob is not in its shortest form");
    }
    if key.has_roca_fingerprint() {
        return Err(
            "the key is one of a faulty library, whose private half can be computed (ROCA): \
                    make one elsewhere",
        );
    }
    Ok(key)
}

/// A transport key, of which the same is asked.
pub(crate) fn key_material(base64: &str) -> Result<Vec<u8>, &'static str> {
    user_key(base64).map(|key| key.to_rsa1())
}

#[cfg(test)]
mod tests {
    use openssl::{
        asn1::Asn1Time,
        pkey::{PKey, Private},
        rsa::Rsa,
        sign::Signer,
        x509::X509Name,
    };

    use super::*;

    fn key(bits: u32) -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
    }

    fn self_signed(name: &str, key: &PKey<Private>) -> Vec<u8> {
        let mut subject = X509Name::builder().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let mut builder = X509::builder().unwrap();
        let (start, end) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
        builder.set_not_before(&start.unwrap()).unwrap();
        builder.set_not_after(&end.unwrap()).unwrap();
        builder.set_subject_name(&subject.build()).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build().to_der().unwrap()
    }

    fn sign(key: &PKey<Private>, message: &[u8]) -> String {
        let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
        STANDARD.encode(signer.sign_oneshot_to_vec(message).unwrap())
    }

    #[test]
    fn only_a_certificate_that_names_the_device_speaks_for_it() {
        let (device, other) = (Guid::from_le_bytes([1; 16]), Guid::from_le_bytes([2; 16]));
        let (good, bad) = (key(2048), key(2048));
        let certificates = vec![
            b"rubbish".to_vec(),
            self_signed(&other.to_string(), &bad),
            self_signed(&device.to_string(), &good),
        ];
        assert!(signed_by_computer(
            &certificates,
            device,
            b"m",
            &sign(&good, b"m")
        ));
        assert!(!signed_by_computer(
            &certificates,
            device,
            b"m",
            &sign(&bad, b"m")
        ));
        assert!(!signed_by_computer(
            &certificates,
            device,
            b"n",
            &sign(&good, b"m")
        ));
        assert!(!signed_by_computer(
            &certificates,
            device,
            b"m",
            "no base64"
        ));
        assert!(!signed_by_computer(&[], device, b"m", &sign(&good, b"m")));
    }

    #[test]
    fn an_identity_names_its_computer_and_a_time_near_now() {
        let sid: Sid = "S-1-5-21-1-2-3-1105".parse().unwrap();
        let at = |time| identity_names("S-1-5-21-1-2-3-1105.2026-11-22 10:00:00Z", &sid, time);
        assert!(at(UnixTime(1_795_341_600)));
        assert!(at(UnixTime(1_795_341_600 + 600)));
        assert!(!at(UnixTime(1_795_341_600 + 601)));
        assert!(!at(UnixTime(1_795_341_600 - 601)));
        for text in [
            "S-1-5-21-1-2-3-1106.2026-11-22 10:00:00Z",
            "S-1-5-21-1-2-3-1105.2026-11-22 10:00:00",
            "S-1-5-21-1-2-3-1105",
        ] {
            assert!(
                !identity_names(text, &sid, UnixTime(1_795_341_600)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_has_one_size_and_one_form() {
        let blob = |key: &PKey<Private>| {
            let rsa = key.rsa().unwrap();
            RsaPublicKey::from_components(&rsa.n().to_vec(), &rsa.e().to_vec())
                .unwrap()
                .to_rsa1()
        };
        let good = blob(&key(2048));
        assert_eq!(key_material(&STANDARD.encode(&good)), Ok(good.clone()));
        assert!(key_material(&STANDARD.encode(blob(&key(1024)))).is_err());
        assert!(key_material(&STANDARD.encode(&good[1..])).is_err());
        assert!(key_material("?").is_err());
    }
}
