//! The fold: what one event does to the roster. Pure: the same events in the same order give the same roster.
//! Sources' facts are judged by their order; commands are judged again at their position; nothing waits behind anything.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Digest, Order, Position, Recorded, Settings, SourceName, StaleEpoch,
    body::{self, Emitter, EntitlementState},
};

use crate::{
    Change, Effect, Folded,
    facts::{Field, Holder, Mark, NONE, Pair, State},
    profile::Profile,
    register::{Claim, Judgement, Rank, Register, order_key},
    roster::Roster,
    slice::Judging,
};

/// What every step of the fold needs of the event at hand.
pub(crate) struct At<'a> {
    pub(crate) record: &'a Recorded,
    pub(crate) space: u16,
    pub(crate) claim: Claim,
    pub(crate) changes: Vec<Change>,
}

impl At<'_> {
    /// Said by a command of Rollcall itself.
    pub(crate) fn is_local(&self) -> bool {
        self.record.event.key.source.is_local()
    }

    /// The instant at which a command is judged.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.record.recorded_at
    }

    fn source(&self) -> SourceName {
        self.record.event.key.source.clone()
    }

    pub(crate) fn position(&self) -> Position {
        self.record.position
    }

    /// The subject has a new state: say so to the SQL side.
    fn began(&mut self, noun: &'static str) {
        self.changes.push(Change::FactBegan {
            source: self.source(),
            noun,
            subject: Arc::clone(&self.record.event.subject),
            data: Arc::clone(&self.record.event.data),
        });
    }

    fn ended(&mut self) {
        self.changes.push(Change::FactEnded { source: self.source(), subject: Arc::clone(&self.record.event.subject) });
    }

    /// Settles a register and says what that means.
    pub(crate) fn settle(&mut self, register: &mut Register, rank: Rank, noun: &'static str) -> Effect {
        let stood = register.stands();
        let effect = effect_of(register.take(self.claim, rank));
        if effect == Effect::Applied {
            match (rank, stood) {
                (Rank::Removed, true) => self.ended(),
                (Rank::Removed, false) => {}
                _ => self.began(noun),
            }
        }
        effect
    }

    /// As [`Self::settle`] of a fact that follows from this command beside its own subject.
    pub(crate) fn settle_implied(
        &mut self,
        register: &mut Register,
        noun: &'static str,
        subject: &str,
        data: &str,
    ) -> Effect {
        let claim = Claim { tie: Digest::of(data.as_bytes()).prefix(), ..self.claim };
        let effect = effect_of(register.take(claim, Rank::Full));
        if effect == Effect::Applied {
            let source = self.source();
            self.changes.push(Change::FactBegan { source, noun, subject: subject.into(), data: data.into() });
        }
        effect
    }

    /// Ends a fact that rests on what this command removes.
    pub(crate) fn end_implied(&mut self, register: &mut Register, subject: &str) {
        if register.stands() && effect_of(register.take(self.claim, Rank::Removed)) == Effect::Applied {
            self.changes.push(Change::FactEnded { source: self.source(), subject: subject.into() });
        }
    }

    /// The effect of a fact of a command, which has no rivals.
    pub(crate) fn said(&mut self, noun: &'static str) -> Effect {
        self.began(noun);
        Effect::Applied
    }
}

/// How many bytes of a reason for parking are kept.
const MOST_REASON: usize = 1_000;

fn effect_of(judgement: Judgement) -> Effect {
    match judgement {
        Judgement::Takes => Effect::Applied,
        Judgement::Same => Effect::NoChange,
        Judgement::Superseded => Effect::Superseded,
    }
}

pub(crate) fn micros(time: Option<DateTime<Utc>>, open: i64) -> i64 {
    time.map_or(open, |time| time.timestamp_micros())
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
        let space = self.facts.sources.at(0, event.key.source.as_str());
        if space >= known {
            self.settle();
        }
        let order = match &self.judging {
            _ if event.key.source.is_local() => Order::Observed,
            Judging::Anew => self.order(&event.key.source),
            Judging::Known => Order::Observed,
            Judging::Effective(orders) => orders.get(&event.key.source).copied().unwrap_or(Order::Observed),
        };
        let key = order_key(order, record);
        let claim =
            Claim { key: *key.as_ref().unwrap_or(&0), tie: Digest::of(event.data.as_bytes()).prefix(), position };
        let mut at = At { record, space: u16::try_from(space).unwrap_or(u16::MAX), claim, changes: Vec::new() };
        if let Err(stale) = self.admit(&at) {
            let effect = Effect::Refused(stale.to_string());
            return Folded { position, source, subject, effect, changes: Vec::new() };
        }
        let effect = match (Body::parse(&event.kind, &event.data), key) {
            // Also of subjects that it never named before, which have no tombstone.
            _ if self.facts.retired.contains(&at.space) => Effect::Superseded,
            (Err(error), _) => self.park(&mut at, format!("it does not fit its schema: {error}")),
            (_, Err(lacking)) => self.park(&mut at, lacking.to_owned()),
            (Ok(body), Ok(_)) => self.judge(&mut at, body),
        };
        if !matches!(effect, Effect::Parked(_)) {
            self.unpark(&mut at);
        }
        Folded { position, source, subject, effect, changes: at.changes }
    }

    /// Whether whoever read the source for this event is still the one who does (DESIGN 13). A slice is not asked: what
    /// was stale is in none.
    fn admit(&mut self, at: &At<'_>) -> Result<(), StaleEpoch> {
        if at.is_local() || !matches!(self.judging, Judging::Anew) {
            return Ok(());
        }
        self.facts.epochs.entry(at.space).or_default().admit(&at.record.event)
    }

    fn judge(&mut self, at: &mut At<'_>, body: Body) -> Effect {
        let local = at.record.event.key.source.is_local();
        match body.emitter() {
            Emitter::Connector if local => {
                return Effect::Refused("a fact is said by a source, not by a command".into());
            }
            Emitter::Command if !local => return self.park(at, "a source may not say this".into()),
            _ => {}
        }
        if local
            && !self.judging.trusts()
            && let Err(refusal) = self.check_command(&body, at.now())
        {
            return refusal.into();
        }
        match body {
            Body::AccountUpserted(data) => self.account(at, &data),
            Body::AccountRemoved(data) => self.account_removed(at, data.account.as_str()),
            Body::PersonUpserted(data) => self.person(at, &data),
            Body::PersonRemoved(data) => {
                let ix = self.facts.persons.at(at.space, data.person.as_str());
                let effect = self.settle_row(at, ix, Rank::Removed, "person", |roster, ix| {
                    roster.facts.persons.get_mut(ix).map(|row| &mut row.register)
                });
                self.plain.person(&self.facts, &self.index, ix);
                effect
            }
            Body::PermissionGranted(data) => self.permission(at, data.person.as_str(), Rank::Full),
            Body::PermissionRevoked(data) => self.permission(at, data.person.as_str(), Rank::Removed),
            Body::ProductUpserted(data) => self.product(at, data.product.as_str(), Rank::Full),
            Body::ProductRemoved(data) => self.product(at, data.product.as_str(), Rank::Removed),
            Body::PackageUpserted(data) => self.package(at, &data),
            Body::PackageRemoved(data) => {
                let ix = self.facts.packages.at(at.space, data.package.as_str());
                let effect = self.settle_row(at, ix, Rank::Removed, "package", |roster, ix| {
                    roster.facts.packages.get_mut(ix).map(|row| &mut row.register)
                });
                if effect == Effect::Applied {
                    self.plain.package(&self.facts, &self.index, ix);
                    self.say_package(at, ix);
                }
                effect
            }
            Body::PackageProductMapped(data) => self.mapping(at, &data, Rank::Full),
            Body::PackageProductUnmapped(data) => self.mapping(at, &data, Rank::Removed),
            Body::EntitlementUpserted(data) => self.entitlement(at, &data),
            Body::EntitlementRemoved(data) => {
                let ix = self.facts.entitlements.at(at.space, data.entitlement.as_str());
                let effect = self.settle_row(at, ix, Rank::Removed, "entitlement", |roster, ix| {
                    roster.facts.entitlements.get_mut(ix).map(|row| &mut row.register)
                });
                self.plain.entitlement(&self.facts, &self.index, ix);
                effect
            }
            Body::LineUpserted(data) => self.line(at, &data),
            Body::LineRemoved(data) => {
                let ix = self.facts.lines.at(at.space, data.line.as_str());
                let effect = self.settle_row(at, ix, Rank::Removed, "line", |roster, ix| {
                    roster.facts.lines.get_mut(ix).map(|row| &mut row.register)
                });
                self.plain.line(&self.facts, ix);
                effect
            }
            Body::PersonAssigned(data) => self.assignment(at, &data, Rank::Full),
            Body::PersonUnassigned(data) => self.assignment(at, &data, Rank::Removed),
            Body::GroupUpserted(data) => self.set_group(at, data.group.as_str(), data.name.as_deref(), Rank::Full),
            Body::GroupRemoved(data) => {
                let effect = self.set_group(at, data.group.as_str(), None, Rank::Removed);
                if effect == Effect::Applied
                    && at.is_local()
                    && let Some(ix) = self.facts.groups.find(at.space, data.group.as_str())
                {
                    self.end_holder(at, Holder::Group(ix));
                }
                effect
            }
            Body::GroupMemberAdded(data) => self.set_member(at, &data, Rank::Full),
            Body::GroupMemberRemoved(data) => self.set_member(at, &data, Rank::Removed),
            Body::SnapshotStarted(_)
            | Body::SnapshotSealed(_)
            | Body::SnapshotAborted(_)
            | Body::SnapshotHeld(_)
            | Body::SnapshotApplied(_)
            | Body::SnapshotDiscarded(_) => self.other(at, Rank::Full, "run"),
            Body::IdentityLinked(data) => self.link(at, &data, Rank::Full),
            Body::IdentityUnlinked(data) => self.link(at, &data, Rank::Removed),
            Body::SourceRetired(data) => self.retire(at, data.source.as_str()),
            Body::BindingSet(data) => self.bind(at, &data),
            Body::BindingRemoved(data) => self.unbind(at, &data),
            Body::SecretInvited(data) => self.invite(at, &data),
            Body::SecretIssued(data) => self.issue(at, &data),
            Body::SecretRevoked(data) => self.revoke(at, data.secret.as_str()),
            Body::CredentialsReset(data) => self.reset_credentials(at, data.user.as_str()),
            Body::SettingsSet(data) => self.set_settings(at, data),
            Body::ProfileSet(data) => self.set_profile(at, data.0.get()),
            Body::FolderUpserted(data) => self.set_folder(at, &data),
            Body::FolderRemoved(data) => self.remove_folder(at, &data),
            Body::ProjectCreated(data) => self.create_project(at, &data),
            Body::ProjectUpdated(data) => self.update_project(at, &data),
            Body::ProjectDeleted(data) => self.delete_project(at, &data),
            Body::ServiceCreated(data) => self.set_service(at, &data),
            Body::ServiceRemoved(data) => self.remove_service(at, &data),
        }
    }

    /// Settles a removal: the row keeps what it said last, so that an explanation can tell what was.
    fn settle_row(
        &mut self,
        at: &mut At<'_>,
        ix: u32,
        rank: Rank,
        noun: &'static str,
        register: impl Fn(&mut Self, u32) -> Option<&mut Register>,
    ) -> Effect {
        register(self, ix).map_or(Effect::NoChange, |register| at.settle(register, rank, noun))
    }

    /// Points a row's reference somewhere else, remembers where it pointed, and files the row there.
    pub(crate) fn refer(&mut self, field: Field, row: u32, to: u32) {
        let facts = &mut self.facts;
        let slot = match field {
            Field::PersonAccount => facts.persons.get_mut(row).map(|row| &mut row.account),
            Field::AccountParent => facts.accounts.get_mut(row).map(|row| &mut row.parent),
            Field::PackageProducer => facts.packages.get_mut(row).map(|row| &mut row.producer),
            Field::EntitlementAccount => facts.entitlements.get_mut(row).map(|row| &mut row.account),
            Field::LineEntitlement => facts.lines.get_mut(row).map(|row| &mut row.entitlement),
            Field::LineProduct => facts.lines.get_mut(row).map(|row| &mut row.product),
            Field::PersonName | Field::FolderParent | Field::ProjectFolder => None,
        };
        let Some(slot) = slot else { return };
        let old = std::mem::replace(slot, to);
        if old == to {
            return;
        }
        let filed = facts.formers.get(&(field, row)).is_some_and(|past| past.contains(&to));
        facts.left(field, row, old);
        if filed || to == NONE {
            return;
        }
        match field {
            Field::PersonAccount => self.index.account_people.push(to, row),
            Field::AccountParent => self.index.account_children.push(to, row),
            Field::PackageProducer => self.index.account_packages.push(to, row),
            Field::EntitlementAccount => {
                self.index.account_entitlements.push(to, row);
                for line in self.index.entitlement_lines.of(row).to_vec() {
                    self.index.buy(&self.facts, line);
                }
            }
            Field::LineEntitlement => {
                self.index.entitlement_lines.push(to, row);
                self.index.buy(&self.facts, row);
            }
            Field::LineProduct => {
                self.index.product_lines.push(to, row);
                self.index.buy(&self.facts, row);
            }
            Field::PersonName | Field::FolderParent | Field::ProjectFolder => {}
        }
    }

    /// Notes what a superseded event referred to.
    pub(crate) fn mention(&mut self, effect: &Effect, field: Field, row: u32, to: u32) {
        if *effect == Effect::Superseded && self.facts.mention(field, row, to) {
            self.index.mentioned.entry((field, to)).or_default().push(row);
        }
    }

    fn person(&mut self, at: &mut At<'_>, data: &body::Person) -> Effect {
        let ix = self.facts.persons.at(at.space, data.person.as_str());
        let account = data.account.as_ref().map_or(NONE, |id| self.facts.accounts.at(at.space, id.as_str()));
        let rank = if data.active { Rank::Full } else { Rank::Lesser };
        let Some(row) = self.facts.persons.get_mut(ix) else { return Effect::NoChange };
        let effect = at.settle(&mut row.register, rank, "person");
        if effect == Effect::Applied {
            row.active = data.active;
            let new = row.first == Position(0);
            if new {
                row.first = at.position();
                row.user = ix;
            }
            self.refer(Field::PersonAccount, ix, account);
            self.name_person(at, ix, data.username.as_deref());
            if new {
                self.say_person(at, ix);
                self.relink(at, ix);
            }
            self.plain.person(&self.facts, &self.index, ix);
        }
        self.mention(&effect, Field::PersonAccount, ix, account);
        effect
    }

    fn permission(&mut self, at: &mut At<'_>, person: &str, rank: Rank) -> Effect {
        let ix = self.facts.persons.at(at.space, person);
        let effect = at.settle(self.facts.permissions.entry(ix).or_default(), rank, "permission");
        self.plain.person(&self.facts, &self.index, ix);
        effect
    }

    fn product(&mut self, at: &mut At<'_>, id: &str, rank: Rank) -> Effect {
        let ix = self.facts.products.at(at.space, id);
        let Some(row) = self.facts.products.get_mut(ix) else { return Effect::NoChange };
        let stood = row.register.stands();
        let effect = at.settle(&mut row.register, rank, "product");
        if row.register.stands() != stood {
            for mapping in self.index.product_mappings.of(ix) {
                let Some(pair) = self.facts.mappings.get(*mapping as usize) else { continue };
                self.plain.package(&self.facts, &self.index, pair.left);
            }
        }
        effect
    }

    fn mapping(&mut self, at: &mut At<'_>, data: &body::PackageProduct, rank: Rank) -> Effect {
        let package = self.facts.packages.at(at.space, data.package.as_str());
        let product = self.facts.products.at(at.space, data.product.as_str());
        let ix = match self.index.mapping.get(&(package, product)) {
            Some(ix) => *ix,
            None => {
                let ix = push_pair(&mut self.facts.mappings, package, product);
                self.index.map(ix, package, product);
                ix
            }
        };
        let effect = self.settle_row(at, ix, rank, "package_product", |roster, ix| {
            roster.facts.mappings.get_mut(ix as usize).map(|row| &mut row.register)
        });
        self.plain.package(&self.facts, &self.index, package);
        effect
    }

    fn entitlement(&mut self, at: &mut At<'_>, data: &body::Entitlement) -> Effect {
        let ix = self.facts.entitlements.at(at.space, data.entitlement.as_str());
        let account = self.facts.accounts.at(at.space, data.account.as_str());
        let state = match data.state {
            EntitlementState::Draft => State::Draft,
            EntitlementState::Active => State::Active,
            EntitlementState::OnHold => State::OnHold,
            EntitlementState::Inactive => State::Inactive,
            EntitlementState::Obsolete => State::Obsolete,
        };
        let rank = if state == State::Active { Rank::Full } else { Rank::Lesser };
        let Some(row) = self.facts.entitlements.get_mut(ix) else { return Effect::NoChange };
        let effect = at.settle(&mut row.register, rank, "entitlement");
        if effect == Effect::Applied {
            row.state = state;
            self.refer(Field::EntitlementAccount, ix, account);
            self.plain.entitlement(&self.facts, &self.index, ix);
        }
        self.mention(&effect, Field::EntitlementAccount, ix, account);
        effect
    }

    fn line(&mut self, at: &mut At<'_>, data: &body::Line) -> Effect {
        let ix = self.facts.lines.at(at.space, data.line.as_str());
        let entitlement = self.facts.entitlements.at(at.space, data.entitlement.as_str());
        let product = self.facts.products.at(at.space, data.product.as_str());
        let Some(row) = self.facts.lines.get_mut(ix) else { return Effect::NoChange };
        let effect = at.settle(&mut row.register, Rank::Full, "line");
        if effect == Effect::Applied {
            row.starts = micros(data.starts, i64::MIN);
            row.ends = micros(data.ends, i64::MAX);
            self.refer(Field::LineEntitlement, ix, entitlement);
            self.refer(Field::LineProduct, ix, product);
            self.plain.line(&self.facts, ix);
        }
        self.mention(&effect, Field::LineEntitlement, ix, entitlement);
        self.mention(&effect, Field::LineProduct, ix, product);
        effect
    }

    fn assignment(&mut self, at: &mut At<'_>, data: &body::EntitlementPerson, rank: Rank) -> Effect {
        let entitlement = self.facts.entitlements.at(at.space, data.entitlement.as_str());
        let person = self.facts.persons.at(at.space, data.person.as_str());
        let ix = match self.index.assignment.get(&(entitlement, person)) {
            Some(ix) => *ix,
            None => {
                let ix = push_pair(&mut self.facts.assignments, entitlement, person);
                self.index.assign(ix, entitlement, person);
                self.plain.person(&self.facts, &self.index, person);
                ix
            }
        };
        // Whoever was unassigned had been assigned: narrowing does not depend on which of the two arrives first.
        if let Some(row) = self.facts.entitlements.get_mut(entitlement).filter(|row| !row.narrowed) {
            row.narrowed = true;
            at.changes.push(Change::Narrowed { source: at.source(), entitlement: data.entitlement.as_str().into() });
            self.plain.entitlement(&self.facts, &self.index, entitlement);
        }
        self.settle_row(at, ix, rank, "entitlement_person", |roster, ix| {
            roster.facts.assignments.get_mut(ix as usize).map(|row| &mut row.register)
        })
    }

    fn other(&mut self, at: &mut At<'_>, rank: Rank, noun: &'static str) -> Effect {
        let ix = self.facts.others.at(at.space, &at.record.event.subject);
        self.settle_row(at, ix, rank, noun, |roster, ix| roster.facts.others.get_mut(ix))
    }

    fn set_settings(&mut self, at: &mut At<'_>, settings: Settings) -> Effect {
        if self.settings == settings && !self.facts.settings.is_empty() {
            return Effect::NoChange;
        }
        self.facts.settings = at.record.event.data.to_string();
        let before = std::mem::replace(&mut self.settings, settings);
        self.settle();
        if before.customer_sub_accounts != self.settings.customer_sub_accounts {
            self.ready();
        }
        at.said("settings")
    }

    fn set_profile(&mut self, at: &mut At<'_>, text: &str) -> Effect {
        match Profile::from_json(text) {
            Ok(profile) if profile.document() == self.profile.document() && !self.facts.profile.is_empty() => {
                Effect::NoChange
            }
            Ok(profile) => {
                self.facts.profile = text.to_owned();
                self.profile = profile;
                self.settle();
                at.said("profile")
            }
            Err(error) => Effect::Refused(error.to_string()),
        }
    }

    /// Marks the subject: its newest event waits to be judged, nothing waits behind it, its last state stays.
    pub(crate) fn park(&mut self, at: &mut At<'_>, reason: String) -> Effect {
        self.park_for(at, reason, None)
    }

    /// As [`Self::park`], for the name of a project that somebody else has.
    pub(crate) fn park_for(&mut self, at: &mut At<'_>, mut reason: String, wants: Option<&str>) -> Effect {
        // A reason quotes what was sent, which may be long; it is kept here, in SQL and in every snapshot.
        reason.truncate(reason.floor_char_boundary(MOST_REASON));
        let subject = (at.space, at.record.event.subject.to_string());
        let newest = self.facts.parked.get(&subject).is_none_or(|mark| mark.key <= at.claim.key);
        if newest {
            at.changes.push(Change::Parked {
                source: at.source(),
                subject: Arc::clone(&at.record.event.subject),
                reason: Some(reason.clone()),
            });
            let (key, position, wants) = (at.claim.key, at.position(), wants.map(str::to_owned));
            self.facts.parked.insert(subject, Mark { key, position, reason: reason.clone(), wants });
        }
        Effect::Parked(reason)
    }

    fn unpark(&mut self, at: &mut At<'_>) {
        if self.facts.parked.is_empty() {
            return;
        }
        let subject = (at.space, at.record.event.subject.to_string());
        if self.facts.parked.get(&subject).is_some_and(|mark| mark.key <= at.claim.key) {
            self.facts.parked.remove(&subject);
            at.changes.push(Change::Parked {
                source: at.source(),
                subject: Arc::clone(&at.record.event.subject),
                reason: None,
            });
        }
    }
}

pub(crate) fn push_pair(pairs: &mut Vec<Pair>, left: u32, right: u32) -> u32 {
    let ix = u32::try_from(pairs.len()).unwrap_or(NONE);
    pairs.push(Pair { left, right, register: Register::default() });
    ix
}
