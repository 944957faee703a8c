#![doc = include_str!("README.md")]

#[cfg(test)]
mod captured_tests;
mod client;
mod config;
mod directory;
mod inspect;
mod password;
mod password_answer;
mod schema;
mod sync;
mod wire;

pub use config::{Attributes, Base, Config, Mode};
pub use directory::{Directory, DirectoryStatus};
pub use inspect::{Finding, Grade};
pub use password::{AccountFound, Wanted};
pub use password_answer::{PasswordAnswer, PasswordRefusal};
pub use schema::{
    account::usual_attributes,
    server::{Kind, RootDse},
};
pub use sync::{index::ReadReport, method::SyncMethod};
pub use wire::{
    connection::{Bind, Limits, Url},
    dn::{Dn, InvalidDn},
    fault::Fault,
    filter::{Filter, InvalidFilter},
    tls::{Trust, fingerprint, pin},
};
