//! What stands in a ticket that was opened with a key of this host's own.
//!
//! krb5_verify_init_creds opens such a ticket too, and then has every module for authorisation data see
//! it. SSSD's asks SSSD, and a person who signs in waits for an answer that nobody uses, for minutes
//! where SSSD hangs. So a plain ticket is judged here, and whatever is not plain by the library as before:
//! a no here refuses nobody.
//!
//! *Invariant:* a yes says that a KDC that knows this host's key has made the ticket just now, for this
//! client, and given its session key to whoever asked with the client's ticket.

/// A ticket from the inside.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// Whose key of the keytab has opened it.
    pub(crate) key_of: String,
    /// Is it the client's that was asked for?
    pub(crate) is_of_client: bool,
    /// Is the session key in it the one that the KDC gave with it?
    pub(crate) has_session_key: bool,
    /// TicketFlags (RFC 4120 5.3).
    pub(crate) flags: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) now: i64,
}

impl Opened {
    /// Does it prove what the module doc says, by the key of this host or of the account `account`? A key
    /// of another service in the same keytab proves nothing: others may know it.
    pub(crate) fn is_proof(&self, account: &str) -> bool {
        (self.key_of == account || self.key_of.starts_with("host/"))
            && self.is_of_client
            && self.has_session_key
            && self.flags & INVALID == 0
            && self.start <= self.now.saturating_add(SKEW_S)
            && self.end >= self.now
    }
}

const INVALID: u32 = 1 << 24;

/// How far the KDC's clock may be ahead, as libkrb5 has it.
const SKEW_S: i64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "WS1$@R.TEST";

    #[test]
    fn only_a_good_ticket_of_the_client_by_a_key_of_the_host_is_proof() {
        let good = Opened {
            key_of: ACCOUNT.to_owned(),
            is_of_client: true,
            has_session_key: true,
            flags: 0x40e1_0000,
            start: 1_000_300,
            end: 1_000_000,
            now: 1_000_000,
        };
        assert!(good.is_proof(ACCOUNT));
        let of = |change: fn(&mut Opened)| {
            let mut ticket = good.clone();
            change(&mut ticket);
            ticket.is_proof(ACCOUNT)
        };
        assert!(of(|it| it.key_of = "host/ws1@R.TEST".to_owned()));
        let others: [fn(&mut Opened); 7] = [
            |it| it.key_of = "HTTP/ws1@R.TEST".to_owned(),
            |it| it.key_of = "WS2$@R.TEST".to_owned(),
            |it| it.is_of_client = false,
            |it| it.has_session_key = false,
            |it| it.flags |= INVALID,
            |it| it.start += 1,
            |it| it.end -= 1,
        ];
        for (index, other) in others.into_iter().enumerate() {
            assert!(!of(other), "{index}");
        }
    }
}
