//! `demo`: plays the licensing system of the demo.

use rollcall_events::{Clock, body::EntitlementState};

use crate::{
    cli::{
        args::{Demo, Global},
        context::{loaded, server_address},
        output::{OutputFormat, field_text},
    },
    client::{Exit, Failure},
    config::data_dir::DataDir,
    demo,
    server::clock::SystemClock,
};

/// `demo`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(global: &Global, format: OutputFormat, command: &Demo) -> Result<Exit, Failure> {
    let loaded = loaded(global)?;
    let dir = DataDir::new(&loaded.config.server.data_dir);
    let base = server_address(global, &loaded, &dir)?;
    let (entitlement, state, word) = match command {
        Demo::End { entitlement } => (entitlement, EntitlementState::Inactive, "inactive"),
        Demo::Renew { entitlement } => (entitlement, EntitlementState::Active, "active"),
    };
    let answer = demo::change(&dir, &base, entitlement, state, SystemClock.now()).await?;
    format.print(&answer, |paint| {
        let event = answer.pointer("/events/0").cloned().unwrap_or_default();
        let remark = paint.dim(&format!("event {}, {}", field_text(&event, "position"), field_text(&event, "effect")));
        format!("{entitlement} is {word} now   {remark}\n")
    });
    Ok(Exit::Yes)
}
