//! What the process says about itself: log lines on standard error and the numbers of `/metrics`.
//! A line and its number are one struct, so that they cannot drift apart. Never a secret, a body or an e-mail.

use std::io::{self, IsTerminal, Write};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use rollcall_events::visible::{visible, visible_json};
use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogFormat, Logging, log_filter::log_filter};

/// The version that `--version`, `/metrics` and the start line show.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where the build said so.
pub const COMMIT: &str = match option_env!("ROLLCALL_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Starts the log lines. A level that does not parse was refused before; it is `info` here.
pub fn start_logging(config: &Logging) {
    let terminal = io::stderr().is_terminal();
    let text = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let registry = tracing_subscriber::registry().with(log_filter(&config.level).unwrap_or_default());
    // It would say so on standard error, and panic where that is full.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let started = if text {
        let writer = if colours { OneLine::Colored } else { OneLine::Text };
        registry.with(layer.with_writer(writer).with_ansi(colours)).try_init()
    } else {
        registry.with(layer.with_writer(OneLine::Json).json().flatten_event(true).with_ansi(false)).try_init()
    };
    // A second start within one process (tests) keeps the first one's subscriber.
    drop(started);
}

/// Standard error, where one record stays one line whatever its values hold.
#[derive(Clone, Copy)]
enum OneLine {
    /// Of text.
    Text,
    /// Of text, in colours.
    Colored,
    /// Of JSON.
    Json,
}

impl<'a> MakeWriter<'a> for OneLine {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for OneLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(self.shown(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl OneLine {
    /// A record with the hidden characters inside it written out.
    fn shown(self, record: &str) -> String {
        let (body, end) = record.strip_suffix('\n').map_or((record, ""), |body| (body, "\n"));
        let body = match self {
            Self::Text => visible(body),
            Self::Json => visible_json(body),
            // The colours are our own: values are written with their control characters as `\u{1b}`.
            Self::Colored => body.split('\u{1b}').map(visible).collect::<Vec<_>>().join("\u{1b}").into(),
        };
        body.into_owned() + end
    }
}

/// Starts counting.
///
/// # Errors
/// When this process counts already.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = recorder()?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("this process counts already"))?;
    metrics::describe_gauge!("rollcall_build_info", "1, with what was built");
    metrics::gauge!("rollcall_build_info", "version" => VERSION, "commit" => COMMIT).set(1.0);
    Ok(handle)
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    // What is to take microseconds.
    const HELD: &[f64] = &[0.000_001, 0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Full("rollcall_roster_held_seconds".into()), HELD)
}

/// The server takes requests.
pub struct Started<'a> {
    /// The address listened on.
    pub listen: &'a str,
    /// Where the data is.
    pub data_dir: &'a str,
    /// How far the log is.
    pub position: u64,
}

impl Started<'_> {
    /// Says it.
    pub fn emit(self) {
        tracing::info!(
            listen = self.listen,
            data_dir = self.data_dir,
            position = self.position,
            version = VERSION,
            "server started"
        );
    }
}

/// The server has let go of everything.
pub struct Stopped {
    /// Connections that were cut because they took longer than the grace.
    pub cut: usize,
}

impl Stopped {
    /// Says it.
    pub fn emit(self) {
        tracing::info!(connections_cut = self.cut, "server stopped");
    }
}

/// A connection was closed because its address has its share of them.
pub struct ConnectionRefused {
    /// Whose.
    pub client: std::net::IpAddr,
}

impl ConnectionRefused {
    /// Says it.
    pub fn emit(self) {
        tracing::debug!(client = %self.client, "connection refused: this address has its share");
        metrics::counter!("rollcall_connections_refused_total").increment(1);
    }
}

/// Decisions were lost because they came faster than they could be kept.
pub struct DecisionDropped;

impl DecisionDropped {
    /// Says it.
    pub fn emit(self) {
        tracing::debug!("decision dropped");
        metrics::counter!("rollcall_decisions_dropped_total").increment(1);
    }
}

/// Records went because a budget was full.
pub struct RecordsLetGo {
    /// Of what.
    pub kind: &'static str,
    /// How many.
    pub rows: u64,
}

impl RecordsLetGo {
    /// Says it.
    pub fn emit(self) {
        tracing::debug!(kind = self.kind, rows = self.rows, "records let go");
        metrics::counter!("rollcall_records_let_go_total", "kind" => self.kind).increment(self.rows);
    }
}

/// A sign-in was refused; whose is for no log.
pub struct SignInRefused {
    /// Why.
    pub cause: &'static str,
}

impl SignInRefused {
    /// Says it.
    pub fn emit(self) {
        tracing::debug!(cause = self.cause, "sign-in refused");
        metrics::counter!("rollcall_sign_ins_refused_total", "cause" => self.cause).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_a_second_line() {
        let forged = "info user=\"a\nerror b\u{1b}[2J\u{85}\u{202e}\"\n";
        assert_eq!(OneLine::Text.shown(forged), "info user=\"a\\nerror b\\u{1b}[2J\\u{85}\\u{202e}\"\n");
        let record = serde_json::json!({"user": "a\u{9b}2J\u{202e}\n"});
        let line = OneLine::Json.shown(&format!("{record}\n"));
        assert!(line.strip_suffix('\n').is_some_and(|line| line.is_ascii() && !line.contains('\n')), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), record, "it is still JSON");
        assert_eq!(OneLine::Colored.shown("\u{1b}[2mx\u{1b}[0m\u{9b}\n"), "\u{1b}[2mx\u{1b}[0m\\u{9b}\n");
    }

    #[test]
    fn durations_are_histograms_and_names_are_as_documented() {
        let recorder = recorder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            DecisionDropped.emit();
            metrics::histogram!("rollcall_token_request_duration_seconds").record(0.003);
        });
        let text = handle.render();
        assert!(text.contains("rollcall_decisions_dropped_total 1"), "{text}");
        assert!(text.contains("rollcall_token_request_duration_seconds_bucket{le=\"0.005\"} 1"), "{text}");
    }
}
