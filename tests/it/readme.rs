//! The README is true: every console block is run, in one directory, one after the other, and says what it shows; every
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
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A command and the lines that it is shown to print.
struct Shown {
    command: String,
    lines: Vec<String>,
}

fn shown(block: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => all.push(Shown { command: command.to_owned(), lines: Vec::new() }),
            None => all.last_mut().expect("a console block starts with `$ `").lines.push(line.to_owned()),
        }
    }
    all
}

/// Whether the lines are what is shown, where `...` is any number of lines and `[..]` any text within one.
fn like(shown: &[String], said: &[&str]) -> bool {
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
    let text = readme();
    let blocks = blocks(&text, "console");
    assert!(blocks.len() >= 3, "the README shows {} console blocks", blocks.len());
    let (dir, port) = (Dir::new(), free_port());
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(BINARY, bin.join("rollcall")).unwrap();
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
    for Shown { command, lines } in blocks.iter().flat_map(|block| shown(block)) {
        let script = command.replace("cargo run --release -- ", "exec rollcall ").replace(":8080", &format!(":{port}"));
        seen.push(command.clone());
        if command == "tests/run" {
            // This very test is run by it.
            continue;
        }
        if command.contains("serve") {
            let log = dir.join("serve.log");
            let mut process = Process::start(&mut shell(&script), log.clone());
            let (http, url) = (Http::default(), format!("http://127.0.0.1:{port}/readyz"));
            process.ready(&command, || http.try_send(http.get(&url)).ok().filter(|answer| answer.status == 200));
            compare(
                &command,
                &lines,
                &process.ready("what it prints", || {
                    let log = fs::read_to_string(&log).unwrap();
                    like(&lines, &log.replace(&format!(":{port}"), ":8080").lines().collect::<Vec<_>>()).then_some(log)
                }),
                port,
            );
            servers.push(process);
            continue;
        }
        let said = run(&mut shell(&script), &dir);
        assert!([0, 1].contains(&said.code), "`{command}` ended with {said:?}");
        if !lines.is_empty() {
            compare(&command, &lines, &said.out, port);
        }
    }
    for wanted in ["cargo run --release -- serve --demo", "tests/run"] {
        assert!(seen.iter().any(|command| command == wanted), "the README lost `{wanted}`");
    }
}

fn compare(command: &str, lines: &[String], out: &str, port: u16) {
    let out = out.replace(&format!(":{port}"), ":8080");
    let same = like(lines, &out.lines().collect::<Vec<_>>());
    assert!(same, "`{command}` is shown to print\n{}\n--- and prints\n{out}", lines.join("\n"));
}

#[test]
fn every_configuration_that_the_readme_shows_is_accepted() {
    let text = readme();
    let shown = blocks(&text, "toml");
    assert!(!shown.is_empty());
    for (n, block) in shown.iter().enumerate() {
        let dir = Dir::new();
        dir.write("flexnet.secret", crate::support::api::Secret::new(1).text());
        let file: PathBuf = dir.write("rollcall.toml", block);
        let mut check = Command::new(BINARY);
        check.arg("--config").arg(file).args(["config", "check"]).current_dir(dir.path());
        let said = run(&mut check, &dir);
        assert_eq!(said.code, 0, "block {n}:\n{block}\n{said:?}");
    }
}
