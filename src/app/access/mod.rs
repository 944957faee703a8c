//! Who may do what: who there is, what there is, which roles were given, and why. One module per noun, each with what it
//! answers and takes.

pub mod bindings;
pub mod bindings_document;
pub mod decisions;
pub mod evaluate;
pub mod explain;
pub mod folders;
pub mod groups;
pub mod identity;
mod link_commands;
pub mod people;
pub mod preview;
pub mod projects;
pub mod reports;
pub mod secret_list;
pub mod secrets;
pub mod services;
pub mod sign_ins;
pub mod users;
