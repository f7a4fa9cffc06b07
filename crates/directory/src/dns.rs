//! Domain controllers by DNS (MS-ADTS 6.3.6): SRV records (RFC 2782).

use crate::ffi;

/// A record of type SRV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// Lower first.
    pub(crate) priority: u16,
    /// Among equals, more often.
    pub(crate) weight: u16,
    /// Where the service listens.
    pub(crate) port: u16,
    /// The host.
    pub(crate) host: String,
}

/// The domain controllers of a domain, or those of one of its sites, best first. Blocks.
pub(crate) fn domain_controllers(domain: &str, site: Option<&str>) -> Vec<Service> {
    let site = site.map_or_else(String::new, |site| format!("{site}._sites."));
    let name = format!("_ldap._tcp.{site}dc._msdcs.{domain}");
    let mut found = ffi::query(&name, SRV)
        .and_then(|answer| parse(&answer))
        .unwrap_or_default();
    found.sort_by_key(|service| (service.priority, u16::MAX - service.weight));
    found
}

const SRV: u16 = 33;
const HEADER: usize = 12;
const MAX_HOSTS: usize = 64;

/// Reads the SRV records of a DNS reply (RFC 1035 4.1).
pub(crate) fn parse(reply: &[u8]) -> Option<Vec<Service>> {
    let questions = number(reply, 4)?;
    let answers = number(reply, 6)?;
    let mut at = HEADER;
    for _ in 0..questions {
        at = name(reply, at)?.1 + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        let (_, head) = name(reply, at)?;
        let (kind, length, data) = (number(reply, head)?, number(reply, head + 8)?, head + 10);
        if kind == SRV && found.len() < MAX_HOSTS {
            found.push(Service {
                priority: number(reply, data)?,
                weight: number(reply, data + 2)?,
                port: number(reply, data + 4)?,
                host: name(reply, data + 6)?.0,
            });
        }
        at = data + usize::from(length);
    }
    Some(found)
}

fn number(reply: &[u8], at: usize) -> Option<u16> {
    let bytes = reply.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// A name and where it ends. Pointers lead backwards only, so that following them comes to an end.
fn name(reply: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut labels, mut at, mut end, mut limit) = (Vec::new(), start, None, start);
    loop {
        let length = usize::from(*reply.get(at)?);
        match length {
            0 => return Some((labels.join("."), end.unwrap_or(at + 1))),
            1..64 => {
                let label = reply.get(at + 1..at + 1 + length)?;
                labels.push(std::str::from_utf8(label).ok()?.to_owned());
                at += 1 + length;
            }
            192.. => {
                end = end.or(Some(at + 2));
                at = usize::from(number(reply, at)? & 0x3fff);
                if at >= limit {
                    return None;
                }
                limit = at;
            }
            _ => return None,
        }
    }
}
