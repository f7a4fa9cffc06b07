use super::*;

const START: UnixTime = UnixTime(1_800_000_000);
const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

fn set(scheduler: &mut Scheduler, words: &[&str]) -> anyhow::Result<()> {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        change: Change,
    }
    let words = ["set"].iter().chain(words);
    scheduler.set(&Line::try_parse_from(words)?.change)
}

/// A cycle from `at`, one second long.
fn cycle(scheduler: &mut Scheduler, at: UnixTime, succeeds: bool) -> PolicyType {
    let policy = scheduler.due(at).expect("a cycle is due");
    assert!(scheduler.begin(at));
    assert_eq!(scheduler.due(at), None, "one at a time");
    scheduler.end(policy, succeeds, at.plus(1));
    policy
}

#[test]
fn a_new_agent_begins_at_once_with_everything_and_goes_on_with_deltas() {
    let mut scheduler = Scheduler::default();
    assert_eq!(cycle(&mut scheduler, START, true), PolicyType::Initial);
    let next = START.plus(30 * MINUTE);
    assert_eq!(scheduler.next_start(START.plus(1)), Some(next));
    assert_eq!(scheduler.due(next.plus(-1)), None);
    assert_eq!(cycle(&mut scheduler, next, true), PolicyType::Delta);
}

#[test]
fn an_initial_cycle_that_failed_is_made_again() {
    let mut scheduler = Scheduler::default();
    cycle(&mut scheduler, START, false);
    let next = START.plus(30 * MINUTE);
    assert_eq!(cycle(&mut scheduler, next, true), PolicyType::Initial);
}

#[test]
fn a_customized_interval_counts_at_once_unless_it_is_below_the_allowed_one() {
    let mut scheduler = Scheduler::default();
    cycle(&mut scheduler, START, true);
    for (customized, effective) in [
        ("03:00:00", "03:00:00"),
        ("00:30:00", "00:30:00"),
        ("00:29:59", "00:30:00"),
        ("1.00:00:00", "1.00:00:00"),
        ("none", "00:30:00"),
    ] {
        set(
            &mut scheduler,
            &["--customized-sync-cycle-interval", customized],
        )
        .unwrap();
        assert_eq!(scheduler.effective().to_string(), effective, "{customized}");
        let next = START.plus(i64::from(scheduler.effective().0));
        assert_eq!(scheduler.next_start(START), Some(next));
    }
}

#[test]
fn the_server_says_what_is_allowed() {
    let mut scheduler = Scheduler::default();
    set(
        &mut scheduler,
        &["--customized-sync-cycle-interval", "00:10:00"],
    )
    .unwrap();
    assert!(scheduler.allow(300));
    assert!(!scheduler.allow(300), "no news");
    assert_eq!(scheduler.effective().to_string(), "00:10:00");
    assert!(scheduler.allow(3600));
    assert_eq!(scheduler.effective().to_string(), "01:00:00");
    set(
        &mut scheduler,
        &["--customized-sync-cycle-interval", "none"],
    )
    .unwrap();
    assert!(scheduler.allow(1), "a hostile one");
    assert_eq!(scheduler.effective().to_string(), "00:01:00");
}

#[test]
fn seven_days_without_success_need_everything() {
    let mut scheduler = Scheduler::default();
    cycle(&mut scheduler, START, true);
    let delta = START.plus(30 * MINUTE);
    cycle(&mut scheduler, delta, true);
    let week = delta.plus(1 + 7 * DAY);
    assert_eq!(scheduler.policy(week), PolicyType::Delta);
    assert_eq!(scheduler.policy(week.plus(1)), PolicyType::Initial);
    let asked = |at| scheduler.at_least(PolicyType::Delta, at);
    assert_eq!(asked(week), PolicyType::Delta);
    assert_eq!(
        asked(week.plus(1)),
        PolicyType::Initial,
        "not by hand either"
    );
    // Deltas that fail do not count, however often they are tried.
    let mut at = START.plus(30 * MINUTE);
    while at <= week {
        at = scheduler.next_start(at).unwrap();
        cycle(&mut scheduler, at, false);
    }
    let after = at.plus(30 * MINUTE);
    assert_eq!(cycle(&mut scheduler, after, true), PolicyType::Initial);
    let after = after.plus(30 * MINUTE);
    assert_eq!(cycle(&mut scheduler, after, true), PolicyType::Delta);
}

#[test]
fn an_initial_cycle_that_is_asked_for_is_the_next_one_and_no_delta_by_hand_takes_its_place() {
    let mut scheduler = Scheduler::default();
    cycle(&mut scheduler, START, true);
    set(
        &mut scheduler,
        &["--next-sync-cycle-policy-type", "initial"],
    )
    .unwrap();
    assert!(scheduler.begin(START.plus(5)));
    scheduler.end(PolicyType::Delta, true, START.plus(6));
    let next = scheduler.next_start(START.plus(6)).unwrap();
    assert_eq!(next, START.plus(5 + 30 * MINUTE));
    assert_eq!(cycle(&mut scheduler, next, true), PolicyType::Initial);
}

#[test]
fn no_cycle_begins_by_itself_while_cycles_are_off_or_suspended() {
    let mut scheduler = Scheduler::default();
    set(&mut scheduler, &["--sync-cycle-enabled", "false"]).unwrap();
    assert_eq!(scheduler.next_start(START), None);
    assert!(scheduler.begin(START), "by hand one does");
    scheduler.end(PolicyType::Initial, true, START);
    set(&mut scheduler, &["--sync-cycle-enabled", "true"]).unwrap();
    scheduler.suspend(true);
    assert_eq!(scheduler.due(START.plus(DAY)), None);
    assert!(!scheduler.begin(START.plus(DAY)), "not even by hand");
    scheduler.suspend(false);
    assert_eq!(scheduler.due(START.plus(DAY)), Some(PolicyType::Delta));
}

#[test]
fn a_clock_that_is_set_back_puts_no_cycle_off() {
    let mut scheduler = Scheduler::default();
    cycle(&mut scheduler, START, true);
    let earlier = START.plus(-365 * DAY);
    assert!(scheduler.due(earlier).is_some());
    cycle(&mut scheduler, earlier, true);
    assert_eq!(
        scheduler.next_start(earlier),
        Some(earlier.plus(30 * MINUTE))
    );
}

#[test]
fn maintenance_runs_once_a_day_unless_it_is_off() {
    let mut scheduler = Scheduler::default();
    set(
        &mut scheduler,
        &["--purge-run-history-interval", "2.00:00:00"],
    )
    .unwrap();
    assert_eq!(scheduler.maintain(START), Some(START.plus(-2 * DAY)));
    assert_eq!(scheduler.maintain(START.plus(DAY - 1)), None);
    assert!(scheduler.maintain(START.plus(DAY)).is_some());
    set(&mut scheduler, &["--maintenance-enabled", "false"]).unwrap();
    assert_eq!(scheduler.maintain(START.plus(3 * DAY)), None);
}

#[test]
fn what_is_no_interval_is_refused_and_nothing_is_set() {
    let mut scheduler = Scheduler::default();
    for text in [
        "",
        "30",
        "00:30",
        "24:00:00",
        "00:60:00",
        "00:00:60",
        "00:00:00",
        "1.",
        "-00:30:00",
        "00:30:00.5",
        "8.00:00:00",
        "+1:00:00",
        "1000.00:00:00",
    ] {
        let before = scheduler.clone();
        let argument = format!("--customized-sync-cycle-interval={text}");
        let words = [argument.as_str(), "--sync-cycle-enabled", "false"];
        assert!(set(&mut scheduler, &words).is_err(), "{text:?}");
        assert_eq!(scheduler, before);
    }
    assert!(set(&mut scheduler, &[]).is_err(), "nothing to set");
}

#[test]
fn the_properties_have_the_names_that_an_administrator_knows() {
    let mut scheduler = Scheduler::default();
    cycle(&mut scheduler, START, true);
    let shown = scheduler.shown(true, START.plus(1));
    let expected = "\
AllowedSyncCycleInterval                : 00:30:00
CurrentlyEffectiveSyncCycleInterval     : 00:30:00
CustomizedSyncCycleInterval             : 
NextSyncCyclePolicyType                 : Delta
NextSyncCycleStartTimeInUTC             : 2027-01-15T08:30:00.000Z
PurgeRunHistoryInterval                 : 7.00:00:00
SyncCycleEnabled                        : true
MaintenanceEnabled                      : true
StagingModeEnabled                      : true
SchedulerSuspended                      : false
SyncCycleInProgress                     : false
";
    assert_eq!(shown.said(), expected);
    let json = serde_json::to_string(&shown).unwrap();
    let places: Vec<_> = expected
        .lines()
        .map(|line| json.find(line.split(' ').next().unwrap()).unwrap())
        .collect();
    assert!(places.is_sorted(), "in the order of the JSON: {json}");
}

#[test]
fn what_is_set_and_has_no_effect_is_said() {
    let mut scheduler = Scheduler::default();
    let mut warnings = |text| {
        let change: Change = serde_json::from_str(text).unwrap();
        scheduler.set(&change).unwrap();
        change.warnings(&scheduler.shown(false, START))
    };
    let below = "00:10:00 is below the allowed 00:30:00 and has no effect";
    assert_eq!(
        warnings(r#"{"customized_sync_cycle_interval":"00:10:00"}"#),
        [below]
    );
    assert_eq!(warnings(r#"{"sync_cycle_enabled":false}"#), [GO_ON]);
    assert_eq!(
        warnings(r#"{"customized_sync_cycle_interval":"00:30:00","sync_cycle_enabled":true}"#),
        [""; 0]
    );
}

#[test]
fn the_state_comes_back_from_its_file() {
    let mut scheduler = Scheduler::default();
    set(
        &mut scheduler,
        &["--customized-sync-cycle-interval", "1.12:00:00"],
    )
    .unwrap();
    cycle(&mut scheduler, START, true);
    let text = serde_json::to_string(&scheduler).unwrap();
    assert_eq!(serde_json::from_str::<Scheduler>(&text).unwrap(), scheduler);
}
