//! What in a profile file is likely a mistake in writing: a word that nothing knows would switch a rule off without a
//! sound. Asked of files only; what a log already says is read as it always was.

use std::collections::BTreeSet;

use super::{Profile, ProfileError, compile::error_at};

/// The keys of `[rules]`; those of the second list are remarks.
const RULES: [&str; 8] = [
    "producer_role",
    "consumer_role",
    "creator_role",
    "personal_project",
    "personal_role",
    "last_holder_stays",
    "admin_at_least",
    "givers",
];
const REMARKS: [&str; 6] = ["group_grants", "project_per", "roles_on", "visibility_on", "custom_roles", "eligible"];

impl Profile {
    /// The profile, if no word of it is likely a mistake in writing.
    pub(super) fn without_typos(self) -> Result<Self, ProfileError> {
        let document = self.document();
        let mut levels = BTreeSet::new();
        for level in &document.levels {
            if level.trim().is_empty() {
                return Err(error_at("levels", "a level has a name; one here is empty"));
            }
            if !levels.insert(level) {
                return Err(error_at(
                    "levels",
                    format!("`{level}` stands here twice; every level has a name of its own"),
                ));
            }
        }
        // Names are compared in the database too, which knows the case of these letters only.
        if let Some(name) = document.roles.keys().find(|name| !name.is_ascii()) {
            let what = format!("`{name}`: the name of a role is written in ASCII letters, digits, spaces, `_` and `-`");
            return Err(error_at(format!("roles.{name}"), what));
        }
        if let Some(key) = document.rules.remarks.keys().find(|key| !REMARKS.contains(&key.as_str())) {
            let near = nearest(key, RULES.into_iter().chain(REMARKS));
            return Err(error_at(format!("rules.{key}"), format!("no such rule; did you mean `{near}`?")));
        }
        if !document.api.is_empty()
            && let Some(api) = Self::api()
        {
            let known: Vec<&str> = api.actions().map(|(action, _)| action).collect();
            if let Some(action) = document.api.keys().find(|action| !known.contains(&action.as_str())) {
                let near = nearest(action, known);
                let what = format!("no action of Rollcall's own API; did you mean `{near}`?");
                return Err(error_at(format!("api.{action:?}"), what));
            }
        }
        self.check_actions_without_operation()?;
        Ok(self)
    }

    /// An action that stands in one place only and in no operation, a letter away from one that does, is a mistake.
    fn check_actions_without_operation(&self) -> Result<(), ProfileError> {
        let document = self.document();
        let roles = document.roles.iter().map(|(name, role)| (format!("roles.{name}.actions"), &role.actions));
        let limits = (0..).zip(&document.limit).map(|(n, row): (u32, _)| (format!("limit[{n}].actions"), &row.actions));
        let baselines =
            (0..).zip(&document.baseline).map(|(n, row): (u32, _)| (format!("baseline[{n}].actions"), &row.actions));
        let ceilings =
            (0..).zip(&document.ceiling).map(|(n, row): (u32, _)| (format!("ceiling[{n}].actions"), &row.actions));
        let places: Vec<(String, &Vec<String>)> = roles.chain(limits).chain(baselines).chain(ceilings).collect();
        let needed: BTreeSet<&str> = document.operations.values().flatten().map(String::as_str).collect();
        for (at, actions) in &places {
            for action in actions.iter().filter(|action| !action.contains('*') && !needed.contains(action.as_str())) {
                let once = places.iter().filter(|(_, actions)| actions.contains(action)).count() == 1;
                if let Some(near) = needed.iter().find(|known| once && is_typo(action, known)) {
                    let what = format!("`{action}` is in no operation; did you mean `{near}`?");
                    return Err(error_at(at.clone(), what));
                }
            }
        }
        Ok(())
    }
}

/// One letter too many, too few or another, or two swapped.
fn is_typo(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    match distance(a, b) {
        1 => true,
        2 => sorted(a) == sorted(b),
        _ => false,
    }
}

fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> &'a str {
    known.into_iter().min_by_key(|known| distance(known, word)).unwrap_or_default()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let (mut left, mut next) = (i + 1, vec![i + 1]);
        for (y, pair) in b.chars().zip(row.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != y));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
