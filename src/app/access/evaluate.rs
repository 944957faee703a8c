//! One access question answered yes or no in few words, for programs that enforce the answer. The decision is the one that
//! `explain` gives.

use chrono::{DateTime, Utc};
use rollcall_access::{Explanation, Place, Principal, Reason, Roster, Rule, explain};
use rollcall_events::{Position, names::CallerReference};

use crate::{
    Reads,
    caller::forbidden,
    error::Result,
    question::{Question, Scope, needed_actions},
};

/// The action of the API's profile that asking about others demands.
const ACTION: &str = "access.explain";

/// Who would do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Somebody who did not sign in.
    Anonymous,
    /// A user, by name or id.
    User(&'a str),
    /// A service, by id.
    Service(&'a str),
}

impl Subject<'_> {
    /// Nothing for somebody who is not there, who may do nothing.
    fn find(self, roster: &Roster) -> Option<Principal> {
        match self {
            Self::Anonymous => Some(Principal::Anyone),
            Self::User(text) => roster.user_by_reference(CallerReference::of(text)).map(Principal::User),
            Self::Service(id) => roster.service_by_id(id).map(Principal::Service),
        }
    }
}

/// Yes or no, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The decision's id.
    pub id: String,
    /// Whether it may be done.
    pub allowed: bool,
    /// As of which position.
    pub position: Position,
    /// When a yes ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// The reasons of a yes by name; of a no what would make it a yes.
    pub reasons: Vec<String>,
}

/// What a yes rests on: the reasons that would do by themselves, or all of them where it takes several.
fn sufficient_reasons(why: &Explanation) -> Vec<String> {
    let enough = |reason: &&Reason| reason.rule == Rule::Baseline || why.roles.contains(&reason.role);
    let alone: Vec<String> = why.reasons.iter().filter(enough).map(|reason| reason.text.clone()).collect();
    if alone.is_empty() { why.reasons.iter().map(|reason| reason.text.clone()).collect() } else { alone }
}

/// Decides one question of a caller who may ask it, and keeps the decision. What is not there is answered as what is
/// denied.
///
/// # Errors
/// The caller may not ask this.
pub fn evaluate(
    reads: &Reads,
    roster: &Roster,
    subject: Subject<'_>,
    action: &str,
    scope: Scope<'_>,
) -> Result<Evaluation> {
    let now = reads.now();
    let view = reads.view(roster);
    let question = Question { scope, action };
    let place = question.scope.find(roster);
    let everybody = view.may_everywhere(ACTION);
    // Somebody whom the caller has no business to know is asked about like somebody who is not there.
    let known = |who: &Principal| everybody || view.knows(*who, place.unwrap_or(Place::Root));
    let principal = subject.find(roster).filter(known).map(|principal| view.within_reach(principal));
    let own = principal.is_some_and(|principal| view.itself() == Some(principal));
    let may = own || everybody || place.is_some_and(|place| view.may(ACTION, place));
    if !may {
        return Err(forbidden(ACTION));
    }
    let needed = needed_actions(roster, action);
    // To whoever may not know everybody, nobody in particular is asked about instead: what all may do is no secret.
    let asked = principal.or((!everybody).then_some(Principal::Anyone));
    let explained: Option<Explanation> = match (asked, place, needed) {
        (Some(principal), Some(place), Some(needed)) => Some(explain(roster, principal, needed, place, now)),
        _ => None,
    };
    let allowed = explained.as_ref().is_some_and(|why| why.allowed);
    // Whoever asks only about itself is told of a scope that it has nothing to do with what it is told of one that is not.
    let reasons = match &explained {
        Some(why) if why.allowed => sufficient_reasons(why),
        Some(why) if !own || everybody => why.would_allow.iter().map(|remedy| remedy.text.clone()).collect(),
        _ => Vec::new(),
    };
    // Somebody who is not there is kept as nobody.
    let id = reads.record_decision(roster, principal.unwrap_or(Principal::Anyone), &question, allowed)?;
    let until = explained.as_ref().and_then(|why| why.until);
    Ok(Evaluation { id, allowed, position: roster.position(), until, reasons })
}
