//! the project's own tasks: demo, test, bench, lab
fn main() {}
