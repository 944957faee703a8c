//! The scope grammar of the distribution token protocol: what a client asks for, merged and checked.
//! Knows nothing of users or projects, and refuses only by size: whatever else is odd is left out (clients.md T5, T6).

use std::{borrow::Cow, fmt};

use rollcall_access::Verb;
use serde::{Serialize, Serializer};

use crate::authorize::{MAX_NAME_BYTES, RepositoryName};

/// No client asks for more repositories in one request than this (clients.md T11).
pub const MAX_SCOPES: usize = 100;
/// The longest scope: a repository name is at most 255 bytes.
pub const MAX_SCOPE_BYTES: usize = 1024;
/// The scope of the list of all repositories.
pub const CATALOG: &str = "registry:catalog:*";

/// A set of registry actions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Actions(u8);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Read.
    pub const PULL: Self = Self(1);
    /// Write.
    pub const PUSH: Self = Self(2);
    /// Delete.
    pub const DELETE: Self = Self(4);
    /// The literal `*`: every action that the caller has.
    pub const STAR: Self = Self(8);
    /// The three real actions.
    pub const REAL: Self = Self(7);

    const NAMES: [(Self, &'static str); 4] =
        [(Self::PULL, "pull"), (Self::PUSH, "push"), (Self::DELETE, "delete"), (Self::STAR, "*")];

    /// Reads `pull,push`. Order, repetition and unknown words do not matter.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        list.split(',').fold(Self::NONE, |all, word| {
            let one = Self::NAMES.iter().find(|(_, known)| *known == word);
            one.map_or(all, |(action, _)| all.union(*action))
        })
    }

    /// Both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every action of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The action that asks for a verb.
    #[must_use]
    pub const fn of(verb: Verb) -> Self {
        match verb {
            Verb::Pull => Self::PULL,
            Verb::Push => Self::PUSH,
            Verb::Delete => Self::DELETE,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The real actions that are asked for: `*` asks for all of them.
    #[must_use]
    pub const fn real(self) -> Self {
        if self.contains(Self::STAR) { Self::REAL } else { Self(self.0 & Self::REAL.0) }
    }

    /// What a client that asked for `self` and holds `held` is answered: never more than asked; the literal `*` only to
    /// one who asked for it and holds everything (clients.md C17).
    #[must_use]
    pub const fn granted(self, held: Self) -> Self {
        let real = Self(self.real().0 & held.0);
        if self.contains(Self::STAR) && real.contains(Self::REAL) { real.union(Self::STAR) } else { real }
    }

    /// The actions as the protocol writes them, in one fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(action, _)| self.contains(*action)).map(|(_, word)| word)
    }
}

impl Serialize for Actions {
    /// As a list of words, the way a token says it.
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_seq(self.names())
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.names().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

/// One repository and what is asked on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryScope<'a> {
    /// Which.
    pub name: RepositoryName<'a>,
    /// What.
    pub actions: Actions,
}

/// Everything that one request asks for, merged (clients.md T5).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Scopes<'a> {
    /// The repositories, in the order in which they were first named.
    pub repositories: Vec<RepositoryScope<'a>>,
    /// Whether the list of all repositories was asked for.
    pub catalog: bool,
    /// How many further scopes were asked that are never granted: other types, impossible names, no known action.
    pub ignored: usize,
}

/// A request that asks for too much to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// More scopes than a client needs.
    #[error("more than {MAX_SCOPES} scopes in one request; ask for them in several")]
    TooMany,
    /// A scope longer than any repository name allows.
    #[error("a scope is longer than {MAX_SCOPE_BYTES} bytes; repository names have at most {MAX_NAME_BYTES}")]
    TooLong,
}

impl<'a> Scopes<'a> {
    /// Whether nothing at all was asked, as at a login.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty() && !self.catalog && self.ignored == 0
    }

    /// Reads one `scope` value, which holds any number of scopes with white space between them, and merges it in.
    ///
    /// # Errors
    /// Only when there are too many scopes, or one is too long.
    pub fn add(&mut self, value: Cow<'a, str>) -> Result<(), ScopeError> {
        // Nearly every value is one scope; only a list has to be cut up and copied when it was percent-encoded.
        match value {
            Cow::Borrowed(text) => text.split_ascii_whitespace().try_for_each(|one| self.add_one(Cow::Borrowed(one))),
            Cow::Owned(text) => {
                text.split_ascii_whitespace().try_for_each(|one| self.add_one(Cow::Owned(one.to_owned())))
            }
        }
    }

    fn add_one(&mut self, scope: Cow<'a, str>) -> Result<(), ScopeError> {
        if scope.len() > MAX_SCOPE_BYTES {
            return Err(ScopeError::TooLong);
        }
        if scope == CATALOG {
            self.catalog = true;
            return self.check_count();
        }
        let Some(RepositoryScope { name, actions }) = repository(scope) else {
            self.ignored += 1;
            return self.check_count();
        };
        match self.repositories.iter_mut().find(|known| known.name == name) {
            Some(known) => known.actions = known.actions.union(actions),
            None => self.repositories.push(RepositoryScope { name, actions }),
        }
        self.check_count()
    }

    fn check_count(&self) -> Result<(), ScopeError> {
        if self.repositories.len() + usize::from(self.catalog) + self.ignored > MAX_SCOPES {
            Err(ScopeError::TooMany)
        } else {
            Ok(())
        }
    }
}

fn repository(scope: Cow<'_, str>) -> Option<RepositoryScope<'_>> {
    let (kind, name, actions) = split(&scope)?;
    let is_repository = match kind.split_once('(') {
        Some((kind, class)) => kind == "repository" && class.ends_with(')'),
        None => kind == "repository",
    };
    let actions = Actions::parse(actions);
    if !is_repository || actions.is_empty() {
        return None;
    }
    let name = match &scope {
        Cow::Borrowed(text) => Cow::Borrowed(split(text)?.1),
        Cow::Owned(_) => Cow::Owned(name.to_owned()),
    };
    Some(RepositoryScope { name: RepositoryName::parse(name)?, actions })
}

/// `type ":" name ":" actions`: the type ends at the first colon and the actions start after the last, because a name
/// may hold a port (clients.md C4); a class in brackets belongs to the type (C5).
fn split(scope: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    Some((kind, name, actions))
}

/// `repository:NAME:ACTIONS` for each, and the catalogue where it is among them, with single spaces between them: the
/// reply's `scope` and the decision's record.
pub fn write_scopes<'a>(scopes: impl IntoIterator<Item = (&'a str, Actions)>, catalog: bool) -> String {
    let mut text = String::new();
    for (name, actions) in scopes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str("repository:");
        text.push_str(name);
        for (i, word) in actions.names().enumerate() {
            text.push(if i == 0 { ':' } else { ',' });
            text.push_str(word);
        }
    }
    if catalog {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(CATALOG);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Scopes<'a>, ScopeError> {
        let mut asked = Scopes::default();
        values.into_iter().try_for_each(|value| asked.add(Cow::Borrowed(value)))?;
        Ok(asked)
    }

    fn text<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
        let asked = asked(values).unwrap();
        write_scopes(asked.repositories.iter().map(|r| (r.name.as_str(), r.actions)), asked.catalog)
    }

    #[test]
    fn c01_repeated_space_joined_and_mixed_lists_are_the_same() {
        let expected = "repository:a/x:pull repository:b/y:pull,push";
        assert_eq!(text(["repository:a/x:pull", "repository:b/y:push,pull"]), expected);
        assert_eq!(text(["repository:a/x:pull repository:b/y:push,pull"]), expected);
        assert_eq!(text(["repository:a/x:pull repository:b/y:pull", "repository:b/y:push"]), expected);
    }

    #[test]
    fn c02_a_later_narrower_scope_does_not_overwrite() {
        assert_eq!(text(["repository:a/x:pull", "repository:a/x:pull,push"]), "repository:a/x:pull,push");
        assert_eq!(text(["repository:a/x:pull,push", "repository:a/x:pull"]), "repository:a/x:pull,push");
    }

    #[test]
    fn c03_white_space_is_no_scope() {
        assert_eq!(text(["  repository:a/x:pull   repository:b/y:pull "]), "repository:a/x:pull repository:b/y:pull");
        assert!(asked(["", "  ", "\t"]).unwrap().is_empty());
    }

    #[test]
    fn c04_a_port_stays_in_the_name_and_such_a_name_is_nobodys() {
        let split = split("repository:host:5000/p/r:pull,push");
        assert_eq!(split, Some(("repository", "host:5000/p/r", "pull,push")));
        let port = asked(["repository:host:5000/p/r:pull", "repository:a/x:pull"]).unwrap();
        assert_eq!((port.repositories.len(), port.ignored), (1, 1));
    }

    #[test]
    fn c05_a_class_belongs_to_the_type_and_other_types_are_ignored() {
        assert_eq!(text(["repository(plugin):p/r:pull"]), "repository:p/r:pull");
        assert_eq!(text(["repository(plugin):p/r:pull", "repository:p/r:push"]), "repository:p/r:pull,push");
        for other in [
            "registry:catalog:pull",
            "repository(plugin:p/r:pull",
            "Repository:p/r:pull",
            "aws:x:pull",
            "x",
            ":",
            "::",
            "repository:p/r",
        ] {
            let asked = asked([other]).unwrap();
            assert_eq!((asked.repositories.len(), asked.ignored), (0, 1), "{other}");
        }
    }

    #[test]
    fn c16_duplicates_are_one_entry() {
        assert_eq!(text(["repository:a/x:pull", "repository:a/x:pull"]), "repository:a/x:pull");
    }

    #[test]
    fn c17_star_means_what_the_caller_has() {
        let all = Actions::PULL.union(Actions::PUSH);
        assert_eq!(Actions::parse("*").granted(all).to_string(), "pull,push");
        assert_eq!(Actions::parse("*").granted(Actions::REAL).to_string(), "pull,push,delete,*");
        assert_eq!(Actions::parse("pull,push,delete").granted(Actions::REAL).to_string(), "pull,push,delete");
        assert_eq!(Actions::parse("*").granted(Actions::NONE), Actions::NONE);
    }

    #[test]
    fn c19_the_order_of_actions_does_not_matter() {
        assert_eq!(Actions::parse("push,pull"), Actions::parse("pull,push"));
        assert_eq!(Actions::parse("push,,fly,pull").to_string(), "pull,push");
    }

    #[test]
    fn more_scopes_than_the_cap_and_longer_ones_are_a_clear_error() {
        let many: Vec<String> = (0..=MAX_SCOPES).map(|i| format!("repository:a/x{i}:pull")).collect();
        assert_eq!(asked(many.iter().map(String::as_str)), Err(ScopeError::TooMany));
        assert!(asked(many.iter().take(MAX_SCOPES).map(String::as_str)).is_ok());
        let junk = vec!["x"; MAX_SCOPES + 1].join(" ");
        assert_eq!(asked([junk.as_str()]), Err(ScopeError::TooMany));
        let long = format!("repository:{}:pull", "a".repeat(MAX_SCOPE_BYTES));
        assert_eq!(asked([long.as_str()]), Err(ScopeError::TooLong));
        let same = vec!["repository:a/x:pull"; 10_000].join(" ");
        assert_eq!(asked([same.as_str()]).unwrap().repositories.len(), 1);
    }

    proptest! {
        #[test]
        fn what_is_read_was_written_and_reading_it_again_changes_nothing(value in "[a-z():,*/. -]{0,80}") {
            let once = asked([value.as_str()]).unwrap();
            for repository in &once.repositories {
                prop_assert!(value.contains(repository.name.as_str()));
            }
            let written = write_scopes(once.repositories.iter().map(|r| (r.name.as_str(), r.actions)), once.catalog);
            prop_assert_eq!(asked([written.as_str()]).unwrap().repositories, once.repositories.clone());
        }

        #[test]
        fn what_is_granted_was_asked_and_is_held(asked in 0_u8..16, held in 0_u8..8) {
            let (asked, held) = (Actions(asked), Actions(held));
            let granted = asked.granted(held);
            prop_assert!(held.contains(Actions(granted.0 & Actions::REAL.0)));
            prop_assert!(asked.contains(Actions::STAR) || asked.contains(granted));
        }
    }
}
