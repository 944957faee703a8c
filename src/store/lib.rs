#![doc = include_str!("README.md")]

mod engine;
pub mod ops;
pub mod read;

#[cfg(test)]
mod suite;

pub use engine::EngineConfig;
