//! What is whose when two who were one user part: secrets, and what was given by hand meanwhile.

use rollcall_events::{Body, body::SourcePerson};

use super::{
    hash, link,
    links::{given_by_hand, may},
    person,
};
use crate::{
    effort::Effort,
    questions::{links::LinkGiver, problems::RosterProblem},
    roster::Roster,
    suite::histories::{History, noon},
    what_if::links::plan_links,
};

/// Which of several persons made a secret is not known: it is nobody's once they are parted.
#[test]
fn a_secret_that_was_made_while_two_were_one_signs_in_neither_once_they_are_parted_unless_it_is_said_whose_it_is() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "ned", Some("ned"));
    person(&mut h, "corp", "ola", Some("ola"));
    let invite = r#"{"secret":"i","user":"flexnet/ned","sha256":"HASH","expires":"2027-01-01T00:00:00Z"}"#;
    let whose = |roster: &Roster, n: u8| {
        let found = roster.credential(&[n; 32], noon()).or_else(|| roster.invitation(&[n; 32], noon()));
        found.map(|found| roster.caller_names(found.principal).0)
    };
    secret(&mut h, 1, "flexnet/ned");
    secret(&mut h, 2, "corp/ola");
    h.say("local", "identity.linked", None, &link("flexnet/ned", "corp/ola"));
    secret(&mut h, 3, "flexnet/ned");
    h.say("local", "secret.invited", None, &invite.replace("HASH", &hash(4)));
    let user = Some("flexnet/ned".to_owned());
    assert!((1..=4).all(|n| whose(&h.fold(), n) == user));
    let unlinked = link("flexnet/ned", "corp/ola");
    let plan = |whose: Option<&str>| {
        let data = whose.map_or_else(
            || unlinked.clone(),
            |whose| unlinked.replace("}]}", &format!("}}],\"given_since\":{whose}}}")),
        );
        let body = Body::parse("rollcall.identity.unlinked.v1", &data).unwrap();
        let plan = plan_links(&h.fold(), vec![body], noon(), &Effort::unbounded()).unwrap();
        let notes = plan.notes.iter().map(|note| format!("{} {}", note.person, note.text)).collect::<Vec<_>>();
        (data, plan.name, notes)
    };
    let (data, name, notes) = plan(None);
    assert_eq!(
        notes,
        [
            "flexnet/ned invitation i was made since they were linked and ends",
            "flexnet/ned secret s3 was made since they were linked and ends"
        ]
    );
    let mut parted = h.clone();
    parted.say("local", "identity.unlinked", None, &data);
    let roster = parted.fold();
    assert_eq!([1, 2, 3, 4].map(|n| whose(&roster, n)), [user.clone(), Some("corp/ola".to_owned()), None, None]);
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    assert_eq!(whose(&again, 3), None, "a restart forgets it");
    parted.say("local", "identity.linked", None, &link("flexnet/ned", "corp/ola"));
    assert_eq!(whose(&parted.fold(), 3), user, "they are one again");
    let (data, kept, notes) = plan(Some(r#"{"source":"flexnet","person":"ned"}"#));
    assert!(kept != name && notes.iter().all(|note| note.contains("stays with ned")), "{notes:?}");
    h.say("local", "identity.unlinked", None, &data);
    assert_eq!([3, 4].map(|n| whose(&h.fold(), n)), [user.clone(), user]);
}

/// A secret `n` for a user.
fn secret(h: &mut History, n: u8, user: &str) {
    let data = format!(r#"{{"secret":"s{n}","owner":{{"user":"{user}"}},"sha256":"{}"}}"#, hash(n));
    h.say("local", "secret.issued", None, &data);
}

/// As whom a secret signs in.
fn signs_in(roster: &Roster, n: u8) -> Option<String> {
    roster.credential(&[n; 32], noon()).map(|found| roster.caller_names(found.principal).0)
}

/// Parting two, of which one had everything since they were linked.
fn unlinked_given(pair: &str, whose: &str) -> String {
    let (source, person) = whose.split_once('/').unwrap();
    pair.replace("}]}", &format!(r#"}}],"given_since":{{"source":"{source}","person":"{person}"}}}}"#))
}

#[test]
fn what_is_said_to_have_been_given_to_one_of_two_wakes_no_secret_that_could_be_a_third_ones() {
    let mut h = History::settings(false);
    for (source, id) in [("flexnet", "max"), ("corp", "max"), ("corp", "fb01"), ("lab", "inge")] {
        person(&mut h, source, id, Some(id));
    }
    let (own, other, third) =
        (link("flexnet/max", "corp/max"), link("flexnet/max", "corp/fb01"), link("flexnet/max", "lab/inge"));
    // Of an earlier wrong link.
    h.say("local", "identity.linked", None, &own);
    secret(&mut h, 1, "flexnet/max");
    h.say("local", "identity.unlinked", None, &own);
    h.say("local", "identity.linked", None, &other);
    secret(&mut h, 2, "flexnet/max");
    let mut younger = h.clone();
    h.say("local", "identity.unlinked", None, &unlinked_given(&other, "flexnet/max"));
    assert_eq!([1, 2].map(|n| signs_in(&h.fold(), n)), [None, Some("flexnet/max".to_owned())]);
    // The younger one's is the younger one's, and is listed with it.
    younger.say("local", "identity.unlinked", None, &unlinked_given(&other, "corp/fb01"));
    let roster = younger.fold();
    assert_eq!([1, 2].map(|n| signs_in(&roster, n)), [None, Some("corp/fb01".to_owned())]);
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    for roster in [roster, again] {
        let listed = ["flexnet/max", "corp/fb01"].map(|id| {
            let secrets = roster.secrets_of(roster.user_by_id(id).unwrap(), noon());
            secrets.iter().map(|one| (one.id.to_owned(), one.parted)).collect::<Vec<_>>()
        });
        assert_eq!(listed, [vec![("s1".to_owned(), true)], vec![("s2".to_owned(), false)]]);
        let told = roster.problems(RosterProblem::Secret { now: noon() }, 0, 100).found;
        let told: Vec<String> = told.into_iter().map(|(_, flaw)| format!("{}: {}", flaw.said, flaw.why)).collect();
        assert!(told.len() == 1 && told[0].starts_with("secret s1 signs max in: it could be that of "), "{told:?}");
    }
    // Three who were one: what is one of two's could be the third one's still.
    for link in [&own, &third] {
        h.say("local", "identity.linked", None, link);
    }
    secret(&mut h, 3, "flexnet/max");
    h.say("local", "identity.unlinked", None, &unlinked_given(&third, "flexnet/max"));
    assert_eq!(signs_in(&h.fold(), 3).as_deref(), Some("flexnet/max"));
    h.say("local", "identity.unlinked", None, &own);
    assert_eq!(signs_in(&h.fold(), 3), None);
}

#[test]
fn a_secret_that_was_made_when_one_of_two_had_left_is_that_of_who_is_there() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "old", Some("kim"));
    person(&mut h, "corp", "new", Some("kim"));
    let pair = link("flexnet/old", "corp/new");
    h.say("local", "identity.linked", None, &pair);
    h.say("flexnet", "person.removed", Some(2), r#"{"person":"old"}"#);
    secret(&mut h, 1, "flexnet/old");
    assert_eq!(signs_in(&h.fold(), 1).as_deref(), Some("flexnet/old"), "they are one user");
    h.say("local", "identity.unlinked", None, &pair);
    assert_eq!(signs_in(&h.fold(), 1).as_deref(), Some("corp/new"));
}

#[test]
fn what_one_had_before_two_were_linked_stays_its_own_also_where_it_was_set_anew_meanwhile() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "fritz", Some("fritz"));
    person(&mut h, "corp", "greta", Some("greta"));
    given_by_hand(&mut h, "flexnet/fritz");
    let pair = link("flexnet/fritz", "corp/greta");
    h.say("local", "identity.linked", None, &pair);
    let role = |role: &str, ends: &str| {
        format!(
            r#"{{"principal":{{"user":"flexnet/fritz"}},"role":"{role}","scope":{{"project":"local/p"}},"author":"test","starts":null,"ends":{ends}}}"#
        )
    };
    h.say("local", "binding.set", None, &role("Developer", r#""2027-01-01T00:00:00Z""#));
    h.say("local", "binding.set", None, &role("Guest", "null"));
    let roster = h.fold();
    let persons = ["flexnet/fritz", "corp/greta"].map(|one| {
        let (source, person) = one.split_once('/').unwrap();
        SourcePerson { source: source.parse().unwrap(), person: person.parse().unwrap() }
    });
    let moved = roster.moved_when_parted(&persons, &persons[1], &LinkGiver::default(), noon());
    let moved: Vec<String> = moved.iter().map(|body| format!("{} {}", body.kind(), body.data())).collect();
    assert!(moved.len() == 2 && moved.iter().all(|one| one.contains("Guest")), "{moved:?}");
    let unlinked = Body::parse("rollcall.identity.unlinked.v1", &unlinked_given(&pair, "corp/greta")).unwrap();
    let moves = roster.moved_when_parted(&persons, &persons[1], &LinkGiver::default(), noon());
    let plan = plan_links(&roster, std::iter::once(unlinked).chain(moves).collect(), noon(), &Effort::unbounded());
    let told: Vec<String> = plan.unwrap().notes.iter().map(|note| format!("{} {}", note.person, note.text)).collect();
    assert_eq!(told, ["corp/greta role Guest on project tools, given since they were linked, goes to greta"]);
}

#[test]
fn what_was_given_while_two_were_one_is_told_when_they_part_and_goes_to_whom_somebody_says() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "sam", Some("sam"));
    person(&mut h, "corp", "sam", Some("sam.b"));
    let pair = link("flexnet/sam", "corp/sam");
    h.say("local", "identity.linked", None, &pair);
    given_by_hand(&mut h, "flexnet/sam");
    let roster = h.fold();
    let body = Body::parse("rollcall.identity.unlinked.v1", &pair).unwrap();
    let plan = plan_links(&roster, vec![body], noon(), &Effort::unbounded()).unwrap();
    let told: Vec<String> = plan.notes.iter().map(|note| format!("{} {}", note.person, note.text)).collect();
    assert_eq!(
        told,
        [
            "flexnet/sam role Developer on project tools, given since they were linked, stays with sam",
            "flexnet/sam the place in group local/crew, given since they were linked, stays with sam"
        ]
    );
    let persons = ["flexnet", "corp"]
        .map(|source| SourcePerson { source: source.parse().unwrap(), person: "sam".parse().unwrap() });
    let moved = |to: &SourcePerson| roster.moved_when_parted(&persons, to, &LinkGiver::default(), noon());
    assert_eq!(moved(&persons[0]), []);
    for body in moved(&persons[1]) {
        h.say("local", body.kind().trim_start_matches("rollcall.").trim_end_matches(".v1"), None, &body.data());
    }
    h.say("local", "identity.unlinked", None, &pair);
    assert_eq!([may(&h.fold(), "flexnet/sam"), may(&h.fold(), "corp/sam")], ["", "pull push"]);
}
