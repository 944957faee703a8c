//! Groups: sets of people, services and groups. Those of a source are its own; those of `local` are kept here.

use std::borrow::Cow;

use rollcall_access::{GroupIx, Roster, UserIx};
use rollcall_events::{
    Body, LOCAL, Position,
    body::{self, Group, GroupMember, GroupRef, Member},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, CommandOutcome, Commands, Created, Page, PageRequest, Precondition, Reads,
    answer::CacheBasis,
    commands::ConditionalCommands,
    error::{ErrorKind, Result},
    filters, find, input,
};

/// Whose groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupsQuery {
    /// Only this source's; `local` for those that are kept here.
    pub source: Option<String>,
    /// Only those that are called so: by name, DN or path, with or without the source before it, or by id.
    pub name: Option<String>,
}

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct GroupShown {
    /// `source/group`.
    pub id: String,
    /// The source that says who is in it; `local` for one that is kept here.
    pub source: String,
    /// A label.
    pub name: Option<String>,
    /// How the source's people know it, e.g. a DN.
    pub external_id: Option<String>,
    /// The newest event about it or about who is in it itself.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl GroupShown {
    fn of(roster: &Roster, group: GroupIx) -> Self {
        let view = roster.group(group);
        Self {
            source: view.source.to_owned(),
            name: view.name.map(str::to_owned),
            external_id: view.external_id.map(str::to_owned),
            position: roster.group_changed(group),
            id: view.id,
        }
    }
}

fn find_group(roster: &Roster, source: &str, group: &str) -> Result<GroupIx> {
    let id = format!("{source}/{group}");
    roster.group_by_id(&id).ok_or_else(find::no_such_group)
}

/// Groups by id.
///
/// # Errors
/// The query names a source that there is not, or the caller asks for much at once.
pub async fn list(reads: &Reads, query: GroupsQuery, page: PageRequest) -> Result<Answer<Page<GroupShown>>> {
    filters::known_source(reads, query.source.as_deref())?;
    let list = reads.list(move |roster, _, awaited| {
        let wanted = |group: GroupIx| query.source.as_deref().is_none_or(|source| roster.group(group).source == source);
        let row = |group: GroupIx| wanted(group).then(|| GroupShown::of(roster, group));
        let key = |row: &GroupShown| row.id.clone();
        if let Some(word) = query.name.as_deref() {
            let called = roster.groups_called(word);
            if called.is_empty() {
                return Err(find::no_such_group());
            }
            return Ok(page.sorted_page(called.into_iter().filter_map(row).collect(), key));
        }
        page.gather(awaited, roster.groups_by_id(page.start_pair()).map(row), key)
    });
    let (position, page) = list.await?;
    Ok(Answer::of_log(position, page))
}

/// One group.
///
/// # Errors
/// There is none of this id.
pub fn show(reads: &Reads, source: &str, group: &str) -> Result<Answer<GroupShown>> {
    let roster = reads.live().view();
    let group = GroupShown::of(&roster, find_group(&roster, source, group)?);
    Ok(Answer::of_event(roster.position(), group.position, group))
}

/// How deep.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MembersQuery {
    /// `true`: every user and service that is in it, to any depth. Else who is in it itself, groups too.
    #[serde(default)]
    pub transitive: bool,
}

/// Somebody in a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct GroupMemberShown {
    /// `user`, `service` or `group`.
    #[schema(value_type = String)]
    pub kind: Cow<'static, str>,
    /// The user's or group's id, `source/id`; the service's id.
    pub id: String,
    /// The user's name.
    pub user: Option<String>,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl GroupMemberShown {
    fn of(roster: &Roster, member: body::Principal) -> Self {
        match member {
            body::Principal::User(id) => {
                let user = roster.user_by_id(id.as_str()).map(|user| roster.user_name(user).to_owned());
                Self { kind: "user".into(), id: id.to_string(), user, name: None }
            }
            body::Principal::Service(id) => Self { kind: "service".into(), id: id.to_string(), user: None, name: None },
            body::Principal::Group(id) => {
                let name = find::group_name(roster, id.as_str());
                Self { kind: "group".into(), id: id.to_string(), user: None, name }
            }
        }
    }
}

/// By kind and id.
fn member_key(member: &body::Principal) -> String {
    match member {
        body::Principal::User(id) => format!("user\n{id}"),
        body::Principal::Service(id) => format!("service\n{id}"),
        body::Principal::Group(id) => format!("group\n{id}"),
    }
}

/// Who is in a group, by kind and id.
///
/// # Errors
/// There is no such group, or the caller asks for much at once.
pub async fn members_of(
    reads: &Reads,
    source: &str,
    group: &str,
    query: MembersQuery,
    page: PageRequest,
) -> Result<Answer<Page<GroupMemberShown>>> {
    let (source, group) = (source.to_owned(), group.to_owned());
    let list = reads.list(move |roster, _, _| {
        let group = find_group(roster, &source, &group)?;
        // Who is in it itself is what a condition on a change of it is about.
        let cache_basis = match query.transitive {
            true => CacheBasis::Log,
            false => CacheBasis::Event(roster.group_changed(group)),
        };
        let members: Vec<body::Principal> = match query.transitive {
            true => roster.everybody_in(group).into_iter().filter_map(|who| roster.event_principal(who)).collect(),
            false => roster.group_members(group).collect(),
        };
        let page = page.sorted_page(members, member_key);
        let items = page.items.into_iter().map(|member| GroupMemberShown::of(roster, member)).collect();
        Ok(Answer { position: roster.position(), cache_basis, value: Page { items, next: page.next } })
    });
    Ok(list.await?.1)
}

/// A group to keep here.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its id, without `local/`: at most 100 of a-z, 0-9, `.`, `-` and `_`.
    pub id: String,
    /// A label.
    #[serde(default)]
    pub name: Option<String>,
}

/// Makes a group that is kept here, `local/id`.
///
/// # Errors
/// The id does not fit or is taken, or the command was refused.
pub async fn create(mut commands: Commands, new: NewGroup) -> Result<Created> {
    let group = input::id("/id", &new.id)?;
    commands.take_exclusive().await;
    if commands.live().read().group_by_id(&format!("{LOCAL}/{group}")).is_some() {
        return Err(
            ErrorKind::Taken.because("There is a local group of this id. Take another, or remove that one first.")
        );
    }
    let name = input::label("/name", new.name)?;
    let body =
        Group { group, name, external_id: None, author: Some(commands.author()), made_with: commands.made_with() };
    Ok(Created::of(format!("{LOCAL}/{}", new.id), commands.append(&Body::GroupUpserted(body)).await?))
}

/// Removes a group that is kept here.
///
/// # Errors
/// There is none of this id, it is a source's, or the command was refused.
pub async fn remove(commands: Commands, source: &str, group: &str, only_if: Precondition) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let newest = {
        let roster = commands.live().read();
        roster.group_changed(find_group(&roster, source, group)?)
    };
    refuse_managed(source)?;
    commands.check(Some(newest))?;
    let body =
        GroupRef { group: input::id("/id", group)?, author: Some(commands.author()), made_with: commands.made_with() };
    commands.append(&Body::GroupRemoved(body)).await
}

/// Who is to enter or leave which group.
#[derive(Debug, Clone, Copy)]
pub struct MembershipRef<'a> {
    /// The group's source; those of `local` are kept here.
    pub source: &'a str,
    /// The group's id.
    pub group: &'a str,
    /// `user`, `service` or `group`.
    pub kind: &'a str,
    /// The user's name or id, the service's id, or the group's id, name, DN or path.
    pub member: &'a str,
}

/// Puts somebody into a group that is kept here. Safe to repeat.
///
/// # Errors
/// Something of it is not there, the group is a source's, or the command was refused.
pub async fn add_member(
    commands: Commands,
    membership: MembershipRef<'_>,
    only_if: Precondition,
) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let found = resolve_members(&commands, membership, |roster, _, user| vec![roster.gifted_person(user)])?;
    append_each(&commands, found.into_iter().map(Body::GroupMemberAdded)).await
}

/// Takes somebody out of a group that is kept here: a user with every person of it that is in it, and also a group that its
/// source has removed.
///
/// # Errors
/// As [`add_member`].
pub async fn remove_member(
    commands: Commands,
    membership: MembershipRef<'_>,
    only_if: Precondition,
) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let found = match removed_member(&commands, membership)? {
        Some(member) => vec![member],
        None => resolve_members(&commands, membership, |roster, group, user| {
            let persons = roster.members_of_user(group, user);
            if persons.is_empty() { vec![roster.gifted_person(user)] } else { persons }
        })?,
    };
    append_each(&commands, found.into_iter().map(Body::GroupMemberRemoved)).await
}

/// The commands one after the other. What came last is told.
async fn append_each(commands: &ConditionalCommands, bodies: impl Iterator<Item = Body>) -> Result<CommandOutcome> {
    let mut last = None;
    for body in bodies {
        last = Some(commands.append(&body).await?);
    }
    last.ok_or_else(find::no_such_user)
}

/// A group that is in another one and is not there any more: nobody finds it by anything but its id.
fn removed_member(commands: &ConditionalCommands, membership: MembershipRef<'_>) -> Result<Option<GroupMember>> {
    let MembershipRef { source, group, kind, member } = membership;
    let roster = commands.live().read();
    let of = find_group(&roster, source, group)?;
    let listed = roster.group_members(of).find_map(|inner| match inner {
        body::Principal::Group(id) if kind == "group" && id.as_str() == member => Some(id),
        _ => None,
    });
    let Some(id) = listed.filter(|id| roster.group_by_id(id.as_str()).is_none()) else { return Ok(None) };
    refuse_managed(source)?;
    commands.check(Some(roster.group_changed(of)))?;
    Ok(Some(GroupMember {
        group: input::id("/id", group)?,
        member: Member::Group(id),
        author: Some(commands.author()),
        made_with: commands.made_with(),
    }))
}

fn refuse_managed(source: &str) -> Result<()> {
    if source == LOCAL {
        return Ok(());
    }
    Err(ErrorKind::ManagedGroup
        .because("Who is in this group its source says, and it is changed there. Nothing was recorded.")
        .of_source(source))
}

/// `persons`: those of a user that are meant.
fn resolve_members(
    commands: &ConditionalCommands,
    membership: MembershipRef<'_>,
    persons: impl Fn(&Roster, GroupIx, UserIx) -> Vec<String>,
) -> Result<Vec<GroupMember>> {
    let MembershipRef { source, group, kind, member } = membership;
    let roster = commands.live().read();
    let of = find_group(&roster, source, group)?;
    refuse_managed(source)?;
    commands.check(Some(roster.group_changed(of)))?;
    let members = match kind {
        "user" => {
            let persons = persons(&roster, of, find::user(&roster, member)?).into_iter();
            persons.map(|id| find::parse_roster_id(id).map(Member::Person)).collect::<Result<Vec<_>>>()?
        }
        "service" => {
            let service = roster.service(find::service(&roster, member)?).id.to_owned();
            vec![Member::Service(find::parse_roster_id(service)?)]
        }
        "group" => {
            let inner = roster.group(find::group(&roster, member, |_| true)?).id;
            vec![Member::Group(find::parse_roster_id(inner)?)]
        }
        _ => return Err(ErrorKind::InvalidQuery.because("A member is a `user`, a `service` or a `group`.")),
    };
    let group = input::id("/id", group)?;
    let fact = |member| GroupMember {
        group: group.clone(),
        member,
        author: Some(commands.author()),
        made_with: commands.made_with(),
    };
    Ok(members.into_iter().map(fact).collect())
}
