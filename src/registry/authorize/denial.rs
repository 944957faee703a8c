//! Why a verb is refused, in one sentence. Decides nothing: the verdict and its reasons come from the access crate.

use chrono::{DateTime, Utc};
use rollcall_access::{Explanation, NearMiss, Principal, Roster, Rule, Standing, Verb, explain, had_tie};

use super::Resource;

/// Why a principal may not do a verb on a resource at an instant, told only to one who has or had a tie to the project:
/// without a tie nothing is said, so that nobody learns which projects exist.
pub(crate) fn denial_reason(
    roster: &Roster,
    principal: Principal,
    resource: &Resource<'_>,
    verb: Verb,
    at: DateTime<Utc>,
) -> Option<String> {
    let Resource::Repository { name, .. } = resource else { return None };
    let project = roster.project_by_name(name.project())?;
    if !had_tie(roster, principal, project, at) {
        return None;
    }
    Some(match roster.profile().registry_action(verb) {
        Some(action) => denial_text(verb, &explain(roster, principal, action, project, at)),
        None => never_text(verb),
    })
}

/// A refusal in one sentence: what the nearest way to a yes rests on, and what stands in it.
fn denial_text(verb: Verb, why: &Explanation) -> String {
    // What the user may do, and not with this secret.
    if let Some(reach) = &why.reach {
        return format!("you cannot {}: {reach}", verb.as_str());
    }
    // A way on which something was never true says nothing about this user, and too much about others.
    let once = |miss: &&NearMiss| miss.obstacles.iter().all(|obstacle| obstacle.standing != Standing::Never);
    if let Some(miss) = why.near_misses.iter().find(once) {
        let obstacles: Vec<&str> = miss.obstacles.iter().map(|obstacle| obstacle.text.as_str()).collect();
        let (verb, obstacles) = (verb.as_str(), obstacles.join(", and "));
        return format!("you cannot {verb}: {obstacles}; access here rests on {}", miss.reason.text);
    }
    if let (Some(ceiling), Some(_)) = (why.ceilings.first(), why.reasons.first()) {
        return format!("you cannot {}: {}", verb.as_str(), ceiling.text);
    }
    match why.reasons.iter().find(|reason| reason.rule != Rule::Baseline) {
        Some(reason) => format!("your role {} does not allow to {} here", reason.role, verb.as_str()),
        None => format!("you may not {} here", verb.as_str()),
    }
}

/// A refusal of something that nobody may do.
fn never_text(verb: Verb) -> String {
    format!("nobody may {} here: the access profile has no such action", verb.as_str())
}
