//! Has cargo build the program again when a template gets a file or loses one: what
//! embeds them sees only changes within files.

fn main() {
    println!("cargo::rerun-if-changed=templates");
}
