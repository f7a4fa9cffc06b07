//! Nouns as SQLite values.

use std::{fmt::Display, str::FromStr};

use model::UnixTime;
use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

/// A noun that is stored as its text.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> ToSql for Text<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.to_string()))
    }
}

impl<T: FromStr<Err: std::error::Error + Send + Sync + 'static>> FromSql for Text<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value
            .as_str()?
            .parse()
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

/// A noun out of a text column.
pub(super) fn text<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    Text<T>: FromSql,
{
    Ok(row.get::<_, Text<T>>(column)?.0)
}

/// A time out of a column of unix seconds.
pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<UnixTime> {
    row.get(column).map(UnixTime)
}
