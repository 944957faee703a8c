//! Rollcall, the only binary: reads the command line, starts what was asked for, and answers with an exit code.
//! Wiring only; every rule lives in a crate beside it.
#![doc = include_str!("README.md")]

mod boot;
mod checks;
mod cli;
mod client;
mod clock;
mod commands;
mod config;
#[cfg(test)]
mod config_tests;
mod consequences;
mod control;
mod data_dir;
mod demo;
mod directories;
mod doctor;
mod health;
mod keep;
mod layers;
mod listener;
mod local;
mod passwords;
mod plans;
mod previews;
mod pulls;
mod reports;
mod serve;
mod show;

mod sink;
mod stated;
mod telemetry;
mod units;
mod why;
mod world;
mod written;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use rollcall_events::{Clock, body::EntitlementState};
use serde_json::{Value, json};

use crate::{
    cli::{Cli, Command, ConfigCommand, Demo, Global, Keys, OfSources, Shell},
    client::{Client, Exit, Failure, address},
    clock::SystemClock,
    commands::Form,
    data_dir::DataDir,
    layers::{Loaded, Problem, effective},
    show::{Paint, say, say_json},
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What is made holds keys and personal data: its owner's alone, also in a data directory that others may enter.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // One provider for every use of TLS and signatures, chosen before the first of them.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match run(cli) {
        Ok(Exit::Yes) => ExitCode::SUCCESS,
        Ok(Exit::No) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("rollcall: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    let form = if global.json { Form::Json } else { Form::Text(Paint::for_stdout()) };
    match command {
        Command::Completions { shell } => {
            completions(shell);
            Ok(Exit::Yes)
        }
        Command::Config(command) => Ok(configuration(&global, form, &command)),
        Command::Serve(args) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let paint = Paint::for_stdout();
            runtime.map_err(|error| Failure::Usage(error.to_string()))?.block_on(serve::run(&global, &args, paint))
        }
        Command::Verify { against, from } => {
            let dir = DataDir::at(&loaded(&global)?.config.server.data_dir);
            wait_for(local::verify(&dir, form, against.as_deref(), from))
        }
        Command::Backup { dir: target } => {
            let dir = DataDir::at(&loaded(&global)?.config.server.data_dir);
            wait_for(local::backup(&dir, form, &target))
        }
        Command::Doctor => wait_for(doctor::run(&global, form)),
        Command::Keys(Keys::Bundle) => {
            let loaded = loaded(&global)?;
            wait_for(local::bundle(&global, &loaded, form))
        }
        Command::Demo(command) => {
            let loaded = loaded(&global)?;
            wait_for(demo(&global, form, &loaded, &command))
        }
        Command::Preview { profile, set } => {
            let loaded = loaded(&global)?;
            let client = Client::new(&global, &loaded)?;
            wait_for(previews::preview(&client, form, &loaded, profile.as_deref(), &set))
        }
        Command::Sources { more: Some(OfSources::Show { name }) } => {
            let loaded = loaded(&global)?;
            let client = Client::new(&global, &loaded)?;
            wait_for(plans::source(&client, form, &loaded, &name))
        }
        asking => {
            let loaded = loaded(&global)?;
            let client = Client::new(&global, &loaded)?;
            wait_for(ask(&client, form, &asking))
        }
    }
}

async fn ask(client: &Client, form: Form, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Why { user, action, scope, as_of, effective } => {
            commands::why(client, form, (user, action, scope), as_of.as_deref(), *effective).await
        }
        Command::Who { project, as_of, csv } => reports::who(client, form, project, as_of.as_deref(), *csv).await,
        Command::Diff { of, from, to, user } => reports::diff(client, form, of, *user, from, to.as_deref()).await,
        Command::Events(command) => commands::events(client, form, command).await,
        Command::Deliveries(command) => commands::deliveries(client, form, command).await,
        Command::Sources { .. } => plans::sources(client, form).await,
        Command::Plan { of } => plans::plan(client, form, of).await,
        Command::Plans { source } => plans::plans(client, form, source.as_deref()).await,
        Command::Apply { plan, confirm_removals } => plans::apply(client, form, plan, *confirm_removals).await,
        Command::Discard { plan } => plans::discard(client, form, plan).await,
        Command::Folders(command) => keep::folders(client, form, command).await,
        Command::Projects(command) => keep::projects(client, form, command).await,
        Command::Services(command) => keep::services(client, form, command).await,
        Command::Groups(command) => keep::groups(client, form, command).await,
        Command::Bindings(command) => keep::bindings(client, form, command).await,
        Command::Secrets(command) => commands::secrets(client, form, command).await,
        Command::Keys(command) => commands::keys(client, form, command).await,
        Command::Projection(command) => commands::projection(client, form, command).await,
        Command::Serve(_)
        | Command::Preview { .. }
        | Command::Verify { .. }
        | Command::Backup { .. }
        | Command::Doctor
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Demo(_) => Err(Failure::Usage("this command asks no server".into())),
    }
}

async fn demo(global: &Global, form: Form, loaded: &Loaded, command: &Demo) -> Result<Exit, Failure> {
    let dir = DataDir::at(&loaded.config.server.data_dir);
    let base = address(global, loaded, &dir)?;
    let (entitlement, state, word) = match command {
        Demo::End { entitlement } => (entitlement, EntitlementState::Inactive, "inactive"),
        Demo::Renew { entitlement } => (entitlement, EntitlementState::Active, "active"),
    };
    let answer = demo::change(&dir, &base, entitlement, state, SystemClock.now()).await?;
    form.show(&answer, |paint| {
        let event = answer.pointer("/events/0").cloned().unwrap_or_default();
        let remark = paint.dim(&format!("event {}, {}", show::cell(&event, "position"), show::cell(&event, "effect")));
        format!("{entitlement} is {word} now   {remark}\n")
    });
    Ok(Exit::Yes)
}

/// Runs one question to its end.
fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Usage(error.to_string()))?.block_on(work)
}

fn loaded(global: &Global) -> Result<Loaded, Failure> {
    boot::configuration(global, Vec::new()).map_err(|problems| refused(&problems))
}

/// Every problem on a line of its own.
fn refused(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::Usage(lines.join("\nrollcall: "))
}

fn configuration(global: &Global, form: Form, command: &ConfigCommand) -> Exit {
    let loaded = match boot::configuration(global, Vec::new()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let rows = problems.iter().map(|p| json!({"where": p.origin.to_string(), "what": p.what})).collect();
            form.show(&Value::Array(rows), |paint| {
                problems
                    .iter()
                    .map(|p| format!("{} {}\n", paint.bold(&format!("{}:", p.origin)), show::clean(&p.what)))
                    .collect()
            });
            return Exit::No;
        }
    };
    match command {
        ConfigCommand::Check => form.show(&json!([]), |_| "no problem\n".into()),
        ConfigCommand::Show => {
            let rows = effective(&loaded);
            match form {
                Form::Json => {
                    let row = |(key, value, origin): &(String, Value, layers::Origin)| json!({"key": key, "value": value, "from": origin.to_string()});
                    say_json(&rows.iter().map(row).collect());
                }
                Form::Text(paint) => {
                    let row = |(key, value, origin): &(String, Value, layers::Origin)| {
                        let value = if value.is_null() { "-".to_owned() } else { value.to_string() };
                        vec![key.clone(), show::clean(&value), origin.to_string()]
                    };
                    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
                    say(&show::table(paint, &["KEY", "VALUE", "FROM"], &rows));
                }
            }
        }
    }
    Exit::Yes
}

fn completions(shell: Shell) {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rollcall", &mut script);
    say(&String::from_utf8_lossy(&script));
}
