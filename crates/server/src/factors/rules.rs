//! Who may see and change the factors of an account: whoever has shown one. Pure.
//!
//! A password that was stolen must open nothing here: neither what there is, nor a place to put one
//! more. So the first factor of an account comes from an administrator, or after a Temporary Access
//! Pass of theirs; only a tenant that says so lets the password alone register it.

use model::UnixTime;

/// How long after a second factor, or for the first one after the password, a change is let through.
pub(crate) const FRESH_S: i64 = 10 * 60;

/// How somebody has signed in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// When they signed in.
    pub(crate) auth_time: UnixTime,
    /// When they gave a second factor.
    pub(crate) mfa_time: Option<UnixTime>,
    /// They have a factor that lasts.
    pub(crate) has_factor: bool,
    /// The tenant's switch.
    pub(crate) password_enough: bool,
}

/// What becomes of a wish to change factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Go,
    /// After a second factor that is shown now.
    ConfirmFirst,
    /// Not without an administrator.
    AskAdministrator,
}

impl Standing {
    /// Whether the account's factors may be seen.
    pub(crate) fn may_see(&self) -> bool {
        self.mfa_time.is_some()
    }

    /// Whether one may be added now.
    pub(crate) fn add(&self, now: UnixTime) -> Verdict {
        let is_fresh = |time: UnixTime| now.0 - time.0 < FRESH_S;
        if self.mfa_time.is_some_and(is_fresh) {
            return Verdict::Go;
        }
        if self.has_factor || self.mfa_time.is_some() {
            return Verdict::ConfirmFirst;
        }
        match self.password_enough {
            true if is_fresh(self.auth_time) => Verdict::Go,
            true => Verdict::ConfirmFirst,
            false => Verdict::AskAdministrator,
        }
    }

    /// Whether one may be taken now.
    pub(crate) fn remove(&self, now: UnixTime) -> Verdict {
        match self.mfa_time {
            Some(time) if now.0 - time.0 < FRESH_S => Verdict::Go,
            _ => Verdict::ConfirmFirst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};

    const NOW: UnixTime = UnixTime(1_700_000_000);

    fn standing(auth: i64, mfa: Option<i64>, has_factor: bool, password_enough: bool) -> Standing {
        Standing {
            auth_time: NOW.plus(-auth),
            mfa_time: mfa.map(|age| NOW.plus(-age)),
            has_factor,
            password_enough,
        }
    }

    #[test]
    fn a_password_alone_sees_and_takes_nothing() {
        for has_factor in [false, true] {
            for password_enough in [false, true] {
                let standing = standing(0, None, has_factor, password_enough);
                assert!(!standing.may_see(), "{standing:?}");
                assert_eq!(standing.remove(NOW), ConfirmFirst, "{standing:?}");
            }
        }
    }

    #[test]
    fn adding_needs_what_the_account_has_and_the_tenant_says() {
        for (auth, mfa, has_factor, password_enough, expected) in [
            // The password alone.
            (0, None, true, false, ConfirmFirst),
            (0, None, true, true, ConfirmFirst),
            (0, None, false, false, AskAdministrator),
            (0, None, false, true, Go),
            (FRESH_S, None, false, true, ConfirmFirst),
            // A second factor, an access pass among them.
            (0, Some(0), true, false, Go),
            (0, Some(0), false, false, Go),
            (FRESH_S, Some(FRESH_S - 1), true, false, Go),
            (FRESH_S, Some(FRESH_S), true, true, ConfirmFirst),
            (FRESH_S, Some(FRESH_S), false, true, ConfirmFirst),
            (FRESH_S, Some(FRESH_S), false, false, ConfirmFirst),
        ] {
            let standing = standing(auth, mfa, has_factor, password_enough);
            assert_eq!(standing.add(NOW), expected, "{standing:?}");
        }
    }

    #[test]
    fn taking_needs_a_second_factor_a_moment_ago() {
        assert_eq!(standing(0, Some(FRESH_S - 1), true, false).remove(NOW), Go);
        let stale = standing(0, Some(FRESH_S), true, true);
        assert_eq!(stale.remove(NOW), ConfirmFirst);
    }
}
