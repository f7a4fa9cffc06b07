//! A whole company on one machine: the lab of real parts, and the story played in it.
//!
//! [`lab::Lab`] is a domain controller, a server and workstations, each a host of its own in
//! namespaces, running the programs as they are installed. [`company::Company`] sets the product up
//! in it by its documented commands; [`story`] is what a person would do there, step by step.
//!
//! **Invariant:** nothing of the machine changes: no link, mount, host name or file outside
//! [`lab::CACHE`], [`lab::LABS`] and the cache of [`foreign`]. **Invariant:** nothing here links a
//! library of the system, because this crate runs before the packages that the others need are
//! installed.

pub mod bench;
pub mod company;
pub mod crowd;
pub mod foreign;
pub mod lab;
pub mod packages;
pub mod story;
pub mod wait;
