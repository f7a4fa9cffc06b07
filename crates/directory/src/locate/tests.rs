use super::*;

fn candidate(host: &str, priority: u16) -> Candidate {
    Candidate {
        host: host.to_owned(),
        priority,
        weight: 100,
        address: ([127, 0, 0, 1], LDAP).into(),
    }
}

fn answer(domain: &str, is_writable: bool, is_closest: bool) -> Answer {
    Answer {
        domain: domain.to_owned(),
        is_writable,
        is_closest,
        client_site: None,
    }
}

fn order(need: Need, answers: &[(usize, Answer)]) -> (Vec<String>, Error) {
    let candidates = ["a", "b", "c"].map(|host| candidate(host, 0));
    let locator = Locator::new("CORP.TEST", None, need);
    let (ranked, why) = rank(&locator, &candidates, answers);
    let hosts = ranked.into_iter().map(|found| found.host.clone());
    (hosts.collect(), why)
}

#[test]
fn the_closest_come_first_and_the_silent_last() {
    let answers = vec![
        (2, answer("corp.test", true, false)),
        (1, answer("corp.test", true, true)),
    ];
    assert_eq!(order(Need::Write, &answers).0, ["b", "c", "a"]);
    assert_eq!(order(Need::Write, &[]).0, ["a", "b", "c"]);
}

#[test]
fn who_writes_stays_with_one_and_who_reads_takes_the_quickest() {
    let close = |at| (at, answer("corp.test", true, true));
    let answers = [close(2), close(0), close(1)];
    assert_eq!(order(Need::Write, &answers).0, ["a", "b", "c"]);
    assert_eq!(order(Need::Read, &answers).0, ["c", "a", "b"]);
}

#[test]
fn a_lower_priority_comes_before_a_quicker_answer() {
    let candidates = [candidate("spare", 10), candidate("first", 0)];
    let both = |at| (at, answer("corp.test", true, true));
    let locator = Locator::new("CORP.TEST", None, Need::Read);
    let (ranked, _) = rank(&locator, &candidates, &[both(0), both(1)]);
    assert_eq!(ranked[0].host, "first");
}

#[test]
fn what_is_written_goes_to_no_read_only_controller() {
    let read_only = |at| (at, answer("corp.test", false, true));
    let answers = [read_only(0), (1, answer("corp.test", true, false))];
    assert_eq!(order(Need::Write, &answers).0, ["b", "c"]);
    assert_eq!(order(Need::Read, &answers).0, ["b", "a", "c"]);
    let (left, why) = order(Need::Write, &[read_only(0)]);
    assert_eq!(left, ["b", "c"]);
    let silent = Error::Unreachable("b: no connection in time".to_owned());
    assert_eq!(
        telling(why, silent).to_string(),
        "no writable domain controller: a is read-only"
    );
}

#[test]
fn a_controller_of_another_domain_is_refused_by_name() {
    let other = |at| (at, answer("other.test", true, true));
    let (left, why) = order(Need::Read, &[other(0), other(1), other(2)]);
    assert!(left.is_empty());
    let said = "c is a domain controller of other.test, not of corp.test";
    assert_eq!(why.to_string(), said);
}

#[tokio::test]
async fn a_controller_that_hangs_in_the_bind_is_left_in_time() {
    let hangs = std::future::pending::<Result<(), Error>>();
    let left = in_time("dc", Duration::from_millis(1), hangs).await;
    assert!(
        matches!(&left, Err(Error::Unreachable(why)) if why.starts_with("dc: ")),
        "{left:?}"
    );
    let bound = in_time("dc", CONTROLLER, async { Ok(1) }).await;
    assert!(matches!(bound, Ok(1)), "{bound:?}");
}
