//! The record of one answer, and where it goes. The endpoint offers it and goes on; keeping it is somebody else's work.

use std::{net::IpAddr, sync::Arc};

use chrono::{DateTime, Utc};
use rollcall_events::Position;
use serde::Serialize;

use crate::client::ClientFamily;

/// Takes decisions off the request's path.
pub trait DecisionSink: Send + Sync + 'static {
    /// Takes a decision, or drops and counts it when too many are waiting. Must not block and must not fail.
    fn offer(&self, decision: Decision);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDecisions;

impl DecisionSink for NoDecisions {
    fn offer(&self, _: Decision) {}
}

/// Whether somebody has to do with what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tie {
    /// There is, or was, a role on one of the projects, or something is granted.
    Some,
    /// There is nothing.
    None,
}

/// What became of a question for repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything that was asked.
    Granted,
    /// Less than was asked.
    Reduced,
    /// Nothing of it.
    Denied,
}

/// One answer to an access question at the token endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    /// `dec_...`; also the `jti` of the token, if there is one.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Of which state of the roster.
    pub position: Position,
    /// What came out.
    pub outcome: Outcome,
    /// The user's id; absent for nobody in particular.
    pub user: Option<Arc<str>>,
    /// The user's name then.
    pub user_name: Option<Arc<str>>,
    /// The id of the registry secret that signed in, directly or through a refresh token.
    pub secret: Option<Arc<str>>,
    /// What was asked: scopes with single spaces between them, merged, impossible ones left out.
    pub asked: String,
    /// What was granted, in the same form.
    pub granted: String,
    /// Until when the token is good, `exp`.
    pub token_ends: Option<DateTime<Utc>>,
    /// The peer's address.
    pub address: IpAddr,
    /// The kind of client.
    pub client: ClientFamily,
    /// What the client calls itself in `client_id`, at most 64 characters.
    pub client_id: Option<String>,
    /// `account` of the query where it is not the user's name, at most 64 characters: recorded, never trusted (C8).
    pub account_mismatch: Option<String>,
    /// The text that was sent with a 403.
    pub message: Option<String>,
    /// What the user has to do with what was asked and refused.
    pub tie: Tie,
    /// Which of the asked repositories, by place, are of projects that there are not.
    pub invented: Vec<usize>,
}
