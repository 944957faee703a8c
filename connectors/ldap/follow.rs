//! Follows a directory, in whatever way its changes are heard: they go into the notebook, what follows from them is told,
//! then the cursor is kept with the notebook. What is only not said any more goes onto a sheet, where the brake looks at it;
//! knows no control of any server.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use rollcall_events::{
    Body, Id,
    body::{GroupRef, PersonRef},
};
use rollcall_ingest::connector::{ChangeSink, Failure, FullReadReason, SaveOutcome, SourceChange};

use crate::{
    ber::Malformed,
    changes::{Changes, Heard, Part, Said},
    client::Client,
    config::{Base, Config},
    directory::Ended,
    dn::Dn,
    message::Entry,
    model::Schema,
    notebook::{Notebook, write_cursor},
    read, search,
    world::{self, Named, Notes, World},
};

/// How often a silent server is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long after the last change a doubtful group is read again.
const SETTLING: Duration = Duration::from_secs(1);
/// So many batches without such a pause, and it is read nevertheless.
const BUSY: u32 = 20;

/// Everything that a follower works with.
pub struct Follower<'a> {
    pub client: &'a Client,
    pub schema: Schema,
    pub sink: &'a ChangeSink,
    pub notes: &'a (dyn Fn(&Notes) + Sync),
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
    pub async fn run(&self, changes: &mut dyn Changes) -> Result<Infallible, Ended> {
        let recalled = self.sink.resume_point().await?.and_then(|kept| {
            Notebook::recall(kept, changes.way()).map_err(|Malformed(why)| FullReadReason::Unreadable(why.to_owned()))
        });
        let (mut notebook, mut from) = match recalled {
            Ok((notebook, cursor)) => (notebook, Ok(cursor)),
            Err(anew) => (Notebook::default(), Err(anew)),
        };
        loop {
            let why = match self.begin(changes, &mut notebook, from).await? {
                Some(why) => why,
                None => self.go_on(changes, &mut notebook).await?,
            };
            (notebook, from) = (Notebook::default(), Err(FullReadReason::Refused(why)));
        }
    }

    /// Brings the notebook up to date. Some: everything must be read, for this reason.
    async fn begin(
        &self,
        changes: &mut dyn Changes,
        notebook: &mut Notebook,
        from: Result<Vec<u8>, FullReadReason>,
    ) -> Result<Option<String>, Ended> {
        let from = match from {
            Ok(cursor) => cursor,
            Err(anew) => return self.everything(changes, notebook, anew).await.map(|()| None),
        };
        let said = match changes.begin(Some(&from), notebook).await? {
            Heard::Nothing => Vec::new(),
            Heard::Changes(said) => said,
            Heard::FullReadReason(why) => return Ok(Some(why)),
        };
        notebook.world.forget_fates();
        let mut told = self.hear(said, notebook).await?;
        told.extend(self.read_again(notebook).await?);
        self.sink.send(told).await?;
        Ok(None)
    }

    /// Takes everything into an empty notebook and onto a sheet.
    async fn everything(
        &self,
        changes: &mut dyn Changes,
        notebook: &mut Notebook,
        why: FullReadReason,
    ) -> Result<(), Ended> {
        // The run begins before the first question.
        let mut builder = self.sink.begin_snapshot(why).await?;
        let said = match changes.begin(None, notebook).await? {
            Heard::Nothing => Vec::new(),
            Heard::Changes(said) => said,
            // It was anew.
            Heard::FullReadReason(why) => return Err(Failure::Partial(why).into()),
        };
        let mut left_out = Notes::default();
        for said in said {
            if let Said::Entry(part, entry) = said {
                notebook.came(part, self.schema.id_of(&entry)?);
                let world = &mut notebook.world;
                if self.is_of_people(part) {
                    world.put_person(self.schema.person(&entry, self.sink.now())?);
                } else {
                    read::take_group(world, &mut left_out, self.schema.group(&entry), &entry)?;
                }
            }
        }
        self.look_up(&mut notebook.world, &mut left_out).await?;
        // Every base came to its end, or we would not be here.
        for base in self.bases() {
            let part = builder.open_section(base.text.clone());
            builder.close_section(part);
        }
        let notes = notebook.world.state(&mut builder);
        (self.notes)(&Notes { left_out: left_out.left_out, ..notes });
        self.sink.apply_snapshot(builder.seal()?).await?;
        Ok(())
    }

    /// Hears and tells. Ends where everything must be read, with the reason.
    async fn go_on(&self, changes: &mut dyn Changes, notebook: &mut Notebook) -> Result<String, Ended> {
        let mut busy = 0;
        loop {
            let cursor = write_cursor(changes.way(), &changes.cursor());
            if self.sink.save(cursor, || notebook.notes()).await? == SaveOutcome::Saved {
                notebook.was_kept();
            }
            let settled = notebook.doubtful.is_empty();
            if !settled && busy >= BUSY {
                self.settle(notebook).await?;
                busy = 0;
            }
            match changes.next(if settled { HEARTBEAT } else { SETTLING }, notebook).await? {
                Heard::Nothing if settled => self.heartbeat().await?,
                Heard::Nothing => {
                    self.settle(notebook).await?;
                    busy = 0;
                }
                Heard::Changes(said) => {
                    busy += 1;
                    let told = self.hear(said, notebook).await?;
                    if !told.is_empty() {
                        self.sink.send(told).await?;
                    }
                }
                Heard::FullReadReason(why) => return Ok(why),
            }
        }
    }

    /// Reads the groups again that list a name which means somebody else now: what a server mends by itself (the overlay
    /// refint) it does a moment later, and tells nobody.
    async fn settle(&self, notebook: &mut Notebook) -> Result<(), Ended> {
        let told = self.read_again(notebook).await?;
        if !told.is_empty() {
            self.sink.send(told).await?;
        }
        Ok(())
    }

    async fn read_again(&self, notebook: &mut Notebook) -> Result<Vec<SourceChange>, Ended> {
        if notebook.doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.client.session().await?;
        let mut entries = Vec::new();
        for id in &notebook.doubtful {
            let Some(group) = notebook.world.group(id) else { continue };
            let filter = Some(self.schema.groups.clone());
            let found =
                search::entry(&mut session.connection, &group.text, filter, self.schema.group_attributes()).await?;
            // One that is gone or has another name is told by itself.
            if let Some(mut entry) = found {
                search::complete(&mut session.connection, &mut entry).await?;
                entries.push(entry);
            }
        }
        session.connection.close().await;
        let (mut told, mut touched) = (Vec::new(), Touched::default());
        for entry in entries {
            self.put_group(&entry, &mut notebook.world, &mut told, &mut touched)?;
        }
        // Answered now; what follows from the answers may raise new doubts.
        notebook.doubtful.clear();
        told.extend(self.follows(touched, notebook).await?);
        Ok(told)
    }

    /// A server that says nothing may have nothing to say, or be gone.
    async fn heartbeat(&self) -> Result<(), Ended> {
        self.client.session().await?.connection.close().await;
        Ok(self.sink.heartbeat().await?)
    }

    /// Looks up what groups list and nobody read.
    async fn look_up(&self, world: &mut World, notes: &mut Notes) -> Result<(), Ended> {
        if !world.unknown().is_empty() {
            let mut session = self.client.session().await?;
            read::resolve(&mut session, self.config(), world, notes, self.sink.now()).await?;
            session.connection.close().await;
        }
        Ok(())
    }

    /// Puts changes into the notebook and says what follows from them.
    async fn hear(&self, said: Vec<Said>, notebook: &mut Notebook) -> Result<Vec<SourceChange>, Ended> {
        let (mut told, mut touched, mut gone) = (Vec::new(), Touched::default(), Vec::new());
        for said in said {
            match said {
                Said::Entry(part, entry) => self.put(part, &entry, notebook, &mut told, &mut touched)?,
                Said::Gone(part, id) => {
                    notebook.left(part, &id);
                    gone.push(id);
                }
            }
        }
        // Who left one base may have come to another; and deletions of entries that were never ours are said too.
        gone.retain(|id| !notebook.is_somewhere(id));
        for (part, entry) in self.elsewhere(&gone).await? {
            self.put(part, &entry, notebook, &mut told, &mut touched)?;
        }
        gone.retain(|id| !notebook.is_somewhere(id));
        for id in gone {
            let world = &mut notebook.world;
            touched.by(world, &id);
            match world.remove(&id) {
                Some(Named::Person(person)) => {
                    told.push(SourceChange::Removed(Body::PersonRemoved(PersonRef { person })))
                }
                Some(Named::Group(group)) => {
                    told.push(SourceChange::Removed(Body::GroupRemoved(GroupRef { group, author: None })))
                }
                // Said by a predecessor that did not come to keep it; or never ours, then nothing is recorded.
                None => {
                    told.push(SourceChange::Removed(Body::PersonRemoved(PersonRef { person: id.clone() })));
                    told.push(SourceChange::Removed(Body::GroupRemoved(GroupRef { group: id, author: None })));
                }
            }
        }
        told.extend(self.follows(touched, notebook).await?);
        Ok(told)
    }

    /// Who of these is below another base: what is said of that one may be late.
    async fn elsewhere(&self, gone: &[Id]) -> Result<Vec<(Part, Entry)>, Ended> {
        if gone.is_empty() || self.bases().count() <= 2 {
            return Ok(Vec::new());
        }
        let mut session = self.client.session().await?;
        let found = read::entries(&mut session, self.config(), Some(gone)).await?;
        session.connection.close().await;
        Ok(found)
    }

    fn put(
        &self,
        part: Part,
        entry: &Entry,
        notebook: &mut Notebook,
        told: &mut Vec<SourceChange>,
        touched: &mut Touched,
    ) -> Result<(), Ended> {
        notebook.came(part, self.schema.id_of(entry)?);
        if self.is_of_people(part) {
            self.put_person(entry, &mut notebook.world, told, touched)
        } else {
            self.put_group(entry, &mut notebook.world, told, touched)
        }
    }

    fn put_person(
        &self,
        entry: &Entry,
        world: &mut World,
        told: &mut Vec<SourceChange>,
        touched: &mut Touched,
    ) -> Result<(), Ended> {
        let person = self.schema.person(entry, self.sink.now())?;
        told.push(SourceChange::Stated(world::person_fact(&person)));
        let same = world.person(&person.id).is_some_and(|old| {
            (&old.dn, &old.uids, &old.primary, &old.member_of)
                == (&person.dn, &person.uids, &person.primary, &person.member_of)
        });
        let id = person.id.clone();
        touched.came |= world.name_of(&id).is_none();
        if !same {
            touched.by(world, &id);
        }
        world.put_person(person);
        if !same {
            touched.by(world, &id);
        }
        Ok(())
    }

    fn put_group(
        &self,
        entry: &Entry,
        world: &mut World,
        told: &mut Vec<SourceChange>,
        touched: &mut Touched,
    ) -> Result<(), Ended> {
        let group = match self.schema.group(entry) {
            Ok(group) => group,
            Err(why) if entry.is("groupOfURLs") => {
                tracing::warn!(%why, "a group is left out");
                return Ok(());
            }
            Err(why) => return Err(why.into()),
        };
        told.push(SourceChange::Stated(world::group_fact(&group).into()));
        let same = world.group(&group.id).is_some_and(|old| old.dn == group.dn);
        let id = group.id.clone();
        touched.came |= world.name_of(&id).is_none();
        if !same {
            touched.by(world, &id);
        }
        world.put_group(group);
        if !same {
            touched.by(world, &id);
        }
        touched.groups.insert(id);
        Ok(())
    }

    /// What follows for groups: who is in them now, or that they are doubtful.
    async fn follows(&self, mut touched: Touched, notebook: &mut Notebook) -> Result<Vec<SourceChange>, Ended> {
        let Notebook { world, doubtful, .. } = notebook;
        // Their lists may be mended in this moment. Who is told by user name has no such trouble.
        doubtful.extend(world.listing(&touched.dns, &HashSet::new()));
        if touched.came {
            doubtful.extend(world.listing_outsiders());
        }
        doubtful.retain(|id| !touched.groups.contains(id));
        let others = world.listing(&HashSet::new(), &touched.uids).into_iter();
        let others = others.chain(world.claimed(&touched.sids, &touched.claimed));
        touched.groups.extend(others.filter(|id| !doubtful.contains(id)));
        self.look_up(world, &mut Notes::default()).await?;
        let mut told = Vec::new();
        for id in &touched.groups {
            let Some(group) = world.group(id) else { continue };
            let found = world.members(group);
            let whole = found.unresolved.is_empty() && found.conflicts.is_empty();
            let members = found.members.into_iter().map(|member| world::member_fact(id, member).into());
            if whole {
                told.push(SourceChange::GroupMembers { group: id.clone(), members: members.collect() });
            } else {
                told.extend(members.map(SourceChange::Stated));
            }
        }
        Ok(told)
    }
}

/// The groups that have other members now, and what means somebody else.
#[derive(Debug, Default)]
struct Touched {
    groups: HashSet<Id>,
    dns: HashSet<Dn>,
    uids: HashSet<String>,
    /// Groups that people's own entries name, by SID and by name.
    sids: HashSet<Vec<u8>>,
    claimed: HashSet<Dn>,
    /// Whether somebody came whom we did not know: a list may have him under the name that he had elsewhere.
    came: bool,
}

impl Touched {
    /// Whoever has this id comes, goes or has another name.
    fn by(&mut self, world: &World, id: &Id) {
        if let Some(person) = world.person(id) {
            self.dns.insert(person.dn.clone());
            self.uids.extend(person.uids.iter().cloned());
            self.sids.extend(person.primary.clone());
            self.claimed.extend(person.member_of.iter().cloned());
        }
        if let Some(group) = world.group(id) {
            self.dns.insert(group.dn.clone());
        }
    }
}
