//! Laws of the fold and the decision on random histories, and the rules one by one on the smallest world. Scenario
//! files in `tests/scenarios` tell them from outside.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall_events::{EventKey, NewEvent, Position, Recorded};

use crate::{
    decide::{Verdict, decide},
    fold::change::Effect,
    profile::Verb,
    questions::{
        explain::{explain, had_tie},
        members::{members, membership_digest, memberships_of},
    },
    roster::{Roster, handles::Principal},
    suite::histories::{History, asks, fold_next, history, link, noon, past, shuffled, small, table, world},
};

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

    /// What is called how, by which earlier names it is found, who asks for which name and what waits: of things that do not ask
    /// for each other's names none of it depends on when what was said came.
    #[test]
    fn names_and_earlier_names_and_claims_hang_on_no_order_of_arrival((straight, twisted) in shuffled()) {
        let named = |events: &[NewEvent]| History(events.iter().map(with_own_name).collect()).fold();
        let (one, other) = (named(&straight.0), named(&twisted));
        prop_assert_eq!(names(&one), names(&other));
        prop_assert_eq!(membership_digest(&one, noon()), membership_digest(&other, noon()));
        let again = Roster::from_snapshot(&other.to_snapshot()).unwrap();
        prop_assert_eq!(names(&again), names(&one));
    }

    /// Which persons are one user is a matter of which links stand, whenever each was said and however often; and of no name.
    #[test]
    fn who_is_one_user_hangs_on_no_order_of_links_and_persons((before, said, order) in linked()) {
        let mut straight = before.clone();
        straight.0.extend(said);
        let mut twisted = before;
        twisted.0.extend(order.iter().chain(&order).cloned());
        let (straight, twisted) = (straight.fold(), twisted.fold());
        prop_assert_eq!(one_users(&straight), one_users(&twisted));
        prop_assert_eq!(membership_digest(&straight, noon()), membership_digest(&twisted, noon()));
        let again = Roster::from_snapshot(&twisted.to_snapshot()).unwrap();
        prop_assert_eq!(one_users(&again), one_users(&straight));
    }

    /// Linked first and gone later is gone first and linked later: nobody loses or keeps anything by the order.
    #[test]
    fn linking_before_a_source_or_a_person_ends_comes_to_the_same_as_linking_after((before, links, ends) in merged()) {
        let of = |first: &[NewEvent], then: &[NewEvent]| {
            let mut all = before.clone();
            all.0.extend(first.iter().chain(then).cloned());
            all.fold()
        };
        let (linked_first, gone_first) = (of(&links, &ends), of(&ends, &links));
        prop_assert_eq!(one_users(&linked_first), one_users(&gone_first));
        prop_assert_eq!(table(&linked_first), table(&gone_first));
        let called = |roster: &Roster| roster.users().map(|user| roster.user_name(user).to_owned()).collect::<Vec<_>>();
        prop_assert_eq!(called(&linked_first), called(&gone_first));
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

    /// What is kept ready for quick decisions follows from the facts after every event, also after a start.
    #[test]
    fn what_is_kept_ready_follows_from_the_facts(history in history(), cut in 0..120_usize) {
        let mut roster = History(Vec::new()).fold();
        for (n, event) in history.0.iter().enumerate() {
            fold_next(&mut roster, event.clone(), noon());
            if n == cut {
                roster = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
            }
            prop_assert_eq!(roster.fast_path_flaws(), Vec::<String>::new(), "after event {}", n);
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

/// The event with a name that its package or person asks for at times, and nobody else.
fn with_own_name(event: &NewEvent) -> NewEvent {
    let (key, id) = match &*event.kind {
        "rollcall.package.upserted.v1" => ("project_name", "package"),
        "rollcall.person.upserted.v1" => ("username", "person"),
        _ => return event.clone(),
    };
    let mut data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
    let which = (event.sequence.unwrap() + event.data.len() as u64) % 4;
    data[key] = format!("{}-{which}", data[id].as_str().unwrap()).into();
    NewEvent { data: data.to_string().into(), ..event.clone() }
}

/// What every project and user that is there is called, by which earlier names projects are found, what is asked for and
/// what waits.
fn names(roster: &Roster) -> Vec<String> {
    let projects = roster.projects().map(|ix| roster.project(ix)).filter(|project| !project.archived);
    let mut all: Vec<String> =
        projects.map(|project| format!("{} {} {:?}", project.id, project.name, project.aliases)).collect();
    let there = roster.users().filter(|user| roster.user(*user).persons.iter().any(|person| !person.removed));
    all.extend(there.map(|user| format!("{} {}", roster.user_id(user), roster.user_name(user))));
    all.extend(roster.parked().map(|parked| format!("{} {} {}", parked.source, parked.subject, parked.reason)));
    all.extend(roster.claims().into_iter().map(|(project, who)| format!("{} {who:?}", roster.project_name(project))));
    all.sort();
    all
}

/// Which persons each user is.
fn one_users(roster: &Roster) -> Vec<(String, Vec<String>)> {
    let persons = |user| roster.persons_of(user).iter().map(|ix| roster.person_key(*ix)).collect();
    roster.users().map(|user| (roster.user_id(user), persons(user))).collect()
}

/// A world with roles given by hand; links of its persons; and what ends some of them.
fn merged() -> impl Strategy<Value = (History, Vec<NewEvent>, Vec<NewEvent>)> {
    let ends = prop_oneof![
        1 => Just(("local", "source.retired", r#"{"source":"corp"}"#.to_owned())),
        1 => Just(("local", "source.suspended", r#"{"source":"corp"}"#.to_owned())),
        2 => (0..5_u8).prop_map(|p| ("flexnet", "person.removed", format!(r#"{{"person":"p{p}"}}"#))),
        2 => (0..3_u8).prop_map(|q| ("corp", "person.removed", format!(r#"{{"person":"q{q}"}}"#))),
    ];
    (past(), prop::collection::vec(link(), 1..5), prop::collection::vec(ends, 1..4)).prop_map(
        |(before, links, ends)| {
            let mut all = before.clone();
            let from = all.0.len();
            for (source, kind, data) in links.into_iter().chain(ends) {
                all.say(source, kind, (source != "local").then_some(100), &data);
            }
            let said = all.0.split_off(from);
            let (links, ends) = said.into_iter().partition(|event| event.kind.contains("identity"));
            (before, links, ends)
        },
    )
}

/// A world of persons; then links of them and what becomes of them, in two orders.
fn linked() -> impl Strategy<Value = (History, Vec<NewEvent>, Vec<NewEvent>)> {
    (history(), prop::collection::vec(link(), 1..8)).prop_flat_map(|(rest, links)| {
        let mut before = History(rest.0.iter().take(1).cloned().collect());
        before.state_everybody();
        let mut said = History(before.0.clone());
        let mut pairs = BTreeSet::new();
        for (source, kind, data) in links {
            said.say(source, kind, None, &data);
            // What is said twice of one pair has its order by when it came.
            let subject = said.0.last().unwrap().subject.clone();
            if !pairs.insert(subject) {
                said.0.pop();
            }
        }
        let mut said = said.0.split_off(before.0.len());
        for (n, event) in rest.0.into_iter().enumerate().filter(|(_, event)| !event.key.source.is_local()) {
            said.push(NewEvent { key: EventKey { id: format!("r{n}").into(), ..event.key.clone() }, ..event });
        }
        (Just(before), Just(said.clone()), Just(said).prop_shuffle())
    })
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

/// A package that was renamed is found by the name that it had, also where that came last, and also where the package was not
/// delivered meanwhile; which of two rivals has a name is a matter of arrival.
#[test]
fn an_earlier_name_finds_its_project_whenever_it_came() {
    let package = |name: &str, delivered: bool| {
        format!(r#"{{"package":"p","project_name":"{name}","producer":"initech","container_delivery":{delivered}}}"#)
    };
    let said = [(1, package("a", true)), (2, package("b", true)), (3, package("c", false)), (4, package("d", true))];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [2, 1, 0, 3], [1, 3, 0, 2]] {
        let mut h = small();
        for n in order {
            h.say("flexnet", "package.upserted", Some(said[n].0), &said[n].1);
        }
        let roster = h.fold();
        let found = roster.project(roster.project_by_name("a").unwrap());
        assert_eq!((found.name, found.aliases), ("d", vec!["a", "b"]), "{order:?}");
        let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
        assert_eq!(again.project_by_name("b"), roster.project_by_name("d"));
    }
    let mut h = small();
    h.say("flexnet", "package.upserted", Some(2), &package("d", true));
    h.say("flexnet", "package.upserted", Some(1), &package("acme", true));
    let roster = h.fold();
    assert_eq!(roster.project(roster.project_by_name("acme").unwrap()).package, Some("db-suite"));
    assert!(roster.claims().is_empty(), "an old name claims nothing");
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
    assert_eq!((roster.user(user).id.as_str(), roster.user(user).name), ("flexnet/ada", "ada.l"));
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
