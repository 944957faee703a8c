//! Who calls: the operator, services with secrets and bindings, users with registry secrets, nobody.

use axum::{
    body::Body,
    http::{Method, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Duration;
use rollcall_authn::PasswordAnswer;
use rollcall_events::{
    Body as Event, Digest, Sha256Hex,
    body::{self, Author, SecretOwner},
};
use serde_json::{Value, json};

use super::world::{Reply, World};

impl World {
    /// Makes a service with a role of the API on a scope, and a secret of it.
    pub async fn service(&self, id: &str, role: &str, scope: body::Scope) -> String {
        self.portal(id, role, scope, &[]).await
    }

    /// The same, which serves some sources alone.
    pub async fn portal(&self, id: &str, role: &str, scope: body::Scope, sources: &[&str]) -> String {
        let service = body::Service {
            service: id.parse().unwrap(),
            name: None,
            ends: None,
            sources: sources.iter().map(|source| source.parse().unwrap()).collect(),
            author: None,
            made_with: None,
        };
        self.say(&Event::ServiceCreated(service)).await;
        let principal = body::Principal::Service(id.parse().unwrap());
        if !role.is_empty() {
            let (role, author) = (role.to_owned(), Author::operator());
            let binding = body::Binding { principal, role, scope, author, starts: None, ends: None, made_with: None };
            let set = self.say(&Event::BindingSet(binding)).await;
            assert_ne!(set["effect"], "refused", "{set}");
        }
        self.secret_of(SecretOwner::Service(id.parse().unwrap())).await
    }

    /// Records a secret, as another process could.
    pub async fn secret_of(&self, owner: SecretOwner) -> String {
        let text = format!("rcs_{:?}_{}", owner, self.head());
        let secret = body::Secret {
            secret: format!("sec_{}", self.head()).parse().unwrap(),
            owner,
            sha256: Sha256Hex(Digest::of(text.as_bytes()).0),
            label: None,
            expires: None,
            invitation: None,
            author: None,
            made_with: None,
        };
        let issued = self.say(&Event::SecretIssued(secret)).await;
        assert_eq!(issued["effect"], "applied", "{issued}");
        text
    }

    /// A registry secret of a user of `flexnet`.
    pub async fn secret(&self, user: &str) -> String {
        self.secret_of(SecretOwner::User(format!("flexnet/{user}").parse().unwrap())).await
    }

    /// A request under somebody's own secret.
    pub async fn by(&self, secret: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let request = Request::builder().method(Method::try_from(method).unwrap()).uri(path);
        let request = request.header("authorization", format!("Bearer {secret}"));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }
}

fn answer(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.problem())
}

fn names(reply: &Reply, key: &str) -> Vec<String> {
    reply.body["items"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_user_sees_itself_and_keeps_its_own_secrets_without_any_role() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    assert_eq!(names(&world.by(&ada, "GET", "/api/v1/users", None).await, "name"), ["ada"]);
    assert_eq!(world.by(&ada, "GET", "/api/v1/users/ada", None).await.status, 200);
    let access = world.by(&ada, "GET", "/api/v1/users/flexnet%2Fada/access", None).await;
    assert_eq!(names(&access, "project"), ["acme"]);
    let made = world.by(&ada, "POST", "/api/v1/users/ada/secrets", Some(json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let event = world.ok(&format!("/api/v1/events/{}", made.body["position"])).await;
    assert_eq!(event["data"]["author"], "user:flexnet/ada", "the author is the caller");
    let own = format!("/api/v1/users/ada/secrets/{}", made.body["id"].as_str().unwrap());
    assert_eq!(world.by(&ada, "DELETE", &own, None).await.status, 200);
    let why = json!({"user": "ada", "action": "pull", "project": "acme"});
    assert_eq!(world.by(&ada, "POST", "/api/v1/explain", Some(why)).await.body["allowed"], true);
}

#[tokio::test]
async fn of_others_a_user_learns_no_more_than_of_nobody() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    for (method, path) in [
        ("GET", "/api/v1/users/NAME"),
        ("GET", "/api/v1/users/NAME/access"),
        ("GET", "/api/v1/users/NAME/secrets"),
        ("POST", "/api/v1/users/NAME/secrets"),
        ("POST", "/api/v1/users/NAME/credentials-reset"),
    ] {
        let mut texts = Vec::new();
        for name in ["pat", "nobody"] {
            let reply = world.by(&ada, method, &path.replace("NAME", name), None).await;
            assert_eq!(answer(&reply), (404, "unknown-user"), "{method} {path}");
            texts.push(reply.text.replace(name, "NAME"));
        }
        assert_eq!(texts[0], texts[1]);
    }
    for path in ["/api/v1/events", "/api/v1/people", "/api/v1/people/flexnet/pat", "/api/v1/decisions/dec_x"] {
        let reply = world.by(&ada, "GET", path, None).await;
        assert_eq!(answer(&reply), (403, "forbidden"), "{path}");
        assert!(reply.body["detail"].as_str().unwrap().contains(".list"), "{}", reply.text);
    }
    let why = json!({"user": "pat", "action": "pull", "project": "acme"});
    assert_eq!(answer(&world.by(&ada, "POST", "/api/v1/explain", Some(why)).await), (403, "forbidden"));
    let members = world.by(&ada, "GET", "/api/v1/projects/acme/members", None).await;
    assert_eq!(names(&members, "user"), ["ada"], "a customer is told of no other");
}

#[tokio::test]
async fn a_password_in_a_directory_signs_in_wherever_a_secret_does() {
    let world = World::licensing().await;
    world.passwords.say(PasswordAnswer::Good);
    let send = async |method: &str, path: &str, more: Option<&str>| {
        let credential = format!("Basic {}", STANDARD.encode("ada:love:lace é"));
        let request = Request::builder().method(method).uri(path).header("authorization", credential);
        let request = match more {
            Some(key) => request.header("content-type", "application/json").header("idempotency-key", key),
            None => request,
        };
        let body = if more.is_some() { Body::from("{}") } else { Body::empty() };
        world.send(request.body(body).unwrap()).await
    };
    assert_eq!(names(&send("GET", "/api/v1/users", None).await, "name"), ["ada"]);
    assert_eq!(answer(&send("GET", "/api/v1/events", None).await), (403, "forbidden"));
    let made = send("POST", "/api/v1/users/ada/secrets", Some("k1")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let event = world.ok(&format!("/api/v1/events/{}", made.body["position"])).await;
    assert_eq!(event["data"]["author"], "user:flexnet/ada");
    assert_eq!(send("POST", "/api/v1/users/ada/secrets", Some("k1")).await.body, made.body, "the stored answer");
    let asked = world.passwords.asked.lock().unwrap().clone();
    let expected = ("ada".to_owned(), "love:lace é".to_owned());
    assert!(!asked.is_empty() && asked.iter().all(|one| *one == expected), "{asked:?}");
}

#[tokio::test]
async fn guesses_under_many_names_make_their_client_wait_and_no_other() {
    let world = World::licensing().await;
    let guess = async |address, name: &str| {
        let credential = format!("Basic {}", STANDARD.encode(format!("{name}:guess of {name}")));
        let request = Request::get("/api/v1/users").header("authorization", credential).body(Body::empty()).unwrap();
        world.send_from(address, request).await.status
    };
    let names: Vec<String> = (0..100).map(|n| format!("user{n}")).collect();
    let all = futures_util::future::join_all(names.iter().map(|name| guess([198, 51, 100, 1], name))).await;
    assert!(all.iter().all(|status| *status == 401), "{all:?}");
    assert_eq!(guess([198, 51, 100, 1], "pat").await, 429);
    assert_eq!(guess([198, 51, 100, 2], "pat").await, 401, "a neighbour in the network is another client");
}

#[tokio::test]
async fn a_password_that_is_not_taken_says_whether_to_wait_or_to_send_another() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    let send = async |credential: String| {
        let request = Request::get("/api/v1/users").header("authorization", credential).body(Body::empty()).unwrap();
        world.send(request).await
    };
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    let check = async |pair: &str, expected, wait: &str| {
        let reply = send(basic(pair.to_owned())).await;
        assert_eq!((answer(&reply), reply.header("retry-after")), (expected, wait), "{}", reply.text);
        assert_eq!(send(basic(format!("ada:{ada}"))).await.status, 200, "a secret needs no directory");
    };
    // After ten guesses the name waits a second, then two, four and eight.
    for n in 0..10 {
        check(&format!("ada:guess {n}"), (401, "unauthenticated"), "").await;
    }
    for (n, seconds) in [(10, 1), (11, 2), (12, 4)] {
        check("ada:more", (429, "overloaded"), &seconds.to_string()).await;
        world.clock.pass(Duration::seconds(seconds));
        check(&format!("ada:guess {n}"), (401, "unauthenticated"), "").await;
    }
    world.clock.pass(Duration::seconds(1));
    check("ada:more", (429, "overloaded"), "7").await;
    world.passwords.say(PasswordAnswer::Unavailable);
    check("pat:guess", (503, "unavailable"), "5").await;
    let asked = world.passwords.count();
    for credential in [basic(format!("admin:{}", super::world::KEY)), format!("Bearer {ada}x"), "Basic !".to_owned()] {
        assert_eq!(send(credential).await.status, 401);
    }
    assert_eq!((asked, world.passwords.count()), (14, 14), "no directory sees the admin key, nor anything in a wait");
}

#[tokio::test]
async fn a_secret_signs_in_as_bearer_and_with_its_own_name_only() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    let robot = world.service("robot", "", body::Scope::Root).await;
    for (name, secret, status) in [
        ("ada", &ada, 200),
        ("ADA", &ada, 200),
        ("pat", &ada, 401),
        ("", &ada, 401),
        ("robot", &robot, 200),
        ("ada", &robot, 401),
    ] {
        let credential = format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")));
        let request = Request::get("/api/v1/users").header("authorization", credential).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, status, "{name}");
    }
    let key = format!("Basic {}", STANDARD.encode(format!("admin:{}", super::world::KEY)));
    let request = Request::get("/api/v1/users").header("authorization", key).body(Body::empty()).unwrap();
    assert_eq!(world.send(request).await.status, 401, "the admin key is no password");
}

#[tokio::test]
async fn who_is_suspended_or_removed_is_nobody() {
    let world = World::licensing().await;
    let (ada, robot) = (world.secret("ada").await, world.service("robot", "api:auditor", body::Scope::Root).await);
    assert_eq!(world.by(&robot, "GET", "/api/v1/events", None).await.status, 200);
    let gone = body::ServiceRef { service: "robot".parse().unwrap(), author: None, made_with: None };
    world.say(&Event::ServiceRemoved(gone)).await;
    assert_eq!(answer(&world.by(&robot, "GET", "/api/v1/events", None).await), (401, "unauthenticated"));
    world.facts(&[super::world::event("left", "person.removed", 9, json!({"person": "ada"}))]).await;
    assert_eq!(answer(&world.by(&ada, "GET", "/api/v1/users/ada", None).await), (401, "unauthenticated"));
}

#[tokio::test]
async fn an_auditor_reads_everything_and_changes_nothing() {
    let world = World::licensing().await;
    let key = world.service("audit", "api:auditor", body::Scope::Root).await;
    for path in ["/api/v1/events", "/api/v1/users/pat", "/api/v1/projects/acme/members", "/api/v1/bindings"] {
        assert_eq!(world.by(&key, "GET", path, None).await.status, 200, "{path}");
    }
    let head = world.head();
    for (method, path) in [
        ("POST", "/api/v1/users/ada/secrets"),
        ("POST", "/api/v1/log/verify"),
        ("DELETE", "/api/v1/people/flexnet/ada/personal"),
        ("POST", "/api/v1/keys/rotate"),
    ] {
        assert_eq!(answer(&world.by(&key, method, path, None).await), (403, "forbidden"), "{method} {path}");
    }
    let binding = json!({"principal": {"service": "audit"}, "role": "api:administrator", "scope": "root"});
    assert_eq!(answer(&world.by(&key, "POST", "/api/v1/bindings", Some(binding)).await), (403, "forbidden"));
    assert_eq!(world.head(), head, "nothing was recorded");
}

#[tokio::test]
async fn a_project_admin_is_at_home_in_its_project_and_blind_elsewhere() {
    let world = World::licensing().await;
    let key = world.service("acme-ci", "api:project_admin", body::Scope::Project("flexnet/db-suite".parse().unwrap()));
    let key = key.await;
    assert_eq!(names(&world.by(&key, "GET", "/api/v1/projects", None).await, "name"), ["acme"]);
    let members = world.by(&key, "GET", "/api/v1/projects/acme/members", None).await;
    assert_eq!(names(&members, "user"), ["ada", "pat"]);
    assert_eq!(names(&world.by(&key, "GET", "/api/v1/bindings", None).await, "service"), ["acme-ci"]);
    let why = |user: &str| json!({"user": user, "action": "pull", "project": "acme"});
    assert_eq!(world.by(&key, "POST", "/api/v1/explain", Some(why("ada"))).await.status, 200);
    assert_eq!(answer(&world.by(&key, "POST", "/api/v1/explain", Some(why("bob"))).await), (404, "unknown-user"));
    assert_eq!(answer(&world.by(&key, "GET", "/api/v1/users/ada", None).await), (404, "unknown-user"));
    let give = |role: &str| json!({"principal": {"service": "acme-ci"}, "role": role, "scope": {"project": "acme"}});
    assert_eq!(world.by(&key, "POST", "/api/v1/bindings", Some(give("api:project_admin"))).await.status, 200);
    assert_eq!(
        answer(&world.by(&key, "POST", "/api/v1/bindings", Some(give("api:auditor"))).await),
        (403, "forbidden"),
        "nobody gives more than he or she has"
    );
}

#[tokio::test]
async fn a_sender_gives_secrets_also_to_somebody_who_may_do_more_and_they_reach_nothing_of_it() {
    let world = World::licensing().await;
    let key = world.service("portal", "api:sender", body::Scope::Root).await;
    let made = world.by(&key, "POST", "/api/v1/users/ada/secrets", Some(json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(answer(&world.by(&key, "POST", "/api/v1/users/bob/secrets", None).await), (404, "unknown-user"));
    let boss = json!({"principal": {"user": "pat"}, "role": "api:administrator", "scope": "root"});
    assert_eq!(world.post("/api/v1/bindings", boss).await.status, 200);
    let made = world.by(&key, "POST", "/api/v1/users/pat/secrets", None).await;
    let invited = world.by(&key, "POST", "/api/v1/users/pat/invitations", None).await;
    let request = Request::post(invited.body["path"].as_str().unwrap()).body(Body::empty()).unwrap();
    for reply in [made, world.send(request).await] {
        let secret = reply.body["secret"].as_str().unwrap_or_else(|| panic!("{}", reply.text));
        assert_eq!(answer(&world.by(secret, "GET", "/api/v1/events", None).await), (403, "forbidden"));
        assert_eq!(world.by(secret, "GET", "/api/v1/users/pat", None).await.status, 200);
    }
}

#[tokio::test]
async fn a_cursor_and_a_stored_answer_are_the_callers_own() {
    let world = World::licensing().await;
    let (one, other) = (world.service("one", "api:auditor", body::Scope::Root).await, "two");
    let other = world.service(other, "api:auditor", body::Scope::Root).await;
    let page = world.by(&one, "GET", "/api/v1/users?limit=1", None).await;
    let next = format!("/api/v1/users?limit=1&cursor={}", page.body["next"].as_str().unwrap());
    assert_eq!(world.by(&one, "GET", &next, None).await.status, 200);
    assert_eq!(answer(&world.by(&other, "GET", &next, None).await), (400, "invalid-cursor"));

    let (ada, pat) = (world.secret("ada").await, world.secret("pat").await);
    let mut ids = Vec::new();
    for (secret, name) in [(&ada, "ada"), (&pat, "pat"), (&ada, "ada")] {
        let request = Request::post(format!("/api/v1/users/{name}/secrets")).header("idempotency-key", "k");
        let request = request.header("authorization", format!("Bearer {secret}")).body(Body::empty()).unwrap();
        let reply = world.send(request).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        ids.push(reply.body["id"].clone());
    }
    assert_eq!(ids[0], ids[2], "the same caller gets the stored answer");
    assert_ne!(ids[0], ids[1], "another caller's key is another key");
}

#[tokio::test]
async fn a_command_that_rests_on_what_was_seen_is_refused_when_it_changed() {
    let world = World::licensing().await;
    let give = json!({"principal": {"user": "pat"}, "role": "api:auditor", "scope": "root"});
    let set = world.post("/api/v1/bindings", give.clone()).await;
    let path = format!("/api/v1/bindings/{}", set.body["id"].as_str().unwrap());
    let seen = world.get(&path).await;
    let tag = seen.header("etag").to_owned();
    assert!(tag.starts_with(&format!("\"pos-{}", set.body["position"])), "{tag}");
    let mut later = give.clone();
    later["ends"] = json!(super::world::at(5));
    let change = |tag: &str, header: &'static str| {
        let request = Request::post("/api/v1/bindings").header(header, tag).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {}", super::world::KEY));
        world.send(request.body(Body::from(later.to_string())).unwrap())
    };
    assert_eq!(answer(&change("*", "if-none-match").await), (412, "changed"));
    assert_eq!(change(&tag, "if-match").await.status, 200);
    assert_eq!(answer(&change(&tag, "if-match").await), (412, "changed"), "it is another since");
    let request = Request::post("/api/v1/log/verify").header("if-match", "*");
    let request = request.header("authorization", format!("Bearer {}", super::world::KEY));
    assert_eq!(answer(&world.send(request.body(Body::empty()).unwrap()).await), (400, "invalid-query"));
}

#[tokio::test]
async fn a_body_that_never_comes_holds_no_other_command_up() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    for (path, header, tag) in
        [("/api/v1/bindings", "if-none-match", "*"), ("/api/v1/bindings/apply", "if-match", "\"0123\"")]
    {
        let (asked, reading) = tokio::sync::oneshot::channel();
        let mut asked = Some(asked);
        let silent = Body::from_stream(futures_util::stream::poll_fn(move |_| {
            asked.take().map(|asked| asked.send(()));
            std::task::Poll::<Option<Result<Vec<u8>, std::io::Error>>>::Pending
        }));
        let request = Request::post(path).header("authorization", format!("Bearer {ada}")).header(header, tag);
        let request = request.header("content-type", "application/json").body(silent).unwrap();
        let slow = world.spawn(request);
        reading.await.unwrap();
        let other = world.post("/api/v1/users/pat/secrets", json!({})).await;
        assert_eq!(other.status, 201, "{path}: {}", other.text);
        slow.abort();
    }
}

#[tokio::test]
async fn a_condition_that_cannot_be_read_stops_the_command() {
    let world = World::licensing().await;
    let head = world.head();
    let document = json!({"scope": [{"root": true, "binding": []}]}).to_string();
    for (path, header, value) in [
        ("/api/v1/bindings", "if-match", &b"\"pos-1\xff\""[..]),
        ("/api/v1/bindings", "if-none-match", b"\xe9"),
        ("/api/v1/bindings", "if-match", b"pos-1"),
        ("/api/v1/bindings/apply", "if-match", b"\"x\xff\""),
        ("/api/v1/bindings/apply", "if-match", b"\"a\", \"b\""),
        ("/api/v1/bindings/apply", "if-match", b"*"),
        ("/api/v1/bindings/apply", "if-none-match", b"*"),
        ("/api/v1/log/verify", "if-none-match", b"\xff"),
    ] {
        let request = Request::post(path).header(header, value).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {}", super::world::KEY));
        let reply = world.send(request.body(Body::from(document.clone())).unwrap()).await;
        assert_eq!(answer(&reply), (400, "invalid-query"), "{path} {header}: {}", reply.text);
    }
    assert_eq!(world.head(), head);
}

/// Two people who look at the same group and both change it: the second is told, whatever of it the first changed.
#[tokio::test]
async fn a_group_is_another_as_soon_as_somebody_enters_or_leaves_it() {
    let world = World::licensing().await;
    for id in ["ops", "inner"] {
        assert_eq!(world.post("/api/v1/groups", json!({"id": id})).await.status, 201);
    }
    let (group, members) = ("/api/v1/groups/local/ops", "/api/v1/groups/local/ops/members");
    let send = |method: &'static str, path: String, tag: String| {
        let request = Request::builder().method(method).uri(path).header("if-match", tag);
        let request = request.header("authorization", format!("Bearer {}", super::world::KEY));
        world.send(request.body(Body::empty()).unwrap())
    };
    for (method, member) in [("PUT", "user/ada"), ("PUT", "group/local%2Finner"), ("DELETE", "user/ada")] {
        let member = format!("{members}/{member}");
        let tag = world.get(group).await.header("etag").to_owned();
        let of_members = world.get(members).await.header("etag").to_owned();
        let changed = send(method, member.clone(), of_members).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let seen = world.get(group).await;
        assert_ne!(seen.header("etag"), tag, "{method} {member}");
        assert_eq!(seen.body["position"], changed.body["position"]);
        assert_eq!(answer(&send(method, member, tag.clone()).await), (412, "changed"));
        assert_eq!(answer(&send("DELETE", group.to_owned(), tag).await), (412, "changed"), "{method}");
    }
    // What happens elsewhere is no change of it.
    let tag = world.get(group).await.header("etag").to_owned();
    assert_eq!(
        world.by(super::world::KEY, "PUT", "/api/v1/groups/local/inner/members/user/pat", None).await.status,
        200
    );
    assert_eq!(world.get(group).await.header("etag"), tag);
    assert_eq!(send("DELETE", group.to_owned(), tag).await.status, 200);
}

/// Whoever got at a secret that ends keeps nothing that lasts longer, for himself or anybody else.
#[tokio::test]
async fn what_a_secret_that_ends_makes_ends_with_it() {
    let world = World::licensing().await;
    let (soon, end, late) = (super::world::at(1), super::world::at(2), super::world::at(3));
    let ending = |expires| json!({"expires": expires});
    let portal = world.service("portal", "api:sender", body::Scope::Root).await;
    let portal = world.by(&portal, "POST", "/api/v1/users/ada/secrets", Some(ending(late))).await;
    assert_eq!(portal.body["expires"], json!(late), "a secret without an end makes one with any: {}", portal.text);
    world.post("/api/v1/services", json!({"id": "boss"})).await;
    let role = json!({"principal": {"service": "boss"}, "role": "api:administrator", "scope": "root"});
    assert_eq!(world.post("/api/v1/bindings", role).await.status, 200);
    for (own, others) in [("users/ada", "users/ada"), ("services/boss", "users/pat")] {
        let own = format!("/api/v1/{own}/secrets");
        let short = world.post(&own, ending(end)).await.body["secret"].as_str().unwrap().to_owned();
        for path in [own, format!("/api/v1/{others}/secrets")] {
            let made = world.by(&short, "POST", &path, Some(json!({}))).await;
            assert_eq!((made.status.as_u16(), &made.body["expires"]), (201, &json!(end)), "{path}: {}", made.text);
            let made = world.by(&short, "POST", &path, Some(ending(soon))).await;
            assert_eq!((made.status.as_u16(), &made.body["expires"]), (201, &json!(soon)), "{path}: {}", made.text);
            let head = world.head();
            let refused = world.by(&short, "POST", &path, Some(ending(late))).await;
            assert_eq!(answer(&refused), (422, "invalid-body"), "{path}");
            assert_eq!(refused.body["errors"][0]["pointer"], "/expires", "{}", refused.text);
            assert_eq!(world.head(), head);
        }
        let invited = world.by(&short, "POST", &format!("/api/v1/{others}/invitations"), Some(json!({}))).await;
        assert_eq!((invited.status.as_u16(), &invited.body["expires"]), (201, &json!(end)), "{}", invited.text);
        let path = invited.body["path"].as_str().unwrap();
        let request = Request::post(path).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.body["expires"], json!(end), "{others}");
    }
}

/// A role begins and ends by the clock alone: what was seen before is then no answer any more.
#[tokio::test]
async fn what_a_caller_sees_is_not_the_same_when_a_role_begins_without_an_event() {
    let world = World::licensing().await;
    world.post("/api/v1/services", json!({"id": "late"})).await;
    let window = json!({"principal": {"service": "late"}, "role": "api:auditor", "scope": "root",
        "starts": super::world::at(2), "ends": super::world::at(4)});
    assert_eq!(world.post("/api/v1/bindings", window).await.status, 200);
    let key = world.secret_of(SecretOwner::Service("late".parse().unwrap())).await;
    for path in ["/api/v1/users", "/api/v1/services", "/api/v1/projects", "/api/v1/bindings", "/api/v1/folders"] {
        *world.clock.0.lock().unwrap() = super::world::at(1);
        let before = world.by(&key, "GET", path, None).await;
        *world.clock.0.lock().unwrap() = super::world::at(3);
        let after = world.by(&key, "GET", path, None).await;
        let known = Request::get(path).header("authorization", format!("Bearer {key}"));
        let known = world.send(known.header("if-none-match", before.header("etag")).body(Body::empty()).unwrap()).await;
        assert_eq!(known.status == 304, before.body == after.body, "{path}: {}", known.text);
    }
    *world.clock.0.lock().unwrap() = super::world::at(3);
    assert_eq!(names(&world.by(&key, "GET", "/api/v1/users", None).await, "name"), ["ada", "pat"]);
}

/// Whoever made a secret for somebody else knows perhaps what that one makes, too.
#[tokio::test]
async fn a_secret_that_was_given_reaches_nothing_that_others_give_and_makes_none_that_is_more() {
    let world = World::licensing().await;
    let portal = world.service("portal", "api:sender", body::Scope::Root).await;
    let secret = |reply: Reply| reply.body["secret"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned();
    let given = secret(world.by(&portal, "POST", "/api/v1/users/ada/secrets", Some(json!({}))).await);
    let second = secret(world.by(&given, "POST", "/api/v1/users/ada/secrets", Some(json!({}))).await);
    let invited = world.by(&second, "POST", "/api/v1/users/ada/invitations", Some(json!({}))).await;
    let request = Request::post(invited.body["path"].as_str().unwrap()).body(Body::empty()).unwrap();
    let third = secret(world.send(request).await);
    let own = secret(world.post("/api/v1/users/ada/secrets", json!({})).await);
    let kept = secret(world.by(&own, "POST", "/api/v1/users/ada/secrets", Some(json!({}))).await);
    let role = json!({"principal": {"user": "ada"}, "role": "api:auditor", "scope": "root"});
    assert_eq!(world.post("/api/v1/bindings", role).await.status, 200);
    for secret in [given, second, third] {
        assert_eq!(answer(&world.by(&secret, "GET", "/api/v1/events", None).await), (403, "forbidden"));
        let bindings = world.by(&secret, "GET", "/api/v1/bindings", None).await;
        assert_eq!(bindings.body["items"], json!([]), "what she was given is not told to who made it");
        let made = world.by(&secret, "POST", "/api/v1/projects", Some(json!({"name": "hers"}))).await;
        assert_eq!(made.status, 403, "{}", made.text);
    }
    for secret in [own, kept] {
        assert_eq!(world.by(&secret, "GET", "/api/v1/events", None).await.status, 200);
    }
}
