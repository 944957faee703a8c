//! Nothing leaks and nothing is unguarded: every route of the table, by every kind of caller, about things of its own, of
//! others, and that are not there. What has to come is worked out from the table of rights and the roster, not from a list.

use axum::{
    body::Body,
    http::{Method, Request},
};
use rollcall_access::{Place, Principal, ProjectIx, Roster, Verb, decide};
use rollcall_app::{At, Permission};
use rollcall_events::{
    Body as Event,
    body::{self, Author, Scope},
};
use serde_json::{Value, json};

use super::world::{KEY, Reply, World, event};
use crate::http::permissions::{PERMISSIONS, RoutePermission};

/// In every name, id and e-mail that is nobody's business but its own people's.
const FOREIGN: &str = "canary";
/// In the names of others in the project in which some of the callers are.
const NEAR: &str = "heron";

/// Kinds of caller, those who may least first.
const CALLERS: &[&str] = &[
    "nobody",
    "a garbage key",
    "a removed service",
    "a suspended user",
    "a user without anything",
    "a user in one project",
    "an API key of one project",
    "a sender",
    "an auditor",
    "an administrator",
    "the operator",
];

/// Whose the thing is that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Own,
    Foreign,
    Missing,
}

/// What has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Unauthenticated,
    Forbidden,
    /// As if it were not there.
    Hidden,
    /// Let in, whatever the route then says.
    Through,
}

async fn world() -> World {
    let world = World::empty().await;
    let person = |id: &str| {
        let personal = json!({"email": format!("{id}@example.test"), "name": format!("The {id}")});
        let account = if id.starts_with(FOREIGN) { "canary-account" } else { "own-account" };
        json!({"person": id, "username": id, "account": account, "active": true, "personal": personal})
    };
    let people = ["canary-user", "heron-user", "mia", "zoe", "sue"];
    let mut facts: Vec<Value> =
        people.iter().enumerate().map(|(ix, id)| event(&format!("p{ix}"), "person.upserted", 1, person(id))).collect();
    facts.push(event("a", "account.upserted", 1, json!({"account": "canary-account", "kind": "producer"})));
    facts.push(event("o", "account.upserted", 1, json!({"account": "own-account", "kind": "customer"})));
    let package = json!({
        "package": "canary-package", "project_name": "canary-project", "producer": "canary-account",
        "container_delivery": true
    });
    facts.push(event("k", "package.upserted", 1, package));
    world.facts(&facts).await;
    let profile = rollcall_access::Profile::bundled("portus").unwrap();
    let document = serde_json::value::to_raw_value(profile.document()).unwrap();
    world.say(&Event::ProfileSet(body::ProfileDocument(document))).await;
    for (team, project) in [("own-team", "own"), ("canary-team", "canary-local")] {
        let made = world.by(KEY, "PUT", &format!("/api/v1/folders/{team}"), Some(json!({"kind": "team"}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let made = world.post("/api/v1/projects", json!({"name": project, "folder": team})).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    for (user, team) in [("mia", "own-team"), ("heron-user", "own-team"), ("canary-user", "canary-team")] {
        let give = json!({"principal": {"user": user}, "role": "viewer", "scope": {"folder": team}});
        let given = world.post("/api/v1/bindings", give).await;
        assert_eq!(given.status, 200, "{}", given.text);
    }
    world.post("/api/v1/groups", json!({"id": "canary-group"})).await;
    world.service("canary-service", "api:project_admin", Scope::Folder("canary-team".parse().unwrap())).await;
    world.secret("canary-user").await;
    world
}

/// The secret of a kind of caller, and who it is; no secret for nobody, nobody for who is not let in.
async fn caller(world: &World, kind: &str) -> (Option<String>, Option<body::Principal>) {
    let user = |id: &str| Some(body::Principal::User(format!("flexnet/{id}").parse().unwrap()));
    let service = |id: &str| Some(body::Principal::Service(id.parse().unwrap()));
    match kind {
        "nobody" => (None, None),
        "a garbage key" => (Some("rcs_garbage".to_owned()), None),
        "a removed service" => {
            let key = world.service("gone", "api:administrator", Scope::Root).await;
            let gone = body::ServiceRef {
                service: "gone".parse().unwrap(),
                author: Some(Author::operator()),
                made_with: None,
            };
            world.say(&Event::ServiceRemoved(gone)).await;
            (Some(key), None)
        }
        "a suspended user" => {
            let key = world.secret("sue").await;
            world.facts(&[event("sue-left", "person.removed", 9, json!({"person": "sue"}))]).await;
            (Some(key), None)
        }
        "a user without anything" => (Some(world.secret("zoe").await), user("zoe")),
        "a user in one project" => (Some(world.secret("mia").await), user("mia")),
        "an API key of one project" => {
            let scope = Scope::Project("local/own".parse().unwrap());
            (Some(world.service("own-key", "api:project_admin", scope).await), service("own-key"))
        }
        "a sender" => (Some(world.service("sender", "api:sender", Scope::Root).await), service("sender")),
        "an auditor" => (Some(world.service("auditor", "api:auditor", Scope::Root).await), service("auditor")),
        "an administrator" => (Some(world.service("boss", "api:administrator", Scope::Root).await), service("boss")),
        _ => (Some(KEY.to_owned()), None),
    }
}

/// A request about something: path, body, and the words of it that are the caller's own.
struct RequestCase {
    path: String,
    body: Option<Value>,
    words: Vec<String>,
}

/// Who asks, what is asked for, and what the roster says of it.
struct Oracle<'a> {
    roster: &'a Roster,
    /// Nothing for the operator.
    who: Option<Principal>,
    world: &'a World,
}

impl Oracle<'_> {
    fn may(&self, action: &str, place: impl Into<Place>) -> bool {
        let now = rollcall_events::Clock::now(&*self.world.clock);
        self.who.is_none_or(|who| self.roster.allows(who, action, place, now))
    }

    fn sees(&self, project: ProjectIx) -> bool {
        let Some(who) = self.who else { return true };
        let pull = self.roster.profile().registry_action(Verb::Pull).unwrap();
        let now = rollcall_events::Clock::now(&*self.world.clock);
        self.may("project.list", project) || decide(self.roster, who, pull, project, now).is_allowed()
    }

    /// What has to come, by the row of the table.
    fn expected(&self, route: &GuardedRoute, case: &RequestCase) -> Expected {
        let word = case.words.first().map_or("", String::as_str);
        if self.may(route.action, Place::Root) || route.at == At::Rows {
            return Expected::Through;
        }
        let at = |place: Option<Place>, seen: bool| match place {
            Some(place) if self.may(route.action, place) => Expected::Through,
            Some(_) if seen => Expected::Forbidden,
            _ => Expected::Hidden,
        };
        let project = self.roster.project_by_name(word);
        let seen = project.is_some_and(|project| self.sees(project));
        let itself = |who: Option<Principal>| who.is_some() && who == self.who;
        match route.at {
            At::Rows => Expected::Through,
            At::Root => Expected::Forbidden,
            At::ProjectOrOwn if seen => Expected::Through,
            At::Project if seen && route.action == "project.list" => Expected::Through,
            At::Project | At::ProjectOrOwn => at(project.map(Place::Project), seen),
            At::Folder => {
                let folder = self.roster.folder_by_id(word).map(Place::Folder);
                at(folder, folder.is_some_and(|place| self.may("folder.list", place)))
            }
            At::User => match self.roster.user_by_name(word) {
                Some(user) if itself(Some(user.into())) => Expected::Through,
                Some(_) if self.may("user.list", Place::Root) => Expected::Forbidden,
                _ => Expected::Hidden,
            },
            At::Service => match self.roster.service_by_id(word) {
                Some(service) if itself(Some(service.into())) => Expected::Through,
                Some(_) if self.may("service.list", Place::Root) => Expected::Forbidden,
                _ => Expected::Hidden,
            },
            At::Binding => {
                let found = self.roster.bindings().find(|view| binding_id(view.subject) == word);
                let own = found.as_ref().is_some_and(|view| itself(view.holder));
                let seen = found.as_ref().is_some_and(|view| self.may("binding.list", view.place));
                if own { Expected::Through } else { at(found.map(|view| view.place), seen) }
            }
            // The body names a project; one without a word asks at the root.
            At::Body if word.is_empty() => Expected::Forbidden,
            // A decision point says nothing of what there is: who may not ask is told so.
            At::Body if route.path.starts_with("/access/") => match project {
                Some(project) if self.may(route.action, project) => Expected::Through,
                _ => Expected::Forbidden,
            },
            At::Body => at(project.map(Place::Project), seen),
        }
    }
}

fn binding_id(subject: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("bnd_{}", URL_SAFE_NO_PAD.encode(subject))
}

/// A route that demands a permission.
struct GuardedRoute {
    method: &'static str,
    path: &'static str,
    action: &'static str,
    at: At,
}

fn guarded_routes() -> Vec<GuardedRoute> {
    let guarded = |route: &RoutePermission| {
        let RoutePermission { method, path, demands } = *route;
        demands.map(|Permission { action, at }| GuardedRoute { method, path, action, at })
    };
    PERMISSIONS.iter().filter_map(guarded).collect()
}

/// The request of a route about a thing; nothing where the route names none and it was asked already.
fn request_case(route: &GuardedRoute, ownership: Ownership, me: &str) -> Option<RequestCase> {
    let pick = |own: &str, foreign: &str, missing: &str| {
        match ownership {
            Ownership::Own => own,
            Ownership::Foreign => foreign,
            Ownership::Missing => missing,
        }
        .to_owned()
    };
    let project = || pick("own", "canary-local", "absent-name");
    let binding = |user: &str, team: &str| binding_id(&format!("binding/user:flexnet%2F{user}/viewer/folder:{team}"));
    let mut words = Vec::new();
    let mut parts = Vec::new();
    let resource = route.path.split('/').nth(3).unwrap_or_default();
    for part in route.path.split('/') {
        let word = match (part, resource) {
            ("{name}", "projects") => project(),
            ("{name}", "users") => pick(me, "canary-user", "absent-name"),
            ("{name}", "projections") => "roster".to_owned(),
            ("{name}", "sources") => "flexnet".to_owned(),
            ("{id}", "folders") => pick("own-team", "canary-team", "absent-name"),
            ("{id}", "services") => pick(me, "canary-service", "absent-name"),
            ("{id}", "bindings") => {
                pick(&binding("mia", "own-team"), &binding("canary-user", "canary-team"), "bnd_absent")
            }
            ("{id}", "people") => pick("mia", "canary-user", "absent-name"),
            ("{change}", _) => "suspend".to_owned(),
            ("{source}", _) => pick("flexnet", "flexnet", "absent-source"),
            ("{group}", _) => pick("own-group", "canary-group", "absent-name"),
            ("{kind}", _) => "user".to_owned(),
            ("{member}", _) => pick(me, "canary-user", "absent-name"),
            ("{position}", _) => "1".to_owned(),
            (part, _) if part.starts_with('{') => "absent_id".to_owned(),
            (part, _) => {
                parts.push(part.to_owned());
                continue;
            }
        };
        parts.push(word.clone());
        words.push(word);
    }
    let body = match (route.at, route.method, route.path) {
        (At::Body, _, "/api/v1/explain") => {
            words = vec![project()];
            Some(json!({"user": "heron-user", "action": "pull", "project": project()}))
        }
        (At::Body, _, "/api/v1/bindings") => {
            words = vec![project()];
            let scope = json!({"project": project()});
            Some(json!({"principal": {"user": "mia"}, "role": "api:project_admin", "scope": scope}))
        }
        (At::Body, _, "/api/v1/bindings/plan" | "/api/v1/bindings/apply") => {
            words = vec![project()];
            // A row demands more than to look, so there is one only where it is to be done.
            let row = json!({"user": "mia", "role": "api:project_admin"});
            let rows = if route.action == "binding.set" { vec![row] } else { Vec::new() };
            Some(json!({"scope": [{"project": project(), "binding": rows}]}))
        }
        (At::Body, _, "/access/v1/evaluation" | "/access/v1/evaluations") => {
            words = vec![project()];
            let resource = json!({"type": "project", "id": project()});
            let subject = json!({"type": "user", "id": "heron-user"});
            Some(json!({"subject": subject, "action": {"name": "pull"}, "resource": resource}))
        }
        // Whose the name is does not matter: who may not make a project hears nothing of names.
        (At::Body, _, "/api/v1/projects") => Some(json!({"name": project()})),
        (At::Body, "GET", "/api/v1/reports/who" | "/api/v1/reports/diff") => {
            words = vec![project()];
            let from = if route.path.ends_with("diff") { "from=1&" } else { "" };
            let last = parts.pop().unwrap_or_default();
            parts.push(format!("{last}?{from}project={}", project()));
            None
        }
        (At::Body, method, path) => panic!("{method} {path} takes its place from the body: say here what it takes"),
        (_, "POST" | "PUT" | "PATCH", _) => Some(json!({})),
        _ => None,
    };
    let named = !words.is_empty() || route.at == At::Body;
    (named || ownership == Ownership::Own).then(|| RequestCase { path: parts.join("/"), body, words })
}

async fn send(world: &World, key: Option<&str>, route: &GuardedRoute, case: &RequestCase) -> Reply {
    let mut request = Request::builder().method(Method::try_from(route.method).unwrap()).uri(&case.path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = match &case.body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    world.send(request.unwrap()).await
}

/// Everything that came, without the words that the caller sent.
fn response_text(reply: &Reply, case: &RequestCase) -> String {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-length")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let mut text = format!("{}\n{}\n{}", reply.status, headers.join("\n"), reply.text);
    let mut words = case.words.clone();
    if let Some(Value::Object(body)) = &case.body {
        words.extend(body.values().filter_map(Value::as_str).map(str::to_owned));
    }
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in words {
        text = text.replace(&format!("/{word}"), "/WORD").replace(&format!("`{word}`"), "`WORD`");
    }
    text
}

#[tokio::test]
async fn every_route_gives_every_kind_of_caller_what_its_right_says_and_nothing_of_others() {
    let mut seen = std::collections::BTreeMap::new();
    for kind in CALLERS {
        let world = world().await;
        let (mut key, who) = caller(&world, kind).await;
        let me = match &who {
            Some(body::Principal::User(id)) => id.as_str().trim_start_matches("flexnet/").to_owned(),
            Some(body::Principal::Service(id)) => id.to_string(),
            _ => "mia".to_owned(),
        };
        let let_in = who.is_some() || *kind == "the operator";
        // What ends something comes last, so that most is asked of a world that is whole.
        let mut routes = guarded_routes();
        routes.sort_by_key(|route| ["GET", "PUT", "PATCH", "POST", "DELETE"].iter().position(|m| *m == route.method));
        for route in &routes {
            let mut refused: Vec<(Expected, String)> = Vec::new();
            for ownership in [Ownership::Own, Ownership::Foreign, Ownership::Missing] {
                let Some(case) = request_case(route, ownership, &me) else { continue };
                let shown = format!("{kind}: {} {} {ownership:?}", route.method, case.path);
                let (expected, everywhere, here) = {
                    let roster = world.live.read();
                    let who = who.as_ref().map(|word| roster.find_principal(word).unwrap());
                    let oracle = Oracle { roster: &roster, who, world: &world };
                    let project = roster.project_by_name("own").unwrap();
                    let everywhere = let_in && oracle.may(route.action, Place::Root);
                    let here = let_in && oracle.may(route.action, project);
                    (if let_in { oracle.expected(route, &case) } else { Expected::Unauthenticated }, everywhere, here)
                };
                let reply = send(&world, key.as_deref(), route, &case).await;
                let problem = (reply.status.as_u16(), reply.problem());
                match expected {
                    Expected::Unauthenticated => assert_eq!(problem, (401, "unauthenticated"), "{shown}"),
                    Expected::Forbidden => assert_eq!(problem, (403, "forbidden"), "{shown} {}", reply.text),
                    Expected::Hidden => {
                        assert_eq!(problem.0, 404, "{shown} {}", reply.text);
                        assert!(problem.1.starts_with("unknown-"), "{shown} {}", reply.text);
                    }
                    Expected::Through => assert!(![401, 403].contains(&problem.0), "{shown} {}", reply.text),
                }
                if expected == Expected::Hidden || (expected != Expected::Through && ownership != Ownership::Own) {
                    refused.push((expected, response_text(&reply, &case)));
                }
                *seen.entry(format!("{expected:?}")).or_insert(0) += 1;
                let text = response_text(&reply, &case);
                assert!(everywhere || !text.contains(FOREIGN), "{shown} names somebody's own: {text}");
                assert!(everywhere || here || !text.contains(NEAR), "{shown} names a neighbour: {text}");
                // Whoever ended itself or the own credentials begins anew.
                let there = who.as_ref().is_none_or(|word| world.live.read().find_principal(word).is_some());
                if let_in && !(there && route.path != "/api/v1/users/{name}/credentials-reset") {
                    (key, _) = caller(&world, kind).await;
                }
            }
            // Of others' things and of nothing the same is said, word for word.
            for pair in refused.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                assert_eq!(pair[0], pair[1], "{kind}: {} {}", route.method, route.path);
            }
        }
    }
    for expected in ["Unauthenticated", "Forbidden", "Hidden", "Through"] {
        assert!(seen.get(expected).is_some_and(|count| *count > 50), "{seen:?}");
    }
}

/// Every way in which whoever runs a project can name somebody there: method, path and body.
fn ways_to_name(kind: &str, name: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let binding = |role: &str| json!({"principal": {kind: name}, "role": role, "scope": {"project": "own"}});
    let document = json!({"scope": [{"project": "own", "binding": [{kind: name, "role": "api:project_admin"}]}]});
    let mut ways = vec![
        ("POST", "/api/v1/bindings".to_owned(), Some(binding("api:project_admin"))),
        ("POST", "/api/v1/bindings".to_owned(), Some(binding("viewer"))),
        ("POST", "/api/v1/bindings/plan".to_owned(), Some(document.clone())),
        ("POST", "/api/v1/bindings/apply".to_owned(), Some(document)),
        ("GET", format!("/api/v1/bindings?{kind}={name}"), None),
        ("GET", format!("/api/v1/bindings?project=own&{kind}={name}"), None),
    ];
    if kind != "group" {
        let asked = if kind == "service" { format!("service:{name}") } else { name.to_owned() };
        let subject = json!({"type": kind, "id": name});
        let resource = json!({"type": "project", "id": "own"});
        let evaluation = json!({"subject": subject, "action": {"name": "pull"}, "resource": resource});
        let explain = json!({"user": asked, "action": "pull", "project": "own"});
        let mut past = explain.clone();
        past["as_of"] = json!("1");
        ways.extend([
            ("POST", "/api/v1/explain".to_owned(), Some(explain)),
            ("POST", "/api/v1/explain".to_owned(), Some(past)),
            ("POST", "/access/v1/evaluation".to_owned(), Some(evaluation)),
            ("GET", format!("/api/v1/reports/diff?from=1&project=own&user={asked}"), None),
        ]);
    }
    if kind == "user" {
        ways.extend([
            ("GET", format!("/api/v1/users/{name}"), None),
            ("GET", format!("/api/v1/users/{name}/access?project=own"), None),
            ("GET", format!("/api/v1/users/{name}/secrets"), None),
            ("POST", format!("/api/v1/users/{name}/secrets"), Some(json!({}))),
        ]);
    }
    if kind == "service" {
        ways.push(("GET", format!("/api/v1/services/{name}"), None));
    }
    ways
}

#[tokio::test]
async fn nobody_is_found_by_being_named_in_a_project_of_ones_own() {
    for visibility in ["private", "public"] {
        let world = world().await;
        let shown = world.by(KEY, "PATCH", "/api/v1/projects/own", Some(json!({"visibility": visibility}))).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        let (key, _) = caller(&world, "an API key of one project").await;
        let give = json!({"principal": {"user": "zoe"}, "role": "api:project_admin", "scope": {"project": "own"}});
        assert_eq!(world.post("/api/v1/bindings", give).await.status, 200);
        // Of another account than those whom she does not know.
        let callers = [("a project's key", key.unwrap()), ("a project's administrator", world.secret("zoe").await)];
        for (who, key) in &callers {
            for (kind, there, absent) in [
                ("user", "canary-user", "absent-user"),
                ("user", "flexnet/canary-user", "flexnet/absent-user"),
                ("service", "canary-service", "absent-service"),
                ("group", "local/canary-group", "local/absent-group"),
            ] {
                for (one, other) in ways_to_name(kind, there).into_iter().zip(ways_to_name(kind, absent)) {
                    let told = async |(method, path, body): (&str, String, Option<Value>), name: &str| {
                        let reply = world.by(key, method, &path, body).await;
                        let headers: Vec<String> = reply
                            .headers
                            .iter()
                            // A tag is of the whole answer, the decision's id in it included.
                            .filter(|(name, _)| !["content-length", "etag"].contains(&name.as_str()))
                            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                            .collect();
                        let mut answer = reply.body.clone();
                        // Each decision has an id and each answer an instance of its own.
                        for own in ["instance", "decision"] {
                            answer.as_object_mut().map(|answer| answer.remove(own));
                        }
                        if let Some(context) = answer["context"].as_object_mut() {
                            context.remove("id");
                            context.remove("decision");
                        }
                        format!("{} {headers:?} {answer}", reply.status).replace(name, "NAME")
                    };
                    let shown = format!("{who} {visibility}: {} {}", one.0, one.1);
                    let (seen, unseen) = (told(one, there).await, told(other, absent).await);
                    assert_eq!(seen, unseen, "{shown}");
                }
            }
            assert_eq!(world.ok("/api/v1/bindings?user=canary-user&project=own").await["items"], json!([]));
        }
    }
}

#[tokio::test]
async fn whoever_runs_a_project_names_colleagues_and_those_who_have_to_do_with_it() {
    let world = world().await;
    let give = |user: &str, role: &str| json!({"principal": {"user": user}, "role": role, "scope": {"project": "own"}});
    assert_eq!(world.post("/api/v1/bindings", give("zoe", "api:project_admin")).await.status, 200);
    let zoe = world.secret("zoe").await;
    for (user, expected) in [("sue", 200), ("heron-user", 200), ("canary-user", 404), ("zoe", 200)] {
        let given = world.by(&zoe, "POST", "/api/v1/bindings", Some(give(user, "api:project_admin"))).await;
        assert_eq!(given.status, expected, "{user}: {}", given.text);
    }
    let (key, _) = caller(&world, "an API key of one project").await;
    for (user, expected) in [("mia", 200), ("sue", 200), ("canary-user", 404)] {
        let given =
            world.by(&key.clone().unwrap(), "POST", "/api/v1/bindings", Some(give(user, "api:project_admin"))).await;
        assert_eq!(given.status, expected, "{user}: {}", given.text);
    }
}
