//! How the changes of a directory are heard, whatever its kind: one `ChangeFeed` for each method. What a change means for
//! people and groups is the follower's; nothing here knows the log.

use std::time::Duration;

use async_trait::async_trait;
use rollcall_events::Id;

use crate::{
    config::Part,
    sync::{error::SyncError, state::SyncState},
    wire::message::Entry,
};

/// One change that a directory announced.
#[derive(Debug)]
pub enum EntryChange {
    /// An entry as it is now, whole: every attribute that `Schema` asks for, every range of values.
    Present(Part, Entry),
    /// This id is no longer in this part. Ids of entries that were never ours do no harm.
    Gone(Part, Id),
}

/// What a feed has.
#[derive(Debug)]
pub enum FeedAnswer {
    /// Nothing, for as long as was waited.
    Idle,
    /// These changes, in their order.
    Changes(Vec<EntryChange>),
    /// The server does not go on from where we were, for this reason: everything must be read.
    FullRead(String),
}

/// A method by which changes are heard. `known` is what was heard before.
#[async_trait]
pub trait ChangeFeed: Send {
    /// The name of the method: a cursor of another one is not good for it.
    fn method_name(&self) -> &'static str;

    /// Begins. With a cursor: what changed since. Without one: every entry that there is; all of them, or an error.
    async fn begin(&mut self, cursor: Option<&[u8]>, known: &SyncState) -> Result<FeedAnswer, SyncError>;

    /// What changed after that. Waits about so long for the first change.
    async fn next(&mut self, wait: Duration, known: &SyncState) -> Result<FeedAnswer, SyncError>;

    /// Where `begin` goes on after everything that was heard so far.
    fn cursor(&self) -> Vec<u8>;
}
