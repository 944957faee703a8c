//! What if: commands and facts tried on a copy of the roster before anybody records them.

mod affected;
pub(crate) mod configuration;
pub(crate) mod dry_run;
pub(crate) mod links;
pub(crate) mod preview;
pub(crate) mod sources;
pub(crate) mod standing;
pub(crate) mod trial;
pub(crate) mod users;
