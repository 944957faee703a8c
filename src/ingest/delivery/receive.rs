//! The way of a delivery: signature, map, keep, append, answer (DESIGN 6).
//! Decides nothing about events (`validate`) or bytes (the hook); owns the order of the steps and the answers.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use rollcall_eventlog::{Append, AppendError, Outcome, Tail, TailError};
use rollcall_events::{Clock, Order, Position, SourceName};
use serde::Serialize;
use tokio::sync::{OnceCell, RwLock, Semaphore};

use crate::{
    connector::{
        ClientCertificate, Headers, Hook, MappingError, Occasion, Problem, ProblemType, Rejection, SecretUse, Sender,
        clipped,
    },
    delivery::{
        inbox::{Durability, Inbox, InboxError, PartForm, PartOutcomes, SameNotification},
        model::{Delivery, DeliveryId, Part, PartState, Sent, Verdict},
        quarantine::{Quarantine, QuarantineBudget},
        said::{Arrival, Fact, Fate, Identity, judge_again, judge_arrival, newest_of_own_id},
        telemetry,
        validate::{Places, validate},
    },
    personal::{Personal, micros},
};

/// One source that may be called.
#[derive(Clone)]
pub struct HookRoute {
    /// Its configured name. Never `local`: that is whom commands are recorded under.
    pub source: SourceName,
    /// How its events are ordered.
    pub order: Order,
    /// Its format, and how its sender is known.
    pub hook: Arc<dyn Hook>,
    /// The largest body in bytes. Applied by the HTTP layer, before the body is read.
    pub max_body: usize,
    /// How many authentic deliveries may be on their way at once; more are told to come again.
    pub max_in_flight: usize,
    /// Whether the source is retired, for ever: then nothing more is taken of it.
    pub is_retired: IsRetired,
    /// How much of it may be in quarantine; what cannot be read and has no room there is not taken.
    pub max_quarantine: Quarantine,
}

/// Asks whoever knows the roster whether a source is retired.
pub type IsRetired = Arc<dyn Fn(&SourceName) -> bool + Send + Sync>;

impl HookRoute {
    /// The default of `max_in_flight`.
    pub const MAX_IN_FLIGHT: usize = 256;

    /// The default of `max_quarantine`.
    pub const MAX_QUARANTINE: Quarantine = Quarantine { deliveries: 10_000, bytes: 256 << 20 };
}

/// One inbound call.
#[derive(Clone)]
pub struct InboundCall {
    /// All headers as they came; only those that the hook names are kept.
    pub headers: http::HeaderMap,
    /// The raw body.
    pub body: Bytes,
    /// Who called.
    pub client: Option<IpAddr>,
    /// The certificate that the caller showed on its connection.
    pub certificate: Option<Arc<dyn ClientCertificate>>,
}

/// The 202: what became of an authentic delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryAnswer {
    /// The delivery's id.
    pub delivery: DeliveryId,
    /// Whose delivery.
    #[serde(skip)]
    pub source: SourceName,
    /// The events that the log has now, in the order of the delivery.
    pub events: Vec<AnsweredEvent>,
    /// How many parts were not appended. Why is shown with the delivery.
    pub quarantined: usize,
}

impl DeliveryAnswer {
    /// The highest position that this delivery recorded or found: wait for it to see the effect.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.events.iter().map(|event| event.position).max()
    }
}

/// One event of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnsweredEvent {
    /// The sender's id.
    pub id: Arc<str>,
    /// `recorded`, `duplicate`, `conflict` or `superseded`.
    pub outcome: &'static str,
    /// Where the log has it.
    pub position: Position,
    /// What it is about.
    #[serde(skip)]
    pub subject: Arc<str>,
}

/// Why a delivery is not answered with 202. One variant per answer.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// 404: no source of this name is configured. Nothing was kept.
    #[error("no source of this name has a hook")]
    UnknownSource,
    /// 401: not the source's bytes. Kept as rejected, while there is room.
    #[error("{rejection}")]
    Unauthorised {
        /// The id under which it was kept, if it was.
        delivery: DeliveryId,
        /// Why.
        rejection: Rejection,
    },
    /// 410: the source is retired, for ever. Kept as rejected, while there is room.
    #[error("source {source_name} is retired, for ever: nothing that it says counts")]
    Retired {
        /// Which.
        source_name: SourceName,
    },
    /// 429 with `Retry-After`: this source has too many deliveries on their way. Nothing was kept.
    #[error("{limit} deliveries of this source are on their way already")]
    Busy {
        /// How many may be.
        limit: usize,
    },
    /// 507 with `Retry-After`: something in it cannot be read, and no more of this source is kept in quarantine. Nothing was
    /// kept.
    #[error(
        "something in this delivery cannot be read, and {} deliveries of this source, {} bytes, are in quarantine already; \
         {} deliveries and {} bytes may be", kept.deliveries, kept.bytes, max.deliveries, max.bytes
    )]
    QuarantineFull {
        /// What is kept.
        kept: Quarantine,
        /// What may be.
        max: Quarantine,
    },
    /// 503 with `Retry-After`: too much is waiting to be written.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// 503: storage does not answer. The sender sends it again.
    #[error("{0}")]
    Unavailable(String),
}

impl From<InboxError> for ReceiveError {
    fn from(error: InboxError) -> Self {
        match error {
            InboxError::Overloaded => Self::Overloaded,
            InboxError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<TailError> for ReceiveError {
    fn from(error: TailError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<AppendError> for ReceiveError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Overloaded { .. } => Self::Overloaded,
            AppendError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Takes deliveries for every configured source. Cheap to clone.
#[derive(Clone)]
pub struct Receiver {
    pub(crate) inner: Arc<ReceiverState>,
}

pub(crate) struct ReceiverState {
    pub(crate) hooks: BTreeMap<SourceName, HookState>,
    pub(crate) inbox: Arc<dyn Inbox>,
    log: Arc<dyn Append>,
    tail: Arc<dyn Tail>,
    pub(crate) clock: Arc<dyn Clock>,
    since: DateTime<Utc>,
    ids: Ids,
}

pub(crate) struct HookState {
    pub(crate) route: HookRoute,
    in_flight: Semaphore,
    /// Held while a body is mapped by a hook that may take long: one at a time, as each may take much memory too.
    slow: Semaphore,
    quarantine: QuarantineBudget,
    /// Held by whoever records what depends on what was said last, alone by whoever asks for that.
    pub(crate) turn: RwLock<()>,
    /// Where the newest event is to which the sender gave an id, once somebody asked.
    own_ids: OnceCell<AtomicU64>,
}

impl Receiver {
    /// A receiver for these sources.
    #[must_use]
    pub fn new(
        routes: Vec<HookRoute>,
        inbox: Arc<dyn Inbox>,
        (log, tail): (Arc<dyn Append>, Arc<dyn Tail>),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let hook_state = |route: HookRoute| {
            let in_flight = Semaphore::new(route.max_in_flight);
            let (slow, quarantine) = (Semaphore::new(1), QuarantineBudget::default());
            let (turn, own_ids) = (RwLock::default(), OnceCell::new());
            (route.source.clone(), HookState { route, in_flight, slow, quarantine, turn, own_ids })
        };
        let hooks = routes.into_iter().map(hook_state).collect();
        let since = clock.now();
        Self { inner: Arc::new(ReceiverState { hooks, inbox, log, tail, clock, since, ids: Ids::default() }) }
    }

    /// The largest body that a source may send; nothing for a source that has no hook.
    #[must_use]
    pub fn max_body(&self, source: &str) -> Option<usize> {
        Some(self.inner.hook_state(source)?.route.max_body)
    }

    /// Whether a sender of this name may post to a source's hook; nothing where there is no such hook.
    #[must_use]
    pub fn allows(&self, source: &str, origin: &str) -> Option<bool> {
        Some(self.inner.hook_state(source)?.route.hook.allows(origin))
    }

    /// The secrets of a source that posts, the current one first, and when each was last used.
    #[must_use]
    pub fn secrets(&self, source: &str) -> Vec<SecretUse> {
        self.inner.hook_state(source).map(|state| state.route.hook.secrets()).unwrap_or_default()
    }

    /// The sources of which nothing more is taken that cannot be read, with what is in quarantine of each and what may be.
    ///
    /// # Errors
    /// When the inbox cannot be read.
    pub async fn full_quarantines(&self) -> Result<Vec<(SourceName, Quarantine, Quarantine)>, InboxError> {
        let mut found = Vec::new();
        for (source, state) in &self.inner.hooks {
            let max = state.route.max_quarantine;
            let kept = state.quarantine.full((self.inner.inbox.as_ref(), source), max).await?;
            found.extend(kept.map(|kept| (source.clone(), kept, max)));
        }
        Ok(found)
    }

    /// Since when it takes deliveries, and so knows of the use of secrets.
    #[must_use]
    pub fn since(&self) -> DateTime<Utc> {
        self.inner.since
    }

    /// Takes one delivery. Goes on to its end when the caller goes away, so that no delivery is left half way.
    ///
    /// # Errors
    /// Nothing was acknowledged; sending the same again is always safe.
    pub async fn receive(&self, source: &str, call: InboundCall) -> Result<DeliveryAnswer, ReceiveError> {
        let inner = self.inner.clone();
        let hook_state = inner.hook_state(source).ok_or(ReceiveError::UnknownSource)?;
        let now = inner.clock.now();
        let hook = hook_state.route.hook.clone();
        let headers = Headers::kept(&call.headers, |name| hook.keeps(name));
        let delivery = Delivery {
            id: inner.ids.next(now),
            source: hook_state.route.source.clone(),
            received_at: now,
            client: call.client,
            notification: hook.notification(&headers, &call.body),
            headers,
            body: call.body,
        };
        let sender = Sender { headers: &call.headers, client: call.client, certificate: call.certificate.as_deref() };
        if let Err(rejection) = hook.verify(&delivery.headers, &delivery.body, Occasion::Arrival { now, sender }) {
            telemetry::DeliveryRejected { delivery: &delivery, reason: rejection.reason }.emit();
            let id = delivery.id.clone();
            inner.inbox.reject(delivery, rejection.reason);
            return Err(ReceiveError::Unauthorised { delivery: id, rejection });
        }
        let source = delivery.source.clone();
        if (hook_state.route.is_retired)(&source) {
            let reason = "source-retired";
            telemetry::DeliveryRejected { delivery: &delivery, reason }.emit();
            inner.inbox.reject(delivery, reason);
            return Err(ReceiveError::Retired { source_name: source });
        }
        let work = tokio::spawn(async move { inner.clone().process(&source, delivery).await });
        work.await.unwrap_or_else(|error| Err(ReceiveError::Unavailable(error.to_string())))
    }
}

impl ReceiverState {
    pub(crate) fn hook_state(&self, source: &str) -> Option<&HookState> {
        self.hooks.get(&source.parse::<SourceName>().ok()?)
    }

    async fn process(&self, source: &SourceName, mut delivery: Delivery) -> Result<DeliveryAnswer, ReceiveError> {
        let hook_state = self.hooks.get(source).ok_or(ReceiveError::UnknownSource)?;
        let limit = hook_state.route.max_in_flight;
        let _permit = hook_state.in_flight.try_acquire().map_err(|_| ReceiveError::Busy { limit })?;
        let mapped = hook_state.map_apart(&delivery, delivery.received_at).await?;
        let MappedDelivery { parts, mut facts, mut personal } = mapped;
        let unreadable = parts.iter().filter(|part| matches!(part.state, PartState::Quarantined(_))).count();
        let kept = if unreadable > 0 { self.inbox.same_in_quarantine(&delivery).await? } else { None };
        if let Some((kept, _)) = &kept {
            // What is in quarantine already stays what it is: sent a thousand times, it takes the room of one.
            delivery.id = kept.clone();
            facts.iter_mut().for_each(|fact| fact.event.correlation = Some(kept.shared()));
        } else if unreadable > 0 {
            let (max, bytes) = (hook_state.route.max_quarantine, delivery.body.len() as u64);
            let now = delivery.received_at;
            hook_state.quarantine.take((self.inbox.as_ref(), source), max, bytes, now).await?;
        }
        let observed = hook_state.route.order == Order::Observed;
        let unmarked = observed && facts.iter().any(|fact| fact.identity == Identity::Statement);
        let signed = delivery.notification.is_some() && (observed || !personal.is_empty());
        let mut alone = if unmarked { Some(hook_state.turn.write().await) } else { None };
        // A notification that comes again was said when it came first.
        let same = if signed { self.inbox.same_notification(&delivery).await? } else { SameNotification::default() };
        if same.is_reused && observed {
            telemetry::NotificationReused { delivery: &delivery }.emit();
        }
        // What was erased stays so.
        if same.is_erased() {
            personal.clear();
        }
        let same = if observed { same.authentic(&delivery, hook_state.route.hook.as_ref()) } else { Vec::new() };
        if alone.is_none() && !same.is_empty() {
            alone = Some(hook_state.turn.write().await);
        }
        let _shared = if observed && alone.is_none() { Some(hook_state.turn.read().await) } else { None };
        let arrival = if same.is_empty() {
            None
        } else {
            Some(Arrival::of(self.inbox.as_ref(), Sent::of(&delivery, false), &same).await?)
        };
        if let Some(arrival) = &arrival {
            personal.iter_mut().for_each(|of| of.order_key = micros(arrival.at()));
        }
        // What goes to the log is made durable by the log. All else is only here, so here it must be synced: that a
        // notification came is known by nothing else where all of it was known and nothing has an id.
        let only_here = signed && unmarked || !personal.is_empty() || unreadable > 0;
        let durability = if only_here { Durability::Synced } else { Durability::Written };
        let first = arrival.as_ref().map(Arrival::first);
        match &kept {
            None => self.inbox.store(delivery.clone(), first, parts.clone(), personal, durability).await?,
            Some((_, kept)) if *kept == parts.iter().map(PartForm::of).collect::<Vec<_>>() => {}
            Some(_) => self.inbox.store_replay(&delivery, first, self.clock.now(), parts.clone(), personal).await?,
        }
        self.append(&delivery, parts, facts, unreadable > 0, arrival).await
    }

    /// Appends the valid events and saves what became of them. `arrival` is of one that is gone over again, or came again,
    /// of a source whose facts nothing else orders; `cut`: a part of what came again cannot be read.
    pub(crate) async fn append(
        &self,
        delivery: &Delivery,
        mut parts: Vec<Part>,
        facts: Vec<Fact>,
        cut: bool,
        arrival: Option<Arrival<'_>>,
    ) -> Result<DeliveryAnswer, ReceiveError> {
        let kinds: Vec<Arc<str>> = facts.iter().map(|fact| fact.event.kind.clone()).collect();
        let ids: Vec<(Arc<str>, Arc<str>)> =
            facts.iter().map(|fact| (fact.event.key.id.clone(), fact.event.subject.clone())).collect();
        let appended = if facts.is_empty() { Ok(Vec::new()) } else { self.record(delivery, facts, cut, arrival).await };
        let pending = parts.iter_mut().enumerate().filter(|(_, part)| part.state == PartState::Pending);
        let mut outcomes = Vec::with_capacity(ids.len());
        for (nth, (index, part)) in pending.enumerate() {
            let became = appended.as_ref().ok().and_then(|appended| appended.get(nth));
            part.state = became.cloned().unwrap_or(PartState::Unrecorded);
            outcomes.push((index, part.state.as_str(), part.state.position()));
        }
        let verdict = Verdict::of(parts.iter().map(|part| &part.state));
        // That an id came back with other bytes stands nowhere but here.
        let conflict = parts.iter().any(|part| matches!(part.state, PartState::Conflict(_)));
        let durability = if conflict { Durability::Synced } else { Durability::Written };
        let saved =
            self.inbox.record_outcomes(&delivery.id, PartOutcomes { verdict, parts: outcomes }, durability).await;
        telemetry::DeliveryProcessed { delivery, verdict, parts: &parts, kinds: &kinds }.emit();
        appended?;
        match saved {
            Err(error) if conflict => return Err(error.into()),
            Err(error) => telemetry::OutcomeLost { delivery: &delivery.id, error: &error }.emit(),
            Ok(()) => {}
        }
        let results = parts.iter().filter_map(|part| Some((part.state.as_str(), part.state.position()?)));
        let events = ids.into_iter().zip(results).map(|((id, subject), (outcome, position))| AnsweredEvent {
            id,
            outcome,
            position,
            subject,
        });
        let quarantined = parts.iter().filter(|part| matches!(part.state, PartState::Quarantined(_))).count();
        let source = delivery.source.clone();
        Ok(DeliveryAnswer { delivery: delivery.id.clone(), source, events: events.collect(), quarantined })
    }
}

impl ReceiverState {
    /// Appends what is new of these, in one commit and in the order of the delivery, and says what became of each.
    async fn record(
        &self,
        delivery: &Delivery,
        facts: Vec<Fact>,
        cut: bool,
        arrival: Option<Arrival<'_>>,
    ) -> Result<Vec<PartState>, ReceiveError> {
        let hook_state = self.hooks.get(&delivery.source).filter(|state| state.route.order == Order::Observed);
        let own: Vec<bool> = facts.iter().map(|fact| fact.identity == Identity::Event).collect();
        let fates = match (hook_state, arrival) {
            (Some(of), None) if facts.iter().any(|fact| fact.identity == Identity::Statement) => {
                judge_arrival(&*self.tail, delivery, &facts, self.own_ids(of).await?).await?
            }
            (Some(of), Some(mut arrival)) => {
                judge_again(&*self.tail, delivery, &facts, self.own_ids(of).await?, cut, &mut arrival).await?
            }
            // A version or a time tells news from what comes again, and so does an id of the sender.
            _ => facts.into_iter().map(|fact| Fate::Append(fact.event)).collect(),
        };
        let mut events = Vec::with_capacity(fates.len());
        let settled: Vec<Option<PartState>> = fates
            .into_iter()
            .map(|fate| match fate {
                Fate::Settled(state) => Some(state),
                Fate::Append(event) => {
                    events.push(event);
                    None
                }
            })
            .collect();
        let outcomes = if events.is_empty() { Vec::new() } else { self.log.append(events).await? };
        let mut outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Recorded(at) => PartState::Recorded(at),
            Outcome::Duplicate(at) => PartState::Duplicate(at),
            Outcome::Conflict(at) => PartState::Conflict(at),
        });
        let states: Vec<PartState> = settled
            .into_iter()
            .map(|state| state.or_else(|| outcomes.next()).unwrap_or(PartState::Unrecorded))
            .collect();
        if let Some(hook_state) = hook_state {
            let own = states.iter().zip(own).filter(|(_, own)| *own).filter_map(|(state, _)| state.position());
            hook_state.note_own_ids(own.max());
        }
        Ok(states)
    }

    /// The newest event of a source to which the sender gave an id. Whoever asks has the source's turn alone.
    async fn own_ids(&self, hook_state: &HookState) -> Result<Position, TailError> {
        let newest = newest_of_own_id(&*self.tail, &hook_state.route.source);
        let newest = hook_state.own_ids.get_or_try_init(async || newest.await.map(|at| at.0.into())).await?;
        Ok(Position(newest.load(Ordering::Acquire)))
    }
}

/// A delivery mapped and validated: `facts` are those of the pending parts, in the same order.
pub(crate) struct MappedDelivery {
    pub(crate) parts: Vec<Part>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) personal: Vec<Personal>,
}

/// From so many bytes on mapping takes milliseconds, which whoever else is on the thread would wait.
const LARGE: usize = 64 << 10;

impl HookState {
    fn note_own_ids(&self, newest: Option<Position>) {
        if let (Some(known), Some(Position(newest))) = (self.own_ids.get(), newest) {
            known.fetch_max(newest, Ordering::AcqRel);
        }
    }

    /// As [`HookRoute::map_delivery`], of a large one, or by a hook that may take long, off the threads that answer.
    pub(crate) async fn map_apart(
        &self,
        delivery: &Delivery,
        now: DateTime<Utc>,
    ) -> Result<MappedDelivery, ReceiveError> {
        let slow = self.route.hook.is_slow();
        if delivery.body.len() < LARGE && !slow {
            return Ok(self.route.map_delivery(delivery, now));
        }
        let _turn = if slow { self.slow.acquire().await.ok() } else { None };
        let (route, delivery) = (self.route.clone(), delivery.clone());
        let mapped = tokio::task::spawn_blocking(move || route.map_delivery(&delivery, now)).await;
        mapped.map_err(|error| ReceiveError::Unavailable(error.to_string()))
    }
}

impl HookRoute {
    /// `now` bounds the times that order events; a replay is judged by its own clock.
    pub(crate) fn map_delivery(&self, delivery: &Delivery, now: DateTime<Utc>) -> MappedDelivery {
        let mut result = MappedDelivery { parts: Vec::new(), facts: Vec::new(), personal: Vec::new() };
        let mapped = catch_unwind(AssertUnwindSafe(|| self.hook.map(&delivery.headers, &delivery.body)));
        // A mapping that panics must cost one delivery, not the service (promise 5), and not the delivery either.
        let mapped = mapped.unwrap_or_else(|_| {
            let detail = "the mapping failed: a defect of Rollcall; replay this delivery when it is fixed";
            vec![Err(MappingError::from(Problem::at(ProblemType::MappingFailed, "", detail)))]
        });
        let quarantined = |id: Option<String>, kind: Option<String>, subject: Option<String>, problem| {
            let clip = |text: Option<String>| text.map(|text| clipped(text, 600));
            Part { id: clip(id), kind: clip(kind), subject: clip(subject), state: PartState::Quarantined(problem) }
        };
        let mut places = Places::default();
        for (place, part) in mapped.into_iter().enumerate() {
            result.parts.push(match part {
                Ok(mapped) => {
                    let (id, kind, subject) =
                        (mapped.id.text().map(str::to_owned), Some(mapped.kind.clone()), mapped.subject.clone());
                    let sender_id = mapped.id.clone();
                    match validate(&self.source, self.order, &delivery.id, delivery.received_at, now, mapped) {
                        Ok(mut fact) => {
                            places.tell_apart(&sender_id, &mut fact.event);
                            let subject = Some(fact.event.subject.to_string());
                            if !fact.left_out.is_empty() {
                                telemetry::LeftOut { delivery, fact: &fact }.emit();
                            }
                            // Where the sender gives none there is none to show or to look for.
                            let id = id.map(|_| fact.event.key.id.to_string());
                            let identity = Identity::from(&sender_id);
                            result.facts.push(Fact { event: fact.event, identity, place });
                            result.personal.extend(fact.personal);
                            Part { id, kind, subject, state: PartState::Pending }
                        }
                        Err(problem) => quarantined(id, kind, subject, problem),
                    }
                }
                Err(MappingError { id, kind, problem }) => quarantined(id, kind, None, problem),
            });
        }
        result
    }
}

/// Gives deliveries their ids: each sorts behind the one before, also within a millisecond and where the clock is set back.
#[derive(Default)]
struct Ids(Mutex<(DateTime<Utc>, u16)>);

impl Ids {
    /// How many are told apart within a millisecond by the twelve bits behind the time.
    const WITHIN: u16 = 0xfff;

    fn next(&self, now: DateTime<Utc>) -> DeliveryId {
        let mut bytes = random();
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, count) = *newest;
        *newest = match (now.timestamp_millis() > at.timestamp_millis(), count < Self::WITHIN) {
            (true, _) => (now, 0),
            (false, true) => (at, count + 1),
            (false, false) => (at + Duration::milliseconds(1), 0),
        };
        let (at, count) = *newest;
        let [high, low] = count.to_be_bytes();
        let [first, second, ..] = &mut bytes;
        (*first, *second) = (high, low);
        DeliveryId::new(at, bytes)
    }
}

fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    // Without randomness the id is still unique to the millisecond and a duplicate is refused by its key.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}
