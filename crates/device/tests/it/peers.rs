//! Who may do what: the kernel's word counts, and nothing that a caller says.

use std::os::unix::fs::PermissionsExt;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use ipc::{
    Cert, EnrollPoll, EnrollStart, Hello, Join, KeysList, Leave, PolicyRefresh, Sign, Signin,
    Status, TokenInfo, Unlock,
};

use crate::{
    bench::{ALICE, BOB, Bench, PIN, call, secret, sid},
    ffi::{as_user, in_another_process},
};

fn unlock_alice() -> Unlock {
    Unlock {
        uid: ALICE,
        pin: Some(secret(PIN)),
    }
}

fn signin(user: Option<&str>, remote: bool) -> Signin {
    Signin {
        phrase: None,
        user: user.map(str::to_owned),
        pin: secret("000001"),
        service: "test".to_owned(),
        remote,
        offline: false,
    }
}

fn tries_left(bench: &Bench) -> u32 {
    bench
        .call(&TokenInfo {
            uid: ALICE,
            remote: false,
        })
        .unwrap()
        .tries_left
}

#[test]
fn a_folder_that_was_closed_before_is_open_when_the_socket_is_there() {
    let mut bench = Bench::prepare();
    let run = bench.folder.join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::set_permissions(&run, PermissionsExt::from_mode(0o700)).unwrap();
    bench.serve();
    let mode = std::fs::metadata(&run).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn a_ticket_is_worthless_to_another_process_of_the_same_user() {
    let bench = Bench::start();
    let ticket = bench.call(&unlock_alice()).unwrap().ticket;
    let digest_info = format!("3031300d060960864801650304020105000420{}", "00".repeat(32));
    let request = Sign {
        ticket,
        digest_info,
    };
    let socket = bench.config.socket.clone();
    let refused = in_another_process(|| {
        call(&socket, &request).is_err_and(|refusal| refusal.code == "bad_ticket")
    });
    assert!(refused);
    bench.call(&request).unwrap();
}

#[test]
fn another_user_gets_nothing_of_a_credential_and_costs_its_owner_no_try() {
    let bench = Bench::start();
    as_user(BOB, || {
        let refused = |code: String| assert_eq!(code, "not_allowed");
        refused(bench.call(&unlock_alice()).unwrap_err().code);
        refused(bench.call(&Cert { uid: ALICE }).unwrap_err().code);
        refused(
            bench
                .call(&TokenInfo {
                    uid: ALICE,
                    remote: false,
                })
                .unwrap_err()
                .code,
        );
        let (alice, nobody) = (signin(Some("alice"), false), signin(Some("nobody"), false));
        refused(bench.call(&alice).unwrap_err().code);
        refused(bench.call(&nobody).unwrap_err().code);
        let keys = KeysList { uid: Some(ALICE) };
        refused(bench.call(&keys).unwrap_err().code);
        assert!(
            bench
                .call(&Status {
                    remote: false,
                    tests: false
                })
                .unwrap()
                .credentials
                .is_empty()
        );
        assert!(
            !bench
                .call(&TokenInfo {
                    uid: BOB,
                    remote: false
                })
                .unwrap()
                .present
        );
    });
    assert_eq!(tries_left(&bench), 10);
}

#[test]
fn a_user_sees_its_own_credential_and_root_sees_all() {
    let bench = Bench::start();
    let own = as_user(ALICE, || {
        bench.call(&Status {
            remote: false,
            tests: false,
        })
    })
    .unwrap();
    let all = bench
        .call(&Status {
            remote: false,
            tests: false,
        })
        .unwrap();
    for status in [own, all] {
        let uids: Vec<u32> = status.credentials.iter().map(|one| one.uid).collect();
        assert_eq!(uids, [ALICE]);
        assert_eq!(status.credentials[0].state, "made");
    }
}

#[test]
fn what_changes_the_machine_is_root_s_alone() {
    let bench = Bench::start();
    let join = Join {
        url: None,
        fingerprint: None,
    };
    as_user(ALICE, || {
        assert_eq!(bench.call(&join).unwrap_err().code, "not_allowed");
        assert_eq!(bench.call(&Leave {}).unwrap_err().code, "not_allowed");
    });
    // Root gets further: to the machine account that is not there.
    assert_eq!(bench.call(&join).unwrap_err().code, "not_in_domain");
    assert_eq!(bench.call(&Leave {}).unwrap_err().code, "not_joined");
}

#[test]
fn a_uid_that_is_another_account_s_now_or_a_local_one_s_gets_nothing() {
    let bench = Bench::start();
    for now in [Some(sid(BOB)), None] {
        bench.accounts.set(ALICE, now);
        let refused = bench.call(&unlock_alice()).unwrap_err();
        assert_eq!(refused.code, "no_credential");
        let refused = bench.call(&signin(Some("alice"), false)).unwrap_err();
        assert_eq!(refused.code, "no_credential");
        assert!(
            !bench
                .call(&TokenInfo {
                    uid: ALICE,
                    remote: false
                })
                .unwrap()
                .present
        );
    }
    bench.accounts.set(ALICE, Some(sid(ALICE)));
    bench.call(&unlock_alice()).unwrap();
}

#[test]
fn a_remote_sign_in_is_refused_before_its_pin_is_tried() {
    let bench = Bench::start();
    let refused = bench.call(&signin(Some("alice"), true)).unwrap_err();
    assert_eq!(refused.code, "remote_refused");
    assert_eq!(tries_left(&bench), 10);
    let refused = bench.call(&signin(Some("alice"), false)).unwrap_err();
    assert_eq!((&*refused.code, refused.tries_left), ("wrong_pin", Some(9)));
}

#[test]
fn an_enrollment_needs_a_joined_machine_and_its_own_session() {
    let bench = Bench::start();
    as_user(BOB, || {
        assert_eq!(bench.call(&EnrollStart {}).unwrap_err().code, "not_joined");
        let poll = EnrollPoll {
            session: "guessed".to_owned(),
            wait_s: 25,
        };
        assert_eq!(bench.call(&poll).unwrap_err().code, "bad_session");
    });
}

/// Sends bytes as they are; what comes back until the daemon hangs up or falls silent.
fn raw(mut stream: UnixStream, bytes: &[u8]) -> String {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn frame(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn what_is_no_request_is_answered_by_a_code_or_by_hanging_up() {
    let bench = Bench::start();
    for (bytes, code) in [
        (frame("{}"), "bad_request"),
        (
            frame(r#"{"v":9,"id":1,"op":"hello","args":{}}"#),
            "bad_version",
        ),
        (
            frame(r#"{"v":1,"id":1,"op":"nonsense","args":{}}"#),
            "unknown_op",
        ),
        (
            frame(r#"{"v":1,"id":1,"op":"unlock","args":{}}"#),
            "bad_request",
        ),
    ] {
        let answer = raw(bench.connect(), &bytes);
        assert!(answer.contains(code), "{code}: {answer}");
    }
    let oversized = ((ipc::MAX_REQUEST + 1) as u32).to_le_bytes();
    for bytes in [&oversized[..], &frame("{}")[..5], &[]] {
        assert_eq!(raw(bench.connect(), bytes), "");
    }
    bench.call(&Hello {}).unwrap();
}

#[test]
fn one_user_s_many_connections_keep_nobody_else_out() {
    let bench = Bench::start();
    let kept: Vec<UnixStream> = as_user(BOB, || (0..64).map(|_| bench.connect()).collect());
    let hung_up = |mut stream: &UnixStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    let settled = || kept.iter().filter(|stream| hung_up(stream)).count() == 32;
    testkit::wait::until("half of them to be cut", Duration::from_secs(10), settled).unwrap();
    bench.call(&Hello {}).unwrap();
}

#[test]
fn whoever_may_sign_is_let_in_beside_the_many_connections_of_its_user() {
    let bench = Bench::start();
    let kept: Vec<UnixStream> = as_user(ALICE, || {
        let _right = bench.call(&unlock_alice()).unwrap();
        (0..64).map(|_| bench.connect()).collect()
    });
    let hung_up = |mut stream: &UnixStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    let settled = || kept.iter().filter(|stream| hung_up(stream)).count() == 24;
    testkit::wait::until(
        "those above forty to be cut",
        Duration::from_secs(10),
        settled,
    )
    .unwrap();
}

#[test]
fn every_sign_in_s_connection_is_root_s_and_none_is_one_too_many() {
    let bench = Bench::start();
    let kept: Vec<UnixStream> = (0..64).map(|_| bench.connect()).collect();
    bench.call(&Hello {}).unwrap();
    let hello = frame(r#"{"v":1,"id":1,"op":"hello","args":{}}"#);
    for stream in kept {
        assert!(raw(stream, &hello).contains("\"id\":1"));
    }
}

#[test]
fn a_user_who_asks_for_its_policies_again_at_once_gets_those_that_were_just_read() {
    let mut bench = Bench::prepare();
    bench.turn_pin_off();
    bench.serve();
    let refresh = PolicyRefresh { force: false };
    let again = as_user(ALICE, || bench.call(&refresh)).unwrap();
    assert_eq!((again.objects, again.fetched), (0, 0));
    // Of Bob's nothing was read, and there is no domain to ask.
    let first = as_user(BOB, || bench.call(&refresh)).unwrap_err();
    assert_eq!(first.code, "not_in_domain");
}

#[test]
fn many_requests_of_one_user_at_once_are_all_answered() {
    let bench = Bench::start();
    let answers = as_user(ALICE, || {
        std::thread::scope(|scope| {
            let ask = || {
                bench
                    .call(&TokenInfo {
                        uid: ALICE,
                        remote: false,
                    })
                    .unwrap()
                    .tries_left
            };
            let asked: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
            let answers = asked.into_iter().map(|one| one.join().unwrap());
            answers.collect::<Vec<u32>>()
        })
    });
    assert_eq!(answers, [10; 16]);
}
