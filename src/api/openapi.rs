//! The routes together: the router, and the OpenAPI document made of the very same list.
//! A route that is not in the document cannot be registered here.

use std::time::Duration;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use utoipa::{
    Modify, OpenApi,
    openapi::extensions::Extensions,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    authzen, bindings, decisions, deliveries, events, explain, folders, groups,
    guard::Locked,
    hooks, keys, log,
    once::once,
    people, plans, previews,
    problem::{Kind, Problem, name_instance},
    projections, projects, reports,
    rights::{At, RIGHTS},
    secrets, services, sources,
    telemetry::RequestAnswered,
    users,
};

/// Every route, with its description.
pub(crate) fn routes() -> OpenApiRouter<Locked> {
    let mut all = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(hooks::receive))
        .routes(routes!(openapi))
        .merge(log::routes())
        .merge(events::routes())
        .merge(deliveries::routes())
        .merge(sources::routes())
        .merge(plans::routes())
        .merge(projects::routes())
        .merge(people::routes())
        .merge(users::routes())
        .merge(secrets::routes())
        .merge(bindings::routes())
        .merge(folders::routes())
        .merge(groups::routes())
        .merge(services::routes())
        .merge(explain::routes())
        .merge(authzen::routes())
        .merge(previews::routes())
        .merge(reports::routes())
        .merge(decisions::routes())
        .merge(projections::routes())
        .merge(keys::routes());
    say_rights(all.get_openapi_mut());
    all
}

/// Writes beside every operation which action it demands and where; who reads the document sees what `guard` asks.
fn say_rights(document: &mut utoipa::openapi::OpenApi) {
    for right in RIGHTS.iter().filter(|right| right.at != At::Open) {
        let item = document.paths.paths.get_mut(right.path);
        let operation = item.and_then(|item| match right.method {
            "GET" => item.get.as_mut(),
            "POST" => item.post.as_mut(),
            "PUT" => item.put.as_mut(),
            "PATCH" => item.patch.as_mut(),
            "DELETE" => item.delete.as_mut(),
            _ => None,
        });
        let Some(operation) = operation else { continue };
        // One member: several would stand in a different order each time.
        let said = json!({"action": right.action, "at": right.at.word()});
        let said = Extensions::builder().add("x-rollcall", said);
        operation.extensions.get_or_insert_default().merge(said.build());
    }
}

/// The router, with what holds for all routes.
pub(crate) fn assemble(state: Locked) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(name_instance))
        .layer(middleware::from_fn_with_state(state.clone(), once))
        .layer(middleware::from_fn(name_instance))
        .layer(middleware::from_fn_with_state(state.clone(), count))
        .with_state(state)
}

/// The document as JSON text.
pub(crate) fn document() -> String {
    let mut text = serde_json::to_string_pretty(&routes().into_openapi()).unwrap_or_default();
    text.push('\n');
    text
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Signed facts in, membership and its reasons out. Every read carries `Rollcall-Position`, `Rollcall-Log` and `Rollcall-Lag-Seconds`; every refusal is `application/problem+json`. `x-rollcall` has the action of the API's profile that an operation demands and where it is asked; what a caller does not see answers as what is not there.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Schemes),
    security(("bearer" = []), ("basic" = [])),
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut scheme = |name: &str, kind, text: &str| {
            let http = HttpBuilder::new().scheme(kind).description(Some(text)).build();
            components.add_security_scheme(name, SecurityScheme::Http(http));
        };
        scheme("bearer", HttpAuthScheme::Bearer, "A secret of a user or service, `rcs_..`, or the admin key, `rk_..`");
        scheme(
            "basic",
            HttpAuthScheme::Basic,
            "A user's name or a service's id, and a secret of it; or a user's name and its password in a directory",
        );
        let signature =
            ApiKeyValue::with_description("webhook-signature", "As the source's format signs, e.g. Standard Webhooks");
        components.add_security_scheme("signature", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "openapi", operation_id = "openapi", security(()),
    responses((status = 200, body = Object))
)]
async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

async fn unknown_route() -> Problem {
    Kind::UnknownRoute.because("The routes are listed in /api/v1/openapi.json.")
}

async fn method_not_allowed() -> Problem {
    Kind::MethodNotAllowed.because("The header `Allow` lists the methods of this route.")
}

/// Counts and times every request.
async fn count(State(state): State<Locked>, request: Request, next: Next) -> Response {
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
