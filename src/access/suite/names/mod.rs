//! What users are called, by whom and until when; in `links`, which persons are one user; in `apart`, which are not, as
//! somebody said so; in `joins`, whom no rule makes one; and, in `made_again`, whom a directory has anew.

mod apart;
mod exchange;
mod joins;
mod links;
mod made_again;
mod parting;
mod within;

use proptest::prelude::*;
use rollcall_events::{
    Body,
    names::{CallerReference, user_name},
};

use crate::{
    effort::Effort,
    past::slice::{Basis, PastQuestion},
    questions::problems::RosterProblem,
    roster::{Roster, users::NameProblem},
    suite::histories::{History, noon, past_profile},
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

/// The source calls somebody otherwise.
fn called(h: &mut History, source: &str, id: &str, sequence: u64, name: &str) {
    let data = format!(r#"{{"person":"{id}","username":"{name}","account":null,"active":true}}"#);
    h.say(source, "person.upserted", Some(sequence), &data);
}

fn called_by_id<'a>(roster: &'a Roster, id: &str) -> &'a str {
    roster.user_name(roster.user_by_id(id).unwrap())
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

fn hash(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn give(h: &mut History, user: &str, name: &str) {
    h.say("local", "user.name.given", None, &format!(r#"{{"username":"{name}","user":"{user}"}}"#));
}

/// A contact called bob, then the employee bob.
fn two_bobs() -> History {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "C-77", Some("bob"));
    person(&mut h, "corp", "u-1", Some("bob"));
    h
}

/// What passes by a rule now: the name and to whom.
fn due(roster: &Roster) -> Vec<String> {
    let (due, next) = roster.due_names(0, 100, noon());
    assert_eq!(next, None);
    due.iter()
        .map(|body| match body {
            Body::UserNameGiven(given) => {
                format!("{} to {}, {}", given.username, given.user, given.rule.as_deref().unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Records what passes by a rule, until nothing does.
fn settle(h: &mut History) -> Roster {
    for _ in 0..10 {
        let (due, _) = h.fold().due_names(0, 100, noon());
        if due.is_empty() {
            return h.fold();
        }
        for body in due {
            h.say("local", body.kind().trim_start_matches("rollcall.").trim_end_matches(".v1"), None, &body.data());
        }
    }
    panic!("names pass for ever");
}

fn names(roster: &Roster) -> Vec<String> {
    let one = |user| format!("{} {}", roster.user_id(user), roster.user_name(user));
    let mut all: Vec<String> = roster.users().map(one).collect();
    all.sort();
    all
}

#[test]
fn an_authoritative_source_has_the_first_claim_to_a_name_and_whoever_had_it_is_called_by_its_source_too() {
    let mut h = two_bobs();
    assert_eq!(names(&h.fold()), ["corp/u-1 bob~corp", "flexnet/C-77 bob"]);
    assert_eq!(due(&h.fold()), ["bob to corp/u-1, authoritative"]);
    let roster = settle(&mut h);
    assert_eq!(names(&roster), ["corp/u-1 bob", "flexnet/C-77 bob~flexnet"]);
    assert_eq!(roster.user_by_name("bob"), roster.user_by_id("corp/u-1"));
    assert_eq!(named(&roster, "corp", "u-1").1, None);
    assert_eq!(named(&roster, "flexnet", "C-77").1, Some(("bob".into(), "the name is or was that of corp/u-1".into())));
    // It stays so: the contact's source has no claim to it.
    h.say("flexnet", "person.upserted", Some(9), r#"{"person":"C-77","username":"bob","account":null,"active":true}"#);
    assert_eq!(names(&settle(&mut h)), ["corp/u-1 bob", "flexnet/C-77 bob~flexnet"]);
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    assert_eq!(names(&again), names(&roster));
}

#[test]
fn a_name_stays_while_its_holder_has_a_secret_or_a_role_given_by_name() {
    let invite = r#"{"secret":"s","user":"flexnet/C-77","sha256":"HASH","expires":"2027-01-01T00:00:00Z"}"#;
    let bind = r#"{"principal":{"user":"flexnet/C-77"},"role":"system_of_record","scope":"root","author":"admin key"}"#;
    for (kind, data, end, ends, what) in [
        (
            "secret.issued",
            format!(r#"{{"secret":"s","owner":{{"user":"flexnet/C-77"}},"sha256":"{}"}}"#, hash(1)),
            "secret.revoked",
            r#"{"secret":"s"}"#.to_owned(),
            "1 secret or invitation in force",
        ),
        (
            "secret.invited",
            invite.replace("HASH", &hash(2)),
            "credentials.reset",
            r#"{"user":"flexnet/C-77"}"#.to_owned(),
            "1 secret or invitation in force",
        ),
        ("binding.set", bind.to_owned(), "binding.removed", bind.to_owned(), "1 role given by name"),
    ] {
        let mut h = two_bobs();
        h.say("local", kind, None, &data);
        assert!(due(&h.fold()).is_empty(), "{kind}");
        give(&mut h, "corp/u-1", "bob");
        let event = h.0.last().unwrap().clone();
        let body = Body::parse(&event.kind, &event.data).unwrap();
        let why = h.fold().check_command(&body, noon()).unwrap_err().to_string();
        assert_eq!(why, format!("`bob` is or was the name of flexnet/C-77, who still has {what}; end that first"));
        assert_eq!(names(&h.fold()), ["corp/u-1 bob~corp", "flexnet/C-77 bob"], "{kind}");
        h.say("local", end, None, &ends);
        assert_eq!(names(&settle(&mut h)), ["corp/u-1 bob", "flexnet/C-77 bob~flexnet"], "{end}");
    }
}

#[test]
fn who_may_not_sign_in_and_whose_source_is_suspended_takes_no_name_from_anybody() {
    let mut h = two_bobs();
    h.say("local", "source.suspended", None, r#"{"source":"corp"}"#);
    assert!(due(&h.fold()).is_empty());
    h.say("local", "source.resumed", None, r#"{"source":"corp"}"#);
    h.say("corp", "person.upserted", Some(2), r#"{"person":"u-1","username":"bob","account":null,"active":false}"#);
    assert!(due(&h.fold()).is_empty());
    h.say("corp", "person.upserted", Some(3), r#"{"person":"u-1","username":"bob","account":null,"active":true}"#);
    assert_eq!(due(&h.fold()).len(), 1);
    // Linked, the employee is the contact.
    h.say("local", "identity.linked", None, &link("corp/u-1", "flexnet/C-77"));
    let roster = h.fold();
    assert!(due(&roster).is_empty());
    assert_eq!(roster.user_by_name("bob"), roster.user_by_id("corp/u-1"));
    assert_eq!(named(&roster, "corp", "u-1").1, None, "it is called by the name of its user");
}

fn link(a: &str, b: &str) -> String {
    let one = |id: &str| {
        let (source, person) = id.split_once('/').unwrap();
        format!(r#"{{"source":"{source}","person":"{person}"}}"#)
    };
    format!(r#"{{"persons":[{},{}]}}"#, one(a), one(b))
}

#[test]
fn two_who_exchange_their_names_at_their_source_are_called_as_it_says_in_one_step_and_in_three() {
    for steps in [&[("x", "y1"), ("y", "x1")][..], &[("x", "tmp"), ("y", "x1"), ("x", "y1")]] {
        let mut h = History::settings(false);
        person(&mut h, "corp", "x", Some("x1"));
        person(&mut h, "corp", "y", Some("y1"));
        for (n, (id, name)) in (2..).zip(steps) {
            let data = format!(r#"{{"person":"{id}","username":"{name}","account":null,"active":true}}"#);
            h.say("corp", "person.upserted", Some(n), &data);
        }
        let roster = settle(&mut h);
        assert_eq!(names(&roster), ["corp/x y1", "corp/y x1"], "{steps:?}");
        assert_eq!(roster.names_not_in_effect().count(), 0);
    }
}

#[test]
fn a_name_that_two_wait_for_passes_once_to_whoever_waits_first() {
    let mut h = History::settings(false);
    for (id, name) in [("x", "ada"), ("y", "ada"), ("z", "ada")] {
        person(&mut h, "corp", id, Some(name));
    }
    h.say("corp", "person.upserted", Some(2), r#"{"person":"x","username":"eve","account":null,"active":true}"#);
    assert_eq!(due(&h.fold()), ["ada to corp/y, moved"]);
    assert_eq!(names(&settle(&mut h)), ["corp/x eve", "corp/y ada", "corp/z ada~corp~2"]);
    // Nor to one to whom it does not stay.
    let mut h = History::settings(false);
    for (source, id, name) in [("flexnet", "x", "ada"), ("flexnet", "y", "ada"), ("corp", "z", "ada")] {
        person(&mut h, source, id, Some(name));
    }
    h.say("flexnet", "person.upserted", Some(2), r#"{"person":"x","username":"eve","account":null,"active":true}"#);
    assert_eq!(due(&h.fold()), ["ada to corp/z, authoritative"]);
}

#[test]
fn an_entry_that_is_made_again_waits_for_somebody_to_say_whether_it_is_the_same_person() {
    let mut h = History::settings(false);
    person(&mut h, "corp", "old", Some("ada"));
    h.say("corp", "person.removed", Some(2), r#"{"person":"old"}"#);
    person(&mut h, "corp", "new", Some("ada"));
    let roster = settle(&mut h);
    assert_eq!(names(&roster), ["corp/new ada~corp", "corp/old ada"]);
    let flaw = roster.problems(RosterProblem::UserName, 0, 100).found.remove(0).1;
    for way in ["rollcall users link ada ada~corp`", "rollcall users rename ada~corp ada`", "signs in as ada~corp"] {
        assert!(flaw.remedy.contains(way), "{}", flaw.remedy);
    }
    // Another person: the name, and nothing else.
    let mut other = h.clone();
    give(&mut other, "corp/new", "ada");
    assert_eq!(names(&other.fold()), ["corp/new ada", "corp/old ada~corp~2"]);
    assert_eq!(other.fold().problems(RosterProblem::UserName, 0, 100).found.len(), 0);
    // The same one: the user goes on, by its old name.
    h.say("local", "identity.linked", None, &link("corp/old", "corp/new"));
    let roster = h.fold();
    assert_eq!(names(&roster), ["corp/old ada"]);
    assert!(!roster.user(roster.user_by_name("ada").unwrap()).shut_out);
    assert_eq!(roster.problems(RosterProblem::UserName, 0, 100).found.len(), 0);
}

#[test]
fn what_was_pushed_below_a_name_is_whose_name_it_is_or_was_until_it_passes_with_open_eyes() {
    let mut h = History::settings(false);
    h.say("local", "profile.set", None, &past_profile(true));
    person(&mut h, "corp", "u-1", Some("pgreen"));
    person(&mut h, "corp", "u-2", Some("paul"));
    let whose = |h: &History, name: &str| {
        let roster = h.fold();
        roster.project_by_name(name).map(|project| roster.project(project).id)
    };
    let first = Some("personal/corp/u-1".to_owned());
    let mut linked = h.clone();
    linked.say("local", "identity.linked", None, &link("corp/u-1", "corp/u-2"));
    assert_eq!(["pgreen", "paul"].map(|name| whose(&linked, name)), [first.clone(), first.clone()]);
    give(&mut h, "corp/u-1", "peter");
    assert_eq!(
        ["pgreen", "peter"].map(|name| whose(&h, name)),
        [first.clone(), first.clone()],
        "it is not called so any more"
    );
    let give_with = |with: &str| {
        let data = format!(r#"{{"username":"pgreen","user":"corp/u-2"{with}}}"#);
        h.fold()
            .check_command(&Body::parse("rollcall.user.name.given.v1", &data).unwrap(), noon())
            .map_err(|why| why.to_string())
    };
    let why = give_with("").unwrap_err();
    assert!(why.contains("personal project") && why.contains("--with-personal-project"), "{why}");
    assert_eq!(give_with(r#","with_personal_project":true"#), Ok(()));
    h.say("local", "user.name.given", None, r#"{"username":"pgreen","user":"corp/u-2","with_personal_project":true}"#);
    assert_eq!(["pgreen", "peter"].map(|name| whose(&h, name)), [Some("personal/corp/u-2".to_owned()), first]);
    h.say("local", "user.name.given", None, r#"{"username":"paula","user":"corp/u-2"}"#);
    let free = |with: &str| {
        let data = format!(r#"{{"username":"paul"{with}}}"#);
        h.fold().check_command(&Body::parse("rollcall.user.name.freed.v1", &data).unwrap(), noon()).is_ok()
    };
    assert_eq!([free(""), free(r#","with_personal_project":true"#)], [false, true]);
}

#[test]
fn a_name_that_was_given_stays_whatever_the_source_asks_for_until_it_asks_for_that() {
    let mut h = History::settings(false);
    person(&mut h, "corp", "q", Some("ada"));
    give(&mut h, "corp/q", "countess");
    for (sequence, name) in [(2, "ada"), (3, "augusta")] {
        let data = format!(r#"{{"person":"q","username":"{name}","account":null,"active":true}}"#);
        h.say("corp", "person.upserted", Some(sequence), &data);
        let roster = h.fold();
        assert_eq!(
            named(&roster, "corp", "q"),
            ("countess".into(), Some((name.into(), "the user was given another name".into())))
        );
        assert_eq!(roster.problems(RosterProblem::UserName, 0, 100).found.len(), 0, "it was somebody's decision");
    }
    assert_eq!(h.fold().user_by_name("ada"), None, "the old name stays reserved");
    let mut back = h.clone();
    give(&mut back, "corp/q", "augusta");
    assert_eq!(named(&back.fold(), "corp", "q"), ("augusta".into(), None));
    let data = r#"{"person":"q","username":"Countess","account":null,"active":true}"#;
    h.say("corp", "person.upserted", Some(4), data);
    h.say("corp", "person.upserted", Some(5), &data.replace("Countess", "ada"));
    assert_eq!(named(&h.fold(), "corp", "q"), ("ada".into(), None), "from there on it is the source's to say");
}

#[test]
fn a_freed_name_goes_to_whoever_waits_for_it_first_of_an_authoritative_source() {
    let mut h = History::settings(false);
    let free = |h: &mut History| h.say("local", "user.name.freed", None, r#"{"username":"ada"}"#);
    person(&mut h, "flexnet", "1", Some("ada"));
    free(&mut h);
    assert_eq!(names(&h.fold()), ["flexnet/1 ada"], "a name that somebody has is not freed");
    h.say("flexnet", "person.removed", Some(2), r#"{"person":"1"}"#);
    h.say("local", "user.name.given", None, r#"{"username":"gone","user":"flexnet/1"}"#);
    free(&mut h);
    let mut nobody = h.clone();
    person(&mut nobody, "flexnet", "2", Some("ada"));
    assert_eq!(names(&nobody.fold()), ["flexnet/1 gone", "flexnet/2 ada"]);
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "1", Some("ada"));
    person(&mut h, "flexnet", "2", Some("ada"));
    person(&mut h, "flexnet", "3", Some("ada"));
    h.say("flexnet", "person.upserted", Some(2), r#"{"person":"1","username":"eve","account":null,"active":true}"#);
    free(&mut h);
    assert_eq!(due(&h.fold()), ["ada to flexnet/2, freed"]);
    assert_eq!(names(&settle(&mut h)), ["flexnet/1 eve", "flexnet/2 ada", "flexnet/3 ada~flexnet~2"]);
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
