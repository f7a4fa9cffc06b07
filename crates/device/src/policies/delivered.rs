//! What a server delivered last, as it lies in `policy/server.json`.
//!
//! What must hold: the file is read as a whole or not at all, and nothing of one that cannot be read
//! counts. Whether a value is one of a setting is not asked here: the merge says so with the
//! policy's name, where an administrator sees it.

use std::{fs, path::Path};

use api::policies::{Policies, UserPolicies};
use model::{Sid, UnixTime};
use policy::{assigned::Held, merge::ServerValue};
use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// What `server.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivered {
    /// When it came in.
    pub(super) received: UnixTime,
    /// Its tag at the server.
    pub(super) etag: String,
    /// What came.
    pub(super) policies: Policies,
}

impl Delivered {
    /// What holds once `policies` came after `former`: nodes upon which the server's policies do not
    /// agree keep the values upon which they last did.
    pub(super) fn after(
        former: Option<&Self>,
        mut policies: Policies,
        etag: String,
        received: UnixTime,
    ) -> Self {
        let conflicts = policies.conflicts.clone();
        for conflict in conflicts.iter().filter(|node| node.held == Held::Kept) {
            let kept = former.and_then(|former| {
                let mut values = former.lists(conflict.user.as_ref()).into_iter().flatten();
                values.find(|value| value.loc_uri == conflict.loc_uri)
            });
            let Some(kept) = kept.cloned() else { continue };
            match &conflict.user {
                None => policies.device.push(kept),
                Some(sid) => {
                    let own = policies.users.entry(sid.clone()).or_default();
                    match kept.loc_uri.starts_with("./User/") {
                        true => own.user.push(kept),
                        false => own.device.push(kept),
                    }
                }
            }
        }
        Self {
            received,
            etag,
            policies,
        }
    }

    /// The lists that count for a person, or for the device alone.
    fn lists(&self, person: Option<&Sid>) -> [&[ServerValue]; 2] {
        [self.device(person), self.user(person)]
    }

    /// Nodes of the device's tree.
    pub(super) fn device(&self, person: Option<&Sid>) -> &[ServerValue] {
        self.of(person)
            .map_or(&self.policies.device, |own| &own.device)
    }

    /// Nodes of the user's tree.
    pub(super) fn user(&self, person: Option<&Sid>) -> &[ServerValue] {
        self.of(person).map_or(&[], |own| &own.user)
    }

    fn of(&self, person: Option<&Sid>) -> Option<&UserPolicies> {
        self.policies.users.get(person?)
    }

    /// What is to be said of nodes upon which policies do not agree.
    pub(super) fn disagreements(&self, person: Option<&Sid>) -> impl Iterator<Item = String> {
        let conflicts = self.policies.conflicts.iter();
        let own = person.filter(|person| self.policies.users.contains_key(*person));
        let conflicts = conflicts.filter(move |conflict| conflict.user.as_ref() == own);
        conflicts.map(|conflict| {
            let held = match conflict.held {
                Held::Kept => "the last value upon which they agreed stays, if there was one",
                Held::Unset => "it is not set",
            };
            format!(
                "Policies of the server do not agree upon {}: {}; {held}.",
                conflict.loc_uri,
                conflict.policies.join(", ")
            )
        })
    }
}

/// Reads the file in `folder`; none where no server ever delivered anything.
pub(super) fn read(folder: &Path) -> Result<Option<Delivered>, Error> {
    let path = folder.join(FILE);
    if fs::metadata(&path).is_ok_and(|found| found.len() > LARGEST) {
        let reason = format!("it is larger than {LARGEST} bytes");
        return Err(Error::State { path, reason });
    }
    files::read(&path)
}

/// Takes the place of what was there.
pub(super) fn write(folder: &Path, delivered: &Delivered) -> Result<(), Error> {
    files::write(&folder.join(FILE), delivered)
}

const FILE: &str = "server.json";

/// As much as a server's answer may be.
const LARGEST: u64 = 8 * 1024 * 1024;
