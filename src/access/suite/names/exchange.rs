//! Two or more people of one source who exchange their names, and what those are called who cannot have theirs.

use super::{called, called_by_id, due, hash, link, names, person, settle};
use crate::{
    questions::problems::RosterProblem,
    roster::{Roster, handles::Principal},
    suite::histories::{History, noon, past_profile},
};

fn secret(h: &mut History, n: u8, user: &str) {
    let data = format!(r#"{{"secret":"s{n}","owner":{{"user":"{user}"}},"sha256":"{}"}}"#, hash(n));
    h.say("local", "secret.issued", None, &data);
}

fn role(h: &mut History, user: &str) {
    let data =
        format!(r#"{{"principal":{{"user":"{user}"}},"role":"system_of_record","scope":"root","author":"admin key"}}"#);
    h.say("local", "binding.set", None, &data);
}

/// As people of the source `corp`: who asks for which name.
fn people(named: &[(&str, &str)]) -> History {
    let mut h = History::settings(false);
    named.iter().for_each(|(id, name)| person(&mut h, "corp", id, Some(name)));
    h
}

/// Whom the secrets 1, 2 .. sign in, by id.
fn signed_in(roster: &Roster, secrets: u8) -> Vec<String> {
    let whom = |n| roster.credential(&[n; 32], noon()).map(|found| roster.caller_names(found.principal).0);
    (1..=secrets).map(|n| whom(n).unwrap_or_default()).collect()
}

#[test]
fn two_who_exchange_their_names_have_them_whatever_they_have_under_their_own_and_each_keeps_that() {
    let (one, other) = (("x", "n02"), ("y", "n01"));
    for steps in [&[one, other][..], &[other, one], &[("x", "tmp"), other, one]] {
        for by_and_by in [false, true] {
            let mut h = people(&[("x", "n01"), ("y", "n02")]);
            secret(&mut h, 1, "corp/x");
            secret(&mut h, 2, "corp/y");
            role(&mut h, "corp/x");
            for (n, (id, name)) in (2..).zip(steps) {
                called(&mut h, "corp", id, n, name);
                if by_and_by {
                    settle(&mut h);
                }
            }
            have_exchanged(&mut h);
        }
    }
}

fn have_exchanged(h: &mut History) {
    let roster = settle(h);
    assert_eq!(names(&roster), ["corp/x n02", "corp/y n01"]);
    assert_eq!(roster.names_not_in_effect().count(), 0);
    assert_eq!(signed_in(&roster, 2), ["corp/x", "corp/y"], "a secret stays with its person");
    let roles = |id: &str| roster.bindings_of(Principal::User(roster.user_by_id(id).unwrap())).count();
    assert_eq!((roles("corp/x"), roles("corp/y")), (1, 0), "and so does a role");
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    assert_eq!(names(&again), names(&roster));
}

#[test]
fn names_that_go_round_are_given_by_one_event_and_of_a_name_that_is_anothers_still_none() {
    let mut h = people(&[("x", "n01"), ("y", "n02"), ("z", "n03")]);
    (1..).zip(["corp/x", "corp/y", "corp/z"]).for_each(|(n, id)| secret(&mut h, n, id));
    for (id, name) in [("x", "n02"), ("y", "n03")] {
        called(&mut h, "corp", id, 2, name);
        assert!(due(&h.fold()).is_empty(), "{id}: whose name it was still has a secret");
    }
    called(&mut h, "corp", "z", 2, "n01");
    assert_eq!(due(&h.fold()), ["n02 to corp/x, moved"]);
    assert_eq!(names(&settle(&mut h)), ["corp/x n02", "corp/y n03", "corp/z n01"]);
    // And back again, as often as it is said.
    for (n, all) in
        (3..).zip([["n01", "n02", "n03"], ["n03", "n01", "n02"], ["n02", "n03", "n01"], ["n01", "n02", "n03"]])
    {
        for (id, name) in ["x", "y", "z"].iter().zip(all) {
            called(&mut h, "corp", id, n, name);
        }
        let expected: Vec<String> =
            ["x", "y", "z"].iter().zip(all).map(|(id, name)| format!("corp/{id} {name}")).collect();
        assert_eq!(names(&settle(&mut h)), expected);
    }
}

#[test]
fn no_names_are_exchanged_with_whom_the_source_does_not_know_any_more_or_another_source_or_the_same_user() {
    let start = || {
        let mut h = people(&[("x", "n01"), ("y", "n02")]);
        secret(&mut h, 1, "corp/x");
        secret(&mut h, 2, "corp/y");
        called(&mut h, "corp", "x", 2, "n02");
        h
    };
    // Who is removed, inactive or of a suspended source exchanges nothing.
    for (source, kind, data) in [
        ("corp", "person.removed", r#"{"person":"y"}"#),
        ("corp", "person.upserted", r#"{"person":"y","username":"n01","account":null,"active":false}"#),
        ("local", "source.suspended", r#"{"source":"corp"}"#),
    ] {
        let mut h = start();
        called(&mut h, "corp", "y", 2, "n01");
        h.say(source, kind, (source == "corp").then_some(3), data);
        assert!(due(&h.fold()).is_empty(), "{kind}");
    }
    // Between two sources no name moves.
    let mut h = start();
    person(&mut h, "lab", "y", Some("n01"));
    assert!(due(&h.fold()).is_empty());
    // Two who are one user are called as they were.
    let mut h = start();
    called(&mut h, "corp", "y", 2, "n01");
    h.say("local", "identity.linked", None, &link("corp/x", "corp/y"));
    assert!(due(&h.fold()).is_empty());
    // Where everybody has a project of the own name, what was pushed there would pass.
    let mut h = start();
    h.say("local", "profile.set", None, &past_profile(true));
    called(&mut h, "corp", "y", 2, "n01");
    assert!(due(&h.fold()).is_empty());
}

#[test]
fn what_is_to_be_done_about_names_that_are_exchanged_is_nothing() {
    let mut h = people(&[("x", "n01"), ("y", "n02")]);
    secret(&mut h, 1, "corp/x");
    called(&mut h, "corp", "x", 2, "n02");
    called(&mut h, "corp", "y", 2, "n01");
    for (_, flaw) in h.fold().problems(RosterProblem::UserName, 0, 100).found {
        assert!(flaw.remedy.starts_with("the two exchange their names by themselves in a moment"), "{}", flaw.remedy);
    }
}

#[test]
fn who_cannot_have_a_name_is_told_apart_by_the_source_and_then_by_the_smallest_number() {
    let ids = [
        "6fa459ea-ee8a-3ca4-894e-db77e160355e",
        "16fd2706-8baf-433b-82eb-8c7fada847da",
        "886313e1-3b8a-5372-9b90-0c9aee199e5d",
    ];
    let mut h = people(&[(ids[0], "ada"), (ids[1], "ada"), (ids[2], "ada")]);
    assert_eq!(
        ids.map(|id| called_by_id(&h.fold(), &format!("corp/{id}")).to_owned()),
        ["ada", "ada~corp", "ada~corp~2"]
    );
    // Whoever is called so already keeps that.
    person(&mut h, "corp", "literal", Some("ada~corp~3"));
    person(&mut h, "corp", "fourth", Some("ada"));
    assert_eq!(called_by_id(&h.fold(), "corp/fourth"), "ada~corp~4");
    // Beyond what a person would read, by the id.
    (5..=101).for_each(|n| person(&mut h, "corp", &format!("p{n}"), Some("ada")));
    let roster = h.fold();
    assert_eq!(
        ["p99", "p100"].map(|id| called_by_id(&roster, &format!("corp/{id}")).to_owned()),
        ["ada~corp~99", "ada~corp~p100"]
    );
    assert_eq!(roster.users().count(), 102);
}
