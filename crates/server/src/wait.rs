//! Long polls: an answer as soon as there is one, and none when the time is over.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// How long a caller waits, and for which news.
pub(crate) struct Patience {
    news: watch::Receiver<u64>,
    deadline: Instant,
}

impl Patience {
    /// Begins to wait for at most `wait` seconds. Whoever looks after this misses nothing: what
    /// happens while it looks is news.
    pub(crate) fn new(mut news: watch::Receiver<u64>, wait: Option<u32>) -> Self {
        news.mark_unchanged();
        let wait = wait.unwrap_or(0).min(api::MAX_WAIT_S);
        Self {
            news,
            deadline: Instant::now() + Duration::from_secs(wait.into()),
        }
    }

    /// Waits for news. False where the time is over, and looking again is of no use.
    pub(crate) async fn lasts(&mut self) -> bool {
        matches!(
            timeout_at(self.deadline, self.news.changed()).await,
            Ok(Ok(()))
        )
    }
}
