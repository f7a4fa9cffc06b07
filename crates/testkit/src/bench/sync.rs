//! From a key's registration at the server to its confirmation in AD.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{PERSON, PIN, Row, WARM_UP, median, quantile};
use crate::company::{Company, text};
use crate::wait::until_some;

/// Registers `count` keys one after another and measures each by the server's own times.
///
/// # Errors
/// When an enrollment fails, or a key does not come to AD.
pub fn sync(company: &Company, count: usize) -> Result<Vec<Row>> {
    company.lift_limits("")?;
    let mut samples = Vec::new();
    for _ in 0..WARM_UP + count {
        samples.push(registration(company)?);
    }
    let samples: Vec<f64> = samples.into_iter().skip(WARM_UP).collect();
    let note = |what: &str| {
        format!(
            "{count} enrollments, by the server's times of registration and confirmation; held \
             against the budget, since the time that others document, half an hour, is no \
             measurement; {what}"
        )
    };
    let most = "with so few it is the slowest";
    Ok(vec![
        Row::time(
            "sync.registered_to_usable.p50",
            median(&samples)?,
            100.0,
            1.0,
            note("p50"),
        ),
        Row::time(
            "sync.registered_to_usable.p99",
            quantile(&samples, 0.99)?,
            500.0,
            1.0,
            note(&format!("p99, {most}")),
        ),
    ])
}

/// Takes the person's key away and enrolls anew; returns milliseconds.
fn registration(company: &Company) -> Result<f64> {
    let keys = company.admin(&["key", "list"])?;
    for key in keys.as_array().context("no list of keys")? {
        if text(key, "state")? == "confirmed" {
            let delete = ["latchkey", "keys", "delete", text(key, "kid")?];
            company.workstation()?.command(&delete).user(PERSON).ok()?;
        }
    }
    // A removal under way would stand in the queue before the addition.
    until_some("the old key's removal", PATIENCE, || -> Result<()> {
        let keys = company.admin(&["key", "list"])?;
        for key in keys.as_array().into_iter().flatten() {
            ensure!(text(key, "state")? == "removed", "there is {key}");
        }
        Ok(())
    })?;
    // A one-time code is good once; a factor set anew has used none.
    company.give_factor(PERSON)?;
    let done = company.enroll(PERSON, PIN)?;
    let ms = done.get("directory_ms").and_then(Value::as_f64);
    ms.with_context(|| format!("the directory did not confirm the key: {done}"))
}

const PATIENCE: Duration = Duration::from_secs(30);
