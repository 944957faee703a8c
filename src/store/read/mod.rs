//! What is derived from the log for lists, history and people with their own SQL. What is written and asked, as rows and
//! traits; how, is an engine's. Takes what the fold says, in batches, under a checkpoint; decides nothing, and everything
//! in it can be thrown away.

mod error;
mod open;
mod origin;
mod rows;
mod sqlite;
mod traits;

pub use error::ReadError;
pub use open::open;
pub use origin::Origin;
pub use rows::{FactRow, Membership, ParkedRow, ProjectRow, SupersededRow};
pub use traits::{Frozen, Lists, Projection, Read, Rebuild};
