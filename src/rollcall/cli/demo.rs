//! `demo`: plays the licensing system of the demo.

use rollcall_events::{Clock, body::EntitlementState};

use crate::{
    cli::{
        args::{DemoCommand, Global},
        context::{loaded, server_address},
        output::{OutputFormat, cell},
    },
    client::{Exit, Failure, http_client},
    config::data_dir::DataDir,
    demo,
    server::clock::SystemClock,
};

/// `demo`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(global: &Global, format: OutputFormat, command: &DemoCommand) -> Result<Exit, Failure> {
    let loaded = loaded(global)?;
    let dir = DataDir::new(&loaded.config.server.data_dir);
    let base = server_address(global, &loaded, &dir)?;
    let http = http_client(&base, global.ca_file.as_deref())?;
    let (entitlement, state, word) = match command {
        DemoCommand::End { entitlement } => (entitlement, EntitlementState::Inactive, "inactive"),
        DemoCommand::Renew { entitlement } => (entitlement, EntitlementState::Active, "active"),
    };
    let answer = demo::change(&dir, (&http, &base), entitlement, state, SystemClock.now()).await?;
    format.print(&answer.json, |paint| {
        let event = answer.value.events.first();
        let remark =
            event.map(|event| format!("event {}, {}", event.position, cell(&event.effect))).unwrap_or_default();
        format!("{entitlement} is {word} now   {}\n", paint.dim(&remark))
    });
    Ok(Exit::Yes)
}
