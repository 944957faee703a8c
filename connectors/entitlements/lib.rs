#![doc = include_str!("README.md")]

mod authentication;
mod cloudevents;
mod content;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod format_tests;
mod mapping;
mod marks;
mod posted;
mod pull;
mod rotation;
#[cfg(test)]
mod signature_tests;
mod signatures;
mod tokens;

pub use authentication::Authentication;
pub use mapping::{Mapping, MappingMistake, MappingText, Paging, PagingText, RuleText, SHIPPED, ShippedMapping};
pub use marks::SecretMark;
pub use posted::{Format, Posted};
pub use pull::{Listing, Listings};
pub use signatures::{KeygenKeyError, KeygenKeys, SecretError, Secrets, StripeSecretError, StripeSecrets};
pub use tokens::{TokenError, Tokens};
