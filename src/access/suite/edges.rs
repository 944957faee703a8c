//! Corners of the fold and the decision: what ended stays ended, and what is told is what is so.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rollcall_events::{Body, Position, Recorded};

use crate::{
    decide::decide,
    fold::change::Change,
    profile::Verb,
    questions::{
        explain::{explain, had_tie},
        members::members,
    },
    reasons::Rule,
    roster::{
        Roster,
        handles::{Principal, ProjectIx},
    },
    suite::{
        histories::{History, asks, history, noon, recorded, small, table, world},
        worlds::bundled,
    },
};

fn person(h: &mut History, source: &str, id: &str, account: &str, active: bool, v: u64) {
    h.say(source, "person.upserted", Some(v), &format!(r#"{{"person":"{id}","account":{account},"active":{active}}}"#));
}

const LINK: &str = r#"{"persons":[{"source":"corp","person":"q"},{"source":"flexnet","person":"ada"}]}"#;

fn hash(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

/// What an event costs follows from what it is about, and from nothing else that there is.
#[test]
fn no_link_folder_service_or_new_source_goes_through_every_role_that_is_given() {
    let cost = |bindings: usize, kind: &str, source: &str, data: &str| {
        let mut history = History::settings(false);
        history.say("local", "profile.set", None, crate::suite::causes::REGIONS);
        for n in 0..bindings {
            let data = format!(
                r#"{{"principal":{{"group":"corp/g{n}"}},"role":"Viewer","scope":"root","author":"admin key"}}"#
            );
            history.say("local", "binding.set", None, &data);
        }
        let mut roster = history.fold();
        history.say(source, kind, (source != "local").then_some(1), data);
        let event = history.0.last().unwrap().clone();
        let before = crate::persistent::work::so_far();
        let effect = roster.apply(&recorded(roster.position().0 + 1, &event)).effect;
        assert!(matches!(effect, crate::Effect::Applied), "{kind}: {effect:?}");
        crate::persistent::work::so_far() - before
    };
    for (kind, source, data) in [
        ("identity.linked", "local", LINK),
        ("identity.linked", "local", &LINK.replace("corp", "later")),
        ("folder.upserted", "local", r#"{"folder":"f","kind":"account","parent":null}"#),
        ("service.created", "local", r#"{"service":"ci","sources":["corp"]}"#),
        ("product.upserted", "later", r#"{"product":"P"}"#),
    ] {
        let (few, many) = (cost(3, kind, source, data), cost(300, kind, source, data));
        assert!(many <= few + 16, "{kind} of {source}: {few} rows among 3 roles, {many} among 300");
    }
}

/// What a newer version records of something that this one knows, with a member more: an older one that still starts there
/// must not go on with what was before.
#[test]
fn what_a_newer_version_takes_away_is_taken_away_though_it_says_more_than_is_known() {
    let mut history = History::settings(false);
    let person = |active: bool, more: &str| {
        format!(r#"{{"person":"ada","username":"ada","account":null,"active":{active}{more}}}"#)
    };
    history.say("corp", "person.upserted", Some(1), &person(true, ""));
    let active = |history: &History| {
        let roster = history.fold();
        roster.user_by_name("ada").is_some_and(|ada| !roster.user(ada).shut_out)
    };
    assert!(active(&history));
    history.say("corp", "person.upserted", Some(2), &person(false, r#","left_on":"2026-01-01""#));
    assert!(!active(&history));
    history.say("corp", "person.upserted", Some(3), &person(true, r#","left_on":null,"badge":{"of":[1]}"#));
    let roster = history.fold();
    assert_eq!(roster.parked().count(), 0);
    assert!(active(&history));
    // Poison is poison, and stops nothing.
    history.say("corp", "person.upserted", Some(4), &person(false, ""));
    history.0.last_mut().unwrap().data = person(false, r#","active":false"#).into();
    assert_eq!((history.fold().parked().count(), active(&history)), (1, true));
    history.say("corp", "person.upserted", Some(5), &person(false, ""));
    assert_eq!((history.fold().parked().count(), active(&history)), (0, false));
}

#[test]
fn nothing_that_a_retired_source_says_later_takes_effect_also_of_things_it_never_named_before() {
    let mut h = small();
    h.say("local", "source.retired", None, r#"{"source":"flexnet"}"#);
    let mut late = small().0.split_off(1);
    for event in &mut late {
        let renamed = |text: &str| {
            ["initech", "globex", "ada", "bob", "lab", "DB", "db-suite", "ENT-7"]
                .iter()
                .fold(text.to_owned(), |text, id| text.replace(&format!("\"{id}"), &format!("\"late-{id}")))
        };
        event.data = renamed(&event.data).replace("\"acme\"", "\"late\"").into();
        event.subject = Body::parse(&event.kind, &event.data).unwrap().subject().into();
        event.key.id = format!("late-{}", event.key.id).into();
    }
    h.0.extend(late);
    let roster = h.fold();
    assert!(roster.user_by_id("flexnet/late-ada").is_none(), "a person of a source that is no more");
    assert!(roster.project_by_name("late").is_none());
    assert_eq!(table(&roster), Vec::<String>::new());
    let whole = roster.to_snapshot();
    assert_eq!(Roster::from_snapshot(&whole).unwrap().to_snapshot(), whole);
}

#[test]
fn a_reset_ends_the_secrets_of_every_person_of_the_user_also_after_they_part() {
    let mut h = small();
    person(&mut h, "corp", "q", "null", true, 1);
    let secret = format!(r#"{{"secret":"s","owner":{{"user":"corp/q"}},"sha256":"{}"}}"#, hash(1));
    h.say("local", "secret.issued", None, &secret);
    h.say("local", "identity.linked", None, LINK);
    assert!(h.fold().credential(&[1; 32], noon()).is_some());
    h.say("local", "credentials.reset", None, r#"{"user":"flexnet/ada"}"#);
    assert!(h.fold().credential(&[1; 32], noon()).is_none());
    h.say("local", "identity.unlinked", None, LINK);
    let roster = h.fold();
    assert!(roster.credential(&[1; 32], noon()).is_none(), "a reset is undone by a parting");
    assert!(roster.live_secret(roster.user_by_id("corp/q").unwrap(), "s", noon()).is_none());
}

#[test]
fn a_role_given_by_hand_is_the_users_while_one_of_its_persons_is_there_and_is_explained_as_it_is_decided() {
    let mut h = small();
    let mut settings = h.fold().settings().clone();
    settings.bindings_on_managed = true;
    h.say("local", "settings.set", None, &serde_json::to_string(&settings).unwrap());
    person(&mut h, "corp", "q", "null", true, 1);
    h.say("local", "identity.linked", None, LINK);
    h.say("local", "binding.set", None, r#"{"principal":{"user":"flexnet/ada"},"role":"Developer","scope":{"project":"flexnet/db-suite"},"author":"eve"}"#);
    // Suspended by a source that is not authoritative: the other person of the user is still there, until that one is gone.
    for (sequence, active, last) in [(2, true, false), (3, false, false), (4, false, true)] {
        person(&mut h, "flexnet", "ada", "\"globex\"", active, sequence);
        if last {
            h.say("corp", "person.removed", Some(2), r#"{"person":"q"}"#);
        }
        let is_held = !last;
        let roster = h.fold();
        let project = roster.project_by_name("acme").unwrap();
        let ada = roster.user_by_id("flexnet/ada").unwrap();
        assert_eq!(roster.user(ada).shut_out, last);
        let push = roster.profile().registry_action(Verb::Push).unwrap();
        let why = explain(&roster, Principal::User(ada), push, project, noon());
        assert_eq!(why.allowed, is_held);
        assert_eq!(why.reasons.iter().any(|reason| reason.rule == Rule::Binding), is_held, "{why:#?}");
        let here = members(&roster, project, noon());
        assert_eq!(here.iter().any(|m| m.role == "Developer" && m.user == "flexnet/ada"), is_held);
    }
}

/// A yes by a role of which it is said that it is not enough by itself would contradict itself.
#[test]
fn a_role_that_is_given_above_a_project_is_among_those_that_would_do_there() {
    let mut h = History::settings(false);
    h.say("local", "profile.set", None, &bundled("portus").to_string());
    person(&mut h, "corp", "ada", "null", true, 1);
    let roster = h.fold();
    let ada = roster.user_by_id("corp/ada").unwrap();
    for verb in [Verb::Pull, Verb::Push] {
        let actions = roster.profile().registry_action(verb).unwrap();
        let why = explain(&roster, Principal::User(ada), actions, ProjectIx::Personal(ada), noon());
        let personal: Vec<&str> =
            why.reasons.iter().filter(|one| one.rule == Rule::Personal).map(|one| &*one.role).collect();
        assert!(why.allowed && personal == ["owner"] && why.roles.contains(&"owner".to_owned()), "{why:#?}");
    }
}

#[test]
fn the_persons_of_a_user_come_oldest_first_also_from_a_snapshot() {
    let mut h = small();
    // q is named before z, and stated after it.
    let link = r#"{"persons":[{"source":"corp","person":"q"},{"source":"flexnet","person":"z"}]}"#;
    h.say("local", "identity.linked", None, link);
    person(&mut h, "flexnet", "z", "null", true, 1);
    person(&mut h, "corp", "q", "null", true, 1);
    let roster = h.fold();
    let again = Roster::from_snapshot(&roster.to_snapshot()).unwrap();
    for roster in [roster, again] {
        let user = roster.user(roster.user_by_id("corp/q").unwrap());
        let persons: Vec<_> = user.persons.iter().map(|p| p.person).collect();
        assert_eq!((user.id.as_str(), persons), ("flexnet/z", vec!["z", "q"]));
    }
}

#[test]
fn a_secret_is_made_for_users_only_not_for_names_that_were_merely_mentioned() {
    let mut h = small();
    h.say("flexnet", "person.removed", Some(1), r#"{"person":"ghost"}"#);
    let secret = format!(r#"{{"secret":"s","owner":{{"user":"flexnet/ghost"}},"sha256":"{}"}}"#, hash(1));
    h.say("local", "secret.issued", None, &secret);
    person(&mut h, "flexnet", "ghost", "null", true, 2);
    assert!(h.fold().credential(&[1; 32], noon()).is_none());
}

#[test]
fn everybody_has_a_name_of_their_own() {
    let mut h = History::settings(false);
    for (id, name) in [
        ("a:b", "bob"),
        ("a-b", "bob"),
        ("x", "bob"),
        ("1", "eve~flexnet"),
        ("2", "eve~flexnet~3"),
        ("4", "eve"),
        ("3", "eve"),
    ] {
        h.say(
            "flexnet",
            "person.upserted",
            Some(1),
            &format!(r#"{{"person":"{id}","username":"{name}","account":null,"active":true}}"#),
        );
    }
    let roster = h.fold();
    let mut names: Vec<_> = roster.users().map(|user| roster.user_name(user).to_owned()).collect();
    assert!(names.iter().all(|name| roster.user_by_name(name).is_some()), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 7, "{names:?}");
}

#[test]
fn a_customer_below_an_account_that_was_moved_away_is_told_so() {
    let mut h = small();
    let mut settings = h.fold().settings().clone();
    settings.customer_sub_accounts = true;
    h.say("local", "settings.set", None, &serde_json::to_string(&settings).unwrap());
    h.say("flexnet", "account.upserted", Some(1), r#"{"account":"branch","kind":"customer","parent":"globex"}"#);
    person(&mut h, "flexnet", "cy", "\"branch\"", true, 1);
    assert!(asks(&h.fold(), "cy", Verb::Pull, noon()).is_allowed());
    h.say("flexnet", "account.upserted", Some(2), r#"{"account":"branch","kind":"customer"}"#);
    let roster = h.fold();
    let project = roster.project_by_name("acme").unwrap();
    let cy = roster.user_by_name("cy").unwrap();
    let pull = roster.profile().registry_action(Verb::Pull).unwrap();
    let why = explain(&roster, Principal::User(cy), pull, project, noon());
    let told: Vec<_> = why.near_misses.iter().flat_map(|miss| &miss.obstacles).map(|o| o.text.as_str()).collect();
    assert_eq!(told, ["account branch was moved away from account globex"]);
    assert_eq!(why.near_misses[0].obstacles[0].cause.as_ref().unwrap().position, roster.position());
    assert!(had_tie(&roster, cy, project, noon()));
}

#[test]
fn a_reason_for_parking_is_short_however_long_the_name_is() {
    let mut h = small();
    let name = "\u{10fff0}".repeat(100_000);
    h.say(
        "flexnet",
        "package.upserted",
        Some(1),
        &format!(r#"{{"package":"k","project_name":"{name}","producer":"initech","container_delivery":true}}"#),
    );
    let roster = h.fold();
    let parked: Vec<_> = roster.parked().map(|mark| mark.reason.len()).collect();
    assert!(parked.len() == 1 && parked[0] < 2_000, "{parked:?}");
}

#[test]
fn a_deep_tree_is_explained_too() {
    let mut h = small();
    let depth = 4_000;
    for i in 0..depth {
        h.say(
            "flexnet",
            "account.upserted",
            Some(1),
            &format!(r#"{{"account":"n{i}","kind":"producer","parent":"n{}"}}"#, i + 1),
        );
    }
    person(&mut h, "flexnet", "deep", "\"n0\"", true, 1);
    let roster = h.fold();
    let (deep, project) = (roster.user_by_name("deep").unwrap(), roster.project_by_name("acme").unwrap());
    assert!(!had_tie(&roster, deep, project, noon()));
    h.say("flexnet", "account.upserted", Some(2), r#"{"account":"n4000","kind":"producer","parent":"initech"}"#);
    h.say(
        "flexnet",
        "permission.granted",
        Some(1),
        r#"{"person":"deep","permission":"view_and_manage_download_packages"}"#,
    );
    h.say("flexnet", "account.upserted", Some(2), r#"{"account":"n0","kind":"producer"}"#);
    let roster = h.fold();
    let push = roster.profile().registry_action(Verb::Push).unwrap();
    let why = explain(&roster, Principal::User(deep), push, project, noon());
    assert_eq!(why.near_misses[0].obstacles[0].text, "account n0 was moved away from account n1");
}

/// The event that an obstacle's remedy speaks of, said of the roster as it is.
fn mend(roster: &Roster, remedy: &str) -> Option<(&'static str, &'static str, String)> {
    let words: Vec<&str> = remedy.split(' ').collect();
    let space = u16::try_from(roster.facts.sources.find(0, "flexnet")?).ok()?;
    let facts = &roster.facts;
    let account = |ix: u32| if ix == u32::MAX { "null".to_owned() } else { format!("\"{}\"", facts.accounts.id(ix)) };
    let parent_of = |id: &str| account(facts.accounts.get(facts.accounts.find(space, id).unwrap()).unwrap().parent);
    let upsert = |id: &str, parent: String| {
        ("flexnet", "account.upserted", format!(r#"{{"account":"{id}","kind":"customer","parent":{parent}}}"#))
    };
    let entitlement = |id: &str| {
        let row = facts.entitlements.get(facts.entitlements.find(space, id).unwrap()).unwrap();
        let data = format!(r#"{{"entitlement":"{id}","account":{},"state":"active"}}"#, account(row.account));
        ("flexnet", "entitlement.upserted", data)
    };
    Some(match words.as_slice() {
        ["account", id, "is", "stated", ..] => upsert(id, parent_of(id)),
        ["account", id, "is", "below", "account", above, ..] => upsert(id, format!("\"{above}\"")),
        ["entitlement", id, "is", "active"] => entitlement(id),
        ["product", id, "is", "stated", ..] => ("flexnet", "product.upserted", format!(r#"{{"product":"{id}"}}"#)),
        ["product", id, "is", "mapped", "to", "package", package, ..] => {
            let data = format!(r#"{{"package":"{package}","product":"{id}"}}"#);
            ("flexnet", "package.product.mapped", data)
        }
        ["the", "person", "is", "assigned", "to", "entitlement", id] => {
            ("flexnet", "entitlement.person.assigned", format!(r#"{{"entitlement":"{id}","person":"PERSON"}}"#))
        }
        ["the", "permission", .., "is", "granted"] => {
            let data = r#"{"person":"PERSON","permission":"view_and_manage_download_packages"}"#.to_owned();
            ("flexnet", "permission.granted", data)
        }
        _ => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A remedy that is told makes a yes: every line of which all parts are facts that can be said as they stand.
    #[test]
    fn what_would_allow_does_allow(history in history()) {
        let roster = history.fold();
        let pull = roster.profile().registry_action(Verb::Pull).unwrap();
        for (user, project) in world(&roster) {
            let why = explain(&roster, Principal::User(user), pull, project, noon());
            for miss in why.near_misses.iter().filter(|_| !why.allowed) {
                // Of a user of one person, so that it is known whom the remedy is about.
                let view = roster.user(user);
                let [person] = view.persons.as_slice() else { continue };
                let told: Option<Vec<_>> = miss.obstacles.iter().map(|o| mend(&roster, &o.remedy)).collect();
                let Some(told) = told else { continue };
                // Two remedies about one row would each state the whole of it.
                let mut rows: Vec<_> = told.iter().map(|(_, kind, data)| (*kind, data.split(',').next().map(str::to_owned))).collect();
                rows.sort();
                rows.dedup();
                if rows.len() < told.len() { continue }
                let mut tail = History::default();
                for (source, kind, data) in &told {
                    tail.say(source, kind, Some(99), &data.replace("PERSON", person.person));
                }
                let mut mended = history.fold();
                tail.fold_into(&mut mended);
                // A cycle that closes only by being mended is told once it is there.
                prop_assume!(mended.accounts_in_cycles().is_empty());
                prop_assert!(decide(&mended, Principal::User(user), pull, project, noon()).is_allowed(), "{:#?}\n{:?}", miss, told);
            }
        }
    }
}

/// The SQL side knows a fact by its subject, and so does a question about the past.
#[test]
fn what_ends_with_a_group_or_a_service_is_named_as_it_was_said() {
    let mut h = small();
    for (kind, data) in [
        ("group.upserted", r#"{"group":"inner"}"#),
        ("group.upserted", r#"{"group":"outer"}"#),
        ("service.created", r#"{"service":"ci"}"#),
        ("group.member.added", r#"{"group":"outer","member":{"group":"local/inner"}}"#),
        ("group.member.added", r#"{"group":"inner","member":{"person":"flexnet/ada"}}"#),
        ("group.member.added", r#"{"group":"outer","member":{"service":"ci"}}"#),
    ] {
        h.say("local", kind, None, data);
    }
    let said: Vec<String> = h.0.iter().rev().take(3).map(|event| event.subject.to_string()).collect();
    let mut roster = h.fold();
    let mut ended = Vec::new();
    for (kind, data) in [("group.removed", r#"{"group":"inner"}"#), ("service.removed", r#"{"service":"ci"}"#)] {
        let mut tail = History::default();
        tail.say("local", kind, None, data);
        let event = tail.0.remove(0);
        let folded =
            roster.apply(&Recorded { position: Position(roster.position().0 + 1), recorded_at: noon(), event });
        ended.extend(folded.changes.into_iter().filter_map(|change| match change {
            Change::FactEnded { subject, .. } if subject.starts_with("member/") => Some(subject.to_string()),
            _ => None,
        }));
    }
    ended.sort();
    let mut said = said;
    said.sort();
    assert_eq!(ended, said);
}

#[test]
fn what_a_secret_makes_is_good_no_longer_than_it_and_no_more_its_owners_own() {
    let mut h = small();
    let (soon, end, late) = ("2026-03-01T13:00:00Z", "2026-03-01T14:00:00Z", "2026-03-01T14:00:01Z");
    let hash = |n: u8| format!("{n:02x}").repeat(32);
    h.say("local", "service.created", None, r#"{"service":"portal"}"#);
    let role = r#"{"principal":{"service":"portal"},"role":"api:sender","scope":"root","author":"test"}"#;
    h.say("local", "binding.set", None, role);
    let mut issue = |id: &str, n: u8, expires: &str, rest: &str| {
        let (sha256, expires) =
            (hash(n), if expires.is_empty() { "null".to_owned() } else { format!("\"{expires}\"") });
        let data = format!(
            r#"{{"secret":"{id}","owner":{{"user":"flexnet/ada"}},"sha256":"{sha256}","expires":{expires}{rest}}}"#
        );
        h.say("local", "secret.issued", None, &data);
        h.fold()
            .credential(&[n; 32], noon())
            .map(|credential| (matches!(credential.principal, Principal::Limited(..)), credential.until))
    };
    let until = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
    let own = r#","author":"user:flexnet/ada""#;
    assert_eq!(issue("given", 1, end, r#","author":"service:portal""#), Some((true, until(end))));
    assert_eq!(issue("lasting", 2, "", &format!(r#"{own},"made_with":"given""#)), None);
    assert_eq!(issue("longer", 3, late, &format!(r#"{own},"made_with":"given""#)), None);
    assert_eq!(issue("nothing", 4, soon, &format!(r#"{own},"made_with":"none""#)), None);
    assert_eq!(issue("hers", 5, soon, own), Some((false, until(soon))));
    // Whoever made the first knows perhaps what she, or somebody else, made with it.
    assert_eq!(issue("second", 6, end, &format!(r#"{own},"made_with":"given""#)), Some((true, until(end))));
    assert_eq!(issue("third", 7, soon, &format!(r#"{own},"made_with":"second""#)), Some((true, until(soon))));
    for (id, n, expires) in [("inv", 8, soon), ("late-inv", 9, late)] {
        let sha256 = hash(n);
        let invited = format!(
            r#"{{"secret":"{id}","user":"flexnet/ada","sha256":"{sha256}","expires":"{expires}"{own},"made_with":"given"}}"#
        );
        h.say("local", "secret.invited", None, &invited);
    }
    let roster = h.fold();
    assert_eq!(roster.invitation(&[8; 32], noon()).unwrap().until, until(end));
    assert!(roster.invitation(&[9; 32], noon()).is_none());
    let mut fetch = |id: &str, n: u8, expires: &str| {
        let sha256 = hash(n);
        let data = format!(
            r#"{{"secret":"{id}","owner":{{"user":"flexnet/ada"}},"sha256":"{sha256}","invitation":"inv","expires":{expires}}}"#
        );
        h.say("local", "secret.issued", None, &data);
        h.fold()
            .credential(&[n; 32], noon())
            .map(|credential| (matches!(credential.principal, Principal::Limited(..)), credential.until))
    };
    assert_eq!(fetch("for-ever", 10, "null"), None);
    assert_eq!(fetch("as-long", 11, &format!("\"{end}\"")), Some((true, until(end))));
    // What she was given reaches none of the roles that she holds; her own does.
    h.say("local", "binding.set", None, &role.replace(r#"{"service":"portal"}"#, r#"{"user":"flexnet/ada"}"#));
    let roster = h.fold();
    let whole =
        |n: &u8| matches!(roster.credential(&[*n; 32], noon()).map(|one| one.principal), Some(Principal::User(_)));
    assert_eq!((1..12).filter(whole).collect::<Vec<u8>>(), [5]);
    assert!((1..12).filter(|n| roster.credential(&[*n; 32], noon()).is_some()).count() > 4);
}
