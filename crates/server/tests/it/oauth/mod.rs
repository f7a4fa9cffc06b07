//! Tokens as other people's clients ask for them.

mod authorize;
mod browser;
mod clients;
mod code;
mod device_code;
mod people;
mod prt;
mod refresh;
mod rotation;
