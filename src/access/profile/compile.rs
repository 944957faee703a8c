//! A profile document checked and made into bit sets. Every mistake is named with its place: line and column in a file,
//! the key path in an event.

use std::collections::BTreeMap;

use rollcall_events::body::{ProjectKind, Visibility};

use super::{
    ActionSet, Baseline, Ceiling, Document, Level, Profile, RegistryVerbs, Role, Verb,
    location::{line_and_column, place_of},
};

/// Why a profile cannot be used: where in the document and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile, {at}: {what}")]
pub struct ProfileError {
    /// The place: a key path, or line and column for a text that does not parse.
    pub at: String,
    /// What is wrong and what would be right.
    pub what: String,
}

pub(super) fn error_at(at: impl Into<String>, what: impl Into<String>) -> ProfileError {
    ProfileError { at: at.into(), what: what.into() }
}

/// The parts of a key path: names, bare or in quotes, and numbers of lists.
fn steps(path: &str) -> Vec<String> {
    let (mut found, mut quoted) = (vec![String::new()], false);
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => found.push(String::new()),
            ']' if !quoted => {}
            c => found.last_mut().into_iter().for_each(|step| step.push(c)),
        }
    }
    found
}

impl Profile {
    /// Reads and checks a profile file.
    ///
    /// # Errors
    /// With line and column, and the key path of what parses and cannot be, or is likely a mistake in writing.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let (line, column) = line_and_column(text, error.span().map_or(0, |span| span.start));
            error_at(format!("line {line}, column {column}"), error.message())
        })?;
        if document.author.is_some() {
            return Err(error_at("author", "a file names no author; whoever applies it is recorded"));
        }
        Self::compile(document).and_then(Self::without_typos).map_err(|error| match place_of(text, &steps(&error.at)) {
            Some((line, column)) => ProfileError { at: format!("line {line}, column {column}, {}", error.at), ..error },
            None => error,
        })
    }

    /// Reads and checks the document of a `profile.set` event.
    ///
    /// # Errors
    /// With the key path.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        let document = rollcall_events::json::read(text).map_err(|e| error_at(e.pointer, e.expected))?;
        Self::compile(document)
    }

    /// Checks a document.
    ///
    /// # Errors
    /// With the key path.
    pub fn compile(document: Document) -> Result<Self, ProfileError> {
        let document = Document { author: None, test: None, ..document };
        if document.schema != 1 {
            return Err(error_at("schema", format!("{} is not a known format; this version reads 1", document.schema)));
        }
        if document.levels.is_empty() || document.levels.len() > 32 {
            return Err(error_at("levels", "1 to 32 scope levels, root first"));
        }
        let mut actions: Vec<String> = document
            .roles
            .values()
            .flat_map(|role| &role.actions)
            .chain(document.limit.iter().flat_map(|limit| &limit.actions))
            .chain(document.baseline.iter().flat_map(|baseline| &baseline.actions))
            .chain(document.ceiling.iter().flat_map(|ceiling| &ceiling.actions))
            .chain(document.operations.values().flatten())
            .filter(|action| !action.contains('*'))
            .cloned()
            .collect();
        actions.sort();
        actions.dedup();
        if actions.len() > 128 {
            return Err(error_at("roles", format!("{} different actions; at most 128", actions.len())));
        }
        for action in &actions {
            let word =
                |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if action.split('.').count() < 2 || !action.split('.').all(word) {
                return Err(error_at("actions", format!("`{action}` is not an action; write noun.verb")));
            }
        }
        let mut profile = Self {
            actions,
            roles: Vec::new(),
            limits: Vec::new(),
            baselines: Vec::new(),
            ceilings: Vec::new(),
            operations: BTreeMap::new(),
            verbs: [None; 3],
            catalog: None,
            api: BTreeMap::new(),
            document,
        };
        profile.fill()?;
        Ok(profile)
    }

    fn fill(&mut self) -> Result<(), ProfileError> {
        let document = self.document.clone();
        for (name, role) in &document.roles {
            let at = format!("roles.{name}");
            let mask = self.mask(&role.actions, &format!("{at}.actions"))?;
            let levels = self.levels(&role.at, &format!("{at}.at"))?;
            if self.role(name).is_some() {
                return Err(error_at(at, "another role has the same name but for case, spaces, `_` and `-`"));
            }
            self.roles.push(Role { name: name.clone(), mask, at: levels });
        }
        for (i, limit) in document.limit.iter().enumerate() {
            let mask = self.mask(&limit.actions, &format!("limit[{i}].actions"))?;
            self.limits.push((mask, self.levels(&limit.levels, &format!("limit[{i}].levels"))?));
        }
        for (i, baseline) in document.baseline.iter().enumerate() {
            let at = format!("baseline[{i}]");
            let level = match &baseline.level {
                Some(level) => self.levels(std::slice::from_ref(level), &format!("{at}.level"))?.first().copied(),
                None => None,
            };
            self.conditions(&baseline.when, &format!("{at}.when"))?;
            self.baselines.push(Baseline {
                principal: baseline.principal,
                mask: self.mask(&baseline.actions, &format!("{at}.actions"))?,
                visibility: baseline.visibility,
                level,
                when: baseline.when.clone(),
            });
        }
        for (i, ceiling) in document.ceiling.iter().enumerate() {
            let at = format!("ceiling[{i}]");
            self.conditions(&ceiling.when, &format!("{at}.when"))?;
            let exempt_roles = ceiling
                .exempt_roles
                .iter()
                .map(|name| self.role(name).ok_or_else(|| error_at(format!("{at}.exempt_roles"), self.no_role(name))))
                .collect::<Result<_, _>>()?;
            if ceiling.exempt_owner.as_deref().is_some_and(|owner| owner != "self") {
                return Err(error_at(format!("{at}.exempt_owner"), "only `self` is known"));
            }
            if ceiling.exempt_kind.is_some() != ceiling.exempt_owner.is_some() {
                return Err(error_at(at, "exempt_kind and exempt_owner belong together"));
            }
            self.ceilings.push(Ceiling {
                id: ceiling.id.clone(),
                mask: self.mask(&ceiling.actions, &format!("{at}.actions"))?,
                when: ceiling.when.clone(),
                exempt_roles,
                exempt_kind: ceiling.exempt_kind.clone(),
            });
        }
        for (name, needs) in &document.operations {
            let mask = self.mask(needs, &format!("operations.{name:?}"))?;
            if mask.is_empty() {
                return Err(error_at(format!("operations.{name:?}"), "an operation needs at least one action"));
            }
            self.operations.insert(name.clone(), mask);
        }
        let RegistryVerbs { pull, push, delete, catalog } = &document.registry;
        for ((slot, verb), operation) in self.verbs.iter_mut().zip(Verb::ALL).zip([pull, push, delete]) {
            if let Some(operation) = operation {
                let mask = self.operations.get(operation).copied();
                *slot = Some(mask.ok_or_else(|| {
                    error_at(
                        format!("registry.{}", verb.as_str()),
                        format!("`{operation}` is not among the operations"),
                    )
                })?);
            }
        }
        if let Some(operation) = catalog {
            let mask = self.operations.get(operation).copied();
            let missing = || error_at("registry.catalog", format!("`{operation}` is not among the operations"));
            self.catalog = Some(mask.ok_or_else(missing)?);
        }
        for (action, operation) in &document.api {
            let mask = self.operation(operation);
            let mask = mask.ok_or_else(|| {
                error_at(format!("api.{action:?}"), format!("`{operation}` is neither an operation nor an action"))
            })?;
            self.api.insert(action.clone(), mask);
        }
        let rules = &document.rules;
        let last = rules.last_holder_stays.iter().map(|role| ("last_holder_stays", Some(role)));
        for (key, role) in [
            ("producer_role", rules.producer_role.as_ref()),
            ("consumer_role", rules.consumer_role.as_ref()),
            ("creator_role", rules.creator_role.as_ref()),
            ("personal_role", rules.personal_role.as_ref()),
            ("admin_at_least", rules.admin_at_least.as_ref()),
        ]
        .into_iter()
        .chain(last)
        .chain(rules.givers.iter().map(|role| ("givers", Some(role))))
        {
            if let Some(name) = role.filter(|name| self.role(name).is_none()) {
                return Err(error_at(format!("rules.{key}"), self.no_role(name)));
            }
        }
        let creator = rules.creator_role.as_deref().and_then(|name| self.role(name));
        if creator.is_some_and(|role| !self.grantable(role, self.project_level())) {
            return Err(error_at("rules.creator_role", "it has to be a role that can be given on a project"));
        }
        for (name, switch) in &document.settings {
            if !switch.values.contains(&switch.default) {
                return Err(error_at(format!("settings.{name}.default"), format!("one of {:?}", switch.values)));
            }
        }
        for (name, kind) in &document.kinds {
            if !kind.visibility.contains(&kind.default) {
                return Err(error_at(format!("kinds.{name}.default"), format!("one of {:?}", kind.visibility)));
            }
            if name == self.kind_name(ProjectKind::Global) && kind.visibility.contains(&Visibility::Private) {
                return Err(error_at(format!("kinds.{name}.visibility"), "a global project is never private"));
            }
        }
        Ok(())
    }

    fn mask(&self, patterns: &[String], at: &str) -> Result<ActionSet, ProfileError> {
        patterns.iter().try_fold(ActionSet::EMPTY, |set, pattern| {
            let mut found = ActionSet::EMPTY;
            let noun = pattern.strip_suffix(".*");
            for (i, action) in self.actions.iter().enumerate() {
                let hit = match noun {
                    Some(noun) => action.strip_prefix(noun).is_some_and(|rest| rest.starts_with('.')),
                    None => pattern == "*" || pattern == action,
                };
                if hit {
                    found = found.union(ActionSet(1 << i));
                }
            }
            if found.is_empty() && pattern != "*" {
                return Err(error_at(at, format!("`{pattern}` matches no action of this profile")));
            }
            Ok(set.union(found))
        })
    }

    fn levels(&self, names: &[String], at: &str) -> Result<Vec<Level>, ProfileError> {
        names
            .iter()
            .map(|name| {
                let found = self.document.levels.iter().position(|level| level == name);
                found.and_then(|ix| Level::try_from(ix).ok()).ok_or_else(|| {
                    error_at(at, format!("`{name}` is not a level; the levels are {}", self.document.levels.join(", ")))
                })
            })
            .collect()
    }

    fn conditions(&self, when: &BTreeMap<String, String>, at: &str) -> Result<(), ProfileError> {
        when.iter().try_for_each(|(name, value)| match self.document.settings.get(name) {
            Some(switch) if switch.values.contains(value) => Ok(()),
            Some(switch) => Err(error_at(format!("{at}.{name}"), format!("one of {:?}", switch.values))),
            None => Err(error_at(format!("{at}.{name}"), "not among the profile's settings")),
        })
    }

    fn no_role(&self, name: &str) -> String {
        let known: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        format!("the profile has no role `{name}`; its roles are {}", known.join(", "))
    }
}
