//! Laws of the fold and the decision on random histories. Scenario files in `tests/scenarios` tell the rules one by one.

#[path = "slice_tests.rs"]
mod slice_tests;
#[path = "suite/mod.rs"]
mod suite;

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall_events::{Body, LogId, NewEvent, Order, Position, Recorded, Settings, SourceName, SourceSettings};

use crate::{
    Effect, Principal, Roster, Verb, Verdict, decide, explain, had_tie, members, membership_digest, memberships_of,
};

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A history in the making: facts of two sources, commands, each with its sequence.
#[derive(Clone, Default)]
struct History(Vec<NewEvent>);

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line =
            |event: &NewEvent| format!("{} {} {} {:?}", event.key.source, event.kind, event.data, event.sequence);
        self.0.iter().try_for_each(|event| writeln!(f, "{}", line(event)))
    }
}

impl History {
    fn say(&mut self, source: &str, kind: &str, sequence: Option<u64>, data: &str) {
        let kind = format!("rollcall.{kind}.v1");
        let body = Body::parse(&kind, data).unwrap();
        self.0.push(NewEvent {
            sequence,
            data: data.into(),
            ..NewEvent::of(source.parse().unwrap(), format!("e{}", self.0.len()), &body)
        });
    }

    fn settings(customer_sub_accounts: bool) -> Self {
        let settings = Settings {
            customer_sub_accounts,
            sources: ["flexnet", "corp"]
                .map(|name| {
                    let said = SourceSettings { order: Order::Version, authoritative: name == "corp" };
                    (name.parse::<SourceName>().unwrap(), said)
                })
                .into(),
            ..Settings::default()
        };
        let mut history = Self::default();
        history.say("local", "settings.set", None, &serde_json::to_string(&settings).unwrap());
        history
    }

    fn fold(&self) -> Roster {
        let mut roster = Roster::new(LogId([7; 8]));
        self.fold_into(&mut roster);
        roster
    }

    fn fold_into(&self, roster: &mut Roster) {
        let start = roster.position().0;
        for (position, event) in (start + 1..).zip(&self.0) {
            let recorded_at = noon() - Duration::hours(1);
            roster.apply(&Recorded { position: Position(position), recorded_at, event: event.clone() });
        }
    }
}

/// One random fact about a small world, as (source, kind, data).
fn fact() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let id = |prefix: &'static str, n: u8| (0..n).prop_map(move |i| format!("{prefix}{i}"));
    let account = || id("a", 5);
    let maybe_account = || prop_oneof![3 => account().prop_map(|a| format!("\"{a}\"")), 1 => Just("null".to_owned())];
    let time = || {
        prop_oneof![
            2 => Just("null".to_owned()),
            1 => (0..4_i64).prop_map(|d| format!("\"{}\"", (noon() + Duration::days(d - 2)).to_rfc3339())),
        ]
    };
    let flex = |kind: &'static str| move |data: String| ("flexnet", kind, data);
    prop_oneof![
        4 => (account(), maybe_account()).prop_map(|(a, p)| format!(r#"{{"account":"{a}","kind":"customer","parent":{p}}}"#)).prop_map(flex("account.upserted")),
        1 => account().prop_map(|a| format!(r#"{{"account":"{a}"}}"#)).prop_map(flex("account.removed")),
        6 => (id("p", 5), maybe_account(), prop::bool::weighted(0.85))
            .prop_map(|(p, a, active)| format!(r#"{{"person":"{p}","account":{a},"active":{active}}}"#))
            .prop_map(flex("person.upserted")),
        1 => id("p", 5).prop_map(|p| format!(r#"{{"person":"{p}"}}"#)).prop_map(flex("person.removed")),
        2 => (id("q", 3), prop::bool::weighted(0.7))
            .prop_map(|(p, active)| ("corp", "person.upserted", format!(r#"{{"person":"{p}","account":null,"active":{active}}}"#))),
        3 => (id("p", 5), prop::bool::weighted(0.75)).prop_map(|(p, on)| {
            let kind = if on { "permission.granted" } else { "permission.revoked" };
            ("flexnet", kind, format!(r#"{{"person":"{p}","permission":"view_and_manage_download_packages"}}"#))
        }),
        2 => (id("d", 3), prop::bool::weighted(0.85)).prop_map(|(d, on)| {
            ("flexnet", if on { "product.upserted" } else { "product.removed" }, format!(r#"{{"product":"{d}"}}"#))
        }),
        3 => (id("k", 3), account(), prop::bool::weighted(0.85), time()).prop_map(|(k, a, delivery, until)| {
            ("flexnet", "package.upserted", format!(
                r#"{{"package":"{k}","producer":"{a}","container_delivery":{delivery},"effective_until":{until}}}"#
            ))
        }),
        1 => id("k", 3).prop_map(|k| ("flexnet", "package.removed", format!(r#"{{"package":"{k}"}}"#))),
        4 => (id("k", 3), id("d", 3), prop::bool::weighted(0.75)).prop_map(|(k, d, on)| {
            let kind = if on { "package.product.mapped" } else { "package.product.unmapped" };
            ("flexnet", kind, format!(r#"{{"package":"{k}","product":"{d}"}}"#))
        }),
        4 => (id("e", 3), account(), 0..4_u8).prop_map(|(e, a, s)| {
            let state = ["active", "active", "inactive", "draft"][usize::from(s)];
            ("flexnet", "entitlement.upserted", format!(r#"{{"entitlement":"{e}","account":"{a}","state":"{state}"}}"#))
        }),
        1 => id("e", 3).prop_map(|e| ("flexnet", "entitlement.removed", format!(r#"{{"entitlement":"{e}"}}"#))),
        5 => (id("l", 4), id("e", 3), id("d", 3), time()).prop_map(|(l, e, d, ends)| {
            ("flexnet", "entitlement.line.upserted", format!(
                r#"{{"line":"{l}","entitlement":"{e}","product":"{d}","starts":null,"ends":{ends}}}"#
            ))
        }),
        1 => id("l", 4).prop_map(|l| ("flexnet", "entitlement.line.removed", format!(r#"{{"line":"{l}"}}"#))),
        2 => (id("e", 3), id("p", 5), any::<bool>()).prop_map(|(e, p, on)| {
            let kind = if on { "entitlement.person.assigned" } else { "entitlement.person.unassigned" };
            ("flexnet", kind, format!(r#"{{"entitlement":"{e}","person":"{p}"}}"#))
        }),
        1 => (id("p", 5), id("q", 3), prop::bool::weighted(0.7)).prop_map(|(p, q, on)| {
            let kind = if on { "identity.linked" } else { "identity.unlinked" };
            ("local", kind, format!(
                r#"{{"persons":[{{"source":"flexnet","person":"{p}"}},{{"source":"corp","person":"{q}"}}]}}"#
            ))
        }),
        1 => (id("p", 5), any::<bool>()).prop_map(|(p, on)| {
            let (kind, scope) = (if on { "binding.set" } else { "binding.removed" }, r#""scope":"root""#);
            ("local", kind, format!(r#"{{"principal":{{"user":"flexnet/{p}"}},"role":"system_of_record",{scope},"author":"test"}}"#))
        }),
    ]
}

fn history() -> impl Strategy<Value = History> {
    (any::<bool>(), prop::collection::vec((fact(), 0..6_u64), 1..120)).prop_map(|(sub_accounts, facts)| {
        let mut history = History::settings(sub_accounts);
        for ((source, kind, data), sequence) in facts {
            history.say(source, kind, (source != "local").then_some(sequence), &data);
        }
        history
    })
}

/// A history of sources' facts alone, which carry an order key; and an order in which to deliver them.
fn shuffled() -> impl Strategy<Value = (History, Vec<NewEvent>)> {
    history().prop_flat_map(|mut history| {
        // Every person is there from the start: which of two rivals gets a user name depends on arrival, and is let be.
        let mut first = History(history.0.drain(..1).collect());
        for p in 0..5 {
            first.say(
                "flexnet",
                "person.upserted",
                Some(0),
                &format!(r#"{{"person":"p{p}","account":null,"active":true}}"#),
            );
        }
        for k in 0..3 {
            first.say(
                "flexnet",
                "package.upserted",
                Some(0),
                &format!(r#"{{"package":"k{k}","producer":"a0","container_delivery":true}}"#),
            );
        }
        let rest: Vec<NewEvent> = history.0.into_iter().filter(|event| !event.key.source.is_local()).collect();
        (Just(first), Just(rest.clone()), Just(rest).prop_shuffle()).prop_map(|(first, rest, order)| {
            let mut straight = first.clone();
            straight.0.extend(rest);
            let mut twisted = first.0;
            twisted.extend(order);
            (straight, twisted)
        })
    })
}

fn world(roster: &Roster) -> Vec<(crate::UserIx, crate::ProjectIx)> {
    roster.users().flat_map(|user| roster.projects().map(move |project| (user, project))).collect()
}

/// Every membership by name, as the digest sees it.
fn table(roster: &Roster) -> Vec<String> {
    let row = |project: &str, m: crate::Member| {
        let names: Vec<String> = m.reasons.iter().map(|reason| reason.name.clone()).collect();
        format!("{} {project} {} because {}", m.name, m.role, names.join(" "))
    };
    let of = |project| {
        members(roster, project, noon()).into_iter().map(|m| row(roster.project_name(project), m)).collect::<Vec<_>>()
    };
    let mut rows: Vec<String> = roster.projects().flat_map(of).collect();
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// The short way (decide) and the long way (reasons) through the facts agree, on roles and on when they end.
    #[test]
    fn what_is_explained_is_what_is_decided(history in history()) {
        let roster = history.fold();
        for (user, project) in world(&roster) {
            for verb in [Verb::Pull, Verb::Push] {
                let actions = roster.profile().registry_action(verb).unwrap();
                let verdict = decide(&roster, Principal::User(user), actions, project, noon());
                let why = explain(&roster, Principal::User(user), actions, project, noon());
                let reasons: Vec<_> = why.reasons.iter().filter(|reason| {
                    let role = roster.profile().role(&reason.role).unwrap();
                    roster.profile().role_actions(role).contains(actions)
                }).collect();
                prop_assert_eq!(verdict.is_allowed(), !reasons.is_empty(), "{:#?}", why);
                if let Verdict::Allowed { until } = verdict {
                    let open = reasons.iter().any(|reason| reason.until.is_none());
                    prop_assert_eq!(until, if open { None } else { reasons.iter().filter_map(|reason| reason.until).max() });
                    prop_assert!(had_tie(&roster, user, project, noon()));
                }
                prop_assert_eq!(verdict.is_allowed(), roster.actions_of(Principal::User(user), project, noon()).contains(actions));
            }
            prop_assert!(!decide(&roster, Principal::Anyone, roster.profile().registry_action(Verb::Pull).unwrap(), project, noon()).is_allowed());
        }
    }

    /// Lists by project, lists by user and single decisions say the same.
    #[test]
    fn both_lists_hold_the_same_memberships(history in history()) {
        let roster = history.fold();
        let mut by_project: Vec<_> = roster.projects().flat_map(|project| {
            members(&roster, project, noon()).into_iter().map(|m| (roster.project_name(project).to_owned(), m.user, m.role, m.reasons)).collect::<Vec<_>>()
        }).collect();
        let mut by_user: Vec<_> = roster.users().flat_map(|user| {
            memberships_of(&roster, user, noon()).into_iter().map(|m| (m.project, roster.user_id(user), m.role, m.reasons)).collect::<Vec<_>>()
        }).collect();
        by_project.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
        by_user.sort_by(|a, b| (&a.0, &a.1, &a.2).cmp(&(&b.0, &b.1, &b.2)));
        prop_assert_eq!(by_project.len(), by_user.len());
        prop_assert_eq!(by_project, by_user);
    }

    /// Facts that carry an order key give one digest in whatever order, and however often, they arrive.
    #[test]
    fn order_and_repetition_of_arrival_do_not_matter((straight, twisted) in shuffled()) {
        let expected = membership_digest(&straight.fold(), noon());
        prop_assert_eq!(table(&straight.fold()), table(&History(twisted.clone()).fold()));
        let mut again = twisted;
        again.extend(straight.0.iter().skip(1).cloned());
        prop_assert_eq!(membership_digest(&History(again).fold(), noon()), expected);
    }

    /// A snapshot and the tail give what the whole gives, fact by fact.
    #[test]
    fn a_snapshot_and_the_tail_are_the_whole(history in history(), cut in 0..120_usize) {
        let whole = history.fold();
        let cut = cut.min(history.0.len());
        let head = History(history.0.iter().take(cut).cloned().collect()).fold();
        let mut roster = Roster::from_snapshot(&head.to_snapshot()).unwrap();
        History(history.0.iter().skip(cut).cloned().collect()).fold_into(&mut roster);
        prop_assert_eq!(roster.to_snapshot(), whole.to_snapshot());
        prop_assert_eq!(membership_digest(&roster, noon()), membership_digest(&whole, noon()));
        for (user, project) in world(&whole) {
            let actions = whole.profile().registry_action(Verb::Pull).unwrap();
            prop_assert_eq!(
                explain(&roster, Principal::User(user), actions, project, noon()).reasons,
                explain(&whole, Principal::User(user), actions, project, noon()).reasons
            );
        }
    }

    /// Whatever bytes a log holds, the fold goes on.
    #[test]
    fn nothing_stops_the_fold(kind in "rollcall\\.[a-z.]{0,30}\\.v1|.{0,20}", data in ".{0,60}", history in history()) {
        let mut roster = history.fold();
        let before = membership_digest(&roster, noon());
        let event = NewEvent { kind: kind.into(), data: data.into(), ..history.0.last().unwrap().clone() };
        let folded = roster.apply(&Recorded { position: Position(roster.position().0 + 1), recorded_at: noon(), event });
        prop_assert!(matches!(folded.effect, Effect::Parked(_) | Effect::Refused(_)));
        prop_assert_eq!(membership_digest(&roster, noon()), before);
    }
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_named() {
    let mut history = History::settings(false);
    history.say("flexnet", "account.upserted", Some(1), r#"{"account":"globex","kind":"customer"}"#);
    history.say("flexnet", "person.upserted", Some(1), r#"{"person":"ada","account":"globex","active":true}"#);
    let bytes = history.fold().to_snapshot();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Roster::from_snapshot(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Roster::from_snapshot(&bytes[..len]).is_err(), "cut at {len}");
    }
}

/// The smallest world in which ada is a customer and bob a producer's user below the producer.
fn small() -> History {
    let mut h = History::settings(false);
    let mut say = |kind: &str, data: &str| h.say("flexnet", kind, Some(1), data);
    say("account.upserted", r#"{"account":"initech","kind":"producer"}"#);
    say("account.upserted", r#"{"account":"lab","kind":"producer","parent":"initech"}"#);
    say("account.upserted", r#"{"account":"globex","kind":"customer"}"#);
    say("person.upserted", r#"{"person":"ada","username":"Ada@Globex.test","account":"globex","active":true}"#);
    say("person.upserted", r#"{"person":"bob","account":"lab","active":true}"#);
    say("permission.granted", r#"{"person":"bob","permission":"view_and_manage_download_packages"}"#);
    say("product.upserted", r#"{"product":"DB"}"#);
    say(
        "package.upserted",
        r#"{"package":"db-suite","project_name":"acme","producer":"initech","container_delivery":true}"#,
    );
    say("package.product.mapped", r#"{"package":"db-suite","product":"DB"}"#);
    say("entitlement.upserted", r#"{"entitlement":"ENT-7","account":"globex","state":"active"}"#);
    say(
        "entitlement.line.upserted",
        r#"{"line":"ENT-7/1","entitlement":"ENT-7","product":"DB","starts":null,"ends":"2026-03-02T00:00:00Z"}"#,
    );
    h
}

fn asks(roster: &Roster, user: &str, verb: Verb, now: DateTime<Utc>) -> Verdict {
    let user = roster.user_by_name(user).unwrap();
    let project = roster.project_by_name("acme").unwrap();
    decide(roster, Principal::User(user), roster.profile().registry_action(verb).unwrap(), project, now)
}

#[test]
fn a_customer_pulls_until_the_line_ends_and_a_producer_pushes() {
    let roster = small().fold();
    let end: DateTime<Utc> = "2026-03-02T00:00:00Z".parse().unwrap();
    assert_eq!(asks(&roster, "ada@globex.test", Verb::Pull, noon()), Verdict::Allowed { until: Some(end) });
    assert!(!asks(&roster, "ada@globex.test", Verb::Push, noon()).is_allowed());
    assert_eq!(asks(&roster, "bob", Verb::Push, noon()), Verdict::Allowed { until: None });
    assert_eq!(
        roster.profile().registry_action(Verb::Delete),
        None,
        "a verb that the profile does not map is never granted"
    );
    assert!(asks(&roster, "ada@globex.test", Verb::Pull, end - Duration::microseconds(1)).is_allowed());
    assert!(!asks(&roster, "ada@globex.test", Verb::Pull, end).is_allowed());
}

#[test]
fn a_no_names_the_event_that_ended_it_and_what_would_mend_it() {
    let mut h = small();
    h.say(
        "flexnet",
        "entitlement.upserted",
        Some(2),
        r#"{"entitlement":"ENT-7","account":"globex","state":"inactive"}"#,
    );
    let roster = h.fold();
    let ada = roster.user_by_name("ADA@globex.test").unwrap();
    let project = roster.project_by_name("acme").unwrap();
    let why =
        explain(&roster, Principal::User(ada), roster.profile().registry_action(Verb::Pull).unwrap(), project, noon());
    assert!(!why.allowed);
    let obstacle = &why.near_misses[0].obstacles[0];
    assert_eq!(obstacle.text, "entitlement ENT-7 is inactive");
    assert_eq!(obstacle.cause.as_ref().unwrap().position, roster.position());
    let told: Vec<&str> = why.would_allow.iter().map(|remedy| remedy.text.as_str()).collect();
    assert_eq!(told, ["entitlement ENT-7 is active, for entitlement ENT-7 (account globex, product DB)"]);
    assert!(had_tie(&roster, ada, project, noon()));
}

#[test]
fn a_sub_account_that_was_moved_away_is_named() {
    let mut h = small();
    h.say("flexnet", "account.upserted", Some(2), r#"{"account":"lab","kind":"producer"}"#);
    let roster = h.fold();
    let bob = roster.user_by_name("bob").unwrap();
    let project = roster.project_by_name("acme").unwrap();
    let why =
        explain(&roster, Principal::User(bob), roster.profile().registry_action(Verb::Push).unwrap(), project, noon());
    assert_eq!(why.near_misses[0].obstacles[0].text, "account lab was moved away from account initech");
    assert_eq!(why.near_misses[0].obstacles[0].cause.as_ref().unwrap().position, roster.position());
}

#[test]
fn a_binding_on_a_managed_project_is_refused_and_names_the_source() {
    let mut h = small();
    h.say("local", "binding.set", None, r#"{"principal":{"user":"flexnet/ada"},"role":"Developer","scope":{"project":"flexnet/db-suite"},"author":"eve"}"#);
    let mut roster = h.fold();
    assert!(!asks(&roster, "ada@globex.test", Verb::Push, noon()).is_allowed());
    let mut settings = roster.settings().clone();
    settings.bindings_on_managed = true;
    let mut tail = History::default();
    tail.say("local", "settings.set", None, &serde_json::to_string(&settings).unwrap());
    let mut again = h.0.last().unwrap().clone();
    again.key.id = "again".into();
    tail.0.push(again);
    let last = tail.0.clone();
    tail.fold_into(&mut roster);
    assert!(asks(&roster, "ada@globex.test", Verb::Push, noon()).is_allowed());
    assert_eq!(last.len(), 2);
}

#[test]
fn a_name_is_kept_by_the_first_and_the_second_is_parked_until_it_asks_for_another() {
    let mut h = small();
    h.say(
        "flexnet",
        "package.upserted",
        Some(1),
        r#"{"package":"other","project_name":"acme","producer":"initech","container_delivery":true}"#,
    );
    let roster = h.fold();
    let parked: Vec<_> = roster.parked().map(|p| p.reason.to_owned()).collect();
    let told = "name taken: project acme belongs to package db-suite of source flexnet";
    assert_eq!(parked, [format!("{told}; package other needs another project_name")]);
    let acme = roster.project_by_name("acme").unwrap();
    assert_eq!(roster.claims(), [(acme, vec!["flexnet/other".to_owned()])].into());
    assert_eq!(roster.counts().name_taken, 1);
    h.say(
        "flexnet",
        "package.upserted",
        Some(2),
        r#"{"package":"other","project_name":"acme-2","producer":"initech","container_delivery":true}"#,
    );
    h.say(
        "flexnet",
        "package.upserted",
        Some(3),
        r#"{"package":"db-suite","project_name":"db","producer":"initech","container_delivery":true}"#,
    );
    let roster = h.fold();
    assert_eq!((roster.parked().count(), roster.claims().len()), (0, 0));
    let project = roster.project(roster.project_by_name("acme").unwrap());
    assert_eq!((project.name, project.aliases), ("db", vec!["acme"]));
}

#[test]
fn names_collide_visibly_and_a_given_up_name_stays_reserved() {
    let mut h = History::settings(false);
    let person = |source: &'static str, id: &str, name: &str, v: u64, h: &mut History| {
        h.say(
            source,
            "person.upserted",
            Some(v),
            &format!(r#"{{"person":"{id}","username":"{name}","account":null,"active":true}}"#),
        );
    };
    person("flexnet", "1", "Bob", 1, &mut h);
    person("corp", "2", "bob", 1, &mut h);
    person("flexnet", "1", "robert", 2, &mut h);
    person("flexnet", "3", "bob", 1, &mut h);
    let roster = h.fold();
    let name = |id: &str| roster.user(roster.user_by_id(id).unwrap()).name.to_owned();
    assert_eq!([name("flexnet/1"), name("corp/2"), name("flexnet/3")], ["robert", "bob~corp", "bob~flexnet"]);
    assert!(roster.user_by_name("bob").is_none());
}

#[test]
fn linked_persons_are_one_user_and_part_again() {
    let mut h = small();
    h.say("corp", "person.upserted", Some(1), r#"{"person":"q","username":"ada.l","account":null,"active":true}"#);
    let link = r#"{"persons":[{"source":"corp","person":"q"},{"source":"flexnet","person":"ada"}]}"#;
    h.say("local", "identity.linked", None, link);
    let roster = h.fold();
    let user = roster.user_by_name("ada.l").unwrap();
    assert_eq!((roster.user(user).id.as_str(), roster.user(user).name), ("flexnet/ada", "ada@globex.test"));
    // The authoritative source suspends its person: the whole user is out. Unlinked, only that person is.
    h.say("corp", "person.upserted", Some(2), r#"{"person":"q","username":"ada.l","account":null,"active":false}"#);
    let roster = h.fold();
    assert!(!asks(&roster, "ada@globex.test", Verb::Pull, noon()).is_allowed());
    h.say("local", "identity.unlinked", None, link);
    let roster = h.fold();
    assert!(asks(&roster, "ada@globex.test", Verb::Pull, noon()).is_allowed());
    assert_eq!(roster.user(roster.user_by_name("ada.l").unwrap()).id, "corp/q");
}

#[test]
fn a_cycle_of_accounts_is_shown_and_makes_nobody_a_sub_account() {
    let mut h = small();
    h.say("flexnet", "account.upserted", Some(2), r#"{"account":"initech","kind":"producer","parent":"lab"}"#);
    let roster = h.fold();
    assert_eq!(roster.accounts_in_cycles(), ["flexnet/initech", "flexnet/lab"]);
    assert!(!asks(&roster, "bob", Verb::Push, noon()).is_allowed());
    h.say("flexnet", "account.upserted", Some(3), r#"{"account":"initech","kind":"producer"}"#);
    let roster = h.fold();
    assert!(roster.accounts_in_cycles().is_empty() && asks(&roster, "bob", Verb::Push, noon()).is_allowed());
}

#[test]
fn an_invitation_is_redeemed_once_and_a_reset_ends_every_secret() {
    let mut h = small();
    let hash = |n: u8| format!("{n:02x}").repeat(32);
    let issue = |id: &str, n: u8, invitation: &str| {
        format!(
            r#"{{"secret":"{id}","owner":{{"user":"flexnet/ada"}},"sha256":"{}","invitation":{invitation}}}"#,
            hash(n)
        )
    };
    h.say(
        "local",
        "secret.invited",
        None,
        &format!(r#"{{"secret":"inv","user":"flexnet/ada","sha256":"{}","expires":"2026-03-01T13:00:00Z"}}"#, hash(1)),
    );
    assert!(h.fold().invitation(&[1; 32], noon()).is_some() && h.fold().credential(&[1; 32], noon()).is_none());
    h.say("local", "secret.issued", None, &issue("sec_1", 2, "\"inv\""));
    h.say("local", "secret.issued", None, &issue("sec_2", 3, "\"inv\""));
    let roster = h.fold();
    assert!(roster.credential(&[2; 32], noon()).is_some() && roster.credential(&[3; 32], noon()).is_none());
    assert!(roster.invitation(&[1; 32], noon()).is_none());
    h.say("local", "credentials.reset", None, r#"{"user":"flexnet/ada"}"#);
    h.say("local", "secret.issued", None, &issue("sec_3", 4, "null"));
    let roster = h.fold();
    assert!(roster.credential(&[2; 32], noon()).is_none() && roster.credential(&[4; 32], noon()).is_some());
    let secrets: Vec<_> = roster
        .secrets_of(roster.user_by_name("ada@globex.test").unwrap(), noon())
        .iter()
        .map(|s| s.id.to_owned())
        .collect();
    assert_eq!(secrets, ["sec_3"]);
}

#[test]
fn a_retired_source_ends_with_all_its_facts_and_its_users_remain() {
    let mut h = small();
    h.say("local", "source.retired", None, r#"{"source":"flexnet"}"#);
    h.say("flexnet", "person.upserted", Some(9), r#"{"person":"ada","account":"globex","active":true}"#);
    let roster = h.fold();
    let ada = roster.user_by_name("ada@globex.test").unwrap();
    assert!(roster.user(ada).shut_out);
    assert!(members(&roster, roster.project_by_name("acme").unwrap(), noon()).is_empty());
}

#[test]
fn deep_trees_and_long_names_are_only_data() {
    let mut h = small();
    for i in 0..2_000 {
        h.say(
            "flexnet",
            "account.upserted",
            Some(1),
            &format!(r#"{{"account":"n{i}","kind":"producer","parent":"n{}"}}"#, i + 1),
        );
    }
    h.say("flexnet", "account.upserted", Some(1), r#"{"account":"n2000","kind":"producer","parent":"initech"}"#);
    h.say("flexnet", "person.upserted", Some(2), r#"{"person":"bob","account":"n0","active":true}"#);
    assert!(asks(&h.fold(), "bob", Verb::Push, noon()).is_allowed());
    let _: Arc<str> = h.0[0].data.clone();
}

#[test]
fn folders_are_never_inside_themselves_whatever_the_order_of_the_levels() {
    let profile = |levels: &str| {
        format!(
            r#"{{"schema":1,"name":"x","levels":{levels},"roles":{{"reader":{{"actions":["image.pull"],"at":["root"]}}}}}}"#
        )
    };
    let mut history = History::settings(false);
    history.say("local", "profile.set", None, &profile(r#"["root","team","region","project"]"#));
    history.say("local", "folder.upserted", None, r#"{"folder":"t","kind":"team"}"#);
    history.say("local", "folder.upserted", None, r#"{"folder":"r","kind":"region","parent":"t"}"#);
    history.say("local", "profile.set", None, &profile(r#"["root","region","team","project"]"#));
    history.say("local", "folder.upserted", None, r#"{"folder":"t","kind":"team","parent":"r"}"#);
    let roster = history.fold();
    let parent = |id: &str| roster.folder(roster.folder_by_id(id).unwrap()).parent;
    assert_eq!((parent("r"), parent("t")), (roster.folder_by_id("t"), None), "the second would close a circle");
}
