//! Every row of `revenera.csv` through the evaluator: subject, resource and expectation come from the file and from the
//! profile's `[test]` section. Never reads `[test.decisions]` to make a decision.

use std::collections::BTreeMap;

use rollcall_access::{
    Profile,
    profile::{Held, Own, Pseudo, Resource},
};
use rollcall_events::body::Visibility;
use serde::Deserialize;

use crate::support::csv::rows;

#[derive(Debug, Deserialize)]
struct Test {
    subjects: BTreeMap<String, Subject>,
    scopes: BTreeMap<String, Scope>,
    decisions: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    #[serde(default)]
    grants: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    path: String,
    visibility: Option<Visibility>,
}

#[test]
fn every_row_of_the_table_is_what_the_profile_decides() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/access-models/revenera.toml");
    let document: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let test: Test = document["test"].clone().try_into().unwrap();
    let profile = Profile::bundled("revenera").unwrap();
    let mut seen = 0;
    for row in rows("revenera.csv") {
        let id = &row["id"];
        let subject =
            test.subjects.get(&row["role"]).unwrap_or_else(|| panic!("{id}: unknown subject {}", row["role"]));
        let scope = test.scopes.get(&row["scope"]).unwrap_or_else(|| panic!("{id}: unknown scope {}", row["scope"]));
        let needed =
            profile.operation(&row["action"]).unwrap_or_else(|| panic!("{id}: unknown operation {}", row["action"]));
        let expected = match row["decision"].as_str() {
            "unspecified" => test.decisions.get(id).unwrap_or_else(|| panic!("{id}: no expectation")).as_str(),
            stated => stated,
        };
        let resource = Resource {
            level: level(&scope.path),
            visibility: scope.visibility,
            kind: scope.visibility.map(|_| "standard"),
            own: Own::NotMine,
        };
        // A role counts where it was granted: on the resource or on a scope above it.
        let held =
            subject.grants.iter().filter(|(_, at)| scope.path == *at || scope.path.starts_with(&format!("{at}/")));
        let held: Vec<Held> = held
            .map(|(role, at)| {
                let role = profile.role(role).unwrap_or_else(|| panic!("{id}: unknown role {role}"));
                assert!(profile.grantable(role, level(at)), "{id}: {role:?} cannot be granted on {at}");
                Held { role, level: level(at) }
            })
            .collect();
        let allowed = profile.allowed(Pseudo::Authenticated, held.iter().copied(), &resource, &BTreeMap::new());
        let decided = if allowed.holds(needed) { "allow" } else { "deny" };
        assert_eq!(decided, expected, "{id}: {} by {}", row["action"], row["role"]);
        seen += 1;
    }
    assert_eq!(seen, 34);
}

/// `reg` is the root, `reg/p` a project.
fn level(path: &str) -> u8 {
    u8::try_from(path.matches('/').count()).unwrap()
}

/// The bundled profile is the one that the table is about: role for role, operation for operation.
#[test]
fn the_bundled_profile_is_the_table_s_profile() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/access-models/revenera.toml");
    let theirs: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let profile = Profile::bundled("revenera").unwrap();
    let ours = toml::Table::try_from(profile.document()).unwrap();
    for key in ["roles", "operations", "levels", "kinds", "ceiling"] {
        for (name, value) in theirs[key].as_table().into_iter().flatten() {
            let mine = ours[key].get(name).unwrap_or_else(|| panic!("the bundled profile lacks {key}.{name}"));
            let same = match (mine.as_table(), value.as_table()) {
                (Some(mine), Some(value)) => value.iter().all(|(key, value)| mine.get(key) == Some(value)),
                _ => mine == value,
            };
            assert!(same, "{key}.{name}: {mine} is not {value}");
        }
    }
}
