//! Who has a claim to a user name that somebody else has or had, and what would settle it.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, body::UserName};

use crate::{
    fold::names::NAME_MOVED,
    roster::{
        Roster,
        facts::{NONE, NameNotInEffect},
        handles::UserIx,
    },
};

/// By what right somebody asks for a name that was another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameClaim {
    /// An authoritative source asks for it, and none knows whoever has or had it.
    Authoritative,
    /// The source that gave it gave it to another: both are there, and it does not ask for it any more for the first.
    Moved,
    /// It was freed.
    Freed,
    /// Whoever had it was removed at the same source, or at another authoritative one: perhaps one entry, made again. Somebody
    /// has to say so.
    MadeAgain,
    /// Another source knows whoever has it by the same id: perhaps one directory that two sources read. Somebody has to say
    /// so.
    SameId,
    /// None: it stays whose it is.
    None,
}

impl NameClaim {
    /// The rule by which a name passes, where one does.
    #[must_use]
    pub fn rule(self) -> Option<&'static str> {
        match self {
            Self::Authoritative => Some("authoritative"),
            Self::Moved => Some(NAME_MOVED),
            Self::Freed => Some("freed"),
            Self::MadeAgain | Self::SameId | Self::None => None,
        }
    }
}

impl Roster {
    /// The names that pass to somebody by a rule now, as commands: of those who wait for one, at most so many looked at from
    /// one on, and from where to go on.
    #[must_use]
    pub fn due_names(&self, from: u32, rows: u32, now: DateTime<Utc>) -> (Vec<Body>, Option<u32>) {
        let mut waiting = self.facts.names_not_in_effect.range(from..).map(|(person, _)| *person);
        let due = waiting.by_ref().take(rows as usize);
        let mut firsts = HashMap::new();
        let due =
            due.filter_map(|person| Some((!self.is_authoritative(person), self.due_name(person, now, &mut firsts)?)));
        // Whoever else waits for one of these has no claim to it when it has passed: so an authoritative source comes first.
        let mut due: Vec<(bool, Body)> = due.collect();
        due.sort_by_key(|(later, _)| *later);
        let mut names = BTreeSet::new();
        let due = due.into_iter().map(|(_, given)| given).filter(|given| names.insert(given.subject())).collect();
        (due, waiting.next())
    }

    fn due_name(&self, person: u32, now: DateTime<Utc>, firsts: &mut HashMap<u32, Option<u32>>) -> Option<Body> {
        let (claim, name) = self.name_claim(person, firsts)?;
        let rule = claim.rule()?;
        // One event says it of all who exchange their names, and of none while one of them may be somebody made again.
        let ring = self.exchange(person);
        let moves = |one: &u32| matches!(self.name_claim(*one, firsts), Some((NameClaim::Moved, _)));
        if ring.iter().any(|one| *one < person) || !ring.iter().all(moves) {
            return None;
        }
        let given = Body::UserNameGiven(UserName {
            username: self.facts.user_names.id(name).to_owned(),
            user: self.person_key(person).parse().ok()?,
            with_personal_project: false,
            rule: Some(rule.to_owned()),
            author: None,
            made_with: None,
        });
        self.check_command(&given, now).is_ok().then_some(given)
    }

    /// Whoever may have a freed name first: who asked first, of an authoritative source before others.
    fn first_asker(&self, name: u32) -> Option<u32> {
        let first = |one: &u32| (!self.is_authoritative(*one), self.facts.persons.get(*one).map(|row| row.first), *one);
        self.who_wait_for(name).filter(|one| self.facts.is_live(*one)).min_by_key(first)
    }

    /// By what right a person asks for a name that it does not have, and which. Nothing where it does not ask for another's,
    /// or cannot use it, as it is inactive. `firsts`: of freed names who has it first, as far as it was looked for.
    fn name_claim(&self, person: u32, firsts: &mut HashMap<u32, Option<u32>>) -> Option<(NameClaim, u32)> {
        let NameNotInEffect::Taken(name) = *self.facts.names_not_in_effect.get(&person)? else { return None };
        if !self.facts.is_live(person) {
            return None;
        }
        let holder = *self.facts.user_names.get(name)?;
        if holder == NONE {
            let is_first = *firsts.entry(name).or_insert_with(|| self.first_asker(name)) == Some(person);
            return Some((if is_first { NameClaim::Freed } else { NameClaim::None }, name));
        }
        let theirs = self.persons_of(UserIx(self.user_of(holder)));
        if theirs.contains(&person) {
            return None;
        }
        let names = &self.facts.persons.names;
        let same_source = names.space(holder) == names.space(person);
        let (mine, theirs) = (self.is_authoritative(person), theirs.iter().any(|of| self.is_authoritative(*of)));
        let gone = self.facts.persons.get(holder).is_none_or(|row| !row.register.stands());
        let given_up = self.wanted_name(holder) != Some(self.facts.user_names.id(name));
        let same_id = || names.text(holder) == names.text(person) && self.apart(holder, person).is_none();
        let claim = match (same_source, mine, theirs) {
            _ if self.perhaps_made_again(person).iter().any(|one| self.user_of(*one) == self.user_of(holder)) => {
                NameClaim::MadeAgain
            }
            (true, ..) if given_up => NameClaim::Moved,
            (false, ..) if !gone && same_id() => NameClaim::SameId,
            (false, true, false) => NameClaim::Authoritative,
            _ => NameClaim::None,
        };
        Some((claim, name))
    }

    /// Whether a person's source shuts out whomever it calls inactive.
    pub(crate) fn is_authoritative(&self, person: u32) -> bool {
        let space = usize::from(self.facts.persons.names.space(person));
        self.authoritative.get(space).copied().unwrap_or(false)
    }

    /// The sources that do.
    pub(super) fn authoritative_spaces(&self) -> impl Iterator<Item = u16> {
        let all = self.authoritative.iter().enumerate().filter(|(_, does)| **does);
        all.filter_map(|(space, _)| u16::try_from(space).ok())
    }

    /// What whoever runs this can do about a name that is another's.
    pub(crate) fn name_remedy(&self, person: u32) -> Option<String> {
        let NameNotInEffect::Taken(name) = *self.facts.names_not_in_effect.get(&person)? else { return None };
        let holder = *self.facts.user_names.get(name)?;
        if holder == NONE {
            let whom = "whoever asked for it first, of an authoritative source before others";
            return Some(match self.facts.is_live(person) {
                true => format!("it is given in a moment to {whom}"),
                false => "it is given to whoever asks for it and may sign in".to_owned(),
            });
        }
        let claim = self.name_claim(person, &mut HashMap::new()).map_or(NameClaim::None, |(claim, _)| claim);
        let (me, theirs, name) = (self.as_typed(person), self.as_typed(holder), self.facts.user_names.id(name));
        let source = |person: u32| self.source_text(self.facts.persons.names.space(person));
        // Who has it now is called otherwise first, where somebody could take the one for the other.
        let is_called = self.facts.persons.get(holder).is_some_and(|row| self.facts.user_names.id(row.name) == name);
        let first = if is_called && !self.shut_out(UserIx(self.user_of(holder))) {
            format!("`rollcall users rename {theirs} NEW`, then ")
        } else {
            String::new()
        };
        let with_project = if self.has_personal_projects() { " --with-personal-project" } else { "" };
        let rename = format!("{first}`rollcall users rename {me} {name}{with_project}`");
        let ends = format!("{theirs} has no secret in force and no role given by name");
        let is_of_one_source = source(holder) == source(person);
        let could_be_holder = self.apart(holder, person).is_none() && (is_of_one_source || !self.has_namesake(person));
        let gone = self.perhaps_made_again(person);
        let ways = gone.iter().map(|one| format!("`rollcall users link {} {me}`", self.as_typed(*one)));
        let ways = ways.collect::<Vec<_>>().join(" or ");
        let again =
            if gone.is_empty() { String::new() } else { format!("if it is the same person, made again: {ways}; ") };
        let remedy = match claim {
            NameClaim::Authoritative | NameClaim::Moved if self.has_personal_projects() => {
                format!("{rename}, as soon as {ends}; the images that were pushed below {name}/ pass with the name")
            }
            NameClaim::Moved if !self.exchange(person).is_empty() => {
                "the two exchange their names by themselves in a moment".to_owned()
            }
            NameClaim::Authoritative | NameClaim::Moved => format!("it passes by itself as soon as {ends}"),
            NameClaim::MadeAgain => format!("if it is another one: {rename}"),
            NameClaim::SameId => format!(
                "if the two sources read one directory: `rollcall users link --rule same_id --source {} --with {}`",
                source(holder),
                source(person)
            ),
            NameClaim::None | NameClaim::Freed if !could_be_holder => format!(
                "give the name to this one ({rename}, as soon as {ends}), or have source {} state another user name",
                source(person)
            ),
            NameClaim::None | NameClaim::Freed => format!(
                "link the two if they are one (`rollcall users link {theirs} {me}`), give the name to this one ({rename}, as soon as {ends}), or have source {} state another user name",
                source(person)
            ),
        };
        Some(again + &remedy)
    }

    /// A person's user as somebody types it: by its name, or by its id where a shell would take the name for something else.
    fn as_typed(&self, person: u32) -> String {
        let user = UserIx(self.user_of(person));
        let name = self.user_name(user);
        let plain = name.chars().all(|c| c.is_alphanumeric() || "._@~+-".contains(c)) && !name.starts_with(['-', '~']);
        if plain { name.to_owned() } else { self.user_id(user) }
    }
}
