//! How much of one source may be kept in quarantine. What cannot be read is kept until it is mended and replayed, so whoever
//! has a source's secret could fill the disk with it.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::SourceName;
use tokio::sync::Mutex;

use crate::delivery::{
    inbox::{Inbox, InboxError},
    receive::ReceiveError,
};

/// Deliveries in quarantine and their bytes: what is kept of a source, or may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quarantine {
    /// How many deliveries.
    pub deliveries: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
}

impl Quarantine {
    /// Whether one more of so many bytes may be kept.
    fn has_room(self, bytes: u64, max: Self) -> bool {
        self.deliveries < max.deliveries && self.bytes.saturating_add(bytes) <= max.bytes
    }
}

/// While it is full, what is kept is counted again no sooner than this.
const COUNTED_AGAIN: TimeDelta = TimeDelta::seconds(10);

/// The budget of one source.
#[derive(Default)]
pub(crate) struct QuarantineBudget {
    known: Mutex<Option<Known>>,
}

struct Known {
    kept: Quarantine,
    counted_at: DateTime<Utc>,
    /// How many bytes the last one had for which there was no room; nothing since one fitted.
    refused: Option<u64>,
}

impl QuarantineBudget {
    /// Room for one more delivery that cannot be read whole.
    pub(crate) async fn take(
        &self,
        (inbox, source): (&dyn Inbox, &SourceName),
        max: Quarantine,
        bytes: u64,
        now: DateTime<Utc>,
    ) -> Result<(), ReceiveError> {
        let mut known = self.known.lock().await;
        let stale = |known: &Known| !known.kept.has_room(bytes, max) && now >= known.counted_at + COUNTED_AGAIN;
        if known.as_ref().is_none_or(stale) {
            let kept = inbox.quarantine_of(source).await?;
            *known = Some(Known { kept, counted_at: now, refused: None });
        }
        let Some(known) = known.as_mut() else { return Ok(()) };
        known.refused = (!known.kept.has_room(bytes, max)).then_some(bytes);
        if known.refused.is_some() {
            return Err(ReceiveError::QuarantineFull { kept: known.kept, max });
        }
        known.kept.deliveries += 1;
        known.kept.bytes = known.kept.bytes.saturating_add(bytes);
        Ok(())
    }

    /// What is kept, where the last delivery that could not be read was refused and there is no room still.
    pub(crate) async fn full(
        &self,
        (inbox, source): (&dyn Inbox, &SourceName),
        max: Quarantine,
    ) -> Result<Option<Quarantine>, InboxError> {
        let mut known = self.known.lock().await;
        let Some((bytes, known)) = known.as_mut().and_then(|known| Some((known.refused?, known))) else {
            return Ok(None);
        };
        known.kept = inbox.quarantine_of(source).await?;
        known.refused = (!known.kept.has_room(bytes, max)).then_some(bytes);
        Ok(known.refused.map(|_| known.kept))
    }
}
