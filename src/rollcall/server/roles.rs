//! The parts of a server, which may run in processes of their own.

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use clap::ValueEnum;
use rollcall_api::Api;
use rollcall_registry::TokenServer;

use super::cors::{self, Origins};

/// A part of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Webhooks of sources
    Hooks,
    /// Registry tokens
    Registry,
    /// The API for people and programs
    Api,
}

/// The routes of these parts; of all when none is named. Pages of `origins` may ask for tokens.
pub fn router(roles: &[Role], api: Api, tokens: TokenServer, origins: Origins) -> Router {
    let wanted = |role: Role| roles.is_empty() || roles.contains(&role);
    let mut app = Router::new();
    if wanted(Role::Registry) {
        let mut routes = rollcall_registry::router(tokens);
        if !origins.is_empty() {
            routes = routes.layer(middleware::from_fn_with_state(origins, cors::allow));
        }
        app = app.merge(routes);
    }
    if wanted(Role::Hooks) || wanted(Role::Api) {
        let closed = match (wanted(Role::Hooks), wanted(Role::Api)) {
            (true, false) => Some("/api/"),
            (false, true) => Some("/hooks/"),
            _ => None,
        };
        let mut routes = rollcall_api::router(api);
        if let Some(prefix) = closed {
            routes = routes.layer(middleware::from_fn_with_state(prefix, refuse_part));
        }
        app = app.merge(routes);
    }
    app
}

/// Answers for a part that this process does not serve.
async fn refuse_part(State(prefix): State<&'static str>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(prefix) {
        return (StatusCode::NOT_FOUND, "this process does not serve that part (see --role)\n").into_response();
    }
    next.run(request).await
}
