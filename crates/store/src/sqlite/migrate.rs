//! The schema's versions: forward only, each step in one transaction with its number.

use std::path::Path;

use model::sha256;
use rusqlite::{Connection, TransactionBehavior, functions::FunctionFlags};

use super::statistics;
use crate::{Error, Result, audit};

/// What brings a file one version further.
struct Step {
    sql: &'static str,
    /// What SQL cannot do.
    then: fn(&Connection) -> Result<()>,
}

/// Step n brings a file of version n to version n + 1.
const STEPS: [Step; 2] = [
    Step {
        sql: include_str!("schema-1.sql"),
        then: |_| Ok(()),
    },
    Step {
        sql: include_str!("schema-2.sql"),
        then: |db| {
            audit::chain_old_rows(db)?;
            statistics::write(db)
        },
    },
];

/// The version of a file, if this release can read it; 0 where nothing was ever in it.
fn version(connection: &Connection, path: &Path) -> Result<i64> {
    let known = STEPS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::Newer {
            place: path.display().to_string(),
            found,
            known,
        });
    }
    Ok(found)
}

/// Whether a file is a store that this release can read, or bring up to date.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<()> {
    if version(connection, path)? < 1 {
        return Err(Error::Damaged(path.display().to_string()));
    }
    Ok(())
}

pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<()> {
    let found = version(connection, path)?;
    add_functions(connection)?;
    for (version, step) in (1..).zip(STEPS).skip(usize::try_from(found).unwrap_or(0)) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step.sql)?;
        (step.then)(&transaction)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// What the steps' SQL calls: SQLite's own `lower` knows ASCII only, and it has no SHA-256.
fn add_functions(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("lower_case", 1, flags, |context| {
        Ok(context.get::<String>(0)?.to_lowercase())
    })?;
    connection.create_scalar_function("sha256", 1, flags, |context| {
        Ok(sha256(&context.get::<Vec<u8>>(0)?).to_vec())
    })?;
    Ok(())
}
