//! Whole deliveries: signed bytes in, the real inbox and a log behind, the answer and everything that can be looked at.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_eventlog::{Filter, Log, Tail};
use rollcall_events::{Clock, LogId, Order, Position, Recorded};
use rollcall_ingest::{
    Delivery, DeliveryAnswer, DeliveryId, Durability, HookRoute, InboundCall, Part, PartState, ReceiveError, Receiver,
    ReplayError, Verdict,
    connector::{Headers, Hook, MappedEvent, MappingError, Occasion, ProblemType, Rejection},
};
use rollcall_store::{
    EngineConfig,
    ops::{self, DeliveryDetail, DeliveryFilter, Ops},
};

use crate::{Authentication, Format, Mapping, MappingText, Posted, RuleText, Secrets, Tokens};

const SECRET: &str = "whsec_cm9sbGNhbGwtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
const OTHER: &str = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC0wMTIzNDU2Nzg5";
const ONE: &str = "application/cloudevents+json";
const MANY: &str = "application/cloudevents-batch+json";
const START: i64 = 1_767_225_600;

struct TestClock(Mutex<i64>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(*self.0.lock().unwrap(), 0).unwrap()
    }
}

/// The canonical form as it was before a type was known: what `fixed` would read as `to` is unknown still.
struct OldMapping {
    inner: Posted,
    from: &'static str,
    to: &'static str,
}

impl Hook for OldMapping {
    fn keeps(&self, header: &str) -> bool {
        self.inner.keeps(header)
    }
    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        self.inner.verify(headers, body, occasion)
    }
    fn is_signed(&self, headers: &Headers, body: &[u8]) -> bool {
        self.inner.is_signed(headers, body)
    }
    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        let mut parts = self.inner.map(headers, body);
        for event in parts.iter_mut().flatten().filter(|event| event.kind == self.from) {
            event.kind = self.to.to_owned();
        }
        parts
    }
}

struct App {
    dir: PathBuf,
    clock: Arc<TestClock>,
    log: Log,
    ops: Arc<dyn Ops>,
    receiver: Receiver,
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn app() -> App {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("rollcall-entitlements-{}-{count}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let clock = Arc::new(TestClock(Mutex::new(START)));
    let log = Log::in_memory(LogId([3; 8]), clock.clone());
    let ops = ops::open(&EngineConfig::Embedded { dir: dir.clone() }).await.unwrap();
    let receiver = receiver(&ops, &log, &clock, Order::Version, Arc::new(canonical(SECRET)));
    App { dir, clock, log, ops, receiver }
}

fn canonical(secrets: &str) -> Posted {
    Posted::new(Authentication::Signature(Secrets::parse(secrets).unwrap()), Format::CloudEvents)
}

fn receiver(ops: &Arc<dyn Ops>, log: &Log, clock: &Arc<TestClock>, order: Order, hook: Arc<dyn Hook>) -> Receiver {
    let route = HookRoute {
        source: "flexnet".parse().unwrap(),
        order,
        hook,
        max_body: 1 << 20,
        max_in_flight: HookRoute::MAX_IN_FLIGHT,
        is_retired: Arc::new(|_| false),
        max_quarantine: HookRoute::MAX_QUARANTINE,
    };
    Receiver::new(vec![route], ops.clone(), (Arc::new(log.clone()), Arc::new(log.clone())), clock.clone())
}

fn signed(secret: &str, timestamp: i64, media: &str, body: &str) -> InboundCall {
    let signature = Secrets::parse(secret).unwrap().sign("msg_1", timestamp, body.as_bytes());
    let mut headers = http::HeaderMap::new();
    let mut add = |name: &'static str, value: &str| headers.insert(name, value.parse().unwrap());
    add("content-type", media);
    add("webhook-id", "msg_1");
    add("webhook-timestamp", &timestamp.to_string());
    add("webhook-signature", &signature);
    add("authorization", "Bearer canary-in-a-header");
    add("cookie", "session=canary-in-a-header");
    InboundCall {
        headers,
        body: Bytes::from(body.to_owned()),
        client: Some("192.0.2.1".parse().unwrap()),
        certificate: None,
    }
}

fn event(id: &str, kind: &str, sequence: u64, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/acme","type":"rollcall.{kind}.v1","sequence":"{sequence}","data":{data}}}"#
    )
}

fn product(id: &str, sequence: u64) -> String {
    event(id, "product.upserted", sequence, r#"{"product":"DB"}"#)
}

impl App {
    async fn post(&self, media: &str, body: &str) -> Result<DeliveryAnswer, ReceiveError> {
        self.receiver.receive("flexnet", signed(SECRET, START, media, body)).await
    }
    /// A receiver as after a restart with other settings.
    fn restarted(&self, order: Order, hook: impl Hook) -> Receiver {
        receiver(&self.ops, &self.log, &self.clock, order, Arc::new(hook))
    }
    async fn records(&self) -> Vec<Recorded> {
        self.log.page(Position(0), 1000, &Filter::default()).await.unwrap().0
    }
    /// A delivery as it is shown, once what became of it was noted.
    async fn shown(&self, id: &DeliveryId) -> DeliveryDetail {
        self.ops.abandon_answer("nothing").await.unwrap();
        // What was refused is written after everything else.
        loop {
            if let Some(kept) = self.ops.delivery(id).await.unwrap() {
                return kept;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn outcomes(answer: &DeliveryAnswer) -> Vec<(&str, &str, u64)> {
    answer.events.iter().map(|event| (&*event.id, event.outcome, event.position.0)).collect()
}

fn problems(shown: &DeliveryDetail) -> Vec<Option<(&str, &str)>> {
    let problem = |part: &rollcall_store::ops::PartRow| part.problem.clone();
    let all: Vec<_> = shown.parts.iter().map(problem).collect();
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    all.into_iter().map(|problem| problem.map(|p| (leak(p.kind), leak(p.pointer)))).collect()
}

#[tokio::test]
async fn the_good_parts_of_a_batch_are_recorded_and_the_bad_ones_can_be_looked_at() {
    let app = app().await;
    let state = |state| format!(r#"{{"entitlement":"ENT-7","account":"GLOBEX",{state}}}"#);
    let body = format!(
        "[{},{},{},{}]",
        event("1", "entitlement.upserted", 1, &state(r#""state":"active""#)),
        event("2", "entitlement.upserted", 2, &state(r#""state":"inactive","state":"active""#)),
        event("3", "secret.revoked", 3, r#"{"secret":"sec_1"}"#),
        event("4", "product.upserted", 4, r#"{"product":"DB"}"#),
    );
    let answer = app.post(MANY, &body).await.unwrap();
    assert_eq!((outcomes(&answer), answer.quarantined), (vec![("1", "recorded", 1), ("4", "recorded", 2)], 2));
    assert_eq!(answer.position(), Some(Position(2)));
    let records = app.records().await;
    let event: Vec<_> = records.iter().map(|r| (&*r.event.subject, r.event.sequence, &*r.event.data)).collect();
    let data = r#"{"entitlement":"ENT-7","account":"GLOBEX","state":"active"}"#;
    assert_eq!(event, [("entitlement/ENT-7", Some(1), data), ("product/DB", Some(4), r#"{"product":"DB"}"#)]);
    assert!(records.iter().all(|r| r.event.correlation.as_deref() == Some(answer.delivery.as_str())));
    assert!(records.iter().all(|r| r.event.origin.as_deref() == Some("/acme")));
    let shown = app.shown(&answer.delivery).await;
    assert_eq!(shown.summary.verdict, Verdict::Quarantined);
    assert_eq!(shown.body.as_deref(), Some(body.as_bytes()));
    assert_eq!(problems(&shown), [None, Some(("invalid-data", "/data/state")), Some(("not-yours", "/type")), None]);
    assert!(!format!("{:?}", shown.headers).contains("canary-in-a-header"));
}

/// E8, at the door.
#[tokio::test]
async fn a_replayed_request_is_refused_after_five_minutes_and_kept_as_rejected() {
    let app = app().await;
    let call = signed(SECRET, START, ONE, &product("1", 1));
    let receive = |call: &InboundCall| app.receiver.receive("flexnet", call.clone());
    *app.clock.0.lock().unwrap() = START + 200;
    assert_eq!(outcomes(&receive(&call).await.unwrap()), [("1", "recorded", 1)]);
    *app.clock.0.lock().unwrap() = START + 301;
    let Err(ReceiveError::Unauthorised { delivery, rejection }) = receive(&call).await else { panic!("accepted") };
    assert_eq!(rejection.reason, "timestamp-stale");
    let shown = app.shown(&delivery).await;
    assert_eq!((shown.summary.verdict, shown.summary.reason.as_deref()), (Verdict::Rejected, Some("timestamp-stale")));
    assert!(shown.parts.is_empty());
    let failed = DeliveryFilter { verdicts: DeliveryFilter::FAILED.to_vec(), ..DeliveryFilter::default() };
    assert_eq!(app.ops.deliveries(&failed, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_delivery_refused_for_a_wrong_secret_can_be_replayed_once_the_secret_is_right() {
    let app = app().await;
    let call = signed(OTHER, START, ONE, &product("1", 1));
    let Err(ReceiveError::Unauthorised { delivery, rejection }) = app.receiver.receive("flexnet", call).await else {
        panic!("accepted")
    };
    assert_eq!(rejection.reason, "signature-mismatch");
    app.shown(&delivery).await;
    assert!(matches!(app.receiver.replay(&delivery).await, Err(ReplayError::Unauthorised(_))));
    assert!(app.records().await.is_empty());
    *app.clock.0.lock().unwrap() = START + 86_400;
    let fixed = app.restarted(Order::Version, canonical(&format!("{SECRET}\n{OTHER}")));
    assert_eq!(outcomes(&fixed.replay(&delivery).await.unwrap()), [("1", "recorded", 1)]);
    let shown = app.shown(&delivery).await;
    assert_eq!((shown.summary.verdict, shown.replays[0].was.as_str()), (Verdict::Recorded, "rejected"));
}

/// E13.
#[tokio::test]
async fn what_was_not_understood_is_driven_again_once_the_mapping_is_fixed() {
    let app = app().await;
    let (from, to) = ("rollcall.product.upserted.v1", "rollcall.prodct.upserted.v1");
    let old_mapping = app.restarted(Order::Version, OldMapping { inner: canonical(SECRET), from, to });
    let line = event("2", "product.removed", 2, r#"{"product":"DB"}"#);
    let body = format!("[{},{line}]", product("1", 1));
    let answer = old_mapping.receive("flexnet", signed(SECRET, START, MANY, &body)).await.unwrap();
    assert_eq!((outcomes(&answer), answer.quarantined), (vec![("2", "recorded", 1)], 1));
    assert_eq!(problems(&app.shown(&answer.delivery).await)[0], Some(("unknown-type", "/type")));

    *app.clock.0.lock().unwrap() = START + 86_400;
    let all = app.receiver.replay_all(None, ProblemType::UnknownType).await.unwrap();
    assert_eq!((all.deliveries, all.recorded, all.quarantined, all.failed.len()), (1, 1, 0, 0));
    let records = app.records().await;
    // As if mapped at first: its own id, its own order, the delivery that brought it.
    let event = &records[1].event;
    assert_eq!((&*event.key.id, event.sequence, &*event.kind), ("1", Some(1), from));
    assert_eq!(event.correlation.as_deref(), Some(answer.delivery.as_str()));
    let shown = app.shown(&answer.delivery).await;
    assert_eq!(shown.summary.verdict, Verdict::Recorded);
    let words: Vec<_> = shown.parts.iter().map(|part| part.outcome.as_str()).collect();
    assert_eq!(words, ["recorded", "duplicate"]);
    assert_eq!(app.receiver.replay_all(None, ProblemType::UnknownType).await.unwrap().deliveries, 0);
    let again = app.receiver.replay(&answer.delivery).await.unwrap();
    assert_eq!(outcomes(&again), [("1", "duplicate", 2), ("2", "duplicate", 1)]);
    assert_eq!(app.records().await.len(), 2);
}

#[tokio::test]
async fn an_event_without_its_order_key_waits_until_the_source_is_ordered_otherwise() {
    let app = app().await;
    let body = product("1", 1).replace(r#""sequence":"1","#, "");
    let answer = app.post(ONE, &body).await.unwrap();
    assert_eq!((answer.events.len(), answer.quarantined), (0, 1));
    assert_eq!(problems(&app.shown(&answer.delivery).await), [Some(("missing-order-key", "/sequence"))]);
    let observed = app.restarted(Order::Observed, canonical(SECRET));
    let source = "flexnet".parse().unwrap();
    let all = observed.replay_all(Some(&source), ProblemType::MissingOrderKey).await.unwrap();
    assert_eq!((all.deliveries, all.recorded), (1, 1));
}

/// E14 and DESIGN 4: permanent idempotency, conflicts in the open.
#[tokio::test]
async fn the_same_again_is_a_duplicate_and_other_bytes_are_a_visible_conflict() {
    let app = app().await;
    app.post(ONE, &product("0", 1)).await.unwrap();
    assert_eq!(outcomes(&app.post(ONE, &product("1", 1)).await.unwrap()), [("1", "recorded", 2)]);
    // Another origin, another form, another time of day: the same event.
    let same = format!("[{}]", product("1", 1).replace("/acme", "/acme-eu"));
    assert_eq!(outcomes(&app.post(MANY, &same).await.unwrap()), [("1", "duplicate", 2)]);
    let changes = [
        (r#""DB""#, r#""DC""#),
        (r#"{"product":"DB"}"#, r#"{"product": "DB"}"#),
        (r#""sequence":"1""#, r#""sequence":"2""#),
        (r#""sequence":"1""#, r#""sequence":"1","time":"2026-01-01T00:00:00Z""#),
        ("upserted", "removed"),
    ];
    for (from, to) in changes {
        let answer = app.post(ONE, &product("1", 1).replace(from, to)).await.unwrap();
        assert_eq!((outcomes(&answer), answer.quarantined), (vec![("1", "conflict", 2)], 0), "{to}");
        assert_eq!(app.shown(&answer.delivery).await.summary.verdict, Verdict::Conflict);
    }
    let twice = format!("[{},{},{}]", product("2", 1), product("2", 1), product("2", 9));
    let answer = app.post(MANY, &twice).await.unwrap();
    assert_eq!(outcomes(&answer), [("2", "recorded", 3), ("2", "duplicate", 3), ("2", "conflict", 3)]);
    let failed = DeliveryFilter { verdicts: vec![Verdict::Conflict], ..DeliveryFilter::default() };
    assert_eq!(app.ops.deliveries(&failed, None, 99).await.unwrap().len(), changes.len() + 1);
    assert_eq!(app.records().await.len(), 3);
}

/// DESIGN 4, personal data; security.md 2.10.
#[tokio::test]
async fn personal_data_is_in_no_event_and_can_be_erased() {
    let app = app().await;
    let person = |personal: &str| {
        event("p", "person.upserted", 1, &format!(r#"{{"person":"u-17","account":null,"active":true{personal}}}"#))
    };
    let with = person(r#","personal":{"email":"ada@globex.example","name":"Ada L"}"#);
    let answer = app.post(ONE, &with).await.unwrap();
    assert_eq!(outcomes(&answer), [("p", "recorded", 1)]);
    for record in app.records().await {
        let all = format!("{record:?}");
        assert!(!all.contains("ada@") && !all.contains("Ada L") && !all.contains("personal"), "{all}");
    }
    let key = [("flexnet".parse().unwrap(), "u-17".parse().unwrap())];
    let found = app.ops.personal_data(&key).await.unwrap();
    assert_eq!((found[0].email.as_deref(), found[0].name.as_deref()), (Some("ada@globex.example"), Some("Ada L")));
    // A changed address is no other event.
    let moved = app.post(ONE, &with.replace("ada@", "ada.l@")).await.unwrap();
    assert_eq!(outcomes(&moved), [("p", "duplicate", 1)]);
    assert_eq!(app.ops.personal_data(&key).await.unwrap()[0].email.as_deref(), Some("ada.l@globex.example"));
    assert_eq!(outcomes(&app.post(ONE, &person("")).await.unwrap()), [("p", "duplicate", 1)]);

    assert_eq!(app.ops.erase(&key[0].0, &key[0].1, app.clock.now()).await.unwrap(), 3);
    assert!(app.ops.personal_data(&key).await.unwrap().is_empty());
    assert!(matches!(app.receiver.replay(&answer.delivery).await, Err(ReplayError::Gone)));
    assert_eq!(app.records().await.len(), 1, "the log has nothing to erase");
}

/// E14 with the real inbox: killed between keeping and appending.
#[tokio::test]
async fn a_start_goes_on_with_what_a_crash_left_half_way() {
    let app = app().await;
    let call = signed(SECRET, START, ONE, &product("1", 1));
    let delivery = Delivery {
        id: DeliveryId::new(app.clock.now(), [1; 10]),
        source: "flexnet".parse().unwrap(),
        received_at: app.clock.now(),
        client: None,
        headers: Headers::kept(&call.headers, |name| canonical(SECRET).keeps(name)),
        body: call.body,
        notification: None,
    };
    let part = Part { id: Some("1".into()), kind: None, subject: None, state: PartState::Pending };
    app.ops.store(delivery.clone(), None, vec![part], vec![], Durability::Written).await.unwrap();
    app.ops.close().await;

    let ops = ops::open(&EngineConfig::Embedded { dir: app.dir.clone() }).await.unwrap();
    *app.clock.0.lock().unwrap() = START + 3600;
    let restarted = receiver(&ops, &app.log, &app.clock, Order::Version, Arc::new(canonical(SECRET)));
    let recovered = restarted.recover().await.unwrap();
    assert_eq!((recovered.deliveries, recovered.recorded, recovered.failed.len()), (1, 1, 0));
    let redelivered = restarted.receive("flexnet", signed(SECRET, START + 3600, ONE, &product("1", 1))).await.unwrap();
    assert_eq!(outcomes(&redelivered), [("1", "duplicate", 1)]);
    // What became of them is written behind the answer; a write that waits is behind it too.
    ops.abandon_answer("nothing").await.unwrap();
    assert_eq!(restarted.recover().await.unwrap().deliveries, 0);
    assert_eq!(ops.delivery(&delivery.id).await.unwrap().unwrap().summary.verdict, Verdict::Recorded);
}

#[tokio::test]
async fn what_cannot_be_read_at_all_is_authentic_still() {
    let app = app().await;
    for (media, body, kind) in [
        (ONE, "{", "malformed"),
        (MANY, "{}", "malformed"),
        (ONE, "\u{feff}{", "malformed"),
        ("text/plain", "hello", "unsupported-content-type"),
    ] {
        let answer = app.post(media, body).await.unwrap();
        assert_eq!((answer.events.len(), answer.quarantined), (0, 1), "{media} {body}");
        assert_eq!(problems(&app.shown(&answer.delivery).await), [Some((kind, ""))]);
    }
    let nothing = app.post(MANY, "[]").await.unwrap();
    assert_eq!((nothing.events.len(), nothing.quarantined, nothing.position()), (0, 0, None));
    assert!(app.records().await.is_empty());
}

/// The revocation that was captured, sent again within its five minutes as the newest grant there can be.
#[tokio::test]
async fn a_captured_revocation_cannot_be_made_a_grant_by_its_headers() {
    let app = app().await;
    let mut call = signed(SECRET, START, "application/json", r#"{"person":"u-17","permission":"download"}"#);
    let mut add = |name: &'static str, value: &'static str| call.headers.insert(name, value.parse().unwrap());
    add("ce-specversion", "1.0");
    add("ce-id", "forged");
    add("ce-source", "/acme");
    add("ce-type", "rollcall.permission.granted.v1");
    add("ce-sequence", "18446744073709551615");
    let answer = app.receiver.receive("flexnet", call).await.unwrap();
    assert_eq!((answer.events.len(), answer.quarantined), (0, 1));
    assert!(app.records().await.is_empty());
    let shown = app.shown(&answer.delivery).await;
    assert_eq!((shown.summary.verdict, problems(&shown)), (Verdict::Quarantined, vec![Some(("binary-mode", ""))]));
    let part = &shown.parts[0];
    assert!(part.id.is_none() && part.kind.is_none() && part.subject.is_none(), "a header was believed: {part:?}");
    // Nor later, when tokens are what the source is known by: this delivery came without one.
    let tokens = Tokens::parse("licensing-token-of-0123456789-abcdef").unwrap();
    let by_token = app.restarted(Order::Version, Posted::new(Authentication::Bearer(tokens), Format::CloudEvents));
    let again = by_token.replay(&answer.delivery).await.unwrap();
    assert_eq!((again.events.len(), again.quarantined), (0, 1));
    assert!(app.records().await.is_empty());
}

/// A captured request, and a redelivery that comes late: only that it came says that it came, also after a restart.
#[tokio::test]
async fn a_signed_notification_of_a_mapping_is_known_again_after_a_restart() {
    let app = app().await;
    let rule = RuleText {
        emit: Some("entitlement.upserted".to_owned()),
        fields: [("entitlement", "'E'"), ("account", "'A'"), ("state", "payload.state")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        ..RuleText::default()
    };
    let hook = || {
        let (order, time_zone) = (Order::Observed, "UTC");
        let text = MappingText {
            require: &[],
            json_texts: &[],
            rules: std::slice::from_ref(&rule),
            id: None,
            time: None,
            sequence: None,
            order,
            time_zone,
        };
        let mapping = Mapping::compile(&text).unwrap();
        Posted::new(Authentication::Signature(Secrets::parse(SECRET).unwrap()), Format::Mapped(mapping))
    };
    let post = async |receiver: &Receiver, id: &'static str, state: &str| {
        let body = format!(r#"{{"state":"{state}"}}"#);
        let mut call = signed(SECRET, START, "application/json", &body);
        let signature = Secrets::parse(SECRET).unwrap().sign(id, START, body.as_bytes());
        call.headers.insert("webhook-id", id.parse().unwrap());
        call.headers.insert("webhook-signature", signature.parse().unwrap());
        let answer = receiver.receive("flexnet", call).await.unwrap();
        answer.events.iter().map(|event| (event.outcome, event.position.0)).collect::<Vec<_>>()
    };
    let receiver = app.restarted(Order::Observed, hook());
    assert_eq!(post(&receiver, "n1", "active").await, [("recorded", 1)]);
    assert_eq!(post(&receiver, "n2", "active").await, [("duplicate", 1)]);
    assert_eq!(post(&receiver, "n3", "inactive").await, [("recorded", 2)]);
    for receiver in [receiver, app.restarted(Order::Observed, hook())] {
        for id in ["n1", "n2"] {
            assert_eq!(post(&receiver, id, "active").await, [("duplicate", 1)], "{id}");
        }
        assert_eq!(post(&receiver, "n3", "inactive").await, [("duplicate", 2)]);
    }
    assert_eq!(app.records().await.len(), 2);
}
