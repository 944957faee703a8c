//! The routes together: the router, and the OpenAPI document made of the very same list.
//! A route that is not in the document cannot be registered here.

use std::{sync::LazyLock, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use rollcall_events::Digest;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{
        conditions,
        extractors::ApiState,
        idempotency::answer_once,
        openapi::{Document, add_permissions},
        problem::{Kind, Problem, Result, add_instance},
    },
    routes::{
        access::{
            authzen, bindings, decisions, explain, folders, groups, identity, nearest, people, previews, projects,
            reports, secrets, services, sign_ins, users,
        },
        operations::{
            configuration, deliveries, events, hooks, keys, log, plans, problems, projections, reload, sources,
        },
    },
    telemetry::RequestAnswered,
};

/// Every route, with its description.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    let mut all = OpenApiRouter::with_openapi(Document::openapi()).merge(hook_routes()).merge(api_routes());
    add_permissions(all.get_openapi_mut());
    all
}

/// Where sources post. An event has an id of its own, and a delivery may come as often as it likes.
fn hook_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(hooks::receive, hooks::validate))
}

/// What people and programs ask and command.
fn api_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(openapi))
        .merge(log::routes())
        .merge(events::routes())
        .merge(deliveries::routes())
        .merge(sources::routes())
        .merge(plans::routes())
        .merge(problems::routes())
        .merge(configuration::routes())
        .merge(projects::routes())
        .merge(people::routes())
        .merge(users::routes())
        .merge(identity::routes())
        .merge(secrets::routes())
        .merge(bindings::routes())
        .merge(folders::routes())
        .merge(groups::routes())
        .merge(nearest::routes())
        .merge(services::routes())
        .merge(explain::routes())
        .merge(authzen::routes())
        .merge(previews::routes())
        .merge(reports::routes())
        .merge(decisions::routes())
        .merge(sign_ins::routes())
        .merge(projections::routes())
        .merge(keys::routes())
        .merge(reload::routes())
}

/// The router, with what holds for all routes.
pub(crate) fn assemble(state: ApiState) -> Router {
    let (hooks, _) = hook_routes().split_for_parts();
    let (api, _) = api_routes().split_for_parts();
    api.layer(middleware::from_fn(add_instance))
        .layer(middleware::from_fn_with_state(state.clone(), answer_once))
        .merge(hooks)
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(add_instance))
        .layer(middleware::from_fn_with_state(state.clone(), record_request))
        .with_state(state)
}

/// The document as JSON text.
pub(crate) fn document() -> String {
    let mut text = serde_json::to_string_pretty(&routes().into_openapi()).unwrap_or_default();
    text.push('\n');
    text
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "openapi", operation_id = "openapi", security(()),
    responses((status = 200, body = Object))
)]
async fn openapi(headers: HeaderMap) -> Result<Response> {
    let known = conditions::if_none_match(&headers)?;
    let (document, tag) = &*SERVED;
    let known = known.is_some_and(|known| known.split(',').any(|k| k == "*" || k.trim_start_matches("W/") == tag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], document.clone()).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    Ok(response)
}

/// The document as it is served, and its entity tag: made once, as it is the same for everybody.
static SERVED: LazyLock<(Bytes, String)> = LazyLock::new(|| {
    let text = document();
    let tag = format!("\"{:016x}\"", Digest::of(text.as_bytes()).prefix());
    (text.into(), tag)
});

async fn unknown_route() -> Problem {
    Kind::UnknownRoute.because("The routes are listed in /api/v1/openapi.json.")
}

async fn method_not_allowed() -> Problem {
    Kind::MethodNotAllowed.because("The header `Allow` lists the methods of this route.")
}

/// Counts and times every request.
async fn record_request(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|m| m.as_str().to_owned());
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    };
    let started = state.now();
    let response = next.run(request).await;
    let took = (state.now() - started).to_std().unwrap_or(Duration::ZERO);
    let route = route.as_deref().unwrap_or("-");
    RequestAnswered { route, method, status: response.status().as_u16(), seconds: took.as_secs_f64() }.emit();
    response
}
