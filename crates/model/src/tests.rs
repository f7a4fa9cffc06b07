use super::*;

#[test]
fn a_sid_reads_and_writes_both_forms() {
    let text = "S-1-5-21-1004336348-1177238915-682003330-512";
    let sid: Sid = text.parse().unwrap();
    assert_eq!(Sid::from_bytes(&sid.to_bytes()).unwrap(), sid);
    assert_eq!(sid.to_string(), text);
    assert_eq!(sid.rid(), Some(512));
    assert_eq!(
        sid.domain().unwrap().to_string(),
        "S-1-5-21-1004336348-1177238915-682003330"
    );
}

#[test]
fn a_sid_with_a_wrong_length_is_refused() {
    let mut bytes = "S-1-5-18".parse::<Sid>().unwrap().to_bytes();
    bytes.push(0);
    assert!(Sid::from_bytes(&bytes).is_err());
    for text in ["", "S-1", "S-1-x", "S-1-5-4294967296", "S-2-5-18", "S-1-5-"] {
        assert!(text.parse::<Sid>().is_err(), "{text}");
    }
}

#[test]
fn a_guid_keeps_the_directory_byte_order() {
    let guid: Guid = "{47F577E3-D2D0-4A0A-8ACA-E0501098BDE4}".parse().unwrap();
    assert_eq!(guid.to_le_bytes()[..4], [0xe3, 0x77, 0xf5, 0x47]);
    assert_eq!(
        Guid::from_le_bytes(guid.to_le_bytes()).to_string(),
        "47f577e3-d2d0-4a0a-8aca-e0501098bde4"
    );
}

#[test]
fn filetime_and_unix_time_agree() {
    // 2018-06-13T22:32:38Z, from the DSInternals vector UserKey1.
    assert_eq!(
        UnixTime::from(Filetime(131_734_027_581_684_545)),
        UnixTime(1_528_929_158)
    );
    assert_eq!(Filetime::from(UnixTime(0)).0, 116_444_736_000_000_000);
}

#[test]
fn a_secret_does_not_print_itself() {
    let secret = Secret::new("123456789012".to_owned());
    assert!(!format!("{secret:?}").contains("1234"));
}
