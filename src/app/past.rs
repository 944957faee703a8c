//! Questions about the past: which moment is meant, and a roster of what a question depended on then.
//! Rights are judged on the roster of now; only what is answered is of then.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveTime, Utc};
use futures_util::StreamExt as _;
use rollcall_access::{Basis, PastQuestion, Place, Principal, ProjectIx, Roster, UserIx, effective_by};
use rollcall_eventlog::{Moment, When};
use rollcall_events::{
    LogId, Position, Recorded,
    names::{CallerReference, ProjectReference},
    time::{for_people, parse_day, parse_instant},
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::{
    Reads,
    concurrency::run_blocking,
    error::{Error, ErrorKind, Result},
    question::Scope,
};

/// How many records are read from the log at a time.
const CHUNK: usize = 4096;
/// Up to so many records are folded without a permit.
const MAX_WITHOUT_PERMIT: usize = 256;
/// How long a question waits for the roster to reach a moment that the log has.
const FOLD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// A moment as it is asked for: a position (`12`, `position:12`, or of a certain log `logid:12`), an instant, or a day,
/// which means its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsOf {
    log: Option<LogId>,
    when: When,
}

impl AsOf {
    /// What it looks like, for the refusal of one that does not.
    pub const FORM: &'static str =
        "a position (`12`, or `logid:12`), an instant (`2026-03-01T12:00:00Z`) or a day (`2026-03-01`, its end, UTC)";

    /// A position of this log.
    pub fn at(position: Position) -> Self {
        Self { log: None, when: When::Position(position) }
    }
}

impl FromStr for AsOf {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let position = |text: &str| text.parse().map(|position| When::Position(Position(position))).map_err(|_| ());
        if let Ok(when) = position(text) {
            return Ok(Self { log: None, when });
        }
        if let Some((log, rest)) = text.split_once(':')
            && let Ok(when) = position(rest)
            && (log == "position" || parse_log_id(log).is_some())
        {
            return Ok(Self { log: parse_log_id(log), when });
        }
        if let Some(day) = parse_day(text) {
            let next = day.checked_add_days(Days::new(1)).ok_or(())?.and_time(NaiveTime::MIN).and_utc();
            return Ok(Self { log: None, when: When::Instant(next - chrono::TimeDelta::microseconds(1)) });
        }
        let instant = parse_instant(text).map_err(|_| ())?;
        Ok(Self { log: None, when: When::Instant(instant) })
    }
}

/// What a question takes that is answered about the past too.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PastQuery {
    /// As Rollcall knew it then: a position (`12`, or `logid:12`), an instant or a day (its end, UTC). Now when absent.
    pub as_of: Option<String>,
}

/// Reads a moment that a caller wrote.
pub(crate) fn parse_moment(name: &str, text: Option<&str>) -> Result<Option<AsOf>> {
    let Some(text) = text else { return Ok(None) };
    let refused =
        || ErrorKind::InvalidQuery.because(format!("`{name}={}` is not {}.", text.escape_debug(), AsOf::FORM));
    text.parse().map(Some).map_err(|()| refused())
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

    /// What a question depended on at a moment.
    pub(crate) async fn past_roster(&self, as_of: AsOf, basis: Basis, about: PastQuestion<'_>) -> Result<PastRoster> {
        let (moment, at) = self.moment(as_of).await?;
        let (subjects, mut roster, known) = {
            let live = self.live().read();
            (live.relevant_subjects(about), live.empty_slice(basis), live.position())
        };
        let (to, lost) = match basis {
            Basis::Recorded => (moment.position, false),
            Basis::Effective => (known, true),
        };
        let positions = self.control().events_of(&subjects, to, lost).await?;
        let positions = positions.ok_or_else(|| self.behind(moment))?;
        let _permit = if positions.len() > MAX_WITHOUT_PERMIT { Some(self.past_permit().await?) } else { None };
        if basis == Basis::Recorded && positions.len() as u64 > to.0.div_ceil(2) {
            // Most of the log matters: reading all of it in order is quicker than record by record.
            return Ok(PastRoster { roster: self.fold_all(to).await?, moment, at });
        }
        let mut records = Vec::new();
        for some in positions.chunks(CHUNK) {
            let some = self.tail().records(some).await?;
            match basis {
                Basis::Recorded => roster = fold(roster, move || some).await?,
                Basis::Effective => records.extend(some),
            }
        }
        let mut roster = fold(roster, move || effective_by(records, at)).await?;
        roster.advance_to(to);
        Ok(PastRoster { roster, moment, at })
    }

    /// What a question depended on at two moments, and every event between them. No later moment: now.
    pub(crate) async fn past_span(
        &self,
        from: AsOf,
        to: Option<AsOf>,
        about: PastQuestion<'_>,
    ) -> Result<(PastRoster, PastRoster, Vec<Recorded>)> {
        let (first, from) = self.moment(from).await?;
        let (last, to) = match to {
            Some(to) => self.moment(to).await?,
            None => self.current_moment().await?,
        };
        if first.position > last.position || from > to {
            return Err(ErrorKind::InvalidQuery.because("`from` is later than `to`; exchange them."));
        }
        let (subjects, roster) = {
            let live = self.live().read();
            (live.relevant_subjects(about), live.empty_slice(Basis::Recorded))
        };
        let positions = self.control().events_of(&subjects, last.position, false).await?;
        let positions = positions.ok_or_else(|| self.behind(last))?;
        let _permit = if positions.len() > MAX_WITHOUT_PERMIT { Some(self.past_permit().await?) } else { None };
        let (sooner, later) = positions.split_at(positions.partition_point(|position| *position <= first.position));
        let mut before = roster;
        if sooner.len() as u64 > first.position.0.div_ceil(2) {
            before = self.fold_all(first.position).await?;
        } else {
            for some in sooner.chunks(CHUNK) {
                let some = self.tail().records(some).await?;
                before = fold(before, move || some).await?;
            }
            before.advance_to(first.position);
        }
        let mut events = Vec::with_capacity(later.len());
        for some in later.chunks(CHUNK) {
            events.extend(self.tail().records(some).await?);
        }
        let (copy, tail) = (before.clone(), events.clone());
        let mut after = fold(copy, move || tail).await?;
        after.advance_to(last.position);
        let (before, after) = (
            PastRoster { roster: before, moment: first, at: from },
            PastRoster { roster: after, moment: last, at: to },
        );
        Ok((before, after, events))
    }

    /// The whole log up to a position, folded.
    async fn fold_all(&self, to: Position) -> Result<Roster> {
        let mut roster = Roster::new(self.tail().log_id());
        let mut pages = self.tail().read(Position(0), CHUNK);
        while roster.position() < to {
            let Some(page) = pages.next().await else { break };
            let page = page?;
            let part = move || page.iter().filter(|record| record.position <= to).cloned().collect();
            roster = fold(roster, part).await?;
        }
        Ok(roster)
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

/// Folds records, away from the threads that answer.
async fn fold(mut roster: Roster, records: impl FnOnce() -> Vec<Recorded> + Send + 'static) -> Result<Roster> {
    run_blocking(move || {
        records().iter().for_each(|record| drop(roster.apply(record)));
        roster
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
        let read = |text: &str| text.parse::<AsOf>();
        let position = |log, n| Ok(AsOf { log, when: When::Position(Position(n)) });
        let instant = |text: &str| Ok(AsOf { log: None, when: When::Instant(text.parse().unwrap()) });
        assert_eq!(read("12"), position(None, 12));
        assert_eq!(read("position:12"), position(None, 12));
        assert_eq!(read("0101010101010101:7"), position(Some(LogId([1; 8])), 7));
        assert_eq!(read("2026-03-01T12:00:00Z"), instant("2026-03-01T12:00:00Z"));
        assert_eq!(read("2026-03-01T12:00:00+01:00"), instant("2026-03-01T11:00:00Z"));
        assert_eq!(read("2026-03-01"), instant("2026-03-01T23:59:59.999999Z"));
        for bad in [
            "",
            "x",
            "-1",
            "other:12",
            "2026-03-41",
            "2026-03-01T12:00:00",
            "yesterday",
            "2026-3-1",
            "+10000-01-01",
            "+262142-12-31T23:59:59Z",
        ] {
            assert_eq!(read(bad), Err(()), "{bad}");
        }
    }
}
