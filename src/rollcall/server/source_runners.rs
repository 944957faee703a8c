//! The runners of the sources that Rollcall reads by itself. Holds the wiring only: when and how is ingest's, what a source
//! says is its connector's.

use std::{collections::BTreeMap, sync::Arc};

use rollcall_eventlog::{Append, Tail};
use rollcall_events::SourceName;
use rollcall_ingest::{EngineDeps, ReadOptions, RunnerTasks, Runners, SourceStore, connector::Pull};

use crate::{
    server::{consequences::RosterConsequences, random::random_number},
    sources::Source,
};

/// A source that is read: its name, its connector, how it is read.
pub type ReadSource = (SourceName, Arc<dyn Pull>, ReadOptions);

/// The sources that are read. Those that only post are not among them.
pub fn read_sources(sources: &BTreeMap<SourceName, Source>) -> Vec<ReadSource> {
    let read = |(name, source): (&SourceName, &Source)| {
        let (pull, options) = source.pull.clone()?;
        Some((name.clone(), pull, options))
    };
    sources.iter().filter_map(read).collect()
}

/// Starts a runner for each source that is read. Dropping what comes second ends them.
pub fn start(
    sources: Vec<ReadSource>,
    append: Arc<dyn Append>,
    tail: Arc<dyn Tail>,
    store: Arc<dyn SourceStore>,
    consequences: RosterConsequences,
) -> (Runners, RunnerTasks) {
    let clock = Arc::clone(&consequences.clock);
    let consequences = Arc::new(consequences);
    let deps = EngineDeps { append, tail, store, consequences, clock, random: Arc::new(random_number) };
    Runners::start(deps, sources)
}
