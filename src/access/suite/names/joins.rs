//! Whom a rule makes one user, and whom it leaves to a person: two of one source, a value that was a namesake's, and who of
//! several was made again.

use rollcall_events::Body;

use super::{
    apart::{are_one, entry, gone, made_again, part, remedies, settle, two_companies},
    give, hash, link,
    links::{due_links, link_flaws},
    person,
};
use crate::{
    effort::Effort,
    questions::links::{LinkGiver, LinkRule},
    roster::Roster,
    suite::histories::{History, noon},
    what_if::links::{LinkNoteKind, plan_links},
};

/// A user of two persons, of whom one is said to be the contact of a colleague.
fn two_who_are_one_by_hand() -> History {
    let mut h = two_companies();
    person(&mut h, "flexnet", "3", Some("t.contact"));
    entry(&mut h, "northwind", "tom", 1, Some("tom"), None);
    entry(&mut h, "northwind", "tim", 1, Some("tim"), None);
    entry(&mut h, "fabrikam", "tim", 1, Some("tim"), None);
    h.say("local", "identity.linked", None, &link("northwind/tim", "fabrikam/tim"));
    h
}

#[test]
fn no_rule_makes_one_user_of_two_who_are_there_of_one_source_by_whichever_of_their_persons() {
    for first in ["tom", "tim", "neither"] {
        let mut h = two_who_are_one_by_hand();
        let mut say = |who: &str| match who {
            "tom" => entry(&mut h, "northwind", "tom", 2, Some("tom"), Some("3")),
            _ => entry(&mut h, "fabrikam", "tim", 2, Some("tim"), Some("3")),
        };
        match first {
            "tom" | "neither" => ["tom", "tim"].map(&mut say),
            _ => ["tim", "tom"].map(&mut say),
        };
        if first != "neither" {
            let last = h.0.pop().unwrap();
            settle(&mut h);
            h.0.push(last);
        }
        let roster = settle(&mut h);
        assert!(!are_one(&roster, "northwind/tom", "northwind/tim"), "{first}");
        assert_eq!(are_one(&roster, "northwind/tom", "flexnet/3"), first == "tom", "{first}");
        assert_eq!(are_one(&roster, "fabrikam/tim", "flexnet/3"), first == "tim", "{first}");
        let flaws = link_flaws(&roster);
        let told = match first {
            "neither" => "fabrikam/tim of source fabrikam is that user, or is or was said to be",
            "tom" => "northwind/tim and northwind/tom are two people of source northwind",
            _ => "northwind/tim of source northwind is that user already",
        };
        assert_eq!(flaws.len(), if first == "neither" { 2 } else { 1 }, "{first}: {flaws:?}");
        assert!(flaws.iter().any(|flaw| flaw.contains(told)), "{first}: {flaws:?}");
        let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
        assert_eq!((due_links(&again), link_flaws(&again)), (due_links(&roster), link_flaws(&roster)), "{first}");
        for source in ["northwind", "fabrikam"] {
            let found = roster.linkable(LinkRule::Stated, source, "", false);
            let (pairs, left_out) = (found.pairs.len(), found.left_out.len());
            // Of two who wait for each other somebody can confirm one.
            let expected = match (first, source) {
                ("neither", _) => (1, 0),
                ("tom", "fabrikam") | ("tim", "northwind") => (0, 1),
                _ => (0, 0),
            };
            assert_eq!((pairs, left_out), expected, "{first}, {source}");
        }
        // A hand can, and is told.
        let body = Body::parse("rollcall.identity.linked.v1", &link("northwind/tom", "northwind/tim")).unwrap();
        let plan = plan_links(&roster, vec![body], noon(), &Effort::unbounded()).unwrap();
        assert!(plan.notes.iter().any(|note| note.kind == LinkNoteKind::SeveralOfOneSource), "{:?}", plan.notes);
    }
}

/// One company's number is wrong, or somebody works for both: only a person knows.
#[test]
fn whom_another_directory_says_to_be_the_same_customer_waits_for_a_person_once_that_ones_word_was_confirmed() {
    for is_linked_by in ["its directory", "a hand", "nobody"] {
        let mut h = two_companies();
        person(&mut h, "flexnet", "3", Some("t.contact"));
        let contact = Some("3").filter(|_| is_linked_by != "a hand");
        entry(&mut h, "northwind", "c03", 1, Some("tom"), contact);
        match is_linked_by {
            "a hand" => h.say("local", "identity.linked", None, &link("northwind/c03", "flexnet/3")),
            "its directory" => drop(settle(&mut h)),
            _ => {}
        }
        entry(&mut h, "fabrikam", "b07", 1, Some("tim"), Some("3"));
        let roster = settle(&mut h);
        assert!(!are_one(&roster, "northwind/c03", "fabrikam/b07"), "{is_linked_by}");
        assert_eq!(are_one(&roster, "northwind/c03", "flexnet/3"), is_linked_by != "nobody", "{is_linked_by}");
        let told = link_flaws(&roster).join("\n");
        assert!(
            told.contains(
                "person b07 is flexnet/3: northwind/c03 of source northwind is that user, or is or was said to be"
            ),
            "{is_linked_by}: {told}"
        );
        let pairs = roster.linkable(LinkRule::Stated, "fabrikam", "", false).pairs;
        assert_eq!(pairs.len(), 1, "{is_linked_by}");
        let body = roster.link_command(pairs[0].clone(), Some(LinkRule::Stated), &LinkGiver::default());
        let plan = plan_links(&roster, vec![body.clone()], noon(), &Effort::unbounded()).unwrap();
        assert!(plan.notes.iter().any(|note| note.kind == LinkNoteKind::SaidOfAnother), "{:?}", plan.notes);
        h.say("local", "identity.linked", None, &body.data());
        assert!(are_one(&settle(&mut h), "fabrikam/b07", "flexnet/3"), "{is_linked_by}");
    }
    // What nobody confirmed keeps nobody waiting.
    let mut h = two_companies();
    person(&mut h, "flexnet", "3", Some("t.contact"));
    entry(&mut h, "lab", "x", 1, Some("x"), Some("3"));
    entry(&mut h, "northwind", "c03", 1, Some("tom"), Some("3"));
    assert!(are_one(&settle(&mut h), "northwind/c03", "flexnet/3"));
    assert_eq!(settle(&mut h).linkable(LinkRule::Stated, "lab", "", false).pairs.len(), 1);
}

/// Whoever was removed before keeps what was his; and what begins to be in effect again is told.
#[test]
fn a_plan_of_a_link_names_the_secrets_that_sign_in_again_by_it() {
    let mut h = two_companies();
    entry(&mut h, "fabrikam", "ada", 1, Some("ada"), None);
    let secret = format!(r#"{{"secret":"s1","owner":{{"user":"fabrikam/ada"}},"sha256":"{}","label":"ci"}}"#, hash(1));
    h.say("local", "secret.issued", None, &secret);
    gone(&mut h, "fabrikam", "ada");
    entry(&mut h, "fabrikam", "ada2", 1, Some("ada"), None);
    let roster = h.fold();
    let woken = |one: &str, two: &str| {
        let body = Body::parse("rollcall.identity.linked.v1", &link(one, two)).unwrap();
        let plan = plan_links(&roster, vec![body], noon(), &Effort::unbounded()).unwrap();
        let woken = plan.notes.into_iter().filter(|note| note.kind == LinkNoteKind::Wakes);
        woken.map(|note| format!("{} {}", note.person, note.text)).collect::<Vec<_>>()
    };
    assert_eq!(woken("fabrikam/ada", "fabrikam/ada2"), ["fabrikam/ada secret s1 (ci) signs in again, as ada"]);
    assert_eq!(woken("northwind/first", "fabrikam/ada2"), Vec::<String>::new());
}

#[test]
fn no_plan_of_a_rule_makes_one_user_of_two_who_are_there_of_one_source_and_it_names_whom_it_leaves_out() {
    let mut h = History::settings(false);
    for source in ["corp", "lab"] {
        for id in ["u-1", "u-2"] {
            person(&mut h, source, id, Some(&format!("{id}.{source}")));
        }
    }
    person(&mut h, "flexnet", "C-1", None);
    person(&mut h, "flexnet", "C-2", None);
    h.say("local", "identity.linked", None, &link("corp/u-1", "flexnet/C-1"));
    h.say("local", "identity.linked", None, &link("lab/u-1", "flexnet/C-2"));
    let found = h.fold().linkable(LinkRule::SameId, "corp", "lab", false);
    assert_eq!((found.pairs.len(), found.left_out.len()), (1, 1));
    assert_eq!(
        (found.left_out[0].why.as_str(), found.left_out[0].parted_at),
        ("flexnet/C-1 and flexnet/C-2 are two people of source flexnet", None)
    );
    // Each pair for itself is well; the two together are not.
    let mut h = History::settings(false);
    for (source, id) in [("corp", "u-1"), ("lab", "u-1"), ("corp", "u-2"), ("lab", "u-2"), ("flexnet", "C-1")] {
        person(&mut h, source, id, Some(&format!("{id}.{source}")));
    }
    h.say("local", "identity.linked", None, &link("lab/u-1", "flexnet/C-1"));
    h.say("local", "identity.linked", None, &link("flexnet/C-1", "lab/u-2"));
    let found = h.fold().linkable(LinkRule::SameId, "corp", "lab", false);
    assert_eq!((found.pairs.len(), found.left_out.len()), (1, 1));
    assert_eq!(found.left_out[0].why, "corp/u-2 and corp/u-1 are two people of source corp");
}

#[test]
fn a_value_that_was_anothers_waits_also_where_that_one_asks_for_the_same_name_and_was_not_made_again() {
    for end in ["is there", "left and was parted", "left"] {
        let mut h = two_companies();
        person(&mut h, "flexnet", "7", Some("bob.c"));
        entry(&mut h, "fabrikam", "bob1", 1, Some("bob"), Some("7"));
        entry(&mut h, "fabrikam", "bob2", 1, Some("bob"), None);
        assert!(are_one(&settle(&mut h), "fabrikam/bob1", "flexnet/7"));
        entry(&mut h, "fabrikam", "bob1", 2, Some("bob"), None);
        settle(&mut h);
        match end {
            "left and was parted" => {
                part(&mut h, "fabrikam/bob1", "fabrikam/bob2");
                gone(&mut h, "fabrikam", "bob1");
            }
            "left" => gone(&mut h, "fabrikam", "bob1"),
            _ => {}
        }
        entry(&mut h, "fabrikam", "bob2", 2, Some("bob"), Some("7"));
        let roster = settle(&mut h);
        assert_eq!(are_one(&roster, "fabrikam/bob2", "flexnet/7"), end == "left", "{end}");
        let told = link_flaws(&roster).join("\n");
        assert_eq!(
            told.contains("fabrikam/bob1 of source fabrikam is that user, or is or was said to be"),
            end != "left",
            "{told}"
        );
        if end == "is there" {
            assert!(!remedies(&roster).contains("users link"), "two who share a name: {}", remedies(&roster));
        }
    }
}

/// The same events, in two orders.
#[test]
fn an_entry_that_was_made_again_is_known_by_its_name_also_where_the_removal_of_the_old_one_came_first() {
    for removed_first in [false, true] {
        let mut h = two_companies();
        person(&mut h, "flexnet", "7", Some("alice.c"));
        if removed_first {
            gone(&mut h, "fabrikam", "alice");
        }
        entry(&mut h, "fabrikam", "alice", 1, Some("alice"), Some("7"));
        if !removed_first {
            gone(&mut h, "fabrikam", "alice");
        }
        entry(&mut h, "fabrikam", "alice2", 1, Some("alice"), Some("7"));
        assert!(are_one(&settle(&mut h), "fabrikam/alice2", "flexnet/7"), "removed first: {removed_first}");
    }
}

#[test]
fn a_plan_of_what_a_source_says_names_whoever_the_same_was_said_of_before() {
    let mut h = two_companies();
    person(&mut h, "flexnet", "7", Some("alice.c"));
    person(&mut h, "flexnet", "8", Some("zoe.c"));
    entry(&mut h, "fabrikam", "alice", 1, Some("alice"), Some("7"));
    entry(&mut h, "fabrikam", "alice", 2, Some("alice"), None);
    entry(&mut h, "fabrikam", "yuri", 1, Some("yuri"), Some("7"));
    entry(&mut h, "fabrikam", "zoe", 1, Some("zoe"), Some("8"));
    let roster = h.fold();
    let pairs = roster.linkable(LinkRule::Stated, "fabrikam", "", false).pairs;
    let links: Vec<Body> = pairs
        .into_iter()
        .map(|pair| roster.link_command(pair, Some(LinkRule::Stated), &LinkGiver::default()))
        .collect();
    assert_eq!(links.len(), 2);
    let plan = plan_links(&roster, links, noon(), &Effort::unbounded()).unwrap();
    let told = plan.notes.iter().filter(|note| note.kind == LinkNoteKind::SaidOfAnother);
    let told: Vec<String> = told.map(|note| format!("{} {}", note.person, note.text)).collect();
    assert_eq!(
        told,
        ["fabrikam/yuri is to be flexnet/7: fabrikam/alice of source fabrikam is that user, or is or was said to be"]
    );
}

#[test]
fn of_several_who_were_removed_and_asked_for_one_name_none_is_taken_for_who_came_and_all_are_named() {
    // Somebody said that the second one is another; it is the second one who was made again.
    let mut h = two_companies();
    entry(&mut h, "fabrikam", "bob1", 1, Some("bob"), None);
    gone(&mut h, "fabrikam", "bob1");
    entry(&mut h, "fabrikam", "bob2", 1, Some("bob"), None);
    part(&mut h, "fabrikam/bob1", "fabrikam/bob2");
    entry(&mut h, "fabrikam", "bob3", 1, Some("bob"), None);
    gone(&mut h, "fabrikam", "bob2");
    // Two of one name, of whom one came back.
    let mut two = two_companies();
    for id in ["bob1", "bob2"] {
        entry(&mut two, "fabrikam", id, 1, Some("bob"), None);
    }
    for id in ["bob1", "bob2"] {
        gone(&mut two, "fabrikam", id);
    }
    let before = two.clone();
    entry(&mut two, "fabrikam", "bob3", 1, Some("bob"), None);
    for h in [&h, &two] {
        let roster = h.fold();
        let found = roster.linkable(LinkRule::MadeAgain, "fabrikam", "fabrikam", false);
        let all: Vec<&str> = found.left_out.iter().map(|one| one.persons[0].person.as_str()).collect();
        assert_eq!((found.pairs.len(), all), (0, vec!["bob1", "bob2"]), "the plan names both");
        assert!(found.left_out[0].why.starts_with("several who were removed"), "{:?}", found.left_out);
        let told = remedies(&roster);
        assert!(told.contains("link bob bob~fabrikam~2` or `rollcall users link bob~fabrikam bob"), "{told}");
    }
    // Where somebody gave the name of one to another it is that one's.
    let mut given = before.clone();
    give(&mut given, "fabrikam/bob2", "bob");
    entry(&mut given, "fabrikam", "bob3", 1, Some("bob"), None);
    assert_eq!(made_again(&given.fold(), "fabrikam", "fabrikam"), ["fabrikam/bob2 fabrikam/bob3"]);
    // Nor in the directory that goes on after it.
    let mut moved = before;
    entry(&mut moved, "northwind", "bob", 1, Some("bob"), None);
    let roster = moved.fold();
    assert_eq!(made_again(&roster, "fabrikam", "northwind"), Vec::<String>::new());
    let told = remedies(&roster);
    assert!(told.contains("link bob bob~northwind` or `rollcall users link bob~fabrikam bob~northwind`"), "{told}");
    // Of whom it is known that it is not the one it is the other. In another source it may be neither.
    part(&mut two, "fabrikam/bob1", "fabrikam/bob3");
    assert_eq!(made_again(&two.fold(), "fabrikam", "fabrikam"), ["fabrikam/bob2 fabrikam/bob3"]);
    part(&mut moved, "fabrikam/bob1", "northwind/bob");
    let found = moved.fold().linkable(LinkRule::MadeAgain, "fabrikam", "northwind", false);
    let told = "fabrikam/bob1 and northwind/bob were parted by hand";
    assert!(found.left_out.iter().all(|one| one.why.starts_with(told)), "{:?}", found.left_out);
    assert_eq!((found.pairs.len(), found.left_out.len()), (0, 2));
}

#[test]
fn who_was_made_again_is_so_also_where_somebody_linked_the_old_entry_with_who_is_there_elsewhere() {
    let mut h = two_companies();
    person(&mut h, "flexnet", "c", Some("contact"));
    entry(&mut h, "fabrikam", "ada", 1, Some("ada"), None);
    h.say("local", "identity.linked", None, &link("flexnet/c", "fabrikam/ada"));
    gone(&mut h, "fabrikam", "ada");
    entry(&mut h, "fabrikam", "ada2", 1, Some("ada"), None);
    let roster = settle(&mut h);
    assert_eq!(made_again(&roster, "fabrikam", "fabrikam"), ["fabrikam/ada fabrikam/ada2"]);
    assert!(remedies(&roster).contains("made again: `rollcall users link ada ada~fabrikam`"), "{}", remedies(&roster));
    // Who is inactive was made again all the same.
    let mut inactive = h.clone();
    let data = r#"{"person":"ada2","username":"ada","account":null,"active":false}"#;
    inactive.say("fabrikam", "person.upserted", Some(2), data);
    assert_eq!(made_again(&inactive.fold(), "fabrikam", "fabrikam"), ["fabrikam/ada fabrikam/ada2"]);
    h.say("local", "identity.linked", None, &link("fabrikam/ada", "fabrikam/ada2"));
    assert!(are_one(&h.fold(), "flexnet/c", "fabrikam/ada2") && remedies(&h.fold()).is_empty());
    // Whose user is another of the directory's people by now is not made again.
    let mut other = two_companies();
    entry(&mut other, "fabrikam", "ada", 1, Some("ada"), None);
    entry(&mut other, "fabrikam", "eve", 1, Some("eve"), None);
    other.say("local", "identity.linked", None, &link("fabrikam/eve", "fabrikam/ada"));
    gone(&mut other, "fabrikam", "ada");
    entry(&mut other, "fabrikam", "ada2", 1, Some("ada"), None);
    let roster = other.fold();
    let found = roster.linkable(LinkRule::MadeAgain, "fabrikam", "fabrikam", false);
    assert_eq!((found.pairs.len(), found.left_out.len()), (0, 1), "{:?}", found.left_out);
    assert!(!remedies(&roster).contains("users link"), "{}", remedies(&roster));
}

#[test]
fn a_parting_keeps_nobody_from_whom_a_hand_made_one_since() {
    let mut h = two_companies();
    person(&mut h, "flexnet", "3", Some("t.contact"));
    entry(&mut h, "northwind", "tom", 1, Some("tom"), Some("3"));
    entry(&mut h, "fabrikam", "tom", 1, Some("tom"), None);
    settle(&mut h);
    part(&mut h, "northwind/tom", "fabrikam/tom");
    let parted = h.clone();
    h.say("local", "identity.linked", None, &link("fabrikam/tom", "flexnet/3"));
    gone(&mut h, "northwind", "tom");
    entry(&mut h, "northwind", "tom2", 1, Some("tom"), Some("3"));
    let roster = settle(&mut h);
    assert!(are_one(&roster, "northwind/tom2", "flexnet/3"), "{:?}", link_flaws(&roster));
    // As long as the hand's link stands.
    let mut h = parted;
    h.say("local", "identity.linked", None, &link("fabrikam/tom", "flexnet/3"));
    part(&mut h, "northwind/tom", "flexnet/3");
    gone(&mut h, "northwind", "tom");
    entry(&mut h, "northwind", "tom2", 1, Some("tom"), Some("3"));
    assert!(!are_one(&settle(&mut h), "northwind/tom2", "flexnet/3"));
}
