#![doc = include_str!("README.md")]

mod address;
mod client;
mod resolver;
#[cfg(test)]
mod tests;

pub use client::{Answer, Client, Credentials, Fault, InvalidTarget, Limits, Target, Validators, shown};
pub use reqwest::Url;
