//! The budgets, measured in a lab.
//!
//! Every figure of ours stands beside a reference that was measured in the same run, in turn with
//! it, after a warm-up; compared are medians. Absolute times say more about the machine than about
//! the product, so what a budget limits is the ratio.

mod export;
mod footprint;
mod import;
mod policies;
mod policy;
mod reference;
mod server;
mod signin;
mod sync;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::company::Company;
use crate::lab::{Lab, Options, Profile};

pub use export::export;
pub use import::import;
pub use policies::policies;
pub use policy::policy;
pub use server::server;
pub use signin::signin;
pub use sync::sync;

/// The person who is measured.
const PERSON: &str = "alice";
/// Her PIN, and that of the stock card.
const PIN: &str = "493027581604";
/// Runs before those that count.
const WARM_UP: usize = 3;

/// One figure and what became of its budget (`docs/joints.md`, section 7).
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured; it never changes.
    pub name: &'static str,
    /// Which way is good: `lower` or `higher`.
    pub better: &'static str,
    /// The product's figure.
    pub ours: f64,
    /// What it is held against.
    pub reference: f64,
    /// The unit of both.
    pub unit: &'static str,
    /// Ours divided by the reference.
    pub ratio: f64,
    /// What the ratio may be at most, or where higher is better, at least.
    pub target: f64,
    /// Whether it is.
    pub met: bool,
    /// How it was measured, and what a reader must know to judge it.
    pub note: String,
}

impl Row {
    /// A time in milliseconds, of which less is better.
    #[must_use]
    pub fn time(name: &'static str, ours: f64, reference: f64, target: f64, note: String) -> Self {
        Self::lower("ms", name, [ours, reference, target], note)
    }

    /// Memory in MiB, of which no more than the reference is good.
    #[must_use]
    pub fn memory(name: &'static str, ours: f64, reference: f64, note: String) -> Self {
        Self::lower("MiB", name, [ours, reference, 1.0], note)
    }

    /// A share of one processor in hundredths, of which no more than the reference is good.
    #[must_use]
    pub fn share(name: &'static str, ours: f64, reference: f64, note: String) -> Self {
        Self::lower("%", name, [ours, reference, 1.0], note)
    }

    /// A number of times in a second, of which more is better.
    #[must_use]
    pub fn rate(name: &'static str, ours: f64, reference: f64, target: f64, note: String) -> Self {
        let row = Self::lower("/s", name, [ours, reference, target], note);
        Self {
            better: "higher",
            met: ours / reference >= target,
            ..row
        }
    }

    fn lower(
        unit: &'static str,
        name: &'static str,
        [ours, reference, target]: [f64; 3],
        note: String,
    ) -> Self {
        let ratio = ours / reference;
        Self {
            name,
            better: "lower",
            ours: rounded(ours),
            reference: rounded(reference),
            unit,
            ratio: rounded(ratio),
            target,
            met: ratio <= target,
            note,
        }
    }
}

/// A company with the release build, in a fresh lab `name`; alice has a PIN and a second factor.
///
/// # Errors
/// When a part does not come up.
pub fn found(name: &str, say: fn(&str)) -> Result<Company> {
    Lab::down(name)?;
    let options = Options {
        say,
        ..Options::default()
    };
    let company = Company::new(Lab::up(name, options)?);
    let fingerprint = company.start_server(Profile::Release)?;
    company.connect_agent(&fingerprint)?;
    company.join_workstation(Profile::Release)?;
    company.give_factor(PERSON)?;
    company.password_sign_in(PERSON)?;
    company.enroll(PERSON, PIN)?;
    Ok(company)
}

/// The smallest sample that at least `share` (0 to 1) of all samples do not exceed.
fn quantile(samples: &[f64], share: f64) -> Result<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    let found = sorted.get(rank - 1).copied();
    found.context("nothing was measured")
}

fn median(samples: &[f64]) -> Result<f64> {
    quantile(samples, 0.5)
}

/// The columns of a table of numbers, without the rows of the warm-up. What follows the numbers
/// in a line is left out.
fn columns<const N: usize>(text: &str) -> Result<[Vec<f64>; N]> {
    let mut columns = [const { Vec::new() }; N];
    for line in text.lines().skip(WARM_UP) {
        let mut words = line.split_ascii_whitespace();
        for column in &mut columns {
            let word = words.next().with_context(|| format!("too short: {line}"))?;
            let number: f64 = word.parse().with_context(|| format!("no number: {line}"))?;
            column.push(number / 1000.0);
        }
    }
    Ok(columns)
}

/// As many digits as a machine with neighbours allows.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
