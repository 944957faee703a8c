//! What a running server does by itself: renews keys, forgets old records, counts, and does what rules say of
//! users.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rollcall_app::{
    App,
    access::identity::{self, RuleApplied},
};
use rollcall_events::{Clock, Position};
use rollcall_projector::Handle;
use rollcall_registry::Keys;
use rollcall_store::ops::{Ops, Retention};
use tokio_util::sync::CancellationToken;

use super::{ballast, health::Health};

/// How often keys and records are looked after.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(600);
/// How often problems are counted.
const PROBLEMS_INTERVAL: Duration = Duration::from_secs(30);
/// How often it is looked whether a rule has something to say while nothing is recorded, and for how long at least it is not.
const RULES_INTERVAL: Duration = Duration::from_secs(60);
const RULES_PAUSE: Duration = Duration::from_millis(500);
/// How often the numbers are brought up to date while nobody asks.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// What has to be looked after.
pub struct Upkeep {
    /// Counts, and names users.
    pub app: Arc<App>,
    /// Says when something was folded.
    pub handle: Handle,
    /// Renewed.
    pub keys: Arc<Keys>,
    /// Where old records are.
    pub ops: Arc<dyn Ops>,
    /// The numbers.
    pub health: Health,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The data directory, where room is kept.
    pub dir: PathBuf,
    /// When to end.
    pub stop: CancellationToken,
}

impl Upkeep {
    /// Until the server stops.
    pub async fn run(self) {
        let Self { app, handle, keys, ops, health, clock, dir, stop } = self;
        tokio::join!(
            maintain((keys, dir), ops, health, clock, stop.clone()),
            count_problems(Arc::clone(&app), stop.clone()),
            apply_rules(app, handle, stop),
        );
    }
}

/// Does what rules say of users: whenever something was recorded, and now and then, as what keeps a name may end by itself.
async fn apply_rules(app: Arc<App>, handle: Handle, stop: CancellationToken) {
    let mut seen = Position(0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = handle.wait_for(Position(seen.0 + 1), RULES_INTERVAL) => {}
        }
        seen = handle.live().read().position();
        let applied = tokio::select! {
            () = stop.cancelled() => return,
            applied = identity::apply_rules(&app) => applied,
        };
        match applied {
            Ok(applied) => {
                for RuleApplied { kind, subject, rule } in applied {
                    tracing::info!(kind, subject, rule, "recorded by a rule");
                }
            }
            Err(error) => tracing::warn!(%error, "what rules say of users was not recorded"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RULES_PAUSE) => {}
        }
    }
}

/// Keeps the numbers of what was said and is not in effect.
async fn count_problems(app: Arc<App>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(PROBLEMS_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let counted = tokio::select! {
            () = stop.cancelled() => return,
            counted = app.count_problems() => counted,
        };
        match counted {
            Ok(counts) => {
                for (kind, count) in counts {
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    metrics::gauge!("rollcall_problems", "kind" => kind.as_str()).set(f64::from(count));
                }
            }
            Err(error) => tracing::warn!(%error, "problems not counted"),
        }
    }
}

/// Looks after keys, records and numbers.
async fn maintain(
    (keys, dir): (Arc<Keys>, PathBuf),
    ops: Arc<dyn Ops>,
    health: Health,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let (mut metrics, mut maintenance) =
        (tokio::time::interval(METRICS_INTERVAL), tokio::time::interval(MAINTENANCE_INTERVAL));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = metrics.tick() => health.update_metrics(),
            _ = maintenance.tick() => {
                let (keys, now, dir) = (Arc::clone(&keys), clock.now(), dir.clone());
                // The answer of a thread that keeps room is of no use.
                drop(tokio::task::spawn_blocking(move || ballast::keep(&dir)));
                // By a clock that lies records would be forgotten too soon, and keys made that are not good yet.
                if let Err(stale) = health.trusts_clock(now) {
                    tracing::error!(%stale, "keys are not renewed and old records are kept");
                    continue;
                }
                match tokio::task::spawn_blocking(move || keys.maintain(now)).await {
                    Ok(Ok(Some(key))) => tracing::info!(kid = key.kid, "signing key renewed"),
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => tracing::error!(%error, "signing key not renewed"),
                    Err(error) => tracing::error!(%error, "signing key not renewed"),
                }
                if let Err(error) = ops.prune(now, &Retention::default()).await {
                    tracing::warn!(%error, "old records not deleted");
                }
            }
        }
    }
}
