//! The commands for what is on record: events, deliveries, decisions. Parses; does nothing.

use clap::{Subcommand, ValueEnum};

/// `events`.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Print events, oldest first
    Tail {
        /// Only of this type; may end in `*`
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only of this source
        #[arg(long)]
        source: Option<String>,
        /// Only about this subject; may end in `*`
        #[arg(long)]
        subject: Option<String>,
        /// Only this correlation: the events of one delivery or one read
        #[arg(long, value_name = "ID")]
        correlation: Option<String>,
        /// Go on as new ones come
        #[arg(long)]
        follow: bool,
        /// Only after this position [default: the last 20]
        #[arg(long, value_name = "POSITION")]
        after: Option<u64>,
    },
    /// Show one event in full
    Show {
        /// Its position, or the id that its sender gave it
        #[arg(value_name = "POSITION|ID")]
        event: String,
    },
}

/// `deliveries`.
#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// List deliveries, newest first
    List {
        /// Only of this source
        #[arg(long)]
        source: Option<String>,
        /// Only those that were rejected or had a part quarantined
        #[arg(long)]
        failed: bool,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one, with what became of each event
    Show {
        /// Its id, dlv_...
        id: String,
    },
    /// Map and append it again
    Replay {
        /// Its id, dlv_...
        id: String,
    },
    /// Note that nothing more is to be done about what was not recorded
    Dismiss {
        /// Their ids, dlv_...
        #[arg(required = true)]
        ids: Vec<String>,
        /// Why, for whoever looks at it later
        #[arg(long)]
        because: String,
    },
}

/// `decisions`.
#[derive(Debug, Subcommand)]
pub enum DecisionsCommand {
    /// List decisions, newest first
    List {
        /// Only about this user, by the name of then or by id
        #[arg(long)]
        user: Option<String>,
        /// Only about this project
        #[arg(long)]
        project: Option<String>,
        /// Only about this image, as in acme/db
        #[arg(long, conflicts_with = "project")]
        image: Option<String>,
        /// Only of this outcome
        #[arg(long, value_enum)]
        outcome: Option<DecisionOutcome>,
        /// From when, as in yesterday, "2h ago" or 2026-03-01T00:00:00Z
        #[arg(long, value_name = "MOMENT")]
        from: Option<String>,
        /// Until when, exclusive
        #[arg(long, value_name = "MOMENT")]
        until: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one, with what the answer is now and why
    Show {
        /// Its id, dec_..., as in the text of the refusal
        id: String,
    },
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecisionOutcome {
    /// Nothing of what was asked
    Denied,
    /// Less than what was asked
    Reduced,
}

impl DecisionOutcome {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Reduced => "reduced",
        }
    }
}
