//! The policies as they are, read once for everybody who waits.
//!
//! Ten thousand devices wait at once. Whatever is committed that may matter wakes them all, and the
//! first one looks: where the store's stamp has not moved, nobody has anything to look at, and where it
//! has, the policies are read once.

use std::sync::{Arc, Mutex, PoisonError};

use model::Guid;
use store::{Policy, Store};
use tokio::sync::{Mutex as AsyncMutex, watch};

/// The policies of one stamp.
#[derive(Clone)]
pub(crate) struct Policies {
    /// Other than before once something may have changed.
    pub(crate) stamp: u64,
    /// All, by name.
    pub(crate) all: Arc<Vec<Policy>>,
}

/// Where they are kept.
pub(crate) struct Known {
    news: watch::Receiver<u64>,
    kept: Mutex<Option<(u64, Policies)>>,
    reading: AsyncMutex<()>,
}

impl Known {
    pub(crate) fn of(store: &Store) -> Self {
        Self {
            news: store.watch_policies(),
            kept: Mutex::new(None),
            reading: AsyncMutex::new(()),
        }
    }

    /// Those that were read after the last news.
    fn fresh(&self) -> Option<Policies> {
        let news = *self.news.borrow();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, policies) = kept.as_ref()?;
        (*seen == news).then(|| policies.clone())
    }

    /// The policies as of now.
    pub(crate) async fn current(
        &self,
        store: &Store,
        tenant: Guid,
    ) -> Result<Policies, store::Error> {
        if let Some(policies) = self.fresh() {
            return Ok(policies);
        }
        let _reading = self.reading.lock().await;
        if let Some(policies) = self.fresh() {
            return Ok(policies);
        }
        // Before they are read: what is committed meanwhile is news again.
        let news = *self.news.borrow();
        let stamp = store.policy_stamp(tenant).await?;
        let last = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.as_ref().map(|(_, policies)| policies.clone())
        };
        let policies = match last.filter(|last| last.stamp == stamp) {
            Some(last) => last,
            None => Policies {
                stamp,
                all: Arc::new(store.policies(tenant).await?),
            },
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((news, policies.clone()));
        Ok(policies)
    }
}
