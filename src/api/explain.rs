//! `POST /api/v1/explain`: may this user do this here, and why, or why not and what would change it.

use axum::response::Response;
use rollcall_access::{ActionSet, Explanation, Principal, Roster, Verb, explain};
use rollcall_events::SchemaError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    guard::{Locked, Reads},
    input::Input,
    problem::{Answer, Kind, ProblemShape},
    projects,
    query::Fresh,
    reasons::ExplanationShape,
    reply::RestsOn,
    users,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(ask))
}

/// An access question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The user's name or id; `null` or absent for somebody who did not sign in.
    #[serde(default)]
    user: Option<String>,
    /// `pull`, `push`, `delete`, or an action or operation of the access profile.
    action: String,
    /// The project.
    project: String,
    /// The rest of the image's name; it does not change the answer.
    #[serde(default)]
    repository: Option<String>,
}

/// The answer: the question again, and an explanation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explained {
    /// The user's name; `null` for somebody who did not sign in.
    pub user: Option<String>,
    /// What was to be done.
    pub action: String,
    /// The project's present name.
    pub project: String,
    /// The rest of the image's name.
    pub repository: Option<String>,
    /// Yes or no, and why.
    #[serde(flatten)]
    #[schema(value_type = ExplanationShape)]
    pub explanation: Explanation,
}

/// Answers an access question with its grounds. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/explain", tag = "explain", operation_id = "explain", params(Fresh), request_body = Question,
    responses((status = 200, body = Explained), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn ask(reads: Reads, Input(question): Input<Question>) -> Answer<Response> {
    let now = reads.now();
    let explained = {
        let roster = reads.live().read();
        let Question { user, action, project, repository } = question;
        let actions = actions(&roster, &action)?;
        let user = user.map(|user| users::find(&roster, &user)).transpose()?;
        let project = projects::find(&roster, &project)?;
        let principal = user.map_or(Principal::Anyone, Principal::User);
        Explained {
            user: user.map(|user| roster.user_name(user).to_owned()),
            action,
            project: roster.project_name(project).to_owned(),
            repository,
            explanation: explain(&roster, principal, actions, project, now),
        }
    };
    reads.answer(explained.explanation.position, RestsOn::MoreThanTheLog, &explained)
}

/// What an action's name needs. A verb that the profile maps to nothing is never granted: the empty set.
pub(crate) fn actions(roster: &Roster, action: &str) -> Answer<ActionSet> {
    let profile = roster.profile();
    let verb = match action {
        "pull" => Some(Verb::Pull),
        "push" => Some(Verb::Push),
        "delete" => Some(Verb::Delete),
        _ => None,
    };
    let found = match verb {
        Some(verb) => Some(profile.registry_action(verb).unwrap_or(ActionSet::EMPTY)),
        None => profile.operation(action),
    };
    found.ok_or_else(|| {
        let known: Vec<&str> = profile.actions().map(|(name, _)| name).collect();
        let expected = format!("pull, push, delete, or one of {}", known.join(", "));
        Kind::UnknownAction
            .because(format!("Profile {} has no action `{}`; take {expected}.", profile.name(), action.escape_debug()))
            .with_error(SchemaError::at("/action", expected))
    })
}
