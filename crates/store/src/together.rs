//! Work of one kind that many want at once, done together: while one lot is under way the next one
//! gathers, so that a busy server pays one way to the database, or one flush, for many requests.
//!
//! Whoever is alone waits for nothing. Where the lot before was of several, a write leaves a moment for
//! more of them: a flush costs more than all that one of them writes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};

use crate::{Error, Result};

/// The most of one lot.
const MOST: usize = 256;

/// What a write leaves. That is the same for two as for fifty: on a machine that is busy with other
/// things a shorter one finds nobody, and each commit is of one or two.
const MOMENT: Duration = Duration::from_millis(32);

/// Whether a lot leaves a moment for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It begins when the one before has ended.
    AtOnce,
    /// It leaves one, where the one before was of several.
    Gathered,
}

/// Where those who want the same wait.
pub(crate) struct Together<Q, A>(Arc<Mutex<Waiting<Q, A>>>);

struct Waiting<Q, A> {
    asked: Vec<(Q, oneshot::Sender<Result<A>>)>,
    is_under_way: bool,
}

impl<Q, A> Clone for Together<Q, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            asked: Vec::new(),
            is_under_way: false,
        })))
    }
}

impl<Q: Send + 'static, A: Send + 'static> Together<Q, A> {
    /// The answer to a question. `answer` answers a lot, each in its place, and is the same for
    /// everybody.
    pub(crate) async fn ask<F, D>(&self, question: Q, pace: Pace, answer: F) -> Result<A>
    where
        F: Fn(Vec<Q>) -> D + Send + 'static,
        D: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        let (sender, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = self.lock();
            waiting.asked.push((question, sender));
            !std::mem::replace(&mut waiting.is_under_way, true)
        };
        if is_first {
            // Whoever asked may go away: the others' answers do not hang on it.
            tokio::spawn(self.clone().answer_all(pace, answer));
        }
        answered.await.map_err(|_| Error::Closed)?
    }

    async fn answer_all<F, D>(self, pace: Pace, answer: F)
    where
        F: Fn(Vec<Q>) -> D + Send + 'static,
        D: Future<Output = Result<Vec<A>>> + Send + 'static,
    {
        while let Some(lot) = self.next() {
            let (questions, senders): (Vec<Q>, Vec<_>) = lot.into_iter().unzip();
            let is_crowded = senders.len() > 1;
            match answer(questions).await {
                Ok(answers) => {
                    for (sender, answer) in senders.into_iter().zip(answers) {
                        // A caller that has gone away needs no answer.
                        let _ = sender.send(Ok(answer));
                    }
                }
                Err(error) => {
                    let error = Arc::new(error);
                    for sender in senders {
                        let _ = sender.send(Err(Error::Shared(Arc::clone(&error))));
                    }
                }
            }
            if pace == Pace::Gathered && is_crowded {
                sleep(MOMENT).await;
            }
        }
    }

    /// What has gathered; where nothing has, the next who asks is the first again.
    fn next(&self) -> Option<Vec<(Q, oneshot::Sender<Result<A>>)>> {
        let mut waiting = self.lock();
        if waiting.asked.is_empty() {
            waiting.is_under_way = false;
            return None;
        }
        let count = waiting.asked.len().min(MOST);
        Some(waiting.asked.drain(..count).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{sync::Semaphore, task::JoinSet};

    use super::*;

    #[tokio::test]
    async fn those_who_ask_while_a_lot_is_under_way_are_the_next_one() {
        let together = Together::<u32, u32>::default();
        let (lots, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = |question: u32| {
            let (together, lots, gate) = (together.clone(), lots.clone(), gate.clone());
            async move {
                let answer = move |lot: Vec<u32>| {
                    let (lots, gate) = (lots.clone(), gate.clone());
                    async move {
                        lots.fetch_add(1, Ordering::Relaxed);
                        let _open = gate.acquire().await;
                        Ok(lot.iter().map(|n| n * 2).collect())
                    }
                };
                let answer = together.ask(question, Pace::AtOnce, answer).await;
                assert_eq!(answer.unwrap(), question * 2);
            }
        };
        let mut asking = JoinSet::new();
        asking.spawn(ask(0));
        while lots.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        for question in 1..40 {
            asking.spawn(ask(question));
        }
        while together.lock().asked.len() < 39 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        asking.join_all().await;
        assert_eq!(lots.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_lot_that_fails_fails_for_each_and_for_nobody_after() {
        let together = Together::<bool, ()>::default();
        let answer = |lot: Vec<bool>| async move {
            match lot.first() {
                Some(true) => Ok(vec![()]),
                _ => Err(Error::Conflict("no")),
            }
        };
        let refused = together.ask(false, Pace::AtOnce, answer).await;
        assert_eq!(
            refused.unwrap_err().to_string(),
            Error::Conflict("no").to_string()
        );
        together.ask(true, Pace::AtOnce, answer).await.unwrap();
    }
}
