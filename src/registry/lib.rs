#![doc = include_str!("README.md")]

mod decision;
mod denial;
mod form;
mod judge;
mod jwt;
mod keys;
#[cfg(test)]
mod keys_tests;
mod reply;
mod scope;
#[cfg(test)]
mod security_tests;
mod telemetry;
mod token;
#[cfg(test)]
mod token_tests;
#[cfg(test)]
mod world;

pub use decision::{Decision, DecisionSink, NoDecisions, Outcome};
pub use denial::{ClientFamily, DenialMode};
pub use jwt::{Access, Algorithm, Claims, SignError, VerifyError};
pub use keys::{KeyError, KeyInfo, KeyOptions, KeySet, Keys};
pub use scope::{Actions, Asked, Repository, RepositoryName, ScopeError};
pub use token::{Freshness, InvalidTtl, TokenParts, TokenServer, Ttl, router};
