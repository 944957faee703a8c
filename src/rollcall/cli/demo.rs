//! `demo`: plays the licensing system of the demo.

use rollcall_events::{Clock, body::EntitlementState};

use crate::{
    cli::{
        args::{Demo, Global},
        context::{loaded, server_address},
        output::{Form, cell},
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
pub async fn run(global: &Global, form: Form, command: &Demo) -> Result<Exit, Failure> {
    let loaded = loaded(global)?;
    let dir = DataDir::at(&loaded.config.server.data_dir);
    let base = server_address(global, &loaded, &dir)?;
    let (entitlement, state, word) = match command {
        Demo::End { entitlement } => (entitlement, EntitlementState::Inactive, "inactive"),
        Demo::Renew { entitlement } => (entitlement, EntitlementState::Active, "active"),
    };
    let answer = demo::change(&dir, &base, entitlement, state, SystemClock.now()).await?;
    form.show(&answer, |paint| {
        let event = answer.pointer("/events/0").cloned().unwrap_or_default();
        let remark = paint.dim(&format!("event {}, {}", cell(&event, "position"), cell(&event, "effect")));
        format!("{entitlement} is {word} now   {remark}\n")
    });
    Ok(Exit::Yes)
}
