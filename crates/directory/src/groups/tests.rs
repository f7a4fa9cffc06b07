use super::*;
use crate::tests::corp;

/// What a domain controller answers about a group: an attribute and so many members from a place on.
fn answer(attribute: &str, from: usize, count: usize) -> Entry {
    let sid = "S-1-5-21-1-2-3-1200".parse::<Sid>().unwrap();
    let members = (from..from + count).map(|n| format!("<GUID={}>;CN={n}", member(n)).into_bytes());
    let one = |name: &str, value: &[u8]| (name.to_owned(), vec![value.to_vec()]);
    let attributes = vec![
        one("objectGUID", &[1; 16]),
        one("objectSid", &sid.to_bytes()),
        one("sAMAccountName", b"Everybody"),
        // Beside the range, the whole is empty.
        ("member".to_owned(), Vec::new()),
        (attribute.to_owned(), members.collect()),
    ];
    Entry::new(
        "<GUID=x>;CN=Everybody,DC=corp,DC=test".to_owned(),
        attributes,
    )
}

fn member(n: usize) -> Guid {
    Guid::from_le_bytes((n as u128).to_le_bytes())
}

fn group(first: &Entry) -> Result<Group, Error> {
    Group::read(first, &corp())
}

fn take(group: &mut Group, attribute: &str, from: usize, count: usize) -> Result<(), Error> {
    group.take(&answer(attribute, from, count).range("member").unwrap()?)
}

#[test]
fn a_range_says_where_it_begins_and_where_the_next_one_does() {
    let range = |attribute: &str| {
        let entry = answer(attribute, 0, 2);
        let range = entry.range("member")?;
        Some(
            range
                .map(|range| (range.values.len(), range.start, range.next))
                .ok(),
        )
    };
    for (attribute, expected) in [
        ("member;range=0-1499", Some(Some((2, 0, Some(1500))))),
        ("Member;Range=1500-2999", Some(Some((2, 1500, Some(3000))))),
        ("member;range=3000-*", Some(Some((2, 3000, None)))),
        ("member;range=7-7", Some(Some((2, 7, Some(8))))),
        // Malformed, backwards, and more than there are numbers.
        ("member;range=", Some(None)),
        ("member;range=0", Some(None)),
        ("member;range=-", Some(None)),
        ("member;range=0-", Some(None)),
        ("member;range=*-*", Some(None)),
        ("member;range=-1-5", Some(None)),
        ("member;range=0-5x", Some(None)),
        ("member;range=5-4", Some(None)),
        ("member;range=0-18446744073709551615", Some(None)),
        ("member;range=0-18446744073709551616", Some(None)),
        // Of something else, or no range.
        ("memberOf;range=0-1499", None),
        ("member;binary", None),
        ("member;r", None),
        ("member", None),
    ] {
        assert_eq!(range(attribute), expected, "{attribute}");
    }
}

#[test]
fn a_group_is_complete_after_its_last_range_and_has_each_member_once() {
    let whole = group(&answer("member", 0, 0)).unwrap();
    assert_eq!((whole.members.len(), whole.more), (0, None));

    let mut large = group(&answer("member;range=0-1499", 0, 1500)).unwrap();
    assert_eq!((large.members.len(), large.more), (1500, Some(1500)));
    take(&mut large, "member;range=1500-2999", 1500, 1500).unwrap();
    assert_eq!(large.more, Some(3000));
    take(&mut large, "member;range=3000-*", 3000, 100).unwrap();
    assert_eq!(large.more, None);
    let all: Vec<Guid> = (0..3100).map(member).collect();
    assert_eq!(large.members, all);
}

#[test]
fn ranges_that_repeat_skip_or_never_end_are_an_error_and_not_a_smaller_group() {
    for first in [
        "member;range=1500-2999",
        "member;range=1-*",
        "member;range=9",
    ] {
        assert!(group(&answer(first, 0, 2)).is_err(), "{first}");
    }
    for (next, count) in [
        ("member;range=0-1", 2),
        ("member;range=0-*", 2),
        ("member;range=3-*", 2),
        ("member;range=2-1", 2),
        ("member;range=2-3", 0),
    ] {
        let mut group = group(&answer("member;range=0-1", 0, 2)).unwrap();
        assert!(take(&mut group, next, 2, count).is_err(), "{next}");
    }
    // A step that goes far, so that one who only ever says "more" is found out soon.
    let mut group = group(&answer("member;range=0-1", 0, 2)).unwrap();
    take(&mut group, "member;range=2-99999999999", 2, 2).unwrap();
    let next = "member;range=100000000000-199999999999";
    assert!(take(&mut group, next, 2, 2).is_err());
}
