//! How answers look: position headers, entity tags, pages. Renders what it is given and asks nobody.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rollcall_app::{Answer, CacheBasis, CommandOutcome, Created, Page};
use rollcall_events::{Digest, Position};
use serde::Serialize;

use crate::http::{
    extractors::Read,
    problem::{Kind, Result},
    query::Paged,
};

pub(crate) const POSITION: HeaderName = HeaderName::from_static("rollcall-position");
pub(crate) const LOG: HeaderName = HeaderName::from_static("rollcall-log");
pub(crate) const LAG: HeaderName = HeaderName::from_static("rollcall-lag-seconds");
/// Why nothing would be decided by what is answered.
pub(crate) const STALE: HeaderName = HeaderName::from_static("rollcall-stale");

impl<Q> Read<Q> {
    /// An answer that is no JSON, with the headers that every read carries; `position` is how much of the log it holds.
    pub fn respond_with(&self, position: Position, mut response: Response) -> Response {
        self.stamp(&mut response, position);
        response
    }

    /// An answer as JSON, with its entity tag; nothing but that where the caller has it already.
    pub fn respond<T: Serialize>(&self, answer: &Answer<T>) -> Result<Response> {
        let Answer { position, cache_basis, value } = answer;
        let bytes = serde_json::to_vec(value)
            .map_err(|_| Kind::Internal.because("The answer could not be written. Report this."))?;
        let tag = match cache_basis {
            CacheBasis::Log => format!("\"pos-{position}\""),
            CacheBasis::Event(changed) => format!("\"pos-{changed}-{:016x}\"", Digest::of(&bytes).prefix()),
            CacheBasis::Volatile => format!("\"pos-{position}-{:016x}\"", Digest::of(&bytes).prefix()),
        };
        let known = self.if_none_match.as_deref().is_some_and(|known| {
            known.split(',').map(|k| k.trim().trim_start_matches("W/")).any(|k| k == tag || k == "*")
        });
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
        };
        self.stamp(&mut response, *position);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    fn stamp(&self, response: &mut Response, position: Position) {
        let headers = response.headers_mut();
        headers.insert(POSITION, HeaderValue::from(position.0));
        let log = HeaderValue::from_str(&self.reads.log_id().to_string());
        headers.insert(LOG, log.unwrap_or_else(|_| HeaderValue::from_static("unknown")));
        if let Ok(lag) = HeaderValue::from_str(&format!("{:.3}", self.reads.lag().as_secs_f64())) {
            headers.insert(LAG, lag);
        }
        if let Some(stale) = self.reads.stale().and_then(|stale| HeaderValue::from_str(&stale.to_string()).ok()) {
            headers.insert(STALE, stale);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

impl<F> Read<Paged<F>> {
    /// A page; the key that its `next` holds becomes a cursor of this very query.
    pub fn respond_page<T: Serialize>(&self, mut answer: Answer<Page<T>>) -> Result<Response> {
        answer.value.next = answer.value.next.as_deref().map(|key| self.query.cursor(key));
        let next = answer.value.next.as_deref();
        let link = next.and_then(|next| HeaderValue::from_str(&self.query.link(next)).ok());
        let mut response = self.respond(&answer)?;
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// The answer to something that was recorded or done, with the position to ask for in the next read.
pub(crate) fn json(status: StatusCode, position: Option<Position>, body: &impl Serialize) -> Result<Response> {
    let bytes = serde_json::to_vec(body)
        .map_err(|_| Kind::Internal.because("It was recorded, but the answer could not be written. Report this."))?;
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response();
    let headers = response.headers_mut();
    if let Some(position) = position {
        headers.insert(POSITION, HeaderValue::from(position.0));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The answer to a command that has nothing else to show.
pub(crate) fn outcome(status: StatusCode, outcome: &CommandOutcome) -> Result<Response> {
    json(status, Some(outcome.position), outcome)
}

/// The answer to a command that made something.
pub(crate) fn created(made: &Created) -> Result<Response> {
    json(StatusCode::CREATED, Some(made.position), made)
}
