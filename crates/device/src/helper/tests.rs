use std::{
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use super::*;

fn request() -> Request {
    let anchors = vec!["/run/x/kdc.pem".to_owned(), "/run/x/root.pem".to_owned()];
    Request {
        ids: Ids {
            uid: 1000,
            gid: 100,
            groups: vec![100],
        },
        principal: "alice@CORP.EXAMPLE".into(),
        module: "/m.so".into(),
        anchors,
    }
}

fn obtained() -> Obtained {
    let server = "krbtgt/CORP.EXAMPLE@CORP.EXAMPLE".to_owned();
    Obtained {
        principal: "alice@CORP.EXAMPLE".into(),
        server,
        end: 1_800_000_000,
        kdc_certificate: None,
    }
}

fn refusal() -> Failed {
    Failed {
        code: "key_not_trusted".into(),
        message: "Client not trusted".into(),
    }
}

/// Runs the daemon's side against a helper that is played by `helper`.
fn check<P>(
    helper: impl FnOnce(UnixStream) + Send + 'static,
    prove: P,
) -> Result<(Obtained, Stored), Failed>
where
    P: FnOnce(&Obtained, &[u8]) -> Result<(), Failed>,
{
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let played = thread::spawn(move || helper(theirs));
    let outcome = log_in(&mut ours, &request(), || prove);
    drop(ours);
    played.join().unwrap();
    outcome
}

fn shows_a_ticket(socket: &mut UnixStream) -> Verdict {
    assert_eq!(receive::<Request>(socket).unwrap(), request());
    send(socket, &Ok::<_, Failed>(obtained())).unwrap();
    send_bytes(socket, b"ticket").unwrap();
    receive(socket).unwrap()
}

#[test]
fn a_proven_ticket_is_stored() {
    let stored = Stored {
        ccache: "FILE:/tmp/krb5cc_1000".into(),
    };
    let answer = stored.clone();
    let outcome = check(
        move |mut socket| {
            assert!(shows_a_ticket(&mut socket).verified);
            send(&mut socket, &Ok::<_, Failed>(answer)).unwrap();
        },
        |shown, ticket| {
            assert_eq!((shown, ticket), (&obtained(), &b"ticket"[..]));
            Ok(())
        },
    );
    assert_eq!(outcome, Ok((obtained(), stored)));
}

#[test]
fn a_helper_learns_that_its_ticket_is_not_proven() {
    let outcome = check(
        |mut socket| assert!(!shows_a_ticket(&mut socket).verified),
        |_, _| Err(refusal()),
    );
    assert_eq!(outcome, Err(refusal()));
}

#[test]
fn a_refusal_of_the_kdc_arrives_as_it_is() {
    let outcome = check(
        |mut socket| {
            receive::<Request>(&mut socket).unwrap();
            send(&mut socket, &Err::<Obtained, _>(refusal())).unwrap();
        },
        |_, _| panic!("there is no ticket to prove"),
    );
    assert_eq!(outcome, Err(refusal()));
}

#[test]
fn a_helper_that_breaks_off_is_a_failure_of_the_helper() {
    let outcome = check(
        |mut socket| {
            receive::<Request>(&mut socket).unwrap();
        },
        |_, _| panic!("there is no ticket to prove"),
    );
    assert_eq!(outcome.unwrap_err().code, "helper");
}

#[test]
fn an_oversized_frame_is_neither_sent_nor_read() {
    assert!(send_bytes(&mut Vec::new(), &vec![0; MAX_FRAME + 1]).is_err());
    assert!(receive_bytes(&mut &u32::MAX.to_le_bytes()[..]).is_err());
}

#[test]
fn a_helper_that_never_falls_silent_is_cut_off_all_the_same() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let flood = thread::spawn(move || while theirs.write_all(&[0; 64]).is_ok() {});
    let mut stream = Deadline::until(ours, Instant::now() + Duration::from_millis(100));
    let ended = io::copy(&mut stream, &mut io::sink()).unwrap_err();
    assert!(
        matches!(ended.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
        "{ended}"
    );
    drop(stream);
    flood.join().unwrap();
}
