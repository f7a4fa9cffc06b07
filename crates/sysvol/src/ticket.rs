//! A ticket of libkrb5's in the form in which the SMB library takes one.

use smb2::auth::kerberos::ccache::{CCache, parse_ccache};
use zeroize::Zeroizing;

use crate::Error;

/// Reads a ticket for the file server as libkrb5 marshals it: a cache that holds only this one.
pub(crate) fn read(ticket: &[u8]) -> Result<CCache, Error> {
    parse_ccache(&cache_of(ticket))
        .ok()
        .filter(|cache| cache.credentials.len() == 1)
        .ok_or_else(|| Error::Kerberos("its form is not understood".to_owned()))
}

/// A credential cache file of version 4 with one ticket. What libkrb5 marshals is a ticket as such
/// a file holds it; before the first ticket the file names its owner, who is the ticket's client,
/// who comes first in the ticket.
pub(crate) fn cache_of(ticket: &[u8]) -> Zeroizing<Vec<u8>> {
    let owner = ticket.get(..principal_length(ticket)).unwrap_or_default();
    let mut file = Zeroizing::new(Vec::with_capacity(4 + owner.len() + ticket.len()));
    file.extend_from_slice(&[5, 4, 0, 0]);
    file.extend_from_slice(owner);
    file.extend_from_slice(ticket);
    file
}

/// How long the principal at the front is: its type, the number of its components, then its realm
/// and the components, each behind its length.
fn principal_length(bytes: &[u8]) -> usize {
    let word = |at: usize| {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
        word.map_or(0, |word| u32::from_be_bytes(*word) as usize)
    };
    // More than any principal has; a longer one would be cut and not be understood.
    let components = word(4).min(16);
    let mut at = 8;
    for _ in 0..=components {
        at += 4 + word(at);
    }
    at
}
