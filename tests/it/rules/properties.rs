//! Laws over random histories: what the roster says is what the naive oracle says, whatever the order, however often,
//! live, replayed or from a snapshot. A failure prints the history in the language of the scenario files.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use proptest::{collection::vec, prelude::*, sample::select};
use rollcall_access::{Principal, Roster, Verb, decide, members};
use rollcall_events::{NewEvent, Settings};

use crate::{
    rules::oracle::{Membership, Oracle},
    rules::scenarios::{World, opening, recorded},
    support::{facts::Clerk, random::Random},
};

fn settings() -> Settings {
    serde_json::from_str(r#"{"sources":{"flexnet":{"order":"version"}}}"#).unwrap()
}

/// As [`settings`], and bindings on projects of packages are allowed.
fn allowing() -> Settings {
    Settings { bindings_on_managed: true, ..settings() }
}

fn day(n: u32) -> DateTime<Utc> {
    format!("2026-01-0{n}T00:00:00Z").parse().unwrap()
}

/// A line about a very small world, so that lines meet. Versions are few, so that ties are common.
fn line() -> impl Strategy<Value = String> {
    let account = || select(vec!["a0", "a1", "a2", "a3"]);
    let person = || select(vec!["p0", "p1", "p2"]);
    let product = || select(vec!["d0", "d1"]);
    let package = || select(vec!["k0", "k1"]);
    let entitlement = || select(vec!["e0", "e1"]);
    let or_null =
        |id: BoxedStrategy<&'static str>| prop_oneof![3 => id.prop_map(str::to_owned), 1 => Just("null".to_owned())];
    let time =
        || prop_oneof![2 => Just("null".to_owned()), 1 => (1..6_u32).prop_map(|d| format!("2026-01-0{d}T00:00:00Z"))];
    let window =
        move || (time(), time()).prop_map(|(a, b)| if a != "null" && b != "null" && b < a { (b, a) } else { (a, b) });
    let mostly = || prop_oneof![4 => Just("true"), 1 => Just("false")];
    let said = prop_oneof![
        4 => (account(), or_null(account().boxed())).prop_map(|(a, p)| format!("account.upserted {a} kind=producer parent={p}")),
        1 => account().prop_map(|a| format!("account.removed {a}")),
        4 => (person(), or_null(account().boxed()), mostly())
            .prop_map(|(p, a, active)| format!("person.upserted {p} account={a} active={active}")),
        1 => person().prop_map(|p| format!("person.removed {p}")),
        3 => person().prop_map(|p| format!("permission.granted {p}")),
        1 => person().prop_map(|p| format!("permission.revoked {p}")),
        3 => product().prop_map(|d| format!("product.upserted {d}")),
        1 => product().prop_map(|d| format!("product.removed {d}")),
        4 => (package(), account(), mostly(), window()).prop_map(|(k, a, delivery, (from, until))| format!(
            "package.upserted {k} producer={a} project_name=the-{k} container_delivery={delivery} effective_from={from} effective_until={until}"
        )),
        1 => package().prop_map(|k| format!("package.removed {k}")),
        3 => (package(), product()).prop_map(|(k, d)| format!("package.product.mapped {k} {d}")),
        1 => (package(), product()).prop_map(|(k, d)| format!("package.product.unmapped {k} {d}")),
        4 => (entitlement(), account(), select(vec!["active", "active", "active", "draft", "on_hold", "inactive", "obsolete"]))
            .prop_map(|(e, a, state)| format!("entitlement.upserted {e} account={a} state={state}")),
        1 => entitlement().prop_map(|e| format!("entitlement.removed {e}")),
        4 => (select(vec!["1", "2", "3"]), entitlement(), product(), window()).prop_map(|(l, e, d, (from, until))| format!(
            "entitlement.line.upserted {l} entitlement={e} product={d} starts={from} ends={until}"
        )),
        1 => select(vec!["1", "2", "3"]).prop_map(|l| format!("entitlement.line.removed {l}")),
        1 => (entitlement(), person()).prop_map(|(e, p)| format!("entitlement.person.assigned {e} {p}")),
        1 => (entitlement(), person()).prop_map(|(e, p)| format!("entitlement.person.unassigned {e} {p}")),
    ];
    (said, 1..5_u32).prop_map(|(said, version)| format!("flexnet {said} @{version}"))
}

/// A world with a Developer and a Guest in it, and then anything.
fn history() -> impl Strategy<Value = Vec<String>> {
    const BEFORE: [&str; 11] = [
        "account.upserted a0 kind=producer",
        "account.upserted a1 kind=producer parent=a0",
        "account.upserted a2",
        "person.upserted p0 account=a1",
        "permission.granted p0",
        "person.upserted p1 account=a2",
        "product.upserted d0",
        "package.upserted k0 producer=a0 project_name=the-k0",
        "package.product.mapped k0 d0",
        "entitlement.upserted e0 account=a2 state=active",
        "entitlement.line.upserted 1 entitlement=e0 product=d0",
    ];
    vec(line(), 0..24).prop_map(|lines| BEFORE.iter().map(|said| format!("flexnet {said} @0")).chain(lines).collect())
}

/// Groups of the source, three that can be in each other, and who is in them.
fn group_line() -> impl Strategy<Value = String> {
    let group = || select(vec!["g0", "g1", "g2"]);
    let member = select(vec!["person:p0", "person:p1", "person:p2", "group:g0", "group:g1", "group:g2"]);
    let said = prop_oneof![
        2 => group().prop_map(|g| format!("group.upserted {g}")),
        1 => group().prop_map(|g| format!("group.removed {g}")),
        6 => (group(), member, 0..4_u8).prop_map(|(g, m, on)| {
            format!("group.member.{} {g} {m}", if on > 0 { "added" } else { "removed" })
        }),
    ];
    (said, 1..5_u32).prop_map(|(said, version)| format!("flexnet {said} @{version}"))
}

/// What is given by hand before anything else happens: it stays, whatever its groups and people do.
const GIVEN: [&str; 9] = [
    "flexnet account.upserted a0 kind=producer @0",
    "flexnet person.upserted p1 @0",
    "flexnet package.upserted k0 producer=a0 project_name=the-k0 @0",
    "flexnet group.upserted g0 @0",
    "flexnet group.upserted g1 @0",
    "flexnet group.member.added g0 group:g1 @0",
    "local binding.set group:flexnet/g0 Developer project:flexnet/k0",
    "local binding.set group:flexnet/g1 Guest project:flexnet/k0 ends=2026-01-04T00:00:00Z",
    "local binding.set user:flexnet/p1 Guest project:flexnet/k0 starts=2026-01-02T00:00:00Z",
];

/// A world of groups and of everything else, after what is given.
fn grouped_history() -> impl Strategy<Value = Vec<String>> {
    vec(prop_oneof![3 => group_line(), 1 => line()], 0..30)
}

fn events(lines: &[String]) -> Vec<NewEvent> {
    let mut clerk = Clerk::default();
    lines.iter().map(|line| clerk.event(line)).collect()
}

fn fold(events: &[NewEvent]) -> World {
    World::fold(&recorded(opening(&settings(), "revenera").into_iter().chain(events.iter().cloned())))
}

fn table(roster: &Roster, now: DateTime<Utc>) -> BTreeSet<Membership> {
    let mut found = BTreeSet::new();
    for project in roster.projects() {
        for member in members(roster, project, now) {
            found.insert((member.name, roster.project(project).name.to_owned(), member.role));
        }
    }
    found
}

/// Everybody's every answer, by the one function that answers.
fn answers(roster: &Roster, now: DateTime<Utc>) -> BTreeSet<Membership> {
    let mut found = BTreeSet::new();
    for user in roster.users() {
        for project in roster.projects() {
            for verb in [Verb::Pull, Verb::Push, Verb::Delete] {
                let asked = roster.profile().registry_action(verb);
                if asked
                    .is_some_and(|actions| decide(roster, Principal::User(user), actions, project, now).is_allowed())
                {
                    let names = (roster.user(user).name.to_owned(), roster.project(project).name.to_owned());
                    found.insert((names.0, names.1, verb.as_str().to_owned()));
                }
            }
        }
    }
    found
}

/// What the roles of the default profile let people do, said by hand.
fn allowed(memberships: &BTreeSet<Membership>) -> BTreeSet<Membership> {
    let mut found = BTreeSet::new();
    for (user, project, role) in memberships {
        let verbs: &[&str] = if role == "Developer" { &["pull", "push"] } else { &["pull"] };
        found.extend(verbs.iter().map(|verb| (user.clone(), project.clone(), (*verb).to_owned())));
    }
    found
}

const NOON: u32 = 3;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(200)) })]

    #[test]
    fn the_roster_says_what_the_oracle_says(lines in history()) {
        let events = events(&lines);
        let (world, oracle) = (fold(&events), Oracle::of(&events));
        for now in (1..6).map(day) {
            let expected = oracle.memberships(now);
            prop_assert_eq!(table(&world.roster, now), expected.clone(), "members at {}:\n{}", now, lines.join("\n"));
            prop_assert_eq!(answers(&world.roster, now), allowed(&expected), "decisions at {}:\n{}", now, lines.join("\n"));
        }
    }

    #[test]
    fn groups_and_bindings_give_what_the_oracle_says_in_any_order(lines in grouped_history(), seed in any::<u64>()) {
        let given: Vec<String> = GIVEN.iter().map(|said| (*said).to_owned()).collect();
        let all = events(&[given, lines.clone()].concat());
        let (mut first, mut then) = (opening(&allowing(), "revenera"), all);
        let rest = then.split_off(GIVEN.len());
        first.extend(then);
        let mut shuffled = rest.clone();
        Random(seed).shuffle(&mut shuffled);
        let oracle = Oracle::of(&[&first[2..], &rest[..]].concat());
        for order in [rest, shuffled] {
            let world = World::fold(&recorded(first.iter().chain(&order).cloned()));
            for now in (1..6).map(day) {
                let expected = oracle.memberships(now);
                prop_assert_eq!(table(&world.roster, now), expected.clone(), "at {}:\n{}", now, lines.join("\n"));
                prop_assert_eq!(answers(&world.roster, now), allowed(&expected), "at {}:\n{}", now, lines.join("\n"));
            }
        }
    }

    #[test]
    fn any_order_and_any_repetition_give_the_same_digest(lines in history(), seed in any::<u64>()) {
        let mut random = Random(seed);
        let first = events(&lines);
        let mut second = first.clone();
        for n in 0..random.below(first.len()) {
            let mut again = first[random.below(first.len())].clone();
            again.key.id = format!("again-{n}").into();
            second.push(again);
        }
        random.shuffle(&mut second);
        let (one, other) = (fold(&first), fold(&second));
        for now in (1..6).map(day) {
            let told: Vec<_> = second.iter().map(|e| format!("{} {} @{:?}", e.kind, e.data, e.sequence)).collect();
            prop_assert_eq!(one.digest(now), other.digest(now), "at {}:\n{}\n--- against\n{}", now, lines.join("\n"), told.join("\n"));
        }
    }

    #[test]
    fn a_snapshot_and_its_tail_are_the_whole(lines in history(), cut in any::<prop::sample::Index>()) {
        let records = recorded(opening(&settings(), "revenera").into_iter().chain(events(&lines)));
        let (head, tail) = records.split_at(cut.index(records.len() + 1));
        let whole = World::fold(&records);
        let mut kept = World::new();
        for record in head {
            kept.apply(record);
        }
        let mut kept = Roster::from_snapshot(&kept.roster.to_snapshot()).unwrap();
        for record in tail {
            kept.apply(record);
        }
        prop_assert_eq!(kept.to_snapshot(), whole.roster.to_snapshot(), "cut at {}:\n{}", head.len(), lines.join("\n"));
        prop_assert_eq!(answers(&kept, day(NOON)), answers(&whole.roster, day(NOON)));
    }

    #[test]
    fn what_is_folded_twice_changes_nothing(lines in history()) {
        let once = fold(&events(&lines));
        let mut twice = events(&lines);
        let again: Vec<NewEvent> = twice.iter().cloned().map(|mut e| { e.key.id = format!("again-{}", e.key.id).into(); e }).collect();
        twice.extend(again);
        prop_assert_eq!(fold(&twice).digest(day(NOON)), once.digest(day(NOON)), "{}", lines.join("\n"));
    }
}

/// A law over empty tables would prove nothing.
#[test]
fn the_random_histories_reach_memberships_of_every_kind() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut developers, mut guests, mut grouped) = (0, 0, 0);
    for _ in 0..200 {
        let lines = history().new_tree(&mut runner).unwrap().current();
        let table = Oracle::of(&events(&lines)).memberships(day(NOON));
        developers += u32::from(table.iter().any(|(_, _, role)| role == "Developer"));
        guests += u32::from(table.iter().any(|(_, _, role)| role == "Guest"));
        let given = GIVEN.iter().map(|said| (*said).to_owned());
        let lines: Vec<String> = given.chain(grouped_history().new_tree(&mut runner).unwrap().current()).collect();
        let table = Oracle::of(&events(&lines)).memberships(day(NOON));
        grouped += u32::from(table.iter().any(|(_, _, role)| role == "Developer"));
    }
    assert!(
        developers > 40 && guests > 20 && grouped > 20,
        "{developers}, {guests} and {grouped} by a group of 200 histories"
    );
}

/// `PROPTEST_CASES` of the environment counts, as everywhere.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Every kind of fact, with what ends it.
const KINDS: &[(&str, &str)] = &[
    ("account.upserted vendor kind=producer", "account.removed vendor"),
    ("account.upserted lab kind=producer parent=vendor", "account.removed lab"),
    ("account.upserted globex", "account.removed globex"),
    ("person.upserted pia account=lab", "person.removed pia"),
    ("person.upserted ada account=globex", "person.removed ada"),
    ("permission.granted pia", "permission.revoked pia"),
    ("product.upserted DB", "product.removed DB"),
    ("package.upserted db-suite producer=vendor project_name=acme", "package.removed db-suite"),
    ("package.product.mapped db-suite DB", "package.product.unmapped db-suite DB"),
    ("entitlement.upserted ENT-7 account=globex", "entitlement.removed ENT-7"),
    ("entitlement.line.upserted ENT-7/1 product=DB", "entitlement.line.removed ENT-7/1"),
    ("entitlement.person.assigned ENT-7 ada", "entitlement.person.unassigned ENT-7 ada"),
];

#[test]
fn what_is_added_removed_and_added_again_is_there_for_every_kind_and_in_every_order() {
    let now = day(NOON);
    let kinds: Vec<(String, String)> = KINDS
        .iter()
        .map(|(fact, end)| {
            let state = if fact.starts_with("entitlement.upserted") { " state=active" } else { "" };
            (format!("flexnet {fact}{state}"), format!("flexnet {end}"))
        })
        .collect();
    let base: Vec<String> = kinds.iter().map(|(fact, _)| format!("{fact} @1")).collect();
    let whole = fold(&events(&base));
    assert_eq!(table(&whole.roster, now).len(), 2, "ada and pia");
    for (n, (fact, end)) in kinds.iter().enumerate() {
        let three = [format!("{fact} @1"), format!("{end} @2"), format!("{fact} @3")];
        let mut others = base.clone();
        others.remove(n);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for before in [0, others.len() / 2, others.len()] {
                let (early, late) = others.split_at(before);
                let about = order.map(|i| three[i].clone());
                let again: Vec<String> = early.iter().chain(&about).chain(late).cloned().collect();
                assert_eq!(fold(&events(&again)).digest(now), whole.digest(now), "{again:#?}");
                let ended: Vec<String> = again.into_iter().filter(|line| *line != three[2]).collect();
                let ended = fold(&events(&ended));
                let left = if fact.contains("package.upserted") { 0 } else { 1 };
                assert_eq!(table(&ended.roster, now).len(), left, "without `{fact}`: the package carries both");
            }
        }
    }
}
