//! Every row of the five decision tables through the evaluator: subject, resource and expectation come from the table
//! and from the `[test]` section of the profile beside it. No row has an exception here, and `[test.decisions]` is read
//! for what to expect, never to decide.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_access::{
    ActionSet, Profile,
    profile::{Held, Own, Pseudo, Resource},
};
use rollcall_events::body::Visibility;
use serde::Deserialize;

use crate::support::csv::rows;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    subjects: BTreeMap<String, Subject>,
    scopes: BTreeMap<String, Scope>,
    #[serde(default)]
    policies: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    probes: BTreeMap<String, Probe>,
    #[serde(default)]
    phrases: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    decisions: BTreeMap<String, Decision>,
    personal_path: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    #[serde(default)]
    grants: Vec<(String, String)>,
    /// Roles granted at the row's own scope.
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default = "yes")]
    authenticated: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    path: String,
    visibility: Option<Visibility>,
    kind: Option<String>,
    owner: Option<String>,
    grant_at: Option<String>,
}

/// A row that asks about a rule of the profile instead of an action.
#[derive(Debug, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case", deny_unknown_fields)]
enum Probe {
    CreatorGets { role: String },
    GroupInherits,
    PersonalProject,
    Eligible { role: String },
    AllOf { actions: Vec<String> },
    NoneOf { actions: Vec<String> },
}

/// What a row without a decision in its source is expected to say, and on which visibility.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Decision {
    Plain(String),
    On { decision: String, visibility: Visibility },
}

struct Table {
    name: &'static str,
    profile: Profile,
    labels: Labels,
}

impl Table {
    fn read(name: &'static str) -> Self {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/access-models/{name}.toml"));
        let document: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let labels = document["test"].clone().try_into().unwrap();
        Self { name, profile: Profile::bundled(name).unwrap(), labels }
    }

    fn level(path: &str) -> u8 {
        u8::try_from(path.matches('/').count()).unwrap()
    }

    fn role(&self, name: &str) -> rollcall_access::profile::RoleIx {
        self.profile.role(name).unwrap_or_else(|| panic!("{}: no role {name}", self.name))
    }

    fn held(&self, role: &str, at: &str) -> Held {
        let role = self.role(role);
        assert!(self.profile.grantable(role, Self::level(at)), "{}: {role:?} cannot be granted on {at}", self.name);
        Held { role, level: Self::level(at) }
    }

    fn actions(&self, names: &[String]) -> ActionSet {
        let one =
            |name: &String| self.profile.operation(name).unwrap_or_else(|| panic!("{}: no action {name}", self.name));
        names.iter().fold(ActionSet::EMPTY, |set, name| set.with(one(name)))
    }

    /// What a caller of the row may do, with every setting that the row does not name at its default.
    fn allowed(&self, row: &BTreeMap<String, String>, visibility: Option<Visibility>) -> ActionSet {
        let id = &row["id"];
        let scope =
            self.labels.scopes.get(&row["scope"]).unwrap_or_else(|| panic!("{id}: unknown scope {}", row["scope"]));
        // The registry does not know platform roles that grant nothing in it: holding one is holding no role.
        let subject =
            self.labels.subjects.get(&row["role"]).unwrap_or_else(|| panic!("{id}: unknown role {}", row["role"]));
        let mut switches = BTreeMap::new();
        let mut visible = scope.visibility;
        if !row["policy"].is_empty() {
            let policy = self
                .labels
                .policies
                .get(&row["policy"])
                .unwrap_or_else(|| panic!("{id}: unknown policy {}", row["policy"]));
            for (name, value) in policy {
                if name == "visibility" {
                    visible = visible.map(|_| toml::Value::String(value.clone()).try_into().unwrap());
                } else {
                    switches.insert(name.clone(), value.clone());
                }
            }
        }
        visible = visibility.or(visible);
        let at = scope.grant_at.as_deref().unwrap_or(&scope.path);
        let covers = |at: &str| scope.path == at || scope.path.starts_with(&format!("{at}/"));
        let mut held: Vec<Held> =
            subject.grants.iter().filter(|(_, at)| covers(at)).map(|(role, at)| self.held(role, at)).collect();
        held.extend(
            subject.roles.iter().filter(|role| self.profile.role(role).is_some()).map(|role| self.held(role, at)),
        );
        if let (Some(path), true) = (&self.labels.personal_path, subject.authenticated) {
            let role = self.profile.document().rules.personal_role.as_deref().unwrap();
            held.extend(Some(self.held(role, path)).filter(|_| covers(path)));
        }
        let resource = Resource {
            level: Self::level(&scope.path),
            visibility: visible,
            kind: scope.kind.as_deref().or(scope.visibility.map(|_| "standard")),
            own: if scope.owner.as_deref() == Some("self") { Own::Mine } else { Own::NotMine },
        };
        let caller = if subject.authenticated { Pseudo::Authenticated } else { Pseudo::Anyone };
        self.profile.allowed(caller, held.iter().copied(), &resource, &switches)
    }

    fn decide(&self, row: &BTreeMap<String, String>, visibility: Option<Visibility>) -> bool {
        let rules = &self.profile.document().rules;
        let allowed = || self.allowed(row, visibility);
        match self.labels.probes.get(&row["action"]) {
            Some(Probe::CreatorGets { role }) => {
                let creator = self.role(rules.creator_role.as_deref().expect("a creator's role"));
                self.profile.role_actions(creator) == self.profile.role_actions(self.role(role))
            }
            Some(Probe::GroupInherits) => rules.remarks["group_grants"].as_str() == Some("inherited"),
            Some(Probe::PersonalProject) => rules.personal_project.is_some(),
            Some(Probe::Eligible { role }) => {
                rules.remarks["eligible"].get(role).and_then(|who| who.as_str()) == Some("authenticated")
            }
            Some(Probe::AllOf { actions }) => allowed().holds(self.actions(actions)),
            Some(Probe::NoneOf { actions }) => allowed().meets(self.actions(actions)),
            None => {
                let needs = match self.labels.phrases.get(&row["action"]) {
                    Some(actions) => self.actions(actions),
                    None => self
                        .profile
                        .operation(&row["action"])
                        .unwrap_or_else(|| panic!("{}: unknown {}", row["id"], row["action"])),
                };
                allowed().holds(needs)
            }
        }
    }

    /// Every row against its expectation. Gives back the wrong ones.
    fn check(&self) -> (usize, Vec<String>) {
        let rows = rows(&format!("{}.csv", self.name));
        let wrong = rows.iter().filter_map(|row| {
            let id = &row["id"];
            let (expected, visibility) = match (row["decision"].as_str(), self.labels.decisions.get(id)) {
                ("unspecified", Some(Decision::Plain(decision))) => (decision.as_str(), None),
                ("unspecified", Some(Decision::On { decision, visibility })) => (decision.as_str(), Some(*visibility)),
                ("unspecified", _) => panic!("{id}: no expectation"),
                (stated, _) => (stated, None),
            };
            let decided = if self.decide(row, visibility) { "allow" } else { "deny" };
            (decided != expected)
                .then(|| format!("{id}: {} by {} on {}: {decided}", row["action"], row["role"], row["scope"]))
        });
        (rows.len(), wrong.collect())
    }
}

#[test]
fn every_row_of_every_table_is_what_its_profile_decides() {
    let mut counts = Vec::new();
    let mut wrong = Vec::new();
    for name in ["harbor", "ibm", "portus", "revenera", "sregistry"] {
        let (count, mut failures) = Table::read(name).check();
        counts.push(count);
        wrong.append(&mut failures);
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(counts, [104, 454, 153, 34, 147]);
}

/// A bundled profile is the one that its table is about, key for key.
#[test]
fn the_bundled_profiles_are_the_profiles_of_the_tables() {
    for name in ["harbor", "ibm", "portus", "revenera", "sregistry"] {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/access-models/{name}.toml"));
        let theirs = Profile::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut ours = Profile::bundled(name).unwrap().document().clone();
        ours.registry = theirs.document().registry.clone();
        ours.api = theirs.document().api.clone();
        assert_eq!(&ours, theirs.document(), "{name}");
    }
}

/// Roles across, actions down. `UPDATE=1` rewrites `tests/golden`.
#[test]
fn the_access_matrices_in_the_repository_are_the_profiles() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let mut expected = BTreeSet::new();
    for (name, _) in rollcall_access::profile::BUNDLED {
        let profile = Profile::bundled(name).unwrap();
        let width = profile.actions().map(|(action, _)| action.len()).max().unwrap_or(0);
        let roles: Vec<_> = profile.roles().map(|role| (profile.role_name(role), profile.role_actions(role))).collect();
        let head: Vec<&str> = roles.iter().map(|(name, _)| *name).collect();
        let mut text = format!("{:width$}  {}\n", name, head.join("  "));
        for (action, set) in profile.actions() {
            let marks: Vec<String> = roles
                .iter()
                .map(|(name, mask)| format!("{:^1$}", if mask.holds(set) { "+" } else { "." }, name.len()))
                .collect();
            text.push_str(format!("{action:width$}  {}", marks.join("  ")).trim_end());
            text.push('\n');
        }
        let file = format!("access-{name}.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&file), &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.join(&file)).unwrap_or_default(), text, "{file}: run with UPDATE=1");
        expected.insert(file);
    }
    let found: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .filter(|f| f.starts_with("access-"))
        .collect();
    assert_eq!(found, expected);
}
