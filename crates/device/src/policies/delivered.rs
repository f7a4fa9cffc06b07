//! What a server delivered last, as it lies in `policy/server.json`.
//!
//! What must hold: the file is read as a whole or not at all, and nothing of one that cannot be read
//! counts. Whether a value is one of a setting is not asked here: the merge says so with the
//! policy's name, where an administrator sees it.

use std::{collections::BTreeMap, fs, path::Path};

use model::{Sid, UnixTime};
use policy::merge::ServerValue;
use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// What `server.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivered {
    /// When it came in.
    pub(super) received: UnixTime,
    /// For this device.
    pub(super) device: Vec<ServerValue>,
    /// For whatever enrolls.
    pub(super) tenant: Vec<ServerValue>,
    /// For people.
    pub(super) users: BTreeMap<Sid, Vec<ServerValue>>,
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

const FILE: &str = "server.json";

/// As much as a server's answer may be.
const LARGEST: u64 = 8 * 1024 * 1024;
