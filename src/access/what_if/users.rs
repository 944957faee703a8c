//! What facts that a source would state mean for users themselves: what they are called, who is one user, who can sign in.

use std::{collections::BTreeSet, fmt};

use crate::roster::{Roster, facts::NameNotInEffect, handles::UserIx};

/// What becomes of the user that a person is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserChange {
    /// Whose, `source/id`.
    pub person: String,
    /// What the user is called: afterwards, where it is new, else before.
    pub name: String,
    /// What.
    pub what: UserChangeKind,
}

/// The same without whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserChangeKind {
    /// A new one gets another name than its source asks for, as that is or was another user's.
    NameTaken {
        /// The name that its source asks for.
        wanted: String,
        /// The other user's id.
        by: String,
        /// What that one is called.
        by_name: String,
    },
    /// It is called otherwise.
    Renamed {
        /// How.
        to: String,
    },
    /// It is one user with these no longer, each by what it is called afterwards.
    Parted {
        /// Their names.
        from: Vec<String>,
    },
    /// It is one user with these, each by what it was called.
    Linked {
        /// Their names.
        with: Vec<String>,
    },
    /// It can sign in no more.
    ShutOut,
    /// It can sign in again.
    SignsIn,
}

impl UserChangeKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NameTaken { .. } => "name_taken",
            Self::Renamed { .. } => "renamed",
            Self::Parted { .. } => "parted",
            Self::Linked { .. } => "linked",
            Self::ShutOut => "shut_out",
            Self::SignsIn => "signs_in",
        }
    }
}

impl fmt::Display for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { person, name, what } = self;
        match what {
            UserChangeKind::NameTaken { wanted, by, by_name } => {
                write!(f, "{person} asks for the user name {wanted}, which is that of {by}")?;
                if by_name != wanted {
                    write!(f, " ({by_name} now)")?;
                }
                write!(f, ": it would be called {name}")
            }
            UserChangeKind::Renamed { to } => write!(f, "{name} ({person}) would be called {to}"),
            UserChangeKind::Parted { from } => write!(f, "{name} and {} are parted", from.join(", ")),
            UserChangeKind::Linked { with } => write!(f, "{name} and {} become one user", with.join(", ")),
            UserChangeKind::ShutOut => write!(f, "{name} ({person}) cannot sign in any more"),
            UserChangeKind::SignsIn => write!(f, "{name} ({person}) can sign in again"),
        }
    }
}

/// What becomes of the users that these persons are or were, and of whom they were or become one with.
pub(super) fn user_changes(before: &Roster, after: &Roster, persons: &BTreeSet<String>) -> Vec<UserChange> {
    let mut all = BTreeSet::new();
    for person in persons {
        all.insert(person.clone());
        for roster in [before, after] {
            all.extend(roster.user_by_id(person).into_iter().flat_map(|user| roster.person_keys(user)));
        }
    }
    let mut changes = Vec::new();
    for person in &all {
        let Some(now) = after.user_by_id(person) else { continue };
        let mut add =
            |name: &str, what| changes.push(UserChange { person: person.clone(), name: name.to_owned(), what });
        let name = after.user_name(now);
        let Some(was) = before.user_by_id(person) else {
            if let Some((wanted, by)) = after.name_taken(person) {
                let (by, by_name) = (after.user_id(by), after.user_name(by).to_owned());
                add(name, UserChangeKind::NameTaken { wanted, by, by_name });
            }
            continue;
        };
        let [had, has] = [(before, was), (after, now)].map(|(roster, user)| roster.person_keys(user));
        let called = before.user_name(was);
        // Of one user the oldest person stands for all that stay one.
        let others = |roster: &Roster, from: &BTreeSet<String>, to: &BTreeSet<String>| -> Vec<String> {
            let gone = from.difference(to).filter_map(|key| roster.user_by_id(key));
            gone.map(|user| roster.user_name(user).to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        if after.user_id(now) == *person {
            let parted = others(after, &had, &has);
            if !parted.is_empty() && before.user_id(was) == *person {
                add(name, UserChangeKind::Parted { from: parted });
            }
            let linked = others(before, &has, &had);
            if !linked.is_empty() {
                add(called, UserChangeKind::Linked { with: linked });
            }
        }
        if after.user_id(now) == *person || before.user_id(was) == *person {
            // Whoever is parted is told by the name that it has then.
            if called != name && before.user_id(was) == *person {
                add(called, UserChangeKind::Renamed { to: name.to_owned() });
            }
            match (before.shut_out(was), after.shut_out(now)) {
                (false, true) => add(name, UserChangeKind::ShutOut),
                (true, false) => add(name, UserChangeKind::SignsIn),
                _ => {}
            }
        }
    }
    changes.sort();
    changes
}

impl Roster {
    fn person_keys(&self, user: UserIx) -> BTreeSet<String> {
        self.persons_of(user).iter().map(|person| self.person_key(*person)).collect()
    }

    /// The name that a person asks for and that is or was another user's, and whose.
    fn name_taken(&self, person: &str) -> Option<(String, UserIx)> {
        let NameNotInEffect::Taken(name) = *self.facts.names_not_in_effect.get(&self.person_of(person)?)? else {
            return None;
        };
        let holder = *self.facts.user_names.get(name)?;
        let user = self.facts.persons.get(holder)?.user;
        Some((self.facts.user_names.id(name).to_owned(), UserIx(user)))
    }
}
