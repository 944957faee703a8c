//! Names in their order, for lists that are read page by page. Worked out when somebody lists, and kept for the next page:
//! a name is never forgotten and never another one, so that only what came since has to be put in its place.

use std::{
    cmp::Ordering,
    ops::Bound,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use crate::roster::{
    Roster,
    bindings::BindingView,
    credentials::SecretView,
    facts::NONE,
    handles::{FolderIx, GroupIx, Place, Principal, ProjectIx, ServiceIx, UserIx},
    names::Names,
};

/// What is listed by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Users,
    Persons,
    Projects,
    Groups,
    Folders,
    Services,
    Bindings,
    Secrets,
}

/// Each kind's rows as far as they were put in order. A clone of a roster goes its own way and begins anew; a view does not.
#[derive(Debug, Default)]
pub(crate) struct Orders(Arc<[Mutex<Arc<[u32]>>; 8]>);

impl Clone for Orders {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Orders {
    /// The same, for a roster that nobody changes.
    pub(crate) fn of_view(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Those of `sorted` and `new` together; both are in order.
fn merged(sorted: &[u32], new: &[u32], compare: impl Fn(u32, u32) -> Ordering) -> Vec<u32> {
    let (mut all, mut rest) = (Vec::with_capacity(sorted.len() + new.len()), sorted);
    for one in new {
        let (before, after) = rest.split_at(rest.partition_point(|other| compare(*other, *one).is_lt()));
        all.extend_from_slice(before);
        all.push(*one);
        rest = after;
    }
    all.extend_from_slice(rest);
    all
}

impl Roster {
    fn names_of(&self, listed: Listed) -> &Names {
        let facts = &self.facts;
        match listed {
            Listed::Users => &facts.user_names.names,
            Listed::Persons => &facts.persons.names,
            Listed::Projects => &facts.project_names.names,
            Listed::Groups => &facts.groups.names,
            Listed::Folders => &facts.folders.names,
            Listed::Services => &facts.services.names,
            Listed::Bindings => &facts.bindings.names,
            Listed::Secrets => &facts.secrets.names,
        }
    }

    /// The name as it is listed: of what several sources name, the source and the name.
    fn listed_name(&self, listed: Listed, ix: u32) -> (&str, &str) {
        let names = self.names_of(listed);
        let source = match listed {
            Listed::Persons | Listed::Groups => self.source_text(names.space(ix)),
            _ => "",
        };
        (source, names.text(ix))
    }

    /// All rows of a kind in the order of their names, whether they are there still or not.
    fn in_order(&self, listed: Listed) -> Arc<[u32]> {
        let len = self.names_of(listed).len();
        let Some(kept) = self.orders.0.get(listed as usize) else { return Arc::default() };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        if known < len {
            let compare = |a: u32, b: u32| self.listed_name(listed, a).cmp(&self.listed_name(listed, b));
            let mut new: Vec<u32> = (known..len).collect();
            new.sort_unstable_by(|a, b| compare(*a, *b));
            *kept = merged(&kept, &new, compare).into();
        }
        Arc::clone(&kept)
    }

    /// The rows of a kind from a name on, in the order of their names.
    fn rows_in_order(&self, listed: Listed, from: Bound<(&str, &str)>) -> impl Iterator<Item = u32> + use<'_> {
        let (all, len) = (self.in_order(listed), self.names_of(listed).len());
        let comes_before = |ix: &u32| match from {
            Bound::Unbounded => false,
            Bound::Included(from) => self.listed_name(listed, *ix) < from,
            Bound::Excluded(from) => self.listed_name(listed, *ix) <= from,
        };
        // A view of before knows less: what came later is left out.
        let first = all.partition_point(comes_before);
        (first..all.len()).filter_map(move |at| all.get(at).copied()).filter(move |ix| *ix < len)
    }

    /// Users from a name on, by name.
    pub fn users_by_name(&self, from: Bound<&str>) -> impl Iterator<Item = UserIx> {
        self.rows_in_order(Listed::Users, from.map(|name| ("", name))).filter_map(|name| {
            let user = self.user_of(*self.facts.user_names.get(name)?);
            self.facts.persons.get(user).filter(|row| row.user == user && row.name == name).map(|_| UserIx(user))
        })
    }

    /// Source and id of everything that a source ever stated as a person, from one on, by both.
    pub fn persons_by_id(&self, from: Bound<(&str, &str)>) -> impl Iterator<Item = (&str, &str)> {
        let stated = |ix: &u32| self.facts.persons.get(*ix).is_some_and(|row| row.user != NONE);
        self.rows_in_order(Listed::Persons, from).filter(stated).map(|ix| self.listed_name(Listed::Persons, ix))
    }

    /// Recorded projects from a name on, by name.
    pub fn projects_by_name(&self, from: Bound<&str>) -> impl Iterator<Item = ProjectIx> {
        self.rows_in_order(Listed::Projects, from.map(|name| ("", name))).filter_map(|name| {
            let project = *self.facts.project_names.get(name)?;
            self.facts.projects.get(project as usize).filter(|row| row.name == name)?;
            Some(ProjectIx::recorded(project))
        })
    }

    /// Groups that were not removed, from a source and an id on, by both.
    pub fn groups_by_id(&self, from: Bound<(&str, &str)>) -> impl Iterator<Item = GroupIx> {
        let stands = |ix: &u32| self.facts.groups.get(*ix).is_some_and(|row| row.register.stands());
        self.rows_in_order(Listed::Groups, from).filter(stands).map(GroupIx)
    }

    /// Folders that are open, from an id on, by id.
    pub fn folders_by_id(&self, from: Bound<&str>) -> impl Iterator<Item = FolderIx> {
        let rows = self.rows_in_order(Listed::Folders, from.map(|id| ("", id))).map(FolderIx);
        rows.filter(|ix| self.is_open(Place::Folder(*ix)))
    }

    /// Services that were not removed, from an id on, by id.
    pub fn services_by_id(&self, from: Bound<&str>) -> impl Iterator<Item = ServiceIx> {
        let rows = self.rows_in_order(Listed::Services, from.map(|id| ("", id))).map(ServiceIx);
        rows.filter(|ix| self.service_stands(*ix))
    }

    /// Bindings that were not taken away, from a subject on, by subject.
    pub fn bindings_by_subject(&self, from: Bound<&str>) -> impl Iterator<Item = BindingView<'_>> {
        self.rows_in_order(Listed::Bindings, from.map(|id| ("", id))).filter_map(|ix| self.binding_view(ix))
    }

    /// Secrets and open invitations in force, each with whose it is, from an id on, by id.
    pub fn secrets_by_id(
        &self,
        from: Bound<&str>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (Principal, SecretView<'_>)> {
        let micros = now.timestamp_micros();
        self.rows_in_order(Listed::Secrets, from.map(|id| ("", id))).filter_map(move |ix| {
            let row = self.secret_row(ix).filter(|row| !self.is_over(row, micros))?;
            Some((self.owner_principal(row.owner)?, self.secret_view(ix, row)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_put_in_its_place() {
        let by_number = |a: u32, b: u32| a.cmp(&b);
        for (sorted, new, all) in [
            (vec![1, 5, 9], vec![0, 2, 6, 7, 10], vec![0, 1, 2, 5, 6, 7, 9, 10]),
            (vec![], vec![3, 4], vec![3, 4]),
            (vec![3, 4], vec![], vec![3, 4]),
        ] {
            assert_eq!(merged(&sorted, &new, by_number), all);
        }
    }
}
