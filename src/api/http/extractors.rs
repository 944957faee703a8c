//! The one place that decides who gets in, and what a handler may then reach: nobody gets at the application but through
//! here. A handler that asks for nothing reaches nothing, and a route without a row in `permissions` answers nobody, so a
//! route that forgot to authorise cannot become a leak.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams},
    http::{Extensions, HeaderMap, header, request::Parts},
};
use chrono::{DateTime, Utc};
use rollcall_app::{
    Admission, App, Commands, Given, OneRequest, Origin, Permission, Precondition, Reads, SignedIn,
    access::secrets::WhatItMade,
    operations::recorded::{CommandsRecorded, Told},
};
use rollcall_authn::{Credentials, SignInError};
use rollcall_events::Position;
use rollcall_store::ops::AnswerRecords;

use crate::http::{
    answer_key::AnswerKey,
    body_budget::BodyBudget,
    conditions,
    permissions::permission_for,
    problem::{Kind, Problem, Result},
    query::{CursorScope, Freshness, FromQuery, NoQuery, Pairs},
};

/// What the HTTP API serves and needs beside it. The binary fills it in.
pub struct Api {
    /// Questions and commands.
    pub app: Arc<App>,
    /// Where answers are stored for `Idempotency-Key`.
    pub answers: Arc<dyn AnswerRecords>,
    /// What those are named and sealed with: it lies neither beside them nor in a backup.
    pub answer_key: AnswerKey,
    /// The address under which clients reach this server, without a slash at its end.
    pub public_url: String,
    /// How many bytes of hooks' bodies may be in memory before it is known whose they are.
    pub max_unverified_bodies: usize,
}

/// [`Api`] as the router's state: opened by the extractors of this module alone.
#[derive(Clone)]
pub(crate) struct ApiState {
    api: Arc<Api>,
    unverified: Arc<BodyBudget>,
}

impl ApiState {
    pub fn new(api: Api) -> Self {
        let unverified = Arc::new(BodyBudget::new(api.max_unverified_bodies));
        Self { api: Arc::new(api), unverified }
    }

    /// What stored answers are named and sealed with.
    pub fn answer_key(&self) -> &AnswerKey {
        &self.api.answer_key
    }

    /// Whether a caller may still give the commands that stand at these positions, by the route's permission and for each
    /// of what they are about.
    pub async fn may_command_again(
        &self,
        parts: &mut Parts,
        signed_in: SignedIn,
        positions: &[Position],
    ) -> Result<(), Problem> {
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let Some(permission) = permission_for(&parts.method, path) else { return Ok(()) };
        let admission = self.admit(parts, signed_in, permission).await?;
        Ok(admission.commands(Origin::default()).may_be_given_again(positions).await?)
    }

    /// What the log has of a request already; nothing where its commands may be given.
    pub async fn recorded(
        &self,
        parts: &mut Parts,
        signed_in: SignedIn,
        request: &OneRequest,
    ) -> Result<Option<CommandsRecorded>, Problem> {
        match self.api.app.given(request).await? {
            Given::Nothing => Ok(None),
            Given::Other => Err(key_reused()),
            Given::At(positions) => {
                // Whoever may not ask any more is told nothing of what was answered then.
                self.may_command_again(parts, signed_in, &positions).await?;
                let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
                let told = if path == "/api/v1/bindings/apply" { Told::Document } else { Told::Thing };
                Ok(Some(self.api.app.recorded(positions, told).await?))
            }
        }
    }

    /// Where answers are stored for `Idempotency-Key`.
    pub fn stored_answers(&self) -> &Arc<dyn AnswerRecords> {
        &self.api.answers
    }

    /// Where clients reach this server.
    pub fn public_url(&self) -> &str {
        &self.api.public_url
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.api.app.now()
    }

    /// Whose credentials a request carries.
    pub async fn authenticate(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<SignedIn> {
        authenticate(&self.api.app, headers, extensions).await
    }

    /// Who calls, and what the route demands.
    async fn sign_in(&self, parts: &Parts) -> Result<(SignedIn, Permission)> {
        let signed_in = self.authenticate(&parts.headers, &parts.extensions).await?;
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        permission_for(&parts.method, path).map(|permission| (signed_in, permission)).ok_or_else(|| {
            Kind::Internal.because("This route has no permission entry, so nobody may use it. Report this.")
        })
    }

    /// Holds a caller against the permission that the route demands.
    async fn admit(&self, parts: &mut Parts, signed_in: SignedIn, permission: Permission) -> Result<Admission> {
        let params = RawPathParams::from_request_parts(parts, self).await;
        let params = params.map_err(|_| Kind::UnknownRoute.because("The path is not UTF-8."))?;
        let params: HashMap<&str, &str> = params.iter().collect();
        Ok(self.api.app.admit(signed_in, permission, |name| params.get(name).copied().unwrap_or_default())?)
    }

    /// The capability to command, on a route without query parameters.
    async fn commands(&self, parts: &mut Parts) -> Result<Commands> {
        let (signed_in, permission) = self.sign_in(parts).await?;
        let admission = self.admit(parts, signed_in, permission).await?;
        no_parameters(parts)?;
        Ok(admission.commands(origin(parts)))
    }
}

/// Whose credentials a request carries.
async fn authenticate(app: &App, headers: &HeaderMap, extensions: &Extensions) -> Result<SignedIn> {
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Err(Kind::Internal.because("The server does not know its peers' addresses. Report this."));
    };
    let credentials = Credentials::from_headers(headers).map_err(|_| {
        app.note_malformed(peer.ip());
        unauthenticated()
    })?;
    app.sign_in(&credentials, peer.ip()).await.map_err(|error| match error {
        SignInError::WrongCredentials => unauthenticated(),
        SignInError::PasswordOver => Kind::Unauthenticated.because(
            "Your password in the directory has expired or has to be changed. Change it there, then send the new one.",
        ),
        SignInError::Throttled(wait) => {
            let seconds = u32::try_from(wait.num_seconds().max(1)).unwrap_or(u32::MAX);
            Kind::Overloaded
                .because(format!("Too many wrong passwords came under this name or from your address. Wait {seconds} seconds, then send the right one."))
                .retry_after(seconds)
        }
        SignInError::DirectoryUnavailable => Kind::Unavailable
            .because("The directory that checks passwords cannot be reached. Send a registry secret, or the same again shortly.")
            .retry_after(5),
    })
}

/// Holds whoever sent a request that is no route of the API against a permission.
///
/// # Errors
/// Nobody known sent it, or somebody who may not do this.
pub async fn admit(app: &Arc<App>, headers: &HeaderMap, extensions: &Extensions, permission: Permission) -> Result<()> {
    let signed_in = authenticate(app, headers, extensions).await?;
    app.admit(signed_in, permission, |_| "")?;
    Ok(())
}

/// A route that reads: the capability to ask, with the route's query read and the asked position reached.
pub(crate) struct Read<Q = NoQuery> {
    /// To ask.
    pub reads: Reads,
    /// The route's query parameters.
    pub query: Q,
    /// `If-None-Match`, as sent.
    pub if_none_match: Option<String>,
}

impl<Q: FromQuery> FromRequestParts<ApiState> for Read<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let (signed_in, permission) = state.sign_in(parts).await?;
        let app = &state.api.app;
        let mut pairs = Pairs::parse(parts.uri.query())?;
        let fresh = Freshness::take(&mut pairs)?;
        let caller = signed_in.caller.digest();
        let scope = CursorScope { log: app.log_id(), caller: &caller, path: parts.uri.path() };
        let query = Q::from_pairs(pairs, &scope)?;
        if let Some((log, position)) = fresh.at_least {
            app.wait_for(&signed_in, log, position, fresh.wait).await?;
        }
        // After the wait: what is asked for may be what gives the permission.
        let reads = state.admit(parts, signed_in, permission).await?.reads();
        let if_none_match = conditions::if_none_match(&parts.headers)?;
        Ok(Self { reads, query, if_none_match })
    }
}

/// A route that commands.
pub(crate) struct Write(pub Commands);

impl FromRequestParts<ApiState> for Write {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let commands = state.commands(parts).await?;
        conditions::refuse(&parts.headers, &[header::IF_MATCH, header::IF_NONE_MATCH])?;
        Ok(Self(commands))
    }
}

/// A route that ends a secret: what is to become of what it made stands in the query, `?made=keep` or `?made=end`.
pub(crate) struct EndSecret {
    /// To command.
    pub commands: Commands,
    /// What becomes of what it made.
    pub what_it_made: WhatItMade,
}

impl FromRequestParts<ApiState> for EndSecret {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let (signed_in, permission) = state.sign_in(parts).await?;
        let admission = state.admit(parts, signed_in, permission).await?;
        let mut pairs = Pairs::parse(parts.uri.query())?;
        let what_it_made = pairs.take("made", "`keep` or `end`: what becomes of what the secret made")?;
        pairs.refuse_unknown("`made`")?;
        conditions::refuse(&parts.headers, &[header::IF_MATCH, header::IF_NONE_MATCH])?;
        let commands = admission.commands(origin(parts));
        Ok(Self { commands, what_it_made: what_it_made.unwrap_or_default() })
    }
}

/// A route that frees a name: whether the personal project of that name goes with it stands in the query.
pub(crate) struct FreeName {
    /// To command.
    pub commands: Commands,
    /// It does.
    pub with_personal_project: bool,
}

impl FromRequestParts<ApiState> for FreeName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let (signed_in, permission) = state.sign_in(parts).await?;
        let admission = state.admit(parts, signed_in, permission).await?;
        let mut pairs = Pairs::parse(parts.uri.query())?;
        let with =
            pairs.take("with_personal_project", "true or false: whether the personal project goes with the name")?;
        pairs.refuse_unknown("`with_personal_project`")?;
        conditions::refuse(&parts.headers, &[header::IF_MATCH, header::IF_NONE_MATCH])?;
        let commands = admission.commands(origin(parts));
        Ok(Self { commands, with_personal_project: with.unwrap_or_default() })
    }
}

/// A route that commands something about one thing that has an entity tag, with `If-Match` and `If-None-Match: *`.
pub(crate) struct ConditionalWrite {
    /// To command.
    pub commands: Commands,
    /// What the thing must be like.
    pub only_if: Precondition,
}

impl FromRequestParts<ApiState> for ConditionalWrite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let commands = state.commands(parts).await?;
        Ok(Self { commands, only_if: conditions::precondition(&parts.headers)? })
    }
}

/// A route that commands what was planned: with `If-Match` only that.
pub(crate) struct PlannedWrite {
    /// To command.
    pub commands: Commands,
    /// Which plan.
    pub plan: Option<String>,
}

impl FromRequestParts<ApiState> for PlannedWrite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let commands = state.commands(parts).await?;
        conditions::refuse(&parts.headers, &[header::IF_NONE_MATCH])?;
        Ok(Self { commands, plan: conditions::if_match_plan(&parts.headers)? })
    }
}

/// A route that takes deliveries: no key, what the source shows is the credential.
pub(crate) struct TakeDelivery {
    /// Which takes them.
    pub app: Arc<App>,
    /// What their bodies are taken out of until it is known whose they are.
    pub unverified: Arc<BodyBudget>,
}

impl FromRequestParts<ApiState> for TakeDelivery {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, state: &ApiState) -> Result<Self, Self::Rejection> {
        Ok(Self { app: Arc::clone(&state.api.app), unverified: Arc::clone(&state.unverified) })
    }
}

/// A route that redeems invitations: no key, the code in the path is the credential.
pub(crate) struct RedeemInvitation {
    /// Which takes the code.
    pub app: Arc<App>,
    /// What the request came with.
    pub origin: Origin,
}

impl FromRequestParts<ApiState> for RedeemInvitation {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        no_parameters(parts)?;
        Ok(Self { app: Arc::clone(&state.api.app), origin: origin(parts) })
    }
}

/// The key of this request was another's.
pub(crate) fn key_reused() -> Problem {
    Kind::IdempotencyKeyReused
        .because("This `Idempotency-Key` was used for another path or body; take a new one for a new request.")
}

fn unauthenticated() -> Problem {
    Kind::Unauthenticated.because(
        "Send a secret, or the admin key, as `Authorization: Bearer ..`, or a name and its secret, or its password in the directory, as Basic. The admin key is in the file `admin.key` of the data directory.",
    )
}

fn no_parameters(parts: &Parts) -> Result<()> {
    match parts.uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Kind::InvalidQuery.because("This route takes no query parameters.")),
    }
}

/// What the commands of a request come with.
fn origin(parts: &Parts) -> Origin {
    let request = parts.extensions.get::<Arc<OneRequest>>().cloned();
    Origin { traceparent: traceparent(&parts.headers), request }
}

/// `traceparent`, if it has the form of W3C trace context version 00.
fn traceparent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let hex = |part: &str, len| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let well_formed = parts.next() == Some("00")
        && parts.next().is_some_and(|p| hex(p, 32))
        && parts.next().is_some_and(|p| hex(p, 16))
        && parts.next().is_some_and(|p| hex(p, 2))
        && parts.next().is_none();
    well_formed.then(|| text.into())
}
