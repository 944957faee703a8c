//! Persons that are one user, and those that were: what links say of a user's rights.

use chrono::DateTime;
use rollcall_events::{
    LOCAL, Position,
    body::{EventData as _, Link},
};

use super::{Cause, Hindrance, Obstacle, PathSearch, Standing, Wanted, obstacle};
use crate::roster::{
    Roster,
    facts::Pair,
    handles::{Place, UserIx},
};

/// A person that a user was linked with.
pub(crate) struct Parted {
    person: u32,
    /// The event that parted the two.
    cause: Cause,
}

impl Roster {
    /// The events that make several persons one user, or did: of every link that touches one of them, and what is said
    /// of those of them that could shut the user out.
    pub(crate) fn link_causes(&self, user: UserIx) -> Vec<Cause> {
        let persons = self.persons_of(user);
        if self.index.person_links.is_empty() {
            return Vec::new();
        }
        let touching = persons.iter().filter_map(|person| self.index.person_links.get(person)).flatten();
        let pairs = touching.filter_map(|ix| self.facts.links.get(*ix as usize));
        let mut found: Vec<Cause> = pairs.filter_map(|pair| self.link_cause(pair)).collect();
        if persons.len() > 1 {
            let search = PathSearch::new(self, Place::Root, DateTime::UNIX_EPOCH);
            found.extend(persons.iter().map(|person| search.person_cause(*person)));
        }
        found.retain(|cause| cause.position != Position(0));
        found.sort();
        found.dedup();
        found
    }

    fn link_cause(&self, pair: &Pair) -> Option<Cause> {
        let subject = Link {
            persons: [self.source_person(pair.left)?, self.source_person(pair.right)?],
            rule: None,
            author: None,
            made_with: None,
            given_since: None,
        }
        .subject();
        Some(Cause { position: pair.register.cause, source: LOCAL.to_owned(), subject })
    }

    /// Persons that were one user with this one and are not any more.
    pub(crate) fn formerly_linked(&self, user: UserIx) -> Vec<Parted> {
        let mine = self.persons_of(user);
        let mut found: Vec<Parted> = Vec::new();
        for person in mine {
            for ix in self.index.person_links.get(person).into_iter().flatten() {
                if self.facts.excepted_links.contains_key(ix) {
                    continue;
                }
                let Some(pair) = self.facts.links.get(*ix as usize).filter(|pair| !pair.register.stands()) else {
                    continue;
                };
                let other = if pair.left == *person { pair.right } else { pair.left };
                let Some(cause) = self.link_cause(pair).filter(|_| pair.register.stated()) else { continue };
                let Some(row) = self.facts.persons.get(other) else { continue };
                for theirs in self.persons_of(UserIx(row.user)) {
                    if !mine.contains(theirs) && found.iter().all(|parted| parted.person != *theirs) {
                        found.push(Parted { person: *theirs, cause: cause.clone() });
                    }
                }
            }
        }
        found
    }
}

impl PathSearch<'_> {
    /// What stands in the way of what a person was given by hand, by the wanted way: it is the user's, while any of its persons
    /// is there that can stand for this one.
    pub(super) fn in_the_way_of_given<'o>(&self, person: u32, ways: &'o [(u32, Vec<Obstacle>)]) -> &'o [Obstacle] {
        let stands_for = |one: u32| one == person || self.roster.stands_for(one, person);
        let ways = ways.iter().filter(|(one, _)| stands_for(*one)).map(|(_, way)| way.as_slice());
        ways.min_by_key(|way| self.wanted.order(Hindrance::NONE.and(*way))).unwrap_or_default()
    }

    /// The ways by which a user has what it was given by hand, each with what stands in it: by each of its persons. Where that
    /// is wanted which stood the longest, also by those that it was linked with.
    pub(super) fn ways_of_given(&self, own: &[(u32, Vec<Obstacle>)], parted: &[Parted]) -> Vec<(u32, Vec<Obstacle>)> {
        let formerly = parted.iter().filter(|_| self.wanted == Wanted::Latest);
        let formerly = formerly.filter_map(|parted| Some((parted.person, vec![self.formerly_let_in(parted)?])));
        own.iter().cloned().chain(formerly).collect()
    }

    /// What let a suspended person of an authoritative source shut a user out: the last of the suspension, of the link and
    /// the persons that it needs, and of what made the source one to be believed.
    pub(super) fn shut_out_by(&self, user: UserIx, person: u32, source: &str) -> Cause {
        let setting = self.roster.setting_cause(&format!("sources.{source}.authoritative"));
        let links = self.roster.link_causes(user).into_iter().filter(|cause| cause.subject.starts_with("link/"));
        let suspended = self.person_cause(person);
        let persons = self.roster.persons_of(user).iter().filter_map(|person| {
            let position = self.roster.facts.persons.get(*person)?.first;
            Some(Cause { position, ..self.person_cause(*person) })
        });
        links
            .chain(setting)
            .chain(persons)
            .chain([suspended.clone()])
            .max_by_key(|cause| cause.position)
            .unwrap_or(suspended)
    }

    fn parted_obstacle(&self, parted: &Parted) -> Obstacle {
        let names = &self.roster.facts.persons.names;
        let other = format!("{}/{}", self.roster.source_text(names.space(parted.person)), names.text(parted.person));
        let (text, remedy) = (format!("{other} is not linked any more"), format!("{other} is linked again"));
        obstacle(Standing::Ended, text, remedy, Some(parted.cause.clone()))
    }

    /// What keeps a user from being let in by a person that it was linked with; nothing where that one is not there, or
    /// was not when the two parted.
    pub(super) fn formerly_let_in(&self, parted: &Parted) -> Option<Obstacle> {
        let was_there = self.person_cause(parted.person).position < parted.cause.position;
        (was_there && self.roster.facts.is_live(parted.person)).then(|| self.parted_obstacle(parted))
    }

    /// What a user had through a person that it was linked with. Only what was so before the two parted: what the other
    /// is given since is nobody else's business.
    pub(super) fn find_formerly(&mut self, parted: &Parted) {
        let own = [self.parted_obstacle(parted)];
        let (before, around) = (self.paths.len(), std::mem::take(&mut self.around));
        self.find_of_person(parted.person, &own, &own);
        self.around = around;
        let ended = parted.cause.position;
        let mut n = 0;
        self.paths.retain(|path| {
            n += 1;
            let since = |cause: &Cause| cause.position > ended;
            let causes = path.obstacles.iter().filter_map(|obstacle| obstacle.cause.as_ref());
            n <= before || !(path.facts.iter().any(since) || causes.into_iter().any(since))
        });
    }
}
