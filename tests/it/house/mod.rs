//! The repository keeps its own promises: what is where, what may use what, which words are in use.

mod layout;
mod modules;
mod tidy;
mod tree;
