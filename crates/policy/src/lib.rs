//! What a PIN must be.
//!
//! Pure: rules in, verdict out. A verdict is a sentence that may be shown; it never repeats the PIN.

#![forbid(unsafe_code)]

mod pin;

pub use pin::{PinRefusal, PinRules};

#[cfg(test)]
mod tests;
