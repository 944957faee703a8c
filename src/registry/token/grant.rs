//! What of the requested scopes is granted, as of one reading of the roster: the whole request asked of `authorize`. Makes
//! no token and knows no HTTP; what comes out has nothing of the roster in it any more.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_access::{Principal, Roster, Verb, Verdict, had_own_tie};
use rollcall_authn::{Identity, SecretUsed};
use rollcall_events::Position;

use super::{
    scope::{Actions, RepositoryScope, Scopes},
    telemetry::RequestResult,
};
use crate::{
    authorize::{Authorization, Resource, authorize, denial_reason},
    decision::Tie,
};

/// Of how many refused projects is asked whether there is or was a role.
const MAX_TIES: usize = 8;

/// What is granted to somebody, and why not.
pub(crate) struct Grant {
    /// Who signed in; nobody in particular when absent.
    pub(crate) subject: Option<Subject>,
    /// In the order of the requested repositories.
    pub(crate) repositories: Vec<Actions>,
    /// Whether the list of all repositories is.
    pub(crate) catalog: bool,
    /// The first instant at which something of it ends.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Why nothing is granted, for a user with a tie to the project: the repository and the reason.
    pub(crate) denial: Option<(String, String)>,
    /// What the principal has to do with what is refused.
    pub(crate) tie: Tie,
    /// Which of the requested repositories, by place, are of projects that there are not.
    pub(crate) invented: Vec<usize>,
    /// Of which state of the roster.
    pub(crate) position: Position,
}

/// Who a token is for.
pub(crate) struct Subject {
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    /// What a refresh token has to carry.
    pub(crate) credential_epoch: u64,
    /// The secret that signed in, directly or through a refresh token.
    pub(crate) secret: Option<Arc<str>>,
}

/// Whether a user is told why nothing is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Explaining {
    Yes,
    No,
}

impl Grant {
    /// Asks for every requested scope.
    pub(crate) fn of(
        roster: &Roster,
        identity: Identity,
        scopes: &Scopes<'_>,
        explaining: Explaining,
        now: DateTime<Utc>,
    ) -> Self {
        let signed_in = match identity {
            // The admin key signs nobody in to a registry.
            Identity::Anonymous | Identity::Operator => None,
            Identity::Principal { principal, secret } => Some((principal, secret)),
        };
        let principal = signed_in.as_ref().map_or(Principal::Anyone, |(principal, _)| *principal);
        // A token does not outlive the secret that it was given for.
        let over = signed_in.as_ref().and_then(|(_, secret)| secret.as_ref()?.until);
        let mut until = None;
        let repositories: Vec<Actions> = scopes
            .repositories
            .iter()
            .map(|scope| scope.actions.granted(lasting(ask(roster, principal, scope, now), over, now, &mut until)))
            .collect();
        let list = |verb| scopes.catalog && verb == Verb::Pull;
        let catalog = authorize(roster, principal, &Resource::Catalog, list, now);
        let catalog = !lasting(catalog, over, now, &mut until).is_empty();
        let nothing = !catalog && repositories.iter().all(|granted| granted.is_empty());
        let refused =
            || scopes.repositories.iter().zip(&repositories).enumerate().filter(|(_, (_, held))| held.is_empty());
        let project = |scope: &RepositoryScope<'_>| roster.project_by_name(scope.name.project());
        let invented = refused().filter(|(_, (scope, _))| project(scope).is_none()).map(|(place, _)| place).collect();
        let tied = !nothing
            || (signed_in.is_some()
                && refused()
                    .filter_map(|(_, (scope, _))| project(scope))
                    .take(MAX_TIES)
                    .any(|project| had_own_tie(roster, principal, project, now)));
        let tie = if tied { Tie::Some } else { Tie::None };
        let position = roster.position();
        let mut grant = Self { subject: None, repositories, catalog, until, denial: None, tie, invented, position };
        if let Some((principal, secret)) = signed_in {
            if nothing && explaining == Explaining::Yes {
                grant.denial = denial(roster, principal, scopes, now);
            }
            let (id, name) = roster.caller_names(principal);
            grant.subject = Some(Subject {
                id: id.into(),
                name: name.into(),
                credential_epoch: roster.credential_epoch(principal),
                secret: secret.map(|SecretUsed { id, .. }| id.as_str().into()),
            });
        }
        grant
    }

    /// Each requested repository with what is granted on it.
    pub(crate) fn granted<'a>(&'a self, scopes: &'a Scopes<'_>) -> impl Iterator<Item = (&'a str, Actions)> {
        scopes.repositories.iter().zip(&self.repositories).map(|(scope, granted)| (scope.name.as_str(), *granted))
    }

    /// How the request ends, if the token can be signed.
    pub(crate) fn result(&self, scopes: &Scopes<'_>) -> RequestResult {
        if scopes.is_empty() {
            return RequestResult::Login;
        }
        if !self.catalog && self.repositories.iter().all(|granted| granted.is_empty()) {
            return if self.denial.is_some() { RequestResult::Explained } else { RequestResult::Empty };
        }
        let whole = |(scope, granted): (&RepositoryScope<'_>, &Actions)| {
            granted.contains(scope.actions) || (scope.actions.contains(Actions::STAR) && !granted.is_empty())
        };
        let all = scopes.ignored == 0
            && scopes.catalog == self.catalog
            && scopes.repositories.iter().zip(&self.repositories).all(whole);
        if all { RequestResult::Granted } else { RequestResult::Reduced }
    }
}

fn ask(roster: &Roster, principal: Principal, scope: &RepositoryScope<'_>, now: DateTime<Utc>) -> Authorization {
    let resource = Resource::repository(&scope.name);
    authorize(roster, principal, &resource, |verb| scope.actions.real().contains(Actions::of(verb)), now)
}

/// Whether what ends then can be in a token. Tokens tell time in whole seconds: one for a reason that ends within this
/// second would either outlive it or be over when it is made.
fn lasts(ends: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    ends.is_none_or(|ends| ends.timestamp() > now.timestamp())
}

/// What a token can grant of what is allowed, to somebody whose secret is `over` then. `until` becomes the first instant at which something of it ends.
fn lasting(
    authorization: Authorization,
    over: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    until: &mut Option<DateTime<Utc>>,
) -> Actions {
    let mut held = Actions::NONE;
    for (verb, verdict) in authorization.verdicts() {
        if let Verdict::Allowed { until: ends } = verdict
            && lasts(ends, now)
            && lasts(over, now)
        {
            held = held.union(Actions::of(verb));
            *until = (*until).into_iter().chain(ends).chain(over).min();
        }
    }
    held
}

/// Why everything is refused, told of the first requested repository to whose project the user has or had a tie.
fn denial(roster: &Roster, principal: Principal, scopes: &Scopes<'_>, now: DateTime<Utc>) -> Option<(String, String)> {
    scopes.repositories.iter().find_map(|scope| {
        let (verb, verdict) = ask(roster, principal, scope, now).verdicts().next()?;
        // Allowed and yet refused: it ends within this second, and that is the reason to tell.
        let at = if verdict.is_allowed() { now + TimeDelta::seconds(1) } else { now };
        let reason = denial_reason(roster, principal, &Resource::repository(&scope.name), verb, at)?;
        Some((scope.name.as_str().to_owned(), reason))
    })
}
