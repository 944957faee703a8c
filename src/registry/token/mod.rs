//! The token endpoint: one function behind GET and POST, from a request to a signed token or a refusal.
//! Reads the roster once per request and creates nothing; what a role means is decided in the access crate.

mod denial;
mod form;
mod grant;
mod reply;
pub(crate) mod scope;
mod telemetry;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse as _, Response},
    routing,
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, header};
use rollcall_access::Freshness;
use rollcall_authn::{Authenticator, Credentials, Realm, SignIn, SignInError};
use rollcall_events::{Clock, prefixed_id};
use secrecy::ExposeSecret as _;
use serde::Serialize;

pub use self::denial::DenialMode;
use self::{
    denial::denial_message,
    form::{Form, FormError, GrantError, RefreshWanted},
    grant::{Explaining, Grant, Subject},
    reply::{Refusal, TokenReply},
    scope::{Actions, write_scopes},
    telemetry::{RequestResult, TokenAnswered},
};
use crate::{
    client::ClientFamily,
    decision::{Decision, DecisionSink, Outcome},
    keys::Keys,
};

/// A form with the largest number of the longest scopes that a client sends fits in well.
const MAX_FORM_BYTES: usize = 64 * 1024;
/// A registry whose clock is behind must not refuse a fresh token.
const NOT_BEFORE_SECONDS: i64 = 30;
/// What a client says of itself is kept this far.
const MAX_LABEL_CHARS: usize = 64;

/// How long tokens live: 60 to 300 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Duration);

/// A token life outside 60 to 300 seconds: clients take a shorter one for 60, and a longer one outlives revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tokens live 60 to 300 seconds, not {0}")]
pub struct InvalidTtl(u64);

impl TryFrom<Duration> for Ttl {
    type Error = InvalidTtl;

    fn try_from(life: Duration) -> Result<Self, InvalidTtl> {
        if (60..=300).contains(&life.as_secs()) { Ok(Self(life)) } else { Err(InvalidTtl(life.as_secs())) }
    }
}

/// What a token server is put together from.
pub struct TokenParts {
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of every token, and the only `service` that is served.
    pub service: String,
    /// How long tokens live at most.
    pub ttl: Ttl,
    /// Who is told why not.
    pub denial: DenialMode,
    /// The signing keys.
    pub keys: Arc<Keys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the facts are news.
    pub freshness: Arc<dyn Freshness>,
    /// Where answers are kept.
    pub decisions: Arc<dyn DecisionSink>,
    /// Says who asks.
    pub authenticator: Arc<Authenticator>,
}

/// The token server. Cheap to clone.
#[derive(Clone)]
pub struct TokenServer {
    parts: Arc<TokenParts>,
}

/// The routes `/token` and `/.well-known/jwks.json`.
///
/// Serve it with the client's address as `ConnectInfo<SocketAddr>`: what a proxy says of it is judged before.
pub fn router(server: TokenServer) -> Router {
    Router::new()
        .route("/token", routing::any(token))
        .route("/.well-known/jwks.json", routing::get(jwks))
        .with_state(server)
}

async fn jwks(State(server): State<TokenServer>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
        // A rotation publishes and signs in one step; nobody may hold an older set.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, server.parts.keys.current().jwks().to_string()).into_response()
}

async fn token(State(server): State<TokenServer>, request: Request) -> Response {
    let now = server.parts.clock.now();
    let client = ClientFamily::of(text(request.headers(), &header::USER_AGENT));
    let (result, response) = match server.answer(request, client, now).await {
        Ok(answered) => answered,
        Err((result, refusal)) => (result, refusal.into_response()),
    };
    let seconds = (server.parts.clock.now() - now).to_std().unwrap_or_default().as_secs_f64();
    TokenAnswered { result, client, seconds }.emit();
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

type Answer<T> = Result<T, (RequestResult, Refusal)>;

/// One request, as far as it does not change.
struct Call {
    now: DateTime<Utc>,
    address: IpAddr,
    client: ClientFamily,
    post: bool,
}

impl TokenServer {
    /// Puts a token server together.
    #[must_use]
    pub fn new(parts: TokenParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    async fn answer(
        &self,
        request: Request,
        client: ClientFamily,
        now: DateTime<Utc>,
    ) -> Answer<(RequestResult, Response)> {
        if self.parts.freshness.may_decide(now).is_err() {
            return Err((
                RequestResult::Stale,
                Refusal::Unavailable("the access data is too old to answer; try again shortly"),
            ));
        }
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Err((RequestResult::Internal, Refusal::Internal("the server does not know its peers' addresses")));
        };
        let post = *request.method() == Method::POST;
        if !post && *request.method() != Method::GET {
            return Err((RequestResult::Request, Refusal::Method));
        }
        let call = Call { now, address: peer.ip(), client, post };
        let (head, body) = request.into_parts();
        let body = if post {
            axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| {
                let text =
                    format!("the form is longer than {MAX_FORM_BYTES} bytes; ask for at most 100 scopes at once");
                (RequestResult::Request, Refusal::Request(text))
            })?
        } else {
            axum::body::Bytes::new()
        };
        let text = if post { &body[..] } else { head.uri.query().unwrap_or_default().as_bytes() };
        let wrong = |error: FormError| (RequestResult::Request, Refusal::Request(error.to_string()));
        let mut form = Form::read(text, &self.parts.service).map_err(wrong)?;
        let credentials = if post {
            form.take_credentials(&head.headers)
        } else {
            Credentials::from_headers(&head.headers).map_err(GrantError::Credentials)
        };
        let credentials = credentials.map_err(|error| match error {
            GrantError::Credentials(_) => {
                self.parts.authenticator.note_malformed(call.address, now);
                (RequestResult::WrongCredential, Refusal::Credentials)
            }
            GrantError::Request(text) => (RequestResult::Request, Refusal::Request(text.to_owned())),
        })?;
        if matches!(credentials, Credentials::Anonymous) && form.scopes.is_empty() {
            return Err((RequestResult::NoCredential, Refusal::Credentials));
        }
        let sign_in = SignIn { realm: Realm::Registry, credentials: &credentials, client: call.address, now };
        let explains = self.parts.denial.explains_to(client, form.client_id.as_deref());
        let explaining = if explains { Explaining::Yes } else { Explaining::No };
        let grant = self
            .parts
            .authenticator
            .authenticate(&sign_in, |roster, identity| Grant::of(roster, identity, &form.scopes, explaining, now))
            .await
            .map_err(refused)?;
        self.reply(grant, &credentials, &form, &call)
    }

    fn reply(
        &self,
        grant: Grant,
        credentials: &Credentials,
        form: &Form<'_>,
        call: &Call,
    ) -> Answer<(RequestResult, Response)> {
        let mut random = [0; 10];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| (RequestResult::Internal, Refusal::Unavailable("no randomness")))?;
        let id = prefixed_id("dec", call.now, random);
        let granted: Vec<(&str, Actions)> =
            grant.granted(&form.scopes).filter(|(_, actions)| !actions.is_empty()).collect();
        let scope = write_scopes(granted.iter().copied(), grant.catalog);
        let message = grant.denial.as_ref().map(|(repository, reason)| denial_message(repository, reason, &id));
        let issued = call.now.timestamp();
        let life = issued + i64::try_from(self.parts.ttl.0.as_secs()).unwrap_or_default();
        let exp = grant.until.map_or(life, |until| until.timestamp().min(life));
        let response = match &message {
            Some(message) => Refusal::Denied(message.clone()).into_response(),
            None => {
                let claims = SignedClaims {
                    iss: &self.parts.issuer,
                    aud: &self.parts.service,
                    sub: grant.subject.as_ref().map_or("", |subject| &subject.name),
                    exp,
                    nbf: issued - NOT_BEFORE_SECONDS,
                    iat: issued,
                    jti: &id,
                    access: granted
                        .iter()
                        .map(|(name, actions)| Entry { kind: "repository", name, actions: *actions })
                        .chain(grant.catalog.then_some(Entry {
                            kind: "registry",
                            name: "catalog",
                            actions: Actions::STAR,
                        }))
                        .collect(),
                };
                let token = self.parts.keys.current().sign(exp, &claims).map_err(|error| {
                    tracing::error!(%error, "token could not be signed");
                    (
                        RequestResult::Internal,
                        Refusal::Unavailable("tokens cannot be signed now; the operator has to look"),
                    )
                })?;
                let refresh = self.refresh_token(grant.subject.as_ref(), credentials, form.refresh, call.now);
                TokenReply {
                    token: &token,
                    issued: call.now,
                    seconds: exp - issued,
                    scope: call.post.then_some(scope.as_str()),
                    refresh_token: refresh.as_deref(),
                }
                .into_response()
            }
        };
        let result = grant.result(&form.scopes);
        if !form.scopes.repositories.is_empty() || form.scopes.catalog {
            let token_ends = if message.is_none() { DateTime::from_timestamp(exp, 0) } else { None };
            let answered = Answered { id, result, message, granted: scope, token_ends };
            self.record(grant, answered, credentials, form, call);
        }
        Ok((result, response))
    }

    /// A refresh token, only when asked, and only for a registry secret: the end of a directory's password would not
    /// end it. One that was presented is handed back, because clients keep the first (clients.md C12).
    fn refresh_token(
        &self,
        subject: Option<&Subject>,
        credentials: &Credentials,
        wanted: RefreshWanted,
        now: DateTime<Utc>,
    ) -> Option<String> {
        let (subject, RefreshWanted::Yes) = (subject?, wanted) else { return None };
        let secret = subject.secret.as_ref()?;
        if let Credentials::Refresh(token) = credentials {
            return Some(token.expose_secret().to_owned());
        }
        Some(self.parts.authenticator.issue_refresh_token(&subject.id, secret, subject.credential_epoch, now))
    }

    fn record(&self, grant: Grant, answered: Answered, credentials: &Credentials, form: &Form<'_>, call: &Call) {
        let short = |text: &str| text.chars().take(MAX_LABEL_CHARS).collect::<String>();
        let (user, user_name, secret) = match grant.subject {
            Some(subject) => (Some(subject.id), Some(subject.name), subject.secret),
            None => (None, None, None),
        };
        // What people type in place of their name is an address mostly, and kept nowhere.
        let typed = match credentials {
            Credentials::Password { name, .. } => Some(name.as_str()),
            Credentials::Anonymous | Credentials::Bearer(_) | Credentials::Refresh(_) => None,
        };
        let known = |account: &str| Some(account) == user_name.as_deref() || Some(account) == typed;
        let account = form.account.as_deref().filter(|account| !known(account));
        self.parts.decisions.offer(Decision {
            id: answered.id,
            at: call.now,
            position: grant.position,
            outcome: match answered.result {
                RequestResult::Granted => Outcome::Granted,
                RequestResult::Reduced => Outcome::Reduced,
                RequestResult::Login
                | RequestResult::Empty
                | RequestResult::Explained
                | RequestResult::WrongCredential
                | RequestResult::NoCredential
                | RequestResult::Throttled
                | RequestResult::Request
                | RequestResult::Stale
                | RequestResult::Directory
                | RequestResult::Internal => Outcome::Denied,
            },
            user,
            secret,
            asked: write_scopes(
                form.scopes.repositories.iter().map(|scope| (scope.name.as_str(), scope.actions)),
                form.scopes.catalog,
            ),
            granted: answered.granted,
            token_ends: answered.token_ends,
            address: call.address,
            client: call.client,
            client_id: form.client_id.as_deref().map(short),
            account_mismatch: account.map(short),
            message: answered.message,
            tie: grant.tie,
            invented: grant.invented,
            user_name,
        });
    }
}

/// A wrong credential is 401, or 429 after too many.
fn refused(error: SignInError) -> (RequestResult, Refusal) {
    match error {
        SignInError::WrongCredentials => (RequestResult::WrongCredential, Refusal::Credentials),
        SignInError::PasswordOver => (RequestResult::WrongCredential, Refusal::PasswordOver),
        SignInError::Throttled(wait) => (RequestResult::Throttled, Refusal::Throttled(wait)),
        SignInError::DirectoryUnavailable => {
            let text = "the directory that checks passwords cannot be reached; try again shortly";
            (RequestResult::Directory, Refusal::Unavailable(text))
        }
    }
}

/// What was answered, as the decision's record needs it.
struct Answered {
    id: String,
    result: RequestResult,
    message: Option<String>,
    granted: String,
    token_ends: Option<DateTime<Utc>>,
}

/// `jwt::Claims` without a copy of anything.
#[derive(Serialize)]
struct SignedClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: &'a str,
    access: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    actions: Actions,
}
