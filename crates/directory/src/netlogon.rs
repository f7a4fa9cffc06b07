//! The answer to an LDAP ping (MS-ADTS 6.3.1.9): what the domain controller is, and where the client is.

/// NETLOGON_NT_VERSION_5 and 5EX: an answer that names sites.
pub(crate) const VERSION: u32 = 0x6;

/// LOGON_SAM_LOGON_RESPONSE_EX and LOGON_SAM_USER_UNKNOWN_EX; the latter is for pings that name a
/// user, and its layout is the same.
const ANSWERS: [u16; 2] = [23, 25];
/// Operation code, padding, flags and the domain's GUID.
const HEAD: usize = 24;
const FLAGS: usize = 4;
/// The place of the domain among the names.
const DOMAIN: usize = 1;
/// Names in front of the client's site: forest, domain, host, NetBIOS domain, NetBIOS host, user,
/// and the site of the domain controller.
const NAMES_BEFORE: usize = 7;

/// What a domain controller says of itself and of who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its domain's DNS name.
    pub(crate) domain: String,
    /// It takes changes.
    pub(crate) is_writable: bool,
    /// It is in the client's site, or covers it.
    pub(crate) is_closest: bool,
    /// The name of the site that it sees the client in.
    pub(crate) client_site: Option<String>,
}

/// DS_CLOSEST_FLAG and DS_WRITABLE_FLAG (MS-ADTS 6.3.1.2).
const CLOSEST: u32 = 0x80;
const WRITABLE: u32 = 0x100;

/// Reads an answer.
pub(crate) fn answer(bytes: &[u8]) -> Option<Answer> {
    let code = u16::from_le_bytes(*bytes.first_chunk::<2>()?);
    if !ANSWERS.contains(&code) {
        return None;
    }
    let flags = u32::from_le_bytes(*bytes.get(FLAGS..)?.first_chunk::<4>()?);
    let mut names = Vec::new();
    let mut at = HEAD;
    for _ in 0..=NAMES_BEFORE {
        let (found, next) = name(bytes, at)?;
        names.push(found);
        at = next;
    }
    let site = names.pop()?;
    Some(Answer {
        domain: names.into_iter().nth(DOMAIN)?,
        is_writable: flags & WRITABLE != 0,
        is_closest: flags & CLOSEST != 0,
        client_site: Some(site).filter(|site| !site.is_empty() && site.chars().all(is_plain)),
    })
}

/// A site's name becomes part of a DN. Names that would need escaping there are not allowed as
/// parts of DNS names, which sites are.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The compressed name (RFC 1035 4.1.4) at a place, and where what follows it begins.
fn name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end) = (start, None);
    let mut labels: Vec<String> = Vec::new();
    // A name has at most 128 labels; pointers in a circle end here too.
    for _ in 0..256 {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => return Some((labels.join("."), end.unwrap_or(at + 1))),
            1..=0x3f => {
                let label = bytes.get(at + 1..=at + length)?;
                labels.push(String::from_utf8(label.to_vec()).ok()?);
                at += 1 + length;
            }
            0xc0.. => {
                let low = usize::from(*bytes.get(at + 1)?);
                end.get_or_insert(at + 2);
                at = (length & 0x3f) << 8 | low;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![23, 0];
        bytes.resize(HEAD, 0);
        names.iter().for_each(|name| bytes.extend_from_slice(name));
        bytes
    }

    #[test]
    fn the_eighth_name_is_the_clients_site() {
        let mut bytes = of(&[
            b"\x04corp\x04test\0",
            b"\xc0\x18",
            b"\x02dc\xc0\x18",
            b"\x04CORP\0",
            b"\x02DC\0",
            b"\0",
            b"\x04Here\0",
            b"\x05There\0",
        ]);
        bytes[FLAGS + 1] = 1;
        let expected = Answer {
            domain: "corp.test".to_owned(),
            is_writable: true,
            is_closest: false,
            client_site: Some("There".to_owned()),
        };
        assert_eq!(answer(&bytes), Some(expected));
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_client_in_no_site_has_none() {
        let site = |names: &[&[u8]]| answer(&of(names)).map(|answer| answer.client_site);
        assert_eq!(site(&[&[0; 8]]), Some(None));
        assert_eq!(site(&[&[0; 7], b"\x06a,CN=b\0"]), Some(None));
        assert_eq!(site(&[b"\xc0\x18"]), None);
    }
}
