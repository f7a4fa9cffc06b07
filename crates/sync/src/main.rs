//! latchkey-sync: users up, keys down, passwords checked, beside the domain controllers
fn main() {}
