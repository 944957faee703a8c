//! The configuration that the server was started with, held against what the log says: what of it is not in effect, whom it
//! would change, and applying it. What changed nobody's access was recorded at the start.

use rollcall_access::{
    AccessRow, AccessRowKey, ConfigurationPlan, NamedScope, Roster, SettingDifference, configuration_differences,
    configuration_rows, plan_configuration,
};
use rollcall_events::{
    Body, Position,
    body::{self, ProjectKind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    Answer, Commands, List, Page, PageRequest, Reads,
    error::{ErrorKind, Result},
};

/// Id, name and kind of the project that everybody shares.
const GLOBAL: &str = "global";

/// What the log has otherwise than the configuration, and what applying it would change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationPlanShown {
    /// Names it, `cfg_..`: what is confirmed to apply it. The same difference has the same name.
    pub plan: String,
    /// Setting by setting; empty where everything that is configured is in effect.
    pub settings: Vec<SettingShown>,
    /// How many users and services would be able to do more or less.
    pub people: u64,
    /// How many rows there are, one for each of them on each scope.
    pub rows: u64,
    /// In how many of them something appears.
    pub gains: u64,
    /// In how many of them something disappears.
    pub losses: u64,
    /// Why it would be refused, if it would.
    pub refused: Option<String>,
}

/// A setting that the log has otherwise than the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SettingShown {
    /// The key of the configuration, e.g. `access.profile`, `access.switches.push_policy`.
    pub setting: String,
    /// What is in force: what the log says. `null` where it says nothing.
    pub in_force: Value,
    /// What is configured and not in force. `null` where nothing is.
    pub configured: Value,
}

impl From<SettingDifference> for SettingShown {
    fn from(SettingDifference { setting, in_force, configured }: SettingDifference) -> Self {
        Self { setting, in_force, configured }
    }
}

/// What somebody would have more and less on a scope.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccessRowShown {
    /// Where.
    #[schema(value_type = serde_json::Value)]
    pub scope: NamedScope,
    /// Whose: a user's name, `service:` and an id, `anyone`, or `authenticated` for everybody who is signed in.
    pub name: String,
    /// The id; empty for everybody.
    pub user: String,
    /// From when on, where it is not now.
    pub from: Option<chrono::DateTime<chrono::Utc>>,
    /// Roles that appear.
    pub roles_gained: Vec<String>,
    /// Roles that disappear.
    pub roles_lost: Vec<String>,
    /// Actions that appear; those of Rollcall's own API are written `api:x`.
    pub actions_gained: Vec<String>,
    /// Actions that disappear.
    pub actions_lost: Vec<String>,
}

impl From<AccessRow> for AccessRowShown {
    fn from(row: AccessRow) -> Self {
        let AccessRow { scope, name, user, from, roles_gained, roles_lost, actions_gained, actions_lost } = row;
        Self { scope, name, user, from, roles_gained, roles_lost, actions_gained, actions_lost }
    }
}

/// The plan that somebody looked at and means.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationConfirmation {
    /// The plan's name, `cfg_..`.
    pub confirm: String,
}

/// A configuration that is in effect now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationApplied {
    /// The plan that was applied; `null` where it was done before and is told from the log, which does not know it.
    pub plan: Option<String>,
    /// The log's position that holds all of it.
    #[schema(value_type = u64)]
    pub position: Position,
}

fn shown(plan: &ConfigurationPlan) -> ConfigurationPlanShown {
    ConfigurationPlanShown {
        plan: plan.name.clone(),
        settings: plan.settings.iter().cloned().map(SettingShown::from).collect(),
        people: plan.access.people,
        rows: plan.access.rows,
        gains: plan.access.gains,
        losses: plan.access.losses,
        refused: plan.effects.iter().find_map(|effect| effect.reason()).map(str::to_owned),
    }
}

/// What the log has otherwise than the configuration, setting by setting. Costs nothing.
#[must_use]
pub fn differences(reads: &Reads) -> Answer<List<SettingShown>> {
    let roster = reads.live().read();
    let differences = configuration_differences(&roster, reads.configuration());
    Answer::of_more(roster.position(), List { items: differences.into_iter().map(SettingShown::from).collect() })
}

/// What applying the configuration would record and change.
///
/// # Errors
/// Others ask such questions.
pub async fn plan(reads: &Reads) -> Result<Answer<ConfigurationPlanShown>> {
    let (now, author, configuration) = (reads.now(), reads.caller().author(), reads.configuration().clone());
    let (position, plan) = reads
        .copy_turn()
        .await?
        .run_with_copy(reads.live(), move |copy| {
            (copy.position(), plan_configuration(copy, &configuration, &author, now))
        })
        .await?;
    Ok(Answer::of_more(position, shown(&plan)))
}

/// Whom applying the configuration would change, by scope and name.
///
/// # Errors
/// As [`plan`].
pub async fn rows(reads: &Reads, page: &PageRequest) -> Result<Answer<Page<AccessRowShown>>> {
    let (now, configuration, limit) = (reads.now(), reads.configuration().clone(), page.limit + 1);
    let after: Option<AccessRowKey> = page.after().and_then(|after| serde_json::from_str(after).ok());
    let (position, rows) = reads
        .copy_turn()
        .await?
        .run_with_copy(reads.live(), move |copy| {
            (copy.position(), configuration_rows(copy, &configuration, now, after.as_ref(), limit))
        })
        .await?;
    let key = |row: &AccessRow| serde_json::to_string(&row.key()).unwrap_or_default();
    let Page { items, next } = page.page(rows, key);
    Ok(Answer::of_more(position, Page { items: items.into_iter().map(AccessRowShown::from).collect(), next }))
}

/// Makes the configuration so, if it would change exactly what was confirmed.
///
/// # Errors
/// It would change something else by now, there is nothing to apply, or a command would be refused.
pub async fn apply(mut commands: Commands, confirmation: ConfigurationConfirmation) -> Result<ConfigurationApplied> {
    // The turn first: while these commands are alone nobody should wait for somebody else's preview.
    let turn = commands.copy_turn().await?;
    commands.take_exclusive().await;
    let (now, author, configuration) = (commands.now(), commands.author(), commands.configuration().clone());
    let plan =
        turn.run_with_copy(commands.live(), move |copy| plan_configuration(copy, &configuration, &author, now)).await?;
    if plan.name != confirmation.confirm {
        let text = if plan.settings.is_empty() {
            "Everything that is configured is in effect already. Nothing was changed.".to_owned()
        } else {
            format!(
                "It would change something else than what was confirmed. Look at it again: it is {} now. Nothing was changed.",
                plan.name
            )
        };
        return Err(ErrorKind::Changed.because(text));
    }
    if let Some(why) = plan.effects.iter().find_map(|effect| effect.reason()) {
        return Err(ErrorKind::Refused.because(format!("{why}. Nothing was recorded.")));
    }
    let mut position = commands.live().read().position();
    for outcome in commands.append_all(&plan.events).await? {
        position = outcome.position;
    }
    let global = missing_global_project(&commands.live().read());
    if let Some(global) = global {
        // A name that somebody has is no reason against the configuration; it is shown as such.
        if let Ok(outcome) = commands.append(&global).await {
            position = outcome.position;
        }
    }
    Ok(ConfigurationApplied { plan: Some(plan.name), position })
}

/// The project that everybody shares, where the profile in force has one and nobody has made it yet.
#[must_use]
pub fn missing_global_project(roster: &Roster) -> Option<Body> {
    let kind = roster.profile().document().kinds.get(GLOBAL)?;
    let exists = roster.projects().any(|ix| roster.project(ix).kind == GLOBAL);
    let made = body::Project {
        project: GLOBAL.parse().ok()?,
        name: GLOBAL.to_owned(),
        kind: ProjectKind::Global,
        visibility: kind.default,
        folder: None,
        creator: None,
        author: None,
        made_with: None,
    };
    (!exists).then_some(Body::ProjectCreated(made))
}
