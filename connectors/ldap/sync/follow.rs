//! Follows a directory, whatever its feed: changes go into the sync state, what follows from them to the change sink, then the
//! state is saved with its cursor. What is merely not listed any more goes into a snapshot, where the removal guard looks at
//! it. Knows no control of any server.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use rollcall_events::{
    Body, Id,
    body::{GroupRef, PersonRef},
};
use rollcall_ingest::connector::{ChangeSink, Failure, FullReadReason, SaveOutcome, SourceChange};

use crate::{
    client::Client,
    config::{Base, Config, Part},
    schema::model::Schema,
    sync::{
        error::SyncError,
        feed::{ChangeFeed, EntryChange, FeedAnswer},
        index::{self, DirectoryIndex, ReadReport, Resolved},
        read,
        state::{SyncState, write_cursor},
    },
    wire::{ber::Malformed, dn::Dn, message::Entry, search},
};

/// How often a silent server is asked whether it is there.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);
/// How long after the last change a doubtful group is read again.
const REREAD_DELAY: Duration = Duration::from_secs(1);
/// So many batches without such a pause, and it is read nevertheless.
const MAX_BUSY_BATCHES: u32 = 20;

/// Everything that a follower works with.
pub struct Follower<'a> {
    pub client: &'a Client,
    pub schema: Schema,
    pub sink: &'a ChangeSink,
    pub report: &'a (dyn Fn(&ReadReport) + Sync),
}

impl Follower<'_> {
    fn config(&self) -> &Config {
        &self.client.config
    }

    /// The bases by part: those of people, then those of groups.
    fn bases(&self) -> impl Iterator<Item = &Base> {
        self.config().people.iter().chain(&self.config().groups)
    }

    fn is_of_people(&self, part: Part) -> bool {
        part < self.config().people.len()
    }

    /// Follows until something ends it, from what was kept.
    pub async fn run(&self, changes: &mut dyn ChangeFeed) -> Result<Infallible, SyncError> {
        let recalled = self.sink.resume_point().await?.and_then(|kept| {
            SyncState::restore(kept, changes.method_name())
                .map_err(|Malformed(why)| FullReadReason::Unreadable(why.to_owned()))
        });
        let (mut state, mut from) = match recalled {
            Ok((state, cursor)) => (state, Ok(cursor)),
            Err(anew) => (SyncState::default(), Err(anew)),
        };
        loop {
            let why = match self.begin(changes, &mut state, from).await? {
                Some(why) => why,
                None => self.follow_changes(changes, &mut state).await?,
            };
            (state, from) = (SyncState::default(), Err(FullReadReason::Refused(why)));
        }
    }

    /// Brings the state up to date. Some: everything must be read, for this reason.
    async fn begin(
        &self,
        changes: &mut dyn ChangeFeed,
        state: &mut SyncState,
        from: Result<Vec<u8>, FullReadReason>,
    ) -> Result<Option<String>, SyncError> {
        let from = match from {
            Ok(cursor) => cursor,
            Err(anew) => return self.read_everything(changes, state, anew).await.map(|()| None),
        };
        let said = match changes.begin(Some(&from), state).await? {
            FeedAnswer::Idle => Vec::new(),
            FeedAnswer::Changes(said) => said,
            FeedAnswer::FullRead(why) => return Ok(Some(why)),
        };
        state.index.clear_lookups();
        let mut told = self.apply_changes(said, state).await?;
        told.extend(self.read_again(state).await?);
        self.send(told, state).await?;
        Ok(None)
    }

    /// Reads everything into an empty state and a snapshot.
    async fn read_everything(
        &self,
        changes: &mut dyn ChangeFeed,
        state: &mut SyncState,
        why: FullReadReason,
    ) -> Result<(), SyncError> {
        // The run begins before the first question.
        let mut builder = self.sink.begin_snapshot(why).await?;
        let mut session = self.client.session().await?;
        read::prove_by_example(&mut session, self.config(), self.sink.now()).await?;
        session.connection.close().await;
        let said = match changes.begin(None, state).await? {
            FeedAnswer::Idle => Vec::new(),
            FeedAnswer::Changes(said) => said,
            // It was anew.
            FeedAnswer::FullRead(why) => return Err(Failure::Partial(why).into()),
        };
        let mut left_out = ReadReport::default();
        for said in said {
            if let EntryChange::Present(part, entry) = said {
                state.add(part, self.schema.id_of(&entry)?);
                let index = &mut state.index;
                if self.is_of_people(part) {
                    let said = |fact: &Body| builder.said(fact);
                    index.put_person(index::read_person(&self.schema, &entry, self.sink.now(), said)?);
                } else {
                    read::keep_group(index, &mut left_out, self.schema.group(&entry), &entry)?;
                }
            }
        }
        self.look_up(&mut state.index, &mut left_out).await?;
        // Every base came to its end, or we would not be here.
        for base in self.bases() {
            let part = builder.open_section(base.text.clone());
            builder.close_section(part);
        }
        let report = state.index.state(&mut builder);
        (self.report)(&ReadReport { left_out: left_out.left_out, ..report });
        state.unread_told = Some(state.index.unread_members());
        self.sink.apply_snapshot(builder.seal()?).await?;
        Ok(())
    }

    /// Follows. Ends where everything must be read, with the reason.
    async fn follow_changes(&self, changes: &mut dyn ChangeFeed, state: &mut SyncState) -> Result<String, SyncError> {
        let mut busy = 0;
        loop {
            let cursor = write_cursor(changes.method_name(), &changes.cursor());
            if self.sink.save(cursor, || state.update()).await? == SaveOutcome::Saved {
                state.mark_saved();
            }
            // Behind it: whoever goes on from what is kept takes back only what that could have had told.
            self.tell_unread_members(state).await?;
            let settled = state.doubtful.is_empty();
            if !settled && busy >= MAX_BUSY_BATCHES {
                self.reread_doubtful(state).await?;
                busy = 0;
            }
            match changes.next(if settled { HEARTBEAT_INTERVAL } else { REREAD_DELAY }, state).await? {
                FeedAnswer::Idle if settled => self.heartbeat().await?,
                FeedAnswer::Idle => {
                    self.reread_doubtful(state).await?;
                    busy = 0;
                }
                FeedAnswer::Changes(said) => {
                    busy += 1;
                    let told = self.apply_changes(said, state).await?;
                    self.send(told, state).await?;
                }
                FeedAnswer::FullRead(why) => return Ok(why),
            }
        }
    }

    /// Sends changes. Groups whose members the server has otherwise than we are doubtful: one of the streams is late.
    async fn send(&self, told: Vec<SourceChange>, state: &mut SyncState) -> Result<(), SyncError> {
        if !told.is_empty() {
            state.doubtful.extend(self.sink.send(told).await?);
        }
        Ok(())
    }

    /// Reads the groups again that list a name which means somebody else now: what a server mends by itself (the overlay
    /// refint) it does a moment later, and tells nobody.
    async fn reread_doubtful(&self, state: &mut SyncState) -> Result<(), SyncError> {
        let told = self.read_again(state).await?;
        if !told.is_empty() {
            // What is otherwise once more is so by somebody's change that we have yet to hear of.
            let _ = self.sink.send(told).await?;
        }
        Ok(())
    }

    /// Says who is listed and is not there, or not ours, where that is new. Only after all that is listed was looked up.
    async fn tell_unread_members(&self, state: &mut SyncState) -> Result<(), SyncError> {
        let unread = state.index.unread_members();
        if !state.index.has_unknown() && state.unread_told.as_ref() != Some(&unread) {
            self.sink.note_unread_members(unread.clone()).await?;
            state.unread_told = Some(unread);
        }
        Ok(())
    }

    async fn read_again(&self, state: &mut SyncState) -> Result<Vec<SourceChange>, SyncError> {
        if state.doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.client.session().await?;
        let mut entries = Vec::new();
        for id in &state.doubtful {
            let Some(group) = state.index.group(id) else { continue };
            let filter = Some(self.schema.groups.clone());
            let found =
                search::read_entry(&mut session.connection, &group.text, filter, self.schema.group_attributes())
                    .await?;
            // One that is gone or has another name is told by itself.
            if let Some(mut entry) = found {
                search::complete_ranges(&mut session.connection, &mut entry).await?;
                entries.push(entry);
            }
        }
        session.connection.close().await;
        let (mut told, mut affected) = (Vec::new(), Affected::default());
        for entry in entries {
            self.put_group(&entry, &mut state.index, &mut told, &mut affected)?;
        }
        // Answered now; what follows from the answers may raise new doubts.
        state.doubtful.clear();
        self.group_changes(told, affected, state).await
    }

    /// A server that says nothing may have nothing to say, or be gone.
    async fn heartbeat(&self) -> Result<(), SyncError> {
        self.prove_accounts().await?;
        Ok(self.sink.heartbeat().await?)
    }

    async fn prove_accounts(&self) -> Result<(), SyncError> {
        let mut session = self.client.session().await?;
        read::prove_accounts(&mut session, self.config(), self.sink.now()).await?;
        session.connection.close().await;
        Ok(())
    }

    /// Whether somebody is in force by these who was not, as far as we know: what says otherwise may be hidden since.
    fn brings_into_force(&self, said: &[EntryChange], index: &DirectoryIndex) -> bool {
        said.iter().any(|said| match said {
            EntryChange::Present(part, entry) if self.is_of_people(*part) => {
                let known = self.schema.id_of(entry).ok().and_then(|id| index.person(&id));
                !known.is_some_and(|person| person.active) && self.schema.accounts.in_force(entry, self.sink.now())
            }
            _ => false,
        })
    }

    /// Looks up what groups list and nobody read.
    async fn look_up(&self, index: &mut DirectoryIndex, report: &mut ReadReport) -> Result<(), SyncError> {
        if index.has_unknown() {
            let mut session = self.client.session().await?;
            read::resolve(&mut session, self.config(), index, report, self.sink.now()).await?;
            session.connection.close().await;
        }
        Ok(())
    }

    /// Applies changes to the state and says what follows from them.
    async fn apply_changes(
        &self,
        said: Vec<EntryChange>,
        state: &mut SyncState,
    ) -> Result<Vec<SourceChange>, SyncError> {
        if self.brings_into_force(&said, &state.index) {
            self.prove_accounts().await?;
        }
        let (mut told, mut affected, mut gone) = (Vec::new(), Affected::default(), Vec::new());
        for said in said {
            match said {
                EntryChange::Present(part, entry) => self.apply_entry(part, &entry, state, &mut told, &mut affected)?,
                EntryChange::Gone(part, id) => {
                    state.remove(part, &id);
                    gone.push(id);
                }
            }
        }
        // Who left one base may have come to another; and deletions of entries that were never ours are said too.
        gone.retain(|id| !state.contains(id));
        for (part, entry) in self.find_in_other_bases(&gone).await? {
            self.apply_entry(part, &entry, state, &mut told, &mut affected)?;
        }
        gone.retain(|id| !state.contains(id));
        for id in gone {
            let index = &mut state.index;
            affected.add_entry(index, &id);
            affected.renamed |= index.name_of(&id).is_some();
            match index.remove(&id) {
                Some(Resolved::Person(person)) => {
                    told.push(SourceChange::Removed(Body::PersonRemoved(PersonRef { person })))
                }
                Some(Resolved::Group(group)) => told.push(SourceChange::Removed(Body::GroupRemoved(GroupRef {
                    group,
                    author: None,
                    made_with: None,
                }))),
                // Said by a predecessor that did not come to keep it; or never ours, then nothing is recorded.
                None => {
                    told.push(SourceChange::Removed(Body::PersonRemoved(PersonRef { person: id.clone() })));
                    told.push(SourceChange::Removed(Body::GroupRemoved(GroupRef {
                        group: id,
                        author: None,
                        made_with: None,
                    })));
                }
            }
        }
        self.group_changes(told, affected, state).await
    }

    /// Who of these is below another base: what is said of that one may be late.
    async fn find_in_other_bases(&self, gone: &[Id]) -> Result<Vec<(Part, Entry)>, SyncError> {
        if gone.is_empty() || self.bases().count() <= 2 {
            return Ok(Vec::new());
        }
        let mut session = self.client.session().await?;
        let found = read::entries(&mut session, self.config(), Some(gone)).await?;
        session.connection.close().await;
        Ok(found)
    }

    fn apply_entry(
        &self,
        part: Part,
        entry: &Entry,
        state: &mut SyncState,
        told: &mut Vec<SourceChange>,
        affected: &mut Affected,
    ) -> Result<(), SyncError> {
        state.add(part, self.schema.id_of(entry)?);
        if self.is_of_people(part) {
            self.put_person(entry, &mut state.index, told, affected)
        } else {
            self.put_group(entry, &mut state.index, told, affected)
        }
    }

    fn put_person(
        &self,
        entry: &Entry,
        index: &mut DirectoryIndex,
        told: &mut Vec<SourceChange>,
        affected: &mut Affected,
    ) -> Result<(), SyncError> {
        let known =
            self.schema.id_of(entry).ok().and_then(|id| index.person(&id)).map(|old| index::person_fact(old).body);
        let said = |fact: &Body| match (fact, &known) {
            (Body::PersonUpserted(fact), Some(Body::PersonUpserted(known))) => fact.username == known.username,
            _ => false,
        };
        let person = index::read_person(&self.schema, entry, self.sink.now(), said)?;
        told.push(SourceChange::Fact(index::person_fact(&person)));
        let same = index.person(&person.id).is_some_and(|old| {
            (&old.dn, &old.uids, &old.primary, &old.member_of)
                == (&person.dn, &person.uids, &person.primary, &person.member_of)
        });
        let id = person.id.clone();
        affected.newcomer |= index.name_of(&id).is_none();
        affected.renamed |= index.person(&id).is_none_or(|old| (&old.dn, &old.uids) != (&person.dn, &person.uids));
        if !same {
            affected.add_entry(index, &id);
        }
        index.put_person(person);
        if !same {
            affected.add_entry(index, &id);
        }
        Ok(())
    }

    fn put_group(
        &self,
        entry: &Entry,
        index: &mut DirectoryIndex,
        told: &mut Vec<SourceChange>,
        affected: &mut Affected,
    ) -> Result<(), SyncError> {
        let group = match self.schema.group(entry) {
            Ok(group) => group,
            Err(why) if entry.is("groupOfURLs") => {
                tracing::warn!(%why, "a group is left out");
                return Ok(());
            }
            Err(why) => return Err(why.into()),
        };
        told.push(SourceChange::Fact(index::group_fact(&group).into()));
        let same = index.group(&group.id).is_some_and(|old| old.dn == group.dn);
        let id = group.id.clone();
        affected.newcomer |= index.name_of(&id).is_none();
        affected.renamed |= !same;
        if !same {
            affected.add_entry(index, &id);
        }
        index.put_group(group);
        if !same {
            affected.add_entry(index, &id);
        }
        affected.groups.insert(id);
        Ok(())
    }

    /// What follows for groups, behind what is to be told: who is in them now, or that they are doubtful.
    async fn group_changes(
        &self,
        mut told: Vec<SourceChange>,
        mut affected: Affected,
        state: &mut SyncState,
    ) -> Result<Vec<SourceChange>, SyncError> {
        let SyncState { index, doubtful, .. } = state;
        if affected.newcomer {
            doubtful.extend(index.groups_listing_outsiders());
        }
        doubtful.retain(|id| !affected.groups.contains(id));
        // Their lists may be fixed in this moment, also those that came just now. Who is told by user name has no such
        // trouble.
        let renamed = index.groups_listing(&affected.dns, &HashSet::new());
        renamed.iter().for_each(|id| _ = affected.groups.remove(id));
        doubtful.extend(renamed);
        let others = index.groups_listing(&HashSet::new(), &affected.uids).into_iter();
        let others = others.chain(index.groups_claimed(&affected.sids, &affected.claimed));
        affected.groups.extend(others.filter(|id| !doubtful.contains(id)));
        let doubted = affected.renamed.then(|| index.clear_doubtful_lookups());
        if !told.is_empty() && index.has_unknown() {
            // Whoever went waits for no question about lists: anybody can list a great many who do not exist.
            self.sink.send(std::mem::take(&mut told)).await?;
        }
        self.look_up(index, &mut ReadReport::default()).await?;
        if let Some(doubted) = doubted {
            let others = index.groups_of_changed_lookups(&doubted).into_iter();
            affected.groups.extend(others.filter(|id| !doubtful.contains(id)));
        }
        for id in &affected.groups {
            let Some(group) = index.group(id) else { continue };
            let found = index.members(group);
            let whole = found.unresolved.is_empty() && found.conflicts.is_empty();
            let members = found.members.into_iter().map(|member| index::member_fact(id, member).into());
            if whole {
                told.push(SourceChange::GroupMembers { group: id.clone(), members: members.collect() });
            } else {
                told.extend(members.map(SourceChange::Fact));
            }
        }
        Ok(told)
    }
}

/// The groups that have other members now, and what means somebody else.
#[derive(Debug, Default)]
struct Affected {
    groups: HashSet<Id>,
    dns: HashSet<Dn>,
    uids: HashSet<String>,
    /// Groups that people's own entries name, by SID and by name.
    sids: HashSet<Vec<u8>>,
    claimed: HashSet<Dn>,
    /// Whether somebody came whom we did not know: a list may have him under the name that he had elsewhere.
    newcomer: bool,
    /// Whether anybody came, went or is called otherwise: a list may have them in a spelling that only the server knows.
    renamed: bool,
}

impl Affected {
    /// Whoever has this id comes, goes or has another name.
    fn add_entry(&mut self, index: &DirectoryIndex, id: &Id) {
        self.dns.extend(index.spellings(id));
        if let Some(person) = index.person(id) {
            self.dns.insert(person.dn.clone());
            self.uids.extend(person.uids.iter().flat_map(|uid| index.seem_same(uid)));
            self.sids.extend(person.primary.clone());
            self.claimed.extend(person.member_of.iter().cloned());
        }
        if let Some(group) = index.group(id) {
            self.dns.insert(group.dn.clone());
        }
    }
}
