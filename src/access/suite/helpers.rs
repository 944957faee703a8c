//! Who may help whom: what a portal may do for its people, and what the secrets that it makes reach, whatever others give
//! and take. What somebody made ends no later than what it was made with.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use rollcall_events::{Body, LogId, NewEvent, body::Author};
use serde_json::{Value, json};

use super::{
    agreement::{callers, places},
    installation::{ADMIN, Installation, bind, on, project, user},
    worlds::World,
};
use crate::{
    commands::secrets::{MAX_SECRETS, MAX_SECRETS_BY_OWNER},
    decide::decide,
    fold::change::Effect,
    profile::Verb,
    questions::explain::explain,
    roster::{
        Roster,
        handles::{Place, Principal},
        made::Made,
    },
    suite::histories::{History, noon, recorded},
};

const PORTAL: &str = "service:portal";

fn secret(id: &str, who: &str, n: u8, author: &str) -> Value {
    json!({"secret": id, "owner": {"user": who}, "sha256": format!("{n:02x}").repeat(32), "author": author})
}

fn invitation(id: &str, who: &str, n: u8, author: &str) -> Value {
    let expires = noon() + Duration::hours(1);
    json!({"secret": id, "user": who, "sha256": format!("{n:02x}").repeat(32), "expires": expires, "author": author})
}

fn with(mut data: Value, key: &str, value: impl Into<Value>) -> Value {
    data[key] = value.into();
    data
}

/// A portal, for these sources or every one, after everything that happened.
fn with_portal(events: &[NewEvent], sources: &[&str]) -> Roster {
    let mut told = History(events.to_vec());
    let stranger = json!({"person": "stranger", "account": null, "active": true});
    told.say("elsewhere", "person.upserted", None, &stranger.to_string());
    told.say("local", "service.created", None, &json!({"service": "portal", "sources": sources}).to_string());
    let sender = bind(&json!({"service": "portal"}), "api:sender", &json!("root"), ADMIN);
    told.say("local", "binding.set", None, &sender.to_string());
    let mut roster = Roster::new(LogId([7; 8]));
    for (n, event) in told.0.iter_mut().enumerate() {
        event.key.id = format!("n{n}").into();
    }
    told.fold_into(&mut roster);
    roster
}

fn only(events: &[NewEvent], keep: impl Fn(&NewEvent) -> bool) -> Vec<NewEvent> {
    events.iter().filter(|event| keep(event)).cloned().collect()
}

fn body(kind: &str, data: &Value) -> Body {
    Body::parse(&format!("rollcall.{kind}.v1"), &data.to_string()).unwrap()
}

#[test]
fn what_a_portal_may_do_for_its_people_does_not_depend_on_what_others_give_or_take() {
    let given = ["binding.", "project.", "folder.", "group."];
    let (mut may, mut may_not, mut lesser) = (0, 0, 0);
    for seed in 0..60 {
        let events = World::new(seed).history.0;
        // What users are called is told in refusals, and may depend on what they were given.
        let events = only(&events, |event| !event.kind.contains("user.name."));
        let bare = only(&events, |event| !given.iter().any(|noun| event.kind.contains(noun)));
        for sources in [&[][..], &["flexnet"], &["corp", "hub"]] {
            let (whole, bare) = (with_portal(&events, sources), with_portal(&bare, sources));
            for (_, who) in callers(&whole) {
                let Principal::User(ix) = who else { continue };
                let id = whole.user_id(ix);
                let mine = |kind: &str, data: Value| {
                    let command = body(kind, &data);
                    let [one, other] = [&whole, &bare].map(|roster| roster.check_command(&command, noon()));
                    assert_eq!(one, other, "seed {seed}, {sources:?}: {command:?}");
                    one.is_ok()
                };
                let made = mine("secret.issued", secret("s", &id, 1, PORTAL));
                assert_eq!(made, mine("secret.invited", invitation("i", &id, 2, PORTAL)));
                assert!(mine("credentials.reset", json!({"user": id, "author": PORTAL})));
                if made {
                    may += 1
                } else {
                    may_not += 1
                }
                lesser += u32::from(made && whole.each_binding_counts(who));
            }
        }
    }
    assert!(may > 200 && may_not > 50 && lesser > 50, "{may} {may_not} {lesser}");
}

#[test]
fn a_secret_that_a_portal_made_never_allows_what_its_sources_alone_would_not() {
    let (mut allowed, mut beyond) = (0, 0);
    for seed in 0..60 {
        let events = World::new(seed).history.0;
        // A package that waits for a name which somebody else's project has stays as it was; alone it would not wait.
        let mut roster = Roster::new(LogId([7; 8]));
        let applied: BTreeSet<_> = (1..)
            .zip(&events)
            .filter(|(position, event)| !matches!(roster.apply(&recorded(*position, event)).effect, Effect::Parked(_)))
            .map(|(_, event)| event.key.clone())
            .collect();
        let events = only(&events, |event| applied.contains(&event.key));
        let about = ["settings.", "profile.", "identity.", "source."];
        let alone = only(&events, |event| {
            event.key.source.as_str() == "flexnet" || about.iter().any(|noun| event.kind.contains(noun))
        });
        for sources in [&["flexnet"][..], &[]] {
            let (mut whole, alone) = (with_portal(&events, sources), with_portal(&alone, sources));
            let stranger = Principal::User(whole.user_by_id("elsewhere/stranger").unwrap());
            for (n, (_, who)) in callers(&whole).into_iter().enumerate() {
                let Principal::User(ix) = who else { continue };
                let id = whole.user_id(ix);
                let n = u8::try_from(n).unwrap();
                let mut told = History::default();
                told.say("local", "secret.issued", None, &secret(&format!("s{n}"), &id, n, PORTAL).to_string());
                told.0.iter_mut().for_each(|event| event.key.id = format!("x{n}").into());
                told.fold_into(&mut whole);
                let Some(found) = whole.credential(&[n; 32], noon()) else { continue };
                let Principal::Limited(of, _) = found.principal else { panic!("{found:?}") };
                assert_eq!(of, ix);
                let known = whole.user(ix).persons;
                let theirs = known.iter().filter(|person| person.source == "flexnet");
                let theirs: Vec<Principal> = theirs
                    .filter_map(|person| alone.user_by_id(&format!("flexnet/{}", person.person)))
                    .map(Principal::User)
                    .collect();
                for (at, place) in places(&whole) {
                    let same = match place {
                        Place::Project(project) => alone.project_by_id(&whole.project(project).id).map(Place::Project),
                        Place::Root | Place::Folder(_) => Some(Place::Root),
                    };
                    for verb in Verb::ALL {
                        let Some(asked) = whole.profile().registry_action(verb) else { continue };
                        let may = |roster: &Roster, who, place| decide(roster, who, asked, place, noon()).is_allowed();
                        let reached = may(&whole, found.principal, place);
                        let owner = may(&whole, who, place);
                        assert!(owner || !reached, "seed {seed}: more than its owner, {id} {verb:?} {at:?}");
                        let own = same.is_some_and(|place| theirs.iter().any(|who| may(&alone, *who, place)));
                        assert!(
                            !reached || own || may(&whole, stranger, place),
                            "seed {seed}: {id} {verb:?} {at:?} by more than {sources:?}"
                        );
                        allowed += u32::from(reached);
                        beyond += u32::from(owner && !reached);
                        let why = explain(&whole, found.principal, asked, place, noon());
                        assert_eq!(why.allowed, reached);
                        assert_eq!(why.reach.is_some(), owner && !reached, "{why:?}");
                    }
                }
            }
        }
    }
    assert!(allowed > 200 && beyond > 200, "{allowed} {beyond}");
}

impl Roster {
    /// Whether somebody holds a role that was given by hand.
    fn each_binding_counts(&self, who: Principal) -> bool {
        let mut some = false;
        self.each_holder(who, |holder| some |= self.index.holder_bindings.contains_key(&holder));
        some
    }
}

fn portal_for(book: &mut Installation, id: &str, sources: &[&str]) {
    book.done("service.created", &json!({"service": id, "sources": sources}));
    book.done("binding.set", &bind(&json!({"service": id}), "api:sender", &json!("root"), ADMIN));
}

#[test]
fn nobody_locks_a_portal_out_by_giving_its_people_roles_and_its_secrets_do_not_reach_those() {
    let mut book = Installation::of("harbor");
    portal_for(&mut book, "portal", &[]);
    book.done("project.created", &project("one", Some("bob")));
    book.done("group.upserted", &json!({"group": "crew"}));
    book.done("group.member.added", &json!({"group": "crew", "member": {"person": "hub/ada"}}));
    let one = book.project("one");
    for (n, given) in [
        bind(&user("ada"), "guest", &on("one"), "user:hub/bob"),
        bind(&user("ada"), "system_admin", &json!("root"), ADMIN),
        bind(&user("ada"), "api:administrator", &json!("root"), ADMIN),
        bind(&json!({"group": "local/crew"}), "guest", &on("one"), ADMIN),
    ]
    .iter()
    .enumerate()
    {
        book.done("binding.set", given);
        let n = u8::try_from(n).unwrap() * 3;
        book.done("secret.issued", &secret(&format!("s{n}"), "hub/ada", n + 1, PORTAL));
        book.done("secret.invited", &invitation(&format!("i{n}"), "hub/ada", n + 2, PORTAL));
        let own = book.user("ada");
        let made = book.roster.credential(&[n + 1; 32], book.now).unwrap().principal;
        assert!(matches!(made, Principal::Limited(..)));
        let api = given["role"] == json!("api:administrator");
        assert!(if api {
            book.roster.allows(own, "event.list", Place::Root, book.now)
        } else {
            book.can(own, "pull", one)
        });
        assert!(!book.can(made, "pull", one) && !book.roster.allows(made, "event.list", Place::Root, book.now));
        book.done("secret.revoked", &json!({"secret": format!("s{n}"), "author": PORTAL}));
        book.done("credentials.reset", &json!({"user": "hub/ada", "author": PORTAL}));
        assert!(book.roster.invitation(&[n + 2; 32], book.now).is_none());
        book.done(
            "binding.removed",
            &bind(&given["principal"], given["role"].as_str().unwrap(), &given["scope"], ADMIN),
        );
    }
}

#[test]
fn whoever_made_a_secret_ends_it_and_its_owner_and_the_operator_and_nobody_else() {
    let mut book = Installation::of("harbor");
    portal_for(&mut book, "portal", &[]);
    portal_for(&mut book, "other", &[]);
    book.done("project.created", &project("one", Some("bob")));
    let makers = [PORTAL, "service:other", "user:hub/ada", ADMIN];
    let mut n = 0;
    for maker in makers {
        for ender in makers.into_iter().chain(["user:hub/bob"]) {
            n += 1;
            let id = format!("s{n}");
            book.done("secret.issued", &secret(&id, "hub/ada", n, maker));
            let end = json!({"secret": id, "author": ender});
            if ender == maker || ender == ADMIN || ender == "user:hub/ada" {
                book.done("secret.revoked", &end);
            } else if ender == "user:hub/bob" {
                book.refused("secret.revoked", &end, "may not do this");
            } else {
                book.refused("secret.revoked", &end, "somebody else made it");
            }
        }
    }
    // What a portal resets is what it made.
    let good = |book: &Installation, n: u8| book.roster.credential(&[n; 32], book.now).is_some();
    for (n, maker) in (101..).zip(makers) {
        book.done("secret.issued", &secret(&format!("s{n}"), "hub/ada", n, maker));
    }
    book.done("credentials.reset", &json!({"user": "hub/ada", "author": PORTAL}));
    assert_eq!((101..105).map(|n| good(&book, n)).collect::<Vec<_>>(), [false, true, true, true]);
    book.done("credentials.reset", &json!({"user": "hub/ada", "author": "user:hub/ada"}));
    assert!((101..105).all(|n| !good(&book, n)));
}

#[test]
fn a_portal_serves_the_people_of_its_sources_also_as_one_of_the_persons_that_a_user_is() {
    let mut book = Installation::of("harbor");
    portal_for(&mut book, "portal", &["hub"]);
    portal_for(&mut book, "other", &["corp"]);
    book.fact("corp", "person.upserted", &json!({"person": "kim", "account": null, "active": true}));
    let not_theirs = "no source that service:other serves knows ada";
    book.refused("secret.issued", &secret("s1", "hub/ada", 1, "service:other"), not_theirs);
    book.refused("secret.invited", &invitation("i1", "hub/ada", 1, "service:other"), not_theirs);
    let link = json!({"persons": [{"source": "corp", "person": "kim"}, {"source": "hub", "person": "ada"}]});
    book.done("identity.linked", &link);
    book.done("secret.issued", &secret("s2", "hub/ada", 2, "service:other"));
    book.done("secret.issued", &secret("s3", "hub/ada", 3, PORTAL));
    book.done("identity.unlinked", &link);
    // Each stays with the person that its maker knows.
    let whose = |n: u8| match book.roster.credential(&[n; 32], book.now).unwrap().principal {
        Principal::Limited(user, _) => book.roster.user_id(user),
        other => panic!("{other:?}"),
    };
    assert_eq!((whose(2), whose(3)), ("corp/kim".to_owned(), "hub/ada".to_owned()));
}

#[test]
fn with_a_secret_that_a_portal_made_nothing_is_commanded_but_more_of_the_same() {
    let mut book = Installation::of("harbor");
    portal_for(&mut book, "portal", &[]);
    book.done("secret.issued", &secret("own", "hub/ada", 1, "user:hub/ada"));
    book.done("secret.issued", &secret("given", "hub/ada", 2, PORTAL));
    let by = |data: Value| with(with(data, "author", "user:hub/ada"), "made_with", "given");
    let reach = "this secret was made by service:portal and reaches only what licensing sources give";
    book.refused("project.created", &by(project("one", Some("ada"))), reach);
    book.done("binding.set", &bind(&user("ada"), "api:administrator", &json!("root"), ADMIN));
    book.refused("service.created", &by(json!({"service": "ci"})), reach);
    book.refused("binding.set", &by(bind(&user("bob"), "system_admin", &json!("root"), ADMIN)), reach);
    book.refused("secret.issued", &by(secret("s3", "hub/bob", 3, "")), "good for its owner only");
    book.refused("secret.revoked", &by(json!({"secret": "own"})), "somebody else made it");
    book.done("secret.issued", &by(secret("s4", "hub/ada", 4, "")));
    assert!(matches!(book.roster.credential(&[4; 32], book.now).unwrap().principal, Principal::Limited(..)));
    // It is the portal's too.
    book.done("credentials.reset", &by(json!({"user": "hub/ada"})));
    let good = |n: u8| book.roster.credential(&[n; 32], book.now).is_some();
    assert_eq!([good(1), good(2), good(4)], [true, false, false]);
}

#[test]
fn a_command_is_good_only_with_a_secret_that_is_its_authors_and_good() {
    let mut book = Installation::of("harbor");
    book.done("secret.issued", &secret("adas", "hub/ada", 1, "user:hub/ada"));
    let make = |who: &str, with_secret: &str| {
        let data = project("one", None);
        with(with(data, "author", who), "made_with", with_secret)
    };
    book.refused("project.created", &make("user:hub/bob", "adas"), "is not its author's");
    book.refused("project.created", &make("admin key", "adas"), "is not its author's");
    book.refused("project.created", &make("user:hub/ada", "none"), "there is no secret `none`");
    book.done("secret.revoked", &json!({"secret": "adas", "author": ADMIN}));
    book.refused("project.created", &make("user:hub/ada", "adas"), "is over");
}

#[test]
fn whatever_a_secret_that_ends_makes_ends_no_later() {
    let mut book = Installation::of("harbor");
    let end = noon() + Duration::hours(2);
    book.done("service.created", &json!({"service": "boss"}));
    book.done("binding.set", &bind(&json!({"service": "boss"}), "api:administrator", &json!("root"), ADMIN));
    let key = json!({"secret": "key", "owner": {"service": "boss"}, "sha256": "01".repeat(32), "expires": end});
    book.done("secret.issued", &key);
    let by = |data: Value| with(with(data, "author", "service:boss"), "made_with", "key");
    book.done("project.created", &project("one", None));
    book.done("group.upserted", &json!({"group": "crew"}));
    let late = (end + Duration::seconds(1)).to_rfc3339();
    let (end_text, over) = (end.to_rfc3339(), "it would outlive the secret that it was made with, which ends at");
    let role = |who: &str| by(bind(&user(who), "guest", &on("one"), ""));
    book.refused("binding.set", &role("ada"), over);
    book.refused("binding.set", &with(role("ada"), "ends", late.clone()), over);
    book.done("binding.set", &with(role("ada"), "ends", end_text.clone()));
    book.refused("service.created", &by(json!({"service": "ci"})), over);
    book.done("service.created", &by(json!({"service": "ci", "ends": end_text})));
    book.refused("secret.issued", &by(secret("s", "hub/ada", 2, "")), over);
    book.refused("secret.invited", &with(by(invitation("i", "hub/ada", 3, "")), "expires", late), over);
    let member = by(json!({"group": "crew", "member": {"person": "hub/ada"}}));
    book.refused("group.member.added", &member, "who is in a group has no end of its own");
    // What stands longer may be said again, and stays what it was.
    let lasting = bind(&user("bob"), "guest", &on("one"), ADMIN);
    book.done("binding.set", &lasting);
    book.done("binding.set", &by(lasting));
    let one = book.project("one");
    let ci = Principal::Service(book.roster.service_by_id("ci").unwrap());
    let over_at = |at: DateTime<Utc>, who| {
        let action = book.roster.profile().operation("pull").unwrap();
        !decide(&book.roster, who, action, one, at).is_allowed()
    };
    assert!(!over_at(noon(), book.user("ada")) && over_at(end, book.user("ada")));
    assert!(!over_at(end, book.user("bob")));
    assert!(book.roster.admitted(ci, noon().timestamp_micros()).is_some());
    assert!(book.roster.admitted(ci, end.timestamp_micros()).is_none());
}

#[test]
fn with_a_secret_that_ends_no_project_is_opened_or_moved_for_good() {
    let mut book = Installation::of("ibm");
    let end = noon() + Duration::hours(2);
    book.done("service.created", &json!({"service": "boss"}));
    book.done("binding.set", &bind(&json!({"service": "boss"}), "api:administrator", &json!("root"), ADMIN));
    for (id, n, expires) in [("key", 1, Value::from(end.to_rfc3339())), ("lasting", 2, Value::Null)] {
        let sha256 = format!("{n:02x}").repeat(32);
        book.done(
            "secret.issued",
            &json!({"secret": id, "owner": {"service": "boss"}, "sha256": sha256, "expires": expires}),
        );
    }
    let by = |key: &str, data: Value| with(with(data, "author", "service:boss"), "made_with", key);
    let folder = |id: &str, kind: &str, parent: Value| json!({"folder": id, "kind": kind, "parent": parent});
    for id in ["a", "b"] {
        book.done("folder.upserted", &by("key", folder(id, "region", Value::Null)));
    }
    let of_a = |id: &str, visibility: &str, place: Value| {
        with(with(project(id, None), "visibility", visibility), "folder", place)
    };
    book.done("project.created", &by("key", of_a("one", "private", json!("a"))));
    let endless = "has no end of its own, and the secret that it was given with ends at";
    book.refused(
        "project.updated",
        &by("key", of_a("one", "private", json!("b"))),
        &format!("a project's folder {endless}"),
    );
    book.done("project.updated", &by("lasting", of_a("one", "private", json!("b"))));
    // What takes away is done with any, and so is what changes nothing.
    book.done("project.updated", &by("key", of_a("one", "private", Value::Null)));
    book.done("project.deleted", &by("key", json!({"project": "one"})));
    book.refused("project.created", &by("key", of_a("one", "private", json!("a"))), "a project's folder");
    book.done("folder.upserted", &by("key", folder("in", "resource_group", json!("a"))));
    book.refused(
        "folder.upserted",
        &by("key", folder("in", "resource_group", json!("b"))),
        &format!("a folder's place {endless}"),
    );
    book.done("folder.upserted", &by("key", folder("in", "resource_group", Value::Null)));
}

#[test]
fn with_a_secret_that_ends_no_project_is_made_public() {
    let mut book = Installation::of("harbor");
    book.done("service.created", &json!({"service": "boss"}));
    book.done("binding.set", &bind(&json!({"service": "boss"}), "api:administrator", &json!("root"), ADMIN));
    let end = noon() + Duration::hours(2);
    let key = json!({"secret": "key", "owner": {"service": "boss"}, "sha256": "01".repeat(32), "expires": end});
    book.done("secret.issued", &key);
    let by = |data: Value| with(with(data, "author", "service:boss"), "made_with", "key");
    let public = with(project("one", None), "visibility", "public");
    book.done("project.created", &by(project("one", None)));
    let refused = "who can see a project has no end of its own";
    book.refused("project.updated", &by(public.clone()), refused);
    book.done("project.updated", &public);
    book.done("project.updated", &by(with(public.clone(), "name", "uno")));
    book.done("project.updated", &by(project("one", None)));
    // Its content would be there again.
    book.done("project.deleted", &by(json!({"project": "one"})));
    book.refused("project.created", &by(public.clone()), refused);
    // What is new has no content yet, and is listed as made with the secret.
    book.done("project.created", &by(with(with(public, "project", "two"), "name", "two")));
}

#[test]
fn a_portal_that_serves_fewer_sources_narrows_what_it_made() {
    let mut book = Installation::of("harbor");
    let link = json!({"persons": [{"source": "corp", "person": "kim"}, {"source": "hub", "person": "ada"}]});
    book.done("identity.linked", &link);
    portal_for(&mut book, "portal", &["corp", "hub"]);
    portal_for(&mut book, "any", &[]);
    book.done("secret.issued", &secret("s1", "hub/ada", 1, PORTAL));
    book.done("secret.issued", &secret("s2", "hub/ada", 2, "service:any"));
    let reaches = |book: &Installation, n: u8| {
        let who = book.roster.credential(&[n; 32], book.now).unwrap().principal;
        ["corp", "hub"].map(|source| book.roster.reaches_source(who, source))
    };
    let serve = |book: &mut Installation, id: &str, sources: &[&str]| {
        book.done("service.created", &json!({"service": id, "sources": sources}));
    };
    assert_eq!([reaches(&book, 1), reaches(&book, 2)], [[true, true], [true, true]]);
    serve(&mut book, "portal", &["hub"]);
    serve(&mut book, "any", &["corp"]);
    assert_eq!([reaches(&book, 1), reaches(&book, 2)], [[false, true], [true, false]]);
    // What is made with it meanwhile is as narrow for ever.
    let by = |data: Value| with(with(data, "author", "user:hub/ada"), "made_with", "s1");
    book.done("secret.issued", &by(secret("s3", "hub/ada", 3, "")));
    serve(&mut book, "portal", &["corp", "hub"]);
    assert_eq!([reaches(&book, 1), reaches(&book, 3)], [[true, true], [false, true]]);
    // A portal that serves more makes no secret of it wider, and one of none of its sources is good for nothing.
    serve(&mut book, "portal", &[]);
    assert_eq!([reaches(&book, 1), reaches(&book, 3)], [[true, true], [false, true]]);
    serve(&mut book, "portal", &["corp"]);
    assert_eq!([reaches(&book, 1), reaches(&book, 3)], [[true, false], [false, false]]);
    let none = "serves none of the sources any more that it was made for";
    book.refused("secret.issued", &with(by(secret("s4", "hub/ada", 4, "")), "made_with", "s3"), none);
    let listed = book.roster.secrets_of(book.user("ada"), book.now);
    let nothing: Vec<&str> = listed.iter().filter(|one| one.reaches_nothing).map(|one| one.id).collect();
    assert_eq!(nothing, ["s3"]);
}

#[test]
fn a_service_that_is_over_does_nothing_more_and_no_role_of_it_outlives_it() {
    let mut book = Installation::of("harbor");
    let end = noon() + Duration::hours(2);
    book.done("project.created", &project("one", None));
    book.done("service.created", &json!({"service": "ci", "ends": end}));
    book.done("binding.set", &bind(&json!({"service": "ci"}), "guest", &on("one"), ADMIN));
    let key = json!({"secret": "key", "owner": {"service": "ci"}, "sha256": "01".repeat(32)});
    book.done("secret.issued", &key);
    let (ci, one) = (Principal::Service(book.roster.service_by_id("ci").unwrap()), book.project("one"));
    let action = book.roster.profile().operation("pull").unwrap();
    let before = explain(&book.roster, ci, action, one, noon());
    assert_eq!((before.allowed, before.until, before.reasons[0].until), (true, Some(end), Some(end)));
    let after = explain(&book.roster, ci, action, one, end);
    assert!(!after.allowed && after.near_misses[0].obstacles[0].text.contains("service ci ended"), "{after:#?}");
    let signs_in = |at| book.roster.credential(&[1; 32], at).is_some();
    assert!(signs_in(noon()) && !signs_in(end));
}

#[test]
fn what_a_secret_made_is_known_until_it_is_gone_or_somebody_else_makes_it_anew() {
    let mut book = Installation::of("harbor");
    book.done("service.created", &json!({"service": "boss"}));
    book.done("binding.set", &bind(&json!({"service": "boss"}), "api:administrator", &json!("root"), ADMIN));
    book.done("group.upserted", &json!({"group": "crew"}));
    for (id, n) in [("key", 1), ("next", 2)] {
        let sha256 = format!("{n:02x}").repeat(32);
        book.done("secret.issued", &json!({"secret": id, "owner": {"service": "boss"}, "sha256": sha256}));
    }
    let by = |key: &str, data: Value| with(with(data, "author", "service:boss"), "made_with", key);
    book.done("project.created", &by("key", project("one", None)));
    book.done("service.created", &by("key", json!({"service": "ci"})));
    book.done("group.member.added", &by("key", json!({"group": "crew", "member": {"person": "hub/ada"}})));
    let roles = ["ada", "bob", "eve"].map(|who| bind(&user(who), "guest", &on("one"), ""));
    for role in &roles {
        book.done("binding.set", &by("key", role.clone()));
    }
    let robot = json!({"secret": "robot", "owner": {"service": "ci"}, "sha256": "03".repeat(32)});
    book.done("secret.issued", &by("key", robot));
    book.done("secret.invited", &by("key", invitation("inv", "hub/ada", 4, "")));
    let made = |book: &Installation, key: &str| -> Vec<(Made, bool)> {
        let operator = Author::operator();
        let found = book.roster.made_with(key, (&operator, None), book.now);
        found.iter().map(|made| (made.kind, made.removal.is_some())).collect()
    };
    let all = [
        (Made::Project, false),
        (Made::Service, true),
        (Made::Member, true),
        (Made::Binding, true),
        (Made::Binding, true),
        (Made::Binding, true),
        (Made::Secret, true),
        (Made::Invitation, true),
    ];
    assert_eq!(made(&book, "key"), all);
    let kept = Roster::from_snapshot(&book.roster.to_snapshot()).unwrap();
    assert_eq!(kept.made_with("key", (&Author::operator(), None), book.now).len(), all.len());
    // Said again as it is it stays the first one's; with another window it is the other's, and what is gone is nobody's.
    book.done("binding.set", &by("next", roles[0].clone()));
    book.done("binding.set", &with(by("next", roles[1].clone()), "ends", (noon() + Duration::hours(1)).to_rfc3339()));
    book.done("binding.removed", &with(roles[2].clone(), "author", ADMIN));
    assert_eq!(made(&book, "next"), [(Made::Binding, true)]);
    let kinds: BTreeSet<Made> = made(&book, "key").into_iter().map(|(kind, _)| kind).collect();
    assert_eq!((made(&book, "key").len(), kinds.len()), (6, 6));
    // What ends it is a command that is good.
    book.done("secret.revoked", &json!({"secret": "key", "author": ADMIN}));
    for made in book.roster.made_with("key", (&Author::operator(), None), book.now) {
        if let Some(end) = &made.removal {
            let data: Value = serde_json::from_str(&end.data()).unwrap();
            let kind = end.kind().trim_start_matches("rollcall.").trim_end_matches(".v1");
            book.done(kind, &data);
        }
    }
    assert_eq!(made(&book, "key"), [(Made::Project, false)]);
}

#[test]
fn a_user_has_so_many_secrets_of_each_maker_and_what_is_over_makes_room() {
    let mut book = Installation::of("harbor");
    portal_for(&mut book, "portal", &[]);
    let mut n = 0_u8;
    let mut next = |author: &str| {
        n += 1;
        secret(&format!("s{n}"), "hub/ada", n, author)
    };
    for author in ["user:hub/ada", PORTAL] {
        let first = next(author);
        book.done("secret.issued", &first);
        for _ in 1..MAX_SECRETS {
            book.done("secret.issued", &next(author));
        }
        let oldest = format!("the oldest is {}", first["secret"].as_str().unwrap());
        let over = next(author);
        book.refused("secret.issued", &over, &oldest);
        book.refused("secret.invited", &invitation("i", "hub/ada", 250, author), "revoke one first");
        book.done("secret.revoked", &json!({"secret": first["secret"], "author": author}));
        book.done("secret.issued", &over);
    }
    // Nor do the two stand in each other's way, nor in the operator's, whose are not counted.
    for _ in 0..=MAX_SECRETS {
        book.done("secret.issued", &next(ADMIN));
    }
}

#[test]
fn a_user_who_holds_a_secret_of_a_portal_leaves_that_portal_room_for_more() {
    let mut book = Installation::of("harbor");
    portal_for(&mut book, "portal", &[]);
    book.done("secret.issued", &secret("s0", "hub/ada", 0, PORTAL));
    let with_it = |n: u8| with(secret(&format!("s{n}"), "hub/ada", n, "user:hub/ada"), "made_with", "s0");
    let [by_owner, most] = [MAX_SECRETS_BY_OWNER, MAX_SECRETS].map(|n| u8::try_from(n).unwrap());
    for n in 1..by_owner {
        book.done("secret.issued", &with_it(n));
    }
    book.refused("secret.issued", &with_it(by_owner), "revoke one first; the oldest is s0");
    for n in by_owner..most {
        book.done("secret.issued", &secret(&format!("s{n}"), "hub/ada", n, PORTAL));
    }
}
