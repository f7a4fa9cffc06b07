use crate::{
    Domain, Protection, User,
    accounts::{changes, claimants_filter, full_protection, is_privileged},
    ber::{INTEGER, Reader, Writer, split},
    dns::{self, Service},
    entry::Entry,
    filter::Filter,
    message::{Body, Request, Response, first_message},
    trust::ServicePoint,
};

fn ber(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    write(&mut out);
    out.into_bytes()
}

#[test]
fn numbers_have_their_shortest_form() {
    for (value, bytes) in [
        (0, vec![2, 1, 0]),
        (127, vec![2, 1, 127]),
        (128, vec![2, 2, 0, 128]),
        (1000, vec![2, 2, 3, 232]),
        (-1, vec![2, 1, 255]),
        (-129, vec![2, 2, 255, 127]),
        (i32::MAX, vec![2, 4, 127, 255, 255, 255]),
    ] {
        assert_eq!(
            ber(|out| {
                out.number(INTEGER, value).boolean(1, true);
            }),
            {
                let mut bytes = bytes;
                bytes.extend([1, 1, 255]);
                bytes
            }
        );
    }
}

#[test]
fn lengths_of_any_size_are_read_back() {
    for length in [0, 1, 127, 128, 255, 256, 70_000] {
        let bytes = ber(|out| {
            out.octets(vec![7; length]);
        });
        let (tag, content, rest) = split(&bytes).unwrap().unwrap();
        assert_eq!((tag, content.len(), rest.len()), (4, length, 0));
        assert!(split(&bytes[..bytes.len() - 1]).unwrap().is_none() || length == 0);
    }
}

#[test]
fn a_length_without_end_is_refused() {
    assert!(split(&[0x30, 0x80, 0, 0]).is_err());
    assert!(split(&[0x30, 0x88, 1, 1, 1, 1, 1, 1, 1, 1]).is_err());
}

#[test]
fn a_filter_value_cannot_become_syntax() {
    let bytes = ber(|out| Filter::equal("cn", "*)(x=\0").write(out));
    assert_eq!(bytes, b"\xa3\x0c\x04\x02cn\x04\x06*)(x=\0".as_slice());
}

#[test]
fn no_prefix_and_no_flipped_byte_of_an_answer_panics() {
    let mut message = ber(|out| {
        out.node(0x30, |out| {
            out.number(INTEGER, 7).node(0x64, |out| {
                out.octets("CN=a").node(0x30, |out| {
                    out.node(0x30, |out| {
                        out.octets("cn").node(0x31, |out| {
                            out.octets("a");
                        });
                    });
                });
            });
        });
    });
    let (content, length) = first_message(&message).unwrap().unwrap();
    assert_eq!(length, message.len());
    let response = Response::decode(content).unwrap();
    let Body::Entry(entry) = response.body else {
        panic!("not an entry")
    };
    assert_eq!((response.id, entry.text("CN")), (7, Some("a")));
    for cut in 0..message.len() {
        assert!(first_message(&message[..cut]).unwrap().is_none());
    }
    for at in 0..message.len() {
        for bit in 0..8 {
            message[at] ^= 1 << bit;
            if let Ok(Some((content, _))) = first_message(&message) {
                let _ = Response::decode(content);
            }
            message[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_bind_request_has_the_layout_of_rfc_4511() {
    let bytes = Request::Bind(b"tok").encode(1);
    assert_eq!(
        bytes,
        b"\x30\x19\x02\x01\x01\x60\x14\x02\x01\x03\x04\x00\xa3\x0d\x04\x06GSSAPI\x04\x03tok"
    );
    assert_eq!(Reader::new(&bytes).peek(), Some(0x30));
}

#[test]
fn an_srv_reply_names_hosts_through_pointers() {
    let mut reply = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    reply.extend(b"\x05_ldap\x04corp\x00\x00\x21\x00\x01");
    reply.extend(b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0b\x00\x00\x00\x64\x01\x85");
    reply.extend(b"\x02dc\xc0\x12");
    let host = "dc.corp".to_owned();
    let expected = Service {
        priority: 0,
        weight: 100,
        port: 389,
        host,
    };
    assert_eq!(dns::parse(&reply).unwrap(), [expected]);
}

#[test]
fn a_pointer_that_leads_to_itself_ends() {
    let mut reply = vec![0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
    reply.extend(b"\xc0\x0c\x00\x21\x00\x01");
    assert_eq!(dns::parse(&reply), None);
}

#[test]
fn a_service_point_needs_all_its_parts() {
    let tenant = "47f577e3-d2d0-4a0a-8aca-e0501098bde4";
    let pin = "ab".repeat(32);
    let binding = format!("url=https://s:8443;spki-sha256={pin};agent=latchkey-sync/s");
    let point = ServicePoint::read(&["latchkey", tenant], &[&binding]).unwrap();
    assert_eq!(point.fingerprint, format!("sha256:{pin}"));
    assert_eq!(
        (point.url.as_str(), point.agent.as_str()),
        ("https://s:8443", "latchkey-sync/s")
    );
    for (keywords, binding) in [
        (vec!["latchkey"], binding.clone()),
        (vec!["latchkey", tenant], binding.replace("url=", "uri=")),
        (
            vec!["latchkey", tenant],
            binding.replace(";agent=", ";agnet="),
        ),
        (vec!["latchkey", tenant], binding.replace("abab;", ";")),
    ] {
        assert_eq!(
            ServicePoint::read(&keywords, &[&binding]),
            None,
            "{binding}"
        );
    }
}

#[test]
fn groups_that_administer_are_privileged_and_others_are_not() {
    for (sid, privileged) in [
        ("S-1-5-21-1-2-3-512", true),
        ("S-1-5-21-1-2-3-519", true),
        ("S-1-5-32-544", true),
        ("S-1-5-32-545", false),
        ("S-1-5-21-1-2-3-513", false),
        ("S-1-5-21-1-2-3-544", false),
    ] {
        assert_eq!(is_privileged(&sid.parse().unwrap()), privileged, "{sid}");
    }
}

#[test]
fn who_asks_for_a_descriptor_gets_all_but_the_sacl() {
    let filter = Filter::Present("objectClass");
    let asked = |attributes: &[&str]| {
        let search = crate::gpo::search("", crate::message::Scope::Base, &filter, attributes);
        Request::Search(&search).encode(1)
    };
    let control = b"\x04\x161.2.840.113556.1.4.801\x01\x01\xff\x04\x05\x30\x03\x02\x01";
    let parts = |bytes: &[u8]| {
        let mut windows = bytes.windows(control.len() + 1);
        let found = windows.find(|window| window.starts_with(control));
        found.and_then(|window| window.last().copied())
    };
    assert_eq!(parts(&asked(&["cn", "nTSecurityDescriptor"])), Some(7));
    assert_eq!(parts(&asked(&["cn"])), None);
    let change = |name: &'static str, offsets: [u8; 4]| {
        let header: Vec<u8> = [1].into_iter().chain(offsets).collect();
        let header: Vec<u8> = header.iter().flat_map(|byte| [*byte, 0, 0, 0]).collect();
        let values: [&[u8]; 1] = [&header];
        Request::Modify("CN=a", &[crate::message::Change::Replace(name, &values)]).encode(1)
    };
    let all = change("nTSecurityDescriptor", [20, 48, 0, 64]);
    assert_eq!(parts(&all), Some(7));
    let owner = change("nTSecurityDescriptor", [20, 0, 0, 0]);
    assert_eq!(parts(&owner), Some(1), "the others stay");
    assert_eq!(parts(&change("displayName", [20, 48, 0, 64])), None);
}

#[test]
fn the_container_of_what_was_deleted_is_asked_for_with_its_control() {
    let filter = Filter::Present("objectClass");
    let asked = |base: &str| {
        let search = crate::gpo::search(base, crate::message::Scope::Base, &filter, &["cn"]);
        Request::Search(&search).encode(1)
    };
    let control = b"\xa0\x1d\x30\x1b\x04\x161.2.840.113556.1.4.417\x01\x01\xff";
    assert!(asked("CN=Deleted Objects,DC=corp,DC=test").ends_with(control));
    assert!(!asked("DC=corp,DC=test").ends_with(control));
}

#[test]
fn a_delete_request_has_the_layout_of_rfc_4511() {
    let bytes = Request::Delete("CN=a").encode(2);
    assert_eq!(bytes, b"\x30\x09\x02\x01\x02\x4a\x04CN=a");
}

#[test]
fn an_account_ends_and_is_locked_out_by_the_clock_of_its_directory() {
    // 100 ns steps since 1601 at 2027-01-15 08:00 UTC.
    let at = |seconds: i64| ((1_800_000_000 + seconds + 11_644_473_600) * 10_000_000).to_string();
    let read = |(name, value): (&str, String), lockout: &str| {
        let domain = Domain {
            lockout_s: crate::accounts::duration_s(lockout),
            ..corp()
        };
        let entry = entry(&[(name, &[value.as_bytes()])]);
        let user = User::read(&entry, &domain).unwrap();
        let seconds = |time: Option<model::UnixTime>| time.map(|time| time.0 - 1_800_000_000);
        (seconds(user.expires), seconds(user.locked_until))
    };
    let half_an_hour = "-18000000000";
    let end_of_time = 253_402_300_799 - 1_800_000_000;
    for (attribute, lockout, expected) in [
        (("accountExpires", at(60)), half_an_hour, (Some(60), None)),
        (
            ("accountExpires", "0".to_owned()),
            half_an_hour,
            (None, None),
        ),
        (
            ("accountExpires", i64::MAX.to_string()),
            half_an_hour,
            (None, None),
        ),
        (("lockoutTime", at(0)), half_an_hour, (None, Some(1800))),
        (("lockoutTime", "0".to_owned()), half_an_hour, (None, None)),
        (("lockoutTime", at(0)), "0", (None, Some(end_of_time))),
        (
            ("lockoutTime", at(0)),
            "-9223372036854775808",
            (None, Some(end_of_time)),
        ),
        (("lockoutTime", at(0)), "hidden", (None, None)),
    ] {
        assert_eq!(read(attribute.clone(), lockout), expected, "{attribute:?}");
    }
}

/// A domain whose accounts are locked out by nothing.
pub(crate) fn corp() -> Domain {
    Domain {
        guid: model::Guid::from_le_bytes([1; 16]),
        sid: "S-1-5-21-1-2-3".parse().unwrap(),
        dns_name: "corp.test".to_owned(),
        netbios_name: "CORP".to_owned(),
        dn: "DC=corp,DC=test".to_owned(),
        configuration: "CN=Configuration,DC=corp,DC=test".to_owned(),
        lockout_s: None,
    }
}

/// A user's entry; what is in `set` stands for what an ordinary one has, or is not there at all.
fn entry(set: &[(&str, &[&[u8]])]) -> Entry {
    let sid = |text: &str| text.parse::<model::Sid>().unwrap().to_bytes();
    let (own, users) = (sid("S-1-5-21-1-2-3-1104"), sid("S-1-5-21-1-2-3-513"));
    let ordinary: [(&str, &[&[u8]]); 6] = [
        ("objectGUID", &[&[1; 16]]),
        ("objectSid", &[&own]),
        ("objectClass", &[b"top", b"person", b"user"]),
        ("sAMAccountName", &[b"alice"]),
        ("userAccountControl", &[b"512"]),
        ("tokenGroups", &[&users]),
    ];
    let is_set = |name: &str| set.iter().any(|(found, _)| *found == name);
    let kept = ordinary.iter().filter(|(name, _)| !is_set(name));
    let all = kept.chain(set.iter().filter(|(_, values)| !values.is_empty()));
    let owned = all.map(|(name, values)| {
        let values = values.iter().map(|value| value.to_vec());
        ((*name).to_owned(), values.collect())
    });
    Entry::new("CN=Alice,DC=corp,DC=test".to_owned(), owned.collect())
}

fn protection(set: &[(&str, &[&[u8]])]) -> Option<Protection> {
    let entry = entry(set);
    full_protection(&entry, &User::read(&entry, &corp()).unwrap())
}

#[test]
fn a_user_whose_groups_or_flags_are_hidden_is_not_taken_for_an_ordinary_one() {
    let hidden = Some(Protection::Unreadable);
    let (groups, flags) = (
        ("tokenGroups", [].as_slice()),
        ("userAccountControl", [].as_slice()),
    );
    assert_eq!(protection(&[groups]), hidden);
    assert_eq!(protection(&[flags]), hidden);
    assert_eq!(protection(&[groups, flags]), hidden);
}

#[test]
fn each_kind_of_account_that_gets_no_keys_is_told_from_an_ordinary_one() {
    use Protection::{AdminCount, Computer, PrivilegedGroup, Trust, WellKnown};
    let flags = |bits: u32| (bits as i32).to_string();
    let sid = |text: &str| text.parse::<model::Sid>().unwrap().to_bytes();
    let (users, others) = (sid("S-1-5-21-1-2-3-513"), sid("S-1-5-21-1-2-3-1200"));
    let one = |name, value: &[u8]| protection(&[(name, &[value])]);
    for (flag, expected) in [
        (0, None),
        (0x2, None),
        (0x1_0000, None),
        (0x800, Some(Trust)),
        (0x1000, Some(Computer)),
        (0x2000, Some(Computer)),
        (0x0400_0000, Some(Computer)),
        (0x8000_2000, Some(Computer)),
    ] {
        let text = flags(0x200 | flag);
        let found = one("userAccountControl", text.as_bytes());
        assert_eq!(found, expected, "{flag:#x}");
    }
    let classes: [&[u8]; 4] = [b"top", b"person", b"user", b"Computer"];
    assert_eq!(protection(&[("objectClass", &classes)]), Some(Computer));
    for (name, expected) in [
        ("krbtgt", Some(WellKnown)),
        ("KrbTGT_2711", Some(WellKnown)),
        ("krbtg", None),
        ("my-krbtgt", None),
    ] {
        assert_eq!(one("sAMAccountName", name.as_bytes()), expected, "{name}");
    }
    for (rid, expected) in [
        (500, Some(WellKnown)),
        (501, None),
        (502, Some(WellKnown)),
        (1500, None),
    ] {
        let found = one("objectSid", &sid(&format!("S-1-5-21-1-2-3-{rid}")));
        assert_eq!(found, expected, "{rid}");
    }
    for (count, expected) in [
        ("0", None),
        ("1", Some(AdminCount)),
        ("2", Some(AdminCount)),
    ] {
        assert_eq!(one("adminCount", count.as_bytes()), expected, "{count}");
    }
    for rid in [498, 512, 516, 518, 519, 520, 521, 526, 527] {
        let group = sid(&format!("S-1-5-21-7-8-9-{rid}"));
        let groups: [&[u8]; 3] = [&users, &group, &others];
        let found = protection(&[("tokenGroups", &groups)]);
        assert_eq!(found, Some(PrivilegedGroup), "{rid}");
    }
    for rid in [544, 548, 549, 550, 551, 552] {
        let found = one("tokenGroups", &sid(&format!("S-1-5-32-{rid}")));
        assert_eq!(found, Some(PrivilegedGroup), "{rid}");
    }
    let ordinary: [&[u8]; 3] = [&users, &others, &sid("S-1-5-32-545")];
    assert_eq!(protection(&[("tokenGroups", &ordinary)]), None);
}

#[test]
fn a_users_anchor_mail_and_hours_are_read_as_they_are_set() {
    let mail: (&str, &[&[u8]]) = ("mail", &[b"mail@corp.test"]);
    let read = |more: &[(&str, &[&[u8]])]| {
        let entry = entry(&[&[mail], more].concat());
        User::read(&entry, &corp()).unwrap()
    };
    let plain = read(&[]);
    assert_eq!(plain.source_anchor, [1; 16]);
    assert_eq!(plain.mail.as_deref(), Some("mail@corp.test"));
    assert!(!plain.must_change && plain.is_within_hours(model::UnixTime(0)));

    let mut hours = [0; 21];
    hours[12] = 0b10;
    let user = read(&[
        ("mS-DS-ConsistencyGuid", &[&[2; 16]]),
        (
            "proxyAddresses",
            &[b"smtp:other@corp.test", b"SMTP:first@corp.test"],
        ),
        ("pwdLastSet", &[b"0"]),
        ("logonHours", &[&hours]),
    ]);
    assert_eq!(user.source_anchor, [2; 16]);
    assert_eq!(user.mail.as_deref(), Some("first@corp.test"));
    assert!(user.must_change);
    // Thursday, from one to two o'clock.
    for (second, is_within) in [(3599, false), (3600, true)] {
        assert_eq!(user.is_within_hours(model::UnixTime(second)), is_within);
    }
}

#[test]
fn few_changes_are_asked_for_by_their_numbers_and_many_all_at_once() {
    let those = Filter::equal("isDeleted", "TRUE");
    let numbers = |since, usn| -> Vec<String> {
        let searches = changes(since, usn, &those).into_iter();
        let any = searches.flat_map(|(filter, is_few)| match filter {
            Filter::Or(any) if is_few && any.len() <= 100 => any,
            other => panic!("{other:?}"),
        });
        any.map(|one| match one {
            Filter::Equal("uSNChanged", number) => String::from_utf8(number).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
    };
    assert_eq!(numbers(41, 43), ["42", "43"]);
    assert_eq!(numbers(7, 7), [""; 0]);
    assert_eq!(numbers(9, 7), [""; 0], "of a directory that was put back");
    let some: Vec<String> = (1..=5000).map(|number: u64| number.to_string()).collect();
    assert_eq!(numbers(0, 5000), some);
    let many = changes(41, 5042, &those);
    let [(Filter::And(all), false)] = many.as_slice() else {
        panic!("{many:?}");
    };
    assert!(
        matches!(
            all.as_slice(),
            [
                Filter::AtLeast("uSNChanged", 42),
                Filter::Equal("isDeleted", _)
            ]
        ),
        "{all:?}"
    );
}

#[test]
fn a_name_is_claimed_by_whoever_has_it_as_a_principal_name_without_a_realm_too() {
    let bytes = ber(|out| claimants_filter("alice", "corp.test").write(out));
    let expected = ber(|out| {
        let any = [
            Filter::Or(vec![
                Filter::equal("sAMAccountName", "alice"),
                Filter::equal("userPrincipalName", "alice@corp.test"),
            ]),
            Filter::equal("userPrincipalName", "alice"),
        ];
        Filter::Or(any.to_vec()).write(out);
    });
    assert_eq!(bytes, expected);
}
