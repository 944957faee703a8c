#![doc = include_str!("README.md")]

mod admin_key;
mod authenticator;
#[cfg(test)]
mod authenticator_tests;
#[cfg(test)]
mod causes_tests;
mod credentials;
mod error;
mod passwords;
mod refresh;
mod refusal;
#[cfg(test)]
mod test_kit;
mod throttle;
mod true_client;

pub use admin_key::AdminKey;
pub use authenticator::{Authenticator, AuthenticatorParts, Identity, Realm, SecretUsed, SignIn};
pub use credentials::{Credentials, MalformedCredentials};
pub use error::{NoRandomness, SignInError};
pub use passwords::check::{Account, AccountFound, FoundAccount, PasswordAnswer, PasswordCheck, PasswordRefusal};
pub use refresh::RefreshKey;
pub use refusal::{NoRefusals, RefusalCause, RefusalSink, RefusedSignIn};
pub use true_client::{ClientHeader, InvalidProxy, Proxies, host_of, network_of, parse_network, true_client};
