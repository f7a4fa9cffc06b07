//! Why the store could not do what was asked.

use std::{path::PathBuf, sync::Arc};

/// The answer of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why not, by who can do something about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request contradicts what is stored; the caller decides what to tell whom.
    #[error("it contradicts what is stored: {0}")]
    Conflict(&'static str),
    /// The store was written by a newer release.
    #[error(
        "the store in {place} has version {found}, this release knows {known}: run the newer release"
    )]
    Newer {
        /// Which store.
        place: String,
        /// Its version.
        found: i64,
        /// The newest that this release knows.
        known: i64,
    },
    /// The file cannot be opened or made.
    #[error("{} cannot be opened", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that is to be put back is no store, or not a whole one.
    #[error("{0} is no whole copy of a store: take another one")]
    Damaged(String),
    /// The database has means of its own.
    #[error("PostgreSQL makes copies itself: use pg_dump and pg_restore")]
    PostgresCopies,
    /// The database's address cannot be used.
    #[error("the database's address: {0}")]
    Address(&'static str),
    /// The database refused: the disk, the file, its rights, or the way to it.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was done together with what others asked for, and that failed.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// The store was closed while the request was under way.
    #[error("the store is closed")]
    Closed,
    /// A stored value cannot be read: a defect of this program or of the file.
    #[error("a stored value is not what it should be: {0}")]
    Bug(&'static str),
}

impl Error {
    /// What contradicts what is stored where a row is added a second time.
    pub(crate) const TAKEN: &'static str = "there is one of that key already";

    /// What the database or the way to it says.
    pub(crate) fn database(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Conflict(Self::TAKEN),
            _ => Self::database(error),
        }
    }
}
