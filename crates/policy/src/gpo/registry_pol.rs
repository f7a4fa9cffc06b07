//! Registry.pol, the file of registry values in each half of a GPO (MS-GPREG 2.2.1).
//!
//! `PReg`, version 1, then entries `[key;value;type;size;data]` where delimiters and names are
//! UTF-16 and the rest is raw. Where data ends is said by the size alone, since data may hold every
//! delimiter. A file is good as a whole or not at all: half a policy is not a policy. The data of
//! an entry is judged on its own, by [`Entry::data`].

use model::Malformed;

use super::{Data, utf16};

/// The longest file that is read.
pub const MAX: usize = 16 << 20;

/// One entry, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, without a hive: the half says which.
    pub key: String,
    /// The value's name, or an instruction that begins with `**`.
    pub value: String,
    /// The number of the type.
    pub kind: u32,
    /// The content.
    pub data: Vec<u8>,
}

impl Entry {
    /// Sets a value.
    pub fn new(key: &str, value: &str, data: &Data) -> Self {
        let (kind, data) = data.encode();
        Self {
            key: key.to_owned(),
            value: value.to_owned(),
            kind,
            data,
        }
    }

    /// Removes a value that a weaker GPO set.
    pub fn delete(key: &str, value: &str) -> Self {
        let blank = Data::Text(" ".to_owned());
        Self::new(key, &format!("{DELETE}{value}"), &blank)
    }

    /// The content by its type.
    pub fn data(&self) -> Result<Data, Malformed> {
        Data::decode(self.kind, &self.data)
    }

    /// Does the entry set or remove this very value? Case is no matter.
    fn is_about(&self, key: &str, value: &str) -> bool {
        let name = match self.value.split_at_checked(DELETE.len()) {
            Some((start, name)) if start.eq_ignore_ascii_case(DELETE) => name,
            _ => &self.value,
        };
        self.key.to_lowercase() == key.to_lowercase() && name.to_lowercase() == value.to_lowercase()
    }
}

/// Reads a file.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    if bytes.len() > MAX {
        return Err(bad("longer than 16 MiB"));
    }
    let mut rest = bytes
        .strip_prefix(SIGNATURE)
        .ok_or(bad("does not begin with PReg and version 1"))?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let mut reader = Reader(rest);
        entries.push(reader.entry()?);
        rest = reader.0;
    }
    Ok(entries)
}

/// The file of `entries`.
pub fn write(entries: &[Entry]) -> Result<Vec<u8>, Malformed> {
    let mut out = SIGNATURE.to_vec();
    for entry in entries {
        if entry.data.len() > MAX_DATA {
            return Err(bad("data longer than 65535 bytes"));
        }
        if entry.key.contains('\0') || entry.value.contains('\0') {
            return Err(bad("a name with a NUL in it"));
        }
        out.extend(delimiter('['));
        out.extend(utf16::encode(&entry.key, true));
        out.extend(delimiter(';'));
        out.extend(utf16::encode(&entry.value, true));
        out.extend(delimiter(';'));
        out.extend(entry.kind.to_le_bytes());
        out.extend(delimiter(';'));
        out.extend((entry.data.len() as u32).to_le_bytes());
        out.extend(delimiter(';'));
        out.extend(&entry.data);
        out.extend(delimiter(']'));
    }
    if out.len() > MAX {
        return Err(bad("longer than 16 MiB"));
    }
    Ok(out)
}

/// Puts `entry` where the value that it sets or removes is set or removed, else at the end.
pub fn set(entries: &mut Vec<Entry>, entry: Entry) {
    let name = match entry.value.split_at_checked(DELETE.len()) {
        Some((start, name)) if start.eq_ignore_ascii_case(DELETE) => name.to_owned(),
        _ => entry.value.clone(),
    };
    let at = entries.iter().position(|e| e.is_about(&entry.key, &name));
    unset(entries, &entry.key, &name);
    entries.insert(at.unwrap_or(entries.len()), entry);
}

/// Takes out whatever sets or removes this value. Was there anything?
pub fn unset(entries: &mut Vec<Entry>, key: &str, value: &str) -> bool {
    let before = entries.len();
    entries.retain(|entry| !entry.is_about(key, value));
    entries.len() != before
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Result<Entry, Malformed> {
        self.expect('[')?;
        let key = self.name()?;
        self.expect(';')?;
        let value = self.name()?;
        self.expect(';')?;
        let kind = self.number()?;
        self.expect(';')?;
        let size = self.number()? as usize;
        self.expect(';')?;
        if size > MAX_DATA {
            return Err(bad("data longer than 65535 bytes"));
        }
        let data = self.take(size)?.to_owned();
        self.expect(']')?;
        Ok(Entry {
            key,
            value,
            kind,
            data,
        })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .0
            .split_at_checked(count)
            .ok_or(bad("ends inside an entry"))?;
        self.0 = tail;
        Ok(head)
    }

    fn expect(&mut self, wanted: char) -> Result<(), Malformed> {
        if self.take(2)? == delimiter(wanted) {
            return Ok(());
        }
        Err(bad("a delimiter is not where it must be"))
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?;
        <[u8; 4]>::try_from(bytes)
            .map(u32::from_le_bytes)
            .map_err(|_| bad("ends inside an entry"))
    }

    /// A name and its NUL.
    fn name(&mut self) -> Result<String, Malformed> {
        let (units, _) = self.0.as_chunks::<2>();
        let length = units
            .iter()
            .position(|unit| *unit == [0, 0])
            .ok_or(bad("a name does not end"))?;
        let name = self.take(length * 2)?;
        self.take(2)?;
        utf16::decode(name).ok_or(bad("a name is not UTF-16"))
    }
}

fn delimiter(character: char) -> [u8; 2] {
    (character as u16).to_le_bytes()
}

fn bad(reason: &'static str) -> Malformed {
    Malformed {
        noun: "Registry.pol",
        reason,
    }
}

const SIGNATURE: &[u8] = b"PReg\x01\0\0\0";
const MAX_DATA: usize = 0xffff;
pub(super) const DELETE: &str = "**del.";
