//! Proof that whoever redeems a code began the sign-in (RFC 7636), by S256 and nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::sha256;
use openssl::memcmp;

/// Reads `code_challenge` and its method. Base64url of SHA-256 has 43 characters, so that a
/// challenge of any other method falls out here too.
pub(crate) fn challenge<'a>(challenge: Option<&'a str>, method: Option<&str>) -> Option<&'a str> {
    challenge.filter(|text| text.len() == 43 && matches!(method, None | Some("S256")))
}

/// Whether a verifier is the one behind the challenge.
pub(crate) fn verifies(verifier: &str, challenge: &str) -> bool {
    let made = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    (43..=128).contains(&verifier.len())
        && made.len() == challenge.len()
        && memcmp::eq(made.as_bytes(), challenge.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_rfc_7636_verifies() {
        assert!(verifies(VERIFIER, CHALLENGE));
        assert!(!verifies(&VERIFIER[1..], CHALLENGE));
        assert!(!verifies(VERIFIER, ""));
        assert!(!verifies("", CHALLENGE));
    }

    #[test]
    fn the_plain_method_is_not_taken() {
        assert_eq!(challenge(Some(CHALLENGE), Some("S256")), Some(CHALLENGE));
        assert_eq!(challenge(Some(CHALLENGE), Some("plain")), None);
        assert_eq!(challenge(Some("too-short"), Some("S256")), None);
    }
}
