//! Whether a group that is kept here, or who is in it, may be changed: nobody gives through a group more than he or she
//! has.

use chrono::{DateTime, Utc};
use rollcall_events::{
    LOCAL,
    body::{self, Author, Member as MemberOf},
};

use crate::{
    commands::{
        authority::Authority,
        check_id, check_label,
        last_holder::Removal,
        refusal::{Refusal, RefusalKind, missing},
    },
    roster::{
        Roster,
        facts::Holder,
        handles::{GroupIx, Place, ServiceIx},
    },
};

impl Roster {
    pub(crate) fn check_group(&self, data: &body::Group, now: DateTime<Utc>) -> Result<(), Refusal> {
        check_id("group", data.group.as_str())?;
        check_label("group", data.name.as_deref())?;
        self.authorize(data.author.as_ref(), "group.set", Place::Root, now).map(|_| ())
    }

    pub(crate) fn check_group_removal(&self, data: &body::GroupRef, now: DateTime<Utc>) -> Result<(), Refusal> {
        let ix = self.local_group(data.group.as_str())?;
        let authority = self.authorize(data.author.as_ref(), "group.set", Place::Root, now)?;
        self.check_giver_has_all_of_group(authority, data.author.as_ref(), ix, now)?;
        self.check_last_holder(Removal::Group(ix), now)
    }

    pub(crate) fn check_member(
        &self,
        data: &body::GroupMember,
        leaves: bool,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let group = self.local_group(data.group.as_str())?;
        let holder = self.local_member(&data.member, leaves).map_err(|why| RefusalKind::Unknown.because(why))?;
        let authority = self.authorize(data.author.as_ref(), "group.set", Place::Root, now)?;
        self.check_giver_has_all_of_group(authority, data.author.as_ref(), group, now)?;
        match self.index.member.get(&(group, holder)) {
            Some(ix) if leaves => self.check_last_holder(Removal::Member(*ix), now),
            _ => Ok(()),
        }
    }

    /// Whoever says who is in a group gives and takes what it holds, and what the groups above it hold: nobody does so
    /// with more than he or she has.
    fn check_giver_has_all_of_group(
        &self,
        authority: Authority,
        author: Option<&Author>,
        group: u32,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let Some(author) = author.filter(|_| authority != Authority::Operator) else { return Ok(()) };
        for row in self.bindings_of_and_above([Holder::Group(group)], now) {
            if let Some(role) = self.resolve_role(&row.role) {
                self.check_giver_has(Authority::Access, author, role, row.on, self.place_on(row.on), now)?;
            }
        }
        Ok(())
    }

    fn local_group(&self, id: &str) -> Result<u32, Refusal> {
        let found = self.group_by_id(&format!("{LOCAL}/{id}"));
        found.map(|GroupIx(ix)| ix).ok_or_else(|| missing("local group", id))
    }

    /// Whom a command about a group that is kept here means. What its source has removed can leave.
    pub(crate) fn local_member(&self, member: &MemberOf, leaves: bool) -> Result<Holder, String> {
        match member {
            MemberOf::Person(id) => {
                self.person_of(id.as_str()).map(Holder::Person).ok_or(format!("there is no user `{id}`"))
            }
            MemberOf::Service(id) => self
                .service_by_id(id.as_str())
                .map(|ServiceIx(ix)| Holder::Service(ix))
                .ok_or(format!("there is no service `{id}`")),
            MemberOf::Group(id) => self
                .group_by_id(id.as_str())
                .map(|GroupIx(ix)| ix)
                .or_else(|| self.group_row_of(id.as_str()).filter(|_| leaves))
                .map(Holder::Group)
                .ok_or(format!("there is no group `{id}`")),
        }
    }
}
