//! Everything that the token endpoint can answer, as HTTP (clients.md section 4, T8 to T10). Status codes are chosen here
//! and nowhere else; no answer may be stored, and every error has the OCI shape, which clients parse.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// containerd keeps a token without `expires_in` for ever, and docker and podman take less than 60 for 60 (clients.md 4).
const SHORTEST_SHOWN: i64 = 60;

/// A token, on its way to a client.
#[derive(Debug)]
pub(crate) struct TokenReply<'a> {
    pub(crate) token: &'a str,
    pub(crate) issued: DateTime<Utc>,
    /// What is left until `exp`; shown as at least 60.
    pub(crate) seconds: i64,
    /// What was granted, on POST.
    pub(crate) scope: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a str>,
}

impl IntoResponse for TokenReply<'_> {
    /// Written by hand: tokens are base64url with dots, scopes are checked names and known words, so nothing needs an
    /// escape, and looking for some in two thousand bytes would cost a tenth of the signature.
    fn into_response(self) -> Response {
        let issued = self.issued.to_rfc3339_opts(SecondsFormat::Secs, true);
        let expires_in = self.seconds.max(SHORTEST_SHOWN).to_string();
        let mut body = String::with_capacity(2 * self.token.len() + 512);
        let mut push = |parts: &[&str]| parts.iter().for_each(|part| body.push_str(part));
        push(&[r#"{"token":""#, self.token, r#"","access_token":""#, self.token]);
        push(&[r#"","expires_in":"#, &expires_in, r#","issued_at":""#, &issued, "\""]);
        if let Some(scope) = self.scope {
            push(&[r#","scope":""#, scope, "\""]);
        }
        if let Some(refresh_token) = self.refresh_token {
            push(&[r#","refresh_token":""#, refresh_token, "\""]);
        }
        push(&["}"]);
        json(StatusCode::OK, body.into())
    }
}

/// A request that gets no token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request is wrong, and the text says what to do.
    Request(String),
    /// Only GET and POST are served.
    Method,
    /// Whatever is wrong with a credential, the answer is the same.
    Credentials,
    /// The directory's password is right and has to be changed first; only whoever knows it gets here.
    PasswordOver,
    /// Too many wrong credentials.
    Throttled(TimeDelta),
    /// Every asked repository is refused, and this is why.
    Denied(String),
    /// The question cannot be answered now.
    Unavailable(&'static str),
    /// The server is put together wrongly.
    Internal(&'static str),
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: [OneError<'a>; 1],
}

#[derive(Serialize)]
struct OneError<'a> {
    code: &'static str,
    message: &'a str,
    detail: Option<()>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry = |wait: i64| (header::RETRY_AFTER, HeaderValue::from(wait));
        let challenge = || {
            let basic = HeaderValue::from_static("Basic realm=\"rollcall\", charset=\"UTF-8\"");
            Some((header::WWW_AUTHENTICATE, basic))
        };
        let (status, code, message, header) = match &self {
            Self::Request(text) => (StatusCode::BAD_REQUEST, "BAD_REQUEST", text.as_str(), None),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "tokens are asked for with GET or POST",
                Some((header::ALLOW, HeaderValue::from_static("GET, POST"))),
            ),
            Self::Credentials => (
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "authentication required: the user name or the secret is wrong",
                challenge(),
            ),
            Self::PasswordOver => (
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "your password in the directory has expired or has to be changed; change it there, then sign in",
                challenge(),
            ),
            Self::Throttled(wait) => (
                StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                "too many wrong credentials; wait and try again",
                Some(retry(wait.num_seconds().max(1))),
            ),
            Self::Denied(text) => (StatusCode::FORBIDDEN, "DENIED", text.as_str(), None),
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", *text, Some(retry(5))),
            Self::Internal(text) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", *text, None),
        };
        let body = Errors { errors: [OneError { code, message, detail: None }] };
        let mut response = json(status, serde_json::to_vec(&body).unwrap_or_default());
        response.headers_mut().extend(header);
        response
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
