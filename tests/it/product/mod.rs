//! The whole product as its users meet it: pulls by real clients, the README, bad input, attacks, crashes.

mod adapters;
mod advisories;
mod bad_days;
mod bad_input;
mod clients;
mod clocks;
mod crash;
mod faults;
mod file_modes;
mod mapping;
mod polled;
mod power;
mod pull;
pub mod readme;
mod secrets;
mod upgrades;
mod what_if;
mod words;
