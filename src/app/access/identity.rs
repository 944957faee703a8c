//! Which persons are one user, and what users are called: links, by hand and by a rule, and names given and freed. What a
//! link would change is looked at before it is made.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::StreamExt as _;
use rollcall_access::{
    Effect, Effort, LinkGiver, LinkNote, LinkNoteKind, LinkPlan, LinkView, NamedScope, PersonChange, Roster, plan_links,
};
use rollcall_events::{
    Body, Position, SchemaError,
    body::{Link, SourcePerson, UserName, UserNameRef},
    names::user_name,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, App, CommandOutcome, Commands, Page, PageRequest, Reads,
    access::link_commands::{Requested, nobody, requested},
    authors::CausedBy,
    commands::{self, refused},
    error::{Error, ErrorKind, Result},
    find,
    turn::Awaited,
};

/// How many pairs of persons are linked at once at most; an answer says how many are left.
const MAX_LINKS: usize = 20_000;
/// How many rows of what would change an answer shows; the total counts all.
const MAX_ROWS: usize = 1_000;
/// How many of those of whom a rule may have something to say are looked at in one reading of the roster.
const DUE_AT_ONCE: u32 = 256;

/// What is to be linked, or parted: two persons, or all that a rule takes for one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// `link`, or `unlink` of two persons.
    #[serde(default)]
    pub change: LinkChange,
    /// Two persons, `source/person`, or names of users: each of a user's names stands for the person whose it is.
    #[serde(default)]
    pub persons: Option<[String; 2]>,
    /// `made_again`: persons of a source that were removed, with those that came since, there or in another source that
    /// took its place, and ask for their names. `same_id`:
    /// persons of two sources with one immutable id. `stated`: persons of a source with those of another that it says they
    /// are; confirmed once, it goes on by itself.
    #[serde(default)]
    pub rule: Option<String>,
    /// The source that the rule is about.
    #[serde(default)]
    pub source: Option<String>,
    /// The other source, of `same_id`; of `made_again` the one in which they came since, where it is another.
    #[serde(default)]
    pub with: Option<String>,
    /// Persons, `source/person` or by a name, at most 1000, whom the rule is not to link, now or later, also where what is said of
    /// them is contradicted now: that they are two people is recorded, until somebody links them.
    #[serde(default)]
    pub except: Vec<String>,
    /// `made_again`: also those who were there while whoever was removed was there too, as where a directory was moved and both
    /// servers were read for a while. Two people of two companies look the same.
    #[serde(default)]
    pub overlapping: bool,
    /// Of two that are parted: with whom stays what was given since they were linked, a person or a name. Without it roles and
    /// places in groups stay where they are, and secrets that were made since then sign in nobody any more.
    #[serde(default)]
    pub given_since: Option<String>,
    /// The plan that somebody looked at and means, `lnk_..`: needed to do it, and left out to look.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// What is done with two persons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkChange {
    /// They are one user from now on.
    #[default]
    Link,
    /// They are one user no longer.
    Unlink,
}

/// Two persons of a plan.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkPlanned {
    /// `source/person` of each.
    pub persons: [String; 2],
    /// What each is called now.
    pub names: [String; 2],
}

/// A role that a person would have, or have no more; `sign in`, of the root, of whoever could sign in no more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonChangeShown {
    /// Whose, `source/person`.
    pub person: String,
    /// What that person is called now.
    #[serde(default)]
    pub name: String,
    /// Where.
    #[schema(value_type = serde_json::Value)]
    pub scope: NamedScope,
    /// Which role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// Something that should be known before.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkNoteShown {
    /// `called`: what the user is called. `several_of_one_source`: several persons of one source would be one user. `stays`:
    /// what was given since two were linked stays with one of them. `ends`: a secret that was made since then ends. `stays_one`:
    /// the two stay one user by other links. `parted`:
    /// somebody said before that they are two. `left_out`: whom a rule takes for one and does not link, as that would join others
    /// whom somebody parted, or two people of one source, or as it could be several; or who asks for somebody's name and is taken for
    /// nobody. `said_of_another`: a source says now of somebody what it, or another one, says
    /// or said of somebody else. `wakes`: a secret or invitation signs in again by it.
    #[schema(value_type = String)]
    pub kind: LinkNoteKind,
    /// Of whom, `source/person`.
    pub person: String,
    /// In words.
    pub text: String,
    /// The event that it tells of.
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    pub event: Option<Position>,
}

/// What linking or parting would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkPlanShown {
    /// Names it, `lnk_..`: what is confirmed. What does the same has the same name.
    pub plan: String,
    /// The persons, two by two.
    pub links: Vec<LinkPlanned>,
    /// Those who are two people for every rule, now and later: whom the rule takes for one and is not to link, or who are parted
    /// and are not linked.
    #[serde(default)]
    pub excepted: Vec<LinkPlanned>,
    /// What else should be known, at most 1000 of it.
    #[serde(default)]
    pub notes: Vec<LinkNoteShown>,
    /// Why nobody is to be linked or excepted, where that is so.
    #[serde(default)]
    pub nobody: Option<String>,
    /// The roles that appear and disappear, at most 1000 of them.
    pub changes: Vec<PersonChangeShown>,
    /// How many there are.
    pub total: u64,
    /// How many more pairs the rule takes for one than are linked at once: once these are linked, ask again.
    #[serde(default)]
    pub left: u64,
}

/// What was done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinksApplied {
    /// The plan that this was; `null` where it was done before and is told from the log, which does not know it.
    pub plan: Option<String>,
    /// How many pairs were linked or parted.
    pub links: u64,
    /// How many more pairs the rule takes for one: ask again. 0 where this is told from the log, which does not know it.
    #[serde(default)]
    pub left: u64,
    /// The log's position that holds all of it.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// Two persons that are one user.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkShown {
    /// `source/person` of each.
    pub persons: [String; 2],
    /// The user that they are.
    pub user: String,
    /// What it is called.
    pub name: String,
    /// The event that linked them; it names its author and rule.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// The name that a user is to have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserName {
    /// The name; spellings of one name are one.
    pub username: String,
    /// Said with open eyes: where the access profile gives everybody a project of the own name, that of this name passes with
    /// it, and what was pushed there.
    #[serde(default)]
    pub with_personal_project: bool,
}

/// The links that stand, in the order in which they were first made.
///
/// # Errors
/// The caller asks for much at once.
pub async fn list(reads: &Reads, page: PageRequest) -> Result<Answer<Page<LinkShown>>> {
    let list = reads.list(move |roster, _, awaited| {
        let after = page.after().and_then(|after| after.parse::<u32>().ok());
        let links = roster.links_from(after.map_or(0, |after| after.saturating_add(1)));
        let rows = links.map(|(ix, link)| Some((ix, link_shown(roster, link))));
        let Page { items, next } = page.gather(awaited, rows, |(ix, _)| ix.to_string())?;
        Ok(Page { items: items.into_iter().map(|(_, link)| link).collect(), next })
    });
    let (position, page) = list.await?;
    Ok(Answer::of_log(position, page))
}

fn link_shown(roster: &Roster, link: LinkView) -> LinkShown {
    LinkShown {
        persons: link.persons,
        user: roster.user_id(link.user),
        name: roster.user_name(link.user).to_owned(),
        position: link.position,
    }
}

pub(super) fn key(person: &SourcePerson) -> String {
    format!("{}/{}", person.source, person.person)
}

pub(super) fn invalid(pointer: &str, what: &str) -> Error {
    let field = SchemaError::at(pointer, what);
    ErrorKind::InvalidBody.because(format!("{field}. Nothing was changed.")).with_field(field)
}

fn planned(
    roster: &Roster,
    request: &LinkRequest,
    giver: &LinkGiver,
    now: DateTime<Utc>,
    awaited: &Awaited,
) -> Result<Planned> {
    let Requested { commands, left, left_out, not_taken } = requested(roster, request, giver, now, MAX_LINKS)?;
    let go_on = || awaited.is_awaited();
    let mut plan = plan_links(roster, commands, now, &Effort::of(u64::MAX, &go_on))?;
    // Where nobody is linked they are the reason.
    let told = if plan.commands.is_empty() { Vec::new() } else { not_taken.clone() };
    // Those that tell of many first: of the others only so many are shown.
    plan.notes.splice(0..0, told.into_iter().chain(left_out));
    match plan.effects.iter().find_map(Effect::reason) {
        Some(why) => Err(ErrorKind::Refused.because(format!("{why}. Nothing was changed."))),
        None => Ok(Planned { plan, left, not_taken }),
    }
}

/// What a request comes to.
struct Planned {
    plan: LinkPlan,
    /// How many pairs of the rule are left for another time.
    left: u64,
    /// Of whom else it could be thought that the rule links them, and why it does not.
    not_taken: Vec<LinkNote>,
}

fn shown(roster: &Roster, request: &LinkRequest, planned: &Planned) -> LinkPlanShown {
    let Planned { plan, left, not_taken } = planned;
    let why_nobody = || match &**not_taken {
        [] => nobody(roster, request),
        all => all.iter().map(|note| &*note.text).collect::<Vec<_>>().join(". "),
    };
    let called = |id: &String| roster.name_of_person(id).to_owned();
    let pair = |link: &Link| {
        let persons = link.persons.each_ref().map(key);
        LinkPlanned { names: persons.each_ref().map(called), persons }
    };
    let is_linked = |link: &Link| roster.is_linked(&link.persons);
    let (mut links, mut excepted) = (Vec::new(), Vec::new());
    for body in &plan.commands {
        match body {
            Body::IdentityUnlinked(link) if !is_linked(link) => excepted.push(pair(link)),
            Body::IdentityLinked(link) | Body::IdentityUnlinked(link) => links.push(pair(link)),
            _ => {}
        }
    }
    let row = |change: &PersonChange| PersonChangeShown {
        person: change.person.clone(),
        name: called(&change.person),
        scope: change.scope.clone(),
        role: change.role.clone(),
        appears: change.appears,
    };
    let note = |note: &LinkNote| LinkNoteShown {
        kind: note.kind,
        person: note.person.clone(),
        text: note.text.clone(),
        event: note.event,
    };
    LinkPlanShown {
        plan: plan.name.clone(),
        nobody: (links.is_empty() && excepted.is_empty()).then(why_nobody),
        links,
        excepted,
        notes: plan.notes.iter().take(MAX_ROWS).map(note).collect(),
        changes: plan.changes.iter().take(MAX_ROWS).map(row).collect(),
        total: plan.changes.len() as u64,
        left: *left,
    }
}

/// What linking or parting persons would do.
///
/// # Errors
/// There are no such persons, or they are linked or parted already.
pub async fn plan(reads: &Reads, request: LinkRequest) -> Result<Answer<LinkPlanShown>> {
    let now = reads.now();
    let turn = reads.copy_turn().await?;
    let tried = turn.run_on_view(reads.live(), move |copy, awaited| {
        // To be tried, by whomever: whoever may look at plans need not be able to do what they plan.
        let planned = planned(copy, &request, &LinkGiver::default(), now, awaited)?;
        Ok((copy.position(), shown(copy, &request, &planned)))
    });
    let (position, mut shown) = tried.await?;
    say_when_and_by_whom(reads, &mut shown.notes).await?;
    Ok(Answer::of_more(position, shown))
}

/// Adds to what notes tell of an event when it was recorded, and who caused it.
async fn say_when_and_by_whom(reads: &Reads, notes: &mut [LinkNoteShown]) -> Result<()> {
    let positions: BTreeSet<Position> = notes.iter().filter_map(|note| note.event).collect();
    let mut told: HashMap<Position, String> = HashMap::new();
    let mut pages = reads.tail().records(positions.into_iter().collect());
    while let Some(records) = pages.next().await.transpose()? {
        let roster = reads.live().read();
        told.extend(records.iter().map(|record| {
            let when = record.recorded_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            (record.position, format!("{when} by {}", CausedBy::of(&roster, record).text()))
        }));
    }
    for note in notes {
        if let Some(told) = note.event.and_then(|event| told.get(&event)) {
            note.text.push_str(&format!(", {told}"));
        }
    }
    Ok(())
}

/// Links or parts persons, if that changes exactly what was confirmed.
///
/// # Errors
/// As [`plan`]; the caller may not; or it would change something else than what was confirmed.
pub async fn apply(mut commands: Commands, request: LinkRequest) -> Result<LinksApplied> {
    let Some(confirmed) = request.confirm.clone() else {
        return Err(invalid("/confirm", "the name of the plan, as whoever looks at it first is told"));
    };
    let turn = commands.copy_turn().await?;
    commands.take_exclusive().await;
    let (now, giver) = (commands.now(), commands.giver());
    let giver = LinkGiver { author: Some(giver.author), made_with: giver.made_with };
    let tried = turn.run_on_view(commands.live(), move |copy, awaited| planned(copy, &request, &giver, now, awaited));
    let Planned { plan, left, .. } = tried.await?;
    if plan.name != confirmed {
        return Err(ErrorKind::Changed.because(format!(
            "It would change something else than what was confirmed. Look at it again: it is {} now. Nothing was changed.",
            plan.name
        )));
    }
    {
        let roster = commands.live().read();
        for body in &plan.commands {
            roster.check_command(body, now).map_err(|refusal| refused(&refusal, &commands.view(&roster)))?;
        }
    }
    let mut position = commands.live().read().position();
    for outcome in commands.append_all(&plan.commands).await? {
        position = outcome.position;
    }
    Ok(LinksApplied { links: count_links(&plan.commands), plan: Some(plan.name), left, position })
}

/// How many pairs these commands link; where they link nobody, how many they part.
pub(crate) fn count_links(commands: &[Body]) -> u64 {
    let count = |kind: &str| commands.iter().filter(|body| body.kind() == kind).count() as u64;
    match count("rollcall.identity.linked.v1") {
        0 => count("rollcall.identity.unlinked.v1"),
        links => links,
    }
}

fn canonical(pointer: &str, name: &str) -> Result<String> {
    user_name(name).map_err(|why| {
        let field = SchemaError::at(pointer, "a name that a user can have");
        ErrorKind::InvalidBody
            .because(format!("No user can have this name: {why}. Nothing was changed."))
            .with_field(field)
    })
}

/// Gives a user another name, whatever its sources ask for. Whoever had it is called otherwise.
///
/// # Errors
/// There is no such user, nobody can have the name, or whoever has or had it may sign in or still means something by it.
pub async fn rename(commands: Commands, user: &str, new: &NewUserName) -> Result<CommandOutcome> {
    let username = canonical("/username", &new.username)?;
    if username.contains(char::is_whitespace) {
        return Err(invalid(
            "/username",
            "a name without spaces: it is typed into clients, and is part of the names of images",
        ));
    }
    let user = {
        let roster = commands.live().read();
        let user = find::user(&roster, user)?;
        // A rule may call somebody otherwise who signs in; a person's word that could be a slip does it in two steps.
        let holder = roster.user_by_name(&username).filter(|holder| *holder != user);
        if let Some(holder) = holder.map(|holder| roster.user(holder)).filter(|holder| !holder.shut_out) {
            return Err(ErrorKind::Refused.because(format!(
                "`{username}` is the name of {}, who may sign in; give that one another name first. Nothing was recorded.",
                holder.id
            )));
        }
        find::parse_roster_id(roster.user_id(user))?
    };
    let (author, made_with) = (Some(commands.author()), commands.made_with());
    let with_personal_project = new.with_personal_project;
    let given = UserName { username, user, with_personal_project, rule: None, author, made_with };
    commands.append(&Body::UserNameGiven(given)).await
}

/// Frees a name that is kept for whoever had it: who asks for it first has it then.
///
/// # Errors
/// Nobody had it, somebody has it, or whoever had it still means something by it.
pub async fn free(commands: Commands, name: &str, with_personal_project: bool) -> Result<CommandOutcome> {
    let username = canonical("/username", name)?;
    let (author, made_with) = (Some(commands.author()), commands.made_with());
    commands.append(&Body::UserNameFreed(UserNameRef { username, with_personal_project, author, made_with })).await
}

/// Something that a rule said of a user.
#[derive(Debug, Clone)]
pub struct RuleApplied {
    /// What was recorded, e.g. `rollcall.user.name.given.v1`.
    pub kind: &'static str,
    /// About what.
    pub subject: String,
    /// By which rule.
    pub rule: String,
}

/// Does what rules say of users now: names go to those whose they are, and persons are linked whom a source that was
/// confirmed says to be one. Says what it recorded.
///
/// # Errors
/// The log does not take it.
pub async fn apply_rules(app: &App) -> Result<Vec<RuleApplied>> {
    let now = app.now();
    let mut applied = apply_due(app, |roster, from| roster.due_names(from, DUE_AT_ONCE, now)).await?;
    applied.extend(apply_due(app, |roster, from| roster.links_over(from, DUE_AT_ONCE)).await?);
    applied.extend(apply_due(app, |roster, from| roster.due_links(from, DUE_AT_ONCE)).await?);
    Ok(applied)
}

/// Records what is due, some at a time: the roster is read for as long as some take.
async fn apply_due(app: &App, due: impl Fn(&Roster, u32) -> (Vec<Body>, Option<u32>)) -> Result<Vec<RuleApplied>> {
    let (mut applied, mut from) = (Vec::new(), Some(0));
    while let Some(start) = from {
        let (bodies, next) = due(&app.live.read(), start);
        from = next;
        for body in bodies {
            let _shared = app.command_order.read().await;
            // Another command may have been first.
            let is_due = {
                let roster = app.live.read();
                roster.check_command(&body, app.now()).is_ok() && roster.is_due(&body)
            };
            if !is_due {
                continue;
            }
            commands::append(app, &body, &commands::Origin::default()).await?;
            let rule = match &body {
                Body::UserNameGiven(name) => name.rule.clone(),
                Body::IdentityLinked(link) | Body::IdentityUnlinked(link) => link.rule.clone(),
                _ => None,
            };
            applied.push(RuleApplied { kind: body.kind(), subject: body.subject(), rule: rule.unwrap_or_default() });
        }
    }
    Ok(applied)
}
