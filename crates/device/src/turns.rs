//! Turns: of what takes the TPM's or another machine's time, every user has one at a time.
//!
//! The TPM serves whoever asks first, one after the other. So a user with many connections would
//! otherwise stand in front of everybody else's sign-in with each of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// Whose time something takes. Each has turns of its own: a domain controller that is slow does not
/// keep its user from signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Time {
    /// The TPM's.
    Chip,
    /// The domain's or the server's.
    Network,
    /// That of whose PIN is tried: one try at a time, whoever tries it.
    Tries,
}

/// Who has a turn and who waits for one.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<(u32, Time), Queue>>);

type Queue = Arc<tokio::sync::Mutex<()>>;

/// A turn, until it is dropped; root needs none.
pub(crate) type Turn = Option<OwnedMutexGuard<()>>;

impl Turns {
    /// Waits for the user's turn.
    pub(crate) async fn take(&self, uid: u32, time: Time) -> Turn {
        if uid == 0 {
            return None;
        }
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody has and nobody waits for is forgotten.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry((uid, time)).or_default())
        };
        Some(turn.lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    async fn is_taken_at_once(turn: impl Future<Output = Turn>) -> bool {
        let mut turn = pin!(turn);
        std::future::poll_fn(|context| Poll::Ready(turn.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn a_user_waits_for_itself_and_nobody_else_waits() {
        let turns = Turns::default();
        let held = turns.take(1000, Time::Chip).await;
        let _root = turns.take(0, Time::Chip).await;
        assert!(!is_taken_at_once(turns.take(1000, Time::Chip)).await);
        for (uid, time) in [(1001, Time::Chip), (1000, Time::Network), (0, Time::Chip)] {
            assert!(is_taken_at_once(turns.take(uid, time)).await);
        }
        drop(held);
        assert!(is_taken_at_once(turns.take(1000, Time::Chip)).await);
    }
}
