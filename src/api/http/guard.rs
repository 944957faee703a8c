//! The one place that decides who gets in, and what a handler may then reach: nobody gets at [`Api`] but through here.
//! A handler that asks for nothing reaches nothing, and a route without a row in `rights` answers nobody, so a route that
//! forgot to authorise cannot become a leak.

use std::{collections::HashMap, net::SocketAddr, ops::Deref, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, FromRequestParts, MatchedPath, RawPathParams},
    http::{Extensions, HeaderMap, header, request::Parts},
};
use chrono::{DateTime, Utc};
use rollcall_access::{Credential, Principal, Roster, SharedRoster};
use rollcall_eventlog::{Append, Tail};
use rollcall_events::{
    Body, Clock, Digest, Id, Position,
    body::{Author, Secret},
};
use rollcall_ingest::{Receiver, Runners};
use rollcall_store::ops::{DecisionRow, Ops};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use crate::{
    Control, Decisions,
    caller::{Asker, Caller, forbidden},
    command::{self, Done},
    concurrency::{Heavy, Turn},
    credentials::{AdminKey, Passwords, Presented, SignIn, unauthenticated},
    http::conditions::{self, OnlyIf},
    http::permissions::{At, Right, right},
    http::problem::{Answer, Kind, Problem},
    http::query::{CursorScope, Freshness, FromQuery, Pairs, Plain},
    routes::access::bindings,
};

/// How long a read waits for `min_position` where it does not say.
const USUAL_WAIT: Duration = Duration::from_millis(250);

/// Everything that the API works with. The binary fills it in.
pub struct Api {
    /// The roster.
    pub live: Arc<SharedRoster>,
    /// Takes the events of commands.
    pub append: Arc<dyn Append>,
    /// Reads the log.
    pub tail: Arc<dyn Tail>,
    /// What is kept beside the log.
    pub ops: Arc<dyn Ops>,
    /// Keeps decisions, off the request's path.
    pub decisions: Arc<dyn Decisions>,
    /// The address under which clients reach this server, without a slash at its end.
    pub public_url: String,
    /// Takes deliveries.
    pub receiver: Receiver,
    /// Read the sources that are asked.
    pub runners: Runners,
    /// The running process.
    pub control: Arc<dyn Control>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Checks passwords of directories.
    pub passwords: Arc<dyn Passwords>,
    /// Who may use `/api/v1`.
    pub admin_key: AdminKey,
}

/// Who calls, and by which secret; the admin key and a password in a directory are none.
struct SignedIn {
    caller: Caller,
    secret: Option<SecretUsed>,
}

/// The secret that a caller signed in with.
struct SecretUsed {
    id: Id,
    /// Until when it is good.
    until: Option<DateTime<Utc>>,
}

/// [`Api`] as the router's state: opened by the extractors of this module alone.
#[derive(Clone)]
pub(crate) struct Locked {
    api: Arc<Api>,
    /// Commands share it; one that rests on what it saw before takes it alone.
    order: Arc<RwLock<()>>,
    heavy: Heavy,
}

impl Locked {
    pub fn new(api: Api) -> Self {
        Self { api: Arc::new(api), order: Arc::default(), heavy: Heavy::default() }
    }

    /// Whether a request carries a credential that is good now.
    pub async fn admits(&self, headers: &HeaderMap, extensions: &Extensions) -> bool {
        self.who(headers, extensions).await.is_ok()
    }

    /// Where answers are stored.
    pub fn ops(&self) -> &Arc<dyn Ops> {
        &self.api.ops
    }

    /// Where clients reach this server.
    pub fn public_url(&self) -> &str {
        &self.api.public_url
    }

    /// The time, for telemetry.
    pub fn now(&self) -> DateTime<Utc> {
        self.api.clock.now()
    }

    /// Whose credential a request carries: the admin key, a secret with or without the name that belongs to it, or a name
    /// and its password in a directory. Which part of a wrong one is wrong is not said. Of 256 random bits wrong ones are
    /// not counted, as they cannot be guessed; of passwords they are.
    async fn who(&self, headers: &HeaderMap, extensions: &Extensions) -> Answer<SignedIn> {
        match Presented::of(headers) {
            Some(Presented::Bearer(text)) if self.api.admin_key.opens(text) => {
                Ok(SignedIn { caller: Caller::Operator, secret: None })
            }
            Some(Presented::Bearer(secret)) => self.secret(None, secret).ok_or_else(unauthenticated),
            Some(Presented::Basic(name, password)) => match self.secret(Some(&name), password.expose_secret()) {
                Some(caller) => Ok(caller),
                None => self.password(&name, &password, extensions).await,
            },
            None => Err(unauthenticated()),
        }
    }

    /// Whose secret it is, if that is the caller of this name.
    fn secret(&self, name: Option<&str>, secret: &str) -> Option<SignedIn> {
        let roster = self.api.live.read();
        let Credential { principal: found, secret: id, until, .. } =
            roster.credential_for_api(&Digest::of(secret.as_bytes()).0, self.now())?;
        let agrees = |name: &str| match found {
            Principal::User(user) => roster.user_by_name(name) == Some(user),
            Principal::Service(service) => roster.service(service).id == name,
            Principal::Anyone => false,
        };
        let caller = name.is_none_or(agrees).then(|| roster.event_principal(found))?.map(Caller::Known)?;
        Some(SignedIn { caller, secret: Some(SecretUsed { id: id.parse().ok()?, until }) })
    }

    /// Whose password in a directory it is.
    async fn password(&self, name: &str, password: &SecretString, extensions: &Extensions) -> Answer<SignedIn> {
        if self.api.admin_key.opens(password.expose_secret()) {
            return Err(unauthenticated());
        }
        let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Err(Kind::Internal.because("The server does not know its peers' addresses. Report this."));
        };
        match self.api.passwords.sign_in(name, password, peer.ip()).await {
            SignIn::Known(user) => Ok(SignedIn { caller: Caller::Known(user), secret: None }),
            SignIn::Wrong => Err(unauthenticated()),
            SignIn::Wait(wait) => {
                let seconds = u32::try_from(wait.num_seconds().max(1)).unwrap_or(u32::MAX);
                Err(Kind::Overloaded
                    .because(format!("Too many wrong passwords came under this name or from this network. Wait {seconds} seconds, then send the right one."))
                    .retry_after(seconds))
            }
            SignIn::Unavailable => Err(Kind::Unavailable
                .because("The directory that checks passwords cannot be reached. Send a registry secret, or the same again shortly.")
                .retry_after(5)),
        }
    }

    /// Who calls, and which right the route demands.
    async fn enter(&self, parts: &Parts) -> Answer<(SignedIn, &'static Right)> {
        let signed_in = self.who(&parts.headers, &parts.extensions).await?;
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let right = right(&parts.method, path).filter(|right| right.at != At::Open);
        right
            .map(|right| (signed_in, right))
            .ok_or_else(|| Kind::Internal.because("This route says not who may use it, so nobody may. Report this."))
    }

    /// Holds a request against the right that its route demands.
    async fn demand(&self, parts: &mut Parts, caller: &Caller, right: &Right) -> Answer<()> {
        let params = RawPathParams::from_request_parts(parts, self).await;
        let params = params.map_err(|_| Kind::UnknownRoute.because("The path is not UTF-8."))?;
        let params: HashMap<&str, &str> = params.iter().collect();
        let param = |name: &str| params.get(name).copied().unwrap_or_default();
        let roster = self.api.live.read();
        let asker = caller.ask(&roster, self.now());
        let Right { action, .. } = *right;
        let all = |good: bool| if good { Ok(()) } else { Err(forbidden(action)) };
        match right.at {
            At::Open | At::Rows | At::Body => Ok(()),
            At::Root => all(asker.everywhere(action)),
            At::Project => {
                let project = asker.project(param("name"))?;
                // Seeing is what this action is about; there are more ways to it than the action.
                all(action == "project.list" || asker.may(action, project))
            }
            At::ProjectOrOwn => asker.project(param("name")).map(|_| ()),
            // Seeing is what this action is about; there are more ways to it than the action.
            At::Folder => {
                let folder = asker.folder(param("id"))?;
                all(action == "folder.list" || asker.may(action, folder))
            }
            At::User => asker.user_for(param("name"), action).map(|_| ()),
            At::Service => asker.service_for(param("id"), action).map(|_| ()),
            At::Binding => bindings::demand(&roster, &asker, param("id"), action),
        }
    }
}

/// The capability to read, with the route's query read and the asked position reached.
pub(crate) struct Reads<Q = Plain> {
    api: Arc<Api>,
    caller: Caller,
    /// The route's query parameters.
    pub query: Q,
    /// `If-None-Match`, as sent.
    pub known: Option<String>,
    /// Whose turn it is to ask what takes long.
    pub heavy: Heavy,
}

impl<Q: FromQuery> FromRequestParts<Locked> for Reads<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        let (SignedIn { caller, .. }, right) = state.enter(parts).await?;
        let api = Arc::clone(&state.api);
        let mut pairs = Pairs::parse(parts.uri.query())?;
        let fresh = Freshness::take(&mut pairs)?;
        let owner = caller.owner();
        let scope = CursorScope { log: api.tail.log_id(), owner: &owner, path: parts.uri.path() };
        let query = Q::from_pairs(pairs, &scope)?;
        reach(&api, &fresh).await?;
        // After the wait: what is asked for may be what gives the right.
        state.demand(parts, &caller, right).await?;
        let known = conditions::known(&parts.headers)?;
        Ok(Self { api, caller, query, known, heavy: state.heavy.clone() })
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
    /// What the caller sees of a roster.
    pub fn ask<'a>(&self, roster: &'a Roster) -> Asker<'a> {
        self.caller.ask(roster, self.now())
    }

    /// The author that the caller's commands would have.
    pub fn author(&self) -> Author {
        self.caller.author()
    }

    /// Who calls, for work that is done aside.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Hands a decision over to be kept.
    pub fn keep(&self, decision: DecisionRow) {
        self.api.decisions.offer(decision);
    }

    pub fn tail(&self) -> &dyn Tail {
        &*self.api.tail
    }

    pub fn control(&self) -> &dyn Control {
        &*self.api.control
    }

    pub fn live(&self) -> &Arc<SharedRoster> {
        &self.api.live
    }

    pub fn ops(&self) -> &Arc<dyn Ops> {
        &self.api.ops
    }

    pub fn receiver(&self) -> &Receiver {
        &self.api.receiver
    }

    pub fn runners(&self) -> &Runners {
        &self.api.runners
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
    state: Locked,
    caller: Caller,
    /// The secret that the caller signed in with.
    secret: Option<SecretUsed>,
    /// W3C trace context of the request, where it is well-formed.
    pub traceparent: Option<Arc<str>>,
    /// Held while this command alone is judged.
    alone: Option<OwnedRwLockWriteGuard<()>>,
}

impl Commands {
    async fn enter(parts: &mut Parts, state: &Locked) -> Answer<Self> {
        let (SignedIn { caller, secret }, right) = state.enter(parts).await?;
        state.demand(parts, &caller, right).await?;
        no_parameters(parts)?;
        Ok(Self { state: state.clone(), caller, secret, traceparent: traceparent(&parts.headers), alone: None })
    }
}

impl FromRequestParts<Locked> for Commands {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        let entered = Self::enter(parts, state).await?;
        conditions::none(&parts.headers, &[header::IF_MATCH, header::IF_NONE_MATCH])?;
        Ok(entered)
    }
}

impl Commands {
    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.state.now()
    }

    /// What the caller sees of a roster.
    pub fn ask<'a>(&self, roster: &'a Roster) -> Asker<'a> {
        self.caller.ask(roster, self.now())
    }

    /// Who calls, for work that is done aside.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The author of this caller's commands.
    pub fn author(&self) -> Author {
        self.caller.author()
    }

    pub fn live(&self) -> &Arc<SharedRoster> {
        &self.state.api.live
    }

    pub fn ops(&self) -> &Arc<dyn Ops> {
        &self.state.api.ops
    }

    pub fn receiver(&self) -> &Receiver {
        &self.state.api.receiver
    }

    pub fn runners(&self) -> &Runners {
        &self.state.api.runners
    }

    pub fn control(&self) -> &dyn Control {
        &*self.state.api.control
    }

    /// Until when what the caller makes to sign in with is good at most.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.secret.as_ref().and_then(|secret| secret.until)
    }

    /// The secret that the caller signed in with, as commands name it.
    pub fn made_with(&self) -> Option<Id> {
        self.secret.as_ref().map(|secret| secret.id.clone())
    }

    /// Keeps every other command out until this one is answered.
    pub async fn alone(&mut self) {
        if self.alone.is_none() {
            self.alone = Some(Arc::clone(&self.state.order).write_owned().await);
        }
    }

    /// Appends commands together, all or none, and answers by what the fold said of each. Whether they may be given the
    /// caller has asked.
    pub async fn say_all(&self, bodies: &[Body]) -> Answer<Vec<Done>> {
        command::say_all(&self.state.api, bodies, self.traceparent.as_ref()).await
    }

    /// Asks the roster whether the caller may give a command; if so appends it and answers by what the fold said of it.
    pub async fn say(&self, body: &Body) -> Answer<Done> {
        let _shared = match &self.alone {
            Some(_) => None,
            None => Some(self.state.order.read().await),
        };
        {
            let roster = self.live().read();
            let asker = self.ask(&roster);
            roster.check_command(body, self.now()).map_err(|refusal| command::refused_of(body, &refusal, &asker))?;
        }
        command::say(&self.state.api, body, self.traceparent.clone()).await
    }
}

/// [`Commands`] about one thing that has an entity tag, with `If-Match` and `If-None-Match: *`. Handlers begin them when
/// they have the body: what keeps other commands out must not wait for a caller.
pub(crate) struct Changes {
    commands: Commands,
    only_if: OnlyIf,
}

impl Changes {
    /// From now on, with a condition, every other command waits until this one is answered.
    pub async fn begin(mut self) -> Changing {
        if !self.only_if.anything() {
            self.commands.alone().await;
        }
        Changing { commands: self.commands, only_if: self.only_if }
    }
}

/// [`Changes`] that may be judged now.
pub(crate) struct Changing {
    commands: Commands,
    only_if: OnlyIf,
}

impl FromRequestParts<Locked> for Changes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        let commands = Commands::enter(parts, state).await?;
        Ok(Self { commands, only_if: OnlyIf::read(&parts.headers)? })
    }
}

/// [`Commands`] that are given together, nothing else between them; with `If-Match` only as they were planned. Begun like
/// [`Changes`].
pub(crate) struct Planned {
    commands: Commands,
    plan: Option<String>,
}

impl FromRequestParts<Locked> for Planned {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        let commands = Commands::enter(parts, state).await?;
        conditions::none(&parts.headers, &[header::IF_NONE_MATCH])?;
        Ok(Self { commands, plan: conditions::only_match(&parts.headers)? })
    }
}

impl Planned {
    /// From now on every other command waits until these are answered. With the entity tag of the plan, as sent.
    pub async fn begin(mut self) -> (Commands, Option<String>) {
        self.commands.alone().await;
        (self.commands, self.plan)
    }

    /// Waits until no preview runs.
    pub async fn turn(&self) -> Answer<Turn> {
        self.commands.state.heavy.preview().await
    }
}

impl Changing {
    /// Whether the thing is as the caller expects: `newest` is the newest event about it, nothing where it is not there.
    pub fn expected(&self, newest: Option<Position>) -> Answer<()> {
        if self.only_if.holds(newest) {
            return Ok(());
        }
        Err(Kind::Changed.because(match newest {
            Some(newest) => {
                format!("It is there, changed last at position {newest}. Read it again and decide again. Nothing was changed.")
            }
            None => "It is not there. Nothing was changed.".to_owned(),
        }))
    }
}

impl Deref for Changing {
    type Target = Commands;

    fn deref(&self) -> &Commands {
        &self.commands
    }
}

/// The capability to hand in a delivery: no key, the source's signature is the credential.
pub(crate) struct Receives(Arc<Api>);

impl FromRequestParts<Locked> for Receives {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, state: &Locked) -> Result<Self, Self::Rejection> {
        Ok(Self(Arc::clone(&state.api)))
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

    async fn from_request_parts(parts: &mut Parts, state: &Locked) -> Result<Self, Problem> {
        no_parameters(parts)?;
        Ok(Self { api: Arc::clone(&state.api), traceparent: traceparent(&parts.headers) })
    }
}

impl Redeems {
    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.api.clock.now()
    }

    pub fn live(&self) -> &SharedRoster {
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
