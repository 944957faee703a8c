//! Deliveries: every inbound call, taken and kept; what became of each part, and the way to go over it again.
//! Signature, keeping and appending are ingest's. Long because all that the API says of a delivery is said here.

use std::{borrow::Cow, fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Roster};
use rollcall_events::{Position, SchemaError, SourceName, names::hidden};
use rollcall_ingest::{
    AnsweredEvent, DeliveryAnswer, DeliveryId, InboundCall, ReceiveError, ReplayError, Verdict, connector::ProblemType,
};
use rollcall_store::ops::{DeliveryDetail, DeliveryFilter, DeliverySummary, Dismissal, OpsError, PartRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, App, Commands, Page, PageRequest, Reads,
    caller::CallerView,
    error::{Error, ErrorKind, Result},
    filters, prefix,
    share::Party,
};

/// How long a replay waits for the effects, which are milliseconds behind when all is well.
const REPLAY_EFFECTS_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the reason of a dismissal may be, in characters.
const MAX_BECAUSE: usize = 500;

/// Which deliveries.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// Only this source's.
    #[param(value_type = Option<String>)]
    pub source: Option<SourceName>,
    /// Only those of this verdict: `recorded`, `duplicate`, `ignored`, `conflict`, `quarantined`, `rejected`, `unrecorded`,
    /// `pending`; or `failed` for those that somebody should look at.
    pub verdict: Option<String>,
}

/// A delivery in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeliveryShown {
    /// Its id, also the `correlationid` of the events that it brought.
    pub id: String,
    /// Whose hook was called.
    pub source: String,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Who called.
    pub client: Option<String>,
    /// How long the body was.
    pub bytes: u64,
    /// The worst that became of any of its parts: `rejected`, `pending`, `unrecorded`, `quarantined`, `conflict`,
    /// `recorded`, `duplicate`, or `ignored` where nothing is said in it.
    #[schema(value_type = String)]
    pub verdict: Cow<'static, str>,
    /// Why it was rejected, e.g. `signature-mismatch`.
    pub reason: Option<String>,
    /// When its bytes were erased.
    pub erased_at: Option<DateTime<Utc>>,
    /// How many parts it has.
    pub events: u64,
    /// How many of them are in quarantine.
    pub quarantined: u64,
    /// A problem type of one of them.
    pub problem: Option<String>,
    /// Who said that nothing more is to be done about what was not recorded.
    pub dismissed: Option<DismissalShown>,
}

/// That nothing more is to be done about a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DismissalShown {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `admin key`, `user:` or `service:` and an id.
    pub by: String,
    /// Why, in the words of who did it.
    pub because: String,
}

/// To let be what was not recorded of a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DismissDelivery {
    /// Why nothing more is to be done: 1 to 500 characters, for whoever looks at it later.
    pub because: String,
}

/// A delivery with everything that is kept of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeliveryInFull {
    /// As in the list.
    #[serde(flatten)]
    pub delivery: DeliveryShown,
    /// Name and value of the headers that its source's format needs.
    pub headers: Vec<(String, String)>,
    /// The body; `null` once erased. May hold personal data.
    pub body: Option<BodyShown>,
    /// Its parts, in order.
    pub parts: Vec<PartShown>,
    /// When it was gone over again.
    pub replays: Vec<ReplayShown>,
}

/// Bytes as text where they are text. They may hold personal data, so no `Debug` shows them.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyShown {
    /// The bytes as UTF-8.
    Text(String),
    /// The bytes in base64, where they are not UTF-8.
    Base64(String),
}

impl fmt::Debug for BodyShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyShown(***)")
    }
}

/// One part of a delivery and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PartShown {
    /// The sender's id, if it was found.
    pub id: Option<String>,
    /// The event type, if it was found.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// `recorded`, `duplicate`, `conflict`, `superseded`, `quarantined`, `pending` or `unrecorded`.
    pub outcome: String,
    /// Where the log has it, or what takes its place.
    #[schema(value_type = Option<u64>)]
    pub position: Option<Position>,
    /// What the event there did: `applied`, `superseded`, `no_change`, `refused` or `parked`. `null` for a part that is
    /// not in the log (a conflict and what is superseded are not) or not folded yet.
    #[schema(value_type = Option<String>)]
    pub effect: Option<Cow<'static, str>>,
    /// Why it was refused or parked, or what of it is not in effect.
    pub reason: Option<String>,
    /// Why it is in quarantine.
    pub problem: Option<PartProblem>,
    /// The delivery in which an event of this id was recorded after all; `null` while it is open.
    pub recorded_in: Option<String>,
}

/// Why a part is in quarantine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PartProblem {
    /// The problem's type, e.g. `unknown-type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON pointer into the event.
    pub pointer: String,
    /// What was found and what to do.
    pub detail: String,
}

/// One replay of a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReplayShown {
    /// When.
    pub at: DateTime<Utc>,
    /// The verdict until then.
    pub was: String,
}

/// Which deliveries to go over again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayAll {
    /// Those with a part in quarantine with this problem type, e.g. `unknown-type`.
    pub problem: String,
    /// Only this source's.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub source: Option<SourceName>,
}

/// What became of many replayed deliveries.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReplayedAll {
    /// How many deliveries were gone over.
    pub deliveries: usize,
    /// How many events are new in the log.
    pub recorded: usize,
    /// How many parts are in quarantine still.
    pub quarantined: usize,
    /// Deliveries that could not be gone over, and why.
    pub failed: Vec<ReplayFailed>,
}

/// A delivery that could not be gone over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReplayFailed {
    /// Which.
    pub delivery: String,
    /// Why.
    pub why: String,
}

impl From<DeliverySummary> for DeliveryShown {
    fn from(row: DeliverySummary) -> Self {
        Self {
            id: row.id.to_string(),
            source: row.source.to_string(),
            received_at: row.received_at,
            client: row.client.map(|client| client.to_string()),
            bytes: row.bytes,
            verdict: row.verdict.as_str().into(),
            reason: row.reason,
            erased_at: row.erased_at,
            events: row.events,
            quarantined: row.quarantined,
            problem: row.problem,
            dismissed: row.dismissed.map(|Dismissal { at, by, because }| DismissalShown { at, by, because }),
        }
    }
}

impl PartShown {
    fn of(roster: &Roster, source: &str, part: PartRow, effect: Option<Effect>) -> Self {
        let PartRow { id, kind, subject, outcome, position, problem, recorded_in } = part;
        // What stands at the position of one that was not recorded is another event: this part had no effect.
        let effect = effect.filter(|_| outcome != "conflict" && outcome != "superseded");
        Self {
            id,
            kind,
            outcome,
            position,
            effect: effect.as_ref().map(|effect| effect.as_str().into()),
            reason: effect.as_ref().and_then(|effect| reason(roster, source, position, subject.as_deref(), effect)),
            subject,
            problem: problem.map(|p| PartProblem { kind: p.kind, pointer: p.pointer, detail: p.detail }),
            recorded_in,
        }
    }
}

/// Why an event was refused or parked; of one that applied, what of it is not in effect.
fn reason(
    roster: &Roster,
    source: &str,
    position: Option<Position>,
    subject: Option<&str>,
    effect: &Effect,
) -> Option<String> {
    if let Some(reason) = effect.reason() {
        return Some(reason.to_owned());
    }
    let subject = subject?;
    if let Some(group) = subject.strip_prefix("group/") {
        let view = roster.group(roster.group_by_id(&format!("{source}/{group}"))?);
        let c = view.name.and_then(hidden).filter(|_| position == Some(view.changed))?;
        return Some(format!("the group's name has a character that is not seen, U+{:04X}", u32::from(c)));
    }
    let person = roster.person(source, subject.strip_prefix("person/")?)?;
    // What a later event says of the person is not this one's.
    let asked = person.asked_name.filter(|_| *effect == Effect::Applied && position == Some(person.position))?;
    Some(format!(
        "the user name `{}` is not in effect: {}. The user is called `{}`",
        asked.name.escape_debug(),
        asked.why,
        person.username
    ))
}

/// What became of a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HookAnswer {
    /// The id under which the delivery is kept.
    pub delivery: String,
    /// The events that the log has now.
    pub events: Vec<HookEvent>,
    /// How many parts were not understood; why is shown at `/api/v1/deliveries/{delivery}`.
    pub quarantined: usize,
}

/// One event of a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HookEvent {
    /// The sender's id.
    pub id: String,
    /// `recorded`, `duplicate` (same id, same bytes; without an id, said before), `conflict` (same id, other bytes: nothing
    /// was recorded) or `superseded` (gone over again, or come again, and older than what was said of its subject since:
    /// nothing was recorded).
    #[schema(value_type = String)]
    pub outcome: Cow<'static, str>,
    /// Where the log has it, or what takes its place.
    #[schema(value_type = u64)]
    pub position: Position,
    /// With `wait`, once it is applied: `applied`, `superseded`, `no_change`, `refused`, `parked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub effect: Option<Cow<'static, str>>,
    /// Why it was refused or parked, or what of it is not in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HookAnswer {
    /// The position that holds every event of it.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.events.iter().map(|event| event.position).max()
    }
}

/// The largest body that a source may post, in bytes.
///
/// # Errors
/// No source of this name has a hook.
pub fn max_body(app: &App, source: &str) -> Result<usize> {
    app.receiver.max_body(source).ok_or_else(no_such_hook)
}

/// Whether a sender of this name may post to a source's hook (CloudEvents, HTTP webhooks).
///
/// # Errors
/// There is no such hook.
pub fn allows(app: &App, source: &str, origin: &str) -> Result<bool> {
    app.receiver.allows(source, origin).ok_or_else(no_such_hook)
}

/// Takes one delivery of a source: the source's signature is the credential, so nobody is admitted for it. With `wait`,
/// answers with the effects too if they are there in time, and if not too many of the source or its address wait.
///
/// # Errors
/// Nothing was acknowledged: the signature does not hold, or it cannot be taken now.
pub async fn receive(app: &App, source: &str, call: InboundCall, wait: Option<Duration>) -> Result<HookAnswer> {
    let party = Party::new(&format!("source:{source}"), call.client);
    let answer = app.receiver.receive(source, call).await.map_err(refusal)?;
    Ok(with_effects(app, &party, &answer, wait).await)
}

/// Deliveries, newest first; rejected ones too.
///
/// What became of a delivery is noted behind its answer; who asks right after it is made to wait for the note.
///
/// # Errors
/// They cannot be read now, or there is no such verdict or source.
pub async fn list(
    reads: &Reads,
    query: &DeliveriesQuery,
    page: &PageRequest<DeliveryId>,
) -> Result<Answer<Page<DeliveryShown>>> {
    let DeliveriesQuery { source, verdict } = query;
    filters::known_source(reads, source.as_ref().map(SourceName::as_str))?;
    let source = of_which(&reads.view(&reads.live().read()), source.as_ref())?;
    let verdicts = match verdict.as_deref() {
        None => Vec::new(),
        Some("failed") => DeliveryFilter::FAILED.to_vec(),
        Some(word) => {
            vec![word.parse::<Verdict>().map_err(|e| ErrorKind::InvalidQuery.because(format!("{e}, or failed.")))?]
        }
    };
    let filter = DeliveryFilter { source, verdicts };
    let _turn = reads.list_turn().await?;
    let position = reads.applied();
    reads.ops().caught_up().await.map_err(unreadable)?;
    let rows = reads.ops().deliveries(&filter, page.after.as_ref(), page.rows()).await.map_err(unreadable)?;
    let rows = rows.into_iter().map(DeliveryShown::from).collect();
    Ok(Answer::of_more(position, page.page(rows, |row: &DeliveryShown| row.id.clone())))
}

/// The source whose deliveries are meant: of a caller who serves some sources only, one of them; nothing means every source.
fn of_which(view: &CallerView<'_>, asked: Option<&SourceName>) -> Result<Option<SourceName>> {
    match (asked, view.served().as_slice()) {
        (Some(source), _) if view.serves(source.as_str()) => Ok(Some(source.clone())),
        (Some(source), _) => {
            Err(ErrorKind::Forbidden.because(format!("You serve other sources than {source}: ask of one of these.")))
        }
        (None, []) => Ok(None),
        (None, [one]) => Ok(Some(one.parse().map_err(|error| ErrorKind::InvalidQuery.because(format!("{error}")))?)),
        (None, several) => {
            let several = several.join(", ");
            Err(ErrorKind::InvalidQuery.because(format!("Say of which source: `source=` one of {several}.")))
        }
    }
}

/// One delivery: headers, body, and each part with its outcome and effect.
///
/// # Errors
/// There is none of this id, or it cannot be read now.
pub async fn show(reads: &Reads, id: &str) -> Result<Answer<DeliveryInFull>> {
    let served = served(&reads.view(&reads.live().read()));
    let found = find_id(reads.app(), id, &served).await?;
    in_full(reads.app(), &found).await
}

/// The sources of whose deliveries the caller is told; every source when empty.
fn served(view: &CallerView<'_>) -> Vec<SourceName> {
    view.served().into_iter().filter_map(|source| source.parse().ok()).collect()
}

/// The delivery that is meant by an id or its beginning, of those of a source that the caller serves.
async fn find_id(app: &App, text: &str, served: &[SourceName]) -> Result<DeliveryId> {
    if let Ok(id) = text.parse() {
        app.ops.caught_up().await.map_err(unreadable)?;
        let found = app.ops.delivery(&id).await.map_err(unreadable)?;
        let known = found.is_some_and(|found| served.is_empty() || served.contains(&found.summary.source));
        return known.then_some(id).ok_or_else(no_such_delivery);
    }
    let begins = prefix::of_kind("dlv", text).ok_or_else(no_such_delivery)?;
    let last = format!("{begins:f<36}").parse().map_err(|_| no_such_delivery())?;
    app.ops.caught_up().await.map_err(unreadable)?;
    let mut rows = Vec::new();
    let of_any = served.is_empty().then_some(None);
    for source in of_any.into_iter().chain(served.iter().cloned().map(Some)) {
        let filter = DeliveryFilter { source, ..DeliveryFilter::default() };
        rows.extend(app.ops.deliveries(&filter, Some(&last), prefix::TOLD).await.map_err(unreadable)?);
    }
    let found = rows.into_iter().map(|row| (row.id.to_string(), row.id)).filter(|(id, _)| id.starts_with(&begins));
    prefix::the_one(&begins, found, no_such_delivery)
}

async fn in_full(app: &App, id: &DeliveryId) -> Result<Answer<DeliveryInFull>> {
    let position = app.applied();
    app.ops.caught_up().await.map_err(unreadable)?;
    let found = app.ops.delivery(id).await.map_err(unreadable)?.ok_or_else(no_such_delivery)?;
    let DeliveryDetail { summary, headers, body, parts, replays } = found;
    let known: Vec<Position> = parts.iter().filter_map(|part| part.position).collect();
    let mut effects = app.control.effects(&known).await?.into_iter();
    let roster = app.live.read();
    let source = summary.source.to_string();
    let parts = parts.into_iter().map(|part| {
        let effect = part.position.and_then(|_| effects.next().flatten());
        PartShown::of(&roster, &source, part, effect)
    });
    let delivery = DeliveryInFull {
        delivery: summary.into(),
        headers: headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: body.map(|bytes: Bytes| match String::from_utf8(bytes.to_vec()) {
            Ok(text) => BodyShown::Text(text),
            Err(bytes) => BodyShown::Base64(STANDARD.encode(bytes.as_bytes())),
        }),
        parts: parts.collect(),
        replays: replays.into_iter().map(|replay| ReplayShown { at: replay.at, was: replay.was }).collect(),
    };
    Ok(Answer::of_more(position, delivery))
}

/// Goes over a kept delivery again: signature (not its age), mapping, log. Events that the log has are duplicates.
///
/// # Errors
/// There is none of this id, its source is gone, or nothing was acknowledged.
pub async fn replay(commands: Commands, id: &str) -> Result<HookAnswer> {
    let served = served(&commands.view(&commands.live().read()));
    let id = find_id(commands.app(), id, &served).await?;
    let answer = commands.receiver().replay(&id).await.map_err(not_replayed)?;
    Ok(with_effects(commands.app(), &commands.party(), &answer, Some(REPLAY_EFFECTS_TIMEOUT)).await)
}

/// Goes over every delivery again that has a part in quarantine with a problem, after its cause was mended.
///
/// # Errors
/// There is no such problem, or nothing was acknowledged.
pub async fn replay_all(commands: Commands, which: ReplayAll) -> Result<ReplayedAll> {
    let ReplayAll { problem, source } = which;
    let problem: ProblemType = problem.parse().map_err(|expected: String| {
        ErrorKind::InvalidBody.because("No such problem type.").with_field(SchemaError::at("/problem", expected))
    })?;
    let source = of_which(&commands.view(&commands.live().read()), source.as_ref())?;
    let all = commands.receiver().replay_all(source.as_ref(), problem).await.map_err(not_replayed)?;
    let failed = all.failed.into_iter().map(|(id, why)| ReplayFailed { delivery: id.to_string(), why }).collect();
    Ok(ReplayedAll { deliveries: all.deliveries, recorded: all.recorded, quarantined: all.quarantined, failed })
}

/// Notes that nothing more is to be done about what was not recorded of a delivery: it is no problem any more. A replay
/// takes the note away.
///
/// # Errors
/// There is none of this id, nothing of it is open, or it was dismissed before.
pub async fn dismiss(commands: Commands, id: &str, how: DismissDelivery) -> Result<Answer<DeliveryInFull>> {
    let DismissDelivery { because } = how;
    let length = because.trim().chars().count();
    if !(1..=MAX_BECAUSE).contains(&length) {
        let expected = format!("say why in 1 to {MAX_BECAUSE} characters, not {length}");
        return Err(ErrorKind::InvalidBody
            .because("A delivery is dismissed with a reason.")
            .with_field(SchemaError::at("/because", expected)));
    }
    if let Some(character) = hidden(&because) {
        let expected = format!("U+{:04X} is a character that is not seen; leave it out", u32::from(character));
        return Err(ErrorKind::InvalidBody
            .because("The reason has a character that is not seen.")
            .with_field(SchemaError::at("/because", expected)));
    }
    let served = served(&commands.view(&commands.live().read()));
    let delivery = find_id(commands.app(), id, &served).await?;
    let dismissal =
        Dismissal { at: commands.now(), by: commands.author().as_str().to_owned(), because: because.trim().to_owned() };
    commands.ops().caught_up().await.map_err(unreadable)?;
    let dismissed = commands.ops().dismiss(&delivery, dismissal).await;
    if !dismissed.map_err(|error| Error::unavailable("Nothing was dismissed", &error))? {
        return Err(match commands.ops().delivery(&delivery).await.map_err(unreadable)? {
            None => no_such_delivery(),
            Some(DeliveryDetail {
                summary: DeliverySummary { dismissed: Some(Dismissal { at, by, because }), .. },
                ..
            }) => {
                let at = at.format("%Y-%m-%d %H:%M");
                ErrorKind::Refused.because(format!("It was dismissed on {at} by {by}: {because}. That stands."))
            }
            Some(_) => ErrorKind::Refused
                .because("Nothing of this delivery is open: there is nothing to dismiss. Nothing was changed."),
        });
    }
    in_full(commands.app(), &delivery).await
}

/// What became of a delivery, with the effects if they are there within `wait`. It is durable: where nobody may wait any
/// more the plain answer stands, as when the time is over.
async fn with_effects(app: &App, party: &Party, answer: &DeliveryAnswer, wait: Option<Duration>) -> HookAnswer {
    let mut events: Vec<HookEvent> = answer.events.iter().map(HookEvent::of).collect();
    if let (Some(wait), Some(position)) = (wait, answer.position())
        && matches!(app.is_applied_in_share(party, position, wait).await, Ok(true))
    {
        add_effects(app, answer, &mut events).await;
    }
    HookAnswer { delivery: answer.delivery.as_str().to_owned(), events, quarantined: answer.quarantined }
}

impl HookEvent {
    fn of(event: &AnsweredEvent) -> Self {
        let AnsweredEvent { id, outcome, position, subject: _ } = event;
        Self { id: id.to_string(), outcome: (*outcome).into(), position: *position, effect: None, reason: None }
    }
}

/// Adds the effects; where they cannot be read the plain answer stands, the delivery is durable either way.
async fn add_effects(app: &App, answer: &DeliveryAnswer, events: &mut [HookEvent]) {
    let known: Vec<Position> = events.iter().map(|event| event.position).collect();
    let Ok(effects) = app.control.effects(&known).await else { return };
    let (roster, source) = (app.live.read(), answer.source.as_str());
    for ((event, answered), effect) in events.iter_mut().zip(&answer.events).zip(effects) {
        // What stands at the position of one that was not recorded is another event; this one had no effect.
        if event.outcome != "conflict" && event.outcome != "superseded" {
            event.effect = effect.as_ref().map(|effect| effect.as_str().into());
            let subject = Some(&*answered.subject);
            event.reason =
                effect.as_ref().and_then(|effect| reason(&roster, source, Some(event.position), subject, effect));
        }
    }
}

fn no_such_hook() -> Error {
    ErrorKind::UnknownSource
        .because("No source of this name has a hook. The name in the path is the one in the configuration.")
}

/// What a sender is told when nothing was acknowledged.
fn refusal(error: ReceiveError) -> Error {
    let text = error.to_string();
    match error {
        ReceiveError::UnknownSource => no_such_hook(),
        ReceiveError::Unauthorised { rejection, .. } => {
            ErrorKind::BadSignature.because(format!("{rejection} ({}). Nothing was read.", rejection.reason))
        }
        ReceiveError::Retired { .. } => {
            ErrorKind::SourceRetired.because(format!("{text}. Nothing was recorded; send it nothing any more."))
        }
        ReceiveError::Busy { .. } => {
            ErrorKind::Overloaded.because(format!("{text}. Send it again in a moment.")).retry_after(1)
        }
        ReceiveError::QuarantineFull { .. } => ErrorKind::QuarantineFull
            .because(format!(
                "{text}. Nothing of it was recorded. Send only what can be read, or have the operator look at what is \
                 there: `rollcall deliveries list --failed`."
            ))
            .retry_after(60),
        ReceiveError::Overloaded => {
            ErrorKind::Unavailable.because(format!("{text}. Send it again in a moment.")).retry_after(1)
        }
        ReceiveError::Unavailable(_) => Error::unavailable("Nothing was recorded", &error).retry_after(5),
    }
}

fn no_such_delivery() -> Error {
    ErrorKind::UnknownDelivery
        .because("No such delivery is kept. `rollcall deliveries list` shows them; old ones are deleted in time.")
}

fn unreadable(error: OpsError) -> Error {
    Error::unavailable("Deliveries cannot be read", &error)
}

fn not_replayed(error: ReplayError) -> Error {
    let text = error.to_string();
    match error {
        ReplayError::Unknown => no_such_delivery(),
        ReplayError::UnknownSource(_) | ReplayError::Gone | ReplayError::Unauthorised(_) => {
            ErrorKind::Refused.because(format!("{text}. Nothing was changed."))
        }
        ReplayError::Receive(error) => refusal(error),
    }
}
