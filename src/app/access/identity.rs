//! Which persons are one user, and what users are called: links, by hand and by a rule, and names given and freed. What a
//! link would change is looked at before it is made.

use chrono::{DateTime, Utc};
use rollcall_access::{
    Effect, Effort, LinkGiver, LinkPlan, LinkRule, LinkView, NamedScope, PersonChange, Roster, plan_links,
};
use rollcall_events::{
    Body, Position, SchemaError,
    body::{Link, SourcePerson, UserName, UserNameRef},
    names::{CallerReference, user_name},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, App, CommandOutcome, Commands, Page, PageRequest, Reads,
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
    /// Two persons, `source/person`; a user's name stands for its oldest person.
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
    /// Persons, `source/person`, whom the rule is not to link.
    #[serde(default)]
    pub except: Vec<String>,
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
    /// Where.
    #[schema(value_type = serde_json::Value)]
    pub scope: NamedScope,
    /// Which role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// What linking or parting would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LinkPlanShown {
    /// Names it, `lnk_..`: what is confirmed. What does the same has the same name.
    pub plan: String,
    /// The persons, two by two.
    pub links: Vec<LinkPlanned>,
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

fn no_such_person(text: &str) -> Error {
    ErrorKind::UnknownPerson.because(format!(
        "No source ever stated a person `{}`. `rollcall people list` shows them, `rollcall users list` the users.",
        text.escape_debug()
    ))
}

/// A person by id, or a user's oldest one by the user's name.
fn person(roster: &Roster, text: &str) -> Result<SourcePerson> {
    let id = match CallerReference::of(text) {
        CallerReference::Id(id) if roster.user_by_id(id).is_some() => id.to_owned(),
        CallerReference::Name(name) => match roster.user_by_name(name) {
            Some(user) => roster.user_id(user),
            None => return Err(no_such_person(text)),
        },
        CallerReference::Id(_) | CallerReference::Service(_) => return Err(no_such_person(text)),
    };
    let parsed = id
        .split_once('/')
        .and_then(|(source, person)| Some(SourcePerson { source: source.parse().ok()?, person: person.parse().ok()? }));
    parsed.ok_or_else(|| no_such_person(text))
}

fn key(person: &SourcePerson) -> String {
    format!("{}/{}", person.source, person.person)
}

fn invalid(pointer: &str, what: &str) -> Error {
    let field = SchemaError::at(pointer, what);
    ErrorKind::InvalidBody.because(format!("{field}. Nothing was changed.")).with_field(field)
}

/// What a request comes to.
struct Requested {
    /// As somebody would give them.
    commands: Vec<Body>,
    /// How many pairs of the rule are left for another time.
    left: u64,
}

impl Requested {
    fn all(commands: Vec<Body>) -> Self {
        Self { commands, left: 0 }
    }
}

/// The commands that a request comes to, for `most` pairs at most.
fn requested(
    roster: &Roster,
    request: &LinkRequest,
    giver: &LinkGiver,
    now: DateTime<Utc>,
    most: usize,
) -> Result<Requested> {
    let linked = |pair: [SourcePerson; 2], rule| {
        let moved = roster.moved_when_linked(&pair, giver, now);
        roster.link_commands(pair, rule, giver).into_iter().chain(moved)
    };
    match (&request.persons, &request.rule) {
        (Some([one, other]), None) => {
            let persons = [person(roster, one)?, person(roster, other)?];
            let same = |a: &SourcePerson, b: &SourcePerson| roster.user_by_id(&key(a)) == roster.user_by_id(&key(b));
            let [a, b] = &persons;
            match request.change {
                LinkChange::Link if a == b => Err(invalid("/persons/1", "two different persons")),
                LinkChange::Link if same(a, b) => Err(ErrorKind::Refused.because(format!(
                    "{} and {} are one user already. Nothing was changed.",
                    key(a),
                    key(b)
                ))),
                LinkChange::Link => Ok(Requested::all(linked(persons, None).collect())),
                LinkChange::Unlink if !roster.is_linked(&persons) => Err(ErrorKind::Refused.because(format!(
                    "{} and {} are not linked with each other; `rollcall users links` shows the links. Nothing was changed.",
                    key(a),
                    key(b)
                ))),
                LinkChange::Unlink => Ok(Requested::all(vec![Body::IdentityUnlinked(Link {
                    persons,
                    rule: None,
                    author: giver.author.clone(),
                    made_with: giver.made_with.clone(),
                })])),
            }
        }
        (None, Some(word)) => {
            if request.change == LinkChange::Unlink {
                return Err(invalid("/change", "`link`: a rule parts nobody"));
            }
            let rule = LinkRule::parse(word).ok_or_else(|| invalid("/rule", "`made_again`, `same_id` or `stated`"))?;
            let known = |pointer: &str, name: &Option<String>| match name.as_deref() {
                Some(name) if roster.sources().any(|source| source == name) => Ok(name.to_owned()),
                Some(name) => Err(invalid(
                    pointer,
                    &format!("a source that has said something; `{}` has not", name.escape_debug()),
                )),
                None => Err(invalid(pointer, "a source")),
            };
            let source = known("/source", &request.source)?;
            let with = match (rule, &request.with) {
                (LinkRule::SameId, with) | (LinkRule::MadeAgain, with @ Some(_)) => known("/with", with)?,
                (LinkRule::MadeAgain | LinkRule::Stated, None) => source.clone(),
                (LinkRule::Stated, Some(_)) => {
                    return Err(invalid("/with", "nothing: this rule is about one source"));
                }
            };
            let left_out = |pair: &[SourcePerson; 2]| pair.iter().any(|one| request.except.contains(&key(one)));
            let mut pairs = roster.linkable(rule, &source, &with);
            pairs.retain(|pair| !left_out(pair));
            let left = pairs.len().saturating_sub(most) as u64;
            pairs.truncate(most);
            let commands = pairs.into_iter().flat_map(|pair| linked(pair, Some(rule))).collect();
            Ok(Requested { commands, left })
        }
        _ => Err(invalid("", "either `persons` or `rule`")),
    }
}

fn planned(
    roster: &Roster,
    request: &LinkRequest,
    giver: &LinkGiver,
    now: DateTime<Utc>,
    awaited: &Awaited,
) -> Result<(LinkPlan, u64)> {
    let Requested { commands, left } = requested(roster, request, giver, now, MAX_LINKS)?;
    let go_on = || awaited.is_awaited();
    let plan = plan_links(roster, commands, now, &Effort::of(u64::MAX, &go_on))?;
    match plan.effects.iter().find_map(Effect::reason) {
        Some(why) => Err(ErrorKind::Refused.because(format!("{why}. Nothing was changed."))),
        None => Ok((plan, left)),
    }
}

fn shown(roster: &Roster, plan: &LinkPlan, left: u64) -> LinkPlanShown {
    let called = |id: &String| roster.user_by_id(id).map_or_else(String::new, |user| roster.user_name(user).to_owned());
    let links = plan.commands.iter().filter_map(|body| match body {
        Body::IdentityLinked(link) | Body::IdentityUnlinked(link) => {
            let persons = link.persons.each_ref().map(key);
            Some(LinkPlanned { names: persons.each_ref().map(called), persons })
        }
        _ => None,
    });
    let row = |change: &PersonChange| PersonChangeShown {
        person: change.person.clone(),
        scope: change.scope.clone(),
        role: change.role.clone(),
        appears: change.appears,
    };
    LinkPlanShown {
        plan: plan.name.clone(),
        links: links.collect(),
        changes: plan.changes.iter().take(MAX_ROWS).map(row).collect(),
        total: plan.changes.len() as u64,
        left,
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
        let (plan, left) = planned(copy, &request, &LinkGiver::default(), now, awaited)?;
        Ok((copy.position(), shown(copy, &plan, left)))
    });
    let (position, shown) = tried.await?;
    Ok(Answer::of_more(position, shown))
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
    let (plan, left) = tried.await?;
    if plan.name != confirmed {
        return Err(ErrorKind::Changed.because(format!(
            "It would change something else than what was confirmed. Look at it again: it is {} now. Nothing was changed.",
            plan.name
        )));
    }
    {
        let roster = commands.live().read();
        for body in plan.commands.iter().filter(|body| !matches!(body, Body::UserNameGiven(_))) {
            roster.check_command(body, now).map_err(|refusal| refused(&refusal, &commands.view(&roster)))?;
        }
    }
    let mut position = commands.live().read().position();
    for outcome in commands.append_all(&plan.commands).await? {
        position = outcome.position;
    }
    let links = plan.commands.iter().filter(|body| is_link(body)).count() as u64;
    Ok(LinksApplied { plan: Some(plan.name), links, left, position })
}

pub(crate) fn is_link(body: &Body) -> bool {
    matches!(body, Body::IdentityLinked(_) | Body::IdentityUnlinked(_))
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
    commands.append(&Body::UserNameGiven(UserName { username, user, rule: None, author, made_with })).await
}

/// Frees a name that is kept for whoever had it: who asks for it first has it then.
///
/// # Errors
/// Nobody had it, somebody has it, or whoever had it still means something by it.
pub async fn free(commands: Commands, name: &str) -> Result<CommandOutcome> {
    let username = canonical("/username", name)?;
    let (author, made_with) = (Some(commands.author()), commands.made_with());
    commands.append(&Body::UserNameFreed(UserNameRef { username, author, made_with })).await
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
            if app.live.read().check_command(&body, app.now()).is_err() {
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

#[cfg(test)]
mod tests {
    use rollcall_events::{LogId, NewEvent, Recorded, body::Person};

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap()
    }

    #[test]
    fn a_rule_that_takes_more_for_one_than_are_linked_at_once_says_how_many_are_left() {
        let mut roster = Roster::new(LogId([7; 8]));
        let people = ["old", "new"].into_iter().flat_map(|source| (0..5).map(move |n| (source, n)));
        for (at, (source, n)) in (1..).zip(people) {
            let person = Person {
                person: format!("u-{n}").parse().unwrap(),
                username: None,
                account: None,
                active: true,
                same_as: Vec::new(),
            };
            let event = NewEvent::of(source.parse().unwrap(), format!("e-{at}"), &Body::PersonUpserted(person));
            let event = NewEvent { time: Some(noon()), ..event };
            roster.apply(&Recorded { position: Position(at), recorded_at: noon(), event });
        }
        let request = |except: &[&str]| LinkRequest {
            change: LinkChange::Link,
            persons: None,
            rule: Some("same_id".to_owned()),
            source: Some("old".to_owned()),
            with: Some("new".to_owned()),
            except: except.iter().map(|one| (*one).to_owned()).collect(),
            confirm: None,
        };
        for (most, except, links, left) in
            [(2, &[][..], 2, 3), (5, &[], 5, 0), (9, &[], 5, 0), (2, &["old/u-0", "new/u-4"], 2, 1)]
        {
            let found = requested(&roster, &request(except), &LinkGiver::default(), noon(), most).unwrap();
            let linked = found.commands.iter().filter(|body| is_link(body)).count();
            assert_eq!((linked, found.left), (links, left), "{most} at once, without {except:?}");
        }
    }
}
