//! What administrators decide: which settings there are, which of several sources wins, and what a
//! PIN must be.
//!
//! Pure: texts, bytes and lists in, verdicts out. A verdict is a sentence that may be shown; it never
//! repeats a PIN.

#![forbid(unsafe_code)]

pub mod admx;
pub mod assigned;
mod due;
pub mod gpo;
pub mod merge;
mod pin;
pub mod report;
pub mod settings;

pub use due::{PinDue, days_left};
pub use pin::{Characters, Class as PinClass, PinRefusal, PinRules};

#[cfg(test)]
mod tests;
