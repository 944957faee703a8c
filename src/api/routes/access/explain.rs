//! `POST /api/v1/explain`: may this user do this here, and why, or why not and what would change it.

use axum::response::Response;
use chrono::{DateTime, Utc};
use rollcall_access::{ActionSet, Basis, Explanation, PastQuestion, Place, Principal, Roster, explain, had_tie};
use rollcall_events::SchemaError;
use rollcall_store::ops::{DecisionOutcome, DecisionRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::{self, Asker, forbidden},
    command::random_id,
    http::guard::{Locked, Reads},
    http::input::Input,
    http::problem::{Answer, Kind, ProblemShape},
    http::query::Fresh,
    http::reply::RestsOn,
    past::{self, AsOf},
    question::{Asked, Scope, needs},
    reasons::ExplanationShape,
    routes::access::projects,
    routes::access::users,
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
    /// The folder, by id; neither this nor a project: the root.
    #[serde(default)]
    folder: Option<String>,
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
    /// The folder's id, of a question about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The rest of the image's name.
    pub repository: Option<String>,
    /// What an answer about the past rests on; `null` for now.
    pub basis: Option<BasisWord>,
    /// Yes or no, and why.
    #[serde(flatten)]
    #[schema(value_type = ExplanationShape)]
    pub explanation: Explanation,
}

impl Question {
    /// Where it is asked.
    fn scope(&self) -> Answer<Scope<'_>> {
        match (self.project.as_deref(), self.folder.as_deref()) {
            (Some(project), None) => Ok(Scope::Project(project, self.repository.as_deref())),
            (None, Some(folder)) => Ok(Scope::Folder(folder)),
            (None, None) => Ok(Scope::Root),
            (Some(_), Some(_)) => {
                let error = SchemaError::at("/folder", "a project or a folder, not both");
                Err(Kind::InvalidBody.because("A question is about one scope.").with_error(error))
            }
        }
    }
}

impl Explained {
    /// The question again, in names of the roster that answers it, and the answer.
    pub fn of(roster: &Roster, asked: &Asked<'_>, (who, place): (Principal, Place), explanation: Explanation) -> Self {
        let (folder, repository) = match asked.scope {
            Scope::Root => (None, None),
            Scope::Folder(id) => (Some(id.to_owned()), None),
            Scope::Project(_, repository) => (None, repository.map(str::to_owned)),
        };
        Self {
            decision: None,
            user: (who != Principal::Anyone).then(|| roster.caller_names(who).1),
            action: asked.action.to_owned(),
            project: match place {
                Place::Project(project) => Some(roster.project_name(project).to_owned()),
                Place::Root | Place::Folder(_) => None,
            },
            folder,
            repository,
            basis: None,
            explanation,
        }
    }
}

/// Answers an access question with its grounds. Changes nothing. Everybody may ask about the own user.
#[utoipa::path(
    post, path = "/api/v1/explain", tag = "explain", operation_id = "explain", params(Fresh), request_body = Question,
    responses((status = 200, body = Explained), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn ask(reads: Reads, Input(question): Input<Question>) -> Answer<Response> {
    let now = reads.now();
    if let Some(as_of) = &question.as_of {
        let as_of = as_of.parse().map_err(|()| {
            let error = SchemaError::at("/as_of", AsOf::FORM);
            Kind::InvalidBody.because(format!("`{}` is no moment.", as_of.escape_debug())).with_error(error)
        })?;
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
        let needed = actions(&roster, &question.action)?;
        let asked = Asked { scope: question.scope()?, action: &question.action };
        let found = may_ask(&roster, &reads.ask(&roster), question.user.as_deref(), &asked.scope, now)?;
        let explanation = explain(&roster, found.0, needed, found.1, now);
        let decision = keep(&reads, &roster, found.0, &asked, explanation.allowed, now)?;
        Explained { decision: Some(decision), ..Explained::of(&roster, &asked, found, explanation) }
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
    let (word, user) = (question.basis.unwrap_or(BasisWord::Recorded), question.user.as_deref());
    let asked = Asked { scope: question.scope()?, action: &question.action };
    let (user_now, project_now) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        // Whoever may ask about everybody may also use names that are nobody's any more.
        if !asker.everywhere("access.explain") {
            may_ask(&roster, &asker, user, &asked.scope, reads.now())?;
        }
        let project = match asked.scope {
            Scope::Project(name, _) => past::project_id(&roster, name),
            Scope::Root | Scope::Folder(_) => None,
        };
        (user.and_then(|user| past::user_id(&roster, user)), project)
    };
    let basis = match word {
        BasisWord::Recorded => Basis::Recorded,
        BasisWord::Effective => Basis::Effective,
    };
    let past = reads.past(as_of, basis, PastQuestion::Access { user, scope: asked.scope.name() }).await?;
    let roster = &past.roster;
    let actions = actions(roster, &question.action)?;
    let principal = user.map_or(Ok(Principal::Anyone), |user| past.caller(user, user_now.as_deref()))?;
    let found = (principal, past.place(&asked.scope, project_now.as_deref())?);
    let explanation = explain(roster, found.0, actions, found.1, past.at);
    let explained = Explained { basis: Some(word), ..Explained::of(roster, &asked, found, explanation) };
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
        Scope::Folder(_) => caller::no_such_folder(),
        Scope::Root | Scope::Project(..) => projects::no_such_project(),
    };
    if let (true, Some(who)) = (everywhere, who) {
        return found.map(|place| (who, place)).ok_or_else(unknown);
    }
    let own = who.filter(|who| *who != Principal::Anyone && asker.is(*who));
    let tied = |who: Principal, place: Place| match place {
        Place::Project(project) => had_tie(roster, who, project, now),
        Place::Root | Place::Folder(_) => false,
    };
    let sees = |place: Place| match place {
        Place::Root => true,
        Place::Folder(folder) => asker.sees_folder(folder),
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
