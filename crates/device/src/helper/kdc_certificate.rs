//! The certificate by which a KDC signed its answer to a login by key.
//!
//! What comes in is whatever somebody on the network sent. libkrb5 judges it; here nothing is
//! checked but the shape, so what comes out tells an administrator what a domain controller shows,
//! and proves nothing. Only an answer by key agreement has the signature in clear (RFC 4556 3.2.3),
//! which is the one that libkrb5 asks for.

use keycred::der::{INTEGER, SEQUENCE, any, take};
use openssl::x509::X509;

const AS_REP: u8 = 0x6b;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SET: u8 = 0x31;
/// A primitive `[0]`.
const BARE_0: u8 = 0x80;
/// A `[0]` around another element.
const EXPLICIT_0: u8 = context(0);

/// PA-PK-AS-REP (RFC 4556 3.1.2) as an INTEGER.
const PA_PK_AS_REP: &[u8] = &[17];
/// id-signedData (RFC 5652 5.1).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// A constructed `[number]`.
const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// DER of the certificate behind the signature in an AS-REP; none where there is none in clear.
pub fn kdc_certificate(as_rep: &[u8]) -> Option<Vec<u8>> {
    let (reply, _) = take(AS_REP, as_rep)?;
    let (mut reply, _) = take(SEQUENCE, reply)?;
    let data = field(&mut reply, context(2))?;
    let (data, _) = take(SEQUENCE, data)?;
    signer(signed_data(pk_as_rep(data)?)?)
}

/// The next element with this tag; what stands before it is passed over.
fn field<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    loop {
        let (found, content, rest) = any(bytes)?;
        *bytes = rest;
        if found == tag {
            return Some(content);
        }
    }
}

/// The value of the PA-PK-AS-REP among pre-authentication data (RFC 4120 5.2.7).
fn pk_as_rep(mut data: &[u8]) -> Option<&[u8]> {
    loop {
        let mut one = field(&mut data, SEQUENCE)?;
        let (kind, _) = take(INTEGER, field(&mut one, context(1))?)?;
        if kind == PA_PK_AS_REP {
            let (value, _) = take(OCTET_STRING, field(&mut one, context(2))?)?;
            return Some(value);
        }
    }
}

/// The content of the SignedData in a DHRepInfo.
fn signed_data(value: &[u8]) -> Option<&[u8]> {
    let (info, _) = take(EXPLICIT_0, value)?;
    let (mut info, _) = take(SEQUENCE, info)?;
    let (content_info, _) = take(SEQUENCE, field(&mut info, BARE_0)?)?;
    let (kind, content) = take(OBJECT_IDENTIFIER, content_info)?;
    let (content, _) = take(EXPLICIT_0, content)?;
    let (signed, _) = take(SEQUENCE, content)?;
    (kind == SIGNED_DATA).then_some(signed)
}

/// The one certificate of a SignedData that its first signer names (RFC 5652 5.3).
fn signer(mut signed: &[u8]) -> Option<Vec<u8>> {
    // Version, algorithms and content; the algorithms have the tag of the signers.
    for _ in 0..3 {
        (_, _, signed) = any(signed)?;
    }
    let mut certificates = field(&mut signed, EXPLICIT_0)?;
    let (mut info, _) = take(SEQUENCE, field(&mut signed, SET)?)?;
    field(&mut info, INTEGER)?;
    let (tag, name, _) = any(info)?;
    loop {
        let (_, _, rest) = any(certificates)?;
        let der = certificates.get(..certificates.len() - rest.len())?;
        certificates = rest;
        let has_id = |certificate: &X509, id| {
            let own = certificate.subject_key_id();
            own.is_some_and(|own| own.as_slice() == id)
        };
        let is_named = |certificate: &X509| match tag {
            SEQUENCE => has_issuer_and_serial(certificate, name),
            BARE_0 => has_id(certificate, name),
            // As Heimdal has it, which is Samba's KDC.
            EXPLICIT_0 => take(OCTET_STRING, name).is_some_and(|(id, _)| has_id(certificate, id)),
            _ => false,
        };
        // Beside certificates the set may hold things of other kinds.
        if X509::from_der(der).as_ref().is_ok_and(is_named) {
            return Some(der.to_vec());
        }
    }
}

fn has_issuer_and_serial(certificate: &X509, name: &[u8]) -> bool {
    let compare = || {
        let (_, _, serial) = any(name)?;
        let issuer = name.get(..name.len() - serial.len())?;
        let (serial, _) = take(INTEGER, serial)?;
        let own_serial = certificate.serial_number().to_bn().ok()?.to_vec();
        let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
        Some(certificate.issuer_name().to_der().ok()? == issuer && own_serial == serial)
    };
    compare().unwrap_or(false)
}

#[cfg(test)]
mod tests;
