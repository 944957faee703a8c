//! The kinds of problem. A new one is a variant here and its arm in `find`; the compiler finds both.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal;)*) => {
        /// What kind of thing was said and is not in effect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// All of them, in the order in which they are listed.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The word for it in the API and in metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word),*
                }
            }
        }
    };
}

kinds! {
    /// Something that is configured and waits, as it would change somebody's access.
    Configuration = "configuration";
    /// Somebody reads a database without a break, so that what is written ahead of its place grows.
    DatabaseHeld = "database_held";
    /// A source cannot be read: what it says now is not known.
    SourceUnread = "source_unread";
    /// A source with facts in the log that the configuration does not name.
    SourceNotConfigured = "source_not_configured";
    /// A source whose facts are kept and do not count, until somebody resumes it.
    SourceSuspended = "source_suspended";
    /// A source that is retired, for ever, and that the configuration names still.
    SourceRetired = "source_retired";
    /// What a source says waits for a person: it is its first read, or it is read otherwise than before.
    WaitingNews = "waiting_news";
    /// Removals of a source wait for a person.
    HeldRemovals = "held_removals";
    /// Deliveries of a source that cannot be read are not taken any more: its quarantine is full.
    QuarantineFull = "quarantine_full";
    /// Parts of a delivery that were not recorded, as they do not fit.
    Quarantined = "quarantined";
    /// Parts of a delivery whose ids were used with another content before.
    Conflict = "conflict";
    /// Parts of a delivery that the log could not take.
    Unrecorded = "unrecorded";
    /// The newest event of a subject cannot be applied.
    Parked = "parked";
    /// An entitlement is in a state that only a newer version knows.
    UnknownState = "unknown_state";
    /// A package waits for the name of its project.
    ProjectName = "project_name";
    /// A person has another user name than its source asks for.
    UserName = "user_name";
    /// Several users have one e-mail address, so that it signs none of them in.
    SignInName = "sign_in_name";
    /// A source says that its person is one of another source, and they are two users.
    Link = "link";
    /// A secret signs nobody in since the persons whose it could be were parted.
    Secret = "secret";
    /// The newest event of a subject lost to one that is newer by its source's order.
    Superseded = "superseded";
    /// A fact names what nobody stated, or what was removed.
    DanglingReference = "dangling_reference";
    /// A role is given and gives nothing.
    Binding = "binding";
    /// An account is in a cycle of parents.
    AccountCycle = "account_cycle";
    /// A member of a group who exists and is not read.
    OutsideMember = "outside_member";
    /// A member of a group who does not exist.
    AbsentMember = "absent_member";
    /// Something that was read and could not be resolved; it is left as it was.
    Unresolved = "unresolved";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_for_a_kind_is_the_same_everywhere() {
        for kind in ProblemKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
