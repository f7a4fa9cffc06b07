//! What of a certificate OpenSSL's interface leaves to its callers: a revocation list's address, a
//! Kerberos name, and the purposes.

use keycred::der::{INTEGER, SEQUENCE, wrap};
pub(crate) use keycred::der::{is_authority, purposes};

const GENERAL_STRING: u8 = 0x1b;

/// id-pkinit-KPKdc (RFC 4556 3.2.4), encoded.
pub(crate) const KDC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x02, 0x03, 0x05];
/// id-kp-serverAuth (RFC 5280 4.2.1.12), encoded.
pub(crate) const SERVER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// id-kp-clientAuth (RFC 5280 4.2.1.12), encoded.
pub(crate) const CLIENT: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

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
