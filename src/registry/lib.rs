#![doc = include_str!("README.md")]

mod authorize;
mod client;
mod decision;
mod keys;
#[cfg(test)]
mod suite;
mod token;

pub use authorize::{Authorization, ContentDigest, Reference, RepositoryName, Resource, Tag, authorize};
pub use client::ClientFamily;
pub use decision::{Decision, DecisionSink, NoDecisions, Outcome, Tie};
pub use keys::{
    AuthorityInfo, AuthorityRole, KeyError, KeyInfo, KeyOptions, KeySet, Keys,
    jwt::{Access, Algorithm, Claims, SignError, VerifyError},
};
pub use token::{DenialMode, InvalidTtl, TokenParts, TokenServer, Ttl, router};
