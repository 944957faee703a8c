//! The token server through its router, and the question that it asks, over a roster filled by events.

mod authorize;
pub(crate) mod kit;
mod security;
mod token;
