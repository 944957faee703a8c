//! What a server is, and what its entries mean. Pure, but for reading the root entry.

pub mod account;
pub mod definitions;
pub mod model;
#[cfg(test)]
mod model_tests;
pub mod server;
