//! The layout says where things are: no crowded folder, no circle between rooms, no word that was given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use regex::Regex;
use serde::Deserialize;

use super::{
    modules::Crate,
    tree::{files, metadata, root, text, texts},
};

/// A folder with more source files side by side than a newcomer takes in at a glance is to be sorted.
const MOST_FILES: usize = 22;

#[test]
fn no_folder_is_crowded() {
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in files() {
        let source = [".rs", ".sql", ".ts", ".js", ".css", ".html"].iter().any(|ending| name.ends_with(ending));
        if let (true, Some((folder, _))) = (source, name.rsplit_once('/')) {
            *folders.entry(folder.to_owned()).or_default() += 1;
        }
    }
    let crowded: Vec<_> = folders.into_iter().filter(|(_, count)| *count > MOST_FILES).collect();
    assert!(crowded.is_empty(), "more than {MOST_FILES} source files side by side, make rooms: {crowded:?}");
}

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Every node that can be reached from itself, with all that lie on its circles.
fn circles(edges: &Edges) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(next) = open.pop() {
            for to in edges.get(next).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|node| (node, reach(node))).collect();
    let mutual = |a: &String, b: &String| reached.get(b).is_some_and(|from_b| from_b.contains(a));
    let on_a_circle = reached.iter().filter(|(node, from)| from.contains(**node));
    on_a_circle.map(|(node, from)| from.iter().filter(|to| mutual(node, to)).cloned().collect()).collect()
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[test]
fn modules_of_different_folders_are_in_no_circle() {
    let (mut seen, mut found) = (0, Vec::new());
    for package in metadata() {
        let manifest = Path::new(text(&package, "manifest_path")).parent().unwrap().to_owned();
        let file =
            ["lib.rs", "main.rs"].map(|name| manifest.join(name)).into_iter().find(|file| file.is_file()).unwrap();
        let at = format!("{}/", manifest.strip_prefix(root()).unwrap().display());
        let uses = Crate::read(&root(), &file).uses();
        seen += uses.len();

        let mut of_files = Edges::new();
        for (from, to) in uses.clone() {
            of_files.entry(from).or_default().insert(to);
        }
        for circle in circles(&of_files) {
            let folders: BTreeSet<&str> = circle.iter().map(|file| folder(file)).collect();
            if folders.len() > 1 {
                found.push(format!("these files of several folders use each other: {circle:#?}"));
            }
        }

        // A room is a folder right below the crate's; files beside the rooms stand for themselves.
        let room = |file: &str| {
            let inside = file.strip_prefix(&at).unwrap_or(file);
            inside.split_once('/').map_or(inside, |(room, _)| room).to_owned()
        };
        let mut of_rooms = Edges::new();
        for (from, to) in uses.iter().map(|(from, to)| (room(from), room(to))).filter(|(from, to)| from != to) {
            of_rooms.entry(from).or_default().insert(to);
        }
        for circle in circles(&of_rooms) {
            let within = |file: &String| circle.contains(&room(file));
            let ties = uses.iter().filter(|(from, to)| within(from) && within(to) && room(from) != room(to));
            let ties: String = ties.map(|(from, to)| format!("  {from} -> {to}\n")).collect();
            found.push(format!("{at}: these rooms use each other: {circle:?}\n{ties}"));
        }
    }
    assert!(seen > 300, "only {seen} uses were found");
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

/// Words that were given up, each with the one that is used now.
#[derive(Deserialize)]
struct Retired {
    word: Vec<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    /// A regular expression, matched in every line.
    old: String,
    /// What is said instead.
    new: String,
    /// Only below this path.
    #[serde(default)]
    within: Vec<String>,
    /// Lines that match this too mean something else.
    unless: Option<String>,
}

#[test]
fn no_word_that_was_given_up_comes_back() {
    const LIST: &str = "tests/it/house/retired-words.toml";
    let list: Retired = toml::from_str(&std::fs::read_to_string(root().join(LIST)).unwrap()).unwrap();
    let everything = texts(&[".rs", ".md", ".toml", ".sql", ".json", ".csv", ".txt", ".yml"]);
    let left_out = [LIST, "Cargo.lock"];
    let mut found = Vec::new();
    for Word { old, new, within, unless } in &list.word {
        let (old, unless) = (Regex::new(old).unwrap(), unless.as_deref().map(|text| Regex::new(text).unwrap()));
        for (name, text) in everything.iter().filter(|(name, _)| !left_out.contains(&name.as_str())) {
            if !within.is_empty() && !within.iter().any(|path| name.starts_with(path.as_str())) {
                continue;
            }
            // To a regular expression `_` is a letter: names are looked through word by word too.
            let says = |line: &str| old.is_match(line) || old.is_match(&line.replace('_', " "));
            for (number, line) in text.lines().enumerate().filter(|(_, line)| says(line)) {
                if !unless.as_ref().is_some_and(|unless| unless.is_match(line)) {
                    found.push(format!("{name}:{}: `{old}` is now {new}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} lines say words that were given up:\n{}", found.len(), found.join("\n"));
}

/// The tasks of CONTRIBUTING.md, each a row: what is done, the files it touches, who notices a file that was forgotten.
#[test]
fn every_task_that_is_written_down_names_files_and_tests_that_exist() {
    let guide = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let section = guide.split("## Where a change goes\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| to "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 10, "only {} tasks are written down", rows.len());
    let code: Vec<_> = texts(&[".rs"]);
    for row in rows {
        let [task, files, guards] = row.as_slice() else { panic!("{row:?} has not three cells") };
        let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let (paths, guards) = (words(files), words(guards));
        assert!(!paths.is_empty(), "{task}: no file is named");
        for path in paths.iter().filter(|word| word.contains('/') && !word.contains(' ')) {
            let at = path.split(['*', '{']).next().unwrap();
            let at = if at == path { at } else { at.rsplit_once('/').unwrap().0 };
            assert!(root().join(at).exists(), "{task}: {path} is not there");
        }
        for test in guards.iter().filter(|word| word.matches('_').count() > 2) {
            let there = code.iter().any(|(_, text)| text.contains(&format!("fn {test}(")));
            assert!(there, "{task}: no test is called {test}");
        }
    }
}

/// SECURITY.md says of each promise which test holds it.
#[test]
fn every_promise_of_security_md_names_files_and_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    assert!(page.lines().count() <= 150, "it is read by people in a hurry");
    let code: Vec<_> = texts(&[".rs"]);
    let mut tests = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        for word in line.split('`').skip(1).step_by(2) {
            if word.contains('/') && !word.contains(' ') && word.contains('.') {
                assert!(root().join(word).exists(), "{word} is not there");
            } else if word.matches('_').count() > 2 {
                tests += 1;
                let there = code.iter().any(|(_, text)| text.contains(&format!("fn {word}(")));
                assert!(there, "no test is called {word}");
            }
        }
    }
    assert!(tests > 20, "only {tests} tests are named");
}
