//! What is whose when two who were one user part: secrets, and what was given by hand meanwhile.

use rollcall_events::{
    Body,
    body::{Principal, SourcePerson},
};

use super::{
    hash, link,
    links::{due_links, given_by_hand, may},
    person,
};
use crate::{
    effort::Effort,
    questions::{links::LinkGiver, problems::RosterProblem},
    roster::{Roster, credentials::SecretView},
    suite::histories::{History, noon},
    what_if::links::{LinkNoteKind, plan_links},
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
    let plan = |given_since: Option<&str>| {
        let data = given_since.map_or_else(|| pair.clone(), |whose| unlinked_given(&pair, whose));
        let body = Body::parse("rollcall.identity.unlinked.v1", &data).unwrap();
        let plan = plan_links(&h.fold(), vec![body], noon(), &Effort::unbounded()).unwrap();
        let mut parted = h.clone();
        parted.say("local", "identity.unlinked", None, &data);
        let again = r#"{"person":"old","username":"kim","account":null,"active":true}"#;
        parted.say("flexnet", "person.upserted", Some(3), again);
        (plan.notes.into_iter().map(|note| note.text).collect::<Vec<_>>(), signs_in(&parted.fold(), 1))
    };
    let stays = |name: &str| vec![format!("secret s1, made since they were linked, stays with {name}")];
    for (given_since, name, whose) in [
        (None, "kim~corp", "corp/new"),
        (Some("corp/new"), "kim~corp", "corp/new"),
        // Whoever says so knows better than who was there.
        (Some("flexnet/old"), "kim", "flexnet/old"),
    ] {
        assert_eq!(plan(given_since), (stays(name), Some(whose.to_owned())), "{given_since:?}");
    }
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

/// Its holder could be either, whoever is there when it makes another.
#[test]
fn what_is_made_with_a_secret_could_be_that_of_whoever_could_have_that_secret_there_or_not() {
    let pair = link("flexnet/a", "corp/b");
    let with_first = r#","author":"user:flexnet/a","made_with":"s1""#;
    for (first, gone, of_second) in [
        // Could be either's.
        ("while linked", "flexnet/a", None),
        ("while linked", "corp/b", None),
        // The one's own: so is what it made, whoever was there then.
        ("a's own", "flexnet/a", Some("flexnet/a")),
        ("a's own", "corp/b", Some("flexnet/a")),
        ("a's own", "", Some("flexnet/a")),
        ("b's own", "flexnet/a", Some("corp/b")),
        ("b's own", "", Some("corp/b")),
    ] {
        for invites in [false, true] {
            let mut h = History::settings(false);
            person(&mut h, "flexnet", "a", Some("a"));
            person(&mut h, "corp", "b", Some("b"));
            match first {
                "a's own" => secret(&mut h, 1, "flexnet/a"),
                "b's own" => secret(&mut h, 1, "corp/b"),
                _ => {}
            }
            h.say("local", "identity.linked", None, &pair);
            if first == "while linked" {
                secret(&mut h, 1, "flexnet/a");
            }
            let away = gone.split_once('/');
            if let Some((source, id)) = away {
                h.say(source, "person.removed", Some(2), &format!(r#"{{"person":"{id}"}}"#));
            }
            for user in ["flexnet/a", "corp/b"] {
                let n = if user == "corp/b" { 3 } else { 2 };
                let invitation = match invites {
                    true => {
                        let (sha256, ends) = (hash(n + 10), "2027-01-01T00:00:00Z");
                        let data = format!(
                            r#"{{"secret":"i{n}","user":"{user}","sha256":"{sha256}","expires":"{ends}"{with_first}}}"#
                        );
                        h.say("local", "secret.invited", None, &data);
                        format!(r#","invitation":"i{n}""#)
                    }
                    false => with_first.to_owned(),
                };
                let (owner, sha256) = (format!(r#"{{"user":"{user}"}}"#), hash(n));
                let data = format!(r#"{{"secret":"s{n}","owner":{owner},"sha256":"{sha256}"{invitation}}}"#);
                h.say("local", "secret.issued", None, &data);
            }
            let told = format!("{first}, {gone} is gone, invited: {invites}");
            let linked = h.fold();
            assert!([1, 2, 3].iter().all(|n| signs_in(&linked, *n).is_some()), "{told}");
            if let Some((source, id)) = away {
                let again = format!(r#"{{"person":"{id}","username":"{id}","account":null,"active":true}}"#);
                h.say(source, "person.upserted", Some(3), &again);
            }
            let linked = h.clone();
            h.say("local", "identity.unlinked", None, &pair);
            let made = [2, 3].map(|n| signs_in(&h.fold(), n));
            assert_eq!(made, [(); 2].map(|()| of_second.map(str::to_owned)), "{told}");
            assert_eq!(signs_in(&h.fold(), 1).as_deref(), of_second, "{told}");
            // Nobody's word makes what one's own secret made the other one's.
            for whose in ["flexnet/a", "corp/b"] {
                let mut h = linked.clone();
                h.say("local", "identity.unlinked", None, &unlinked_given(&pair, whose));
                let made = [1, 2, 3].map(|n| signs_in(&h.fold(), n));
                assert_eq!(made, [(); 3].map(|()| Some(of_second.unwrap_or(whose).to_owned())), "{told}, {whose}");
            }
        }
    }
}

#[test]
fn who_made_a_secret_for_himself_is_whose_it_is_when_two_part() {
    let listed = |roster: &Roster, id: &str| {
        let secrets = roster.secrets_of(roster.user_by_id(id).unwrap(), noon());
        let maker = |one: &SecretView<'_>| one.maker.map(|maker| roster.caller_names(maker).0);
        secrets.iter().map(|one| format!("{} of {}", one.id, maker(one).unwrap())).collect::<Vec<_>>()
    };
    let pair = link("flexnet/a", "corp/b");
    for (user, is_gone) in [("flexnet/a", false), ("corp/b", false), ("flexnet/a", true)] {
        let mut h = History::settings(false);
        person(&mut h, "flexnet", "a", Some("a"));
        person(&mut h, "corp", "b", Some("b"));
        h.say("local", "identity.linked", None, &pair);
        if is_gone {
            h.say("flexnet", "person.removed", Some(2), r#"{"person":"a"}"#);
        }
        let data = format!(
            r#"{{"secret":"s1","owner":{{"user":"{user}"}},"sha256":"{}","author":"user:flexnet/a"}}"#,
            hash(1)
        );
        h.say("local", "secret.issued", None, &data);
        assert_eq!(listed(&h.fold(), "flexnet/a"), ["s1 of flexnet/a"]);
        h.say("local", "identity.unlinked", None, &unlinked_given(&pair, "corp/b"));
        assert_eq!(listed(&h.fold(), "corp/b"), ["s1 of corp/b"], "{user}, gone: {is_gone}");
    }
}

/// What was reset is one person's; what goes on, or not, is the same linked and parted, and is always listed.
#[test]
fn a_reset_ends_what_could_be_the_secret_of_whoever_was_reset_and_no_other() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "ann", Some("ann"));
    person(&mut h, "corp", "bea", Some("bea"));
    let reset = |h: &mut History, user: &str| {
        h.say("local", "credentials.reset", None, &format!(r#"{{"user":"{user}"}}"#));
    };
    let listed = |roster: &Roster| {
        let secrets = roster.secrets_of(roster.user_by_id("flexnet/ann").unwrap(), noon());
        secrets.iter().map(|one| one.id.to_owned()).collect::<Vec<_>>()
    };
    let pair = link("flexnet/ann", "corp/bea");
    secret(&mut h, 1, "flexnet/ann");
    reset(&mut h, "corp/bea");
    h.say("local", "identity.linked", None, &pair);
    assert_eq!(signs_in(&h.fold(), 1).as_deref(), Some("flexnet/ann"), "a link ends no secret");
    secret(&mut h, 2, "flexnet/ann");
    let linked = h.clone();
    h.say("local", "identity.unlinked", None, &pair);
    let roster = h.fold();
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    for roster in [&roster, &again] {
        assert_eq!((signs_in(roster, 1).is_some(), listed(roster)), (true, vec!["s1".to_owned(), "s2".to_owned()]));
    }
    // What could be hers ends with all that is hers, and stays so, whoever is linked again and parted.
    reset(&mut h, "corp/bea");
    h.say("local", "identity.linked", None, &pair);
    assert_eq!([1, 2].map(|n| signs_in(&h.fold(), n).is_some()), [true, false]);
    h.say("local", "identity.unlinked", None, &unlinked_given(&pair, "flexnet/ann"));
    assert_eq!(
        ([1, 2].map(|n| signs_in(&h.fold(), n).is_some()), listed(&h.fold())),
        ([true, false], vec!["s1".to_owned()])
    );
    // Of one user it ends everything.
    let mut h = linked;
    reset(&mut h, "corp/bea");
    h.say("local", "identity.unlinked", None, &pair);
    assert_eq!([1, 2].map(|n| signs_in(&h.fold(), n)), [None, None]);
}

/// A role that the one has already, and that two of the other's persons were given.
#[test]
fn no_role_that_is_said_to_have_been_given_to_one_of_two_stays_with_the_other() {
    for (own, given, after) in [
        (r#"null,"ends":"2026-04-01T00:00:00Z""#, r#"null,"ends":null"#, "goes to greta"),
        (r#"null,"ends":null"#, r#"null,"ends":"2026-04-01T00:00:00Z""#, "goes to greta"),
        (r#"null,"ends":"2026-05-01T00:00:00Z""#, r#""2026-04-01T00:00:00Z","ends":null"#, "goes to greta"),
        (
            r#""2026-06-01T00:00:00Z","ends":null"#,
            r#"null,"ends":"2026-05-01T00:00:00Z""#,
            "ends, as greta has it for another time",
        ),
    ] {
        let mut h = History::settings(false);
        person(&mut h, "flexnet", "fritz", Some("fritz"));
        person(&mut h, "lab", "fritz", Some("fritz.lab"));
        person(&mut h, "corp", "greta", Some("greta"));
        h.say(
            "local",
            "project.created",
            None,
            r#"{"project":"p","name":"tools","kind":"standard","visibility":"private","folder":null,"creator":null}"#,
        );
        let role = |h: &mut History, who: &str, window: &str| {
            let data = format!(
                r#"{{"principal":{{"user":"{who}"}},"role":"Developer","scope":{{"project":"local/p"}},"author":"test","starts":{window}}}"#
            );
            h.say("local", "binding.set", None, &data);
        };
        role(&mut h, "corp/greta", own);
        h.say("local", "identity.linked", None, &link("flexnet/fritz", "lab/fritz"));
        let pair = link("flexnet/fritz", "corp/greta");
        h.say("local", "identity.linked", None, &pair);
        h.say("local", "group.upserted", None, r#"{"group":"crew","name":null,"author":"test"}"#);
        for fritz in ["flexnet/fritz", "lab/fritz"] {
            role(&mut h, fritz, given);
            let place = format!(r#"{{"group":"crew","member":{{"person":"{fritz}"}},"author":"test"}}"#);
            h.say("local", "group.member.added", None, &place);
        }
        let roster = h.fold();
        let persons = ["flexnet/fritz", "corp/greta"].map(|one| {
            let (source, person) = one.split_once('/').unwrap();
            SourcePerson { source: source.parse().unwrap(), person: person.parse().unwrap() }
        });
        let unlinked = Body::parse("rollcall.identity.unlinked.v1", &unlinked_given(&pair, "corp/greta")).unwrap();
        let moved = roster.moved_when_parted(&persons, &persons[1], &LinkGiver::default(), noon());
        let commands: Vec<Body> = std::iter::once(unlinked).chain(moved).collect();
        let plan = plan_links(&roster, commands.clone(), noon(), &Effort::unbounded()).unwrap();
        let mut told: Vec<&str> = plan.notes.iter().map(|note| note.text.as_str()).collect();
        told.dedup();
        let role = format!("role Developer on project tools, given since they were linked, {after}");
        assert_eq!(told, [&*role, "the place in group local/crew, given since they were linked, goes to greta"]);
        for body in commands {
            h.say("local", body.kind().trim_start_matches("rollcall.").trim_end_matches(".v1"), None, &body.data());
        }
        let roster = h.fold();
        let roles = |id: &str| {
            let theirs =
                roster.bindings().filter(|row| matches!(&row.principal, Principal::User(one) if one.as_str() == id));
            theirs
                .map(|row| (row.starts.map(|at| at.to_string()), row.ends.map(|at| at.to_string())))
                .collect::<Vec<_>>()
        };
        assert_eq!(roles("flexnet/fritz").len() + roles("lab/fritz").len(), 0, "{own} {given}");
        assert_eq!(roles("corp/greta").len(), 1);
        let whole = (after.starts_with("goes")).then_some((None, None));
        assert_eq!(
            whole.clone().unwrap_or_else(|| roles("corp/greta")[0].clone()),
            roles("corp/greta")[0],
            "{own} {given}"
        );
    }
}

#[test]
fn a_link_that_ends_where_two_stay_one_by_others_is_told_and_says_by_which() {
    let mut h = History::settings(false);
    for source in ["corp", "lab"] {
        for id in ["u-1", "u-2"] {
            person(&mut h, source, id, Some(&format!("{source}.{id}")));
        }
    }
    for (one, two) in
        [("corp/u-1", "corp/u-2"), ("lab/u-1", "lab/u-2"), ("corp/u-1", "lab/u-1"), ("corp/u-2", "lab/u-2")]
    {
        h.say("local", "identity.linked", None, &link(one, two));
    }
    let roster = h.fold();
    let body = Body::parse("rollcall.identity.unlinked.v1", &link("corp/u-1", "lab/u-1")).unwrap();
    let plan = plan_links(&roster, vec![body], noon(), &Effort::unbounded()).unwrap();
    let told: Vec<(LinkNoteKind, &str)> = plan.notes.iter().map(|note| (note.kind, note.text.as_str())).collect();
    let text = "stays one user with lab/u-1, by the links corp/u-1 corp/u-2, lab/u-1 lab/u-2, corp/u-2 lab/u-2";
    assert_eq!(told, [(LinkNoteKind::StaysOne, text)]);
    let persons = [("corp", "u-1"), ("lab", "u-1")]
        .map(|(source, person)| SourcePerson { source: source.parse().unwrap(), person: person.parse().unwrap() });
    assert!(!roster.would_part(&persons));
    h.say("local", "identity.unlinked", None, &link("corp/u-2", "lab/u-2"));
    assert!(h.fold().would_part(&persons));
}

/// Cleaning up parts nobody from a contact who is gone; that the number was another's does.
#[test]
fn what_a_contact_who_is_gone_had_is_not_that_of_whom_the_directory_calls_another_by_now() {
    let mut h = History::settings(false);
    person(&mut h, "flexnet", "7", Some("c7"));
    given_by_hand(&mut h, "flexnet/7");
    let entry = |h: &mut History, id: &str, sequence: u64, is_seven: bool| {
        let same = if is_seven { r#"{"source":"flexnet","person":"7"}"# } else { "" };
        let data = format!(r#"{{"person":"{id}","username":"{id}","account":null,"active":true,"same_as":[{same}]}}"#);
        h.say("corp", "person.upserted", Some(sequence), &data);
    };
    entry(&mut h, "wrong", 1, true);
    let pair = r#"{"persons":[{"source":"corp","person":"wrong"},{"source":"flexnet","person":"7"}],"rule":"stated"}"#;
    h.say("local", "identity.linked", None, pair);
    h.say("flexnet", "person.removed", Some(2), r#"{"person":"7"}"#);
    entry(&mut h, "wrong", 2, false);
    assert_eq!((due_links(&h.fold()).1, may(&h.fold(), "corp/wrong")), (vec![], "pull push".to_owned()));
    entry(&mut h, "right", 1, true);
    assert_eq!(due_links(&h.fold()).1, ["link/corp%2Fwrong/flexnet%2F7"]);
    // Also of two of whom both are said to be it nobody knows more than before.
    entry(&mut h, "wrong", 3, true);
    assert_eq!(due_links(&h.fold()).1, Vec::<String>::new());
    h.say("corp", "person.removed", Some(9), r#"{"person":"right"}"#);
    entry(&mut h, "wrong", 4, false);
    assert_eq!(due_links(&h.fold()).1, Vec::<String>::new());
}
