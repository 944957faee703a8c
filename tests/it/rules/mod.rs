//! The rules of access, held to files: scenarios, the tables of the access models, an oracle of its own, properties.

mod expect;
mod lifecycle;
mod model_worlds;
mod models;
mod oracle;
mod properties;
mod scenarios;
