//! Routes about who may do what: who there is, what there is, which roles were given, and why.

pub(crate) mod authzen;
pub(crate) mod bindings;
pub(crate) mod decisions;
pub(crate) mod explain;
pub(crate) mod folders;
pub(crate) mod groups;
pub(crate) mod identity;
pub(crate) mod nearest;
pub(crate) mod people;
pub(crate) mod previews;
pub(crate) mod projects;
pub(crate) mod reports;
pub(crate) mod secrets;
pub(crate) mod services;
pub(crate) mod sign_ins;
pub(crate) mod users;
