#![doc = include_str!("README.md")]

mod ber;
#[cfg(test)]
mod captured_tests;
mod changes;
mod client;
mod config;
mod connection;
mod directory;
mod dirsync;
mod dn;
mod fault;
mod filter;
mod follow;
mod inspect;
mod login;
mod message;
mod model;
#[cfg(test)]
mod model_tests;
mod notebook;
mod polled;
mod read;
mod rfc4533;
mod search;
mod server;
mod sync;
mod tls;
mod world;

pub use config::{Attributes, Base, Config, Mode};
pub use connection::{Bind, Limits, Url};
pub use directory::{Directory, Known, Way};
pub use dn::{Dn, InvalidDn};
pub use fault::Fault;
pub use filter::{Filter, InvalidFilter};
pub use inspect::{Finding, Grade};
pub use login::Whose;
pub use server::{Kind, RootDse};
pub use tls::{Trust, fingerprint, pin};
pub use world::Notes;
