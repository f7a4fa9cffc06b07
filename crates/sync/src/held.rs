//! Accounts that the server did not take, each with the reason, until it does or they are gone.
//!
//! Two users with one principal name, or one whose name belongs to a user of the server's own, keep
//! nobody else from going up. They are tried again in every cycle.

use std::collections::HashMap;

use model::Guid;
use serde::{Deserialize, Serialize};

use crate::history::ObjectError;

/// The file's name.
pub const FILE: &str = "held.json";

/// The accounts.
#[derive(Debug, Default)]
pub struct Held {
    accounts: HashMap<Guid, ObjectError>,
    is_news: bool,
}

/// The form on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rows {
    /// One row per account.
    pub held: Vec<Row>,
}

/// One account that is held.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// objectGUID.
    pub id: Guid,
    /// Why.
    #[serde(flatten)]
    pub error: ObjectError,
}

impl Held {
    /// As it was kept.
    pub fn from_rows(rows: Rows) -> Self {
        let rows = rows.held.into_iter();
        Self {
            accounts: rows.map(|row| (row.id, row.error)).collect(),
            is_news: false,
        }
    }

    /// To be kept, where it is not what was kept last.
    pub fn news(&mut self) -> Option<Rows> {
        std::mem::take(&mut self.is_news).then(|| {
            let rows = self.accounts.iter();
            let mut held: Vec<_> = rows
                .map(|(id, error)| Row {
                    id: *id,
                    error: error.clone(),
                })
                .collect();
            held.sort_by_key(|row| row.error.object.clone());
            Rows { held }
        })
    }

    /// Holds an account; false where it is held for this reason already.
    pub fn hold(&mut self, guid: Guid, error: ObjectError) -> bool {
        let is_new = self.accounts.get(&guid) != Some(&error);
        if is_new {
            self.accounts.insert(guid, error);
            self.is_news = true;
        }
        is_new
    }

    /// It was taken, or is gone.
    pub fn release(&mut self, guid: Guid) {
        if !self.accounts.is_empty() && self.accounts.remove(&guid).is_some() {
            self.is_news = true;
        }
    }

    /// Whether an account is held.
    pub fn contains(&self, guid: Guid) -> bool {
        self.accounts.contains_key(&guid)
    }

    /// All of them, to be tried again.
    pub fn ids(&self) -> Vec<Guid> {
        self.accounts.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_held_once_per_reason_until_it_is_released() {
        let guid = Guid::from_le_bytes([1; 16]);
        let error = |detail: &str| ObjectError {
            object: "alice".to_owned(),
            code: "conflict".to_owned(),
            detail: detail.to_owned(),
        };
        let mut held = Held::default();
        assert!(held.hold(guid, error("a")));
        assert!(!held.hold(guid, error("a")));
        assert!(held.hold(guid, error("b")));
        let mut held = Held::from_rows(held.news().unwrap());
        assert_eq!(held.ids(), [guid]);
        assert!(held.news().is_none());
        held.release(guid);
        assert_eq!(held.news().unwrap().held.len(), 0);
    }
}
