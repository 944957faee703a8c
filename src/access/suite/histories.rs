//! The kit of the suite and of every other test here: an instant, histories in the making, random facts, single events.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall_events::{
    Body, LogId, NewEvent, Order, Position, Recorded, Settings, SourceName, SourceSettings, body::SourcePerson,
};

use crate::{
    decide::{Verdict, decide},
    fold::change::Effect,
    profile::Verb,
    questions::members::members,
    roster::{
        Roster,
        handles::{Principal, ProjectIx, UserIx},
    },
};

pub(crate) fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A history in the making: facts of two sources, commands, each with its sequence.
#[derive(Clone, Default)]
pub(crate) struct History(pub(crate) Vec<NewEvent>);

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line =
            |event: &NewEvent| format!("{} {} {} {:?}", event.key.source, event.kind, event.data, event.sequence);
        self.0.iter().try_for_each(|event| writeln!(f, "{}", line(event)))
    }
}

impl History {
    pub(crate) fn say(&mut self, source: &str, kind: &str, sequence: Option<u64>, data: &str) {
        let kind = format!("rollcall.{kind}.v1");
        let body = Body::recorded(&kind, data).unwrap();
        self.0.push(NewEvent {
            sequence,
            data: data.into(),
            ..NewEvent::of(source.parse().unwrap(), format!("e{}", self.0.len()), &body)
        });
    }

    pub(crate) fn settings(customer_sub_accounts: bool) -> Self {
        let settings = Settings {
            customer_sub_accounts,
            sources: ["flexnet", "corp"]
                .map(|name| {
                    let said = SourceSettings { order: Order::Version, authoritative: name == "corp" };
                    (name.parse::<SourceName>().unwrap(), said)
                })
                .into(),
            ..Settings::default()
        };
        let mut history = Self::default();
        history.say("local", "settings.set", None, &serde_json::to_string(&settings).unwrap());
        history
    }

    /// Every person and package is there: which of two rivals gets a name, and whose user it is, depends on arrival.
    pub(crate) fn state_everybody(&mut self) {
        for (source, prefix, n) in [("flexnet", 'p', 5), ("corp", 'q', 3)] {
            for id in (0..n).map(|ix| format!("{prefix}{ix}")) {
                let data = format!(r#"{{"person":"{id}","account":null,"active":true}}"#);
                self.say(source, "person.upserted", Some(0), &data);
            }
        }
        for k in 0..3 {
            let data = format!(r#"{{"package":"k{k}","producer":"a0","container_delivery":true}}"#);
            self.say("flexnet", "package.upserted", Some(0), &data);
        }
    }

    pub(crate) fn fold(&self) -> Roster {
        let mut roster = Roster::new(LogId([7; 8]));
        self.fold_into(&mut roster);
        roster
    }

    pub(crate) fn fold_into(&self, roster: &mut Roster) {
        let start = roster.position().0;
        for (position, event) in (start + 1..).zip(&self.0) {
            roster.apply(&recorded(position, event));
        }
    }
}

/// One random fact about a small world, as (source, kind, data).
pub(crate) fn fact() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let id = |prefix: &'static str, n: u8| (0..n).prop_map(move |i| format!("{prefix}{i}"));
    let account = || id("a", 5);
    let maybe_account = || prop_oneof![3 => account().prop_map(|a| format!("\"{a}\"")), 1 => Just("null".to_owned())];
    let time = || {
        prop_oneof![
            2 => Just("null".to_owned()),
            1 => (0..4_i64).prop_map(|d| format!("\"{}\"", (noon() + Duration::days(d - 2)).to_rfc3339())),
        ]
    };
    let flex = |kind: &'static str| move |data: String| ("flexnet", kind, data);
    prop_oneof![
        4 => (account(), maybe_account()).prop_map(|(a, p)| format!(r#"{{"account":"{a}","kind":"customer","parent":{p}}}"#)).prop_map(flex("account.upserted")),
        1 => account().prop_map(|a| format!(r#"{{"account":"{a}"}}"#)).prop_map(flex("account.removed")),
        6 => (id("p", 5), maybe_account(), prop::bool::weighted(0.85))
            .prop_map(|(p, a, active)| format!(r#"{{"person":"{p}","account":{a},"active":{active}}}"#))
            .prop_map(flex("person.upserted")),
        1 => id("p", 5).prop_map(|p| format!(r#"{{"person":"{p}"}}"#)).prop_map(flex("person.removed")),
        2 => (id("q", 3), prop::bool::weighted(0.7))
            .prop_map(|(p, active)| ("corp", "person.upserted", format!(r#"{{"person":"{p}","account":null,"active":{active}}}"#))),
        3 => (id("p", 5), prop::bool::weighted(0.75)).prop_map(|(p, on)| {
            let kind = if on { "permission.granted" } else { "permission.revoked" };
            ("flexnet", kind, format!(r#"{{"person":"{p}","permission":"view_and_manage_download_packages"}}"#))
        }),
        2 => (id("d", 3), prop::bool::weighted(0.85)).prop_map(|(d, on)| {
            ("flexnet", if on { "product.upserted" } else { "product.removed" }, format!(r#"{{"product":"{d}"}}"#))
        }),
        3 => (id("k", 3), account(), prop::bool::weighted(0.85), time()).prop_map(|(k, a, delivery, until)| {
            ("flexnet", "package.upserted", format!(
                r#"{{"package":"{k}","producer":"{a}","container_delivery":{delivery},"effective_until":{until}}}"#
            ))
        }),
        1 => id("k", 3).prop_map(|k| ("flexnet", "package.removed", format!(r#"{{"package":"{k}"}}"#))),
        4 => (id("k", 3), id("d", 3), prop::bool::weighted(0.75)).prop_map(|(k, d, on)| {
            let kind = if on { "package.product.mapped" } else { "package.product.unmapped" };
            ("flexnet", kind, format!(r#"{{"package":"{k}","product":"{d}"}}"#))
        }),
        4 => (id("e", 3), account(), 0..4_u8).prop_map(|(e, a, s)| {
            let state = ["active", "active", "inactive", "draft"][usize::from(s)];
            ("flexnet", "entitlement.upserted", format!(r#"{{"entitlement":"{e}","account":"{a}","state":"{state}"}}"#))
        }),
        1 => id("e", 3).prop_map(|e| ("flexnet", "entitlement.removed", format!(r#"{{"entitlement":"{e}"}}"#))),
        5 => (id("l", 4), id("e", 3), id("d", 3), time()).prop_map(|(l, e, d, ends)| {
            ("flexnet", "entitlement.line.upserted", format!(
                r#"{{"line":"{l}","entitlement":"{e}","product":"{d}","starts":null,"ends":{ends}}}"#
            ))
        }),
        1 => id("l", 4).prop_map(|l| ("flexnet", "entitlement.line.removed", format!(r#"{{"line":"{l}"}}"#))),
        2 => (id("e", 3), id("p", 5), any::<bool>()).prop_map(|(e, p, on)| {
            let kind = if on { "entitlement.person.assigned" } else { "entitlement.person.unassigned" };
            ("flexnet", kind, format!(r#"{{"entitlement":"{e}","person":"{p}"}}"#))
        }),
        1 => id("q", 3).prop_map(|q| ("corp", "person.removed", format!(r#"{{"person":"{q}"}}"#))),
        3 => link(),
        1 => (id("p", 5), any::<bool>()).prop_map(|(p, on)| {
            let (kind, scope) = (if on { "binding.set" } else { "binding.removed" }, r#""scope":"root""#);
            ("local", kind, format!(r#"{{"principal":{{"user":"flexnet/{p}"}},"role":"system_of_record",{scope},"author":"test"}}"#))
        }),
    ]
}

/// Two of eight people of two sources, whether or not they were stated, linked or parted.
pub(crate) fn link() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let person = |n: usize| match n {
        0..5 => format!(r#"{{"source":"flexnet","person":"p{n}"}}"#),
        n => format!(r#"{{"source":"corp","person":"q{}"}}"#, n - 5),
    };
    (0..8_usize, 1..8_usize, prop::bool::weighted(0.75)).prop_map(move |(one, on_from_there, on)| {
        let kind = if on { "identity.linked" } else { "identity.unlinked" };
        let other = (one + on_from_there) % 8;
        ("local", kind, format!(r#"{{"persons":[{},{}]}}"#, person(one), person(other)))
    })
}

const ADA: &str = r#"{"persons":[{"source":"flexnet","person":"p0"},{"source":"corp","person":"q0"}]}"#;

/// A world in which every rule gives somebody something; what follows turns it about.
pub(crate) const BEFORE: &[(&str, &str, &str)] = &[
    ("flexnet", "account.upserted", r#"{"account":"a0","kind":"producer"}"#),
    ("flexnet", "account.upserted", r#"{"account":"a1","kind":"producer","parent":"a0"}"#),
    ("flexnet", "account.upserted", r#"{"account":"a2","kind":"customer"}"#),
    ("flexnet", "person.upserted", r#"{"person":"p0","username":"ada","account":"a1","active":true}"#),
    ("flexnet", "person.upserted", r#"{"person":"p1","username":"ada","account":"a2","active":true}"#),
    ("corp", "person.upserted", r#"{"person":"q0","username":"ada","account":null,"active":true}"#),
    ("flexnet", "permission.granted", r#"{"person":"p0","permission":"view_and_manage_download_packages"}"#),
    ("flexnet", "product.upserted", r#"{"product":"d0"}"#),
    ("flexnet", "package.upserted", r#"{"package":"k0","producer":"a0","container_delivery":true}"#),
    ("flexnet", "package.product.mapped", r#"{"package":"k0","product":"d0"}"#),
    ("flexnet", "entitlement.upserted", r#"{"entitlement":"e0","account":"a2","state":"active"}"#),
    (
        "flexnet",
        "entitlement.line.upserted",
        r#"{"line":"l0","entitlement":"e0","product":"d0","starts":null,"ends":null}"#,
    ),
    ("corp", "group.upserted", r#"{"group":"g0"}"#),
    ("corp", "group.upserted", r#"{"group":"g1"}"#),
    ("corp", "group.member.added", r#"{"group":"g0","member":{"person":"q0"}}"#),
    ("corp", "group.member.added", r#"{"group":"g1","member":{"group":"g0"}}"#),
    ("local", "folder.upserted", r#"{"folder":"c0","kind":"account","parent":null}"#),
    ("local", "folder.upserted", r#"{"folder":"c1","kind":"region","parent":"c0"}"#),
    (
        "local",
        "project.created",
        r#"{"project":"x0","name":"nova","kind":"standard","visibility":"private","folder":"c1","creator":"flexnet/p1"}"#,
    ),
    (
        "local",
        "binding.set",
        r#"{"principal":{"group":"corp/g1"},"role":"Viewer","scope":{"folder":"c0"},"author":"test"}"#,
    ),
    ("local", "service.created", r#"{"service":"s0"}"#),
    ("local", "group.upserted", r#"{"group":"l0"}"#),
    ("local", "group.member.added", r#"{"group":"l0","member":{"service":"s0"}}"#),
    (
        "local",
        "binding.set",
        r#"{"principal":{"group":"local/l0"},"role":"Viewer","scope":{"project":"local/x0"},"author":"test"}"#,
    ),
    ("local", "group.upserted", r#"{"group":"l1"}"#),
    ("local", "group.member.added", r#"{"group":"l1","member":{"group":"local/l0"}}"#),
    (
        "local",
        "binding.set",
        r#"{"principal":{"group":"local/l1"},"role":"Maintainer","scope":{"folder":"c1"},"author":"test"}"#,
    ),
];

/// One random event about a small world in which everything meets: names that collide, groups in groups, projects of
/// people in folders, services, roles given everywhere, settings and profiles that change, sources that end.
fn anything() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let id = |prefix: &'static str, n: u8| (0..n).prop_map(move |i| format!("{prefix}{i}"));
    let local = |kind: &'static str| move |data: String| ("local", kind, data);
    let named = || {
        (
            id("p", 3),
            prop::sample::select(vec!["ada", "bob", "ada~flexnet", "acme"]),
            0..3_u8,
            prop::bool::weighted(0.8),
        )
            .prop_map(|(p, name, a, active)| {
                format!(r#"{{"person":"{p}","username":"{name}","account":"a{a}","active":{active}}}"#)
            })
    };
    let folder = || prop_oneof![1 => Just("null".to_owned()), 2 => (0..3_u8).prop_map(|c| format!("\"c{c}\""))];
    let principal = || {
        prop_oneof![
            3 => (0..3_u8).prop_map(|p| format!(r#"{{"user":"flexnet/p{p}"}}"#)),
            1 => Just(r#"{"user":"corp/q0"}"#.to_owned()),
            2 => (0..3_u8).prop_map(|g| format!(r#"{{"group":"corp/g{g}"}}"#)),
            2 => (0..2_u8).prop_map(|g| format!(r#"{{"group":"local/l{g}"}}"#)),
            2 => (0..2_u8).prop_map(|s| format!(r#"{{"service":"s{s}"}}"#)),
        ]
    };
    let local_member = || {
        prop_oneof![
            2 => (0..3_u8).prop_map(|p| format!(r#"{{"person":"flexnet/p{p}"}}"#)),
            1 => (0..2_u8).prop_map(|s| format!(r#"{{"service":"s{s}"}}"#)),
            1 => (0..2_u8).prop_map(|g| format!(r#"{{"group":"local/l{g}"}}"#)),
            1 => (0..3_u8).prop_map(|g| format!(r#"{{"group":"corp/g{g}"}}"#)),
        ]
    };
    let scope = || {
        prop_oneof![
            1 => Just(r#""root""#.to_owned()),
            2 => (0..3_u8).prop_map(|c| format!(r#"{{"folder":"c{c}"}}"#)),
            3 => (0..2_u8).prop_map(|p| format!(r#"{{"project":"local/x{p}"}}"#)),
            1 => Just(r#"{"project":"flexnet/k0"}"#.to_owned()),
        ]
    };
    let role = || prop::sample::select(vec!["Maintainer", "Viewer", "Admin"]);
    let member = |g: u8, kind: &str, m: String| format!(r#"{{"group":"g{g}","member":{{"{kind}":"{m}"}}}}"#);
    prop_oneof![
        8 => fact(),
        4 => named().prop_map(|data| ("flexnet", "person.upserted", data)),
        2 => (id("q", 3), prop::sample::select(vec!["ada", "eve"]), prop::bool::weighted(0.8)).prop_map(|(q, name, active)| {
            ("corp", "person.upserted", format!(r#"{{"person":"{q}","username":"{name}","account":null,"active":{active}}}"#))
        }),
        1 => (0..3_u8, 0..3_u8).prop_map(|(q, p)| {
            let same = format!(r#"[{{"source":"flexnet","person":"p{p}"}}]"#);
            ("corp", "person.upserted", format!(r#"{{"person":"q{q}","username":"eve","account":null,"active":true,"same_as":{same}}}"#))
        }),
        1 => prop::bool::ANY.prop_map(|on| ("local", if on { "identity.linked" } else { "identity.unlinked" }, ADA.to_owned())),
        2 => link(),
        3 => (
            0..6_u8,
            prop::sample::select(vec!["ada", "bob", "ada~flexnet", "eve", "p1"]),
            prop::sample::select(vec!["", r#","rule":"moved""#]),
        )
            .prop_map(|(who, name, rule)| {
                let user = ["flexnet/p0", "flexnet/p1", "flexnet/p2", "corp/q0", "corp/q1", "corp/q2"][usize::from(who)];
                ("local", "user.name.given", format!(r#"{{"username":"{name}","user":"{user}"{rule}}}"#))
            }),
        1 => prop::sample::select(vec!["ada", "bob", "ada~flexnet", "eve"]).prop_map(|name| {
            ("local", "user.name.freed", format!(r#"{{"username":"{name}"}}"#))
        }),
        2 => (0..3_u8, prop::bool::weighted(0.8)).prop_map(|(g, on)| {
            ("corp", if on { "group.upserted" } else { "group.removed" }, format!(r#"{{"group":"g{g}"}}"#))
        }),
        3 => (0..3_u8, id("q", 3), prop::bool::weighted(0.7)).prop_map(move |(g, q, on)| {
            ("corp", if on { "group.member.added" } else { "group.member.removed" }, member(g, "person", q))
        }),
        2 => (0..3_u8, 0..3_u8, prop::bool::weighted(0.7)).prop_map(move |(g, m, on)| {
            ("corp", if on { "group.member.added" } else { "group.member.removed" }, member(g, "group", format!("g{m}")))
        }),
        2 => (0..2_u8, prop::bool::weighted(0.7)).prop_map(|(g, on)| {
            ("local", if on { "group.upserted" } else { "group.removed" }, format!(r#"{{"group":"l{g}"}}"#))
        }),
        3 => (0..2_u8, local_member(), prop::bool::weighted(0.7)).prop_map(|(g, member, on)| {
            let kind = if on { "group.member.added" } else { "group.member.removed" };
            ("local", kind, format!(r#"{{"group":"l{g}","member":{member}}}"#))
        }),
        2 => (0..2_u8, prop::bool::weighted(0.7)).prop_map(|(s, on)| {
            ("local", if on { "service.created" } else { "service.removed" }, format!(r#"{{"service":"s{s}"}}"#))
        }),
        2 => (0..3_u8, folder()).prop_map(|(c, parent)| {
            format!(r#"{{"folder":"c{c}","kind":"{}","parent":{parent}}}"#, ["account", "region", "region"][usize::from(c)])
        }).prop_map(local("folder.upserted")),
        1 => (0..3_u8).prop_map(|c| format!(r#"{{"folder":"c{c}"}}"#)).prop_map(local("folder.removed")),
        3 => (0..2_u8, 0..3_u8, folder(), prop::bool::weighted(0.5), id("p", 3)).prop_map(|(p, n, c, new, creator)| {
            let kind = if new { "project.created" } else { "project.updated" };
            let creator = if new { format!(r#""flexnet/{creator}""#) } else { "null".to_owned() };
            ("local", kind, format!(
                r#"{{"project":"x{p}","name":"{}","kind":"standard","visibility":"{}","folder":{c},"creator":{creator}}}"#,
                ["acme", "nova", "zeta"][usize::from(n)],
                ["private", "private", "public"][usize::from(n)]
            ))
        }),
        1 => (0..2_u8).prop_map(|p| format!(r#"{{"project":"x{p}"}}"#)).prop_map(local("project.deleted")),
        8 => (principal(), role(), scope(), prop::bool::weighted(0.8)).prop_map(|(who, role, scope, on)| {
            let kind = if on { "binding.set" } else { "binding.removed" };
            ("local", kind, format!(r#"{{"principal":{who},"role":"{role}","scope":{scope},"author":"test"}}"#))
        }),
        1 => (prop::bool::ANY, prop::bool::ANY).prop_map(|(sub_accounts, managed)| {
            let mut settings = base_settings(sub_accounts);
            settings.bindings_on_managed = managed;
            ("local", "settings.set", serde_json::to_string(&settings).unwrap())
        }),
        1 => prop::bool::ANY.prop_map(|clock| {
            let clock = clock.then_some(("local", "log.clock.mended", r#"{"from":"2026-03-01T11:00:00Z"}"#.to_owned()));
            clock.unwrap_or(("local", "log.reader.raised", r#"{"reader":2,"version":"0.1.0"}"#.to_owned()))
        }),
        1 => prop::bool::ANY.prop_map(|personal| ("local", "profile.set", past_profile(personal))),
        2 => (prop::bool::ANY, prop::bool::ANY).prop_map(|(corp, on)| {
            let kind = if on { "source.suspended" } else { "source.resumed" };
            ("local", kind, format!(r#"{{"source":"{}"}}"#, if corp { "corp" } else { "flexnet" }))
        }),
        1 => prop::bool::weighted(0.1).prop_map(|corp| {
            ("local", "source.retired", format!(r#"{{"source":"{}"}}"#, if corp { "corp" } else { "nobody" }))
        }),
    ]
}

fn base_settings(customer_sub_accounts: bool) -> Settings {
    serde_json::from_str(&History::settings(customer_sub_accounts).0[0].data).unwrap()
}

/// A profile with folders, a raise for administrators and, or not, personal projects.
pub(crate) fn past_profile(personal: bool) -> String {
    let own = if personal { r#","personal_project":"always","personal_role":"Admin""# } else { "" };
    format!(
        r#"{{"schema":1,"name":"test","levels":["global","account","region","project"],
            "kinds":{{"standard":{{"visibility":["private","public"],"default":"private"}}}},
            "baseline":[{{"principal":"anyone","visibility":"public","actions":["image.pull"]}}],
            "roles":{{
                "Admin":{{"actions":["image.pull","image.push","image.delete"],"at":["global","account","region","project"]}},
                "Maintainer":{{"actions":["image.pull","image.push"],"at":["global","account","region","project"]}},
                "Viewer":{{"actions":["image.pull"],"at":["global","account","region","project"]}}
            }},
            "rules":{{"producer_role":"Maintainer","consumer_role":"Viewer","creator_role":"Admin",
                "admin_at_least":"Maintainer"{own}}},
            "operations":{{"pull":["image.pull"],"push":["image.push"],"delete":["image.delete"]}},
            "registry":{{"pull":"pull","push":"push","delete":"delete"}}}}"#
    )
}

/// A random past of that world.
pub(crate) fn past() -> impl Strategy<Value = History> {
    (any::<bool>(), any::<bool>(), prop::collection::vec((anything(), 1..8_u64), 1..100)).prop_map(
        |(sub_accounts, personal, facts)| {
            let mut history = History::settings(sub_accounts);
            history.say("local", "profile.set", None, &past_profile(personal));
            for (source, kind, data) in BEFORE {
                history.say(source, kind, (*source != "local").then_some(0), data);
            }
            for ((source, kind, data), sequence) in facts {
                history.say(source, kind, (source != "local").then_some(sequence), &data);
            }
            history
        },
    )
}

pub(crate) fn history() -> impl Strategy<Value = History> {
    (any::<bool>(), prop::collection::vec((fact(), 0..6_u64), 1..120)).prop_map(|(sub_accounts, facts)| {
        let mut history = History::settings(sub_accounts);
        for ((source, kind, data), sequence) in facts {
            history.say(source, kind, (source != "local").then_some(sequence), &data);
        }
        history
    })
}

/// A history of sources' facts alone, which carry an order key; and an order in which to deliver them.
pub(crate) fn shuffled() -> impl Strategy<Value = (History, Vec<NewEvent>)> {
    history().prop_flat_map(|mut history| {
        let mut first = History(history.0.drain(..1).collect());
        first.state_everybody();
        let rest: Vec<NewEvent> = history.0.into_iter().filter(|event| !event.key.source.is_local()).collect();
        (Just(first), Just(rest.clone()), Just(rest).prop_shuffle()).prop_map(|(first, rest, order)| {
            let mut straight = first.clone();
            straight.0.extend(rest);
            let mut twisted = first.0;
            twisted.extend(order);
            (straight, twisted)
        })
    })
}

pub(crate) fn world(roster: &Roster) -> Vec<(UserIx, ProjectIx)> {
    roster.users().flat_map(|user| roster.projects().map(move |project| (user, project))).collect()
}

/// Every membership by name, as the digest sees it.
pub(crate) fn table(roster: &Roster) -> Vec<String> {
    let row = |project: &str, m: crate::Member| {
        let names: Vec<String> = m.reasons.iter().map(|reason| reason.name.clone()).collect();
        format!("{} {project} {} because {}", m.name, m.role, names.join(" "))
    };
    let of = |project| {
        members(roster, project, noon()).into_iter().map(|m| row(roster.project_name(project), m)).collect::<Vec<_>>()
    };
    let mut rows: Vec<String> = roster.projects().flat_map(of).collect();
    rows.sort();
    rows
}

/// The smallest world in which ada is a customer and bob a producer's user below the producer.
pub(crate) fn small() -> History {
    let mut h = History::settings(false);
    let mut say = |kind: &str, data: &str| h.say("flexnet", kind, Some(1), data);
    say("account.upserted", r#"{"account":"initech","kind":"producer"}"#);
    say("account.upserted", r#"{"account":"lab","kind":"producer","parent":"initech"}"#);
    say("account.upserted", r#"{"account":"globex","kind":"customer"}"#);
    say("person.upserted", r#"{"person":"ada","username":"Ada@Globex.test","account":"globex","active":true}"#);
    say("person.upserted", r#"{"person":"bob","account":"lab","active":true}"#);
    say("permission.granted", r#"{"person":"bob","permission":"view_and_manage_download_packages"}"#);
    say("product.upserted", r#"{"product":"DB"}"#);
    say(
        "package.upserted",
        r#"{"package":"db-suite","project_name":"acme","producer":"initech","container_delivery":true}"#,
    );
    say("package.product.mapped", r#"{"package":"db-suite","product":"DB"}"#);
    say("entitlement.upserted", r#"{"entitlement":"ENT-7","account":"globex","state":"active"}"#);
    say(
        "entitlement.line.upserted",
        r#"{"line":"ENT-7/1","entitlement":"ENT-7","product":"DB","starts":null,"ends":"2026-03-02T00:00:00Z"}"#,
    );
    h
}

/// Whether a user of the smallest world may do this in its project.
pub(crate) fn asks(roster: &Roster, user: &str, verb: Verb, now: DateTime<Utc>) -> Verdict {
    let user = roster.user_by_name(user).unwrap();
    let project = roster.project_by_name("acme").unwrap();
    decide(roster, Principal::User(user), roster.profile().registry_action(verb).unwrap(), project, now)
}

/// How many [`links_met`] tells apart.
pub(crate) const KINDS_OF_LINKS: usize = 7;

/// What there was of links: an agreement about events without any would prove nothing.
pub(crate) fn links_met(events: &[NewEvent]) -> BTreeSet<&'static str> {
    let mut roster = Roster::new(LogId([7; 8]));
    let mut met = BTreeSet::new();
    for (position, event) in (1..).zip(events) {
        let applied = roster.apply(&recorded(position, event)).effect == Effect::Applied;
        let Ok(body) = Body::parse(&event.kind, &event.data) else { continue };
        let of = |person: &SourcePerson| roster.person_of(&format!("{}/{}", person.source, person.person));
        let gone = |ix: &u32| roster.facts.persons.get(*ix).is_some_and(|row| !row.register.stands());
        let several = |ix: &u32| roster.persons_of(UserIx(roster.user_of(*ix))).len();
        match &body {
            _ if !applied => {}
            Body::IdentityLinked(link) => {
                let persons: Vec<Option<u32>> = link.persons.iter().map(of).collect();
                let stated: Vec<u32> = persons.iter().flatten().copied().collect();
                let kinds = [
                    ("of a person who is not stated yet", stated.len() < 2),
                    ("of a removed person", stated.iter().any(gone)),
                    ("of two persons of one source", link.persons[0].source == link.persons[1].source),
                    ("a chain of three", stated.iter().any(|ix| several(ix) > 2)),
                ];
                met.extend(kinds.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind));
            }
            Body::IdentityUnlinked(link) => {
                let left = link.persons.iter().filter_map(of).any(|ix| several(&ix) > 1);
                met.extend(left.then_some("parted from a chain"));
            }
            Body::PersonUpserted(person) => {
                let key = format!("{}/{}", event.key.source, person.person);
                let linked = roster.person_of(&key).is_some_and(|ix| several(&ix) > 1);
                met.extend(linked.then_some("stated while it is linked"));
            }
            Body::UserNameGiven(given) => {
                let linked = roster.person_of(given.user.as_str()).is_some_and(|ix| several(&ix) > 1);
                met.extend(linked.then_some("a name given to a user of several persons"));
            }
            _ => {}
        }
    }
    met
}

/// What a type and its data mean.
pub(crate) fn body(kind: &str, data: &str) -> Body {
    Body::parse(&format!("rollcall.{kind}.v1"), data).unwrap_or_else(|error| panic!("{kind} {data}: {error}"))
}

/// One event as the log holds it, an hour before noon.
pub(crate) fn recorded(position: u64, event: &NewEvent) -> Recorded {
    Recorded { position: Position(position), recorded_at: noon() - Duration::hours(1), event: event.clone() }
}

/// The id of the event that comes next in a roster.
pub(crate) fn next_id(roster: &Roster) -> String {
    format!("e{}", roster.position().0 + 1)
}

/// Records one event more at an instant and folds it in.
pub(crate) fn fold_next(roster: &mut Roster, event: NewEvent, now: DateTime<Utc>) -> Effect {
    let position = Position(roster.position().0 + 1);
    roster.apply(&Recorded { position, recorded_at: now, event }).effect
}
