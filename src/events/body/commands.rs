//! What Rollcall's own commands say: folders, projects, bindings, services, secrets, settings, the profile.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EventData, part, window};
use crate::{Id, SchemaError, Settings, Sha256Hex, SourceName, size, time};

/// A scope above projects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// The id.
    pub folder: Id,
    /// The scope level of the profile at which it sits: `team`, `region`, `resource_group`, `account`, ...
    pub kind: Id,
    /// The folder above it.
    #[serde(default)]
    pub parent: Option<Id>,
    /// A label.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub name: Option<String>,
    /// Who set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Folder {
    fn subject(&self) -> String {
        format!("folder/{}", self.folder)
    }
}

/// From here on time is counted by the machine's clock again: what was recorded before carries times of a clock that lied.
/// The one record whose time may lie before that of its predecessor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockMended {
    /// From when on time is counted again.
    #[serde(deserialize_with = "time::required")]
    pub from: DateTime<Utc>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for ClockMended {
    fn subject(&self) -> String {
        "log".to_owned()
    }
}

/// From here on only a reader of this number or a later one judges the log rightly: an older version does not start on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReaderRaised {
    /// The oldest reader that can.
    pub reader: u32,
    /// The version of Rollcall that said so: it can, and so can every later one.
    #[schemars(length(max = size::WORD))]
    pub version: String,
}
impl EventData for ReaderRaised {
    fn subject(&self) -> String {
        "log/reader".to_owned()
    }
}

/// A project that a person made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The id.
    pub project: Id,
    /// The first path segment of its image names.
    #[schemars(length(max = size::NAME))]
    pub name: String,
    /// What it is.
    pub kind: ProjectKind,
    /// Who may pull without a role.
    pub visibility: Visibility,
    /// The folder above it.
    #[serde(default)]
    pub folder: Option<Id>,
    /// The user who made it and is its administrator.
    #[serde(default)]
    pub creator: Option<Id>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Project {
    fn subject(&self) -> String {
        format!("project/{}", self.project)
    }
}

/// The kinds of project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProjectKind {
    /// An ordinary one.
    Standard,
    /// The one that everybody shares.
    Global,
    /// Somebody's own.
    Personal,
}

/// Who may pull without a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Nobody.
    Private,
    /// Everybody who is signed in.
    Protected,
    /// Everybody.
    Public,
}

/// Who gave a command: a principal as `user:source/id` or `service:id`, or else the operator in words of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("maxLength" = 512))]
pub struct Author(String);

impl Author {
    /// Whoever holds the admin key.
    #[must_use]
    pub fn operator() -> Self {
        Self("admin key".to_owned())
    }

    /// A user or a service.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        Self(principal.to_string())
    }

    /// The user or service that it names; absent for the operator.
    #[must_use]
    pub fn principal(&self) -> Option<Principal> {
        let (kind, id) = self.0.split_once(':')?;
        let id = id.parse().ok()?;
        match kind {
            "user" => Some(Principal::User(id)),
            "service" => Some(Principal::Service(id)),
            _ => None,
        }
    }

    /// As one was written, kept beside the log.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who a binding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Principal {
    /// A user, by id.
    User(Id),
    /// A service.
    Service(Id),
    /// A group of a source, `source/id`.
    Group(Id),
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Service(id) => write!(f, "service:{id}"),
            Self::Group(id) => write!(f, "group:{id}"),
        }
    }
}

/// A role on a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Who.
    pub principal: Principal,
    /// Which role of the profile.
    #[schemars(length(max = size::WORD))]
    pub role: String,
    /// Where: the root, a folder or a project.
    pub scope: Scope,
    /// Who set it.
    pub author: Author,
    /// From when.
    #[serde(default, deserialize_with = "time::nullable")]
    pub starts: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    #[serde(default, deserialize_with = "time::nullable")]
    pub ends: Option<DateTime<Utc>>,
    /// The secret that the author signed in with; this is good for no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Binding {
    fn subject(&self) -> String {
        binding_subject(&self.principal, &self.role, &self.scope)
    }
    fn check(&self) -> Result<(), SchemaError> {
        window(self.starts, self.ends, "/ends")
    }
}

/// Names a binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingRef {
    /// Who.
    pub principal: Principal,
    /// Which role.
    #[schemars(length(max = size::WORD))]
    pub role: String,
    /// Where.
    pub scope: Scope,
    /// Who removed it.
    pub author: Author,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for BindingRef {
    fn subject(&self) -> String {
        binding_subject(&self.principal, &self.role, &self.scope)
    }
}

fn binding_subject(principal: &Principal, role: &str, scope: &Scope) -> String {
    let principal = principal.to_string();
    let scope = match scope {
        Scope::Root => "root".to_owned(),
        Scope::Folder(id) => format!("folder:{id}"),
        Scope::Project(id) => format!("project:{id}"),
    };
    format!("binding/{}/{}/{}", part(&principal), part(&role), part(&scope))
}

/// Where a role holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everywhere.
    Root,
    /// A folder and everything below it.
    Folder(Id),
    /// One project.
    Project(Id),
}

/// A non-human principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The id.
    pub service: Id,
    /// A label.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub name: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Until when (exclusive) it is there: from then on it signs nobody in and may do nothing. Without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "time::nullable")]
    pub ends: Option<DateTime<Utc>>,
    /// Of a licensing portal: the sources whose people it serves. Secrets that it makes for people reach only what these
    /// sources give. Every source when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = size::LIST))]
    pub sources: Vec<SourceName>,
    /// The secret that the author signed in with; this is good for no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Service {
    fn subject(&self) -> String {
        format!("service/{}", self.service)
    }
}

/// A single-use code with which a user fetches one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The invitation's id.
    pub secret: Id,
    /// Whose secret it will be.
    pub user: Id,
    /// SHA-256 of the code, hexadecimal.
    pub sha256: Sha256Hex,
    /// Until when (exclusive) it can be redeemed.
    #[serde(deserialize_with = "time::required")]
    pub expires: DateTime<Utc>,
    /// Who invited.
    #[serde(default)]
    pub author: Option<Author>,
    /// The secret that the author signed in with; neither this nor what it fetches is good for longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Invitation {
    fn subject(&self) -> String {
        format!("secret/{}", self.secret)
    }
}

/// A registry secret of a user, or a secret of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The secret's id.
    pub secret: Id,
    /// The user or service that it signs in.
    pub owner: SecretOwner,
    /// SHA-256 of the secret, hexadecimal.
    pub sha256: Sha256Hex,
    /// A label.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub label: Option<String>,
    /// Until when (exclusive) it is good.
    #[serde(default, deserialize_with = "time::nullable")]
    pub expires: Option<DateTime<Utc>>,
    /// The invitation that it redeems.
    #[serde(default)]
    pub invitation: Option<Id>,
    /// Who made it.
    #[serde(default)]
    pub author: Option<Author>,
    /// The secret that the author signed in with; this is good for no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for Secret {
    fn subject(&self) -> String {
        format!("secret/{}", self.secret)
    }
}

/// Whom a secret signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretOwner {
    /// A user, by id.
    User(Id),
    /// A service.
    Service(Id),
}

impl EventData for Settings {
    fn subject(&self) -> String {
        "settings".to_owned()
    }
}

/// A whole access profile. Its grammar is the access crate's; the words only carry it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProfileDocument(
    #[schemars(
        with = "serde_json::Map<String, serde_json::Value>",
        extend("maxProperties" = 256, "propertyNames" = {"type": "string", "maxLength": 256})
    )]
    pub Box<RawValue>,
);

impl ProfileDocument {
    /// Who applied it; absent where a start recorded it.
    #[must_use]
    pub fn author(&self) -> Option<Author> {
        #[derive(Deserialize)]
        struct Authored {
            #[serde(default)]
            author: Option<Author>,
        }
        serde_json::from_str::<Authored>(self.0.get()).ok()?.author
    }
}

impl PartialEq for ProfileDocument {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}
impl EventData for ProfileDocument {
    fn subject(&self) -> String {
        "profile".to_owned()
    }
}
