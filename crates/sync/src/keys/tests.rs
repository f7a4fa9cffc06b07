use protocol::{Operation, Statement};

use super::*;
use crate::{
    alarms,
    testing::{Parts, alice},
    written::Key,
};

pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);

fn statement(key_id: [u8; 32], sequence: u64) -> Statement {
    Statement {
        operation: Operation::Add,
        user: "S-1-5-21-1-2-3-1104".parse().unwrap(),
        key_id,
        device: Guid::from_le_bytes([9; 16]),
        time: NOW,
        sequence,
    }
}

/// The way down as a fresh process has it.
pub(super) fn start(parts: &Parts) -> Keys {
    let (config, agent) = (parts.config.clone(), parts.agent.clone());
    let door = Arc::new(parts.door());
    let writes = (Lease::held(), Arc::default());
    let counters = Arc::default();
    Keys::new(config, door, agent, parts.folder.clone(), writes, counters).unwrap()
}

#[test]
fn what_was_counted_is_counted_after_a_kill_on_an_unfinished_page() {
    let parts = Parts::new("restart", "additions_per_hour = 2");
    let limits = parts.config.limits;
    let mut keys = start(&parts);
    keys.count_addition(Some(&statement([1; 32], 5)), NOW);
    keys.ledger.keep().unwrap();
    let mut keys = start(&parts);
    keys.count_addition(Some(&statement([1; 32], 5)), NOW);
    assert!(
        !keys.ledger.additions_exhausted(&limits, NOW),
        "one that is tried again counts once"
    );
    keys.count_addition(None, NOW);
    keys.ledger.keep().unwrap();
    let mut keys = start(&parts);
    assert!(keys.ledger.additions_exhausted(&limits, NOW));
    assert!(keys.ledger.is_replay(&statement([2; 32], 4)));
    assert!(!keys.ledger.is_replay(&statement([1; 32], 5)));
}

pub(super) fn change(seq: u64, op: ChangeOp, user: u8) -> KeyChange {
    KeyChange {
        seq,
        op,
        user: api::agent::ChangeUser {
            anchor: Guid::from_le_bytes([user; 16]),
            sid: "S-1-5-21-1-2-3-1104".parse().unwrap(),
        },
        key: api::agent::ChangeKey {
            kid: seq.to_string(),
            material: String::new(),
            device: Guid::from_le_bytes([9; 16]),
            created: NOW,
        },
        evidence: None,
    }
}

#[test]
fn a_removal_waits_for_the_feed_s_end_and_so_does_what_follows_it() {
    let parts = Parts::new("waits", "");
    let mut keys = start(&parts);
    let page = vec![
        change(1, ChangeOp::Add, 1),
        change(2, ChangeOp::Remove, 1),
        change(3, ChangeOp::Add, 2),
        change(4, ChangeOp::Add, 1),
    ];
    let numbers = |changes: &[KeyChange]| changes.iter().map(|c| c.seq).collect::<Vec<_>>();
    assert_eq!(numbers(&keys.put_off_removals(page)), [1, 3]);
    let late = keys.put_off_removals(vec![change(5, ChangeOp::Add, 1)]);
    assert!(late.is_empty());
    assert_eq!(numbers(&keys.waiting), [2, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_a_page_may_have_are_an_alarm_and_none_is_carried_out() {
    let parts = Parts::new("page", "");
    let mut keys = start(&parts);
    let page = Changes {
        next: "v1.101".to_owned(),
        changes: (1..=101).map(|seq| change(seq, ChangeOp::Add, 1)).collect(),
    };
    let mut outcome = Outcome::default();
    assert!(keys.carry_out(page, &mut outcome).await.is_err());
    assert_eq!(keys.place, "");
    let kept: Alarms = parts.folder.read(alarms::FILE).unwrap().unwrap();
    assert_eq!(kept.alarms["too_many_changes"].count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_removals_are_stopped_and_are_one_alarm_while_the_server_does_not_hear_of_it() {
    let parts = Parts::new("stopped", "");
    let mut keys = start(&parts);
    for _ in 0..2 {
        keys.waiting = (1..=501)
            .map(|seq| change(seq, ChangeOp::Remove, 1))
            .collect();
        // The server would be told, and there is none.
        let mut outcome = Outcome::default();
        assert!(keys.settle_removals(&mut outcome).await.is_err());
        assert!(keys.removals.is_stopped());
        assert_eq!(outcome.errors[0].code, DELETION_THRESHOLD);
        assert!(keys.unfinished.is);
    }
    let kept: Alarms = parts.folder.read(alarms::FILE).unwrap().unwrap();
    assert_eq!(kept.alarms[DELETION_THRESHOLD].count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_anybody_takes_out_are_not_lost_at_once() {
    let parts = Parts::new("losses", "");
    let mut keys = start(&parts);
    let device = Guid::from_le_bytes([9; 16]);
    let mut losing = Vec::new();
    for n in 0..=500_u16 {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_le_bytes());
        keys.written
            .put(alice().guid, Key::new(&id, device, 1), "dc");
        losing.push((
            alice(),
            keys.written.of(alice().guid).last().unwrap().clone(),
        ));
    }
    let mut outcome = Outcome::default();
    // The server would be told, and there is none.
    assert!(keys.lose(losing.clone(), &mut outcome).await.is_err());
    assert_eq!(outcome.errors[0].code, DELETION_THRESHOLD);
    assert!(keys.losses.is_stopped());
    assert_eq!(keys.written.lost().len(), 0);
    losing.pop();
    assert!(keys.lose(losing, &mut outcome).await.is_err());
    assert_eq!(keys.written.lost().len(), 500);
}
