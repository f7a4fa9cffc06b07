//! A workstation before anything of ours is on it.

use crate::shared;

#[test]
fn people_of_the_domain_resolve_by_their_short_names() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    for person in ["alice", "bob", "carol", "dave"] {
        let line = host.command(&["getent", "passwd", person]).ok().unwrap();
        assert!(
            line.ends_with(&format!(":/home/{person}:/bin/bash\n")),
            "{line}"
        );
    }
    assert!(
        host.command(&["id", "alice"])
            .ok()
            .unwrap()
            .contains("(latchkey users)")
    );
    assert!(
        !host
            .command(&["id", "carol"])
            .ok()
            .unwrap()
            .contains("(latchkey users)")
    );
}

#[test]
fn su_asks_for_the_domain_password_and_leaves_a_ticket() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let mut talk = host
        .command(&["su", "-", "alice"])
        .user("bob")
        .talk()
        .unwrap();
    talk.expect("Password: ").unwrap();
    talk.type_line(lab.password("alice").unwrap()).unwrap();
    talk.expect("alice@ws1").unwrap();
    talk.type_line("klist; exit").unwrap();
    talk.expect("krbtgt/CORP.LATCHKEY.TEST@CORP.LATCHKEY.TEST")
        .unwrap();
    let (status, shown) = talk.finish().unwrap();
    assert_eq!(status, 0, "{shown}");
}

#[test]
fn login_asks_for_name_and_password() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let mut talk = host.command(&["login"]).talk().unwrap();
    talk.expect("login: ").unwrap();
    talk.type_line("bob").unwrap();
    talk.expect("Password: ").unwrap();
    talk.type_line(lab.password("bob").unwrap()).unwrap();
    talk.expect("bob@ws1").unwrap();
    talk.type_line("id -un; exit").unwrap();
    let (status, shown) = talk.finish().unwrap();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("\nbob\r\n"), "{shown}");
}

#[test]
fn su_refuses_a_wrong_password() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let mut talk = host
        .command(&["su", "-", "alice"])
        .user("bob")
        .talk()
        .unwrap();
    talk.expect("Password: ").unwrap();
    talk.type_line("not it").unwrap();
    talk.expect("Authentication failure").unwrap();
    let (status, shown) = talk.finish().unwrap();
    assert_ne!(status, 0, "{shown}");
}

#[test]
fn the_tpm_keeps_its_state_and_counts_no_failure_over_a_restart() {
    let (_turn, lab) = shared();
    let host = lab.host("ws1").unwrap();
    let tpm = |words: &str| {
        let mut parts: Vec<&str> = words.split(' ').collect();
        parts.insert(1, "--tcti=swtpm:host=127.0.0.1,port=2321");
        host.command(&parts).ok().unwrap()
    };
    tpm("tpm2_nvdefine 0x1500016 --size=4 --attributes=ownerread|ownerwrite");
    lab.stop_tpm("ws1").unwrap();
    assert_eq!(host.pid("swtpm"), None);
    lab.start_tpm("ws1").unwrap();
    assert!(tpm("tpm2_getcap handles-nv-index").contains("0x1500016"));
    let variable = tpm("tpm2_getcap properties-variable");
    assert!(
        variable.contains("TPM2_PT_LOCKOUT_COUNTER: 0x0\n"),
        "{variable}"
    );
    tpm("tpm2_nvundefine 0x1500016");
}
