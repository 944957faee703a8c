//! Access profiles: one access model as data, checked and compiled to bit sets.
//! Knows roles, levels, limits, baselines and ceilings; knows no person and no project.
//! Long because what is checked, compiled and asked is one thing: the profile.

mod compile;
mod document;
mod location;
mod switches;
mod typos;

use std::collections::BTreeMap;

use rollcall_events::body::{ProjectKind, Visibility};
use serde::{Deserialize, Serialize};

pub use compile::ProfileError;
pub use document::*;
pub use location::{line_and_column, place_of};
pub use switches::plain_switch;
pub use typos::{is_typo, nearest};

/// The profile that an installation has when it chooses none.
const REVENERA: &str = include_str!("../profiles/revenera.toml");

/// The bundled profiles by name.
pub const BUNDLED: &[(&str, &str)] = &[
    ("revenera", REVENERA),
    ("harbor", include_str!("../profiles/harbor.toml")),
    ("portus", include_str!("../profiles/portus.toml")),
    ("sregistry", include_str!("../profiles/sregistry.toml")),
    ("ibm", include_str!("../profiles/ibm.toml")),
];

/// The profile of Rollcall's own API: administrator, auditor, sender, project admin.
const API: &str = include_str!("../profiles/api.toml");

/// A name as it is compared: case, spaces, `_` and `-` do not count.
fn plain_name(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// What an OCI client can ask of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Delete.
    Delete,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pull, Self::Push, Self::Delete];

    /// The word in a scope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// A set of a profile's actions. Sets of different profiles have nothing to do with each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ActionSet(u128);

impl ActionSet {
    /// No action.
    pub const EMPTY: Self = Self(0);

    /// Both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This without the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every action of `other` is in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many actions are in it.
    #[must_use]
    pub fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether they share an action.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no action in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A role of the compiled profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleIx(pub(crate) u16);

/// A scope level: 0 is the root.
pub type Level = u8;

/// A role that the caller holds, and at which level it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldRole {
    /// The role.
    pub role: RoleIx,
    /// Where it was granted: on the resource or above.
    pub level: Level,
}

/// What is asked about, as far as a profile looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Its level.
    pub level: Level,
    /// Visibility of the project; absent above projects.
    pub visibility: Option<Visibility>,
    /// Kind of the project.
    pub kind: Option<&'a str>,
    /// Whether it is the caller's own.
    pub own: Own,
}

/// Whose a project is, seen from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The caller's.
    Mine,
    /// Somebody else's, or nobody's.
    NotMine,
}

#[derive(Debug, Clone)]
struct Role {
    name: String,
    mask: ActionSet,
    at: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Baseline {
    principal: PseudoPrincipal,
    mask: ActionSet,
    visibility: Option<Visibility>,
    level: Option<Level>,
    when: BTreeMap<String, String>,
}

/// What is taken away while some switches say something.
#[derive(Debug, Clone)]
pub(crate) struct Ceiling {
    pub(crate) id: String,
    pub(crate) mask: ActionSet,
    pub(crate) when: BTreeMap<String, String>,
    pub(crate) exempt_roles: Vec<RoleIx>,
    exempt_kind: Option<String>,
}

impl Ceiling {
    /// Whether it takes nothing from a holder of this role.
    pub(crate) fn exempts(&self, role: RoleIx) -> bool {
        self.exempt_roles.contains(&role)
    }
}

/// A checked profile: names resolved, patterns expanded, everything a bit set.
#[derive(Debug, Clone)]
pub struct Profile {
    document: Document,
    actions: Vec<String>,
    roles: Vec<Role>,
    limits: Vec<(ActionSet, Vec<Level>)>,
    baselines: Vec<Baseline>,
    pub(crate) ceilings: Vec<Ceiling>,
    operations: BTreeMap<String, ActionSet>,
    verbs: [Option<ActionSet>; 3],
    catalog: Option<ActionSet>,
    /// Actions of the API's profile by name, and what gives them here.
    api: BTreeMap<String, ActionSet>,
}

impl Profile {
    /// A bundled profile.
    #[must_use]
    pub fn bundled(name: &str) -> Option<Self> {
        let (_, text) = BUNDLED.iter().find(|(known, _)| *known == name)?;
        Self::from_toml(text).ok()
    }

    /// The profile of Rollcall's own API. Its levels are the root, folders and projects.
    #[must_use]
    pub fn api() -> Option<Self> {
        Self::from_toml(API).ok()
    }

    /// The profile's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.document.name
    }

    /// The effective document, as `profile.set` carries it.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Finds a role; case, spaces, `_` and `-` do not count (DESIGN 7, rule 6).
    #[must_use]
    pub fn role(&self, name: &str) -> Option<RoleIx> {
        let wanted = plain_name(name);
        let found = self.roles.iter().position(|role| plain_name(&role.name) == wanted)?;
        u16::try_from(found).ok().map(RoleIx)
    }

    /// Every role.
    pub fn roles(&self) -> impl Iterator<Item = RoleIx> + '_ {
        (0..self.roles.len()).filter_map(|ix| u16::try_from(ix).ok()).map(RoleIx)
    }

    /// A role's name.
    #[must_use]
    pub fn role_name(&self, role: RoleIx) -> &str {
        self.roles.get(usize::from(role.0)).map_or("", |role| &role.name)
    }

    /// A role's actions.
    #[must_use]
    pub fn role_actions(&self, role: RoleIx) -> ActionSet {
        self.roles.get(usize::from(role.0)).map_or(ActionSet::EMPTY, |role| role.mask)
    }

    /// Whether a role may be granted at a level.
    #[must_use]
    pub fn grantable(&self, role: RoleIx, level: Level) -> bool {
        self.roles.get(usize::from(role.0)).is_some_and(|role| role.at.contains(&level))
    }

    /// The lowest level at which a role may be granted: the nearest to projects.
    #[must_use]
    pub fn lowest(&self, role: RoleIx) -> Option<Level> {
        self.roles.get(usize::from(role.0))?.at.iter().max().copied()
    }

    /// Whether a role is everything: its actions are `*`.
    #[must_use]
    pub fn is_everything(&self, role: RoleIx) -> bool {
        let document = self.document.roles.get(self.role_name(role));
        document.is_some_and(|role| role.actions.iter().any(|action| action == "*"))
    }

    /// Whether whoever holds a role gives any role of the profile where he or she holds it.
    pub(crate) fn is_giver(&self, role: RoleIx) -> bool {
        self.document.rules.givers.iter().any(|name| self.role(name) == Some(role))
    }

    /// The levels at which a role may be granted, by name.
    pub fn levels_of(&self, role: RoleIx) -> impl Iterator<Item = &str> {
        let at = self.roles.get(usize::from(role.0)).map_or(&[][..], |role| &role.at);
        at.iter().filter_map(|level| self.document.levels.get(usize::from(*level)).map(String::as_str))
    }

    /// Every action that there is.
    #[must_use]
    pub fn everything(&self) -> ActionSet {
        self.actions().fold(ActionSet::EMPTY, |set, (_, one)| set.union(one))
    }

    /// What the profile calls a kind of project. What is neither global nor personal is its ordinary kind.
    #[must_use]
    pub fn kind_name(&self, kind: ProjectKind) -> &str {
        match kind {
            ProjectKind::Global => "global",
            ProjectKind::Personal => "personal",
            ProjectKind::Standard => {
                let ordinary = |name: &&String| !matches!(name.as_str(), "global" | "personal");
                let kinds = &self.document.kinds;
                if kinds.contains_key("standard") {
                    "standard"
                } else {
                    kinds.keys().find(ordinary).map_or("standard", String::as_str)
                }
            }
        }
    }

    /// The visibilities of a kind of project; absent where the profile has no such kind.
    #[must_use]
    pub fn kind(&self, kind: ProjectKind) -> Option<&KindDocument> {
        self.document.kinds.get(self.kind_name(kind))
    }

    /// What gives an action of Rollcall's own API to those who may do it here.
    #[must_use]
    pub fn gives_api(&self, action: &str) -> Option<ActionSet> {
        self.api.get(action).copied()
    }

    /// Every action of the profile, sorted.
    pub fn actions(&self) -> impl Iterator<Item = (&str, ActionSet)> {
        self.actions.iter().enumerate().map(|(i, name)| (name.as_str(), ActionSet(1 << i)))
    }

    /// The names in a set.
    #[must_use]
    pub fn names(&self, set: ActionSet) -> Vec<&str> {
        self.actions().filter(|(_, one)| set.contains(*one)).map(|(name, _)| name).collect()
    }

    /// What a vendor's operation, or a single action, needs.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<ActionSet> {
        let action = || self.actions().find(|(known, _)| *known == name).map(|(_, set)| set);
        self.operations.get(name).copied().or_else(action)
    }

    /// What a verb of an OCI client needs; absent = never granted.
    #[must_use]
    pub fn registry_action(&self, verb: Verb) -> Option<ActionSet> {
        let [pull, push, delete] = self.verbs;
        match verb {
            Verb::Pull => pull,
            Verb::Push => push,
            Verb::Delete => delete,
        }
    }

    /// What listing all repositories needs at the root; absent = a role of everything.
    #[must_use]
    pub fn catalog(&self) -> Option<ActionSet> {
        self.catalog
    }

    /// A level by name.
    #[must_use]
    pub fn level(&self, name: &str) -> Option<Level> {
        self.document.levels.iter().position(|level| level == name).and_then(|ix| Level::try_from(ix).ok())
    }

    /// The level of projects.
    #[must_use]
    pub fn project_level(&self) -> Level {
        Level::try_from(self.document.levels.len().saturating_sub(1)).unwrap_or(Level::MAX)
    }

    /// Whether every switch says what a condition wants. `doubt`: what a switch counts as that says nothing that it
    /// can.
    fn matches(&self, when: &BTreeMap<String, String>, switches: &BTreeMap<String, String>, doubt: bool) -> bool {
        when.iter().all(|(name, wanted)| {
            let Some(switch) = self.document.settings.get(name) else { return doubt };
            let says = switches.get(name).unwrap_or(&switch.default);
            if switch.values.contains(says) { says == wanted } else { doubt }
        })
    }

    /// What a held role gives: its actions that may be granted at the level where it was granted.
    #[must_use]
    pub fn gives(&self, held: HeldRole) -> ActionSet {
        self.limits
            .iter()
            .filter(|(_, levels)| !levels.contains(&held.level))
            .fold(self.role_actions(held.role), |mask, (limited, _)| mask.difference(*limited))
    }

    /// What the caller has without any role.
    #[must_use]
    pub fn baseline(
        &self,
        caller: PseudoPrincipal,
        resource: &Resource<'_>,
        switches: &BTreeMap<String, String>,
    ) -> ActionSet {
        self.baselines_on(caller, resource, switches).fold(ActionSet::EMPTY, |set, (_, (_, mask))| set.union(mask))
    }

    /// The baselines for a caller at a level, whatever project and switches say: their places in the document, their
    /// rows there and what each gives.
    pub(crate) fn baseline_rows(
        &self,
        caller: PseudoPrincipal,
        level: Level,
    ) -> impl Iterator<Item = (usize, &BaselineDocument, ActionSet)> {
        self.baselines
            .iter()
            .enumerate()
            .filter(move |(_, b)| b.principal == PseudoPrincipal::Anyone || caller == PseudoPrincipal::Authenticated)
            .filter(move |(_, b)| b.level.is_none_or(|at| at == level))
            .filter_map(|(n, b)| Some((n, self.document.baseline.get(n)?, b.mask)))
    }

    /// What a switch says; absent where the profile has no such switch.
    pub(crate) fn switch_says<'a>(&'a self, name: &str, switches: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let switch = self.document.settings.get(name)?;
        Some(switches.get(name).unwrap_or(&switch.default))
    }

    /// The switches that do not say what a row wants.
    pub(crate) fn unmet<'a>(
        &self,
        when: &'a BTreeMap<String, String>,
        switches: &BTreeMap<String, String>,
    ) -> Vec<&'a str> {
        let met = |name: &str, wanted: &str| self.switch_says(name, switches) == Some(wanted);
        when.iter().filter(|(name, wanted)| !met(name, wanted)).map(|(name, _)| name.as_str()).collect()
    }

    /// The baselines that match: their places in the document, their rows there and what each gives.
    pub(crate) fn baselines_on(
        &self,
        caller: PseudoPrincipal,
        resource: &Resource<'_>,
        switches: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = (usize, (&BaselineDocument, ActionSet))> {
        self.baselines
            .iter()
            .enumerate()
            .filter(move |(_, b)| b.principal == PseudoPrincipal::Anyone || caller == PseudoPrincipal::Authenticated)
            .filter(|(_, b)| b.visibility.is_none_or(|visibility| resource.visibility == Some(visibility)))
            .filter(|(_, b)| b.level.is_none_or(|level| resource.level == level))
            .filter(|(_, b)| self.matches(&b.when, switches, false))
            .filter_map(|(n, b)| Some((n, (self.document.baseline.get(n)?, b.mask))))
    }

    /// The names of the levels at which a grant of limited actions counts; absent where they are not limited.
    pub(crate) fn levels_for(&self, actions: ActionSet) -> Option<String> {
        let (_, levels) = self.limits.iter().find(|(limited, _)| limited.intersects(actions))?;
        let names = levels.iter().filter_map(|level| self.document.levels.get(usize::from(*level)).map(String::as_str));
        Some(names.collect::<Vec<_>>().join(" or "))
    }

    /// The ceilings that act here, except on holders of a role that they exempt.
    pub(crate) fn ceilings_on<'a>(
        &'a self,
        resource: &'a Resource<'_>,
        switches: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Ceiling> + 'a {
        self.ceilings.iter().filter(move |ceiling| {
            let own = ceiling.exempt_kind.is_some()
                && ceiling.exempt_kind.as_deref() == resource.kind
                && resource.own == Own::Mine;
            !own && self.matches(&ceiling.when, switches, true)
        })
    }

    /// The ceilings that act on this caller here: what each takes away and its name.
    pub fn ceilings<'a>(
        &'a self,
        held: impl Iterator<Item = HeldRole> + Clone + 'a,
        resource: &'a Resource<'_>,
        switches: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = (&'a str, ActionSet)> + 'a {
        self.ceilings_on(resource, switches)
            .filter(move |ceiling| !held.clone().any(|held| ceiling.exempts(held.role)))
            .map(|ceiling| (ceiling.id.as_str(), ceiling.mask))
    }

    /// Everything that the caller may do: union of roles and baselines, less the ceilings. No role is greater than
    /// another, and nothing overrides a ceiling.
    #[must_use]
    pub fn allowed(
        &self,
        caller: PseudoPrincipal,
        held: impl Iterator<Item = HeldRole> + Clone,
        resource: &Resource<'_>,
        switches: &BTreeMap<String, String>,
    ) -> ActionSet {
        let granted =
            held.clone().fold(self.baseline(caller, resource, switches), |mask, held| mask.union(self.gives(held)));
        self.ceilings(held, resource, switches).fold(granted, |mask, (_, taken)| mask.difference(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let base = |text: &str| REVENERA.replace("producer_role = \"Developer\"", text);
        let error = Profile::from_toml(&base("producer_role = \"Owner\"")).unwrap_err();
        assert!(error.what.contains("Developer, Guest"), "{error}");
        let line = REVENERA.lines().position(|line| line.starts_with("producer_role")).unwrap() + 1;
        assert_eq!(error.at, format!("line {line}, column 1, rules.producer_role"));
        let copied =
            REVENERA.replace("\"docker push\" = [\"image.push\"]", "\"docker push\" = [\"image.put\", \"x.*\"]");
        let error = Profile::from_toml(&copied).unwrap_err();
        let line = REVENERA.lines().position(|line| line.starts_with("\"docker push\"")).unwrap() + 1;
        assert_eq!(error.at, format!("line {line}, column 1, operations.\"docker push\""));
        let error =
            Profile::from_toml(&REVENERA.replace("exempt_roles = [", "exempt_roles = [\"king\", ")).unwrap_err();
        assert!(error.at.starts_with("line ") && error.at.ends_with("ceiling[0].exempt_roles"), "{error}");
        let error = Profile::from_toml("schema = 1\nname = 3\n").unwrap_err();
        assert_eq!(error.at, "line 2, column 8");
        let error = Profile::from_toml(
            &REVENERA.replace("[\"image.pull\"]\n\n[roles.sys", "[\"image.pul\", \"x.*\"]\n\n[roles.sys"),
        )
        .unwrap_err();
        assert!(error.what.contains("x.*"), "{error}");
        let error = Profile::from_toml(&REVENERA.replace("levels =", "level =")).unwrap_err();
        assert!(error.what.contains("unknown field `level`"), "{error}");
    }

    #[test]
    fn a_word_that_is_likely_a_mistake_in_writing_switches_no_rule_off() {
        let harbor = BUNDLED.iter().find(|(name, _)| *name == "harbor").unwrap().1;
        for (right, typo, at, told) in [
            ("last_holder_stays", "last_holder_stay", "rules.last_holder_stay", "did you mean `last_holder_stays`"),
            ("\"binding.set\"", "\"binding.sett\"", "api.\"binding.sett\"", "did you mean `binding.set`"),
            ("levels = [\"system\", \"project\"]", "levels = [\"system\", \"system\", \"project\"]", "levels", "twice"),
            ("levels = [\"system\", \"project\"]", "levels = [\"system\", \" \", \"project\"]", "levels", "empty"),
            (
                "actions = [\"project.create\"]\nwhen",
                "actions = [\"project.craete\"]\nwhen",
                "ceiling[0].actions",
                "did you mean `project.create`",
            ),
            ("[roles.maintainer]", "[roles.\"maintäiner\"]", "roles.maintäiner", "ASCII"),
            (
                "group_grants = \"inherited\"",
                "eligible = { project_admn = \"anyone\" }",
                "rules.eligible.project_admn",
                "did you mean `project_admin`",
            ),
            (
                "group_grants = \"inherited\"",
                "personal_project = \"user.created\"",
                "rules.personal_project",
                "write `person.created`",
            ),
            (
                "exempt_roles",
                "exempt_owner = \"self\"\nexempt_kind = \"standrad\"\nexempt_roles",
                "ceiling[0].exempt_kind",
                "did you mean `standard`",
            ),
            (
                "[kinds.standard]",
                "[kinds.globl]\nvisibility = [\"public\"]\ndefault = \"public\"\n[kinds.standard]",
                "kinds.globl",
                "did you mean `global`",
            ),
            (
                "[kinds.standard]",
                "[settings.Project-creation-restriction]\nvalues = [\"a\"]\ndefault = \"a\"\n[kinds.standard]",
                "settings.project_creation_restriction",
                "the same name",
            ),
            (
                "values = [\"everyone\", \"adminonly\"]",
                "values = [\"everyone\", \"Every-One\", \"adminonly\"]",
                "settings.project_creation_restriction.values",
                "twice",
            ),
        ] {
            let text = harbor.replacen(right, typo, 1);
            assert_ne!(text, harbor, "{right}");
            let Err(error) = Profile::from_toml(&text) else { panic!("{typo} is taken") };
            assert!(error.at.starts_with("line ") && error.at.ends_with(at), "{error}");
            assert!(error.what.contains(told), "{error}");
        }
        assert!(Profile::from_toml(&harbor.replace("group_grants", "eligible")).is_ok(), "a remark");
    }

    #[test]
    fn role_names_ignore_case_spaces_and_dashes() {
        let profile = Profile::bundled("revenera").unwrap();
        assert_eq!(profile.role("system-of Record"), profile.role("system_of_record"));
        assert!(profile.role("Developers").is_none());
    }

    #[test]
    fn the_effective_document_reads_back_as_itself() {
        for (name, _) in BUNDLED {
            let profile = Profile::bundled(name).unwrap_or_else(|| panic!("{name} does not compile"));
            let text = serde_json::to_string(profile.document()).unwrap();
            assert_eq!(Profile::from_json(&text).unwrap().document(), profile.document());
        }
    }
}
