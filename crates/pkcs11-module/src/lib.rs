//! liblatchkey_pkcs11.so: the calling user's key as a PKCS#11 2.40 token.
//!
//! One slot, one token, three objects: the certificate, the key, its public half. Everything they
//! are comes from the daemon, which also does the signing; this library holds no key and no PIN.
//! `C_Login` becomes the daemon's `unlock` and brings a ticket for one signature, `C_Sign` spends
//! it: a second signature needs a second `C_Login`.
//!
//! *Invariant:* whose key it is follows from the real user id of the process, judged again by the
//! daemon; no argument and no environment variable can name another.
//!
//! *Invariant:* it signs SHA-256 DigestInfo values and nothing else, so the key is never a raw RSA
//! oracle for whoever holds the PIN for a moment.
//!
//! *Invariant:* a guest in other people's processes: it starts no thread, reads no environment,
//! keeps no connection open between calls (so a fork shares nothing), links what `links.txt` lists
//! and lets no panic out.
//!
//! `ffi` is the C page, [`token`] is the token without C, [`object`] what its objects are made of.

mod daemon;
mod ffi;
mod object;
mod rv;
mod token;

#[cfg(test)]
mod tests;
