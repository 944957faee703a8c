//! Small random worlds: every noun that bears on a membership, few ids, so that facts meet, change, end and come late.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rollcall_access::{Profile, Roster, members};
use rollcall_events::{Body, NewEvent, SourceName};
use rollcall_store::read::Membership;

/// An event of a source that orders by version; `id` is its key and, unless told otherwise, its version.
pub(crate) fn event(source: &str, id: &str, kind: &str, data: &str, sequence: u64) -> NewEvent {
    let kind = format!("rollcall.{kind}.v1");
    let body = Body::parse(&kind, data).unwrap_or_else(|error| panic!("{error}: {data}"));
    let source: SourceName = source.parse().unwrap();
    NewEvent {
        sequence: (!source.is_local()).then_some(sequence),
        data: data.into(),
        ..NewEvent::of(source, id, &body)
    }
}

/// The settings under which worlds are played: `a` and `b` order by version, `b` is authoritative.
pub(crate) fn settings(extra: &str) -> NewEvent {
    let data = format!(
        r#"{{"sources":{{"a":{{"order":"version"}},"b":{{"order":"version","authoritative":true}}}},"bindings_on_managed":true{extra}}}"#
    );
    event("local", &format!("settings{extra}"), "settings.set", &data, 0)
}

fn id() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("1"), Just("2"), Just("3/x")]
}

/// When something begins and ends.
fn window() -> impl Strategy<Value = (&'static str, &'static str)> {
    let time = || {
        prop_oneof![
            Just("null"),
            Just("\"2026-01-01T00:00:00Z\""),
            Just("\"2026-06-01T00:00:00+02:00\""),
            Just("\"2027-01-01T00:00:00Z\"")
        ]
    };
    (time(), time()).prop_map(|(a, b)| if a != "null" && b != "null" && b < a { (b, a) } else { (a, b) })
}

/// What somebody decides: links, names, bindings of users, settings, the profile.
fn decisions() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    prop_oneof![
        2 => (any::<bool>(), id(), id()).prop_map(|(on, one, two)| {
            let kind = if on { "identity.linked" } else { "identity.unlinked" };
            (kind, format!(r#"{{"persons":[{{"source":"a","person":"{one}"}},{{"source":"b","person":"{two}"}}]}}"#))
        }),
        1 => (any::<bool>(), any::<bool>(), id(), prop_oneof![Just("ada"), Just("bob"), Just("ada~b")]).prop_map(
            |(given, a, id, name)| {
                let user = format!("{}/{id}", if a { "a" } else { "b" });
                match given {
                    true => ("user.name.given", format!(r#"{{"username":"{name}","user":"{user}"}}"#)),
                    false => ("user.name.freed", format!(r#"{{"username":"{name}"}}"#)),
                }
            }
        ),
        1 => (any::<bool>(), id(), any::<bool>(), window()).prop_map(|(on, id, role, (starts, ends))| {
            let role = if role { "guest" } else { "Developer" };
            let base = format!(
                r#""principal":{{"user":"a/{id}"}},"role":"{role}","scope":{{"project":"a/1"}},"author":"x""#
            );
            if on {
                ("binding.set", format!(r#"{{{base},"starts":{starts},"ends":{ends}}}"#))
            } else {
                ("binding.removed", format!("{{{base}}}"))
            }
        }),
        1 => prop_oneof![
            Just("{\"sources\":{\"a\":{\"order\":\"version\"},\"b\":{\"order\":\"version\",\"authoritative\":true}},\"customer_sub_accounts\":true,\"consumer_role\":\"developer\"}"),
            Just("{\"sources\":{\"a\":{\"order\":\"version\",\"authoritative\":true},\"b\":{\"order\":\"version\"}},\"bindings_on_managed\":true}")
        ]
        .prop_map(|data| ("settings.set", data.to_owned())),
        1 => Just("").prop_map(|_| {
            let profile = Profile::bundled("revenera").unwrap();
            ("profile.set", serde_json::to_string(profile.document()).unwrap())
        }),
    ]
    .prop_map(|(kind, data)| ("local", kind, data))
}

/// What somebody may command.
pub(crate) fn command() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    prop_oneof![2 => decisions(), 6 => local_step()]
}

/// One thing that happens, as (kind, data) of a source that has two of everything, or of `local`.
pub(crate) fn random_step() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let source = || prop_oneof![3 => Just("a"), 1 => Just("b")];
    let account = || prop_oneof![Just("A"), Just("B"), Just("C"), Just("D")];
    let maybe = || prop_oneof![4 => account().prop_map(|id| format!("\"{id}\"")), 1 => Just("null".to_owned())];
    let of = |strategy: BoxedStrategy<(&'static str, String)>| (source(), strategy).prop_map(|(s, (k, d))| (s, k, d));
    let pair = |kind: [&'static str; 2], left: &'static str, right: &'static str, rights: [&'static str; 2]| {
        (any::<bool>(), id(), any::<bool>())
            .prop_map(move |(on, l, r)| {
                let data = format!(r#"{{"{left}":"{l}","{right}":"{}"}}"#, rights[usize::from(r)]);
                (kind[usize::from(!on)], data)
            })
            .boxed()
    };
    let removed = |kind: &'static str, field: &'static str, ids: BoxedStrategy<&'static str>| {
        ids.prop_map(move |id| (kind, format!(r#"{{"{field}":"{id}"}}"#))).boxed()
    };
    let facts = prop_oneof![
        4 => (account(), maybe())
            .prop_map(|(id, parent)| {
                ("account.upserted", format!(r#"{{"account":"{id}","kind":"producer","parent":{parent}}}"#))
            })
            .boxed(),
        1 => removed("account.removed", "account", account().boxed()),
        5 => (id(), maybe(), 0..5_u8, prop_oneof![Just("null"), Just("\"Ada\""), Just("\"bob\"")])
            .prop_map(|(id, account, active, name)| {
                let active = active > 0;
                let data = format!(r#"{{"person":"{id}","account":{account},"active":{active},"username":{name}}}"#);
                ("person.upserted", data)
            })
            .boxed(),
        1 => removed("person.removed", "person", id().boxed()),
        3 => (any::<bool>(), id())
            .prop_map(|(on, id)| {
                let kind = if on { "permission.granted" } else { "permission.revoked" };
                (kind, format!(r#"{{"person":"{id}","permission":"view_and_manage_download_packages"}}"#))
            })
            .boxed(),
        3 => id().prop_map(|id| ("product.upserted", format!(r#"{{"product":"{id}"}}"#))).boxed(),
        1 => removed("product.removed", "product", id().boxed()),
        4 => (id(), account(), 0..5_u8, prop_oneof![Just("null"), Just("\"acme\""), Just("\"-\"")], window())
            .prop_map(|(id, producer, delivery, name, (from, until))| {
                let delivery = delivery > 0;
                let data = format!(
                    r#"{{"package":"{id}","name":"p {}","project_name":{name},"producer":"{producer}","container_delivery":{delivery},"effective_from":{from},"effective_until":{until}}}"#,
                    &id[..1]
                );
                ("package.upserted", data)
            })
            .boxed(),
        1 => removed("package.removed", "package", id().boxed()),
        4 => pair(["package.product.mapped", "package.product.unmapped"], "package", "product", ["1", "2"]),
        4 => (id(), account(), prop_oneof![4 => Just("active"), 1 => Just("on_hold"), 1 => Just("inactive")])
            .prop_map(|(id, account, state)| {
                let data = format!(r#"{{"entitlement":"{id}","account":"{account}","state":"{state}"}}"#);
                ("entitlement.upserted", data)
            })
            .boxed(),
        1 => removed("entitlement.removed", "entitlement", id().boxed()),
        5 => (id(), id(), id(), window())
            .prop_map(|(id, entitlement, product, (starts, ends))| {
                let data = format!(
                    r#"{{"line":"{id}","entitlement":"{entitlement}","product":"{product}","starts":{starts},"ends":{ends}}}"#
                );
                ("entitlement.line.upserted", data)
            })
            .boxed(),
        1 => removed("entitlement.line.removed", "line", id().boxed()),
        1 => pair(
            ["entitlement.person.assigned", "entitlement.person.unassigned"],
            "entitlement",
            "person",
            ["1", "3/x"],
        ),
    ]
    .boxed();
    prop_oneof![12 => of(facts), 2 => decisions(), 3 => of(groups().boxed()), 8 => local_step()]
}

/// A profile with folders, in which some roles are given at some levels only and a creator gets one.
const LAYERED: &str = r#"{"schema":1,"name":"layered","levels":["root","account","team","project"],"roles":{"Developer":{"actions":["image.push","image.pull"],"at":["root","account","project"]},"Guest":{"actions":["image.pull"],"at":["team","project"]},"Owner":{"actions":["*"],"at":["root","project"]}},"kinds":{"standard":{"visibility":["private","public"],"default":"private"}},"rules":{"creator_role":"owner"REST}}"#;

fn layered(rest: &str) -> String {
    LAYERED.replace("REST", rest)
}

/// Groups of a source and who is in them, in circles too.
fn groups() -> impl Strategy<Value = (&'static str, String)> {
    let group = || prop_oneof![Just("g"), Just("h"), Just("i/j")];
    let member = prop_oneof![
        3 => prop_oneof![Just("1"), Just("2"), Just("3/x")].prop_map(|id| format!(r#"{{"person":"{id}"}}"#)),
        3 => group().prop_map(|id| format!(r#"{{"group":"{id}"}}"#)),
        1 => Just(r#"{"service":"ci"}"#.to_owned()),
    ];
    prop_oneof![
        3 => group().prop_map(|id| ("group.upserted", format!(r#"{{"group":"{id}"}}"#))),
        1 => group().prop_map(|id| ("group.removed", format!(r#"{{"group":"{id}"}}"#))),
        6 => (0..4_u8, group(), member).prop_map(|(on, group, member)| {
            let kind = if on > 0 { "group.member.added" } else { "group.member.removed" };
            (kind, format!(r#"{{"group":"{group}","member":{member}}}"#))
        }),
    ]
}

/// What commands keep: folders, projects, services, local groups, and bindings of everybody on everything.
fn local_step() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let folder = || prop_oneof![Just("acc"), Just("t"), Just("u")];
    let within = move || prop_oneof![1 => Just("null".to_owned()), 3 => folder().prop_map(|id| format!("\"{id}\""))];
    let project = || prop_oneof![Just("p"), Just("q")];
    let group = || prop_oneof![Just("local/k"), Just("local/l"), Just("a/g"), Just("a/h"), Just("a/i/j"), Just("b/g")];
    let person = || prop_oneof![Just("a/1"), Just("a/2"), Just("a/3/x"), Just("b/1")];
    let service = || prop_oneof![Just("ci"), Just("cd")];
    let one = |field: &'static str, id: &str| format!(r#"{{"{field}":"{id}"}}"#);
    let holder = move |person_word: &'static str| {
        prop_oneof![
            2 => person().prop_map(move |id| one(person_word, id)),
            1 => service().prop_map(move |id| one("service", id)),
            3 => group().prop_map(move |id| one("group", id)),
        ]
    };
    let scope = prop_oneof![
        1 => Just("\"root\"".to_owned()),
        3 => folder().prop_map(move |id| one("folder", id)),
        3 => prop_oneof![Just("local/p"), Just("local/q"), Just("a/1")].prop_map(move |id| one("project", id)),
    ];
    let role = prop_oneof![3 => Just("developer"), 3 => Just("Guest"), 2 => Just("owner"), 1 => Just("api:auditor")];
    let until = prop_oneof![3 => Just("null"), 1 => Just("\"2026-06-01T00:00:00+02:00\"")];
    let said = prop_oneof![
        4 => (folder(), within()).prop_map(|(id, parent)| {
            let kind = if id == "acc" { "account" } else { "team" };
            let parent = if id == "acc" { "null".to_owned() } else { parent };
            ("folder.upserted", format!(r#"{{"folder":"{id}","kind":"{kind}","parent":{parent}}}"#))
        }),
        1 => folder().prop_map(move |id| ("folder.removed", one("folder", id))),
        4 => (any::<bool>(), project(), any::<bool>(), within(), prop_oneof![Just("null"), Just("\"a/2\"")]).prop_map(
            |(new, id, other, folder, creator)| {
                let kind = if new { "project.created" } else { "project.updated" };
                let name = if other { "other" } else { "" };
                let data = format!(
                    r#"{{"project":"{id}","name":"{id}{name}","kind":"standard","visibility":"private","folder":{folder},"creator":{creator}}}"#
                );
                (kind, data)
            }
        ),
        1 => project().prop_map(move |id| ("project.deleted", one("project", id))),
        2 => (0..4_u8, service()).prop_map(move |(on, id)| {
            (if on > 0 { "service.created" } else { "service.removed" }, one("service", id))
        }),
        2 => (0..4_u8, prop_oneof![Just("k"), Just("l")]).prop_map(move |(on, id)| {
            (if on > 0 { "group.upserted" } else { "group.removed" }, one("group", id))
        }),
        4 => (0..4_u8, prop_oneof![Just("k"), Just("l")], holder("person")).prop_map(|(on, group, member)| {
            let kind = if on > 0 { "group.member.added" } else { "group.member.removed" };
            (kind, format!(r#"{{"group":"{group}","member":{member}}}"#))
        }),
        8 => (0..4_u8, holder("user"), role, scope, until).prop_map(|(on, holder, role, scope, ends)| {
            let base = format!(r#""principal":{holder},"role":"{role}","scope":{scope},"author":"admin key""#);
            if on > 0 {
                ("binding.set", format!(r#"{{{base},"ends":{ends}}}"#))
            } else {
                ("binding.removed", format!("{{{base}}}"))
            }
        }),
        1 => prop_oneof![
            Just(""),
            Just(r#","last_holder_stays":["Owner"],"admin_at_least":"Guest""#)
        ]
        .prop_map(|rest| ("profile.set", layered(rest))),
    ];
    said.prop_map(|(kind, data)| ("local", kind, data))
}

/// What is kept here in half of the worlds before anything happens.
fn local_facts() -> Vec<NewEvent> {
    let profile = layered("");
    let said = [
        ("profile.set", profile.as_str()),
        ("folder.upserted", r#"{"folder":"acc","kind":"account"}"#),
        ("folder.upserted", r#"{"folder":"t","kind":"team","parent":"acc"}"#),
        ("folder.upserted", r#"{"folder":"u","kind":"team"}"#),
        (
            "project.created",
            r#"{"project":"p","name":"p","kind":"standard","visibility":"private","folder":"t","creator":"a/1"}"#,
        ),
        ("project.created", r#"{"project":"q","name":"q","kind":"standard","visibility":"public","folder":"u"}"#),
        ("service.created", r#"{"service":"ci"}"#),
        ("service.created", r#"{"service":"cd"}"#),
        ("group.upserted", r#"{"group":"k"}"#),
        ("group.upserted", r#"{"group":"l"}"#),
        ("group.member.added", r#"{"group":"k","member":{"group":"local/l"}}"#),
        ("group.member.added", r#"{"group":"l","member":{"service":"ci"}}"#),
        ("group.member.added", r#"{"group":"l","member":{"person":"a/2"}}"#),
        (
            "binding.set",
            r#"{"principal":{"group":"local/k"},"role":"developer","scope":{"folder":"acc"},"author":"x"}"#,
        ),
    ];
    (1..).zip(said).map(|(n, (kind, data))| event("local", &format!("f{n}"), kind, data, n)).collect()
}

/// A world in which everybody whom it can have is a member of something: what happens then takes away and gives back.
fn initial_facts() -> Vec<NewEvent> {
    let facts = [
        ("account.upserted", r#"{"account":"A","kind":"producer","parent":null}"#),
        ("account.upserted", r#"{"account":"B","kind":"producer","parent":"A"}"#),
        ("account.upserted", r#"{"account":"C","kind":"customer","parent":null}"#),
        ("account.upserted", r#"{"account":"D","kind":"customer","parent":"C"}"#),
        ("person.upserted", r#"{"person":"1","account":"B","active":true}"#),
        ("person.upserted", r#"{"person":"2","account":"C","active":true}"#),
        ("person.upserted", r#"{"person":"3/x","account":"D","active":true}"#),
        ("permission.granted", r#"{"person":"1","permission":"view_and_manage_download_packages"}"#),
        ("product.upserted", r#"{"product":"1"}"#),
        ("product.upserted", r#"{"product":"2"}"#),
        ("package.upserted", r#"{"package":"1","project_name":"one","producer":"A","container_delivery":true}"#),
        ("package.upserted", r#"{"package":"2","project_name":"two","producer":"B","container_delivery":true}"#),
        ("package.product.mapped", r#"{"package":"1","product":"1"}"#),
        ("package.product.mapped", r#"{"package":"2","product":"2"}"#),
        ("entitlement.upserted", r#"{"entitlement":"1","account":"C","state":"active"}"#),
        ("entitlement.upserted", r#"{"entitlement":"2","account":"D","state":"active"}"#),
        ("entitlement.line.upserted", r#"{"line":"1","entitlement":"1","product":"1","starts":null,"ends":null}"#),
        (
            "entitlement.line.upserted",
            r#"{"line":"2","entitlement":"2","product":"2","starts":"2026-01-01T00:00:00Z","ends":"2027-01-01T00:00:00Z"}"#,
        ),
    ];
    (1..).zip(facts).map(|(n, (kind, data))| event("a", &format!("b{n}"), kind, data, n)).collect()
}

/// Worlds of some 20 to 60 events; versions go up, but some events come late, and half of the worlds in any order.
pub(crate) fn worlds() -> impl Strategy<Value = Vec<NewEvent>> {
    let late = prop_oneof![6 => Just(0_u64), 1 => 1..30_u64];
    let steps = prop::collection::vec((random_step(), late), 0..40);
    let events =
        (steps, any::<bool>(), 0..100_u8, any::<bool>()).prop_map(|(steps, sub_accounts, retired, with_local)| {
            let extra = if sub_accounts { r#","customer_sub_accounts":true"# } else { "" };
            let mut all = vec![settings(extra)];
            all.extend(initial_facts());
            if with_local {
                all.extend(local_facts());
            }
            for (n, ((source, kind, data), late)) in (1_u64..).zip(steps) {
                all.push(event(source, &format!("e{n}"), kind, &data, 30 + n - late));
                // Now and then a source is suspended, and some are resumed again.
                if (u64::from(retired) + n).is_multiple_of(9) {
                    let source = if n.is_multiple_of(2) { "a" } else { "b" };
                    let kind = if n.is_multiple_of(3) { "source.suspended" } else { "source.resumed" };
                    all.push(event("local", &format!("s{n}"), kind, &format!(r#"{{"source":"{source}"}}"#), 0));
                }
                if u64::from(retired) == n {
                    let source = if n.is_multiple_of(4) { "a" } else { "b" };
                    all.push(event("local", "retired", "source.retired", &format!(r#"{{"source":"{source}"}}"#), 0));
                }
            }
            all
        });
    events.prop_flat_map(|world| prop_oneof![Just(world.clone()), Just(world).prop_shuffle()])
}

/// Instants before, at and after every boundary that a window of a world has.
pub(crate) fn instants() -> impl Iterator<Item = DateTime<Utc>> {
    [
        "2025-12-31T23:59:59.999999Z",
        "2026-01-01T00:00:00Z",
        "2026-05-31T22:00:00Z",
        "2026-12-31T00:00:00Z",
        "2027-01-01T00:00:00Z",
    ]
    .into_iter()
    .map(|text| text.parse().unwrap())
}

/// Memberships of the roster as text, for a difference that can be read.
pub(crate) fn roster_lines(roster: &Roster, now: DateTime<Utc>) -> BTreeSet<String> {
    let line = |project: &str| {
        let project = project.to_owned();
        move |member: rollcall_access::Member| {
            let project = project.clone();
            member.reasons.into_iter().map(move |reason| {
                format!("{} ({}) {project} {} {}:{}", member.name, member.user, member.role, reason.rule, reason.name)
            })
        }
    };
    let projects = roster.projects();
    projects.flat_map(|ix| members(roster, ix, now).into_iter().flat_map(line(roster.project_name(ix)))).collect()
}

/// Memberships of the SQL view as the same text.
pub(crate) fn view_lines(rows: &[Membership]) -> BTreeSet<String> {
    let line = |row: &Membership| {
        format!("{} ({}) {} {} {}:{}", row.user_name, row.user_id, row.project, row.role, row.rule, row.name)
    };
    rows.iter().map(line).collect()
}
