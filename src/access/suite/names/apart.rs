//! Who was said to be two people stays two for every rule: by way of others, made again, and whatever else is said later.

use rollcall_events::{Body, body::SourcePerson};

use super::{
    link,
    links::{due_links, link_flaws},
    names, person,
};
use crate::{
    effort::Effort,
    questions::{
        links::{LinkGiver, LinkRule},
        problems::RosterProblem,
    },
    roster::Roster,
    suite::histories::{History, noon},
    what_if::links::{LinkNoteKind, plan_links},
};

/// A person of a directory, with its user name and the contact of the licensing system that it is said to be.
pub(super) fn entry(h: &mut History, source: &str, id: &str, sequence: u64, name: Option<&str>, contact: Option<&str>) {
    let name = serde_json::to_string(&name).unwrap();
    let same = contact.map(|person| format!(r#"{{"source":"flexnet","person":"{person}"}}"#)).unwrap_or_default();
    let data = format!(r#"{{"person":"{id}","username":{name},"account":null,"active":true,"same_as":[{same}]}}"#);
    h.say(source, "person.upserted", Some(sequence), &data);
}

pub(super) fn gone(h: &mut History, source: &str, id: &str) {
    h.say(source, "person.removed", Some(9), &format!(r#"{{"person":"{id}"}}"#));
}

/// Two companies whose directories both say who of theirs is a contact, which somebody confirmed.
pub(super) fn two_companies() -> History {
    let mut h = History::settings(false);
    h.say("local", "settings.set", None, r#"{"sources":{"northwind":{"order":"version","authoritative":true},"fabrikam":{"order":"version","authoritative":true}},"author":"test"}"#);
    for source in ["northwind", "fabrikam"] {
        person(&mut h, source, "first", Some(&format!("first.{source}")));
        person(&mut h, "flexnet", source, Some(&format!("contact.{source}")));
        let pair = link(&format!("{source}/first"), &format!("flexnet/{source}"));
        h.say("local", "identity.linked", None, &pair.replace("}]}", r#"}],"rule":"stated"}"#));
        entry(&mut h, source, "first", 2, Some(&format!("first.{source}")), Some(source));
    }
    h
}

/// Records what the rules say, until they say nothing more.
pub(super) fn settle(h: &mut History) -> Roster {
    for _ in 0..10 {
        let mut tried = h.fold();
        let done = tried.fold_due_rules(noon());
        if done.is_empty() {
            return tried;
        }
        for body in done {
            h.say("local", body.kind().trim_start_matches("rollcall.").trim_end_matches(".v1"), None, &body.data());
        }
    }
    panic!("rules go on for ever");
}

pub(super) fn are_one(roster: &Roster, one: &str, two: &str) -> bool {
    roster.user_by_id(one) == roster.user_by_id(two)
}

pub(super) fn part(h: &mut History, one: &str, two: &str) {
    h.say("local", "identity.unlinked", None, &link(one, two));
}

pub(super) fn remedies(roster: &Roster) -> String {
    roster.problems(RosterProblem::UserName, 0, 100).found.into_iter().map(|(_, flaw)| flaw.remedy + "\n").collect()
}

pub(super) fn made_again(roster: &Roster, source: &str, with: &str) -> Vec<String> {
    let text = |one: &SourcePerson| format!("{}/{}", one.source, one.person);
    let pairs = roster.linkable(LinkRule::MadeAgain, source, with, false).pairs;
    pairs.iter().map(|pair| pair.each_ref().map(text).join(" ")).collect()
}

#[test]
fn who_was_parted_is_not_joined_by_way_of_a_third() {
    for both_at_once in [true, false] {
        let mut h = two_companies();
        person(&mut h, "flexnet", "3", Some("t.contact"));
        entry(&mut h, "northwind", "tom", 1, Some("tom"), None);
        entry(&mut h, "fabrikam", "tom", 1, Some("tom"), None);
        part(&mut h, "northwind/tom", "fabrikam/tom");
        entry(&mut h, "northwind", "tom", 2, Some("tom"), Some("3"));
        if !both_at_once {
            settle(&mut h);
        }
        entry(&mut h, "fabrikam", "tom", 2, Some("tom"), Some("3"));
        if both_at_once {
            // Each waits for the other one, until somebody says whose contact it is.
            let roster = settle(&mut h);
            assert!(["northwind/tom", "fabrikam/tom"].iter().all(|one| !are_one(&roster, one, "flexnet/3")));
            assert_eq!(link_flaws(&roster).len(), 2, "{:?}", link_flaws(&roster));
            let pair = link("northwind/tom", "flexnet/3");
            h.say("local", "identity.linked", None, &pair.replace("}]}", r#"}],"rule":"stated"}"#));
        }
        let roster = settle(&mut h);
        assert!(!are_one(&roster, "northwind/tom", "fabrikam/tom"), "at once: {both_at_once}");
        assert!(are_one(&roster, "northwind/tom", "flexnet/3"));
        let flaws = link_flaws(&roster);
        assert!(
            flaws.len() == 1 && flaws[0].contains("northwind/tom and fabrikam/tom were parted by hand"),
            "{flaws:?}"
        );
        // Nor does the plan of the rule, which names whom it left out.
        let found = roster.linkable(LinkRule::Stated, "fabrikam", "", false);
        assert_eq!((found.pairs.len(), found.left_out.len()), (0, 1));
        // Somebody can still say that all are one, and is told what was said before.
        let body = Body::parse("rollcall.identity.linked.v1", &link("fabrikam/tom", "flexnet/3")).unwrap();
        let plan = plan_links(&roster, vec![body], noon(), &Effort::unbounded()).unwrap();
        let told = plan.notes.iter().find(|note| note.kind == LinkNoteKind::Parted).unwrap();
        assert!(told.text.contains("were parted by hand") && told.event.is_some(), "{told:?}");
        h.say("local", "identity.linked", None, &link("fabrikam/tom", "flexnet/3"));
        assert!(are_one(&h.fold(), "northwind/tom", "fabrikam/tom"));
    }
}

/// Each pair for itself is well; the two together would join who was parted.
#[test]
fn the_pairs_of_one_plan_together_join_nobody_who_was_parted() {
    let mut h = History::settings(false);
    for source in ["corp", "lab"] {
        for id in ["u-1", "u-2"] {
            person(&mut h, source, id, None);
        }
    }
    h.say("local", "identity.linked", None, &link("corp/u-1", "corp/u-2"));
    part(&mut h, "lab/u-1", "lab/u-2");
    let found = h.fold().linkable(LinkRule::SameId, "corp", "lab", false);
    assert_eq!((found.pairs.len(), found.left_out.len()), (1, 1));
    assert!(found.left_out[0].why.contains("lab/u-1 and lab/u-2 were parted by hand"), "{:?}", found.left_out);
}

#[test]
fn a_parting_holds_for_who_was_made_again_also_while_the_old_entry_is_held() {
    for is_removed in [false, true] {
        let mut h = two_companies();
        person(&mut h, "flexnet", "3", Some("t.contact"));
        entry(&mut h, "northwind", "tom", 1, Some("tom"), None);
        entry(&mut h, "fabrikam", "old", 1, Some("tom"), Some("3"));
        settle(&mut h);
        part(&mut h, "flexnet/3", "fabrikam/old");
        if is_removed {
            gone(&mut h, "fabrikam", "old");
        }
        entry(&mut h, "fabrikam", "new", 1, Some("tom"), Some("3"));
        let roster = settle(&mut h);
        assert!(!are_one(&roster, "fabrikam/new", "flexnet/3"), "removed: {is_removed}");
        let flaws = link_flaws(&roster).join("\n");
        assert!(flaws.contains("person new is flexnet/3: flexnet/3 and fabrikam/old were parted by hand"), "{flaws}");
        let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
        assert_eq!((due_links(&again), link_flaws(&again)), (due_links(&roster), link_flaws(&roster)));
    }
}

/// Whoever has the name is another company's, and was parted by hand from the one who asked for it.
#[test]
fn who_was_made_again_is_who_asked_for_the_name_in_its_source_and_not_who_has_it() {
    let mut h = two_companies();
    entry(&mut h, "northwind", "li", 1, Some("li"), None);
    entry(&mut h, "fabrikam", "old", 1, Some("li"), None);
    part(&mut h, "northwind/li", "fabrikam/old");
    gone(&mut h, "northwind", "li");
    let before = h.clone();
    entry(&mut h, "fabrikam", "new", 1, Some("li"), None);
    // While the removal is held it could be nobody.
    assert!(!remedies(&h.fold()).contains("made again"), "{}", remedies(&h.fold()));
    assert_eq!(made_again(&h.fold(), "northwind", "fabrikam"), Vec::<String>::new());
    gone(&mut h, "fabrikam", "old");
    for h in [h.clone(), {
        let mut h = before;
        gone(&mut h, "fabrikam", "old");
        entry(&mut h, "fabrikam", "new", 1, Some("li"), None);
        h
    }] {
        let roster = h.fold();
        assert_eq!(made_again(&roster, "fabrikam", "fabrikam"), ["fabrikam/old fabrikam/new"]);
        assert_eq!(made_again(&roster, "northwind", "fabrikam"), Vec::<String>::new());
        assert!(remedies(&roster).contains("rollcall users link li~fabrikam li~fabrikam~2`"), "{}", remedies(&roster));
    }
    // Two who were removed, and one who came: only somebody knows which.
    let mut both = h.clone();
    gone(&mut both, "fabrikam", "new");
    entry(&mut both, "fabrikam", "third", 1, Some("li"), None);
    assert_eq!(made_again(&both.fold(), "fabrikam", "fabrikam"), Vec::<String>::new());
    let told = remedies(&both.fold());
    assert!(told.contains("link li~fabrikam li~fabrikam~3` or `rollcall users link li~fabrikam~2 li"), "{told}");
    // Of whom it is known that it is not the one it is the other.
    part(&mut both, "fabrikam/old", "fabrikam/third");
    assert_eq!(made_again(&both.fold(), "fabrikam", "fabrikam"), ["fabrikam/new fabrikam/third"]);
    h.say("local", "identity.linked", None, &link("fabrikam/old", "fabrikam/new"));
    assert!(names(&h.fold()).contains(&"fabrikam/old li~fabrikam".to_owned()), "{:?}", names(&h.fold()));
    // The directory that goes on after the other ended: who asks there was made again of whoever was not parted.
    let mut moved = two_companies();
    entry(&mut moved, "northwind", "li", 1, Some("li"), None);
    gone(&mut moved, "northwind", "li");
    entry(&mut moved, "fabrikam", "li", 1, Some("li"), None);
    assert_eq!(made_again(&moved.fold(), "northwind", "fabrikam"), ["northwind/li fabrikam/li"]);
}

#[test]
fn who_alone_is_said_to_be_somebody_after_two_were_waits_for_a_person_whichever_way_that_ended() {
    for end in ["removed", "not said any more", "said of another", "never came in its order"] {
        let mut h = two_companies();
        person(&mut h, "flexnet", "7", Some("alice.c"));
        if end == "never came in its order" {
            entry(&mut h, "fabrikam", "alice", 2, Some("alice"), None);
        }
        entry(&mut h, "fabrikam", "alice", 1, Some("alice"), Some("7"));
        entry(&mut h, "fabrikam", "yuri", 1, Some("yuri"), Some("7"));
        match end {
            "removed" => gone(&mut h, "fabrikam", "alice"),
            "not said any more" => entry(&mut h, "fabrikam", "alice", 2, Some("alice"), None),
            "said of another" => entry(&mut h, "fabrikam", "alice", 2, Some("alice"), Some("8")),
            _ => {}
        }
        let roster = settle(&mut h);
        assert!(!are_one(&roster, "fabrikam/yuri", "flexnet/7"), "{end}");
        let flaws = link_flaws(&roster).join("\n");
        assert!(
            flaws.contains("fabrikam/alice of source fabrikam is that user, or is or was said to be"),
            "{end}: {flaws}"
        );
        let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
        assert_eq!((due_links(&again), link_flaws(&again)), (due_links(&roster), link_flaws(&roster)), "{end}");
        // Who looks at the rule's plan sees the two, and decides.
        let pairs = roster.linkable(LinkRule::Stated, "fabrikam", "", false).pairs;
        assert_eq!(pairs.len(), 1, "{end}");
        let body = roster.link_command(pairs[0].clone(), Some(LinkRule::Stated), &LinkGiver::default());
        h.say("local", "identity.linked", None, &body.data());
        assert!(are_one(&settle(&mut h), "fabrikam/yuri", "flexnet/7"), "{end}");
    }
}

#[test]
fn of_two_who_are_said_to_be_one_the_other_is_free_once_somebody_said_who_it_is_not() {
    let mut h = two_companies();
    person(&mut h, "flexnet", "7", Some("alice.c"));
    for id in ["alice", "yuri"] {
        entry(&mut h, "fabrikam", id, 1, Some(id), Some("7"));
    }
    let roster = settle(&mut h);
    let told = link_flaws(&roster);
    assert!(told.iter().any(|flaw| flaw.contains("rollcall users unlink fabrikam/yuri flexnet/7`")), "{told:?}");
    let yuri = SourcePerson { source: "fabrikam".parse().unwrap(), person: "yuri".parse().unwrap() };
    let taken = roster.taken_for(LinkRule::Stated, "fabrikam", "fabrikam", &yuri);
    assert_eq!((taken.pairs.len(), taken.is_known), (1, true));
    part(&mut h, "fabrikam/yuri", "flexnet/7");
    let taken = h.fold().taken_for(LinkRule::Stated, "fabrikam", "fabrikam", &yuri);
    assert_eq!((taken.pairs.len(), taken.is_known), (0, true), "it is said already");
    let roster = settle(&mut h);
    assert!(!are_one(&roster, "fabrikam/alice", "flexnet/7"), "somebody looks at it first");
    assert_eq!(roster.linkable(LinkRule::Stated, "fabrikam", "", false).pairs.len(), 1);
    // Nothing is left of it for yuri when alice goes.
    gone(&mut h, "fabrikam", "alice");
    let roster = settle(&mut h);
    assert!(!are_one(&roster, "fabrikam/yuri", "flexnet/7"));
    assert_eq!(roster.linkable(LinkRule::Stated, "fabrikam", "", false).pairs.len(), 0);
    let nobody = SourcePerson { source: "flexnet".parse().unwrap(), person: "fabrikam".parse().unwrap() };
    assert!(!roster.taken_for(LinkRule::Stated, "fabrikam", "fabrikam", &nobody).is_known);
}

/// Cleaning up the numbers of a system that ended must not part anybody, nor must that of one contact who is gone.
#[test]
fn what_a_directory_does_not_say_any_more_of_somebody_who_is_gone_parts_nobody() {
    for is_retired in [true, false] {
        let mut h = two_companies();
        match is_retired {
            true => h.say("local", "source.retired", None, r#"{"source":"flexnet"}"#),
            false => gone(&mut h, "flexnet", "fabrikam"),
        }
        let linked = h.clone();
        entry(&mut h, "fabrikam", "first", 3, Some("first.fabrikam"), None);
        assert!(are_one(&settle(&mut h), "fabrikam/first", "flexnet/fabrikam"), "retired: {is_retired}");
        part(&mut h, "fabrikam/first", "flexnet/fabrikam");
        assert!(!are_one(&settle(&mut h), "fabrikam/first", "flexnet/fabrikam"), "a hand parts them");
        // Who is there again can be said to be another.
        let mut h = linked;
        entry(&mut h, "fabrikam", "first", 3, Some("first.fabrikam"), None);
        h.say("flexnet", "person.upserted", Some(10), r#"{"person":"fabrikam","account":null,"active":true}"#);
        assert_eq!(are_one(&settle(&mut h), "fabrikam/first", "flexnet/fabrikam"), is_retired);
    }
}
