//! What a plan would mean: who would get or lose which role in which project. Tried on a copy of the roster, by the very
//! function that folds the log. Pure; knows no source and no store.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_access::{Roster, UserIx, memberships_of};
use rollcall_events::{Body, NewEvent, Position, Recorded, SourceName, body::Member};
use rollcall_ingest::Row;
use serde::Serialize;
use utoipa::ToSchema;

/// A role in a project that somebody would have, or have no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct PlannedMembership {
    /// The user's name.
    pub user: String,
    /// The project's name.
    pub project: String,
    /// The role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// What the rows of a plan of `source` would change, by user and project.
pub(crate) fn effects(
    before: &Roster,
    source: &SourceName,
    rows: &[Row],
    now: DateTime<Utc>,
) -> Vec<PlannedMembership> {
    let bodies: Vec<Body> = rows.iter().filter_map(|row| Body::parse(&row.kind, &row.data).ok()).collect();
    let mut after = before.clone();
    for (n, body) in (1_u64..).zip(&bodies) {
        let event = NewEvent::of(source.clone(), format!("plan-{n}"), body);
        after.apply(&Recorded { position: Position(before.position().0 + n), recorded_at: now, event });
    }
    let concerned = Concerned::by(&bodies);
    let had = memberships(before, source, &concerned, now);
    let has = memberships(&after, source, &concerned, now);
    let mut changes = Vec::new();
    for (side, other, appears) in [(&has, &had, true), (&had, &has, false)] {
        for ((id, project, role), name) in side {
            if !other.contains_key(&(id.clone(), project.clone(), role.clone())) {
                let (user, project, role) = (name.clone(), project.clone(), role.clone());
                changes.push(PlannedMembership { user, project, role, appears });
            }
        }
    }
    changes.sort();
    changes
}

/// Whom a plan may concern.
enum Concerned {
    /// These persons of its source.
    Persons(BTreeSet<String>),
    /// Perhaps anybody: a group in a group, an account, a package.
    Everybody,
}

impl Concerned {
    fn by(bodies: &[Body]) -> Self {
        let mut persons = BTreeSet::new();
        for body in bodies {
            let person = match body {
                Body::PersonUpserted(person) => &person.person,
                Body::PersonRemoved(person) => &person.person,
                Body::GroupMemberAdded(data) | Body::GroupMemberRemoved(data) => match &data.member {
                    Member::Person(person) => person,
                    Member::Service(_) | Member::Group(_) => return Self::Everybody,
                },
                _ => return Self::Everybody,
            };
            persons.insert(person.to_string());
        }
        Self::Persons(persons)
    }
}

/// (user's id, project, role) with the user's name, of all who are concerned.
fn memberships(
    roster: &Roster,
    source: &SourceName,
    concerned: &Concerned,
    now: DateTime<Utc>,
) -> BTreeMap<(String, String, String), String> {
    let users: BTreeSet<UserIx> = match concerned {
        Concerned::Everybody => roster.users().collect(),
        Concerned::Persons(ids) => {
            let own = roster.persons().filter(|(person, _)| person.source == source.as_str());
            own.filter(|(person, _)| ids.contains(person.person)).map(|(_, user)| user).collect()
        }
    };
    let mut found = BTreeMap::new();
    for user in users {
        let (id, name) = (roster.user_id(user), roster.user_name(user).to_owned());
        for row in memberships_of(roster, user, now) {
            found.insert((id.clone(), row.project, row.role), name.clone());
        }
    }
    found
}
