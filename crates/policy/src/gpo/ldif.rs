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

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Vec<Record>, Malformed> {
    let bad = |reason| Malformed {
        noun: "LDIF",
        reason,
    };
    let mut records: Vec<Record> = Vec::new();
    let mut is_open = false;
    for line in unfolded(text) {
        if line.is_empty() {
            is_open = false;
            continue;
        }
        if line.starts_with('#') || line.starts_with("version:") && !is_open {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(bad("a line without a colon"))?;
        let value = match value.strip_prefix(':') {
            Some(base64) => STANDARD
                .decode(base64.trim())
                .map_err(|_| bad("a value that is not base64"))?,
            None => value.strip_prefix(' ').unwrap_or(value).into(),
        };
        match records.last_mut().filter(|_| is_open) {
            Some(record) => record.attributes.push((name.to_owned(), value)),
            None if name.eq_ignore_ascii_case("dn") => {
                is_open = true;
                records.push(Record {
                    dn: String::from_utf8(value).map_err(|_| bad("a name that is not UTF-8"))?,
                    attributes: Vec::new(),
                });
            }
            None => return Err(bad("a record that does not begin with its name")),
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
