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
use rollcall_events::Digest;
use rollcall_store::ops::{AnswerRecords, Claim, StoredAnswer};
use serde::{Deserialize, Serialize};

use crate::{
    command::random,
    http::guard::Locked,
    http::input::{MOST_WIDE_BYTES, PATIENCE, read_body},
    http::problem::{Answer, Kind, Problem},
    http::reply::POSITION,
};

const HEADER: &str = "idempotency-key";
/// Answers are small; a larger one is given and not stored.
const LARGEST_ANSWER: usize = 1 << 20;

/// What an answer needs to be given again.
#[derive(Serialize, Deserialize)]
struct Kept {
    position: Option<u64>,
    body: String,
}

/// Middleware for the routes of `/api/v1`. Does nothing for a caller without a good credential: such a one is refused
/// further in, and must not be able to fill the store. An invitation is single-use by itself.
pub(crate) async fn once(State(state): State<Locked>, request: Request, next: Next) -> Response {
    let applies = request.method() == Method::POST
        && request.headers().contains_key(HEADER)
        && request.uri().path().starts_with("/api/v1/")
        && state.admits(request.headers(), request.extensions()).await;
    if !applies {
        return next.run(request).await;
    }
    match claim(&state, request).await {
        Ok(Claimed::First(request, ticket)) => {
            // Goes on when the caller goes away: the answer must be there when it comes back.
            let task = tokio::spawn(async move { ticket.keep(next.run(request).await).await });
            task.await.unwrap_or_else(|_| Kind::Internal.because("The request failed half way.").into_response())
        }
        Ok(Claimed::Answered(response)) => response,
        Err(problem) => problem.into_response(),
    }
}

enum Claimed {
    First(Request, Ticket),
    Answered(Response),
}

async fn claim(state: &Locked, request: Request) -> Answer<Claimed> {
    let (parts, body) = request.into_parts();
    let named = name(&parts.headers)?;
    // The route has its own limit, further in.
    let body = read_body(&parts.headers, body, MOST_WIDE_BYTES, PATIENCE).await?;
    let authorization = parts.headers.get(header::AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
    let ticket = Ticket {
        answers: state.ops().clone(),
        key: digest(&[b"row", authorization, named.as_bytes()]).to_string(),
        sealing: digest(&[b"seal", authorization, named.as_bytes()]),
    };
    let asked = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let request_digest = digest(&[asked.as_bytes(), &body]);
    let claim = ticket.answers.claim_answer(&ticket.key, request_digest, state.now()).await;
    match claim.map_err(|e| Problem::unavailable("Nothing was done", &e))? {
        Claim::First => Ok(Claimed::First(Request::from_parts(parts, Body::from(body)), ticket)),
        Claim::Answered(stored) => ticket.open(stored).map(Claimed::Answered),
        Claim::Running => Err(Kind::RequestRunning
            .because("The request with this `Idempotency-Key` is still running; send it again in a moment.")
            .retry_after(1)),
        Claim::Other => Err(Kind::IdempotencyKeyReused
            .because("This `Idempotency-Key` was used for another path or body; take a new one for a new request.")),
    }
}

fn name(headers: &HeaderMap) -> Answer<String> {
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
struct Ticket {
    answers: Arc<dyn AnswerRecords>,
    key: String,
    sealing: Digest,
}

impl Ticket {
    async fn keep(self, response: Response) -> Response {
        let status = response.status();
        let passing = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, LARGEST_ANSWER).await else {
            self.give_back().await;
            return Kind::Internal.because("The answer is too large for `Idempotency-Key`.").into_response();
        };
        let position = parts.headers.get(POSITION).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let sealed = (!passing && !status.is_server_error())
            .then(|| self.seal(&Kept { position, body: String::from_utf8_lossy(&bytes).into_owned() }))
            .flatten();
        let stored = match sealed {
            Some(body) => {
                self.answers.store_answer(&self.key, StoredAnswer { status: status.as_u16(), body }).await.is_ok()
            }
            None => false,
        };
        if !stored {
            self.give_back().await;
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    async fn give_back(&self) {
        // Lost, the key stays claimed until the next start: repeats are refused, never done twice.
        if let Err(error) = self.answers.abandon_answer(&self.key).await {
            tracing::warn!(%error, "idempotency key not given back");
        }
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.sealing.0).ok().map(LessSafeKey::new)
    }

    fn seal(&self, kept: &Kept) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random().ok()?;
        let mut text = serde_json::to_vec(kept).ok()?;
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.cipher()?.seal_in_place_append_tag(sealing, Aad::empty(), &mut text).ok()?;
        Some([&nonce[..], &text].concat())
    }

    fn open(&self, stored: StoredAnswer) -> Answer<Response> {
        let unreadable = || Kind::Internal.because("The stored answer cannot be read. Take a new `Idempotency-Key`.");
        let StoredAnswer { status, mut body } = stored;
        let mut text = body.split_off(NONCE_LEN.min(body.len()));
        let nonce = Nonce::try_assume_unique_for_key(&body).map_err(|_| unreadable())?;
        let cipher = self.cipher().ok_or_else(unreadable)?;
        let plain = cipher.open_in_place(nonce, Aad::empty(), &mut text).map_err(|_| unreadable())?;
        let Kept { position, body } = serde_json::from_slice(plain).map_err(|_| unreadable())?;
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
