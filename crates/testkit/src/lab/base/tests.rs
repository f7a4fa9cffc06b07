use super::*;

#[test]
fn the_version_of_samba_is_read_through_its_suffix() {
    assert_eq!(upstream("4.24.7+dfsg-1~bpo13+1"), Some((4, 24)));
    assert_eq!(upstream("5.0~rc1"), Some((5, 0)));
    assert_eq!(upstream("unknown"), None);
}

#[test]
fn an_old_samba_is_refused_and_named() {
    let refusal = demand_key_trust("4.22.9+dfsg-0").unwrap_err().to_string();
    assert!(
        refusal.contains("4.22.9") && refusal.contains("4.24"),
        "{refusal}"
    );
    demand_key_trust("4.24.0+dfsg-1").unwrap();
}

#[test]
fn the_mirror_is_debians_own_and_not_the_security_archive() {
    let targets = "Debian http://a.example/debian-security/\n\
                   Node http://b.example/node/\n\
                   Debian http://a.example/debian/\n";
    assert_eq!(
        first_mirror(targets).as_deref(),
        Some("http://a.example/debian/")
    );
    assert_eq!(first_mirror("Node http://b.example/node/\n"), None);
}

#[test]
fn another_list_of_packages_gets_another_name() {
    assert_ne!(
        fingerprint(["a", "bc"].into_iter()),
        fingerprint(["ab", "c"].into_iter())
    );
}
