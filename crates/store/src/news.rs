//! What was committed, for those who wait for it: one counter for keys, one for policies, because ten
//! thousand devices wait for the one and a few for the other.

use tokio::sync::watch;

use crate::store::Touches;

/// The counters. Clones count together.
#[derive(Clone)]
pub(crate) struct News {
    keys: watch::Sender<u64>,
    policies: watch::Sender<u64>,
}

impl News {
    pub(crate) fn new() -> Self {
        Self {
            keys: watch::Sender::new(0),
            policies: watch::Sender::new(0),
        }
    }

    /// Wakes whoever waits for what a commit touched.
    pub(crate) fn tell(&self, touches: Touches) {
        if matches!(touches, Touches::Keys | Touches::Policies) {
            self.keys.send_modify(|n| *n += 1);
        }
        if matches!(touches, Touches::Groups | Touches::Policies) {
            self.policies.send_modify(|n| *n += 1);
        }
    }

    pub(crate) fn keys(&self) -> watch::Receiver<u64> {
        self.keys.subscribe()
    }

    pub(crate) fn policies(&self) -> watch::Receiver<u64> {
        self.policies.subscribe()
    }
}
