//! Passwords made for one lab.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::domain::PEOPLE;

/// Passwords made for one lab; they are kept in its state file, which only root can read. They have
/// no `Debug`, so that no failed assertion prints them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    pub(super) administrator: String,
    pub(super) agent: String,
    people: BTreeMap<String, String>,
}

impl Secrets {
    pub(super) fn make() -> Result<Self> {
        let mut people = BTreeMap::new();
        for (name, _) in PEOPLE {
            people.insert(name.to_owned(), password()?);
        }
        Ok(Self {
            administrator: password()?,
            agent: password()?,
            people,
        })
    }

    pub(super) fn person(&self, name: &str) -> Result<&str> {
        let found = self
            .people
            .get(name)
            .with_context(|| format!("the lab has no {name}"))?;
        Ok(found)
    }
}

/// 120 random bits, one character of each kind that a domain may demand, and such as forms and URLs
/// write otherwise.
fn password() -> Result<String> {
    let mut bytes = [0; 15];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{}&+.aA1", URL_SAFE_NO_PAD.encode(bytes)))
}
