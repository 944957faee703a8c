//! The question of the registry side: may this principal do these verbs on this resource? Tokens ask it, and whatever else
//! serves registry clients. Pure over one reading of a roster: knows no request, no token and no client.

mod denial;
mod resource;

use chrono::{DateTime, Utc};
use rollcall_access::{Principal, Roster, Verb, Verdict, decide};

pub(crate) use self::denial::denial_reason;
pub(crate) use self::resource::MAX_NAME_BYTES;
pub use self::resource::{ContentDigest, Reference, RepositoryName, Resource, Tag};

/// The verdict on each verb that was asked, with the instant at which its yes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorization([(Verb, Option<Verdict>); 3]);

impl Authorization {
    /// The verdict on a verb; nothing where it was not asked.
    #[must_use]
    pub fn verdict(&self, verb: Verb) -> Option<Verdict> {
        self.verdicts().find_map(|(asked, verdict)| (asked == verb).then_some(verdict))
    }

    /// The asked verbs, in the order in which a refusal speaks of them.
    pub fn verdicts(&self) -> impl Iterator<Item = (Verb, Verdict)> {
        self.0.into_iter().filter_map(|(verb, verdict)| Some((verb, verdict?)))
    }
}

/// Whether a principal may do each of these verbs on a resource. What is not there is denied like what is not allowed.
#[must_use]
pub fn authorize(
    roster: &Roster,
    principal: Principal,
    resource: &Resource<'_>,
    verbs: impl Fn(Verb) -> bool,
    now: DateTime<Utc>,
) -> Authorization {
    let verdict = |verb| match resource {
        Resource::Catalog => roster.may_list_catalog(principal, now),
        // Every reason that there is today reaches a whole project, so a reference narrows nothing yet.
        Resource::Repository { name, reference: _ } => {
            let project = roster.project_by_name(name.project());
            match project.zip(roster.profile().registry_action(verb)) {
                Some((project, action)) => decide(roster, principal, action, project, now),
                None => Verdict::Denied,
            }
        }
    };
    Authorization(Verb::ALL.map(|verb| (verb, verbs(verb).then(|| verdict(verb)))))
}
