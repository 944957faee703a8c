//! `Idempotency-Key` on POST: the same request again gets the stored answer, for a day.
//! A stored answer may hold what is shown once (a registry secret), so it is kept under a key that only the caller has:
//! neither `ops.db` nor a backup of it can open it.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use rollcall_app::{Error, random};
use rollcall_events::Digest;
use rollcall_store::ops::{AnswerRecords, Claim, StoredAnswer};
use serde::{Deserialize, Serialize};

use crate::http::{
    body::{BODY_TIMEOUT, MAX_DOCUMENT_BYTES, read_body},
    extractors::ApiState,
    problem::{Kind, Result},
    response::POSITION,
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

/// Middleware for the routes of `/api/v1`. Does nothing for a caller without a good credential: such a one is refused
/// further in, and must not be able to fill the store. An invitation is single-use by itself.
pub(crate) async fn answer_once(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let applies = request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && request.uri().path().starts_with("/api/v1/")
        && state.is_authenticated(request.headers(), request.extensions()).await;
    if !applies {
        return next.run(request).await;
    }
    match claim(&state, request).await {
        Ok(Claimed::First(request, claimed)) => {
            // Goes on when the caller goes away: the answer must be there when it comes back.
            let task = tokio::spawn(async move { claimed.store(next.run(request).await).await });
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

async fn claim(state: &ApiState, request: Request) -> Result<Claimed> {
    let (parts, body) = request.into_parts();
    let named = key_name(&parts.headers)?;
    // The route has its own limit, further in.
    let body = read_body(&parts.headers, body, MAX_DOCUMENT_BYTES, BODY_TIMEOUT).await?;
    let authorization = parts.headers.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
    let claimed = ClaimedKey {
        answers: state.stored_answers().clone(),
        key: digest(&[b"row", authorization, named.as_bytes()]).to_string(),
        sealing: digest(&[b"seal", authorization, named.as_bytes()]),
    };
    let asked = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let request_digest = digest(&[asked.as_bytes(), &body]);
    let claim = claimed.answers.claim_answer(&claimed.key, request_digest, state.now()).await;
    match claim.map_err(|e| Error::unavailable("Nothing was done", &e))? {
        Claim::First => Ok(Claimed::First(Request::from_parts(parts, Body::from(body)), claimed)),
        Claim::Answered(stored) => claimed.open(stored).map(Claimed::Answered),
        Claim::Running => Err(Kind::RequestRunning
            .because("The request with this `Idempotency-Key` is still running; send it again in a moment.")
            .retry_after(1)),
        Claim::Other => Err(Kind::IdempotencyKeyReused
            .because("This `Idempotency-Key` was used for another path or body; take a new one for a new request.")),
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

fn digest(parts: &[&[u8]]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Digest::of(&bytes)
}

/// A claimed key. Its answer is stored, or it is given back.
struct ClaimedKey {
    answers: Arc<dyn AnswerRecords>,
    key: String,
    sealing: Digest,
}

impl ClaimedKey {
    async fn store(self, response: Response) -> Response {
        let status = response.status();
        let is_transient = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, MAX_STORED_BYTES).await else {
            self.release().await;
            return Kind::Internal.because("The answer is too large for `Idempotency-Key`.").into_response();
        };
        let position = parts.headers.get(POSITION).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let sealed = (!is_transient && !status.is_server_error())
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

    fn open(&self, stored: StoredAnswer) -> Result<Response> {
        let unreadable = || Kind::Internal.because("The stored answer cannot be read. Take a new `Idempotency-Key`.");
        let StoredAnswer { status, mut body } = stored;
        let mut text = body.split_off(NONCE_LEN.min(body.len()));
        let nonce = Nonce::try_assume_unique_for_key(&body).map_err(|_| unreadable())?;
        let cipher = self.cipher().ok_or_else(unreadable)?;
        let plain = cipher.open_in_place(nonce, Aad::empty(), &mut text).map_err(|_| unreadable())?;
        let StoredBody { position, body } = serde_json::from_slice(plain).map_err(|_| unreadable())?;
        let status = StatusCode::from_u16(status).map_err(|_| unreadable())?;
        let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
        let mut response =
            (status, [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response();
        if let Some(position) = position {
            response.headers_mut().insert(POSITION, HeaderValue::from(position));
        }
        Ok(response)
    }
}
