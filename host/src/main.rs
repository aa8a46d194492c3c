//! The `fanlight` program.
fn main() {}
