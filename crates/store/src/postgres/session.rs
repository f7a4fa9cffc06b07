//! One connection, used by one piece of work at a time, on a thread that may wait. It has a runtime
//! of its own, so that a statement goes from this thread to the database and back and wakes no
//! other; while it is idle nothing moves.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use futures_util::future::try_join_all;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{
    Client, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

use super::server::Server;
use crate::{
    Error, Result,
    sql::{Question, Row, Sql, Value},
};

/// How a transaction holds the one lock there is, whose number is "Latch" in ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// With others that do.
    Shared,
    /// While nobody else does.
    Alone,
}

impl Hold {
    fn lock(self) -> &'static str {
        match self {
            Self::Shared => "SELECT pg_advisory_lock_shared(328052532072)",
            Self::Alone => "SELECT pg_advisory_lock(328052532072)",
        }
    }

    fn unlock(self) -> &'static str {
        match self {
            Self::Shared => "SELECT pg_advisory_unlock_shared(328052532072)",
            Self::Alone => "SELECT pg_advisory_unlock(328052532072)",
        }
    }
}

/// The most runs of a statement that are under way together.
const AT_ONCE: usize = 1000;

/// A connection with the statements that it has prepared.
pub(super) struct Session {
    client: Client,
    /// There until it is dropped.
    runtime: Option<Runtime>,
    statements: RefCell<HashMap<String, Prepared>>,
    /// A commit was asked for and no answer came: nobody knows what became of it.
    committing: Cell<bool>,
    /// What it holds is not known.
    broken: Cell<bool>,
}

/// A statement, and the columns of what it answers.
#[derive(Clone)]
struct Prepared {
    statement: Statement,
    columns: Arc<[String]>,
}

impl Session {
    pub(super) fn open(server: &Server) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::database)?;
        let (client, connection) = runtime.block_on(server.connect())?;
        runtime.spawn(async move {
            // Whoever uses the connection is told the same.
            let _ = connection.await;
        });
        Ok(Self {
            client,
            runtime: Some(runtime),
            statements: RefCell::default(),
            committing: Cell::new(false),
            broken: Cell::new(false),
        })
    }

    /// What the database answers.
    fn wait<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or(Error::Closed)?;
        runtime.block_on(answer).map_err(Error::database)
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed() && !self.broken.get()
    }

    /// Whether what ended so changed nothing, and may end otherwise next time: another write came
    /// first, or the connection broke before a commit was asked for.
    pub(super) fn may_begin_again(&self, error: &Error) -> bool {
        let races = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            // Two added the same row, and neither saw the other's.
            &SqlState::UNIQUE_VIOLATION,
        ];
        let is_race = state(error).is_some_and(|state| races.contains(&state));
        is_race || (self.client.is_closed() && !self.committing.get())
    }

    /// Runs `work` in a transaction. Lock and beginning are one way to the database and back, commit
    /// and unlocking another.
    pub(super) fn transact<T>(&self, hold: Hold, work: impl Fn(&Self) -> Result<T>) -> Result<T> {
        let begun = self.both(hold.lock(), "BEGIN ISOLATION LEVEL SERIALIZABLE");
        let answer = begun.and_then(|()| work(self));
        let is_commit = answer.is_ok();
        let end = if is_commit { "COMMIT" } else { "ROLLBACK" };
        let ended = self.both(end, hold.unlock());
        let is_unknown = ended.as_ref().is_err_and(|error| !is_refusal(error));
        self.broken.set(is_unknown);
        self.committing.set(is_unknown && is_commit);
        answer.and_then(|answer| ended.map(|()| answer))
    }

    /// Sends two commands at once; the second is run even where the first one fails.
    fn both(&self, first: &str, second: &str) -> Result<()> {
        let (first, second) = self.wait(async {
            Ok(tokio::join!(
                self.client.batch_execute(first),
                self.client.batch_execute(second)
            ))
        })?;
        first.and(second).map_err(Error::database)
    }

    /// Runs commands that take no parameters and answer nothing.
    pub(super) fn batch(&self, commands: &str) -> Result<()> {
        self.wait(self.client.batch_execute(commands))
    }

    fn prepared(&self, sql: &str) -> Result<Prepared> {
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.wait(self.client.prepare(&numbered(sql)))?;
        let columns = statement.columns().iter().map(|c| c.name().to_owned());
        let prepared = Prepared {
            columns: columns.collect(),
            statement,
        };
        let mut statements = self.statements.borrow_mut();
        statements.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Drop for Session {
    /// A store may be dropped where nothing may wait.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// PostgreSQL's name of why a statement failed, where it came from there.
fn state(error: &Error) -> Option<&SqlState> {
    let Error::Database(cause) = error else {
        return None;
    };
    cause.downcast_ref::<tokio_postgres::Error>()?.code()
}

/// Whether a commit was refused for what else there is: then the transaction is over, and the lock
/// is free. A connection that the database ends says why too, but not whether before the commit.
fn is_refusal(error: &Error) -> bool {
    let classes = ["23", "40"];
    state(error).is_some_and(|state| classes.iter().any(|class| state.code().starts_with(class)))
}

/// The error as it is told: a key that is there already is the caller's matter.
pub(super) fn named(error: Error) -> Error {
    match state(&error) {
        Some(&SqlState::UNIQUE_VIOLATION) => Error::Conflict(Error::TAKEN),
        _ => error,
    }
}

/// PostgreSQL writes `$1` for `?1`; no statement has a question mark that is anything else.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

impl Sql for Session {
    fn execute(&self, sql: &str, args: &[Value]) -> Result<u64> {
        let Prepared { statement, .. } = self.prepared(sql)?;
        let args = parameters(&statement, args);
        self.wait(self.client.execute(&statement, &args))
    }

    /// All are sent before the first one is answered.
    fn each(&self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>> {
        let Prepared { statement, .. } = self.prepared(sql)?;
        let mut touched = Vec::with_capacity(rows.len());
        for rows in rows.chunks(AT_ONCE) {
            let args: Vec<_> = rows.iter().map(|row| parameters(&statement, row)).collect();
            let sent = args
                .iter()
                .map(|args| self.client.execute(&statement, args));
            touched.extend(self.wait(try_join_all(sent))?);
        }
        Ok(touched)
    }

    fn query(&self, sql: &str, args: &[Value]) -> Result<Vec<Row>> {
        let prepared = self.prepared(sql)?;
        let args = parameters(&prepared.statement, args);
        let rows = self.wait(self.client.query(&prepared.statement, &args))?;
        read(&prepared, &rows)
    }

    /// All are sent before the first one is answered.
    fn query_all(&self, questions: &[Question]) -> Result<Vec<Vec<Row>>> {
        let mut all = Vec::with_capacity(questions.len());
        for questions in questions.chunks(AT_ONCE) {
            let prepared = questions.iter().map(|question| self.prepared(question.sql));
            let prepared: Vec<Prepared> = prepared.collect::<Result<_>>()?;
            let asked = prepared.iter().zip(questions);
            let args: Vec<_> = asked
                .map(|(prepared, question)| parameters(&prepared.statement, &question.args))
                .collect();
            let sent = prepared.iter().zip(&args);
            let sent = sent.map(|(prepared, args)| self.client.query(&prepared.statement, args));
            let answers = self.wait(try_join_all(sent))?;
            for (prepared, rows) in prepared.iter().zip(&answers) {
                all.push(read(prepared, rows)?);
            }
        }
        Ok(all)
    }
}

fn read(prepared: &Prepared, rows: &[tokio_postgres::Row]) -> Result<Vec<Row>> {
    let columns = &prepared.columns;
    let row = |row: &tokio_postgres::Row| {
        let values = (0..columns.len()).map(|place| value(row, place));
        Ok(Row::new(columns, values.collect::<Result<_>>()?))
    };
    rows.iter().map(row).collect()
}

/// The parameters of a statement. That there is nothing is of the type that the statement wants.
fn parameters<'a>(statement: &Statement, args: &'a [Value]) -> Vec<&'a (dyn ToSql + Sync)> {
    let parameter = |(kind, arg): (&Type, &'a Value)| -> &'a (dyn ToSql + Sync) {
        match (arg, kind) {
            (Value::Int(n), _) => n,
            (Value::Text(text), _) => text,
            (Value::Blob(bytes), _) => bytes,
            (Value::Null, &Type::INT8) => &None::<i64>,
            (Value::Null, &Type::BYTEA) => &None::<Vec<u8>>,
            (Value::Null, _) => &None::<String>,
        }
    };
    statement.params().iter().zip(args).map(parameter).collect()
}

fn value(row: &tokio_postgres::Row, place: usize) -> Result<Value> {
    let kind = row.columns().get(place).map(|column| column.type_());
    let value = match kind {
        Some(&Type::INT8) => row.try_get(place).map(|n: Option<i64>| n.map(Value::Int)),
        Some(&Type::BOOL) => row
            .try_get(place)
            .map(|b: Option<bool>| b.map(|b| Value::Int(i64::from(b)))),
        Some(&Type::TEXT) => row
            .try_get(place)
            .map(|t: Option<String>| t.map(Value::Text)),
        Some(&Type::BYTEA) => row
            .try_get(place)
            .map(|b: Option<Vec<u8>>| b.map(Value::Blob)),
        _ => return Err(Error::Bug("a column of a type that no table has")),
    };
    Ok(value.map_err(Error::database)?.unwrap_or(Value::Null))
}
