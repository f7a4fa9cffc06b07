//! How many requests one party may send: so many at once, and so many a second for ever.
//!
//! A party is an address, and whoever bears one and the same token. What is counted is in this
//! process and is bounded: a party that has all its requests left is not kept.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header::AUTHORIZATION, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use model::sha256;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{error::Refusal, source};

/// Parties that are kept at once.
const PARTIES: usize = 100_000;

/// The limits, as the configuration has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second of one address; 0 is no limit. A company may stand behind one.
    pub per_address: u32,
    /// Requests a second of one token's bearer; 0 is no limit.
    pub per_client: u32,
    /// So many seconds' worth may come at once.
    pub burst_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_address: 500,
            per_client: 100,
            burst_s: 10,
        }
    }
}

impl Limits {
    /// Whether nobody has said anything else.
    pub(crate) fn are_default(&self) -> bool {
        *self == Self::default()
    }

    /// For a socket that only root reaches.
    pub(crate) const NONE: Self = Self {
        per_address: 0,
        per_client: 0,
        burst_s: 0,
    };
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Party {
    Address(IpAddr),
    Bearer([u8; 16]),
}

/// What a party has used of its burst, and when that was so.
struct Used {
    requests: f64,
    at: Instant,
}

/// The counts.
pub(crate) struct Counter {
    limits: Limits,
    used: Mutex<HashMap<Party, Used>>,
}

impl Counter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            used: Mutex::default(),
        }
    }

    /// Counts a request of a party; the seconds after which the next one is taken, where it has none
    /// left.
    fn count(&self, party: Party, now: Instant) -> Result<(), u64> {
        let rate = match party {
            Party::Address(_) => self.limits.per_address,
            Party::Bearer(_) => self.limits.per_client,
        };
        if rate == 0 {
            return Ok(());
        }
        let (rate, burst) = (
            f64::from(rate),
            f64::from(rate * self.limits.burst_s.max(1)),
        );
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= PARTIES && !all.contains_key(&party) {
            let left = |used: &Used| used.requests - used.at.elapsed_until(now) * rate;
            all.retain(|_, used| left(used) > 0.0);
            if all.len() >= PARTIES {
                // Whoever fills the table is many: nobody is told apart any more.
                return Ok(());
            }
        }
        let used = all.entry(party).or_insert(Used {
            requests: 0.0,
            at: now,
        });
        let before = (used.requests - used.at.elapsed_until(now) * rate).max(0.0);
        used.at = now;
        if before + 1.0 > burst {
            used.requests = before;
            return Err(((before + 1.0 - burst) / rate).ceil().max(1.0) as u64);
        }
        used.requests = before + 1.0;
        Ok(())
    }
}

/// Seconds between two instants, none where the second is the earlier.
trait ElapsedUntil {
    fn elapsed_until(&self, later: Instant) -> f64;
}

impl ElapsedUntil for Instant {
    fn elapsed_until(&self, later: Instant) -> f64 {
        later.saturating_duration_since(*self).as_secs_f64()
    }
}

fn bearer(request: &Request) -> Option<Party> {
    let token = request.headers().get(AUTHORIZATION)?;
    let digest = sha256(token.as_bytes());
    digest.first_chunk().copied().map(Party::Bearer)
}

impl Counter {
    /// Counts a request; the refusal of one that is one too many.
    pub(crate) fn refusal(&self, request: &Request) -> Option<Response> {
        // Whoever comes through a proxy on this machine has its address: then the proxy counts.
        let address = source::address().filter(|address| !address.is_loopback());
        let address = address.map(source::network).map(Party::Address);
        let now = Instant::now();
        let bearer = match self.limits.per_client {
            0 => None,
            _ => bearer(request),
        };
        let parties = [address, bearer].into_iter().flatten();
        let mut counted = parties.map(|party| self.count(party, now));
        counted.find_map(Result::err).map(too_many)
    }
}

fn too_many(seconds: u64) -> Response {
    let sentence = "too many requests: wait a little before the next one";
    let refusal = Refusal::own(StatusCode::TOO_MANY_REQUESTS, "busy", sentence)
        .retry_after(i64::try_from(seconds).unwrap_or(i64::MAX));
    let mut response = refusal.into_response();
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        per_address: 10,
        per_client: 0,
        burst_s: 2,
    };

    fn party(last: u8) -> Party {
        Party::Address(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_party_has_its_burst_and_then_its_rate() {
        let counter = Counter::new(LIMITS);
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(counter.count(party(1), begun), Ok(()));
        }
        assert_eq!(counter.count(party(1), begun), Err(1));
        assert_eq!(counter.count(party(2), begun), Ok(()));
        let later = begun + Duration::from_millis(250);
        assert_eq!(counter.count(party(1), later), Ok(()));
        assert_eq!(counter.count(party(1), later), Ok(()));
        assert_eq!(counter.count(party(1), later), Err(1));
    }

    #[test]
    fn a_limit_of_nothing_is_none() {
        let counter = Counter::new(LIMITS);
        let now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(counter.count(Party::Bearer([1; 16]), now), Ok(()));
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgets_whoever_has_all_left() {
        let counter = Counter::new(LIMITS);
        let begun = Instant::now();
        for n in 0..PARTIES as u32 {
            let party = Party::Address(IpAddr::from(n.to_be_bytes()));
            assert_eq!(counter.count(party, begun), Ok(()));
        }
        assert_eq!(counter.count(party(1), begun), Ok(()));
        assert_eq!(counter.used.lock().unwrap().len(), PARTIES);
        let later = begun + Duration::from_secs(1);
        assert_eq!(counter.count(party(1), later), Ok(()));
        assert_eq!(counter.used.lock().unwrap().len(), 1);
    }
}
