//! latchkey: the command line of administrators and of the person at the machine
fn main() {}
