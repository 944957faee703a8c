//! The law of epochs: a log with what older runners said too late answers as the same log without it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rollcall_events::{LogId, NewEvent};

use crate::{
    questions::members::membership_digest,
    roster::Roster,
    suite::histories::{History, fact, noon, recorded, table},
};

/// Who says the next event: a delivery, or a runner of an epoch.
#[derive(Debug, Clone)]
enum By {
    Delivery,
    Runner(u64),
}

/// A log of facts and of runs that begin, epochs in any order, as racing runners would leave it.
fn raced() -> impl Strategy<Value = History> {
    let by = prop_oneof![1 => Just(By::Delivery), 3 => (1..4_u64).prop_map(By::Runner)];
    let step = prop_oneof![
        1 => (1..4_u64).prop_map(|epoch| (By::Runner(epoch), None)),
        6 => (by, fact()).prop_map(|(by, fact)| (by, Some(fact))),
    ];
    prop::collection::vec((step, 0..6_u64), 1..100).prop_map(|steps| {
        let mut history = History::settings(false);
        for (n, ((by, fact), sequence)) in steps.into_iter().enumerate() {
            match fact {
                Some((source, kind, data)) => {
                    history.say(source, kind, (source != "local").then_some(sequence), &data);
                    if source == "local" {
                        continue;
                    }
                }
                None => {
                    let By::Runner(epoch) = by else { continue };
                    history.say(
                        "flexnet",
                        "snapshot.started",
                        Some(1),
                        &format!(r#"{{"run":"r{n}","epoch":{epoch}}}"#),
                    );
                }
            }
            let said = history.0.last_mut().unwrap();
            said.correlation = Some(match by {
                By::Delivery => format!("dlv_{n}").into(),
                By::Runner(epoch) => format!("run_{n}.{epoch}").into(),
            });
        }
        history
    })
}

/// Which events count, told once more in the simplest way: none of a runner after a newer one has begun.
fn timely(history: &History) -> Vec<bool> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    let timely = |event: &NewEvent| {
        let correlation = event.correlation.as_deref().unwrap_or_default();
        let Some(epoch) = correlation.strip_prefix("run_").and_then(|run| run.split('.').nth(1)) else { return true };
        let (epoch, newest) = (epoch.parse().unwrap(), newest.entry(event.key.source.to_string()).or_default());
        let timely = epoch >= *newest;
        if timely && &*event.kind == "rollcall.snapshot.started.v1" {
            *newest = epoch;
        }
        timely
    };
    history.0.iter().map(timely).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Live, and from a snapshot at any place.
    #[test]
    fn what_an_older_runner_says_too_late_changes_nothing(history in raced(), cut in 0..100_usize) {
        let timely = timely(&history);
        let (mut with, mut without) = (Roster::new(LogId([7; 8])), Roster::new(LogId([7; 8])));
        for (n, (event, timely)) in history.0.iter().zip(&timely).enumerate() {
            if n == cut {
                with = Roster::from_snapshot(&with.to_snapshot()).unwrap();
            }
            let record = recorded(n as u64 + 1, event);
            let said = with.apply(&record);
            if *timely {
                prop_assert_eq!(said, without.apply(&record));
            } else {
                let why = said.effect.reason().unwrap_or_default();
                prop_assert!(why.starts_with("stale epoch") && said.changes.is_empty(), "{:?}", said.effect);
            }
        }
        prop_assert_eq!(table(&with), table(&without));
        prop_assert_eq!(membership_digest(&with, noon()), membership_digest(&without, noon()));
        prop_assert_eq!(with.parked().count(), without.parked().count());
    }
}

#[test]
fn a_stale_fact_neither_parks_nor_unparks_its_subject() {
    let mut roster = Roster::new(LogId([7; 8]));
    let mut history = History::default();
    history.say("corp", "person.upserted", None, r#"{"person":"ada","account":null,"active":true}"#);
    history.say("corp", "snapshot.started", None, r#"{"run":"r","epoch":2}"#);
    let [good, started] = &history.0[..] else { panic!() };
    let of = |epoch: u64, data: &str| NewEvent {
        correlation: Some(format!("run_x.{epoch}").into()),
        data: data.into(),
        ..good.clone()
    };
    let mut position = 0;
    let mut apply = |event: &NewEvent| {
        position += 1;
        roster.apply(&recorded(position, event)).effect.as_str()
    };
    assert_eq!(apply(started), "applied");
    assert_eq!((apply(&of(1, "nonsense")), apply(&of(2, "nonsense"))), ("refused", "parked"));
    assert_eq!(apply(&of(1, &good.data)), "refused");
    assert_eq!(roster.parked().count(), 1);
}
