//! Whether the process may answer: how old its facts are, whether its clock can be trusted, and the operations routes.
//! Looks and says; mends nothing. Anybody is told whether the process is alive and ready; details are for whoever may see
//! them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, TimeDelta, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use rollcall_access::{Freshness, Stale};
use rollcall_api::Problem;
use rollcall_app::{App, At, Permission};
use rollcall_eventlog::WriteAhead;
use rollcall_events::Clock;
use rollcall_projector::{Handle, State as Fold};
use rollcall_registry::Keys;

use crate::{server::databases::Databases, tls::Tls};

/// How the process is.
#[derive(Clone)]
pub struct Health {
    databases: Databases,
    projector: Handle,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    newest: Arc<AtomicI64>,
    filling: Arc<AtomicBool>,
    metrics: PrometheusHandle,
    tls: Option<Arc<Tls>>,
}

/// What is still good enough.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For how long the log may have been silent about itself.
    pub staleness: Duration,
    /// How far the clock may be behind the newest time that was seen.
    pub skew: Duration,
}

/// One thing that must hold.
struct Check {
    name: &'static str,
    good: bool,
    text: String,
}

impl Health {
    /// `newest` is the time of the log's newest record: no present is before it.
    #[expect(clippy::too_many_arguments, reason = "called once, with all that it looks at")]
    pub fn new(
        databases: Databases,
        projector: Handle,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        newest: DateTime<Utc>,
        metrics: PrometheusHandle,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let newest = Arc::new(AtomicI64::new(newest.timestamp_micros()));
        Self { databases, projector, keys, clock, limits, newest, filling: Arc::default(), metrics, tls }
    }

    /// Says whether the demo's data is still being posted. Who waits until the process is ready finds it whole.
    pub fn set_filling_demo(&self, filling: bool) {
        self.filling.store(filling, Ordering::Relaxed);
    }

    /// Whether the clock can be trusted: it is not behind the newest time that the log or this process has seen, nor ahead of
    /// what it can say.
    pub fn trusts_clock(&self, now: DateTime<Utc>) -> Result<(), Stale> {
        if let Some(ahead) = self.databases.log.clock_ahead() {
            return Err(Stale::ClockAhead(ahead.ahead.to_std().unwrap_or_default()));
        }
        let behind = self.behind(now);
        if behind > self.limits.skew { Err(Stale::Clock(behind)) } else { Ok(()) }
    }

    /// How far the clock is behind the newest time that the log or this process has seen. What cannot be right was not seen.
    fn behind(&self, now: DateTime<Utc>) -> Duration {
        let now = now.timestamp_micros();
        let newest = self.newest.fetch_max(now, Ordering::Relaxed);
        Duration::from_micros(u64::try_from(newest - now).unwrap_or_default())
    }

    fn checks(&self, now: DateTime<Utc>) -> Vec<Check> {
        let status = self.projector.status(now);
        let clock = self.trusts_clock(now);
        let waiting = status.head.0.saturating_sub(status.roster.0);
        let older = status.older_fold.map(|version| {
            let folded = status.rebuild.map_or(0, |progress| progress.position.0);
            format!(
                "; older facts are as fold version {version} took them, until all is folded anew: {folded} of {}",
                status.head
            )
        });
        let older = older.unwrap_or_default();
        let (folding, text) = match &status.state {
            Fold::Following => (true, format!("follows, {waiting} positions behind{older}")),
            Fold::CatchingUp => (false, format!("reads the log, {waiting} positions behind")),
            Fold::Stopped(why) => (false, why.clone()),
        };
        let signing = self.keys.current().list().first().map(|key| key.certificate_ends);
        // A log that rests takes no events, and every hook says so; who may pull is still answered from the roster.
        let resting = self.databases.log.health();
        let resting = resting.error().map(|why| format!("; takes no events at present: {why}")).unwrap_or_default();
        let mut checks = vec![
            Check { name: "log", good: true, text: format!("durable up to position {}{resting}", status.head) },
            Check { name: "projection", good: folding, text },
            Check {
                name: "staleness",
                good: status.age <= self.limits.staleness,
                text: format!(
                    "last confirmed up to date {:.1} s ago, at most {} s",
                    status.age.as_secs_f64(),
                    self.limits.staleness.as_secs()
                ),
            },
            Check {
                name: "clock",
                good: clock.is_ok(),
                text: match (&clock, self.databases.log.clock_ahead()) {
                    (_, Some(ahead)) => ahead.to_string(),
                    (Err(stale), None) => format!(
                        "{stale}, and may be {} s (token.max_clock_skew). Set the clock. If it is right and the log is ahead, \
                         say so while the server is stopped: rollcall log mend-clock",
                        self.limits.skew.as_secs()
                    ),
                    (Ok(()), None) => format!(
                        "not behind the newest time that was seen by more than {} s (token.max_clock_skew)",
                        self.limits.skew.as_secs()
                    ),
                },
            },
            Check {
                name: "keys",
                good: signing.is_some_and(|ends| ends > now + TimeDelta::seconds(300)),
                text: signing
                    .map_or_else(|| "none signs".into(), |ends| format!("one signs, its certificate ends {ends}")),
            },
        ];
        for WriteAhead { database, bytes, held } in self.databases.write_ahead() {
            // It stops nobody; it is for whoever looks why the disk fills up.
            let Some(held) = held else { continue };
            let (who, megabytes) = (held.readers(), bytes / 1_000_000);
            let text = format!("{who} keeps {megabytes} MB from being moved into it: `rollcall problems`");
            checks.push(Check { name: database, good: true, text });
        }
        if let Some(tls) = &self.tls {
            checks.push(Check { name: "tls", good: true, text: tls.report(now) });
        }
        if self.filling.load(Ordering::Relaxed) {
            checks.push(Check { name: "demo", good: false, text: "its data is being posted".to_owned() });
        }
        checks
    }

    /// Notes the time, and keeps the numbers from growing while nobody reads them.
    pub fn update_metrics(&self) {
        let _ = self.trusts_clock(self.clock.now());
        metrics::gauge!("rollcall_log_takes_events")
            .set(if self.databases.log.health() == rollcall_eventlog::Health::Writable { 1.0 } else { 0.0 });
        for WriteAhead { database, bytes, held } in self.databases.write_ahead() {
            #[expect(clippy::cast_precision_loss, reason = "a file that large has no exact size to look at")]
            metrics::gauge!("rollcall_write_ahead_bytes", "database" => database).set(bytes as f64);
            let held = held.map_or(0.0, |held| held.lasting.as_secs_f64());
            metrics::gauge!("rollcall_write_ahead_held_seconds", "database" => database).set(held);
        }
        if let Some(tls) = &self.tls {
            let ends = tls.identity().ends.timestamp();
            #[expect(clippy::cast_precision_loss, reason = "seconds of this millennium are exact in a double")]
            metrics::gauge!("rollcall_tls_certificate_ends_seconds").set(ends as f64);
        }
        self.metrics.run_upkeep();
    }
}

impl Freshness for Health {
    fn may_decide(&self, now: DateTime<Utc>) -> Result<(), Stale> {
        let age = self.projector.age(now);
        self.trusts_clock(now)?;
        if age > self.limits.staleness { Err(Stale::Old(age)) } else { Ok(()) }
    }
}

/// What the operations routes are called. Their listener answers them while every connection is in use.
pub const ROUTES: &[&str] = &["/livez", "/readyz", "/healthz", "/metrics"];

/// Who is told how the process is, in detail.
#[derive(Clone)]
pub enum Audience {
    /// Whoever reaches the listener: one of its own, for probes and collectors inside.
    Anybody,
    /// Whoever holds an auditor's key.
    Auditors(Arc<App>),
}

/// What an auditor may, and others may not.
const MAY_LOOK: Permission = Permission { action: "projection.list", at: At::Root };

impl Audience {
    /// Whether whoever sent a request is among them.
    async fn admit(&self, request: &Parts) -> Result<(), Problem> {
        match self {
            Self::Anybody => Ok(()),
            Self::Auditors(app) => rollcall_api::admit(app, &request.headers, &request.extensions, MAY_LOOK).await,
        }
    }
}

#[derive(Clone)]
struct Operations {
    health: Health,
    audience: Audience,
}

/// `/livez`, `/readyz` (also `/healthz`) and `/metrics`.
pub fn router(health: Health, audience: Audience) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .route("/metrics", get(render))
        .with_state(Operations { health, audience })
}

async fn ready(
    State(Operations { health, audience }): State<Operations>,
    RawQuery(query): RawQuery,
    request: Parts,
) -> Result<Response, Problem> {
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")));
    if verbose {
        audience.admit(&request).await?;
    }
    let checks = health.checks(health.clock.now());
    let good = checks.iter().all(|check| check.good);
    let mut text = String::new();
    for Check { name, good, text: detail } in &checks {
        let mark = if *good { '+' } else { '-' };
        if verbose {
            text.push_str(&format!("[{mark}] {name}: {detail}\n"));
        } else if !good {
            text.push_str(&format!("[{mark}] {name}\n"));
        }
    }
    text.push_str(if good { "ready\n" } else { "not ready\n" });
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], text).into_response())
}

async fn render(
    State(Operations { health, audience }): State<Operations>,
    request: Parts,
) -> Result<Response, Problem> {
    audience.admit(&request).await?;
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(([kind], health.metrics.render()).into_response())
}
