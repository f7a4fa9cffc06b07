//! The one place that polls.
//!
//! What a test waits for is a condition with a name and a deadline; when the deadline passes the
//! error says what was awaited and what was last seen, so that nobody has to guess from a timeout.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// The most. A look that takes long, because it starts programs, comes less often: what is waited for
/// needs the machine too.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Waits until `condition` holds.
///
/// # Errors
/// When `deadline` has passed; the text names `what`.
pub fn until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    until_some(what, deadline, || {
        condition()
            .then_some(())
            .ok_or_else(|| "not yet".to_owned())
    })
}

/// Waits until `attempt` gives a value and returns that value.
///
/// # Errors
/// When `deadline` has passed; the text names `what` and the last failure of `attempt`.
pub fn until_some<T, E: std::fmt::Display>(
    what: &str,
    deadline: Duration,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let begun = Instant::now();
        let failure = match attempt() {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if start.elapsed() >= deadline {
            bail!("waited {deadline:?} for {what}; last: {failure}");
        }
        pass(begun.elapsed().clamp(PAUSE, LONGEST_PAUSE));
    }
}

/// Lets time pass, for a test that is about time itself.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the polling helper that the lint names"
)]
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}
