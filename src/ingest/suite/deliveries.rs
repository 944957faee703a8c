//! The order of the steps, with an inbox and a log that fail or stop where a test wants them to. Long because all of it
//! stands on that one inbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_eventlog::{Append, AppendError, Log, Outcome, Tail};
use rollcall_events::{Clock, LogId, NewEvent, Order, Position, SourceName};
use tokio::sync::{Notify, Semaphore, watch};

use super::kit::TestClock;
use crate::{
    connector::{
        Headers, Hook, MappedEvent, MappingError, Notification, Occasion, Problem, ProblemType, Rejection, SenderId,
    },
    delivery::{
        Delivery, DeliveryAnswer, DeliveryId, Durability, HookRoute, InboundCall, Inbox, InboxError, Part, PartForm,
        PartOutcomes, PartState, Quarantine, ReceiveError, Receiver, ReplayError, SaidAgain, SameDelivery,
        SameNotification, Sent, StoredDelivery, Verdict,
    },
    personal::Personal,
};

const PRODUCT: &str = "rollcall.product.upserted.v1";

/// A format of one line an event: `id type sequence data`. The header `key` must be `good`.
#[derive(Default)]
pub(super) struct Lines {
    /// `boom` makes the mapping panic until it is fixed.
    pub(super) fixed: AtomicBool,
    /// Whether it says of itself that it may take long.
    slow: AtomicBool,
    /// Where it was last mapped.
    mapped_on: Mutex<Option<ThreadId>>,
}

impl Hook for Lines {
    fn keeps(&self, header: &str) -> bool {
        ["key", "notification", "signed-at"].contains(&header)
    }
    fn verify(&self, headers: &Headers, _: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        match headers.one("key") {
            Ok(Some("good")) => Ok(()),
            Ok(Some("stale")) if matches!(occasion, Occasion::Replay(_)) => Ok(()),
            _ => Err(Rejection { reason: "key-wrong", hint: "send the key" }),
        }
    }
    fn is_signed(&self, headers: &Headers, _: &[u8]) -> bool {
        matches!(headers.one("key"), Ok(Some("good" | "stale")))
    }
    fn notification(&self, headers: &Headers, _: &[u8]) -> Option<Notification> {
        let id = headers.one("notification").ok().flatten()?.to_owned();
        let signed = headers.one("signed-at").ok().flatten().and_then(|at| at.parse().ok()).unwrap_or_default();
        let now = TestClock::default().now();
        Some(Notification { id, signed_at: now + chrono::Duration::seconds(signed) })
    }
    fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }
    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        assert_ne!(headers.one("key"), Ok(Some("bad")), "mapped before it was verified");
        *self.mapped_on.lock().unwrap() = Some(thread::current().id());
        let line = |line: &str| {
            let whole = line;
            if line == "boom" {
                assert!(self.fixed.load(Ordering::Relaxed), "the mapping is broken");
                return Ok(product("boom", 9));
            }
            // What cannot be mapped until it can.
            let line = match line.strip_prefix('?') {
                Some(_) if !self.fixed.load(Ordering::Relaxed) => {
                    return Err(Problem::at(ProblemType::ExpressionFailed, "", "not yet").into());
                }
                line => line.unwrap_or(whole),
            };
            let mut words = line.splitn(4, ' ').map(str::to_owned);
            let mut word = || words.next().unwrap();
            let (id, kind, sequence, data) = (word(), word(), word().parse().ok(), word());
            // A sender that gives no ids, and one that gives one to a notification.
            let id = match id.strip_prefix('=') {
                _ if id == "-" => SenderId::None,
                Some(of) => SenderId::OfNotification(of.to_owned()),
                None => SenderId::OfEvent(id),
            };
            Ok(MappedEvent { id, kind, sequence, data, ..MappedEvent::default() })
        };
        std::str::from_utf8(body).unwrap().lines().map(line).collect()
    }
}

pub(super) fn product(id: &str, sequence: u64) -> MappedEvent {
    let data = format!(r#"{{"product":"{id}"}}"#);
    MappedEvent {
        id: SenderId::OfEvent(id.into()),
        kind: PRODUCT.into(),
        sequence: Some(sequence),
        data,
        ..MappedEvent::default()
    }
}

pub(super) type PlanRow = (Delivery, Verdict, Vec<Part>);

#[derive(Default)]
pub(super) struct Fake {
    pub(super) rows: Mutex<BTreeMap<DeliveryId, PlanRow>>,
    rejected: Mutex<Vec<&'static str>>,
    pub(super) asked: Mutex<Vec<Durability>>,
    personal: Mutex<Vec<Personal>>,
    keep_fails: AtomicBool,
    settle_fails: AtomicBool,
    /// What was refused when it arrived.
    refused: Mutex<BTreeSet<DeliveryId>>,
    /// When what came again was sent first.
    firsts: Mutex<BTreeMap<DeliveryId, Sent>>,
    /// How often it was asked for a delivery.
    pub(super) lookups: AtomicUsize,
    settled: watch::Sender<usize>,
}

impl Fake {
    fn forget_one_in_quarantine(&self) {
        let mut rows = self.rows.lock().unwrap();
        let one = rows.iter().find(|(_, (_, verdict, _))| *verdict == Verdict::Quarantined).map(|(id, _)| id.clone());
        rows.remove(&one.unwrap()).unwrap();
    }
    fn words(&self, id: &DeliveryId) -> (Verdict, Vec<&'static str>) {
        let rows = self.rows.lock().unwrap();
        let (_, verdict, parts) = &rows[id];
        (*verdict, parts.iter().map(|part| part.state.as_str()).collect())
    }
    fn only(&self) -> DeliveryId {
        let rows = self.rows.lock().unwrap();
        assert_eq!(rows.len(), 1);
        rows.keys().next().unwrap().clone()
    }
}

#[async_trait]
impl Inbox for Fake {
    async fn store(
        &self,
        delivery: Delivery,
        first: Option<&Sent>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
        durability: Durability,
    ) -> Result<(), InboxError> {
        if self.keep_fails.load(Ordering::Relaxed) {
            return Err(InboxError::Unavailable("no disk".into()));
        }
        self.asked.lock().unwrap().push(durability);
        self.personal.lock().unwrap().extend(personal);
        if let Some(first) = first.filter(|first| first.id != delivery.id) {
            self.firsts.lock().unwrap().insert(delivery.id.clone(), first.clone());
        }
        let verdict = Verdict::of(parts.iter().map(|part| &part.state));
        self.rows.lock().unwrap().insert(delivery.id.clone(), (delivery, verdict, parts));
        Ok(())
    }
    fn reject(&self, delivery: Delivery, reason: &'static str) {
        self.refused.lock().unwrap().insert(delivery.id.clone());
        if delivery.headers.one("key") == Ok(Some("stale")) {
            self.rows.lock().unwrap().insert(delivery.id.clone(), (delivery, Verdict::Rejected, Vec::new()));
        }
        self.rejected.lock().unwrap().push(reason);
    }
    async fn store_replay(
        &self,
        delivery: &Delivery,
        first: Option<&Sent>,
        _: DateTime<Utc>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
    ) -> Result<(), InboxError> {
        self.store(delivery.clone(), first, parts, personal, Durability::Synced).await
    }
    async fn record_outcomes(
        &self,
        id: &DeliveryId,
        settled: PartOutcomes,
        durability: Durability,
    ) -> Result<(), InboxError> {
        if self.settle_fails.load(Ordering::Relaxed) {
            return Err(InboxError::Unavailable("no disk".into()));
        }
        self.asked.lock().unwrap().push(durability);
        let mut rows = self.rows.lock().unwrap();
        let (_, verdict, parts) = rows.get_mut(id).expect("kept before it is settled");
        *verdict = settled.verdict;
        for (index, word, position) in settled.parts {
            let at = position.unwrap_or_default();
            parts[index].state = match word {
                "recorded" => PartState::Recorded(at),
                "duplicate" => PartState::Duplicate(at),
                "conflict" => PartState::Conflict(at),
                "superseded" => PartState::Superseded(at),
                _ => PartState::Unrecorded,
            };
        }
        self.settled.send_modify(|count| *count += 1);
        Ok(())
    }
    async fn find(&self, id: &DeliveryId) -> Result<Option<StoredDelivery>, InboxError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let rows = self.rows.lock().unwrap();
        Ok(rows.get(id).map(|(delivery, verdict, _)| StoredDelivery {
            delivery: delivery.clone(),
            bytes: delivery.body.len() as u64,
            verdict: *verdict,
            refused: self.refused.lock().unwrap().contains(id),
        }))
    }
    async fn sent(&self, deliveries: &[DeliveryId]) -> Result<Vec<(DeliveryId, Sent)>, InboxError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let rows = self.rows.lock().unwrap();
        let (refused, firsts) = (self.refused.lock().unwrap(), self.firsts.lock().unwrap());
        let kept = deliveries.iter().filter_map(|id| rows.get(id));
        let own = |delivery: &Delivery| Sent::of(delivery, refused.contains(&delivery.id));
        let sent = |of: &Delivery| firsts.get(&of.id).cloned().unwrap_or_else(|| own(of));
        Ok(kept.map(|(delivery, ..)| (delivery.id.clone(), sent(delivery))).collect())
    }
    async fn said_again(
        &self,
        source: &SourceName,
        subjects: &[Arc<str>],
        after: &DeliveryId,
        but: &DeliveryId,
    ) -> Result<Vec<SaidAgain>, InboxError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let (rows, firsts) = (self.rows.lock().unwrap(), self.firsts.lock().unwrap());
        let mut again = Vec::new();
        let is_but = |id: &DeliveryId| firsts.get(id).map_or(id, |first| &first.id) == but;
        for (delivery, (.., parts)) in
            rows.iter().filter(|(id, (of, ..))| *id > after && !is_but(id) && of.source == *source)
        {
            let known = parts.iter().filter(|part| part.id.is_none());
            again.extend(known.filter_map(|part| match (&part.subject, &part.state) {
                (Some(subject), PartState::Duplicate(at)) if subjects.iter().any(|one| **one == **subject) => {
                    let (subject, delivery) = (subject.as_str().into(), delivery.clone());
                    Some(SaidAgain { subject, delivery, position: *at })
                }
                _ => None,
            }));
        }
        Ok(again)
    }
    async fn same_in_quarantine(&self, delivery: &Delivery) -> Result<Option<(DeliveryId, Vec<PartForm>)>, InboxError> {
        let Some(sought) = &delivery.notification else { return Ok(None) };
        let rows = self.rows.lock().unwrap();
        let same = |kept: &Delivery| {
            kept.notification.as_ref().is_some_and(|of| of.id == sought.id) && kept.body == delivery.body
        };
        let newest = rows.iter().rfind(|(_, (kept, verdict, _))| *verdict == Verdict::Quarantined && same(kept));
        Ok(newest.map(|(id, (.., parts))| (id.clone(), parts.iter().map(PartForm::of).collect())))
    }
    async fn same_notification(&self, delivery: &Delivery) -> Result<SameNotification, InboxError> {
        let rows = self.rows.lock().unwrap();
        let same = |(kept, ..): &&PlanRow| {
            let id = |of: &Delivery| of.notification.as_ref().map(|of| of.id.clone());
            id(kept).is_some() && id(kept) == id(delivery) && kept.body == delivery.body
        };
        let same = rows.values().filter(same).map(|(kept, verdict, _)| SameDelivery {
            id: kept.id.clone(),
            verdict: *verdict,
            headers: kept.headers.clone(),
            erased: false,
        });
        Ok(SameNotification { deliveries: same.collect(), is_reused: false })
    }
    async fn quarantined(
        &self,
        _: Option<&SourceName>,
        problem: ProblemType,
        after: Option<&DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, InboxError> {
        let rows = self.rows.lock().unwrap();
        let has = |parts: &[Part]| {
            parts.iter().any(|part| matches!(&part.state, PartState::Quarantined(found) if found.kind == problem))
        };
        let ids = rows.iter().filter(|(id, (.., parts))| Some(*id) > after && has(parts));
        Ok(ids.map(|(id, _)| id.clone()).take(limit).collect())
    }
    async fn quarantine_of(&self, _: &SourceName) -> Result<Quarantine, InboxError> {
        let rows = self.rows.lock().unwrap();
        let kept = rows.values().filter(|(_, verdict, _)| *verdict == Verdict::Quarantined);
        let bytes: Vec<u64> = kept.map(|(delivery, ..)| delivery.body.len() as u64).collect();
        Ok(Quarantine { deliveries: bytes.len() as u64, bytes: bytes.iter().sum() })
    }
    async fn pending(&self, after: Option<&DeliveryId>, limit: usize) -> Result<Vec<DeliveryId>, InboxError> {
        let rows = self.rows.lock().unwrap();
        let ids = rows.iter().filter(|(id, (_, verdict, _))| Some(*id) > after && *verdict == Verdict::Pending);
        Ok(ids.map(|(id, _)| id.clone()).take(limit).collect())
    }
}

/// A log that can refuse, and that can be held up.
pub(super) struct Gate {
    pub(super) log: Log,
    pub(super) batches: AtomicUsize,
    pub(super) refuses: AtomicBool,
    open: Semaphore,
    reached: Notify,
}

#[async_trait]
impl Append for Gate {
    fn log_id(&self) -> LogId {
        Append::log_id(&self.log)
    }
    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.reached.notify_one();
        let _passed = self.open.acquire().await.unwrap();
        if self.refuses.load(Ordering::Relaxed) {
            return Err(AppendError::Unavailable("the disk is full".into()));
        }
        self.log.append(batch).await
    }
}

pub(super) struct Setup {
    pub(super) inbox: Arc<Fake>,
    pub(super) log: Arc<Gate>,
    pub(super) hook: Arc<Lines>,
    pub(super) receiver: Receiver,
    retired: Arc<AtomicBool>,
    pub(super) route: HookRoute,
}

pub(super) fn setup() -> Setup {
    setup_with(Order::Version, Quarantine { deliveries: 2, bytes: 100 })
}

pub(super) fn setup_ordered(order: Order) -> Setup {
    setup_with(order, HookRoute::MAX_QUARANTINE)
}

pub(super) fn setup_with(order: Order, max_quarantine: Quarantine) -> Setup {
    let inbox = Arc::new(Fake::default());
    let log = Arc::new(Gate {
        log: Log::in_memory(LogId([1; 8]), Arc::new(TestClock::default())),
        batches: AtomicUsize::new(0),
        refuses: AtomicBool::new(false),
        open: Semaphore::new(100),
        reached: Notify::new(),
    });
    let (hook, retired) = (Arc::new(Lines::default()), Arc::new(AtomicBool::new(false)));
    let route = HookRoute {
        source: "flexnet".parse().unwrap(),
        order,
        hook: hook.clone(),
        max_body: 1000,
        max_in_flight: 1,
        is_retired: {
            let retired = Arc::clone(&retired);
            Arc::new(move |_| retired.load(Ordering::SeqCst))
        },
        max_quarantine,
    };
    let receiver = receiver(&route, &inbox, &log);
    Setup { inbox, log, hook, receiver, retired, route }
}

fn receiver(route: &HookRoute, inbox: &Arc<Fake>, log: &Arc<Gate>) -> Receiver {
    let log = (log.clone() as Arc<dyn Append>, Arc::new(log.log.clone()) as Arc<dyn Tail>);
    Receiver::new(vec![route.clone()], inbox.clone(), log, Arc::new(TestClock::default()))
}

pub(super) fn call(body: &str) -> InboundCall {
    let mut headers = http::HeaderMap::new();
    headers.insert("key", "good".parse().unwrap());
    headers.insert("authorization", "Bearer canary".parse().unwrap());
    InboundCall { headers, body: Bytes::from(body.to_owned()), client: None, certificate: None }
}

fn one(id: &str) -> String {
    format!("{id} {PRODUCT} 1 {{\"product\":\"{id}\"}}")
}

pub(super) fn outcomes(answer: &DeliveryAnswer) -> Vec<(&str, u64)> {
    answer.events.iter().map(|event| (event.outcome, event.position.0)).collect()
}

impl Setup {
    /// The same inbox and log, and nothing that was kept in memory.
    pub(super) fn started_again(self) -> Self {
        let receiver = receiver(&self.route, &self.inbox, &self.log);
        Self { receiver, ..self }
    }

    async fn post(&self, body: &str) -> Result<DeliveryAnswer, ReceiveError> {
        self.receiver.receive("flexnet", call(body)).await
    }
    pub(super) fn head(&self) -> u64 {
        self.log.log.head().borrow().position.0
    }
}

#[tokio::test]
async fn a_large_delivery_and_one_that_may_take_long_is_mapped_off_the_threads_that_answer() {
    let s = setup();
    let mut posted = 0;
    for (events, slow, apart) in [(1, false, false), (1500, false, true), (1, true, true)] {
        s.hook.slow.store(slow, Ordering::Relaxed);
        let body: Vec<String> = (posted..posted + events).map(|n| one(&format!("p{n:04}"))).collect();
        posted += events;
        let answer = s.post(&body.join("\n")).await.unwrap();
        assert_eq!((answer.events.len(), answer.quarantined), (events, 0));
        assert_eq!(*s.hook.mapped_on.lock().unwrap() != Some(thread::current().id()), apart, "{events}");
    }
}

#[tokio::test]
async fn what_a_retired_source_posts_is_refused_with_that_reason_and_a_stranger_is_told_nothing_of_it() {
    let s = setup();
    s.retired.store(true, Ordering::SeqCst);
    let told = s.post(&one("a")).await.unwrap_err();
    assert!(matches!(&told, ReceiveError::Retired { source_name } if source_name.as_str() == "flexnet"), "{told:?}");
    assert!(told.to_string().contains("retired, for ever"), "{told}");
    assert_eq!(s.head(), 0, "nothing of it is in the log");
    let mut stranger = call(&one("a"));
    stranger.headers.insert("key", "bad".parse().unwrap());
    let told = s.receiver.receive("flexnet", stranger).await.unwrap_err();
    assert!(matches!(told, ReceiveError::Unauthorised { .. }), "{told:?}");
}

#[tokio::test]
async fn nothing_that_is_kept_of_a_retired_source_is_gone_over_again() {
    let s = setup();
    let kept = s.post(&one("a")).await.unwrap().delivery;
    s.retired.store(true, Ordering::SeqCst);
    let was = s.inbox.words(&kept);
    let told = s.receiver.replay(&kept).await.unwrap_err();
    assert!(matches!(told, ReplayError::Receive(ReceiveError::Retired { .. })), "{told:?}");
    assert_eq!((s.head(), s.inbox.words(&kept)), (1, was), "nothing was changed");
}

#[tokio::test]
async fn an_answer_says_what_the_log_did_and_only_named_headers_are_kept() {
    let s = setup();
    let answer = s.post(&one("a")).await.unwrap();
    assert_eq!(outcomes(&answer), [("recorded", 1)]);
    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["events"], serde_json::json!([{"id": "a", "outcome": "recorded", "position": 1}]));
    assert_eq!((json["delivery"].as_str(), json["quarantined"].as_u64()), (Some(answer.delivery.as_str()), Some(0)));
    let records = s.log.log.page(Position(0), 9, &rollcall_eventlog::Filter::default()).await.unwrap().0;
    assert_eq!(records[0].event.correlation.as_deref(), Some(answer.delivery.as_str()));
    let kept = s.inbox.find(&answer.delivery).await.unwrap().unwrap();
    assert_eq!(kept.delivery.headers.iter().collect::<Vec<_>>(), [("key", "good")]);
}

#[tokio::test]
async fn what_is_not_authentic_is_never_mapped_and_an_unknown_source_is_not_kept() {
    let s = setup();
    let mut forged = call("boom");
    forged.headers.insert("key", "bad".parse().unwrap());
    let error = s.receiver.receive("flexnet", forged).await.unwrap_err();
    assert!(matches!(error, ReceiveError::Unauthorised { rejection, .. } if rejection.reason == "key-wrong"));
    assert_eq!(*s.inbox.rejected.lock().unwrap(), ["key-wrong"]);
    assert!(s.inbox.rows.lock().unwrap().is_empty());
    for name in ["other", "local", "", "../flexnet"] {
        assert!(matches!(s.receiver.receive(name, call("x")).await, Err(ReceiveError::UnknownSource)), "{name}");
    }
    assert_eq!(s.inbox.rejected.lock().unwrap().len(), 1);
    assert_eq!((s.receiver.max_body("flexnet"), s.receiver.max_body("other")), (Some(1000), None));
}

#[tokio::test]
async fn nothing_is_appended_when_the_delivery_cannot_be_kept() {
    let s = setup();
    s.inbox.keep_fails.store(true, Ordering::Relaxed);
    assert!(matches!(s.post(&one("a")).await, Err(ReceiveError::Unavailable(_))));
    assert_eq!(s.head(), 0);
}

#[tokio::test]
async fn when_the_log_refuses_nothing_is_acknowledged_and_sending_again_works() {
    let s = setup();
    s.log.refuses.store(true, Ordering::Relaxed);
    assert!(matches!(s.post(&one("a")).await, Err(ReceiveError::Unavailable(_))));
    assert_eq!(s.inbox.words(&s.inbox.only()), (Verdict::Unrecorded, vec!["unrecorded"]));
    s.log.refuses.store(false, Ordering::Relaxed);
    assert_eq!(outcomes(&s.post(&one("a")).await.unwrap()), [("recorded", 1)]);
    // The sender has its answer: a start must not go on with the one that was refused, newer facts may be in the log.
    assert_eq!(s.receiver.recover().await.unwrap().deliveries, 0);
}

/// E14, the step before: kept, not appended, killed.
#[tokio::test]
async fn a_delivery_that_was_kept_before_a_crash_is_gone_on_with_at_the_next_start() {
    let s = setup();
    let delivery = Delivery {
        id: DeliveryId::new(TestClock::default().now(), [7; 10]),
        source: "flexnet".parse().unwrap(),
        received_at: TestClock::default().now(),
        client: None,
        headers: [("key", "good")].into_iter().collect(),
        body: Bytes::from(one("a")),
        notification: None,
    };
    let part = Part { id: Some("a".into()), kind: None, subject: None, state: PartState::Pending };
    s.inbox.store(delivery.clone(), None, vec![part], vec![], Durability::Written).await.unwrap();
    let recovered = s.receiver.recover().await.unwrap();
    assert_eq!((recovered.deliveries, recovered.recorded, recovered.failed.len()), (1, 1, 0));
    assert_eq!(s.inbox.words(&delivery.id), (Verdict::Recorded, vec!["recorded"]));
    assert_eq!(outcomes(&s.post(&one("a")).await.unwrap()), [("duplicate", 1)]);
}

/// E14: appended, not answered, killed.
#[tokio::test]
async fn a_redelivery_after_a_crash_behind_the_append_gets_the_original_position() {
    let s = setup();
    s.inbox.settle_fails.store(true, Ordering::Relaxed);
    // The note is lost, the fact is not: the log's fsync is the promise.
    assert_eq!(outcomes(&s.post(&one("a")).await.unwrap()), [("recorded", 1)]);
    let first = s.inbox.only();
    assert_eq!(s.inbox.words(&first), (Verdict::Pending, vec!["pending"]));
    s.inbox.settle_fails.store(false, Ordering::Relaxed);
    assert_eq!(outcomes(&s.post(&one("a")).await.unwrap()), [("duplicate", 1)]);
    assert_eq!(s.receiver.recover().await.unwrap().recorded, 0);
    assert_eq!(s.inbox.words(&first), (Verdict::Duplicate, vec!["duplicate"]));
    assert_eq!(s.head(), 1);
}

#[tokio::test]
async fn a_conflict_is_noted_durably_before_the_answer_or_not_answered() {
    let s = setup();
    s.post(&one("a")).await.unwrap();
    let other = one("a").replace("\"a\"", "\"b\"");
    s.inbox.settle_fails.store(true, Ordering::Relaxed);
    assert!(matches!(s.post(&other).await, Err(ReceiveError::Unavailable(_))));
    s.inbox.settle_fails.store(false, Ordering::Relaxed);
    s.inbox.asked.lock().unwrap().clear();
    let answer = s.post(&other).await.unwrap();
    assert_eq!(outcomes(&answer), [("conflict", 1)]);
    assert_eq!(s.inbox.words(&answer.delivery).0, Verdict::Conflict);
    assert_eq!(*s.inbox.asked.lock().unwrap(), [Durability::Written, Durability::Synced]);
    assert_eq!(s.head(), 1);
}

#[tokio::test]
async fn only_what_is_kept_nowhere_else_is_synced_in_the_inbox() {
    let s = setup();
    s.post(&one("a")).await.unwrap();
    s.post("b rollcall.prodct.upserted.v1 1 {}").await.unwrap();
    let person =
        r#"c rollcall.person.upserted.v1 1 {"person":"p","account":null,"active":true,"personal":{"email":"p@x"}}"#;
    s.post(person).await.unwrap();
    use Durability::{Synced, Written};
    assert_eq!(*s.inbox.asked.lock().unwrap(), [Written, Written, Synced, Written, Synced, Written]);
    assert_eq!(s.inbox.personal.lock().unwrap()[0].email.as_deref(), Some("p@x"));
}

/// Promise 5, and CVE-2026-40886: a poison delivery costs itself.
#[tokio::test]
async fn a_mapping_that_panics_costs_no_delivery_and_no_service() {
    let s = setup();
    let answer = s.post("boom").await.unwrap();
    assert_eq!((answer.events.len(), answer.quarantined), (0, 1));
    assert_eq!(outcomes(&s.post(&one("a")).await.unwrap()), [("recorded", 1)]);
    let again = s.receiver.replay(&answer.delivery).await.unwrap();
    assert_eq!(again.quarantined, 1);
    s.hook.fixed.store(true, Ordering::Relaxed);
    let all = s.receiver.replay_all(None, ProblemType::MappingFailed).await.unwrap();
    assert_eq!((all.deliveries, all.recorded, all.quarantined), (1, 1, 0));
    assert_eq!(s.receiver.replay_all(None, ProblemType::MappingFailed).await.unwrap().deliveries, 0);
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_again_and_forged_ones_take_no_place() {
    let s = setup();
    let held = s.log.open.acquire_many(100).await.unwrap();
    let receiver = s.receiver.clone();
    let first = tokio::spawn(async move { receiver.receive("flexnet", call(&one("a"))).await });
    s.log.reached.notified().await;
    assert!(matches!(s.post(&one("b")).await, Err(ReceiveError::Busy { limit: 1 })));
    let mut forged = call("x");
    forged.headers.remove("key");
    assert!(matches!(s.receiver.receive("flexnet", forged).await, Err(ReceiveError::Unauthorised { .. })));
    drop(held);
    assert_eq!(outcomes(&first.await.unwrap().unwrap()), [("recorded", 1)]);
    assert_eq!(outcomes(&s.post(&one("b")).await.unwrap()), [("recorded", 2)]);
}

#[tokio::test]
async fn so_much_that_cannot_be_read_is_kept_of_a_source_and_what_can_be_read_is_taken_still() {
    let s = setup();
    assert!(s.receiver.full_quarantines().await.unwrap().is_empty());
    for _ in 0..2 {
        assert_eq!(s.post("not an event").await.unwrap().quarantined, 1);
    }
    let full = Quarantine { deliveries: 2, bytes: 24 };
    for body in ["not an event", &format!("{}\nnot an event", one("c"))] {
        let refused = s.post(body).await;
        assert!(matches!(&refused, Err(ReceiveError::QuarantineFull { kept, .. }) if *kept == full), "{refused:?}");
    }
    assert_eq!(s.inbox.rows.lock().unwrap().len(), 2, "nothing of it was kept");
    assert_eq!(outcomes(&s.post(&one("a")).await.unwrap()), [("recorded", 1)]);
    let told = s.receiver.full_quarantines().await.unwrap();
    assert_eq!(told, [("flexnet".parse().unwrap(), full, Quarantine { deliveries: 2, bytes: 100 })]);
    // Where there is room again, that is found out by itself.
    s.inbox.forget_one_in_quarantine();
    assert!(s.receiver.full_quarantines().await.unwrap().is_empty());
    assert_eq!(s.post("not an event").await.unwrap().quarantined, 1);
    // Bytes count too.
    s.inbox.forget_one_in_quarantine();
    assert!(s.receiver.full_quarantines().await.unwrap().is_empty());
    assert!(matches!(s.post(&"x".repeat(101)).await, Err(ReceiveError::QuarantineFull { .. })));
}

#[tokio::test]
async fn a_delivery_is_settled_also_when_its_sender_goes_away() {
    let s = setup();
    let mut settled = s.inbox.settled.subscribe();
    let held = s.log.open.acquire_many(100).await.unwrap();
    let receiver = s.receiver.clone();
    let caller = tokio::spawn(async move { receiver.receive("flexnet", call(&one("a"))).await });
    s.log.reached.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(held);
    settled.wait_for(|count| *count == 1).await.unwrap();
    assert_eq!(s.inbox.words(&s.inbox.only()), (Verdict::Recorded, vec!["recorded"]));
}

#[tokio::test]
async fn a_replay_checks_the_signature_again_and_that_the_bytes_are_whole() {
    let s = setup();
    let id = s.post(&one("a")).await.unwrap().delivery;
    assert_eq!(outcomes(&s.receiver.replay(&id).await.unwrap()), [("duplicate", 1)]);
    s.inbox.rows.lock().unwrap().get_mut(&id).unwrap().0.headers = [("key", "bad")].into_iter().collect();
    assert!(matches!(s.receiver.replay(&id).await, Err(ReplayError::Unauthorised(_))));
    let unknown = DeliveryId::new(TestClock::default().now(), [9; 10]);
    assert!(matches!(s.receiver.replay(&unknown).await, Err(ReplayError::Unknown)));
}

#[test]
fn the_verdict_over_a_delivery_is_its_worst_part() {
    let at = Position(1);
    let problem = Problem::at(ProblemType::Malformed, "", "");
    let states = [
        PartState::Duplicate(at),
        PartState::Recorded(at),
        PartState::Conflict(at),
        PartState::Quarantined(problem),
        PartState::Unrecorded,
        PartState::Pending,
    ];
    let words: Vec<_> = (1..=states.len()).map(|n| Verdict::of(states[..n].iter()).as_str()).collect();
    assert_eq!(words, ["duplicate", "recorded", "conflict", "quarantined", "unrecorded", "pending"]);
    for verdict in Verdict::ALL {
        assert_eq!(verdict.as_str().parse(), Ok(*verdict));
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
    }
    assert!(ProblemType::ALL.iter().all(|kind| kind.as_str().parse() == Ok(*kind)));
    assert!("nonsense".parse::<ProblemType>().unwrap_err().contains("unknown-type"));
}
