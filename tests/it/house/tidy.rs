//! The repository keeps its own promises: the house plan, what a crate may be built from, how long a file may be.
//! Reads the tree and `cargo metadata`; builds and starts nothing.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use super::tree::{metadata, root, text, texts};

/// The normal dependencies of a package, by name.
fn uses(package: &Value, which: fn(&Value) -> bool) -> Vec<&str> {
    let all = package["dependencies"].as_array().unwrap();
    let mut names: Vec<_> = all.iter().filter(|d| d["kind"].is_null() && which(d)).map(|d| text(d, "name")).collect();
    names.sort_unstable();
    names
}

/// DESIGN 3: the dependency table of ARCHITECTURE.md is what cargo sees.
#[test]
fn the_house_plan_is_true() {
    let short = |name: &str| name.trim_start_matches("rollcall-").to_owned();
    let seen: BTreeMap<String, String> = metadata()
        .iter()
        .map(|p| {
            let ours: Vec<_> = uses(p, |d| d["path"].is_string()).into_iter().map(short).collect();
            (short(text(p, "name")), ours.join(" "))
        })
        .collect();
    let seen: String =
        seen.iter().map(|(name, uses)| format!("{name} -> {uses}").trim_end().to_owned() + "\n").collect();
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let written = map.split("<!-- deps -->\n```\n").nth(1).unwrap().split("```\n<!-- /deps -->").next().unwrap();
    assert_eq!(seen, written, "change the table in ARCHITECTURE.md and say why in the commit");
}

/// DESIGN 3, the column "never".
#[test]
fn a_crate_is_not_built_from_what_it_must_not_touch() {
    let io = ["tokio", "tokio-util", "sqlx", "axum", "reqwest", "hyper", "fs4", "tower", "tower-http"];
    let sql = ["sqlx"];
    let web = ["axum", "reqwest", "tower", "tower-http"];
    let never: &[(&str, &[&str])] = &[
        ("rollcall-events", &io),
        ("rollcall-access", &io),
        ("rollcall-ingest", &sql),
        ("rollcall-entitlements", &sql),
        ("rollcall-eventlog", &web),
        ("rollcall-sqlite", &web),
        ("rollcall-projector", &web),
        ("rollcall-store", &web),
        ("rollcall-registry", &["sqlx", "reqwest"]),
        ("rollcall-api", &["sqlx", "reqwest"]),
        ("rollcall-app", &["sqlx", "axum", "http", "hyper", "reqwest", "tower", "tower-http"]),
    ];
    let packages = metadata();
    for (name, never) in never {
        let package = packages.iter().find(|p| text(p, "name") == *name).unwrap_or_else(|| panic!("no crate {name}"));
        let all = uses(package, |_| true);
        for forbidden in *never {
            assert!(!all.contains(forbidden), "{name} must not be built from {forbidden} (DESIGN 3)");
        }
    }
    for package in packages.iter().filter(|p| text(p, "manifest_path").contains("/connectors/")) {
        for forbidden in ["sqlx", "axum"] {
            assert!(!uses(package, |_| true).contains(&forbidden), "a connector is not built from {forbidden}");
        }
    }
}

/// The clock is a parameter, and two crates could not read it if they wanted to.
#[test]
fn the_pure_crates_have_no_clock() {
    for (name, text) in texts(&[".rs"]) {
        let is_pure = name.starts_with("src/events/") || name.starts_with("src/access/");
        if is_pure && !name.ends_with("_tests.rs") {
            for word in ["SystemTime", "Instant::", "Utc::now", "std::fs", "std::net", "std::env"] {
                let code = text.split("#[cfg(test)]").next().unwrap();
                assert!(!code.contains(word), "{name} uses {word}: time and I/O are parameters of the pure crates");
            }
        }
    }
}

#[test]
fn every_third_party_version_stands_in_the_root_manifest() {
    for (name, text) in texts(&["Cargo.toml"]) {
        if name == "Cargo.toml" {
            continue;
        }
        let manifest: toml::Table = text.parse().unwrap();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (dependency, how) in manifest.get(table).and_then(|t| t.as_table()).into_iter().flatten() {
                let from_root = how.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(
                    from_root && how.get("version").is_none(),
                    "{name}: `{dependency}` is not taken from the workspace"
                );
            }
        }
        assert!(manifest.get("lints").is_some_and(|l| l.get("workspace").is_some()), "{name} takes no lints");
    }
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    for (name, how) in manifest["workspace"]["dependencies"].as_table().unwrap() {
        if how.get("path").is_none() {
            assert_eq!(
                how.get("default-features"),
                Some(&toml::Value::Boolean(false)),
                "{name}: switch the defaults off"
            );
        }
    }
}

#[test]
fn a_source_file_opens_by_saying_what_it_owns_and_stays_short_or_says_why_not() {
    for (name, text) in texts(&[".rs"]) {
        let first = text.lines().next().unwrap_or_default();
        // A crate's own tests are introduced once, by the module that lists them.
        assert!(
            name.contains("/suite/") || first.starts_with("//!") || first.starts_with("#![doc = include_str!"),
            "{name} does not open with what it owns"
        );
        let reason = text.lines().take(6).any(|line| line.starts_with("//!") && line.contains("Long because"));
        let lines = text.lines().count();
        assert!(lines <= 600 || reason, "{name} has {lines} lines: split it, or write `Long because ..` at its top");
    }
}

#[test]
fn every_crate_has_a_readme_that_is_its_documentation() {
    for package in metadata() {
        let folder = Path::new(text(&package, "manifest_path")).parent().unwrap().to_owned();
        let name = text(&package, "name");
        if name == "rollcall" {
            continue;
        }
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        assert!(readme.len() > 100, "{name}: no README.md, or an empty one");
        let lib = fs::read_to_string(folder.join("lib.rs")).unwrap();
        assert!(
            lib.contains(r#"#![doc = include_str!("README.md")]"#),
            "{name}: the README is not the crate's documentation"
        );
    }
}

#[test]
fn every_connector_brings_captured_payloads() {
    for folder in fs::read_dir(root().join("connectors")).unwrap() {
        let folder = folder.unwrap().path();
        let samples = fs::read_dir(folder.join("testdata")).map(Iterator::count).unwrap_or_default();
        assert!(samples > 0, "{}: no testdata", folder.display());
        assert!(folder.join("README.md").is_file(), "{}: no README.md", folder.display());
    }
}

#[test]
fn nothing_names_a_machine_or_a_package_registry() {
    let forbidden: Vec<String> = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/Use", "rs/"],
        ["/tmp/ba", "sh_jobs"],
        ["crates", ".io"],
        ["pypi", ".org"],
        ["npmjs", ".org"],
        ["deb.debian", ".org"],
    ]
    .iter()
    .map(|[a, b]| format!("{a}{b}"))
    .collect();
    for (name, text) in texts(&["", ".rs", ".md", ".toml", ".sql", ".json", ".yml", ".sh"]) {
        if name == "Cargo.lock" {
            continue;
        }
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{name} contains `{word}`");
        }
    }
}

#[test]
fn tests_do_not_sleep_and_none_is_ignored() {
    let sleep = ["thread::sl", "eep("].concat();
    let ignore = ["#[ign", "ore"].concat();
    for (name, text) in texts(&[".rs"]) {
        assert!(!text.contains(&ignore), "{name}: an ignored test proves nothing");
        // The fixtures poll a real answer with a deadline; nothing else may wait for time to pass.
        if name != "tests/it/support/mod.rs" {
            assert!(!text.contains(&sleep), "{name} sleeps: wait for a position or an answer");
        }
    }
}

/// What an answer says the command line prints: it names commands, which whoever sends requests understands too.
#[test]
fn no_message_sends_people_to_a_path_of_the_api() {
    let crates = ["src/access/", "src/app/", "src/authn/", "src/ingest/", "src/registry/"];
    for (name, text) in texts(&[".rs"]) {
        let said = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // The address of an invitation is sent to whoever is invited.
        let mut paths = said.filter(|line| line.contains("/api/v1/") && !line.contains("/api/v1/invitations"));
        let found = paths.next().filter(|_| crates.iter().any(|of| name.starts_with(of)));
        assert!(found.is_none(), "{name}: {found:?}");
    }
}

#[test]
fn a_migration_keeps_its_number_in_every_engine() {
    let names = |engine: &str, database: &str| -> Option<Vec<String>> {
        let folder = fs::read_dir(root().join("migrations").join(engine).join(database)).ok()?;
        let mut names: Vec<_> = folder.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        Some(names)
    };
    for database in ["log", "ops", "read"] {
        let sqlite = names("sqlite", database).unwrap_or_else(|| panic!("no migrations/sqlite/{database}"));
        assert!(!sqlite.is_empty(), "migrations/sqlite/{database} is empty");
        if let Some(postgres) = names("postgres", database) {
            assert_eq!(sqlite, postgres, "{database}: the engines have other migrations");
        }
    }
}

/// A walkthrough that names what is not there any more misleads.
#[test]
fn every_function_that_a_walkthrough_names_exists() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().replace("\n   ", " ").replace('\n', " ");
    let mut seen = 0;
    for step in map.split(".rs`: `").collect::<Vec<_>>().windows(2) {
        let file = step[0].rsplit('`').next().unwrap().to_owned() + ".rs";
        let function = step[1].split('`').next().unwrap();
        let text = fs::read_to_string(root().join(&file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let there = [format!("fn {function}("), format!("fn {function}<")].iter().any(|f| text.contains(f.as_str()));
        assert!(there, "ARCHITECTURE.md names `{function}` in {file}, where it is not");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} functions are named");
}

/// A dependency that no line of a crate names earns nothing and costs every build.
#[test]
fn every_dependency_is_used() {
    let sources = texts(&[".rs"]);
    for (name, manifest) in texts(&["Cargo.toml"]) {
        let folder = name.strip_suffix("Cargo.toml").unwrap();
        if folder.is_empty() {
            continue;
        }
        // The binary's crate declares the integration tests and the benchmarks.
        let tests = if folder == "src/rollcall/" { "tests/" } else { folder };
        let code: Vec<_> =
            sources.iter().filter(|(file, _)| file.starts_with(folder) || file.starts_with(tests)).collect();
        let manifest: toml::Table = manifest.parse().unwrap();
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for dependency in manifest.get(table).and_then(|t| t.as_table()).into_iter().flatten().map(|(name, _)| name)
            {
                let word = dependency.replace('-', "_");
                let used = code
                    .iter()
                    .any(|(_, text)| text.contains(&format!("{word}::")) || text.contains(&format!("{word};")));
                assert!(used, "{name}: no line names `{dependency}`, take it out");
            }
        }
    }
}
