//! What each command does: finds the configuration, runs the command, prints its answer.
//! Says what the API says; decides nothing.

pub mod args;
pub mod commands;
mod doctor;
pub mod document;
mod explanation;
mod managed;
mod offline;
pub mod output;
mod plans;
mod previews;
mod reports;

use clap::CommandFactory;
use rollcall_events::{Clock, body::EntitlementState};
use serde_json::{Value, json};

use self::{
    args::{Cli, Command, ConfigCommand, Demo, Global, Keys, OfSources, Shell},
    commands::Form,
    output::{Paint, say, say_json},
};
use crate::{
    client::{Client, Exit, Failure, address},
    config::{
        data_dir::DataDir,
        effective::effective,
        load::Loaded,
        origin::{Origin, Problem},
    },
    demo,
    server::{self, clock::SystemClock},
};

/// Does what was asked.
///
/// # Errors
/// As [`Failure`].
pub fn run(cli: Cli) -> Result<Exit, Failure> {
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
            runtime.map_err(|error| Failure::Usage(error.to_string()))?.block_on(server::run(&global, &args, paint))
        }
        Command::Verify { against, from } => {
            let dir = DataDir::at(&loaded(&global)?.config.server.data_dir);
            wait_for(offline::verify(&dir, form, against.as_deref(), from))
        }
        Command::Backup { dir: target } => {
            let dir = DataDir::at(&loaded(&global)?.config.server.data_dir);
            wait_for(offline::backup(&dir, form, &target))
        }
        Command::Doctor => wait_for(doctor::run(&global, form)),
        Command::Keys(Keys::Bundle) => {
            let loaded = loaded(&global)?;
            wait_for(offline::bundle(&global, &loaded, form))
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
        Command::Folders(command) => managed::folders(client, form, command).await,
        Command::Projects(command) => managed::projects(client, form, command).await,
        Command::Services(command) => managed::services(client, form, command).await,
        Command::Groups(command) => managed::groups(client, form, command).await,
        Command::Bindings(command) => managed::bindings(client, form, command).await,
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
        let remark =
            paint.dim(&format!("event {}, {}", output::cell(&event, "position"), output::cell(&event, "effect")));
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
    global.load_config(&[]).map_err(|problems| refused(&problems))
}

/// Every problem on a line of its own.
fn refused(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::Usage(lines.join("\nrollcall: "))
}

fn configuration(global: &Global, form: Form, command: &ConfigCommand) -> Exit {
    let loaded = match global.load_config(&[]) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let rows = problems.iter().map(|p| json!({"where": p.origin.to_string(), "what": p.what})).collect();
            form.show(&Value::Array(rows), |paint| {
                problems
                    .iter()
                    .map(|p| format!("{} {}\n", paint.bold(&format!("{}:", p.origin)), output::clean(&p.what)))
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
                    let row = |(key, value, origin): &(String, Value, Origin)| json!({"key": key, "value": value, "from": origin.to_string()});
                    say_json(&rows.iter().map(row).collect());
                }
                Form::Text(paint) => {
                    let row = |(key, value, origin): &(String, Value, Origin)| {
                        let value = if value.is_null() { "-".to_owned() } else { value.to_string() };
                        vec![key.clone(), output::clean(&value), origin.to_string()]
                    };
                    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
                    say(&output::table(paint, &["KEY", "VALUE", "FROM"], &rows));
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
