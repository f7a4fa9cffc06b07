//! SQLite, in the process, in one file: the store of a single server.
//!
//! One thread owns the only connection that writes and commits what has come in as one batch;
//! readers have connections of their own and see the last commit (WAL). So no request ever waits
//! for a lock, and a busy server pays one flush for many writes.

mod agent;
mod attempt;
mod directory;
mod factor;
mod key;
mod migrate;
mod tenant;
mod value;
mod writer;

use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

use crate::{Error, Result};
use value::Text;
use writer::Writer;

/// The embedded store.
#[derive(Clone)]
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
}

/// Connections that wait for the next read.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// What a write touches, so that whoever waits for it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    /// Nobody waits for it.
    Quiet,
    /// Keys or the feed.
    Keys,
}

impl Sqlite {
    /// Opens the file, makes it where it is missing, and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self> {
        // SQLite gives the files beside it the same rights.
        let made = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        made.map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit that was answered survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // Deleted codes and sessions are not left in free pages.
        connection.pragma_update(None, "secure_delete", "ON")?;
        migrate::run(&mut connection, path)?;
        let readers = Readers {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
        };
        Ok(Self {
            writer: Writer::start(connection)?,
            readers: Arc::new(readers),
        })
    }

    /// Runs `work` in the writer's batch; the answer comes after the commit.
    async fn write<T, F>(&self, topic: Topic, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.writer.run(topic, work).await
    }

    /// Runs `work` on a connection that sees the last commit.
    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || {
            let connection = readers.take()?;
            let answer = work(&connection);
            readers.idle().push(connection);
            answer
        })
        .await
        .map_err(|_| Error::Closed)?
    }

    fn commits(&self) -> watch::Receiver<u64> {
        self.writer.commits()
    }
}

impl Readers {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Connection> {
        if let Some(connection) = self.idle().pop() {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(&self.path, flags)?)
    }
}
