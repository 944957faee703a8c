//! How facts come in and how the process is: deliveries, sources and their plans, the configuration, the log, projections, keys. One module
//! per noun, each with what it answers and takes.

mod addresses;
pub mod configuration;
pub mod deliveries;
pub mod events;
pub mod keys;
pub mod log;
pub mod plans;
pub mod problems;
pub mod projections;
pub mod recorded;
pub mod reload;
pub mod source_changes;
pub mod sources;
