//! Whether all writable domain controllers show what was written, or removed, at one of them.
//!
//! Until they do, the server names the one that has a key, so that a sign-in asks that one first; and
//! a key that was removed where it had not come is looked for.

use api::agent::{ChangeResult, ResultState};
use directory::Directory;
use model::Guid;

use super::{
    Keys, PAGE,
    ends::report,
    reconcile::{by_guid, has},
};
use crate::written::Key;

impl Keys {
    /// Looks for keys at every writable domain controller, and tells the server of those that all have.
    /// Only in a cycle: one that is silent is waited for. May end in the middle.
    pub(super) async fn look_everywhere(&mut self) -> anyhow::Result<()> {
        let spreading = self.written.spreading();
        if spreading.is_empty() {
            return Ok(());
        }
        let directory = self.door.open().await?;
        let mut others = Vec::new();
        for controller in directory.domain_controllers().await? {
            if controller.host.eq_ignore_ascii_case(directory.dc()) {
                continue;
            }
            match self.door.to(&controller.host).await {
                Ok(other) => others.push(other),
                Err(error) => {
                    not_now(&error);
                    return Ok(());
                }
            }
        }
        for keys in spreading.chunks(PAGE) {
            let mut places = vec![0; keys.len()];
            for directory in others.iter().chain([&*directory]) {
                match there(directory, keys).await {
                    Ok(there) => count(&mut places, &there),
                    Err(error) => {
                        not_now(&error);
                        return Ok(());
                    }
                }
            }
            self.tell_spread(keys, &places, others.len() + 1).await?;
        }
        Ok(())
    }

    /// Notes and tells which keys are at all of the domain controllers, and which removed ones at none.
    async fn tell_spread(
        &mut self,
        keys: &[(Guid, Key)],
        places: &[usize],
        all: usize,
    ) -> anyhow::Result<()> {
        let rest = |key: &Key| if key.is_gone() { 0 } else { all };
        let at_rest = keys.iter().zip(places);
        let at_rest = at_rest.filter(|((_, key), places)| **places == rest(key));
        let spread: Vec<(Guid, &Key)> = at_rest.map(|((user, key), _)| (*user, key)).collect();
        let result = |(_, key): &(Guid, &Key)| ChangeResult::new(key.seq, ResultState::Everywhere);
        report(&self.agent, spread.iter().map(result).collect()).await?;
        for (user, key) in spread {
            match key.is_gone() {
                true => self.written.forget(user, &key.id, key.device),
                false => self.written.spread(user, key),
            }
        }
        self.folder_keeps_up()
    }
}

/// Of which keys a domain controller shows a value.
async fn there(directory: &Directory, keys: &[(Guid, Key)]) -> Result<Vec<bool>, directory::Error> {
    let users: Vec<Guid> = keys.iter().map(|(user, _)| *user).collect();
    let holders = by_guid(directory.keys_of(&users).await?);
    let there = |(user, key): &(Guid, Key)| has(holders.get(user), key);
    Ok(keys.iter().map(there).collect())
}

fn count(places: &mut [usize], there: &[bool]) {
    for (places, there) in places.iter_mut().zip(there) {
        *places += usize::from(*there);
    }
}

/// While one of them is silent, nothing can be said of all.
fn not_now(error: &directory::Error) {
    tracing::info!(code = "not_everywhere", %error, "a domain controller does not say what it has");
}
