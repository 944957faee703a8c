//! Groups and their members, and what ends with a group or service that is gone.

use rollcall_events::body::{self, Member as MemberOf};

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Holder, MadeThing, Member, NONE},
        register::{Rank, Register},
    },
};

impl Roster {
    /// A source's group, or one that is kept locally.
    pub(crate) fn set_group(
        &mut self,
        cx: &mut FoldContext<'_>,
        id: &str,
        said: Option<&body::Group>,
        rank: Rank,
    ) -> Effect {
        let ix = self.facts.groups.intern(cx.space, id);
        let Some(row) = self.facts.groups.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, rank, "group");
        if effect == Effect::Applied && rank == Rank::Full {
            row.name = said.and_then(|said| said.name.clone());
            row.external_id = said.and_then(|said| said.external_id.clone());
            self.index.group_names.add(ix, row);
        }
        effect
    }

    /// Somebody enters or leaves a group.
    pub(crate) fn set_member(&mut self, cx: &mut FoldContext<'_>, data: &body::GroupMember, rank: Rank) -> Effect {
        let group = self.facts.groups.intern(cx.space, data.group.as_str());
        let holder = match &data.member {
            // What is kept here names people and groups of any source; what a source says is about its own.
            member if cx.is_local() => match self.local_member(member, rank == Rank::Removed) {
                Ok(holder) => holder,
                Err(why) => return Effect::Refused(why),
            },
            MemberOf::Person(id) => Holder::Person(self.facts.persons.intern(cx.space, id.as_str())),
            MemberOf::Service(id) => Holder::Service(self.facts.services.intern(cx.space, id.as_str())),
            MemberOf::Group(id) => Holder::Group(self.facts.groups.intern(cx.space, id.as_str())),
        };
        let known = self.index.member.get(&(group, holder)).copied();
        let is_in = known.and_then(|ix| self.facts.members.get(ix as usize)).is_some_and(|row| row.register.stands());
        // Who says again what is so changes nothing, whoever it is.
        if cx.is_local() && is_in == (rank != Rank::Removed) {
            return Effect::NoChange;
        }
        let ix = match known {
            Some(ix) => ix,
            None => {
                let ix = u32::try_from(self.facts.members.len()).unwrap_or(NONE);
                self.facts.members.push(Member { group, holder, register: Register::default() });
                self.index.add_member(ix, group, holder);
                if let Holder::Person(person) = holder {
                    self.fast_path.update_person(&self.facts, &self.index, person);
                }
                ix
            }
        };
        let Some(row) = self.facts.members.get_mut(ix as usize) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, rank, "member");
        if cx.is_local() && effect == Effect::Applied && rank != Rank::Removed {
            self.note_made_with(MadeThing::Member(ix), data.made_with.as_ref(), is_in);
        }
        effect
    }

    /// Something that holds roles is gone: what it held and where it was a member ends, so that it begins empty when it
    /// is made again. What a source says of its own groups stays.
    pub(crate) fn end_holder(&mut self, cx: &mut FoldContext<'_>, holder: Holder) {
        self.end_bindings(cx, self.index.holder_bindings.get(&holder).cloned().unwrap_or_default());
        let mut members = self.index.member_of.get(&holder).cloned().unwrap_or_default();
        if let Holder::Group(group) = holder {
            members.extend(self.index.group_members.get(&group).into_iter().flatten());
        }
        for ix in members {
            let Some(row) = self.facts.members.get(ix as usize) else { continue };
            let (space, subject) = self.membership_subject(row);
            if space == cx.space
                && let Some(row) = self.facts.members.get_mut(ix as usize)
            {
                cx.end_implied(&mut row.register, &subject);
            }
        }
    }

    /// Ends these bindings with what they were held by or given on.
    pub(crate) fn end_bindings(&mut self, cx: &mut FoldContext<'_>, bindings: Vec<u32>) {
        for ix in bindings {
            let subject = self.facts.bindings.id(ix).to_owned();
            if let Some(row) = self.facts.bindings.get_mut(ix).and_then(Option::as_mut) {
                cx.end_implied(&mut row.register, &subject);
            }
        }
    }
}
