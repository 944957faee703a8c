//! The commands that ask a running server, one file each. They say what the API says, in a form that people read; they decide
//! nothing and open no database.

pub mod binding_plans;
pub mod bindings;
pub mod configuration;
pub mod deliveries;
pub mod events;
pub mod explanation;
pub mod folders;
pub mod groups;
pub mod keys;
pub mod plans;
pub mod preview;
pub mod problems;
pub mod projections;
pub mod projects;
pub mod reports;
pub mod request;
pub mod secrets;
pub mod services;
pub mod sign_ins;
pub mod sources;
pub mod why;
