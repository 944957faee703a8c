//! A profile file's shape, as it is read and as `profile.set` carries it. What it means is checked by
//! `Profile::compile`.

use std::collections::BTreeMap;

use rollcall_events::body::{Author, Visibility};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A profile as its file says it. `access-models/README.md` section 13 gives the meaning of every key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this format: 1.
    pub schema: u32,
    /// The profile's name.
    pub name: String,
    /// The system that it models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Where the rules come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Scope levels, root first; the last one holds projects.
    pub levels: Vec<String>,
    /// Switches that ceilings and baselines look at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, SwitchDocument>,
    /// Kinds of project and the visibilities that each may have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, KindDocument>,
    /// Roles: unordered sets of actions.
    pub roles: BTreeMap<String, RoleDocument>,
    /// Actions that count only when granted at certain levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limit: Vec<LimitDocument>,
    /// What callers have without a grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<BaselineDocument>,
    /// What is taken away, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceiling: Vec<CeilingDocument>,
    /// Rules about memberships.
    #[serde(default)]
    pub rules: Rules,
    /// The system's own words for what is done, each with the actions that it needs, all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<String, Vec<String>>,
    /// Which operation each verb of an OCI client is.
    #[serde(default)]
    pub registry: RegistryVerbs,
    /// Which operation or action here gives each action of Rollcall's own API to those who may do it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub api: BTreeMap<String, String>,
    /// Who applied it: stands in an event, never in a file, and is no part of the effective document.
    #[serde(default, skip_serializing)]
    pub author: Option<Author>,
    /// Read by conformance tests only; never part of the effective document.
    #[serde(default, skip_serializing)]
    pub test: Option<Value>,
}

impl Document {
    /// Without its name and every remark: what is left is what it means.
    #[must_use]
    pub fn without_remarks(&self) -> Self {
        let mut document = Self { name: String::new(), system: None, source: None, ..self.clone() };
        document.settings.values_mut().for_each(|switch| switch.note = None);
        document.kinds.values_mut().for_each(|kind| kind.note = None);
        document.roles.values_mut().for_each(|role| role.note = None);
        document.rules.remarks.clear();
        document
    }
}

/// A switch: what it can say, and what it says if nobody sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchDocument {
    /// What it can say.
    pub values: Vec<String>,
    /// What it says by default.
    pub default: String,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A kind of project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindDocument {
    /// The visibilities that it may have.
    pub visibility: Vec<Visibility>,
    /// The one that it starts with.
    pub default: Visibility,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleDocument {
    /// Exact actions, `noun.*`, or `*`.
    pub actions: Vec<String>,
    /// The levels at which it may be granted.
    pub at: Vec<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A limit on where an action may be granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDocument {
    /// Its name.
    pub id: String,
    /// The actions.
    pub actions: Vec<String>,
    /// The levels at which a grant of them counts.
    pub levels: Vec<String>,
}

/// Who a baseline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PseudoPrincipal {
    /// Every caller.
    Anyone,
    /// Every signed-in caller.
    Authenticated,
}

/// What callers have without a grant. Absent conditions match everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineDocument {
    /// Who.
    pub principal: PseudoPrincipal,
    /// What.
    pub actions: Vec<String>,
    /// On resources of this visibility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// On resources of this level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// While these switches say this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, String>,
}

/// What is taken away while some switches say something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeilingDocument {
    /// Its name, for explanations.
    pub id: String,
    /// What is taken away.
    pub actions: Vec<String>,
    /// While these switches say this.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub when: BTreeMap<String, String>,
    /// Not from holders of these roles on the resource or above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exempt_roles: Vec<String>,
    /// Not on projects of this kind ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exempt_kind: Option<String>,
    /// ... that the caller owns (`self`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exempt_owner: Option<String>,
}

/// Rules about memberships.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// The role of producer people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer_role: Option<String>,
    /// The role of entitled customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_role: Option<String>,
    /// The role of a project's creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_role: Option<String>,
    /// When somebody gets a project of his or her own; absent where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_project: Option<String>,
    /// The role that a personal project gives to its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_role: Option<String>,
    /// Roles of which every scope keeps a holder once it has one: a command that takes the last one is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_holder_stays: Vec<String>,
    /// The least that an administrator holds where he or she is a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_at_least: Option<String>,
    /// Roles whose holders give any role of the profile where they hold it, also one that is more than they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub givers: Vec<String>,
    /// Remarks, of which nothing follows. A file has those alone that are known.
    #[serde(flatten)]
    pub remarks: BTreeMap<String, Value>,
}

/// Which operation each verb of an OCI client is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryVerbs {
    /// Reading images and charts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<String>,
    /// Writing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<String>,
    /// Deleting them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
    /// Listing all repositories; where absent, whoever holds a role of everything at the root may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
}
