//! The engines. Each keeps a log by itself and knows of no other; `crate::Log` chooses between them.

pub(crate) mod memory;
pub(crate) mod sqlite;
