//! The databases that a server keeps, as far as all of them are looked at alike. Reads and writes nothing of them.

use std::sync::Arc;

use rollcall_eventlog::{Log, WriteAhead};
use rollcall_store::{ops::Ops, read::Read};

/// What a server keeps.
#[derive(Clone)]
pub struct Databases {
    /// The log.
    pub log: Log,
    /// Records of what happened.
    pub ops: Arc<dyn Ops>,
    /// What is derived from the log.
    pub read: Arc<dyn Read>,
}

impl Databases {
    /// What each has written ahead of its place, and who keeps it there.
    pub fn write_ahead(&self) -> Vec<WriteAhead> {
        vec![self.log.write_ahead(), self.ops.write_ahead(), self.read.write_ahead()]
    }
}
