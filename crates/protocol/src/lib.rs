//! What the parts agree on, without I/O: the statement that a device and its user sign about a key,
//! the joints of the chain, and enrollment and its second factor as state machines.

#![forbid(unsafe_code)]

pub mod enroll;
pub mod factor;
pub mod joint;
pub mod statement;

pub use joint::Joint;
pub use statement::{Operation, Statement};
