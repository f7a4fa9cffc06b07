//! The Debian packages: what is in them ([`contents`]), and how they are made.
//!
//! A package is a tree that is laid out from one table, what the built programs say of themselves
//! (manual pages, completions), and what Cargo knows of where they come from (licences, a bill of
//! materials). `dpkg-deb` packs it. What the package needs is read out of its programs by
//! `dpkg-shlibdeps`, so that no list of libraries can be forgotten.
//!
//! **Invariant:** the same programs make the same packages, byte by byte: no clock, no user and no
//! path of the machine is in them. **Invariant:** nothing in a package is a file of `/etc/pam.d`,
//! of `/etc/krb5.conf` or of `/etc/krb5.conf.d`: those are other packages' and the administrator's.

pub mod bill;
mod build;
pub mod contents;
mod control;
mod manual;

pub use build::{Profile, Request, build, target_folder, workspace};
pub use contents::Package;
