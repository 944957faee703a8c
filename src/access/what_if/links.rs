//! Links between persons: which would be made by a rule, what the commands for them are, and what each person would gain
//! and lose. Records nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Digest, Id, SourceName,
    body::{Author, Link, SourcePerson, UserName},
};

use crate::{
    effort::{Effort, GivenUp},
    fold::change::Effect,
    questions::{members::memberships_of, names::NameClaim},
    roster::{
        Roster,
        facts::NONE,
        handles::{Place, Principal, UserIx},
    },
    what_if::preview::NamedScope,
};

/// By what two persons are taken for one. Somebody confirms what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRule {
    /// A person of a source that was removed, and one that came since and asks for its user name: an entry made again, as
    /// when a directory is restored or migrated.
    MadeAgain,
    /// Persons of two sources with one immutable id: one directory that two sources read.
    SameId,
}

impl LinkRule {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MadeAgain => "made_again",
            Self::SameId => "same_id",
        }
    }

    /// The rule that a word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::MadeAgain, Self::SameId].into_iter().find(|rule| rule.as_str() == word)
    }
}

/// A role that a person has on a scope, or has no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonChange {
    /// Whose, `source/id`.
    pub person: String,
    /// Where.
    pub scope: NamedScope,
    /// Which role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// What linking or parting persons would do.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    /// What it would record, in this order.
    pub commands: Vec<Body>,
    /// What the fold would say of each.
    pub effects: Vec<Effect>,
    /// What each of the persons would gain and lose.
    pub changes: Vec<PersonChange>,
    /// Names it: what does the same has the same name.
    pub name: String,
}

/// Who links, and with what.
#[derive(Debug, Clone, Default)]
pub struct LinkGiver {
    /// Who.
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    pub made_with: Option<Id>,
}

impl Roster {
    /// The pairs of persons that a rule takes for one, the older first. `with`: the other source, where a rule is about two.
    #[must_use]
    pub fn linkable(&self, rule: LinkRule, source: &str, with: &str) -> Vec<[SourcePerson; 2]> {
        let space = |name: &str| self.facts.sources.find(0, name).and_then(|ix| u16::try_from(ix).ok());
        let Some(space_of_one) = space(source) else { return Vec::new() };
        let names = &self.facts.persons.names;
        let pairs: Vec<(u32, u32)> = match rule {
            LinkRule::MadeAgain => {
                let waiting = self.facts.names_not_in_effect.keys().copied();
                let again = waiting.filter(|person| names.space(*person) == space_of_one).filter_map(|person| {
                    let (NameClaim::MadeAgain, name) = self.name_claim(person)? else { return None };
                    Some((*self.facts.user_names.get(name)?, person))
                });
                again.filter(|(holder, _)| names.space(*holder) == space_of_one).collect()
            }
            LinkRule::SameId => {
                let Some(other) = space(with).filter(|other| *other != space_of_one) else { return Vec::new() };
                let mine = (0..self.facts.persons.len()).filter(|person| names.space(*person) == space_of_one);
                let both =
                    mine.filter_map(|person| Some((person, self.facts.persons.find(other, names.text(person))?)));
                let stands = |person: u32| self.facts.persons.get(person).is_some_and(|row| row.register.stands());
                both.filter(|(one, two)| stands(*one) && stands(*two) && self.user_of(*one) != self.user_of(*two))
                    .collect()
            }
        };
        pairs.into_iter().filter_map(|(one, two)| Some([self.source_person(one)?, self.source_person(two)?])).collect()
    }

    /// A person as events name it.
    pub(crate) fn source_person(&self, person: u32) -> Option<SourcePerson> {
        let names = &self.facts.persons.names;
        Some(SourcePerson {
            source: self.source_text(names.space(person)).parse().ok()?,
            person: names.text(person).parse().ok()?,
        })
    }

    /// The commands that make two persons one user: the link and, where the older user cannot sign in any more, the name that
    /// the younger one's source asks for.
    #[must_use]
    pub fn link_commands(&self, persons: [SourcePerson; 2], rule: Option<LinkRule>, giver: &LinkGiver) -> Vec<Body> {
        let LinkGiver { author, made_with } = giver.clone();
        let users = persons.clone().map(|one| self.user_by_id(&format!("{}/{}", one.source, one.person)));
        let link = Body::IdentityLinked(Link {
            persons,
            rule: rule.map(|rule| rule.as_str().to_owned()),
            author: author.clone(),
            made_with: made_with.clone(),
        });
        let name = match users {
            [Some(one), Some(two)] => self.name_when_linked(one, two),
            _ => None,
        };
        let given = name.and_then(|(user, username)| {
            let rule = Some("linked".to_owned());
            Some(Body::UserNameGiven(UserName { username, user: user.parse().ok()?, rule, author, made_with }))
        });
        std::iter::once(link).chain(given).collect()
    }

    /// The user that two would be, and the name that it has to be given.
    fn name_when_linked(&self, one: UserIx, two: UserIx) -> Option<(String, String)> {
        let first = |user: UserIx| self.facts.persons.get(user.0).map(|row| row.first);
        let (older, younger) = if first(one) <= first(two) { (one, two) } else { (two, one) };
        if older == younger || !self.shut_out(older) || self.shut_out(younger) {
            return None;
        }
        let name = self.wanted_name(younger.0)?;
        let holder = self.facts.user_names.find(0, name).and_then(|ix| self.facts.user_names.get(ix)).copied();
        let theirs = holder.is_none_or(|of| of == NONE || [older.0, younger.0].contains(&self.user_of(of)));
        (theirs && self.user_name(older) != name).then(|| (self.user_id(older), name.to_owned()))
    }

    /// The link between two persons that stands.
    #[must_use]
    pub fn is_linked(&self, persons: &[SourcePerson; 2]) -> bool {
        let [a, b] = persons.clone().map(|one| self.person_of(&format!("{}/{}", one.source, one.person)));
        let (Some(a), Some(b)) = (a, b) else { return false };
        let pair = self.index.link.get(&(a.min(b), a.max(b)));
        pair.and_then(|ix| self.facts.links.get(*ix as usize)).is_some_and(|pair| pair.register.stands())
    }

    /// The roles of a user, by scope.
    fn roles_by_scope(&self, user: UserIx, now: DateTime<Utc>) -> BTreeSet<(NamedScope, String)> {
        let projects = memberships_of(self, user, now).into_iter();
        let mut all: BTreeSet<_> = projects.map(|row| (NamedScope::Project(row.project), row.role)).collect();
        let above = std::iter::once(Place::Root).chain(self.folders().map(Place::Folder));
        for place in above {
            let roles = self.roles_at(Principal::User(user), place, now).into_iter();
            all.extend(roles.map(|role| (self.named_scope(place), role)));
        }
        all
    }
}

/// Tries links on a copy of the roster.
///
/// # Errors
/// It was given up half way.
pub fn plan_links(
    before: &Roster,
    commands: Vec<Body>,
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<LinkPlan, GivenUp> {
    let mut after = before.clone();
    let effects = commands.iter().map(|body| after.fold_unrecorded(&SourceName::local(), body, now)).collect();
    let mut changes = BTreeSet::new();
    let mut text = String::new();
    for command in &commands {
        text.push_str(&format!("{} {}\n", command.kind(), command.subject()));
        let (Body::IdentityLinked(link) | Body::IdentityUnlinked(link)) = command else { continue };
        for person in &link.persons {
            effort.step()?;
            let person = format!("{}/{}", person.source, person.person);
            let roles = |roster: &Roster| {
                let user = roster.user_by_id(&person);
                user.map(|user| roster.roles_by_scope(user, now)).unwrap_or_default()
            };
            let (had, has) = (roles(before), roles(&after));
            for (side, other, appears) in [(&has, &had, true), (&had, &has, false)] {
                changes.extend(side.difference(other).map(|(scope, role)| PersonChange {
                    person: person.clone(),
                    scope: scope.clone(),
                    role: role.clone(),
                    appears,
                }));
            }
        }
    }
    for change in &changes {
        text.push_str(&format!("{change:?}\n"));
    }
    let name = format!("lnk_{:016x}", Digest::of(text.as_bytes()).prefix());
    Ok(LinkPlan { commands, effects, changes: changes.into_iter().collect(), name })
}
