//! One-time passwords by time (RFC 6238): SHA-1, six digits, 30 seconds, one step of drift either
//! way; and their secrets as authenticator apps want them (base32, RFC 4648 6).

use model::{Secret, UnixTime};
use openssl::{error::ErrorStack, hash::MessageDigest, memcmp, pkey::PKey, sign::Signer};

const STEP_S: i64 = 30;
const DIGITS: u32 = 6;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The shortest and longest secret in bytes (RFC 4226 4, R6: at least 128 bits).
const SECRET: std::ops::RangeInclusive<usize> = 16..=64;

/// The time step in which `otp` is right at `now`, where it is later than `last_step`.
pub(crate) fn step_of(
    secret: &[u8],
    otp: &str,
    now: UnixTime,
    last_step: u64,
) -> Result<Option<u64>, ErrorStack> {
    let current = now.0.div_euclid(STEP_S);
    let mut found = None;
    for step in [current - 1, current, current + 1] {
        let Ok(step) = u64::try_from(step) else {
            continue;
        };
        let right = password(secret, step)?;
        let is_right = right.len() == otp.len() && memcmp::eq(right.as_bytes(), otp.as_bytes());
        if is_right && step > last_step {
            found = Some(step);
        }
    }
    Ok(found)
}

fn password(secret: &[u8], step: u64) -> Result<String, ErrorStack> {
    let key = PKey::hmac(secret)?;
    let mac = Signer::new(MessageDigest::sha1(), &key)?.sign_oneshot_to_vec(&step.to_be_bytes())?;
    // RFC 4226 5.3: the low four bits of the last byte say where the number begins.
    let at = usize::from(mac.last().copied().unwrap_or(0) & 0x0f);
    let word = mac
        .get(at..)
        .and_then(<[u8]>::first_chunk::<4>)
        .copied()
        .unwrap_or_default();
    let number = (u32::from_be_bytes(word) & 0x7fff_ffff) % 10_u32.pow(DIGITS);
    Ok(format!("{number:0width$}", width = DIGITS as usize))
}

/// Base32 without padding.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let (mut bits, mut count, mut text) = (0_u32, 0, String::new());
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            push_digit(&mut text, bits >> count);
        }
    }
    if count > 0 {
        push_digit(&mut text, bits << (5 - count));
    }
    text
}

fn push_digit(text: &mut String, bits: u32) {
    if let Some(digit) = ALPHABET.get((bits & 31) as usize) {
        text.push(char::from(*digit));
    }
}

/// A secret out of base32, in any case, with or without blanks and padding.
pub(crate) fn secret_of(text: &str) -> Option<Secret<Vec<u8>>> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::with_capacity(text.len()));
    let digits = text
        .trim()
        .trim_end_matches('=')
        .bytes()
        .filter(|byte| *byte != b' ');
    for digit in digits {
        let value = ALPHABET
            .iter()
            .position(|known| *known == digit.to_ascii_uppercase())?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    let secret = Secret::new(bytes);
    SECRET.contains(&secret.expose().len()).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238 appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        // The RFC prints eight digits; six are the last six of them.
        for (time, otp) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let step = step_of(SECRET, otp, UnixTime(time), 0).unwrap();
            assert_eq!(step, Some(time as u64 / 30), "{time}");
        }
    }

    #[test]
    fn a_password_is_right_one_step_around_its_own() {
        let at = |time| step_of(SECRET, "287082", UnixTime(time), 0).unwrap();
        assert_eq!(at(0), Some(1));
        assert_eq!(at(89), Some(1));
        assert_eq!(at(90), None);
    }

    #[test]
    fn a_step_that_is_spent_is_not_taken_again() {
        assert_eq!(step_of(SECRET, "287082", UnixTime(59), 1).unwrap(), None);
        assert_eq!(step_of(SECRET, "287082", UnixTime(59), 2).unwrap(), None);
    }

    #[test]
    fn what_is_not_six_digits_is_wrong() {
        for otp in ["", "28708", "2870820", "28708a", "94287082"] {
            assert_eq!(
                step_of(SECRET, otp, UnixTime(59), 0).unwrap(),
                None,
                "{otp}"
            );
        }
    }

    #[test]
    fn base32_reads_and_writes_the_same() {
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(base32(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let spaced = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq";
        assert_eq!(secret_of(spaced).unwrap().expose(), SECRET);
        for length in 16..=64 {
            let secret: Vec<u8> = (0..length).collect();
            assert_eq!(secret_of(&base32(&secret)).unwrap().expose(), &secret);
        }
        assert!(secret_of("MZXW6YTBOI").is_none(), "too short");
        assert!(
            secret_of("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1").is_none(),
            "1 is no digit"
        );
    }
}
