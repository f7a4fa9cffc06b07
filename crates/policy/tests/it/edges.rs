//! Hand-made Registry.pol files, and the small formats around them.

use policy::gpo::{
    Data, extensions, gplink,
    gpt_ini::{self, GptIni},
    registry_pol::{self, Entry},
};

use crate::fixtures::{bytes, files, text};

#[test]
fn each_edge_case_ends_as_its_table_says() {
    let table = text("edge-pol/EXPECTED.tsv");
    let mut count = 0;
    for line in table.lines().skip(1) {
        let [name, size, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let file = bytes(&format!("edge-pol/{name}"));
        assert_eq!(file.len().to_string(), size, "{name}");
        let outcome = match registry_pol::parse(&file) {
            Err(error) => format!("error: {}", error.reason),
            Ok(entries) => {
                let each = entries.iter().map(|e| match e.data() {
                    Ok(data) => format!("{} {}={data}", e.kind, e.value),
                    Err(error) => format!("{} {}: {}", e.kind, e.value, error.reason),
                });
                each.collect::<Vec<_>>().join(", ")
            }
        };
        assert_eq!(outcome, wanted(name), "{name}: {expected}");
        count += 1;
    }
    assert_eq!(count, files("edge-pol", ".pol").len());
}

/// The table's words, as what the reader says.
fn wanted(name: &str) -> &'static str {
    match name {
        "bad-signature.pol" | "bad-empty-file.pol" => {
            "error: does not begin with PReg and version 1"
        }
        "bad-truncated-in-data.pol" => "error: ends inside an entry",
        "bad-size-huge.pol" => "error: data longer than 65535 bytes",
        "odd-dword-size-2.pol" => "4 Enabled: a DWORD that is not 4 bytes",
        "odd-sz-without-nul.pol" => "1 sz=abc",
        "ok-all-types.pol" => {
            "1 sz=héllo, 2 expand=%SystemRoot%, 3 bin=003b5dff5b, 4 dw=4294967294, 5 dwbe=7, \
             7 multi=a; b, 11 qw=1099511627776"
        }
        "ok-deletes.pol" => {
            "1 **del.Enabled= , 1 **DelVals.= , 1 **DeleteValues=A;B, \
             1 **DeleteKeys=PINComplexity;DynamicLock, 4 **soft.Enabled=1, 4 **SecureKey=1"
        }
        "ok-dword.pol" => "4 Enabled=1",
        "ok-header-only.pol" => "",
        "ok-key-only.pol" => "0 =",
        _ => "not in this table",
    }
}

#[test]
fn every_good_file_is_written_as_it_was_read() {
    let mut count = 0;
    for path in files("", ".pol") {
        let file = std::fs::read(&path).unwrap();
        if let Ok(entries) = registry_pol::parse(&file) {
            assert_eq!(
                registry_pol::write(&entries).as_ref(),
                Ok(&file),
                "{path:?}"
            );
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn typed_data_is_written_as_others_write_it() {
    let file = bytes("edge-pol/ok-all-types.pol");
    for entry in registry_pol::parse(&file).unwrap() {
        let again = Entry::new(&entry.key, &entry.value, &entry.data().unwrap());
        assert_eq!(again, entry);
    }
    let file = bytes("edge-pol/ok-deletes.pol");
    let first = registry_pol::parse(&file).unwrap().remove(0);
    assert_eq!(Entry::delete(&first.key, "Enabled"), first);
}

#[test]
fn setting_a_value_replaces_it_in_place_and_unsetting_takes_it_out() {
    let key = "SOFTWARE\\Policies\\Example";
    let one = Entry::new(key, "One", &Data::Dword(1));
    let two = Entry::new(key, "Two", &Data::Dword(2));
    let mut entries = vec![one.clone(), two.clone()];
    let zero = Entry::new(&key.to_lowercase(), "ONE", &Data::Dword(0));
    registry_pol::set(&mut entries, zero.clone());
    assert_eq!(entries, [zero, two.clone()]);
    let gone = Entry::delete(key, "one");
    registry_pol::set(&mut entries, gone.clone());
    assert_eq!(entries, [gone, two.clone()]);
    registry_pol::set(&mut entries, one.clone());
    assert_eq!(entries, [one, two.clone()]);
    assert!(registry_pol::unset(&mut entries, key, "ONE"));
    assert!(!registry_pol::unset(&mut entries, key, "ONE"));
    assert_eq!(entries, [two]);
}

#[test]
fn no_file_is_written_that_would_be_read_otherwise() {
    let long = Data::Binary(vec![0; 0x1_0000]);
    for entry in [
        Entry::new("K", "V", &long),
        Entry::new("K\0", "V", &Data::None),
        Entry::new("K", "\0V", &Data::None),
    ] {
        assert!(registry_pol::write(&[entry]).is_err());
    }
    let longest = Data::Binary(vec![0xff; 0xffff]);
    let entries = [Entry::new("K", "V", &longest)];
    let file = registry_pol::write(&entries).unwrap();
    assert_eq!(registry_pol::parse(&file).unwrap(), entries);
    assert!(registry_pol::parse(&vec![0; registry_pol::MAX + 1]).is_err());
}

#[test]
fn links_are_read_whatever_their_spelling() {
    let domain = text("stages/domain.01.gplink.ldif").replace("\n ", "");
    let value = domain
        .lines()
        .find_map(|l| l.strip_prefix("gPLink: "))
        .unwrap();
    let links = gplink::parse(value).unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(gplink::write(&links), value);
    assert!(links[0].dn.starts_with("CN={867A5A13-"), "{:?}", links[0]);

    for (text, expected) in [
        ("", vec![]),
        (" ", vec![]),
        ("[ ]", vec![]),
        ("[LDAP://cn=a,dc=x;0]", vec![("cn=a,dc=x", true, false)]),
        (
            "[ldap://cn=a;b,dc=x; 2 ]",
            vec![("cn=a;b,dc=x", true, true)],
        ),
        (
            "[LDAP://cn=[a],dc=x;1]",
            vec![("cn=[a],dc=x", false, false)],
        ),
        (
            "[LDAP://cn=a;3] [LDAP://cn=a;2]",
            vec![("cn=a", false, false), ("cn=a", true, true)],
        ),
    ] {
        let links = gplink::parse(text).unwrap();
        let links = links
            .iter()
            .map(|l| (l.dn.as_str(), l.is_enabled(), l.is_enforced()));
        assert_eq!(links.collect::<Vec<_>>(), expected, "{text}");
    }
    for text in [
        "x",
        "[",
        "[LDAP://cn=a]",
        "[LDAP://cn=a;x]",
        "[LDAP://;0]",
        "[cn=a;0]",
        "[é;0]",
    ] {
        assert!(gplink::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_version_is_read_from_whatever_writes_gpt_ini() {
    for path in files("sysvol", "GPT.INI") {
        let ini = gpt_ini::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert!(ini.version.is_some(), "{path:?}");
    }
    let wide: Vec<u8> = "\u{feff}[general]\r\nVERSION=7"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, version) in [
        (&b"[General]\r\nVersion=65537\r\n"[..], Some(65537)),
        (b"[General]\nVersion = 65536\n\n", Some(65536)),
        (b"\xef\xbb\xbf[GENERAL]\rversion=3", Some(3)),
        (&wide, Some(7)),
        (
            b"[Other]\nVersion=1\n[General]\nVersion=2\nVersion=3",
            Some(2),
        ),
        (b"Version=1", None),
        (b"[General]\n;Version=1\nVersion=many", None),
        (b"", None),
    ] {
        assert_eq!(gpt_ini::parse(bytes).unwrap().version, version, "{bytes:?}");
    }
    assert!(gpt_ini::parse(&[b' '; 70_000]).is_err());
    assert!(gpt_ini::parse(b"\xff\xfex").is_err());
}

#[test]
fn a_version_is_written_as_windows_does_and_other_lines_stay() {
    assert_eq!(gpt_ini::write(65537), b"[General]\r\nVersion=65537\r\n");
    let old = b"[General]\nVersion = 1\ndisplayName=New Group Policy Object\n";
    let new = gpt_ini::with_version(old, 2).unwrap();
    let expected = "[General]\r\nVersion=2\r\ndisplayName=New Group Policy Object\r\n";
    assert_eq!(String::from_utf8(new.clone()).unwrap(), expected);
    assert_eq!(
        gpt_ini::parse(&new),
        Ok(GptIni {
            version: Some(2),
            display_name: Some("New Group Policy Object".to_owned()),
        })
    );
}

#[test]
fn extensions_count_where_windows_would_count_them() {
    const SECURITY: &str =
        "[{827D319E-6EAC-11D2-A4EA-00C04F79F83A}{803E14A0-B4FB-11D0-A0D0-00A0C90F574B}]";
    let registry = extensions::REGISTRY;
    for (list, expected) in [
        ("", false),
        ("[{35378eac-683f-11d2-a89a-00c04fbbcfa2}]", true),
        (SECURITY, false),
        (
            &format!("[{registry}{}]{SECURITY}", extensions::USER_TOOL),
            true,
        ),
        // Out of order: Windows stops before it.
        (&format!("{SECURITY}[{registry}]"), false),
        // Named as a tool of another extension.
        (&SECURITY.replace("}]", &format!("}}{registry}]")), false),
        ("[garbage][{35378EAC-683F-11D2-A89A-00C04FBBCFA2}]", false),
    ] {
        assert_eq!(extensions::contains(list, registry), expected, "{list}");
    }
    let tool = extensions::COMPUTER_TOOL;
    let both = extensions::insert(SECURITY, registry, tool);
    assert_eq!(both, format!("[{registry}{tool}]{SECURITY}"));
    assert_eq!(
        extensions::insert(&both.to_lowercase(), registry, tool),
        both.to_lowercase()
    );
    assert_eq!(
        extensions::remove(&both.to_lowercase(), registry),
        SECURITY.to_lowercase()
    );
    assert_eq!(
        extensions::insert("", registry, tool),
        format!("[{registry}{tool}]")
    );
    let second = extensions::insert("[{35378eac-683f-11d2-a89a-00c04fbbcfa2}]", registry, tool);
    assert_eq!(
        second,
        format!("[{{35378eac-683f-11d2-a89a-00c04fbbcfa2}}{tool}]")
    );
    assert!(extensions::contains(&second, registry));
}
