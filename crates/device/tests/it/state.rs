//! State that cannot be read is refused by name, and kept.

use std::{fs, sync::Arc};

use ipc::{Leave, TokenInfo};
use latchkey_device::daemon::Daemon;

use crate::bench::{ALICE, Bench};

#[test]
fn a_daemon_does_not_start_over_a_device_file_that_it_cannot_read() {
    let bench = Bench::prepare();
    let path = bench.config.state.join("device.json");
    let whole = fs::read(&path).unwrap();
    let newer = br#"{"version":2,"data":{}}"#.to_vec();
    for content in [whole[..whole.len() / 2].to_vec(), newer, Vec::new()] {
        fs::write(&path, &content).unwrap();
        let refused = Daemon::new(bench.config.clone(), Arc::clone(&bench.accounts) as _);
        let told = refused.err().unwrap().to_string();
        assert!(told.contains("device.json"), "{told}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_credential_that_cannot_be_read_is_refused_and_kept() {
    let bench = Bench::start();
    let newer = br#"{"version":2,"data":{}}"#;
    fs::write(bench.credential_file(), newer).unwrap();
    let refused = bench
        .call(&TokenInfo {
            uid: ALICE,
            remote: false,
        })
        .unwrap_err();
    assert_eq!(refused.code, "state_unreadable");
    assert!(refused.sentence.contains("version 2"), "{refused}");
    assert_eq!(fs::read(bench.credential_file()).unwrap(), newer);
}

#[test]
fn a_device_whose_tpm_was_cleared_leaves_by_itself() {
    let mut bench = Bench::prepare();
    bench.pretend_joined();
    bench.clear_tpm();
    bench.serve();
    bench.call(&Leave {}).unwrap();
    assert!(!bench.credential_file().exists());
    assert!(!bench.config.state.join("device.json").exists());
    assert_eq!(bench.call(&Leave {}).unwrap_err().code, "not_joined");
}

#[test]
fn a_device_that_has_its_keys_does_not_leave_behind_its_server_s_back() {
    let mut bench = Bench::prepare();
    bench.pretend_joined();
    bench.serve();
    bench.call(&Leave {}).unwrap_err();
    assert!(bench.credential_file().exists());
    assert!(bench.config.state.join("device.json").exists());
}
