//! What a licensing system says: accounts, people, products, packages, entitlements.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EventData, SourcePerson, pair_subject, window};
use crate::{Id, SchemaError, json::nullable, size, time};

/// An organisation in the licensing system. Accounts form a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The source's id.
    pub account: Id,
    /// What it is in the trade.
    pub kind: AccountKind,
    /// The account above it.
    #[serde(default)]
    pub parent: Option<Id>,
    /// A label.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub name: Option<String>,
}
impl EventData for Account {
    fn subject(&self) -> String {
        format!("account/{}", self.account)
    }
}

/// What an account is in the trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// It publishes packages.
    Producer,
    /// It buys them.
    Customer,
}

/// One human as one source knows them. E-mail and display name never get here: ingest cuts `personal` out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The source's immutable id; never a login, a DN or an e-mail.
    pub person: Id,
    /// The name to sign in with. The person's id when absent.
    #[serde(default)]
    #[schemars(length(max = size::WORD))]
    pub username: Option<String>,
    /// The account that the person belongs to; `null` for none.
    #[serde(deserialize_with = "nullable")]
    #[schemars(schema_with = "nullable_id")]
    pub account: Option<Id>,
    /// `false` while suspended.
    pub active: bool,
    /// The persons of other sources that this one is, by what this source keeps of them: at most one of each, and 16. Whether
    /// they are linked is an operator's to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_SAME_AS))]
    pub same_as: Vec<SourcePerson>,
}
/// Of how many other sources a source may know its person.
const MAX_SAME_AS: usize = 16;

impl EventData for Person {
    fn subject(&self) -> String {
        format!("person/{}", self.person)
    }
    fn check(&self) -> Result<(), SchemaError> {
        if self.same_as.len() > MAX_SAME_AS {
            return Err(SchemaError::at("/same_as", format!("at most {MAX_SAME_AS} persons")));
        }
        let twice = |(n, one): (usize, &SourcePerson)| {
            let before = self.same_as.get(..n).unwrap_or_default();
            before.iter().any(|other| other.source == one.source).then_some(n)
        };
        match self.same_as.iter().enumerate().find_map(twice) {
            Some(n) => Err(SchemaError::at(format!("/same_as/{n}/source"), "one person of each source at most")),
            None => Ok(()),
        }
    }
}

fn nullable_id(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let id = generator.subschema_for::<Id>();
    schemars::json_schema!({"anyOf": [id, {"type": "null"}]})
}

fn nullable_time(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": ["string", "null"], "format": "date-time"})
}

/// A permission of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermissionOf {
    /// Whose.
    pub person: Id,
    /// Which.
    pub permission: Permission,
}
impl EventData for PermissionOf {
    fn subject(&self) -> String {
        let Permission::ViewAndManageDownloadPackages = self.permission;
        pair_subject("permission", self.person.as_str(), "view_and_manage_download_packages")
    }
}

/// The permissions that mean something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// "View and Manage Download Packages": with a producer account, it makes a Developer.
    ViewAndManageDownloadPackages,
}

/// What is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The source's id.
    pub product: Id,
    /// A label.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub name: Option<String>,
}
impl EventData for Product {
    fn subject(&self) -> String {
        format!("product/{}", self.product)
    }
}

/// What is delivered. With container delivery it has a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The source's id.
    pub package: Id,
    /// A label, and the project's name where `project_name` is absent.
    #[serde(default)]
    #[schemars(length(max = size::NAME))]
    pub name: Option<String>,
    /// The project's name.
    #[serde(default)]
    #[schemars(length(max = size::WORD))]
    pub project_name: Option<String>,
    /// The account that publishes it.
    pub producer: Id,
    /// Whether images and charts are delivered.
    pub container_delivery: bool,
    /// From when customers may have it.
    #[serde(default, deserialize_with = "time::nullable")]
    pub effective_from: Option<DateTime<Utc>>,
    /// Until when (exclusive) customers may have it.
    #[serde(default, deserialize_with = "time::nullable")]
    pub effective_until: Option<DateTime<Utc>>,
}
impl EventData for Package {
    fn subject(&self) -> String {
        format!("package/{}", self.package)
    }
    fn check(&self) -> Result<(), SchemaError> {
        window(self.effective_from, self.effective_until, "/effective_until")
    }
}

/// A product in a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageProduct {
    /// The package.
    pub package: Id,
    /// The product.
    pub product: Id,
}
impl EventData for PackageProduct {
    fn subject(&self) -> String {
        pair_subject("package_product", self.package.as_str(), self.product.as_str())
    }
}

/// Who bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entitlement {
    /// The source's id.
    pub entitlement: Id,
    /// The account that bought it.
    pub account: Id,
    /// Only `active` grants.
    pub state: EntitlementState,
}
impl EventData for Entitlement {
    fn subject(&self) -> String {
        format!("entitlement/{}", self.entitlement)
    }
}

/// The states of an entitlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntitlementState {
    /// Not yet in force.
    Draft,
    /// In force: the only state that grants.
    Active,
    /// Suspended.
    OnHold,
    /// Ended.
    Inactive,
    /// Ended and replaced.
    Obsolete,
    /// A word of a newer version. Whatever it means, it is not `active`.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Unknown,
}

/// One dated product line of an entitlement. The window is `[starts, ends)`; `null` is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The source's id.
    pub line: Id,
    /// The entitlement that it belongs to.
    pub entitlement: Id,
    /// What was bought.
    pub product: Id,
    /// From when.
    #[serde(deserialize_with = "time::nullable")]
    #[schemars(schema_with = "nullable_time")]
    pub starts: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    #[serde(deserialize_with = "time::nullable")]
    #[schemars(schema_with = "nullable_time")]
    pub ends: Option<DateTime<Utc>>,
    /// Shown, not enforced.
    #[serde(default)]
    pub quantity: Option<u64>,
}
impl EventData for Line {
    fn subject(&self) -> String {
        format!("line/{}", self.line)
    }
    fn check(&self) -> Result<(), SchemaError> {
        window(self.starts, self.ends, "/ends")
    }
}

/// A named person of an entitlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntitlementPerson {
    /// The entitlement.
    pub entitlement: Id,
    /// The person, of whatever account.
    pub person: Id,
}
impl EventData for EntitlementPerson {
    fn subject(&self) -> String {
        pair_subject("entitlement_person", self.entitlement.as_str(), self.person.as_str())
    }
}
