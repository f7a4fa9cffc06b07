//! Keys in software: what stands in for a TPM, and what is said of it.

use std::{fs, sync::Arc};

use ipc::{Answered, Leave, Sign, Status, TokenInfo};
use latchkey_device::{daemon::Daemon, key_storage::Choice};

use crate::bench::{ALICE, Bench, PIN};
use crate::signing::{digest_info, pin_change, unlock};

fn status(bench: &Bench) -> ipc::StatusAnswer {
    bench
        .call(&Status {
            remote: false,
            tests: false,
        })
        .unwrap()
}

fn tries_left(bench: &Bench) -> u32 {
    let own = TokenInfo {
        uid: ALICE,
        remote: false,
    };
    bench.call(&own).unwrap().tries_left
}

#[test]
fn a_pin_signs_and_wrong_ones_stay_counted_when_daemon_and_tpm_start_anew() {
    let mut bench = Bench::prepare_in_software();
    bench.serve();
    assert_eq!(unlock(&bench, "000001").unwrap_err().tries_left, Some(9));
    bench.end();
    bench.serve();
    assert_eq!(tries_left(&bench), 9);
    let ticket = unlock(&bench, PIN).unwrap().ticket;
    let digest_info = digest_info(b"a request to a KDC");
    bench
        .call(&Sign {
            ticket,
            digest_info,
        })
        .unwrap();
    assert_eq!(tries_left(&bench), 10);

    let change = pin_change(PIN, "995511");
    crate::ffi::as_user(ALICE, || bench.call(&change)).unwrap();
    assert_eq!(unlock(&bench, PIN).unwrap_err().code, "wrong_pin");
    unlock(&bench, "995511").unwrap();
}

#[test]
fn software_is_called_software() {
    let mut bench = Bench::prepare_in_software();
    bench.serve();
    let told = status(&bench);
    assert_eq!(told.key_storage, "software");
    assert!(told.tpm.starts_with("a program"), "{}", told.tpm);
    let hardware = Bench::start();
    assert_eq!(status(&hardware).key_storage, "hardware");
}

#[test]
fn a_policy_that_wants_hardware_closes_a_key_in_software_and_no_other() {
    for (software, code) in [(true, Some("key_not_in_hardware")), (false, None)] {
        let mut bench = match software {
            true => Bench::prepare_in_software(),
            false => Bench::prepare(),
        };
        bench.leave_policy("RequireSecurityDevice", 1);
        bench.serve();
        let refused = unlock(&bench, PIN).err().map(|failure| failure.code);
        assert_eq!(refused.as_deref(), code);
        let told = crate::ffi::as_user(ALICE, || status(&bench));
        let eligible = Answered::from(!software);
        assert_eq!(told.prerequisites.device_eligible, eligible);
    }
}

#[test]
fn a_device_goes_on_with_the_kind_of_its_keys_or_not_at_all() {
    for (bench, fitting, other) in [
        (
            Bench::prepare_in_software(),
            Choice::Software,
            Choice::Hardware,
        ),
        (Bench::prepare(), Choice::Hardware, Choice::Software),
    ] {
        let start = |tpm| {
            let mut config = bench.config.clone();
            config.tpm = tpm;
            Daemon::new(config, Arc::clone(&bench.accounts) as _).map(drop)
        };
        let told = start(other).unwrap_err().to_string();
        assert!(
            told.contains("device.json") && told.contains("latchkey leave"),
            "{told}"
        );
        start(fitting).unwrap();
        start(Choice::Auto).unwrap();
    }
}

#[test]
fn a_device_whose_tpm_is_not_there_any_more_says_so_and_can_leave() {
    let mut bench = Bench::prepare();
    bench.pretend_joined();
    let tcti = std::mem::replace(&mut bench.config.tcti, "device:/dev/tpmrm-gone".to_owned());
    bench.serve();
    let told = status(&bench);
    assert_eq!(told.key_storage, "hardware");
    assert!(told.tpm.contains("latchkey leave"), "{}", told.tpm);
    assert_eq!(unlock(&bench, PIN).unwrap_err().code, "tpm_missing");
    bench.call(&Leave {}).unwrap();
    assert!(!bench.credential_file().exists());
    // What it makes next may be in software.
    assert_eq!(status(&bench).key_storage, "software");
    bench.config.tcti = tcti;
}

#[test]
fn what_software_kept_goes_when_the_device_leaves() {
    let mut bench = Bench::prepare_in_software();
    bench.pretend_joined();
    let kept = bench.config.state.join("software-tpm");
    // Its keys are those of another now, as after a loss of the folder.
    fs::remove_dir_all(&kept).unwrap();
    bench.serve();
    assert_eq!(unlock(&bench, PIN).unwrap_err().code, "key_unusable");
    assert!(kept.exists());
    bench.call(&Leave {}).unwrap();
    assert!(!kept.exists() && !kept.with_extension("key").exists());
}

#[test]
fn a_machine_without_the_program_is_told_which_package_it_needs() {
    let mut bench = Bench::prepare_in_software();
    bench.config.swtpm = "/nonexistent/swtpm".into();
    bench.serve();
    let refused = unlock(&bench, PIN).unwrap_err();
    assert_eq!(refused.code, "tpm_unavailable");
    assert!(refused.sentence.contains("package swtpm"), "{refused}");
}
