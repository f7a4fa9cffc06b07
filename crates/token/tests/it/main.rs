//! What is signed and sealed, what is refused, and the vectors of the RFCs.

#![cfg(test)]

mod hello;
mod jwe;
mod jwk;
mod jwks;
mod jws;
mod keys;
mod session;
