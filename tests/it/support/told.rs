//! What clients were told: requests of every kind that promises something, their answers, and whether a server that was
//! started again still keeps to each. Knows nothing of how it ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::{
    api::{Answer, Http, Secret, signed, unix_now},
    facts::{Clerk, cloud_event},
    server::{Server, WORLD},
    wait_for,
};

const BATCH: &str = "application/cloudevents-batch+json";

/// What a command makes. Each is given with an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Secret,
    Invitation,
    Service,
    ServiceSecret,
}

pub const KINDS: [Kind; 4] = [Kind::Secret, Kind::Invitation, Kind::Service, Kind::ServiceSecret];

const USERS: [&str; 3] = ["ada", "pia", "max"];

#[derive(Debug, Clone)]
pub enum Request {
    /// Events, and how many of them cannot be read and are kept in quarantine.
    Batch {
        events: Vec<Value>,
        unreadable: usize,
    },
    Command {
        kind: Kind,
        path: String,
        key: String,
        body: Value,
    },
}

static NEXT: AtomicU64 = AtomicU64::new(0);

fn next(letter: char) -> String {
    format!("{letter}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn event(id: &str, kind: &str, subject: &str, data: Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "flexnet", "type": format!("rollcall.{kind}.v1"),
        "subject": subject, "sequence": "1", "data": data})
}

fn product() -> Value {
    let id = next('k');
    event(&id, "product.upserted", &format!("product/{id}"), json!({"product": id}))
}

/// Somebody of Globex, so that it is told apart in whoever may pull.
fn person() -> Value {
    let id = next('p');
    let data = json!({"person": id, "account": "globex", "active": true});
    event(&id, "person.upserted", &format!("person/{id}"), data)
}

fn unreadable() -> Value {
    let id = next('u');
    event(&id, "product.upserted", &format!("product/{id}"), json!({"product": 7}))
}

impl Request {
    /// The world of the tests.
    fn world() -> Self {
        let facts = Clerk::default().facts(WORLD);
        Self::Batch { events: facts.iter().map(|fact| cloud_event(&fact.event)).collect(), unreadable: 0 }
    }

    pub fn command(kind: Kind) -> Self {
        let (key, n) = (next('c'), NEXT.load(Ordering::Relaxed) as usize);
        let (path, body) = match kind {
            Kind::Secret => (format!("/api/v1/users/{}/secrets", USERS[n % 3]), json!({"label": key})),
            Kind::Invitation => (format!("/api/v1/users/{}/invitations", USERS[n % 3]), json!({})),
            Kind::Service => ("/api/v1/services".to_owned(), json!({"id": key})),
            Kind::ServiceSecret => ("/api/v1/services/ci/secrets".to_owned(), json!({"label": key})),
        };
        Self::Command { kind, path, key, body }
    }

    fn service(id: &str) -> Self {
        let (path, body) = ("/api/v1/services".to_owned(), json!({"id": id}));
        Self::Command { kind: Kind::Service, path, key: next('c'), body }
    }

    pub fn batch() -> Self {
        Self::Batch { events: vec![product(), person(), product(), person()], unreadable: 0 }
    }

    /// Mostly batches; the others in turn.
    fn any() -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed) as usize;
        match n % 8 {
            1 => Self::command(KINDS[n / 8 % KINDS.len()]),
            3 => Self::Batch { events: vec![product(), unreadable(), person()], unreadable: 1 },
            5 => Self::Batch { events: vec![unreadable()], unreadable: 1 },
            n if n % 2 == 0 => Self::Batch { events: vec![product(), product(), product(), product()], unreadable: 0 },
            _ => Self::batch(),
        }
    }

    fn send(&self, client: &Client) -> Option<Answer> {
        let url = |path: &str| format!("{}{path}", client.base);
        let request = match self {
            Self::Batch { events, .. } => {
                let request = client.http.post(&url("/hooks/flexnet")).header("content-type", BATCH);
                let body = json!(events).to_string().into_bytes();
                signed(request, &client.secret, events[0]["id"].as_str().unwrap(), unix_now(), body)
            }
            Self::Command { path, key, body, .. } => {
                let request = client.http.post(&url(path)).bearer_auth(&client.admin);
                let request = request.header("idempotency-key", key).header("content-type", "application/json");
                request.body(body.to_string())
            }
        };
        client.http.try_send(request).ok()
    }

    fn done(&self) -> u16 {
        match self {
            Self::Batch { .. } => 202,
            Self::Command { .. } => 201,
        }
    }
}

struct Client {
    http: Http,
    base: String,
    secret: Secret,
    admin: String,
}

impl Client {
    fn of(server: &Server) -> Self {
        let (base, secret) = (server.url(""), server.secret.clone());
        Self { http: Http::default(), base, secret, admin: server.admin_key() }
    }
}

/// A request and what was answered, with the time of both, whatever is taken for time.
#[derive(Debug, Clone)]
struct Asked {
    request: Request,
    begun: u64,
    /// None until there is one that does what was asked.
    answer: Option<(u64, Answer)>,
    /// Repeated since, and the same.
    settled: bool,
}

/// What an end may have taken that nobody was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: the process was killed, and what it wrote is there.
    Nothing,
    /// What was written and not synced, or could not be written: answers that are kept to be shown again, and of the
    /// deliveries those of which the log has everything.
    Unpromised,
}

#[derive(Debug, Clone, Default)]
pub struct Told {
    asked: Vec<Asked>,
    /// Each thing that was made, once.
    made: BTreeSet<(Kind, String)>,
    /// How many of each kind stood although nobody was told.
    pub unheard: BTreeMap<Kind, u32>,
    /// Everybody of Globex that was acknowledged.
    people: BTreeSet<String>,
}

impl Told {
    /// How many requests were answered as they should.
    pub fn answered(&self) -> usize {
        self.asked.iter().filter(|asked| asked.answer.is_some()).count()
    }

    /// When so many of them were answered.
    pub fn nth_answer(&self, nth: usize) -> u64 {
        let mut times: Vec<u64> =
            self.asked.iter().filter_map(|asked| asked.answer.as_ref()).map(|(at, _)| *at).collect();
        times.sort_unstable();
        times[nth - 1]
    }

    /// What had been told by then.
    pub fn until(&self, then: u64) -> Self {
        let begun = self.asked.iter().filter(|asked| asked.begun < then).cloned();
        let asked = begun.map(|asked| Asked { answer: asked.answer.filter(|(at, _)| *at <= then), ..asked });
        Self { asked: asked.collect(), ..Self::default() }
    }

    fn ask_again(asked: &mut Asked, client: &Client, why: &str) -> Answer {
        let answer = asked.request.send(client).unwrap_or_else(|| panic!("{why}: no answer to {:?}", asked.request));
        asked.settled = true;
        asked.answer = Some((asked.begun, answer.clone()));
        answer
    }

    /// That it serves right now.
    pub fn check_secrets(&self, server: &Server) {
        for asked in &self.asked {
            if let Some((_, answer)) = &asked.answer {
                signs_in(server, &asked.request, answer);
            }
        }
    }

    /// Holds a server that was started again against everything that was told. What was not answered is asked again.
    pub fn check(&mut self, server: &Server, lost: Lost) {
        let client = Client::of(server);
        self.check_batches(server, &client);
        self.check_deliveries(server, lost);
        self.check_commands(server, &client, lost);
        server.reached(server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap());
        let people: BTreeSet<String> = server
            .memberships()
            .iter()
            .filter_map(|row| row.strip_prefix("acme ")?.split('"').find(|word| is_numbered(word)).map(str::to_owned))
            .collect();
        assert_eq!(people, self.people, "who may pull");
    }

    /// Everything that was acknowledged is in the log, once, where it was said to be; sent again it is a duplicate; what
    /// was not answered comes back as new or duplicate, never as a reused key.
    fn check_batches(&mut self, server: &Server, client: &Client) {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for event in server.pages("/api/v1/events?limit=500&source=flexnet") {
            let (id, position) = (event["id"].as_str().unwrap().to_owned(), event["position"].as_u64().unwrap());
            assert_eq!(found.insert(id.clone(), position), None, "{id} is in the log twice");
        }
        for asked in &mut self.asked {
            let Request::Batch { events, unreadable } = asked.request.clone() else { continue };
            let known = asked.answer.clone();
            let answer = match &known {
                Some((_, answer)) => answer.clone(),
                None => Self::ask_again(asked, client, "sent again"),
            };
            assert_eq!(answer.status, 202, "{answer:?}");
            let told = answer.json();
            assert_eq!(told["quarantined"], json!(unreadable), "{told}");
            let recorded = told["events"].as_array().unwrap();
            assert_eq!(recorded.len(), events.len() - unreadable, "{told}");
            for event in recorded {
                let (id, position) = (event["id"].as_str().unwrap(), event["position"].as_u64().unwrap());
                assert!(["recorded", "duplicate"].contains(&event["outcome"].as_str().unwrap()), "{told}");
                let there = found.get(id);
                assert!(known.is_none() || there == Some(&position), "{id} was told at {position}, is at {there:?}");
                assert!(there.is_none_or(|there| *there == position), "{id} was at {there:?}, now {position}");
            }
            let ids = recorded.iter().map(|event| event["id"].as_str().unwrap());
            self.people.extend(ids.filter(|id| is_numbered(id)).map(str::to_owned));
        }
    }

    fn check_deliveries(&self, server: &Server, lost: Lost) {
        let kept: BTreeMap<String, Value> = server
            .pages("/api/v1/deliveries?limit=500")
            .into_iter()
            .map(|kept| (kept["id"].as_str().unwrap().to_owned(), kept))
            .collect();
        for asked in &self.asked {
            let (Request::Batch { unreadable, events }, Some((_, answer))) = (&asked.request, &asked.answer) else {
                continue;
            };
            let id = answer.json()["delivery"].as_str().unwrap().to_owned();
            match kept.get(&id) {
                Some(kept) => {
                    assert_eq!(kept["quarantined"], json!(unreadable), "{kept}");
                    assert_eq!(kept["events"], json!(events.len()), "{kept}");
                }
                None => {
                    assert!(lost == Lost::Unpromised && *unreadable == 0, "the delivery {id} of {events:?} is lost")
                }
            }
        }
    }

    /// A command that is repeated with its key is the same command.
    fn check_commands(&mut self, server: &Server, client: &Client, lost: Lost) {
        let head = || server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap();
        let mut before = head();
        for asked in self.asked.iter_mut().filter(|asked| !asked.settled) {
            let Request::Command { kind, .. } = asked.request.clone() else { continue };
            let known = asked.answer.take().map(|(_, answer)| answer);
            let again = Self::ask_again(asked, client, "repeated");
            let id = again.json()["id"].as_str().unwrap_or_default().to_owned();
            let shown_once = || again.status == 409 && again.problem() == "shown-once" && kind != Kind::Service;
            let now = head();
            match &known {
                Some(told) => {
                    assert_eq!((told.status, now - before), (201, 0), "{told:?}, then {again:?}");
                    assert_eq!(told.json()["id"], json!(id), "{told:?}, then {again:?}");
                    let same = again.status == 201 && again.json()["secret"] == told.json()["secret"];
                    let unkept =
                        lost == Lost::Unpromised && (shown_once() || again.status == 201 && kind == Kind::Service);
                    assert!(same || unkept, "{told:?}, then {again:?}");
                    signs_in(server, &asked.request, told);
                }
                None if again.status == 201 => {
                    *self.unheard.entry(kind).or_default() += u32::from(kind == Kind::Service && now == before);
                    signs_in(server, &asked.request, &again);
                }
                None => {
                    assert!(shown_once() && now == before, "{again:?}");
                    *self.unheard.entry(kind).or_default() += 1;
                }
            }
            before = now;
            assert!(!id.is_empty() && self.made.insert((kind, id)), "two requests made one: {again:?}");
        }
        // Of somebody who is not there yet there is none.
        let ids = |path: &str| {
            let rows = if server.get(path).status == 404 { vec![] } else { server.pages(path) };
            rows.into_iter().map(|row| row["id"].as_str().unwrap().to_owned())
        };
        let secrets = USERS.iter().flat_map(|user| ids(&format!("/api/v1/users/{user}/secrets")));
        let there: BTreeSet<String> =
            secrets.chain(ids("/api/v1/services")).chain(ids("/api/v1/services/ci/secrets")).collect();
        let made: BTreeSet<String> = self.made.iter().map(|(_, id)| id.clone()).collect();
        assert_eq!(there, made, "one for each request, and no more");
    }
}

/// Whether it is the id of a person that was made here.
fn is_numbered(word: &str) -> bool {
    word.strip_prefix('p').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A secret of a user that was shown gives what its user may.
fn signs_in(server: &Server, request: &Request, answer: &Answer) {
    let Request::Command { kind: Kind::Secret, path, .. } = request else { return };
    let (user, told) = (path.split('/').nth(4).unwrap(), answer.json());
    let Some(secret) = told["secret"].as_str() else {
        // Made behind a 503, and asked for again.
        return assert_eq!((answer.status, answer.problem().as_str()), (409, "shown-once"), "{told}");
    };
    let granted = server.granted(user, secret, "acme/x");
    assert!(granted.contains(&"pull".to_owned()), "{user} is granted {granted:?}");
}

/// Clients that ask one thing after the other, and note what they are told.
pub struct Load {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    workers: Vec<thread::JoinHandle<()>>,
}

/// What is taken for the time.
pub type Time = Arc<dyn Fn() -> u64 + Send + Sync>;

pub fn no_time() -> Time {
    Arc::new(|| 0)
}

/// Asks, and notes it before and after. The status, while somebody is there who answers.
fn ask(request: Request, client: &Client, told: &Mutex<Told>, time: &Time) -> Option<u16> {
    let index = {
        let mut told = told.lock().unwrap();
        told.asked.push(Asked { request: request.clone(), begun: time(), answer: None, settled: false });
        told.asked.len() - 1
    };
    let answer = request.send(client)?;
    let status = answer.status;
    if status == request.done() {
        told.lock().unwrap().asked[index].answer = Some((time(), answer));
    } else {
        assert_eq!(status, 503, "{request:?}: {answer:?}");
    }
    Some(status)
}

/// The world, a service, and one of each kind: asked until they are there, or nobody is who answers.
pub fn begin(server: &mut Server, told: &Mutex<Told>, time: &Time) {
    let client = Client::of(server);
    for request in [Request::world(), Request::service("ci")].into_iter().chain(KINDS.map(Request::command)) {
        let mut status = ask(request.clone(), &client, told, time);
        let index = told.lock().unwrap().asked.len() - 1;
        wait_for("a first answer", || {
            // What was made behind a 503 is not shown any more.
            if status == Some(request.done()) || status == Some(409) || server.process().ended().is_some() {
                return Some(());
            }
            let answer = request.send(&client);
            status = answer.as_ref().map(|answer| answer.status);
            if let Some(answer) = answer.filter(|answer| answer.status == request.done()) {
                told.lock().unwrap().asked[index].answer = Some((time(), answer));
            }
            (status == Some(request.done())).then_some(())
        });
    }
}

impl Load {
    /// So many clients, each with so many requests at most.
    pub fn start(server: &Server, workers: usize, each: usize, told: &Arc<Mutex<Told>>, time: &Time) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..workers).map(|_| {
            let (stop, told, time) = (stop.clone(), told.clone(), time.clone());
            let client = Client::of(server);
            thread::spawn(move || {
                for _ in 0..each {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if ask(Request::any(), &client, &told, &time).is_none() {
                        return;
                    }
                }
            })
        });
        Self { workers: workers.collect(), stop, told: told.clone() }
    }

    /// These requests at once, each by a client of its own; how many were answered.
    pub fn at_once(server: &Server, requests: Vec<Request>, told: &Arc<Mutex<Told>>) -> (Self, Arc<AtomicUsize>) {
        let answered = Arc::new(AtomicUsize::new(0));
        // All of them first: making one takes longer than an answer.
        let clients: Vec<_> = requests.into_iter().map(|request| (request, Client::of(server))).collect();
        let workers = clients.into_iter().map(|(request, client)| {
            let (told, answered) = (told.clone(), answered.clone());
            thread::spawn(move || {
                ask(request, &client, &told, &no_time());
                answered.fetch_add(1, Ordering::Relaxed);
            })
        });
        (Self { workers: workers.collect(), stop: Arc::default(), told: told.clone() }, answered)
    }

    /// Waits until some more was acknowledged, or nobody answers any more.
    pub fn more(&self, server: &mut Server, n: usize) {
        let count = || self.told.lock().unwrap().answered();
        let before = count();
        wait_for("acknowledgements", || {
            let over = self.workers.iter().all(thread::JoinHandle::is_finished) || server.process().ended().is_some();
            (count() >= before + n || over).then_some(())
        });
    }

    /// Waits until everything was asked.
    pub fn finish(self) {
        for worker in self.workers {
            worker.join().unwrap();
        }
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.finish();
    }
}
