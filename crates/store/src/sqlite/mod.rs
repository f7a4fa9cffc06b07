//! SQLite, in the process, in one file: the store of a single server.
//!
//! One thread owns the only connection that writes and commits what has come in as one batch;
//! readers have connections of their own and see the last commit (WAL). So no request ever waits
//! for a lock, and a busy server pays one flush for many writes.

pub(crate) mod backup;
mod migrate;
mod statistics;
mod writer;

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    num::NonZero,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{
    Connection, OpenFlags, Statement, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::Semaphore;

use crate::{
    Error, Result,
    news::News,
    sql::{Question, Row, Sql, Value},
    store::Touches,
};
use writer::Writer;

/// Pages that the writer keeps in memory, as SQLite wants it: in KiB, less than nothing. An import of
/// a large company writes all over the indexes of names.
const CACHE_KIB: i64 = -64 * 1024;

/// Pages of the journal that are written back together. A busy server writes the same ones in every
/// commit, and all but the last of each for nothing.
const CHECKPOINT_PAGES: i64 = 4096;

/// Statements that a connection keeps compiled.
const STATEMENTS: usize = 256;

/// The embedded store.
#[derive(Clone)]
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
}

/// Connections that read.
struct Readers {
    path: PathBuf,
    /// Those that wait for the next read.
    idle: Mutex<Vec<Reader>>,
    /// A long read keeps a quick one from its processor, not from its turn: there are more than
    /// processors. Each has pages in memory, so that there are not many more.
    turns: Semaphore,
}

/// A connection that reads, and the columns of what it has asked.
struct Reader {
    connection: Connection,
    columns: RefCell<HashMap<String, Arc<[String]>>>,
}

impl Sqlite {
    /// Opens the file, makes it where it is missing, and brings its schema up to date.
    pub(crate) fn open(path: &Path) -> Result<Self> {
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
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // Deleted codes and sessions are not left in free pages.
        connection.pragma_update(None, "secure_delete", "ON")?;
        // What a write may have to undo is kept in memory: a lot of them is more than SQLite would keep
        // there, and a file for it costs as much as the journal itself.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        migrate::run(&mut connection, path)?;
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let readers = Readers {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            turns: Semaphore::new(2 * processors.max(2)),
        };
        Ok(Self {
            writer: Writer::start(connection)?,
            readers: Arc::new(readers),
        })
    }

    /// Runs `work` in the writer's batch; the answer comes after the commit.
    pub(crate) async fn write<T, F>(&self, touches: Touches, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Sql) -> Result<T> + Send + 'static,
    {
        self.writer.run(touches, work).await
    }

    /// Runs `work` on a connection that sees the last commit.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Sql) -> Result<T> + Send + 'static,
    {
        let turn = self.readers.turns.acquire().await;
        let _held = turn.map_err(|_| Error::Closed)?;
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.look_up(work))
            .await
            .map_err(|_| Error::Closed)?
    }

    /// The same, on this thread.
    pub(crate) fn look_up<T>(&self, work: impl FnOnce(&dyn Sql) -> Result<T>) -> Result<T> {
        let reader = self.readers.take()?;
        let answer = work(&reader);
        self.readers.idle().push(reader);
        answer
    }

    /// What is committed.
    pub(crate) fn news(&self) -> &News {
        self.writer.news()
    }
}

impl Readers {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Reader> {
        if let Some(reader) = self.idle().pop() {
            return Ok(reader);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Reader {
            connection,
            columns: RefCell::default(),
        })
    }
}

impl Sql for Reader {
    fn execute(&self, sql: &str, args: &[Value]) -> Result<u64> {
        Sql::execute(&self.connection, sql, args)
    }

    fn each(&self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>> {
        Sql::each(&self.connection, sql, rows)
    }

    fn query(&self, sql: &str, args: &[Value]) -> Result<Vec<Row>> {
        tracing::trace!(target: "store::sql", sql);
        let mut statement = self.connection.prepare_cached(sql)?;
        let known = self.columns.borrow().get(sql).cloned();
        let columns = known.unwrap_or_else(|| {
            let columns = columns(&statement);
            let mut known = self.columns.borrow_mut();
            known.insert(sql.to_owned(), Arc::clone(&columns));
            columns
        });
        rows(&mut statement, &columns, args)
    }

    /// All of one commit, and under one lock.
    fn query_all(&self, questions: &[Question]) -> Result<Vec<Vec<Row>>> {
        let reading = self.connection.unchecked_transaction()?;
        let answer = |question: &Question| self.query(question.sql, &question.args);
        let answers = questions.iter().map(answer).collect();
        reading.finish()?;
        answers
    }
}

impl Sql for Connection {
    fn execute(&self, sql: &str, args: &[Value]) -> Result<u64> {
        tracing::trace!(target: "store::sql", sql);
        let touched = self.prepare_cached(sql)?.execute(params_from_iter(args))?;
        Ok(touched as u64)
    }

    fn each(&self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>> {
        rows.iter()
            .map(|args| Sql::execute(self, sql, args))
            .collect()
    }

    fn query(&self, sql: &str, args: &[Value]) -> Result<Vec<Row>> {
        tracing::trace!(target: "store::sql", sql);
        let mut statement = self.prepare_cached(sql)?;
        let columns = columns(&statement);
        rows(&mut statement, &columns, args)
    }
}

fn columns(statement: &Statement<'_>) -> Arc<[String]> {
    let names = statement.column_names().into_iter();
    names.map(str::to_owned).collect()
}

fn rows(
    statement: &mut Statement<'_>,
    columns: &Arc<[String]>,
    args: &[Value],
) -> Result<Vec<Row>> {
    let rows = statement.query_map(params_from_iter(args), |row| {
        let values = (0..columns.len()).map(|place| value(row.get_ref(place)?));
        Ok(Row::new(columns, values.collect::<rusqlite::Result<_>>()?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn value(stored: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        // No table has such a column.
        ValueRef::Real(_) => Value::Null,
        ValueRef::Text(_) => Value::Text(stored.as_str()?.to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    })
}
