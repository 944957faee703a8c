//! The OpenAPI document apart from its routes: what it says of itself, how callers sign in, and which permission each
//! operation demands.

use serde_json::json;
use utoipa::{
    Modify, OpenApi,
    openapi::extensions::Extensions,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use crate::http::permissions::{PERMISSIONS, RoutePermission};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Signed facts in, membership and its reasons out. Every read carries `Rollcall-Position`, `Rollcall-Log` and `Rollcall-Lag-Seconds`, and `Rollcall-Stale` where the roster is too old or the clock is behind to decide by it: no decision is answered then; every refusal is `application/problem+json`. `x-rollcall` has the action of the API's profile that an operation demands and where it is asked; what a caller does not see answers as what is not there.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Schemes),
    security(("bearer" = []), ("basic" = [])),
)]
pub(crate) struct Document;

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

/// Writes beside every operation which action it demands and where; who reads the document sees what `extractors` asks.
pub(crate) fn add_permissions(document: &mut utoipa::openapi::OpenApi) {
    for RoutePermission { method, path, demands } in PERMISSIONS {
        let Some(permission) = demands else { continue };
        let item = document.paths.paths.get_mut(*path);
        let operation = item.and_then(|item| match *method {
            "GET" => item.get.as_mut(),
            "POST" => item.post.as_mut(),
            "PUT" => item.put.as_mut(),
            "PATCH" => item.patch.as_mut(),
            "DELETE" => item.delete.as_mut(),
            _ => None,
        });
        let Some(operation) = operation else { continue };
        // One member: several would stand in a different order each time.
        let demand = json!({"action": permission.action, "at": permission.at.as_str()});
        let extension = Extensions::builder().add("x-rollcall", demand);
        operation.extensions.get_or_insert_default().merge(extension.build());
    }
}
