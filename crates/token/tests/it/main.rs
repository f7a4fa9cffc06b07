//! What is signed and sealed, what is refused, and the vectors of the RFCs.

#![cfg(test)]

mod jwe;
mod jwk;
mod jws;
mod keys;
