//! `POST /api/v1/explain`: may this user do this here, and why, or why not and what would change it.

use axum::response::Response;
use chrono::{DateTime, Utc};
use rollcall_access::{
    About, ActionSet, Basis, Explanation, Principal, ProjectIx, Roster, UserIx, Verb, explain, had_tie,
};
use rollcall_events::SchemaError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    asker::{Asker, forbidden},
    guard::{Locked, Reads},
    input::Input,
    past::{self, AsOf},
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
    /// As of a position (`12`, or `logid:12`), an instant or a day (its end, UTC). Now when absent.
    #[serde(default)]
    as_of: Option<String>,
    /// `recorded`, the default: what Rollcall would have answered then. `effective`: what is now known to have been so.
    #[serde(default)]
    basis: Option<BasisWord>,
}

/// What an answer about the past rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BasisWord {
    /// What was recorded by then.
    Recorded,
    /// What is known now and was so by then, by the sources' own times.
    Effective,
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
    /// What an answer about the past rests on; `null` for now.
    pub basis: Option<BasisWord>,
    /// Yes or no, and why.
    #[serde(flatten)]
    #[schema(value_type = ExplanationShape)]
    pub explanation: Explanation,
}

/// Answers an access question with its grounds. Changes nothing. Everybody may ask about the own user.
#[utoipa::path(
    post, path = "/api/v1/explain", tag = "explain", operation_id = "explain", params(Fresh), request_body = Question,
    responses((status = 200, body = Explained), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn ask(reads: Reads, Input(question): Input<Question>) -> Answer<Response> {
    let now = reads.now();
    if let Some(as_of) = past::as_of("as_of", question.as_of.as_deref())? {
        return ask_past(&reads, as_of, question).await;
    }
    if question.basis.is_some() {
        let expected = "`as_of` beside it; about now there is one basis";
        return Err(Kind::InvalidBody
            .because("`basis` needs `as_of`.")
            .with_error(SchemaError::at("/basis", expected)));
    }
    let explained = {
        let roster = reads.live().read();
        let Question { user, action, project, repository, .. } = question;
        let actions = actions(&roster, &action)?;
        let (user, project) = may_ask(&roster, &reads.ask(&roster), user.as_deref(), &project, now)?;
        let principal = user.map_or(Principal::Anyone, Principal::User);
        Explained {
            user: user.map(|user| roster.user_name(user).to_owned()),
            action,
            project: roster.project_name(project).to_owned(),
            repository,
            basis: None,
            explanation: explain(&roster, principal, actions, project, now),
        }
    };
    reads.answer(explained.explanation.position, RestsOn::MoreThanTheLog, &explained)
}

/// The same as of a moment. Whether the caller may ask is judged now.
async fn ask_past(reads: &Reads, as_of: AsOf, question: Question) -> Answer<Response> {
    let Question { user, action, project, repository, basis, .. } = question;
    let word = basis.unwrap_or(BasisWord::Recorded);
    let (user_now, project_now) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        // Whoever may ask about everybody may also use names that are nobody's any more.
        if !asker.everywhere("access.explain") {
            may_ask(&roster, &asker, user.as_deref(), &project, reads.now())?;
        }
        let user = user.as_deref().and_then(|user| past::user_id(&roster, user));
        (user, past::project_id(&roster, &project))
    };
    let (basis, about) = match word {
        BasisWord::Recorded => (Basis::Recorded, About::Access { user: user.as_deref(), project: &project }),
        BasisWord::Effective => (Basis::Effective, About::Access { user: user.as_deref(), project: &project }),
    };
    let past = reads.past(as_of, basis, about).await?;
    let roster = &past.roster;
    let actions = actions(roster, &action)?;
    let user = user.map(|user| past.user(&user, user_now.as_deref())).transpose()?;
    let found = past.project(&project, project_now.as_deref())?;
    let principal = user.map_or(Principal::Anyone, Principal::User);
    let explained = Explained {
        user: user.map(|user| roster.user_name(user).to_owned()),
        action,
        project: roster.project_name(found).to_owned(),
        repository,
        basis: Some(word),
        explanation: explain(roster, principal, actions, found, past.at),
    };
    reads.answer(explained.explanation.position, RestsOn::MoreThanTheLog, &explained)
}

/// What a question is about, if the caller may ask it: about everybody where a role gives `access.explain`, about itself
/// wherever it has or had a tie, about somebody who did not sign in wherever the caller sees the project.
fn may_ask(
    roster: &Roster,
    asker: &Asker<'_>,
    user: Option<&str>,
    project: &str,
    now: DateTime<Utc>,
) -> Answer<(Option<UserIx>, ProjectIx)> {
    const ACTION: &str = "access.explain";
    let everywhere = asker.everywhere(ACTION);
    let user = match user {
        None => None,
        Some(name) => match users::find(roster, name) {
            Ok(user) => Some(Some(user)),
            Err(unknown) if everywhere => return Err(unknown),
            Err(_) => Some(None),
        },
    };
    let own = matches!(user, Some(Some(user)) if asker.is(user));
    let found = projects::find(roster, project);
    if everywhere {
        return Ok((user.flatten(), found?));
    }
    let tied = |project: &ProjectIx| {
        let own = user.flatten().filter(|_| own);
        asker.sees(*project) || own.is_some_and(|user| had_tie(roster, user, *project, now))
    };
    let project = found.ok().filter(tied).ok_or_else(projects::no_such_project)?;
    match user {
        None => Ok((None, project)),
        Some(Some(user)) if own => Ok((Some(user), project)),
        _ if !asker.may(ACTION, project) => Err(forbidden(ACTION)),
        // Who has nothing to do with the project is not the business of those who run it.
        Some(user) => user
            .filter(|user| asker.everywhere("user.list") || had_tie(roster, *user, project, now))
            .map(|user| (Some(user), project))
            .ok_or_else(users::no_such_user),
    }
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
