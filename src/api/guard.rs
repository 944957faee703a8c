//! The one place that decides who gets in, and what a handler may then reach: nobody gets at [`Api`] but through here.
//! A handler that asks for nothing reaches nothing, so a route that forgot to authorise cannot compile into a leak.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use chrono::{DateTime, Utc};
use rollcall_access::Live;
use rollcall_eventlog::{Append, Tail};
use rollcall_events::{Body, Clock, Position, body::Secret};
use rollcall_ingest::Receiver;
use rollcall_store::ops::Ops;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    Control,
    command::{self, Done},
    problem::{Answer, Kind, Problem},
    query::{CursorScope, Freshness, FromQuery, Pairs, Plain},
};

/// How long a read waits for `min_position` where it does not say.
const USUAL_WAIT: Duration = Duration::from_millis(250);

/// Everything that the API works with. The binary fills it in.
pub struct Api {
    /// The roster.
    pub live: Arc<Live>,
    /// Takes the events of commands.
    pub append: Arc<dyn Append>,
    /// Reads the log.
    pub tail: Arc<dyn Tail>,
    /// What is kept beside the log.
    pub ops: Ops,
    /// Takes deliveries.
    pub receiver: Receiver,
    /// The running process.
    pub control: Arc<dyn Control>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may use `/api/v1`.
    pub admin_key: AdminKey,
}

/// The SHA-256 of the admin key. The key itself is not kept.
#[derive(Clone, Copy)]
pub struct AdminKey([u8; 32]);

impl AdminKey {
    /// Of the key's text.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Whether the request carries the key, in a time that tells nothing of it.
    fn opens(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(only), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, key)) = only.to_str().ok().and_then(|v| v.split_once(' ')) else { return false };
        let Self(presented) = Self::of(key);
        scheme.eq_ignore_ascii_case("bearer") & bool::from(self.0.ct_eq(&presented))
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(***)")
    }
}

/// [`Api`] as the router's state: opened by the extractors of this module alone.
#[derive(Clone)]
pub(crate) struct Locked(Arc<Api>);

impl Locked {
    pub fn new(api: Api) -> Self {
        Self(Arc::new(api))
    }

    /// Whether a request carries the admin key.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        self.0.admin_key.opens(headers)
    }

    /// Where answers are stored.
    pub fn ops(&self) -> &Ops {
        &self.0.ops
    }

    /// The time, for telemetry.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    fn authorise(&self, headers: &HeaderMap) -> Answer<Arc<Api>> {
        if self.admits(headers) {
            Ok(Arc::clone(&self.0))
        } else {
            Err(Kind::Unauthenticated.because(
                "Send the admin key as `Authorization: Bearer rk_..`; it is in the file `admin.key` of the data directory.",
            ))
        }
    }
}

/// The capability to read, with the route's query read and the asked position reached.
pub(crate) struct Reads<Q = Plain> {
    api: Arc<Api>,
    /// The route's query parameters.
    pub query: Q,
    /// `If-None-Match`, as sent.
    pub known: Option<String>,
}

impl<Q: FromQuery> FromRequestParts<Locked> for Reads<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        let api = state.authorise(&parts.headers)?;
        let mut pairs = Pairs::parse(parts.uri.query())?;
        let fresh = Freshness::take(&mut pairs)?;
        let AdminKey(owner) = &api.admin_key;
        let scope = CursorScope { log: api.tail.log_id(), owner, path: parts.uri.path() };
        let query = Q::from_pairs(pairs, &scope)?;
        reach(&api, &fresh).await?;
        let known = parts.headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Self { api, query, known })
    }
}

/// Waits until what was asked for is applied; never lets an older answer through.
async fn reach(api: &Api, fresh: &Freshness) -> Answer<()> {
    let Some((log, position)) = fresh.at_least else { return Ok(()) };
    let own = api.tail.log_id();
    if log.is_some_and(|log| log != own) {
        return Err(Kind::OtherLog.because(format!(
            "This is log {own}. It was restored or made anew since that position was given; read again without `min_position`."
        )));
    }
    if applied(&*api.control, position, fresh.wait.unwrap_or(USUAL_WAIT)).await {
        return Ok(());
    }
    let reached = *api.control.applied().borrow();
    Err(Kind::Behind
        .because(format!("Position {position} is not applied yet, {reached} is. Send the same request again, or with a longer `wait`."))
        .at(reached)
        .retry_after(1))
}

/// Waits for a position to be applied, `wait` at most; says whether it was.
pub(crate) async fn applied(control: &dyn Control, position: Position, wait: Duration) -> bool {
    let mut applied = control.applied();
    let reached = applied.wait_for(|reached| *reached >= position);
    matches!(tokio::time::timeout(wait, reached).await, Ok(Ok(_)))
}

impl<Q> Reads<Q> {
    pub fn tail(&self) -> &dyn Tail {
        &*self.api.tail
    }

    pub fn control(&self) -> &dyn Control {
        &*self.api.control
    }

    pub fn live(&self) -> &Live {
        &self.api.live
    }

    pub fn ops(&self) -> &Ops {
        &self.api.ops
    }

    pub fn receiver(&self) -> &Receiver {
        &self.api.receiver
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.api.clock.now()
    }

    /// How far the roster is.
    pub fn applied(&self) -> Position {
        *self.api.control.applied().borrow()
    }
}

/// The capability to change something: an event under the source `local`, or an order to the process.
pub(crate) struct Commands {
    api: Arc<Api>,
    /// W3C trace context of the request, where it is well-formed.
    pub traceparent: Option<Arc<str>>,
}

impl FromRequestParts<Locked> for Commands {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        let api = state.authorise(&parts.headers)?;
        no_parameters(parts)?;
        Ok(Self { api, traceparent: traceparent(&parts.headers) })
    }
}

impl Commands {
    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.api.clock.now()
    }

    pub fn live(&self) -> &Live {
        &self.api.live
    }

    pub fn ops(&self) -> &Ops {
        &self.api.ops
    }

    pub fn receiver(&self) -> &Receiver {
        &self.api.receiver
    }

    pub fn control(&self) -> &dyn Control {
        &*self.api.control
    }

    /// Appends a command and answers by what the fold said of it.
    pub async fn say(&self, body: &Body) -> Answer<Done> {
        command::say(&self.api, body, self.traceparent.clone()).await
    }
}

/// The capability to hand in a delivery: no key, the source's signature is the credential.
pub(crate) struct Receives(Arc<Api>);

impl FromRequestParts<Locked> for Receives {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, Locked(api): &Locked) -> Result<Self, Self::Rejection> {
        Ok(Self(Arc::clone(api)))
    }
}

impl Receives {
    pub fn receiver(&self) -> &Receiver {
        &self.0.receiver
    }

    pub fn control(&self) -> &dyn Control {
        &*self.0.control
    }
}

/// The capability to redeem an invitation: no key, the code in the path is the credential.
pub(crate) struct Redeems {
    api: Arc<Api>,
    traceparent: Option<Arc<str>>,
}

impl FromRequestParts<Locked> for Redeems {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, Locked(api): &Locked) -> Result<Self, Problem> {
        no_parameters(parts)?;
        Ok(Self { api: Arc::clone(api), traceparent: traceparent(&parts.headers) })
    }
}

impl Redeems {
    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.api.clock.now()
    }

    pub fn live(&self) -> &Live {
        &self.api.live
    }

    /// Records the secret that the invitation was for.
    pub async fn issue(&self, secret: Secret) -> Answer<Done> {
        command::say(&self.api, &Body::SecretIssued(secret), self.traceparent.clone()).await
    }
}

fn no_parameters(parts: &Parts) -> Answer<()> {
    match parts.uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Kind::InvalidQuery.because("This route takes no query parameters.")),
    }
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
