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

/// Some of an attribute's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range<'e> {
    /// The values.
    pub(crate) values: &'e [Vec<u8>],
    /// The place of the first of them.
    pub(crate) start: usize,
    /// The start of the next range; none after the last. It is never before this one's end.
    pub(crate) next: Option<usize>,
}

impl<'e> Range<'e> {
    /// All the values that there are.
    pub(crate) fn whole(values: &'e [Vec<u8>]) -> Self {
        Self {
            values,
            start: 0,
            next: None,
        }
    }

    fn read(range: &str, values: &'e [Vec<u8>]) -> Option<Self> {
        let (start, end) = range.split_once('-')?;
        let start = start.parse().ok()?;
        let next = match end {
            "*" => None,
            end => Some(
                end.parse()
                    .ok()
                    .filter(|end: &usize| *end >= start)?
                    .checked_add(1)?,
            ),
        };
        Some(Self {
            values,
            start,
            next,
        })
    }
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

    /// Where values come in ranges (MS-ADTS 3.1.1.3.1.3.3): the one that came.
    pub(crate) fn range(&self, name: &str) -> Option<Result<Range<'_>, Error>> {
        self.attributes.iter().find_map(|(found, values)| {
            let (found, option) = found.split_once(';')?;
            let (kind, range) = option.split_at_checked("range=".len())?;
            let is_it = found.eq_ignore_ascii_case(name) && kind.eq_ignore_ascii_case("range=");
            let malformed = Error::Malformed("a range of values that is none");
            is_it.then(|| Range::read(range, values).ok_or(malformed))
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
