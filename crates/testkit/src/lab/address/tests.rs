use super::*;

#[test]
fn every_host_has_the_address_that_its_name_says() {
    let rows = [
        ("dc", "10.77.0.10"),
        ("dc2", "10.77.0.11"),
        ("rodc", "10.77.0.12"),
        ("server", "10.77.0.20"),
        ("ws1", "10.77.0.31"),
        ("stranger", "10.77.0.99"),
    ];
    for (host, expected) in rows {
        assert_eq!(address(host).unwrap(), expected);
    }
    assert_eq!(address("ws50").unwrap(), "10.77.0.80");
}

#[test]
fn a_name_that_is_none_of_the_labs_is_refused() {
    for host in ["", "ws", "ws0", "ws51", "ws-1", "wsx", "dc9", "../dc"] {
        assert!(address(host).is_err(), "{host}");
        assert!(role(host).is_err(), "{host}");
    }
}
