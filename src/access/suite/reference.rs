//! The rules a second time, word for word from the design and slow on purpose: every subject's last word in one map,
//! groups by recursion, the profile as the tables of its file. Shares nothing with the roster but the words of events.
//! Long because it is one account of all the rules, to be read in one piece.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{Body, NewEvent};
use serde_json::{Map, Value};

use super::tables::{Rules, plain, strings, text, window};
/// Actions by name, each with the instant (microseconds) at which the yes ends.
pub(super) type Allowed = BTreeMap<String, i64>;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Anyone,
    /// Any person of the user, `source/id`.
    User(String),
    Service(String),
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Where {
    Root,
    Folder(String),
    /// `source/package` or `local/id`.
    Project(String),
    /// Of the user of this person.
    Personal(String),
}

/// A role that is held: its name in the profile, the level at which it was given, until when.
type Held = (String, usize, i64);

/// Everything that was said and took effect.
pub(super) struct Reference {
    access: Rules,
    api: Rules,
    settings: Value,
    /// The last word on each subject of each source, `None` where it is that the thing is gone.
    last: BTreeMap<(String, String), Option<Value>>,
    /// What was last said of folders and projects, also of those that are gone.
    ever: BTreeMap<String, Value>,
    /// Persons in the order in which they were first stated.
    stated: Vec<String>,
    retired: BTreeSet<String>,
    suspended: BTreeSet<String>,
    narrowed: BTreeSet<(String, String)>,
    /// Project names that were ever taken.
    names: BTreeSet<String>,
    /// Persons that were given another user name than their id, which is what these worlds ask for.
    called: BTreeMap<String, String>,
}

impl Reference {
    pub(super) fn new(access: Value, api: Value) -> Self {
        Self {
            access: Rules::new(access),
            api: Rules::new(api),
            settings: Value::Object(Map::new()),
            last: BTreeMap::new(),
            ever: BTreeMap::new(),
            stated: Vec::new(),
            retired: BTreeSet::new(),
            suspended: BTreeSet::new(),
            narrowed: BTreeSet::new(),
            names: BTreeSet::new(),
            called: BTreeMap::new(),
        }
    }

    pub(super) fn rules(&self, api: bool) -> &Rules {
        if api { &self.api } else { &self.access }
    }

    /// One event that was not refused and not parked.
    pub(super) fn hear(&mut self, event: &NewEvent, now: i64) {
        let source = event.key.source.to_string();
        if self.retired.contains(&source) {
            return;
        }
        let kind = event.kind.trim_start_matches("rollcall.").trim_end_matches(".v1");
        let data: Value = serde_json::from_str(&event.data).unwrap();
        let key = (source.clone(), event.subject.to_string());
        let ends = [".removed", ".revoked", ".unmapped", ".unassigned", ".deleted", ".unlinked"];
        if ends.iter().any(|end| kind.ends_with(end)) {
            // What is gone keeps nothing; that an entitlement was narrowed stays.
            if kind == "entitlement.person.unassigned" {
                self.narrowed.insert((source.clone(), text(&data, "entitlement").unwrap().to_owned()));
            }
            self.last.insert(key, None);
            if source == "local" {
                self.end_what_rests_on(kind, &data);
            }
            return;
        }
        match kind {
            "settings.set" => self.settings = data,
            "profile.set" => self.access = Rules::new(data),
            "source.retired" => {
                let gone = text(&data, "source").unwrap().to_owned();
                self.last.iter_mut().filter(|((of, _), _)| *of == gone).for_each(|(_, state)| *state = None);
                self.retired.insert(gone);
            }
            "source.suspended" => drop(self.suspended.insert(text(&data, "source").unwrap().to_owned())),
            "source.resumed" => drop(self.suspended.remove(text(&data, "source").unwrap())),
            "binding.set" => self.bind(data, now),
            _ => {
                match kind {
                    "person.upserted" => {
                        let person = format!("{source}/{}", text(&data, "person").unwrap());
                        if !self.stated.contains(&person) {
                            self.stated.push(person);
                        }
                    }
                    "package.upserted" if data["container_delivery"] == true => {
                        let name = text(&data, "project_name").or(text(&data, "package")).unwrap();
                        self.names.insert(name.to_owned());
                    }
                    "entitlement.person.assigned" => {
                        self.narrowed.insert((source.clone(), text(&data, "entitlement").unwrap().to_owned()));
                    }
                    "user.name.given" => {
                        let (name, user) = (text(&data, "username").unwrap(), text(&data, "user").unwrap());
                        self.called.retain(|_, called| called != name);
                        self.called.insert(user.to_owned(), name.to_owned());
                    }
                    "project.created" | "project.updated" => {
                        self.names.insert(text(&data, "name").unwrap().to_owned());
                    }
                    _ => {}
                }
                let (created, project) = (kind == "project.created", data.clone());
                if source == "local" {
                    self.ever.insert(event.subject.to_string(), data.clone());
                }
                self.last.insert(key, Some(data));
                // The creator has the profile's role for it in the same step.
                if let (true, Some(creator), Some(role)) =
                    (created, text(&project, "creator"), self.access.rule("creator_role"))
                {
                    let scope = format!("local/{}", text(&project, "project").unwrap());
                    let role = role.to_owned();
                    let data = serde_json::json!({"principal": {"user": creator}, "role": role, "scope": {"project": scope}, "author": "test"});
                    self.keep(data);
                }
            }
        }
    }

    /// With a service, a group that is kept here and a project ends what it held, what was given on it, and who was in
    /// it.
    fn end_what_rests_on(&mut self, kind: &str, data: &Value) {
        let local = |noun: &str| format!("local/{}", text(data, noun).unwrap_or_default());
        for ((source, subject), state) in &mut self.last {
            let Some(said) = state.as_ref().filter(|_| source == "local") else { continue };
            let binding = subject.starts_with("binding/");
            let rests = match kind {
                "service.removed" if binding => said["principal"]["service"] == data["service"],
                "service.removed" => said["member"]["service"] == data["service"],
                "group.removed" if binding => said["principal"]["group"] == *local("group"),
                "group.removed" => {
                    said["member"]["group"] == *local("group")
                        || said["member"].is_object() && said["group"] == data["group"]
                }
                "project.deleted" => binding && said["scope"]["project"] == *local("project"),
                _ => false,
            };
            if rests {
                *state = None;
            }
        }
    }

    fn keep(&mut self, data: Value) {
        let subject = Body::parse("rollcall.binding.set.v1", &data.to_string()).unwrap().subject();
        self.last.insert(("local".to_owned(), subject), Some(data));
    }

    /// An administrator is not below the least role where he or she is a member.
    fn bind(&mut self, data: Value, now: i64) {
        let Some(least) = self.access.rule("admin_at_least").map(str::to_owned) else { return self.keep(data) };
        if data["scope"] != "root" {
            let raised = self.raised(&data, &least, now);
            let covered = |role: &str| self.access.role_actions(&least).is_superset(&self.access.role_actions(role));
            let whole = |raised: &Value| {
                let ((a, b), (c, d)) = (window(raised, "starts", "ends"), window(&data, "starts", "ends"));
                a <= c && b >= d
            };
            if !raised.as_ref().is_some_and(whole) || !covered(text(&data, "role").unwrap()) {
                self.keep(data);
            }
            raised.into_iter().for_each(|raised| self.keep(raised));
            return;
        }
        let who = text(&data["principal"], "user").map(str::to_owned);
        self.keep(data);
        let Some(who) = who.filter(|who| self.administrator(who, now).is_some()) else { return };
        let persons = self.user(&who);
        let theirs: Vec<Value> = self
            .bindings()
            .filter(|row| text(&row["principal"], "user").is_some_and(|who| persons.contains(&who.to_owned())))
            .filter(|row| row["scope"] != "root" && now < window(row, "starts", "ends").1)
            .cloned()
            .collect();
        for row in theirs {
            if let Some(raised) = self.raised(&row, &least, now) {
                self.keep(raised);
            }
        }
    }

    fn raised(&self, data: &Value, least: &str, now: i64) -> Option<Value> {
        let who = text(&data["principal"], "user")?;
        let role = text(data, "role")?;
        let below = !role.starts_with("api:")
            && !self.access.role_actions(role).is_superset(&self.access.role_actions(least))
            && self.access.grantable(least, self.level(false, &scope(&data["scope"])?)?);
        if !below {
            return None;
        }
        // For as long as both run.
        let administration = self.administrator(who, now)?;
        let mut raised = data.clone();
        raised["role"] = Value::from(least);
        let ((a, b), (c, d)) = (window(administration, "starts", "ends"), window(data, "starts", "ends"));
        let keep = |which: &Value, key: &str| which.get(key).cloned().unwrap_or(Value::Null);
        raised["starts"] = keep(if a > c { administration } else { data }, "starts");
        raised["ends"] = keep(if b < d { administration } else { data }, "ends");
        let (starts, ends) = window(&raised, "starts", "ends");
        if starts >= ends {
            return None;
        }
        // What is held already is not cut short.
        let mine = self.bindings().find(|row| {
            row["principal"] == data["principal"] && row["scope"] == data["scope"] && row["role"] == raised["role"]
        });
        if let Some(mine) = mine {
            let (a, b) = window(mine, "starts", "ends");
            if b < starts || ends < a {
                return None;
            }
            raised["starts"] = keep(if a <= starts { mine } else { &raised }, "starts");
            raised["ends"] = keep(if b >= ends { mine } else { &raised }, "ends");
        }
        Some(raised)
    }

    /// The binding that makes somebody an administrator now; of several the one that runs longest.
    fn administrator(&self, who: &str, now: i64) -> Option<&Value> {
        let persons = self.user(who);
        let rows = self.bindings().filter(|row| {
            let everything = text(row, "role").and_then(|role| self.access.role(role)).is_some_and(|(name, role)| {
                strings(role.get("actions")).contains(&"*".to_owned()) && self.access.grantable(name, 0)
            });
            let (starts, ends) = window(row, "starts", "ends");
            row["scope"] == "root"
                && starts <= now
                && now < ends
                && everything
                && text(&row["principal"], "user").is_some_and(|who| persons.contains(&who.to_owned()))
        });
        rows.max_by_key(|row| {
            let (starts, ends) = window(row, "starts", "ends");
            (ends, std::cmp::Reverse(starts))
        })
    }

    fn get(&self, source: &str, subject: &str) -> Option<&Value> {
        self.last.get(&(source.to_owned(), subject.to_owned()))?.as_ref()
    }

    fn all<'a>(&'a self, noun: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.last.iter().filter_map(move |((source, subject), state)| {
            (subject.split('/').next() == Some(noun)).then_some((source.as_str(), state.as_ref()?))
        })
    }

    fn bindings(&self) -> impl Iterator<Item = &Value> {
        self.last
            .iter()
            .filter(|((_, subject), _)| subject.starts_with("binding/"))
            .filter_map(|(_, state)| state.as_ref())
    }

    /// All persons that links make one user with this one.
    pub(super) fn user(&self, person: &str) -> Vec<String> {
        let mut set = vec![person.to_owned()];
        let mut next = 0;
        while next < set.len() {
            for (_, link) in self.all("link") {
                let ends: Vec<String> = link["persons"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| format!("{}/{}", text(one, "source").unwrap(), text(one, "person").unwrap()))
                    .collect();
                if ends.contains(&set[next]) {
                    let new: Vec<String> =
                        ends.into_iter().filter(|one| self.stated.contains(one) && !set.contains(one)).collect();
                    set.extend(new);
                }
            }
            next += 1;
        }
        set
    }

    fn person(&self, key: &str) -> Option<&Value> {
        let (source, id) = key.split_once('/')?;
        self.get(source, &format!("person/{id}"))
    }

    fn live(&self, key: &str) -> bool {
        self.person(key).is_some_and(|person| person["active"] == true) && !self.is_suspended(key)
    }

    /// Whether the source of a `source/id` is suspended.
    fn is_suspended(&self, key: &str) -> bool {
        self.suspended.contains(key.split('/').next().unwrap())
    }

    fn shut_out(&self, persons: &[String]) -> bool {
        let authoritative = |key: &String| {
            let source = key.split('/').next().unwrap();
            self.settings["sources"][source]["authoritative"] == true
        };
        !persons.iter().any(|one| self.live(one))
            || persons
                .iter()
                .any(|one| authoritative(one) && self.person(one).is_some_and(|row| row["active"] == false))
    }

    fn open(&self, place: &Where) -> bool {
        match place {
            Where::Root => true,
            Where::Folder(id) => self.get("local", &format!("folder/{id}")).is_some(),
            Where::Project(key) => self.project(key).is_some(),
            Where::Personal(person) => {
                let name = |one: &String| match self.called.get(one) {
                    Some(given) => given.clone(),
                    None => one.split_once('/').unwrap().1.to_owned(),
                };
                self.access.rule("personal_project").is_some()
                    && !self.shut_out(&self.user(person))
                    && self.user(person).iter().any(|one| !self.names.contains(&name(one)))
            }
        }
    }

    /// What a project's source or command last said, while it is a project.
    fn project(&self, key: &str) -> Option<&Value> {
        let (source, id) = key.split_once('/')?;
        if source == "local" {
            return self.get("local", &format!("project/{id}"));
        }
        let package = self.get(source, &format!("package/{id}")).filter(|_| !self.is_suspended(key));
        package.filter(|package| package["container_delivery"] == true)
    }

    /// The place itself and everything above it.
    fn path(&self, place: &Where) -> Vec<Where> {
        let mut path = vec![place.clone()];
        let mut above = match place {
            // Also of a project that is no more: Rollcall itself can still be asked about it.
            Where::Project(key) => key
                .strip_prefix("local/")
                .and_then(|id| text(self.ever.get(&format!("project/{id}"))?, "folder"))
                .map(str::to_owned),
            Where::Folder(id) => self.parent(id),
            Where::Root | Where::Personal(_) => None,
        };
        while let Some(id) = above {
            above = self.parent(&id);
            path.push(Where::Folder(id));
        }
        path.push(Where::Root);
        path
    }

    fn parent(&self, folder: &str) -> Option<String> {
        text(self.ever.get(&format!("folder/{folder}"))?, "parent").map(str::to_owned)
    }

    fn level(&self, api: bool, place: &Where) -> Option<usize> {
        let rules = self.rules(api);
        match place {
            Where::Root => Some(0),
            Where::Project(_) | Where::Personal(_) => Some(rules.project_level()),
            Where::Folder(_) if api => rules.level("folder"),
            Where::Folder(id) => {
                let kind = text(self.ever.get(&format!("folder/{id}"))?, "kind")?;
                rules.level(kind).filter(|level| *level < rules.project_level())
            }
        }
    }

    /// Every group that a holder is in, to any depth; of one who is not there those that are kept here.
    fn groups(&self, holder: &str, there: bool, seen: &mut BTreeSet<String>) {
        for (source, row) in self.all("member") {
            let (kind, id) = row["member"].as_object().unwrap().iter().next().unwrap();
            let id = id.as_str().unwrap();
            let member = match (kind.as_str(), source) {
                ("service", "local") => format!("service:{id}"),
                // A source knows no service of ours.
                ("service", _) => continue,
                ("person", "local") => format!("user:{id}"),
                ("group", "local") => format!("group:{id}"),
                ("person", _) => format!("user:{source}/{id}"),
                (_, _) => format!("group:{source}/{id}"),
            };
            let group = format!("{source}/{}", text(row, "group").unwrap());
            let stands = self.get(source, &format!("group/{}", text(row, "group").unwrap())).is_some()
                && !self.is_suspended(&group);
            if member == holder && (there || source == "local") && stands && seen.insert(format!("group:{group}")) {
                self.groups(&format!("group:{group}"), true, seen);
            }
        }
    }

    fn held(&self, api: bool, who: &Who, place: &Where, now: i64) -> Vec<Held> {
        let rules = self.rules(api);
        let mut found: Vec<Held> = Vec::new();
        let mut holders = BTreeSet::new();
        match who {
            Who::Anyone => {}
            Who::User(person) => {
                // What is given by hand is the user's; what a directory says of a group is the person's.
                let persons = self.user(person);
                let source = |person: &str| person.split('/').next().unwrap().to_owned();
                let stands_for = |one: &str, gone: &str| {
                    let of = source(one);
                    of == source(gone) || self.settings["sources"][&of]["authoritative"] == true
                };
                let held = |gone: &String| {
                    self.live(gone) || persons.iter().any(|one| self.live(one) && stands_for(one, gone))
                };
                for person in persons.iter().filter(|person| held(person)) {
                    let holder = format!("user:{person}");
                    self.groups(&holder, self.live(person), &mut holders);
                    holders.insert(holder);
                }
            }
            Who::Service(id) => {
                let holder = format!("service:{id}");
                self.groups(&holder, true, &mut holders);
                holders.insert(holder);
            }
        }
        let path = self.path(place);
        for row in self.bindings() {
            let (kind, id) = row["principal"].as_object().unwrap().iter().next().unwrap();
            let holder = format!("{kind}:{}", id.as_str().unwrap());
            let (from, until) = window(row, "starts", "ends");
            let role = text(row, "role").unwrap();
            let role = match (api, role.strip_prefix("api:")) {
                (true, Some(role)) => role,
                (false, None) => role,
                _ => continue,
            };
            let Some(on) = scope(&row["scope"]) else { continue };
            let (Some(level), Some((name, _))) = (self.level(api, &on), rules.role(role)) else { continue };
            if holders.contains(&holder)
                && from <= now
                && now < until
                && path.contains(&on)
                && rules.grantable(name, level)
            {
                found.push((name.to_owned(), level, until));
            }
        }
        let (Who::User(person), false) = (who, api) else { return found };
        let persons = self.user(person);
        match place {
            Where::Personal(owner) if persons.contains(owner) => {
                if let Some((name, role)) = rules.rule("personal_role").and_then(|role| rules.role(role)) {
                    let level = strings(role.get("at")).iter().filter_map(|at| rules.level(at)).max().unwrap();
                    found.push((name.to_owned(), level, i64::MAX));
                }
            }
            Where::Project(key) if !key.starts_with("local/") => {
                let (source, package) = key.split_once('/').unwrap();
                let role = |setting: &str, fallback: &str| {
                    let name = text(&self.settings, setting).or(rules.rule(setting)).unwrap_or(fallback).to_owned();
                    rules.role(&name).map(|(name, _)| name.to_owned())
                };
                let produced = persons.iter().any(|person| self.produces(source, person, package));
                if let (Some(role), true) = (role("producer_role", "Developer"), produced) {
                    found.push((role, rules.project_level(), i64::MAX));
                }
                let until = persons.iter().filter_map(|person| self.buys(source, person, package, now)).max();
                if let (Some(role), Some(until)) = (role("consumer_role", "Guest"), until) {
                    found.push((role, rules.project_level(), until));
                }
            }
            _ => {}
        }
        found
    }

    fn account(&self, source: &str, id: &str) -> Option<&Value> {
        self.get(source, &format!("account/{id}"))
    }

    fn above(&self, source: &str, id: &str) -> Option<String> {
        Some(text(self.account(source, id)?, "parent")?.to_owned())
    }

    fn in_cycle(&self, source: &str, id: &str) -> bool {
        let (mut seen, mut at) = (BTreeSet::new(), id.to_owned());
        while let Some(above) = self.above(source, &at) {
            if above == id {
                return true;
            }
            if !seen.insert(above.clone()) {
                return false;
            }
            at = above;
        }
        false
    }

    /// The account and those that it is a sub-account of.
    fn line_up(&self, source: &str, id: &str) -> BTreeSet<String> {
        let (mut line, mut at) = (BTreeSet::new(), Some(id.to_owned()));
        while let Some(id) = at.filter(|id| self.account(source, id).is_some() && line.insert(id.clone())) {
            at = if self.in_cycle(source, &id) { None } else { self.above(source, &id) };
        }
        line
    }

    /// Rule 2.
    fn produces(&self, source: &str, person: &str, package: &str) -> bool {
        let (of, id) = person.split_once('/').unwrap();
        let producer = self.get(source, &format!("package/{package}")).and_then(|row| text(row, "producer"));
        let account = self.person(person).and_then(|row| text(row, "account"));
        let (Some(producer), Some(account)) = (producer, account) else { return false };
        of == source
            && self.live(person)
            && self.get(source, &format!("permission/{id}/view_and_manage_download_packages")).is_some()
            && self.line_up(source, account).contains(producer)
    }

    /// Rule 3.
    fn buys(&self, source: &str, person: &str, package: &str, now: i64) -> Option<i64> {
        let (of, id) = person.split_once('/')?;
        let row = self.get(source, &format!("package/{package}"))?;
        let (from, until) = window(row, "effective_from", "effective_until");
        if of != source || !self.live(person) || !(from <= now && now < until) {
            return None;
        }
        let account = self.person(person).and_then(|row| text(row, "account"));
        let mine = match account {
            None => BTreeSet::new(),
            Some(account) if self.settings["customer_sub_accounts"] == true => self.line_up(source, account),
            Some(account) => BTreeSet::from([account.to_owned()]),
        };
        let lines = self.all("line").filter(|(of, _)| *of == source).filter_map(|(_, line)| {
            let (starts, ends) = window(line, "starts", "ends");
            let (entitlement, product) = (text(line, "entitlement")?, text(line, "product")?);
            let bought = self.get(source, &format!("entitlement/{entitlement}"))?;
            let buyer = text(bought, "account")?;
            let reached = if self.narrowed.contains(&(source.to_owned(), entitlement.to_owned())) {
                self.get(source, &format!("entitlement_person/{entitlement}/{id}")).is_some()
            } else {
                mine.contains(buyer)
            };
            let stands = reached
                && bought["state"] == "active"
                && self.account(source, buyer).is_some()
                && self.get(source, &format!("product/{product}")).is_some()
                && self.get(source, &format!("package_product/{package}/{product}")).is_some()
                && starts <= now
                && now < ends;
            stands.then(|| ends.min(until))
        });
        lines.max()
    }

    /// Everything that is allowed.
    pub(super) fn allowed(&self, api: bool, who: &Who, place: &Where, now: i64) -> Allowed {
        self.allowed_by(api, who, place, now, true)
    }

    /// The same, with or without what everybody has.
    fn allowed_by(&self, api: bool, who: &Who, place: &Where, now: i64, baselines: bool) -> Allowed {
        let rules = self.rules(api);
        let signed_in = match who {
            Who::Anyone => false,
            Who::User(person) if self.shut_out(&self.user(person)) => return Allowed::new(),
            Who::Service(id) if self.get("local", &format!("service/{id}")).is_none() => return Allowed::new(),
            Who::User(_) | Who::Service(_) => true,
        };
        // What is closed is closed to the registry; Rollcall itself can still be asked about it.
        let Some(level) = self.level(api, place).filter(|_| api || self.open(place)) else { return Allowed::new() };
        let (visibility, kind) = match place {
            Where::Root | Where::Folder(_) => (None, None),
            Where::Project(key) if key.starts_with("local/") => {
                let row = self.project(key);
                let kind = row.and_then(|row| text(row, "kind")).unwrap_or_default();
                (row.and_then(|row| text(row, "visibility")).map(str::to_owned), Some(kind.to_owned()))
            }
            Where::Project(_) => (Some("private".to_owned()), Some("standard".to_owned())),
            Where::Personal(_) => {
                let own = rules.file.get("kinds").and_then(|kinds| kinds.get("personal"));
                let default = own.and_then(|kind| text(kind, "default")).unwrap_or("private");
                (Some(default.to_owned()), Some("personal".to_owned()))
            }
        };
        let empty = Value::Null;
        let switches = self.settings.get("switches").unwrap_or(&empty);
        let mut allowed = Allowed::new();
        for row in rules.rows("baseline") {
            let holds = baselines
                && (text(row, "principal") == Some("anyone") || signed_in)
                && text(row, "visibility").is_none_or(|wanted| visibility.as_deref() == Some(wanted))
                && text(row, "level").is_none_or(|wanted| rules.level(wanted) == Some(level))
                && rules.when(row, switches, false);
            if holds {
                allowed.extend(rules.expand(&strings(row.get("actions"))).into_iter().map(|action| (action, i64::MAX)));
            }
        }
        let held = self.held(api, who, place, now);
        for (role, at, until) in &held {
            let mut gives = rules.role_actions(role);
            for limit in rules.rows("limit") {
                let levels: Vec<usize> =
                    strings(limit.get("levels")).iter().filter_map(|name| rules.level(name)).collect();
                if !levels.contains(at) {
                    gives = &gives - &rules.expand(&strings(limit.get("actions")));
                }
            }
            for action in gives {
                let best = allowed.entry(action).or_insert(*until);
                *best = (*best).max(*until);
            }
        }
        for row in rules.rows("ceiling") {
            let mine = matches!((who, place), (Who::User(a), Where::Personal(b)) if self.user(a).contains(b));
            if !rules.when(row, switches, true)
                || (text(row, "exempt_kind").is_some() && text(row, "exempt_kind") == kind.as_deref() && mine)
            {
                continue;
            }
            let exempt: Vec<String> = strings(row.get("exempt_roles")).iter().map(|role| plain(role)).collect();
            let until =
                held.iter().filter(|(role, _, _)| exempt.contains(&plain(role))).map(|(_, _, until)| *until).max();
            for action in rules.expand(&strings(row.get("actions"))) {
                // An exemption lasts as long as the role that it rests on.
                if let Some(mine) = allowed.remove(&action).zip(until).map(|(mine, until)| mine.min(until)) {
                    allowed.insert(action, mine);
                }
            }
        }
        allowed
    }

    /// Whether an action of Rollcall's own API may be done: by its own profile, or by what the access profile gives of
    /// it.
    pub(super) fn may(&self, who: &Who, action: &str, place: &Where, now: i64) -> bool {
        let holds = |api: bool, needs: Option<BTreeSet<String>>| {
            // What everybody may do in the registry makes no service an API key.
            let baselines = api || !matches!(who, Who::Service(_));
            let allowed = || self.allowed_by(api, who, place, now, baselines);
            needs.is_some_and(|needs| {
                let allowed = allowed();
                needs.iter().all(|one| allowed.contains_key(one))
            })
        };
        let here = self.access.file.get("api").and_then(|api| api.get(action)).and_then(Value::as_str);
        holds(true, self.api.operation(action)) || holds(false, here.and_then(|name| self.access.operation(name)))
    }
}

fn scope(value: &Value) -> Option<Where> {
    match value {
        Value::String(_) => Some(Where::Root),
        Value::Object(map) => {
            let (kind, id) = map.iter().next()?;
            let id = id.as_str()?.to_owned();
            Some(if kind == "folder" { Where::Folder(id) } else { Where::Project(id) })
        }
        _ => None,
    }
}
