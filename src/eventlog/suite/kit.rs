//! What the tests of this crate share: a clock, a directory, events and how to read them all.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Duration, Utc};
use futures_util::StreamExt;
use rollcall_events::{Clock, EventKey, LogId, NewEvent, Position, Recorded};

use crate::Tail;

/// A clock that a test sets, and for how long the machine has run.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<DateTime<Utc>>, Mutex<Option<std::time::Duration>>);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(DateTime::from_timestamp(1_767_225_600, 123_456_789).unwrap()), Mutex::default()))
    }
    pub(crate) fn step(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
    /// The machine has run for so many seconds.
    pub(crate) fn run_for(&self, seconds: u64) {
        *self.1.lock().unwrap() = Some(std::time::Duration::from_secs(seconds));
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
    fn uptime(&self) -> Option<std::time::Duration> {
        *self.1.lock().unwrap()
    }
}

pub(crate) fn event(id: &str, data: &str) -> NewEvent {
    NewEvent {
        key: EventKey { source: "flexnet".parse().unwrap(), id: id.into() },
        kind: "rollcall.product.upserted.v1".into(),
        subject: format!("product/{id}").into(),
        time: None,
        sequence: None,
        origin: None,
        correlation: None,
        traceparent: None,
        data: data.into(),
    }
}

pub(crate) fn events(ids: std::ops::Range<usize>) -> Vec<NewEvent> {
    ids.map(|n| event(&format!("e{n}"), &format!(r#"{{"product":"{n}"}}"#))).collect()
}

/// The first `count` records, read in pages of `page`.
pub(crate) async fn read_all(log: &impl Tail, count: usize, page: usize) -> Vec<Recorded> {
    let mut found = Vec::new();
    let mut pages = log.read(Position(0), page);
    while found.len() < count {
        let page_of = pages.next().await.expect("a tail does not end").expect("a sound log");
        assert!(!page_of.is_empty() && page_of.len() <= page);
        found.extend_from_slice(&page_of);
    }
    found
}

/// A directory of one test, gone afterwards.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let path = std::env::temp_dir().join(format!("rollcall-log-{}", LogId(random)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
