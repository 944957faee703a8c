//! Random small worlds in which everything meets: people of three sources, nested groups, folders, projects, services,
//! bindings with windows, changes of profile and switches. A seed is a world.

use rollcall_events::{LogId, NewEvent};
use serde_json::{Value, json};

use super::reference::Reference;
use crate::{
    fold::change::Effect,
    profile::BUNDLED,
    roster::Roster,
    suite::histories::{History, noon, recorded},
};

/// Numbers that a seed gives, for ever the same.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn id(&mut self, prefix: &str, n: usize) -> String {
        format!("{prefix}{}", self.below(n))
    }

    fn some<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().filter(|_| self.one_in(3)).cloned().collect()
    }
}

/// A bundled profile as the table of its file.
pub(super) fn bundled(name: &str) -> Value {
    let (_, text) = BUNDLED.iter().find(|(known, _)| *known == name).unwrap();
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

pub(super) fn api() -> Value {
    serde_json::to_value(include_str!("../profiles/api.toml").parse::<toml::Table>().unwrap()).unwrap()
}

/// A profile that nobody would write.
fn odd(random: &mut Random) -> Value {
    let levels: Vec<String> = (0..=1 + random.below(3)).map(|n| format!("l{n}")).chain(["project".into()]).collect();
    let actions: Vec<String> = ["image", "member", "plan"]
        .iter()
        .flat_map(|noun| ["get", "set", "drop"].map(|verb| format!("{noun}.{verb}")))
        .collect();
    let few = |random: &mut Random| {
        let mut found = random.some(&actions);
        match random.below(8) {
            0 => found.push("image.*".into()),
            1 => found.push("*".into()),
            _ => {}
        }
        found
    };
    let mut roles = serde_json::Map::new();
    for n in 0..5 {
        let mut at = random.some(&levels);
        at.push(random.pick(&levels).clone());
        at.dedup();
        roles.insert(format!("role{n}"), json!({"actions": few(random), "at": at}));
    }
    let role = |random: &mut Random| format!("role{}", random.below(5));
    let rows = |random: &mut Random, n: usize, row: &dyn Fn(&mut Random, usize) -> Value| -> Vec<Value> {
        (0..random.below(n)).map(|ix| row(random, ix)).collect()
    };
    let when = |random: &mut Random| match random.below(3) {
        0 => json!({"mode": "a"}),
        1 => json!({"mode": "b", "strict": "yes"}),
        _ => json!({}),
    };
    let limit =
        rows(random, 3, &|r, n| json!({"id": format!("limit{n}"), "actions": few(r), "levels": r.some(&levels)}));
    let baseline = rows(random, 4, &|r, _| {
        let mut row = json!({"principal": r.pick(&["anyone", "authenticated"]), "actions": few(r), "when": when(r)});
        if r.one_in(2) {
            row["visibility"] = (*r.pick(&["public", "protected", "private"])).into();
        }
        if r.one_in(3) {
            row["level"] = r.pick(&levels).clone().into();
        }
        row
    });
    let ceiling = rows(random, 4, &|r, n| {
        let mut row = json!({"id": format!("ceiling{n}"), "actions": few(r), "when": when(r)});
        if r.one_in(2) {
            row["exempt_roles"] = json!([role(r), role(r)]);
        }
        if r.one_in(3) {
            row["exempt_kind"] = "personal".into();
            row["exempt_owner"] = "self".into();
        }
        row
    });
    let mut rules = json!({});
    for key in ["producer_role", "consumer_role", "admin_at_least"] {
        if random.one_in(2) {
            rules[key] = role(random).into();
        }
    }
    if random.one_in(2) {
        rules["last_holder_stays"] = json!([role(random)]);
    }
    if random.one_in(2) {
        rules["personal_project"] = "person.created".into();
        rules["personal_role"] = role(random).into();
    }
    let on_projects: Vec<String> = roles
        .iter()
        .filter(|(_, role)| role["at"].as_array().unwrap().contains(&json!("project")))
        .map(|(name, _)| name.clone())
        .collect();
    if !on_projects.is_empty() && random.one_in(2) {
        rules["creator_role"] = random.pick(&on_projects).clone().into();
    }
    json!({
        "schema": 1, "name": "odd", "levels": levels, "roles": roles, "limit": limit, "baseline": baseline,
        "ceiling": ceiling, "rules": rules,
        "settings": {"mode": {"values": ["a", "b"], "default": "a"}, "strict": {"values": ["yes", "no"], "default": "no"}},
        "kinds": {
            "standard": {"visibility": ["private", "protected", "public"], "default": "private"},
            "personal": {"visibility": ["private", "public"], "default": random.pick(&["private", "public"])},
            "global": {"visibility": ["protected", "public"], "default": "public"},
        },
        "operations": {
            "pull": ["image.get"], "push": ["image.set", "image.get"], "delete": ["image.drop"],
            "all": actions, "people": ["member.set", "member.get"],
        },
        "registry": {"pull": "pull", "push": "push", "delete": "delete"},
        "api": {"binding.set": "people", "binding.remove": "member.set", "project.create": "plan.set", "project.update": "plan.drop"},
    })
}

pub(super) struct World {
    pub(super) history: History,
}

/// A profile and settings that somebody could configure, as their events say them.
pub(super) fn configuration(random: &mut Random) -> (Value, Value) {
    let profile = any_profile(random);
    let settings = settings(random, &profile);
    (profile, settings)
}

fn any_profile(random: &mut Random) -> Value {
    match random.below(7) {
        n @ 0..=4 => bundled(BUNDLED[n].0),
        _ => odd(random),
    }
}

fn window(random: &mut Random) -> (Value, Value) {
    let day = |n: usize| Value::from((noon() + chrono::Duration::days(i64::try_from(n).unwrap() - 3)).to_rfc3339());
    match random.below(6) {
        0 => (day(random.below(4)), Value::Null),
        1 => (Value::Null, day(2 + random.below(4))),
        2 => (day(random.below(3)), day(3 + random.below(4))),
        _ => (Value::Null, Value::Null),
    }
}

pub(super) const PEOPLE: [(&str, &str, usize); 3] = [("flexnet", "p", 4), ("corp", "q", 3), ("hub", "h", 2)];

/// Somebody of some source.
fn person(random: &mut Random) -> (&'static str, String) {
    let (source, prefix, n) = *random.pick(&PEOPLE);
    (source, random.id(prefix, n))
}

fn group(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("hub/{}", random.id("g", 2)),
        1 => format!("local/{}", random.id("t", 3)),
        _ => format!("corp/{}", random.id("g", 4)),
    }
}

fn principal(random: &mut Random) -> Value {
    match random.below(6) {
        0 => json!({"service": random.id("s", 2)}),
        1 | 2 => json!({"group": group(random)}),
        _ => {
            let (source, id) = person(random);
            json!({"user": format!("{source}/{id}")})
        }
    }
}

fn settings(random: &mut Random, profile: &Value) -> Value {
    let mut switches = serde_json::Map::new();
    for (name, switch) in profile["settings"].as_object().into_iter().flatten() {
        if !random.one_in(3) {
            let said = if random.one_in(12) {
                json!("nonsense")
            } else {
                random.pick(switch["values"].as_array().unwrap()).clone()
            };
            switches.insert(name.clone(), said);
        }
    }
    let mut sources = json!({});
    for source in ["flexnet", "corp", "hub"] {
        sources[source] = json!({"order": "observed", "authoritative": source == "corp"});
    }
    json!({
        "customer_sub_accounts": random.one_in(2), "bindings_on_managed": !random.one_in(3), "switches": switches,
        "sources": sources,
    })
}

/// What a random source or command says next.
fn said(random: &mut Random, profile: &Value) -> (&'static str, &'static str, Value) {
    let on = !random.one_in(5);
    let or = |yes: &'static str, no: &'static str| if on { yes } else { no };
    let account = |r: &mut Random| if r.one_in(4) { Value::Null } else { r.id("a", 4).into() };
    let author = |r: &mut Random| match r.below(4) {
        0 => {
            let (source, id) = person(r);
            Value::from(format!("user:{source}/{id}"))
        }
        _ => Value::from("admin key"),
    };
    let folder = |r: &mut Random| if r.one_in(3) { Value::Null } else { r.id("c", 5).into() };
    match random.below(47) {
        0 | 1 => {
            let mut data = json!({"account": random.id("a", 4)});
            if on {
                data["kind"] = "customer".into();
                data["parent"] = account(random);
            }
            ("flexnet", or("account.upserted", "account.removed"), data)
        }
        2..=5 => {
            let (source, id) = person(random);
            if random.one_in(9) {
                return (source, "person.removed", json!({"person": id}));
            }
            let account = if source == "flexnet" { account(random) } else { Value::Null };
            (source, "person.upserted", json!({"person": id, "account": account, "active": on}))
        }
        6 | 7 => {
            let data = json!({"person": random.id("p", 4), "permission": "view_and_manage_download_packages"});
            ("flexnet", or("permission.granted", "permission.revoked"), data)
        }
        8 => ("flexnet", or("product.upserted", "product.removed"), json!({"product": random.id("d", 2)})),
        9 | 10 => {
            let package = random.id("k", 3);
            if random.one_in(7) {
                return ("flexnet", "package.removed", json!({"package": package}));
            }
            let (from, until) = window(random);
            let name = if random.one_in(6) { "p1".to_owned() } else { package.clone() };
            let data = json!({"package": package, "producer": random.id("a", 4), "container_delivery": on,
                "project_name": name, "effective_from": from, "effective_until": until});
            ("flexnet", "package.upserted", data)
        }
        11 => {
            let data = json!({"package": random.id("k", 3), "product": random.id("d", 2)});
            ("flexnet", or("package.product.mapped", "package.product.unmapped"), data)
        }
        12 | 13 => {
            if random.one_in(9) {
                return ("flexnet", "entitlement.removed", json!({"entitlement": random.id("e", 3)}));
            }
            let state = random.pick(&["active", "active", "active", "draft", "inactive"]);
            (
                "flexnet",
                "entitlement.upserted",
                json!({"entitlement": random.id("e", 3), "account": random.id("a", 4), "state": state}),
            )
        }
        14 | 15 => {
            let line = random.id("l", 4);
            if !on {
                return ("flexnet", "entitlement.line.removed", json!({"line": line}));
            }
            let (starts, ends) = window(random);
            let data = json!({"line": line, "entitlement": random.id("e", 3), "product": random.id("d", 2), "starts": starts, "ends": ends});
            ("flexnet", "entitlement.line.upserted", data)
        }
        16 => {
            let data = json!({"entitlement": random.id("e", 3), "person": random.id("p", 4)});
            (
                "flexnet",
                if random.one_in(3) { "entitlement.person.unassigned" } else { "entitlement.person.assigned" },
                data,
            )
        }
        17 => {
            let ((a, b), (c, d)) = (person(random), person(random));
            let data =
                json!({"persons": [{"source": a, "person": b}, {"source": c, "person": d}], "author": author(random)});
            if (a, &b) == (c, &d) {
                said(random, profile)
            } else {
                ("local", or("identity.linked", "identity.unlinked"), data)
            }
        }
        18 | 19 => {
            let key = group(random);
            let (source, id) = key.split_once('/').unwrap();
            let source = *["corp", "hub", "local"].iter().find(|known| **known == source).unwrap();
            (source, or("group.upserted", "group.removed"), json!({"group": id}))
        }
        20..=25 => {
            let key = group(random);
            let (source, id) = key.split_once('/').unwrap();
            let source = *["corp", "hub", "local"].iter().find(|known| **known == source).unwrap();
            let member = match (source, random.below(5)) {
                ("local", 0) => json!({"service": random.id("s", 2)}),
                ("local", 1 | 2) => json!({"group": group(random)}),
                ("local", _) => {
                    let (source, id) = person(random);
                    json!({"person": format!("{source}/{id}")})
                }
                ("hub", 0 | 1) => json!({"group": random.id("g", 2)}),
                ("hub", _) => json!({"person": random.id("h", 2)}),
                (_, 0) => json!({"service": "s0"}),
                (_, 1 | 2) => json!({"group": random.id("g", 4)}),
                (_, _) => json!({"person": random.id("q", 3)}),
            };
            (source, or("group.member.added", "group.member.removed"), json!({"group": id, "member": member}))
        }
        26 | 27 => (
            "local",
            if random.one_in(4) { "service.removed" } else { "service.created" },
            json!({"service": random.id("s", 2), "author": author(random)}),
        ),
        28 | 29 => {
            let id = random.id("c", 5);
            if random.one_in(5) {
                return ("local", "folder.removed", json!({"folder": id}));
            }
            let levels = profile["levels"].as_array().unwrap();
            let data =
                json!({"folder": id, "kind": random.pick(levels), "parent": folder(random), "author": author(random)});
            ("local", "folder.upserted", data)
        }
        30..=33 => {
            let id = random.id("x", 4);
            if random.one_in(6) {
                return ("local", "project.deleted", json!({"project": id, "author": author(random)}));
            }
            let name = if random.one_in(5) { random.id("p", 4) } else { id.clone() };
            let creator = if random.one_in(2) {
                Value::Null
            } else {
                let (s, p) = person(random);
                format!("{s}/{p}").into()
            };
            let kind = if random.one_in(8) { "global" } else { "standard" };
            let visibility = random.pick(&["private", "private", "protected", "public"]);
            let data = json!({"project": id, "name": name, "kind": kind, "visibility": visibility,
                "folder": folder(random), "creator": creator, "author": author(random)});
            ("local", if random.one_in(2) { "project.created" } else { "project.updated" }, data)
        }
        34..=41 => {
            let role = if random.one_in(5) {
                (*random.pick(&["api:auditor", "api:project_admin", "api:administrator", "api:sender"])).to_owned()
            } else {
                let roles: Vec<&String> = profile["roles"].as_object().unwrap().keys().collect();
                (*random.pick(&roles)).clone()
            };
            let scope = match random.below(6) {
                0 => json!("root"),
                1 | 2 => json!({"folder": random.id("c", 5)}),
                3 => json!({"project": format!("flexnet/{}", random.id("k", 3))}),
                _ => json!({"project": format!("local/{}", random.id("x", 4))}),
            };
            let mut data =
                json!({"principal": principal(random), "role": role, "scope": scope, "author": author(random)});
            if on {
                let (starts, ends) = window(random);
                data["starts"] = starts;
                data["ends"] = ends;
            }
            ("local", or("binding.set", "binding.removed"), data)
        }
        42 if random.one_in(24) => ("local", "log.reader.raised", json!({"reader": 2, "version": "0.1.0"})),
        42 if random.one_in(6) => {
            ("local", "log.clock.mended", json!({"from": noon().to_rfc3339(), "author": author(random)}))
        }
        42 => ("local", "settings.set", settings(random, profile)),
        43..=45 => {
            let name = random.id("n", 2);
            if random.one_in(2) {
                return ("local", "user.name.freed", json!({"username": name, "author": author(random)}));
            }
            let (source, id) = person(random);
            let data = json!({"username": name, "user": format!("{source}/{id}"), "author": author(random)});
            ("local", "user.name.given", data)
        }
        _ => {
            let (which, group) = (random.below(12), random.id("t", 3));
            let (kind, source) = match which {
                0 => ("source.retired", "hub"),
                1 => ("source.suspended", "hub"),
                2 | 3 => ("source.suspended", "corp"),
                4 => ("source.suspended", "flexnet"),
                5 | 6 => ("source.resumed", "corp"),
                7 | 8 => ("source.resumed", "flexnet"),
                _ => return ("local", "group.upserted", json!({"group": group})),
            };
            ("local", kind, json!({"source": source}))
        }
    }
}

/// A command that takes back, or says otherwise, what one said before.
fn taken_back(random: &mut Random, earlier: &[(&'static str, Value)]) -> Option<(&'static str, &'static str, Value)> {
    let bindings: Vec<&Value> =
        earlier.iter().filter(|(kind, _)| *kind == "binding.set").map(|(_, data)| data).collect();
    let mut data = (*bindings.get(random.below(bindings.len()))?).clone();
    if random.one_in(3) {
        (data["starts"], data["ends"]) = window(random);
        return Some(("local", "binding.set", data));
    }
    let fields = data.as_object_mut()?;
    fields.remove("starts");
    fields.remove("ends");
    Some(("local", "binding.removed", data))
}

impl World {
    /// The world of a seed: a profile, the things that there are, then anything.
    pub(super) fn new(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let mut profile = any_profile(random);
        let mut history = History::default();
        let mut say = |source: &str, kind: &str, data: &Value| history.say(source, kind, None, &data.to_string());
        say("local", "profile.set", &profile);
        say("local", "settings.set", &settings(random, &profile));
        for (source, prefix, n) in PEOPLE {
            for ix in 0..n {
                say(
                    source,
                    "person.upserted",
                    &json!({"person": format!("{prefix}{ix}"), "account": null, "active": true}),
                );
            }
        }
        let mut parents: Vec<(usize, String)> = Vec::new();
        for n in 0..5 {
            let levels = profile["levels"].as_array().unwrap();
            let at = random.below(levels.len() - 1);
            let above = parents.iter().rev().find(|(level, _)| *level < at).map(|(_, id)| id.clone());
            say("local", "folder.upserted", &json!({"folder": format!("c{n}"), "kind": levels[at], "parent": above}));
            parents.push((at, format!("c{n}")));
        }
        for n in 0..2 {
            say("local", "service.created", &json!({"service": format!("s{n}")}));
            let folder = if random.one_in(2) { Value::Null } else { format!("c{}", random.below(5)).into() };
            say(
                "local",
                "project.created",
                &json!({"project": format!("x{n}"), "name": format!("x{n}"), "kind": "standard",
                "visibility": random.pick(&["private", "public"]), "folder": folder, "creator": "flexnet/p0"}),
            );
        }
        for (source, prefix, n) in [("corp", "g", 4), ("hub", "g", 2), ("local", "t", 3)] {
            for ix in 0..n {
                say(source, "group.upserted", &json!({"group": format!("{prefix}{ix}")}));
            }
        }
        for n in 0..3 {
            say(
                "flexnet",
                "account.upserted",
                &json!({"account": format!("a{n}"), "kind": "producer", "parent": if n > 0 { json!(format!("a{}", n - 1)) } else { Value::Null }}),
            );
        }
        for n in 0..2 {
            let data = json!({"package": format!("k{n}"), "producer": "a0", "container_delivery": true, "project_name": format!("k{n}")});
            say("flexnet", "package.upserted", &data);
            say("flexnet", "product.upserted", &json!({"product": format!("d{n}")}));
            say("flexnet", "package.product.mapped", &json!({"package": format!("k{n}"), "product": format!("d{n}")}));
        }
        for (person, account) in [("p0", "a1"), ("p1", "a2"), ("p2", "a2")] {
            say("flexnet", "person.upserted", &json!({"person": person, "account": account, "active": true}));
        }
        say(
            "flexnet",
            "permission.granted",
            &json!({"person": "p0", "permission": "view_and_manage_download_packages"}),
        );
        say("flexnet", "entitlement.upserted", &json!({"entitlement": "e0", "account": "a2", "state": "active"}));
        let line = json!({"line": "l0", "entitlement": "e0", "product": "d0", "starts": null, "ends": noon() + chrono::Duration::days(1)});
        say("flexnet", "entitlement.line.upserted", &line);
        let mut earlier = Vec::new();
        for _ in 0..30 + random.below(90) {
            if random.one_in(60) {
                profile = any_profile(random);
                say("local", "profile.set", &profile);
            }
            let again = random.one_in(6).then(|| taken_back(random, &earlier)).flatten();
            let (source, kind, data) = again.unwrap_or_else(|| said(random, &profile));
            say(source, kind, &data);
            earlier.push((kind, data));
        }
        add_links(&mut history, &mut Random::new(seed ^ 0x11_4b));
        Self { history }
    }
}

/// Links of any persons in between, and names for those who are linked: chains, of persons who are stated later, or never,
/// or who are gone. Every second world has none but those that came by themselves.
fn add_links(history: &mut History, random: &mut Random) {
    if random.one_in(2) {
        return;
    }
    if random.one_in(2) {
        let late = |event: &NewEvent| {
            PEOPLE.iter().any(|(_, prefix, n)| *event.subject == format!("person/{prefix}{}", n - 1))
        };
        let mut left_out = PEOPLE.len();
        history.0.retain(|event| {
            let leaves = left_out > 0 && late(event);
            left_out -= usize::from(leaves);
            !leaves
        });
    }
    let key = |(source, person): &(&str, String)| json!({"source": source, "person": person});
    let mut pairs = vec![[person(random), person(random)]];
    for n in 0..4 + random.below(12) {
        let [one, other] = random.pick(&pairs).clone();
        let name = random.id("n", 2);
        let (kind, mut data) = match random.below(8) {
            0 => ("identity.unlinked", json!({"persons": [key(&one), key(&other)]})),
            1 | 2 => ("user.name.given", json!({"username": name, "user": format!("{}/{}", one.0, one.1)})),
            3 => ("user.name.freed", json!({"username": name})),
            _ => {
                pairs.push([other.clone(), person(random)]);
                ("identity.linked", json!({"persons": pairs.last().map(|pair| pair.each_ref().map(key))}))
            }
        };
        if data["persons"][0] == data["persons"][1] && data["persons"] != Value::Null {
            continue;
        }
        data["author"] = "admin key".into();
        let mut told = History::default();
        told.say("local", kind, None, &data.to_string());
        // Behind profile and settings.
        let at = 2 + random.below(history.0.len() - 1);
        for mut event in told.0 {
            event.key.id = format!("link{n}").into();
            history.0.insert(at, event);
        }
    }
}

/// Roster and reference of one history. The reference is told what was refused and parked, and works nothing of that
/// out itself.
pub(super) fn both(events: &[NewEvent]) -> (Roster, Reference) {
    let mut roster = Roster::new(LogId([7; 8]));
    let mut reference = Reference::new(bundled("revenera"), api());
    for (position, event) in (1..).zip(events) {
        let record = recorded(position, event);
        let folded = roster.apply(&record);
        if !matches!(folded.effect, Effect::Refused(_) | Effect::Parked(_)) {
            reference.hear(event, record.recorded_at.timestamp_micros());
        }
    }
    (roster, reference)
}
