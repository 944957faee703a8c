//! The whole router in-process, over a log in memory and a real `ops.db`. Every answer is held against the OpenAPI
//! document, so that no test can pass with an answer of a shape that is not written down.

mod access_control;
mod authzen;
mod bad_input;
mod commands;
mod contract;
mod facts;
mod helpers;
mod hooks;
mod idempotency;
mod leaks;
mod local_objects;
mod looks;
mod names;
mod past;
mod plans;
mod previews;
mod price;
mod problems;
mod reads;
mod world;
