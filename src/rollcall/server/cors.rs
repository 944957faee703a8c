//! Sign-in with `/token` from pages of other origins: the headers that let a browser do it, for the origins that are
//! configured and for nobody else. Without any this stands in no request's way.
//!
//! No answer allows credentials: a page sends name and secret itself, as a header or a form, never what a browser keeps.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// For how many seconds a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may sign in.
pub type Origins = Arc<[HeaderValue]>;

/// The configured origins. Each was checked with the configuration; what is no header's value is nobody's origin.
pub fn origins(configured: &[String]) -> Origins {
    configured.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect()
}

/// Answers a browser's question before it sends what another origin's page asks for, and says of other answers whose pages may
/// read them.
pub async fn allow(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/token" {
        return next.run(request).await;
    }
    let asked = request.headers().get(header::ORIGIN);
    let origin = asked.and_then(|asked| origins.iter().find(|known| *known == asked)).cloned();
    let is_preflight =
        *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if is_preflight => {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            headers
                .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            (StatusCode::NO_CONTENT, headers).into_response()
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // Whatever keeps an answer must not give it to the pages of another origin.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
