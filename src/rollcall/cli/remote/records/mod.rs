//! The commands that look at what is on record: events, deliveries, decisions, refused sign-ins.

pub mod decisions;
pub mod deliveries;
pub mod events;
pub mod sign_ins;
