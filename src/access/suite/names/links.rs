//! Which persons are one user: by rules and by hand, what comes of it, and what is left of it when they part.

use rollcall_events::Body;

use super::{give, link, names, person};
use crate::{
    decide::decide,
    effort::Effort,
    profile::Verb,
    questions::{
        explain::explain,
        links::{LinkGiver, LinkRule},
        problems::RosterProblem,
    },
    roster::{
        Roster,
        handles::{Principal, ProjectIx},
    },
    suite::histories::{History, noon},
    what_if::links::{LinkNoteKind, PersonChange, plan_links},
};

/// What a user may do with the images of project `tools`, and with those below folder `c`.
pub(super) fn may(roster: &Roster, id: &str) -> String {
    let user = Principal::User(roster.user_by_id(id).unwrap());
    let verbs = [Verb::Pull, Verb::Push].into_iter().filter(|verb| {
        let actions = roster.profile().registry_action(*verb).unwrap();
        decide(roster, user, actions, roster.project_by_name("tools").unwrap(), noon()).is_allowed()
    });
    verbs.map(|verb| format!("{verb:?} ")).collect::<String>().trim_end().to_lowercase()
}

/// Project `tools`, on which a group that is kept here may pull and `corp/old` may push.
pub(super) fn given_by_hand(h: &mut History, who: &str) {
    let project =
        r#"{"project":"p","name":"tools","kind":"standard","visibility":"private","folder":null,"creator":null}"#;
    h.say("local", "project.created", None, project);
    h.say("local", "group.upserted", None, r#"{"group":"crew","name":null,"author":"test"}"#);
    let place = format!(r#"{{"group":"crew","member":{{"person":"{who}"}},"author":"test"}}"#);
    h.say("local", "group.member.added", None, &place);
    for (principal, role) in
        [(r#"{"group":"local/crew"}"#.to_owned(), "Guest"), (format!(r#"{{"user":"{who}"}}"#), "Developer")]
    {
        let data = format!(
            r#"{{"principal":{principal},"role":"{role}","scope":{{"project":"local/p"}},"author":"test","starts":null,"ends":null}}"#
        );
        h.say("local", "binding.set", None, &data);
    }
}

/// She left the company and is a customer still, whom a third source knows too.
#[test]
fn what_somebody_had_who_left_is_not_that_of_the_customer_whom_she_is_still() {
    let mut h = History::settings(false);
    person(&mut h, "corp", "old", Some("ada"));
    person(&mut h, "flexnet", "C-1", Some("ada.l"));
    given_by_hand(&mut h, "corp/old");
    h.say("local", "identity.linked", None, &link("corp/old", "flexnet/C-1"));
    assert_eq!(may(&h.fold(), "flexnet/C-1"), "pull push");
    h.say("corp", "person.removed", Some(2), r#"{"person":"old"}"#);
    person(&mut h, "lab", "L-1", Some("lovelace"));
    h.say("local", "identity.linked", None, &link("flexnet/C-1", "lab/L-1"));
    let roster = h.fold();
    assert_eq!(may(&roster, "flexnet/C-1"), "");
    assert_eq!(roster.problems(RosterProblem::Binding, 0, 100).found.len(), 1, "it is told");
    // Made again she has it again, whichever of her persons she is linked with.
    person(&mut h, "corp", "new", Some("ada"));
    for one in ["corp/old", "flexnet/C-1", "lab/L-1"] {
        let mut h = h.clone();
        h.say("local", "identity.linked", None, &link(one, "corp/new"));
        assert_eq!(may(&h.fold(), "flexnet/C-1"), "pull push", "{one}");
    }
}

#[test]
fn what_a_user_was_given_by_hand_lasts_while_one_of_its_persons_is_there_and_goes_back_to_whose_it_is_when_they_part() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "old", Some("ada"));
    given_by_hand(&mut h, "flexnet/old");
    let (gone, linked) = (r#"{"person":"old"}"#, link("flexnet/old", "corp/new"));
    person(&mut h, "corp", "new", Some("ada"));
    // Whichever comes first.
    for order in [["gone", "linked"], ["linked", "gone"]] {
        let mut h = h.clone();
        for step in order {
            match step {
                "gone" => h.say("flexnet", "person.removed", Some(2), gone),
                _ => h.say("local", "identity.linked", None, &linked),
            }
        }
        let roster = h.fold();
        assert_eq!(may(&roster, "corp/new"), "pull push", "{order:?}");
        let vain = [RosterProblem::Binding, RosterProblem::Dangling].map(|kind| roster.problems(kind, 0, 100).found);
        assert_eq!(vain.map(|found| found.len()), [0, 0], "it is in effect");
        h.say("local", "identity.unlinked", None, &linked);
        assert_eq!(may(&h.fold(), "corp/new"), "", "{order:?}");
        h.say(
            "flexnet",
            "person.upserted",
            Some(3),
            r#"{"person":"old","username":"ada","account":null,"active":true}"#,
        );
        assert_eq!([may(&h.fold(), "flexnet/old"), may(&h.fold(), "corp/new")], ["pull push", ""], "{order:?}");
    }
    // What its own directory says of a group rests on the entry, which is gone.
    h.say("flexnet", "person.upserted", Some(2), r#"{"person":"old","username":"ada","account":null,"active":true}"#);
    h.say(
        "local",
        "binding.removed",
        None,
        r#"{"principal":{"user":"flexnet/old"},"role":"Developer","scope":{"project":"local/p"},"author":"test"}"#,
    );
    h.say(
        "local",
        "group.member.removed",
        None,
        r#"{"group":"crew","member":{"person":"flexnet/old"},"author":"test"}"#,
    );
    h.say("flexnet", "group.upserted", Some(1), r#"{"group":"ops"}"#);
    h.say("flexnet", "group.member.added", Some(1), r#"{"group":"ops","member":{"person":"old"}}"#);
    h.say("local", "binding.set", None, r#"{"principal":{"group":"flexnet/ops"},"role":"Guest","scope":{"project":"local/p"},"author":"test","starts":null,"ends":null}"#);
    h.say("local", "identity.linked", None, &linked);
    assert_eq!(may(&h.fold(), "corp/new"), "pull");
    h.say("flexnet", "person.removed", Some(3), gone);
    assert_eq!(may(&h.fold(), "corp/new"), "");
}

#[test]
fn the_rule_for_who_was_made_again_looks_where_it_is_told_to_and_links_neither_of_two_who_could_be_the_one() {
    let mut h = History::settings(true);
    h.say("local", "settings.set", None, r#"{"sources":{"corp":{"order":"version","authoritative":true},"corp2":{"order":"version","authoritative":true}},"author":"test"}"#);
    let linkable = |h: &History, with: &str, overlapping: bool| {
        let pairs = h.fold().linkable(LinkRule::MadeAgain, "corp", with, overlapping).pairs;
        pairs.iter().map(|pair| pair.each_ref().map(|one| format!("{}/{}", one.source, one.person))).collect::<Vec<_>>()
    };
    let remedy = |h: &History| {
        let found = h.fold().problems(RosterProblem::UserName, 0, 100).found;
        found.into_iter().map(|(_, flaw)| flaw.remedy).collect::<String>()
    };
    person(&mut h, "corp", "old", Some("ada"));
    let before = h.clone();
    person(&mut h, "corp2", "new", Some("ada"));
    assert!(linkable(&h, "corp2", true).is_empty(), "who is there still was not made again");
    h.say("corp", "person.removed", Some(2), r#"{"person":"old"}"#);
    // Both were there at once: two people of two companies, or one whose directory was moved. Only a person knows.
    assert_eq!(linkable(&h, "corp2", false), Vec::<[String; 2]>::new());
    assert!(!remedy(&h).contains("made again"), "{}", remedy(&h));
    assert_eq!(linkable(&h, "corp2", true), [["corp/old", "corp2/new"]]);
    let mut h = before;
    h.say("corp", "person.removed", Some(2), r#"{"person":"old"}"#);
    person(&mut h, "corp2", "new", Some("ada"));
    assert_eq!(linkable(&h, "corp2", false), [["corp/old", "corp2/new"]]);
    assert!(remedy(&h).contains("made again"), "{}", remedy(&h));
    assert!(linkable(&h, "corp", false).is_empty());
    // Whose old person is somebody else by now, and who was parted by hand, is none.
    let mut elsewhere = h.clone();
    person(&mut elsewhere, "corp2", "other", Some("pgreen"));
    elsewhere.say("local", "identity.linked", None, &link("corp/old", "corp2/other"));
    let mut parted = h.clone();
    for kind in ["identity.linked", "identity.unlinked"] {
        parted.say("local", kind, None, &link("corp/old", "corp2/new"));
    }
    let mut excepted = h.clone();
    excepted.say("local", "identity.unlinked", None, &link("corp/old", "corp2/new"));
    for h in [elsewhere, parted, excepted] {
        assert_eq!(linkable(&h, "corp2", true), Vec::<[String; 2]>::new());
        assert!(!remedy(&h).contains("made again"), "{}", remedy(&h));
    }
    person(&mut h, "corp", "again", Some("ada"));
    assert!(linkable(&h, "corp2", false).is_empty() && linkable(&h, "corp", false).is_empty());
    h.say("corp2", "person.removed", Some(2), r#"{"person":"new"}"#);
    assert_eq!(linkable(&h, "corp", false), [["corp/old", "corp/again"]]);
}

#[test]
fn who_has_one_id_in_two_sources_and_was_said_to_be_two_is_not_taken_for_one_again() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "u-1", Some("ada"));
    person(&mut h, "corp", "u-1", Some("ada"));
    let linkable = |h: &History| h.fold().linkable(LinkRule::SameId, "flexnet", "corp", false).pairs.len();
    assert_eq!(linkable(&h), 1);
    for (kind, after) in [("identity.unlinked", 0), ("identity.linked", 0), ("identity.unlinked", 0)] {
        h.say("local", kind, None, &link("flexnet/u-1", "corp/u-1"));
        assert_eq!(linkable(&h), after, "{kind}");
    }
}

/// Excepting somebody is an event: whoever goes on by the rule knows it, and a link lifts it.
#[test]
fn who_was_excepted_from_what_a_source_says_stays_a_user_of_its_own_until_somebody_links_it() {
    let mut h = History::settings(false);
    for contact in ["C-1", "C-2"] {
        person(&mut h, "flexnet", contact, None);
    }
    stated(&mut h, "u-1", 1, Some("C-1"));
    stated(&mut h, "u-2", 1, Some("C-2"));
    h.say("local", "identity.unlinked", None, &link("corp/u-2", "flexnet/C-2"));
    let confirm =
        r#"{"persons":[{"source":"corp","person":"u-1"},{"source":"flexnet","person":"C-1"}],"rule":"stated"}"#;
    h.say("local", "identity.linked", None, confirm);
    let roster = h.fold();
    assert_eq!(due_links(&roster), (vec![], vec![]));
    assert_eq!(roster.linkable(LinkRule::Stated, "corp", "", false).pairs.len(), 0);
    assert_eq!((link_flaws(&roster).len(), roster.statements_of("corp").parted), (0, 1));
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    assert_eq!(due_links(&again), (vec![], vec![]), "a restart forgets it");
    // Nobody ever was one with the other: nothing is told of an end.
    let (user, project) =
        (roster.user_by_id("corp/u-2").unwrap(), ProjectIx::Personal(roster.user_by_id("flexnet/C-2").unwrap()));
    let actions = roster.profile().registry_action(Verb::Pull).unwrap();
    let why = explain(&roster, Principal::User(user), actions, project, noon());
    assert!(!format!("{why:?}").contains("not linked any more"), "{why:?}");
    h.say("local", "identity.linked", None, &link("corp/u-2", "flexnet/C-2"));
    assert_eq!(h.fold().user_by_id("corp/u-2"), h.fold().user_by_id("flexnet/C-2"));
}

/// A wrong number in one entry would else make one user of two people of one directory.
#[test]
fn nobody_becomes_by_what_a_source_says_a_user_that_is_another_of_its_people_already() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-1", Some("carl"));
    person(&mut h, "flexnet", "C-2", Some("cora"));
    let confirm =
        r#"{"persons":[{"source":"corp","person":"u-9"},{"source":"flexnet","person":"C-9"}],"rule":"stated"}"#;
    h.say("local", "identity.linked", None, confirm);
    stated(&mut h, "u-1", 1, None);
    h.say("local", "identity.linked", None, &link("corp/u-1", "flexnet/C-1"));
    stated(&mut h, "u-2", 1, Some("C-1"));
    let roster = h.fold();
    assert_eq!(due_links(&roster).0, Vec::<String>::new());
    let flaws = link_flaws(&roster);
    assert!(flaws.len() == 1 && flaws[0].contains("corp/u-1 of source corp is that user already"), "{flaws:?}");
    // Nor do two become one by two contacts that are one user.
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-1", Some("carl"));
    person(&mut h, "flexnet", "C-2", Some("cora"));
    h.say("local", "identity.linked", None, confirm);
    h.say("local", "identity.linked", None, &link("flexnet/C-1", "flexnet/C-2"));
    stated(&mut h, "u-1", 1, Some("C-1"));
    stated(&mut h, "u-2", 1, Some("C-2"));
    let roster = h.fold();
    assert_eq!(due_links(&roster).0, Vec::<String>::new());
    assert!(link_flaws(&roster).iter().all(|flaw| flaw.contains("says so of several people")));
    // By hand it is somebody's decision, who is told.
    let body = Body::parse("rollcall.identity.linked.v1", &link("corp/u-1", "corp/u-2")).unwrap();
    let plan = plan_links(&roster, vec![body], noon(), &Effort::unbounded()).unwrap();
    let several = plan.notes.iter().filter(|note| note.kind == LinkNoteKind::SeveralOfOneSource);
    assert_eq!(
        several.map(|note| &*note.text).collect::<Vec<_>>(),
        ["u-1 would be 2 people of source corp: corp/u-1, corp/u-2"]
    );
}

/// The name that it had longest would be the customer's, or one that tells apart who need not be told apart any more.
#[test]
fn a_user_of_several_persons_has_the_name_of_the_employee_and_is_found_by_each() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-1", Some("carol@globex.test"));
    person(&mut h, "corp", "u-1", Some("carol"));
    person(&mut h, "flexnet", "C-2", Some("li"));
    person(&mut h, "corp", "u-2", Some("li"));
    person(&mut h, "corp", "u-3", Some("max"));
    person(&mut h, "corp", "u-4", Some("max.b"));
    for (one, two, name, other) in [
        ("flexnet/C-1", "corp/u-1", "carol", "carol@globex.test"),
        ("flexnet/C-2", "corp/u-2", "li", "li~corp"),
        ("corp/u-3", "corp/u-4", "max", "max.b"),
    ] {
        let body = Body::parse("rollcall.identity.linked.v1", &link(one, two)).unwrap();
        let plan = plan_links(&h.fold(), vec![body], noon(), &Effort::unbounded()).unwrap();
        let called = plan.notes.iter().find(|note| note.kind == LinkNoteKind::Called).unwrap();
        assert!(called.text.starts_with(&format!("called {name}; {other} signs in as well")), "{}", called.text);
        h.say("local", "identity.linked", None, &link(one, two));
        let roster = h.fold();
        let user = roster.user_by_id(one).unwrap();
        assert_eq!((roster.user_id(user), roster.user_name(user)), (one.to_owned(), name));
        assert_eq!([name, other].map(|name| roster.user_by_name(name)), [Some(user); 2]);
    }
    let before = h.fold();
    // What ends later takes no name from anybody, and what is parted has its own again.
    h.say("local", "source.retired", None, r#"{"source":"corp"}"#);
    assert_eq!(names(&h.fold()), names(&before));
    h.say("local", "identity.unlinked", None, &link("flexnet/C-1", "corp/u-1"));
    let roster = h.fold();
    assert_eq!(
        ["carol", "carol@globex.test"].map(|name| roster.user_id(roster.user_by_name(name).unwrap())),
        ["corp/u-1", "flexnet/C-1"]
    );
    // What somebody said comes first.
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-1", Some("carol@globex.test"));
    person(&mut h, "corp", "u-1", Some("carol"));
    h.say("local", "identity.linked", None, &link("flexnet/C-1", "corp/u-1"));
    give(&mut h, "flexnet/C-1", "countess");
    let roster = h.fold();
    assert_eq!(roster.user_name(roster.user_by_name("carol").unwrap()), "countess");
}

/// Whoever may post persons could else fill the table of sources, and be taken for one that comes later.
#[test]
fn whom_a_source_says_its_person_to_be_makes_no_source() {
    let mut h = History::settings(false);
    let same: Vec<String> =
        ["corp", "nowhere", "local"].map(|source| format!(r#"{{"source":"{source}","person":"u-1"}}"#)).into();
    let data = format!(r#"{{"person":"C-1","account":null,"active":true,"same_as":[{}]}}"#, same.join(","));
    h.say("flexnet", "person.upserted", Some(1), &data);
    let roster = h.fold();
    assert!(!roster.sources().any(|source| source == "nowhere"), "{:?}", roster.sources().collect::<Vec<_>>());
    person(&mut h, "corp", "u-1", None);
    assert_eq!(link_flaws(&h.fold()).len(), 1, "of one that is configured it is told, also before it said anything");
    let many: Vec<String> = (0..17).map(|n| format!(r#"{{"source":"s{n}","person":"u-1"}}"#)).collect();
    let data = format!(r#"{{"person":"C-1","account":null,"active":true,"same_as":[{}]}}"#, many.join(","));
    let refused = Body::parse("rollcall.person.upserted.v1", &data).unwrap_err();
    assert!(refused.to_string().contains("/same_as"), "{refused}");
}

#[test]
fn what_a_link_would_change_names_roles_of_the_api_and_who_could_not_sign_in_any_more() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-1", Some("carl"));
    let role = r#"{"principal":{"user":"flexnet/C-1"},"role":"api:auditor","scope":"root","author":"test"}"#;
    h.say("local", "binding.set", None, role);
    person(&mut h, "corp", "u-1", Some("max"));
    let changes = |h: &History| {
        let body = Body::parse("rollcall.identity.linked.v1", &link("corp/u-1", "flexnet/C-1")).unwrap();
        let plan = plan_links(&h.fold(), vec![body], noon(), &Effort::unbounded()).unwrap();
        let row = |row: &PersonChange| format!("{}{} {}", if row.appears { '+' } else { '-' }, row.person, row.role);
        plan.changes.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(changes(&h), ["+corp/u-1 api:auditor"]);
    h.say("corp", "person.upserted", Some(2), r#"{"person":"u-1","username":"max","account":null,"active":false}"#);
    assert_eq!(changes(&h), ["-flexnet/C-1 api:auditor", "-flexnet/C-1 sign in"]);
}

/// An employee whose directory knows him in the licensing system, and the contact there.
fn stated(h: &mut History, id: &str, sequence: u64, contact: Option<&str>) {
    let same: Vec<String> =
        contact.iter().map(|person| format!(r#"{{"source":"flexnet","person":"{person}"}}"#)).collect();
    let data = format!(r#"{{"person":"{id}","account":null,"active":true,"same_as":[{}]}}"#, same.join(","));
    h.say("corp", "person.upserted", Some(sequence), &data);
}

/// What is due of links: made and ended.
pub(super) fn due_links(roster: &Roster) -> (Vec<String>, Vec<String>) {
    let subjects = |bodies: Vec<Body>| bodies.iter().map(Body::subject).collect();
    (subjects(roster.due_links(0, 100).0), subjects(roster.links_over(0, 100).0))
}

pub(super) fn link_flaws(roster: &Roster) -> Vec<String> {
    let found = roster.problems(RosterProblem::Link, 0, 100).found;
    found.into_iter().map(|(_, flaw)| format!("{}: {}; {}", flaw.said, flaw.why, flaw.remedy)).collect()
}

#[test]
fn what_a_source_says_of_who_is_who_waits_to_be_confirmed_once_and_goes_on_by_itself_from_there() {
    let mut h = History::settings(false);
    for contact in ["C-1", "C-2", "C-3"] {
        person(&mut h, "flexnet", contact, None);
    }
    stated(&mut h, "u-1", 1, Some("C-1"));
    let roster = h.fold();
    assert_eq!(due_links(&roster), (vec![], vec![]));
    let flaws = link_flaws(&roster);
    assert!(flaws.len() == 1 && flaws[0].starts_with("person u-1 is flexnet/C-1: nobody confirmed"), "{flaws:?}");
    let pairs = roster.linkable(LinkRule::Stated, "corp", "", false).pairs;
    assert_eq!(pairs.len(), 1);
    let body = roster.link_command(pairs[0].clone(), Some(LinkRule::Stated), &LinkGiver::default());
    h.say("local", "identity.linked", None, &body.data());
    // From here on whoever comes is linked, and the other way round nothing is.
    stated(&mut h, "u-2", 1, Some("C-2"));
    let said = r#"{"person":"C-3","account":null,"active":true,"same_as":[{"source":"corp","person":"u-2"}]}"#;
    h.say("flexnet", "person.upserted", Some(2), said);
    let roster = h.fold();
    assert_eq!(roster.user_by_id("corp/u-1"), roster.user_by_id("flexnet/C-1"));
    assert_eq!(due_links(&roster), (vec!["link/corp%2Fu-2/flexnet%2FC-2".to_owned()], vec![]));
    assert_eq!(link_flaws(&roster).len(), 1, "of the licensing system nobody confirmed that it may say so");
    // What is not said any more ends, and what was parted by hand stays so.
    stated(&mut h, "u-1", 2, None);
    assert_eq!(due_links(&h.fold()).1, ["link/corp%2Fu-1/flexnet%2FC-1"]);
    stated(&mut h, "u-1", 3, Some("C-1"));
    assert_eq!(due_links(&h.fold()).1, Vec::<String>::new());
    h.say("local", "identity.unlinked", None, &link("corp/u-1", "flexnet/C-1"));
    assert_eq!(due_links(&h.fold()).0, ["link/corp%2Fu-2/flexnet%2FC-2"]);
    // Two who are said to be one: neither is.
    stated(&mut h, "u-9", 1, Some("C-2"));
    let roster = h.fold();
    assert_eq!(due_links(&roster).0, Vec::<String>::new());
    assert!(
        link_flaws(&roster).iter().any(|flaw| flaw.contains("says so of several people")),
        "{:?}",
        link_flaws(&roster)
    );
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    assert_eq!(
        (due_links(&again), link_flaws(&again)),
        (due_links(&roster), link_flaws(&roster)),
        "a restart forgets it"
    );
}

#[test]
fn a_suspended_source_and_an_inactive_person_link_nobody() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-1", None);
    person(&mut h, "flexnet", "C-2", None);
    let linked =
        r#"{"persons":[{"source":"corp","person":"u-0"},{"source":"flexnet","person":"C-2"}],"rule":"stated"}"#;
    h.say("local", "identity.linked", None, linked);
    stated(&mut h, "u-1", 1, Some("C-1"));
    assert_eq!(due_links(&h.fold()).0.len(), 1);
    h.say("local", "source.suspended", None, r#"{"source":"corp"}"#);
    assert_eq!(due_links(&h.fold()).0.len(), 0);
    h.say("local", "source.resumed", None, r#"{"source":"corp"}"#);
    let away = r#"{"person":"u-1","account":null,"active":false,"same_as":[{"source":"flexnet","person":"C-1"}]}"#;
    h.say("corp", "person.upserted", Some(2), away);
    assert_eq!(due_links(&h.fold()).0.len(), 0);
    h.say("local", "source.retired", None, r#"{"source":"corp"}"#);
    assert_eq!(due_links(&h.fold()), (vec![], vec![]));
}
