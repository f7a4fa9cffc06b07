//! The login helper.
fn main() {}
