//! The embedded engine of the ops store, `ops.db`: one connection writes, some read.

mod answers;
mod backup;
mod columns;
mod decisions;
mod deliveries;
mod people;
mod refused;
mod sources;
mod sources_sql;
mod sql;
mod store;
mod writer;
mod writes;

#[cfg(test)]
mod decisions_tests;
#[cfg(test)]
mod notification_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod ops_tests;
#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod sources_tests;

pub(super) use backup::backup;
pub(super) use store::SqliteOps;
