//! Names that only look alike (UTS 39): told, never refused. People have such names, and which of two was there first says
//! nothing of who means well.

use crate::{
    persistent::HashMap,
    roster::{Roster, facts::Facts, handles::UserIx},
};

/// How many spellings in ASCII are looked up for one name. A name of more `l`, `o` and `rn` than that is itself the sight.
const MAX_SPELLINGS: usize = 64;

/// What in ASCII looks like what, in the form that [`skeleton`] gives it.
const ALIKE: [(&str, &[&str]); 3] = [("l", &["l", "1", "|"]), ("o", &["o", "0"]), ("rn", &["rn", "m"])];

/// The names that are not ASCII, by what they look like. Nearly every name is ASCII and is found by its spellings.
#[derive(Debug, Clone, Default)]
pub(crate) struct LookAlikes(HashMap<String, Vec<u32>>);

impl LookAlikes {
    pub(crate) fn build(facts: &Facts) -> Self {
        let mut all = Self::default();
        for ix in 0..facts.user_names.len() {
            all.add(ix, facts.user_names.id(ix));
        }
        all
    }

    /// Adds a name, a row among the user names.
    pub(crate) fn add(&mut self, ix: u32, name: &str) {
        if !name.is_ascii() {
            self.0.update(skeleton(name), |rows| {
                if !rows.contains(&ix) {
                    rows.push(ix);
                }
            });
        }
    }
}

/// What two names have in common that look alike. Names are compared without case, so this is too.
fn skeleton(name: &str) -> String {
    unicode_security::skeleton(name).flat_map(char::to_lowercase).collect()
}

/// The names in ASCII that have this skeleton, as far as [`MAX_SPELLINGS`] goes.
fn spellings(skeleton: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut rest = skeleton;
    while let Some(first) = rest.chars().next() {
        let alike = ALIKE.iter().find(|(seen, _)| rest.starts_with(seen));
        let (step, choices) = alike.map_or((first.len_utf8(), None), |(seen, choices)| (seen.len(), Some(*choices)));
        let (now, later) = rest.split_at(step);
        let choices = choices.unwrap_or_default();
        if all.len() * choices.len().max(1) <= MAX_SPELLINGS && !choices.is_empty() {
            all = all.iter().flat_map(|begun| choices.iter().map(move |choice| format!("{begun}{choice}"))).collect();
        } else {
            all.iter_mut().for_each(|begun| begun.push_str(now));
        }
        rest = later;
    }
    all
}

impl Roster {
    /// The names of other users that look like this one's.
    #[must_use]
    pub fn look_alikes(&self, user: UserIx) -> Vec<&str> {
        let skeleton = skeleton(self.user_name(user));
        let ascii = spellings(&skeleton).into_iter().filter_map(|name| self.facts.user_names.find(0, &name));
        let others = self.index.look_alikes.0.get(&skeleton).into_iter().flatten().copied();
        let mut names: Vec<&str> = ascii
            .chain(others)
            .filter(|ix| {
                let owner = self.facts.user_names.get(*ix).and_then(|owner| self.facts.persons.get(*owner));
                owner.is_some_and(|row| row.name == *ix && row.user != user.0)
            })
            .map(|ix| self.facts.user_names.id(ix))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_has_one_skeleton_and_the_spellings_of_it_are_bounded() {
        for (a, b) in
            [("bob", "b\u{43E}b"), ("bob", "b0b"), ("paypal", "paypa1"), ("mary", "rnary"), ("ada", "\u{430}d\u{430}")]
        {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
            assert!(spellings(&skeleton(b)).iter().any(|name| name == a), "{a} {b}");
        }
        assert_ne!(skeleton("bob"), skeleton("rob"));
        assert_eq!(spellings("xyz"), ["xyz"]);
        assert!(spellings(&"lo".repeat(40)).len() <= MAX_SPELLINGS);
    }
}
