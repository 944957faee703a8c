//! A licensing system that is asked by HTTP, against an upstream on this machine that pages, fails and changes as it is told.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::support::{server::Server, wait_for};

/// What the upstream does instead of answering well.
#[derive(Clone)]
enum Fault {
    Answer(&'static str, &'static str),
    Cut,
    /// What stands there instead of the page.
    Body(Value),
    /// It waits until it is let go on.
    Wait,
}

#[derive(Default)]
struct State {
    items: Vec<Value>,
    /// What of the items changed lately, of which any question for changes is told.
    changed: Vec<Value>,
    faults: VecDeque<Fault>,
    /// What every read meets, from its first page on.
    script: Vec<Fault>,
    step: usize,
    asked: Vec<String>,
    unchanged: usize,
    waiting: bool,
}

/// An upstream of two items a page.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Upstream {
    fn start(items: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { items, ..State::default() };
        let upstream =
            Self { address: listener.local_addr().unwrap(), shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let served = upstream.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.answer(stream));
            }
        });
        upstream
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let made = change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
        made
    }

    fn fails(&self, faults: &[Fault]) {
        self.with(|state| state.faults.extend(faults.iter().cloned()));
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let request: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(path) = request.first().and_then(|line| line.split(' ').nth(1)).map(str::to_owned) else { return };
        let header = |name: &str| {
            let value =
                request.iter().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
            value.map(|(_, value)| value.to_owned())
        };
        let fault = self.with(|state| {
            state.asked.push(path.clone());
            state.step = if path == "/all" { 0 } else { state.step + 1 };
            state.faults.pop_front().or_else(|| state.script.get(state.step).cloned())
        });
        let authorised = header("authorization").as_deref() == Some("Bearer token-of-the-upstream");
        let respond = |stream: &mut TcpStream, status: &str, headers: &str, body: &str| {
            let length = body.len();
            drop(write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
            ));
        };
        match fault {
            Some(Fault::Answer(status, headers)) => return respond(&mut stream, status, headers, ""),
            Some(Fault::Cut) => {
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"data\":["));
                return;
            }
            Some(Fault::Body(body)) => return respond(&mut stream, "200 OK", "", &body.to_string()),
            Some(Fault::Wait) => {
                self.with(|state| state.waiting = true);
                let state = self.shared.0.lock().unwrap();
                drop(self.shared.1.wait_while(state, |state| state.waiting).unwrap());
            }
            None => {}
        }
        if !authorised {
            return respond(&mut stream, "401 Unauthorized", "", "");
        }
        let page: usize = path.split("page=").nth(1).map_or(0, |rest| rest.parse().unwrap());
        let (all, changes) = self.with(|state| {
            let changes = path.starts_with("/changed");
            (if changes { state.changed.clone() } else { state.items.clone() }, changes)
        });
        let data: Vec<_> = all.iter().skip(page * 2).take(2).collect();
        let more = all.len() > (page + 1) * 2;
        let next = if more { json!(format!("?page={}", page + 1)) } else { Value::Null };
        let body = if changes {
            json!({"data": all, "next": null, "count": all.len()})
        } else {
            json!({"data": data, "next": next, "count": all.len()})
        }
        .to_string();
        let etag =
            format!("\"{:x}\"", body.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())));
        if header("if-none-match").as_deref() == Some(etag.as_str()) {
            self.with(|state| state.unchanged += 1);
            return respond(&mut stream, "304 Not Modified", "", "");
        }
        respond(&mut stream, "200 OK", &format!("etag: {etag}\r\n"), &body);
    }
}

fn licence(n: usize, state: &str) -> Value {
    json!({"kind": "licence", "id": format!("L-{n}"), "account": "globex", "product": "DB", "state": state})
}

/// A vendor, a customer with a person, a package, and these licences.
fn world(licences: &[Value]) -> Vec<Value> {
    let mut all = vec![
        json!({"kind": "account", "id": "vendor", "role": "producer"}),
        json!({"kind": "account", "id": "globex", "role": "customer"}),
        json!({"kind": "user", "id": "u1", "login": "ada", "account": "globex", "mail": "ada@globex.example"}),
        json!({"kind": "package", "id": "acme"}),
    ];
    all.extend(licences.iter().cloned());
    all
}

const RULES: &str = r#"
[[source.portal.map]]
when = "payload.kind == 'account'"
emit = "account.upserted"
fields.account = "payload.id"
fields.kind = "payload.role"
[[source.portal.map]]
when = "payload.kind == 'user'"
emit = "person.upserted"
fields.person = "payload.id"
fields.username = "payload.login"
fields.account = "payload.account"
fields.active = "true"
fields.personal = "{'email': payload.mail}"
[[source.portal.map]]
when = "payload.kind == 'package'"
emit = "product.upserted"
fields.product = "'DB'"
[[source.portal.map]]
when = "payload.kind == 'package'"
emit = "package.upserted"
fields.package = "payload.id"
fields.project_name = "payload.id"
fields.producer = "'vendor'"
fields.container_delivery = "true"
[[source.portal.map]]
when = "payload.kind == 'package'"
emit = "package.product.mapped"
fields.package = "payload.id"
fields.product = "'DB'"
[[source.portal.map]]
when = "payload.kind == 'licence'"
emit = "entitlement.upserted"
fields.entitlement = "payload.id"
fields.account = "payload.account"
fields.state = "{'ON': 'active', 'OFF': 'inactive'}[payload.state]"
[[source.portal.map]]
when = "payload.kind == 'licence'"
emit = "entitlement.line.upserted"
fields.line = "payload.id"
fields.entitlement = "payload.id"
fields.product = "payload.product"
fields.starts = "null"
fields.ends = "null"
"#;

fn prepared(upstream: &Upstream, more: &str, of_read: &str) -> Server {
    let address = upstream.address;
    let server = Server::prepared(&format!(
        "[source.portal]\nkind = \"mapped\"\ncredentials_file = \"upstream.token\"\nclear_text = true\n\
         private_networks = [\"127.0.0.0/8\"]\njitter = \"0s\"\n{more}[[source.portal.read]]\nurl = \"http://{address}/all\"\n\
         items = \"payload.data\"\nnext = \"payload.next\"\ntotal = \"payload.count\"\n{of_read}{RULES}"
    ));
    server.dir.write("upstream.token", "token-of-the-upstream\n");
    server
}

fn asks(upstream: &Upstream) -> Server {
    let mut server = prepared(upstream, "", "");
    server.go();
    server
}

fn reading(server: &Server) -> Value {
    let sources = server.get("/api/v1/sources").json();
    let of = |source: &&Value| source["name"] == "portal";
    sources["items"].as_array().unwrap().iter().find(of).unwrap()["reading"].clone()
}

#[track_caller]
fn until(server: &Server, state: &str) -> Value {
    wait_for(&format!("the source to be {state}"), || Some(reading(server)).filter(|reading| reading["state"] == state))
}

fn kinds(server: &Server) -> Vec<String> {
    let events = server.pages("/api/v1/events?source=portal&limit=500");
    if let Some(last) = events.last() {
        server.reached(last["position"].as_u64().unwrap());
    }
    let kind = |event: &Value| {
        event["type"].as_str().unwrap().trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned()
    };
    events.iter().map(kind).collect()
}

fn count(server: &Server, kind: &str) -> usize {
    kinds(server).iter().filter(|known| *known == kind).count()
}

/// Reads it once more, from its start, and waits for the end of that.
fn read_again(server: &mut Server) -> String {
    let over = |server: &Server| {
        let ends = ["snapshot.sealed", "snapshot.aborted"];
        kinds(server).iter().filter(|kind| ends.contains(&kind.as_str())).count()
    };
    let before = over(server);
    server.restart();
    wait_for("the read to end", || (over(server) > before).then_some(()));
    kinds(server).into_iter().rfind(|kind| ["snapshot.sealed", "snapshot.aborted"].contains(&kind.as_str())).unwrap()
}

fn may_pull(server: &Server) -> bool {
    match server.cli(&["why", "ada", "pull", "acme/db"]) {
        said if said.code == 0 => true,
        said if said.code == 1 => false,
        said => panic!("{said:?}"),
    }
}

#[test]
fn a_listing_is_read_page_by_page_and_what_did_not_change_appends_two_events() {
    let upstream = Upstream::start(world(&[licence(1, "ON"), licence(2, "ON")]));
    let mut server = asks(&upstream);
    until(&server, "healthy");
    assert!(may_pull(&server));
    let asked = upstream.with(|state| std::mem::take(&mut state.asked));
    assert_eq!(asked, ["/all", "/all?page=1", "/all?page=2"]);
    let events = server.pages("/api/v1/events?source=portal&limit=500");
    assert!(!json!(events).to_string().contains("ada@globex.example"), "an address is in the log");
    let before = kinds(&server).len();
    assert_eq!(read_again(&mut server), "snapshot.sealed");
    assert_eq!(kinds(&server)[before..], ["snapshot.started", "snapshot.sealed"]);
    let doctor = server.cli(&["doctor"]);
    assert!(doctor.out.contains("portal") && doctor.out.contains("2 items"), "{doctor:?}");
}

/// E2 by reading: explicit states and absence.
#[test]
fn what_is_inactive_or_not_there_any_more_takes_the_right() {
    let upstream = Upstream::start(world(&[licence(1, "ON")]));
    let mut server = asks(&upstream);
    until(&server, "healthy");
    assert!(may_pull(&server));
    upstream.with(|state| state.items = world(&[licence(1, "OFF")]));
    read_again(&mut server);
    assert!(!may_pull(&server));
    upstream.with(|state| state.items = world(&[licence(1, "ON")]));
    read_again(&mut server);
    assert!(may_pull(&server));
    upstream.with(|state| state.items = world(&[]));
    read_again(&mut server);
    assert_eq!(count(&server, "entitlement.removed"), 1);
    assert!(!may_pull(&server));
}

#[test]
fn a_read_that_does_not_come_to_its_end_takes_nothing_away_and_says_why() {
    let upstream = Upstream::start(world(&[licence(1, "ON"), licence(2, "ON")]));
    let mut server = asks(&upstream);
    until(&server, "healthy");
    let of = |data: Value, next: &str, count: usize| Fault::Body(json!({"data": data, "next": next, "count": count}));
    let good = || of(json!([licence(1, "ON")]), "?page=1", 6);
    for (faults, state, told) in [
        (vec![Fault::Answer("401 Unauthorized", "")], "unauthorised", "401"),
        (vec![Fault::Answer("404 Not Found", "")], "blind", "404"),
        (
            vec![Fault::Answer("302 Found", "location: http://elsewhere.example/\r\n")],
            "blind",
            "no redirect is followed",
        ),
        (vec![Fault::Answer("429 Too Many Requests", "retry-after: 600\r\n")], "blind", "429"),
        (vec![Fault::Body(json!("none"))], "blind", "an object with `data` is expected"),
        (vec![Fault::Body(json!({"data": [], "next": null, "count": 6}))], "blind", "0 items of 6"),
        (vec![good(), of(json!([]), "?page=2", 5)], "blind", "it changed meanwhile"),
        (vec![good(), of(json!([]), "/all", 6)], "blind", "read already"),
        (vec![good(), of(json!([]), "http://elsewhere.example/all", 6)], "blind", "not what is configured"),
        (vec![of(json!([licence(1, "SOLD")]), "?page=1", 6)], "blind", "none of the words"),
        (vec![of(json!([{"kind": "licence"}]), "?page=1", 6)], "blind", "item 1"),
    ] {
        upstream.with(|state| state.script = faults);
        server.restart();
        let reading = wait_for(&format!("the source to say {told}"), || {
            Some(reading(&server)).filter(|of| of["reason"].as_str().is_some_and(|reason| reason.contains(told)))
        });
        assert_eq!(reading["state"], state, "{reading}");
        assert!(may_pull(&server), "{told}");
    }
    upstream.with(|state| state.script.clear());
    server.restart();
    until(&server, "healthy");
    assert_eq!(count(&server, "entitlement.removed"), 0);
}

#[test]
fn what_is_not_given_now_is_asked_for_again_within_the_read() {
    let upstream = Upstream::start(world(&[licence(1, "ON")]));
    upstream.fails(&[
        Fault::Answer("429 Too Many Requests", "retry-after: 0\r\n"),
        Fault::Answer("503 Service Unavailable", "retry-after: 0\r\n"),
        Fault::Cut,
    ]);
    let server = asks(&upstream);
    until(&server, "healthy");
    assert!(may_pull(&server));
    assert_eq!(count(&server, "snapshot.aborted"), 0);
    assert_eq!(upstream.with(|state| state.asked.len()), 3 + 3);
}

#[test]
fn when_much_is_gone_at_once_a_person_is_asked() {
    let licences: Vec<_> = (0..60).map(|n| licence(n, "ON")).collect();
    let upstream = Upstream::start(world(&licences));
    let mut server = asks(&upstream);
    until(&server, "healthy");
    upstream.with(|state| state.items = world(&licences[..36]));
    read_again(&mut server);
    until(&server, "held");
    assert_eq!(count(&server, "entitlement.removed"), 0);
}

/// The hook and the listing of one source.
#[test]
fn what_is_posted_while_a_listing_is_read_is_not_undone_by_it() {
    let upstream = Upstream::start(world(&[licence(1, "ON")]));
    let mut server = prepared(&upstream, "secret_file = \"portal.secret\"\nauthentication = \"bearer\"\n", "");
    server.dir.write("portal.secret", "licensing-token-of-0123456789-abcdef");
    server.go();
    until(&server, "healthy");
    let posts = |body: &Value| {
        let request =
            server.http.post(&server.url("/hooks/portal")).bearer_auth("licensing-token-of-0123456789-abcdef");
        let answer = server.http.send(request.body(body.to_string())).expect(202).json();
        assert_eq!(answer["quarantined"], 0, "{answer}");
        answer["events"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|event| server.reached(event["position"].as_u64().unwrap()));
    };
    posts(&licence(1, "OFF"));
    assert!(!may_pull(&server), "what is posted counts");
    // The listing is read again; its first page has gone out when the licence comes on.
    upstream.fails(&[
        Fault::Body(json!({"data": world(&[licence(1, "OFF")]), "next": "?page=9", "count": 5})),
        Fault::Wait,
    ]);
    server.stop();
    server.go();
    wait_for("the second page to be asked for", || upstream.with(|state| state.waiting).then_some(()));
    let posts = |body: &Value| {
        let request =
            server.http.post(&server.url("/hooks/portal")).bearer_auth("licensing-token-of-0123456789-abcdef");
        let answer = server.http.send(request.body(body.to_string())).expect(202).json();
        answer["events"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|event| server.reached(event["position"].as_u64().unwrap()));
    };
    posts(&licence(1, "ON"));
    assert!(may_pull(&server));
    let sealed = count(&server, "snapshot.sealed");
    upstream.with(|state| state.waiting = false);
    wait_for("the read to end", || (count(&server, "snapshot.sealed") > sealed).then_some(()));
    assert!(may_pull(&server), "the older listing did not undo it");
}

/// A delta never proves absence.
#[test]
fn what_changed_is_asked_for_and_what_is_not_among_it_stays() {
    let upstream = Upstream::start(world(&[licence(1, "ON"), licence(2, "OFF")]));
    let address = upstream.address;
    let mut server =
        prepared(&upstream, "poll = \"100ms\"\n", &format!("changed = \"http://{address}/changed?since={{since}}\"\n"));
    server.go();
    until(&server, "healthy");
    assert!(may_pull(&server));
    upstream.with(|state| state.changed = vec![licence(2, "ON")]);
    wait_for("the change", || (count(&server, "entitlement.upserted") == 3).then_some(()));
    upstream.with(|state| state.changed = vec![licence(1, "OFF")]);
    wait_for("the other change", || (count(&server, "entitlement.upserted") == 4).then_some(()));
    assert!(may_pull(&server), "by the second licence");
    upstream.with(|state| state.changed = Vec::new());
    let asked = |state: &mut State| state.asked.iter().filter(|path| path.starts_with("/changed?since=20")).count();
    let before = upstream.with(asked);
    wait_for("two more questions", || (upstream.with(asked) > before + 2).then_some(()));
    assert!(may_pull(&server));
    assert_eq!(count(&server, "entitlement.removed"), 0);
}

#[test]
fn a_source_that_cannot_be_read_does_not_start_and_says_what_is_wrong() {
    let upstream = Upstream::start(Vec::new());
    let told = |from: &str, to: &str, what: &str| {
        let server = prepared(&upstream, "", "");
        let config = std::fs::read_to_string(server.dir.join("rollcall.toml")).unwrap();
        assert!(config.contains(from), "{from}");
        server.dir.write("rollcall.toml", config.replacen(from, to, 1));
        let said = server.refuses_to_start();
        assert!(said.err.contains(what), "{to}: {said:?}");
    };
    told("clear_text = true\n", "", "`clear_text = true`");
    told("items = \"payload.data\"", "items = \"payloda.data\"", "did you mean `payload`?");
    told("items = ", "itmes = ", "itmes");
    told("next = \"payload.next\"", "next = \"payload.\"", "`source.portal.read.0.next`");
    told("[source.portal]\n", "[source.portal]\norder = \"version\"\n", "`source.portal.order`");
    told("credentials_file = \"upstream.token\"", "credentials_file = \"none.token\"", "cannot be read");
    told("private_networks = [\"127.0.0.0/8\"]", "private_networks = [\"127.0.0.0/80\"]", "no address and no network");
    let more =
        "[[source.portal.read]]\nurl = \"https://other.example.com/\"\nitems = \"payload\"\n[[source.portal.map]]";
    told("\n[[source.portal.map]]", &format!("\n{more}"), "one host");
}

#[test]
fn a_private_address_that_is_not_allowed_is_not_asked() {
    let upstream = Upstream::start(world(&[licence(1, "ON")]));
    let mut server = prepared(&upstream, "", "");
    let config = std::fs::read_to_string(server.dir.join("rollcall.toml")).unwrap();
    server.dir.write("rollcall.toml", config.replace("private_networks = [\"127.0.0.0/8\"]\n", ""));
    server.go();
    let reading = until(&server, "blind");
    assert!(reading["reason"].as_str().unwrap().contains("private address"), "{reading}");
    assert_eq!(upstream.with(|state| state.asked.len()), 0);
}
