//! `decide` against the reference implementation, a million questions over random worlds. All actions of one caller on
//! one scope are worked out at once by the reference implementation, and asked one by one of `decide`, so that the many
//! are cheap.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use rollcall_events::NewEvent;

use super::{
    reference::{Reference, Where, Who},
    worlds::{PEOPLE, Random, World, both},
};
use crate::{
    decide::{Verdict, decide},
    fold::change::Effect,
    profile::ActionSet,
    reasons::Rule,
    roster::{
        Roster,
        handles::{FolderIx, Place, Principal, ProfileKind, ProjectIx, ServiceIx},
    },
    suite::histories::{KINDS_OF_LINKS, links_met, noon, recorded},
};

/// Everybody who can ask, in both.
pub(super) fn callers(roster: &Roster) -> Vec<(Who, Principal)> {
    let mut found = vec![(Who::Anyone, Principal::Anyone)];
    for (source, prefix, n) in PEOPLE {
        for id in (0..n).map(|ix| format!("{source}/{prefix}{ix}")) {
            found.extend(roster.user_by_id(&id).map(|user| (Who::User(id), Principal::User(user))));
        }
    }
    let local = u16::try_from(roster.facts.sources.find(0, "local").unwrap()).unwrap();
    for id in ["s0", "s1"] {
        let ix = roster.facts.services.find(local, id);
        found.extend(ix.map(|ix| (Who::Service(id.into()), Principal::Service(ServiceIx(ix)))));
    }
    found
}

/// Every scope, those that are gone included.
pub(super) fn places(roster: &Roster) -> Vec<(Where, Place)> {
    let mut found = vec![(Where::Root, Place::Root)];
    for n in 0..5 {
        let id = format!("c{n}");
        let ix = roster.facts.folders.find(0, &id);
        let ix = ix.filter(|ix| roster.folder_row(FolderIx(*ix)).is_some());
        found.extend(ix.map(|ix| (Where::Folder(id), Place::Folder(FolderIx(ix)))));
    }
    found
        .extend(roster.projects().map(|project| (Where::Project(roster.project(project).id), Place::Project(project))));
    for (source, prefix, n) in PEOPLE {
        for id in (0..n).map(|ix| format!("{source}/{prefix}{ix}")) {
            let user = roster.user_by_id(&id);
            found.extend(user.map(|user| (Where::Personal(id), Place::Project(ProjectIx::Personal(user)))));
        }
    }
    found
}

/// What the two accounts of these events do not agree on, and how many questions were asked.
fn disagreement(events: &[NewEvent], seed: u64, each: usize) -> (Option<String>, usize) {
    let (roster, reference) = both(events);
    let random = &mut Random::new(seed ^ 0x5eed);
    let (callers, places) = (callers(&roster), places(&roster));
    let mut asked = 0;
    for (who, principal) in &callers {
        for _ in 0..each {
            let (at, place) = random.pick(&places);
            let now = noon() + Duration::days(i64::try_from(random.below(5)).unwrap() - 2);
            for profile_kind in [ProfileKind::Access, ProfileKind::Api] {
                if profile_kind == ProfileKind::Api && !random.one_in(4) {
                    continue;
                }
                let (found, n) = compare(&roster, &reference, profile_kind, (who, *principal), (at, *place), now);
                asked += n;
                if found.is_some() {
                    return (found, asked);
                }
            }
            if random.one_in(4) {
                let action =
                    *random.pick(&["binding.set", "project.create", "project.update", "folder.set", "member.list"]);
                let (left, right) = (
                    roster.allows(*principal, action, *place, now),
                    reference.may(who, action, at, now.timestamp_micros()),
                );
                asked += 1;
                if left != right {
                    return (
                        Some(format!("{who:?} may {action} on {at:?} at {now}: {left}, and by the reference {right}")),
                        asked,
                    );
                }
            }
        }
    }
    (None, asked)
}

/// All actions one by one, and some operations.
fn compare(
    roster: &Roster,
    reference: &Reference,
    profile_kind: ProfileKind,
    (who, principal): (&Who, Principal),
    (at, place): (&Where, Place),
    now: DateTime<Utc>,
) -> (Option<String>, usize) {
    let expected = reference.allowed(profile_kind == ProfileKind::Api, who, at, now.timestamp_micros());
    let profile = roster.profile_of(profile_kind);
    let until = |needs: &[&str]| {
        let each: Option<Vec<i64>> = needs.iter().map(|action| expected.get(*action).copied()).collect();
        each.and_then(|each| each.into_iter().min())
    };
    let mut asked = 0;
    let single = profile.actions().map(|(name, set)| (vec![name], set));
    let operations = profile.document().operations.values().filter_map(|needs| {
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let set = needs.iter().try_fold(ActionSet::EMPTY, |set, name| Some(set.union(profile.operation(name)?)))?;
        (needs.len() > 1).then_some((needs, set))
    });
    for (needs, set) in single.chain(operations) {
        let said = match profile_kind {
            ProfileKind::Access => decide(roster, principal, set, place, now),
            ProfileKind::Api => roster.decide_by(profile_kind, principal, set, place, now),
        };
        let expected = until(&needs);
        let said = match said {
            Verdict::Allowed { until } => Some(until.map_or(i64::MAX, |until| until.timestamp_micros())),
            Verdict::Denied => None,
        };
        asked += 1;
        if said != expected {
            return (
                Some(format!(
                    "{who:?} {needs:?} ({profile_kind:?}) on {at:?} at {now}: {said:?}, and by the reference {expected:?}"
                )),
                asked,
            );
        }
    }
    (None, asked)
}

/// Leaves out every event without which the two accounts still differ.
fn smallest(mut events: Vec<NewEvent>, seed: u64, each: usize) -> String {
    let mut at = events.len();
    while at > 1 {
        at -= 1;
        let mut fewer = events.clone();
        fewer.remove(at);
        if disagreement(&fewer, seed, each * 8).0.is_some() {
            events = fewer;
        }
    }
    let told = disagreement(&events, seed, each * 8).0.unwrap_or_default();
    let lines: Vec<String> =
        events.iter().map(|event| format!("{} {} {}", event.key.source, event.kind, event.data)).collect();
    format!("seed {seed}: {told}\n{}", lines.join("\n"))
}

/// A thousand questions to a caller would ask one world too much and too few worlds.
const EACH: usize = 8;

/// The worlds are others in every process; a failure names its seed and leaves out what does not matter.
#[test]
fn a_million_decisions_are_what_the_reference_implementation_says() {
    let digest = rollcall_events::Digest::of(format!("{:?}", std::thread::current().id()).as_bytes()).prefix();
    let first = digest ^ u64::from(std::process::id()) << 32;
    let (mut asked, mut n) = (0, 0);
    while asked < 1_000_000 {
        let seed = first.wrapping_add(n);
        let world = World::new(seed);
        let (found, more) = disagreement(&world.history.0, seed, EACH);
        assert!(found.is_none(), "{}", smallest(world.history.0, seed, EACH));
        asked += more;
        n += 1;
    }
}

/// An agreement about worlds in which nothing happens would prove nothing.
#[test]
fn in_the_random_worlds_every_kind_of_event_takes_effect_and_every_way_leads_to_a_yes() {
    let mut applied = BTreeSet::new();
    let (mut rules, mut links) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..40 {
        let world = World::new(seed);
        links.extend(links_met(&world.history.0));
        let mut roster = Roster::new(rollcall_events::LogId([7; 8]));
        for (position, event) in (1..).zip(&world.history.0) {
            if roster.apply(&recorded(position, event)).effect == Effect::Applied {
                applied.insert(event.kind.to_string());
            }
        }
        for (_, caller) in callers(&roster) {
            for (_, place) in places(&roster) {
                rules.extend(roster.reasons(caller, place, noon()).iter().map(|reason| reason.rule));
            }
        }
    }
    assert_eq!(
        rules.into_iter().collect::<Vec<_>>(),
        [Rule::Binding, Rule::Customer, Rule::Group, Rule::Personal, Rule::Producer]
    );
    let never: Vec<_> = rollcall_events::Body::TYPES.iter().filter(|kind| !applied.contains(**kind)).collect();
    let elsewhere = |kind: &str| ["snapshot.", "secret.", "credentials."].iter().any(|noun| kind.contains(noun));
    assert!(never.iter().all(|kind| elsewhere(kind)), "{never:?}");
    assert_eq!(links.len(), KINDS_OF_LINKS, "{links:?}");
}
