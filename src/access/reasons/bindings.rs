//! Rules 4 and 5: roles given by hand, to a person or service itself or to a group that it is or was in, and the
//! personal project. Groups are walked from the member upwards, along present and former memberships.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{
    LOCAL, Position,
    body::{member_subject, username_subject},
};

use super::{Cause, Fix, Hindrance, Obstacle, PathSearch, RolePath, Rule, Standing, obstacle};
use crate::roster::{
    bindings::API_ROLE_PREFIX,
    facts::{Field, Former, Holder, Member, Origin, RecordedScope},
    handles::{FolderIx, GroupIx, Place, ProfileKind, ProjectIx, ServiceIx, UserIx},
    register::Register,
};

/// How many groups all paths of one holder look at.
const MAX_GROUPS: usize = 65_536;

/// How many groups a text names on the way down from the one that has the role.
const MAX_NAMED: usize = 16;

/// The path from a group down to a holder.
#[derive(Default)]
struct GroupPath {
    /// The groups, the outermost first.
    groups: Vec<u32>,
    obstacles: Vec<Obstacle>,
    causes: Vec<Cause>,
}

/// A group on the way up, and how it was reached.
struct GroupStep {
    group: u32,
    from: Option<usize>,
    /// The membership by which it was entered, and the group itself.
    causes: Vec<Cause>,
    /// What stands in the way from there to here.
    between: Vec<Obstacle>,
}

impl PathSearch<'_> {
    pub(super) fn service_cause(&self, service: u32) -> Option<Cause> {
        let row = self.roster.service_row(ServiceIx(service))?;
        let services = &self.roster.facts.services;
        Some(self.roster.cause(
            services.names.space(service),
            format!("service/{}", services.id(service)),
            &row.register,
        ))
    }

    /// What keeps a service from anything at all.
    pub(super) fn service_obstacles(&self, service: u32) -> Vec<Obstacle> {
        let roster = self.roster;
        let Some(row) = roster.service_row(ServiceIx(service)) else { return Vec::new() };
        let id = roster.facts.services.id(service);
        let space = roster.facts.services.names.space(service);
        let gone = self.removed_obstacle(&format!("service {id}"), space, format!("service/{id}"), &row.register);
        let mut found: Vec<Obstacle> = gone.map(|gone| gone.with_fix(self.fix_service(service))).into_iter().collect();
        if found.is_empty() {
            let cause = roster.cause(space, format!("service/{id}"), &row.register);
            self.window(&mut found, &format!("service {id}"), (i64::MIN, row.ends), &cause, || Fix::None);
        }
        found
    }

    /// What stands in the way of everything on a scope that no package delivers.
    pub(super) fn place_obstacles(&self) -> Vec<Obstacle> {
        let roster = self.roster;
        if roster.is_open(self.place) {
            return Vec::new();
        }
        let ended = |text: String, remedy: String, cause, fix| {
            vec![obstacle(Standing::Ended, text, remedy, cause).with_fix(fix)]
        };
        let caused = |register: &Register, subject: String| {
            Some(Cause { position: register.cause, source: LOCAL.to_owned(), subject })
        };
        match self.place {
            Place::Root => Vec::new(),
            Place::Folder(folder) => {
                let id = roster.folder(folder).id.to_owned();
                let cause = roster.folder_row(folder).and_then(|row| caused(&row.register, format!("folder/{id}")));
                let fix = self.fix_folder(folder);
                ended(format!("folder {id} was removed"), format!("folder {id} is made again"), cause, fix)
            }
            Place::Project(ProjectIx::Personal(user)) => {
                let name = roster.user_name(user);
                let (text, remedy) =
                    (format!("{name} has no personal project"), format!("{name} has a personal project"));
                ended(text, remedy, self.no_personal_project_by(user), Fix::None)
            }
            Place::Project(project) => {
                let name = roster.project_name(project);
                let cause = roster.project_row(project).and_then(|row| match &row.origin {
                    Origin::Local(local) => {
                        let id = roster.facts.local_projects.id(local.id);
                        caused(&local.register, format!("project/{id}"))
                    }
                    Origin::Package(_) => None,
                });
                let fix = self.fix_project(project);
                ended(format!("project {name} was deleted"), format!("project {name} is made again"), cause, fix)
            }
        }
    }

    /// The newest of what keeps a user from a project of its own: what is said of its persons, or who has the name.
    fn no_personal_project_by(&self, user: UserIx) -> Option<Cause> {
        let roster = self.roster;
        let taken = roster.user_names(user).filter_map(|name| roster.facts.project_names.find(0, name));
        let taken = taken.filter_map(|ix| roster.facts.project_names.get(ix)).map(|ix| ProjectIx::recorded(*ix));
        let taken = taken.map(|project| {
            let view = roster.project(project);
            let id = view.id.split_once('/').map(|(_, id)| id.to_owned()).unwrap_or_default();
            let noun = if view.package.is_some() { "package" } else { "project" };
            Cause { position: view.changed, source: view.source.to_owned(), subject: format!("{noun}/{id}") }
        });
        let persons = roster.persons_of(user).iter();
        let obstacles = persons.clone().flat_map(|person| self.person_obstacles(user, *person));
        let causes = obstacles.filter_map(|obstacle| obstacle.cause).chain(roster.link_causes(user)).chain(taken);
        causes.chain(self.owner_causes(user)).max_by_key(|cause| cause.position)
    }

    /// What says that the owner of a personal project is there, and called as the project is.
    pub(super) fn owner_causes(&self, user: UserIx) -> Vec<Cause> {
        let persons = self.roster.persons_of(user).iter();
        persons.flat_map(|person| [Some(self.person_cause(*person)), self.renamed_by(*person)]).flatten().collect()
    }

    /// The command by which a person is called as it is, where nothing was said of the person since: it was given the name,
    /// or lost the one that it had to somebody else.
    fn renamed_by(&self, person: u32) -> Option<Cause> {
        let facts = &self.roster.facts;
        let Former { to: old, left } = facts.newest_former(Field::PersonName, person)?;
        if left <= self.person_cause(person).position {
            return None;
        }
        let lost = facts.user_names.get(old).is_some_and(|owner| *owner != person);
        let passed = if lost { old } else { facts.persons.get(person)?.name };
        let subject = username_subject(facts.user_names.id(passed));
        Some(Cause { position: left, source: LOCAL.to_owned(), subject })
    }

    /// The personal project is its user's.
    pub(super) fn find_personal(&mut self, user: UserIx) {
        let Some(held) = self.roster.personal_role() else { return };
        let role_path = RolePath {
            rule: Rule::Personal,
            held: Some(held),
            role: self.roster.profile.role_name(held.role).to_owned(),
            name: self.roster.user_id(user),
            text: "the user's own personal project".to_owned(),
            facts: self.owner_causes(user),
            until: i64::MAX,
            obstacles: self.common.clone(),
        };
        self.push(role_path);
    }

    /// Roles of a person or service, and of every group that it is or was in. `given`: what stands in the way of what was
    /// given by hand; `own`: in that of what a source says of it.
    pub(super) fn find_bindings(&mut self, holder: Holder, own: &[Obstacle], given: &[Obstacle]) {
        if self.roster.index.holder_bindings.is_empty() {
            return;
        }
        if self.above.is_empty() {
            self.above = self.scopes_above();
        }
        self.push_bindings(holder, given, &[], &[]);
        for GroupPath { groups, obstacles, causes } in self.group_paths(holder, own, given) {
            let Some(group) = groups.first().copied() else { continue };
            let kept_here = groups.last().is_some_and(|first| self.roster.is_kept_here(*first));
            let first = if kept_here { given } else { own };
            let all: Vec<Obstacle> = first.iter().cloned().chain(obstacles).collect();
            let causes: Vec<Cause> = causes.into_iter().chain(self.holder_cause(holder)).collect();
            self.push_bindings(Holder::Group(group), &all, &groups, &causes);
        }
    }

    /// What is said of who holds something itself.
    fn holder_cause(&self, holder: Holder) -> Option<Cause> {
        match holder {
            Holder::Person(ix) => Some(self.person_cause(ix)),
            Holder::Service(ix) => self.service_cause(ix),
            Holder::Group(_) => None,
        }
    }

    /// Every group above a holder with what stands in the way to it, by the wanted way.
    fn group_paths(&self, holder: Holder, own: &[Obstacle], given: &[Obstacle]) -> Vec<GroupPath> {
        let roster = self.roster;
        let first_obstacles = |group| if roster.is_kept_here(group) { given } else { own };
        let mut steps: Vec<GroupStep> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut queue: BTreeMap<((u64, u64), usize), (GroupStep, Hindrance)> = BTreeMap::new();
        let mut order = 0;
        let mut enter = |queue: &mut BTreeMap<_, _>, holder: Holder, from: Option<usize>, so_far: Hindrance| {
            for ix in roster.index.member_of.get(&holder).into_iter().flatten() {
                let Some(row) = roster.facts.members.get(*ix as usize) else { continue };
                let (between, causes) = self.membership(row);
                let so_far = if from.is_none() { so_far.and(first_obstacles(row.group)) } else { so_far };
                order += 1;
                let hindrance = so_far.and(&between);
                let step = GroupStep { group: row.group, from, causes, between };
                queue.insert((self.wanted.order(hindrance), order), (step, hindrance));
            }
        };
        enter(&mut queue, holder, None, Hindrance::NONE);
        while let Some((_, (step, hindrance))) = queue.pop_first() {
            if steps.len() >= MAX_GROUPS || !seen.insert(step.group) {
                continue;
            }
            let (here, group) = (steps.len(), step.group);
            steps.push(step);
            enter(&mut queue, Holder::Group(group), Some(here), hindrance);
        }
        let along = |ix: usize| {
            let (mut path, mut next) = (GroupPath::default(), Some(ix));
            while let Some(step) = next.and_then(|ix| steps.get(ix)) {
                path.groups.push(step.group);
                path.obstacles.extend(step.between.iter().cloned());
                path.causes.extend(step.causes.iter().cloned());
                next = step.from;
            }
            path
        };
        (0..steps.len())
            .filter_map(|ix| {
                let group = steps.get(ix)?.group;
                roster.index.holder_bindings.contains_key(&Holder::Group(group)).then(|| along(ix))
            })
            .collect()
    }

    /// One membership in a group: what stands in its way, and the events that it rests on.
    fn membership(&self, row: &Member) -> (Vec<Obstacle>, Vec<Cause>) {
        let roster = self.roster;
        let facts = &roster.facts;
        let names = &facts.groups.names;
        let (space, group) = (names.space(row.group), names.text(row.group));
        let (kind, id) = match row.holder {
            Holder::Person(ix) => {
                ("person", roster.source_own_id(space, facts.persons.names.space(ix), facts.persons.id(ix)))
            }
            Holder::Service(ix) => ("service", facts.services.id(ix).to_owned()),
            Holder::Group(ix) => ("group", roster.source_own_id(space, names.space(ix), names.text(ix))),
        };
        let cause = roster.cause(space, member_subject(group, kind, &id), &row.register);
        let mut obstacles: Vec<Obstacle> = self.suspended(space).into_iter().collect();
        if !row.register.stands() {
            let (text, remedy) =
                (format!("{kind} {id} left group {group}"), format!("{kind} {id} is in group {group} again"));
            let left = obstacle(Standing::Ended, text, remedy, Some(cause.clone()));
            obstacles.push(left.with_fix(self.fix_member(row, kind, &id)));
        }
        let register = facts.groups.get(row.group).map(|row| row.register).unwrap_or_default();
        let gone = self.removed_obstacle(&format!("group {group}"), space, format!("group/{group}"), &register);
        obstacles.extend(gone.map(|gone| gone.with_fix(self.fix_group(row.group))));
        let of_group = roster.cause(space, format!("group/{group}"), &register);
        (obstacles, vec![cause, of_group])
    }

    /// What is said of a folder, which is where a role is given: its kind decides what a role gives there.
    fn scope_cause(&self, on: RecordedScope) -> Option<Cause> {
        let RecordedScope::Folder(ix) = on else { return None };
        let subject = format!("folder/{}", self.roster.facts.folders.id(ix));
        let position = self.roster.folder_row(FolderIx(ix))?.register.cause;
        Some(Cause { position, source: LOCAL.to_owned(), subject })
    }

    /// That the profile in force does not let a role be given where it was.
    fn not_given(&self, role: &str, on: RecordedScope) -> Obstacle {
        if self.roster.resolve_role(role).is_none() {
            return self.no_such_role(Standing::Ended, role);
        }
        let text = format!("role {role} cannot be given on {}", self.roster.scope_name(on));
        let profile = self.roster.rules_in_force().into_iter().filter(|rule| rule.subject == "profile");
        let cause = profile.chain(self.scope_cause(on)).max_by_key(|cause| cause.position);
        obstacle(Standing::Ended, text, format!("the profile lets role {role} be given there"), cause)
    }

    /// The bindings of one holder that are for this place. `groups`: the path from a group that has it down to who is
    /// asked about.
    fn push_bindings(&mut self, holder: Holder, own: &[Obstacle], groups: &[u32], via: &[Cause]) {
        let roster = self.roster;
        for ix in roster.index.holder_bindings.get(&holder).into_iter().flatten() {
            let Some(row) = roster.facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
            let Some(way) = self.above.get(&row.on) else { continue };
            let held = match roster.roles.get(*ix as usize).copied().flatten() {
                Some((ProfileKind::Access, held)) => Some(held),
                None if !row.role.starts_with(API_ROLE_PREFIX) => None,
                Some(_) | None => continue,
            };
            let subject = roster.facts.bindings.id(*ix).to_owned();
            let cause = Cause { position: row.register.cause, source: LOCAL.to_owned(), subject: subject.clone() };
            let mut obstacles = self.common.clone();
            obstacles.extend_from_slice(own);
            obstacles.extend(way.obstacles.iter().cloned());
            let role = held.map_or(row.role.as_str(), |held| roster.profile.role_name(held.role));
            let what = format!("the binding of role {role}");
            obstacles.extend(held.is_none().then(|| self.not_given(&row.role, row.on)));
            if row.register.stands() {
                self.window(&mut obstacles, &what, (row.starts, row.ends), &cause, || self.fix_binding(row));
            } else {
                let text = format!("{what} was removed");
                let gone = obstacle(Standing::Ended, text, format!("{what} is set again"), Some(cause.clone()));
                obstacles.push(gone.with_fix(self.fix_binding(row)));
            }
            let place = match row.on {
                RecordedScope::Root => " on the root".to_owned(),
                RecordedScope::Folder(ix) => format!(" on folder {}", roster.folder(FolderIx(ix)).id),
                RecordedScope::Project(_) => String::new(),
            };
            let text = match groups {
                [] => format!("a direct binding of role {role}{place}"),
                [group, within @ ..] => {
                    let name =
                        |ix: &u32| roster.group(GroupIx(*ix)).name.map_or_else(|| roster.group_key(*ix), str::to_owned);
                    let within = within.iter().take(MAX_NAMED).map(|ix| format!(", which has {}", name(ix)));
                    let key = roster.group_key(*group);
                    let named = format!("{} ({key})", name(group));
                    let group = if key.ends_with(&format!("/{}", name(group))) { key } else { named };
                    format!("a binding of role {role} to group {group}{place}{}", within.collect::<String>())
                }
            };
            let mut facts = vec![cause];
            facts.extend_from_slice(via);
            facts.extend(way.causes.iter().cloned());
            facts.extend(self.scope_cause(row.on));
            facts.extend(self.holder_cause(holder));
            facts.retain(|cause| cause.position != Position(0));
            let role_path = RolePath {
                rule: if groups.is_empty() { Rule::Binding } else { Rule::Group },
                held,
                role: role.to_owned(),
                name: subject,
                text,
                facts,
                until: row.ends,
                obstacles,
            };
            self.push(role_path);
        }
    }
}
