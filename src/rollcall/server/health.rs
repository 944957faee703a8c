//! Whether the process may answer: how old its facts are, whether its clock can be trusted, and the operations routes.
//! Looks and says; mends nothing.

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
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, TimeDelta, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use rollcall_eventlog::Log;
use rollcall_events::Clock;
use rollcall_projector::{Handle, State as Fold};
use rollcall_registry::{Freshness, Keys};

/// How the process is.
#[derive(Clone)]
pub struct Health {
    log: Log,
    projector: Handle,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    newest: Arc<AtomicI64>,
    filling: Arc<AtomicBool>,
    metrics: PrometheusHandle,
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
    pub fn new(
        log: Log,
        projector: Handle,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        newest: DateTime<Utc>,
        metrics: PrometheusHandle,
    ) -> Self {
        let newest = Arc::new(AtomicI64::new(newest.timestamp_micros()));
        Self { log, projector, keys, clock, limits, newest, filling: Arc::default(), metrics }
    }

    /// Says whether the demo's data is still being posted. Who waits until the process is ready finds it whole.
    pub fn set_filling_demo(&self, filling: bool) {
        self.filling.store(filling, Ordering::Relaxed);
    }

    /// How far the clock is behind the newest time that the log or this process has seen.
    fn behind(&self, now: DateTime<Utc>) -> Duration {
        let now = now.timestamp_micros();
        let newest = self.newest.fetch_max(now, Ordering::Relaxed);
        Duration::from_micros(u64::try_from(newest - now).unwrap_or_default())
    }

    fn checks(&self, now: DateTime<Utc>) -> Vec<Check> {
        let status = self.projector.status(now);
        let behind = self.behind(now);
        let waiting = status.head.0.saturating_sub(status.roster.0);
        let (folding, text) = match &status.state {
            Fold::Following => (true, format!("follows, {waiting} positions behind")),
            Fold::CatchingUp => (false, format!("reads the log, {waiting} positions behind")),
            Fold::Stopped(why) => (false, why.clone()),
        };
        let signing = self.keys.current().list().first().map(|key| key.certificate_ends);
        // A log that rests takes no events, and every hook says so; who may pull is still answered from the roster.
        let resting = self.log.health();
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
                good: behind <= self.limits.skew,
                text: format!(
                    "{:.1} s behind the newest time that was seen, at most {} s (token.max_clock_skew)",
                    behind.as_secs_f64(),
                    self.limits.skew.as_secs()
                ),
            },
            Check {
                name: "keys",
                good: signing.is_some_and(|ends| ends > now + TimeDelta::seconds(300)),
                text: signing
                    .map_or_else(|| "none signs".into(), |ends| format!("one signs, its certificate ends {ends}")),
            },
        ];
        if self.filling.load(Ordering::Relaxed) {
            checks.push(Check { name: "demo", good: false, text: "its data is being posted".to_owned() });
        }
        checks
    }

    /// Notes the time, and keeps the numbers from growing while nobody reads them.
    pub fn update_metrics(&self) {
        self.behind(self.clock.now());
        metrics::gauge!("rollcall_log_takes_events").set(if self.log.health() == rollcall_eventlog::Health::Writable {
            1.0
        } else {
            0.0
        });
        self.metrics.run_upkeep();
    }
}

impl Freshness for Health {
    fn stale(&self, now: DateTime<Utc>) -> Option<Duration> {
        let age = self.projector.age(now);
        let trusted = self.behind(now) <= self.limits.skew;
        (age > self.limits.staleness || !trusted).then_some(age)
    }
}

/// `/livez`, `/readyz` (also `/healthz`) and `/metrics`.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .route("/metrics", get(render))
        .with_state(health)
}

async fn ready(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let checks = health.checks(health.clock.now());
    let good = checks.iter().all(|check| check.good);
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")));
    let mut text = String::new();
    for check in &checks {
        if verbose || !check.good {
            text.push_str(&format!("[{}] {}: {}\n", if check.good { '+' } else { '-' }, check.name, check.text));
        }
    }
    text.push_str(if good { "ready\n" } else { "not ready\n" });
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

async fn render(State(health): State<Health>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics.render()).into_response()
}
