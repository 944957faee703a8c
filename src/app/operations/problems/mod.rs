//! What was said and is not in effect: one list, each entry with its reason and what to do. Empty is good news.
//! Looks in the roster, in the records and at the sources; keeps nothing of its own.

mod addresses;
mod kind;
mod places;

use chrono::{DateTime, Utc};
use rollcall_access::RosterProblem;
use rollcall_events::Position;
use rollcall_store::ops::OpenOutcome;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use self::kind::ProblemKind;
use crate::{Answer, App, Page, PageRequest, Reads, error::Result, filters};

/// Something that was said and is not in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemShown {
    /// Its place in the list.
    pub id: String,
    /// What kind of thing it is.
    pub kind: ProblemKind,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// The event that said it; `null` where none was recorded.
    #[schema(value_type = Option<u64>)]
    pub position: Option<Position>,
    /// Whose news it is; `local` for what was commanded here.
    pub source: String,
    /// What it is about: a subject of the log, a delivery, a plan, a setting, or as the source calls it.
    pub subject: String,
    /// What was said.
    pub said: String,
    /// Why that is not in effect.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// Which problems.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProblemsQuery {
    /// Only of this kind.
    pub kind: Option<ProblemKind>,
    /// Only of this source.
    pub source: Option<String>,
}

/// A part of what there is of one kind.
#[derive(Default)]
struct Part {
    /// Each with its key: the next part begins after one of them.
    found: Vec<(String, ProblemShown)>,
    /// After which key the next part begins; nothing at the end.
    next: Option<String>,
}

/// Where one kind of problem is found. The one place that a new kind has to be added to.
async fn find(app: &App, kind: ProblemKind, source: Option<&str>, after: Option<&str>, limit: usize) -> Result<Part> {
    use ProblemKind as K;
    match kind {
        K::DanglingReference => places::in_roster(app, kind, RosterProblem::Dangling, after, limit).await,
        K::Binding => places::in_roster(app, kind, RosterProblem::Binding, after, limit).await,
        K::UnknownState => places::in_roster(app, kind, RosterProblem::UnknownState, after, limit).await,
        K::AccountCycle => places::in_roster(app, kind, RosterProblem::Cycle, after, limit).await,
        K::Parked => places::in_roster(app, kind, RosterProblem::Parked, after, limit).await,
        K::ProjectName => places::in_roster(app, kind, RosterProblem::ProjectName, after, limit).await,
        K::UserName => places::in_roster(app, kind, RosterProblem::UserName, after, limit).await,
        K::Link => places::in_roster(app, kind, RosterProblem::Link, after, limit).await,
        K::Secret => places::in_roster(app, kind, RosterProblem::Secret { now: app.now() }, after, limit).await,
        K::SignInName => addresses::shared(app, after, limit).await,
        K::Superseded => places::superseded(app, after).await,
        K::QuarantineFull => places::full_quarantines(app, after).await,
        K::Quarantined => places::in_deliveries(app, kind, OpenOutcome::Quarantined, source, after, limit).await,
        K::Conflict => places::in_deliveries(app, kind, OpenOutcome::Conflict, source, after, limit).await,
        K::Unrecorded => places::in_deliveries(app, kind, OpenOutcome::Unrecorded, source, after, limit).await,
        K::HeldRemovals | K::WaitingNews => places::held(app, kind, after).await,
        K::SourceUnread => places::of_sources(app, kind, after, places::unread).await,
        K::OutsideMember => places::of_sources(app, kind, after, places::outside).await,
        K::AbsentMember => places::of_sources(app, kind, after, places::absent).await,
        K::Unresolved => places::of_sources(app, kind, after, places::unresolved).await,
        K::SourceNotConfigured => places::not_configured(app, after),
        K::SourceRetired => Ok(places::retired(app, after)),
        K::SourceSuspended => Ok(places::suspended(app, after)),
        K::DatabaseHeld => Ok(places::held_databases(app, after)),
        K::Configuration => Ok(places::waiting_settings(app, after)),
    }
}

/// Everything that was said and is not in effect, by kind.
///
/// # Errors
/// The query names a source that there is not, or the records cannot be read now.
pub async fn list(reads: &Reads, query: &ProblemsQuery, page: &PageRequest) -> Result<Answer<Page<ProblemShown>>> {
    filters::known_source(reads, query.source.as_deref())?;
    let _turn = reads.past_turn().await?;
    let position = reads.applied();
    let (from, mut after) = match page.after().and_then(|after| after.split_once(':')) {
        Some((kind, key)) => (ProblemKind::ALL.iter().position(|known| known.as_str() == kind), Some(key.to_owned())),
        None => (Some(0), None),
    };
    let kinds = ProblemKind::ALL.iter().skip(from.unwrap_or(usize::MAX));
    let mut rows = Vec::new();
    for kind in kinds {
        let begins = after.take();
        if query.kind.is_some_and(|asked| asked != *kind) || rows.len() > page.limit {
            continue;
        }
        let source = query.source.as_deref();
        rows.extend(find_some(reads.app(), *kind, source, begins, page.limit + 1 - rows.len()).await?);
    }
    places::date(reads.app(), &mut rows).await?;
    Ok(Answer::of_more(position, page.page(rows, |row| row.id.clone())))
}

/// Up to `wanted` problems of a kind.
async fn find_some(
    app: &App,
    kind: ProblemKind,
    source: Option<&str>,
    mut after: Option<String>,
    wanted: usize,
) -> Result<Vec<ProblemShown>> {
    let mut rows = Vec::new();
    loop {
        let part = find(app, kind, source, after.as_deref(), wanted).await?;
        let asked = part.found.into_iter().filter(|(_, row)| source.is_none_or(|source| row.source == source));
        rows.extend(asked.map(|(key, row)| ProblemShown { id: format!("{}:{key}", kind.as_str()), ..row }));
        match part.next {
            Some(next) if rows.len() < wanted => after = Some(next),
            _ => {
                rows.truncate(wanted);
                return Ok(rows);
            }
        }
    }
}

/// Beyond how many a metric does not count.
const MAX_COUNTED: usize = 10_000;

impl App {
    /// How many problems of each kind there are; of very many, so many at least.
    ///
    /// # Errors
    /// The records cannot be read now.
    pub async fn count_problems(&self) -> Result<Vec<(ProblemKind, usize)>> {
        let mut counts = Vec::new();
        for kind in ProblemKind::ALL {
            counts.push((*kind, find_some(self, *kind, None, None, MAX_COUNTED).await?.len()));
        }
        Ok(counts)
    }
}
