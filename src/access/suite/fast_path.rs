//! The fast path says what the facts say, whatever happens and after a restart.

use chrono::Duration;
use serde_json::{Value, json};

use super::{
    agreement::callers,
    worlds::{Random, World},
};
use crate::{
    roster::{
        Roster,
        fast_path::FastPath,
        handles::{Principal, ProfileKind},
    },
    suite::histories::{History, noon, recorded},
};

/// Asks everything of everybody twice; how many questions it answered, and how many of those were answered with a yes.
fn ask(roster: &Roster, random: &mut Random) -> (usize, usize) {
    let (mut answered, mut yes) = (0, 0);
    let without_fast_path = Roster { fast_path: FastPath::default(), ..roster.clone() };
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    for (_, principal) in callers(roster) {
        let Principal::User(user) = principal else { continue };
        for project in roster.projects() {
            let now = noon() + Duration::days(i64::try_from(random.below(5)).unwrap() - 2);
            for (name, actions) in roster.profile().actions() {
                let fast = roster.fast_path.until(user, project, actions, now.timestamp_micros());
                assert_eq!(
                    fast,
                    again.fast_path.until(user, project, actions, now.timestamp_micros()),
                    "after a restart"
                );
                let Some(until) = fast else { continue };
                let by_facts =
                    without_fast_path.decide_by(ProfileKind::Access, principal, actions, project.into(), now);
                assert_eq!(
                    roster.decide_by(ProfileKind::Access, principal, actions, project.into(), now),
                    by_facts,
                    "{name}"
                );
                (answered, yes) = (answered + 1, yes + usize::from(until.is_some()));
            }
        }
    }
    (answered, yes)
}

/// One fact of a licensing system, or its end.
fn fact(r: &mut Random) -> (&'static str, Value) {
    let mut id = |prefix: &str, n: usize| format!("{prefix}{}", r.below(n));
    let (person, account, product, package) = (id("p", 4), id("a", 3), id("d", 2), id("k", 2));
    let (entitlement, line, above) = (id("e", 2), id("l", 3), id("a", 3));
    let day = |n: usize| json!(noon() + Duration::days(i64::try_from(n).unwrap() - 2));
    let open = |r: &mut Random, n| if r.one_in(2) { day(n) } else { Value::Null };
    match r.below(30) {
        0..=3 => ("person.upserted", json!({"person": person, "account": account, "active": !r.one_in(5)})),
        4 => ("person.removed", json!({"person": person})),
        5 => {
            let parent = if r.one_in(3) { json!(above) } else { Value::Null };
            ("account.upserted", json!({"account": account, "kind": "customer", "parent": parent}))
        }
        6 => ("account.removed", json!({"account": account})),
        7..=8 => ("product.upserted", json!({"product": product})),
        9 => ("product.removed", json!({"product": product})),
        10..=12 => {
            let until = if r.one_in(4) { day(3) } else { Value::Null };
            let data = json!({"package": package, "producer": account, "container_delivery": !r.one_in(6), "effective_until": until});
            ("package.upserted", data)
        }
        13 => ("package.removed", json!({"package": package})),
        14..=16 => ("package.product.mapped", json!({"package": package, "product": product})),
        17 => ("package.product.unmapped", json!({"package": package, "product": product})),
        18..=20 => {
            let state = r.pick(&["active", "active", "active", "inactive"]);
            ("entitlement.upserted", json!({"entitlement": entitlement, "account": account, "state": state}))
        }
        21 => ("entitlement.removed", json!({"entitlement": entitlement})),
        22..=25 => {
            let (starts, ends) = (open(r, 1), open(r, 4));
            let data =
                json!({"line": line, "entitlement": entitlement, "product": product, "starts": starts, "ends": ends});
            ("entitlement.line.upserted", data)
        }
        26 => ("entitlement.line.removed", json!({"line": line})),
        27 if r.one_in(8) => ("entitlement.person.assigned", json!({"entitlement": entitlement, "person": person})),
        28 if r.one_in(8) => {
            ("permission.granted", json!({"person": person, "permission": "view_and_manage_download_packages"}))
        }
        _ => ("account.upserted", json!({"account": account, "kind": "customer", "parent": null})),
    }
}

#[test]
fn the_fast_path_is_what_the_facts_say() {
    let (mut answered, mut yes) = (0, 0);
    let mut follow = |history: &History, random: &mut Random, each: usize| {
        let mut roster = Roster::new(rollcall_events::LogId([1; 8]));
        for (position, event) in (1..).zip(&history.0) {
            roster.apply(&recorded(position, event));
            if random.one_in(each) || usize::try_from(position).unwrap() == history.0.len() {
                let (asked, allowed) = ask(&roster, random);
                (answered, yes) = (answered + asked, yes + allowed);
            }
        }
    };
    for seed in 0..50 {
        let random = &mut Random::new(seed ^ 0x9_1a1);
        follow(&World::new(seed).history, random, 8);
        let mut licences = History::default();
        let settings = json!({"customer_sub_accounts": seed % 2 == 0});
        licences.say("local", "settings.set", None, &settings.to_string());
        for _ in 0..200 {
            let (kind, data) = fact(random);
            licences.say("flexnet", kind, None, &data.to_string());
            if random.one_in(20) {
                let word = random.pick(&["identity.linked", "identity.unlinked"]);
                let first = random.below(3);
                let persons = [first, first + 1].map(|n| json!({"source": "flexnet", "person": format!("p{n}")}));
                licences.say("local", word, None, &json!({"persons": persons}).to_string());
            }
        }
        if seed % 3 == 0 {
            licences.say("local", "source.retired", None, r#"{"source":"flexnet"}"#);
        }
        follow(&licences, random, 3);
    }
    assert!(answered > 8_000 && yes > 200, "only {answered} of the questions were answered, {yes} of them a yes");
}
