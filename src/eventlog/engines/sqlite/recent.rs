//! The last committed batches in memory, so that readers that are awake need no file.

use std::{collections::VecDeque, sync::Arc};

use rollcall_events::{Digest, Position, Recorded};

use super::record::position_after;
use crate::{PAGE_BYTES, stream::fitting};

/// What is kept in memory for readers that are awake.
const RECENT_BYTES: usize = 8 << 20;

/// The last committed batches.
#[derive(Default)]
pub(crate) struct Recent {
    batches: VecDeque<Batch>,
    bytes: usize,
}

struct Batch {
    records: Arc<[Recorded]>,
    last: Position,
    hash: Digest,
    bytes: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, records: Arc<[Recorded]>, hash: Digest) {
        let Some(last) = records.last().map(|record| record.position) else { return };
        let bytes = records.iter().map(|record| record.event.bytes() + 512).sum();
        self.bytes += bytes;
        self.batches.push_back(Batch { records, last, hash, bytes });
        while self.bytes > RECENT_BYTES {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    /// At most `limit` records right after `at`, if they are here, and the chain's hash after them where it is known.
    pub(crate) fn after(&self, at: Position, limit: usize) -> Option<(Arc<[Recorded]>, Option<Digest>)> {
        let next = position_after(at);
        let batch = self.batches.get(self.batches.partition_point(|batch| batch.last < next))?;
        let from = batch.records.iter().position(|record| record.position == next)?;
        if from == 0 && batch.records.len() <= limit && batch.bytes <= PAGE_BYTES {
            return Some((Arc::clone(&batch.records), Some(batch.hash)));
        }
        let part: Arc<[Recorded]> = fitting(batch.records.iter().skip(from).take(limit).cloned()).into();
        let hash = (part.last().map(|record| record.position) == Some(batch.last)).then_some(batch.hash);
        Some((part, hash))
    }
}
