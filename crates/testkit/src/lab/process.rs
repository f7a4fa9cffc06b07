//! A process of the machine, named so that a reused number is not mistaken for it.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::wait;

/// A process number together with the moment at which that process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The number by which the machine knows it.
    pub number: u32,
    started: u64,
}

impl Process {
    /// The process that has `number` now.
    ///
    /// # Errors
    /// When there is none.
    pub fn with_number(number: u32) -> Result<Self> {
        let started = started(number).with_context(|| format!("process {number} is gone"))?;
        Ok(Self { number, started })
    }

    /// Whether it still runs; one that has ended but was not yet reaped does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        started(self.number) == Some(self.started)
    }

    /// Ends it without asking and waits until it is gone.
    ///
    /// # Errors
    /// When it is still there after ten seconds.
    pub fn kill(self) -> Result<()> {
        if self.is_alive() {
            Command::new("sh")
                .args(["-c", "kill -KILL \"$1\"", "sh", &self.number.to_string()])
                .stderr(Stdio::null())
                .status()
                .context("kill")?;
        }
        wait::until("a killed process to end", Duration::from_secs(10), || {
            !self.is_alive()
        })
    }
}

fn started(number: u32) -> Option<u64> {
    started_in(&std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?)
}

/// Field 22 of `proc_pid_stat(5)`, unless field 3 says that the process is dead. The name in field
/// 2 may hold blanks and brackets, so counting starts behind the last bracket.
pub(super) fn started_in(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests;
