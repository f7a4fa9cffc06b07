//! Search filters as values (RFC 4511 4.5.1.7).
//!
//! There is no text form on the way, so nothing needs escaping and no value can become syntax.

use crate::ber::Writer;

/// What entries a search wants.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// One of them.
    Or(Vec<Filter>),
    /// The attribute has this value.
    Equal(&'static str, Vec<u8>),
    /// The attribute's number is at least this.
    AtLeast(&'static str, u64),
    /// The attribute is there.
    Present(&'static str),
    /// All these bits are set in the attribute's number (MS-ADTS 3.1.1.3.4.4.1).
    Bits(&'static str, u32),
    /// The attribute leads to this DN, over any number of steps (MS-ADTS 3.1.1.3.4.4.3).
    InChain(&'static str, String),
}

impl Filter {
    /// The attribute has this value.
    pub(crate) fn equal(attribute: &'static str, value: impl Into<Vec<u8>>) -> Self {
        Self::Equal(attribute, value.into())
    }

    /// Writes the filter.
    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::And(all) => {
                out.node(0xa0, |out| all.iter().for_each(|filter| filter.write(out)));
            }
            Self::Or(any) => {
                out.node(0xa1, |out| any.iter().for_each(|filter| filter.write(out)));
            }
            Self::Equal(attribute, value) => {
                out.node(0xa3, |out| {
                    out.octets(attribute).octets(value);
                });
            }
            Self::AtLeast(attribute, value) => {
                out.node(0xa5, |out| {
                    out.octets(attribute).octets(value.to_string());
                });
            }
            Self::Present(attribute) => {
                out.bytes(0x87, attribute.as_bytes());
            }
            Self::Bits(attribute, bits) => {
                extensible(out, "1.2.840.113556.1.4.803", attribute, &bits.to_string());
            }
            Self::InChain(attribute, dn) => {
                extensible(out, "1.2.840.113556.1.4.1941", attribute, dn);
            }
        }
    }
}

fn extensible(out: &mut Writer, rule: &str, attribute: &str, value: &str) {
    out.node(0xa9, |out| {
        out.bytes(0x81, rule.as_bytes())
            .bytes(0x82, attribute.as_bytes())
            .bytes(0x83, value.as_bytes());
    });
}
