//! May this user do this here, and why, or why not and what would change it: now, or as of a moment.

use chrono::{DateTime, Utc};
use rollcall_access::{ActionSet, Basis, Explanation, Place, Principal, Roster, explain, had_tie};
use rollcall_events::{Position, SchemaError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, Reads,
    access::{
        secrets::whole_id,
        users::{looks_like, name_asked_by},
    },
    caller::{CallerView, forbidden},
    error::{ErrorKind, Result},
    find,
    openapi_schemas::ExplanationShape,
    past::{About, AsOf},
    question::{Question, Scope, needed_actions},
};

/// The action of the API's profile that asking about others demands.
const ACTION: &str = "access.explain";

/// An access question.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessQuestion {
    /// The user's name or id, or `service:` and a service's id; `null` or absent for somebody who did not sign in.
    #[serde(default)]
    pub user: Option<String>,
    /// `pull`, `push`, `delete`, or an action or operation of the access profile.
    pub action: String,
    /// The project; `null` or absent for what is above projects.
    #[serde(default)]
    pub project: Option<String>,
    /// The folder, by id; neither this nor a project: the root.
    #[serde(default)]
    pub folder: Option<String>,
    /// The rest of the image's name; it does not change the answer.
    #[serde(default)]
    pub repository: Option<String>,
    /// The id of a secret of the user, about now: the answer to somebody who signs in with it, which may reach less.
    #[serde(default)]
    pub secret: Option<String>,
    /// As of a position (`12`, or `logid:12`), an instant, a day (its end, UTC; `yesterday`), or how long ago (`2h`). Now when
    /// absent.
    #[serde(default)]
    pub as_of: Option<String>,
    /// `recorded`, the default: what Rollcall would have answered then. `effective`: what is now known to have been so.
    #[serde(default)]
    pub basis: Option<BasisName>,
}

/// What an answer about the past rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BasisName {
    /// What was recorded by then.
    Recorded,
    /// What is known now and was so by then, by the sources' own times.
    Effective,
}

/// The answer: the question again, and an explanation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// The decision's id, of a question that is asked now; a no can be looked up by it under `/api/v1/decisions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The user's name, or `service:` and a service's id; `null` for somebody who did not sign in.
    pub user: Option<String>,
    /// Names of other users that look like this one; for callers who may list users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks_like: Vec<String>,
    /// Other users whose sources ask for this one's name; for callers who may list users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_asked_by: Vec<String>,
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
    pub basis: Option<BasisName>,
    /// Where the clock was mended, of a moment at which it had said something later: windows are judged at the latest instant
    /// that it can have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub clock_mended: Option<Position>,
    /// Yes or no, and why.
    #[serde(flatten)]
    #[schema(value_type = ExplanationShape)]
    pub explanation: Explanation,
}

impl AccessQuestion {
    /// The scope it is asked about.
    fn scope(&self) -> Result<Scope<'_>> {
        match (self.project.as_deref(), self.folder.as_deref()) {
            (Some(project), None) => Ok(Scope::Project(project, self.repository.as_deref())),
            (None, Some(folder)) => Ok(Scope::Folder(folder)),
            (None, None) => Ok(Scope::Root),
            (Some(_), Some(_)) => {
                let error = SchemaError::at("/folder", "a project or a folder, not both");
                Err(ErrorKind::InvalidBody.because("A question is about one scope.").with_field(error))
            }
        }
    }
}

impl Explained {
    /// The question again, in names of the roster that answers it, and the answer.
    pub(crate) fn of(
        roster: &Roster,
        question: &Question<'_>,
        (who, place): (Principal, Place),
        explanation: Explanation,
    ) -> Self {
        let (folder, repository) = match question.scope {
            Scope::Root => (None, None),
            Scope::Folder(id) => (Some(id.to_owned()), None),
            Scope::Project(_, repository) => (None, repository.map(str::to_owned)),
        };
        Self {
            decision: None,
            user: (who != Principal::Anyone).then(|| roster.caller_names(who).1),
            looks_like: Vec::new(),
            name_asked_by: Vec::new(),
            action: question.action.to_owned(),
            project: match place {
                Place::Project(project) => Some(roster.project_name(project).to_owned()),
                Place::Root | Place::Folder(_) => None,
            },
            folder,
            repository,
            basis: None,
            clock_mended: None,
            explanation,
        }
    }
}

/// Answers an access question with its grounds. Changes nothing. Everybody may ask about the own user.
///
/// # Errors
/// The question cannot be read, is about what the caller does not see, or is of a moment that there is not.
pub async fn answer(reads: &Reads, question: AccessQuestion) -> Result<Answer<Explained>> {
    let now = reads.now();
    if let Some(as_of) = &question.as_of {
        let as_of = AsOf::read(as_of, now).map_err(|form| {
            let error = SchemaError::at("/as_of", form);
            ErrorKind::InvalidBody.because(format!("`{}` is not a moment.", as_of.escape_debug())).with_field(error)
        })?;
        if question.secret.is_some() {
            let error = SchemaError::at("/secret", "nothing, where `as_of` stands");
            return Err(ErrorKind::InvalidBody.because("With a secret a question is about now.").with_field(error));
        }
        return answer_as_of(reads, as_of, question).await;
    }
    if question.basis.is_some() {
        let expected = "`as_of` beside it; about now there is one basis";
        return Err(ErrorKind::InvalidBody
            .because("`basis` needs `as_of`.")
            .with_field(SchemaError::at("/basis", expected)));
    }
    reads.answer_batch(move |reads, roster, _| answer_now(reads, roster, &question)).await
}

/// The same about now.
fn answer_now(reads: &Reads, roster: &Roster, question: &AccessQuestion) -> Result<Answer<Explained>> {
    let now = reads.now();
    let needed = required_actions(roster, &question.action)?;
    let asked = Question { scope: question.scope()?, action: &question.action };
    let found = may_ask(roster, &reads.view(roster), question.user.as_deref(), &asked.scope, now)?;
    let who = match &question.secret {
        None => found.0,
        Some(secret) => {
            let view = reads.view(roster);
            let secrets = match found.0 {
                Principal::User(user) | Principal::Limited(user, _) => view.secrets(user),
                Principal::Anyone | Principal::Service(_) => Vec::new(),
            };
            let secret = whole_id(&secrets, secret)?;
            let seen = view.sees_secret(found.0, &secret);
            let caller =
                seen.then(|| roster.caller_with_secret(&roster.caller_names(found.0).0, &secret, now)).flatten();
            caller.ok_or_else(|| {
                let error = SchemaError::at("/secret", "the id of a secret of this user that is in force");
                ErrorKind::InvalidBody.because("This user has no such secret in force.").with_field(error)
            })?
        }
    };
    let explanation = explain(roster, who, needed, found.1, now);
    let decision = reads.record_decision(roster, found.0, &asked, explanation.allowed)?;
    let (looks_like, name_asked_by) = match found.0 {
        Principal::User(user) | Principal::Limited(user, _) => {
            let view = reads.view(roster);
            (looks_like(roster, user, &view), name_asked_by(roster, user, &view))
        }
        Principal::Anyone | Principal::Service(_) => (Vec::new(), Vec::new()),
    };
    let of = Explained::of(roster, &asked, found, explanation);
    let explained = Explained { decision: Some(decision), looks_like, name_asked_by, ..of };
    Ok(Answer::of_more(explained.explanation.position, explained))
}

/// The same as of a moment. Whether the caller may ask is judged now.
async fn answer_as_of(reads: &Reads, as_of: AsOf, question: AccessQuestion) -> Result<Answer<Explained>> {
    let (word, user) = (question.basis.unwrap_or(BasisName::Recorded), question.user.as_deref());
    let asked = Question { scope: question.scope()?, action: &question.action };
    let (user, user_now, project_now) = {
        // Whether somebody has or had to do with something is not told by a few rows.
        let roster = reads.live().view();
        let view = reads.view(&roster);
        // Whoever may ask about everybody may also use names that are nobody's any more.
        view.may_ask_of_the_past()?;
        let everywhere = view.may_everywhere(ACTION);
        if !everywhere {
            may_ask(&roster, &view, user, &asked.scope, reads.now())?;
        }
        let project = match asked.scope {
            Scope::Project(name, _) => find::project_id(&roster, name),
            Scope::Root | Scope::Folder(_) => None,
        };
        let now = user.and_then(|user| find::user_id(&roster, user));
        // Others ask about somebody of now: who had the name then is another question.
        let user = now.as_deref().filter(|_| !everywhere).or(user).map(str::to_owned);
        (user, now, project)
    };
    let basis = match word {
        BasisName::Recorded => Basis::Recorded,
        BasisName::Effective => Basis::Effective,
    };
    let turn = reads.past_turn().await?;
    let about = About::Access { user: user.clone(), scope: (&asked.scope).into() };
    let past = reads.past_roster(&turn, as_of, basis, &about).await?;
    let question = question.clone();
    let explained = turn.run(move |_| {
        let roster = &past.roster;
        let asked = Question { scope: question.scope()?, action: &question.action };
        let actions = required_actions(roster, &question.action)?;
        let principal = user.map_or(Ok(Principal::Anyone), |user| past.principal(&user, user_now.as_deref()))?;
        let found = (principal, past.place(&asked.scope, project_now.as_deref())?);
        let explanation = explain(roster, found.0, actions, found.1, past.at);
        Ok(Explained {
            basis: Some(word),
            clock_mended: past.moment.mended,
            ..Explained::of(roster, &asked, found, explanation)
        })
    });
    let explained = explained.await?;
    Ok(Answer::of_more(explained.explanation.position, explained))
}

/// What a question is about, if the caller may ask it: about everybody where a role gives `access.explain`, about itself
/// wherever it has or had a tie, about somebody who did not sign in wherever the caller sees the scope.
fn may_ask(
    roster: &Roster,
    view: &CallerView<'_>,
    name: Option<&str>,
    scope: &Scope<'_>,
    now: DateTime<Utc>,
) -> Result<(Principal, Place)> {
    let everywhere = view.may_everywhere(ACTION);
    let who = match name {
        None => Some(Principal::Anyone),
        Some(name) => match find::principal(roster, name) {
            Ok(caller) => Some(caller),
            Err(unknown) if everywhere => return Err(unknown),
            Err(_) => None,
        },
    };
    let found = scope.find(roster);
    let unknown = || match scope {
        Scope::Folder(_) => find::no_such_folder(),
        Scope::Root | Scope::Project(..) => find::no_such_project(),
    };
    if let (true, Some(who)) = (everywhere, who) {
        return found.map(|place| (who, place)).ok_or_else(unknown);
    }
    let own = who.filter(|who| *who != Principal::Anyone && view.is(*who));
    let tied = |who: Principal, place: Place| match place {
        Place::Project(project) => had_tie(roster, who, project, now),
        Place::Root | Place::Folder(_) => false,
    };
    let sees = |place: Place| match place {
        Place::Root => true,
        Place::Folder(folder) => view.sees_folder(folder),
        Place::Project(project) => view.sees(project),
    };
    let place = found.filter(|place| sees(*place) || own.is_some_and(|own| tied(own, *place))).ok_or_else(unknown)?;
    match who {
        Some(Principal::Anyone) => Ok((Principal::Anyone, place)),
        Some(who) if own.is_some() => Ok((view.within_reach(who), place)),
        _ if !view.may(ACTION, place) => Err(forbidden(ACTION)),
        // Who has nothing to do with the scope is not the business of those who run it.
        who => who.filter(|who| view.knows(*who, place)).map(|who| (who, place)).ok_or_else(find::no_such_user),
    }
}

/// What an action's name needs, as [`needed_actions`] has it.
pub(crate) fn required_actions(roster: &Roster, action: &str) -> Result<ActionSet> {
    needed_actions(roster, action).ok_or_else(|| {
        let profile = roster.profile();
        let known: Vec<&str> = profile.actions().map(|(name, _)| name).collect();
        let expected = format!("pull, push, delete, or one of {}", known.join(", "));
        ErrorKind::UnknownAction
            .because(format!("Profile {} has no action `{}`; take {expected}.", profile.name(), action.escape_debug()))
            .with_field(SchemaError::at("/action", expected))
    })
}
