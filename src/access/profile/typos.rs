//! What in a profile file is likely a mistake in writing: a word that nothing knows would switch a rule off without a
//! sound. Asked of files only; what a log already says is read as it always was.

use std::collections::BTreeSet;

use rollcall_events::body::ProjectKind;

use super::{Profile, ProfileError, compile::error_at, plain_switch};

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
        self.check_names()?;
        self.check_actions_without_operation()?;
        Ok(self)
    }

    /// Names that nothing else in the profile has, or that could not be told apart.
    fn check_names(&self) -> Result<(), ProfileError> {
        let document = self.document();
        if let Some(name) = document.rules.personal_project.as_deref().filter(|name| *name != "person.created") {
            let what = format!("`{name}` is no moment at which a project is made; write `person.created`");
            return Err(error_at("rules.personal_project", what));
        }
        let eligible = document.rules.remarks.get("eligible").and_then(serde_json::Value::as_object);
        let mut eligible = eligible.into_iter().flat_map(serde_json::Map::keys);
        if let Some(name) = eligible.find(|name| self.role(name).is_none()) {
            let near = nearest(name, document.roles.keys().map(String::as_str));
            let what = format!("the profile has no role `{name}`; did you mean `{near}`?");
            return Err(error_at(format!("rules.eligible.{name}"), what));
        }
        let kinds = || document.kinds.keys().map(String::as_str);
        for (n, ceiling) in document.ceiling.iter().enumerate() {
            if let Some(kind) = ceiling.exempt_kind.as_deref().filter(|kind| !document.kinds.contains_key(*kind)) {
                let near = nearest(kind, kinds());
                let what = format!("the profile has no kind of project `{kind}`; did you mean `{near}`?");
                return Err(error_at(format!("ceiling[{n}].exempt_kind"), what));
            }
        }
        let ordinary = || kinds().filter(|name| !matches!(*name, "global" | "personal"));
        if ordinary().count() > 1
            && let Some(name) = ordinary().find(|name| *name != self.kind_name(ProjectKind::Standard))
        {
            let near = nearest(name, ["global", "personal"]);
            let what = format!("besides `global` and `personal` there is one kind of project; did you mean `{near}`?");
            return Err(error_at(format!("kinds.{name}"), what));
        }
        let mut switches = BTreeSet::new();
        for (name, switch) in &document.settings {
            if plain_switch(name).is_empty() || !switches.insert(plain_switch(name)) {
                let what = "another switch has the same name but for case, spaces, `_`, `-` and `.`";
                return Err(error_at(format!("settings.{name}"), what));
            }
            let mut values = BTreeSet::new();
            if let Some(twice) = switch.values.iter().find(|value| !values.insert(plain_switch(value))) {
                let what = format!("`{twice}` stands here twice, but for case, spaces, `_`, `-` and `.`");
                return Err(error_at(format!("settings.{name}.values"), what));
            }
        }
        Ok(())
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
#[must_use]
pub fn is_typo(a: &str, b: &str) -> bool {
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

/// The one of these that is most like a word.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> &'a str {
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
