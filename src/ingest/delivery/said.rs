//! What the facts of a delivery come to where nothing but their arrival orders them: which are new, which came again, and
//! which are older than what the source said since. Reads log and inbox and writes nothing.
//!
//! What a body says of one subject is judged in the order of the body, and goes to the log in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Duration, Utc};
use futures_util::TryStreamExt;
use rollcall_eventlog::{Filter, Tail, TailError, When};
use rollcall_events::{EventKey, NewEvent, Position, Recorded, SourceName};

use crate::{
    connector::SenderId,
    delivery::{
        inbox::{Inbox, InboxError},
        model::{Delivery, DeliveryId, PartState, Sent},
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

/// When a delivery was said that is gone over again, or came again, beside others of its source.
pub(crate) struct Arrival<'a> {
    inbox: &'a dyn Inbox,
    /// The deliveries in which it came.
    own: BTreeSet<Arc<str>>,
    /// The first of them.
    first: Sent,
    /// The others, as far as they were asked for.
    others: HashMap<Arc<str>, Sent>,
}

impl<'a> Arrival<'a> {
    /// The arrival of a delivery of which these are the same notification.
    ///
    /// # Errors
    /// The inbox cannot be read.
    pub async fn of(inbox: &'a dyn Inbox, sent: Sent, same: &[DeliveryId]) -> Result<Self, InboxError> {
        let own = same.iter().chain([&sent.id]).map(DeliveryId::shared).collect();
        // Each of them knows when the first was sent, also where that one is not kept any more.
        let before = inbox.sent(same).await?.into_iter().map(|(_, sent)| sent);
        let first = before.fold(sent, |first, before| if before.id <= first.id { before } else { first });
        Ok(Self { inbox, own, first, others: HashMap::new() })
    }

    /// When it was first said.
    pub fn at(&self) -> DateTime<Utc> {
        self.first.at()
    }

    /// When the first was sent.
    pub fn first(&self) -> &Sent {
        &self.first
    }

    /// Asks when the deliveries of these records were sent.
    async fn look_up(&mut self, records: &[Recorded]) -> Result<(), InboxError> {
        let of = records.iter().filter_map(|record| record.event.correlation.as_deref()?.parse().ok());
        self.look_up_ids(of.collect()).await
    }

    async fn look_up_ids(&mut self, mut ids: BTreeSet<DeliveryId>) -> Result<(), InboxError> {
        ids.retain(|of| !self.own.contains(of.as_str()) && !self.others.contains_key(of.as_str()));
        let ids: Vec<DeliveryId> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.inbox.sent(&ids).await?;
        self.others.extend(ids.into_iter().map(|id| (id.shared(), Sent::forgotten(id))));
        self.others.extend(found.into_iter().map(|(of, sent)| (of.shared(), sent)));
        Ok(())
    }

    fn is_own(&self, record: &Recorded) -> bool {
        record.event.correlation.as_ref().is_some_and(|of| self.own.contains(of))
    }

    /// Whether a record that was looked up is of something else that was said later. What came with no delivery was said when
    /// it was recorded.
    fn is_before(&self, record: &Recorded) -> bool {
        match record.event.correlation.as_deref().and_then(|of| self.others.get(of)) {
            Some(sent) => sent.is_after(&self.first),
            None => !self.is_own(record) && record.recorded_at > self.at(),
        }
    }

    /// What was said again of these subjects since, as it was known: where the log has it.
    async fn said_again(
        &mut self,
        source: &SourceName,
        subjects: &[Arc<str>],
    ) -> Result<Vec<(Arc<str>, Position)>, InboxError> {
        let after = DeliveryId::new(self.at() - Duration::seconds(1), [0; 10]);
        let mut again = self.inbox.said_again(source, subjects, &after, &self.first.id).await?;
        again.retain(|again| !self.own.contains(again.delivery.as_str()));
        self.look_up_ids(again.iter().map(|again| again.delivery.clone()).collect()).await?;
        again.retain(|again| self.others.get(again.delivery.as_str()).is_some_and(|sent| sent.is_after(&self.first)));
        Ok(again.into_iter().map(|again| (again.subject, again.position)).collect())
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
    /// Whether something else may have been said since: then no statement is the same.
    outdated: bool,
}

impl Said {
    fn of(event: &NewEvent, at: Option<Position>) -> Self {
        Self { kind: event.kind.clone(), data: event.data.clone(), at, id: event.key.id.clone(), outdated: false }
    }

    /// What was said last, as far as ids that were given to events tell. Up to `own_ids` the sender gave some itself, and
    /// could have said something else since.
    fn last(record: &Recorded, own_ids: Position) -> Self {
        Self { outdated: record.position <= own_ids, ..Self::of(&record.event, Some(record.position)) }
    }

    fn says(&self, event: &NewEvent) -> bool {
        !self.outdated && self.kind == event.kind && self.data == event.data
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
    let said_of = |of: &[usize]| of.iter().filter_map(|nth| facts.get(*nth)).collect::<Vec<&Fact>>();
    places.retain(|subject, of| {
        let said = said_of(of);
        let all_stated = said.iter().all(|fact| fact.identity == Identity::Statement);
        let could = last.get(*subject).zip(said.last()).is_some_and(|(last, fact)| last.says(&fact.event));
        said.len() > 1 && all_stated && could
    });
    let begins: Vec<String> = places.keys().map(|subject| subject_id(subject)).collect();
    let known = tail.since_by_id(source, &begins, Position(0)).await?;
    let newest = known.into_iter().zip(places.values()).flat_map(|(known, of)| newest_of(known, of.len()));
    let mut known: HashMap<Arc<str>, Vec<Recorded>> = HashMap::new();
    for record in self::records(tail, newest.collect()).await? {
        known.entry(record.event.subject.clone()).or_default().push(record);
    }
    let mut again: HashMap<usize, Position> = HashMap::new();
    for (subject, of) in &places {
        let (known, said) = (known.get(*subject).map_or(&[][..], Vec::as_slice), said_of(of));
        let same = |(record, fact): (&Recorded, &&Fact)| Said::of(&record.event, None).says(&fact.event);
        if known.len() == said.len() && known.iter().zip(&said).all(same) {
            again.extend(of.iter().copied().zip(known.iter().map(|record| record.position)));
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
            let outdated = fact.identity != Identity::Statement;
            last.insert(event.subject.clone(), Said { outdated, ..Said::of(&event, None) });
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
/// again then does not come now, and nothing goes behind what was said later. `cut`: it comes again, and a part of it cannot be
/// read. Whoever goes over it with another mapping corrects what it said.
///
/// # Errors
/// The log or the inbox cannot be read.
pub(crate) async fn judge_again(
    tail: &dyn Tail,
    delivery: &Delivery,
    facts: &[Fact],
    own_ids: Position,
    cut: bool,
    arrival: &mut Arrival<'_>,
) -> Result<Vec<Fate>, ReceiveError> {
    let source = delivery.source.as_str();
    let since = position_at(tail, arrival.at()).await?;
    let of = facts.iter().filter(|fact| fact.identity != Identity::Event);
    let of: BTreeSet<Arc<str>> = of.map(|fact| fact.event.subject.clone()).collect();
    let mut subjects = read_subjects(tail, &delivery.source, of, (since, own_ids), arrival).await?;
    // Ids of the sender's own say nothing of a subject.
    let unknown = unknown_ids(tail, source, facts).await?;
    let sought = |fact: &&Fact| own_ids > since || unknown.contains(&fact.event.key.id);
    let sought: BTreeSet<Arc<str>> = facts.iter().filter(sought).map(|fact| fact.event.subject.clone()).collect();
    let newer = newer(tail, source, since, &sought, arrival).await?;
    let mut own = vec![None; facts.len()];
    // From the end, as what came again when it arrived stands before what was new.
    for (slot, fact) in own.iter_mut().zip(facts).rev() {
        let subject = subjects.get_mut(&fact.event.subject).filter(|_| fact.identity != Identity::Event);
        *slot = subject.and_then(|subject| subject.take_own(&fact.event));
    }
    // What it said and cannot be read any more may be what it said last.
    for subject in subjects.values_mut().filter(|_| cut) {
        let unread = subject.own.last().and_then(|said| said.at);
        subject.newer = subject.newer.max(unread);
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
                    Some(newer) => Fate::Settled(PartState::Superseded(newer)),
                }
            }
        });
    }
    known_where_superseded(tail, source, facts, &mut fates).await?;
    Ok(fates)
}

/// What is older than what was said since, and was recorded when it was news, is known.
async fn known_where_superseded(
    tail: &dyn Tail,
    source: &str,
    facts: &[Fact],
    fates: &mut [Fate],
) -> Result<(), TailError> {
    let superseded = |fate: &Fate| matches!(fate, Fate::Settled(PartState::Superseded(_)));
    let mut late: Vec<(&Fact, &mut Fate)> =
        (facts.iter().zip(fates)).filter(|(fact, fate)| fact.identity != Identity::Event && superseded(fate)).collect();
    let ids: Vec<String> = late.iter().map(|(fact, _)| fact.event.key.id.to_string()).collect();
    let known = tail.newest_by_id(source, &ids).await?;
    for ((_, fate), at) in late.iter_mut().zip(known) {
        if let Some(at) = at {
            **fate = Fate::Settled(PartState::Duplicate(at));
        }
    }
    Ok(())
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
    /// Where the delivery said this: the last place before those that were found already.
    fn take_own(&mut self, event: &NewEvent) -> Option<Position> {
        let at = self.own.iter().rposition(|said| said.says(event))?;
        self.own.drain(at..).next()?.at
    }
}

/// What the log has of these subjects under ids that were given to their events.
async fn read_subjects(
    tail: &dyn Tail,
    source: &SourceName,
    of: BTreeSet<Arc<str>>,
    (since, own_ids): (Position, Position),
    arrival: &mut Arrival<'_>,
) -> Result<BTreeMap<Arc<str>, Subject>, ReceiveError> {
    let begins: Vec<String> = of.iter().map(|subject| subject_id(subject)).collect();
    let mut positions = tail.since_by_id(source.as_str(), &begins, since).await?.concat();
    positions.sort_unstable();
    let again = arrival.said_again(source, &of.iter().cloned().collect::<Vec<_>>()).await?;
    let mut subjects: BTreeMap<Arc<str>, Subject> =
        of.into_iter().map(|subject| (subject, Subject::default())).collect();
    for (subject, position) in again {
        let Some(known) = subjects.get_mut(&subject) else { continue };
        known.newer = known.newer.max(Some(position));
    }
    let mut pages = tail.records(positions);
    while let Some(page) = pages.try_next().await? {
        arrival.look_up(&page).await?;
        for record in &page {
            let Some(known) = subjects.get_mut(&record.event.subject) else { continue };
            known.ids.insert(record.event.key.id.clone());
            if arrival.is_own(record) {
                known.own.push(Said::of(&record.event, Some(record.position)));
            } else if arrival.is_before(record) {
                known.newer = known.newer.max(Some(record.position));
            }
            known.last = Some(Said::last(record, own_ids));
        }
    }
    Ok(subjects)
}

/// The ids that a sender gave to events and the log does not have.
async fn unknown_ids(tail: &dyn Tail, source: &str, facts: &[Fact]) -> Result<BTreeSet<Arc<str>>, TailError> {
    let own = facts.iter().filter(|fact| fact.identity == Identity::Event).map(|fact| fact.event.key.id.clone());
    let mut unknown: BTreeSet<Arc<str>> = own.collect();
    let ids: Vec<String> = unknown.iter().map(|id| id.to_string()).collect();
    // An id that begins with another is another: the first of what begins with an id is that id itself.
    let begun = tail.newest_by_id(source, &ids).await?;
    let mut positions: Vec<Position> = begun.iter().copied().flatten().collect();
    positions.sort_unstable();
    positions.dedup();
    for record in records(tail, positions).await? {
        unknown.remove(&record.event.key.id);
    }
    for (id, _) in ids.iter().zip(begun).filter(|(_, begun)| begun.is_some()) {
        if unknown.contains(id.as_str()) {
            for record in records(tail, tail.by_id(source, id, 1).await?).await? {
                unknown.remove(&record.event.key.id);
            }
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
    arrival: &mut Arrival<'_>,
) -> Result<BTreeMap<Arc<str>, Position>, ReceiveError> {
    const PAGE: usize = 4096;
    let filter = Filter { source: Some(source.to_owned()), ..Filter::default() };
    let (mut newer, mut at, end) = (BTreeMap::new(), since, tail.head().borrow().position);
    while at < end && !subjects.is_empty() {
        let (mut records, to) = tail.page(at, PAGE, &filter).await?;
        records.retain(|record| subjects.contains(&record.event.subject));
        arrival.look_up(&records).await?;
        for record in records.into_iter().filter(|record| arrival.is_before(record)) {
            newer.insert(record.event.subject, record.position);
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
