//! What the planner is told of the tables. It takes the first column of an index for a choice among
//! many, and would rather read all rows of the tenant in one index than look each one up that
//! another leads to. There is one tenant, and all rows are its.

use rusqlite::{Connection, params};

use crate::Result;

/// As many rows as a large company has, in every table.
const ROWS: u64 = 1_000_000;

/// Rows that agree in a column that is no whole key.
const ALIKE: u64 = 10;

/// Writes a line for every index (SQLite's file format, 2.6.3): its rows, then how many of them agree
/// in its first column, in its first two, and so on.
pub(super) fn write(connection: &Connection) -> Result<()> {
    // Makes the table, which SQLite does not let anybody else make.
    connection.execute_batch("ANALYZE; DELETE FROM sqlite_stat1;")?;
    let sql = "SELECT m.name, l.name, l.\"unique\", i.name, i.seqno
         FROM sqlite_master m, pragma_index_list(m.name) l, pragma_index_info(l.name) i
         WHERE m.type = 'table' ORDER BY m.name, l.name, i.seqno";
    let mut query = connection.prepare(sql)?;
    let rows = query.query_map([], |row| {
        Ok(Column {
            table: row.get(0)?,
            index: row.get(1)?,
            is_unique: row.get(2)?,
            name: row.get(3)?,
        })
    })?;
    let columns: Vec<Column> = rows.collect::<rusqlite::Result<_>>()?;
    for index in columns.chunk_by(|a, b| a.index == b.index) {
        let Some(last) = index.last() else { continue };
        let mut line = ROWS.to_string();
        let mut alike = ROWS;
        for (place, column) in (1..).zip(index) {
            let is_whole = last.is_unique && place == index.len();
            alike = match column.name.as_str() {
                _ if is_whole => 1,
                "tenant" => alike,
                // One of a few words.
                "factor" => alike / 2,
                _ => alike.min(ALIKE),
            };
            line.push_str(&format!(" {alike}"));
        }
        let sql = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?1, ?2, ?3)";
        connection.execute(sql, params![last.table, last.index, line])?;
    }
    // What is written by hand is read when it is loaded anew.
    connection.execute_batch("ANALYZE sqlite_schema;")?;
    Ok(())
}

/// A column of an index.
struct Column {
    table: String,
    index: String,
    is_unique: bool,
    name: String,
}
