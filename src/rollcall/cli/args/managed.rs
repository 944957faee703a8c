//! The commands for what people keep in Rollcall itself: folders, projects, services, groups, roles. Parses; does
//! nothing.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::WhatItMadeArgs;

/// `folders`.
#[derive(Debug, Subcommand)]
pub enum FoldersCommand {
    /// List the folders
    List,
    /// Show one
    Show {
        /// Its id
        id: String,
    },
    /// Create or update a folder
    Set {
        /// Its id
        id: String,
        /// The level of the access profile at which it sits, as in team or region
        #[arg(long)]
        kind: String,
        /// The folder above it
        #[arg(long, value_name = "ID")]
        parent: Option<String>,
        /// A label
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove a folder that has nothing in it
    Remove {
        /// Its id
        id: String,
    },
}

/// `projects`.
#[derive(Debug, Subcommand)]
pub enum ProjectsCommand {
    /// List the projects
    List,
    /// Show one
    Show {
        /// Its name
        name: String,
    },
    /// Make a project
    Create {
        /// The first path segment of its image names
        name: String,
        /// Which kind: standard, or global where the access profile has one [default: standard]
        #[arg(long)]
        kind: Option<String>,
        /// Who may pull without a role [default: what the access profile says]
        #[arg(long, value_enum)]
        visibility: Option<Visibility>,
        /// The folder that it is in
        #[arg(long, value_name = "ID")]
        folder: Option<String>,
    },
    /// Change a project; omitted options stay as they are
    Set {
        /// Its name
        name: String,
        /// Another name; the present one stays reserved and finds it
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// Who may pull without a role
        #[arg(long, value_enum)]
        visibility: Option<Visibility>,
        /// The folder that it moves to
        #[arg(long, value_name = "ID", conflicts_with = "no_folder")]
        folder: Option<String>,
        /// Move it out of its folder
        #[arg(long)]
        no_folder: bool,
    },
    /// Delete a project; its name stays reserved
    Remove {
        /// Its name
        name: String,
    },
}

/// Who may pull without a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Visibility {
    /// Nobody
    Private,
    /// Everybody who is signed in
    Protected,
    /// Everybody
    Public,
}

/// `services`.
#[derive(Debug, Subcommand)]
pub enum ServicesCommand {
    /// List the services
    List,
    /// Show one with its secrets, never their text
    Show {
        /// Its id
        id: String,
    },
    /// Make a service; it may do nothing until a binding says so
    Create {
        /// Its id, and the name to sign in with
        id: String,
        /// A label
        #[arg(long)]
        name: Option<String>,
        /// Until when: how long from now, as in 90d or 2w, a day (to its end, UTC), or an instant with its zone [default:
        /// without end]
        #[arg(long, value_name = "TIME")]
        ends: Option<String>,
        /// Of a licensing portal: a source whose people it serves; can be given more than once [default: every source]
        #[arg(long = "source", value_name = "SOURCE")]
        sources: Vec<String>,
    },
    /// Remove a service and end everything that it signs in with
    Remove {
        /// Its id
        id: String,
    },
    /// Create a secret for a service; it is shown only once
    Secret {
        /// The service's id
        id: String,
        /// What it is for
        #[arg(long)]
        label: Option<String>,
        /// Until when: how long from now, as in 90d or 2w, a day (to its end, UTC), or an instant with its zone [default:
        /// without end]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// End a secret of a service
    Revoke {
        /// The service's id
        id: String,
        /// The secret's id, sec_...
        secret: String,
        #[command(flatten)]
        made: WhatItMadeArgs,
    },
    /// List what a secret of a service made that is there still
    Made {
        /// The service's id
        id: String,
        /// The secret's id, sec_...
        secret: String,
    },
}

/// `groups`.
#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// List the groups of every source
    List {
        /// Only groups of this source; local groups have the source local
        #[arg(long)]
        source: Option<String>,
        /// Only those that are called so: by name, DN or path
        #[arg(long)]
        name: Option<String>,
    },
    /// List who is in a group
    Show {
        /// Its name, DN or path, with or without SOURCE/ before it, or its id
        group: String,
        /// To any depth
        #[arg(long)]
        all: bool,
    },
    /// Create a local group
    Create {
        /// Its id
        id: String,
        /// A label
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove a local group
    Remove {
        /// Its id
        group: String,
    },
    /// Add a member to a local group
    Add {
        /// Its id
        group: String,
        /// user:NAME, service:ID or group:GROUP, by its name, DN, path or id
        member: String,
    },
    /// Remove a member from a local group
    Take {
        /// Its id
        group: String,
        /// user:NAME, service:ID or group:GROUP, by its name, DN, path or id
        member: String,
    },
}

/// The kinds of scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeKind {
    /// Everywhere
    Root,
    /// A folder and what is in it
    Folder,
    /// One project
    Project,
}

impl ScopeKind {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Folder => "folder",
            Self::Project => "project",
        }
    }
}

/// `bindings`.
#[derive(Debug, Subcommand)]
pub enum BindingsCommand {
    /// List roles given by hand
    List {
        /// Only of this user
        #[arg(long)]
        user: Option<String>,
        /// Only of this service
        #[arg(long)]
        service: Option<String>,
        /// Only of this group, by its name, DN, path or id
        #[arg(long)]
        group: Option<String>,
        /// Only on this project
        #[arg(long)]
        project: Option<String>,
        /// Only on this folder
        #[arg(long)]
        folder: Option<String>,
        /// Only on scopes of this kind
        #[arg(long, value_enum, value_name = "KIND")]
        scope: Option<ScopeKind>,
    },
    /// Show one
    Show {
        /// Its id, bnd_...
        id: String,
    },
    /// Give a role
    Set {
        /// user:NAME, service:ID or group:GROUP, by its name, DN, path or id
        who: String,
        /// A role of the access profile, or of the API's own, as in api:auditor
        role: String,
        /// root, folder:ID or project:NAME
        scope: String,
        /// From when: in how long, as in 2d, a day (from its beginning, UTC), or an instant with its zone [default: at once]
        #[arg(long, value_name = "TIME")]
        starts: Option<String>,
        /// Until when: how long from now, as in 90d or 2w, a day (to its end, UTC), or an instant with its zone [default:
        /// without end]
        #[arg(long, value_name = "TIME")]
        ends: Option<String>,
    },
    /// Take a role away
    Remove {
        /// Its id, bnd_...
        id: String,
    },
    /// Show how a bindings document differs from the current bindings, and what applying it would change
    Plan {
        /// The document
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Apply a bindings document, exactly as the plan shows it
    Apply {
        /// The document
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
