//! Times as directories write them (RFC 4517 3.3.13).

use model::UnixTime;
use openssl::asn1::Asn1Time;

const EPOCH: &str = "19700101000000Z";
const DAY_S: i64 = 24 * 60 * 60;

/// The whole seconds of a time such as `20261128103148.0Z`; other zones than UTC are not written.
pub(crate) fn parse(text: &str) -> Option<UnixTime> {
    let (seconds, rest) = text.split_at_checked(14)?;
    if !rest.ends_with('Z') {
        return None;
    }
    let time = Asn1Time::from_str(&format!("{seconds}Z")).ok()?;
    let since = Asn1Time::from_str(EPOCH).ok()?.diff(&time).ok()?;
    Some(UnixTime(
        i64::from(since.days) * DAY_S + i64::from(since.secs),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directorys_time_is_read_to_the_second() {
        assert_eq!(parse("19700101000001.0Z"), Some(UnixTime(1)));
        assert_eq!(parse("20261128103148.0Z"), Some(UnixTime(1_795_861_908)));
        for wrong in [
            "",
            "20261128103148",
            "20261328103148.0Z",
            "20261128103148+0100",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
