//! Why: the reasons of a yes, the near misses of a no with the event that ended each, and what would make it a yes.
//! What is told to make a yes is tried by the profile before it is told.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, LOCAL, Position, body};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    decide::{Verdict, decide},
    profile::{ActionSet, Ceiling, HeldRole, PseudoPrincipal, Resource},
    reasons::{
        Cause, Fix, Obstacle, Reason, Remedy, RolePath, Rule, Standing, Step,
        baseline::{BaselinePath, visibility_name},
        steps, stood_until,
    },
    roster::{
        Roster,
        facts::{Holder, RecordedScope},
        handles::{Place, Principal, ProfileKind, ProjectIx},
    },
};

/// An answer with its grounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Yes or no.
    pub allowed: bool,
    /// The position as of which it is answered.
    pub position: Position,
    /// The instant for which it is answered.
    pub at: DateTime<Utc>,
    /// When the yes ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// Of a caller whose secret somebody else made, where that is why it is a no: what the secret reaches, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<String>,
    /// What was asked for, in actions of the profile.
    pub needs: Vec<String>,
    /// The roles that would do, by themselves.
    pub roles: Vec<String>,
    /// Every live reason for a role here, those that do not suffice included, and what the caller has without a role of
    /// what was asked for.
    pub reasons: Vec<Reason>,
    /// Ways to a sufficient role that do not stand, the nearest first.
    pub near_misses: Vec<NearMiss>,
    /// What takes something of it away from this caller, whatever the roles.
    pub ceilings: Vec<CeilingNote>,
    /// Each alone would make it a yes.
    pub would_allow: Vec<Remedy>,
    /// The events that said the profile and the settings by which it is answered, and what the place is.
    #[serde(default)]
    pub rules: Vec<Cause>,
}

/// A path to a role that does not stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// The role, the rule and the facts of it, as if it stood.
    #[serde(flatten)]
    pub reason: Reason,
    /// Everything that stands in the way.
    pub obstacles: Vec<Obstacle>,
}

/// A ceiling that acts on the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CeilingNote {
    /// Its name in the profile.
    pub id: String,
    /// What it takes away of what was asked for.
    pub takes: Vec<String>,
    /// The switches, and what each says while it acts; none: always.
    pub when: BTreeMap<String, String>,
    /// The roles from whose holders it takes nothing.
    pub exempt: Vec<String>,
    /// In words.
    pub text: String,
    /// The event that made it act: that turned a switch, or said the profile.
    #[serde(default)]
    pub cause: Option<Cause>,
}

/// How many near misses are told, and how many remedies.
const MAX_NEAR_MISSES: usize = 10;

/// How many roles are offered that could be given.
const MAX_ROLES: usize = 3;

/// Decides and says why. For a caller who did not sign in, or of whom nothing is known, there are no near misses.
#[must_use]
pub fn explain(
    roster: &Roster,
    principal: Principal,
    actions: ActionSet,
    place: impl Into<Place>,
    now: DateTime<Utc>,
) -> Explanation {
    let place = place.into();
    let verdict = decide(roster, principal, actions, place, now);
    let until = match verdict {
        Verdict::Allowed { until } => until,
        Verdict::Denied => None,
    };
    let profile = roster.profile();
    let paths = roster.role_paths(principal, place, now);
    let level = roster.resource(ProfileKind::Access, place, principal).map_or(0, |resource| resource.level);
    let resource = roster.resource(ProfileKind::Access, place, principal);
    let exempts = |held: HeldRole| {
        resource.as_ref().is_some_and(|resource| {
            let mut acting = profile.ceilings_on(resource, roster.switches());
            acting.any(|ceiling| ceiling.mask.intersects(actions) && ceiling.exempts(held.role))
        })
    };
    // What a role gave that the profile has no more, nothing knows.
    let suffices =
        |path: &RolePath| path.held.is_none_or(|held| profile.gives(held).intersects(actions) || exempts(held));
    let mut missed: Vec<&RolePath> = paths.iter().filter(|path| !path.stands() && suffices(path)).collect();
    missed.sort_by_cached_key(|path| nearness(&path.obstacles, &path.name));
    let (have, lack): (Vec<BaselinePath>, Vec<BaselinePath>) =
        roster.baseline_paths(principal, place, actions, now).into_iter().partition(|path| path.obstacles.is_empty());
    let mut near_misses: Vec<NearMiss> = missed
        .iter()
        .map(|path| NearMiss { reason: roster.reason(path), obstacles: path.obstacles.clone() })
        .chain(lack.into_iter().map(|path| NearMiss { reason: path.reason, obstacles: path.obstacles }))
        .collect();
    near_misses.sort_by_cached_key(|miss| nearness(&miss.obstacles, &miss.reason.name));
    // However many are nearer, what stood the longest is told: what ended it is what turned the answer.
    let latest = near_misses.iter().enumerate().rev().max_by_key(|(_, miss)| stood_until(&miss.obstacles));
    if let Some(latest) = latest.map(|(ix, _)| ix).filter(|latest| *latest >= MAX_NEAR_MISSES) {
        near_misses.swap(MAX_NEAR_MISSES - 1, latest);
    }
    near_misses.truncate(MAX_NEAR_MISSES);
    let mut reasons: Vec<Reason> = paths.iter().filter(|path| path.stands()).map(|path| roster.reason(path)).collect();
    let question = Question { roster, principal, actions, place, now };
    let (mut ceilings, mut would_allow) = (Vec::new(), Vec::new());
    reasons.extend(have.into_iter().map(|path| path.reason));
    if !verdict.is_allowed() {
        near_misses
            .extend(paths.iter().filter(|path| path.stands()).filter_map(|path| question.limited_near_miss(path)));
        near_misses.truncate(MAX_NEAR_MISSES);
        ceilings = question.ceilings();
        would_allow = question.remedies(&missed);
    }
    reasons.sort_by(|a, b| (&a.role, &a.rule, &a.name).cmp(&(&b.role, &b.rule, &b.name)));
    reasons.dedup();
    Explanation {
        allowed: verdict.is_allowed(),
        position: roster.position(),
        at: now,
        until,
        reach: match principal {
            Principal::Limited(user, secret) if !verdict.is_allowed() => {
                let whole = decide(roster, Principal::User(user), actions, place, now);
                whole.is_allowed().then(|| roster.reach_text(secret))
            }
            _ => None,
        },
        needs: profile.names(actions).into_iter().map(str::to_owned).collect(),
        roles: profile
            .roles()
            // Also those that are given above: a personal project's, or one on a folder.
            .filter(|role| {
                let gives = |level| profile.gives(HeldRole { role: *role, level }).contains(actions);
                (0..=level).any(|level| profile.grantable(*role, level) && gives(level))
            })
            .map(|role| profile.role_name(role).to_owned())
            .collect(),
        reasons,
        near_misses,
        ceilings,
        would_allow,
        rules: roster.rules_in_force().into_iter().chain(roster.place_in_force(place, now)).collect(),
    }
}

/// Few obstacles first; then those that were otherwise once; then the newest.
fn nearness(obstacles: &[Obstacle], name: &str) -> (usize, usize, Reverse<Option<Position>>, String) {
    let never = obstacles.iter().filter(|o| o.standing == Standing::Never).count();
    let newest = obstacles.iter().filter_map(|o| o.cause.as_ref()).map(|cause| cause.position).max();
    (obstacles.len(), never, Reverse(newest), name.to_owned())
}

/// A question.
struct Question<'a> {
    roster: &'a Roster,
    principal: Principal,
    actions: ActionSet,
    place: Place,
    now: DateTime<Utc>,
}

impl<'a> Question<'a> {
    fn names(&self, set: ActionSet) -> String {
        self.roster.profile.names(set).join(", ")
    }

    /// A role that is held, and does not give here what it gives where it may be given higher.
    fn limited_near_miss(&self, path: &RolePath) -> Option<NearMiss> {
        let profile = &self.roster.profile;
        let held = path.held?;
        let lacking = profile.role_actions(held.role).difference(profile.gives(held)).intersection(self.actions);
        let levels = profile.levels_for(lacking)?;
        let role = profile.role_name(held.role);
        let what = self.names(lacking);
        let text = format!("role {role} gives {what} only where it is granted at level {levels}");
        let remedy = format!("role {role} is granted at level {levels}");
        let obstacle = Obstacle { standing: Standing::Never, text, remedy, cause: None, at: None, fix: Fix::None };
        Some(NearMiss { reason: self.roster.reason(path), obstacles: vec![obstacle] })
    }

    /// The ceilings that act on the caller as things are.
    fn ceilings(&self) -> Vec<CeilingNote> {
        let roster = self.roster;
        let Some(resource) = roster.resource(ProfileKind::Access, self.place, self.principal) else {
            return Vec::new();
        };
        let held = self.roles_at(self.now);
        let acting = roster.profile.ceilings_on(&resource, roster.switches());
        let acting = acting.filter(|ceiling| {
            ceiling.mask.intersects(self.actions) && !held.iter().any(|held| ceiling.exempts(held.role))
        });
        acting.map(|ceiling| self.ceiling_note(ceiling)).collect()
    }

    fn ceiling_note(&self, ceiling: &Ceiling) -> CeilingNote {
        let takes = ceiling.mask.intersection(self.actions);
        let exempt: Vec<String> =
            ceiling.exempt_roles.iter().map(|role| self.roster.profile.role_name(*role).into()).collect();
        let mut text = format!("ceiling {} takes {} away", ceiling.id, self.names(takes));
        if !exempt.is_empty() {
            text.push_str(&format!(" from everybody without the role {}", exempt.join(" or ")));
        }
        for (switch, says) in &ceiling.when {
            text.push_str(&format!(", while {switch} is {says}"));
        }
        let takes = self.roster.profile.names(takes).into_iter().map(str::to_owned).collect();
        let switches =
            ceiling.when.keys().filter_map(|switch| self.roster.setting_cause(&format!("switches.{switch}")));
        let profile = self.roster.rules_in_force().into_iter().filter(|rule| rule.subject == "profile");
        let cause = switches.chain(profile).max_by_key(|cause| cause.position);
        CeilingNote { id: ceiling.id.clone(), takes, when: ceiling.when.clone(), exempt, text, cause }
    }

    /// Roles that are live at an instant.
    fn roles_at(&self, at: DateTime<Utc>) -> Vec<HeldRole> {
        let live = self.roster.live_roles(ProfileKind::Access, self.principal, self.place, at.timestamp_micros());
        live.map(|live| live.held).collect()
    }

    /// Whether it is a yes with these roles, this resource and these switches.
    fn would_allow(&self, held: &[HeldRole], resource: &Resource<'_>, switches: &BTreeMap<String, String>) -> bool {
        let caller =
            if self.principal == Principal::Anyone { PseudoPrincipal::Anyone } else { PseudoPrincipal::Authenticated };
        self.roster.profile.allowed(caller, held.iter().copied(), resource, switches).contains(self.actions)
    }

    /// What would make it a yes: paths that stand again, a role that is given, a project that is opened, a switch.
    fn remedies(&self, missed: &[&RolePath]) -> Vec<Remedy> {
        let mut found: Vec<Remedy> = Vec::new();
        let Some(resource) = self.roster.resource(ProfileKind::Access, self.place, self.principal) else {
            return found;
        };
        for path in missed {
            if found.len() >= MAX_NEAR_MISSES {
                break;
            }
            found.extend(self.remedy_for_path(path, &resource).filter(|remedy| !found.contains(remedy)));
        }
        if self.roster.admitted(self.principal, self.now.timestamp_micros()).is_some()
            && self.roster.is_open(self.place)
        {
            let held = self.roles_at(self.now);
            found.extend(self.remedies_by_role(&held, &resource));
            found.extend(self.remedies_by_visibility(&held, &resource));
            found
                .extend(self.remedy_by_switch(&held, &resource).map(|(step, text)| Remedy { text, steps: vec![step] }));
        }
        found.truncate(MAX_NEAR_MISSES);
        found
    }

    /// A path stands again, where need be with a switch turned.
    fn remedy_for_path(&self, path: &RolePath, resource: &Resource<'_>) -> Option<Remedy> {
        let fixes: Vec<Fix> = path.obstacles.iter().map(|obstacle| obstacle.fix.clone()).collect();
        let mut steps = steps(&fixes)?;
        let at = match steps.last() {
            Some(Step::Wait { until }) => *until,
            _ => self.now,
        };
        if (at > self.now && path.until <= at.timestamp_micros()) || self.roster.would_make_cycle(&steps) {
            return None;
        }
        if let [step] = steps.as_slice()
            && !self.takes_effect(step)
        {
            return None;
        }
        // What else the caller holds stays only where the remedy moves nobody and nothing.
        let mut held = if matches!(path.rule, Rule::Binding | Rule::Group) { self.roles_at(at) } else { Vec::new() };
        held.push(path.held?);
        let remedies: Vec<&str> = path.obstacles.iter().map(|o| o.remedy.as_str()).collect();
        let mut text = format!("{}, for {}", remedies.join(", and "), path.text);
        if !self.would_allow(&held, resource, self.roster.switches()) {
            let (step, switch) = self.remedy_by_switch(&held, resource)?;
            text = format!("{switch}, and {text}");
            steps.insert(0, step);
        }
        Some(Remedy { text, steps })
    }

    /// Whether a command would not be refused as things are; of sources' facts it is taken for granted.
    fn takes_effect(&self, step: &Step) -> bool {
        match step {
            Step::Say { source, kind, data } if source == LOCAL => {
                let body = Body::parse(kind, &Value::Object(data.clone()).to_string());
                body.is_ok_and(|body| self.roster.check_command(&body, self.now).is_ok())
            }
            _ => true,
        }
    }

    /// A role is given on the scope, or else on the nearest above it where one suffices. The smallest first.
    fn remedies_by_role(&self, held: &[HeldRole], resource: &Resource<'_>) -> Vec<Remedy> {
        let roster = self.roster;
        let profile = &roster.profile;
        // A role rests on the person that it names: one who is there.
        let principal = match self.principal {
            Principal::User(user) => {
                roster.live_person(user).and_then(|person| roster.event_holder(Holder::Person(person)))
            }
            // It would not be reached.
            Principal::Limited(..) => None,
            other => roster.event_principal(other),
        };
        let Some(principal) = principal else { return Vec::new() };
        let path =
            roster.path(self.place).skip(usize::from(matches!(self.place, Place::Project(ProjectIx::Personal(_)))));
        for on in path {
            let (Some(level), Some(scope)) = (roster.level(ProfileKind::Access, on), roster.event_scope(on)) else {
                continue;
            };
            let mut roles: Vec<_> = profile.roles().filter(|role| profile.grantable(*role, level)).collect();
            roles.sort_by_key(|role| profile.role_actions(*role).len());
            let mut found = Vec::new();
            for role in roles {
                let with: Vec<HeldRole> = held.iter().copied().chain([HeldRole { role, level }]).collect();
                let name = profile.role_name(role);
                let data = json!({"principal": principal, "role": name, "scope": scope, "author": "admin key"});
                let step = command("binding.set", data);
                if self.would_allow(&with, resource, roster.switches()) && self.takes_effect(&step) {
                    let text = format!("role {name} is given on {}", roster.scope_name(on));
                    found.push(Remedy { text, steps: vec![step] });
                }
                if found.len() >= MAX_ROLES {
                    break;
                }
            }
            if !found.is_empty() || on == RecordedScope::Root {
                return found;
            }
        }
        Vec::new()
    }

    /// The project is seen by more.
    fn remedies_by_visibility(&self, held: &[HeldRole], resource: &Resource<'_>) -> Vec<Remedy> {
        let Place::Project(project) = self.place else { return Vec::new() };
        let (Some(row), Some(now)) = (self.roster.local_project_data(project), resource.visibility) else {
            return Vec::new();
        };
        let all = [body::Visibility::Protected, body::Visibility::Public].into_iter().filter(|other| *other != now);
        let found = all.filter_map(|visibility| {
            let seen = Resource { visibility: Some(visibility), ..*resource };
            let mut row = row.clone();
            *row.get_mut("visibility")? = json!(visibility);
            let step = command("project.updated", row);
            let text = format!("project {} is {}", self.roster.project_name(project), visibility_name(visibility));
            (self.would_allow(held, &seen, self.roster.switches()) && self.takes_effect(&step))
                .then(|| Remedy { text, steps: vec![step] })
        });
        found.take(1).collect()
    }

    /// One switch says something else.
    fn remedy_by_switch(&self, held: &[HeldRole], resource: &Resource<'_>) -> Option<(Step, String)> {
        let document = self.roster.profile.document();
        document.settings.iter().find_map(|(name, switch)| {
            switch.values.iter().find_map(|value| {
                let mut switches = self.roster.switches().clone();
                switches.insert(name.clone(), value.clone());
                let text = format!("switch {name} is {value}");
                let step = Step::Set { switch: name.clone(), value: value.clone() };
                self.would_allow(held, resource, &switches).then_some((step, text))
            })
        })
    }
}

fn command(kind: &str, data: Value) -> Step {
    let data = match data {
        Value::Object(data) => data,
        _ => serde_json::Map::new(),
    };
    Step::Say { source: LOCAL.to_owned(), kind: format!("rollcall.{kind}.v1"), data }
}

/// Whether the caller has, or had, or will have by the passing of time, a role on the project. Only then may a refusal
/// say anything about it (DESIGN 9; access-models decision 15).
#[must_use]
pub fn had_tie(roster: &Roster, caller: impl Into<Principal>, project: ProjectIx, now: DateTime<Utc>) -> bool {
    !tied_paths(roster, caller.into(), project, now).is_empty()
}

/// The same, of more than what everybody has by a baseline: whoever has nothing to do with a project but that it is public
/// is not the business of those who run it.
#[must_use]
pub fn had_own_tie(roster: &Roster, caller: impl Into<Principal>, project: ProjectIx, now: DateTime<Utc>) -> bool {
    tied_paths(roster, caller.into(), project, now).iter().any(|path| path.rule != Rule::Baseline)
}

/// The ways to a role on a project that stand, stood or will stand.
fn tied_paths(roster: &Roster, caller: Principal, project: ProjectIx, now: DateTime<Utc>) -> Vec<RolePath> {
    // The tie is the user's, whatever the secret reaches.
    let caller = match caller {
        Principal::Limited(user, _) => Principal::User(user),
        other => other,
    };
    let mut paths = roster.role_paths(caller, project.into(), now);
    paths.retain(|path| path.obstacles.iter().all(|o| o.standing != Standing::Never) && path.ever_stood());
    paths
}

impl RolePath {
    /// Roles given by hand: whether what stands began before what ended did. A group that was bound after somebody left
    /// it never gave that person anything.
    fn ever_stood(&self) -> bool {
        if !matches!(self.rule, Rule::Binding | Rule::Group) {
            return true;
        }
        let causes = || self.obstacles.iter().filter(|o| o.at.is_none()).filter_map(|o| o.cause.as_ref());
        let Some(ended) = causes().map(|cause| cause.position).min() else { return true };
        self.facts.iter().filter(|fact| !causes().any(|cause| cause == *fact)).all(|fact| fact.position < ended)
    }
}
