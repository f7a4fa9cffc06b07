//! The lab keeps what it promises. Needs root and brings up labs of its own.

#![cfg(test)]

mod domain;
mod keytrust;
mod machine;
mod workstation;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::Result;
use testkit::lab::{Lab, Options};

/// The lab that most tests share, made fresh by the first of them. One test at a time: they restart
/// its daemons under each other's feet otherwise.
fn shared() -> (MutexGuard<'static, ()>, &'static Lab) {
    static TURN: Mutex<()> = Mutex::new(());
    static LAB: OnceLock<Lab> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lab = LAB.get_or_init(|| fresh().expect("the lab comes up"));
    (turn, lab)
}

fn fresh() -> Result<Lab> {
    Lab::down("tests")?;
    Lab::up("tests", Options::default())
}
