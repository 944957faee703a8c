//! Which persons are one user, and what a user is called.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Author, EventData, part};
use crate::{Id, SchemaError, SourceName, names::user_name, size};

/// A person of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcePerson {
    /// Whose id it is.
    pub source: SourceName,
    /// The id.
    pub person: Id,
}

/// Two persons and one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The two persons, in either order.
    pub persons: [SourcePerson; 2],
    /// The rule that linked them.
    #[serde(default)]
    #[schemars(length(max = size::WORD))]
    pub rule: Option<String>,
    /// Who linked them.
    #[serde(default)]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
    /// Where they are parted: of which person the secrets stay in force that were made for it while they were linked. Without
    /// it none of these signs in any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_since: Option<SourcePerson>,
}
impl EventData for Link {
    fn subject(&self) -> String {
        let [a, b] = &self.persons;
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        let one = |p: &SourcePerson| part(&format!("{}/{}", p.source, p.person)).into_owned();
        format!("link/{}/{}", one(a), one(b))
    }
    fn check(&self) -> Result<(), SchemaError> {
        let [a, b] = &self.persons;
        if a == b { Err(SchemaError::at("/persons/1", "two different persons")) } else { Ok(()) }
    }
}

/// A name is given to a user, whatever the user's sources ask for. It leaves whoever had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserName {
    /// The name, in its canonical form.
    #[schemars(length(max = size::WORD))]
    pub username: String,
    /// The user, `source/id` of its oldest person.
    pub user: Id,
    /// Said with open eyes: with the name passes the personal project of this name, and all that was pushed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_personal_project: bool,
    /// The rule that gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = size::WORD))]
    pub rule: Option<String>,
    /// Who gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for UserName {
    fn subject(&self) -> String {
        username_subject(&self.username)
    }
    fn check(&self) -> Result<(), SchemaError> {
        canonical(&self.username)
    }
}

/// A name that was kept for whoever had it is anybody's again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserNameRef {
    /// The name, in its canonical form.
    #[schemars(length(max = size::WORD))]
    pub username: String,
    /// Said with open eyes: with the name goes the personal project of this name, to whoever has the name next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_personal_project: bool,
    /// Who freed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_with: Option<Id>,
}
impl EventData for UserNameRef {
    fn subject(&self) -> String {
        username_subject(&self.username)
    }
    fn check(&self) -> Result<(), SchemaError> {
        canonical(&self.username)
    }
}

/// The subject of what was decided of a user name.
#[must_use]
pub fn username_subject(name: &str) -> String {
    format!("username/{}", part(&name))
}

fn canonical(name: &str) -> Result<(), SchemaError> {
    let wrong = |why: String| Err(SchemaError::at("/username", why));
    match user_name(name) {
        Ok(canonical) if canonical == name => Ok(()),
        Ok(canonical) => wrong(format!("`{}`, its canonical form", canonical.escape_debug())),
        Err(why) => wrong(format!("a name that a user can have: {why}")),
    }
}
