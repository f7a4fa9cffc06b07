//! PINs that were replaced, as far as they must not come back.
//!
//! What must hold: of the PIN that opens the key nothing is kept, because a value to try PINs at
//! would go around the TPM's counter. Of one that was replaced a tag is kept, which is made by
//! Argon2id and then by a key of the device's own: who has the file and not this machine's TPM can
//! try nothing, and who has both asks the TPM for each try. That key signs nothing else that begins
//! like this, and the same for the same text (RFC 8017 8.2).

use std::sync::Arc;

use model::Secret;
use serde::{Deserialize, Serialize};

use crate::{Error, daemon::Daemon, identity, stretch::Stretch, text::base64_bytes};

/// The tags of one credential's earlier PINs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    stretch: Stretch,
    /// The newest first, [`MOST`] of them.
    tags: Vec<Tag>,
}

/// What is kept of one PIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tag(#[serde(with = "base64_bytes")] Vec<u8>);

impl History {
    /// Of a credential none of whose PINs was replaced under a policy that wants to know.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            stretch: Stretch::new()?,
            tags: Vec::new(),
        })
    }

    /// Is there anything that a new PIN could be compared with?
    pub(crate) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Is this one of the newest `count`?
    pub(crate) fn has(&self, tag: &Tag, count: usize) -> bool {
        let same =
            |kept: &&Tag| kept.0.len() == tag.0.len() && openssl::memcmp::eq(&kept.0, &tag.0);
        self.tags.iter().take(count).find(same).is_some()
    }

    /// The same with one more, of `count` at most.
    pub(crate) fn with(mut self, tag: Tag, count: usize) -> Self {
        self.tags.retain(|kept| *kept != tag);
        self.tags.insert(0, tag);
        self.tags.truncate(count.min(MOST));
        self
    }
}

impl Daemon {
    /// What is kept of this PIN once it is replaced. Takes a third of a second and a signature.
    pub(super) async fn tag(
        self: &Arc<Self>,
        history: &History,
        pin: Secret<String>,
    ) -> Result<Tag, Error> {
        let device = self.identity.device();
        let device = device.ok_or(Error::Bug("a credential without a device"))?;
        let stretch = history.stretch.clone();
        let slow = tokio::task::spawn_blocking(move || stretch.apply(&pin)).await??;
        let text = [LABEL, slow.expose().as_bytes()].concat();
        let digest = model::sha256(&text);
        let auth = self.identity.auth()?;
        let signature = identity::sign(&self.chip, &device.keys.device, &auth, digest).await?;
        Ok(Tag(model::sha256(&signature).to_vec()))
    }
}

/// What no statement and no token begins with.
const LABEL: &[u8] = b"latchkey: a PIN of before\0";

/// The most that any policy asks for, without the PIN of now.
const MOST: usize = 49;

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u8) -> Tag {
        Tag(vec![number; 32])
    }

    fn history(replaced: &[u8], count: usize) -> History {
        let empty = History::new().unwrap();
        replaced
            .iter()
            .fold(empty, |history, number| history.with(tag(*number), count))
    }

    #[test]
    fn the_newest_are_known_and_no_older_ones() {
        let history = history(&[1, 2, 3, 4], 3);
        for (number, known) in [(4, true), (3, true), (2, true), (1, false), (9, false)] {
            assert_eq!(history.has(&tag(number), 3), known, "{number}");
        }
        // A policy that asks for less has less refused at once.
        assert!(history.has(&tag(3), 2) && !history.has(&tag(2), 2));
        assert!(!history.has(&tag(4), 0));
    }

    #[test]
    fn a_policy_that_asks_for_more_knows_what_there_was_and_for_less_forgets_the_rest() {
        let few = history(&[1, 2], 2);
        assert!(few.has(&tag(1), 40) && few.has(&tag(2), 40));
        let more = few.with(tag(3), 40);
        assert!(more.has(&tag(1), 40));
        let fewer = more.with(tag(4), 1);
        assert_eq!(fewer.tags, [tag(4)]);
        assert!(fewer.with(tag(5), 0).is_empty());
    }

    #[test]
    fn a_pin_that_comes_back_later_is_kept_once_and_nothing_grows_without_bound() {
        assert_eq!(history(&[1, 2, 1], 10).tags, [tag(1), tag(2)]);
        let all: Vec<u8> = (0..200).collect();
        assert_eq!(history(&all, 1000).tags.len(), MOST);
    }
}
