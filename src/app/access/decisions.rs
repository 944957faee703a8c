//! Decisions: what was refused or reduced, found by its id; why is worked out again when asked.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rollcall_access::{Principal, explain};
use rollcall_events::{
    Position,
    names::{CallerReference, ProjectReference, canonical_name},
    time,
};
use rollcall_store::ops::{DecisionFilter, DecisionOutcome, DecisionRow, OpsError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Page, PageRequest, Reads,
    access::explain::Explained,
    error::{Error, ErrorKind, Result},
    filters, find, prefix,
    question::{Question, needed_actions},
};

/// How many questions of a decision are explained.
const MAX_EXPLAINED: usize = 20;

/// Which decisions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionsQuery {
    /// Only about this user, by the name of then or by id.
    pub user: Option<String>,
    /// Only about this project.
    pub project: Option<String>,
    /// Only about this image, e.g. `acme/db`.
    pub image: Option<String>,
    /// Only of this outcome: `denied`, or `reduced`.
    pub outcome: Option<OutcomeName>,
    /// From when.
    #[serde(default, deserialize_with = "time::nullable")]
    pub from: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    #[serde(default, deserialize_with = "time::nullable")]
    pub until: Option<DateTime<Utc>>,
}

/// What came out, of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeName {
    /// Nothing of what was asked.
    Denied,
    /// Less than what was asked.
    Reduced,
}

/// One answer of the token server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// `dec_..`, as in the text of a refusal and as the token's `jti`.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// `denied` or `reduced`; what was granted in full is only counted.
    #[schema(value_type = String)]
    pub outcome: Cow<'static, str>,
    /// The user's name then; `null` for somebody who did not sign in.
    pub user: Option<String>,
    /// The user's id.
    pub user_id: Option<String>,
    /// How many requests it stands for: those of somebody who did not sign in are counted together, by network and hour,
    /// and what was asked is then that of the newest.
    #[serde(default = "once")]
    pub count: u64,
    /// The client's address, or its network.
    pub client: String,
    /// The kind of client.
    pub family: String,
    /// What was asked, as scopes.
    pub asked: String,
    /// What was granted, as scopes.
    pub granted: String,
    /// The text that was sent with a refusal.
    pub message: Option<String>,
    /// Of which position.
    #[schema(value_type = u64)]
    pub position: Position,
}

fn once() -> u64 {
    1
}

/// A decision, and the same questions asked again now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DecisionInFull {
    /// As it was.
    #[serde(flatten)]
    pub decision: Decision,
    /// What the answer to each asked action is now, and why. Empty where what it was about is no more.
    pub now: Vec<Explained>,
}

impl From<DecisionRow> for Decision {
    fn from(row: DecisionRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            outcome: match row.outcome {
                DecisionOutcome::Granted => "granted".into(),
                DecisionOutcome::Reduced => "reduced".into(),
                DecisionOutcome::Denied => "denied".into(),
            },
            user: row.user_name,
            user_id: row.user_id,
            count: row.count,
            client: row.client,
            family: row.family,
            asked: row.asked,
            granted: row.granted,
            message: row.message,
            position: row.position,
        }
    }
}

/// Decisions that were not granted in full, newest first.
///
/// # Errors
/// The query names a user or a project of whom nothing is kept and who is not there, or they cannot be read now.
pub async fn list(reads: &Reads, query: &DecisionsQuery, page: &PageRequest) -> Result<Answer<Page<Decision>>> {
    let DecisionsQuery { user, project, image, outcome, from, until } = query;
    if from.zip(*until).is_some_and(|(from, until)| until <= from) {
        return Err(ErrorKind::InvalidQuery.because("`until` is not after `from`: nothing is between them."));
    }
    let filter = DecisionFilter {
        user: user.as_deref().map(|user| match CallerReference::of(user) {
            CallerReference::Name(name) => canonical_name(name),
            CallerReference::Id(id) => id.to_owned(),
            CallerReference::Service(_) => user.to_owned(),
        }),
        project: project.as_deref().map(|project| {
            let roster = reads.live().read();
            find::project(&roster, project)
                .map_or(project, |found| match ProjectReference::of(project) {
                    ProjectReference::Id(_) => roster.project_name(found),
                    ProjectReference::Name(name) => name,
                })
                .to_owned()
        }),
        image: image.clone(),
        outcome: outcome.map(|outcome| match outcome {
            OutcomeName::Denied => DecisionOutcome::Denied,
            OutcomeName::Reduced => DecisionOutcome::Reduced,
        }),
        from: *from,
        until: *until,
    };
    let _turn = reads.list_turn().await?;
    let position = reads.applied();
    let rows = reads.ops().decisions(&filter, page.after(), page.rows()).await.map_err(unreadable)?;
    if rows.is_empty() {
        // Names of then find what is kept; what finds nothing has to be somebody's.
        let in_image = image.as_deref().map(|image| image.split('/').next().unwrap_or(image));
        filters::known_project(reads, project.as_deref().or(in_image))?;
        let roster = reads.live().read();
        user.as_deref().map_or(Ok(()), |user| find::principal(&roster, user).map(|_| ()))?;
    }
    let rows = rows.into_iter().map(Decision::from).collect();
    Ok(Answer::of_more(position, page.page(rows, |row: &Decision| row.id.clone())))
}

/// The decision that is meant by the beginning of its id.
async fn by_beginning(reads: &Reads, text: &str) -> Result<DecisionRow> {
    let unknown = || {
        ErrorKind::UnknownDecision
            .because("No such decision is kept: granted ones are only counted, others are kept for 30 days, of each caller the first 256 of an hour.")
    };
    let begins = prefix::of_kind("dec", text).ok_or_else(unknown)?;
    let filter = DecisionFilter::default();
    let rows = reads.ops().decisions(&filter, Some(&format!("{begins}~")), prefix::TOLD).await.map_err(unreadable)?;
    let found = rows.into_iter().map(|row| (row.id.clone(), row)).filter(|(id, _)| id.starts_with(&begins));
    prefix::the_one(&begins, found, unknown)
}

/// One decision, with what the answer would be now and why.
///
/// # Errors
/// There is none of this id, or it cannot be read now.
pub async fn show(reads: &Reads, id: &str) -> Result<Answer<DecisionInFull>> {
    let row = match reads.ops().decision(id).await.map_err(unreadable)? {
        Some(row) => row,
        None => by_beginning(reads, id).await?,
    };
    let now = reads.now();
    let (position, explained) = {
        let roster = reads.live().read();
        // Somebody who is gone since is not nobody: the question cannot be asked again.
        let principal = row.user_id.as_deref().map_or(Some(Principal::Anyone), |id| roster.caller_by_id(id));
        let explained = Question::of_scopes(&row.asked).take(MAX_EXPLAINED).filter_map(|question| {
            let found = (principal?, question.scope.find(&roster)?);
            let explanation = explain(&roster, found.0, needed_actions(&roster, question.action)?, found.1, now);
            Some(Explained::of(&roster, &question, found, explanation))
        });
        (roster.position(), explained.collect())
    };
    Ok(Answer::of_more(position, DecisionInFull { decision: row.into(), now: explained }))
}

fn unreadable(error: OpsError) -> Error {
    Error::unavailable("Decisions cannot be read", &error)
}
