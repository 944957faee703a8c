//! Questions about the past: which moment is meant, and a roster of what a question depended on then.
//! Rights are judged on the roster of now; only what is answered is of then.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use rollcall_access::{
    Basis, Effort, PastQuestion, Place, Principal, ProjectIx, Roster, ScopeName, UserIx, effective_by,
};
use rollcall_eventlog::{ClockMend, Moment, When};
use rollcall_events::{
    LogId, Position, Recorded,
    names::{CallerReference, ProjectReference},
    spoken::{self, Direction, Said},
    time::for_people,
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::{
    Reads,
    error::{Error, ErrorKind, Result},
    question::Scope,
    telemetry::PastEventsFolded,
    turn::{Turn, too_much},
};

/// How many records are read from the log at a time.
const CHUNK: usize = 4096;
/// How many records are folded between two looks at whether somebody waits for the answer.
const BETWEEN_LOOKS: usize = 256;
/// The most rows that are looked at to find what a question depends on.
const MAX_ROWS: u64 = 1_000_000;
/// The most events that one question folds: some seconds' worth.
const MAX_EVENTS: u64 = 2_000_000;
/// The most bytes of events that one question folds or holds. A roster of them is of the same order.
const MAX_BYTES: usize = 512 * 1024 * 1024;
/// What a record holds beside its data and subject.
const RECORD_BYTES: usize = 192;
/// How long a question waits for the roster to reach a moment that the log has.
const FOLD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// A moment as it is asked for: a position (`12`, `position:12`, or of a certain log `logid:12`), an instant, how long ago,
/// or a day, which means its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsOf {
    log: Option<LogId>,
    when: When,
}

impl AsOf {
    /// A position of this log.
    pub fn at(position: Position) -> Self {
        Self { log: None, when: When::Position(position) }
    }
}

impl AsOf {
    /// Reads what somebody wrote at an instant.
    ///
    /// # Errors
    /// It is no moment: what it is instead, and what one looks like.
    pub fn read(text: &str, now: DateTime<Utc>) -> Result<Self, String> {
        let position = |text: &str| text.parse().ok().map(|position| When::Position(Position(position)));
        if let Some(when) = position(text) {
            return Ok(Self { log: None, when });
        }
        if let Some((log, rest)) = text.split_once(':')
            && let Some(when) = position(rest)
            && (log == "position" || parse_log_id(log).is_some())
        {
            return Ok(Self { log: parse_log_id(log), when });
        }
        let instant = match spoken::read(text, now, Direction::Ago) {
            Ok(Said::Instant(instant)) => instant,
            // Of a day that is not over what there is of it.
            Ok(day @ Said::Day(_)) if day.begins() <= now => now.min(day.ends() - TimeDelta::microseconds(1)),
            Ok(day) => day.ends() - TimeDelta::microseconds(1),
            Err(unclear) => return Err(format!("a position (`12`, or `logid:12`), {unclear}")),
        };
        Ok(Self { log: None, when: When::Instant(instant) })
    }
}

/// What a question takes that is answered about the past too.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PastQuery {
    /// As Rollcall knew it then: a position (`12`, or `logid:12`), an instant, a day (its end, UTC; `yesterday`), or how long
    /// ago (`2h`). Now when absent.
    pub as_of: Option<String>,
}

/// Reads a moment that a caller wrote.
pub(crate) fn parse_moment(name: &str, text: Option<&str>, now: DateTime<Utc>) -> Result<Option<AsOf>> {
    let Some(text) = text else { return Ok(None) };
    let refused =
        |form: String| ErrorKind::InvalidQuery.because(format!("`{name}={}` is not {form}.", text.escape_debug()));
    AsOf::read(text, now).map(Some).map_err(refused)
}

/// Reads a log's id.
#[must_use]
pub fn parse_log_id(text: &str) -> Option<LogId> {
    let well_formed = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number = u64::from_str_radix(text, 16).ok()?;
    well_formed.then(|| LogId(number.to_be_bytes()))
}

/// A roster of what a question depended on at a moment.
pub(crate) struct PastRoster {
    /// Good for that question only.
    pub roster: Roster,
    /// The last record that it holds.
    pub moment: Moment,
    /// The instant at which windows are judged.
    pub at: DateTime<Utc>,
}

impl Reads {
    /// The moment that is asked for, if the log has it, and the instant that goes with it.
    pub(crate) async fn moment(&self, as_of: AsOf) -> Result<(Moment, DateTime<Utc>)> {
        let own = self.tail().log_id();
        if as_of.log.is_some_and(|log| log != own) {
            return Err(ErrorKind::OtherLog.because(format!(
                "This is log {own}. Positions of another log mean nothing here; ask by an instant instead."
            )));
        }
        let head = self.tail().head().borrow().position;
        let now = self.now();
        match as_of.when {
            When::Position(position) if position > head => {
                return Err(ErrorKind::UnknownMoment
                    .because(format!("Position {position} is in the future: the log ends at {head}."))
                    .at(head));
            }
            When::Instant(instant) if instant > now => {
                return Err(ErrorKind::UnknownMoment.because(format!(
                    "{} is in the future: it is {} now. Leave `as_of` out to ask about now.",
                    for_people(instant),
                    for_people(now)
                )));
            }
            _ => {}
        }
        let found = self.tail().moment(as_of.when).await?;
        let Some(moment) = found else {
            let first = self.tail().moment(When::Position(Position(1))).await?;
            let begins = first
                .map_or("it is empty".to_owned(), |first| format!("it begins at {}", for_people(first.recorded_at)));
            return Err(ErrorKind::UnknownMoment
                .because(format!("That is before anything was recorded in this log: {begins}.")));
        };
        let at = match as_of.when {
            When::Position(_) => moment.recorded_at,
            When::Instant(instant) => instant,
        };
        if self.app().is_applied_within(moment.position, FOLD_TIMEOUT).await {
            Ok((moment, at))
        } else {
            Err(self.behind(moment))
        }
    }

    fn behind(&self, moment: Moment) -> Error {
        let reached = self.applied();
        ErrorKind::Behind
            .because(format!(
                "What was recorded up to {} can be asked about in a moment. Send the same request again.",
                moment.position
            ))
            .at(reached)
            .retry_after(1)
    }

    /// What a question depended on at a moment, worked out in the caller's turn. Whether the caller may ask was judged
    /// before: nothing here is about what the caller may see.
    pub(crate) async fn past_roster(
        &self,
        turn: &Turn,
        as_of: AsOf,
        basis: Basis,
        about: &About,
    ) -> Result<PastRoster> {
        let (moment, at) = self.moment(as_of).await?;
        let (positions, mut roster, to) = self.depends_on(turn, moment, basis, about).await?;
        let mut budget = Budget::default();
        budget.admit(positions.len() as u64)?;
        if basis == Basis::Recorded && positions.len() as u64 > to.0.div_ceil(2) {
            // Most of the log matters: reading all of it in order is quicker than record by record.
            return Ok(PastRoster { roster: self.fold_all(turn, to, budget).await?, moment, at });
        }
        let mut records = Vec::new();
        let mut pages = self.tail().records(positions);
        while let Some(some) = pages.next().await.transpose()? {
            match basis {
                Basis::Recorded => (roster, budget) = fold(turn, roster, budget, move || some).await?,
                Basis::Effective => {
                    budget.hold(&some)?;
                    records.extend(some);
                }
            }
        }
        if basis == Basis::Effective {
            let mends = self.tail().clock_mends().await?;
            let told = move |record: &Recorded| ClockMend::told(&mends, record.position, record.recorded_at).0;
            (roster, _) = fold(turn, roster, Budget::default(), move || effective_by(records, at, told)).await?;
        }
        roster.advance_to(to);
        Ok(PastRoster { roster, moment, at })
    }

    /// What a question depended on at two moments, and every event between them. No later moment: now.
    pub(crate) async fn past_span(
        &self,
        turn: &Turn,
        from: AsOf,
        to: Option<AsOf>,
        about: &About,
    ) -> Result<(PastRoster, PastRoster, Vec<Recorded>)> {
        let (first, from) = self.moment(from).await?;
        let (last, to) = match to {
            Some(to) => self.moment(to).await?,
            None => self.current_moment().await?,
        };
        if first.position > last.position || from > to {
            return Err(ErrorKind::InvalidQuery.because("`from` is later than `to`; exchange them."));
        }
        let (positions, roster, _) = self.depends_on(turn, last, Basis::Recorded, about).await?;
        let mut budget = Budget::default();
        budget.admit(positions.len() as u64)?;
        let (sooner, later) = positions.split_at(positions.partition_point(|position| *position <= first.position));
        let mut before = roster;
        if sooner.len() as u64 > first.position.0.div_ceil(2) {
            (before, budget) = self.fold_in_order(turn, before, sooner, budget).await?;
        } else {
            let mut pages = self.tail().records(sooner.to_vec());
            while let Some(some) = pages.next().await.transpose()? {
                (before, budget) = fold(turn, before, budget, move || some).await?;
            }
        }
        before.advance_to(first.position);
        let mut events = Vec::with_capacity(later.len());
        let mut pages = self.tail().records(later.to_vec());
        while let Some(some) = pages.next().await.transpose()? {
            budget.hold(&some)?;
            events.extend(some);
        }
        let (copy, tail) = (before.clone(), events.clone());
        let (mut after, _) = fold(turn, copy, Budget::default(), move || tail).await?;
        after.advance_to(last.position);
        let (before, after) = (
            PastRoster { roster: before, moment: first, at: from },
            PastRoster { roster: after, moment: last, at: to },
        );
        Ok((before, after, events))
    }

    /// The positions of the events that a question depends on up to a moment, an empty roster to fold them into, and up to
    /// where they were looked for.
    async fn depends_on(
        &self,
        turn: &Turn,
        moment: Moment,
        basis: Basis,
        about: &About,
    ) -> Result<(Vec<Position>, Roster, Position)> {
        let (live, asked) = (Arc::clone(self.live()), about.clone());
        let found = turn.run(move |awaited| {
            let go_on = || awaited.is_awaited();
            let live = live.view();
            let subjects = live.relevant_subjects(asked.question(), basis, &Effort::of(MAX_ROWS, &go_on))?;
            Ok((subjects, live.empty_slice(basis), live.position()))
        });
        let (subjects, roster, known) = found.await?;
        let (to, lost) = match basis {
            Basis::Recorded => (moment.position, false),
            Basis::Effective => (known, true),
        };
        let positions = self.control().events_of(&subjects, to, lost).await?;
        Ok((positions.ok_or_else(|| self.behind(moment))?, roster, to))
    }

    /// The whole log up to a position, folded.
    async fn fold_all(&self, turn: &Turn, to: Position, mut budget: Budget) -> Result<Roster> {
        let mut roster = Roster::new(self.tail().log_id());
        let mut pages = self.tail().read(Position(0), CHUNK);
        while roster.position() < to {
            let Some(page) = pages.next().await else { break };
            let page = page?;
            let part = move || page.iter().filter(|record| record.position <= to).cloned().collect();
            (roster, budget) = fold(turn, roster, budget, part).await?;
        }
        Ok(roster)
    }

    /// As record by record, for so many that reading the log in order is quicker. A slice stays a slice: what is folded into
    /// it later applied when it was recorded, and is not judged anew on what of the log it holds.
    async fn fold_in_order(
        &self,
        turn: &Turn,
        mut roster: Roster,
        positions: &[Position],
        mut budget: Budget,
    ) -> Result<(Roster, Budget)> {
        let mut pages = self.tail().read(Position(0), CHUNK);
        let mut left = positions;
        while let Some(last) = left.last().copied() {
            let Some(page) = pages.next().await else { break };
            let page = page?;
            let reached = page.last().map_or(last, |record| record.position);
            let (here, rest) = left.split_at(left.partition_point(|position| *position <= reached));
            let here = here.to_vec();
            let part = move || {
                let asked = |record: &&Recorded| here.binary_search(&record.position).is_ok();
                page.iter().filter(asked).cloned().collect()
            };
            (roster, budget) = fold(turn, roster, budget, part).await?;
            left = rest;
        }
        Ok((roster, budget))
    }

    /// A moment that is now: the roster as it is.
    pub(crate) async fn current_moment(&self) -> Result<(Moment, DateTime<Utc>)> {
        let (position, now) = (self.live().read().position(), self.now());
        let found = self.tail().moment(When::Position(position)).await?;
        found
            .map(|moment| (moment, now))
            .ok_or_else(|| ErrorKind::UnknownMoment.because("Nothing was recorded yet; record something first."))
    }
}

/// What a question about the past is about, in words that outlive the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// One caller, or somebody who did not sign in, on one scope.
    Access { user: Option<String>, scope: AboutScope },
    /// Everybody in a project.
    Members(String),
    /// Everything that a caller is in.
    User(String),
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AboutScope {
    Root,
    Folder(String),
    Project(String),
}

impl From<&Scope<'_>> for AboutScope {
    fn from(scope: &Scope<'_>) -> Self {
        match scope {
            Scope::Root => Self::Root,
            Scope::Folder(id) => Self::Folder((*id).to_owned()),
            Scope::Project(name, _) => Self::Project((*name).to_owned()),
        }
    }
}

impl About {
    fn question(&self) -> PastQuestion<'_> {
        match self {
            Self::Access { user, scope } => PastQuestion::Access {
                user: user.as_deref(),
                scope: match scope {
                    AboutScope::Root => ScopeName::Root,
                    AboutScope::Folder(id) => ScopeName::Folder(id),
                    AboutScope::Project(name) => ScopeName::Project(name),
                },
            },
            Self::Members(project) => PastQuestion::Members(project),
            Self::User(user) => PastQuestion::User(user),
        }
    }
}

/// What one question may still fold and hold.
#[derive(Debug, Clone, Copy)]
struct Budget {
    events: u64,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { events: MAX_EVENTS, bytes: MAX_BYTES }
    }
}

impl Budget {
    /// Refuses so many events before any of them is read.
    fn admit(&self, events: u64) -> Result<()> {
        if events > self.events { Err(too_much(MAX_EVENTS, "events")) } else { Ok(()) }
    }

    fn spend(&mut self, record: &Recorded) -> Result<()> {
        let bytes = record.event.data.len() + record.event.subject.len() + RECORD_BYTES;
        self.events = self.events.checked_sub(1).ok_or_else(|| too_much(MAX_EVENTS, "events"))?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| too_much(MAX_BYTES as u64, "bytes"))?;
        Ok(())
    }

    /// Counts records that are held until all of them are there.
    fn hold(&mut self, records: &[Recorded]) -> Result<()> {
        records.iter().try_for_each(|record| self.spend(record))
    }
}

/// Folds records off the threads that answer, for as long as somebody waits for it and the budget lasts.
async fn fold(
    turn: &Turn,
    mut roster: Roster,
    mut budget: Budget,
    records: impl FnOnce() -> Vec<Recorded> + Send + 'static,
) -> Result<(Roster, Budget)> {
    turn.run(move |awaited| {
        let records = records();
        for some in records.chunks(BETWEEN_LOOKS) {
            awaited.check()?;
            for record in some {
                budget.spend(record)?;
                drop(roster.apply(record));
            }
            PastEventsFolded { events: some.len() }.emit();
        }
        Ok((roster, budget))
    })
    .await
}

impl PastRoster {
    /// The user of a name or id of now or then. `now`: the user's id as the roster of now has it.
    pub fn user(&self, name: &str, now: Option<&str>) -> Result<UserIx> {
        let found = self.roster.user_by_reference(CallerReference::of(name));
        found.or_else(|| self.roster.user_by_id(now?)).ok_or_else(|| {
            ErrorKind::UnknownUser
                .because(format!("No user had this name or id as of position {}.", self.moment.position))
        })
    }

    /// As [`Self::user`], or a service as `service:id`.
    pub fn principal(&self, name: &str, now: Option<&str>) -> Result<Principal> {
        match self.roster.caller_by_reference(CallerReference::of(name)) {
            Some(service @ Principal::Service(_)) => Ok(service),
            _ => self.user(name, now).map(Principal::User),
        }
    }

    /// A scope that was there then. `now`: the project's id as the roster of now has it.
    pub fn place(&self, scope: &Scope<'_>, now: Option<&str>) -> Result<Place> {
        match scope {
            Scope::Root => Ok(Place::Root),
            Scope::Project(name, _) => self.project(name, now).map(Place::Project),
            Scope::Folder(id) => self.roster.folder_by_id(id).map(Place::Folder).ok_or_else(|| {
                ErrorKind::UnknownFolder
                    .because(format!("There was no folder of this id as of position {}.", self.moment.position))
            }),
        }
    }

    /// The project of a name of now or then. `now`: the project's id as the roster of now has it.
    pub fn project(&self, name: &str, now: Option<&str>) -> Result<ProjectIx> {
        let found = self.roster.project_by_reference(ProjectReference::of(name));
        let found = found.or_else(|| self.roster.project_by_id(now?));
        found.ok_or_else(|| {
            ErrorKind::UnknownProject
                .because(format!("No project had this name as of position {}.", self.moment.position))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_an_instant_or_the_end_of_a_day() {
        let now = "2026-03-05T12:00:00Z".parse().unwrap();
        let read = |text: &str| AsOf::read(text, now);
        let position = |log, n| Ok(AsOf { log, when: When::Position(Position(n)) });
        let instant = |text: &str| Ok(AsOf { log: None, when: When::Instant(text.parse().unwrap()) });
        assert_eq!(read("12"), position(None, 12));
        assert_eq!(read("position:12"), position(None, 12));
        assert_eq!(read("0101010101010101:7"), position(Some(LogId([1; 8])), 7));
        assert_eq!(read("2026-03-01T12:00:00Z"), instant("2026-03-01T12:00:00Z"));
        assert_eq!(read("2026-03-01T12:00:00+01:00"), instant("2026-03-01T11:00:00Z"));
        assert_eq!(read("2026-03-01"), instant("2026-03-01T23:59:59.999999Z"));
        assert_eq!(read("yesterday"), instant("2026-03-04T23:59:59.999999Z"));
        assert_eq!(read("today"), instant("2026-03-05T12:00:00Z"), "what there is of it");
        assert_eq!(read("2h ago"), instant("2026-03-05T10:00:00Z"));
        assert_eq!(read("90m"), instant("2026-03-05T10:30:00Z"));
        for bad in [
            "",
            "x",
            "-1",
            "other:12",
            "2026-03-41",
            "2026-03-01T12:00:00",
            "soon",
            "2026-3-1",
            "+10000-01-01",
            "+262142-12-31T23:59:59Z",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
