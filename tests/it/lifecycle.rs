//! `lifecycle.csv`, the acceptance table of the projector: each enforced `revenera` row is a scenario file of its name,
//! and the file expects what the row says. Knows the table's words; the scenarios are run elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    scenarios,
    support::csv::{Row, rows},
};

/// The table leaves a cell open where the source does; then ours counts (access-models, section 2).
fn effective<'a>(row: &'a Row, column: &str) -> &'a str {
    let ours = &row[&format!("our_{column}")];
    if ours.is_empty() { &row[&format!("then_{column}")] } else { ours }
}

fn enforced() -> BTreeMap<String, Row> {
    let ours = |row: &Row| row["system"] == "revenera" && row["enforce"] != "recorded";
    let rows: BTreeMap<_, _> =
        rows("lifecycle.csv").into_iter().filter(ours).map(|row| (row["id"].clone(), row)).collect();
    assert_eq!(rows.len(), 33);
    rows
}

#[test]
fn every_enforced_row_has_its_scenario_and_every_such_scenario_its_row() {
    let rows: BTreeSet<String> = enforced().into_keys().collect();
    let files: BTreeSet<String> = scenarios::all().into_keys().filter(|name| name.starts_with("lifecycle-")).collect();
    assert_eq!(rows, files);
}

#[test]
fn a_scenario_of_a_row_expects_what_the_row_says() {
    let files = scenarios::all();
    for (id, row) in enforced() {
        let file = &files[&id];
        let end: &[String] = file.then.last().map_or(&file.expect, |step| &step.expect);
        let says = |what: &dyn Fn(&[&str]) -> bool, why: &str| {
            let any = end.iter().any(|line| what(&line.split(' ').collect::<Vec<_>>()));
            assert!(any, "{id}: the table says {why}, and the last expectations are {end:?}");
        };
        match effective(&row, "membership") {
            "not member" => says(&|w| matches!(w, [_, _, "none", ..]), "not member"),
            "member" | "member of associated project(s)" => {
                let role = effective(&row, "role");
                if ["Developer", "Guest"].contains(&role) {
                    says(&|w| matches!(w, [_, _, held, ..] if *held == role), role);
                } else {
                    assert_eq!(role, "unchanged", "{id}");
                    says(&|w| matches!(w, [_, _, "Developer" | "Guest", ..]), "member");
                }
            }
            "mirror restores upstream state" => says(&|w| matches!(w, [_, _, "none", ..]), "the source's state"),
            other => panic!("{id}: `{other}` is a new word"),
        }
        let user = effective(&row, "user").split(';').next().unwrap();
        match user {
            "exists" | "REMAINS as user" | "CREATED automatically" | "added" | "unchanged" | "" => {
                says(&|w| matches!(w, [_, "exists"]), user);
            }
            "SAME user record" => says(&|w| matches!(w, [_, "is", _]), user),
            "authenticates" => says(&|w| matches!(w, [_, "can", "sign", "in"]), user),
            other => panic!("{id}: `{other}` is a new word"),
        }
        let answers = |expect: &[String]| expect.iter().any(|line| line.contains(": "));
        assert!(answers(&file.expect) && answers(end), "{id}: one decision before and one after");
    }
}
