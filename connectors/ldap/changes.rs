//! How the changes of a directory are heard, whatever its kind: one implementation of `Changes` for each way. What a change
//! means for people and groups is the follower's; nothing here knows the log.

use std::time::Duration;

use async_trait::async_trait;
use rollcall_events::Id;

use crate::{directory::Ended, message::Entry, notebook::Notebook};

/// The bases are numbered, those of people first: an entry is heard of in the part of its base. One that leaves a part
/// while another still has it has only moved.
pub type Part = usize;

/// One thing that a directory said.
#[derive(Debug)]
pub enum Said {
    /// An entry as it is now, whole: every attribute that `Schema` asks for, every range of values.
    Entry(Part, Entry),
    /// This id is no longer in this part. Ids of entries that were never ours do no harm.
    Gone(Part, Id),
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// Nothing, for as long as was waited.
    Nothing,
    /// These changes, in their order.
    Changes(Vec<Said>),
    /// The server does not go on from where we were, for this reason: everything must be read.
    FullReadReason(String),
}

/// A way to hear of changes. `known` is what was heard before.
#[async_trait]
pub trait Changes: Send {
    /// Which way it is: a cursor of another is not good for it.
    fn way(&self) -> &'static str;

    /// Begins. With a cursor: what changed since. Without one: every entry that there is; all of them, or an error.
    async fn begin(&mut self, cursor: Option<&[u8]>, known: &Notebook) -> Result<Heard, Ended>;

    /// What changed after that. Waits about so long for the first change.
    async fn next(&mut self, wait: Duration, known: &Notebook) -> Result<Heard, Ended>;

    /// Where `begin` goes on after everything that was heard so far.
    fn cursor(&self) -> Vec<u8>;
}
