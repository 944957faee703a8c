//! The command line: every command, argument and help text. Parses; does nothing.

mod managed;
mod records;
mod sources;
mod users;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{server::roles::Role, values::listen_address};

pub use self::{
    managed::{BindingsCommand, FoldersCommand, GroupsCommand, ProjectsCommand, ServicesCommand, Visibility},
    records::{DecisionsCommand, DeliveriesCommand, EventsCommand},
    sources::{MapCommand, SourcesCommand},
    users::{LinkArgs, PeopleCommand, UnlinkArgs, UsersCommand},
};

/// Keeps a registry's membership equal to what the systems of record say, and can always say why.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 yes, 1 no or differences, 2 usage, 3 unreachable.")]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file [default: rollcall.toml, else /etc/rollcall/rollcall.toml, where there is one]
    #[arg(long, global = true, env = "ROLLCALL_CONFIG", value_name = "FILE", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Data directory [default: rollcall-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the server to ask [default: the one that the configuration or the data directory names]
    #[arg(long, global = true, env = "ROLLCALL_SERVER", value_name = "URL", hide_env = true)]
    pub server: Option<String>,
    /// File with the key to ask with [default: admin.key in the data directory]
    #[arg(long, global = true, env = "ROLLCALL_TOKEN_FILE", value_name = "FILE", hide_env = true)]
    pub token_file: Option<PathBuf>,
    /// File with the authorities that may sign the server's certificate, PEM [default: the system's]
    #[arg(long, global = true, env = "ROLLCALL_CA_FILE", value_name = "FILE", hide_env = true)]
    pub ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Serve),
    /// Say whether a user may do something, and why
    Why {
        /// USER ACTION PROJECT[/REPO]: who (a user's name, or service:ID), what (pull, push, delete, or an action of the
        /// profile), where (a project, an image as clients write it, root or folder:ID). Or USER and what a client said or
        /// was told to do; or that alone, where it names the user, a decision (dec_...) or a delivery (dlv_...); `-` reads
        /// it from standard input
        #[arg(required = true, value_name = "WORDS")]
        words: Vec<String>,
        /// As Rollcall knew it then: a position, a day (its end, UTC), as in 2026-03-01, today or yesterday, an instant
        /// (2026-03-01T12:00Z), or how long ago ("2h ago")
        #[arg(long, value_name = "MOMENT")]
        as_of: Option<String>,
        /// With what is known now about then, corrections that came later included
        #[arg(long, requires = "as_of")]
        effective: bool,
        /// With this secret of the user, by its id: one that a portal made reaches less
        #[arg(long, value_name = "ID", conflicts_with = "as_of")]
        secret: Option<String>,
    },
    /// List the members of a project, each with the reason
    Who {
        /// Project, an image as clients write it, what a client said, a decision (dec_...), or group:GROUP for who is in a
        /// group
        #[arg(required = true, value_name = "PROJECT")]
        words: Vec<String>,
        /// As Rollcall knew it then: a position, a day (its end, UTC), as in 2026-03-01, today or yesterday, an instant
        /// (2026-03-01T12:00Z), or how long ago ("2h ago")
        #[arg(long, value_name = "MOMENT")]
        as_of: Option<String>,
        /// Print who could pull, as CSV that names position, instant and chain head
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Show how a project's members differ between two moments, and which events caused it
    Diff {
        /// Project, or with --user a user or service:ID
        of: String,
        /// The earlier moment, as for `--as-of` of `who`: a position, a day, an instant, how long ago
        from: String,
        /// The later one [default: now]
        to: Option<String>,
        /// Of a user's access in all projects
        #[arg(long)]
        user: bool,
    },
    /// Read the log
    #[command(subcommand)]
    Events(EventsCommand),
    /// Look at what came in by webhook
    #[command(subcommand)]
    Deliveries(DeliveriesCommand),
    /// List the sources and their status
    Sources {
        /// What else.
        #[command(subcommand)]
        more: Option<SourcesCommand>,
    },
    /// Try what a source's notifications mean
    #[command(subcommand)]
    Map(MapCommand),
    /// List what was said and is not in effect, with the reason and what to do
    ///
    /// Exits with 0 where there is nothing, with 1 where there is something.
    Problems {
        /// Only of this kind: parked, superseded, outside_member, ...
        #[arg(long)]
        kind: Option<String>,
        /// Only of this source
        #[arg(long)]
        source: Option<String>,
    },
    /// Read a source and show what would change; nothing is recorded
    ///
    /// Exits with 1 where there is a difference.
    Plan {
        /// Source, which is read now, or a plan that was made, pln_...
        #[arg(value_name = "SOURCE|PLAN")]
        of: String,
    },
    /// List plans, newest first
    Plans {
        /// Only of this source
        #[arg(long)]
        source: Option<String>,
    },
    /// Apply a plan: read the source again and record the changes, provided the removals are still the same
    Apply {
        /// Its id, pln_...
        plan: String,
        /// How many removals the plan shows, where it shows any
        #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
        confirm_removals: u64,
    },
    /// Discard a plan; what it would have removed is kept
    Discard {
        /// Its id, pln_...
        plan: String,
    },
    /// Manage the scopes above projects
    #[command(subcommand)]
    Folders(FoldersCommand),
    /// Manage projects that people make; those of packages are their source's
    #[command(subcommand)]
    Projects(ProjectsCommand),
    /// Manage service accounts: robots, portals, API keys
    #[command(subcommand)]
    Services(ServicesCommand),
    /// Manage local groups; list those of every source
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Look at users: who can sign in, and what they may do
    #[command(subcommand)]
    Users(UsersCommand),
    /// Look at people as their sources know them
    #[command(subcommand)]
    People(PeopleCommand),
    /// Look at answers that were no, or less than what was asked
    #[command(subcommand)]
    Decisions(DecisionsCommand),
    /// Show sign-ins that were refused: whose name, from where, why
    SignIns {
        /// Only of this user, by name or id
        user: Option<String>,
    },
    /// Manage roles given by hand, one by one or by one document
    #[command(subcommand)]
    Bindings(BindingsCommand),
    /// Show what would change if this configuration were applied
    Preview {
        /// Another access profile: a name or a file
        #[arg(long, value_name = "PROFILE")]
        profile: Option<String>,
        /// Another value of a switch of the profile
        #[arg(long, value_name = "SWITCH=VALUE", value_parser = switch)]
        set: Vec<(String, String)>,
    },
    /// Manage the secrets that people sign in to the registry with
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Manage the keys that sign registry tokens
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Look at what is derived from the log
    #[command(subcommand)]
    Projection(ProjectionCommand),
    /// Prove the log unaltered
    ///
    /// Reads the data directory itself; works beside a running server.
    Verify {
        /// A signed head kept elsewhere (the answer of /api/v1/log/head); without one the log can only be shown to be
        /// consistent with itself
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// First position to report on; the chain is always followed from its beginning
        #[arg(long, value_name = "POSITION", default_value_t = 1)]
        from: u64,
    },
    /// Mend what the log has of a clock that lied
    #[command(subcommand)]
    Log(LogCommand),
    /// Copy the data directory and the configuration without its secrets, also while the server runs
    ///
    /// Start it with `rollcall serve --config DIR/rollcall.toml --data-dir DIR`: the files with the secrets of sources
    /// have to be where the configuration names them.
    Backup {
        /// Where to; made, and refused if it is not empty
        dir: PathBuf,
    },
    /// Have the server read secrets and certificates anew, as SIGHUP does
    Reload,
    /// Look for what is wrong with an installation
    Doctor,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Play the licensing system of the demo
    #[command(subcommand)]
    Demo(DemoCommand),
}

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Fill an empty data directory with a small licensing world and print commands to try
    #[arg(long)]
    pub demo: bool,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Serve only these parts
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', value_enum)]
    pub roles: Vec<Role>,
}

/// `secrets`.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Create a secret; it is shown only once
    Issue {
        /// User name
        user: String,
        /// What it is for
        #[arg(long)]
        label: Option<String>,
        /// Until when: how long from now, as in 90d or 2w, a day (to its end, UTC), or an instant with its zone [default:
        /// without end]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t = SecretFormat::Plain)]
        format: SecretFormat,
        /// The registry to sign in to, for every format but plain [default: `token.registry` of the server]
        #[arg(long, value_name = "HOST[:PORT]")]
        registry: Option<String>,
    },
    /// List secrets that are in force: of one user, or all that you may see
    List {
        /// Only of this user
        user: Option<String>,
        /// Only of this service
        #[arg(long, conflicts_with = "user")]
        service: Option<String>,
        /// Only those that this user (its name), `service:ID` or `admin` made
        #[arg(long, value_name = "WHO")]
        made_by: Option<String>,
        /// Only with this label
        #[arg(long)]
        label: Option<String>,
    },
    /// End a secret
    Revoke {
        /// User name
        user: String,
        /// The secret's id, sec_...
        id: String,
        #[command(flatten)]
        made: WhatItMadeArgs,
    },
    /// List what a secret made that is there still
    Made {
        /// User name
        user: String,
        /// The secret's id, sec_...
        id: String,
    },
    /// Make a code with which the user fetches one secret within 24 hours
    Invite {
        /// User name
        user: String,
    },
}

/// `push_policy=admin-only`.
fn switch(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write SWITCH=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What becomes of what a secret made.
#[derive(Debug, Clone, Copy, Args)]
pub struct WhatItMadeArgs {
    /// End what it made too: secrets, invitations, roles, services, memberships
    #[arg(long, conflicts_with = "keep_what_it_made")]
    with_what_it_made: bool,
    /// Keep what it made, and list it [default]
    #[arg(long)]
    keep_what_it_made: bool,
}

impl WhatItMadeArgs {
    /// As the API names it.
    pub fn choice(self) -> &'static str {
        if self.with_what_it_made && !self.keep_what_it_made { "end" } else { "keep" }
    }
}

/// How a secret is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SecretFormat {
    /// The secret alone
    Plain,
    /// A docker config.json
    DockerConfig,
    /// A Kubernetes pull secret
    K8s,
    /// A `helm registry login` command
    Helm,
}

/// `log`.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Count time by this machine's clock again, though the log has later times, or rested for very long
    ///
    /// For a server that is stopped. Without --confirm it shows both times and records nothing; exits with 1 where there is
    /// something to mend.
    MendClock {
        /// The newest position, as it was shown: this machine's clock is right
        #[arg(long, value_name = "POSITION")]
        confirm: Option<u64>,
    },
}

/// `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys that are published
    List,
    /// Rotate the signing key; registries that have the bundle need no change
    Rotate,
    /// Print the certificates for a registry's `rootcertbundle`
    Bundle,
    /// List the authorities whose certificates are in the bundle
    Authorities,
    /// Make the next authority and put it into the bundle, which every registry then needs
    RenewAuthority,
    /// Certify with the next authority from now on; registries without the bundle refuse every token then
    UseAuthority,
    /// Make new keys where they are gone, while the server is stopped; every registry then needs the new bundle
    BeginAnew,
}

/// `projection`.
#[derive(Debug, Subcommand)]
pub enum ProjectionCommand {
    /// Say how far each projection is
    Status,
    /// Rebuild from the log next to the live projection and compare
    Check,
    /// Rebuild from the log next to the live projection and replace it
    Rebuild,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every problem
    Check,
    /// Print every value that is configured and where it came from; secrets are hidden
    Show,
    /// Show what of the server's configuration is not in effect, and whose access it would change
    ///
    /// A start records what changes nobody's access; the rest waits here, and the server runs on with what the log says.
    /// Exits with 1 where something waits.
    Plan,
    /// Make the configuration so: exactly what the plan shows, or nothing
    Apply {
        /// The plan that is meant, cfg_...; asked for on a terminal
        #[arg(long, value_name = "PLAN")]
        confirm: Option<String>,
    },
}

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// `demo`.
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Make an entitlement inactive
    End {
        /// Its id, as in ENT-7
        entitlement: String,
    },
    /// Make an entitlement active again
    Renew {
        /// Its id, as in ENT-7
        entitlement: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// `UPDATE=1 cargo test -p rollcall` rewrites it.
    #[test]
    fn the_help_texts_are_as_reviewed() {
        fn render(command: &mut clap::Command, out: &mut String) {
            // A fixed width: a golden text does not depend on the terminal.
            let mut shown = command.clone().term_width(100);
            let help = shown.render_long_help();
            out.push_str(&format!("$ {} --help\n{help}\n", shown.get_bin_name().unwrap_or("rollcall")));
            let globals = ["config", "data_dir", "server", "token_file", "ca_file", "json", "help", "version"];
            for inner in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
                let hidden = globals.iter().fold(inner.clone(), |c, id| {
                    if c.get_arguments().any(|arg| arg.get_id() == id) {
                        c.mut_arg(id, |arg| arg.hide(true))
                    } else {
                        c
                    }
                });
                *inner = hidden;
                render(inner, out);
            }
        }
        let mut root = Cli::command();
        root.build();
        let mut text = String::new();
        render(&mut root, &mut text);
        let text: String = text.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("help.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "run with UPDATE=1");
    }

    #[test]
    fn the_documented_commands_parse_and_others_are_refused_with_2() {
        let good = [
            "serve --demo",
            "serve --config etc/r.toml --data-dir d --listen 127.0.0.1:0 --role hooks,api",
            "why ada@globex.test pull acme/db --json",
            "--server http://127.0.0.1:8080 who acme --csv",
            "why ada pull acme --as-of 2026-03-01 --effective",
            "why service:ci project.create folder:emea",
            "why ada docker pull r.test/acme/db:1",
            "why dec_0190a7f0c0de",
            "who acme --as-of 1951 --csv",
            "diff acme 2026-03-01 2026-04-01",
            "diff --user ada 12",
            "events tail --type rollcall.entitlement.* --source flexnet --follow --after 12",
            "deliveries list --source flexnet --failed",
            "deliveries replay dlv_1",
            "deliveries dismiss dlv_1 dlv_2 --because test",
            "sources --token-file k",
            "sources show corp-ldap",
            "sources suspend corp-ldap --confirm src_1",
            "sources resume corp-ldap",
            "sources retire corp-ldap --for-ever corp-ldap --confirm src_1",
            "plan corp-ldap",
            "plans --source corp-ldap",
            "apply pln_1 --confirm-removals 7",
            "discard pln_1",
            "folders set emea --kind region --parent eu --name Europe",
            "projects create tools --visibility public --folder emea",
            "projects set tools --rename kit --no-folder",
            "services secret portal --label prod",
            "services revoke portal sec_1",
            "groups show corp-ldap/ops --all",
            "groups add ops user:ada",
            "bindings set service:portal api:sender root --ends 2027-01-01T00:00:00Z",
            "bindings list --project acme",
            "bindings list --scope folder --user ada",
            "secrets issue ada --format k8s --registry r.test:5000",
            "secrets revoke ada sec_1",
            "keys bundle",
            "reload",
            "keys renew-authority",
            "projection rebuild",
            "verify --against head.json --from 7",
            "backup there",
            "doctor",
            "config show",
            "apply pln_1",
            "completions fish",
            "demo end ENT-7",
        ];
        for line in good {
            assert!(Cli::try_parse_from(["rollcall"].into_iter().chain(line.split(' '))).is_ok(), "{line}");
        }
        for line in [
            "",
            "why",
            "apply",
            "apply pln_1 --confirm-removals many",
            "serve --role writer",
            "secrets issue ada --format xml",
            "bindings set ada Guest",
            "bindings list --scope galaxy",
            "projects set kit --folder a --no-folder",
            "folders set emea",
            "who p --csv --json",
            "why ada pull acme --effective",
            "diff acme",
            "verify --from x",
        ] {
            let error = Cli::try_parse_from(["rollcall"].into_iter().chain(line.split_terminator(' '))).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
