//! What the facts of a delivery come to where nothing but their arrival orders them: which are new, which came again, and
//! which are older than what the source said since. Reads log and inbox and writes nothing.
//!
//! What a body says of one subject is judged in the order of the body, and goes to the log in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Duration, Utc};
use futures_util::TryStreamExt;
use rollcall_eventlog::{Filter, Tail, TailError, When};
use rollcall_events::{EventKey, NewEvent, Position, Recorded, SourceName};

use crate::{
    connector::{Hook, SenderId},
    delivery::{
        inbox::{Inbox, InboxError},
        model::{Delivery, DeliveryId, PartState},
        receive::ReceiveError,
        validate::{GIVEN_ID, subject_id},
    },
};

/// A fact of a delivery, on its way to the log.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub event: NewEvent,
    /// What it is known by.
    pub identity: Identity,
    /// Which part of the delivery it is.
    pub place: usize,
}

/// What tells that a fact comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// What it says.
    Statement,
    /// The sender's id of the notification, and its place among what that says of the subject.
    Notification,
    /// The sender's id of the event.
    Event,
}

impl From<&SenderId> for Identity {
    fn from(id: &SenderId) -> Self {
        match id {
            SenderId::None => Self::Statement,
            SenderId::OfNotification(_) => Self::Notification,
            SenderId::OfEvent(_) => Self::Event,
        }
    }
}

/// What becomes of a fact.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// It goes to the log, which knows its key or takes it.
    Append(NewEvent),
    /// Nothing is recorded.
    Settled(PartState),
}

/// When a delivery was said. Like is compared with like: the sender's clock may be another than ours.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Sorts by arrival.
    id: DeliveryId,
    received_at: DateTime<Utc>,
    /// By the sender's clock.
    signed_at: Option<DateTime<Utc>>,
    /// Whether it was refused when it arrived: then it may have been on its way for long, or have been kept back by
    /// somebody.
    refused: bool,
}

impl Sent {
    pub fn new(delivery: &Delivery, refused: bool, hook: &dyn Hook) -> Self {
        let signed_at = hook.notification(&delivery.headers).map(|of| of.signed_at);
        Self { id: delivery.id.clone(), received_at: delivery.received_at, signed_at, refused }
    }

    /// Of what was taken when it came the order of arrival is the order. What was refused counts as of when it was signed,
    /// and before what was signed in the same second and not refused.
    fn is_after(&self, other: &Self) -> bool {
        match (self.said_at(), other.said_at()) {
            (Some(mine), Some(theirs)) if self.refused || other.refused => {
                (mine, !self.refused, &self.id) > (theirs, !other.refused, &other.id)
            }
            _ => self.counted() > other.counted(),
        }
    }

    /// When it was signed; by a clock that is ahead of ours, when it arrived.
    fn said_at(&self) -> Option<DateTime<Utc>> {
        self.signed_at.map(|signed| signed.min(self.received_at))
    }

    /// Where it stands among those of which it is not known when they were signed.
    fn counted(&self) -> DeliveryId {
        match self.signed_at {
            Some(signed) if self.refused && signed < self.received_at => DeliveryId::new(signed, [0; 10]),
            _ => self.id.clone(),
        }
    }
}

/// Finds when the deliveries of a source were said.
pub(crate) struct Deliveries<'a> {
    inbox: &'a dyn Inbox,
    hook: &'a dyn Hook,
    found: Mutex<HashMap<DeliveryId, Sent>>,
}

impl<'a> Deliveries<'a> {
    pub fn new(inbox: &'a dyn Inbox, hook: &'a dyn Hook) -> Self {
        Self { inbox, hook, found: Mutex::default() }
    }

    /// When it was said; of one that is not kept any more its id tells when it arrived.
    pub async fn sent(&self, id: &DeliveryId) -> Result<Sent, InboxError> {
        if let Some(found) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(found.clone());
        }
        let sent = match self.inbox.find(id).await? {
            Some(kept) => Sent::new(&kept.delivery, kept.refused, self.hook),
            None => Sent { id: id.clone(), received_at: DateTime::UNIX_EPOCH, signed_at: None, refused: false },
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sent.clone());
        Ok(sent)
    }
}

/// When a delivery was said that is gone over again, or came again.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// The deliveries in which it came.
    own: BTreeSet<Arc<str>>,
    /// The first of them.
    first: Sent,
}

impl Arrival {
    /// The arrival of a delivery of which these are the same notification.
    ///
    /// # Errors
    /// The inbox cannot be read.
    pub async fn of(deliveries: &Deliveries<'_>, sent: Sent, same: &[DeliveryId]) -> Result<Self, InboxError> {
        let own = same.iter().chain([&sent.id]).map(DeliveryId::shared).collect();
        let first = match same.iter().min().filter(|first| **first < sent.id) {
            Some(first) => deliveries.sent(first).await?,
            None => sent,
        };
        Ok(Self { own, first })
    }

    /// When it was first said. By whichever clock is behind: nothing that was said later was recorded before.
    pub fn at(&self) -> DateTime<Utc> {
        let Sent { received_at, signed_at, refused, .. } = self.first;
        signed_at.filter(|_| refused).map_or(received_at, |signed| signed.min(received_at))
    }

    fn is_own(&self, record: &Recorded) -> bool {
        record.event.correlation.as_ref().is_some_and(|of| self.own.contains(of))
    }

    /// Whether a record is of something else that was said later.
    async fn is_before(&self, deliveries: &Deliveries<'_>, record: &Recorded) -> Result<bool, InboxError> {
        if self.is_own(record) {
            return Ok(false);
        }
        let of = record.event.correlation.as_deref().and_then(|of| of.parse::<DeliveryId>().ok());
        match of {
            Some(of) => Ok(deliveries.sent(&of).await?.is_after(&self.first)),
            None => Ok(true),
        }
    }
}

/// What was said of a subject.
#[derive(Debug, Clone)]
struct Said {
    kind: Arc<str>,
    data: Arc<str>,
    /// Nothing where it was said in the same body and is new.
    at: Option<Position>,
    /// The id of its event.
    id: Arc<str>,
}

impl Said {
    fn of(event: &NewEvent, at: Option<Position>) -> Self {
        Self { kind: event.kind.clone(), data: event.data.clone(), at, id: event.key.id.clone() }
    }

    /// What was said last, as far as ids that were given to events tell. Up to `own_ids` the sender gave some itself, and
    /// could have said something else since.
    fn last(record: &Recorded, own_ids: Position) -> Self {
        let said = Self::of(&record.event, Some(record.position));
        if record.position > own_ids { said } else { said.or_something_else() }
    }

    /// It is not known whether this was said last: no statement is the same.
    fn or_something_else(self) -> Self {
        Self { kind: "".into(), ..self }
    }

    fn says(&self, event: &NewEvent) -> bool {
        self.kind == event.kind && self.data == event.data
    }
}

/// Judges the facts of a delivery that arrives. What it says without an id comes again where the source said it last of
/// the subject, and is new where it said something else since; what has an id the log knows by that. `own_ids`: the
/// newest event of the source to which the sender gave an id.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn judge_arrival(
    tail: &dyn Tail,
    delivery: &Delivery,
    facts: &[Fact],
    own_ids: Position,
) -> Result<Vec<Fate>, TailError> {
    let source = delivery.source.as_str();
    let mut places: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
    for (nth, fact) in facts.iter().enumerate() {
        places.entry(&fact.event.subject).or_default().push(nth);
    }
    places.retain(|_, of| of.iter().any(|nth| facts.get(*nth).is_some_and(|f| f.identity == Identity::Statement)));
    let begins: Vec<String> = places.keys().map(|subject| subject_id(subject)).collect();
    let newest = tail.newest_by_id(source, &begins).await?;
    let records = records(tail, newest.into_iter().flatten().collect()).await?;
    let mut last: HashMap<Arc<str>, Said> = HashMap::new();
    for record in &records {
        last.insert(record.event.subject.clone(), Said::last(record, own_ids));
    }
    // What a body says of a subject one after the other comes again as a whole where that is what was said last. Of what has
    // an id of the sender nobody knows here whether it is new.
    let mut again: HashMap<usize, Position> = HashMap::new();
    for (subject, of) in &places {
        let of_subject = of.iter().filter_map(|nth| facts.get(*nth));
        let all_stated = of_subject.clone().all(|fact| fact.identity == Identity::Statement);
        let said: Vec<&NewEvent> = of_subject.map(|fact| &fact.event).collect();
        let could = all_stated && last.get(*subject).zip(said.last()).is_some_and(|(last, event)| last.says(event));
        if of.len() > 1 && could {
            let known = tail.by_id(source, &subject_id(subject), u32::MAX).await?;
            let known = newest_of(known, of.len());
            let known = self::records(tail, known).await?;
            let same = |(record, event): (&Recorded, &&NewEvent)| Said::of(&record.event, None).says(event);
            if known.len() == of.len() && known.iter().zip(&said).all(same) {
                again.extend(of.iter().copied().zip(known.iter().map(|record| record.position)));
            }
        }
    }
    let judge = |(nth, fact): (usize, &Fact)| {
        let event = fact.event.clone();
        match again.get(&nth) {
            Some(at) if fact.identity == Identity::Statement => Fate::Settled(PartState::Duplicate(*at)),
            _ => said_after(&mut last, delivery, fact, event),
        }
    };
    Ok(facts.iter().enumerate().map(judge).collect())
}

/// What becomes of a fact behind what was said last of its subject.
fn said_after(last: &mut HashMap<Arc<str>, Said>, delivery: &Delivery, fact: &Fact, mut event: NewEvent) -> Fate {
    let known = last.get(&event.subject);
    match known.filter(|known| fact.identity == Identity::Statement && known.says(&event)) {
        Some(Said { at: Some(at), .. }) => return Fate::Settled(PartState::Duplicate(*at)),
        // The log finds it in the same batch.
        Some(Said { id, .. }) => event.key.id = id.clone(),
        None => {
            if fact.identity == Identity::Statement && known.is_some() {
                event.key = said_anew(&event.key, delivery, fact.place);
            }
            // The log may know what has an id of the sender, and then it is not said now.
            let said = Said::of(&event, None);
            let stated = fact.identity == Identity::Statement;
            last.insert(event.subject.clone(), if stated { said } else { said.or_something_else() });
        }
    }
    Fate::Append(event)
}

/// The key of what is said again after something else: one for each place of each delivery.
fn said_anew(key: &EventKey, delivery: &Delivery, place: usize) -> EventKey {
    let of = delivery.id.as_str().trim_start_matches("dlv_");
    EventKey { source: key.source.clone(), id: format!("{}.{of}.{place}", key.id).into() }
}

/// Judges the facts of a delivery that was taken before, or came again: what it said stands where it was recorded, what came
/// again then does not come now, and nothing goes behind what was said later.
///
/// # Errors
/// The log or the inbox cannot be read.
pub(crate) async fn judge_again(
    tail: &dyn Tail,
    delivery: &Delivery,
    facts: &[Fact],
    own_ids: Position,
    (arrival, deliveries): (&Arrival, &Deliveries<'_>),
) -> Result<Vec<Fate>, ReceiveError> {
    let source = delivery.source.as_str();
    let since = position_at(tail, arrival.at()).await?;
    let mut subjects: BTreeMap<Arc<str>, Subject> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.identity != Identity::Event) {
        let subject = &fact.event.subject;
        if !subjects.contains_key(subject) {
            let read = Subject::read(tail, source, subject, since, own_ids, (arrival, deliveries)).await?;
            subjects.insert(subject.clone(), read);
        }
    }
    // Ids of the sender's own say nothing of a subject.
    let unknown = unknown_ids(tail, facts).await?;
    let sought = |fact: &&Fact| own_ids > since || unknown.contains(&fact.event.key.id);
    let sought: BTreeSet<Arc<str>> = facts.iter().filter(sought).map(|fact| fact.event.subject.clone()).collect();
    let newer = newer(tail, source, since, &sought, (arrival, deliveries)).await?;
    let mut own = vec![None; facts.len()];
    // From the end, as what came again when it arrived stands before what was new.
    for (slot, fact) in own.iter_mut().zip(facts).rev() {
        *slot = subjects.get_mut(&fact.event.subject).and_then(|subject| subject.take_own(&fact.event));
    }
    let mut last = HashMap::new();
    for (subject, known) in &subjects {
        last.extend(known.last.clone().map(|said| (subject.clone(), said)));
    }
    // The last of what the delivery said of a subject already.
    let own_after: HashMap<Arc<str>, (Position, usize)> = (facts.iter().zip(&own).enumerate())
        .filter_map(|(nth, (fact, at))| Some((fact.event.subject.clone(), ((*at)?, nth))))
        .collect();
    let mut fates = Vec::with_capacity(facts.len());
    for (nth, fact) in facts.iter().enumerate() {
        let event = fact.event.clone();
        let subject = subjects.get(&event.subject).filter(|_| fact.identity != Identity::Event);
        fates.push(match (own.get(nth).copied().flatten(), subject) {
            (Some(at), _) => Fate::Settled(PartState::Duplicate(at)),
            (None, None) => match newer.get(&event.subject).filter(|_| unknown.contains(&event.key.id)) {
                Some(at) => Fate::Settled(PartState::Superseded(*at)),
                None => Fate::Append(event),
            },
            // The log says what is known under its id.
            (None, Some(known)) if known.ids.contains(&event.key.id) && fact.identity != Identity::Statement => {
                Fate::Append(event)
            }
            (None, Some(known)) => {
                let own = || own_after.get(&event.subject).filter(|(_, of)| *of > nth).map(|(at, _)| *at);
                match known.newer.or_else(|| newer.get(&event.subject).copied()).or_else(own) {
                    None => said_after(&mut last, delivery, fact, event),
                    Some(newer) => {
                        let said = tail.by_id(source, &event.key.id, u32::MAX).await?.into_iter().max();
                        Fate::Settled(said.map_or(PartState::Superseded(newer), PartState::Duplicate))
                    }
                }
            }
        });
    }
    Ok(fates)
}

/// What the log has of a subject, seen from when a delivery arrived.
#[derive(Default)]
struct Subject {
    /// What the delivery itself said, in order; what was found of it already is taken off.
    own: Vec<Said>,
    /// The newest that arrived later.
    newer: Option<Position>,
    /// What was said last.
    last: Option<Said>,
    /// Every id since.
    ids: BTreeSet<Arc<str>>,
}

impl Subject {
    async fn read(
        tail: &dyn Tail,
        source: &str,
        subject: &str,
        since: Position,
        own_ids: Position,
        (arrival, deliveries): (&Arrival, &Deliveries<'_>),
    ) -> Result<Self, ReceiveError> {
        let mut positions = tail.by_id(source, &subject_id(subject), u32::MAX).await?;
        positions.sort_unstable();
        let before = positions.iter().rfind(|at| **at <= since).copied();
        positions.retain(|at| *at > since);
        positions.extend(before);
        let mut known = Self::default();
        for record in records(tail, positions).await? {
            known.ids.insert(record.event.key.id.clone());
            if arrival.is_own(&record) {
                known.own.push(Said::of(&record.event, Some(record.position)));
            } else if arrival.is_before(deliveries, &record).await? {
                known.newer = Some(record.position);
            }
            known.last = Some(Said::last(&record, own_ids));
        }
        Ok(known)
    }

    /// Where the delivery said this: the last place before those that were found already.
    fn take_own(&mut self, event: &NewEvent) -> Option<Position> {
        let at = self.own.iter().rposition(|said| said.says(event))?;
        self.own.drain(at..).next()?.at
    }
}

/// The ids of events that the log does not have.
async fn unknown_ids(tail: &dyn Tail, facts: &[Fact]) -> Result<BTreeSet<Arc<str>>, TailError> {
    let mut unknown = BTreeSet::new();
    for fact in facts.iter().filter(|fact| fact.identity == Identity::Event) {
        let EventKey { source, id } = &fact.event.key;
        let found = records(tail, tail.by_id(source.as_str(), id, 1).await?).await?;
        if found.first().is_none_or(|record| record.event.key.id != *id) {
            unknown.insert(id.clone());
        }
    }
    Ok(unknown)
}

/// The newest that was said later, of each of these subjects of a source.
async fn newer(
    tail: &dyn Tail,
    source: &str,
    since: Position,
    subjects: &BTreeSet<Arc<str>>,
    (arrival, deliveries): (&Arrival, &Deliveries<'_>),
) -> Result<BTreeMap<Arc<str>, Position>, ReceiveError> {
    const PAGE: usize = 4096;
    let filter = Filter { source: Some(source.to_owned()), ..Filter::default() };
    let (mut newer, mut at, end) = (BTreeMap::new(), since, tail.head().borrow().position);
    while at < end && !subjects.is_empty() {
        let (records, to) = tail.page(at, PAGE, &filter).await?;
        for record in records.into_iter().filter(|record| subjects.contains(&record.event.subject)) {
            if arrival.is_before(deliveries, &record).await? {
                newer.insert(record.event.subject, record.position);
            }
        }
        at = to;
    }
    Ok(newer)
}

/// The newest event of a source to which the sender gave an id.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn newest_of_own_id(tail: &dyn Tail, source: &SourceName) -> Result<Position, TailError> {
    Ok(tail.newest_by_other_id(source.as_str(), GIVEN_ID).await?.unwrap_or(Position(0)))
}

/// A position before which everything had been recorded when a delivery arrived.
async fn position_at(tail: &dyn Tail, arrived: DateTime<Utc>) -> Result<Position, TailError> {
    let moment = tail.moment(When::Instant(arrived - Duration::seconds(1))).await?;
    Ok(moment.map_or(Position(0), |moment| moment.position))
}

fn newest_of(mut positions: Vec<Position>, count: usize) -> Vec<Position> {
    positions.sort_unstable();
    positions.split_off(positions.len().saturating_sub(count))
}

/// The records at these positions, in position order.
async fn records(tail: &dyn Tail, positions: Vec<Position>) -> Result<Vec<Recorded>, TailError> {
    tail.records(positions).try_concat().await
}
