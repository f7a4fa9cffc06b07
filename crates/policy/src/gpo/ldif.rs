//! LDIF (RFC 2849), as far as exports of a directory use it: records of attributes, folded lines,
//! base64, comments. Changes and references to files are not understood.

use base64::{Engine, engine::general_purpose::STANDARD};
use model::Malformed;

/// One object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The first value of an attribute.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of an attribute, as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    /// The first value of an attribute, as a number, which LDAP writes signed.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        Some(self.text(name)?.trim().parse::<i64>().ok()? as u32)
    }

    /// Every value of an attribute that is text.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name)
            .filter_map(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Takes over the attributes that are not there yet.
    pub(super) fn complete(&mut self, other: Self) {
        let new = other.attributes.into_iter();
        let missing: Vec<_> = new.filter(|(name, _)| self.bytes(name).is_none()).collect();
        self.attributes.extend(missing);
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.attributes
            .iter()
            .filter(move |(attribute, _)| attribute.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

/// Where a line is.
#[derive(PartialEq)]
enum Place {
    Between,
    Object,
    /// In what tools write besides objects: the result of the search, referrals.
    Aside,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Vec<Record>, Malformed> {
    let bad = |reason| Malformed {
        noun: "LDIF",
        reason,
    };
    let mut records: Vec<Record> = Vec::new();
    let mut place = Place::Between;
    for line in unfolded(text) {
        if line.is_empty() {
            place = Place::Between;
            continue;
        }
        if line.starts_with('#') || place == Place::Aside {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(bad("a line without a colon"))?;
        let value = match value.strip_prefix(':') {
            Some(base64) => STANDARD
                .decode(base64.trim())
                .map_err(|_| bad("a value that is not base64"))?,
            None => value.strip_prefix(' ').unwrap_or(value).into(),
        };
        // Options, such as a range of values, follow a semicolon.
        let name = name.split(';').next().unwrap_or(name);
        match records.last_mut().filter(|_| place == Place::Object) {
            Some(record) => record.attributes.push((name.to_owned(), value)),
            None if name.eq_ignore_ascii_case("dn") => {
                place = Place::Object;
                records.push(Record {
                    dn: String::from_utf8(value).map_err(|_| bad("a name that is not UTF-8"))?,
                    attributes: Vec::new(),
                });
            }
            None if name.eq_ignore_ascii_case("version") => {}
            None => place = Place::Aside,
        }
    }
    Ok(records)
}

/// The lines, each joined with those that continue it.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(more), Some(last)) if !last.is_empty() => last.push_str(more),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}
