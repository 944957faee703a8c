//! What facts that a source would state mean: who would get or lose which role, and which projects would lose
//! everybody. Tried on a copy of the roster by the very fold that folds the log. Appends nothing and asks no source.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, NewEvent, Position, Recorded, SourceName, body};

use crate::{
    effort::{Effort, GivenUp},
    fold::change::Effect,
    questions::members::memberships_of,
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind, ProjectIx, UserIx},
    },
    what_if::{
        preview::{MembershipChange, NamedScope},
        users::{UserChange, user_changes},
    },
};

/// What facts would come to, with what rules say of them at once.
#[derive(Debug, Clone)]
pub struct DryRun {
    /// The roles in projects that appear and disappear, by project, user and role.
    pub memberships: Vec<MembershipChange>,
    /// What becomes of users themselves.
    pub users: Vec<UserChange>,
}

/// What it would come to if a source said this now.
///
/// # Errors
/// It was given up half way.
pub fn dry_run(
    before: &Roster,
    source: &SourceName,
    facts: &[Body],
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<DryRun, GivenUp> {
    effort.step()?;
    let mut after = before.with_facts(source, facts, now);
    let ruled = after.fold_due_rules(now);
    // Whom a rule is about may be of any source.
    let concerned = if ruled.is_empty() { Concerned::by(facts) } else { Concerned::Everybody };
    let had = before.roles_of_concerned(source, &concerned, now, effort)?;
    let has = after.roles_of_concerned(source, &concerned, now, effort)?;
    let mut changes = Vec::new();
    for (side, other, appears) in [(&has, &had, true), (&had, &has, false)] {
        for (row, name) in side.iter().filter(|(row, _)| !other.contains_key(*row)) {
            let (user, project, role) = row.clone();
            let scope = NamedScope::Project(project);
            changes.push(MembershipChange { scope, name: name.clone(), user, role, appears });
        }
    }
    changes.sort();
    let of_facts = facts.iter().filter_map(|fact| match fact {
        Body::PersonUpserted(person) => Some(format!("{source}/{}", person.person)),
        Body::PersonRemoved(person) => Some(format!("{source}/{}", person.person)),
        _ => None,
    });
    let of_rules = ruled.iter().flat_map(|body| match body {
        Body::IdentityLinked(link) | Body::IdentityUnlinked(link) => {
            link.persons.iter().map(|one| format!("{}/{}", one.source, one.person)).collect()
        }
        Body::UserNameGiven(name) => vec![name.user.to_string()],
        _ => Vec::new(),
    });
    let persons = of_facts.chain(of_rules).collect();
    Ok(DryRun { memberships: changes, users: user_changes(before, &after, &persons) })
}

/// Whether these facts could take the last of `crowd` members or more out of a project. Looks at nothing but the facts:
/// most of what a source takes back concerns too few for that.
#[must_use]
pub fn could_empty_project(facts: &[Body], crowd: usize) -> bool {
    let mut losing = BTreeSet::new();
    for fact in facts {
        let person = match fact {
            Body::PersonRemoved(data) => &data.person,
            // Suspended, or in another account.
            Body::PersonUpserted(data) => &data.person,
            Body::GroupMemberRemoved(data) => match &data.member {
                body::Member::Person(person) => person,
                body::Member::Service(_) | body::Member::Group(_) => return true,
            },
            Body::GroupUpserted(_) | Body::GroupMemberAdded(_) => continue,
            _ => return true,
        };
        losing.insert(person);
    }
    losing.len() >= crowd
}

/// The projects, by name, that have `crowd` members or more now and would have none if a source said this.
#[must_use]
pub fn emptied_projects(
    before: &Roster,
    source: &SourceName,
    facts: &[Body],
    crowd: usize,
    now: DateTime<Utc>,
) -> Vec<String> {
    if !could_empty_project(facts, crowd) {
        return Vec::new();
    }
    emptied(before, &before.with_facts(source, facts, now), crowd, now)
}

/// The projects, by name, that have `crowd` members or more before and none afterwards.
pub(super) fn emptied(before: &Roster, after: &Roster, crowd: usize, now: DateTime<Utc>) -> Vec<String> {
    // Whoever is left in one project is often left in the next: asked first, so that few are gone through.
    let mut left: Option<Principal> = None;
    let mut names = Vec::new();
    for project in before.projects() {
        if left.is_some_and(|who| after.is_member(who, project, now)) {
            continue;
        }
        let stays = after.candidates(project).into_iter().find(|who| after.is_member(*who, project, now));
        if stays.is_some() {
            left = stays;
            continue;
        }
        let had = before.candidates(project).into_iter().filter(|who| before.is_member(*who, project, now));
        if had.take(crowd).count() == crowd {
            names.push(before.project_name(project).to_owned());
        }
    }
    names.sort();
    names
}

/// What a rule says of a roster at a moment, as commands.
type DueCommands = fn(&Roster, DateTime<Utc>) -> Vec<Body>;

/// Whom facts may concern.
enum Concerned {
    /// These persons of their source.
    Persons(BTreeSet<String>),
    /// Perhaps anybody: a group in a group, an account, a package.
    Everybody,
}

impl Concerned {
    fn by(facts: &[Body]) -> Self {
        let mut persons = BTreeSet::new();
        for fact in facts {
            let person = match fact {
                Body::PersonUpserted(person) => &person.person,
                Body::PersonRemoved(person) => &person.person,
                Body::GroupMemberAdded(data) | Body::GroupMemberRemoved(data) => match &data.member {
                    body::Member::Person(person) => person,
                    body::Member::Service(_) | body::Member::Group(_) => return Self::Everybody,
                },
                _ => return Self::Everybody,
            };
            persons.insert(person.to_string());
        }
        Self::Persons(persons)
    }
}

impl Roster {
    /// A copy of what would be known if these commands were given now.
    #[must_use]
    pub fn after(&self, commands: &[Body], now: DateTime<Utc>) -> Self {
        self.with_facts(&SourceName::local(), commands, now)
    }

    /// A copy into which this was folded as if it had just been recorded.
    fn with_facts(&self, source: &SourceName, facts: &[Body], now: DateTime<Utc>) -> Self {
        let mut after = self.clone();
        for fact in facts {
            after.fold_unrecorded(source, fact, now);
        }
        after
    }

    /// Folds what rules say of it now, as commands, and gives them.
    pub(crate) fn fold_due_rules(&mut self, now: DateTime<Utc>) -> Vec<Body> {
        let due: [DueCommands; 3] = [
            |roster, now| roster.due_names(0, u32::MAX, now).0,
            |roster, _| roster.links_over(0, u32::MAX).0,
            |roster, _| roster.due_links(0, u32::MAX).0,
        ];
        let mut done = Vec::new();
        for due in due {
            for body in due(self, now) {
                if self.check_command(&body, now).is_ok() && self.is_due(&body) {
                    self.fold_unrecorded(&SourceName::local(), &body, now);
                    done.push(body);
                }
            }
        }
        done
    }

    /// Folds what was not recorded, as the next record of the log.
    pub(crate) fn fold_unrecorded(&mut self, source: &SourceName, body: &Body, now: DateTime<Utc>) -> Effect {
        let position = Position(self.position().0 + 1);
        let event = NewEvent { time: Some(now), ..NewEvent::of(source.clone(), format!("dry-run-{position}"), body) };
        self.apply(&Recorded { position, recorded_at: now, event }).effect
    }

    /// (user's id, project, role) with the user's name, of all who are concerned.
    fn roles_of_concerned(
        &self,
        source: &SourceName,
        concerned: &Concerned,
        now: DateTime<Utc>,
        effort: &Effort<'_>,
    ) -> Result<BTreeMap<(String, String, String), String>, GivenUp> {
        let users: BTreeSet<UserIx> = match concerned {
            Concerned::Everybody => self.users().collect(),
            Concerned::Persons(ids) => {
                let persons = ids.iter().filter_map(|id| self.person_of(&format!("{source}/{id}")));
                persons.filter_map(|person| self.facts.persons.get(person)).map(|row| UserIx(row.user)).collect()
            }
        };
        let mut found = BTreeMap::new();
        for user in users {
            effort.step()?;
            let (id, name) = (self.user_id(user), self.user_name(user).to_owned());
            for row in memberships_of(self, user, now) {
                found.insert((id.clone(), row.project, row.role), name.clone());
            }
        }
        Ok(found)
    }

    /// Whether anybody has a role in a project now.
    pub(super) fn has_member(&self, project: ProjectIx, now: DateTime<Utc>) -> bool {
        self.candidates(project).into_iter().any(|who| self.is_member(who, project, now))
    }

    /// Whether somebody has a role in a project now.
    fn is_member(&self, who: Principal, project: ProjectIx, now: DateTime<Utc>) -> bool {
        let place = Place::Project(project);
        self.is_there(who)
            && self.is_open(place)
            && self.admitted(who, now.timestamp_micros()).is_some()
            && self.live_roles(ProfileKind::Access, who, place, now.timestamp_micros()).next().is_some()
    }
}
