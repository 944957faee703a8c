//! What is HTTP and no resource's own: who gets in, bodies, queries, conditions, pages, problems, the document.

pub(crate) mod answer_key;
pub(crate) mod body;
pub(crate) mod body_budget;
pub(crate) mod conditions;
pub(crate) mod csv;
pub(crate) mod extractors;
pub(crate) mod idempotency;
pub(crate) mod openapi;
pub(crate) mod permissions;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod response;
