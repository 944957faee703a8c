//! Suspending, resuming and retiring a source: whom it would change before it is done, and doing exactly that. What would
//! take something from many is held until somebody names the plan.

use rollcall_access::{AccessRow, AccessRowKey, AccessTotals, Effect, Roster, SourcePlan, plan_source, source_rows};
use rollcall_events::{Body, Position, SchemaError, SourceName, body::SourceRef};
use rollcall_ingest::guard::{MIN_PROTECTED, MIN_REMOVALS};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, Commands, Page, PageRequest, Reads,
    caller::Giver,
    commands::refused,
    error::{Error, ErrorKind, Result},
    operations::configuration::AccessRowShown,
};

/// What can be done with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceChange {
    /// Its facts are kept and go on being updated, and do not count.
    Suspend,
    /// They count again.
    Resume,
    /// All of them end, for ever, and nothing that it says later counts.
    Retire,
}

impl SourceChange {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Retire => "retire",
        }
    }

    /// The change that a word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Suspend, Self::Resume, Self::Retire].into_iter().find(|change| change.as_str() == word)
    }

    fn command(self, source: SourceName, giver: Giver) -> Body {
        self.body(SourceRef { source, author: Some(giver.author), made_with: giver.made_with })
    }

    /// To be tried, by whomever: whoever may look at plans need not be able to do what they plan.
    fn tried(self, source: SourceName) -> Body {
        self.body(SourceRef { source, author: None, made_with: None })
    }

    fn body(self, data: SourceRef) -> Body {
        match self {
            Self::Suspend => Body::SourceSuspended(data),
            Self::Resume => Body::SourceResumed(data),
            Self::Retire => Body::SourceRetired(data),
        }
    }
}

/// What a change of a source would do to anybody's access.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SourcePlanShown {
    /// Names it, `src_..`: what is confirmed. What changes the same has the same name.
    pub plan: String,
    /// The source.
    pub source: String,
    /// What would be done with it.
    pub change: SourceChange,
    /// `applied`, or `no_change` where it is so already.
    #[schema(value_type = String)]
    pub effect: std::borrow::Cow<'static, str>,
    /// How many users and services would be able to do more or less.
    pub people: u64,
    /// How many rows there are, one for each of them on each scope.
    pub rows: u64,
    /// In how many of them something appears.
    pub gains: u64,
    /// In how many of them something disappears.
    pub losses: u64,
    /// Why it is not done unless somebody names this plan: it takes something from many.
    pub held: Option<String>,
}

/// The plan that somebody looked at and means.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfirmation {
    /// The plan's name, `src_..`. Left out, it is done only where it takes nothing from many.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// The source and the plan that somebody means.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRetirement {
    /// The source's name, once more: retiring it cannot be undone.
    pub source: String,
    /// The plan's name, `src_..`. Left out, it is done only where it takes nothing from many.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// What was done with a source.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SourceChanged {
    /// The source.
    pub source: String,
    /// The plan that this was; `null` where it was done before and is told from the log, which does not know it.
    pub plan: Option<String>,
    /// The log's position that holds it.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied`, or `no_change` where it was so already.
    #[schema(value_type = String)]
    pub effect: std::borrow::Cow<'static, str>,
}

/// How many names of projects a text tells.
const MAX_NAMED: usize = 5;

/// Why a plan waits for somebody who names it: the measure of the removal guard, in people.
fn held_reason(access: &AccessTotals, emptied: &[String]) -> Option<String> {
    let mut why = Vec::new();
    if access.losers >= MIN_REMOVALS {
        why.push(format!("{} users and services would lose something", access.losers));
    }
    if !emptied.is_empty() {
        let more = emptied.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<&str> = emptied.iter().take(MAX_NAMED).map(String::as_str).collect();
        why.push(format!("nobody would be left in {}{more}", named.join(", ")));
    }
    (!why.is_empty()).then(|| why.join(", and "))
}

fn planned(roster: &Roster, command: &Body, now: chrono::DateTime<chrono::Utc>) -> SourcePlan {
    plan_source(roster, command, usize::try_from(MIN_PROTECTED).unwrap_or(usize::MAX), now)
}

fn shown(source: &SourceName, change: SourceChange, plan: &SourcePlan) -> SourcePlanShown {
    SourcePlanShown {
        plan: plan.name.clone(),
        source: source.to_string(),
        change,
        effect: plan.effect.as_str().into(),
        people: plan.access.people,
        rows: plan.access.rows,
        gains: plan.access.gains,
        losses: plan.access.losses,
        held: held_reason(&plan.access, &plan.emptied),
    }
}

/// Ends every fact of a source, for ever, as [`apply`] does it.
///
/// # Errors
/// The body names another source than the path, or as [`apply`].
pub async fn retire(commands: Commands, name: &str, retirement: SourceRetirement) -> Result<SourceChanged> {
    let SourceRetirement { source, confirm } = retirement;
    if source != name {
        let text =
            "A source is retired for ever; `source` is its name once more, and this is another. Nothing was changed.";
        let field = SchemaError::at("/source", "the name that is in the path");
        return Err(ErrorKind::InvalidBody.because(text).with_field(field));
    }
    apply(commands, name, SourceChange::Retire, SourceConfirmation { confirm }).await
}

fn no_such_source() -> Error {
    ErrorKind::UnknownSource.because("No source of this name has recorded anything. `rollcall sources` shows them.")
}

/// A source that has recorded something, or `local`, of which the fold says what there is to say.
fn find(roster: &Roster, name: &str) -> Result<SourceName> {
    let source: SourceName = name.parse().map_err(|_| no_such_source())?;
    if roster.sources().any(|known| known == source.as_str()) { Ok(source) } else { Err(no_such_source()) }
}

fn refused_by(effect: &Effect) -> Result<()> {
    match effect.reason() {
        Some(why) => Err(ErrorKind::Refused.because(format!("{why}. Nothing was changed."))),
        None => Ok(()),
    }
}

/// Whom a change of a source would give or take something.
///
/// # Errors
/// There is no such source, it is retired, or others ask such questions.
pub async fn plan(reads: &Reads, name: &str, change: SourceChange) -> Result<Answer<SourcePlanShown>> {
    let source = find(&reads.live().read(), name)?;
    let (now, command) = (reads.now(), change.tried(source.clone()));
    let turn = reads.copy_turn().await?;
    let tried = turn.run_on_view(reads.live(), move |copy, _| Ok((copy.position(), planned(copy, &command, now))));
    let (position, plan) = tried.await?;
    refused_by(&plan.effect)?;
    Ok(Answer::of_more(position, shown(&source, change, &plan)))
}

/// The same by scope and name.
///
/// # Errors
/// As [`plan`].
pub async fn rows(
    reads: &Reads,
    name: &str,
    change: SourceChange,
    page: &PageRequest,
) -> Result<Answer<Page<AccessRowShown>>> {
    let source = find(&reads.live().read(), name)?;
    let (now, command, limit) = (reads.now(), change.tried(source), page.limit + 1);
    let after: Option<AccessRowKey> = page.after().and_then(|after| serde_json::from_str(after).ok());
    let turn = reads.copy_turn().await?;
    let tried = turn.run_on_view(reads.live(), move |copy, _| {
        Ok((copy.position(), source_rows(copy, &command, now, after.as_ref(), limit)))
    });
    let (position, (effect, rows)) = tried.await?;
    refused_by(&effect)?;
    let key = |row: &AccessRow| serde_json::to_string(&row.key()).unwrap_or_default();
    let Page { items, next } = page.page(rows, key);
    Ok(Answer::of_more(position, Page { items: items.into_iter().map(AccessRowShown::from).collect(), next }))
}

/// Does it, if it changes exactly what was confirmed, or takes nothing from many.
///
/// # Errors
/// There is no such source, it is retired, it would change something else than what was confirmed, or it takes something
/// from many and nobody confirmed that.
pub async fn apply(
    mut commands: Commands,
    name: &str,
    change: SourceChange,
    confirmation: SourceConfirmation,
) -> Result<SourceChanged> {
    let source = find(&commands.live().read(), name)?;
    let command = change.command(source.clone(), commands.giver());
    {
        let roster = commands.live().read();
        let may = roster.check_command(&command, commands.now());
        may.map_err(|refusal| refused(&refusal, &commands.view(&roster)))?;
    }
    // The turn first: while these commands are alone nobody should wait for somebody else's preview.
    let turn = commands.copy_turn().await?;
    commands.take_exclusive().await;
    let (now, tried) = (commands.now(), command.clone());
    let plan = turn.run_on_view(commands.live(), move |copy, _| Ok(planned(copy, &tried, now))).await?;
    refused_by(&plan.effect)?;
    let held = held_reason(&plan.access, &plan.emptied);
    match (&confirmation.confirm, held) {
        (Some(confirmed), _) if *confirmed != plan.name => Err(ErrorKind::Changed.because(format!(
            "It would change something else than what was confirmed. Look at it again: it is {} now. Nothing was changed.",
            plan.name
        ))),
        (None, Some(why)) => Err(ErrorKind::PlanDiffers.because(format!(
            "{why}. Look at the plan, then confirm {} if you mean it. Nothing was changed.",
            plan.name
        ))),
        (Some(_), _) | (None, None) => {
            let outcome = commands.append(&command).await?;
            // Whoever reads it finds out now rather than at the next read.
            if change == SourceChange::Retire {
                commands.runners().hint(&source);
            }
            let (source, plan) = (source.to_string(), Some(plan.name));
            Ok(SourceChanged { source, plan, position: outcome.position, effect: outcome.effect })
        }
    }
}
