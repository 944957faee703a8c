//! Names within one user of several persons: none moves from one of them to another, and each is asked for as by a user of
//! one person.

use rollcall_events::Body;

use super::{called, called_by_id, due, give, hash, link, named, names, person, settle};
use crate::{
    effort::Effort,
    past::slice::{Basis, PastQuestion},
    questions::problems::RosterProblem,
    roster::Roster,
    suite::histories::{History, noon, past_profile},
    what_if::links::plan_links,
};

/// A contact and an employee who are one user, in a profile that gives everybody a project of the own name.
fn fritz_and_greta() -> (History, String) {
    let mut h = History::settings(false);
    h.say("local", "profile.set", None, &past_profile(true));
    person(&mut h, "flexnet", "fritz", Some("fritz"));
    person(&mut h, "corp", "greta", Some("gg"));
    called(&mut h, "corp", "greta", 2, "greta");
    let pair = link("flexnet/fritz", "corp/greta");
    h.say("local", "identity.linked", None, &pair);
    (h, pair)
}

fn whose_project(roster: &Roster, name: &str) -> Option<String> {
    roster.project_by_name(name).map(|project| roster.project(project).id)
}

/// Every name of one of its persons can be chosen, a former one too; what is chosen last counts.
#[test]
fn a_user_that_is_given_a_name_of_one_of_its_persons_is_called_so_and_each_has_its_own_when_they_part() {
    let (linked, pair) = fritz_and_greta();
    assert_eq!(called_by_id(&linked.fold(), "flexnet/fritz"), "greta", "of the employee");
    let parted = |h: &History| {
        let mut h = h.clone();
        h.say("local", "identity.unlinked", None, &pair);
        h.fold()
    };
    let before = parted(&linked);
    for chosen in
        [&["greta"][..], &["fritz"], &["gg"], &["fritz", "greta"], &["gg", "fritz"], &["fritz", "gg", "greta"]]
    {
        let mut h = linked.clone();
        for name in chosen {
            let data = format!(r#"{{"username":"{name}","user":"flexnet/fritz"}}"#);
            let body = Body::parse("rollcall.user.name.given.v1", &data).unwrap();
            assert_eq!(h.fold().check_command(&body, noon()), Ok(()), "no project passes: {name}");
            give(&mut h, "flexnet/fritz", name);
            assert_eq!(called_by_id(&h.fold(), "flexnet/fritz"), *name, "{chosen:?}");
        }
        let last = *chosen.last().unwrap();
        let again = Roster::from_snapshot(&h.fold().to_snapshot()).unwrap();
        assert_eq!(called_by_id(&again, "flexnet/fritz"), last, "{chosen:?}: a restart forgets it");
        // Whatever is said of its persons later.
        called(&mut h, "flexnet", "fritz", 2, "fritz");
        let roster = settle(&mut h);
        assert_eq!(called_by_id(&roster, "corp/greta"), last, "{chosen:?}");
        // Said again it is nothing new.
        let at = h.fold().facts.user_names.len();
        give(&mut h, "flexnet/fritz", last);
        assert_eq!((h.fold().facts.user_names.len(), called_by_id(&h.fold(), "corp/greta")), (at, last));
        let body = Body::parse("rollcall.identity.unlinked.v1", &pair).unwrap();
        let plan = plan_links(&h.fold(), vec![body], noon(), &Effort::unbounded()).unwrap();
        let roster = parted(&h);
        for name in ["fritz", "greta", "gg"] {
            assert_eq!(whose_project(&roster, name), whose_project(&before, name), "{name} {chosen:?}");
        }
        let hers = if chosen.contains(&"gg") && last != "greta" { "gg" } else { "greta" };
        assert_eq!(names(&roster), [format!("corp/greta {hers}"), "flexnet/fritz fritz".to_owned()], "{chosen:?}");
        let told: Vec<String> = plan.notes.iter().map(|note| format!("{} {}", note.person, note.text)).collect();
        let kept = if hers == "gg" {
            vec![format!("corp/greta the name {hers}, given since they were linked, stays with {hers}")]
        } else {
            vec![]
        };
        assert_eq!(told, kept, "{chosen:?}");
    }
}

/// Nobody's name before; it is with whoever asks for it, or with the oldest.
#[test]
fn what_a_user_was_called_since_two_were_linked_is_told_with_whom_it_stays() {
    let (mut h, pair) = fritz_and_greta();
    give(&mut h, "flexnet/fritz", "boss");
    assert_eq!(called_by_id(&h.fold(), "corp/greta"), "boss");
    let body = Body::parse("rollcall.identity.unlinked.v1", &pair).unwrap();
    let plan = plan_links(&h.fold(), vec![body], noon(), &Effort::unbounded()).unwrap();
    let told: Vec<String> = plan.notes.iter().map(|note| format!("{} {}", note.person, note.text)).collect();
    assert_eq!(told, ["flexnet/fritz the name boss, given since they were linked, stays with boss"]);
    h.say("local", "identity.unlinked", None, &pair);
    assert_eq!(names(&h.fold()), ["corp/greta greta", "flexnet/fritz boss"]);
    // Who asks for it is given it.
    let mut h = History::settings(false);
    person(&mut h, "corp", "old", Some("ada"));
    h.say("corp", "person.removed", Some(2), r#"{"person":"old"}"#);
    person(&mut h, "flexnet", "c", Some("contact"));
    person(&mut h, "corp", "new", Some("ada"));
    let pair = link("flexnet/c", "corp/new");
    h.say("local", "identity.linked", None, &pair);
    give(&mut h, "flexnet/c", "ada");
    h.say("local", "identity.unlinked", None, &pair);
    assert_eq!(names(&h.fold()), ["corp/new ada", "corp/old ada~corp~2", "flexnet/c contact"]);
    assert_eq!(named(&h.fold(), "corp", "new").1, None);
}

/// As where both are users of one person.
#[test]
fn who_is_one_user_with_an_older_contact_has_the_name_that_its_source_asks_for_by_the_same_rules() {
    // Two who exchange their names.
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "c", Some("contact"));
    person(&mut h, "corp", "x", Some("x1"));
    person(&mut h, "corp", "y", Some("y1"));
    let pair = link("flexnet/c", "corp/x");
    h.say("local", "identity.linked", None, &pair);
    called(&mut h, "corp", "x", 2, "y1");
    called(&mut h, "corp", "y", 2, "x1");
    let roster = settle(&mut h);
    assert_eq!(names(&roster), ["corp/y x1", "flexnet/c y1"]);
    assert_eq!(roster.user_by_name("y1"), roster.user_by_id("corp/x"));
    assert_eq!(roster.problems(RosterProblem::UserName, 0, 100).found.len(), 0);
    h.say("local", "identity.unlinked", None, &pair);
    assert_eq!(names(&h.fold()), ["corp/x y1", "corp/y x1", "flexnet/c contact"]);
    // An employee whose name another customer has.
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "other", Some("bob"));
    person(&mut h, "flexnet", "c", Some("contact"));
    person(&mut h, "corp", "bob", Some("bob"));
    h.say("local", "identity.linked", None, &link("flexnet/c", "corp/bob"));
    assert_eq!(due(&h.fold()), ["bob to corp/bob, authoritative"]);
    assert_eq!(names(&settle(&mut h)), ["flexnet/c bob", "flexnet/other bob~flexnet"]);
    // By hand a name is a user's still.
    let data = r#"{"username":"bobby","user":"corp/bob"}"#;
    let body = Body::parse("rollcall.user.name.given.v1", data).unwrap();
    assert!(h.fold().check_command(&body, noon()).is_err());
}

#[test]
fn a_freed_name_goes_to_the_first_of_those_who_can_have_it_whoever_else_asks() {
    let start = || {
        let mut h = History::settings(false);
        person(&mut h, "flexnet", "x", Some("ada"));
        called(&mut h, "flexnet", "x", 2, "xx");
        let data = format!(r#"{{"secret":"s1","owner":{{"user":"flexnet/x"}},"sha256":"{}"}}"#, hash(1));
        h.say("local", "secret.issued", None, &data);
        h
    };
    let free = |h: &mut History| {
        h.say("local", "secret.revoked", None, r#"{"secret":"s1"}"#);
        h.say("local", "user.name.freed", None, r#"{"username":"ada"}"#);
    };
    // Of a user of several persons.
    let mut h = start();
    person(&mut h, "flexnet", "c", Some("contact"));
    person(&mut h, "corp", "u1", Some("ada"));
    person(&mut h, "lab", "u2", Some("ada"));
    h.say("local", "identity.linked", None, &link("flexnet/c", "corp/u1"));
    free(&mut h);
    assert_eq!(due(&h.fold()), ["ada to corp/u1, freed"]);
    assert_eq!(names(&settle(&mut h)), ["flexnet/c ada", "flexnet/x xx", "lab/u2 ada~lab"]);
    // Who may not sign in waits, and is told so.
    let mut h = start();
    person(&mut h, "corp", "u1", Some("ada"));
    person(&mut h, "lab", "u2", Some("ada"));
    h.say("corp", "person.upserted", Some(2), r#"{"person":"u1","username":"ada","account":null,"active":false}"#);
    free(&mut h);
    let remedy = |roster: &Roster, id: &str| {
        let found = roster.problems(RosterProblem::UserName, 0, 100).found.into_iter();
        found.map(|(_, flaw)| flaw).find(|flaw| flaw.said.contains(id)).map(|flaw| flaw.remedy)
    };
    let roster = h.fold();
    assert!(remedy(&roster, "u2").unwrap().starts_with("it is given in a moment to whoever asked for it first"));
    assert!(remedy(&roster, "u1").unwrap().starts_with("it is given to whoever asks for it and may sign in"));
    assert_eq!(due(&roster), ["ada to lab/u2, freed"]);
    // However many ask, each is looked at once.
    let mut h = start();
    (0..600).for_each(|n| person(&mut h, "flexnet", &format!("u{n}"), Some("ada")));
    person(&mut h, "corp", "employee", Some("ada"));
    free(&mut h);
    let roster = h.fold();
    let (mut given, mut from) = (Vec::new(), Some(0));
    while let Some(start) = from {
        let rows = crate::persistent::work::so_far();
        let (due, next) = roster.due_names(start, 256, noon());
        assert!(crate::persistent::work::so_far() - rows < 40_000, "256 are looked at");
        given.extend(due.iter().map(Body::data));
        from = next;
    }
    assert!(given.len() == 1 && given[0].contains("corp/employee"), "{given:?}");
}

/// The slice of whoever had the name has all that the other one's name rests on.
#[test]
fn who_lost_a_name_to_a_user_of_several_persons_is_called_so_in_every_question_about_then() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "x", Some("ada"));
    h.say("flexnet", "person.removed", Some(2), r#"{"person":"x"}"#);
    person(&mut h, "flexnet", "c", Some("contact"));
    person(&mut h, "corp", "between", Some("between"));
    person(&mut h, "corp", "new", Some("ada"));
    h.say("local", "identity.linked", None, &link("flexnet/c", "corp/between"));
    h.say("local", "identity.linked", None, &link("corp/between", "corp/new"));
    give(&mut h, "flexnet/c", "ada");
    let roster = h.fold();
    assert_eq!(names(&roster), ["flexnet/c ada", "flexnet/x ada~flexnet"]);
    let question = PastQuestion::User("flexnet/x");
    let subjects = roster.relevant_subjects(question, Basis::Recorded, &Effort::unbounded()).unwrap();
    let told = format!("{subjects:?}");
    for subject in
        ["username/ada", "person/c", "person/new", "link/corp%2Fbetween/corp%2Fnew", "link/corp%2Fbetween/flexnet%2Fc"]
    {
        assert!(told.contains(subject), "{subject}: {told}");
    }
}
