//! `lifecycle.csv`, the acceptance table of the projector: each enforced row is a scenario file of its name, and the file
//! expects what the row says. Knows the table's words; the scenarios are run elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    rules::scenarios,
    support::csv::{Row, rows},
};

/// The table leaves a cell open where the source does; then ours counts (access-models, section 2).
fn effective<'a>(row: &'a Row, column: &str) -> &'a str {
    let ours = &row[&format!("our_{column}")];
    if ours.is_empty() { &row[&format!("then_{column}")] } else { ours }
}

fn enforced() -> BTreeMap<String, Row> {
    let words = ["hard", "default", "decision", "adopted"];
    let all = rows("lifecycle.csv");
    for row in &all {
        assert!(words.contains(&&*row["enforce"]) || row["enforce"] == "recorded", "{row:?}");
    }
    all.into_iter().filter(|row| row["enforce"] != "recorded").map(|row| (row["id"].clone(), row)).collect()
}

#[test]
fn every_enforced_row_has_its_scenario_and_every_such_scenario_its_row() {
    let rows: BTreeSet<String> = enforced().into_keys().collect();
    let files: BTreeSet<String> = scenarios::all().into_keys().filter(|name| name.starts_with("lifecycle-")).collect();
    assert_eq!(rows, files);
    assert!(rows.len() >= 50, "{} rows", rows.len());
}

#[test]
fn a_scenario_of_a_row_of_revenera_expects_what_the_row_says() {
    let files = scenarios::all();
    for (id, row) in enforced().into_iter().filter(|(_, row)| row["system"] == "revenera") {
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

/// What a scenario says, line by line: the facts of all its steps, and the expectations of each.
struct Told<'a> {
    facts: Vec<&'a str>,
    steps: Vec<Vec<Vec<&'a str>>>,
}

impl<'a> Told<'a> {
    fn of(file: &'a scenarios::File) -> Self {
        let steps = || {
            let first = (file.facts.as_deref(), &file.expect);
            std::iter::once(first).chain(file.then.iter().map(|step| (step.facts.as_deref(), &step.expect)))
        };
        Self {
            facts: steps().flat_map(|(facts, _)| facts.unwrap_or_default().lines()).collect(),
            steps: steps().map(|(_, lines)| lines.iter().map(|line| line.split(' ').collect()).collect()).collect(),
        }
    }

    fn before(&self) -> impl Iterator<Item = &[&'a str]> {
        self.steps.iter().rev().skip(1).flatten().map(Vec::as_slice)
    }

    fn end(&self) -> impl Iterator<Item = &[&'a str]> {
        self.steps.last().into_iter().flatten().map(Vec::as_slice)
    }

    fn ends(&self, holds: impl Fn(&[&str]) -> bool) -> bool {
        self.end().any(holds)
    }

    fn began(&self, holds: impl Fn(&[&str]) -> bool) -> bool {
        self.before().any(holds)
    }

    fn refused(&self) -> bool {
        self.facts.iter().any(|fact| fact.contains(" => refused"))
    }

    /// Every set of roles that somebody ever has on something.
    fn roles(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flatten().filter_map(|line| membership(line)).map(|(_, roles)| roles)
    }
}

/// Who has which roles, where a line is about that.
fn membership<'a>(line: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let other = ["project", "folder", "service", "no", "not", "nobody", "ownerless"];
    match line {
        [who, at, roles, rest @ ..] if !other.contains(who) && *at != "is" => {
            matches!(rest, [] | ["because" | "until", ..]).then_some((*who, *roles))
        }
        _ => None,
    }
}

/// Whether a scenario tells what a row's column `membership` says, in the table's own words.
fn tells(says: &str, told: &Told<'_>) -> bool {
    let yes = |line: &[&str], who: &str| matches!(line, [name, .., "yes"] if name.starts_with(who));
    let no = |line: &[&str], who: &str| matches!(line, [name, .., "no"] if name.starts_with(who));
    let member = |line: &[&str]| membership(line).is_some_and(|(_, roles)| roles != "none");
    let nobody = |line: &[&str]| membership(line).is_some_and(|(_, roles)| roles == "none");
    match says {
        "personal namespace exists, the user is its owner" => {
            told.ends(|w| matches!(w, [user, project, "owner"] if user == project))
                && told.ends(|w| matches!(w, ["project", _, "of", "kind", "personal"]))
        }
        "global namespace exists" => {
            told.began(|w| w == ["no", "project", "global"])
                && told.ends(|w| w == ["project", "global", "of", "kind", "global"])
        }
        "as set" => {
            let lines = told.steps.iter().flatten().filter_map(|line| membership(line));
            let roles: BTreeSet<&str> = lines.filter(|(who, _)| *who == "bob").map(|(_, roles)| roles).collect();
            ["viewer", "contributor", "none"].iter().all(|role| roles.contains(role))
        }
        "member" | "owner" | "registry only" => told.ends(member),
        "refused" => told.refused() && told.ends(|w| w[0] == "not" && w[1] == "ownerless"),
        "refused before anything is recorded" => told.refused() && told.ends(nobody),
        "every member of G" => {
            let who: BTreeSet<&str> = told.end().filter(|w| member(w)).map(|w| w[0]).collect();
            who.len() > 1 && told.facts.iter().any(|fact| fact.contains("binding.set group:"))
        }
        "anonymous may pull" => told.began(|w| no(w, "anyone")) && told.ends(|w| yes(w, "anyone")),
        "anonymous may no longer pull" => told.began(|w| yes(w, "anyone")) && told.ends(|w| no(w, "anyone")),
        "union of A and B" => told.ends(|w| membership(w).is_some_and(|(_, roles)| roles.contains('+'))),
        "allowed" => told.began(|w| no(w, "")) && told.ends(|w| yes(w, "ada")),
        "policy required" => told.began(|w| yes(w, "")) && told.ends(|w| no(w, "ada")),
        "policy on service ID" => told.ends(|w| yes(w, "service:")) && told.ends(|w| no(w, "service:")),
        "gains / loses the group policy" => told.began(member) && told.ends(nobody),
        "that reason ends; not member unless another reason remains" => {
            told.ends(nobody) && told.ends(|w| matches!(w, [_, _, _, "because", _]))
        }
        "as derived" => told.began(|w| w[0] == "nobody") && told.ends(|w| w[1..] == ["can", "sign", "in"]),
        other => panic!("`{other}` is a new word"),
    }
}

#[test]
fn a_scenario_of_a_row_of_another_model_tells_what_the_row_says() {
    let files = scenarios::all();
    for (id, row) in enforced().into_iter().filter(|(_, row)| row["system"] != "revenera") {
        let file = &files[&id];
        let told = Told::of(file);
        let profile = file.profile.as_deref().unwrap_or("revenera");
        assert!(row["system"] == "cross" || row["system"] == profile, "{id} is about {}", row["system"]);
        let membership = effective(&row, "membership");
        assert!(tells(membership, &told), "{id}: the table says `{membership}`, and the scenario does not");
        let role = effective(&row, "role");
        let given = match role {
            // Letters that stand for any role.
            "" | "as set" | "R" | "union of A and B" => told.roles().any(|roles| roles != "none"),
            role => told.roles().any(|roles| roles.split('+').any(|held| held.ends_with(role))),
        };
        let about_visibility = role.is_empty() && !told.roles().any(|roles| roles != "none");
        assert!(given || about_visibility, "{id}: the table says role `{role}`");
        match effective(&row, "user").split(';').next().unwrap() {
            "exists" | "REMAINS as user" => {
                assert!(told.ends(|w| w.len() == 2 && w[1] == "exists"), "{id}: the user exists")
            }
            "service ID" => assert!(told.ends(|w| w[0].starts_with("service:")), "{id}: it is about a service"),
            "" => {}
            other => panic!("{id}: `{other}` is a new word"),
        }
        let answers = told.ends(|line| line.iter().skip(1).any(|word| ["yes", "no", "no,"].contains(word)));
        assert!(answers, "{id}: a decision at the end");
    }
}
