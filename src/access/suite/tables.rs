//! A profile as the tables of its file, looked up by name each time.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

/// A profile as the tables of its file.
pub(super) struct Rules {
    pub(super) file: Map<String, Value>,
    pub(super) actions: BTreeSet<String>,
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

pub(super) fn strings(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
}

pub(super) fn plain(role: &str) -> String {
    role.to_lowercase().replace([' ', '_', '-'], "")
}

/// `[from, until)` in microseconds.
pub(super) fn window(value: &Value, from: &str, until: &str) -> (i64, i64) {
    let at = |key: &str| Some(text(value, key)?.parse::<DateTime<Utc>>().ok()?.timestamp_micros());
    (at(from).unwrap_or(i64::MIN), at(until).unwrap_or(i64::MAX))
}

impl Rules {
    pub(super) fn new(file: Value) -> Self {
        let Value::Object(file) = file else { panic!("a profile is a table") };
        let mut actions = BTreeSet::new();
        for part in ["roles", "limit", "baseline", "ceiling"] {
            let all: Vec<&Value> = match file.get(part) {
                Some(Value::Object(table)) => table.values().collect(),
                Some(Value::Array(rows)) => rows.iter().collect(),
                _ => Vec::new(),
            };
            actions.extend(all.iter().flat_map(|one| strings(one.get("actions"))));
        }
        for operation in file.get("operations").and_then(Value::as_object).into_iter().flatten() {
            actions.extend(strings(Some(operation.1)));
        }
        actions.retain(|action| !action.contains('*'));
        Self { file, actions }
    }

    pub(super) fn rows(&self, part: &str) -> impl Iterator<Item = &Value> {
        self.file.get(part).and_then(Value::as_array).into_iter().flatten()
    }

    pub(super) fn rule(&self, key: &str) -> Option<&str> {
        text(self.file.get("rules")?, key)
    }

    pub(super) fn levels(&self) -> Vec<String> {
        strings(self.file.get("levels"))
    }

    pub(super) fn level(&self, name: &str) -> Option<usize> {
        self.levels().iter().position(|level| level == name)
    }

    pub(super) fn project_level(&self) -> usize {
        self.levels().len() - 1
    }

    pub(super) fn role(&self, name: &str) -> Option<(&str, &Value)> {
        let roles = self.file.get("roles")?.as_object()?;
        roles.iter().find(|(known, _)| plain(known) == plain(name)).map(|(name, role)| (name.as_str(), role))
    }

    pub(super) fn expand(&self, patterns: &[String]) -> BTreeSet<String> {
        let hit = |action: &str, pattern: &str| match pattern.strip_suffix(".*") {
            Some(noun) => action.strip_prefix(noun).is_some_and(|rest| rest.starts_with('.')),
            None => pattern == "*" || pattern == action,
        };
        self.actions.iter().filter(|action| patterns.iter().any(|pattern| hit(action, pattern))).cloned().collect()
    }

    pub(super) fn role_actions(&self, name: &str) -> BTreeSet<String> {
        self.role(name).map(|(_, role)| self.expand(&strings(role.get("actions")))).unwrap_or_default()
    }

    pub(super) fn grantable(&self, name: &str, level: usize) -> bool {
        self.role(name).is_some_and(|(_, role)| strings(role.get("at")).iter().any(|at| self.level(at) == Some(level)))
    }

    /// What an operation, or an action, needs.
    pub(super) fn operation(&self, name: &str) -> Option<BTreeSet<String>> {
        let operations = self.file.get("operations").and_then(Value::as_object);
        match operations.and_then(|all| all.get(name)) {
            Some(needs) => Some(self.expand(&strings(Some(needs)))),
            None => self.actions.contains(name).then(|| BTreeSet::from([name.to_owned()])),
        }
    }

    pub(super) fn switch(&self, switches: &Value, name: &str) -> (String, bool) {
        let known = self.file.get("settings").and_then(|all| all.get(name));
        let default = known.and_then(|one| text(one, "default")).unwrap_or_default();
        let says = text(switches, name).unwrap_or(default).to_owned();
        let sane = strings(known.and_then(|one| one.get("values"))).contains(&says);
        (says, sane)
    }

    /// `doubt`: what a switch that says nonsense counts as.
    pub(super) fn when(&self, row: &Value, switches: &Value, doubt: bool) -> bool {
        let conditions = row.get("when").and_then(Value::as_object).into_iter().flatten();
        let mut all = conditions.map(|(name, wanted)| {
            let (says, sane) = self.switch(switches, name);
            if sane { Some(says.as_str()) == wanted.as_str() } else { doubt }
        });
        all.all(|holds| holds)
    }
}
