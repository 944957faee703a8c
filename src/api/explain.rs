//! `POST /api/v1/explain`: may this user do this here, and why, or why not and what would change it.

use axum::response::Response;
use chrono::{DateTime, Utc};
use rollcall_access::{About, ActionSet, Basis, Explanation, Place, Principal, Roster, explain, had_tie};
use rollcall_events::SchemaError;
use rollcall_store::ops::{DecisionOutcome, DecisionRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    asked::{Asked, Scope, needs},
    asker::{self, Asker, forbidden},
    command::random_id,
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
    /// The user's name or id, or `service:` and a service's id; `null` or absent for somebody who did not sign in.
    #[serde(default)]
    user: Option<String>,
    /// `pull`, `push`, `delete`, or an action or operation of the access profile.
    action: String,
    /// The project; `null` or absent for what is above projects.
    #[serde(default)]
    project: Option<String>,
    /// The container, by id; neither this nor a project: the root.
    #[serde(default)]
    container: Option<String>,
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
    /// The decision's id, of a question that is asked now; a no can be looked up by it under `/api/v1/decisions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The user's name, or `service:` and a service's id; `null` for somebody who did not sign in.
    pub user: Option<String>,
    /// What was to be done.
    pub action: String,
    /// The project's present name; `null` for what is above projects.
    pub project: Option<String>,
    /// The container's id, of a question about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
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
        let Question { user, action, project, container, repository, .. } = question;
        let needed = actions(&roster, &action)?;
        let scope = match (project.as_deref(), container.as_deref()) {
            (Some(project), None) => Scope::Project(project, repository.as_deref()),
            (None, Some(container)) => Scope::Container(container),
            (None, None) => Scope::Root,
            (Some(_), Some(_)) => {
                let error = SchemaError::at("/container", "a project or a container, not both");
                return Err(Kind::InvalidBody.because("A question is about one scope.").with_error(error));
            }
        };
        let (principal, place) = may_ask(&roster, &reads.ask(&roster), user.as_deref(), &scope, now)?;
        let explanation = explain(&roster, principal, needed, place, now);
        let asked = Asked { scope, action: &action };
        let decision = keep(&reads, &roster, principal, &asked, explanation.allowed, now)?;
        let project = match place {
            Place::Project(project) => Some(roster.project_name(project).to_owned()),
            Place::Root | Place::Container(_) => None,
        };
        Explained {
            decision: Some(decision),
            user: (principal != Principal::Anyone).then(|| roster.caller_names(principal).1),
            project,
            container,
            repository,
            basis: None,
            explanation,
            action,
        }
    };
    reads.answer(explained.explanation.position, RestsOn::MoreThanTheLog, &explained)
}

/// Hands a decision over to be kept, and gives its id.
pub(crate) fn keep(
    reads: &Reads,
    roster: &Roster,
    principal: Principal,
    asked: &Asked<'_>,
    allowed: bool,
    now: DateTime<Utc>,
) -> Answer<String> {
    let id = random_id("dec", now)?;
    let (user_id, user_name) = match principal {
        Principal::Anyone => (None, None),
        known => {
            let (id, name) = roster.caller_names(known);
            (Some(id), Some(name))
        }
    };
    reads.keep(DecisionRow {
        id: id.clone(),
        at: now,
        outcome: if allowed { DecisionOutcome::Granted } else { DecisionOutcome::Denied },
        user_id,
        user_name,
        client: reads.author().as_str().to_owned(),
        family: "api".to_owned(),
        asked: asked.text(),
        granted: if allowed { asked.text() } else { String::new() },
        message: None,
        position: roster.position(),
        images: asked.images(),
    });
    Ok(id)
}

/// The same as of a moment. Whether the caller may ask is judged now.
async fn ask_past(reads: &Reads, as_of: AsOf, question: Question) -> Answer<Response> {
    let Question { user, action, project, repository, basis, .. } = question;
    let Some(project) = project else {
        let error = SchemaError::at("/project", "the name of a project");
        return Err(Kind::InvalidBody.because("A question about the past is about a project.").with_error(error));
    };
    let word = basis.unwrap_or(BasisWord::Recorded);
    let (user_now, project_now) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        // Whoever may ask about everybody may also use names that are nobody's any more.
        if !asker.everywhere("access.explain") {
            may_ask(&roster, &asker, user.as_deref(), &Scope::Project(&project, None), reads.now())?;
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
        decision: None,
        user: user.map(|user| roster.user_name(user).to_owned()),
        action,
        project: Some(roster.project_name(found).to_owned()),
        container: None,
        repository,
        basis: Some(word),
        explanation: explain(roster, principal, actions, found, past.at),
    };
    reads.answer(explained.explanation.position, RestsOn::MoreThanTheLog, &explained)
}

/// What a question is about, if the caller may ask it: about everybody where a role gives `access.explain`, about itself
/// wherever it has or had a tie, about somebody who did not sign in wherever the caller sees the scope.
fn may_ask(
    roster: &Roster,
    asker: &Asker<'_>,
    name: Option<&str>,
    scope: &Scope<'_>,
    now: DateTime<Utc>,
) -> Answer<(Principal, Place)> {
    const ACTION: &str = "access.explain";
    let everywhere = asker.everywhere(ACTION);
    let who = match name {
        None => Some(Principal::Anyone),
        Some(name) => match find_caller(roster, name) {
            Ok(caller) => Some(caller),
            Err(unknown) if everywhere => return Err(unknown),
            Err(_) => None,
        },
    };
    let found = scope.find(roster);
    let unknown = || match scope {
        Scope::Container(_) => asker::no_such_container(),
        Scope::Root | Scope::Project(..) => projects::no_such_project(),
    };
    if let (true, Some(who)) = (everywhere, who) {
        return found.map(|place| (who, place)).ok_or_else(unknown);
    }
    let own = who.filter(|who| *who != Principal::Anyone && asker.is(*who));
    let tied = |who: Principal, place: Place| match place {
        Place::Project(project) => had_tie(roster, who, project, now),
        Place::Root | Place::Container(_) => false,
    };
    let sees = |place: Place| match place {
        Place::Root => true,
        Place::Container(container) => asker.sees_container(container),
        Place::Project(project) => asker.sees(project),
    };
    let place = found.filter(|place| sees(*place) || own.is_some_and(|own| tied(own, *place))).ok_or_else(unknown)?;
    match who {
        Some(Principal::Anyone) => Ok((Principal::Anyone, place)),
        Some(who) if own.is_some() => Ok((who, place)),
        _ if !asker.may(ACTION, place) => Err(forbidden(ACTION)),
        // Who has nothing to do with the scope is not the business of those who run it.
        who => who
            .filter(|who| asker.everywhere("user.list") || tied(*who, place))
            .map(|who| (who, place))
            .ok_or_else(users::no_such_user),
    }
}

/// A user by name or id, or a service as `service:id`.
fn find_caller(roster: &Roster, name: &str) -> Answer<Principal> {
    match roster.caller_by_id(name) {
        Some(service @ Principal::Service(_)) => Ok(service),
        _ => users::find(roster, name).map(Principal::User),
    }
}

/// What an action's name needs, as [`needs`] has it.
pub(crate) fn actions(roster: &Roster, action: &str) -> Answer<ActionSet> {
    needs(roster, action).ok_or_else(|| {
        let profile = roster.profile();
        let known: Vec<&str> = profile.actions().map(|(name, _)| name).collect();
        let expected = format!("pull, push, delete, or one of {}", known.join(", "));
        Kind::UnknownAction
            .because(format!("Profile {} has no action `{}`; take {expected}.", profile.name(), action.escape_debug()))
            .with_error(SchemaError::at("/action", expected))
    })
}
