//! How long to wait after a failure: longer each time, never the same for two agents.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// A row of failures.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed once more: how long to wait. `jitter` is random.
    pub fn next(&mut self, jitter: u8) -> Duration {
        let longest = LONGEST.min(FIRST.saturating_mul(1 << self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        // Between half of it and the whole.
        longest / 2 + longest.mul_f64(f64::from(jitter) / 512.0)
    }

    /// It failed once more: how long to wait.
    pub fn pause(&mut self) -> Duration {
        let mut jitter = [0];
        // Without randomness the wait is only less spread.
        let _ = getrandom::fill(&mut jitter);
        self.next(jitter[0])
    }

    /// Waits after a failure.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0), Duration::from_millis(250));
        assert_eq!(backoff.next(0), Duration::from_millis(500));
        for _ in 0..100 {
            assert!(backoff.next(255) <= LONGEST);
        }
        assert_eq!(backoff.next(0), LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(250));
    }
}
