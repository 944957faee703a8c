//! Streams of different age: people and groups are heard over a connection each, a group lists names, and one of the two
//! may be late. Whom a name means by now gets nothing by an older list, and what a newer read took does not come back.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rollcall_events::{Body, Id, Position, body::Member};

use crate::{
    directories::read::config,
    support::{
        corp::Corp,
        slapd::{BASE, Kind, Slapd, dn, group, person, trunk},
        wait_for,
        wire::{Act, DONE, Message, Wire},
    },
};

/// A directory that is followed over a wire.
struct Followed {
    slapd: Slapd,
    wire: Wire,
    corp: Corp,
}

impl Followed {
    /// With ada in ops, eve and kim.
    fn new() -> Option<Self> {
        let people = ["ada", "eve", "kim"].map(|uid| person(uid, "people", "x")).concat();
        let slapd = Slapd::start(Kind::default(), &(trunk() + &people + &group("ops", [dn("ada")])))?;
        let wire = Wire::to(slapd.port);
        let mut corp = Corp::new(config(&wire.url()));
        corp.start();
        let followed = Self { slapd, wire, corp };
        wait_for("ada in ops", || (followed.count(true, "ada") == 1).then_some(()));
        followed.told("first");
        Some(followed)
    }

    /// Somebody comes, and the follower has heard of it.
    fn told(&self, uid: &str) {
        self.slapd.change(&person(uid, "people", "x"));
        wait_for(uid, || self.id(uid));
    }

    /// The id of whoever has or had this user name first.
    fn id(&self, uid: &str) -> Option<Id> {
        self.corp.bodies(Position(0)).into_iter().find_map(|body| match body {
            Body::PersonUpserted(person) if person.username.as_deref() == Some(uid) => Some(person.person),
            _ => None,
        })
    }

    /// How often it was recorded that they enter a group, or that they leave one.
    fn count(&self, enters: bool, uid: &str) -> usize {
        let Some(id) = self.id(uid) else { return 0 };
        let is = |body: &Body| match body {
            Body::GroupMemberAdded(fact) => enters && fact.member == Member::Person(id.clone()),
            Body::GroupMemberRemoved(fact) => !enters && fact.member == Member::Person(id.clone()),
            _ => false,
        };
        self.corp.bodies(Position(0)).iter().filter(|body| is(body)).count()
    }

    fn rename(uid: &str, to: &str) -> String {
        format!("dn: {}\nchangetype: modrdn\nnewrdn: uid={to}\ndeleteoldrdn: 1\n\n", dn(uid))
    }

    fn ops(verb: &str, uid: &str) -> String {
        format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\n{verb}: member\nmember: {}\n\n", dn(uid))
    }

    /// Of the connections that there are, messages are held of which this is true.
    fn hold(&self, is_held: impl Fn(&str) -> bool + Send + 'static) {
        let first = self.wire.connections();
        self.wire.look(move |connection, _, Message(bytes)| {
            let held = connection < first && is_held(&String::from_utf8_lossy(bytes));
            if held { Act::Hold } else { Act::Pass }
        });
    }

    /// A change of the group is on its way and held.
    fn one_is_held(&self) {
        wait_for("what is late", || (self.wire.held() == 1).then_some(()));
    }

    /// The directory is asked something, or it was recorded without that.
    fn asked(&self, connections: usize, recorded: impl Fn() -> bool) {
        wait_for("the question", || (self.wire.connections() > connections || recorded()).then_some(()));
    }
}

fn is_ops(message: &str) -> bool {
    message.contains("cn=ops,ou=groups")
}

#[test]
fn who_takes_a_name_that_an_older_list_has_gets_nothing_by_it() {
    let Some(world) = Followed::new() else { return };
    world.hold(is_ops);
    world.slapd.change(&Followed::ops("add", "eve"));
    world.one_is_held();
    let change = Followed::ops("delete", "eve") + &Followed::rename("eve", "eva") + &Followed::rename("kim", "eve");
    world.slapd.change(&change);
    let kim = world.id("kim").unwrap();
    wait_for("kim as eve", || {
        let renamed = |body: &Body| matches!(body, Body::PersonUpserted(p) if p.person == kim && p.username.as_deref() == Some("eve"));
        world.corp.bodies(Position(0)).iter().any(renamed).then_some(())
    });
    // Now the list with eve's name comes, and not yet the one without.
    let before = world.wire.connections();
    world.hold(|message| is_ops(message) && !message.contains("uid=eve,"));
    world.asked(before, || world.count(true, "kim") > 0);
    world.wire.pass();
    world.slapd.change(&Followed::ops("add", "first"));
    wait_for("what came last", || (world.count(true, "first") == 1).then_some(()));
    assert_eq!((world.count(true, "kim"), world.count(true, "eve"), world.count(false, "ada")), (0, 0, 0));
}

#[test]
fn who_had_a_name_gets_nothing_by_a_list_that_means_whoever_has_it_now() {
    let Some(world) = Followed::new() else { return };
    world.hold(|message| message.contains(",ou=people,") && !is_ops(message));
    world.slapd.change(&(Followed::rename("eve", "eva") + &Followed::rename("kim", "eve")));
    world.one_is_held();
    let before = world.wire.connections();
    world.slapd.change(&Followed::ops("add", "eve"));
    world.asked(before, || world.count(true, "eve") > 0);
    world.wire.pass();
    wait_for("kim in ops", || (world.count(true, "kim") == 1).then_some(()));
    assert_eq!((world.count(true, "eve"), world.count(false, "ada")), (0, 0));
}

#[test]
fn who_left_before_a_newer_read_does_not_come_back_by_an_older_list() {
    let Some(world) = Followed::new() else { return };
    world.slapd.change(&Followed::ops("add", "kim"));
    wait_for("kim in ops", || (world.count(true, "kim") == 1).then_some(()));
    world.hold(is_ops);
    world.slapd.change(&Followed::ops("add", "eve"));
    world.one_is_held();
    world.slapd.change(&Followed::ops("delete", "kim"));
    world.corp.read();
    assert_eq!((world.count(true, "eve"), world.count(false, "kim")), (1, 1));
    let before = world.wire.connections();
    world.hold(|message| is_ops(message) && !message.contains("uid=kim,"));
    world.asked(before, || world.count(true, "kim") > 1);
    world.wire.pass();
    world.slapd.change(&Followed::ops("add", "first"));
    wait_for("what came last", || (world.count(true, "first") == 1).then_some(()));
    assert_eq!((world.count(true, "kim"), world.count(false, "kim"), world.count(false, "ada")), (1, 1, 0));
}

#[test]
fn sixty_who_come_and_are_listed_in_ten_groups_cost_few_questions() {
    let Some(world) = Followed::new() else { return };
    let searches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&searches);
    let names: Vec<String> = (0..60).map(|n| format!("u{n}")).collect();
    let people: String = names.iter().map(|uid| person(uid, "people", "x")).collect();
    let groups: String = (0..10).map(|n| group(&format!("g{n}"), names.iter().map(|uid| dn(uid)))).collect();
    // In one go, however slowly they are written: what the follower hears comes when all of it is there.
    let first = world.wire.connections();
    world.wire.look(move |connection, _, _| if connection < first { Act::Hold } else { Act::Pass });
    world.slapd.change(&(people + &groups));
    wait_for("both streams", || (world.wire.held() == 2).then_some(()));
    world.wire.look(move |_, _, message| {
        counted.fetch_add(usize::from(message.tag() == DONE), Ordering::Relaxed);
        Act::Pass
    });
    let members = || world.corp.stands().iter().filter(|subject| subject.starts_with("member/")).count();
    wait_for("all of them", || (members() == 601).then_some(()));
    let searches = searches.load(Ordering::Relaxed);
    assert!(searches < 200, "{searches} searches for 600 memberships");
}

#[test]
fn whoever_a_group_lists_by_an_alias_enters_it_as_others_do() {
    let Some(world) = Followed::new() else { return };
    let alias = format!("uid=countess,ou=staff,{BASE}");
    let entry = format!(
        "dn: {alias}\nobjectClass: alias\nobjectClass: extensibleObject\nuid: countess\naliasedObjectName: {}\n\n",
        dn("kim")
    );
    world.slapd.change(&entry);
    world.slapd.change(&format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {alias}\n\n"));
    wait_for("kim in ops", || (world.count(true, "kim") == 1).then_some(()));
    world.slapd.change(&Followed::ops("delete", "ada"));
    wait_for("the end of ada in ops", || (world.count(false, "ada") == 1).then_some(()));
    assert_eq!(world.count(false, "kim"), 0);
}
