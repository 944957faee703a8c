//! Rollcall, the only binary: reads the command line, starts what was asked for, and answers with an exit code.
//! Wiring only; every rule lives in a crate beside it.
#![allow(dead_code)]

mod boot;
mod checks;
mod cli;
mod config;
#[cfg(test)]
mod config_tests;
mod data_dir;
mod layers;
mod listener;
mod signing;
mod telemetry;
mod units;
mod world;

use clap::Parser;

fn main() {
    let _ = cli::Cli::parse();
}
