//! Every row of every decision table through the evaluator: subject, resource and expectation come from the table
//! and from the `[test]` section of the profile beside it. No row has an exception here, and `[test.decisions]` is read
//! for what to expect, never to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rollcall_access::{
    ActionSet, Profile,
    profile::{HeldRole, Own, PseudoPrincipal, Resource},
};
use rollcall_events::body::Visibility;
use serde::Deserialize;

use crate::support::csv::{Row, rows};

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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
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

/// A decision table with the profile that it is about.
pub struct Table {
    pub name: String,
    pub profile: Profile,
    labels: Labels,
    rows: Vec<Row>,
}

/// What a row asks, with its labels resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub stage: Stage,
    /// The switches that the row names; the others say what they say by default.
    pub switches: BTreeMap<String, String>,
    pub asked: Asked,
    /// Allowed, or so.
    pub expected: bool,
}

/// Who stands where.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub authenticated: bool,
    /// Role and path.
    pub grants: Vec<(String, String)>,
    pub path: String,
    pub visibility: Option<Visibility>,
    pub kind: Option<String>,
    pub owner: Option<String>,
}

/// A question about actions or operations, or about a rule of the profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    All(Vec<String>),
    Any(Vec<String>),
    Rule(Probe),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/access-models")
}

impl Table {
    /// Every table that has its profile beside it.
    pub fn all() -> Vec<Self> {
        let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
        let tables = files.filter(|path| path.extension().is_some_and(|e| e == "csv"));
        let mut names: Vec<String> = tables
            .filter(|path| path.with_extension("toml").exists())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
        Self::of(name, &text, rows(&format!("{name}.csv")))
    }

    fn of(name: &str, text: &str, rows: Vec<Row>) -> Self {
        let document: toml::Table = text.parse().unwrap();
        let labels = document["test"].clone().try_into().unwrap_or_else(|error| panic!("{name}.toml: {error}"));
        // What is bundled knows the verbs of clients too; whatever is not is what its own file says.
        let profile = Profile::bundled(name)
            .unwrap_or_else(|| Profile::from_toml(text).unwrap_or_else(|error| panic!("{name}.toml: {error}")));
        Self { name: name.to_owned(), profile, labels, rows }
    }

    /// The profile as a configuration names it.
    pub fn profile_setting(&self) -> String {
        match Profile::bundled(&self.name) {
            Some(_) => self.name.clone(),
            None => folder().join(format!("{}.toml", self.name)).display().to_string(),
        }
    }

    fn level(path: &str) -> u8 {
        u8::try_from(path.matches('/').count()).unwrap()
    }

    fn role(&self, name: &str) -> rollcall_access::profile::RoleIx {
        self.profile.role(name).unwrap_or_else(|| panic!("{}: no role {name}", self.name))
    }

    fn held(&self, role: &str, at: &str) -> HeldRole {
        let role = self.role(role);
        assert!(self.profile.grantable(role, Self::level(at)), "{}: {role:?} cannot be granted on {at}", self.name);
        HeldRole { role, level: Self::level(at) }
    }

    fn actions(&self, names: &[String]) -> Vec<ActionSet> {
        let one =
            |name: &String| self.profile.operation(name).unwrap_or_else(|| panic!("{}: no action {name}", self.name));
        names.iter().map(one).collect()
    }

    /// Every row with what it asks. A label, role or operation that is not known is a failure.
    pub fn questions(&self) -> Vec<(String, Question)> {
        self.rows.iter().map(|row| (row["id"].clone(), self.question(row))).collect()
    }

    fn question(&self, row: &Row) -> Question {
        let id = &row["id"];
        let scope =
            self.labels.scopes.get(&row["scope"]).unwrap_or_else(|| panic!("{id}: unknown scope {}", row["scope"]));
        let subject =
            self.labels.subjects.get(&row["role"]).unwrap_or_else(|| panic!("{id}: unknown role {}", row["role"]));
        let (expected, decided_on) = match (row["decision"].as_str(), self.labels.decisions.get(id)) {
            ("unspecified", Some(Decision::Plain(decision))) => (decision.as_str(), None),
            ("unspecified", Some(Decision::On { decision, visibility })) => (decision.as_str(), Some(*visibility)),
            ("unspecified", None) => panic!("{id}: no expectation"),
            (stated, _) => (stated, None),
        };
        assert!(["allow", "deny"].contains(&expected), "{id}: `{expected}` is no decision");
        let mut switches = BTreeMap::new();
        let mut visibility = scope.visibility;
        if !row["policy"].is_empty() {
            let policy = self.labels.policies.get(&row["policy"]);
            for (name, value) in policy.unwrap_or_else(|| panic!("{id}: unknown policy {}", row["policy"])) {
                if name == "visibility" {
                    visibility = visibility.map(|_| toml::Value::String(value.clone()).try_into().unwrap());
                } else {
                    let known = self.profile.document().settings.get(name);
                    assert!(known.is_some_and(|known| known.values.contains(value)), "{id}: no switch {name}={value}");
                    switches.insert(name.clone(), value.clone());
                }
            }
        }
        let at = scope.grant_at.as_ref().unwrap_or(&scope.path);
        let here = subject.roles.iter().map(|role| (role.clone(), at.clone()));
        let stage = Stage {
            authenticated: subject.authenticated,
            grants: subject.grants.iter().cloned().chain(here).collect(),
            path: scope.path.clone(),
            visibility: decided_on.or(visibility),
            kind: scope.kind.clone(),
            owner: scope.owner.clone(),
        };
        Question { stage, switches, asked: self.asked(row), expected: expected == "allow" }
    }

    fn asked(&self, row: &Row) -> Asked {
        let action = &row["action"];
        let asked = match (self.labels.probes.get(action), self.labels.phrases.get(action)) {
            (Some(Probe::AllOf { actions }), _) => Asked::All(actions.clone()),
            (Some(Probe::NoneOf { actions }), _) => Asked::Any(actions.clone()),
            (Some(probe), _) => Asked::Rule(probe.clone()),
            (None, Some(actions)) => Asked::All(actions.clone()),
            (None, None) => Asked::All(vec![action.clone()]),
        };
        if let Asked::All(names) | Asked::Any(names) = &asked {
            assert!(!names.is_empty(), "{}: `{action}` asks for nothing", row["id"]);
            for name in names {
                assert!(self.profile.operation(name).is_some(), "{}: unknown operation {name}", row["id"]);
            }
        }
        asked
    }

    /// What a caller of the row may do, with every setting that the row does not name at its default.
    fn allowed(&self, question: &Question) -> ActionSet {
        let stage = &question.stage;
        let covers = |at: &str| stage.path == at || stage.path.starts_with(&format!("{at}/"));
        let grants = stage.grants.iter().filter(|(_, at)| covers(at));
        let mut held: Vec<HeldRole> = grants.map(|(role, at)| self.held(role, at)).collect();
        if let (Some(path), true) = (&self.labels.personal_path, stage.authenticated) {
            let role = self.profile.document().rules.personal_role.as_deref().unwrap();
            held.extend(Some(self.held(role, path)).filter(|_| covers(path)));
        }
        let resource = Resource {
            level: Self::level(&stage.path),
            visibility: stage.visibility,
            kind: stage.kind.as_deref().or(stage.visibility.map(|_| "standard")),
            own: if stage.owner.as_deref() == Some("self") { Own::Mine } else { Own::NotMine },
        };
        let caller = if stage.authenticated { PseudoPrincipal::Authenticated } else { PseudoPrincipal::Anyone };
        self.profile.allowed(caller, held.iter().copied(), &resource, &question.switches)
    }

    fn decide(&self, question: &Question) -> bool {
        let rules = &self.profile.document().rules;
        match &question.asked {
            Asked::Rule(Probe::CreatorGets { role }) => {
                let creator = self.role(rules.creator_role.as_deref().expect("a creator's role"));
                self.profile.role_actions(creator) == self.profile.role_actions(self.role(role))
            }
            Asked::Rule(Probe::GroupInherits) => rules.remarks["group_grants"].as_str() == Some("inherited"),
            Asked::Rule(Probe::PersonalProject) => rules.personal_project.is_some(),
            Asked::Rule(Probe::Eligible { role }) => {
                rules.remarks["eligible"].get(role).and_then(|who| who.as_str()) == Some("authenticated")
            }
            Asked::Rule(Probe::AllOf { .. } | Probe::NoneOf { .. }) => unreachable!("they ask about actions"),
            Asked::All(names) => {
                let allowed = self.allowed(question);
                self.actions(names).into_iter().all(|one| allowed.contains(one))
            }
            Asked::Any(names) => {
                let allowed = self.allowed(question);
                self.actions(names).into_iter().any(|one| allowed.contains(one))
            }
        }
    }

    /// Every row against its expectation. Gives back the wrong ones.
    fn check(&self) -> Vec<String> {
        let wrong = self.questions().into_iter().filter_map(|(id, question)| {
            let decided = self.decide(&question);
            (decided != question.expected).then(|| format!("{id}: {:?} is {decided}", question.asked))
        });
        wrong.collect()
    }
}

#[test]
fn every_row_of_every_table_is_what_its_profile_decides() {
    let tables = Table::all();
    let wrong: Vec<String> = tables.iter().flat_map(Table::check).collect();
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
    for (name, count) in [("harbor", 104), ("ibm", 454), ("portus", 153), ("revenera", 34), ("sregistry", 147)] {
        let table = tables.iter().find(|table| table.name == name).unwrap_or_else(|| panic!("no table of {name}"));
        assert_eq!(table.rows.len(), count, "{name}");
    }
}

/// A role or an action that is new in a profile needs a row that says what it is for.
#[test]
fn every_role_and_every_action_of_a_profile_stands_in_a_row() {
    let mut lacking = Vec::new();
    for table in Table::all() {
        let questions = table.questions();
        let held: BTreeSet<&str> = questions
            .iter()
            .flat_map(|(_, question)| &question.stage.grants)
            .map(|(role, _)| table.profile.role_name(table.role(role)))
            .collect();
        let roles = table.profile.roles().map(|role| table.profile.role_name(role)).filter(|role| !held.contains(role));
        lacking.extend(roles.map(|role| format!("{}: role {role}", table.name)));
        let asked = questions.iter().flat_map(|(_, question)| match &question.asked {
            Asked::All(names) | Asked::Any(names) => table.actions(names),
            Asked::Rule(_) => Vec::new(),
        });
        let asked = asked.fold(ActionSet::EMPTY, ActionSet::union);
        let missing = table.profile.names(table.profile.everything().difference(asked));
        lacking.extend(missing.into_iter().map(|action| format!("{}: action {action}", table.name)));
    }
    assert!(lacking.is_empty(), "no row is about:\n{}", lacking.join("\n"));
}

/// A bundled profile is the one that its table is about, key for key.
#[test]
fn the_bundled_profiles_are_the_profiles_of_the_tables() {
    for (name, _) in rollcall_access::profile::BUNDLED {
        let path = folder().join(format!("{name}.toml"));
        let theirs = Profile::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut ours = Profile::bundled(name).unwrap().document().clone();
        ours.registry = theirs.document().registry.clone();
        ours.api = theirs.document().api.clone();
        // Nor does a table say who of a licensing system has which role, and who gives roles.
        let rules = &theirs.document().rules;
        ours.rules.producer_role.clone_from(&rules.producer_role);
        ours.rules.consumer_role.clone_from(&rules.consumer_role);
        ours.rules.givers.clone_from(&rules.givers);
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
                .map(|(name, mask)| format!("{:^1$}", if mask.contains(set) { "+" } else { "." }, name.len()))
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

/// What a table that is dropped in can get wrong is told, and is no row that passes.
#[test]
fn a_table_with_a_label_role_or_operation_that_nobody_knows_fails() {
    let text = std::fs::read_to_string(folder().join("harbor.toml")).unwrap();
    let row = rows("harbor.csv").into_iter().find(|row| row["role"] == "developer").unwrap();
    let check = |text: &str, change: &[(&str, &str)]| {
        let mut row = row.clone();
        row.extend(change.iter().map(|(column, value)| ((*column).to_owned(), (*value).to_owned())));
        let text = text.to_owned();
        let outcome = std::panic::catch_unwind(move || Table::of("dropped-in", &text, vec![row]).check());
        outcome.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    };
    assert_eq!(check(&text, &[]), Ok(Vec::new()), "the row as it is");
    let wrong = if row["decision"] == "allow" { "deny" } else { "allow" };
    assert_eq!(check(&text, &[("decision", wrong)]).unwrap().len(), 1, "a wrong decision");
    for (column, value, told) in [
        ("role", "wizard", "unknown role wizard"),
        ("scope", "moon", "unknown scope moon"),
        ("policy", "lunar", "unknown policy lunar"),
        ("action", "fly", "unknown operation fly"),
        ("decision", "maybe", "`maybe` is no decision"),
        ("decision", "unspecified", "no expectation"),
    ] {
        let error = check(&text, &[(column, value)]).unwrap_err();
        assert!(error.contains(told), "{column} = {value}: {error}");
    }
    let renamed = text.replace("developer = { grants = [[\"developer\"", "developer = { grants = [[\"wizard\"");
    assert_ne!(renamed, text);
    assert!(check(&renamed, &[]).unwrap_err().contains("no role wizard"));
}
