//! `verify`: proves the log of a data directory unaltered, beside a running server. Records nothing.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::Path,
};

use anyhow::Context;
use rollcall_eventlog::{Log, SignedHead, VerifyError, VerifyOptions, VerifyProgress};
use rollcall_events::Position;
use serde_json::json;

use crate::{
    cli::output::{OutputFormat, group_digits},
    client::{Exit, Failure},
    config::data_dir::DataDir,
    stderr::note,
};

/// A line of progress on the terminal, where there is one.
struct ProgressLine(bool);

impl ProgressLine {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal())
    }

    fn update(&self, progress: VerifyProgress) {
        if self.0 {
            let VerifyProgress { position, end } = progress;
            note(&format!("\r{} of {} ", group_digits(position.0), group_digits(end.0)));
            drop(std::io::stderr().flush());
        }
    }

    fn clear(&self) {
        if self.0 {
            note("\r\u{1b}[K");
        }
    }
}

/// `verify`.
///
/// # Errors
/// When the log cannot be read; what is not in order is an answer.
pub async fn run(dir: &DataDir, format: OutputFormat, against: Option<&Path>, from: u64) -> Result<Exit, Failure> {
    let against = against.map(read_head).transpose()?;
    let options = VerifyOptions { against, after: Position(from.saturating_sub(1)), ..VerifyOptions::default() };
    let progress_line = ProgressLine::new();
    let found = Log::verify(&dir.log(), options, |progress| progress_line.update(progress)).await;
    progress_line.clear();
    match found {
        Ok(verified) => {
            let answer = json!({
                "ok": true, "log": verified.log.to_string(), "events": verified.events,
                "position": verified.head.position, "hash": verified.head.hash.to_string(),
                "against": verified.against,
            });
            format.print(&answer, |paint| {
                format!("{}  {verified}\n    head sha256:{}\n", paint.good("OK"), verified.head.hash)
            });
            Ok(Exit::Yes)
        }
        Err(VerifyError::Unavailable(why)) => Err(Failure::Unreachable(why)),
        Err(error) => {
            let position = match &error {
                VerifyError::Damaged { position, .. } | VerifyError::Altered { position } => Some(*position),
                _ => None,
            };
            format.print(&json!({"ok": false, "position": position, "what": error.to_string()}), |paint| {
                format!("{}  {error}\n", paint.bad("NOT OK"))
            });
            Ok(Exit::No)
        }
    }
}

fn read_head(path: &Path) -> anyhow::Result<SignedHead> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not a signed head (the answer of /api/v1/log/head)", path.display()))
}
