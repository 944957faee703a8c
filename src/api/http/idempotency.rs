//! `Idempotency-Key` on commands by POST: the same request again gets the stored answer, for a day, as long as its caller
//! may still give the command. Where none is stored, after a crash, a 5xx or a day, the log is asked: the events of the
//! request have ids that follow from who calls and the key.
//! What is stored rests on no credential, so that nobody can find one by trying: a row is named by who calls and by the
//! request's own key, keyed with a key that lies neither in `ops.db` nor in a backup. The answer may hold what is shown
//! once (a registry secret) and is sealed under the same.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use rollcall_app::{Error, OneRequest, SignedIn, random};
use rollcall_events::{Digest, Position};
use rollcall_store::ops::{AnswerRecords, Claim, StoredAnswer};
use serde::{Deserialize, Serialize};

use crate::http::{
    body::{BODY_TIMEOUT, MAX_DOCUMENT_BYTES, read_body},
    extractors::{ApiState, key_reused},
    permissions::permission_for,
    problem::{Kind, Result},
    response::{POSITION, json},
};

const HEADER: &str = "idempotency-key";
/// Answers are small; a larger one is given and not stored.
const MAX_STORED_BYTES: usize = 1 << 20;

/// What an answer needs to be given again.
#[derive(Serialize, Deserialize)]
struct StoredBody {
    position: Option<u64>,
    body: String,
}

/// What only asks changes nothing, and is asked anew.
pub(crate) const QUESTIONS: [&str; 3] = ["access.explain", "binding.list", "preview.run"];

/// Middleware for the routes of `/api/v1`. Does nothing for a caller without a good credential: such a one is refused
/// further in, and must not be able to fill the store. An invitation is single-use by itself.
pub(crate) async fn answer_once(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let applies = request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && request.uri().path().starts_with("/api/v1/");
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let commands = permission_for(request.method(), path).is_some_and(|it| !QUESTIONS.contains(&it.action));
    if !(applies && commands) {
        return next.run(request).await;
    }
    let Ok(caller) = state.authenticate(request.headers(), request.extensions()).await else {
        return next.run(request).await;
    };
    match claim(&state, &caller, request).await {
        Ok(Claimed::First(request, claimed)) => {
            // Goes on when the caller goes away: the answer must be there when it comes back.
            let task = tokio::spawn(async move {
                let response = claimed.give(&state, caller, request, next).await;
                claimed.store(response).await
            });
            task.await.unwrap_or_else(|_| Kind::Internal.because("The request failed half way.").into_response())
        }
        Ok(Claimed::Answered(response)) => response,
        Err(problem) => problem.into_response(),
    }
}

enum Claimed {
    First(Request, ClaimedKey),
    Answered(Response),
}

async fn claim(state: &ApiState, caller: &SignedIn, request: Request) -> Result<Claimed> {
    let (mut parts, body) = request.into_parts();
    let named = key_name(&parts.headers)?;
    // The route has its own limit, further in.
    let body = read_body(&parts.headers, body, MAX_DOCUMENT_BYTES, BODY_TIMEOUT).await?;
    let (key, who) = (state.answer_key(), caller.identity());
    let asked = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let request_digest = key.digest(&[b"request", asked.as_bytes(), &body]);
    let claimed = ClaimedKey {
        answers: state.stored_answers().clone(),
        key: key.digest(&[b"row", who.as_bytes(), named.as_bytes()]).to_string(),
        sealing: key.digest(&[b"seal", who.as_bytes(), named.as_bytes()]),
        request: Arc::new(OneRequest::new(key.digest(&[b"event", who.as_bytes(), named.as_bytes()]), request_digest)),
    };
    let claim = claimed.answers.claim_answer(&claimed.key, request_digest, state.now()).await;
    match claim.map_err(|e| Error::unavailable("Nothing was done", &e))? {
        Claim::First => Ok(Claimed::First(Request::from_parts(parts, Body::from(body)), claimed)),
        Claim::Answered(stored) => {
            let (status, stored) = claimed.open(stored)?;
            // Whoever may not ask any more is told nothing of what was answered then.
            state.may_command_again(&mut parts, caller.clone(), &stored.positions()).await?;
            Ok(Claimed::Answered(stored.response(status)))
        }
        Claim::Running => Err(Kind::RequestRunning
            .because("The request with this `Idempotency-Key` is still running; send it again in a moment.")
            .retry_after(1)),
        Claim::Other => Err(key_reused()),
    }
}

impl StoredBody {
    /// Where the commands stand that were given.
    fn positions(&self) -> Vec<Position> {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let many = body.get("positions").and_then(serde_json::Value::as_array).into_iter().flatten();
        let many = many.filter_map(serde_json::Value::as_u64).map(Position);
        many.chain(self.position.map(Position)).collect()
    }

    fn response(self, status: StatusCode) -> Response {
        let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
        let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, self.body).into_response();
        if let Some(position) = self.position {
            response.headers_mut().insert(POSITION, HeaderValue::from(position));
        }
        response
    }
}

fn key_name(headers: &HeaderMap) -> Result<String> {
    let mut given = headers.get_all(HEADER).iter();
    let good = |v: &&HeaderValue| (1..=128).contains(&v.len()) && v.as_bytes().iter().all(u8::is_ascii_graphic);
    match (given.next().filter(good).and_then(|v| v.to_str().ok()), given.next()) {
        (Some(name), None) => Ok(name.to_owned()),
        _ => Err(Kind::InvalidQuery
            .because("`Idempotency-Key` is 1 to 128 printable ASCII characters without spaces, once.")),
    }
}

/// A claimed key. Its answer is stored, or it is given back.
struct ClaimedKey {
    answers: Arc<dyn AnswerRecords>,
    key: String,
    sealing: Digest,
    request: Arc<OneRequest>,
}

impl ClaimedKey {
    /// The request's commands, given once: where the log has them, what it says of them.
    async fn give(&self, state: &ApiState, caller: SignedIn, request: Request, next: Next) -> Response {
        let (mut parts, body) = request.into_parts();
        match state.recorded(&mut parts, caller, &self.request).await {
            Ok(None) => {
                parts.extensions.insert(Arc::clone(&self.request));
                next.run(Request::from_parts(parts, body)).await
            }
            Ok(Some(recorded)) => {
                let status = if recorded.is_new() { StatusCode::CREATED } else { StatusCode::OK };
                json(status, recorded.position(), &recorded).into_response()
            }
            Err(problem) => problem.into_response(),
        }
    }

    async fn store(self, response: Response) -> Response {
        let status = response.status();
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, MAX_STORED_BYTES).await else {
            self.release().await;
            return Kind::Internal.because("The answer is too large for `Idempotency-Key`.").into_response();
        };
        let position = parts.headers.get(POSITION).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        // What recorded nothing is asked anew, and fills no store.
        let recorded = status.is_success() || (status.is_client_error() && position.is_some());
        let sealed = recorded
            .then(|| self.seal(&StoredBody { position, body: String::from_utf8_lossy(&bytes).into_owned() }))
            .flatten();
        let stored = match sealed {
            Some(body) => {
                self.answers.store_answer(&self.key, StoredAnswer { status: status.as_u16(), body }).await.is_ok()
            }
            None => false,
        };
        if !stored {
            self.release().await;
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    async fn release(&self) {
        // Lost, the key stays claimed until the next start: repeats are refused, never done twice.
        if let Err(error) = self.answers.abandon_answer(&self.key).await {
            tracing::warn!(%error, "idempotency key not given back");
        }
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.sealing.0).ok().map(LessSafeKey::new)
    }

    fn seal(&self, stored: &StoredBody) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random().ok()?;
        let mut text = serde_json::to_vec(stored).ok()?;
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.cipher()?.seal_in_place_append_tag(sealing, Aad::empty(), &mut text).ok()?;
        Some([&nonce[..], &text].concat())
    }

    fn open(&self, stored: StoredAnswer) -> Result<(StatusCode, StoredBody)> {
        let unreadable = || Kind::Internal.because("The stored answer cannot be read. Take a new `Idempotency-Key`.");
        let StoredAnswer { status, mut body } = stored;
        let mut text = body.split_off(NONCE_LEN.min(body.len()));
        let nonce = Nonce::try_assume_unique_for_key(&body).map_err(|_| unreadable())?;
        let cipher = self.cipher().ok_or_else(unreadable)?;
        let plain = cipher.open_in_place(nonce, Aad::empty(), &mut text).map_err(|_| unreadable())?;
        let stored = serde_json::from_slice(plain).map_err(|_| unreadable())?;
        Ok((StatusCode::from_u16(status).map_err(|_| unreadable())?, stored))
    }
}
