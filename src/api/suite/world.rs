//! A small licensing world behind the router, and the fold loop that the binary would run.
//! Long because it is one thing: a server of its own for every test, with what stands in for the rest of the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode},
    response::Response,
};
use chrono::{DateTime, Duration, Utc};
use futures_util::StreamExt as _;
use rollcall_access::{
    Change, Configuration, Effect, Folded, Freshness, Profile, Roster, SharedRoster, Stale, Subject, emptied_projects,
};
use rollcall_app::{
    App, AppParts, Checked, Control, ControlError, Decisions, Projection, ProjectionState, SigningKey, Verified,
};
use rollcall_authn::{
    Account, AccountFound, AdminKey, Authenticator, AuthenticatorParts, FoundAccount, NoRefusals, PasswordAnswer,
    PasswordCheck, PasswordRefusal, RefreshKey,
};
use rollcall_eventlog::{Append as _, Held, Log, Tail as _, WriteAhead};
use rollcall_events::{Clock, LogId, NewEvent, Order, Position, Settings, SourceName, SourceSettings};
use rollcall_ingest::{
    Consequences, EngineDeps, HookRoute, Inquiry, ProposedFacts, Quarantine, ReadOptions, Receiver, RunnerTasks,
    Runners,
    connector::{Headers, Hook, MappedEvent, MappingError, Occasion, Problem, ProblemType, Pull, Rejection, SenderId},
    testkit::MemorySource,
};
use rollcall_store::{
    EngineConfig,
    ops::{self, DecisionRow, Ops},
    read::SupersededRow,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt as _;

use crate::{Api, router};

pub(super) use super::facts::{at, ended, event, licensing_facts};

pub(super) const KEY: &str = "rk_test";
pub(super) const LOG: LogId = LogId([1; 8]);
pub(super) const MAX_BODY: usize = 20_000;
pub(super) const CONNECTIONS: usize = 1024;

/// A clock that stands until it is set.
pub(super) struct TestClock(pub Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

impl TestClock {
    pub fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

/// What the binary does: folds the log, remembers the effects, says how far it is.
pub(super) struct TestControl {
    applied: watch::Sender<Position>,
    effects: Mutex<BTreeMap<Position, Effect>>,
    /// The events about a subject, and whether each applied.
    events: Mutex<BTreeMap<Subject, Vec<(Position, bool)>>>,
    /// How many events questions about the past depended on.
    pub looked_up: AtomicUsize,
    /// How far the clock is behind what was seen, in seconds.
    pub behind: AtomicU64,
    /// Who keeps what is written ahead from being moved.
    pub held: Mutex<Option<Held>>,
    /// Whoever holds it stops the fold.
    pub gate: Arc<tokio::sync::Mutex<()>>,
    /// Whether effects cannot be told at present.
    pub forgets: AtomicBool,
}

impl Freshness for TestControl {
    fn may_decide(&self, _: DateTime<Utc>) -> Result<(), Stale> {
        match self.behind.load(Ordering::Relaxed) {
            0 => Ok(()),
            seconds => Err(Stale::Clock(std::time::Duration::from_secs(seconds))),
        }
    }
}

impl TestControl {
    fn note(&self, folded: &Folded) {
        let mut events = self.events.lock().unwrap();
        let mut note = |source: &str, subject: &str, applied| {
            events.entry((source.to_owned(), subject.to_owned())).or_default().push((folded.position, applied));
        };
        note(folded.source.as_str(), &folded.subject, folded.effect == Effect::Applied);
        for change in &folded.changes {
            if let Change::FactBegan { source, subject, .. } | Change::FactEnded { source, subject } = change {
                note(source.as_str(), subject, true);
            }
        }
    }
}

#[async_trait]
impl Control for TestControl {
    fn applied(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }
    fn lag(&self, _: DateTime<Utc>) -> std::time::Duration {
        std::time::Duration::from_millis(1_500)
    }
    async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ControlError> {
        if self.forgets.load(Ordering::Relaxed) {
            return Ok(vec![None; positions.len()]);
        }
        let effects = self.effects.lock().unwrap();
        Ok(positions.iter().map(|position| effects.get(position).cloned()).collect())
    }
    async fn projections(&self) -> Result<Vec<Projection>, ControlError> {
        let position = *self.applied.borrow();
        let (name, state) = ("roster".to_owned(), ProjectionState::Live);
        Ok(vec![Projection { name, state, position, head: position, lag_seconds: 0.0, parked: 0 }])
    }
    async fn check(&self, name: &str) -> Result<Checked, ControlError> {
        if name != "roster" {
            return Err(ControlError::Unknown(format!("no projection `{name}`; there is roster")));
        }
        let (live, replayed) = ("ab".to_owned(), "ab".to_owned());
        let position = *self.applied.borrow();
        Ok(Checked { name: name.to_owned(), position, same: true, live, replayed, flaws: 0, swapped: false })
    }
    async fn rebuild(&self, name: &str) -> Result<Checked, ControlError> {
        self.check(name).await.map(|checked| Checked { swapped: true, ..checked })
    }
    fn write_ahead(&self) -> Vec<WriteAhead> {
        let one = |database, held| WriteAhead { database, bytes: 812_000_000, held };
        vec![one("log.db", None), one("ops.db", self.held.lock().unwrap().clone()), one("read.db", None)]
    }
    async fn verify(&self) -> Result<Verified, ControlError> {
        let position = *self.applied.borrow();
        Ok(Verified { events: position.0, position, hash: "ab".to_owned() })
    }
    async fn keys(&self) -> Result<Vec<SigningKey>, ControlError> {
        let (not_before, not_after) = (at(0), at(1));
        let (kid, algorithm) = ("AAAA:BBBB".to_owned(), "ES256".to_owned());
        Ok(vec![SigningKey { kid, algorithm, current: true, not_before, not_after }])
    }
    async fn authorities(&self) -> Result<Vec<rollcall_app::SigningAuthority>, ControlError> {
        Ok(Vec::new())
    }
    async fn renew_authority(
        &self,
        _: rollcall_app::RenewalStep,
    ) -> Result<Vec<rollcall_app::SigningAuthority>, ControlError> {
        Err(ControlError::Unavailable("the disk is full".to_owned()))
    }
    async fn reload(&self) -> Result<rollcall_app::Reloaded, ControlError> {
        Ok(rollcall_app::Reloaded { items: Vec::new(), restart: Vec::new() })
    }
    async fn rotate_keys(&self) -> Result<SigningKey, ControlError> {
        Err(ControlError::Unavailable("the disk is full".to_owned()))
    }
    async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        lost: bool,
    ) -> Result<Option<Vec<Position>>, ControlError> {
        let events = self.events.lock().unwrap();
        let mut found: Vec<Position> = subjects
            .iter()
            .filter_map(|subject| events.get(subject))
            .flatten()
            .filter(|(position, applied)| *position <= to && (lost || *applied))
            .map(|(position, _)| *position)
            .collect();
        found.sort_unstable();
        found.dedup();
        self.looked_up.fetch_add(found.len(), Ordering::Relaxed);
        Ok(Some(found))
    }
    async fn superseded(
        &self,
        after: Position,
        _: u32,
    ) -> Result<(Vec<SupersededRow>, Option<Position>), ControlError> {
        let (events, effects) = (self.events.lock().unwrap(), self.effects.lock().unwrap());
        let lost = events.iter().filter_map(|((source, subject), all)| {
            let position = all.iter().max()?.0;
            let by = all.iter().filter(|(_, applied)| *applied).map(|(position, _)| *position).max();
            let lost = position > after && effects.get(&position) == Some(&Effect::Superseded);
            lost.then(|| SupersededRow { position, source: source.clone(), subject: subject.clone(), by })
        });
        Ok((lost.collect(), None))
    }
    async fn key_bundle(&self) -> Result<String, ControlError> {
        Ok("-----BEGIN CERTIFICATE-----\n".to_owned())
    }
}

/// The directory `flexnet`: says of every password of its people what it was told to say, and remembers who asked.
pub(super) struct TestPasswords {
    source: SourceName,
    pub says: Mutex<PasswordAnswer>,
    /// Whom, as a person's id or nobody, and with which password.
    pub asked: Mutex<Vec<(String, String)>>,
}

impl TestPasswords {
    pub fn say(&self, answer: PasswordAnswer) {
        *self.says.lock().unwrap() = answer;
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

struct Shared(Arc<TestPasswords>);

#[async_trait]
impl PasswordCheck for Shared {
    fn source(&self) -> &SourceName {
        &self.0.source
    }

    fn owns(&self, _: &str) -> bool {
        false
    }

    fn takes_addresses(&self) -> bool {
        true
    }

    async fn find(&self, account: Account<'_>) -> AccountFound {
        match account {
            Account::Person(id) => AccountFound::One(FoundAccount { person: id.clone(), entry: id.to_string() }),
            Account::Named(_) => AccountFound::Nobody,
        }
    }

    async fn check(&self, entry: Option<&str>, password: &SecretString) -> PasswordAnswer {
        let whom = entry.unwrap_or_default();
        self.0.asked.lock().unwrap().push((whom.to_owned(), password.expose_secret().to_owned()));
        *self.0.says.lock().unwrap()
    }
}

fn peer(address: [u8; 4]) -> ConnectInfo<SocketAddr> {
    ConnectInfo(SocketAddr::from((address, 4711)))
}

/// Asks the roster as the binary does.
struct RosterConsequences(Arc<SharedRoster>);

#[async_trait]
impl Consequences for RosterConsequences {
    async fn emptied(&self, proposed: ProposedFacts, crowd: u64) -> Vec<String> {
        emptied_projects(&self.0.read(), &proposed.source, &proposed.facts, crowd as usize, at(0))
    }

    async fn inquire(&self, _: SourceName, _: Position, _: u64, _: Inquiry) -> BTreeSet<String> {
        unreachable!("only what a follower tells is inquired into")
    }

    fn is_retired(&self, source: &SourceName) -> bool {
        self.0.read().retirement(source.as_str()).is_some()
    }
}

/// Records each decision at once.
struct OpsDecisions(Arc<dyn Ops>);

impl Decisions for OpsDecisions {
    fn offer(&self, decision: DecisionRow) {
        let ops = self.0.clone();
        tokio::spawn(async move { ops.record_decisions(&[decision]).await.unwrap() });
    }
}

/// Takes a JSON array of events; signed is what says so.
struct TestHook;

impl Hook for TestHook {
    fn keeps(&self, header: &str) -> bool {
        header == "x-signature"
    }
    fn verify(&self, headers: &Headers, _: &[u8], _: Occasion<'_>) -> Result<(), Rejection> {
        match headers.one("x-signature") {
            Ok(Some("good")) => Ok(()),
            _ => Err(Rejection { reason: "signature-mismatch", hint: "sign with the source's secret" }),
        }
    }
    fn is_signed(&self, headers: &Headers, _: &[u8]) -> bool {
        headers.one("x-signature") == Ok(Some("good"))
    }
    fn map(&self, _: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        let Ok(Value::Array(events)) = serde_json::from_slice(body) else {
            return vec![Err(Problem::at(ProblemType::Malformed, "", "not a JSON array").into())];
        };
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let said = |event: &Value| MappedEvent {
            id: SenderId::OfEvent(text(event, "id")),
            kind: text(event, "type"),
            sequence: event["sequence"].as_u64(),
            time: event["time"].as_str().map(|time| time.parse().unwrap()),
            data: event["data"].to_string(),
            ..MappedEvent::default()
        };
        events.iter().map(|event| Ok(said(event))).collect()
    }
}

pub(super) struct World {
    pub router: Router,
    pub log: Log,
    pub clock: Arc<TestClock>,
    pub control: Arc<TestControl>,
    pub ops: Arc<dyn Ops>,
    pub live: Arc<SharedRoster>,
    pub dir: PathBuf,
    /// What the source `corp`, which is read, states.
    pub source: MemorySource,
    /// What directories say of passwords.
    pub passwords: Arc<TestPasswords>,
    document: Value,
    fold: JoinHandle<()>,
    #[expect(dead_code, reason = "the runners end with it")]
    running: RunnerTasks,
}

impl Drop for World {
    fn drop(&mut self) {
        self.fold.abort();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().trim_start_matches(crate::http::problem::URN)
    }
}

impl World {
    /// An empty world with the source `flexnet`.
    pub async fn empty() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        Self::build(settings, false).await
    }

    /// A world that also has the source `corp`, which is read.
    pub async fn reading() -> Self {
        Self::build(Settings::default(), true).await
    }

    async fn build(mut settings: Settings, reads: bool) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rollcall-api-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let clock = Arc::new(TestClock(Mutex::new(at(0))));
        let log = Log::in_memory(LOG, clock.clone());
        let live = Arc::new(SharedRoster::new(Roster::new(LOG)));
        let control = Arc::new(TestControl {
            applied: watch::Sender::new(Position(0)),
            effects: Mutex::default(),
            events: Mutex::default(),
            looked_up: AtomicUsize::default(),
            behind: AtomicU64::default(),
            held: Mutex::default(),
            gate: Arc::default(),
            forgets: AtomicBool::default(),
        });
        let ops = ops::open(&EngineConfig::Embedded { dir: dir.clone() }).await.unwrap();
        let flexnet: SourceName = "flexnet".parse().unwrap();
        let route = HookRoute {
            source: flexnet.clone(),
            order: Order::Version,
            hook: Arc::new(TestHook),
            max_body: MAX_BODY,
            max_in_flight: 8,
            is_retired: {
                let live = Arc::clone(&live);
                Arc::new(move |source| live.read().retirement(source.as_str()).is_some())
            },
            max_quarantine: Quarantine { deliveries: 20, bytes: 1 << 20 },
        };
        let receiver = Receiver::new(
            vec![HookRoute { source: "lab".parse().unwrap(), ..route.clone() }, route],
            ops.clone(),
            (Arc::new(log.clone()), Arc::new(log.clone())),
            clock.clone(),
        );
        let deps = EngineDeps {
            append: Arc::new(log.clone()),
            tail: Arc::new(log.clone()),
            store: ops.clone(),
            consequences: Arc::new(RosterConsequences(live.clone())),
            clock: clock.clone(),
            random: {
                let random = AtomicUsize::new(1);
                Arc::new(move || random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) as u64)
            },
        };
        let (corp, source): (SourceName, _) = ("corp".parse().unwrap(), MemorySource::default());
        let options = ReadOptions {
            schedule: "@yearly".parse().unwrap(),
            jitter: std::time::Duration::ZERO,
            first_run_waits: false,
            guard: true,
            revoke_after: None,
        };
        let pull: Arc<dyn Pull> = Arc::new(source.clone());
        let read = if reads { vec![(corp.clone(), pull, options)] } else { Vec::new() };
        let (runners, running) = Runners::start(deps, read);
        let fold = tokio::spawn(fold(log.clone(), live.clone(), control.clone()));
        let decisions = Arc::new(OpsDecisions(ops.clone()));
        let passwords = Arc::new(TestPasswords {
            source: flexnet.clone(),
            says: Mutex::new(PasswordAnswer::Refused(PasswordRefusal::Wrong)),
            asked: Mutex::default(),
        });
        let authenticator = AuthenticatorParts {
            live: live.clone(),
            clock: clock.clone(),
            admin_key: AdminKey::of(KEY),
            refresh_key: RefreshKey::new(&[7; 32]),
            service: "rollcall".to_owned(),
            directories: vec![Arc::new(Shared(passwords.clone()))],
            refusals: Arc::new(NoRefusals),
        };
        let authenticator = Arc::new(Authenticator::new(authenticator).unwrap());
        if reads {
            settings.sources.insert(corp, SourceSettings { order: Order::Observed, authoritative: true });
        }
        settings.sources.insert(flexnet, SourceSettings { order: Order::Version, authoritative: false });
        let profile = Profile::bundled("revenera").unwrap();
        let app = App::new(AppParts {
            live: live.clone(),
            append: Arc::new(log.clone()),
            tail: Arc::new(log.clone()),
            ops: ops.clone(),
            decisions,
            receiver,
            runners,
            control: control.clone(),
            clock: clock.clone(),
            freshness: control.clone(),
            authenticator,
            configuration: Arc::new(Configuration { profile, settings: settings.clone() }),
            registry: Some("registry.test".to_owned()),
            connections: CONNECTIONS,
        });
        let router = router(Api {
            app,
            answers: ops.clone(),
            answer_key: crate::AnswerKey::new(&[7; 32]),
            public_url: "https://rollcall.test".to_owned(),
            max_unverified_bodies: 10 * MAX_BODY,
        });
        let document = serde_json::to_value(router::routes().into_openapi()).unwrap();
        let world = Self { router, log, clock, control, ops, live, dir, source, passwords, document, fold, running };
        world.local(&rollcall_events::Body::SettingsSet(settings)).await;
        world
    }

    /// Ada buys what Pat makes: Pat is Developer and Ada is Guest in `acme`.
    pub async fn licensing() -> Self {
        let world = Self::empty().await;
        world.facts(&licensing_facts()).await;
        world
    }

    /// Appends a command past the API, as another process could, and returns it as the API shows it.
    pub async fn say(&self, body: &rollcall_events::Body) -> Value {
        self.local(body).await;
        self.ok(&format!("/api/v1/events/{}", self.head())).await
    }

    async fn local(&self, body: &rollcall_events::Body) {
        self.state_all(std::slice::from_ref(body)).await;
    }

    /// As [`Self::say`], of many at once.
    pub async fn state_all(&self, bodies: &[rollcall_events::Body]) {
        let event = |body: &rollcall_events::Body| {
            NewEvent::of(SourceName::local(), format!("{} {}", body.subject(), self.head()), body)
        };
        self.log.append(bodies.iter().map(event).collect()).await.unwrap();
        let head = self.head();
        self.control.applied().wait_for(|applied| *applied >= head).await.unwrap();
    }

    pub fn head(&self) -> Position {
        self.log.head().borrow().position
    }

    /// Waits until the log has a record at a position. What would record it may fail before it does: then this ends too.
    pub async fn recorded(&self, position: u64) {
        let mut head = self.log.head();
        let recorded = head.wait_for(|now| now.position.0 >= position);
        let recorded = tokio::time::timeout(std::time::Duration::from_secs(60), recorded).await;
        recorded.unwrap_or_else(|_| panic!("nothing was recorded at {position}")).unwrap();
    }

    /// Posts events through the hook and waits until all are applied.
    pub async fn facts(&self, events: &[Value]) -> Reply {
        let reply = self.hook("flexnet", &json!(events).to_string()).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
        assert_eq!(reply.body["quarantined"], 0, "{}", reply.text);
        for event in reply.body["events"].as_array().unwrap() {
            assert!(event["effect"].is_string(), "{event}");
        }
        reply
    }

    pub async fn hook(&self, source: &str, body: &str) -> Reply {
        let request = Request::post(format!("/hooks/{source}?wait=20s")).header("x-signature", "good");
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.with_key("GET", path, None).await
    }

    pub async fn ok(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
        reply.body
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.with_key("POST", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.with_key("DELETE", path, None).await
    }

    async fn with_key(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {KEY}"));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    /// Sends a request and goes on.
    pub fn spawn(&self, mut request: Request<Body>) -> JoinHandle<Response> {
        request.extensions_mut().insert(peer([192, 0, 2, 7]));
        let router = self.router.clone();
        tokio::spawn(async move { router.oneshot(request).await.unwrap() })
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        self.send_from([192, 0, 2, 7], request).await
    }

    pub async fn send_from(&self, address: [u8; 4], mut request: Request<Body>) -> Reply {
        request.extensions_mut().insert(peer(address));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let reply = Reply { status: parts.status, headers: parts.headers, text, body };
        self.hold_against_the_document(method.as_str(), &path, &reply);
        reply
    }

    /// Every answer has the shape that the document promises; every refusal is a problem that says what to do.
    fn hold_against_the_document(&self, method: &str, path: &str, reply: &Reply) {
        let shown = || format!("{method} {path} -> {} {}", reply.status, reply.text);
        let kind = reply.header("content-type");
        if reply.status.is_client_error() || reply.status.is_server_error() {
            if method != "HEAD" {
                assert_eq!(kind, "application/problem+json", "{}", shown());
                assert_eq!(reply.body["status"], reply.status.as_u16(), "{}", shown());
                assert!(reply.body["detail"].as_str().is_some_and(|d| d.len() > 20), "{}", shown());
                assert!(reply.body["instance"].is_string(), "{}", shown());
                self.hold_against(&json!({"$ref": "#/components/schemas/Problem"}), reply, &shown());
            }
            return;
        }
        let Some(operation) = self.operation(method, path) else { return };
        let status = reply.status.as_u16().to_string();
        let declared = &operation["responses"][&status];
        assert!(reply.status == StatusCode::NOT_MODIFIED || declared.is_object(), "undeclared: {}", shown());
        if kind == "application/json" {
            self.hold_against(&declared["content"][kind]["schema"], reply, &shown());
        }
    }

    fn hold_against(&self, schema: &Value, reply: &Reply, shown: &str) {
        let whole =
            json!({"allOf": [schema], "unevaluatedProperties": false, "components": self.document["components"]});
        let whole = if schema["type"] == "object" { json!({}) } else { whole };
        let validator = jsonschema::validator_for(&whole).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&reply.body).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{shown}\n{errors:#?}");
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let fits = |template: &str| {
            let (a, b): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.starts_with('{') || a == b)
        };
        let paths = self.document["paths"].as_object()?;
        let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
        found.sort_by_key(|(template, _)| template.matches('{').count());
        found.iter().find_map(|(_, item)| item.get(method.to_lowercase()))
    }
}

async fn fold(log: Log, live: Arc<SharedRoster>, control: Arc<TestControl>) {
    let mut pages = log.read(Position(0), 100);
    while let Some(page) = pages.next().await {
        for record in page.unwrap().iter() {
            let _running = control.gate.lock().await;
            let folded = live.write().apply(record);
            control.note(&folded);
            control.effects.lock().unwrap().insert(folded.position, folded.effect);
            control.applied.send_replace(folded.position);
        }
    }
}
