//! Whether a command may be given: is it valid, and may its author do this here. One file per thing that commands are
//! about. Changes nothing: the API asks before it appends, and the fold again at the command's position, whose answer
//! counts.

pub(crate) mod authority;
mod bindings;
mod folders;
mod groups;
pub(crate) mod last_holder;
pub(crate) mod names;
mod projects;
pub(crate) mod refusal;
pub(crate) mod secrets;
mod services;
mod sources;

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Command, body,
    names::{has_form_of_id, hidden},
};

use crate::{
    commands::refusal::{Refusal, RefusalKind},
    roster::{
        Roster,
        handles::{Place, Principal},
    },
};

impl Roster {
    /// Whether a command may be given now: the question that is asked before it is appended, and by the fold again.
    ///
    /// # Errors
    /// Says what stands against it.
    pub fn check_command(&self, command: &Body, now: DateTime<Utc>) -> Result<(), Refusal> {
        let user = |id: &rollcall_events::Id| {
            let found = self.user_by_id(id.as_str()).map(Principal::User);
            found.ok_or_else(|| RefusalKind::Unknown.because(format!("there is no user `{id}`")))
        };
        // Whoever adds a command says here who may give it.
        let Some(command) = command.as_command() else {
            return Err(RefusalKind::Invalid.because("facts come from sources, not from commands"));
        };
        self.check_given_with(&command, now)?;
        match command {
            Command::BindingSet(data) => self.check_binding(data, now).map(|_| ()),
            Command::BindingRemoved(data) => self.check_binding_removal(data, now).map(|_| ()),
            Command::FolderUpserted(data) => self.check_folder(data, now).map(|_| ()),
            Command::FolderRemoved(data) => self.check_folder_removal(data, now).map(|_| ()),
            Command::ProjectCreated(data) => self.check_project_creation(data, now).map(|_| ()),
            Command::ProjectUpdated(data) => self.check_project_update(data, now).map(|_| ()),
            Command::ProjectDeleted(data) => self.check_project_deletion(data, now).map(|_| ()),
            Command::ServiceCreated(data) => self.check_service(data, now),
            Command::ServiceRemoved(data) => self.check_service_removal(data, now).map(|_| ()),
            Command::GroupUpserted(data) => self.check_group(data, now),
            Command::GroupRemoved(data) => self.check_group_removal(data, now),
            Command::GroupMemberAdded(data) | Command::GroupMemberRemoved(data) => {
                self.check_member(data, matches!(command, Command::GroupMemberRemoved(_)), now)
            }
            // Whoever has an invitation needs nothing else.
            Command::SecretIssued(data) if data.invitation.is_some() => Ok(()),
            Command::SecretIssued(data) => {
                let owner = match &data.owner {
                    body::SecretOwner::User(id) => user(id)?,
                    body::SecretOwner::Service(id) => self
                        .service_by_id(id.as_str())
                        .map(Principal::Service)
                        .ok_or_else(|| RefusalKind::Unknown.because(format!("there is no service `{id}`")))?,
                };
                self.check_secret_making(command.given_by(), owner, now)
            }
            Command::SecretInvited(data) => self.check_secret_making(command.given_by(), user(&data.user)?, now),
            Command::SecretRevoked(data) => self.check_secret_ending(data, now),
            Command::CredentialsReset(data) => {
                self.hand(command.given_by(), user(&data.user)?, "secret.revoke", now).map(|_| ())
            }
            Command::IdentityLinked(data) | Command::IdentityUnlinked(data) => {
                self.authorize(data.author.as_ref(), "person.link", Place::Root, now).map(|_| ())
            }
            Command::UserNameGiven(data) => self.check_name_given(data, now),
            Command::UserNameFreed(data) => self.check_name_freed(data, now),
            Command::LogClockMended(data) => {
                self.authorize(data.author.as_ref(), "settings.set", Place::Root, now).map(|_| ())
            }
            // The log itself says so, and it gives nobody anything.
            Command::LogReaderRaised(_) => Ok(()),
            Command::SettingsSet(data) => {
                self.authorize(data.author.as_ref(), "settings.set", Place::Root, now).map(|_| ())
            }
            Command::ProfileSet(data) => {
                self.authorize(data.author().as_ref(), "settings.set", Place::Root, now).map(|_| ())
            }
            Command::SourceRetired(data) | Command::SourceSuspended(data) | Command::SourceResumed(data) => {
                self.check_source(data, now)
            }
        }
    }
}

/// Ids of what is kept here stand in paths, image names and logins.
pub(crate) fn check_id(what: &str, id: &str) -> Result<(), Refusal> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    let well_formed = id.len() <= 100 && id.chars().all(good) && id.starts_with(|c: char| c.is_ascii_alphanumeric());
    if well_formed && has_form_of_id(id) {
        Err(RefusalKind::Invalid
            .because(format!("`{id}` has the form of an id that Rollcall makes; take another {what}")))
    } else if well_formed {
        Ok(())
    } else {
        Err(RefusalKind::Invalid.because(format!(
            "`{}` is no id of a {what}: at most 100 of a-z, 0-9, `.`, `-` and `_`, beginning with a letter or digit",
            id.escape_debug()
        )))
    }
}

/// A label may be anything that is seen as it is.
pub(crate) fn check_label(what: &str, label: Option<&str>) -> Result<(), Refusal> {
    label.and_then(hidden).map_or(Ok(()), |c| {
        Err(RefusalKind::Invalid.because(format!(
            "the name of this {what} has a character that is not seen, U+{:04X}; leave it out",
            u32::from(c)
        )))
    })
}
