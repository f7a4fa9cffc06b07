//! JSON with one meaning: an object whose members have different names, at every depth.
//!
//! Readers disagree about which of two members with one name counts; a statement that two parts
//! read must not mean two things.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::Error;

/// Reads an object.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    expect_object(bytes)?;
    read_again(bytes)
}

fn expect_object(bytes: &[u8]) -> Result<(), Error> {
    serde_json::from_slice(bytes)
        .map(|Object| ())
        .map_err(|_| Error::Malformed("not a JSON object, or one with duplicate members"))
}

fn read_again<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|_| Error::Malformed("a member is missing or not of its type"))
}

/// An object that is read more than once, and looked through once.
#[derive(Debug)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        expect_object(&bytes)?;
        Ok(Self(bytes))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read_again(&self.0)
    }
}

/// An object without duplicate members; its content is not kept.
struct Object;

/// Any value without duplicate members.
struct Value;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Walk).map(|()| Self)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk).map(|()| Self)
    }
}

/// A member's name; mostly it is there as it is written.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some((Name(name), Value)) = map.next_entry::<Name<'de>, Value>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(Value) = sequence.next_element()? {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Present and of no interest; serde tells it apart from absent.
pub(crate) type Present = IgnoredAny;
