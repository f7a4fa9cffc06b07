//! What a domain controller adds to a refusal: its time, and the NTSTATUS behind it (MS-KILE 2.2.2).
//!
//! Kerberos has one code for accounts that are disabled, locked, expired or outside their hours; the
//! status tells them apart. Nobody signed it: it makes a sentence better and decides nothing.

use model::UnixTime;

/// KRB-ERROR (RFC 4120 5.9.1).
const KRB_ERROR: u8 = 0x7e;
/// Its `stime`, and the type of that.
const SERVER_TIME: u8 = 0xa4;
const GENERALIZED_TIME: u8 = 0x18;
/// Its `e-data`.
const E_DATA: u8 = 0xac;
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const INTEGER: u8 = 0x02;
const FIELD_1: u8 = 0xa1;
const FIELD_2: u8 = 0xa2;
/// KERB_ERR_TYPE_EXTENDED, as an INTEGER.
const EXTENDED: &[u8] = &[3];

/// The sender's time in an answer, if it is a refusal.
pub(super) fn time(answer: &[u8]) -> Option<UnixTime> {
    let mut error = element(SEQUENCE, element(KRB_ERROR, answer)?)?;
    let time = element(GENERALIZED_TIME, field(&mut error, SERVER_TIME)?)?;
    // With whole seconds (RFC 4120 5.2.3).
    let time = std::str::from_utf8(time).ok()?;
    UnixTime::of_generalized(time).filter(|_| time.len() == 15)
}

/// The status in an answer, if it is a refusal that has one.
pub(super) fn status(answer: &[u8]) -> Option<u32> {
    let mut error = element(SEQUENCE, element(KRB_ERROR, answer)?)?;
    let data = element(OCTET_STRING, field(&mut error, E_DATA)?)?;
    let mut data = element(SEQUENCE, data)?;
    if element(INTEGER, field(&mut data, FIELD_1)?)? != EXTENDED {
        return None;
    }
    let value = element(OCTET_STRING, field(&mut data, FIELD_2)?)?;
    Some(u32::from_le_bytes(*value.first_chunk()?))
}

/// The content of the one element with this tag.
fn element(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (found, content, _) = split(bytes)?;
    (found == tag).then_some(content)
}

/// The next element with this tag; what stands before it is passed over.
fn field<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    loop {
        let (found, content, rest) = split(bytes)?;
        *bytes = rest;
        if found == tag {
            return Some(content);
        }
    }
}

/// One element off the front: tag, content, rest.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8][..], content].concat()
    }

    fn refusal(kind: u8, value: &[u8]) -> Vec<u8> {
        let kind = wrap(FIELD_1, &wrap(INTEGER, &[kind]));
        let value = wrap(FIELD_2, &wrap(OCTET_STRING, value));
        let data = wrap(SEQUENCE, &[kind, value].concat());
        let code = wrap(0xa6, &wrap(INTEGER, &[18]));
        let data = wrap(E_DATA, &wrap(OCTET_STRING, &data));
        wrap(KRB_ERROR, &wrap(SEQUENCE, &[code, data].concat()))
    }

    #[test]
    fn a_refusal_tells_when_it_was_sent() {
        let sent = |text: &str| {
            let time = wrap(SERVER_TIME, &wrap(GENERALIZED_TIME, text.as_bytes()));
            let version = wrap(0xa0, &wrap(INTEGER, &[5]));
            wrap(KRB_ERROR, &wrap(SEQUENCE, &[version, time].concat()))
        };
        for (text, seconds) in [
            ("19700101000001Z", 1),
            ("20000229235959Z", 951_868_799),
            ("20261128103148Z", 1_795_861_908),
        ] {
            assert_eq!(time(&sent(text)), Some(UnixTime(seconds)), "{text}");
        }
        for wrong in [
            "",
            "Z",
            "20261128103148",
            "2026112810314Z",
            "2026-1-28103148Z",
        ] {
            assert_eq!(time(&sent(wrong)), None, "{wrong}");
        }
        assert_eq!(time(&refusal(3, &[])), None);
    }

    #[test]
    fn a_refusal_tells_its_status() {
        let disabled = [0x72, 0, 0, 0xc0, 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(status(&refusal(3, &disabled)), Some(0xc000_0072));
        assert_eq!(status(&refusal(1, &disabled)), None);
        assert_eq!(status(&refusal(3, &[0x72])), None);
    }

    #[test]
    fn a_broken_answer_has_none() {
        let whole = refusal(3, &[0x72, 0, 0, 0xc0]);
        for end in 0..whole.len() {
            assert_eq!(status(&whole[..end]), None, "{end}");
        }
        assert_eq!(status(&[KRB_ERROR, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
