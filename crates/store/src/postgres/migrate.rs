//! The schema's versions: forward only, all steps in one transaction, which is alone.

use super::session::Session;
use crate::{
    Error, Result,
    sql::{Sql, args},
};

/// The version that the first step makes: versions are those of SQLite's schema.
const FIRST: i64 = 2;

/// Step n makes version `FIRST` + n.
const STEPS: [&str; 1] = [include_str!("schema-2.sql")];

pub(super) fn run(session: &Session) -> Result<()> {
    let db: &dyn Sql = session;
    session.batch("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
    let found = db.only("SELECT version FROM schema_version", &[])?;
    let known = FIRST + STEPS.len() as i64 - 1;
    if let Some(found) = found
        && found > known
    {
        return Err(Error::Newer {
            place: "PostgreSQL".to_owned(),
            found,
            known,
        });
    }
    let next = found.map_or(FIRST, |found| found + 1);
    for (version, step) in (FIRST..).zip(STEPS).filter(|(version, _)| *version >= next) {
        session.batch(step)?;
        db.execute("DELETE FROM schema_version", &[])?;
        let sql = "INSERT INTO schema_version (version) VALUES (?1)";
        db.execute(sql, args![version])?;
    }
    Ok(())
}
