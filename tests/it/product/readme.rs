//! The README and the page for support are true: every console block is run, in one directory, one after the other, and says what it shows; every
//! TOML block is a configuration that is accepted. `...` stands for lines that differ, `[..]` for a part of one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Dir, Process, api::Http, free_port, run, server::BINARY};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap()
}

/// The fenced blocks of one language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A command and the lines that it is shown to print.
pub struct Shown {
    pub command: String,
    pub lines: Vec<String>,
}

pub fn shown(block: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push(Shown { command: command.to_owned(), lines: Vec::new() });
            continue;
        }
        let last = all.last_mut().expect("a console block starts with `$ `");
        match line.strip_prefix("> ") {
            // A shell asks so for the rest of a command.
            Some(more) if last.lines.is_empty() => last.command.push_str(&format!("\n{more}")),
            _ => last.lines.push(line.to_owned()),
        }
    }
    all
}

/// Whether the lines are what is shown, where `...` is any number of lines and `[..]` any text within one.
pub fn like(shown: &[String], said: &[&str]) -> bool {
    fn line(shown: &str, said: &str) -> bool {
        match shown.split_once("[..]") {
            None => shown.trim_end() == said.trim_end(),
            Some((before, after)) => said.strip_prefix(before).is_some_and(|rest| {
                rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line(after, &rest[at..]))
            }),
        }
    }
    match shown.split_first() {
        None => said.iter().all(|line| line.trim().is_empty()),
        Some((first, rest)) if first.trim() == "..." => (0..=said.len()).any(|n| like(rest, &said[n..])),
        Some((first, rest)) => said.split_first().is_some_and(|(one, more)| line(first, one) && like(rest, more)),
    }
}

#[test]
fn what_is_shown_is_compared_with_its_gaps() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(like(&lines("a\n...\nb [..] d"), &["a", "x", "y", "b c d"]));
    assert!(!like(&lines("a\nb"), &["a"]) && !like(&lines("a [..] c"), &["a b"]) && !like(&lines("a"), &["a", "b"]));
}

#[test]
fn every_console_block_of_the_readme_runs_and_says_what_it_shows() {
    let seen = run_as_shown(&readme());
    for wanted in ["cargo run --release -- serve --demo", "tests/run"] {
        assert!(seen.iter().any(|command| command == wanted), "the README lost `{wanted}`");
    }
}

#[test]
fn every_console_block_of_the_page_for_support_runs_and_says_what_it_shows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/support.md");
    let seen = run_as_shown(&fs::read_to_string(page).unwrap());
    for wanted in ["rollcall why", "rollcall users", "rollcall decisions", "rollcall events show"] {
        assert!(seen.iter().any(|command| command.contains(wanted)), "the page lost `{wanted}`");
    }
}

#[test]
fn every_console_block_of_the_page_for_own_licensing_systems_runs_and_says_what_it_shows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mapping.md");
    let seen = run_as_shown(&fs::read_to_string(page).unwrap());
    for wanted in ["rollcall map test", "rollcall serve", "rollcall why ada pull"] {
        assert!(seen.iter().any(|command| command.contains(wanted)), "the page lost `{wanted}`");
    }
}

/// Runs every console block of a page, in one directory, and gives the commands.
fn run_as_shown(text: &str) -> Vec<String> {
    let blocks = blocks(text, "console");
    assert!(blocks.len() >= 3, "the page shows {} console blocks", blocks.len());
    let (dir, port) = (Dir::new(), free_port());
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(BINARY, bin.join("rollcall")).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::os::unix::fs::symlink(sources, dir.join("src")).unwrap();
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .current_dir(dir.path())
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("ROLLCALL__SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("NO_COLOR", "1");
        command
    };
    let mut servers = Vec::new();
    let mut seen = Vec::new();
    for block in &blocks {
        let shown = shown(block);
        seen.extend(shown.iter().map(|shown| shown.command.clone()));
        if let [Shown { command, lines }] = &shown[..]
            && command.contains("serve")
        {
            let log = dir.join("serve.log");
            let script = format!("exec {}", command.replace("cargo run --release -- ", "rollcall "));
            let mut process = Process::start(&mut shell(&script), log.clone());
            process.ready("what the page shows of it", || {
                let said = fs::read_to_string(&log).unwrap().replace(&format!(":{port}"), ":8080");
                let said: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
                like(lines, &said).then_some(())
            });
            let (http, url) = (Http::default(), format!("http://127.0.0.1:{port}/readyz"));
            process.ready(command, || http.try_send(http.get(&url)).ok().filter(|answer| answer.status == 200));
            servers.push(process);
            continue;
        }
        // This very test is run by `tests/run`.
        if shown.iter().any(|shown| shown.command == "tests/run") {
            continue;
        }
        // One shell for a block: what it sets, it keeps.
        let script: String = shown.iter().map(|s| format!("{}\nprintf '\\n@@ %d\\n' $?\n", s.command)).collect();
        let said = run(&mut shell(&script.replace(":8080", &format!(":{port}"))), &dir);
        let out = said.out.replace(&format!(":{port}"), ":8080");
        let mut rest = out.as_str();
        for Shown { command, lines } in &shown {
            let (told, after) = rest.split_once("\n@@ ").unwrap_or_else(|| panic!("`{command}`: {said:?}"));
            let (code, after) = after.split_once('\n').unwrap();
            assert!(["0", "1"].contains(&code), "`{command}` ended with {code}: {told}\n{}", said.err);
            let same = lines.is_empty() || like(lines, &told.lines().collect::<Vec<_>>());
            assert!(same, "`{command}` is shown to print\n{}\n--- and prints\n{told}\n{}", lines.join("\n"), said.err);
            rest = after;
        }
    }
    seen
}

#[test]
fn a_demo_that_says_it_is_ready_has_its_whole_world() {
    let (dir, port, http) = (Dir::new(), free_port(), Http::default());
    let mut serve = Command::new(BINARY);
    serve.args(["serve", "--demo", "--listen", &format!("127.0.0.1:{port}")]).current_dir(dir.path());
    let mut process = Process::start(&mut serve, dir.join("serve.log"));
    let ready = format!("http://127.0.0.1:{port}/readyz");
    process.ready("the demo", || http.try_send(http.get(&ready)).ok().filter(|answer| answer.status == 200));
    let mut why = Command::new(BINARY);
    why.args(["why", "ada@globex.test", "pull", "acme/db"]).current_dir(dir.path());
    let said = run(&mut why, &dir);
    assert!(said.code == 0 && said.out.starts_with("YES"), "{said:?}");
}

#[test]
fn every_configuration_that_the_readme_shows_is_accepted() {
    let text = readme();
    let shown = blocks(&text, "toml");
    assert!(!shown.is_empty());
    for (n, block) in shown.iter().enumerate() {
        let dir = Dir::new();
        dir.write("flexnet.secret", crate::support::api::Secret::new(1).text());
        dir.write("corp-ldap.secret", "a password\n");
        let file: PathBuf = dir.write("rollcall.toml", block);
        let mut check = Command::new(BINARY);
        check.arg("--config").arg(file).args(["config", "check"]).current_dir(dir.path());
        let said = run(&mut check, &dir);
        assert_eq!(said.code, 0, "block {n}:\n{block}\n{said:?}");
    }
}
