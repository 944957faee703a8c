//! The sources that Rollcall reads by itself: which connector each has, how it is asked, and their runners.
//! Holds the wiring only; when and how is ingest's, what a source says is its connector's.

use std::sync::Arc;

use anyhow::Context;
use aws_lc_rs::rand;
use rollcall_eventlog::{Append, Tail};
use rollcall_events::SourceName;
use rollcall_ingest::{Cron, EngineDeps, ReadOptions, RunnerTasks, Runners, pull::Pull};
use rollcall_store::ops::Ops;

use crate::{
    config::{FirstRun, Kind, Source, load::Loaded},
    server::consequences::OnRoster,
};

/// A source that is read: its name, its connector, how it is asked.
pub type Asked = (SourceName, Arc<dyn Pull>, ReadOptions);

/// The sources that are read. Those that only post are not among them.
///
/// # Errors
/// When a source cannot be set up as configured.
pub fn of(loaded: &Loaded) -> anyhow::Result<Vec<Asked>> {
    let mut sources: Vec<Asked> = Vec::new();
    for (name, source) in &loaded.config.source {
        let pull: Option<Arc<dyn Pull>> = match source.kind {
            Kind::Entitlements => None,
            Kind::Ldap => loaded.directories.get(name).map(|directory| Arc::new(directory.clone()) as _),
        };
        if let Some(pull) = pull {
            sources.push((name.clone(), pull, options(source).with_context(|| format!("source.{name}"))?));
        }
    }
    Ok(sources)
}

/// Starts a runner for each source that is read. Dropping what comes second ends them.
pub fn start(
    asked: Vec<Asked>,
    append: Arc<dyn Append>,
    tail: Arc<dyn Tail>,
    ops: &Ops,
    consequences: OnRoster,
) -> (Runners, RunnerTasks) {
    let clock = Arc::clone(&consequences.clock);
    let (store, consequences) = (Arc::new(ops.clone()), Arc::new(consequences));
    let deps = EngineDeps { append, tail, store, consequences, clock, random: Arc::new(random) };
    Runners::start(deps, asked)
}

/// How a source is asked.
fn options(source: &Source) -> anyhow::Result<ReadOptions> {
    Ok(ReadOptions {
        schedule: source.schedule.parse::<Cron>()?,
        jitter: source.jitter.0,
        first_run_waits: source.first_run == FirstRun::Plan,
        guard: source.guard,
        revoke_after: source.revoke_after.map(|span| span.0),
    })
}

/// Without randomness pauses are the shortest and ids as distinct as the clock is.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let _ = rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_is_read_every_quarter_of_an_hour_with_the_guard_on_unless_it_says_otherwise() {
        let usual = options(&Source::default()).unwrap();
        assert_eq!(
            (usual.schedule.to_string().as_str(), usual.guard, usual.first_run_waits),
            ("*/15 * * * *", true, false)
        );
        assert_eq!((usual.jitter, usual.revoke_after), (Duration::from_secs(30), None));
    }
}
