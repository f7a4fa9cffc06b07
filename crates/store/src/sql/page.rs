//! Lists by pages: a page begins behind the last row of the one before, so that its price does not
//! grow with its place, and rows that come or go meanwhile neither repeat nor hide others.

use model::Guid;

use super::{Row, Sql, args};
use crate::{Error, Result};

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only rows whose name begins so, in any case.
    pub prefix: String,
    /// `Listing::next` of the page before.
    pub after: Option<String>,
    /// The most rows.
    pub most: u32,
}

impl Page {
    /// The first page of a whole list.
    pub fn first(most: u32) -> Self {
        Self {
            prefix: String::new(),
            after: None,
            most,
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// What the next page is asked for with, where there may be one.
    pub next: Option<String>,
}

/// How a table is listed: by a lower-case name, then by an id, in an index of both.
pub(crate) struct Listed {
    pub(crate) table: &'static str,
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
}

/// No text sorts behind one that begins with another and goes on with this.
const LAST: char = char::MAX;

impl Listed {
    pub(crate) fn page<T>(
        &self,
        db: &dyn Sql,
        tenant: Guid,
        page: &Page,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Listing<T>> {
        let Self { table, name, id } = self;
        let prefix = page.prefix.to_lowercase();
        let end = format!("{prefix}{LAST}");
        // A place is the id, which has no space, and the name.
        let (after_id, after_name) = match &page.after {
            None => ("", prefix.as_str()),
            Some(after) => after
                .split_once(' ')
                .ok_or(Error::Conflict("the page is none of this list"))?,
        };
        let sql = format!(
            "SELECT * FROM {table} WHERE tenant = ?1 AND ({name}, {id}) > (?2, ?3) AND {name} < ?4
             ORDER BY {name}, {id} LIMIT ?5"
        );
        let rows = db.query(&sql, args![tenant, after_name, after_id, end, page.most])?;
        let is_full = rows.len() as u64 >= u64::from(page.most);
        let next = rows.last().filter(|_| is_full).map(|last| {
            let (id, name): (String, String) = (last.get(self.id)?, last.get(self.name)?);
            Ok::<_, Error>(format!("{id} {name}"))
        });
        Ok(Listing {
            next: next.transpose()?,
            rows: rows.iter().map(read).collect::<Result<_>>()?,
        })
    }
}
