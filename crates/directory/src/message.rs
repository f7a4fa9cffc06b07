//! LDAP messages (RFC 4511): the six requests that are sent and the answers to them.

use crate::{
    Error,
    ber::{self, BOOLEAN, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, SET, Writer},
    entry::Entry,
    filter::Filter,
};

/// How far below its base a search looks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    /// The base itself.
    Base = 0,
    /// Its children.
    Children = 1,
    /// Everything below and itself.
    Subtree = 2,
}

/// A request.
pub(crate) enum Request<'a> {
    /// One step of a SASL bind with the mechanism GSSAPI.
    Bind(&'a [u8]),
    /// A search.
    Search(&'a Search<'a>),
    /// Changes of single values of one entry.
    Modify(&'a str, &'a [Change<'a>]),
    /// A new entry.
    Add(&'a str, &'a [(&'a str, &'a [&'a [u8]])]),
    /// An entry out.
    Delete(&'a str),
    /// Who is bound (RFC 4532).
    WhoAmI,
}

/// A search.
pub(crate) struct Search<'a> {
    /// Where.
    pub(crate) base: &'a str,
    /// How far.
    pub(crate) scope: Scope,
    /// Which entries.
    pub(crate) filter: &'a Filter,
    /// Which attributes.
    pub(crate) attributes: &'a [&'a str],
    /// Paged results: the cookie of the last page, empty for the first (RFC 2696).
    pub(crate) page: Option<&'a [u8]>,
    /// DNs with GUID and SID in front (MS-ADTS 3.1.1.3.4.1.5).
    pub(crate) extended_dn: bool,
}

/// A change of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// One value more.
    Add(&'a str, &'a [u8]),
    /// That value out.
    Delete(&'a str, &'a [u8]),
    /// This and no other value; for attributes that are ours alone, and for descriptors, of
    /// which there is one.
    Replace(&'a str, &'a [&'a [u8]]),
}

/// Entries per page.
pub(crate) const PAGE: i32 = 1000;

const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
const EXTENDED_DN: &str = "1.2.840.113556.1.4.529";
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
const SD_FLAGS: &str = "1.2.840.113556.1.4.801";
const DESCRIPTOR: &str = "nTSecurityDescriptor";
/// The container of what was deleted, which is deleted itself, below the domain (MS-ADTS 6.1.1.4.2).
pub(crate) const DELETED_OBJECTS: &str = "CN=Deleted Objects,";
const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";

impl Request<'_> {
    /// The bytes of the message.
    pub(crate) fn encode(&self, id: i32) -> Vec<u8> {
        let mut out = Writer::default();
        out.node(SEQUENCE, |out| {
            out.number(INTEGER, id);
            match self {
                Self::Bind(token) => {
                    out.node(0x60, |out| {
                        out.number(INTEGER, 3).octets("").node(0xa3, |out| {
                            out.octets("GSSAPI").octets(token);
                        });
                    });
                }
                Self::Search(search) => search.write(out),
                Self::Modify(dn, changes) => {
                    out.node(0x66, |out| {
                        out.octets(dn).node(SEQUENCE, |out| {
                            changes.iter().for_each(|change| change.write(out));
                        });
                    });
                    let descriptor = changes.iter().any(|change| change.name() == DESCRIPTOR);
                    if descriptor {
                        out.node(0xa0, |out| {
                            let parts = changes.iter().fold(0, |all, change| all | change.parts());
                            descriptor_parts(out, parts);
                            show_deleted(out, dn);
                        });
                    }
                }
                Self::Add(dn, attributes) => {
                    out.node(0x68, |out| {
                        out.octets(dn).node(SEQUENCE, |out| {
                            for (name, values) in *attributes {
                                out.node(SEQUENCE, |out| attribute(out, name, values));
                            }
                        });
                    });
                }
                Self::Delete(dn) => {
                    out.bytes(0x4a, dn.as_bytes());
                }
                Self::WhoAmI => {
                    out.node(0x77, |out| {
                        out.bytes(0x80, WHO_AM_I.as_bytes());
                    });
                }
            }
        });
        out.into_bytes()
    }
}

impl Search<'_> {
    fn write(&self, out: &mut Writer) {
        out.node(0x63, |out| {
            out.octets(self.base)
                .number(ENUMERATED, self.scope as i32)
                .number(ENUMERATED, 0)
                .number(INTEGER, 0)
                .number(INTEGER, 0)
                .boolean(BOOLEAN, false);
            self.filter.write(out);
            out.node(SEQUENCE, |out| {
                for attribute in self.attributes {
                    out.octets(attribute);
                }
            });
        });
        let descriptor = self.attributes.contains(&DESCRIPTOR);
        let deleted = self.base.starts_with(DELETED_OBJECTS);
        if self.page.is_none() && !self.extended_dn && !descriptor && !deleted {
            return;
        }
        out.node(0xa0, |out| {
            if let Some(cookie) = self.page {
                control(out, PAGED_RESULTS, |value| {
                    value.number(INTEGER, PAGE).octets(cookie);
                });
            }
            if self.extended_dn {
                control(out, EXTENDED_DN, |value| {
                    value.number(INTEGER, 1);
                });
            }
            if descriptor {
                descriptor_parts(out, OWNER_GROUP_DACL);
            }
            show_deleted(out, self.base);
        });
    }
}

impl Change<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Add(name, _) | Self::Delete(name, _) | Self::Replace(name, _) => name,
        }
    }

    /// The parts that a new descriptor has: no others are replaced (MS-DTYP 2.4.6).
    fn parts(&self) -> i32 {
        let Self::Replace(_, [value]) = self else {
            return OWNER_GROUP_DACL;
        };
        let is_there = |at: usize| value.get(at..at + 4).is_some_and(|offset| offset != [0; 4]);
        let parts = [(4, 1), (8, 2), (16, 4)].into_iter();
        parts
            .filter(|(at, _)| is_there(*at))
            .map(|(_, part)| part)
            .sum()
    }

    fn write(&self, out: &mut Writer) {
        let (operation, name, values): (i32, &str, &[&[u8]]) = match self {
            Self::Add(name, value) => (0, name, &[value]),
            Self::Delete(name, value) => (1, name, &[value]),
            Self::Replace(name, values) => (2, name, values),
        };
        out.node(SEQUENCE, |out| {
            out.number(ENUMERATED, operation)
                .node(SEQUENCE, |out| attribute(out, name, values));
        });
    }
}

fn attribute(out: &mut Writer, name: &str, values: &[&[u8]]) {
    out.octets(name).node(SET, |out| {
        for value in values {
            out.octets(value);
        }
    });
}

/// Of a descriptor everything but the SACL (MS-ADTS 3.1.1.3.4.1.11).
const OWNER_GROUP_DACL: i32 = 0x7;

fn descriptor_parts(out: &mut Writer, parts: i32) {
    control(out, SD_FLAGS, |value| {
        value.number(INTEGER, parts);
    });
}

/// Without it the container is not there (MS-ADTS 3.1.1.3.4.1.14).
fn show_deleted(out: &mut Writer, dn: &str) {
    if dn.starts_with(DELETED_OBJECTS) {
        out.node(SEQUENCE, |out| {
            out.octets(SHOW_DELETED).boolean(BOOLEAN, true);
        });
    }
}

fn control(out: &mut Writer, oid: &str, value: impl FnOnce(&mut Writer)) {
    let mut inner = Writer::default();
    inner.node(SEQUENCE, value);
    out.node(SEQUENCE, |out| {
        out.octets(oid)
            .boolean(BOOLEAN, true)
            .octets(inner.into_bytes());
    });
}

/// A message from the domain controller.
#[derive(Debug)]
pub(crate) struct Response {
    /// Of the request that it answers.
    pub(crate) id: u32,
    /// What it says.
    pub(crate) body: Body,
}

/// What a message says.
#[derive(Debug)]
pub(crate) enum Body {
    /// One entry of a search.
    Entry(Entry),
    /// A pointer to elsewhere, which is not followed.
    Referral,
    /// The end of a request.
    Done(Outcome),
}

/// The end of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The result code.
    pub(crate) code: u32,
    /// The diagnostic message.
    pub(crate) message: String,
    /// SASL credentials of a bind, or the value of an extended answer.
    pub(crate) value: Vec<u8>,
    /// The cookie of a paged search; empty after the last page.
    pub(crate) cookie: Vec<u8>,
}

impl Response {
    /// Reads the content of an LDAPMessage.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Error> {
        let mut message = Reader::new(message);
        let id = message.number(INTEGER)?;
        let (tag, content) = message.any()?;
        let content = Reader::new(content);
        let body = match tag {
            0x64 => Body::Entry(entry(content)?),
            0x73 => Body::Referral,
            // BindResponse, SearchResultDone, ModifyResponse, AddResponse, DelResponse,
            // ExtendedResponse
            0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x78 => {
                let mut outcome = outcome(content)?;
                if message.peek() == Some(0xa0) {
                    outcome.cookie = cookie(message.node(0xa0)?)?;
                }
                Body::Done(outcome)
            }
            _ => return Err(Error::Malformed("a message of an unknown kind")),
        };
        Ok(Self { id, body })
    }
}

fn entry(mut content: Reader<'_>) -> Result<Entry, Error> {
    let dn = text(content.take(OCTETS)?)?;
    let mut list = content.node(SEQUENCE)?;
    let mut attributes = Vec::new();
    while !list.is_empty() {
        let mut attribute = list.node(SEQUENCE)?;
        let name = text(attribute.take(OCTETS)?)?;
        let mut set = attribute.node(SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(set.take(OCTETS)?.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(Entry::new(dn, attributes))
}

fn outcome(mut content: Reader<'_>) -> Result<Outcome, Error> {
    let code = content.number(ENUMERATED)?;
    content.take(OCTETS)?;
    let message = String::from_utf8_lossy(content.take(OCTETS)?)
        .trim_end_matches('\0')
        .chars()
        .take(MAX_DIAGNOSTIC)
        .collect();
    let mut value = Vec::new();
    while !content.is_empty() {
        // serverSaslCreds [7] or responseValue [11]; referrals and the answer's name are not ours.
        if let (0x87 | 0x8b, bytes) = content.any()? {
            value = bytes.to_vec();
        }
    }
    Ok(Outcome {
        code,
        message,
        value,
        cookie: Vec::new(),
    })
}

fn cookie(mut controls: Reader<'_>) -> Result<Vec<u8>, Error> {
    while !controls.is_empty() {
        let mut control = controls.node(SEQUENCE)?;
        let oid = control.take(OCTETS)?;
        if control.peek() == Some(BOOLEAN) {
            control.take(BOOLEAN)?;
        }
        if oid == PAGED_RESULTS.as_bytes() {
            let mut value = Reader::new(control.take(OCTETS)?).node(SEQUENCE)?;
            value.take(INTEGER)?;
            return Ok(value.take(OCTETS)?.to_vec());
        }
    }
    Ok(Vec::new())
}

fn text(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed("a text that is not UTF-8"))
}

/// The content of the first LDAPMessage of `bytes` and its length with the head; `None` while it
/// is incomplete.
pub(crate) fn first_message(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Error> {
    match ber::split(bytes)? {
        None => Ok(None),
        Some((SEQUENCE, content, rest)) => Ok(Some((content, bytes.len() - rest.len()))),
        Some(_) => Err(Error::Malformed("not an LDAP message")),
    }
}

const MAX_DIAGNOSTIC: usize = 500;
