//! The capability to command: an event under the source `local`, then the fold's judgement of it (DESIGN 5, "The fold is
//! the judge"), or an order to the process. Given once, also across a crash: the events of a request with an
//! `Idempotency-Key` have ids that follow from who calls and the key, so that the log itself says whether it was given.
//! Decides nothing itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use rollcall_access::{Configuration, Effect, Refusal, RefusalKind, Roster, SharedRoster, Stale};
use rollcall_eventlog::{AppendError, Filter, Outcome};
use rollcall_events::{
    Body, Command, Digest, Id, LOCAL, NewEvent, Position, SourceName,
    body::{self, Author},
};
use rollcall_ingest::{Receiver, Runners};
use rollcall_store::ops::Ops;
use tokio::sync::OwnedRwLockWriteGuard;

use crate::{
    App, Caller, Control, SignedIn,
    answer::CommandOutcome,
    caller::{CallerView, Giver},
    error::{Error, ErrorKind, Result},
    random::random_id,
    share::Party,
    telemetry::CommandAnswered,
    turn::Turn,
};

/// How long a command waits for the fold, which is milliseconds behind the log when all is well.
const FOLD_TIMEOUT: Duration = Duration::from_secs(5);

/// What a thing must be like for a command about it to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Anything.
    None,
    /// It is not there.
    Missing,
    /// It is there.
    Present,
    /// Its newest event is at one of these positions.
    NewestAt(Vec<Position>),
}

impl Precondition {
    /// Whether it holds; `newest` is the newest event about the thing, nothing where it is not there.
    #[must_use]
    pub fn holds(&self, newest: Option<Position>) -> bool {
        match (self, newest) {
            (Self::None, _) | (Self::Missing, None) | (Self::Present, Some(_)) => true,
            (Self::NewestAt(known), Some(newest)) => known.contains(&newest),
            _ => false,
        }
    }
}

/// A request whose commands are given once.
#[derive(Debug)]
pub struct OneRequest {
    /// What the ids of its events begin with.
    begins: String,
    /// What is asked for; their `correlationid`.
    asked: Arc<str>,
    given: AtomicU32,
}

/// What the log has of a request.
#[derive(Debug)]
pub enum Given {
    /// Nothing: its commands may be given.
    Nothing,
    /// Another request has the same key.
    Other,
    /// Its commands stand at these positions.
    At(Vec<Position>),
}

impl OneRequest {
    /// `named`: of who calls and the key. `asked`: of all that is asked for. Both stand in the log, so that they must be
    /// keyed: nobody who has a copy of it may try out what they were made of.
    #[must_use]
    pub fn new(named: Digest, asked: Digest) -> Self {
        let half = |digest: Digest| digest.to_string().chars().take(32).collect::<String>();
        Self {
            begins: format!("evt_{}", half(named)),
            asked: format!("req_{}", half(asked)).into(),
            given: AtomicU32::new(0),
        }
    }

    /// The ids of the next `n` events of the request, and their correlation.
    fn next(&self, n: usize) -> (impl Iterator<Item = String>, &Arc<str>) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let from = self.given.fetch_add(n, Ordering::Relaxed);
        ((from..from.saturating_add(n)).map(|n| format!("{}{n:08x}", self.begins)), &self.asked)
    }
}

impl App {
    /// What the log has of a request. Its commands are recorded together, so that none is missing where one is there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn given(&self, request: &OneRequest) -> Result<Given> {
        let positions = self.tail.by_id(LOCAL, &request.begins, u32::MAX).await?;
        let Some(first) = positions.first() else { return Ok(Given::Nothing) };
        let first = self.tail.record(*first).await?;
        let same = first.event.correlation.as_ref() == Some(&request.asked);
        Ok(if same { Given::At(positions) } else { Given::Other })
    }
}

/// What commands come with.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The W3C trace context of the request, where it has one.
    pub traceparent: Option<Arc<str>>,
    /// The request, where its commands are given once.
    pub request: Option<Arc<OneRequest>>,
}

/// The capability to command. Got by [`App::admit`].
pub struct Commands {
    app: Arc<App>,
    signed_in: SignedIn,
    origin: Origin,
    /// Held while these commands alone are judged.
    exclusive: Option<OwnedRwLockWriteGuard<()>>,
}

impl Commands {
    pub(crate) fn new(app: Arc<App>, signed_in: SignedIn, origin: Origin) -> Self {
        Self { app, signed_in, origin, exclusive: None }
    }

    /// The time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.app.now()
    }

    /// What the caller sees of a roster.
    pub(crate) fn view<'a>(&self, roster: &'a Roster) -> CallerView<'a> {
        self.signed_in.caller.view(roster, self.now())
    }

    /// Who calls, for work that is done off the thread.
    pub(crate) fn caller(&self) -> Caller {
        self.signed_in.caller.clone()
    }

    /// The author of this caller's commands.
    pub(crate) fn author(&self) -> Author {
        self.signed_in.caller.author()
    }

    /// Who gives these commands, and with what.
    pub(crate) fn giver(&self) -> Giver {
        self.signed_in.giver()
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn live(&self) -> &Arc<SharedRoster> {
        &self.app.live
    }

    pub(crate) fn ops(&self) -> &dyn Ops {
        &*self.app.ops
    }

    pub(crate) fn receiver(&self) -> &Receiver {
        &self.app.receiver
    }

    pub(crate) fn runners(&self) -> &Runners {
        &self.app.runners
    }

    pub(crate) fn control(&self) -> &dyn Control {
        &*self.app.control
    }

    /// Until when what the caller makes is good at most.
    pub(crate) fn credentials_end(&self) -> Option<DateTime<Utc>> {
        self.giver().end
    }

    /// The secret that the caller signed in with, as commands name it.
    pub(crate) fn made_with(&self) -> Option<Id> {
        self.giver().made_with
    }

    /// What the configuration says of access, in effect or not.
    pub(crate) fn configuration(&self) -> &Arc<Configuration> {
        &self.app.configuration
    }

    /// Whom what is asked counts for.
    pub(crate) fn party(&self) -> Party {
        self.signed_in.party()
    }

    /// The caller's turn to try something on a copy of the roster. Rights are judged before it.
    pub(crate) async fn copy_turn(&self) -> Result<Turn> {
        self.app.shares.copy(&self.party()).await
    }

    /// Keeps every other command out until this one is answered. What is held must not wait for a caller.
    pub(crate) async fn take_exclusive(&mut self) {
        if self.exclusive.is_none() {
            self.exclusive = Some(Arc::clone(&self.app.command_order).write_owned().await);
        }
    }

    /// Commands about one thing. Under a precondition every other command waits until these are answered.
    pub(crate) async fn with_precondition(mut self, precondition: Precondition) -> ConditionalCommands {
        if precondition != Precondition::None {
            self.take_exclusive().await;
        }
        ConditionalCommands { commands: self, precondition }
    }

    /// Takes the room that commands need in what one person may add to the log. By a clock that cannot be right nothing is
    /// judged, and nobody's room is counted.
    fn take_room(&self, bodies: &[Body], view: &CallerView<'_>) -> Result<()> {
        if let Err(stale @ Stale::ClockAhead(_)) = self.app.freshness.may_decide(self.now()) {
            return Err(ErrorKind::Unavailable.because(format!("Nothing was recorded: {stale}.")).retry_after(5));
        }
        let person = match &self.signed_in.caller {
            Caller::Operator | Caller::Known(body::Principal::Service(_) | body::Principal::Group(_)) => false,
            Caller::Known(body::Principal::User(_)) | Caller::Limited(..) => {
                !["secret.issue", "binding.set"].into_iter().any(|action| view.may_everywhere(action))
            }
        };
        if !person {
            return Ok(());
        }
        let ends = bodies.iter().all(|body| {
            body.as_command().is_some_and(|command| {
                matches!(
                    command,
                    Command::SecretRevoked(_)
                        | Command::CredentialsReset(_)
                        | Command::BindingRemoved(_)
                        | Command::GroupMemberRemoved(_)
                )
            })
        });
        let room = self.app.command_budget.take(self.author().as_str(), bodies.len(), ends, self.now());
        room.map_err(|wait| {
            let seconds = u32::try_from(wait.num_seconds().max(1)).unwrap_or(u32::MAX);
            ErrorKind::Overloaded
                .because(format!(
                    "You changed so much lately that the next change has to wait {seconds} seconds. Nothing was recorded."
                ))
                .retry_after(seconds)
        })
    }

    /// Appends commands together, all or none, and answers by what the fold said of each. Whether they may be given the
    /// caller has asked.
    pub(crate) async fn append_all(&self, bodies: &[Body]) -> Result<Vec<CommandOutcome>> {
        {
            let roster = self.live().read();
            self.take_room(bodies, &self.view(&roster))?;
        }
        append_all(&self.app, bodies, &self.origin).await
    }

    /// Whether the caller may still give the commands of its own that stand at these positions. Whether they would do
    /// anything is not asked.
    ///
    /// # Errors
    /// The caller may not, or the log cannot be read.
    pub async fn may_be_given_again(&self, positions: &[Position]) -> Result<()> {
        let author = self.author();
        for position in positions.iter().filter(|position| position.0 > 0) {
            let (records, _) = self.app.tail.page(Position(position.0 - 1), 1, &Filter::default()).await?;
            for record in records.iter().filter(|record| record.position == *position) {
                let Ok(body) = Body::recorded(&record.event.kind, &record.event.data) else { continue };
                if body.as_command().and_then(|command| command.given_by().0.cloned()).as_ref() != Some(&author) {
                    continue;
                }
                let roster = self.live().read();
                if let Err(refusal) = roster.check_command(&body, self.now())
                    && matches!(refusal.kind, RefusalKind::Forbidden | RefusalKind::Beyond)
                {
                    return Err(refused(&refusal, &self.view(&roster)));
                }
            }
        }
        Ok(())
    }

    /// Asks the roster whether the caller may give a command; if so appends it and answers by what the fold said of it.
    pub(crate) async fn append(&self, body: &Body) -> Result<CommandOutcome> {
        let _shared = match &self.exclusive {
            Some(_) => None,
            None => Some(self.app.command_order.read().await),
        };
        {
            // Whether a command may be given can depend on much of what its author has.
            let roster = self.live().view();
            let view = self.view(&roster);
            roster.check_command(body, self.now()).map_err(|refusal| refused_command(body, &refusal, &view))?;
            self.take_room(std::slice::from_ref(body), &view)?;
        }
        append(&self.app, body, &self.origin).await
    }
}

/// [`Commands`] about one thing that has to be as the caller expects.
pub(crate) struct ConditionalCommands {
    commands: Commands,
    precondition: Precondition,
}

impl ConditionalCommands {
    /// Refuses unless the thing is as the caller expects: `newest` is the newest event about it, nothing where it is not
    /// there.
    pub fn check(&self, newest: Option<Position>) -> Result<()> {
        if self.precondition.holds(newest) {
            return Ok(());
        }
        Err(ErrorKind::Changed.because(match newest {
            Some(newest) => {
                format!("It is there, changed last at position {newest}. Read it again and decide again. Nothing was changed.")
            }
            None => "It is not there. Nothing was changed.".to_owned(),
        }))
    }
}

impl std::ops::Deref for ConditionalCommands {
    type Target = Commands;

    fn deref(&self) -> &Commands {
        &self.commands
    }
}

/// Appends `body` and waits for its effect.
pub(crate) async fn append(app: &App, body: &Body, origin: &Origin) -> Result<CommandOutcome> {
    let outcomes = append_all(app, std::slice::from_ref(body), origin).await?;
    outcomes
        .into_iter()
        .next()
        .ok_or_else(|| ErrorKind::Internal.because("A command was lost. Look at the log before sending it again."))
}

/// Appends commands together, all of them or none, and waits for the effect of each. The first that lost is told; the
/// others stand.
pub(crate) async fn append_all(app: &App, bodies: &[Body], origin: &Origin) -> Result<Vec<CommandOutcome>> {
    let now = app.now();
    let mut given = origin.request.as_ref().map(|request| request.next(bodies.len()));
    let mut events = Vec::with_capacity(bodies.len());
    for body in bodies {
        body.check_size().map_err(|error| {
            ErrorKind::InvalidBody.because(format!("{error}. Nothing was recorded.")).with_field(error)
        })?;
        let (id, correlation) = match &mut given {
            Some((ids, asked)) => (ids.next(), Some(Arc::clone(asked))),
            None => (None, None),
        };
        let id = id.map_or_else(|| random_id("evt", now), Ok)?;
        events.push(NewEvent {
            time: Some(now),
            correlation,
            traceparent: origin.traceparent.clone(),
            ..NewEvent::of(SourceName::local(), id, body)
        });
    }
    let outcomes =
        if events.is_empty() { Vec::new() } else { app.append.append(events).await.map_err(not_appended)? };
    let positions: Vec<Position> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Recorded(position) => Some(*position),
            _ => None,
        })
        .collect();
    if positions.len() != bodies.len() {
        return Err(ErrorKind::Internal.because("The log had the command's id already. Send the command again."));
    }
    let effects = judged(app, &positions).await;
    let answered: Vec<(&Body, Position, Option<Effect>)> =
        bodies.iter().zip(positions).zip(effects).map(|((body, position), effect)| (body, position, effect)).collect();
    for (body, position, effect) in &answered {
        let effect = effect.as_ref().map_or("unknown", Effect::as_str);
        CommandAnswered { kind: body.kind(), position: *position, effect }.emit();
    }
    answered.into_iter().map(|(_, position, effect)| outcome(position, effect)).collect()
}

/// What the fold said of each of these commands, as soon as it has; nothing of one where it is not known in time.
pub(crate) async fn judged(app: &App, positions: &[Position]) -> Vec<Option<Effect>> {
    let effects = match positions.last() {
        Some(last) if app.is_applied_within(*last, FOLD_TIMEOUT).await => app.control.effects(positions).await.ok(),
        _ => None,
    };
    let mut effects = effects.unwrap_or_default();
    effects.resize(positions.len(), None);
    effects
}

/// What a caller is told of what the fold said of a command.
pub(crate) fn outcome(position: Position, effect: Option<Effect>) -> Result<CommandOutcome> {
    match effect {
        Some(effect @ (Effect::Applied | Effect::NoChange)) => Ok(CommandOutcome::of(position, &effect)),
        Some(Effect::Refused(reason) | Effect::Parked(reason)) => {
            Err(ErrorKind::Refused.because(format!("{reason}. Nothing was changed.")).at(position))
        }
        Some(Effect::Superseded) => Err(ErrorKind::Refused
            .because("A later command about the same was there first. Nothing was changed; look at it and decide again.")
            .at(position)),
        None => Err(ErrorKind::Unavailable
            .because(format!(
                "The command is recorded at position {position}, but its effect is not known yet. Look at it (`rollcall events show {position}`) before you send it again."
            ))
            .at(position)
            .retry_after(1)),
    }
}

/// As [`refused`]. A removal states nothing that could be of a wrong shape: it is what is there that stands against it.
fn refused_command(body: &Body, refusal: &Refusal, view: &CallerView<'_>) -> Error {
    let removes = body.as_command().is_some_and(|command| match command {
        Command::GroupRemoved(_)
        | Command::GroupMemberRemoved(_)
        | Command::FolderRemoved(_)
        | Command::ProjectDeleted(_)
        | Command::BindingRemoved(_)
        | Command::ServiceRemoved(_)
        | Command::UserNameFreed(_) => true,
        Command::GroupUpserted(_)
        | Command::GroupMemberAdded(_)
        | Command::SourceRetired(_)
        | Command::SourceSuspended(_)
        | Command::SourceResumed(_)
        | Command::IdentityLinked(_)
        | Command::IdentityUnlinked(_)
        | Command::UserNameGiven(_)
        | Command::FolderUpserted(_)
        | Command::ProjectCreated(_)
        | Command::ProjectUpdated(_)
        | Command::BindingSet(_)
        | Command::ServiceCreated(_)
        | Command::SecretInvited(_)
        | Command::SecretIssued(_)
        | Command::SecretRevoked(_)
        | Command::CredentialsReset(_)
        | Command::LogClockMended(_)
        | Command::LogReaderRaised(_)
        | Command::SettingsSet(_)
        | Command::ProfileSet(_) => false,
    });
    match refusal.kind {
        RefusalKind::Invalid if removes => ErrorKind::Refused.because(format!("{refusal}. Nothing was recorded.")),
        _ => refused(refusal, view),
    }
}

/// What a caller is told when the roster stands against a command: nothing was appended.
pub(crate) fn refused(refusal: &Refusal, view: &CallerView<'_>) -> Error {
    let kind = match refusal.kind {
        // What the path and the body name was found before; this is a part of the body that is not there.
        RefusalKind::Unknown | RefusalKind::Invalid => ErrorKind::InvalidBody,
        RefusalKind::Managed => ErrorKind::ManagedProject,
        RefusalKind::NoRole => ErrorKind::UnknownRole,
        RefusalKind::Beyond | RefusalKind::Forbidden => ErrorKind::Forbidden,
        RefusalKind::LastHolder => ErrorKind::LastHolder,
        RefusalKind::Taken => ErrorKind::Taken,
        RefusalKind::TooMany => ErrorKind::Refused,
    };
    // Whose the name is, is for those who may know that it exists.
    if kind == ErrorKind::Taken && !view.may_everywhere("project.list") {
        return kind.because("This name or id is in use or reserved; take another. Nothing was recorded.");
    }
    kind.because(format!("{refusal}. Nothing was recorded."))
}

/// What a caller is told when the log took nothing.
fn not_appended(error: AppendError) -> Error {
    match error {
        AppendError::Overloaded { .. } => ErrorKind::Overloaded
            .because(format!("Nothing was recorded: {error}. Send it again in a moment."))
            .retry_after(1),
        AppendError::Unavailable(_) => Error::unavailable("Nothing was recorded", &error).retry_after(5),
    }
}
