use proptest::prelude::*;
use rollcall_events::names::{CallerReference, user_name};

use crate::{
    effort::Effort,
    past::slice::{Basis, PastQuestion},
    roster::{Roster, users::NameProblem},
    suite::histories::History,
};

fn person(h: &mut History, source: &str, id: &str, username: Option<&str>) {
    let username = serde_json::to_string(&username).unwrap();
    let id = serde_json::to_string(id).unwrap();
    h.say(
        source,
        "person.upserted",
        Some(1),
        &format!(r#"{{"person":{id},"username":{username},"account":null,"active":true}}"#),
    );
}

/// Name in effect, name asked for and why that is not in effect, of one person.
fn named(roster: &Roster, source: &str, id: &str) -> (String, Option<(String, String)>) {
    let view = roster.person(source, id).unwrap();
    (view.username.to_owned(), view.asked_name.map(|asked| (asked.name.to_owned(), asked.why.to_string())))
}

#[test]
fn a_user_whose_name_is_the_id_of_another_is_not_found_under_that_id() {
    for mallory_first in [true, false] {
        let mut h = History::settings(false);
        let (a, b) = (("corp", "q", Some("flexnet/bob")), ("flexnet", "bob", Some("bob")));
        for (source, id, name) in if mallory_first { [a, b] } else { [b, a] } {
            person(&mut h, source, id, name);
        }
        let roster = h.fold();
        let (bob, mallory) = (roster.user_by_id("flexnet/bob").unwrap(), roster.user_by_id("corp/q").unwrap());
        assert_ne!(bob, mallory);
        assert_eq!(roster.user_by_reference(CallerReference::of("flexnet/bob")), Some(bob));
        assert_eq!(roster.user_by_name("flexnet/bob"), None);
        assert_eq!(named(&roster, "corp", "q").0, "q");
        // Nor do questions about the past take one for the other.
        let subjects =
            roster.relevant_subjects(PastQuestion::User("flexnet/bob"), Basis::Recorded, &Effort::unbounded()).unwrap();
        let named = |subject: &str| subjects.iter().any(|known| format!("{known:?}").contains(subject));
        assert!(named("person/bob") && !named("person/q"), "{subjects:?}");
    }
}

#[test]
fn a_name_that_nobody_can_have_keeps_the_person_under_its_id_and_says_what_was_asked_and_why_not() {
    let mut h = History::settings(false);
    let (hex, long) = ("sec_0190a7b2c3d47e8f90a1b2c3d4e5f607", "n".repeat(300));
    let asked = ["sys:admin", "", "flexnet/bob", hex, "b\u{202E}ob", "b\u{200B}ob", "..", "a\tb", &long];
    for (n, name) in asked.iter().enumerate() {
        person(&mut h, "flexnet", &format!("n{n}"), Some(name));
    }
    let roster = h.fold();
    for (n, name) in asked.iter().enumerate() {
        let (username, kept) = named(&roster, "flexnet", &format!("n{n}"));
        let (kept, why) = kept.unwrap();
        assert_eq!(username, format!("n{n}"));
        assert!(name.starts_with(&kept) && (kept == *name || kept.len() == 256), "{kept:?}");
        assert!(why.starts_with("no user can have this name: it "), "{why}");
    }
    assert_eq!(roster.names_not_in_effect().count(), asked.len());
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    assert_eq!(again.names_not_in_effect().count(), asked.len(), "a restart forgets it");
}

#[test]
fn a_name_that_is_taken_is_shown_with_its_holder_until_the_source_asks_for_another() {
    let mut h = History::settings(false);
    person(&mut h, "corp", "q", Some("bob"));
    person(&mut h, "flexnet", "b", Some("Bob"));
    let roster = h.fold();
    let (username, asked) = named(&roster, "flexnet", "b");
    assert_eq!(username, "bob~flexnet");
    assert_eq!(asked, Some(("bob".into(), "the name is or was that of corp/q".into())));
    let view = roster.names_not_in_effect().next().unwrap();
    assert!(matches!(view.asked_name.unwrap().why, NameProblem::Taken("corp", "q")));
    h.say("flexnet", "person.upserted", Some(2), r#"{"person":"b","username":"bobby","account":null,"active":true}"#);
    assert_eq!(named(&h.fold(), "flexnet", "b"), ("bobby".into(), None));
    assert_eq!(h.fold().names_not_in_effect().count(), 0);
}

#[test]
fn names_that_only_look_alike_are_two_users_and_told_of_each_other() {
    let mut h = History::settings(false);
    for (id, name) in [("1", "bob"), ("2", "b\u{43E}b"), ("3", "b0b"), ("4", "rob"), ("5", "b\u{3BF}b")] {
        person(&mut h, "flexnet", id, Some(name));
    }
    let roster = h.fold();
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    for roster in [roster, again] {
        let alike = |id: &str| roster.look_alikes(roster.user_by_id(id).unwrap()).join(" ");
        assert_eq!(alike("flexnet/1"), "b0b b\u{3BF}b b\u{43E}b");
        assert_eq!(alike("flexnet/2"), "b0b bob b\u{3BF}b");
        assert_eq!(alike("flexnet/4"), "");
    }
}

#[test]
fn nothing_is_said_of_a_person_for_whom_no_name_was_asked_or_who_is_gone() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "a/b", None);
    person(&mut h, "flexnet", "c", Some(":"));
    h.say("flexnet", "person.removed", Some(2), r#"{"person":"c"}"#);
    let roster = h.fold();
    assert_eq!(named(&roster, "flexnet", "a/b"), ("a-b".into(), None));
    assert_eq!(roster.names_not_in_effect().count(), 0);
}

proptest! {
    /// Whatever sources call people: no name has the form of an id, no two users have one name, and each person is found by
    /// name and by id as itself.
    #[test]
    fn whatever_sources_say_every_user_is_found_by_name_and_by_id_and_never_as_another(
        said in prop::collection::vec(
            (prop_oneof![Just("flexnet"), Just("corp")], "[ab/:.~_]{1,4}|sec_[0-9a-f]{8}|\\PC{1,3}", prop::option::of("[ab/:.~]{0,5}|flexnet/[ab]|\\PC{0,3}")),
            1..12,
        )
    ) {
        let mut h = History::settings(false);
        for (source, id, name) in &said {
            if id.parse::<rollcall_events::Id>().is_ok() {
                person(&mut h, source, id, name.as_deref());
            }
        }
        let roster = h.fold();
        for user in roster.users() {
            let (id, name) = (roster.user_id(user), roster.user_name(user));
            prop_assert_eq!(user_name(name), Ok(name.to_owned()));
            prop_assert_eq!(roster.user_by_reference(CallerReference::of(&id)), Some(user), "{}", id);
            prop_assert_eq!(roster.user_by_reference(CallerReference::of(name)), Some(user), "{}", name);
        }
    }
}
