//! What of a certificate OpenSSL's interface leaves to its callers: a revocation list's address, a
//! Kerberos name, and reading an extension.

use keycred::der::{INTEGER, SEQUENCE, any, take, wrap};

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
/// OBJECT IDENTIFIER.
const OBJECT: u8 = 0x06;
const GENERAL_STRING: u8 = 0x1b;
/// `[3]`: where a certificate has its extensions (RFC 5280 4.1).
const EXTENSIONS: u8 = 0xa3;

/// id-pkinit-KPKdc (RFC 4556 3.2.4), encoded.
pub(crate) const KDC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x02, 0x03, 0x05];
/// id-kp-serverAuth (RFC 5280 4.2.1.12), encoded.
pub(crate) const SERVER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// id-kp-clientAuth (RFC 5280 4.2.1.12), encoded.
pub(crate) const CLIENT: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// id-ce-extKeyUsage (RFC 5280 4.2.1.12), encoded.
const KEY_PURPOSES: &[u8] = &[0x55, 0x1d, 0x25];
/// id-ce-basicConstraints (RFC 5280 4.2.1.9), encoded.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// CRLDistributionPoints with one URI (RFC 5280 4.2.1.13).
pub(crate) fn distribution_point(uri: &str) -> Vec<u8> {
    let names = wrap(0xa0, &wrap(0x86, uri.as_bytes()));
    wrap(SEQUENCE, &wrap(SEQUENCE, &wrap(0xa0, &names)))
}

/// KRB5PrincipalName of the realm's ticket-granting service (RFC 4556 3.2.2).
pub(crate) fn ticket_service(realm: &str) -> Vec<u8> {
    const NT_SRV_INST: u8 = 2;
    let text = |text: &str| wrap(GENERAL_STRING, text.as_bytes());
    let kind = wrap(0xa0, &wrap(INTEGER, &[NT_SRV_INST]));
    let parts = [text("krbtgt"), text(realm)].concat();
    let parts = wrap(0xa1, &wrap(SEQUENCE, &parts));
    let principal = wrap(0xa1, &wrap(SEQUENCE, &[kind, parts].concat()));
    wrap(SEQUENCE, &[wrap(0xa0, &text(realm)), principal].concat())
}

/// What a certificate may be used for: encoded object identifiers; none without the extension.
pub(crate) fn purposes(certificate: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let list = extension(certificate, KEY_PURPOSES).and_then(|value| take(SEQUENCE, value));
    let Some((mut list, _)) = list else {
        return found;
    };
    while let Some((purpose, rest)) = take(OBJECT, list) {
        found.push(purpose);
        list = rest;
    }
    found
}

/// Whether a certificate calls itself an authority.
pub(crate) fn is_authority(certificate: &[u8]) -> bool {
    extension(certificate, BASIC_CONSTRAINTS)
        .and_then(|value| take(SEQUENCE, value))
        .and_then(|(constraints, _)| take(BOOLEAN, constraints))
        .is_some_and(|(authority, _)| authority != [0])
}

/// The value of one of a certificate's extensions.
fn extension<'c>(certificate: &'c [u8], id: &[u8]) -> Option<&'c [u8]> {
    let (certificate, _) = take(SEQUENCE, certificate)?;
    let (mut fields, _) = take(SEQUENCE, certificate)?;
    let mut extensions = loop {
        let (tag, content, rest) = any(fields)?;
        if tag == EXTENSIONS {
            break take(SEQUENCE, content)?.0;
        }
        fields = rest;
    };
    while let Some((extension, rest)) = take(SEQUENCE, extensions) {
        extensions = rest;
        let (found, value) = take(OBJECT, extension)?;
        if found == id {
            let value = take(BOOLEAN, value).map_or(value, |(_critical, value)| value);
            return Some(take(OCTETS, value)?.0);
        }
    }
    None
}
