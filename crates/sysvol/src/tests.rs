//! Paths and tickets; the session itself is tested in the lab.

use crate::{folder, path::checked, ticket::cache_of};

#[test]
fn a_policys_path_keeps_neither_host_nor_share() {
    let path =
        r"\\Corp.Example\SysVol\corp.example\Policies\{31B2F340-016D-11D2-945F-00C04FB984F9}";
    assert_eq!(
        folder(path).unwrap(),
        "corp.example/Policies/{31B2F340-016D-11D2-945F-00C04FB984F9}"
    );
}

#[test]
fn a_path_that_leads_elsewhere_is_refused() {
    for path in [
        r"\\corp.example\other\corp.example\Policies\{A}",
        r"\\corp.example\sysvol\corp.example\..\secret",
        r"\\corp.example\sysvol\corp.example/../secret",
        r"\\corp.example\sysvol",
        r"\\corp.example\sysvol\\x",
        r"\\\sysvol\x",
        r"C:\sysvol\x",
        "\\\\corp.example\\sysvol\\x\0y",
        r"\\corp.example\sysvol\x:stream",
        "",
    ] {
        assert!(folder(path).is_err(), "{path:?}");
    }
    assert!(checked("a/../b").is_err());
}

#[test]
fn a_cache_names_the_tickets_client_as_its_owner() {
    let principal = b"\0\0\0\x01\0\0\0\x01\0\0\0\x01R\0\0\0\x02ws";
    let ticket = [principal.as_slice(), b"the rest"].concat();
    let expected = [b"\x05\x04\0\0", principal.as_slice(), &ticket].concat();
    assert_eq!(*cache_of(&ticket), expected);
}

#[test]
fn a_ticket_that_is_cut_off_makes_no_owner() {
    assert_eq!(
        *cache_of(b"\0\0\0\x01\xff\xff\xff\xff\xff"),
        b"\x05\x04\0\0\0\0\0\x01\xff\xff\xff\xff\xff"
    );
}
