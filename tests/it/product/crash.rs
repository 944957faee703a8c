//! Promise 1: acknowledged means durable. The server is killed at random moments under load, and its storage is made to
//! fail at the n-th sync and the n-th write; the only thing believed is what a client outside was told.
//! `ROLLCALL_KILLS` and `ROLLCALL_FAULTS` (a number, or `all`) say how long to go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    DEADLINE, Dir,
    api::{Answer, Http, Secret, signed, unix_now},
    faults::{Fault, Shim},
    random::Random,
    server::{Server, WORLD},
    wait_for,
};

const BATCH: &str = "application/cloudevents-batch+json";

/// What clients were told: the position of each acknowledged id, and the ids that never got an answer.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeMap<String, u64>,
    unanswered: Vec<String>,
}

/// Posts small signed batches without end, as a sender does that gives up on an answer and goes on.
struct Load {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    workers: Vec<thread::JoinHandle<()>>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

fn product(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "flexnet", "type": "rollcall.product.upserted.v1",
        "subject": format!("product/{id}"), "sequence": "1", "data": {"product": id}})
}

fn send(http: &Http, url: &str, secret: &Secret, ids: &[String]) -> Option<(u16, Value)> {
    let events: Vec<Value> = ids.iter().map(|id| product(id)).collect();
    let body = json!(events).to_string().into_bytes();
    let request = http.post(url).header("content-type", BATCH);
    let answer = http.try_send(signed(request, secret, &ids[0], unix_now(), body)).ok()?;
    Some((answer.status, answer.json()))
}

/// Notes what an answer says of these ids; whether it was a yes.
fn note(told: &mut Told, ids: &[String], answer: Option<(u16, Value)>) -> bool {
    let Some((202, answer)) = answer else {
        told.unanswered.extend_from_slice(ids);
        return false;
    };
    let events = answer["events"].as_array().unwrap();
    assert_eq!(events.len(), ids.len(), "{answer}");
    for (id, event) in ids.iter().zip(events) {
        assert_eq!(event["id"], json!(id), "{answer}");
        assert!(["recorded", "duplicate"].contains(&event["outcome"].as_str().unwrap()), "a key was reused: {answer}");
        let position = event["position"].as_u64().unwrap();
        let before = told.acknowledged.insert(id.clone(), position);
        assert!(before.is_none_or(|before| before == position), "{id} was at {before:?} and is at {position}");
    }
    true
}

impl Load {
    fn start(server: &Server, workers: usize, told: &Arc<Mutex<Told>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..workers).map(|_| {
            let (stop, told, url, secret) =
                (stop.clone(), told.clone(), server.url("/hooks/flexnet"), server.secret.clone());
            thread::spawn(move || {
                let http = Http::default();
                while !stop.load(Ordering::Relaxed) {
                    let ids: Vec<String> =
                        (0..4).map(|_| format!("k{}", NEXT.fetch_add(1, Ordering::Relaxed))).collect();
                    let answer = send(&http, &url, &secret, &ids);
                    if !note(&mut told.lock().unwrap(), &ids, answer) {
                        return;
                    }
                }
            })
        });
        Self { workers: workers.collect(), stop, told: told.clone() }
    }

    /// Waits until some more was acknowledged, or the server answers no more.
    fn more(&self, server: &mut Server, n: usize) {
        let count = |told: &Mutex<Told>| told.lock().unwrap().acknowledged.len();
        let before = count(&self.told);
        wait_for("acknowledgements", || {
            let over = self.workers.iter().all(thread::JoinHandle::is_finished) || server.process().ended().is_some();
            (count(&self.told) >= before + n || over).then_some(())
        });
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().unwrap();
        }
    }
}

/// Everything that was acknowledged is in the log, once, where it was said to be; sent again it is a duplicate; what
/// was not answered comes back as new or duplicate, never as a reused key.
fn check(server: &Server, told: &mut Told) {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for event in server.pages("/api/v1/events?limit=500&source=flexnet&type=rollcall.product.upserted.v1") {
        let (id, position) = (event["id"].as_str().unwrap().to_owned(), event["position"].as_u64().unwrap());
        assert_eq!(found.insert(id.clone(), position), None, "{id} is in the log twice");
    }
    for (id, position) in &told.acknowledged {
        assert_eq!(found.get(id), Some(position), "{id} was acknowledged at {position}");
    }
    let unanswered = std::mem::take(&mut told.unanswered);
    for ids in unanswered.chunks(50) {
        let answer = send(&server.http, &server.url("/hooks/flexnet"), &server.secret, ids);
        assert!(note(told, ids, answer.clone()), "sent again: {answer:?}");
    }
}

fn verified(server: &Server) {
    let said = server.cli(&["verify"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = server.cli(&["projection", "check"]);
    assert_eq!(said.code, 0, "{said:?}");
}

fn count(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |n| n.parse().unwrap())
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed() {
    let (kills, mut random) = (count("ROLLCALL_KILLS", 200), Random(7));
    let mut server = Server::start();
    server.say(WORLD);
    let before = server.memberships();
    let told = Arc::new(Mutex::new(Told::default()));
    for kill in 1..=kills {
        let load = Load::start(&server, 4, &told);
        // Kill while somebody waits for an answer: some acknowledgements in, and then at a random instant.
        load.more(&mut server, 1 + random.below(40));
        let instant = Instant::now() + Duration::from_micros(random.next() % 3000);
        while Instant::now() < instant {
            std::hint::spin_loop();
        }
        server.kill();
        load.stop();
        server.go();
        if kill % 10 == 0 || kill == kills {
            check(&server, &mut told.lock().unwrap());
        }
        if kill % 50 == 0 || kill == kills {
            verified(&server);
            assert_eq!(server.memberships(), before, "after {kill} kills");
        }
    }
    let told = told.lock().unwrap();
    assert!(told.acknowledged.len() > 4 * kills as usize, "only {} acknowledged", told.acknowledged.len());
}

/// The early calls, which are those of a start, and then some under load. On demand 1, 2, 3 .. to the end.
const SYNCS: [u32; 14] = [1, 2, 3, 5, 7, 9, 11, 13, 16, 20, 25, 31, 38, 46];
const WRITES: [u32; 14] = [1, 3, 8, 15, 25, 40, 60, 85, 115, 150, 190, 235, 285, 340];

/// Fails the n-th call of a run, for these n; on demand for n = 1, 2, 3 .. until a run ends without a fault.
fn sweep(fault: Fault, usual: &'static [u32]) {
    let wanted: Box<dyn Iterator<Item = u32>> = match std::env::var("ROLLCALL_FAULTS").as_deref() {
        Ok("all") => Box::new(1..),
        Ok(n) => Box::new(1..=n.parse().unwrap()),
        Err(_) => Box::new(usual.iter().copied()),
    };
    let tools = Dir::new();
    let shim = Shim::compile(&tools);
    let (mut struck, mut closed_logs) = (Vec::new(), 0);
    let mut server = Server::start();
    server.say(WORLD);
    let before = server.memberships();
    server.stop();
    for n in wanted {
        let mark = tools.join(&format!("mark-{fault:?}-{n}"));
        let told = Arc::new(Mutex::new(Told::default()));
        let from = server.log().len();
        let command = shim.around(server.command(), fault, n, &mark);
        server.go_unready(command);
        wait_for("a start, or its failure", || (server.is_ready() || server.process().ended().is_some()).then_some(()));
        if server.process().ended().is_none() {
            let load = Load::start(&server, 2, &told);
            // A fixed number of posts, so that the number of calls is bounded and the sweep comes to an end.
            load.more(&mut server, 160);
            load.stop();
            // After the log's storage failed nobody knows what is on the disk: nothing more is acknowledged until the
            // file was opened anew and read.
            let ids = [format!("late-{fault:?}-{n}")];
            let late = send(&server.http, &server.url("/hooks/flexnet"), &server.secret, &ids);
            let log = server.log()[from..].to_owned();
            let closed = log.rfind("the log takes no events until it has been opened anew");
            let opened = log.rfind("the log was opened anew and takes events again");
            closed_logs += u32::from(closed.is_some());
            if note(&mut told.lock().unwrap(), &ids, late) {
                assert!(closed <= opened, "n = {n}: acknowledged by a log that is not open:\n{log}");
            }
        }
        let hit = std::fs::read_link(&mark).ok();
        struck.extend(hit.as_ref().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()));
        server.kill();
        server.go();
        check(&server, &mut told.lock().unwrap());
        verified(&server);
        assert_eq!(server.memberships(), before, "n = {n}");
        server.stop();
        if hit.is_none() {
            break;
        }
    }
    eprintln!("{fault:?}: struck {struck:?}, the log closed itself {closed_logs} times");
    assert!(struck.len() > 2, "only {struck:?} were struck");
    if struck.len() >= 10 {
        // Which file the n-th call meets depends on the scheduler; that the log is among them does not.
        let log = struck.iter().any(|file| file.starts_with("log.db"));
        assert!(log && (closed_logs > 0 || fault == Fault::Write), "{struck:?}: the log was spared");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_nth_sync_fails() {
    sweep(Fault::Sync, &SYNCS);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_nth_write_fails() {
    sweep(Fault::Write, &WRITES);
}

#[test]
fn a_server_that_stops_ends_what_it_began() {
    let mut server = Server::start();
    let told = Arc::new(Mutex::new(Told::default()));
    let load = Load::start(&server, 4, &told);
    load.more(&mut server, 50);
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < DEADLINE / 2);
    load.stop();
    server.go();
    check(&server, &mut told.lock().unwrap());
    verified(&server);
}

/// A request with an `Idempotency-Key`, and what was answered.
struct Asked {
    kind: Kind,
    path: String,
    key: String,
    body: Value,
    told: Option<Answer>,
}

/// What such a request makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Secret,
    Invitation,
    Service,
    ServiceSecret,
}

const KINDS: [Kind; 4] = [Kind::Secret, Kind::Invitation, Kind::Service, Kind::ServiceSecret];

impl Asked {
    fn new(round: usize, n: usize) -> Self {
        let (kind, key) = (KINDS[n % KINDS.len()], format!("k{round}-{n}"));
        let user = ["ada", "pia", "max"][round % 3];
        let (path, body) = match kind {
            Kind::Secret => (format!("/api/v1/users/{user}/secrets"), json!({"label": key})),
            Kind::Invitation => (format!("/api/v1/users/{user}/invitations"), json!({})),
            Kind::Service => ("/api/v1/services".to_owned(), json!({"id": format!("s{round}-{n}")})),
            Kind::ServiceSecret => ("/api/v1/services/ci/secrets".to_owned(), json!({"label": key})),
        };
        Self { kind, path, key, body, told: None }
    }

    fn ask(&self, http: &Http, base: &str, admin: &str) -> Option<Answer> {
        let request = http.post(&format!("{base}{}", self.path)).bearer_auth(admin);
        let request = request.header("idempotency-key", &self.key).header("content-type", "application/json");
        http.try_send(request.body(self.body.to_string())).ok()
    }
}

/// Promise 12: a command that is repeated with its key after a crash is the same command.
#[test]
fn a_command_with_its_key_is_given_once_when_the_server_is_killed_before_its_answer() {
    let mut random = Random(11);
    let mut server = Server::start();
    server.say(WORLD);
    server.post("/api/v1/services", &json!({"id": "ci"})).expect(201);
    let admin = server.admin_key();
    let mut made: BTreeSet<(Kind, String)> = [(Kind::Service, "ci".to_owned())].into();
    // Those that stood in the log and were not answered.
    let mut cut_off = BTreeMap::<Kind, u32>::new();
    for round in 0..16 {
        let answered = Arc::new(AtomicU64::new(0));
        let workers: Vec<_> = (0..16)
            .map(|n| {
                let (answered, base, admin) = (answered.clone(), server.url(""), admin.clone());
                thread::spawn(move || {
                    let mut asked = Asked::new(round, n);
                    asked.told = asked.ask(&Http::default(), &base, &admin);
                    answered.fetch_add(1, Ordering::Relaxed);
                    asked
                })
            })
            .collect();
        let some = 1 + random.next() % 4;
        while answered.load(Ordering::Relaxed) < some {
            std::hint::spin_loop();
        }
        server.kill();
        let asked: Vec<Asked> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        server.go();
        for asked in asked {
            let head = || server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap();
            let before = head();
            let again = asked.ask(&server.http, &server.url(""), &admin).unwrap();
            let recorded = head() - before;
            match &asked.told {
                Some(told) => {
                    assert_eq!(told.status, 201, "{told:?}");
                    assert_eq!((again.status, &again.text, recorded), (201, &told.text, 0));
                }
                None if again.status == 201 => {
                    *cut_off.entry(asked.kind).or_default() += u32::from(asked.kind == Kind::Service && recorded == 0);
                }
                None => {
                    assert_eq!((again.status, again.problem().as_str(), recorded), (409, "shown-once", 0), "{again:?}");
                    *cut_off.entry(asked.kind).or_default() += 1;
                }
            }
            let id = again.json()["id"].as_str().unwrap().to_owned();
            assert!(made.insert((asked.kind, id)), "two requests made one: {again:?}");
        }
        if KINDS.iter().all(|kind| cut_off.get(kind).is_some_and(|n| *n > 1)) {
            break;
        }
    }
    assert!(KINDS.iter().all(|kind| cut_off.get(kind).is_some_and(|n| *n > 0)), "only {cut_off:?} were cut off");
    let ids = |path: &str| server.pages(path).into_iter().map(|row| row["id"].as_str().unwrap().to_owned());
    let secrets = ["ada", "pia", "max"].into_iter().flat_map(|user| ids(&format!("/api/v1/users/{user}/secrets")));
    let there: BTreeSet<String> =
        secrets.chain(ids("/api/v1/services")).chain(ids("/api/v1/services/ci/secrets")).collect();
    assert_eq!(there, made.into_iter().map(|(_, id)| id).collect(), "one for each request, and no more");
    verified(&server);
}
