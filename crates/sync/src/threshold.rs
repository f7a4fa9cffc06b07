//! How many deletions at once are more than anybody can have meant.
//!
//! Whoever is about to delete counts first, and asks here before the first deletion.

use serde::{Deserialize, Serialize};

/// The file's name.
pub const FILE: &str = "threshold.json";

/// More deletions than this stop before the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Threshold {
    /// So many objects; none: any number.
    pub objects: Option<u32>,
    /// So many of a hundred; none: any share.
    pub percent: Option<u8>,
    /// An administrator has confirmed the next run, whatever it deletes.
    pub confirmed: bool,
}

impl Default for Threshold {
    fn default() -> Self {
        Self {
            objects: Some(500),
            percent: None,
            confirmed: false,
        }
    }
}

impl Threshold {
    /// Whether so many deletions out of `total` are too many.
    pub fn stops(&self, deletions: usize, total: usize) -> bool {
        let objects = self.objects.is_some_and(|most| deletions > most as usize);
        let percent = self
            .percent
            .is_some_and(|most| deletions * 100 > total * usize::from(most));
        !self.confirmed && (objects || percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_the_threshold_stops_unless_it_was_confirmed() {
        let threshold = Threshold::default();
        assert!(!threshold.stops(500, 500));
        assert!(threshold.stops(501, 100_000));
        let confirmed = Threshold {
            confirmed: true,
            ..threshold
        };
        assert!(!confirmed.stops(501, 100_000));
    }

    #[test]
    fn a_share_counts_beside_the_number() {
        let threshold = Threshold {
            objects: None,
            percent: Some(10),
            confirmed: false,
        };
        assert!(!threshold.stops(10, 100));
        assert!(threshold.stops(11, 100));
    }
}
