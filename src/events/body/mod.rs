//! The vocabulary: every event type that exists, as data. A new type is one struct and one row of the table below.
//! Knows shapes and who may say what; knows nothing of roles, order or time.
//! Long because it is one table: forty types, a few lines each.

mod commands;
mod directory;
mod identity;
mod licensing;
#[cfg(test)]
mod malformed_tests;
mod other_versions;
mod removals;
pub(crate) mod settings;
#[cfg(test)]
mod shapes_tests;

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Id, SchemaError, Settings, json, size, time::for_people};

pub use commands::*;
pub use directory::*;
pub use identity::*;
pub use licensing::*;
pub use other_versions::Newer;
pub use removals::group_member_subject_prefix;

/// Who may say an event (DESIGN 5, "Who may say what").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emitter {
    /// A source's connector, about its own subjects.
    Connector,
    /// Ingest itself, about the runs of a source.
    Ingest,
    /// A command under the reserved source `local`.
    Command,
    /// A connector about its source's groups, a command about those that are kept locally.
    ConnectorOrCommand,
}

impl Emitter {
    /// Whether a source's connector may say it.
    #[must_use]
    pub fn is_for_connectors(self) -> bool {
        matches!(self, Self::Connector | Self::ConnectorOrCommand)
    }
}

/// What every event's data can do: name its subject and refuse what no schema can (an end before its start).
pub trait EventData {
    /// The CloudEvents `subject` of the event that carries this data.
    fn subject(&self) -> String;
    /// What the shape alone cannot refuse.
    ///
    /// # Errors
    /// Names the member, relative to the data.
    fn check(&self) -> Result<(), SchemaError> {
        Ok(())
    }
}

/// The table: who may emit them, then the types, in the order of DESIGN 5.
macro_rules! event_types {
    ($make:ident) => {
        $make! {
            Connector {
                /// An organisation exists.
                AccountUpserted(Account) = "account.upserted";
                /// An organisation is gone.
                AccountRemoved(AccountRef) = "account.removed";
                /// A human exists.
                PersonUpserted(Person) = "person.upserted";
                /// The source no longer knows a human.
                PersonRemoved(PersonRef) = "person.removed";
                /// A person holds a permission.
                PermissionGranted(PermissionOf) = "permission.granted";
                /// A person holds a permission no longer.
                PermissionRevoked(PermissionOf) = "permission.revoked";
                /// A product exists.
                ProductUpserted(Product) = "product.upserted";
                /// A product is gone.
                ProductRemoved(ProductRef) = "product.removed";
                /// A download package exists.
                PackageUpserted(Package) = "package.upserted";
                /// A download package is gone.
                PackageRemoved(PackageRef) = "package.removed";
                /// A product is delivered by a package.
                PackageProductMapped(PackageProduct) = "package.product.mapped";
                /// A product is delivered by a package no longer.
                PackageProductUnmapped(PackageProduct) = "package.product.unmapped";
                /// An account bought something.
                EntitlementUpserted(Entitlement) = "entitlement.upserted";
                /// An entitlement is gone.
                EntitlementRemoved(EntitlementRef) = "entitlement.removed";
                /// One dated product line of an entitlement.
                LineUpserted(Line) = "entitlement.line.upserted";
                /// A line is gone.
                LineRemoved(LineRef) = "entitlement.line.removed";
                /// An entitlement is narrowed to named people, and this is one.
                PersonAssigned(EntitlementPerson) = "entitlement.person.assigned";
                /// A named person of an entitlement no longer.
                PersonUnassigned(EntitlementPerson) = "entitlement.person.unassigned";
            }
            ConnectorOrCommand {
                /// A group exists.
                GroupUpserted(Group) = "group.upserted";
                /// A group is gone.
                GroupRemoved(GroupRef) = "group.removed";
                /// Somebody is in a group.
                GroupMemberAdded(GroupMember) = "group.member.added";
                /// Somebody is in a group no longer.
                GroupMemberRemoved(GroupMember) = "group.member.removed";
            }
            Ingest {
                /// A full read began.
                SnapshotStarted(Run) = "snapshot.started";
                /// A full read was complete.
                SnapshotSealed(Run) = "snapshot.sealed";
                /// A full read failed and says nothing.
                SnapshotAborted(Run) = "snapshot.aborted";
                /// The removal guard held the removals of a run.
                SnapshotHeld(Run) = "snapshot.held";
                /// What a full read came to was applied.
                SnapshotApplied(Run) = "snapshot.applied";
                /// Held removals were discarded.
                SnapshotDiscarded(Run) = "snapshot.discarded";
            }
            Command {
                /// A source is no more; all its facts end.
                SourceRetired(SourceRef) = "source.retired";
                /// A source's facts do not count until it is resumed.
                SourceSuspended(SourceRef) = "source.suspended";
                /// The facts of a source that was suspended count again.
                SourceResumed(SourceRef) = "source.resumed";
                /// Two persons are one user.
                IdentityLinked(Link) = "identity.linked";
                /// Two persons are no longer one user.
                IdentityUnlinked(Link) = "identity.unlinked";
                /// A user is called so from now on.
                UserNameGiven(UserName) = "user.name.given";
                /// A name is kept for nobody any more.
                UserNameFreed(UserNameRef) = "user.name.freed";
                /// A scope above projects exists.
                FolderUpserted(Folder) = "folder.upserted";
                /// A scope above projects is gone.
                FolderRemoved(FolderRef) = "folder.removed";
                /// A project was made by a person.
                ProjectCreated(Project) = "project.created";
                /// A project was changed by a person.
                ProjectUpdated(Project) = "project.updated";
                /// A project was deleted by a person.
                ProjectDeleted(ProjectRef) = "project.deleted";
                /// A principal has a role on a scope.
                BindingSet(Binding) = "binding.set";
                /// A principal has a role on a scope no longer.
                BindingRemoved(BindingRef) = "binding.removed";
                /// A non-human principal exists.
                ServiceCreated(Service) = "service.created";
                /// A non-human principal is gone.
                ServiceRemoved(ServiceRef) = "service.removed";
                /// Somebody may fetch one secret with a code.
                SecretInvited(Invitation) = "secret.invited";
                /// A secret was made.
                SecretIssued(Secret) = "secret.issued";
                /// A secret ended.
                SecretRevoked(SecretRef) = "secret.revoked";
                /// Everything that a user could sign in with ended.
                CredentialsReset(UserRef) = "credentials.reset";
                /// Time is counted by the machine's clock again, which the log was ahead of.
                LogClockMended(ClockMended) = "log.clock.mended";
                /// From here on an older version cannot judge the log.
                LogReaderRaised(ReaderRaised) = "log.reader.raised";
                /// The settings in force.
                SettingsSet(Settings) = "settings.set";
                /// The access profile in force.
                ProfileSet(ProfileDocument) = "profile.set";
            }
        }
    };
}

macro_rules! vocabulary {
    ($($emitter:ident { $($(#[$doc:meta])* $variant:ident($data:ident) = $name:literal;)* })*) => {
        /// An event's meaning: its type and its data in one value.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body { $($($(#[$doc])* $variant($data),)*)* }

        impl Body {
            /// Every event type, in the order of DESIGN 5.
            pub const TYPES: &'static [&'static str] = &[$($(concat!("rollcall.", $name, ".v1"),)*)*];

            /// Reads `data` strictly as the data of `kind`.
            ///
            /// # Errors
            /// At `/type` for a type that does not exist, else under `/data`.
            pub fn parse(kind: &str, data: &str) -> Result<Self, SchemaError> {
                let body = match kind {
                    $($(concat!("rollcall.", $name, ".v1") => {
                        let read = json::read_as::<$data>(data, || (schemars::schema_for!($data).into(), ""));
                        read.and_then(|data| data.check().map(|()| Self::$variant(data)))
                    })*)*
                    _ => return Err(unknown_type(kind)),
                };
                body.map_err(|error| error.under("/data"))
            }

            /// As [`Self::parse`], for what is to be recorded: its sizes must be those that the schema allows. What is
            /// recorded already is read whatever its size.
            ///
            /// # Errors
            /// As [`Self::parse`].
            pub fn parse_new(kind: &str, data: &str) -> Result<Self, SchemaError> {
                let body = Self::parse(kind, data)?;
                check_size(kind, data).map_err(|error| error.under("/data")).map(|()| body)
            }

            /// Holds it against the sizes that its schema allows. Asked of everything before it is recorded.
            ///
            /// # Errors
            /// At the first member that is too large, relative to the data.
            pub fn check_size(&self) -> Result<(), SchemaError> {
                check_size(self.kind(), &self.data())
            }

            /// Who may say events of this type; nothing for a type that does not exist.
            #[must_use]
            pub fn emitter_of(kind: &str) -> Option<Emitter> {
                match kind {
                    $($(concat!("rollcall.", $name, ".v1") => Some(Emitter::$emitter),)*)*
                    _ => None,
                }
            }

            /// The event type, e.g. `rollcall.person.upserted.v1`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $($(Self::$variant(_) => concat!("rollcall.", $name, ".v1"),)*)* }
            }

            /// The subject that this data names.
            #[must_use]
            pub fn subject(&self) -> String {
                match self { $($(Self::$variant(data) => data.subject(),)*)* }
            }

            /// Who may say it.
            #[must_use]
            pub fn emitter(&self) -> Emitter {
                match self { $($(Self::$variant(_) => Emitter::$emitter,)*)* }
            }

            /// The data as JSON text, for events that Rollcall itself writes.
            #[must_use]
            pub fn data(&self) -> String {
                let text = match self { $($(Self::$variant(data) => serde_json::to_string(data),)*)* };
                text.unwrap_or_default()
            }
        }

        /// Type name, JSON Schema of its data, for each type.
        pub(crate) fn data_schemas() -> Vec<(&'static str, schemars::Schema)> {
            vec![$($((concat!("rollcall.", $name, ".v1"), schemars::schema_for!($data)),)*)*]
        }
    };
}

macro_rules! commands {
    (
        Connector { $($fact:tt)* }
        ConnectorOrCommand { $($(#[$either_doc:meta])* $either:ident($either_data:ident) = $either_name:literal;)* }
        Ingest { $($run:tt)* }
        Command { $($(#[$doc:meta])* $variant:ident($data:ident) = $name:literal;)* }
    ) => {
        /// What may be said under the reserved source `local`. A type of its own, so that whoever permits or previews
        /// commands judges every one of them.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Command<'a> {
            $($(#[$either_doc])* $either(&'a $either_data),)*
            $($(#[$doc])* $variant(&'a $data),)*
        }

        impl Body {
            /// This as a command; None for what only a source or ingest may say.
            #[must_use]
            pub fn as_command(&self) -> Option<Command<'_>> {
                match self {
                    $(Self::$either(data) => Some(Command::$either(data)),)*
                    $(Self::$variant(data) => Some(Command::$variant(data)),)*
                    _ => None,
                }
            }
        }
    };
}

event_types!(vocabulary);
event_types!(commands);

impl Command<'_> {
    /// Who gave it, and the secret that its author signed in with, where it says so.
    #[must_use]
    pub fn given_by(&self) -> (Option<&Author>, Option<&Id>) {
        match self {
            Self::GroupUpserted(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::GroupRemoved(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::GroupMemberAdded(data) | Self::GroupMemberRemoved(data) => {
                (data.author.as_ref(), data.made_with.as_ref())
            }
            Self::IdentityLinked(data) | Self::IdentityUnlinked(data) => {
                (data.author.as_ref(), data.made_with.as_ref())
            }
            Self::UserNameGiven(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::UserNameFreed(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::FolderUpserted(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::FolderRemoved(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::ProjectCreated(data) | Self::ProjectUpdated(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::ProjectDeleted(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::BindingSet(data) => (Some(&data.author), data.made_with.as_ref()),
            Self::BindingRemoved(data) => (Some(&data.author), data.made_with.as_ref()),
            Self::ServiceCreated(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::ServiceRemoved(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::SecretInvited(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::SecretIssued(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::SecretRevoked(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::CredentialsReset(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::SourceRetired(data) | Self::SourceSuspended(data) | Self::SourceResumed(data) => {
                (data.author.as_ref(), data.made_with.as_ref())
            }
            Self::LogClockMended(data) => (data.author.as_ref(), data.made_with.as_ref()),
            Self::LogReaderRaised(_) | Self::SettingsSet(_) | Self::ProfileSet(_) => (None, None),
        }
    }
}

/// The schema of each type's data, by type.
pub(crate) static SCHEMAS: LazyLock<BTreeMap<&'static str, serde_json::Value>> =
    LazyLock::new(|| data_schemas().into_iter().map(|(kind, schema)| (kind, schema.into())).collect());

fn check_size(kind: &str, data: &str) -> Result<(), SchemaError> {
    let most = match Body::emitter_of(kind) {
        Some(Emitter::Connector | Emitter::ConnectorOrCommand) => size::SAID,
        _ => size::DOCUMENT,
    };
    size::check(|| SCHEMAS.get(kind), data, most)
}

fn unknown_type(kind: &str) -> SchemaError {
    if let Some(known) = other_versions::older_version_of(kind) {
        let kind = kind.escape_debug();
        return SchemaError::at(
            "/type",
            format!("`{kind}` is of a newer version than this server reads: upgrade Rollcall, or send `{known}`"),
        );
    }
    let near = Body::TYPES.iter().min_by_key(|known| distance(known, kind)).copied().unwrap_or_default();
    SchemaError::at("/type", format!("`{}` is not an event type; the nearest is `{near}`", kind.escape_debug()))
}

/// Levenshtein distance, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let next = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, next);
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Subjects of two ids keep them apart: `/` and `%` inside an id are written `%2F` and `%25`.
fn part<T: AsRef<str>>(id: &T) -> Cow<'_, str> {
    let id = id.as_ref();
    if id.contains(['%', '/']) { id.replace('%', "%25").replace('/', "%2F").into() } else { id.into() }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// The subject of a relation between two ids, e.g. `package_product/db-suite/DB`.
#[must_use]
pub fn pair_subject(noun: &str, a: &str, b: &str) -> String {
    format!("{noun}/{}/{}", part(&a), part(&b))
}

fn window(starts: Option<DateTime<Utc>>, ends: Option<DateTime<Utc>>, at: &str) -> Result<(), SchemaError> {
    match (starts, ends) {
        (Some(starts), Some(ends)) if ends < starts => Err(SchemaError::at(
            at,
            format!("the window [starts, ends) ends at {}, before its start {}", for_people(ends), for_people(starts)),
        )),
        _ => Ok(()),
    }
}

macro_rules! reference {
    ($($(#[$doc:meta])* $name:ident { $field:ident $(, $author:ident, $made_with:ident)? } = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// The id.
            pub $field: Id,
            $(
                /// Who said so.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $author: Option<Author>,
                /// The secret that the author signed in with.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $made_with: Option<Id>,
            )?
        }
        impl EventData for $name {
            fn subject(&self) -> String {
                format!(concat!($prefix, "/{}"), self.$field)
            }
        }
    )*};
}

reference! {
    /// Names an account.
    AccountRef { account } = "account";
    /// Names a person.
    PersonRef { person } = "person";
    /// Names a product.
    ProductRef { product } = "product";
    /// Names a package.
    PackageRef { package } = "package";
    /// Names an entitlement.
    EntitlementRef { entitlement } = "entitlement";
    /// Names a line.
    LineRef { line } = "line";
    /// Names a group.
    GroupRef { group, author, made_with } = "group";
    /// Names a folder.
    FolderRef { folder, author, made_with } = "folder";
    /// Names a project.
    ProjectRef { project, author, made_with } = "project";
    /// Names a service.
    ServiceRef { service, author, made_with } = "service";
    /// Names a secret.
    SecretRef { secret, author, made_with } = "secret";
    /// Names a user.
    UserRef { user, author, made_with } = "user";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, data: &str) -> SchemaError {
        Body::parse(kind, data).unwrap_err()
    }

    #[test]
    fn what_is_required_must_be_stated_even_when_null() {
        let kind = "rollcall.person.upserted.v1";
        let error = refused(kind, r#"{"person":"ada","active":true}"#);
        assert_eq!((error.pointer.as_str(), error.expected.contains("account")), ("/data", true));
        assert!(Body::parse(kind, r#"{"person":"ada","active":true,"account":null}"#).is_ok());
        assert!(
            refused(
                "rollcall.entitlement.line.upserted.v1",
                r#"{"line":"1","entitlement":"E","product":"P","starts":null}"#
            )
            .expected
            .contains("ends")
        );
    }

    #[test]
    fn a_refusal_names_the_member_and_what_is_allowed() {
        let kind = "rollcall.entitlement.upserted.v1";
        let error = refused(kind, r#"{"entitlement":"E","account":"A","state":"running"}"#);
        assert_eq!(error.pointer, "/data/state");
        assert!(error.expected.contains("on_hold"), "{error}");
        assert!(
            refused(kind, r#"{"entitlement":"E","account":"A","state":"inactive","state":"active"}"#)
                .expected
                .contains("there twice")
        );
        assert!(refused("rollcall.persn.upserted.v1", "{}").expected.contains("rollcall.person.upserted.v1"));
    }

    #[test]
    fn a_window_that_ends_before_it_starts_is_refused_and_an_empty_one_is_not() {
        let line = |ends| {
            format!(r#"{{"line":"1","entitlement":"E","product":"P","starts":"2026-01-02T00:00:00Z","ends":"{ends}"}}"#)
        };
        let kind = "rollcall.entitlement.line.upserted.v1";
        assert_eq!(refused(kind, &line("2026-01-01T00:00:00Z")).pointer, "/data/ends");
        assert!(Body::parse(kind, &line("2026-01-02T00:00:00Z")).is_ok());
    }

    #[test]
    fn subjects_of_two_ids_cannot_collide() {
        let pair =
            |a: &str, b: &str| PackageProduct { package: a.parse().unwrap(), product: b.parse().unwrap() }.subject();
        assert_eq!(pair("db-suite", "DB"), "package_product/db-suite/DB");
        assert_ne!(pair("a", "b/c"), pair("a/b", "c"));
        assert_ne!(pair("a%2Fb", "c"), pair("a/b", "c"));
    }

    #[test]
    fn a_link_has_one_subject_whichever_way_round_it_is_said() {
        let person = |s: &str, p: &str| SourcePerson { source: s.parse().unwrap(), person: p.parse().unwrap() };
        let link = |persons| Link { persons, rule: None, author: None, made_with: None, given_since: None };
        let (a, b) = (person("x", "1"), person("y", "2"));
        assert_eq!(link([a.clone(), b.clone()]).subject(), link([b, a.clone()]).subject());
        assert!(link([a.clone(), a]).check().is_err());
    }

    #[test]
    fn every_type_reads_back_what_it_writes() {
        let body = Body::parse("rollcall.entitlement.line.upserted.v1", r#"{"line":"ENT-7/1","entitlement":"ENT-7","product":"DB","starts":null,"ends":"2026-03-02T00:00:00Z","quantity":3}"#).unwrap();
        assert_eq!(Body::parse(body.kind(), &body.data()).unwrap(), body);
        assert_eq!(body.subject(), "line/ENT-7/1");
    }
}
