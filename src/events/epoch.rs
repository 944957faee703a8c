//! Who reads a source: one runner at a time, by its epoch (DESIGN 13). What an older runner appends after a newer one
//! has begun counts for nothing, wherever the log is folded. Knows no fact; the rule stands here once.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Body, NewEvent, prefixed_id};

/// What the types of the events about runs begin with.
const RUNS: &str = "rollcall.snapshot.";

/// The id of a run, `run_`, a UUIDv7, `.` and its runner's epoch. It is the correlation of every fact that the runner
/// appends, so each says by itself of which epoch it is.
#[must_use]
pub fn run_id(epoch: Epoch, now: DateTime<Utc>, random: [u8; 10]) -> String {
    format!("{}.{}", prefixed_id("run", now, random), epoch.0)
}

/// A runner's number; every new runner of a source has a higher one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Why an event has no effect: its runner is no longer the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stale epoch: a runner of epoch {} said it after epoch {} had begun", .of.0, .newest.0)]
pub struct StaleEpoch {
    /// The runner's.
    pub of: Epoch,
    /// The newest that the log knew.
    pub newest: Epoch,
}

impl Epoch {
    /// The epoch in a run's id. None for every other correlation, such as that of a delivery.
    #[must_use]
    pub fn of_run(id: &str) -> Option<Self> {
        id.strip_prefix("run_")?.rsplit_once('.')?.1.parse().ok().map(Self)
    }

    /// The next runner's.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The epoch of whoever appended an event; None for what no runner did.
    fn of_event(event: &NewEvent) -> Option<Self> {
        if event.kind.starts_with(RUNS) {
            // What closes the run of an older runner names that run, and is of the newer one.
            Body::parse(&event.kind, &event.data).ok().as_ref().and_then(Body::run).map(|run| Self(run.epoch))
        } else {
            event.correlation.as_deref().and_then(Self::of_run)
        }
    }

    /// Takes in the next event of the source whose newest epoch this is. Only `snapshot.started` begins an epoch.
    ///
    /// # Errors
    /// When the event is of an older epoch: it counts for nothing.
    pub fn admit(&mut self, event: &NewEvent) -> Result<(), StaleEpoch> {
        let Some(of) = Self::of_event(event) else { return Ok(()) };
        if of < *self {
            return Err(StaleEpoch { of, newest: *self });
        }
        if event.kind.starts_with("rollcall.snapshot.started.") {
            *self = of;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKey;

    fn event(kind: &str, correlation: Option<&str>, data: &str) -> NewEvent {
        NewEvent {
            key: EventKey { source: "corp".parse().unwrap(), id: "e".into() },
            kind: format!("rollcall.{kind}.v1").into(),
            subject: "x".into(),
            time: None,
            sequence: None,
            origin: None,
            correlation: correlation.map(Into::into),
            traceparent: None,
            data: data.into(),
        }
    }

    #[test]
    fn a_run_names_its_epoch_and_a_delivery_none() {
        let now = DateTime::UNIX_EPOCH;
        let id = run_id(Epoch(12), now, [7; 10]);
        assert!(id.starts_with("run_0") && id.len() == 39, "{id}");
        assert_eq!(Epoch::of_run(&id), Some(Epoch(12)));
        for other in ["", "run_", "run_0190", "run_0190.", "run_0190.x", "run_0190.-1", "dlv_0190.3", "pln_1.3"] {
            assert_eq!(Epoch::of_run(other), None, "{other}");
        }
    }

    #[test]
    fn what_an_older_runner_says_counts_for_nothing_once_a_newer_one_has_begun() {
        let mut newest = Epoch::default();
        let mut admit = |event: NewEvent| newest.admit(&event).is_ok();
        let fact = |run: Option<&str>| event("person.removed", run, r#"{"person":"ada"}"#);
        let started = |epoch: u64| event("snapshot.started", None, &format!(r#"{{"run":"r","epoch":{epoch}}}"#));
        assert!(admit(started(1)) && admit(fact(Some("run_a.1"))));
        assert!(admit(fact(Some("run_b.2"))), "it begins before it says so");
        assert!(admit(fact(Some("run_a.1"))), "a fact begins no epoch");
        assert!(admit(started(2)) && !admit(fact(Some("run_a.1"))) && admit(fact(Some("run_b.2"))));
        assert!(!admit(started(1)) && admit(fact(Some("run_b.2"))), "an older runner does not come back");
        for said in [fact(None), fact(Some("dlv_1")), fact(Some("run_0190"))] {
            assert!(admit(said), "what no runner says is not asked for an epoch");
        }
        let closing = event("snapshot.aborted", Some("run_a.1"), r#"{"run":"run_a.1","epoch":2}"#);
        assert!(admit(closing), "the newer runner closes what the older one left open");
        let late = event("snapshot.applied", Some("run_a.1"), r#"{"run":"run_a.1","epoch":1,"scope":"s"}"#);
        assert_eq!(newest.admit(&late), Err(StaleEpoch { of: Epoch(1), newest: Epoch(2) }));
    }
}
