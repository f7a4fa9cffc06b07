use super::*;

const STAT: &str = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 2 3";

#[test]
fn the_start_is_found_behind_a_name_with_brackets_and_blanks() {
    assert_eq!(started_in(STAT), Some(777));
}

#[test]
fn a_process_that_was_not_reaped_yet_counts_as_dead() {
    assert_eq!(started_in(&STAT.replace(" S 1 ", " Z 1 ")), None);
}

#[test]
fn a_number_that_was_given_to_another_process_is_not_the_same() {
    let own = Process::with_number(std::process::id()).unwrap();
    assert!(own.is_alive());
    assert!(
        !Process {
            started: own.started + 1,
            ..own
        }
        .is_alive()
    );
}
