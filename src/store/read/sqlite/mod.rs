//! The embedded engine of the read side, `read.db`: facts with their history, who is whose user, effects, and the view
//! `membership`.

mod batch;
mod file;
mod queries;
mod statements;
mod store;

#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod swap_tests;

pub(super) use store::SqliteRead;
