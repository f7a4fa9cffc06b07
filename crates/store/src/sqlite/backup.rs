//! A copy of the store in one file, and the way back.
//!
//! A copy is what was committed at one moment, while the store goes on working. It holds no secret
//! that the store does not: the master key lies elsewhere, and is to be kept apart from it.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{Sqlite, migrate};
use crate::{Error, Result};

impl Sqlite {
    /// Writes a copy to a file that is not there yet.
    pub(crate) async fn back_up(&self, to: PathBuf) -> Result<()> {
        let readers = std::sync::Arc::clone(&self.readers);
        let work = move || {
            let reader = readers.take()?;
            copy(&reader.connection, &to)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Error::Closed)?
    }
}

/// Whether a file is a store that this release can read, or bring up to date; nothing is changed. The
/// further host names in it.
pub(crate) fn check(path: &Path) -> Result<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    migrate::check(&connection, path)?;
    let has_hosts = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'hosts')";
    if !connection.query_row(has_hosts, [], |row| row.get(0))? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare("SELECT name FROM hosts ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<std::result::Result<_, _>>()?)
}

/// Puts a copy in the place of a store that is not there; the copy is looked through first.
pub(crate) fn restore(from: &Path, to: &Path) -> Result<()> {
    // A journal of the store that was there would be taken for one of the copy.
    for suffix in ["", "-wal", "-shm"] {
        let mut path = to.as_os_str().to_owned();
        path.push(suffix);
        let path = PathBuf::from(path);
        if path.exists() {
            return Err(file(&path)(ErrorKind::AlreadyExists.into()));
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags)?;
    migrate::check(&connection, from)?;
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(Error::Damaged(from.display().to_string()));
    }
    copy(&connection, to)
}

/// A copy that is not whole does not stay.
fn copy(connection: &Connection, to: &Path) -> Result<()> {
    // SQLite fills an empty file, which has the rights that it is made with.
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    let made = made.map_err(file(to))?;
    let name = to.to_str().ok_or(Error::Address("it is not UTF-8"))?;
    let copied = connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(Error::from)
        .and_then(|_| made.sync_all().map_err(file(to)));
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    copied
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}
