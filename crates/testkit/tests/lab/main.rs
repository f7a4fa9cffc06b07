//! The lab keeps what it promises. Needs root and brings up labs of its own.

#![cfg(test)]

mod agents;
mod approval;
mod assigned;
mod attestation;
mod broken;
mod chain;
mod controllers;
mod deleted;
mod domain;
mod early;
mod evaluation;
mod export;
mod exported;
mod fuzz;
mod gpo;
mod hostile;
mod import;
mod join;
mod kdcs;
mod keytrust;
mod kills;
mod machine;
mod malware;
mod packages;
mod pam;
mod passwords;
mod people;
mod permissions;
mod pin;
mod pki;
mod policy;
mod prerequisites;
mod readers;
mod renamed;
mod renewal;
mod revocation;
mod rogue;
mod secrets;
mod sessions;
mod software;
mod sync;
mod terminal;
mod unasked;
mod unlocked;
mod whole;
mod workstation;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::Result;
use testkit::company::Company;
use testkit::lab::{Lab, Options, Profile};

/// The lab that most tests share, made fresh by the first of them. One test at a time: they restart
/// its daemons under each other's feet otherwise.
fn shared() -> (MutexGuard<'static, ()>, &'static Lab) {
    static TURN: Mutex<()> = Mutex::new(());
    static LAB: OnceLock<Lab> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lab = LAB.get_or_init(|| fresh().expect("the lab comes up"));
    (turn, lab)
}

/// A company that most tests of the product share: server, agent and joined workstation, nobody
/// enrolled. A test leaves it as well as it found it.
fn company() -> (MutexGuard<'static, ()>, &'static Company) {
    static TURN: Mutex<()> = Mutex::new(());
    static COMPANY: OnceLock<Company> = OnceLock::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let company =
        COMPANY.get_or_init(|| founded(&name("tests-company")).expect("the company comes up"));
    (turn, company)
}

/// A company in a lab of its own, made fresh.
fn founded(name: &str) -> Result<Company> {
    Lab::down(name)?;
    let company = Company::new(Lab::up(name, Options::default())?);
    let fingerprint = company.start_server(Profile::Debug)?;
    company.connect_agent(&fingerprint)?;
    company.join_workstation(Profile::Debug)?;
    Ok(company)
}

fn fresh() -> Result<Lab> {
    Lab::down(&name("tests"))?;
    Lab::up(&name("tests"), Options::default())
}

/// The name of a lab of these tests. Two runs at the same time need a suffix each.
fn name(lab: &str) -> String {
    let suffix = std::env::var("LATCHKEY_LAB_SUFFIX").unwrap_or_default();
    format!("{lab}{suffix}")
}
