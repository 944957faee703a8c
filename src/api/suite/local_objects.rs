//! What people keep here: folders, projects, services, groups, and roles of all of them.

use axum::{body::Body, http::Request};
use rollcall_events::{Body as Event, body};
use serde_json::{Value, json};

use super::world::{KEY, Reply, World, event};

fn answer(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.problem())
}

impl World {
    /// People who buy nothing, under another access profile.
    pub async fn under(profile: &str) -> Self {
        let world = Self::licensing().await;
        let profile = rollcall_access::Profile::bundled(profile).unwrap();
        let document = serde_json::value::to_raw_value(profile.document()).unwrap();
        let set = world.say(&Event::ProfileSet(body::ProfileDocument(document))).await;
        assert_eq!(set["effect"], "applied", "{set}");
        world
    }

    async fn put(&self, path: &str, body: Value) -> Reply {
        self.by(KEY, "PUT", path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Reply {
        self.by(KEY, "PATCH", path, Some(body)).await
    }
}

#[tokio::test]
async fn a_person_who_makes_a_project_runs_it() {
    let world = World::under("harbor").await;
    let (ada, pat) = (world.secret("ada").await, world.secret("pat").await);
    let made = world.by(&ada, "POST", "/api/v1/projects", Some(json!({"name": "tools"}))).await;
    assert_eq!((made.status.as_u16(), &made.body["id"]), (201, &json!("local/tools")), "{}", made.text);
    let shown = world.by(&ada, "GET", "/api/v1/projects/tools", None).await;
    let seen = &shown.body;
    let expected = json!(["ada", "standard", "private", null, false]);
    assert_eq!(json!([seen["creator"], seen["kind"], seen["visibility"], seen["folder"], seen["ownerless"]]), expected);
    let members = world.by(&ada, "GET", "/api/v1/projects/tools/members", None).await;
    assert_eq!(members.body["items"][0]["role"], "project_admin", "{}", members.text);

    let hidden = world.by(&pat, "GET", "/api/v1/projects/tools", None).await;
    assert_eq!(answer(&hidden), (404, "unknown-project"));
    let again = world.by(&pat, "POST", "/api/v1/projects", Some(json!({"name": "tools"}))).await;
    assert_eq!(answer(&again), (409, "taken"));
    assert!(!again.text.contains("local"), "whose it is stays untold: {}", again.text);

    let open = world.by(&ada, "PATCH", "/api/v1/projects/tools", Some(json!({"visibility": "public"}))).await;
    assert_eq!((open.status.as_u16(), &open.body["effect"]), (200, &json!("applied")), "{}", open.text);
    assert_eq!(world.by(&pat, "GET", "/api/v1/projects/tools", None).await.status, 200);
    let foreign = world.by(&pat, "PATCH", "/api/v1/projects/tools", Some(json!({"visibility": "private"}))).await;
    assert_eq!(answer(&foreign), (403, "forbidden"));
    assert_eq!(answer(&world.by(&pat, "DELETE", "/api/v1/projects/tools", None).await), (403, "forbidden"));

    let give = json!({"principal": {"user": "pat"}, "role": "guest", "scope": {"project": "tools"}});
    // Of another account: whether there is a pat is not hers to find out, until somebody who may know brought them together.
    let unknown = world.by(&ada, "POST", "/api/v1/bindings", Some(give.clone())).await;
    assert_eq!(answer(&unknown), (404, "unknown-user"));
    let bound = world.post("/api/v1/bindings", give.clone()).await;
    assert_eq!(bound.status, 200, "{}", bound.text);
    let give = json!({"principal": {"user": "pat"}, "role": "developer", "scope": {"project": "tools"}});
    let given = world.by(&ada, "POST", "/api/v1/bindings", Some(give)).await;
    assert_eq!(given.status, 200, "{}", given.text);
    let event = world.ok(&format!("/api/v1/events/{}", given.body["position"])).await;
    assert_eq!(event["data"]["author"], "user:flexnet/ada");
    let own = world.by(&ada, "GET", "/api/v1/bindings?user=ada", None).await;
    let own = format!("/api/v1/bindings/{}", own.body["items"][0]["id"].as_str().unwrap());
    assert_eq!(answer(&world.by(&ada, "DELETE", &own, None).await), (409, "last-holder"));
    let left = format!("/api/v1/bindings/{}", given.body["id"].as_str().unwrap());
    assert_eq!(world.by(&pat, "DELETE", &left, None).await.status, 200, "whoever holds a role may leave");

    let renamed = world.patch("/api/v1/projects/tools", json!({"name": "kit"})).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    let found = world.ok("/api/v1/projects/tools").await;
    assert_eq!(json!([found["name"], found["aliases"], found["id"]]), json!(["kit", ["tools"], "local/tools"]));
    assert_eq!(world.delete("/api/v1/projects/kit").await.status, 200);
    assert_eq!(world.ok("/api/v1/projects/kit").await["archived"], true);
    assert_eq!(answer(&world.delete("/api/v1/projects/acme").await), (409, "managed-project"));
}

#[tokio::test]
async fn folders_hold_projects_and_roles_on_them_reach_down() {
    let world = World::under("ibm").await;
    let made = world.put("/api/v1/folders/eu", json!({"kind": "region", "name": "Europe"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let inner = json!({"kind": "resource_group", "parent": "eu"});
    assert_eq!(world.put("/api/v1/folders/shop", inner.clone()).await.status, 201);
    assert_eq!(world.put("/api/v1/folders/shop", inner).await.status, 200, "stated again");
    let long = world.put("/api/v1/folders/x", json!({"kind": "region", "name": "n".repeat(2000)})).await;
    assert_eq!((long.status.as_u16(), long.problem()), (422, "invalid-body"), "{}", long.text);
    assert!(long.text.contains("at most 100 characters"), "{}", long.text);
    let wrong = world.put("/api/v1/folders/x", json!({"kind": "galaxy"})).await;
    assert_eq!(answer(&wrong), (422, "invalid-body"));
    let lost = world.put("/api/v1/folders/x", json!({"kind": "region", "parent": "nowhere"})).await;
    assert_eq!(answer(&lost), (404, "unknown-folder"));

    let project = json!({"name": "till", "folder": "shop"});
    assert_eq!(world.post("/api/v1/projects", project).await.status, 201);
    let key = world.service("eu-ci", "api:project_admin", body::Scope::Folder("eu".parse().unwrap())).await;
    let seen = world.by(&key, "GET", "/api/v1/folders", None).await;
    assert_eq!(seen.body["items"].as_array().unwrap().len(), 2, "{}", seen.text);
    assert_eq!(world.by(&key, "GET", "/api/v1/projects/till", None).await.body["folder"], "shop");
    let own = world.by(&key, "POST", "/api/v1/projects", Some(json!({"name": "desk", "folder": "shop"}))).await;
    assert_eq!(own.status, 201, "{}", own.text);
    let outside = world.by(&key, "POST", "/api/v1/projects", Some(json!({"name": "hall"}))).await;
    assert_eq!(answer(&outside), (403, "forbidden"));

    let tag = world.get("/api/v1/folders/shop").await.header("etag").to_owned();
    assert_eq!(answer(&world.delete("/api/v1/folders/shop").await), (409, "refused"), "something is in it");
    for project in ["till", "desk"] {
        assert_eq!(world.delete(&format!("/api/v1/projects/{project}")).await.status, 200);
    }
    let other = tag.replace("pos-", "pos-9");
    for (tag, status) in [(&other, 412), (&tag, 200)] {
        let request = Request::delete("/api/v1/folders/shop").header("if-match", tag);
        let request = request.header("authorization", format!("Bearer {KEY}")).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, status, "{tag}");
    }
    assert_eq!(answer(&world.get("/api/v1/folders/shop").await), (404, "unknown-folder"));
}

#[tokio::test]
async fn a_service_signs_in_until_its_secret_or_itself_is_gone() {
    let world = World::licensing().await;
    let made = world.post("/api/v1/services", json!({"id": "portal", "name": "The portal"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(answer(&world.post("/api/v1/services", json!({"id": "portal"})).await), (409, "taken"));
    assert_eq!(answer(&world.post("/api/v1/services", json!({"id": "Not Plain"})).await), (422, "invalid-body"));
    let secret = world.post("/api/v1/services/portal/secrets", json!({"label": "prod"})).await;
    assert_eq!((secret.status.as_u16(), &secret.body["user"]), (201, &json!("portal")), "{}", secret.text);
    let key = secret.body["secret"].as_str().unwrap();
    assert_eq!(world.by(key, "GET", "/api/v1/services/portal", None).await.body["name"], "The portal");
    assert_eq!(world.by(key, "GET", "/api/v1/services", None).await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(answer(&world.by(key, "GET", "/api/v1/sources", None).await), (403, "forbidden"));
    let give = json!({"principal": {"service": "portal"}, "role": "API:Sender", "scope": "root"});
    let unknown = world.post("/api/v1/bindings", give.clone()).await;
    assert_eq!(answer(&unknown), (422, "unknown-role"));
    let give = json!({"principal": {"service": "portal"}, "role": "api:Sender", "scope": "root"});
    assert_eq!(world.post("/api/v1/bindings", give).await.status, 200);
    assert_eq!(world.ok("/api/v1/bindings?service=portal&scope=root").await["items"][0]["role"], "api:sender");
    assert_eq!(world.by(key, "GET", "/api/v1/sources", None).await.status, 200);
    let path = format!("/api/v1/services/portal/secrets/{}", secret.body["id"].as_str().unwrap());
    assert_eq!(world.delete(&path).await.status, 200);
    assert_eq!(world.by(key, "GET", "/api/v1/sources", None).await.status, 401);
    let secret = world.post("/api/v1/services/portal/secrets", json!({})).await;
    let key = secret.body["secret"].as_str().unwrap();
    assert_eq!(world.delete("/api/v1/services/portal").await.status, 200);
    assert_eq!(world.by(key, "GET", "/api/v1/services", None).await.status, 401);
    assert_eq!(world.post("/api/v1/services", json!({"id": "portal"})).await.status, 201);
    assert_eq!(world.by(key, "GET", "/api/v1/services", None).await.status, 401, "what was ended stays ended");
}

#[tokio::test]
async fn a_local_group_gives_its_roles_to_everybody_inside() {
    let world = World::under("harbor").await;
    world.post("/api/v1/projects", json!({"name": "tools"})).await;
    for id in ["outer", "inner"] {
        assert_eq!(world.post("/api/v1/groups", json!({"id": id})).await.status, 201);
    }
    assert_eq!(world.put("/api/v1/groups/local/outer/members/group/local%2Finner", json!({})).await.status, 200);
    let entered = world.put("/api/v1/groups/local/inner/members/user/ada", json!({})).await;
    assert_eq!(entered.status, 200, "{}", entered.text);
    let direct = world.ok("/api/v1/groups/local/outer/members").await;
    assert_eq!(direct["items"], json!([{"kind": "group", "id": "local/inner", "user": null}]));
    let all = world.ok("/api/v1/groups/local/outer/members?transitive=true").await;
    assert_eq!(all["items"], json!([{"kind": "user", "id": "flexnet/ada", "user": "ada"}]));
    let give = json!({"principal": {"group": "local/outer"}, "role": "developer", "scope": {"project": "tools"}});
    assert_eq!(world.post("/api/v1/bindings", give).await.status, 200);
    let ada = world.secret("ada").await;
    assert_eq!(world.by(&ada, "GET", "/api/v1/projects/tools", None).await.status, 200);
    assert_eq!(world.delete("/api/v1/groups/local/inner/members/user/ada").await.status, 200);
    assert_eq!(world.by(&ada, "GET", "/api/v1/projects/tools", None).await.status, 404);
    assert_eq!(world.delete("/api/v1/groups/local/outer").await.status, 200);
    assert_eq!(answer(&world.get("/api/v1/groups/local/outer").await), (404, "unknown-group"));
}

#[tokio::test]
async fn whoever_makes_something_is_told_how_to_name_it_and_what_there_is_to_change() {
    let world = World::under("portus").await;
    assert_eq!(world.post("/api/v1/groups", json!({"id": "ops"})).await.body["id"], "local/ops");
    assert_eq!(world.post("/api/v1/services", json!({"id": "ci"})).await.body["id"], "ci");
    assert_eq!(answer(&world.post("/api/v1/services/nope/secrets", json!({})).await), (404, "unknown-service"));
    let odd = world.post("/api/v1/projects", json!({"name": "tools", "kind": "galaxy"})).await;
    assert_eq!(answer(&odd), (422, "invalid-body"));
    let own = world.live.read().profile().kind_name(rollcall_events::body::ProjectKind::Standard).to_owned();
    assert!(odd.text.contains(&own), "{}", odd.text);
    assert_eq!(world.post("/api/v1/projects", json!({"name": "tools", "kind": own})).await.status, 201);
    let nothing = world.patch("/api/v1/projects/tools", json!({})).await;
    assert_eq!(answer(&nothing), (422, "invalid-body"));
    assert!(nothing.text.contains("nothing to change"), "{}", nothing.text);
    let give = |principal: Value, ends: &str| json!({"principal": principal, "role": "api:auditor", "scope": "root", "ends": ends});
    let late = world.post("/api/v1/bindings", give(json!({"user": "ada"}), "tomorrow")).await;
    assert!(late.text.contains("an instant in RFC 3339, such as 2026-01-31T12:00:00Z"), "{}", late.text);
    let nobody = world.post("/api/v1/bindings", give(json!({"person": "ada"}), "2027-01-01T00:00:00Z")).await;
    assert!(nobody.text.contains("exactly one of user, service, group"), "{}", nobody.text);
    assert!(!late.text.contains("at line") && !nobody.text.contains("at line"));
}

#[tokio::test]
async fn who_sees_a_project_alone_is_not_told_who_made_it_or_where_it_is() {
    let world = World::under("harbor").await;
    let (ada, pat) = (world.secret("ada").await, world.secret("pat").await);
    let open = json!({"name": "tools", "visibility": "public"});
    assert_eq!(world.by(&ada, "POST", "/api/v1/projects", Some(open)).await.status, 201);
    let seen = world.by(&pat, "GET", "/api/v1/projects/tools", None).await;
    assert_eq!(json!([seen.body["creator"], seen.body["ownerless"]]), json!([null, null]), "{}", seen.text);
    let own = world.by(&ada, "GET", "/api/v1/projects/tools", None).await;
    assert_eq!(json!([own.body["creator"], own.body["ownerless"]]), json!(["ada", false]));
    assert_eq!(world.post("/api/v1/groups", json!({"id": "secret"})).await.status, 201);
    let give = json!({"principal": {"group": "local/secret"}, "role": "guest", "scope": {"project": "tools"}});
    assert_eq!(answer(&world.by(&ada, "POST", "/api/v1/bindings", Some(give.clone())).await), (404, "unknown-group"));
    assert_eq!(world.put("/api/v1/groups/local/secret/members/user/ada", json!({})).await.status, 200);
    let plan = json!({"scope": [{"project": "tools", "binding": [
        {"user": "ada", "role": "project_admin"}, {"group": "local/secret", "role": "guest"}]}]});
    let told = world.by(&ada, "POST", "/api/v1/bindings/plan", Some(plan.clone())).await;
    assert_eq!(told.body["rows"][0]["name"], "local/secret", "{}", told.text);
    assert_eq!(told.body["memberships"]["rows"], json!([]), "{}", told.text);
    let all = world.post("/api/v1/bindings/plan", plan).await;
    assert_eq!(all.body["memberships"]["rows"][0]["name"], "ada", "{}", all.text);
    assert_eq!(all.body["memberships"]["total"], told.body["memberships"]["total"]);
    assert_eq!(world.by(&ada, "POST", "/api/v1/bindings", Some(give)).await.status, 200, "who is in it knows it");
    let members = world.by(&ada, "GET", "/api/v1/projects/acme/members", None).await;
    assert_eq!(members.body["items"].as_array().unwrap().len(), 1, "a customer sees itself: {}", members.text);
}

#[tokio::test]
async fn an_error_in_a_document_of_bindings_names_scope_binding_and_name() {
    let world = World::under("harbor").await;
    assert_eq!(world.post("/api/v1/projects", json!({"name": "tools"})).await.status, 201);
    let document = json!({"scope": [{"project": "tools", "binding": [
        {"user": "ada", "role": "guest"}, {"user": "nobody", "role": "guest"}]}]});
    let told = world.post("/api/v1/bindings/plan", document).await;
    assert_eq!(answer(&told), (404, "unknown-user"));
    let detail = told.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("scope 1 (project `tools`), binding 2 (user `nobody`): "), "{detail}");
    for changes in [
        json!([{"profile": "harbor"}]),
        json!([{"command": {"type": "rollcall.project.deleted.v1", "data": {"project": "tools"}}}]),
    ] {
        let told = world.post("/api/v1/preview", json!({"changes": changes})).await;
        assert_eq!(told.status, 200, "{}", told.text);
        assert_ne!(told.body["effects"][0]["effect"], "refused", "{}", told.text);
    }
}

/// `lifecycle-046` through the API: whatever the way and the model, it is refused before anything is recorded.
#[tokio::test]
async fn lifecycle_046_a_role_that_the_profile_lacks_is_refused_before_anything_is_recorded() {
    for (profile, _) in rollcall_access::profile::BUNDLED {
        let world = World::under(profile).await;
        let head = world.head();
        let before = world.ok("/api/v1/users/ada/access").await;
        let bind = json!({"principal": {"user": "ada"}, "role": "wizard", "scope": "root"});
        let document = json!({"scope": [{"root": true, "binding": [{"user": "ada", "role": "wizard"}]}]});
        for (path, body) in [
            ("/api/v1/bindings", bind.clone()),
            ("/api/v1/bindings/plan", document.clone()),
            ("/api/v1/bindings/apply", document),
            ("/api/v1/preview", json!({"changes": [{"bind": bind}]})),
        ] {
            let refused = world.post(path, body).await;
            assert_eq!(answer(&refused), (422, "unknown-role"), "{profile} {path}: {}", refused.text);
            assert!(refused.text.contains("api:auditor"), "{profile} {path} names the roles: {}", refused.text);
        }
        assert_eq!(world.head(), head, "{profile}");
        assert_eq!(world.ok("/api/v1/users/ada/access").await, before, "{profile}");
    }
}

/// Whoever may make projects could take the name that a package will need: it is seen, and can be kept from happening.
#[tokio::test]
async fn a_name_that_somebody_took_from_a_package_is_shown_and_names_can_be_kept_for_packages() {
    let world = World::under("harbor").await;
    let ada = world.secret("ada").await;
    let make = |name: &str| json!({"name": name});
    assert_eq!(world.by(&ada, "POST", "/api/v1/projects", Some(make("lake"))).await.status, 201);
    let package = |id: &str, name: &str, version| {
        let data = json!({"package": id, "project_name": name, "producer": "vendor", "container_delivery": true});
        event(&format!("{id}-{version}"), "package.upserted", version, data)
    };
    let said = world.facts(&[package("lake-suite", "lake", 1)]).await;
    assert_eq!(said.body["events"][0]["effect"], "parked");
    let why = said.body["events"][0]["reason"].as_str().unwrap();
    assert!(why.contains("belongs to project local/lake") && why.contains("another project_name"), "{why}");
    assert_eq!(world.ok("/api/v1/projects/lake").await["claimed_by"], json!(["flexnet/lake-suite"]));
    assert_eq!(world.ok("/api/v1/projects/acme").await["claimed_by"], json!([]));
    let own = world.by(&ada, "GET", "/api/v1/projects/lake", None).await;
    assert_eq!(own.body["claimed_by"], json!([]), "what a vendor is about to publish is not told: {}", own.text);
    let sources = world.ok("/api/v1/sources").await;
    let parked = &sources["items"].as_array().unwrap().iter().find(|row| row["name"] == "flexnet").unwrap()["parked"];
    assert_eq!(parked["count"], 1);
    assert!(parked["first"][0].as_str().unwrap().starts_with("package/lake-suite (event "), "{parked}");

    let settings = world.live.read().settings().clone();
    let reserved_names = vec!["lake-*".to_owned(), "sea".to_owned()];
    world.say(&Event::SettingsSet(rollcall_events::Settings { reserved_names, ..settings })).await;
    let head = world.head();
    for name in ["lake-2", "sea"] {
        let made = world.by(&ada, "POST", "/api/v1/projects", Some(make(name))).await;
        assert_eq!(answer(&made), (409, "taken"), "{}", made.text);
        let renamed = world.by(&ada, "PATCH", "/api/v1/projects/lake", Some(make(name))).await;
        assert_eq!(answer(&renamed), (409, "taken"), "{}", renamed.text);
    }
    assert_eq!(world.head(), head);
    let said = world.facts(&[package("lake-suite", "lake-2", 2)]).await;
    assert_eq!(said.body["events"][0]["effect"], "applied", "{}", said.text);
    assert_eq!(world.ok("/api/v1/projects/lake").await["claimed_by"], json!([]));
    assert_eq!(world.post("/api/v1/projects", make("sea")).await.status, 201, "the operator may");
}

#[tokio::test]
async fn what_is_so_already_changes_nothing_and_a_filter_that_names_nothing_is_told() {
    let world = World::under("harbor").await;
    assert_eq!(world.post("/api/v1/groups", json!({"id": "ops"})).await.status, 201);
    let member = "/api/v1/groups/local/ops/members/user/ada";
    let tag = |reply: Reply| reply.header("etag").to_owned();
    let empty = tag(world.get("/api/v1/groups/local/ops").await);
    assert_eq!(world.delete(member).await.body["effect"], "no_change", "nobody was in it");
    assert_eq!(tag(world.get("/api/v1/groups/local/ops").await), empty);
    assert_eq!(world.put(member, json!({})).await.body["effect"], "applied");
    let boss = world.service("boss", "api:administrator", body::Scope::Root).await;
    let again = world.by(&boss, "PUT", member, Some(json!({}))).await;
    assert_eq!(again.body["effect"], "no_change", "whoever says it: {}", again.text);
    assert_eq!(world.delete(member).await.body["effect"], "applied");
    assert_eq!(world.by(&boss, "DELETE", member, None).await.body["effect"], "no_change");

    let ada = world.secret("ada").await;
    for (filter, problem) in [
        ("user=nope", "unknown-user"),
        ("service=nope", "unknown-service"),
        ("group=local/nope", "unknown-group"),
        ("project=nope", "unknown-project"),
        ("folder=nope", "unknown-folder"),
    ] {
        let path = format!("/api/v1/bindings?{filter}");
        assert_eq!(answer(&world.get(&path).await), (404, problem));
        let own = world.by(&ada, "GET", &path, None).await;
        assert_eq!(
            (own.status.as_u16(), &own.body["items"]),
            (200, &json!([])),
            "{filter}: nothing is told: {}",
            own.text
        );
    }
}
