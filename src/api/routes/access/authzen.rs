//! The OpenID AuthZEN Authorization API 1.0: `POST /access/v1/evaluation`, its batch, and where they are. The same decision
//! as everywhere, in the words of that standard. https://openid.net/specs/authorization-api-1_0.html

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use rollcall_access::Roster;
use rollcall_app::{
    Answer, CacheBasis, Reads, Scope,
    access::evaluate::{Evaluation as Evaluated, Subject, evaluate},
};
use rollcall_events::SchemaError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, Read},
    problem::{Kind, Problem, ProblemDocument, Result},
};

/// How many questions one batch may have.
const MAX_QUESTIONS: usize = 1_000;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(evaluation)).routes(routes!(evaluations)).routes(routes!(configuration))
}

/// A thing of a kind: `{"type": "user", "id": "ada"}`. What else it carries is ignored, as the standard has it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AuthzenEntity)]
struct Entity {
    /// Of a subject `user`, `service` or `anonymous`; of a resource `repository`, `project`, `folder` or `root`.
    r#type: String,
    /// A user's name or id, a service's id; an image's name (`acme/db`), a project's name, a folder's id.
    id: String,
}

/// What is to be done: `{"name": "pull"}`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[schema(as = AuthzenAction)]
struct Action {
    /// `pull`, `push`, `delete`, or an action or operation of the access profile.
    name: String,
}

/// A question, or the part of one that the others of a batch share.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[schema(as = AuthzenEvaluation)]
struct Evaluation {
    /// Who.
    #[serde(default)]
    subject: Option<Entity>,
    /// What.
    #[serde(default)]
    action: Option<Action>,
    /// Where.
    #[serde(default)]
    resource: Option<Entity>,
    /// Taken and not looked at: no decision rests on it.
    #[serde(default)]
    #[schema(value_type = Object)]
    #[expect(dead_code, reason = "read so that it has to be an object")]
    context: Option<Map<String, Value>>,
}

/// Many questions.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenEvaluations)]
struct Evaluations {
    /// What every question says that does not say it itself.
    #[serde(flatten)]
    all: Evaluation,
    /// The questions; none is the one question of the members beside it.
    #[serde(default)]
    evaluations: Vec<Evaluation>,
    /// How far to go.
    #[serde(default)]
    options: Options,
}

/// How far a batch goes.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AuthzenOptions)]
struct Options {
    /// All of them, or up to the first no, or up to the first yes.
    #[serde(default)]
    evaluations_semantic: Semantic,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuthzenSemantic)]
enum Semantic {
    #[default]
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuthzenDecision)]
struct Decision {
    /// Yes or no.
    decision: bool,
    /// Why.
    context: Context,
}

/// Why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuthzenContext)]
struct Context {
    /// The decision's id; a no can be looked up by it under `/api/v1/decisions` for 30 days.
    id: String,
    /// As of which position.
    position: u64,
    /// When a yes ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<chrono::DateTime<chrono::Utc>>,
    /// The reasons of a yes by name; of a no what would make it a yes.
    reason_admin: Vec<String>,
}

/// The answers of a batch, in the order of its questions; fewer where it did not have to go on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuthzenDecisions)]
struct Decisions {
    evaluations: Vec<Decision>,
}

/// What a batch comes to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuthzenAnswer)]
#[serde(untagged)]
enum Answered {
    /// Of no list of questions, the one answer.
    One(Decision),
    /// Of a list, a list.
    Many(Decisions),
}

/// One question whose parts were found in the body.
struct QuestionParts<'a> {
    subject: &'a Entity,
    action: &'a str,
    resource: &'a Entity,
}

impl Evaluation {
    /// The question, with what it does not say taken from `all`.
    fn parts<'a>(&'a self, all: &'a Self, at: &str) -> Result<QuestionParts<'a>> {
        let lacks = |member: &str| {
            let error = SchemaError::at(format!("{at}/{member}"), format!("`{member}`, which is missing"));
            Kind::MalformedEvaluation
                .because(format!("A question has a subject, an action and a resource; at {at}/{member} there is none."))
                .with_field(error)
        };
        Ok(QuestionParts {
            subject: self.subject.as_ref().or(all.subject.as_ref()).ok_or_else(|| lacks("subject"))?,
            action: self
                .action
                .as_ref()
                .or(all.action.as_ref())
                .map(|a| a.name.as_str())
                .ok_or_else(|| lacks("action"))?,
            resource: self.resource.as_ref().or(all.resource.as_ref()).ok_or_else(|| lacks("resource"))?,
        })
    }
}

impl QuestionParts<'_> {
    fn scope(&self, at: &str) -> Result<Scope<'_>> {
        let id = self.resource.id.as_str();
        Ok(match self.resource.r#type.as_str() {
            "root" => Scope::Root,
            "folder" => Scope::Folder(id),
            "project" => Scope::Project(id, None),
            "repository" => match id.split_once('/') {
                Some((project, rest)) => Scope::Project(project, Some(rest)),
                None => Scope::Project(id, None),
            },
            _ => return Err(unknown_type(at, "resource", "repository, project, folder or root")),
        })
    }

    fn subject(&self, at: &str) -> Result<Subject<'_>> {
        match self.subject.r#type.as_str() {
            "anonymous" => Ok(Subject::Anonymous),
            "user" => Ok(Subject::User(&self.subject.id)),
            "service" => Ok(Subject::Service(&self.subject.id)),
            _ => Err(unknown_type(at, "subject", "user, service or anonymous")),
        }
    }

    fn decide(&self, reads: &Reads, roster: &Roster, at: &str) -> Result<Decision> {
        let (scope, subject) = (self.scope(at)?, self.subject(at)?);
        let Evaluated { id, allowed, position, until, reasons } = evaluate(reads, roster, subject, self.action, scope)?;
        Ok(Decision { decision: allowed, context: Context { id, position: position.0, until, reason_admin: reasons } })
    }
}

fn unknown_type(at: &str, what: &str, known: &str) -> Problem {
    let error = SchemaError::at(format!("{at}/{what}/type"), known.to_owned());
    Kind::MalformedEvaluation.because(format!("A {what} is of type {known}.")).with_field(error)
}

fn decide_one(read: &Read, question: &Evaluation) -> Result<Decision> {
    read.reads.answer_one(|reads, roster| question.parts(&Evaluation::default(), "")?.decide(reads, roster, ""))
}

fn respond<T: Serialize>(read: &Read, value: T) -> Result<Response> {
    read.respond(&Answer { position: read.reads.applied(), cache_basis: CacheBasis::Volatile, value })
}

/// Answers one access question in the form of OpenID AuthZEN 1.0.
#[utoipa::path(
    post, path = "/access/v1/evaluation", tag = "authzen", operation_id = "evaluation", request_body = Evaluation,
    responses((status = 200, body = Decision), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn evaluation(read: Read, JsonBody(question): JsonBody<Evaluation>) -> Result<Response> {
    let decision = decide_one(&read, &question)?;
    respond(&read, decision)
}

/// Answers many access questions in the form of OpenID AuthZEN 1.0.
#[utoipa::path(
    post, path = "/access/v1/evaluations", tag = "authzen", operation_id = "evaluations", request_body = Evaluations,
    responses((status = 200, body = Answered), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn evaluations(read: Read, JsonBody(batch): JsonBody<Evaluations>) -> Result<Response> {
    let Evaluations { all, evaluations, options } = batch;
    if evaluations.is_empty() {
        let decision = decide_one(&read, &all)?;
        return respond(&read, Answered::One(decision));
    }
    if evaluations.len() > MAX_QUESTIONS {
        let error = SchemaError::at("/evaluations", format!("at most {MAX_QUESTIONS} questions"));
        return Err(Kind::MalformedEvaluation.because(format!("{error}.")).with_field(error));
    }
    let semantic = options.evaluations_semantic;
    let decided = read.reads.answer_batch(move |reads, roster, awaited| {
        let mut decided = Vec::with_capacity(evaluations.len());
        for (n, one) in evaluations.iter().enumerate() {
            awaited.check()?;
            let at = format!("/evaluations/{n}");
            let decision = match one.parts(&all, &at).and_then(|question| question.decide(reads, roster, &at)) {
                Ok(decision) => decision,
                Err(problem) => return Ok(Err(problem)),
            };
            let last = match semantic {
                Semantic::ExecuteAll => false,
                Semantic::DenyOnFirstDeny => !decision.decision,
                Semantic::PermitOnFirstPermit => decision.decision,
            };
            decided.push(decision);
            if last {
                break;
            }
        }
        Ok(Ok(decided))
    });
    let decided = decided.await??;
    respond(&read, Answered::Many(Decisions { evaluations: decided }))
}

/// Where the endpoints of OpenID AuthZEN are.
#[utoipa::path(
    get, path = "/.well-known/authzen-configuration", tag = "authzen", operation_id = "authzen_configuration",
    security(()), responses((status = 200, body = Object))
)]
async fn configuration(State(state): State<ApiState>) -> Response {
    let base = state.public_url();
    let document = serde_json::json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
        "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
    });
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}
