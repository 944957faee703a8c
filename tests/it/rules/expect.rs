//! What a scenario expects: one line each, held against a roster (`tests/scenarios/README.md` explains them).
//! Knows the language of expectations; knows no rule.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_access::{ActionSet, Member, Place, Principal, Roster, Verb, Verdict, decide, explain, members};

type Parked = BTreeSet<(String, String)>;

fn holds(truth: bool, instead: String) -> Result<(), String> {
    if truth { Ok(()) } else { Err(instead) }
}

fn words<const N: usize>(text: &str) -> Result<[&str; N], String> {
    text.split(' ').collect::<Vec<_>>().try_into().map_err(|_| format!("`{text}` is not {N} words"))
}

/// Who is asked about: a user by name, `service:ID`, or `anyone`.
fn principal(roster: &Roster, name: &str) -> Option<Principal> {
    match name.split_once(':') {
        _ if name == "anyone" => Some(Principal::Anyone),
        Some(("service", id)) => roster.service_by_id(id).map(Principal::Service),
        _ => roster.user_by_name(name).map(Principal::User),
    }
}

/// What is asked about: `root`, `folder:ID`, or the project of an image or name.
fn place(roster: &Roster, name: &str) -> Option<Place> {
    match name.split_once(':') {
        _ if name == "root" => Some(Place::Root),
        Some(("folder", id)) => roster.folder_by_id(id).map(Place::Folder),
        _ => roster.project_by_name(name.split('/').next()?).map(Place::Project),
    }
}

/// `Err` says what is so instead.
pub fn check(roster: &Roster, parked: &Parked, expectation: &str, now: DateTime<Utc>) -> Result<(), String> {
    if let Some((question, answer)) = expectation.split_once(": ") {
        return check_answer(roster, question, answer, now);
    }
    let list: Vec<&str> = expectation.split(' ').collect();
    let user = |name: &str| roster.user_by_name(name).map(|user| roster.user(user)).ok_or("no such user");
    let project = |name: &str| roster.project_by_name(name).map(|ix| roster.project(ix)).ok_or("no such project");
    match list.as_slice() {
        ["nobody", "is", "called", name] => holds(roster.user_by_name(name).is_none(), "there is one".into()),
        [name, "exists"] => user(name).map(drop).map_err(Into::into),
        [name, "can", "sign", "in"] | [name, "is", "shut", "out"] => {
            let user = user(name)?;
            holds(user.shut_out == (list[1] == "is"), format!("shut_out is {}", user.shut_out))
        }
        [name, "is", id] => {
            let user = user(name)?;
            holds(user.id == *id, format!("it is {}", user.id))
        }
        ["no", "project", name] => holds(roster.project_by_name(name).is_none(), "there is one".into()),
        ["project", name, state @ ("open" | "archived")] => {
            let project = project(name)?;
            holds(project.archived == (*state == "archived"), format!("archived is {}", project.archived))
        }
        ["project", name, state @ ("private" | "protected" | "public")] => {
            let is = format!("{:?}", project(name)?.visibility).to_lowercase();
            holds(is == *state, format!("it is {is}"))
        }
        ["project", name, "of", "kind", kind] => {
            let is = project(name)?.kind;
            holds(is == *kind, format!("it is of kind {is}"))
        }
        ["project", name, "in", within] => {
            let folder = project(name)?.folder.map(|ix| format!("folder:{}", roster.folder(ix).id));
            let is = folder.unwrap_or_else(|| "root".to_owned());
            holds(is == *within, format!("it is in {is}"))
        }
        ["folder", id, "of", "kind", kind] => {
            let folder = roster.folder(roster.folder_by_id(id).ok_or("no such folder")?);
            holds(folder.kind == *kind, format!("it is of kind {}", folder.kind))
        }
        ["no", "folder", id] => holds(roster.folder_by_id(id).is_none(), "there is one".into()),
        ["service", id] => holds(roster.service_by_id(id).is_some(), "there is none".into()),
        ["no", "service", id] => holds(roster.service_by_id(id).is_none(), "there is one".into()),
        ["ownerless", at] | ["not", "ownerless", at] => {
            let is = roster.is_ownerless(place(roster, at).ok_or("no such place")?, now);
            holds(is == (list[0] == "ownerless"), format!("ownerless is {is}"))
        }
        ["parked", source, subject] | ["nothing", "parked", source, subject] => {
            let is = parked.contains(&((*source).to_owned(), (*subject).to_owned()));
            holds(is == (list[0] == "parked"), format!("parked are {parked:?}"))
        }
        [who, at, roles, rest @ ..] => check_membership(roster, (who, at, roles), rest, now),
        _ => Err("this is no expectation; tests/scenarios/README.md lists them".into()),
    }
}

/// `WHO VERB WHERE: yes|no[, near SUBJECT]`
fn check_answer(roster: &Roster, question: &str, answer: &str, now: DateTime<Utc>) -> Result<(), String> {
    let [who, verb, at] = words(question)?;
    let profile = roster.profile();
    let actions = match Verb::ALL.iter().find(|v| v.as_str() == verb) {
        Some(verb) => profile.registry_action(*verb).ok_or("the profile maps no such verb")?,
        None => profile.operation(verb).ok_or_else(|| format!("`{verb}` is no verb, operation or action"))?,
    };
    let (answer, near) = answer.split_once(", near ").map_or((answer, None), |(a, n)| (a, Some(n)));
    let principal = principal(roster, who).unwrap_or(Principal::Anyone);
    let place = place(roster, at);
    let allowed = place.is_some_and(|place| decide(roster, principal, actions, place, now).is_allowed());
    holds(allowed == (answer == "yes") && ["yes", "no"].contains(&answer), format!("the answer is {allowed}"))?;
    if let Some(place) = place {
        // Everything that is told is what is decided.
        let told = explain(roster, principal, actions, place, now);
        holds(told.allowed == allowed, "the explanation says the opposite".into())?;
        if let Some(near) = near {
            let misses = serde_json::to_value(told).unwrap()["near_misses"].to_string();
            holds(misses.contains(near), format!("the near misses are {misses}"))?;
        }
    }
    holds(near.is_none() || place.is_some(), "no such place".into())
}

/// Somebody's roles on a scope: of a project as its list of members has them, else as an explanation does.
fn roles_on(roster: &Roster, who: Principal, place: Place, now: DateTime<Utc>) -> Vec<Member> {
    let (user, name) = roster.caller_names(who);
    match place {
        Place::Project(project) => members(roster, project, now).into_iter().filter(|m| m.user == user).collect(),
        Place::Root | Place::Folder(_) => {
            let reasons = explain(roster, who, ActionSet::EMPTY, place, now).reasons;
            let one = |reason: rollcall_access::Reason| Member {
                user: user.clone(),
                name: name.clone(),
                role: reason.role.clone(),
                reasons: vec![reason],
            };
            reasons.into_iter().map(one).collect()
        }
    }
}

fn check_membership(
    roster: &Roster,
    (who, at, roles): (&str, &str, &str),
    rest: &[&str],
    now: DateTime<Utc>,
) -> Result<(), String> {
    let who = match principal(roster, who) {
        Some(who) => who,
        None if roles == "none" => return Ok(()),
        None => return Err(format!("no user or service {who}")),
    };
    let place = match place(roster, at) {
        Some(place) => place,
        None if roles == "none" => return Ok(()),
        None => return Err(format!("no {at}")),
    };
    let mine = roles_on(roster, who, place, now);
    let held: BTreeSet<String> = mine.iter().map(|m| m.role.clone()).collect();
    let wanted: BTreeSet<String> = roles.split('+').filter(|r| *r != "none").map(str::to_owned).collect();
    if held != wanted {
        return Err(format!("the roles are {held:?}"));
    }
    match rest {
        [] => Ok(()),
        ["because", names @ ..] => {
            let told: BTreeSet<&str> = mine.iter().flat_map(|m| &m.reasons).map(|reason| &*reason.name).collect();
            let names = BTreeSet::from_iter(names.iter().copied());
            if told == names { Ok(()) } else { Err(format!("the reasons are {told:?}")) }
        }
        ["until", instant] => {
            let instant: DateTime<Utc> = instant.parse().map_err(|e| format!("{e}"))?;
            let pull = roster.profile().registry_action(Verb::Pull).unwrap();
            match decide(roster, who, pull, place, now) {
                Verdict::Allowed { until } if until == Some(instant) => Ok(()),
                other => Err(format!("the verdict is {other:?}")),
            }
        }
        _ => Err("what follows a role is `because NAME..` or `until TIME`".into()),
    }
}
