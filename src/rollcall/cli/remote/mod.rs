//! The commands that ask a running server, one file each (questions and records have a room each). They say what the API says, in a form that people read; they decide
//! nothing and open no database.

pub mod binding_plans;
pub mod bindings;
pub mod configuration;
pub mod folders;
pub mod groups;
pub mod identity;
pub mod keys;
pub mod people;
pub mod plans;
pub mod preview;
pub mod problems;
pub mod projections;
pub mod projects;
pub mod questions;
pub mod records;
pub mod reports;
pub mod request;
pub mod secrets;
pub mod services;
pub mod sources;
pub mod users;
