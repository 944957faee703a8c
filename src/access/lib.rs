#![doc = include_str!("README.md")]

mod accounts;
mod authority;
mod bindings;
mod change;
mod credentials;
mod decide;
mod explain;
mod facts;
mod fold;
mod groups;
mod index;
mod locals;
mod members;
mod names;
mod people;
mod place;
mod preview;
pub mod profile;
mod projects;
mod reasons;
mod register;
mod retire;
mod roster;
mod secrets;
mod snapshot;
#[cfg(test)]
mod tests;

pub use authority::{Refusal, RefusalKind};
pub use bindings::{API_ROLE, BindingView};
pub use change::{Change, Effect, Folded};
pub use credentials::{Credential, SecretView};
pub use decide::{Principal, Verdict, decide};
pub use explain::{Explanation, NearMiss, explain, had_tie};
pub use groups::GroupView;
pub use locals::{ContainerView, ServiceView};
pub use members::{Member, Membership, members, membership_digest, memberships_of};
pub use names::normal_user_name;
pub use place::{ContainerIx, GroupIx, Place, ProjectIx, RecordedIx, Rights, ServiceIx};
pub use preview::{ActionChange, MembershipChange, Preview, Where, preview};
pub use profile::{ActionSet, Profile, ProfileError, Verb};
pub use projects::ProjectView;
pub use reasons::{Cause, Obstacle, Reason, Standing};
pub use roster::{Counts, Live, ParkedView, PersonView, Roster, UserIx, UserView};
pub use snapshot::{FOLD_VERSION, SnapshotError};
