//! Who was made again, whoever has the user name by then: found by what the directories ask for, and told where not.

use rollcall_events::{Body, body::SourcePerson};

use super::{
    apart::{are_one, gone, made_again, remedies, settle},
    give, hash, link, names, person,
};
use crate::{
    questions::links::{LinkRule, Linkable},
    roster::Roster,
    suite::histories::{History, noon},
};

/// Two directories, and a third one of another company.
fn directories() -> History {
    let mut h = History::settings(false);
    let source = |name: &str| format!(r#""{name}":{{"order":"version","authoritative":true}}"#);
    let all = ["corp", "corp2", "lab"].map(source).join(",");
    h.say("local", "settings.set", None, &format!(r#"{{"sources":{{{all}}},"author":"test"}}"#));
    h
}

fn retire(h: &mut History, source: &str) {
    h.say("local", "source.retired", None, &format!(r#"{{"source":"{source}"}}"#));
}

fn secret(h: &mut History, id: &str, user: &str) {
    let data = format!(r#"{{"secret":"{id}","owner":{{"user":"{user}"}},"sha256":"{}"}}"#, hash(7));
    h.say("local", "secret.issued", None, &data);
}

fn found(roster: &Roster, overlapping: bool) -> Linkable {
    roster.linkable(LinkRule::MadeAgain, "corp", "corp2", overlapping)
}

fn keys(all: &[SourcePerson]) -> Vec<String> {
    all.iter().map(|one| format!("{}/{}", one.source, one.person)).collect()
}

/// What a remedy says to do first, done.
fn follow(h: &mut History, command: &str) {
    let (_, rest) = command.split_once("`rollcall users link ").unwrap_or_else(|| panic!("{command}"));
    let roster = h.fold();
    let mut ids = rest.split('`').next().unwrap().split(' ').map(|name| roster.person_called(name).unwrap());
    let pair = link(&ids.next().unwrap(), &ids.next().unwrap());
    let body = Body::parse("rollcall.identity.linked.v1", &pair).unwrap();
    assert_eq!(roster.check_command(&body, noon()), Ok(()));
    h.say("local", "identity.linked", None, &pair);
}

/// Whoever has the name decides what somebody is called, and not who it is.
#[test]
fn who_was_made_again_is_found_whoever_else_has_the_user_name() {
    for holder in ["a contact", "a contact who is the same user", "another company's", "who was given it by hand"] {
        for another_directory in [false, true] {
            let (mut h, to) = (directories(), if another_directory { "corp2" } else { "corp" });
            let other = if holder == "another company's" { "lab/7" } else { "flexnet/7" };
            let (source, id) = other.split_once('/').unwrap();
            let name = if holder == "who was given it by hand" { "contact" } else { "p07" };
            person(&mut h, source, id, Some(name));
            if name == "contact" {
                give(&mut h, other, "p07");
            }
            secret(&mut h, "s", other);
            person(&mut h, "corp", "old", Some("p07"));
            if holder == "a contact who is the same user" {
                h.say("local", "identity.linked", None, &link(other, "corp/old"));
            }
            if another_directory {
                retire(&mut h, "corp");
            }
            person(&mut h, to, "new", Some("p07"));
            if !another_directory {
                gone(&mut h, "corp", "old");
            }
            let roster = settle(&mut h);
            let case = format!("{holder}, {to}");
            assert_eq!(made_again(&roster, "corp", to), [format!("corp/old {to}/new")], "{case}");
            // Who reads the problem alone comes to the same.
            let told = remedies(&roster);
            let told =
                told.lines().find(|line| line.contains("made again")).unwrap_or_else(|| panic!("{case}: {told}"));
            follow(&mut h, told);
            let roster = settle(&mut h);
            assert!(are_one(&roster, "corp/old", &format!("{to}/new")), "{case}: {told}");
            assert_eq!(made_again(&roster, "corp", to), Vec::<String>::new(), "{case}");
            // And what it says of the name is true as well.
            h.say("local", "secret.revoked", None, r#"{"secret":"s"}"#);
            let roster = settle(&mut h);
            let is_called = roster.user_name(roster.user_by_id("corp/old").unwrap());
            let is_lab = holder == "another company's";
            assert_eq!(is_called == "p07", !is_lab, "{case}: {is_called}");
            assert_eq!(
                told.contains("passes by itself"),
                holder != "a contact who is the same user" && !is_lab,
                "{told}"
            );
        }
    }
}

/// What somebody is called by then is not what the directory asks for.
#[test]
fn who_was_made_again_is_found_also_where_it_has_the_name_by_a_rule_another_one_by_hand_or_none_that_can_be_had() {
    for case in ["by a rule", "by hand", "unusable"] {
        let mut h = directories();
        let name = if case == "unusable" { "CORP\\\u{202E}p07:" } else { "p07" };
        person(&mut h, "flexnet", "7", Some("p07"));
        secret(&mut h, "s", "flexnet/7");
        person(&mut h, "corp", "old", Some(name));
        retire(&mut h, "corp");
        person(&mut h, "corp2", "new", Some(name));
        match case {
            "by a rule" => h.say("local", "secret.revoked", None, r#"{"secret":"s"}"#),
            "by hand" => give(&mut h, "corp2/new", "ada.new"),
            _ => {}
        }
        let roster = settle(&mut h);
        let is_called = match case {
            "by a rule" => "p07",
            "by hand" => "ada.new",
            _ => "new",
        };
        assert!(names(&roster).contains(&format!("corp2/new {is_called}")), "{case}: {:?}", names(&roster));
        assert_eq!(made_again(&roster, "corp", "corp2"), ["corp/old corp2/new"], "{case}");
    }
    // Who was given the name of the one who left is another one: somebody said so.
    let mut h = directories();
    person(&mut h, "corp", "old", Some("eve"));
    gone(&mut h, "corp", "old");
    person(&mut h, "corp", "new", Some("eve"));
    assert_eq!(made_again(&h.fold(), "corp", "corp"), ["corp/old corp/new"]);
    give(&mut h, "corp/new", "eve");
    assert_eq!(made_again(&h.fold(), "corp", "corp"), Vec::<String>::new());
}

#[test]
fn whom_the_rule_does_not_link_is_told_with_the_reason() {
    let mut h = directories();
    // There while the old one was, and there still.
    for (id, name) in [("1", "ann"), ("2", "ben"), ("3", "cem"), ("4", "dan"), ("5", "dan")] {
        person(&mut h, "corp", id, Some(name));
    }
    person(&mut h, "corp2", "ben", Some("ben"));
    person(&mut h, "corp2", "cem", Some("cem"));
    person(&mut h, "flexnet", "8", Some("eli"));
    secret(&mut h, "s", "flexnet/8");
    let all = |found: &Linkable| {
        let left_out: Vec<String> =
            found.left_out.iter().map(|one| format!("{} {}", keys(&one.persons).join(" "), one.why)).collect();
        (keys(&found.still_there), keys(&found.at_once), keys(&found.not_known), left_out)
    };
    let none = Vec::<String>::new;
    let there = vec!["corp2/ben".to_owned(), "corp2/cem".to_owned()];
    for overlapping in [false, true] {
        let found = found(&h.fold(), overlapping);
        assert_eq!((found.pairs.len(), all(&found)), (0, (there.clone(), none(), none(), none())));
    }
    retire(&mut h, "corp");
    for (id, name) in [("ann", "ann"), ("dan", "dan"), ("eli", "eli"), ("fay1", "fay"), ("fay2", "fay")] {
        person(&mut h, "corp2", id, Some(name));
    }
    let mut two = h.clone();
    let roster = settle(&mut h);
    assert_eq!(made_again(&roster, "corp", "corp2"), ["corp/1 corp2/ann"]);
    let (still_there, at_once, not_known, left_out) = all(&found(&roster, false));
    assert_eq!((still_there, at_once), (none(), there));
    assert_eq!(not_known, ["corp2/eli", "corp2/fay2"]);
    let several = "several who were removed, or who came, asked for that name, and only you know which";
    let way = |one: &str, two: &str| format!("corp/{one} {two} {several}: `rollcall users link corp/{one} {two}`");
    assert_eq!(left_out, [way("4", "corp2/dan"), way("5", "corp2/dan")]);
    let overlapping = found(&roster, true);
    assert_eq!((overlapping.pairs.len(), overlapping.at_once.len()), (3, 0));
    // Another one of its own directory who asks for the name and is there could be it as well.
    person(&mut two, "corp2", "ann2", Some("ann"));
    let roster = settle(&mut two);
    assert_eq!(made_again(&roster, "corp", "corp2"), none());
    let (.., left_out) = all(&found(&roster, false));
    assert!([way("1", "corp2/ann"), way("1", "corp2/ann2")].iter().all(|one| left_out.contains(one)), "{left_out:?}");
    // And one who is there no more was the one of before.
    gone(&mut two, "corp2", "ann2");
    let (.., left_out) = all(&found(&two.fold(), false));
    let why = "corp2/ann2 of its own source asked for that name too: `rollcall users link --rule made_again --source corp2` first";
    assert!(left_out.contains(&format!("corp/1 corp2/ann {why}")), "{left_out:?}");
}

/// A customer of the name is no entry of a directory.
#[test]
fn a_contact_who_came_since_is_no_rival_of_an_entry_that_was_made_again() {
    let mut h = directories();
    person(&mut h, "corp", "old", Some("p07"));
    retire(&mut h, "corp");
    person(&mut h, "flexnet", "7", Some("p07"));
    person(&mut h, "corp2", "new", Some("p07"));
    assert_eq!(made_again(&settle(&mut h), "corp", "corp2"), ["corp/old corp2/new"]);
    // An entry of another directory is.
    person(&mut h, "lab", "7", Some("p07"));
    assert_eq!(made_again(&settle(&mut h), "corp", "corp2"), Vec::<String>::new());
}
