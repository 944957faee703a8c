//! The repository as files and packages, for the tests that hold it to its promises.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

pub fn root() -> PathBuf {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&manifest).join("../..").canonicalize().unwrap()
}

/// Every file of the repository, as (path from the root, path).
pub fn files() -> Vec<(String, PathBuf)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, PathBuf)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if ![".git", "target", "rollcall-data"].contains(&name.as_str()) {
                    walk(&path, root, found);
                }
            } else if name != ".git" {
                found.push((name, path));
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root, &root, &mut found);
    found.sort();
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}

/// Every text file of the repository, as (path from the root, text).
pub fn texts(endings: &[&str]) -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|(name, _)| endings.iter().any(|ending| name.ends_with(ending)))
        .filter_map(|(name, path)| Some((name, fs::read_to_string(path).ok()?)))
        .collect()
}

pub fn metadata() -> Vec<Value> {
    let out = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .unwrap();
    let mut meta: Value = serde_json::from_slice(&out.stdout).unwrap();
    serde_json::from_value(meta["packages"].take()).unwrap()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}
