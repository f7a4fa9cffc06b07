//! What a person does in the lab, step by step: the demonstration.
//!
//! The steps are told as they end, each with its time. A step that fails ends the story, and the
//! telling then says which one and why; nothing is told that did not happen.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::lab::{Lab, Options};

/// A step that has ended well.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Counted from 1.
    pub number: usize,
    /// What happened, in a few words that never change.
    pub name: &'static str,
    /// What a reader wants to see of it.
    pub detail: String,
    /// How long it took.
    pub ms: u64,
}

/// Everything that was told.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Told {
    /// The steps in order.
    pub steps: Vec<Step>,
    /// The server name of the ticket that the person ended with.
    pub ticket: Option<String>,
}

/// Tells the story: collects the steps and passes each on as it ends.
pub struct Teller {
    told: Told,
    say: fn(&Step),
}

impl Teller {
    /// A teller that passes each finished step to `say`.
    #[must_use]
    pub fn new(say: fn(&Step)) -> Self {
        Self {
            told: Told::default(),
            say,
        }
    }

    /// What was told so far.
    #[must_use]
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// Runs one step and tells it. The step returns its value and its detail.
    ///
    /// # Errors
    /// When the step fails, with its number and name.
    pub fn step<T>(
        &mut self,
        name: &'static str,
        act: impl FnOnce() -> Result<(T, String)>,
    ) -> Result<T> {
        let number = self.told.steps.len() + 1;
        let start = Instant::now();
        let (value, detail) = act().with_context(|| format!("step {number}, {name}"))?;
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let step = Step {
            number,
            name,
            detail,
            ms,
        };
        (self.say)(&step);
        self.told.steps.push(step);
        Ok(value)
    }
}

/// Plays the story in a fresh lab `name`, which is left running.
///
/// # Errors
/// At the first step that fails.
pub fn play(name: &str, say: fn(&str), teller: &mut Teller) -> Result<Lab> {
    Lab::down(name)?;
    let mut lab = teller.step("domain up", || {
        let lab = Lab::up(
            name,
            Options {
                workstations: 0,
                say,
            },
        )?;
        let detail = format!("Samba {}, {}", lab.samba(), crate::lab::address::REALM);
        Ok((lab, detail))
    })?;
    teller.step("workstation joined", || {
        let host = lab.add_workstation("ws1")?;
        let person = host.sh("id --user alice")?;
        Ok((
            (),
            format!("ws1 by adcli, SSSD knows alice as uid {}", person.trim()),
        ))
    })?;
    Ok(lab)
}

#[cfg(test)]
mod tests;
