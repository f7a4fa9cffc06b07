//! The door to a database: one statement at a time, with positional parameters (`?1`).
//!
//! Every noun's SQL is written once against [`Sql`], which SQLite and PostgreSQL implement, so that
//! the two cannot come to differ in what they mean. What both understand is the language here:
//! `ON CONFLICT`, `RETURNING`, row values, recursive queries; numbers, texts and bytes, with truth
//! as 0 or 1. Where they differ, in types and in what a table is, their schema files do.

mod page;
mod value;

pub(crate) use page::Listed;
pub use page::{Listing, Page};
pub(crate) use value::{Arg, Column, Value, args, fields, plain, words};

use crate::{Error, Result};

/// A connection that a piece of work may use.
pub(crate) trait Sql {
    /// Runs a statement; the number of rows that it touched.
    fn execute(&self, sql: &str, args: &[Value]) -> Result<u64>;

    /// Runs a statement once for each row of parameters, in order; how many rows each run touched.
    fn each(&self, sql: &str, rows: &[Vec<Value>]) -> Result<Vec<u64>>;

    /// Runs a statement; the rows that it answered.
    fn query(&self, sql: &str, args: &[Value]) -> Result<Vec<Row>>;

    /// Runs several, of which none waits for another; the rows of each.
    fn query_all(&self, questions: &[Question]) -> Result<Vec<Vec<Row>>> {
        let answer = |question: &Question| self.query(question.sql, &question.args);
        questions.iter().map(answer).collect()
    }
}

/// A statement that asks, with its parameters.
pub(crate) struct Question {
    pub(crate) sql: &'static str,
    pub(crate) args: Vec<Value>,
}

impl Question {
    pub(crate) fn new(sql: &'static str, args: &[Value]) -> Self {
        let args = args.to_owned();
        Self { sql, args }
    }
}

/// One row of an answer.
pub(crate) struct Row {
    names: std::sync::Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(names: &std::sync::Arc<[String]>, values: Vec<Value>) -> Self {
        Self {
            names: std::sync::Arc::clone(names),
            values,
        }
    }

    /// The noun in a column.
    pub(crate) fn get<T: Column>(&self, column: &'static str) -> Result<T> {
        let place = self.names.iter().position(|name| name == column);
        place
            .and_then(|place| self.values.get(place))
            .and_then(T::read)
            .ok_or(Error::Bug(column))
    }
}

impl dyn Sql + '_ {
    /// The first row, if there is one.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        args: &[Value],
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        self.query(sql, args)?.first().map(read).transpose()
    }

    /// Every row.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        args: &[Value],
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.query(sql, args)?.iter().map(read).collect()
    }

    /// The first column of the first row, if there is one.
    pub(crate) fn only<T: Column>(&self, sql: &str, args: &[Value]) -> Result<Option<T>> {
        let rows = self.query(sql, args)?;
        let Some(value) = rows.first().and_then(|row| row.values.first()) else {
            return Ok(None);
        };
        T::read(value)
            .map(Some)
            .ok_or(Error::Bug("a column of another type"))
    }

    /// Whether a statement that asks for one truth says yes.
    pub(crate) fn holds(&self, sql: &str, args: &[Value]) -> Result<bool> {
        Ok(self.only(sql, args)?.unwrap_or(false))
    }

    /// Whether a statement touched anything.
    pub(crate) fn touched(&self, sql: &str, args: &[Value]) -> Result<bool> {
        Ok(self.execute(sql, args)? > 0)
    }

    /// Adds a row.
    pub(crate) fn insert(&self, table: &str, fields: Fields<'_>) -> Result<()> {
        self.write_row(table, fields, "").map(|_| ())
    }

    /// Adds a row where there is none with its key; whether it did.
    pub(crate) fn add(&self, table: &str, fields: Fields<'_>) -> Result<bool> {
        Ok(self.write_row(table, fields, " ON CONFLICT DO NOTHING")? > 0)
    }

    /// Adds a row; one that is there with the same `key` takes its values.
    pub(crate) fn put(
        &self,
        table: &'static str,
        key: &'static str,
        row: Fields<'_>,
    ) -> Result<()> {
        let put = Put {
            table,
            key,
            kept: "",
            only_if: "",
        };
        self.put_as(&put, row).map(|_| ())
    }

    /// The same with what it says about a row that is there; false where that one stays as it is.
    pub(crate) fn put_as(&self, put: &Put, row: Fields<'_>) -> Result<bool> {
        let tail = put.tail(row);
        Ok(self.write_row(put.table, row, &tail)? > 0)
    }

    /// The same for many rows with the same columns.
    pub(crate) fn put_each(&self, put: &Put, rows: &[Vec<Field>]) -> Result<Vec<bool>> {
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let touched = self.each(
            &insertion(put.table, first, &put.tail(first)),
            &values(rows),
        )?;
        Ok(touched.into_iter().map(|count| count > 0).collect())
    }

    /// Adds many rows with the same columns.
    pub(crate) fn insert_each(&self, table: &str, rows: &[Vec<Field>]) -> Result<()> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        self.each(&insertion(table, first, ""), &values(rows))
            .map(|_| ())
    }

    fn write_row(&self, table: &str, fields: Fields<'_>, tail: &str) -> Result<u64> {
        let values: Vec<Value> = fields.iter().map(|(_, value)| value.clone()).collect();
        self.execute(&insertion(table, fields, tail), &values)
    }
}

/// How a row is put where one with the same key may be.
pub(crate) struct Put {
    pub(crate) table: &'static str,
    pub(crate) key: &'static str,
    /// The column that stays as it is.
    pub(crate) kept: &'static str,
    /// ` WHERE` and what must hold of the row that is there, or nothing.
    pub(crate) only_if: &'static str,
}

impl Put {
    fn tail(&self, fields: Fields<'_>) -> String {
        let taken: Vec<String> = fields
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name != self.kept)
            .filter(|name| !self.key.split(", ").any(|part| part == *name))
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        let (key, taken) = (self.key, taken.join(", "));
        format!(" ON CONFLICT ({key}) DO UPDATE SET {taken}{}", self.only_if)
    }
}

fn values(rows: &[Vec<Field>]) -> Vec<Vec<Value>> {
    let values = |row: &Vec<Field>| row.iter().map(|(_, value)| value.clone()).collect();
    rows.iter().map(values).collect()
}

fn insertion(table: &str, fields: Fields<'_>, tail: &str) -> String {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
    let (names, places) = (names.join(", "), places.join(", "));
    format!("INSERT INTO {table} ({names}) VALUES ({places}){tail}")
}

/// A column with its value.
pub(crate) type Field = (&'static str, Value);

/// Columns with their values.
pub(crate) type Fields<'a> = &'a [Field];
