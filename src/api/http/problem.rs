//! Every refusal of the HTTP surface: one table of kinds, one shape, `application/problem+json` (RFC 9457).
//! Says what happened and what to do; never holds a secret, a body or the name of a project that was not asked for.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rollcall_app::{Error, ErrorKind};
use rollcall_events::{Position, SchemaError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every problem's `type` starts with.
pub const URN: &str = "urn:rollcall:problem:";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $slug:literal, $status:ident, $title:literal;)*) => {
        /// The kinds of problem. A caller can act on each without reading its text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// Every kind, in the order of the README's table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The last part of the `type` URI.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What it is, in a few words that are the same each time.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    /// The body is not JSON.
    MalformedJson = "malformed-json", BAD_REQUEST, "The body is not JSON";
    /// An access question lacks a part, or names a type that there is not.
    MalformedEvaluation = "malformed-evaluation", BAD_REQUEST, "The access question cannot be read";
    /// A query parameter or header is unknown, repeated or not of its form.
    InvalidQuery = "invalid-query", BAD_REQUEST, "The query cannot be read";
    /// The cursor was not made for this query.
    InvalidCursor = "invalid-cursor", BAD_REQUEST, "The cursor does not belong to this query";
    /// The log does not have that moment: it is in the future, or before anything was recorded.
    UnknownMoment = "unknown-moment", BAD_REQUEST, "There is no such moment in the log";
    /// No credential, or not a good one.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "The caller is not known";
    /// A webhook's signature, token or certificate is missing, wrong or stale.
    BadSignature = "bad-signature", UNAUTHORIZED, "The sender has not shown that it is the source";
    /// The caller sees it, and may not do this with it.
    Forbidden = "forbidden", FORBIDDEN, "The caller may not do this";
    /// There is no such route.
    UnknownRoute = "unknown-route", NOT_FOUND, "No such route";
    /// There is no such source.
    UnknownSource = "unknown-source", NOT_FOUND, "No such source";
    /// There is no such event.
    UnknownEvent = "unknown-event", NOT_FOUND, "No such event";
    /// There is no such delivery.
    UnknownDelivery = "unknown-delivery", NOT_FOUND, "No such delivery";
    /// There is no such project.
    UnknownProject = "unknown-project", NOT_FOUND, "No such project";
    /// There is no such person.
    UnknownPerson = "unknown-person", NOT_FOUND, "No such person";
    /// There is no such user.
    UnknownUser = "unknown-user", NOT_FOUND, "No such user";
    /// There is no such secret of this user.
    UnknownSecret = "unknown-secret", NOT_FOUND, "No such secret";
    /// There is no such binding.
    UnknownBinding = "unknown-binding", NOT_FOUND, "No such binding";
    /// The code is unknown, redeemed or too old; which of these is not said.
    UnknownInvitation = "unknown-invitation", NOT_FOUND, "The invitation cannot be redeemed";
    /// There is no such decision.
    UnknownDecision = "unknown-decision", NOT_FOUND, "No such decision";
    /// There is no such folder.
    UnknownFolder = "unknown-folder", NOT_FOUND, "No such folder";
    /// There is no such group.
    UnknownGroup = "unknown-group", NOT_FOUND, "No such group";
    /// There is no such service.
    UnknownService = "unknown-service", NOT_FOUND, "No such service";
    /// There is no such plan.
    UnknownPlan = "unknown-plan", NOT_FOUND, "No such plan";
    /// There is no such projection.
    UnknownProjection = "unknown-projection", NOT_FOUND, "No such projection";
    /// The source is retired, for ever.
    SourceRetired = "source-retired", GONE, "The source is retired";
    /// The route has no such method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The route has no such method";
    /// The body did not arrive in time.
    BodyTimeout = "body-timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// The position is one of another log.
    OtherLog = "other-log", CONFLICT, "The position belongs to another log";
    /// The fold refused the command.
    Refused = "refused", CONFLICT, "The command was refused";
    /// The project belongs to a source.
    ManagedProject = "managed-project", CONFLICT, "The project is managed by its source";
    /// The group belongs to a source.
    ManagedGroup = "managed-group", CONFLICT, "The group is managed by its source";
    /// A scope would be left without the role that somebody has to hold.
    LastHolder = "last-holder", CONFLICT, "Somebody has to stay in that role";
    /// The name or id belongs to something else.
    Taken = "taken", CONFLICT, "The name or id is in use";
    /// What it made is shown once, with an answer that was given before.
    ShownOnce = "shown-once", CONFLICT, "It was made already and is shown once";
    /// The plan was applied, discarded or superseded.
    PlanClosed = "plan-closed", CONFLICT, "The plan is not open any more";
    /// What was confirmed is not what the source says.
    PlanDiffers = "plan-differs", CONFLICT, "The removals are not those that were confirmed";
    /// The same request is running.
    RequestRunning = "request-running", CONFLICT, "The same request is still running";
    /// The projection or the like is busy.
    Busy = "busy", CONFLICT, "It is being done already";
    /// `If-Match` or `If-None-Match` does not hold.
    Changed = "changed", PRECONDITION_FAILED, "It is not as the caller expects";
    /// The body is larger than allowed.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not of the content type asked for.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body has another content type";
    /// The body is JSON of another shape.
    InvalidBody = "invalid-body", UNPROCESSABLE_ENTITY, "The body does not have the right shape";
    /// What is written could mean several things; the detail names them.
    Ambiguous = "ambiguous", UNPROCESSABLE_ENTITY, "It could mean several things";
    /// The profile has no such role.
    UnknownRole = "unknown-role", UNPROCESSABLE_ENTITY, "The access profile has no such role";
    /// The profile has no such action.
    UnknownAction = "unknown-action", UNPROCESSABLE_ENTITY, "The access profile has no such action";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// The answer depends on more than one question may.
    TooMuch = "too-much", UNPROCESSABLE_ENTITY, "The question is about too much";
    /// Too much at once.
    Overloaded = "overloaded", TOO_MANY_REQUESTS, "Too much at once";
    /// No more of a source is kept that cannot be read.
    QuarantineFull = "quarantine-full", INSUFFICIENT_STORAGE, "The quarantine of the source is full";
    /// The source did not give a whole answer.
    SourceFailed = "source-failed", BAD_GATEWAY, "The source could not be read";
    /// Something went wrong that the caller cannot mend.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong";
    /// The log is not what was recorded.
    Damaged = "damaged", INTERNAL_SERVER_ERROR, "The log is damaged";
    /// The asked position has not been reached in time.
    Behind = "behind", SERVICE_UNAVAILABLE, "The position has not been reached yet";
    /// It cannot be done now.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "It cannot be done now";
}

impl From<ErrorKind> for Kind {
    /// Every kind of error has one problem type and by it one status.
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidQuery => Self::InvalidQuery,
            ErrorKind::UnknownMoment => Self::UnknownMoment,
            ErrorKind::BadSignature => Self::BadSignature,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::UnknownSource => Self::UnknownSource,
            ErrorKind::SourceRetired => Self::SourceRetired,
            ErrorKind::UnknownEvent => Self::UnknownEvent,
            ErrorKind::UnknownDelivery => Self::UnknownDelivery,
            ErrorKind::UnknownProject => Self::UnknownProject,
            ErrorKind::UnknownPerson => Self::UnknownPerson,
            ErrorKind::UnknownUser => Self::UnknownUser,
            ErrorKind::UnknownSecret => Self::UnknownSecret,
            ErrorKind::UnknownBinding => Self::UnknownBinding,
            ErrorKind::UnknownInvitation => Self::UnknownInvitation,
            ErrorKind::UnknownDecision => Self::UnknownDecision,
            ErrorKind::UnknownFolder => Self::UnknownFolder,
            ErrorKind::UnknownGroup => Self::UnknownGroup,
            ErrorKind::UnknownService => Self::UnknownService,
            ErrorKind::UnknownPlan => Self::UnknownPlan,
            ErrorKind::UnknownProjection => Self::UnknownProjection,
            ErrorKind::Ambiguous => Self::Ambiguous,
            ErrorKind::OtherLog => Self::OtherLog,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::ManagedProject => Self::ManagedProject,
            ErrorKind::ManagedGroup => Self::ManagedGroup,
            ErrorKind::LastHolder => Self::LastHolder,
            ErrorKind::Taken => Self::Taken,
            ErrorKind::ShownOnce => Self::ShownOnce,
            ErrorKind::PlanClosed => Self::PlanClosed,
            ErrorKind::PlanDiffers => Self::PlanDiffers,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Changed => Self::Changed,
            ErrorKind::InvalidBody => Self::InvalidBody,
            ErrorKind::UnknownRole => Self::UnknownRole,
            ErrorKind::UnknownAction => Self::UnknownAction,
            ErrorKind::TooMuch => Self::TooMuch,
            ErrorKind::Overloaded => Self::Overloaded,
            ErrorKind::QuarantineFull => Self::QuarantineFull,
            ErrorKind::SourceFailed => Self::SourceFailed,
            ErrorKind::Internal => Self::Internal,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::Behind => Self::Behind,
            ErrorKind::Unavailable => Self::Unavailable,
        }
    }
}

impl Kind {
    /// A problem of this kind; `detail` says what to do.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Problem {
        Problem {
            kind: self,
            detail: detail.into(),
            fields: Vec::new(),
            position: None,
            source: None,
            id: None,
            retry_after: None,
        }
    }
}

/// A refusal. Renders itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: String,
    fields: Vec<SchemaError>,
    position: Option<Position>,
    source: Option<String>,
    id: Option<Box<str>>,
    retry_after: Option<u32>,
}

/// What handlers return.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let Error { kind, detail, fields, position, source_name: source, id, retry_after } = error;
        Self { kind: kind.into(), detail, fields, position, source, id, retry_after }
    }
}

impl Problem {
    /// Which kind of problem.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// After how many seconds trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Which member of the body does not fit.
    #[must_use]
    pub fn with_field(mut self, field: SchemaError) -> Self {
        self.fields.push(field);
        self
    }

    fn render(&self, instance: Option<&str>) -> Response {
        let status = self.kind.status();
        let title = self.kind.title();
        let field = |field: &SchemaError| FieldError {
            pointer: field.pointer.clone(),
            expected: if field.expected.is_empty() { title.to_owned() } else { field.expected.clone() },
        };
        let document = ProblemDocument {
            kind: format!("{URN}{}", self.kind.slug()),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            instance: instance.map(str::to_owned),
            position: self.position.map(|p| p.0),
            source: self.source.clone(),
            id: self.id.as_deref().map(str::to_owned),
            errors: self.fields.iter().map(field).collect(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rollcall\""));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render(None);
        response.extensions_mut().insert(self);
        response
    }
}

/// Middleware: fills in `instance`, the path of the request. A path that is itself a credential is not repeated.
pub(crate) async fn add_instance(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned());
    let path = match matched {
        Some(matched) if matched.contains("{code}") => matched,
        _ => request.uri().path().to_owned(),
    };
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (parts, body) = problem.render(Some(&path)).into_parts();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in &parts.headers {
        headers.insert(name, value.clone());
    }
    *response.body_mut() = body;
    response
}

/// The shape of every refusal (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:rollcall:problem:` and the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is, the same text for each problem of the type.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What happened here and what to do.
    pub detail: String,
    /// The path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The log position that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// The source that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The id of the thing that it is about, where the caller does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Which members of the body do not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// A member that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer to it; empty for the body as a whole.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub expected: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_every_kind_of_problem_with_its_status() {
        let readme = include_str!("../README.md");
        let rows: Vec<&str> =
            readme.lines().filter(|l| l.starts_with("| `") && l.contains("` | 4") || l.contains("` | 5")).collect();
        let wanted: Vec<String> =
            Kind::ALL.iter().map(|k| format!("| `{}` | {} | {} |", k.slug(), k.status().as_u16(), k.title())).collect();
        assert_eq!(rows, wanted, "the table in src/api/README.md is generated from this one: copy it over");
    }
}
