//! The lockout value of a device's TPM: brought here by the device that set it, and taken back with a
//! code that an administrator had made.

use model::Secret;
use serde::{Deserialize, Serialize, Serializer};

/// `PUT` [`LockoutValue`]: keeps it; `POST` [`LockoutCode`] → [`LockoutValue`]: gives it back.
pub const LOCKOUT_PATH: &str = "/device/v1/lockout";

/// What sets the TPM's count of wrong tries back.
#[derive(Debug, Serialize, Deserialize)]
pub struct LockoutValue {
    /// Base64 of the 32 bytes.
    #[serde(serialize_with = "exposed")]
    pub value: Secret<String>,
}

/// What an administrator told a person.
#[derive(Debug, Serialize, Deserialize)]
pub struct LockoutCode {
    /// As it was typed; good once, for an hour.
    #[serde(serialize_with = "exposed")]
    pub code: Secret<String>,
}

/// These messages are there to carry it.
fn exposed<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_carried_and_not_printed() {
        let value: LockoutValue = serde_json::from_str(r#"{"value":"AAEC"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&value).unwrap(),
            r#"{"value":"AAEC"}"#
        );
        assert_eq!(format!("{value:?}"), "LockoutValue { value: Secret(…) }");
    }
}
