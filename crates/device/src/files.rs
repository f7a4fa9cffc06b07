//! State files: JSON with a version, readable by root alone, replaced as a whole or not at all.
//!
//! A file is written beside its place, flushed, and moved into it, so that a crash leaves the old
//! content or the new one. A file of a newer release, or one that cannot be read, is an error that
//! names it: nothing is overwritten or guessed at, and no key is lost to a misreading.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use model::Secret;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::Error;

/// The version that this release writes and the newest that it reads.
const VERSION: u32 = 1;

/// The extension of a file that is being written beside its place.
const BESIDE: &str = "new";

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    version: u32,
    data: T,
}

/// Reads the file at `path`; none when there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(state(path, &error)),
    };
    let head: Head = serde_json::from_slice(&text).map_err(|error| state(path, &error))?;
    if head.version > VERSION {
        let reason = format!(
            "it has version {} and this release reads up to {VERSION}; \
             install the release that wrote it",
            head.version
        );
        return Err(state(path, &reason));
    }
    let envelope: Envelope<T> = serde_json::from_slice(&text).map_err(|e| state(path, &e))?;
    Ok(Some(envelope.data))
}

/// Writes the file at `path`; its folder must exist.
pub(crate) fn write<T: Serialize>(path: &Path, data: &T) -> Result<(), Error> {
    let envelope = Envelope {
        version: VERSION,
        data,
    };
    let text = serde_json::to_vec_pretty(&envelope).map_err(|error| state(path, &error))?;
    write_bytes(path, &text, 0o600)
}

/// Writes bytes as they are, with `mode`.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, bytes, mode).map_err(|error| state(path, &error))
}

/// The 32 secret bytes at `path`; made when there are none.
pub(crate) fn secret(path: &Path) -> Result<Secret<[u8; 32]>, Error> {
    let mut value = Zeroizing::new([0; 32]);
    match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => {
            *value = bytes
                .as_slice()
                .try_into()
                .map_err(|_| state(path, &"it is not 32 bytes long"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            openssl::rand::rand_bytes(&mut *value)?;
            write_bytes(path, &*value, 0o600)?;
        }
        Err(error) => return Err(state(path, &error)),
    }
    Ok(Secret::new(*value))
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Two writers of one file would share what is written beside it, and one could put the other's
    // half in place.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let beside = path.with_extension(BESIDE);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut file = options.open(&beside)?;
    // The process's umask, and a file that a crash left behind, must not decide.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Removes the file at `path` for good; no such file is a success.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(state(path, &error)),
        _ => sync_folder(path).map_err(|error| state(path, &error)),
    }
}

/// Removes what a crash left half written in `folder`. For the one process that writes there.
pub(crate) fn sweep(folder: &Path) -> Result<(), Error> {
    let fault = |error: io::Error| state(folder, &error);
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.extension().is_some_and(|end| end == BESIDE) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Makes a folder with `mode`, and those above it as the process makes folders.
pub(crate) fn folder(path: &Path, mode: u32) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|error| state(path, &error))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| state(path, &error))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn state(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::State {
        path: PathBuf::from(path),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests;
