//! A changed migration must be compiled in anew.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
