//! What a dry run says is what the fold says afterwards.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rollcall_events::Body;

use crate::{
    effort::Effort,
    questions::members::members,
    roster::Roster,
    suite::histories::{History, fact, noon, past},
    what_if::{
        dry_run::{could_empty_project, dry_run, emptied_projects},
        preview::NamedScope,
        trial::Trial,
    },
};

/// A history of one source, ordered as observed, and what it would say next.
fn proposed() -> impl Strategy<Value = (History, Vec<Body>)> {
    let said = || fact().prop_filter("one source", |(source, ..)| *source == "flexnet");
    (prop::collection::vec(said(), 20..120), prop::collection::vec(said(), 0..12)).prop_map(|(before, next)| {
        let mut history = History::default();
        before.iter().for_each(|(source, kind, data)| history.say(source, kind, None, data));
        let body = |(_, kind, data): (&str, &str, String)| Body::parse(&format!("rollcall.{kind}.v1"), &data).unwrap();
        (history, next.into_iter().map(body).collect())
    })
}

/// A world of groups in groups and folders, whose sources are ordered as observed.
fn observed() -> impl Strategy<Value = History> {
    past().prop_map(|mut history| {
        // The settings, by which sources are ordered otherwise.
        history.0.remove(0);
        history.0.iter_mut().for_each(|event| event.sequence = None);
        history
    })
}

/// What stands of the groups of a source and who is in them, by subject.
fn groups_of(history: &History, source: &str) -> Vec<Body> {
    let mut last = BTreeMap::new();
    for event in history.0.iter().filter(|event| event.key.source.as_str() == source) {
        let body = Body::parse(&event.kind, &event.data).unwrap();
        if body.subject().starts_with("group/") || body.subject().starts_with("member/") {
            last.insert(body.subject(), body);
        }
    }
    last.into_values().filter(|body| !body.is_removal()).collect()
}

fn users(roster: &Roster, project: &str) -> BTreeSet<String> {
    let project = roster.project_by_name(project).unwrap();
    members(roster, project, noon()).into_iter().map(|member| member.user).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_dry_run_says_what_would_be((history, facts) in proposed(), crowd in 1..4_usize) {
        let (before, source) = (history.fold(), "flexnet".parse().unwrap());
        let mut longer = history.clone();
        facts.iter().for_each(|fact| {
            let kind = fact.kind().trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned();
            longer.say("flexnet", &kind, None, &fact.data());
        });
        let after = longer.fold();
        let projects: Vec<String> = before.projects().map(|project| before.project_name(project).to_owned()).collect();
        let expected: BTreeSet<String> = projects
            .iter()
            .filter(|project| users(&before, project).len() >= crowd && users(&after, project).is_empty())
            .cloned()
            .collect();
        let told = emptied_projects(&before, &source, &facts, crowd, noon());
        prop_assert_eq!(&told.into_iter().collect::<BTreeSet<_>>(), &expected);
        prop_assert!(expected.is_empty() || could_empty_project(&facts, crowd));
        let rows = |roster: &Roster| -> BTreeSet<(String, String, String)> {
            let of = |project| {
                let name = roster.project_name(project).to_owned();
                members(roster, project, noon()).into_iter().map(move |m| (name.clone(), m.user, m.role))
            };
            roster.projects().flat_map(of).collect()
        };
        let mut ruled = after.clone();
        ruled.fold_due_rules(noon());
        let (had, has) = (rows(&before), rows(&ruled));
        let changes = dry_run(&before, &source, &facts, noon(), &Effort::unbounded()).unwrap().memberships;
        let told = |appears| -> BTreeSet<(String, String, String)> {
            changes.iter().filter(|change| change.appears == appears).map(|change| match &change.scope {
                NamedScope::Project(name) => (name.clone(), change.user.clone(), change.role.clone()),
                other => panic!("{other:?}"),
            }).collect()
        };
        prop_assert_eq!(told(true), has.difference(&had).cloned().collect());
        prop_assert_eq!(told(false), had.difference(&has).cloned().collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_taken_back_in_a_trial_is_as_if_it_had_never_been_tried(
        history in observed(),
        kept in prop::collection::vec(prop::bool::ANY, 40),
        crowd in 1..3_usize,
    ) {
        let (before, source) = (history.fold(), "corp".parse().unwrap());
        let stands = groups_of(&history, "corp");
        let removals = |bodies: &[&Body]| bodies.iter().filter_map(|body| body.removal()).collect::<Vec<_>>();
        let all: Vec<&Body> = stands.iter().collect();
        let mut trial = Trial::of(before.clone(), source, crowd, noon());
        for turn in 0..4 {
            let keeps = |at: usize| kept.get((at + turn * 7) % kept.len()).is_some_and(|keeps| *keeps);
            let (stay, go): (Vec<_>, Vec<_>) = all.iter().enumerate().partition(|(at, _)| keeps(*at));
            let [stay, go] = [stay, go].map(|part| part.into_iter().map(|(_, body)| *body).collect::<Vec<_>>());
            trial.record(&removals(&all));
            trial.record(&stay.into_iter().rev().cloned().collect::<Vec<_>>());
            let source = "corp".parse().unwrap();
            let expected: BTreeSet<String> =
                emptied_projects(&before, &source, &removals(&go), crowd, noon()).into_iter().collect();
            prop_assert_eq!(&trial.emptied(), &expected);
            prop_assert!(trial.are_empty(&expected));
            let others = before.projects().map(|project| before.project_name(project).to_owned());
            for other in others.filter(|name| !expected.contains(name) && users(&before, name).len() >= crowd) {
                prop_assert!(!trial.are_empty(&[other].into()));
            }
        }
        trial.begin_anew();
        prop_assert!(trial.emptied().is_empty());
    }
}

#[test]
fn few_people_cannot_empty_a_project_and_a_group_can() {
    let parse = |kind: &str, data: String| Body::parse(&format!("rollcall.{kind}.v1"), &data).unwrap();
    let leaves = |n| parse("group.member.removed", format!(r#"{{"group":"g","member":{{"person":"p{n}"}}}}"#));
    let gone = |n| parse("person.removed", format!(r#"{{"person":"p{n}"}}"#));
    let four: Vec<Body> = (0..4).map(leaves).chain((0..4).map(gone)).collect();
    assert!(!could_empty_project(&four, 5));
    assert!(could_empty_project(&(0..5).map(leaves).collect::<Vec<_>>(), 5));
    for whole in [
        parse("group.removed", r#"{"group":"g"}"#.into()),
        parse("group.member.removed", r#"{"group":"g","member":{"group":"h"}}"#.into()),
        parse("package.removed", r#"{"package":"k"}"#.into()),
    ] {
        assert!(could_empty_project(&[whole], 5));
    }
}

#[test]
fn a_dry_run_says_who_is_parted_by_a_rule_who_is_shut_out_then_and_which_names_are_taken() {
    let mut history = History::default();
    let entry = |id: &str, name: &str, same_as: &str| {
        format!(r#"{{"person":"{id}","username":"{name}","account":null,"active":true,"same_as":[{same_as}]}}"#)
    };
    let same = r#"{"source":"flexnet","person":"C-1"}"#;
    history.say("flexnet", "person.upserted", None, &entry("C-1", "bob", ""));
    history.say("corp", "person.upserted", None, &entry("e1", "bob.c", same));
    let link = format!(r#"{{"persons":[{{"source":"corp","person":"e1"}},{same}],"rule":"stated"}}"#);
    history.say("local", "identity.linked", None, &link);
    let away =
        |h: &mut History| h.say("flexnet", "person.upserted", None, &entry("C-1", "bob", "").replace("true", "false"));
    away(&mut history);
    let before = history.fold();
    let parse = |data: String| Body::parse("rollcall.person.upserted.v1", &data).unwrap();
    let facts = [parse(entry("e1", "bob.c", "")), parse(entry("e2", "bob", "")), parse(entry("e3", "eve", ""))];
    let tried = dry_run(&before, &"corp".parse().unwrap(), &facts, noon(), &Effort::unbounded()).unwrap();
    let told: Vec<String> = tried.users.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "corp/e2 asks for the user name bob, which is that of flexnet/C-1: it would be called bob~corp",
            "bob and bob.c are parted",
            "bob (flexnet/C-1) cannot sign in any more",
        ]
    );
}
