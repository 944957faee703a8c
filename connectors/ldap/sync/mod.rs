//! How a directory's people and groups come to ingest: read as a whole, or followed change by change. Data flows from a
//! feed or a read into the index, and from there into a snapshot or the change sink.

pub mod accounts;
pub mod active_directory;
pub mod error;
pub mod feed;
pub mod follow;
pub mod index;
pub mod method;
pub mod read;
pub mod state;
pub mod subjects;
pub mod syncrepl_feed;
