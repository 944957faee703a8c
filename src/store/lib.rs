#![doc = include_str!("README.md")]

pub mod ops;
pub mod read;
