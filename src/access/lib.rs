#![doc = include_str!("README.md")]

mod accounts;
mod change;
mod commands;
mod decide;
mod explain;
mod facts;
mod fold;
mod index;
mod members;
mod names;
mod people;
pub mod profile;
mod projects;
mod reasons;
mod register;
mod retire;
mod roster;
mod snapshot;
#[cfg(test)]
mod tests;

pub use change::{Change, Effect, Folded};
pub use commands::BindingView;
pub use decide::{Principal, Verdict, decide};
pub use explain::{Explanation, NearMiss, explain, had_tie};
pub use members::{Member, Membership, members, membership_digest, memberships_of};
pub use names::normal_user_name;
pub use profile::{ActionSet, Profile, ProfileError, Verb};
pub use reasons::{Cause, Obstacle, Reason, Standing};
pub use roster::{
    Counts, Credential, Live, ParkedView, PersonView, ProjectIx, ProjectView, Roster, SecretView, UserIx, UserView,
};
pub use snapshot::{FOLD_VERSION, SnapshotError};
