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

mod directories;
mod house;
mod product;
mod rules;
mod support;
mod trust;
