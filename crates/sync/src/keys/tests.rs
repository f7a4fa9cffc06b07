use protocol::{Operation, Statement};

use super::*;
use crate::testing::Parts;

const NOW: UnixTime = UnixTime(1_800_000_000);

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
fn start(parts: &Parts) -> Keys {
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
    keys.keep_ledger().unwrap();
    let mut keys = start(&parts);
    keys.count_addition(Some(&statement([1; 32], 5)), NOW);
    assert!(
        !keys.ledger.additions_exhausted(&limits, NOW),
        "one that is tried again counts once"
    );
    keys.count_addition(None, NOW);
    keys.keep_ledger().unwrap();
    let mut keys = start(&parts);
    assert!(keys.ledger.additions_exhausted(&limits, NOW));
    assert!(keys.ledger.is_replay(&statement([2; 32], 4)));
    assert!(!keys.ledger.is_replay(&statement([1; 32], 5)));
}
