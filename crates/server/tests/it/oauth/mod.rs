//! Tokens as other people's clients ask for them.

mod authorize;
pub(crate) mod browser;
mod clients;
mod code;
mod device_code;
pub(crate) mod people;
mod prt;
mod refresh;
mod rotation;
