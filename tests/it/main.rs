//! The one integration target: the whole product, as a process where a process is meant, met by real clients.
//! Nothing here sleeps for a fixed time and hopes; everything waits for an answer, and what cannot run says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code: fixtures are not `#[test]` functions, so the settings in clippy.toml do not reach them"
)]

mod access_models;
mod active_directory;
mod active_directory_served;
mod advisories;
mod bad_input;
mod clients;
mod crash;
mod directory;
mod directory_faults;
mod directory_groups;
mod directory_histories;
mod directory_malformed;
mod directory_plans;
mod directory_resumed;
mod directory_served;
mod expect;
mod files;
mod lifecycle;
mod model_worlds;
mod oracle;
mod properties;
mod pull;
mod readme;
mod scenarios;
mod support;
mod tidy;
mod what_if;
