//! Routes about how facts come in and how the process is: deliveries, sources, the configuration, the log, projections, keys.

pub(crate) mod configuration;
pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod hooks;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod plans;
pub(crate) mod problems;
pub(crate) mod projections;
pub(crate) mod reload;
pub(crate) mod sources;
