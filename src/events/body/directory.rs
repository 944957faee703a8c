//! What a directory says, and what a full read of any source was: groups, their members, runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Author, EventData, part};
use crate::{Id, SourceName, size};

/// A set of people, services and groups of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The source's immutable id.
    pub group: Id,
    /// A label.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub name: Option<String>,
    /// How the source's people know it, e.g. a DN.
    #[serde(default)]
    #[schemars(length(max = size::TEXT))]
    pub external_id: Option<String>,
    /// Who set it, of a group kept locally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Group {
    fn subject(&self) -> String {
        format!("group/{}", self.group)
    }
}

/// Somebody in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMember {
    /// The group.
    pub group: Id,
    /// Who is in it.
    pub member: Member,
    /// Who put it there or took it out, of a group kept locally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for GroupMember {
    fn subject(&self) -> String {
        let (kind, id) = match &self.member {
            Member::Person(id) => ("person", id),
            Member::Service(id) => ("service", id),
            Member::Group(id) => ("group", id),
        };
        member_subject(self.group.as_str(), kind, id.as_str())
    }
}

/// The subject of somebody's being in a group; `kind` is `person`, `service` or `group`.
#[must_use]
pub fn member_subject(group: &str, kind: &str, member: &str) -> String {
    format!("member/{}/{kind}/{}", part(&group), part(&member))
}

/// A member of a group: an id of the group's own source. Of a group kept locally, a person and a group are
/// `source/id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Member {
    /// A person.
    Person(Id),
    /// A service.
    Service(Id),
    /// A group.
    Group(Id),
}

/// A full read of a source, from its start to what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The run's id.
    pub run: Id,
    /// What was read.
    #[serde(default)]
    #[schemars(length(max = size::TEXT))]
    pub scope: Option<String>,
    /// The lease epoch of the runner.
    #[serde(default)]
    pub epoch: u64,
    /// How many entries were read, per noun.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 256, "propertyNames" = {"type": "string", "maxLength": 256}))]
    pub counts: std::collections::BTreeMap<String, u64>,
    /// SHA-256 over what was read, hexadecimal.
    #[serde(default)]
    #[schemars(length(max = size::WORD))]
    pub digest: Option<String>,
    /// Why it was aborted, held or discarded.
    #[serde(default)]
    #[schemars(length(max = size::TEXT))]
    pub reason: Option<String>,
}
impl EventData for Run {
    fn subject(&self) -> String {
        format!("run/{}", self.run)
    }
}

impl super::Body {
    /// The run that an event about one states.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::SnapshotStarted(run)
            | Self::SnapshotSealed(run)
            | Self::SnapshotAborted(run)
            | Self::SnapshotHeld(run)
            | Self::SnapshotApplied(run)
            | Self::SnapshotDiscarded(run) => Some(run),
            _ => None,
        }
    }
}

/// Names a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceRef {
    /// The configured name.
    pub source: SourceName,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for SourceRef {
    fn subject(&self) -> String {
        format!("source/{}", self.source)
    }
}
