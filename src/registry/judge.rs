//! Everything about a request that needs the roster, under one guard: whose credential it is, what is granted, and why
//! not. Makes no token and knows no HTTP; what comes out has nothing of the roster in it any more.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_access::{Principal, ProjectIx, Roster, Verb, Verdict, decide, explain, had_tie};
use rollcall_authn::{Identity, SecretUsed};
use rollcall_events::Position;

use crate::{
    ClientFamily, TokenParts, denial,
    scope::{Actions, Asked, Repository},
    telemetry::Ended,
};

/// In the order in which a refusal speaks of them.
const VERBS: [(Actions, Verb); 3] =
    [(Actions::PULL, Verb::Pull), (Actions::PUSH, Verb::Push), (Actions::DELETE, Verb::Delete)];

/// What a request puts to the roster.
pub(crate) struct Question<'a> {
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) client: ClientFamily,
    pub(crate) now: DateTime<Utc>,
}

/// What came out.
pub(crate) struct Judged {
    pub(crate) caller: Option<JudgedCaller>,
    /// In the order of the asked repositories.
    pub(crate) granted: Vec<Actions>,
    /// Whether the list of all repositories is.
    pub(crate) catalog: bool,
    pub(crate) until: Option<DateTime<Utc>>,
    /// Why nothing is granted, for a user with a tie to the project: the repository and the reason.
    pub(crate) reason: Option<(String, String)>,
    pub(crate) position: Position,
}

/// Who signed in.
pub(crate) struct JudgedCaller {
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) secret: Option<Arc<str>>,
}

impl Judged {
    /// Each asked repository with what is granted on it.
    pub(crate) fn granted<'a>(&'a self, asked: &'a Asked<'_>) -> impl Iterator<Item = (&'a str, Actions)> {
        asked.repositories.iter().zip(&self.granted).map(|(asked, granted)| (asked.name.as_str(), *granted))
    }

    /// How the request ends, if the token can be signed.
    pub(crate) fn ended(&self, asked: &Asked<'_>) -> Ended {
        if asked.is_empty() {
            return Ended::Login;
        }
        if !self.catalog && self.granted.iter().all(|granted| granted.is_empty()) {
            return if self.reason.is_some() { Ended::Explained } else { Ended::Empty };
        }
        let whole = |(asked, granted): (&Repository<'_>, &Actions)| {
            granted.contains(asked.actions) || (asked.actions.contains(Actions::STAR) && !granted.is_empty())
        };
        let all = asked.left_out == 0
            && asked.catalog == self.catalog
            && asked.repositories.iter().zip(&self.granted).all(whole);
        if all { Ended::Granted } else { Ended::Reduced }
    }
}

impl Question<'_> {
    /// What is granted to somebody, and why not.
    pub(crate) fn judge(&self, roster: &Roster, identity: Identity, parts: &TokenParts) -> Judged {
        let caller = match identity {
            // The admin key signs nobody in to a registry.
            Identity::Anonymous | Identity::Operator => None,
            Identity::Principal { principal, secret } => Some((principal, secret)),
        };
        let principal = caller.as_ref().map_or(Principal::Anyone, |(principal, _)| *principal);
        let mut judged = Judged {
            caller: None,
            granted: Vec::with_capacity(self.asked.repositories.len()),
            catalog: false,
            until: None,
            reason: None,
            position: roster.position(),
        };
        for repository in &self.asked.repositories {
            let project = roster.project_by_name(repository.name.project());
            let held = project.map_or(Actions::NONE, |project| {
                held(roster, principal, project, repository.actions, self.now, &mut judged.until)
            });
            judged.granted.push(repository.actions.granted(held));
        }
        judged.catalog = self.asked.catalog && catalog(roster, principal, self.now, &mut judged.until);
        if let Some((principal, secret)) = caller {
            if !judged.catalog
                && judged.granted.iter().all(|granted| granted.is_empty())
                && parts.denial.explains_to(self.client)
            {
                judged.reason = reason(roster, principal, self.asked, self.now);
            }
            let (id, name) = roster.caller_names(principal);
            judged.caller = Some(JudgedCaller {
                id: id.into(),
                name: name.into(),
                epoch: roster.credential_epoch(principal),
                secret: secret.map(|SecretUsed { id, .. }| id.as_str().into()),
            });
        }
        judged
    }
}

/// Whether the caller may list all repositories.
fn catalog(roster: &Roster, principal: Principal, now: DateTime<Utc>, until: &mut Option<DateTime<Utc>>) -> bool {
    match roster.may_list_catalog(principal, now) {
        Verdict::Allowed { until: ends } => {
            let runs = ends.is_none_or(|ends| ends.timestamp() > now.timestamp());
            if runs {
                *until = (*until).into_iter().chain(ends).min();
            }
            runs
        }
        Verdict::Denied => false,
    }
}

/// Which of the asked actions the caller holds. `until` becomes the first instant at which one of them ends.
fn held(
    roster: &Roster,
    principal: Principal,
    project: ProjectIx,
    asked: Actions,
    now: DateTime<Utc>,
    until: &mut Option<DateTime<Utc>>,
) -> Actions {
    let mut held = Actions::NONE;
    for (action, verb) in VERBS {
        if !asked.real().contains(action) {
            continue;
        }
        let Some(needed) = roster.profile().registry_action(verb) else { continue };
        if let Verdict::Allowed { until: ends } = decide(roster, principal, needed, project, now) {
            // Tokens tell time in whole seconds. One for a reason that ends within this second would either outlive it
            // or be over when it is made.
            if ends.is_some_and(|ends| ends.timestamp() <= now.timestamp()) {
                continue;
            }
            held = held.union(action);
            *until = match (*until, ends) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    held
}

/// Why everything is refused, told of the first asked repository to whose project the user has or had a tie. Without a
/// tie nothing is said, so that nobody learns which projects exist.
fn reason(roster: &Roster, caller: Principal, asked: &Asked<'_>, now: DateTime<Utc>) -> Option<(String, String)> {
    asked.repositories.iter().find_map(|repository| {
        let project = roster.project_by_name(repository.name.project())?;
        if !had_tie(roster, caller, project, now) {
            return None;
        }
        let (_, verb) = VERBS.into_iter().find(|(action, _)| repository.actions.real().contains(*action))?;
        let text = match roster.profile().registry_action(verb) {
            Some(needed) => {
                let explained = |at| explain(roster, caller, needed, project, at);
                let why = explained(now);
                // Allowed and yet refused: it ends within this second (see `held`), and that is the reason to tell.
                denial::text(verb, &if why.allowed { explained(now + TimeDelta::seconds(1)) } else { why })
            }
            None => denial::never(verb),
        };
        Some((repository.name.as_str().to_owned(), text))
    })
}
