//! How answers look: position headers, entity tags, pages. Renders what it is given and asks nobody.

use std::collections::BinaryHeap;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rollcall_events::{Digest, LogId, Position};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    command::Done,
    http::guard::Reads,
    http::problem::{Answer, Kind},
    http::query::Paged,
};

pub(crate) const POSITION: HeaderName = HeaderName::from_static("rollcall-position");
pub(crate) const LOG: HeaderName = HeaderName::from_static("rollcall-log");
pub(crate) const LAG: HeaderName = HeaderName::from_static("rollcall-lag-seconds");

/// What an answer depends on, beside the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestsOn {
    /// On the log up to a position, and on nothing else: the position is the entity tag.
    LogAlone,
    /// The newest event about one thing, and what hangs on it: the tag begins with that event, for `If-Match`.
    ItsEvent(Position),
    /// Also on the time or on records kept beside the log: the tag has to name the content too.
    MoreThanTheLog,
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; `null` on the last. The `Link` header says the same.
    pub next: Option<String>,
}

/// A list that is short enough to be whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The rows.
    pub items: Vec<T>,
}

impl<Q> Reads<Q> {
    /// An answer that is no JSON, with the headers that every read carries.
    pub fn stamped(&self, mut response: Response) -> Response {
        self.stamp(&mut response, self.applied());
        response
    }

    /// As [`Self::stamped`], of how much of the log it holds.
    pub fn stamped_at(&self, mut response: Response, position: Position) -> Response {
        self.stamp(&mut response, position);
        response
    }

    /// A read's answer: `position` is how much of the log it holds.
    pub fn answer(&self, position: Position, rests_on: RestsOn, body: &impl Serialize) -> Answer<Response> {
        let bytes = serde_json::to_vec(body)
            .map_err(|_| Kind::Internal.because("The answer could not be written. Report this."))?;
        let tag = match rests_on {
            RestsOn::LogAlone => format!("\"pos-{position}\""),
            RestsOn::ItsEvent(changed) => format!("\"pos-{changed}-{:016x}\"", Digest::of(&bytes).prefix()),
            RestsOn::MoreThanTheLog => format!("\"pos-{position}-{:016x}\"", Digest::of(&bytes).prefix()),
        };
        let known = self.known.as_deref().is_some_and(|known| {
            known.split(',').map(|k| k.trim().trim_start_matches("W/")).any(|k| k == tag || k == "*")
        });
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
        };
        self.stamp(&mut response, position);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    fn stamp(&self, response: &mut Response, position: Position) {
        let lag = self.control().lag(self.now()).as_secs_f64();
        let headers = response.headers_mut();
        headers.insert(POSITION, HeaderValue::from(position.0));
        headers.insert(LOG, log_header(self.tail().log_id()));
        if let Ok(lag) = HeaderValue::from_str(&format!("{lag:.3}")) {
            headers.insert(LAG, lag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

impl<F> Reads<Paged<F>> {
    /// A page: `rows` holds up to one more than the limit, which tells that there is a next page.
    pub fn page<T: Serialize>(
        &self,
        position: Position,
        rests_on: RestsOn,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> Answer<Response> {
        let more = rows.len() > self.query.limit;
        rows.truncate(self.query.limit);
        let next = rows.last().filter(|_| more).map(|last| self.query.cursor(&key(last)));
        self.page_to(position, rests_on, rows, next)
    }

    /// A page that goes on at a known cursor.
    pub fn page_to<T: Serialize>(
        &self,
        position: Position,
        rests_on: RestsOn,
        items: Vec<T>,
        next: Option<String>,
    ) -> Answer<Response> {
        let link = next.as_deref().and_then(|next| HeaderValue::from_str(&self.query.link(next)).ok());
        let mut response = self.answer(position, rests_on, &Page { items, next })?;
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    }
}

/// The log's id as a header.
pub(crate) fn log_header(log: LogId) -> HeaderValue {
    HeaderValue::from_str(&log.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// A command that stands in the log and was not refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct Judged {
    /// Where it stands.
    #[schema(value_type = u64)]
    position: Position,
    /// `applied` or `no_change`.
    effect: &'static str,
}

/// The answer to a command that has nothing else to show.
pub(crate) fn judged(status: StatusCode, command: &Done) -> Answer<Response> {
    let body = Judged { position: command.position, effect: command.effect.word() };
    done(status, Some(command.position), &body)
}

/// Something that was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its id, as paths and bodies name it.
    id: String,
    /// Where it stands.
    #[schema(value_type = u64)]
    position: Position,
    /// `applied` or `no_change`.
    effect: &'static str,
}

/// The answer to a command that made something.
pub(crate) fn made(id: String, command: &Done) -> Answer<Response> {
    let body = Made { id, position: command.position, effect: command.effect.word() };
    done(StatusCode::CREATED, Some(command.position), &body)
}

/// Of many keyed things those that come next after `after`, one more than `limit` if there are as many.
pub(crate) fn smallest<K: Ord, T: Ord>(
    all: impl Iterator<Item = (K, T)>,
    after: Option<K>,
    limit: usize,
) -> Vec<(K, T)> {
    let mut heap = BinaryHeap::with_capacity(limit + 2);
    for row in all.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)) {
        if heap.len() <= limit {
            heap.push(row);
        } else if heap.peek().is_some_and(|largest| row < *largest) {
            heap.pop();
            heap.push(row);
        }
    }
    heap.into_sorted_vec()
}

/// The answer to something that was recorded, with the position to ask for in the next read.
pub(crate) fn done(status: StatusCode, position: Option<Position>, body: &impl Serialize) -> Answer<Response> {
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
