//! Which factors a client wants of a sign-in: `amr_values` (MS-OAPX 2.2.2), the `claims` parameter
//! (OpenID Connect Core 5.5) and `max_age`.

use model::UnixTime;
use serde::{Deserialize, Serialize};

/// How old the second factor of `ngcmfa` may be, in seconds.
pub(crate) const FRESH_S: i64 = 10 * 60;

/// What must be true of a sign-in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// A second factor.
    pub(crate) mfa: bool,
    /// A second factor a moment ago, as for the registration of a key.
    pub(crate) fresh_mfa: bool,
    /// The oldest sign-in, in seconds.
    pub(crate) max_age: Option<i64>,
}

/// A request that asks for what is not offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotOffered(pub(crate) &'static str);

#[derive(Default, Deserialize)]
struct Claims {
    access_token: Option<AccessToken>,
}

#[derive(Default, Deserialize)]
struct AccessToken {
    amr: Option<Values>,
}

#[derive(Deserialize)]
struct Values {
    #[serde(default)]
    values: Vec<String>,
    value: Option<String>,
}

impl Wanted {
    /// Reads the parameters.
    pub(crate) fn read(
        amr_values: Option<&str>,
        claims: Option<&str>,
        max_age: Option<&str>,
    ) -> Result<Self, NotOffered> {
        let mut wanted = Self::default();
        for method in amr_values.unwrap_or("").split([' ', ',']) {
            wanted.add(method)?;
        }
        if let Some(claims) = claims.filter(|claims| !claims.is_empty()) {
            let claims: Claims = serde_json::from_str(claims)
                .map_err(|_| NotOffered("claims is not what OpenID Connect Core says"))?;
            let amr = claims.access_token.unwrap_or_default().amr;
            for method in amr
                .into_iter()
                .flat_map(|amr| amr.values.into_iter().chain(amr.value))
            {
                wanted.add(&method)?;
            }
        }
        wanted.max_age = max_age
            .filter(|age| !age.is_empty())
            .map(|age| age.parse::<u32>().map(i64::from))
            .transpose()
            .map_err(|_| NotOffered("max_age is not a number of seconds"))?;
        Ok(wanted)
    }

    /// The methods that must be shown, as [`Wanted::of_methods`] reads them.
    pub(crate) fn to_methods(self) -> Vec<String> {
        let methods: &[&str] = match (self.mfa, self.fresh_mfa) {
            (_, true) => &["ngcmfa"],
            (true, false) => &["mfa"],
            (false, false) => &[],
        };
        methods.iter().map(|method| (*method).to_owned()).collect()
    }

    /// What was wanted of a sign-in that goes on elsewhere.
    pub(crate) fn of_methods(methods: &[String]) -> Self {
        Self {
            mfa: !methods.is_empty(),
            fresh_mfa: methods.iter().any(|method| method == "ngcmfa"),
            max_age: None,
        }
    }

    fn add(&mut self, method: &str) -> Result<(), NotOffered> {
        match method {
            "" | "pwd" => {}
            "mfa" => self.mfa = true,
            "ngcmfa" => (self.mfa, self.fresh_mfa) = (true, true),
            _ => return Err(NotOffered("amr_values is not one that is offered")),
        }
        Ok(())
    }

    /// Whether a sign-in at `auth_time` suffices.
    pub(crate) fn is_recent(&self, auth_time: UnixTime, now: UnixTime) -> bool {
        self.max_age.is_none_or(|age| now.0 - auth_time.0 <= age)
    }

    /// Whether a second factor at that time suffices.
    pub(crate) fn is_satisfied(&self, mfa_time: Option<UnixTime>, now: UnixTime) -> bool {
        match mfa_time {
            None => !self.mfa,
            Some(time) => !self.fresh_mfa || now.0 - time.0 <= FRESH_S,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fresh_second_factor_is_asked_for_in_three_ways() {
        for (amr_values, claims) in [
            (Some("ngcmfa"), None),
            (Some("pwd ngcmfa"), None),
            (
                None,
                Some(r#"{"access_token":{"amr":{"values":["ngcmfa","mfa"]}}}"#),
            ),
            (None, Some(r#"{"access_token":{"amr":{"value":"ngcmfa"}}}"#)),
        ] {
            let wanted = Wanted::read(amr_values, claims, None).unwrap();
            assert!(wanted.mfa && wanted.fresh_mfa, "{amr_values:?} {claims:?}");
        }
        let other = r#"{"access_token":{"xms_cc":{"values":["cp1"]}},"id_token":{"auth_time":{"essential":true}}}"#;
        assert_eq!(Wanted::read(None, Some(other), None), Ok(Wanted::default()));
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        assert!(Wanted::read(Some("face"), None, None).is_err());
        assert!(Wanted::read(None, Some("{"), None).is_err());
        assert!(Wanted::read(None, None, Some("-1")).is_err());
    }

    #[test]
    fn a_second_factor_ages() {
        let now = UnixTime(10_000);
        let fresh = Wanted::read(Some("ngcmfa"), None, None).unwrap();
        assert!(fresh.is_satisfied(Some(UnixTime(9_400)), now));
        assert!(!fresh.is_satisfied(Some(UnixTime(9_399)), now));
        assert!(!fresh.is_satisfied(None, now));
        let any = Wanted::read(Some("mfa"), None, None).unwrap();
        assert!(any.is_satisfied(Some(UnixTime(0)), now));
        assert!(!any.is_satisfied(None, now));
        let aged = Wanted::read(None, None, Some("60")).unwrap();
        assert!(aged.is_recent(UnixTime(9_940), now));
        assert!(!aged.is_recent(UnixTime(9_939), now));
    }
}
