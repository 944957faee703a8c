//! A look into the roster is for a few rows: what goes through more of it takes a view, which holds nobody up. Every route is
//! asked in a small world and in a large one; in the large one no look may be at more. Rows are counted, never time.

use std::collections::BTreeMap;

use rollcall_events::{
    Body,
    body::{self, Author},
};
use serde_json::{Value, json};

use super::world::{World, event};

/// How many rows more a look may be at, as hash tables and sorted parts are of different sizes.
const SLACK: u64 = 64;
const SMALL: usize = 3;
const LARGE: usize = 160;

/// As many of everything: people of one account in one group, entitlements of theirs for one product, assigned people, roles
/// given to that group and on one project, folders, services, projects, secrets of one user, and subjects that are parked.
async fn crowd(count: usize) -> World {
    let world = World::licensing().await;
    let mut facts = Vec::new();
    for n in 0..count {
        let id = |kind: &str| format!("{kind}{n}");
        facts.extend([
            event(
                &id("p"),
                "person.upserted",
                1,
                json!({"person": id("p"), "username": id("p"), "account": "globex", "active": true}),
            ),
            event(
                &id("e"),
                "entitlement.upserted",
                1,
                json!({"entitlement": id("e"), "account": "globex", "state": "active"}),
            ),
            event(
                &id("l"),
                "entitlement.line.upserted",
                1,
                json!({"line": id("l"), "entitlement": id("e"), "product": "DB", "starts": null, "ends": null}),
            ),
            event(&id("x"), "entitlement.person.assigned", 1, json!({"entitlement": id("e"), "person": "ada"})),
            event(
                &id("k"),
                "package.upserted",
                1,
                json!({"package": id("k"), "project_name": "acme", "producer": "vendor", "container_delivery": true}),
            ),
            event(
                &id("j"),
                "package.upserted",
                1,
                json!({"package": id("j"), "project_name": id("j"), "producer": "vendor", "container_delivery": true}),
            ),
            event(&id("m"), "package.product.mapped", 1, json!({"package": id("j"), "product": "DB"})),
        ]);
    }
    for some in facts.chunks(50) {
        world.facts(some).await;
    }
    let operator = Author::operator;
    let binding = |principal: body::Principal, project: String| {
        let scope = body::Scope::Project(project.parse().unwrap());
        let role = "api:project_admin".to_owned();
        Body::BindingSet(body::Binding {
            principal,
            role,
            scope,
            author: operator(),
            starts: None,
            ends: None,
            made_with: None,
        })
    };
    let user = |id: &str| body::Principal::User(format!("flexnet/{id}").parse().unwrap());
    let group = body::Group {
        group: "all".parse().unwrap(),
        name: Some("all".to_owned()),
        external_id: None,
        author: Some(operator()),
        made_with: None,
    };
    let mut commands = vec![Body::GroupUpserted(group)];
    for n in 0..count {
        let person = format!("p{n}");
        commands.push(Body::GroupMemberAdded(body::GroupMember {
            group: "all".parse().unwrap(),
            member: body::Member::Person(format!("flexnet/{person}").parse().unwrap()),
            author: Some(operator()),
            made_with: None,
        }));
        commands.push(binding(user(&person), "flexnet/db-suite".to_owned()));
        commands.push(binding(body::Principal::Group("local/all".parse().unwrap()), format!("flexnet/j{n}")));
        commands.push(binding(user("ada"), format!("flexnet/j{n}")));
        commands.push(Body::ServiceCreated(body::Service {
            service: format!("s{n}").parse().unwrap(),
            name: None,
            ends: None,
            sources: Vec::new(),
            author: Some(operator()),
            made_with: None,
        }));
    }
    world.state_all(&commands).await;
    for _ in 0..count.min(20) {
        world.secret("ada").await;
    }
    let there = [
        ("/api/v1/bindings?limit=500", 3 * count),
        ("/api/v1/groups/local/all/members?limit=500", count),
        ("/api/v1/services?limit=500", count),
    ];
    for (path, rows) in there {
        assert_eq!(world.ok(path).await["items"].as_array().unwrap().len(), rows, "{path}");
    }
    world
}

/// What is asked: every route that looks into the roster, with and without what narrows it.
fn questions(head: u64) -> Vec<(&'static str, String, Option<Value>)> {
    let mut all: Vec<(&str, String, Option<Value>)> = Vec::new();
    let paths = [
        "bindings",
        "bindings?user=ada",
        "bindings?group=all",
        "bindings?project=acme",
        "bindings?scope=project",
        "bindings?service=s0",
        "configuration",
        "configuration/plan",
        "configuration/plan/rows",
        "decisions",
        "decisions?user=ada",
        "deliveries",
        "events?source=flexnet",
        "events/1",
        "folders",
        "groups",
        "groups?name=all",
        "groups?source=local",
        "groups/local/all",
        "groups/local/all/members",
        "groups/local/all/members?transitive=true",
        "links",
        "log/head",
        "nearest?kind=user&name=adx",
        "nearest?kind=project&name=acmx",
        "nearest?kind=group&name=al",
        "nearest?kind=service&name=s",
        "nearest?kind=account&name=globe",
        "nearest?kind=role&name=audit",
        "people",
        "people?account=globex",
        "people?user=ada",
        "people?source=flexnet",
        "people/flexnet/ada",
        "problems",
        "problems?source=flexnet",
        "projections",
        "projects",
        "projects/acme",
        "projects/acme/members",
        "refused-sign-ins?user=ada",
        "registry",
        "secrets",
        "secrets?user=ada",
        "services",
        "services/s0",
        "services/s0/secrets",
        "sources",
        "sources/flexnet/suspend/plan",
        "sources/flexnet/suspend/plan/rows",
        "users",
        "users?name=p*",
        "users?name=ada",
        "users?account=globex",
        "users?shut_out=true",
        "users/ada",
        "users/ada/access",
        "users/ada/secrets",
        "reports/who?project=acme",
        "reports/who?project=acme&action=push",
    ];
    all.extend(paths.map(|path| ("GET", format!("/api/v1/{path}"), None)));
    let then = [
        format!("projects/acme/members?as_of={head}"),
        format!("users/ada/access?as_of={head}"),
        format!("reports/who?project=acme&as_of={head}"),
        "reports/diff?from=1&project=acme".to_owned(),
        "reports/diff?from=1&user=ada".to_owned(),
        "reports/diff?from=1&user=ada&project=acme".to_owned(),
    ];
    all.extend(then.map(|path| ("GET", format!("/api/v1/{path}"), None)));
    for (user, action, project) in
        [("ada", "pull", "acme"), ("ada", "push", "acme"), ("pat", "push", "acme"), ("p0", "delete", "j0")]
    {
        let asked = json!({"user": user, "action": action, "project": project});
        all.push(("POST", "/api/v1/explain".to_owned(), Some(asked.clone())));
        let mut then = asked;
        then["as_of"] = json!(head.to_string());
        all.push(("POST", "/api/v1/explain".to_owned(), Some(then)));
        let resource = json!({"type": "project", "id": project});
        let subject = json!({"type": "user", "id": user});
        let one = json!({"subject": subject, "action": {"name": action}, "resource": resource});
        all.push(("POST", "/access/v1/evaluation".to_owned(), Some(one.clone())));
        all.push(("POST", "/access/v1/evaluations".to_owned(), Some(json!({"evaluations": [one.clone(), one]}))));
    }
    let rows = json!([{"user": "ada", "role": "api:auditor"}]);
    all.extend([
        ("POST", "/api/v1/preview".to_owned(), Some(json!({"settings": {"customer_sub_accounts": false}}))),
        ("POST", "/api/v1/bindings/plan".to_owned(), Some(json!({"scope": [{"project": "j0", "binding": rows}]}))),
        ("POST", "/api/v1/links/plan".to_owned(), Some(json!({"persons": ["flexnet/ada", "flexnet/pat"]}))),
        // Commands look before they are recorded.
        (
            "POST",
            "/api/v1/bindings".to_owned(),
            Some(json!({"principal": {"user": "ada"}, "role": "api:auditor", "scope": "root"})),
        ),
        ("POST", "/api/v1/groups".to_owned(), Some(json!({"id": "more"}))),
        ("PUT", "/api/v1/groups/local/more/members/group/local%2Fall".to_owned(), Some(json!({}))),
        ("DELETE", "/api/v1/groups/local/more/members/group/local%2Fall".to_owned(), None),
        ("PUT", "/api/v1/folders/f".to_owned(), Some(json!({"kind": "team"}))),
        ("POST", "/api/v1/projects".to_owned(), Some(json!({"name": "own"}))),
        ("PATCH", "/api/v1/projects/own".to_owned(), Some(json!({"name": "owned"}))),
        ("DELETE", "/api/v1/projects/owned".to_owned(), None),
        ("POST", "/api/v1/users/ada/secrets".to_owned(), Some(json!({}))),
        ("POST", "/api/v1/users/ada/invitations".to_owned(), Some(json!({}))),
        ("PUT", "/api/v1/users/ada/username".to_owned(), Some(json!({"username": "ada2"}))),
        ("DELETE", "/api/v1/usernames/ada".to_owned(), None),
        ("POST", "/api/v1/services/s0/secrets".to_owned(), Some(json!({}))),
        ("DELETE", "/api/v1/services/s1".to_owned(), None),
        ("POST", "/api/v1/sources/flexnet/plan".to_owned(), Some(json!({}))),
        ("POST", "/api/v1/users/ada2/credentials-reset".to_owned(), Some(json!({}))),
    ]);
    all
}

/// The most rows of one look, by where it was taken, with what was asked then.
async fn looks(world: &World) -> BTreeMap<String, (u64, String)> {
    let mut most: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let boss = world.service("boss", "api:administrator", body::Scope::Root).await;
    let head = world.head().0;
    drop(world.live.take_rows_looked_at());
    for (method, path, body) in questions(head) {
        let reply = world.by(&boss, method, &path, body).await;
        assert!(!reply.status.is_server_error(), "{method} {path}: {}", reply.text);
        for (by, rows) in world.live.take_rows_looked_at() {
            let known = most.entry(by).or_default();
            if rows > known.0 {
                *known = (rows, format!("{method} {path} -> {}", reply.status));
            }
        }
    }
    most
}

#[tokio::test]
async fn no_look_into_the_roster_is_at_more_rows_where_there_is_more() {
    let (small, large) = (crowd(SMALL).await, crowd(LARGE).await);
    let (few, many) = (looks(&small).await, looks(&large).await);
    let grown: Vec<String> = many
        .iter()
        .filter(|(by, (rows, _))| *rows > few.get(*by).map_or(0, |(rows, _)| *rows) + SLACK)
        .map(|(by, (rows, asked))| format!("{by}: {rows} rows, {:?} in the small world: {asked}", few.get(by)))
        .collect();
    assert!(many.len() > 20, "few looks are seen: {many:?}");
    assert!(grown.is_empty(), "what looks at more the more there is:\n{}", grown.join("\n"));
}
