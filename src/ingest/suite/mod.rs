//! Ingest as a whole, with a log and stores in memory that fail where a test wants them to: deliveries through the receiver,
//! reads and followers through the engine, runners as the rest of the process sees them.

mod deletions;
mod deliveries;
mod epochs;
mod histories;
mod kit;
mod links;
mod lookups;
mod races;
mod repeats;
mod runners;
mod runs;
mod sync_state;
mod validation;
mod without_ids;
