#![doc = include_str!("README.md")]

mod credentials;
mod decision;
mod denial;
mod form;
mod judge;
mod jwt;
mod keys;
#[cfg(test)]
mod keys_tests;
mod logins;
mod refresh;
mod reply;
mod scope;
#[cfg(test)]
mod security_tests;
mod telemetry;
mod throttle;
mod token;
#[cfg(test)]
mod token_tests;
#[cfg(test)]
mod world;

pub use credentials::{Login, PasswordAnswer, PasswordCheck, SECRET_PREFIX};
pub use decision::{Decision, DecisionSink, NoDecisions, Outcome};
pub use denial::{ClientFamily, DenialMode};
pub use jwt::{Access, Algorithm, Claims, SignError, VerifyError};
pub use keys::{KeyError, KeyInfo, KeyOptions, KeySet, Keys};
pub use logins::{Logins, SignIn};
pub use refresh::REFRESH_PREFIX;
pub use scope::{Actions, Asked, Repository, RepositoryName, ScopeError};
pub use token::{Freshness, InvalidTtl, TokenParts, TokenServer, Ttl, router};
