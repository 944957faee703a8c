//! Rollcall, the only binary: reads the command line, starts what was asked for, and answers with an exit code.
//! Wiring only; every rule lives in a crate beside it.
#![doc = include_str!("README.md")]
// They panic where nobody can read what they print: `stderr::note` and `cli::output` do not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod cli;
mod client;
mod config;
mod demo;
mod server;
mod sources;
mod stderr;
mod tls;
mod values;

use std::process::ExitCode;

use clap::Parser;
use rollcall_events::visible::visible_lines;

use crate::{cli::args::Cli, client::Exit};

/// What a server allocates and frees is a request at a time, on many threads: the system's allocator takes a fifth of the CPU
/// of a webhook for that (`docs/decisions/house.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What is made holds keys and personal data: its owner's alone, also in a data directory that others may enter.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    // One provider for every use of TLS and signatures, chosen before the first of them.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    match cli::run(cli) {
        Ok(Exit::Yes) => ExitCode::SUCCESS,
        Ok(Exit::No) => ExitCode::from(1),
        Err(failure) => {
            // What a server or a file said may be in it.
            stderr::note(&format!("rollcall: {}\n", visible_lines(&failure.to_string())));
            ExitCode::from(failure.code())
        }
    }
}
