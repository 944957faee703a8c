//! Who may use which route: one row per route, with the action of the API's profile that it demands and where that is
//! asked. `extractors` holds every request against it, the OpenAPI document prints it, a test walks it.
//! A route without a row answers nobody.

use axum::http::Method;
use rollcall_app::{At, Permission};

/// A route, and what it demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoutePermission {
    /// The HTTP method.
    pub method: &'static str,
    /// The route's pattern.
    pub path: &'static str,
    /// What it demands. Nothing of an open route: its credential is in the request itself, or there is nothing to guard.
    pub demands: Option<Permission>,
}

macro_rules! routes {
    ($($method:ident $path:literal $($action:literal)? $at:ident;)*) => {
        &[$(RoutePermission {
            method: stringify!($method),
            path: $path,
            demands: routes!(@demands $($action)? $at),
        },)*]
    };
    (@demands Open) => { None };
    (@demands $action:literal $at:ident) => { Some(Permission { action: $action, at: At::$at }) };
}

/// Every route. People who only hold secrets of their own reach `Rows`, `User`, `ProjectOrOwn`, `Service` and
/// `Body`, of `Binding` their own, and of `Project` those they see.
pub(crate) const PERMISSIONS: &[RoutePermission] = routes! {
    POST "/hooks/{source}" Open;
    OPTIONS "/hooks/{source}" Open;
    GET "/api/v1/openapi.json" Open;
    POST "/api/v1/invitations/{code}" Open;
    GET "/.well-known/authzen-configuration" Open;
    POST "/access/v1/evaluation" "access.explain" Body;
    POST "/access/v1/evaluations" "access.explain" Body;
    GET "/api/v1/log/head" "event.list" Root;
    GET "/api/v1/log/key" "event.list" Root;
    POST "/api/v1/log/verify" "log.verify" Root;
    GET "/api/v1/events" "event.list" Root;
    GET "/api/v1/events/{position}" "event.list" Root;
    GET "/api/v1/deliveries" "delivery.list" Root;
    GET "/api/v1/deliveries/{id}" "delivery.list" Root;
    POST "/api/v1/deliveries/{id}/replay" "delivery.replay" Root;
    POST "/api/v1/deliveries/replay" "delivery.replay" Root;
    POST "/api/v1/deliveries/{id}/dismiss" "delivery.dismiss" Root;
    GET "/api/v1/sources" "source.list" Root;
    POST "/api/v1/sources/{name}/plan" "plan.apply" Root;
    GET "/api/v1/sources/{name}/{change}/plan" "plan.list" Root;
    GET "/api/v1/sources/{name}/{change}/plan/rows" "plan.list" Root;
    POST "/api/v1/sources/{name}/suspend" "source.set" Root;
    POST "/api/v1/sources/{name}/resume" "source.set" Root;
    POST "/api/v1/sources/{name}/retire" "source.set" Root;
    GET "/api/v1/problems" "problem.list" Root;
    GET "/api/v1/plans" "plan.list" Root;
    GET "/api/v1/plans/{id}" "plan.list" Root;
    GET "/api/v1/plans/{id}/rows" "plan.list" Root;
    GET "/api/v1/plans/{id}/memberships" "plan.list" Root;
    POST "/api/v1/plans/{id}/apply" "plan.apply" Root;
    POST "/api/v1/plans/{id}/discard" "plan.apply" Root;
    GET "/api/v1/configuration" "plan.list" Root;
    GET "/api/v1/configuration/plan" "plan.list" Root;
    GET "/api/v1/configuration/plan/rows" "plan.list" Root;
    POST "/api/v1/configuration/apply" "settings.set" Root;
    GET "/api/v1/projects" "project.list" Rows;
    GET "/api/v1/projects/{name}" "project.list" Project;
    GET "/api/v1/projects/{name}/members" "member.list" ProjectOrOwn;
    POST "/api/v1/projects" "project.create" Body;
    PATCH "/api/v1/projects/{name}" "project.update" Project;
    DELETE "/api/v1/projects/{name}" "project.delete" Project;
    GET "/api/v1/folders" "folder.list" Rows;
    GET "/api/v1/folders/{id}" "folder.list" Folder;
    PUT "/api/v1/folders/{id}" "folder.set" Root;
    DELETE "/api/v1/folders/{id}" "folder.set" Root;
    GET "/api/v1/nearest" "project.list" Rows;
    GET "/api/v1/groups" "group.list" Root;
    POST "/api/v1/groups" "group.set" Root;
    GET "/api/v1/groups/{source}/{group}" "group.list" Root;
    DELETE "/api/v1/groups/{source}/{group}" "group.set" Root;
    GET "/api/v1/groups/{source}/{group}/members" "group.list" Root;
    PUT "/api/v1/groups/{source}/{group}/members/{kind}/{member}" "group.set" Root;
    DELETE "/api/v1/groups/{source}/{group}/members/{kind}/{member}" "group.set" Root;
    GET "/api/v1/services" "service.list" Rows;
    POST "/api/v1/services" "service.set" Root;
    GET "/api/v1/services/{id}" "service.list" Service;
    DELETE "/api/v1/services/{id}" "service.set" Root;
    GET "/api/v1/services/{id}/secrets" "secret.list" Service;
    POST "/api/v1/services/{id}/secrets" "service.set" Root;
    GET "/api/v1/services/{id}/secrets/{secret}/made" "secret.list" Service;
    DELETE "/api/v1/services/{id}/secrets/{secret}" "service.set" Root;
    GET "/api/v1/people" "person.list" Root;
    GET "/api/v1/people/{source}/{id}" "person.list" Root;
    DELETE "/api/v1/people/{source}/{id}/personal" "person.erase" Root;
    GET "/api/v1/users" "user.list" Rows;
    GET "/api/v1/users/{name}" "user.list" User;
    GET "/api/v1/users/{name}/access" "access.explain" User;
    GET "/api/v1/secrets" "secret.list" Rows;
    GET "/api/v1/users/{name}/secrets" "secret.list" User;
    POST "/api/v1/users/{name}/secrets" "secret.issue" User;
    GET "/api/v1/users/{name}/secrets/{id}/made" "secret.list" User;
    DELETE "/api/v1/users/{name}/secrets/{id}" "secret.revoke" User;
    POST "/api/v1/users/{name}/invitations" "secret.issue" User;
    POST "/api/v1/users/{name}/credentials-reset" "secret.revoke" User;
    PUT "/api/v1/users/{name}/username" "person.name" Root;
    DELETE "/api/v1/usernames/{username}" "person.name" Root;
    GET "/api/v1/links" "user.list" Root;
    POST "/api/v1/links/plan" "plan.list" Root;
    POST "/api/v1/links" "person.link" Root;
    GET "/api/v1/bindings" "binding.list" Rows;
    POST "/api/v1/bindings" "binding.set" Body;
    POST "/api/v1/bindings/plan" "binding.list" Body;
    POST "/api/v1/bindings/apply" "binding.set" Body;
    GET "/api/v1/bindings/{id}" "binding.list" Binding;
    DELETE "/api/v1/bindings/{id}" "binding.remove" Binding;
    POST "/api/v1/preview" "preview.run" Root;
    POST "/api/v1/explain" "access.explain" Body;
    GET "/api/v1/reports/who" "report.read" Body;
    GET "/api/v1/reports/diff" "report.read" Body;
    GET "/api/v1/decisions" "decision.list" Root;
    GET "/api/v1/decisions/{id}" "decision.list" Root;
    GET "/api/v1/refused-sign-ins" "decision.list" Rows;
    GET "/api/v1/registry" "user.list" Rows;
    GET "/api/v1/projections" "projection.list" Root;
    POST "/api/v1/projections/{name}/check" "projection.rebuild" Root;
    POST "/api/v1/projections/{name}/rebuild" "projection.rebuild" Root;
    GET "/api/v1/keys" "key.list" Root;
    GET "/api/v1/keys/bundle" "key.list" Root;
    GET "/api/v1/keys/authorities" "key.list" Root;
    POST "/api/v1/keys/authorities" "key.rotate" Root;
    POST "/api/v1/keys/rotate" "key.rotate" Root;
    POST "/api/v1/reload" "key.rotate" Root;
};

/// What a route demands; nothing for one that is open or has no row.
pub(crate) fn permission_for(method: &Method, path: &str) -> Option<Permission> {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    PERMISSIONS.iter().find(|route| route.method == method && route.path == path)?.demands
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rollcall_access::Profile;

    use super::*;

    /// The rows with the roles of the API's profile that hold what they demand, one line for an action and a place.
    fn table() -> String {
        let profile = Profile::api().unwrap();
        let mut lines: Vec<(Option<Permission>, Vec<String>)> = Vec::new();
        for RoutePermission { method, path, demands } in PERMISSIONS {
            let route = format!("`{method} {}`", path.trim_start_matches("/api/v1/"));
            match lines.iter_mut().find(|(permission, _)| permission == demands) {
                Some((_, routes)) => routes.push(route),
                None => lines.push((*demands, vec![route])),
            }
        }
        let mut text = "| action | asked at | roles | routes |\n|---|---|---|---|\n".to_owned();
        for (permission, routes) in lines {
            let (action, at) =
                permission.map_or(("", "open"), |permission| (permission.action, permission.at.as_str()));
            let needed = profile.operation(action);
            let holds = |role: &_| needed.is_some_and(|needed| profile.role_actions(*role).contains(needed));
            let roles: Vec<&str> = profile.roles().filter(holds).map(|role| profile.role_name(role)).collect();
            let action = if action.is_empty() { String::new() } else { format!("`{action}`") };
            text.push_str(&format!("| {action} | {at} | {} | {} |\n", roles.join(", "), routes.join(", ")));
        }
        text
    }

    /// `UPDATE=1 cargo test -p rollcall-api` rewrites it.
    #[test]
    fn the_readme_says_who_may_use_which_route_as_it_is_guarded() {
        let (begins, ends) = ("<!-- permissions -->\n", "<!-- /permissions -->");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let readme = fs::read_to_string(&path).unwrap();
        let (before, rest) = readme.split_once(begins).unwrap();
        let (kept, after) = rest.split_once(ends).unwrap();
        let made = table();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, format!("{before}{begins}{made}{ends}{after}")).unwrap();
        } else {
            assert_eq!(kept, made, "run with UPDATE=1 and look at the difference");
        }
    }

    #[test]
    fn every_row_demands_an_action_that_the_profile_has() {
        let profile = Profile::api().unwrap();
        for RoutePermission { method, path, demands } in PERMISSIONS {
            let Some(Permission { action, .. }) = demands else { continue };
            assert!(profile.actions().any(|(name, _)| name == *action), "{method} {path}: {action}");
        }
    }
}
