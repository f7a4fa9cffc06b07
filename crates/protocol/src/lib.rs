//! What the parts agree on, without I/O: the statement that a device and its user sign about a key,
//! the joints of the chain, and enrollment as a state machine.

#![forbid(unsafe_code)]

pub mod enroll;
pub mod joint;
pub mod statement;

pub use joint::Joint;
pub use statement::{Operation, Statement};
