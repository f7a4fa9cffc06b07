use super::*;
use crate::{lease::Lease, testing::Parts};

/// A loop that answers each half that it is asked for.
fn owner(answers: Vec<anyhow::Result<Outcome>>) -> Halves {
    let (halves, mut asked) = mpsc::channel::<Asked>(1);
    tokio::spawn(async move {
        for answer in answers {
            let Some(asked) = asked.recv().await else {
                return;
            };
            asked.answer(async { answer }).await;
        }
        // The next one waits for ever.
        if let Some(last) = asked.recv().await {
            last.answer(std::future::pending()).await;
        }
    });
    halves
}

fn added(count: u64) -> anyhow::Result<Outcome> {
    Ok(Outcome {
        added: count,
        ..Outcome::default()
    })
}

fn cycle(parts: &Parts, up: Halves, down: Halves) -> Cycle {
    Cycle {
        desk: Arc::new(Desk::open(parts.folder.clone(), false).unwrap()),
        lease: Lease::held(),
        up,
        down,
        agent: parts.agent.clone(),
        folder: parts.folder.clone(),
    }
}

fn results(desk: &Desk) -> Vec<String> {
    let runs = desk.last_cycle();
    runs.iter().map(|run| word(&run.result)).collect()
}

#[tokio::test]
async fn a_cycle_begins_by_itself_and_its_rows_outlive_the_program() {
    let parts = Parts::new("cycle", "");
    let cycle = cycle(&parts, owner(vec![added(3)]), owner(vec![added(1)]));
    let desk = cycle.desk.clone();
    let mut ended = desk.ended.subscribe();
    let running = tokio::spawn(cycle.run());
    ended.changed().await.unwrap();
    running.abort();
    assert_eq!(results(&desk), ["success"; 6]);
    let again = Desk::open(parts.folder.clone(), false).unwrap();
    let runs = again.last_cycle();
    let counts: Vec<_> = runs.iter().map(|run| run.outcome.added).collect();
    assert_eq!(counts, [3, 1, 3, 1, 3, 1]);
    assert_eq!(again.last_success(), desk.last_success());
    assert_eq!(again.shown().next_sync_cycle_policy_type, PolicyType::Delta);
}

#[tokio::test]
async fn a_cycle_that_is_stopped_says_so_and_the_rest_is_done_next_time() {
    let parts = Parts::new("stopped", "");
    let cycle = cycle(&parts, owner(vec![]), owner(vec![]));
    let desk = cycle.desk.clone();
    assert!(!desk.stop(), "none runs");
    let mut ended = desk.ended.subscribe();
    let running = tokio::spawn(cycle.run());
    while !desk.shown().sync_cycle_in_progress {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.start(None).err(), Some(Not::InProgress));
    assert!(desk.stop());
    ended.changed().await.unwrap();
    running.abort();
    assert_eq!(results(&desk), ["stopped-user-termination"; 3]);
    let shown = desk.shown();
    assert_eq!(shown.next_sync_cycle_policy_type, PolicyType::Initial);
    assert!(!shown.sync_cycle_in_progress);
}

#[tokio::test]
async fn one_half_that_fails_does_not_keep_the_other_from_its_turn() {
    let parts = Parts::new("half", "");
    let down = client::Error::Unreachable("no route".to_owned());
    let cycle = cycle(&parts, owner(vec![Err(down.into())]), owner(vec![added(1)]));
    cycle.desk.start(Some(PolicyType::Delta)).unwrap();
    let (policy, stop) = cycle.desk.next().await;
    cycle.once(policy, stop).await;
    assert_eq!(
        results(&cycle.desk),
        [
            "aborted",
            "success",
            "aborted",
            "success",
            "stopped-server-down",
            "success"
        ]
    );
    assert_eq!(cycle.desk.last_success(), None);
}

#[tokio::test]
async fn nothing_begins_while_somebody_changes_the_ground() {
    let parts = Parts::new("suspended", "");
    let desk = Arc::new(Desk::open(parts.folder.clone(), false).unwrap());
    let (first, second) = (desk.suspend(), desk.suspend());
    drop(first);
    assert!(desk.shown().scheduler_suspended);
    assert_eq!(desk.start(None).err(), Some(Not::Suspended));
    drop(second);
    assert!(!desk.shown().scheduler_suspended);
    assert!(desk.start(None).is_ok());
    assert_eq!(desk.next().await.0, PolicyType::Initial);
}

#[tokio::test]
async fn a_start_that_is_suspended_before_it_begins_is_not_forgotten() {
    let parts = Parts::new("start-suspended", "");
    let desk = Arc::new(Desk::open(parts.folder.clone(), false).unwrap());
    let change = serde_json::from_str(r#"{"sync_cycle_enabled":false}"#).unwrap();
    desk.set(&change).unwrap();
    desk.start(None).unwrap();
    let suspended = desk.suspend();
    let next = {
        let desk = desk.clone();
        tokio::spawn(async move { desk.next().await.0 })
    };
    tokio::task::yield_now().await;
    assert!(!next.is_finished());
    drop(suspended);
    assert_eq!(next.await.unwrap(), PolicyType::Initial);
}

#[tokio::test]
async fn a_delta_by_hand_is_everything_where_none_succeeded_for_a_week() {
    let parts = Parts::new("week", "");
    let desk = Desk::open(parts.folder.clone(), false).unwrap();
    let (policy, _) = desk.start(Some(PolicyType::Delta)).unwrap();
    assert_eq!(policy, PolicyType::Initial);
    assert_eq!(desk.next().await.0, PolicyType::Initial);
}

#[tokio::test]
async fn maintenance_needs_no_cycle() {
    let parts = Parts::new("maintenance", "");
    let cycle = cycle(&parts, owner(vec![]), owner(vec![]));
    let desk = cycle.desk.clone();
    let set = |text| desk.set(&serde_json::from_str(text).unwrap()).unwrap();
    set(r#"{"sync_cycle_enabled":false,"maintenance_enabled":false}"#);
    let long_ago = UnixTime(1);
    let half = Half::ended(Connector::Directory, (long_ago, long_ago), added(1));
    desk.end(PolicyType::Delta, &[(half, true)]);
    let running = tokio::spawn(cycle.run());
    tokio::task::yield_now().await;
    assert_eq!(results(&desk).len(), 3);
    set(r#"{"maintenance_enabled":true}"#);
    while !results(&desk).is_empty() {
        tokio::task::yield_now().await;
    }
    running.abort();
}

#[test]
fn what_is_set_while_no_agent_runs_is_there_when_it_starts() {
    let parts = Parts::new("at-rest", "");
    let change: Change =
        serde_json::from_str(r#"{"customized_sync_cycle_interval":"03:00:00"}"#).unwrap();
    set_at_rest(&parts.folder, false, &change).unwrap();
    let shown = at_rest(&parts.folder, false).unwrap();
    let effective = shown.currently_effective_sync_cycle_interval;
    assert_eq!(effective.to_string(), "03:00:00");
    let next = shown.next_sync_cycle_start_time_in_utc;
    assert_eq!(next, None, "nobody begins it");
    let _running = parts.folder.take().unwrap();
    assert!(set_at_rest(&parts.folder, false, &change).is_err());
}
