//! What each command does: finds the configuration, runs the command, prints its answer. Decides nothing.

pub mod args;
mod backup;
mod completions;
mod config;
mod context;
mod demo;
mod doctor;
mod document;
mod log;
mod map;
mod output;
mod remote;
mod serve;
mod verify;
mod welcome;

use rollcall_app::{RenewalStep, operations::source_changes::SourceChange};
use tokio::runtime::Builder;

use self::{
    args::{Cli, Command, ConfigCommand, Global, KeysCommand, LogCommand, MapCommand, SourcesCommand},
    output::{ColorMode, OutputFormat},
    remote::{
        bindings, configuration, folders, groups, keys, people, plans, preview, problems, projections, projects,
        questions::why,
        records::{decisions, deliveries, events, sign_ins},
        reports, secrets, services, sources, users,
    },
};
use crate::{
    client::{Client, Exit, Failure},
    config::{data_dir::DataDir, load::Loaded},
};

/// Does what was asked.
///
/// # Errors
/// As [`Failure`].
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    let mut runtime = match command {
        Command::Serve(_) => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(|error| Failure::Usage(error.to_string()))?;
    runtime.block_on(dispatch(&global, command))
}

async fn dispatch(global: &Global, command: Command) -> Result<Exit, Failure> {
    let format = if global.json { OutputFormat::Json } else { OutputFormat::Text(ColorMode::for_stdout()) };
    let connect = || -> Result<(Loaded, Client), Failure> {
        let loaded = context::loaded(global)?;
        let client = context::client(global, &loaded)?;
        Ok((loaded, client))
    };
    let client = || connect().map(|(_, client)| client);
    match command {
        Command::Serve(args) => serve::run(global, &args, ColorMode::for_stdout()).await,
        Command::Completions { shell } => Ok(completions::run(shell)),
        Command::Config(ConfigCommand::Check) => Ok(config::check(global, format)),
        Command::Config(ConfigCommand::Show) => Ok(config::show(global, format)),
        Command::Config(ConfigCommand::Plan) => configuration::plan(&client()?, format).await,
        Command::Config(ConfigCommand::Apply { confirm }) => {
            configuration::apply(&client()?, format, confirm.as_deref()).await
        }
        Command::Doctor => doctor::run(global, format).await,
        Command::Demo(command) => demo::run(global, format, &command).await,
        Command::Verify { against, from } => {
            verify::run(&context::data_dir(global)?, format, against.as_deref(), from).await
        }
        Command::Log(LogCommand::MendClock { confirm }) => {
            log::mend_clock(&context::data_dir(global)?, format, confirm).await
        }
        Command::Backup { dir } => backup::run(&context::loaded(global)?, format, &dir).await,
        Command::Why { words, as_of, effective, secret } => {
            let asking = why::Asking { as_of: as_of.as_deref(), effective, secret: secret.as_deref() };
            why::run(&client()?, format, &words, &asking).await
        }
        Command::Who { words, as_of, csv } => {
            reports::who(&client()?, format, &words.join(" "), as_of.as_deref(), csv).await
        }
        Command::Diff { of, from, to, user } => {
            reports::diff(&client()?, format, &of, user, &from, to.as_deref()).await
        }
        Command::Preview { profile, set } => {
            let (loaded, client) = connect()?;
            preview::run(&client, format, &loaded, profile.as_deref(), &set).await
        }
        Command::Events(command) => events::run(&client()?, format, &command).await,
        Command::Deliveries(command) => deliveries::run(&client()?, format, &command).await,
        Command::Sources { more: None } => sources::list(&client()?, format).await,
        Command::Sources { more: Some(SourcesCommand::Show { name }) } => {
            let (loaded, client) = connect()?;
            sources::show(&client, format, &loaded, &name).await
        }
        Command::Sources { more: Some(SourcesCommand::Suspend { name, confirm }) } => {
            sources::change(&client()?, format, &name, SourceChange::Suspend, confirm).await
        }
        Command::Sources { more: Some(SourcesCommand::Resume { name, confirm }) } => {
            sources::change(&client()?, format, &name, SourceChange::Resume, confirm).await
        }
        Command::Sources { more: Some(SourcesCommand::Retire { name, for_ever, confirm }) } => {
            sources::retire(&client()?, format, &name, for_ever, confirm).await
        }
        Command::Map(MapCommand::Test { source, samples }) => map::test(global, format, &source, &samples),
        Command::Map(MapCommand::Show { name }) => map::show(format, &name),
        Command::Problems { kind, source } => {
            problems::list(&client()?, format, kind.as_deref(), source.as_deref()).await
        }
        Command::Plan { of } => plans::plan(&client()?, format, &of).await,
        Command::Plans { source } => plans::list(&client()?, format, source.as_deref()).await,
        Command::Apply { plan, confirm_removals } => plans::apply(&client()?, format, &plan, confirm_removals).await,
        Command::Discard { plan } => plans::discard(&client()?, format, &plan).await,
        Command::Folders(command) => folders::run(&client()?, format, &command).await,
        Command::Projects(command) => projects::run(&client()?, format, &command).await,
        Command::Services(command) => services::run(&client()?, format, &command).await,
        Command::Groups(command) => groups::run(&client()?, format, &command).await,
        Command::Users(command) => users::run(&client()?, format, &command).await,
        Command::People(command) => people::run(&client()?, format, &command).await,
        Command::Decisions(command) => decisions::run(&client()?, format, &command).await,
        Command::SignIns { user } => sign_ins::list(&client()?, format, user.as_deref()).await,
        Command::Bindings(command) => bindings::run(&client()?, format, &command).await,
        Command::Secrets(command) => secrets::run(&client()?, format, &command).await,
        Command::Keys(KeysCommand::Bundle) => {
            let loaded = context::loaded(global)?;
            let dir = DataDir::new(&loaded.config.server.data_dir);
            keys::bundle(context::client(global, &loaded), &dir, format).await
        }
        Command::Keys(KeysCommand::BeginAnew) => keys::begin_anew(&context::loaded(global)?, format),
        Command::Keys(KeysCommand::List) => keys::list(&client()?, format).await,
        Command::Keys(KeysCommand::Authorities) => keys::authorities(&client()?, format).await,
        Command::Keys(KeysCommand::RenewAuthority) => keys::renew(&client()?, format, RenewalStep::Make).await,
        Command::Keys(KeysCommand::UseAuthority) => keys::renew(&client()?, format, RenewalStep::Use).await,
        Command::Keys(KeysCommand::Rotate) => keys::rotate(&client()?, format).await,
        Command::Reload => keys::reload(&client()?, format).await,
        Command::Projection(command) => projections::run(&client()?, format, &command).await,
    }
}
