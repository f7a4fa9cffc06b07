//! What stands in for a PIN where its counter is a program.
//!
//! A TPM counts wrong PINs, and nobody sets its count back. A program's count lies in a file:
//! whoever has a copy of the disk may try every PIN, and what slows that down is the making of the
//! value alone (Argon2id, RFC 9106). That makes a million PINs cost days instead of minutes; a long PIN,
//! or a TPM, is what helps.

use argon2::{Algorithm, Argon2, Params, Version};
use model::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Error,
    text::{self, base64_bytes},
};

/// How one credential's value is made; kept with it, so that a later release may ask for more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    #[serde(with = "base64_bytes")]
    salt: Vec<u8>,
    memory_kib: u32,
    passes: u32,
}

impl Stretch {
    /// A new one, as slow as this release wants it.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut salt = vec![0; 16];
        openssl::rand::rand_bytes(&mut salt)?;
        Ok(Self {
            salt,
            memory_kib: MEMORY_KIB,
            passes: PASSES,
        })
    }

    /// The value for this PIN.
    pub(crate) fn apply(&self, pin: &Secret<String>) -> Result<Secret<String>, Error> {
        let unfit = |_| Error::Bug("a PIN is stretched in a way that Argon2 does not take");
        let params = Params::new(self.memory_kib, self.passes, 1, Some(32)).map_err(unfit)?;
        let mut value = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(pin.expose().as_bytes(), &self.salt, &mut *value)
            .map_err(unfit)?;
        Ok(Secret::new(text::hex(&*value)))
    }
}

/// What one value takes of memory. Several users may enroll at once on a small machine.
const MEMORY_KIB: u32 = 64 * 1024;

/// So that one value takes about a third of a second.
const PASSES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_value_belongs_to_one_pin_one_salt_and_one_effort() {
        let one = Stretch {
            salt: vec![1; 16],
            memory_kib: 64,
            passes: 1,
        };
        let other_salt = Stretch {
            salt: vec![2; 16],
            ..one.clone()
        };
        let more = Stretch {
            passes: 2,
            ..one.clone()
        };
        let value = |stretch: &Stretch, text| stretch.apply(&pin(text)).unwrap().expose().clone();
        assert_eq!(value(&one, "481516"), value(&one, "481516"));
        for other in [
            value(&one, "481517"),
            value(&other_salt, "481516"),
            value(&more, "481516"),
        ] {
            assert_ne!(value(&one, "481516"), other);
            assert_eq!(other.len(), 64);
        }
        assert_ne!(Stretch::new().unwrap().salt, Stretch::new().unwrap().salt);
    }

    #[test]
    fn a_value_takes_long_enough_to_make_guessing_dear() {
        let stretch = Stretch::new().unwrap();
        assert!(stretch.memory_kib >= 64 * 1024 && stretch.passes >= 3);
        // An effort that nobody could have written is refused and does not panic.
        let torn = Stretch {
            memory_kib: 0,
            ..stretch
        };
        assert!(torn.apply(&pin("481516")).is_err());
    }
}
