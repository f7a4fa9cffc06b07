//! Byte strings in files: base64, for serde's `with`.

use openssl::base64::{decode_block, encode_block};
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encode_block(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decode_block(&text).map_err(|_| D::Error::custom("not base64"))
}

/// The same for a byte string that may be absent.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Error, Serializer, decode_block};

    #[expect(clippy::ref_option, reason = "serde fixes the signature")]
    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| decode_block(&text).map_err(|_| D::Error::custom("not base64")))
            .transpose()
    }
}
