//! The fold: what one event does to the roster. Pure: the same events in the same order give the same roster.
//! Sources' facts are ordered by their source's order; commands are checked again at their position; nothing waits
//! behind anything. One file per thing that events are about.

mod accounts;
mod bindings;
pub(crate) mod change;
pub(crate) mod context;
mod folders;
mod groups;
mod licensing;
pub(crate) mod names;
mod packages;
mod parking;
pub(crate) mod people;
mod projects;
mod references;
mod retire;
mod secrets;
mod services;
mod settings;
mod suspend;

use std::sync::Arc;

use rollcall_events::{Body, Digest, Order, Recorded, StaleEpoch, body::Emitter};

use crate::{
    commands::refusal::Refusal,
    fold::{
        change::{Effect, Folded},
        context::FoldContext,
    },
    roster::{
        FoldMode, Roster,
        facts::{Holder, MadeThing},
        register::{Claim, Rank, Register, order_key},
    },
};

impl From<Refusal> for Effect {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.text)
    }
}

impl Roster {
    /// Folds one event in. Positions must come in order; one that is in already changes nothing.
    pub fn apply(&mut self, record: &Recorded) -> Folded {
        let position = record.position;
        let event = &record.event;
        let (source, subject) = (event.key.source.clone(), Arc::clone(&event.subject));
        if position <= self.facts.position {
            return Folded { position, source, subject, effect: Effect::NoChange, changes: Vec::new() };
        }
        self.facts.position = position;
        let known = self.facts.sources.len();
        let space = self.facts.sources.intern(0, event.key.source.as_str());
        if space >= known {
            self.know_sources();
        }
        let order = match &self.mode {
            _ if event.key.source.is_local() => Order::Observed,
            FoldMode::Live => self.order(&event.key.source),
            FoldMode::Recorded => Order::Observed,
            FoldMode::Effective(orders) => orders.get(&event.key.source).copied().unwrap_or(Order::Observed),
        };
        let key = order_key(order, record);
        let claim =
            Claim { key: *key.as_ref().unwrap_or(&0), tie: Digest::of(event.data.as_bytes()).prefix(), position };
        let mut cx =
            FoldContext { record, space: u16::try_from(space).unwrap_or(u16::MAX), claim, changes: Vec::new() };
        if let Err(stale) = self.check_epoch(&cx) {
            let effect = Effect::Refused(stale.to_string());
            return Folded { position, source, subject, effect, changes: Vec::new() };
        }
        let effect = match (Body::recorded(&event.kind, &event.data), key) {
            // Also of subjects that it never named before, which have no tombstone.
            _ if self.facts.retired.contains_key(&cx.space) => {
                Effect::Refused(format!("source {source} is retired, for ever: nothing that it says counts"))
            }
            (Err(error), _) => self.park(&mut cx, format!("it does not fit its schema: {error}")),
            (_, Err(lacking)) => self.park(&mut cx, lacking.to_owned()),
            (Ok(body), Ok(_)) => self.apply_body(&mut cx, body),
        };
        if !matches!(effect, Effect::Parked(_)) {
            self.unpark(&mut cx);
        }
        Folded { position, source, subject, effect, changes: cx.changes }
    }

    /// Whether whoever read the source for this event is still the one who does (DESIGN 13). A slice is not asked: what
    /// was stale is in none.
    fn check_epoch(&mut self, cx: &FoldContext<'_>) -> Result<(), StaleEpoch> {
        if cx.is_local() || !matches!(self.mode, FoldMode::Live) {
            return Ok(());
        }
        self.facts.epochs.entry(cx.space).or_default().admit(&cx.record.event)
    }

    fn apply_body(&mut self, cx: &mut FoldContext<'_>, body: Body) -> Effect {
        let local = cx.record.event.key.source.is_local();
        match (body.emitter(), local) {
            (Emitter::Connector | Emitter::Ingest, true) => {
                return Effect::Refused("facts come from sources, not from commands".into());
            }
            (Emitter::Command, false) => return self.park(cx, "a source may not emit this event type".into()),
            (Emitter::Connector | Emitter::Ingest, false)
            | (Emitter::Command, true)
            | (Emitter::ConnectorOrCommand, _) => {}
        }
        if local
            && !self.mode.trusts_commands()
            && let Err(refusal) = self.check_command(&body, cx.now())
        {
            return refusal.into();
        }
        match body {
            Body::AccountUpserted(data) => self.upsert_account(cx, &data),
            Body::AccountRemoved(data) => self.remove_account(cx, data.account.as_str()),
            Body::PersonUpserted(data) => self.upsert_person(cx, &data),
            Body::PersonRemoved(data) => {
                let ix = self.facts.persons.intern(cx.space, data.person.as_str());
                let effect = self.update_row(cx, ix, Rank::Removed, "person", |roster, ix| {
                    roster.facts.persons.get_mut(ix).map(|row| &mut row.register)
                });
                self.fast_path.update_person(&self.facts, &self.index, ix);
                effect
            }
            Body::PermissionGranted(data) => self.set_permission(cx, data.person.as_str(), Rank::Full),
            Body::PermissionRevoked(data) => self.set_permission(cx, data.person.as_str(), Rank::Removed),
            Body::ProductUpserted(data) => self.set_product(cx, data.product.as_str(), Rank::Full),
            Body::ProductRemoved(data) => self.set_product(cx, data.product.as_str(), Rank::Removed),
            Body::PackageUpserted(data) => self.upsert_package(cx, &data),
            Body::PackageRemoved(data) => {
                let ix = self.facts.packages.intern(cx.space, data.package.as_str());
                let effect = self.update_row(cx, ix, Rank::Removed, "package", |roster, ix| {
                    roster.facts.packages.get_mut(ix).map(|row| &mut row.register)
                });
                if effect == Effect::Applied {
                    self.fast_path.update_package(&self.facts, &self.index, ix);
                    self.emit_package(cx, ix);
                }
                effect
            }
            Body::PackageProductMapped(data) => self.set_mapping(cx, &data, Rank::Full),
            Body::PackageProductUnmapped(data) => self.set_mapping(cx, &data, Rank::Removed),
            Body::EntitlementUpserted(data) => self.upsert_entitlement(cx, &data),
            Body::EntitlementRemoved(data) => {
                let ix = self.facts.entitlements.intern(cx.space, data.entitlement.as_str());
                let effect = self.update_row(cx, ix, Rank::Removed, "entitlement", |roster, ix| {
                    roster.facts.entitlements.get_mut(ix).map(|row| &mut row.register)
                });
                self.fast_path.update_entitlement(&self.facts, &self.index, ix);
                effect
            }
            Body::LineUpserted(data) => self.upsert_line(cx, &data),
            Body::LineRemoved(data) => {
                let ix = self.facts.lines.intern(cx.space, data.line.as_str());
                let effect = self.update_row(cx, ix, Rank::Removed, "line", |roster, ix| {
                    roster.facts.lines.get_mut(ix).map(|row| &mut row.register)
                });
                self.fast_path.update_line(&self.facts, ix);
                effect
            }
            Body::PersonAssigned(data) => self.set_assignment(cx, &data, Rank::Full),
            Body::PersonUnassigned(data) => self.set_assignment(cx, &data, Rank::Removed),
            Body::GroupUpserted(data) => {
                let ix = self.facts.groups.find(cx.space, data.group.as_str());
                let stood = ix.and_then(|ix| self.facts.groups.get(ix)).is_some_and(|row| row.register.stands());
                let effect = self.set_group(cx, data.group.as_str(), Some(&data), Rank::Full);
                if effect == Effect::Applied
                    && cx.is_local()
                    && let Some(ix) = self.facts.groups.find(cx.space, data.group.as_str())
                {
                    self.note_made_with(MadeThing::Group(ix), data.made_with.as_ref(), stood);
                }
                effect
            }
            Body::GroupRemoved(data) => {
                let effect = self.set_group(cx, data.group.as_str(), None, Rank::Removed);
                if effect == Effect::Applied
                    && cx.is_local()
                    && let Some(ix) = self.facts.groups.find(cx.space, data.group.as_str())
                {
                    self.end_holder(cx, Holder::Group(ix));
                }
                effect
            }
            Body::GroupMemberAdded(data) => self.set_member(cx, &data, Rank::Full),
            Body::GroupMemberRemoved(data) => self.set_member(cx, &data, Rank::Removed),
            Body::SnapshotStarted(_)
            | Body::SnapshotSealed(_)
            | Body::SnapshotAborted(_)
            | Body::SnapshotHeld(_)
            | Body::SnapshotApplied(_)
            | Body::SnapshotDiscarded(_) => self.record_only(cx, "run"),
            Body::IdentityLinked(data) => self.set_link(cx, &data, Rank::Full),
            Body::IdentityUnlinked(data) => self.set_link(cx, &data, Rank::Removed),
            Body::UserNameGiven(data) => self.give_name(cx, &data),
            Body::UserNameFreed(data) => self.free_name(cx, &data),
            Body::SourceRetired(data) => self.retire_source(cx, &data),
            Body::SourceSuspended(data) => self.set_suspended(cx, &data, true),
            Body::SourceResumed(data) => self.set_suspended(cx, &data, false),
            Body::BindingSet(data) => self.set_binding(cx, &data),
            Body::BindingRemoved(data) => self.remove_binding(cx, &data),
            Body::SecretInvited(data) => self.invite_secret(cx, &data),
            Body::SecretIssued(data) => self.issue_secret(cx, &data),
            Body::SecretRevoked(data) => self.revoke_secret(cx, data.secret.as_str()),
            Body::CredentialsReset(data) => self.reset_credentials(cx, &data),
            Body::LogClockMended(_) => self.record_only(cx, "clock"),
            Body::LogReaderRaised(_) => self.record_only(cx, "reader"),
            Body::SettingsSet(data) => self.set_settings(cx, data),
            Body::ProfileSet(data) => self.set_profile(cx, data.0.get()),
            Body::FolderUpserted(data) => self.set_folder(cx, &data),
            Body::FolderRemoved(data) => self.remove_folder(cx, &data),
            Body::ProjectCreated(data) => self.create_project(cx, &data),
            Body::ProjectUpdated(data) => self.update_project(cx, &data),
            Body::ProjectDeleted(data) => self.delete_project(cx, &data),
            Body::ServiceCreated(data) => self.set_service(cx, &data),
            Body::ServiceRemoved(data) => self.remove_service(cx, &data),
        }
    }

    /// Settles a removal: the row keeps what it said last, so that an explanation can tell what was.
    fn update_row(
        &mut self,
        cx: &mut FoldContext<'_>,
        ix: u32,
        rank: Rank,
        noun: &'static str,
        register: impl Fn(&mut Self, u32) -> Option<&mut Register>,
    ) -> Effect {
        register(self, ix).map_or(Effect::NoChange, |register| cx.update(register, rank, noun))
    }

    /// A run of a source, a clock that was mended: recorded, and nothing to a membership.
    fn record_only(&mut self, cx: &mut FoldContext<'_>, noun: &'static str) -> Effect {
        let ix = self.facts.others.intern(cx.space, &cx.record.event.subject);
        self.update_row(cx, ix, Rank::Full, noun, |roster, ix| roster.facts.others.get_mut(ix))
    }
}
