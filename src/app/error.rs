//! What a question or a command can be refused for, in words that no protocol owns. A caller can act on each kind without
//! reading its text. Knows no status code: whoever serves a protocol maps every kind to one.

use std::fmt;

use rollcall_eventlog::TailError;
use rollcall_events::{Position, SchemaError};

/// The result of a question or a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer. A variant exists where some caller does something different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The parts of a question do not go together, or one is not of its form.
    InvalidQuery,
    /// The log does not have that moment: it is in the future, or before anything was recorded.
    UnknownMoment,
    /// A webhook's signature, token or certificate is missing, wrong or stale.
    BadSignature,
    /// The caller sees it, and may not do this with it.
    Forbidden,
    /// There is no such source.
    UnknownSource,
    /// The source is retired, for ever.
    SourceRetired,
    /// There is no such event.
    UnknownEvent,
    /// There is no such delivery.
    UnknownDelivery,
    /// There is no such project.
    UnknownProject,
    /// There is no such person.
    UnknownPerson,
    /// There is no such user.
    UnknownUser,
    /// There is no such secret of this user or service.
    UnknownSecret,
    /// There is no such binding.
    UnknownBinding,
    /// The code is unknown, redeemed or too old; which of these is not said.
    UnknownInvitation,
    /// There is no such decision.
    UnknownDecision,
    /// There is no such folder.
    UnknownFolder,
    /// There is no such group.
    UnknownGroup,
    /// There is no such service.
    UnknownService,
    /// There is no such plan.
    UnknownPlan,
    /// There is no such projection.
    UnknownProjection,
    /// What is written could mean several things that the caller sees.
    Ambiguous,
    /// The position is one of another log.
    OtherLog,
    /// The fold refused the command, or the roster shows that it would.
    Refused,
    /// The project belongs to a source.
    ManagedProject,
    /// The group belongs to a source.
    ManagedGroup,
    /// A scope would be left without the role that somebody has to hold.
    LastHolder,
    /// The name or id belongs to something else.
    Taken,
    /// What it made is shown once, with an answer that was given before.
    ShownOnce,
    /// The plan was applied, discarded or superseded.
    PlanClosed,
    /// What was confirmed is not what the source says.
    PlanDiffers,
    /// The projection or the like is busy.
    Busy,
    /// The thing is not as the caller expects.
    Changed,
    /// The input does not have the right shape.
    InvalidBody,
    /// The profile has no such role.
    UnknownRole,
    /// The profile has no such action.
    UnknownAction,
    /// Too much at once.
    Overloaded,
    /// No more of a source is kept that cannot be read.
    QuarantineFull,
    /// The answer depends on more than one question may.
    TooMuch,
    /// The source did not give a whole answer.
    SourceFailed,
    /// Something went wrong that the caller cannot mend.
    Internal,
    /// The log is not what was recorded.
    Damaged,
    /// The asked position has not been reached in time.
    Behind,
    /// It cannot be done now.
    Unavailable,
}

impl ErrorKind {
    /// An error of this kind; `detail` says what happened and what to do.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Error {
        Error {
            kind: self,
            detail: detail.into(),
            fields: Vec::new(),
            position: None,
            source_name: None,
            id: None,
            retry_after: None,
        }
    }
}

/// A refusal. Never holds a secret, a body or the name of something that was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// Which kind.
    pub kind: ErrorKind,
    /// What happened and what to do.
    pub detail: String,
    /// Which members of the input do not fit. Where `expected` is empty, the kind says what is wrong with the member.
    pub fields: Vec<SchemaError>,
    /// The position that it is about: a command that was recorded and refused, or how far the fold is.
    pub position: Option<Position>,
    /// The source that it is about.
    pub source_name: Option<String>,
    /// The id of the thing that it is about, where the caller does not know it.
    pub id: Option<Box<str>>,
    /// After how many seconds trying again makes sense.
    pub retry_after: Option<u32>,
}

impl Error {
    /// The position that it is about.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// The source that it is about.
    #[must_use]
    pub fn of_source(mut self, source: &str) -> Self {
        self.source_name = Some(source.to_owned());
        self
    }

    /// The id of the thing that it is about.
    #[must_use]
    pub fn about(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// In which part of a document it is: in words, and as a pointer.
    #[must_use]
    pub fn within(mut self, part: &str, pointer: &str) -> Self {
        if self.fields.is_empty() {
            self.fields.push(SchemaError::at("", ""));
        }
        self.fields = self.fields.into_iter().map(|field| field.under(pointer)).collect();
        self.detail = format!("{part}: {}", self.detail);
        self
    }

    /// After how many seconds trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Which member of the input does not fit.
    #[must_use]
    pub fn with_field(mut self, field: SchemaError) -> Self {
        self.fields.push(field);
        self
    }

    /// It cannot be done now: the caller is told to come back, our log gets the cause.
    #[must_use]
    pub fn unavailable(what: &'static str, cause: &dyn std::error::Error) -> Self {
        tracing::warn!(what, cause = %Causes(cause), "request could not be served");
        ErrorKind::Unavailable.because(format!("{what}; send the same request again in a moment")).retry_after(1)
    }
}

impl From<TailError> for Error {
    fn from(error: TailError) -> Self {
        match error {
            TailError::Damaged { position, .. } => ErrorKind::Damaged
                .because(format!(
                    "{error}. Nothing from there on is used. Stop the server, run `rollcall verify`, restore a backup."
                ))
                .at(position),
            TailError::Unavailable(_) => Self::unavailable("The log cannot be read", &error),
        }
    }
}

/// An error and its causes on one line, for our log.
struct Causes<'a>(&'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
