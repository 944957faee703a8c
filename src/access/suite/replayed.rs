//! One log, one roster: live, replayed, or from a snapshot anywhere and the tail; and, of facts that carry an order
//! key, whatever the order and however often. For everything that a source or an administrator can state.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use rollcall_events::{Body, Digest, LogId, NewEvent, Order, Recorded, Settings};
use serde_json::{Value, json};

use super::{
    agreement::{callers, places},
    worlds::{PEOPLE, Random, World},
};
use crate::{
    decide::decide,
    fold::change::{Effect, Folded},
    profile::Verb,
    questions::members::membership_digest,
    roster::{
        Roster,
        facts::{Holder, Owner},
        snapshot::FOLD_VERSION,
    },
    suite::histories::{History, noon, recorded},
};

/// A world with secrets, invitations and resets in between, and with links that end, of whose persons one is said to have had all
/// that was made since.
fn with_secrets(seed: u64) -> Vec<NewEvent> {
    let random = &mut Random::new(seed ^ 0x5ec7);
    let mut told = History::default();
    for event in World::new(seed).history.0 {
        told.0.push(event);
        if !random.one_in(4) {
            continue;
        }
        let (kind, data) = about_secrets(random, 2, 12);
        told.say("local", kind, None, &data.to_string());
    }
    told.0
}

/// What ends or changes whose a secret is, of so many people of two sources and so many secrets.
fn about_secrets(random: &mut Random, people: usize, ids: usize) -> (&'static str, Value) {
    let (source, prefix, n) = *random.pick(&PEOPLE[..2]);
    let user = format!("{source}/{prefix}{}", random.below(people.min(n)));
    let (id, sha256) = (random.below(ids), format!("{:02x}", random.below(40)).repeat(32));
    let pair = [("flexnet", format!("p{}", random.below(people))), ("corp", format!("q{}", random.below(people)))];
    let pair = pair.map(|(source, person)| json!({"source": source, "person": person}));
    let ends = (noon() + Duration::minutes(i64::try_from(random.below(200)).unwrap() - 60)).to_rfc3339();
    match random.below(12) {
        0 => ("secret.invited", json!({"secret": format!("i{id}"), "user": user, "sha256": sha256, "expires": ends})),
        1 => {
            let invitation = format!("i{}", random.below(ids));
            let owner = json!({"user": user});
            (
                "secret.issued",
                json!({"secret": format!("s{id}"), "owner": owner, "sha256": sha256, "invitation": invitation}),
            )
        }
        3 if random.one_in(3) => ("credentials.reset", json!({"user": user})),
        2 | 3 => ("secret.revoked", json!({"secret": format!("s{id}")})),
        4 | 5 => ("identity.linked", json!({"persons": pair})),
        6 if random.one_in(3) => ("identity.unlinked", json!({"persons": pair})),
        6 => {
            let whose = random.pick(&pair).clone();
            ("identity.unlinked", json!({"persons": pair, "given_since": whose}))
        }
        n => {
            let owner = if n < 11 { json!({"user": user}) } else { json!({"service": "s0"}) };
            let mut data = json!({"secret": format!("s{id}"), "owner": owner, "sha256": sha256});
            match random.below(4) {
                0 => data["expires"] = ends.into(),
                1 => data["made_with"] = format!("s{}", random.below(ids)).into(),
                _ => {}
            }
            if random.one_in(2) && n < 11 {
                data["author"] = format!("user:{user}").into();
            }
            ("secret.issued", data)
        }
    }
}

fn records(events: &[NewEvent]) -> Vec<Recorded> {
    let at = |position: u64| noon() + Duration::minutes(i64::try_from(position).unwrap() - 60);
    let records = (1..).zip(events);
    records.map(|(position, event)| Recorded { recorded_at: at(position), ..recorded(position, event) }).collect()
}

fn fold_into(roster: &mut Roster, records: &[Recorded]) -> Vec<Folded> {
    records.iter().map(|record| roster.apply(record)).collect()
}

fn empty() -> Roster {
    Roster::new(LogId([7; 8]))
}

/// Every answer that an index could get wrong: who may pull, push and delete where, on three days.
fn answers(roster: &Roster) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (who, principal) in callers(roster) {
        for (at, place) in places(roster) {
            for day in [-1, 0, 2] {
                let now = noon() + Duration::days(day);
                for verb in Verb::ALL {
                    let Some(asked) = roster.profile().registry_action(verb) else { continue };
                    if decide(roster, principal, asked, place, now).is_allowed() {
                        found.insert(format!("{who:?} {verb:?} {at:?} {day}"));
                    }
                }
            }
        }
    }
    found
}

/// What the fold finds by an index from which it takes something, or into which it puts in another order than a snapshot is read:
/// of secrets those that are not over.
fn found_by_index(roster: &Roster, now: DateTime<Utc>) -> Vec<String> {
    let (facts, index) = (&roster.facts, &roster.index);
    let is_open = |ix: &&u32| roster.secret_row(**ix).is_some_and(|row| !roster.is_over(row, now.timestamp_micros()));
    let secrets = |owner: Owner| {
        let rows: BTreeSet<u32> =
            index.owner_secrets.get(&owner).into_iter().flatten().filter(is_open).copied().collect();
        format!("secrets {owner:?} {rows:?}")
    };
    let people = (0..facts.persons.len()).flat_map(|person| {
        [
            secrets(Owner::Person(person)),
            format!("linked {:?}", index.linked.get(&person)),
            format!("links {:?}", index.person_links.get(&person)),
            format!("said to be {:?}", index.said_to_be.get(&person).map(BTreeSet::len)),
            format!("bindings {:?}", index.holder_bindings.get(&Holder::Person(person))),
            format!("places {:?}", index.member_of.get(&Holder::Person(person))),
        ]
    });
    let services = (0..facts.services.len()).map(|service| secrets(Owner::Service(service)));
    let asked = std::iter::once(format!("asked {:?}", index.asked_names.keys().collect::<Vec<_>>()));
    people.chain(services).chain(asked).collect()
}

#[test]
fn live_replayed_and_from_any_snapshot_it_is_one_roster_whatever_was_stated() {
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for seed in 0..120 {
        let events = with_secrets(seed);
        let records = records(&events);
        let mut whole = empty();
        let folded = fold_into(&mut whole, &records);
        let applied = |f: &&Folded| f.effect == Effect::Applied;
        let at = |f: &Folded| records[usize::try_from(f.position.0).unwrap() - 1].event.kind.to_string();
        kinds.extend(folded.iter().filter(applied).map(at));
        // What is in already changes nothing, and a second replay is the first.
        let mut again = empty();
        for record in &records {
            again.apply(record);
            assert_eq!(again.apply(record).effect, Effect::NoChange);
        }
        assert!(again.to_snapshot() == whole.to_snapshot(), "seed {seed}: replayed");
        let told = answers(&whole);
        let cut = Random::new(seed).below(records.len() + 1);
        let (head, tail) = records.split_at(cut);
        let mut kept = empty();
        fold_into(&mut kept, head);
        let mut kept = Roster::from_snapshot(&kept.to_snapshot()).unwrap();
        assert!(fold_into(&mut kept, tail) == folded[cut..], "seed {seed}: effects after a snapshot at {cut}");
        assert!(kept.to_snapshot() == whole.to_snapshot(), "seed {seed}: a snapshot at {cut}");
        let last = records.last().map_or(noon(), |record| record.recorded_at);
        assert_eq!(found_by_index(&kept, last), found_by_index(&whole, last), "seed {seed}: a snapshot at {cut}");
        for day in [-1, 0, 2] {
            let now = noon() + Duration::days(day);
            assert_eq!(membership_digest(&kept, now), membership_digest(&whole, now), "seed {seed}");
        }
        assert_eq!(answers(&kept), told, "seed {seed}: answers after a snapshot at {cut}");
        let reread = Roster::from_snapshot(&whole.to_snapshot()).unwrap();
        assert_eq!(found_by_index(&reread, last), found_by_index(&whole, last), "seed {seed}: read");
        assert_eq!(answers(&reread), told, "seed {seed}: answers from a snapshot");
    }
    // Runs of a read mean nothing to a membership.
    let missing: Vec<&str> =
        Body::TYPES.iter().copied().filter(|kind| !kind.contains(".snapshot.") && !kinds.contains(*kind)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "never applied in a random world");
}

/// Whoever starts anew goes on with the same secrets, whatever ended before.
#[test]
fn a_start_at_any_event_changes_nothing_of_whose_secrets_are() {
    for seed in 0..300 {
        let random = &mut Random::new(seed ^ 0x57a7);
        let mut told = History::settings(false);
        for (source, prefix, _) in &PEOPLE[..2] {
            for n in 0..2 {
                let data = format!(r#"{{"person":"{prefix}{n}","account":null,"active":true}}"#);
                told.say(source, "person.upserted", Some(1), &data);
            }
        }
        let before = told.0.len();
        for n in 0..18 {
            let (kind, mut data) = about_secrets(random, 1 + n % 2, 6);
            // Each of another value, so that none is refused for that.
            if data["sha256"] != Value::Null {
                data["sha256"] = format!("{n:02x}").repeat(32).into();
            }
            told.say("local", kind, None, &data.to_string());
        }
        let records = records(&told.0);
        let mut whole = empty();
        fold_into(&mut whole, &records);
        let last = records.last().unwrap().recorded_at;
        for cut in before..records.len() {
            let mut kept = empty();
            fold_into(&mut kept, &records[..cut]);
            let mut kept = Roster::from_snapshot(&kept.to_snapshot()).unwrap();
            fold_into(&mut kept, &records[cut..]);
            assert!(kept.to_snapshot() == whole.to_snapshot(), "seed {seed}: a snapshot at {cut}\n{told:?}");
            assert_eq!(found_by_index(&kept, last), found_by_index(&whole, last), "seed {seed}: a snapshot at {cut}");
        }
    }
}

/// The event of a source whose events have versions.
fn versioned(event: &NewEvent, sequence: u64) -> NewEvent {
    let mut event = event.clone();
    if &*event.kind == "rollcall.settings.set.v1" {
        let mut settings: Settings = serde_json::from_str(&event.data).unwrap();
        settings.sources.values_mut().for_each(|source| source.order = Order::Version);
        event.data = serde_json::to_string(&settings).unwrap().into();
    }
    if &*event.kind == "rollcall.package.upserted.v1" {
        // Which of two rivals has a name is a matter of arrival.
        let mut data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        data["project_name"] = data["package"].clone();
        event.data = data.to_string().into();
    }
    event.sequence = (!event.key.source.is_local()).then_some(sequence);
    event
}

#[test]
fn facts_with_an_order_key_give_the_same_in_any_order_and_however_often_beside_everything_else() {
    let (mut changed, mut mirrored) = (0, 0);
    for seed in 0..120 {
        let random = &mut Random::new(seed ^ 0x0d);
        let events = (1..).zip(World::new(seed).history.0).map(|(n, event)| versioned(&event, n));
        // Every person is there from the start: which of those who are linked came first is a matter of arrival.
        let mut events: Vec<NewEvent> = events.collect();
        let mut people = History::default();
        for (source, prefix, n) in PEOPLE {
            for id in (0..n).map(|ix| format!("{prefix}{ix}")) {
                let data = format!(r#"{{"person":"{id}","account":null,"active":true}}"#);
                people.say(source, "person.upserted", Some(0), &data);
            }
        }
        events.extend(people.0.into_iter().map(|mut event| {
            event.key.id = format!("there-{}", event.key.id).into();
            event
        }));
        let mut before = empty();
        fold_into(&mut before, &records(&events));
        let later = World::new(seed + 100_000).history.0;
        let facts: Vec<NewEvent> = later
            .iter()
            .filter(|event| !event.key.source.is_local())
            .map(|event| versioned(event, 10_000 + u64::try_from(random.below(6)).unwrap()))
            .collect();
        let mut others = facts.clone();
        for _ in 0..facts.len() / 3 {
            others.push(random.pick(&facts).clone());
        }
        for n in (1..others.len()).rev() {
            others.swap(n, random.below(n + 1));
        }
        let [one, other] = [&facts, &others].map(|order| {
            let mut roster = before.clone();
            let start = roster.position().0;
            for (position, event) in (start + 1..).zip(order) {
                let folded = roster.apply(&recorded(position, event));
                mirrored += u32::from(folded.effect == Effect::Applied && event.kind.contains(".group."));
            }
            roster
        });
        for day in [-1, 0, 2] {
            let now = noon() + Duration::days(day);
            changed += u32::from(membership_digest(&one, now) != membership_digest(&before, now));
            assert_eq!(membership_digest(&one, now), membership_digest(&other, now), "seed {seed}, day {day}");
        }
        assert_eq!(answers(&one), answers(&other), "seed {seed}");
    }
    assert!(changed > 100 && mirrored > 100, "{changed} {mirrored}");
}

/// What the facts of a log are is known by its fold version, so that no snapshot is taken for what it is not. Each line: a
/// log, and what was made of it.
#[test]
fn another_fold_of_the_same_log_has_another_version() {
    const FORGOTTEN: &str = "the same log gives other facts: raise `FOLD_VERSION`, and `readable_since` too where facts are \
        written otherwise, mean something else, or somebody was wrongly given something";
    let kept: Vec<&str> = include_str!("../../../tests/golden/facts.txt").lines().collect();
    let line = |seed: u64| {
        let events = with_secrets(seed);
        let mut roster = Roster::new(LogId([7; 8]));
        records(&events).iter().for_each(|record| drop(roster.apply(record)));
        let said: String = events
            .iter()
            .map(|event| format!("{} {} {:?} {}\n", event.key.source, event.kind, event.sequence, event.data))
            .collect();
        // The facts alone: no version is in what is compared.
        let facts = roster.to_snapshot_of(0).split_off(48);
        format!("{seed} {} {}", Digest::of(said.as_bytes()), Digest::of(&facts))
    };
    let now = std::iter::once(FOLD_VERSION.to_string()).chain((0..16).map(line)).collect::<Vec<_>>();
    let log = |line: &str| line.rsplit_once(' ').map(|(log, _)| log.to_owned());
    if kept.first() == Some(&now[0].as_str()) {
        for (kept, now) in kept.iter().zip(&now).skip(1) {
            assert!(log(kept) != log(now) || kept == now, "{FORGOTTEN}\n{kept}\n{now}");
        }
    }
    let text = now.join("\n");
    assert!(kept == now, "tests/golden/facts.txt is of other logs or of another fold; it would be now:\n{text}");
}
