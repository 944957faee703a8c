//! Explanations that are acted upon: whoever takes every named reason away has a no, whoever does what a line says that
//! would make it a yes has a yes. In the random worlds, with nouns of every kind.

use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;
use rollcall_events::{Body, NewEvent};
use serde_json::{Value, json};

use super::{
    agreement::{callers, places},
    worlds::{Random, World, both},
};
use crate::{
    decide::decide,
    fold::change::Effect,
    profile::ActionSet,
    questions::explain::{Explanation, explain, had_tie},
    reasons::{Reason, Rule, Step},
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind},
    },
    suite::histories::{fold_next, next_id, noon},
};

/// A copy to try things on.
struct Copy(Roster);

impl Copy {
    fn of(roster: &Roster) -> Self {
        Self(Roster::from_snapshot(&roster.to_snapshot()).unwrap())
    }

    fn say(&mut self, source: &str, kind: &str, data: &Value) -> Effect {
        let body = Body::parse(kind, &data.to_string()).unwrap_or_else(|error| panic!("{kind} {data}: {error}"));
        let event = NewEvent::of(source.parse().unwrap(), next_id(&self.0), &body);
        fold_next(&mut self.0, NewEvent { data: data.to_string().into(), ..event }, noon())
    }

    /// Does one step; the instant to ask for from then on.
    fn step(&mut self, step: &Step, now: DateTime<Utc>) -> (Effect, DateTime<Utc>) {
        match step {
            Step::Wait { until } => (Effect::Applied, *until),
            Step::Set { switch, value } => {
                let mut settings = serde_json::to_value(self.0.settings()).unwrap();
                settings["switches"][switch] = value.clone().into();
                (self.say("local", "rollcall.settings.set.v1", &settings), now)
            }
            Step::Say { source, kind, data } => {
                let mut data = Value::Object(data.clone());
                if kind == "rollcall.account.upserted.v1" {
                    data["kind"] = "customer".into();
                }
                (self.say(source, kind, &data), now)
            }
        }
    }

    /// Takes a reason away; whether that could be done.
    fn end(&mut self, reason: &Reason) -> bool {
        let effect = match reason.rule {
            Rule::Binding | Rule::Group => {
                let row = self.0.bindings().find(|row| row.subject == reason.name);
                let Some(row) = row else { return true };
                let (principal, role) = (row.principal.clone(), row.role.to_owned());
                let on = self.0.path(row.place).next().and_then(|on| self.0.event_scope(on)).unwrap();
                let data = json!({"principal": principal, "role": role, "scope": on, "author": "admin key"});
                self.say("local", "rollcall.binding.removed.v1", &data)
            }
            Rule::Customer => {
                self.say("flexnet", "rollcall.entitlement.line.removed.v1", &json!({"line": reason.name}))
            }
            Rule::Producer => {
                let told = reason.facts.iter().find(|fact| fact.subject.starts_with("permission/")).unwrap();
                let person = told.subject.split('/').nth(1).unwrap();
                let data = json!({"person": person, "permission": "view_and_manage_download_packages"});
                self.say("flexnet", "rollcall.permission.revoked.v1", &data)
            }
            _ => return false,
        };
        !matches!(effect, Effect::Refused(_))
    }
}

/// The profile without these baselines and without personal projects' roles.
fn without(roster: &Roster, reasons: &[&Reason]) -> Option<Value> {
    let mut document = serde_json::to_value(roster.profile().document()).unwrap();
    let named = |n: usize| {
        reasons.iter().any(|reason| reason.rule == Rule::Baseline && reason.name.ends_with(&format!("[{n}]")))
    };
    if let Some(rows) = document.get_mut("baseline").and_then(Value::as_array_mut) {
        let mut n = 0;
        rows.retain(|_| {
            n += 1;
            !named(n - 1)
        });
    }
    if reasons.iter().any(|reason| reason.rule == Rule::Personal) {
        document["rules"]["personal_role"] = Value::Null;
    }
    Some(document)
}

struct Question {
    principal: Principal,
    place: Place,
    actions: ActionSet,
    now: DateTime<Utc>,
}

impl Question {
    fn any(roster: &Roster, random: &mut Random) -> Self {
        let principal = random.pick(&callers(roster)).1;
        let place = random.pick(&places(roster)).1;
        let actions: Vec<ActionSet> = roster.profile().actions().map(|(_, set)| set).collect();
        let mut wanted = *random.pick(&actions);
        if random.one_in(4) {
            wanted = wanted.union(*random.pick(&actions));
        }
        let now = noon() + Duration::days(i64::try_from(random.below(3)).unwrap() - 1);
        Self { principal, place, actions: wanted, now }
    }

    fn allowed(&self, roster: &Roster) -> bool {
        decide(roster, self.principal, self.actions, self.place, self.now).is_allowed()
    }

    fn why(&self, roster: &Roster) -> Explanation {
        explain(roster, self.principal, self.actions, self.place, self.now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each action that was asked for has a reason that gives it, and without all of them it is a no.
    #[test]
    fn without_every_reason_that_is_named_it_is_a_no(seed in any::<u64>()) {
        let (roster, _) = both(&World::new(seed).history.0);
        let random = &mut Random::new(seed);
        for _ in 0..40 {
            let question = Question::any(&roster, random);
            if !question.allowed(&roster) {
                continue;
            }
            let why = question.why(&roster);
            prop_assert!(why.allowed);
            let telling: Vec<&Reason> = why.reasons.iter().collect();
            prop_assert!(!telling.is_empty(), "{why:#?}");
            let mut copy = Copy::of(&roster);
            let rest: Vec<&Reason> = telling.iter().copied().filter(|reason| ![Rule::Baseline, Rule::Personal].contains(&reason.rule)).collect();
            if !rest.iter().all(|reason| copy.end(reason)) {
                continue;
            }
            if rest.len() < telling.len() {
                let document = without(&roster, &telling).unwrap();
                prop_assert_eq!(copy.say("local", "rollcall.profile.set.v1", &document), Effect::Applied);
                // Another profile has other sets of actions.
                let named: Option<ActionSet> = why.needs.iter().try_fold(ActionSet::EMPTY, |set, name| Some(set.union(copy.0.profile().operation(name)?)));
                let Some(actions) = named else { continue };
                prop_assert!(!decide(&copy.0, question.principal, actions, question.place, question.now).is_allowed(), "{why:#?}");
                continue;
            }
            prop_assert!(!question.allowed(&copy.0), "{why:#?}");
        }
    }

    /// Each line of `would_allow` makes a yes of the no that it stands under.
    #[test]
    fn whoever_does_what_would_allow_is_allowed(seed in any::<u64>()) {
        remedies_are_enough(seed)?;
    }

    /// What is explained is what is decided; a ceiling that is named takes something away; who has nothing to do with a
    /// project has no tie to it.
    #[test]
    fn what_is_explained_is_what_is_decided_in_worlds_of_every_kind(seed in any::<u64>()) {
        let (roster, _) = both(&World::new(seed).history.0);
        let random = &mut Random::new(seed);
        for _ in 0..60 {
            let question = Question::any(&roster, random);
            let (why, verdict) = (question.why(&roster), decide(&roster, question.principal, question.actions, question.place, question.now));
            prop_assert_eq!(why.allowed, verdict.is_allowed());
            prop_assert_eq!(why.allowed, roster.actions_of(question.principal, question.place, question.now).contains(question.actions));
            prop_assert!(!why.allowed || (why.ceilings.is_empty() && why.would_allow.is_empty()));
            // Every way that stands is a live role, and the other way round.
            let mut paths: Vec<_> = roster.role_paths(question.principal, question.place, question.now).into_iter().filter(|path| path.obstacles.is_empty()).filter_map(|path| path.held).map(|held| (held.role, held.level)).collect();
            let open = roster.is_open(question.place) && roster.admitted(question.principal, question.now.timestamp_micros()).is_some();
            let mut live: Vec<_> = roster.live_roles(ProfileKind::Access, question.principal, question.place, question.now.timestamp_micros()).filter(|_| open).map(|live| (live.held.role, live.held.level)).collect();
            paths.sort();
            paths.dedup();
            live.sort();
            live.dedup();
            prop_assert_eq!(paths, live, "{:#?}", why);
            if let Place::Project(project) = question.place {
                let tie = had_tie(&roster, question.principal, project, question.now);
                prop_assert!(tie || why.reasons.iter().all(|reason| reason.rule == Rule::Baseline));
                prop_assert!(!tie || question.principal != Principal::Anyone);
            }
        }
    }
}

fn remedies_are_enough(seed: u64) -> Result<(), TestCaseError> {
    let (roster, _) = both(&World::new(seed).history.0);
    let random = &mut Random::new(seed);
    for _ in 0..12 {
        let question = Question::any(&roster, random);
        if question.allowed(&roster) {
            continue;
        }
        let why = question.why(&roster);
        for remedy in &why.would_allow {
            let (mut copy, mut now) = (Copy::of(&roster), question.now);
            for step in &remedy.steps {
                let (effect, later) = copy.step(step, now);
                prop_assert!(!matches!(effect, Effect::Refused(_) | Effect::Parked(_)), "{effect:?}: {remedy:#?}");
                now = later;
            }
            let asked = Question { now, ..question };
            prop_assert!(asked.allowed(&copy.0), "{remedy:#?}\n{:?} {:#?}", asked.principal, asked.why(&copy.0));
        }
    }
    Ok(())
}

/// A project may have come public from a profile that had public ones: making it again is no remedy under one that has none.
#[test]
fn what_another_profile_allowed_is_no_remedy() {
    remedies_are_enough(15_579_582_811_591_615_573).unwrap();
}
