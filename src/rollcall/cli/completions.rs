//! `completions`: a script for a shell.

use clap::CommandFactory;

use crate::{
    cli::{
        args::{Cli, Shell},
        output::print,
    },
    client::Exit,
};

/// `completions`.
pub fn run(shell: Shell) -> Exit {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rollcall", &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Yes
}
