//! When a right PIN has to be replaced: it is too old, or it breaks rules that are newer than it is.
//!
//! It is judged while the PIN is in hand, so that nothing about it has to be kept for that.

use crate::pin::{PinRefusal, PinRules};

const DAY_S: i64 = 86_400;

/// Why a right PIN opens nothing more before it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinDue {
    /// It is as old as a PIN may get.
    Age {
        /// How old that is.
        days: u32,
    },
    /// It would not be taken today.
    Rules(PinRefusal),
}

impl PinDue {
    /// Judges `pin`, which was set `age_s` seconds ago, by what holds now.
    pub fn judge(
        rules: &PinRules,
        expiration_days: Option<u32>,
        pin: &str,
        age_s: i64,
    ) -> Option<Self> {
        if let Err(refusal) = rules.check(pin) {
            return Some(Self::Rules(refusal));
        }
        let days = expiration_days?;
        (days_left(days, age_s) == 0).then_some(Self::Age { days })
    }
}

impl std::fmt::Display for PinDue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Age { days: 1 } => f.write_str("Your PIN is a day old and has to be changed."),
            Self::Age { days } => {
                write!(
                    f,
                    "Your PIN is {days} days old or older and has to be changed."
                )
            }
            Self::Rules(refusal) => write!(
                f,
                "Your PIN does not keep your organization's present rules and has to be changed. \
                 {refusal}"
            ),
        }
    }
}

/// The days until a PIN has to be changed, begun ones counted whole; none once it has to be. One of
/// the future, from before a clock was set right, is as good as new.
pub fn days_left(expiration_days: u32, age_s: i64) -> u32 {
    let left = (i64::from(expiration_days) * DAY_S - age_s.max(0)).max(0);
    u32::try_from((left + DAY_S - 1) / DAY_S).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_left_are_begun_days_and_none_from_the_moment_on() {
        for (days, age, left) in [
            (30, 0, 30),
            (30, 1, 30),
            (30, DAY_S, 29),
            (30, 29 * DAY_S + 1, 1),
            (30, 30 * DAY_S - 1, 1),
            (30, 30 * DAY_S, 0),
            (30, 400 * DAY_S, 0),
            (1, -5 * DAY_S, 1),
            (730, i64::MIN, 730),
        ] {
            assert_eq!(days_left(days, age), left, "{days} days, {age} s");
        }
    }

    #[test]
    fn a_pin_is_due_when_it_is_too_old_or_breaks_the_rules_of_now() {
        let rules = PinRules {
            min_length: 8,
            ..PinRules::default()
        };
        let too_short = PinDue::Rules(PinRefusal::TooShort { min: 8 });
        for (pin, days, age, due) in [
            ("48151623", None, 4000 * DAY_S, None),
            ("48151623", Some(10), 9 * DAY_S, None),
            (
                "48151623",
                Some(10),
                10 * DAY_S,
                Some(PinDue::Age { days: 10 }),
            ),
            ("481516", None, 0, Some(too_short)),
            ("481516", Some(10), 10 * DAY_S, Some(too_short)),
        ] {
            assert_eq!(PinDue::judge(&rules, days, pin, age), due, "{pin}");
        }
    }

    #[test]
    fn the_reason_never_repeats_the_pin() {
        let due = PinDue::Rules(PinRefusal::TooShort { min: 8 });
        assert!(due.to_string().ends_with("at least 8 characters."), "{due}");
    }
}
