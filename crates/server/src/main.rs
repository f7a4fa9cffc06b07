//! latchkey-server: accounts, factors, tokens, devices, keys and the change feed
fn main() {}
