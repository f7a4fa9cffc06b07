//! One entry as it came, and its attributes as types.

use model::{Guid, Sid};

use crate::Error;

/// An entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its DN.
    pub(crate) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    pub(crate) fn new(dn: String, attributes: Vec<(String, Vec<Vec<u8>>)>) -> Self {
        Self { dn, attributes }
    }

    /// All values; none where the attribute is absent.
    pub(crate) fn values(&self, name: &str) -> &[Vec<u8>] {
        self.attributes
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or(&[], |(_, values)| values)
    }

    /// Where values come in ranges (MS-ADTS 3.1.1.3.1.3.3): the values of this range and the start
    /// of the next, or `None` after the last.
    pub(crate) fn range(&self, name: &str) -> Option<(&[Vec<u8>], Option<usize>)> {
        self.attributes.iter().find_map(|(found, values)| {
            let (found, range) = found.split_once(";range=")?;
            if !found.eq_ignore_ascii_case(name) {
                return None;
            }
            let (_, end) = range.split_once('-')?;
            Some((
                values.as_slice(),
                end.parse::<usize>().ok().map(|end| end + 1),
            ))
        })
    }

    /// The first value.
    pub(crate) fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).first().map(Vec::as_slice)
    }

    /// The first value as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.value(name)?).ok()
    }

    /// The first value as text, of an attribute that every such entry has.
    pub(crate) fn required_text(&self, name: &'static str) -> Result<String, Error> {
        self.text(name)
            .map(str::to_owned)
            .ok_or(Error::Missing(name))
    }

    /// All values that are text.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name)
            .iter()
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value as a number; 0 where it is absent.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// `userAccountControl` and its like are signed 32-bit numbers in text.
    pub(crate) fn flags(&self, name: &str) -> u32 {
        self.text(name)
            .and_then(|text| text.parse::<i32>().ok())
            .unwrap_or(0) as u32
    }

    /// objectGUID.
    pub(crate) fn guid(&self) -> Result<Guid, Error> {
        self.value("objectGUID")
            .and_then(|value| value.try_into().ok())
            .map(Guid::from_le_bytes)
            .ok_or(Error::Missing("objectGUID"))
    }

    /// objectSid.
    pub(crate) fn sid(&self) -> Result<Sid, Error> {
        let value = self.value("objectSid").ok_or(Error::Missing("objectSid"))?;
        Sid::from_bytes(value).map_err(|_| Error::Malformed("objectSid is not a SID"))
    }

    /// One of the values of `objectClass`.
    pub(crate) fn is_a(&self, class: &str) -> bool {
        self.texts("objectClass")
            .any(|found| found.eq_ignore_ascii_case(class))
    }
}
