#![doc = include_str!("README.md")]

mod commands;
mod decide;
mod effort;
mod fold;
mod past;
mod persistent;
pub mod profile;
mod questions;
mod reasons;
mod roster;
#[cfg(test)]
mod suite;
mod what_if;

// An access model.
pub use profile::{ActionSet, Profile, ProfileError, Verb};
// The roster: what is in it, how it is found and shown.
pub use roster::{
    Counts, ParkedView, Roster,
    bindings::{API_ROLE_PREFIX, BindingView},
    credentials::{Credential, SecretFlaw, SecretView},
    groups::GroupView,
    handles::{FolderIx, GroupIx, Place, Principal, ProfileKind, ProjectIx, RecordedIx, SecretIx, ServiceIx, UserIx},
    made::{Made, MadeView},
    projects::ProjectView,
    scopes::FolderView,
    services::ServiceView,
    shared::{Fold, Freshness, Hold, HoldMeter, Look, SharedRoster, Stale},
    snapshot::{FOLD_VERSION, FoldVersions, SnapshotError},
    sources::{SourceSaidView, SuspensionView},
    users::{AskedName, LinkView, NameProblem, PersonView, ShutOut, UserView},
};
// What events do to it, and whether a command may be given.
pub use commands::refusal::{Refusal, RefusalKind};
pub use fold::change::{Change, Effect, Folded};
// What a question may cost.
pub use effort::{Effort, GivenUp};
// Yes or no; why; who.
pub use decide::{Verdict, decide};
pub use questions::{
    apart::LeftOut,
    difference::{AccessChange, Between, Difference, RosterAt},
    explain::{CeilingNote, Explanation, NearMiss, explain, had_own_tie, had_tie},
    links::{LinkGiver, LinkRule, Linkable, StatementCounts, Taken},
    members::{
        Member, MembersPage, Membership, SetDigest, candidates_by_name, is_only_customer, members, membership_digest,
        memberships_of, next_members,
    },
    problems::{Flaw, RosterProblem, Walked},
    report::{PermittedRow, WhoMay, who_may},
};
pub use reasons::{Cause, Obstacle, Reason, Remedy, Rule, Standing, Step};
// The past, and what would be.
pub use past::slice::{Basis, PastQuestion, ScopeName, Subject, effective_by};
pub use what_if::{
    configuration::{
        Configuration, ConfigurationPlan, SettingDifference, configuration_differences, configuration_rows,
        configuration_to_record, plan_configuration,
    },
    dry_run::{DryRun, could_empty_project, dry_run, emptied_projects},
    links::{LinkNote, LinkNoteKind, LinkPlan, PersonChange, plan_links},
    preview::{ActionChange, MembershipChange, NamedScope, Preview, preview},
    sources::{SourcePlan, plan_source, source_rows},
    standing::{AccessRow, AccessRowKey, AccessTotals},
    trial::Trial,
    users::{UserChange, UserChangeKind},
};
