//! Single subjects as the directory has them now: people and groups by their ids, and who is in a group by the names that
//! both have in one moment. In few searches, however many are asked for: people by the hundred, each group once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id,
    body::{self, GroupMember, GroupRef, Member, PersonRef},
    names::canonical_name,
};
use rollcall_ingest::connector::LookupAnswer;

use crate::{
    client::Session,
    config::{Base, Config},
    schema::model::{Group, Listed, Schema},
    sync::{
        error::SyncError,
        index,
        read::{IDS_PER_SEARCH, search_below},
    },
    wire::{
        dn::Dn,
        fault::Fault,
        filter::Filter,
        message::{Entry, Scope, Search},
        search,
    },
};

/// Looks subjects up, one answer for each.
pub async fn look_up(
    session: &mut Session,
    config: &Config,
    subjects: &[Body],
    now: DateTime<Utc>,
) -> Result<Vec<LookupAnswer>, SyncError> {
    let members = subjects.iter().filter_map(|subject| membership(subject).map(|fact| &fact.member));
    let groups: BTreeSet<&Id> = members.filter_map(group_of).collect();
    let people: BTreeSet<&Id> = subjects.iter().filter_map(person_of).collect();
    let schema = session.schema.clone();
    let mut asking = Asking { session, config, schema, now, people: HashMap::new(), groups: HashMap::new() };
    match asking.look_up(subjects, &people, &groups).await {
        Err(SyncError::Fault(fault @ Fault::Refused { .. })) => {
            Ok(vec![LookupAnswer::Unanswered(fault.to_string()); subjects.len()])
        }
        answered => answered,
    }
}

/// Of whom a subject tells, where that is a person.
fn person_of(subject: &Body) -> Option<&Id> {
    match subject {
        Body::PersonUpserted(body::Person { person, .. }) | Body::PersonRemoved(PersonRef { person }) => Some(person),
        subject => match &membership(subject)?.member {
            Member::Person(id) => Some(id),
            _ => None,
        },
    }
}

fn membership(subject: &Body) -> Option<&GroupMember> {
    match subject {
        Body::GroupMemberAdded(fact) | Body::GroupMemberRemoved(fact) => Some(fact),
        _ => None,
    }
}

fn group_of(member: &Member) -> Option<&Id> {
    match member {
        Member::Group(id) => Some(id),
        _ => None,
    }
}

/// That an entry is not found may also mean that it is hidden; only a whole read concludes from that.
fn hidden() -> LookupAnswer {
    LookupAnswer::Unknown("it is not found any more; the next whole read decides".to_owned())
}

/// What the answers come from: the people that are asked for, and the names of groups that may be in others.
struct Asking<'a> {
    session: &'a mut Session,
    config: &'a Config,
    schema: Schema,
    now: DateTime<Utc>,
    people: HashMap<Id, Entry>,
    groups: HashMap<Id, Entry>,
}

impl Asking<'_> {
    async fn look_up(
        &mut self,
        subjects: &[Body],
        people: &BTreeSet<&Id>,
        groups: &BTreeSet<&Id>,
    ) -> Result<Vec<LookupAnswer>, SyncError> {
        (self.people, self.groups) = (self.people(people).await?, self.names_of_groups(groups).await?);
        let mut answers = Vec::with_capacity(subjects.len());
        let mut by_group: BTreeMap<&Id, Vec<usize>> = BTreeMap::new();
        for (at, subject) in subjects.iter().enumerate() {
            match subject {
                Body::GroupUpserted(body::Group { group, .. })
                | Body::GroupRemoved(GroupRef { group, .. })
                | Body::GroupMemberAdded(GroupMember { group, .. })
                | Body::GroupMemberRemoved(GroupMember { group, .. }) => by_group.entry(group).or_default().push(at),
                _ => {}
            }
            answers.push(self.person(subject));
        }
        for (group, asked) in by_group {
            let of: Vec<&Body> = asked.iter().filter_map(|at| subjects.get(*at)).collect();
            let answered = match self.group(group, &of).await {
                Err(SyncError::Fault(fault @ Fault::Refused { .. })) => unanswered(&of, fault.to_string()),
                Err(SyncError::Unreadable(why)) => unanswered(&of, why.to_string()),
                answered => answered?,
            };
            for (at, answer) in asked.into_iter().zip(answered) {
                if let Some(place) = answers.get_mut(at) {
                    *place = answer;
                }
            }
        }
        self.keep_what_held(subjects, &mut answers).await?;
        Ok(answers)
    }

    /// A list has names: whoever has another one by now may not be whom it meant.
    async fn keep_what_held(&mut self, subjects: &[Body], answers: &mut [LookupAnswer]) -> Result<(), SyncError> {
        let found = |answer: &LookupAnswer| matches!(answer, LookupAnswer::Found(_));
        let members = subjects.iter().zip(&*answers).filter(|(_, answer)| found(answer));
        let members: Vec<&Member> = members.filter_map(|(subject, _)| Some(&membership(subject)?.member)).collect();
        let people = members.iter().filter_map(|member| if let Member::Person(id) = member { Some(id) } else { None });
        let people = self.people(&people.collect()).await?;
        let groups = self.names_of_groups(&members.iter().copied().filter_map(group_of).collect()).await?;
        for (subject, answer) in subjects.iter().zip(answers).filter(|(_, answer)| found(answer)) {
            let held = match membership(subject).map(|fact| &fact.member) {
                Some(Member::Person(id)) => self.people.get(id) == people.get(id),
                Some(Member::Group(id)) => self.groups.get(id) == groups.get(id),
                _ => true,
            };
            if !held {
                *answer = LookupAnswer::Unanswered("it changed while it was asked for".to_owned());
            }
        }
        Ok(())
    }

    async fn people(&mut self, ids: &BTreeSet<&Id>) -> Result<HashMap<Id, Entry>, SyncError> {
        let (kind, attributes) = (self.schema.people.clone(), self.schema.person_attributes());
        self.by_id(&self.config.people, &kind, &attributes, ids).await
    }

    async fn names_of_groups(&mut self, ids: &BTreeSet<&Id>) -> Result<HashMap<Id, Entry>, SyncError> {
        let (kind, attributes) = (self.schema.groups.clone(), vec![self.schema.id.clone()]);
        self.by_id(&self.config.groups, &kind, &attributes, ids).await
    }

    async fn by_id(
        &mut self,
        bases: &[Base],
        kind: &Filter,
        attributes: &[String],
        ids: &BTreeSet<&Id>,
    ) -> Result<HashMap<Id, Entry>, SyncError> {
        let (schema, mut all) = (&self.schema, HashMap::new());
        let pages = self.session.root.pages().then_some(self.config.page);
        let ids: Vec<Filter> = ids.iter().map(|id| Filter::Equal(schema.id.clone(), schema.id_value(id))).collect();
        for base in bases {
            for ids in ids.chunks(IDS_PER_SEARCH) {
                let filter = Filter::And(vec![kind.clone(), Filter::any(ids.to_vec())]);
                let search = search_below(base, filter, attributes.to_vec());
                for entry in search::search_all(&mut self.session.connection, &search, pages, &mut |e| e).await?.items {
                    all.insert(schema.id_of(&entry)?, entry);
                }
            }
        }
        Ok(all)
    }

    /// What is said of a person; of anything else nothing yet.
    fn person(&self, subject: &Body) -> LookupAnswer {
        match (subject, person_of(subject).map(|id| self.people.get(id))) {
            (Body::PersonUpserted(_) | Body::PersonRemoved(_), Some(Some(entry))) => {
                match index::read_person(&self.schema, entry, self.now, |fact| fact == subject) {
                    Ok(person) => LookupAnswer::Found(index::person_fact(&person)),
                    Err(why) => LookupAnswer::Unanswered(why.to_string()),
                }
            }
            (Body::PersonUpserted(_) | Body::PersonRemoved(_), _) => hidden(),
            _ => LookupAnswer::Unknown("a directory says nothing of it".to_owned()),
        }
    }

    /// What is said of one group and its members.
    async fn group(&mut self, id: &Id, subjects: &[&Body]) -> Result<Vec<LookupAnswer>, SyncError> {
        let (kind, attributes) = (self.schema.groups.clone(), self.schema.group_attributes());
        let found = self.by_id(&self.config.groups, &kind, &attributes, &[id].into()).await?;
        let Some(mut entry) = found.into_values().next() else { return Ok(vec![hidden(); subjects.len()]) };
        search::complete_ranges(&mut self.session.connection, &mut entry).await?;
        let group = self.schema.group(&entry)?;
        let names: BTreeSet<&Dn> = group.members.iter().filter_map(listed_name).collect();
        let mut uids = Uids::of(&group);
        self.ask_for_uids(&mut uids, subjects).await?;
        let mut answers = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let answer = match membership(subject) {
                None => LookupAnswer::Found(index::group_fact(&group).into()),
                Some(fact) => match self.lists(&group, &names, &uids, &fact.member).await? {
                    Some(Answer::Yes) => LookupAnswer::Found(Body::GroupMemberAdded(fact.clone()).into()),
                    Some(Answer::No) => LookupAnswer::Gone,
                    Some(Answer::Several(uid)) => {
                        let why = format!("{} lists {uid}, and several people have that user name", group.text);
                        LookupAnswer::Unanswered(why)
                    }
                    None => hidden(),
                },
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Whether a group lists somebody; None for somebody who is not found.
    async fn lists(
        &mut self,
        group: &Group,
        names: &BTreeSet<&Dn>,
        uids: &Uids,
        member: &Member,
    ) -> Result<Option<Answer>, SyncError> {
        let dn = match member {
            Member::Person(id) => {
                let Some(entry) = self.people.get(id) else { return Ok(None) };
                let person = self.schema.person(entry, self.now)?;
                let primary = group.sid.is_some() && group.sid == person.primary;
                if primary || person.member_of.contains(&group.dn) || names.contains(&person.dn) {
                    return Ok(Some(Answer::Yes));
                }
                match uids.answer(&person.uids, id) {
                    Answer::No => {}
                    answer => return Ok(Some(answer)),
                }
                let claim = Filter::Equal("memberOf".to_owned(), group.text.clone().into_bytes());
                let text = entry.dn.clone();
                if !person.member_of.is_empty() && self.is(&text, claim).await? {
                    return Ok(Some(Answer::Yes));
                }
                person.dn
            }
            Member::Group(id) => {
                let Some(entry) = self.groups.get(id) else { return Ok(None) };
                let dn: Dn = entry.dn.parse().map_err(|_| Fault::Malformed(format!("{} is no name", entry.dn)))?;
                if names.contains(&dn) {
                    return Ok(Some(Answer::Yes));
                }
                dn
            }
            Member::Service(_) => return Ok(None),
        };
        if names.is_empty() {
            return Ok(Some(Answer::No));
        }
        // The server alone knows which names it takes for one, and which are aliases.
        if self.lists_name(group, &dn).await? {
            return Ok(Some(Answer::Yes));
        }
        for alias in self.aliases(&dn).await? {
            if names.contains(&alias) || self.lists_name(group, &alias).await? {
                return Ok(Some(Answer::Yes));
            }
        }
        Ok(Some(Answer::No))
    }

    async fn lists_name(&mut self, group: &Group, dn: &Dn) -> Result<bool, Fault> {
        let equal = |list: &str| Filter::Equal(list.to_owned(), dn.to_string().into_bytes());
        self.is(&group.text, Filter::any(["member", "uniqueMember"].map(equal).to_vec())).await
    }

    /// The aliases of an entry, as far as the server lets us search for them.
    async fn aliases(&mut self, of: &Dn) -> Result<Vec<Dn>, Fault> {
        let equal = |name: &str, value: String| Filter::Equal(name.to_owned(), value.into_bytes());
        let filter =
            Filter::And(vec![equal("objectClass", "alias".to_owned()), equal("aliasedObjectName", of.to_string())]);
        let bases = self.config.people.iter().chain(&self.config.groups);
        let contexts = bases.filter_map(|base| self.session.root.context_of(&base.dn)).map(str::to_owned);
        let mut aliases = Vec::new();
        for context in contexts.collect::<BTreeSet<_>>() {
            let (filter, attributes) = (filter.clone(), vec!["1.1".to_owned()]);
            let search =
                Search { base: context, scope: Scope::Subtree, filter, attributes, controls: Vec::new(), limit: 0 };
            let connection = &mut self.session.connection;
            match search::search_all(connection, &search, None, &mut |entry| entry.dn.parse::<Dn>()).await {
                Ok(found) => aliases.extend(found.items.into_iter().flatten()),
                Err(Fault::Refused { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(aliases)
    }

    /// Whether an entry is as a filter wants it.
    async fn is(&mut self, name: &str, filter: Filter) -> Result<bool, Fault> {
        let connection = &mut self.session.connection;
        Ok(search::read_entry(connection, name, Some(filter), vec!["1.1".to_owned()]).await?.is_some())
    }

    /// Asks whom the user names mean that a group lists and that may be one of those who are asked for: many at once where
    /// each is exactly one person's and nobody else's seems to be the same, as a whole read has it, and one by one else.
    async fn ask_for_uids(&mut self, uids: &mut Uids, subjects: &[&Body]) -> Result<(), SyncError> {
        let mut wanted = BTreeSet::new();
        for id in subjects.iter().filter_map(|subject| person_of(subject)) {
            let Some(entry) = self.people.get(id) else { continue };
            wanted.extend(self.schema.person(entry, self.now)?.uids.iter().flat_map(|uid| uids.seem_same(uid)));
        }
        let wanted: Vec<String> = wanted.into_iter().collect();
        for several in wanted.chunks(IDS_PER_SEARCH) {
            let people = self.people_named(several).await?;
            for uid in several {
                let seem =
                    people.iter().filter(|(_, held)| held.iter().any(|h| canonical_name(h) == canonical_name(uid)));
                let holders = match seem.collect::<Vec<_>>().as_slice() {
                    [(id, held)] if held.contains(uid) => [(*id).clone()].into(),
                    _ => self.people_named(std::slice::from_ref(uid)).await?.into_keys().collect(),
                };
                uids.holders.insert(uid.clone(), holders);
            }
        }
        Ok(())
    }

    /// Who has any of these user names, with all of theirs.
    async fn people_named(&mut self, uids: &[String]) -> Result<BTreeMap<Id, Vec<String>>, SyncError> {
        let schema = &self.schema;
        let named = |uid: &String| Filter::Equal(schema.username.clone(), uid.clone().into_bytes());
        let filter = Filter::And(vec![schema.people.clone(), Filter::any(uids.iter().map(named).collect())]);
        let pages = self.session.root.pages().then_some(self.config.page);
        let mut people = BTreeMap::new();
        for base in &self.config.people {
            let search = search_below(base, filter.clone(), schema.person_attributes());
            for entry in search::search_all(&mut self.session.connection, &search, pages, &mut |e| e).await?.items {
                let person = schema.person(&entry, self.now)?;
                people.insert(person.id, person.uids);
            }
        }
        Ok(people)
    }
}

/// Whether a group lists somebody.
enum Answer {
    Yes,
    No,
    /// By this user name, which is somebody else's too.
    Several(String),
}

/// The user names that a group lists.
struct Uids {
    /// By the one form of all that seem the same.
    listed: HashMap<String, Vec<String>>,
    /// Who has them.
    holders: HashMap<String, BTreeSet<Id>>,
}

impl Uids {
    fn of(group: &Group) -> Self {
        let mut listed: HashMap<String, Vec<String>> = HashMap::new();
        for member in &group.members {
            if let Listed::Uid(uid) = member {
                listed.entry(canonical_name(uid)).or_default().push(uid.clone());
            }
        }
        Self { listed, holders: HashMap::new() }
    }

    fn seem_same(&self, uid: &str) -> Vec<String> {
        self.listed.get(&canonical_name(uid)).cloned().unwrap_or_default()
    }

    /// Whether somebody with these user names is meant.
    fn answer(&self, uids: &[String], id: &Id) -> Answer {
        let mut answer = Answer::No;
        for uid in uids.iter().flat_map(|uid| self.seem_same(uid)) {
            match self.holders.get(&uid) {
                Some(holders) if holders.len() == 1 && holders.contains(id) => return Answer::Yes,
                Some(holders) if holders.contains(id) => answer = Answer::Several(uid),
                _ => {}
            }
        }
        answer
    }
}

fn listed_name(member: &Listed) -> Option<&Dn> {
    match member {
        Listed::Dn(dn) => Some(dn),
        _ => None,
    }
}

fn unanswered(subjects: &[&Body], why: String) -> Vec<LookupAnswer> {
    vec![LookupAnswer::Unanswered(why); subjects.len()]
}
