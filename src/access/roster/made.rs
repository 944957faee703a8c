//! What a secret made that is there still: asked when the secret is revoked, so that the operator can choose.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id, Position,
    body::{self, Author, BindingRef, GroupMember, Member, SecretRef, ServiceRef},
};

use crate::roster::{
    Roster,
    facts::{MadeThing, Origin, SecretUse, instant},
    handles::{GroupIx, Principal, ProjectIx, SecretIx, ServiceIx},
};

/// A kind of thing that a secret can have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    /// A secret of a user or service.
    Secret,
    /// An invitation that was not redeemed.
    Invitation,
    /// A role given by hand.
    Binding,
    /// A service.
    Service,
    /// Somebody in a group that is kept here.
    Member,
    /// A group that is kept here.
    Group,
    /// A folder.
    Folder,
    /// A project.
    Project,
}

/// A thing that a secret made.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeView {
    /// What kind of thing.
    pub kind: Made,
    /// Its id; of a binding and a membership the subject of its events.
    pub id: String,
    /// Whose it is or who is in it, where that is somebody.
    pub whose: Option<String>,
    /// Until when (exclusive) it stands by itself.
    pub until: Option<DateTime<Utc>>,
    /// The event that says so.
    pub position: Position,
    /// The command that ends it; absent of a place (a project, folder or group), which gives nobody anything by itself.
    pub removal: Option<Body>,
    /// The secret that it was made with: the one that is asked about, or one that that one made.
    pub made_with: String,
}

impl Made {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Invitation => "invitation",
            Self::Binding => "binding",
            Self::Service => "service",
            Self::Member => "member",
            Self::Group => "group",
            Self::Folder => "folder",
            Self::Project => "project",
        }
    }
}

impl Roster {
    /// Whose a secret is, and who made it where that was somebody else than the operator, whether it is over or not.
    #[must_use]
    pub fn secret_owner_and_maker(&self, secret: &str) -> Option<(Principal, Option<Principal>)> {
        let (_, row) = self.secret_by_id(secret)?;
        Some((self.owner_principal(row.owner)?, row.author.and_then(|author| self.owner_principal(author))))
    }

    /// What a secret made, and what that made in turn, as far as it stands: what was made first comes first.
    #[must_use]
    pub fn made_with(&self, secret: &str, (author, with): (&Author, Option<&Id>), now: DateTime<Utc>) -> Vec<MadeView> {
        let by = (author, with);
        let Some((SecretIx(first), _)) = self.secret_by_id(secret) else { return Vec::new() };
        let now = now.timestamp_micros();
        // Rows come after the rows that made them, so one walk finds them all.
        let mut makers = vec![first];
        let mut found = Vec::new();
        for ix in first.saturating_add(1)..self.facts.secrets.len() {
            let Some(row) = self.secret_row(ix).filter(|row| makers.contains(&row.made_with)) else { continue };
            makers.push(ix);
            if self.is_open_secret(row, now) {
                let invitation = row.usage == SecretUse::Invitation;
                found.push(MadeView {
                    kind: if invitation { Made::Invitation } else { Made::Secret },
                    id: self.facts.secrets.id(ix).to_owned(),
                    whose: self.owner_principal(row.owner).map(|owner| self.caller_names(owner).1),
                    until: instant(row.expires),
                    position: row.issued,
                    removal: self.facts.secrets.id(ix).parse().ok().map(|secret| {
                        Body::SecretRevoked(SecretRef {
                            secret,
                            author: Some(author.clone()),
                            made_with: with.cloned(),
                        })
                    }),
                    made_with: self.facts.secrets.id(row.made_with).to_owned(),
                });
            }
        }
        for (thing, with) in self.facts.made_with.iter().filter(|(_, with)| makers.contains(with)) {
            found.extend(self.made_view(*thing, *with, by, now));
        }
        found.sort_by_key(|made| (made.position, made.kind));
        found
    }

    fn made_view(
        &self,
        thing: MadeThing,
        with: u32,
        (author, made_with): (&Author, Option<&Id>),
        now: i64,
    ) -> Option<MadeView> {
        let facts = &self.facts;
        let made_with = made_with.cloned();
        let mut removal = None;
        let (kind, id, whose, until, register) = match thing {
            MadeThing::Binding(ix) => {
                let row = facts.bindings.get(ix)?.as_ref().filter(|row| now < row.ends)?;
                let principal = self.event_holder(row.holder)?;
                let whose = Some(principal.to_string());
                removal = self.event_scope(row.on).map(|scope| {
                    let (role, author) = (row.role.clone(), author.clone());
                    Body::BindingRemoved(BindingRef { principal, role, scope, author, made_with })
                });
                (Made::Binding, facts.bindings.id(ix).to_owned(), whose, row.ends, row.register)
            }
            MadeThing::Service(ix) => {
                let row = self.service_row(ServiceIx(ix)).filter(|row| now < row.ends)?;
                removal = facts.services.id(ix).parse().ok().map(|service| {
                    Body::ServiceRemoved(ServiceRef { service, author: Some(author.clone()), made_with })
                });
                (Made::Service, facts.services.id(ix).to_owned(), None, row.ends, row.register)
            }
            MadeThing::Group(ix) => {
                let register = facts.groups.get(ix)?.register;
                (Made::Group, self.group(GroupIx(ix)).id, None, i64::MAX, register)
            }
            MadeThing::Member(ix) => {
                let row = facts.members.get(ix as usize)?;
                let holder = self.event_holder(row.holder)?;
                let whose = Some(holder.to_string());
                let member = match holder {
                    body::Principal::User(id) => Member::Person(id),
                    body::Principal::Service(id) => Member::Service(id),
                    body::Principal::Group(id) => Member::Group(id),
                };
                removal = facts.groups.id(row.group).parse().ok().map(|group| {
                    Body::GroupMemberRemoved(GroupMember { group, member, author: Some(author.clone()), made_with })
                });
                (Made::Member, self.membership_subject(row).1, whose, i64::MAX, row.register)
            }
            MadeThing::Folder(ix) => (
                Made::Folder,
                facts.folders.id(ix).to_owned(),
                None,
                i64::MAX,
                facts.folders.get(ix)?.as_ref()?.register,
            ),
            MadeThing::Project(ix) => {
                let Origin::Local(local) = &facts.projects.get(ix as usize)?.origin else { return None };
                let name = self.project_name(ProjectIx::recorded(ix)).to_owned();
                (Made::Project, name, None, i64::MAX, local.register)
            }
        };
        register.stands().then(|| MadeView {
            kind,
            id,
            whose,
            until: instant(until),
            position: register.cause,
            removal,
            made_with: facts.secrets.id(with).to_owned(),
        })
    }
}
