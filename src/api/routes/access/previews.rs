//! `POST /api/v1/preview`: what would change, before anything is changed. And bindings as one document: what of it is not
//! so yet (`bindings/plan`), and making it so (`bindings/apply`), row for row as it was planned.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use chrono::{DateTime, Utc};
use rollcall_access::{ActionChange, Effect, MembershipChange, NamedScope, Place, Preview, Roster, preview};
use rollcall_events::{
    Body, Digest, Position, SchemaError, Settings,
    body::{self, Author, Binding, BindingRef, EventData as _, ProfileDocument},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::{Asker, Caller},
    http::guard::{Locked, Planned, Reads},
    http::input::{self, Wide},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::Fresh,
    http::reply::{self, RestsOn},
    reasons::{ActionChangeShape, MembershipChangeShape},
    routes::access::bindings::{self, NewBinding},
};

/// How many rows of each kind an answer shows; the totals count all.
const MOST_ROWS: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(what_if)).routes(routes!(plan)).routes(routes!(apply))
}

/// Changes to be tried, in this order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PreviewChanges)]
struct Changes {
    /// Each as it would be made.
    changes: Vec<Change>,
}

/// A change that could be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PreviewChange)]
enum Change {
    /// A role given.
    Bind(NewBinding),
    /// A role taken away, by the binding's id.
    Unbind(String),
    /// Settings; what is not named stays as it is.
    Settings(SomeSettings),
    /// Another access profile: its whole document, or the name of one that comes with Rollcall.
    #[schema(value_type = ProfileAsked)]
    Profile(Box<RawValue>),
    /// Any other command, as its event would say it.
    Command(Command),
}

/// An access profile, as it is asked for.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the shape of what is read as it is written")]
enum ProfileAsked {
    /// The name of one that comes with Rollcall.
    Name(String),
    /// A whole document.
    #[schema(value_type = Object)]
    Document(Box<RawValue>),
}

/// A command in the words of the log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PreviewCommand)]
struct Command {
    /// E.g. `group.member.added`, `project.updated`, `folder.removed`; also as the log has it,
    /// `rollcall.folder.removed.v1`.
    r#type: String,
    /// The event's data; its author is the caller.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

/// Settings that could be other than they are.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct SomeSettings {
    /// The role of producer people; `null` for the profile's own.
    #[serde(deserialize_with = "said")]
    producer_role: Option<Option<String>>,
    /// The role of entitled customers; `null` for the profile's own.
    #[serde(deserialize_with = "said")]
    consumer_role: Option<Option<String>>,
    /// Whether an entitlement reaches sub-accounts.
    customer_sub_accounts: Option<bool>,
    /// Whether customers may list each other.
    customers_see_each_other: Option<bool>,
    /// Whether roles may be given on managed projects.
    bindings_on_managed: Option<bool>,
    /// Names of projects that are kept for packages, `*` for any characters.
    reserved_names: Option<Vec<String>>,
    /// The profile's switches (push policy and the like) by name; those that are not named stay.
    switches: BTreeMap<String, String>,
}

/// A member that is there, be it `null`.
fn said<'de, D: serde::Deserializer<'de>>(de: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(de).map(Some)
}

/// What would change.
#[derive(Serialize, ToSchema)]
struct Previewed {
    /// The position of the roster that it was tried on.
    #[schema(value_type = u64)]
    position: Position,
    /// What each change would do, in their order: `applied`, `no_change`, or `refused` with its reason.
    #[schema(value_type = Vec<Object>)]
    effects: Vec<Effect>,
    /// Roles that appear and disappear.
    memberships: Memberships,
    /// Actions that appear and disappear, ceilings and visibility counted.
    actions: Actions,
}

/// Roles that appear and disappear: at most ten thousand rows, and how many there are. Rows are told to those who may
/// preview anything; others are told how many.
#[derive(Serialize, ToSchema)]
struct Memberships {
    /// How many.
    total: usize,
    /// The first of them, by scope and name.
    #[schema(value_type = Vec<MembershipChangeShape>)]
    rows: Vec<MembershipChange>,
}

/// Actions that appear and disappear, told like roles.
#[derive(Serialize, ToSchema)]
struct Actions {
    /// How many.
    total: usize,
    /// The first of them, by scope and name.
    #[schema(value_type = Vec<ActionChangeShape>)]
    rows: Vec<ActionChange>,
}

impl Previewed {
    /// As this caller may be told it: who is in which group and who bought what is for those who may preview anything.
    fn of(told: Preview, asker: &Asker<'_>) -> Self {
        let Preview { position, effects, mut memberships, mut actions } = told;
        let totals = (memberships.len(), actions.len());
        let most = if asker.everywhere("preview.run") { MOST_ROWS } else { 0 };
        memberships.truncate(most);
        actions.truncate(most);
        Self {
            position,
            effects,
            memberships: Memberships { total: totals.0, rows: memberships },
            actions: Actions { total: totals.1, rows: actions },
        }
    }
}

/// Says what changes would do: which memberships and which actions appear and disappear. Changes nothing; what the same
/// changes do afterwards is what was told, unless something else comes between.
#[utoipa::path(
    post, path = "/api/v1/preview", tag = "preview", operation_id = "preview", params(Fresh), request_body = Changes,
    responses((status = 200, body = Previewed), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn what_if(reads: Reads, Wide(asked): Wide<Changes>) -> Answer<Response> {
    let (now, caller) = (reads.now(), reads.caller());
    let told = reads.heavy.preview().await?.on_a_copy(reads.live(), move |roster| {
        let asker = caller.ask(roster, now);
        let one = |change| command(roster, &asker, change, caller.author(), now);
        let commands: Vec<Body> = asked.changes.into_iter().map(one).collect::<Answer<_>>()?;
        Ok(Previewed::of(preview(roster, &commands, now), &asker))
    });
    let told = told.await?;
    reads.answer(told.position, RestsOn::MoreThanTheLog, &told)
}

/// The command that a change would be.
fn command(roster: &Roster, asker: &Asker<'_>, change: Change, author: Author, now: DateTime<Utc>) -> Answer<Body> {
    Ok(match change {
        Change::Bind(new) => Body::BindingSet(bindings::judge(roster, asker, new, author, now)?),
        Change::Unbind(id) => {
            let binding = bindings::read_id(&id).ok_or_else(bindings::no_such_binding)?;
            Body::BindingRemoved(BindingRef { author, ..binding })
        }
        Change::Settings(some) => Body::SettingsSet(some.on(roster.settings())),
        Change::Profile(document) => {
            let document = match serde_json::from_str::<String>(document.get()) {
                Ok(name) => bundled(&name)?,
                Err(_) => document,
            };
            // The document is read as an operator's file is, so that a mistake is named with its place.
            rollcall_access::Profile::from_json(document.get())
                .map_err(|error| Kind::InvalidBody.because(format!("{error}. Nothing was changed.")))?;
            Body::ProfileSet(ProfileDocument(document))
        }
        Change::Command(Command { r#type, data }) => {
            let text = with_author(data.get(), &author)
                .ok_or_else(|| Kind::InvalidBody.because("`data` of a command is an object. Nothing was changed."))?;
            let kind = r#type.strip_prefix("rollcall.").unwrap_or(&r#type);
            let kind = kind.strip_suffix(".v1").unwrap_or(kind);
            if let "settings.set" | "profile.set" = kind {
                let (member, _) = kind.split_once('.').unwrap_or((kind, ""));
                let text =
                    format!("What is set as a whole has a change of its own: write `{member}` instead of `command`.");
                return Err(Kind::InvalidBody.because(format!("{text} Nothing was changed.")));
            }
            let body = Body::parse(&format!("rollcall.{kind}.v1"), &text).map_err(|mut error| {
                input::in_words(&mut error);
                Kind::InvalidBody.because(format!("{error}. Nothing was changed.")).with_error(error)
            })?;
            if !matches!(body.emitter(), body::Emitter::Command | body::Emitter::ConnectorOrCommand) {
                return Err(
                    Kind::InvalidBody.because("That is said by a source, not by a command. Nothing was changed.")
                );
            }
            body
        }
    })
}

/// The document of a profile that comes with Rollcall.
fn bundled(name: &str) -> Answer<Box<RawValue>> {
    let profile = rollcall_access::Profile::bundled(name);
    profile.and_then(|profile| serde_json::value::to_raw_value(profile.document()).ok()).ok_or_else(|| {
        Kind::InvalidBody.because(format!(
            "No profile `{}` comes with Rollcall; send the document of your own. Nothing was changed.",
            name.escape_debug()
        ))
    })
}

/// The data with the caller as its author, where a command of its type has one.
fn with_author(data: &str, author: &Author) -> Option<String> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(data).ok()?;
    object.insert("author".to_owned(), author.as_str().into());
    serde_json::to_string(&object).ok()
}

impl SomeSettings {
    fn on(self, now: &Settings) -> Settings {
        let Self { producer_role, consumer_role, customer_sub_accounts, customers_see_each_other, .. } = self;
        let mut switches = now.switches.clone();
        switches.extend(self.switches);
        Settings {
            producer_role: producer_role.unwrap_or_else(|| now.producer_role.clone()),
            consumer_role: consumer_role.unwrap_or_else(|| now.consumer_role.clone()),
            customer_sub_accounts: customer_sub_accounts.unwrap_or(now.customer_sub_accounts),
            customers_see_each_other: customers_see_each_other.unwrap_or(now.customers_see_each_other),
            bindings_on_managed: self.bindings_on_managed.unwrap_or(now.bindings_on_managed),
            reserved_names: self.reserved_names.unwrap_or_else(|| now.reserved_names.clone()),
            switches,
            sources: now.sources.clone(),
        }
    }
}

/// Which roles there are to be on some scopes. A scope that is named here has these and no others; what is not named here
/// stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Declared {
    /// The scopes.
    scope: Vec<DeclaredScope>,
}

/// One scope: a project, a folder, or the root.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeclaredScope {
    /// A project's name.
    #[serde(default)]
    project: Option<String>,
    /// A folder's id.
    #[serde(default)]
    folder: Option<String>,
    /// `true` for the root.
    #[serde(default)]
    root: bool,
    /// All its bindings.
    binding: Vec<DeclaredBinding>,
}

/// A role for one of a user, a service and a group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeclaredBinding {
    /// A user's name or id.
    #[serde(default)]
    user: Option<String>,
    /// A service's id.
    #[serde(default)]
    service: Option<String>,
    /// A group, `source/group`.
    #[serde(default)]
    group: Option<String>,
    /// Which role.
    role: String,
    /// From when.
    #[serde(default)]
    starts: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    #[serde(default)]
    ends: Option<DateTime<Utc>>,
}

/// One row of a plan.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BindingsPlanRow)]
struct Row {
    /// `add`, `change` (its window) or `remove`.
    change: &'static str,
    /// Where.
    #[schema(value_type = serde_json::Value)]
    scope: NamedScope,
    /// Who: `user:source/id`, `service:id`, `group:source/id`.
    principal: String,
    /// Who, in words: the user's name, the service's or the group's id.
    name: String,
    /// Which role.
    role: String,
    /// From when.
    starts: Option<DateTime<Utc>>,
    /// Until when.
    ends: Option<DateTime<Utc>>,
    /// Where it stands in the document, as a JSON pointer; a removal follows from what does not stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Why it would be refused, if it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// What of a document is not so yet.
#[derive(Serialize, ToSchema)]
#[schema(as = BindingsPlan)]
struct Plan {
    /// Names this plan: send it as `If-Match` to apply exactly these rows. Also the `ETag`.
    plan: String,
    /// What would be done, additions first.
    rows: Vec<Row>,
    /// What would change by it.
    #[serde(flatten)]
    previewed: Previewed,
}

/// A plan with its commands.
struct Worked {
    commands: Vec<Body>,
    plan: Plan,
}

/// What somebody is called.
fn called(roster: &Roster, principal: &body::Principal) -> String {
    match principal {
        body::Principal::User(id) => {
            let user = roster.user_by_id(id.as_str());
            user.map_or_else(|| id.to_string(), |user| roster.user_name(user).to_owned())
        }
        body::Principal::Service(id) | body::Principal::Group(id) => id.to_string(),
    }
}

/// Works out the commands that make a document so, additions first, so that no scope is without an owner in between.
fn work_out(roster: &Roster, caller: &Caller, declared: Declared, now: DateTime<Utc>) -> Answer<Worked> {
    let (asker, author) = (&caller.ask(roster, now), &caller.author());
    if declared.scope.is_empty() {
        let error = SchemaError::at("/scope", "at least one scope");
        return Err(Kind::InvalidBody.because("The document names no scope. Nothing was changed.").with_error(error));
    }
    let mut add: Vec<(Row, Body)> = Vec::new();
    let mut remove: Vec<(Row, Body)> = Vec::new();
    let mut named: Vec<Place> = Vec::new();
    for (nth, scope) in declared.scope.into_iter().enumerate() {
        let DeclaredScope { project, folder, root, binding } = scope;
        let (pointer, nth) = (format!("/scope/{nth}"), nth + 1);
        let word = match (project, folder, root) {
            (Some(name), None, false) => bindings::Scope::Project(name),
            (None, Some(id), false) => bindings::Scope::Folder(id),
            (None, None, true) => bindings::Scope::Root,
            _ => {
                return Err(Kind::InvalidBody
                    .because("A scope is one of `project = \"name\"`, `folder = \"id\"` and `root = true`. Nothing was changed.")
                    .within(&format!("scope {nth}"), &pointer));
            }
        };
        let here = format!("scope {nth} ({})", word.text());
        let place = match &word {
            bindings::Scope::Root => Ok(Place::Root),
            bindings::Scope::Project(name) => asker.project(name).map(Place::Project),
            bindings::Scope::Folder(id) => asker.folder(id).map(Place::Folder),
        };
        let place = place.map_err(|problem| problem.within(&here, &format!("{pointer}/{}", word.kind())))?;
        if named.contains(&place) {
            let text = "A scope is named twice; put its bindings together. Nothing was changed.";
            return Err(Kind::InvalidBody.because(text).within(&here, &pointer));
        }
        named.push(place);
        if !asker.may("binding.list", place) {
            return Err(crate::caller::forbidden("binding.list").within(&here, &pointer));
        }
        let at = roster.named_scope(place);
        let mut wanted: BTreeMap<String, (Binding, String)> = BTreeMap::new();
        for (mth, one) in binding.into_iter().enumerate() {
            let pointer = format!("{pointer}/binding/{mth}");
            let here = format!("{here}, binding {}{}", mth + 1, one.text());
            let new = one.on(word.clone()).map_err(|problem| problem.within(&here, &pointer))?;
            let set = bindings::judge(roster, asker, new, author.clone(), now).map_err(|problem| {
                let member = match problem.kind() {
                    Kind::UnknownUser => "/user",
                    Kind::UnknownService => "/service",
                    Kind::UnknownGroup => "/group",
                    _ => "",
                };
                problem.within(&here, &format!("{pointer}{member}"))
            })?;
            if let Some((twice, _)) = wanted.insert(set.subject(), (set, pointer.clone())) {
                let text =
                    format!("{} has role {} twice on one scope. Nothing was changed.", twice.principal, twice.role);
                return Err(Kind::InvalidBody.because(text).within(&here, &pointer));
            }
        }
        for view in roster.bindings_on(place) {
            let row = |change| Row {
                change,
                scope: at.clone(),
                principal: view.principal.to_string(),
                name: called(roster, &view.principal),
                role: view.role.to_owned(),
                starts: view.starts,
                ends: view.ends,
                pointer: None,
                refused: None,
            };
            match wanted.remove(view.subject) {
                Some((set, _)) if (set.starts, set.ends) == (view.starts, view.ends) => {}
                Some((set, pointer)) => {
                    let row = Row { starts: set.starts, ends: set.ends, pointer: Some(pointer), ..row("change") };
                    add.push((row, Body::BindingSet(set)));
                }
                None => {
                    let Some(binding) = bindings::read_subject(view.subject) else { continue };
                    remove
                        .push((row("remove"), Body::BindingRemoved(BindingRef { author: author.clone(), ..binding })));
                }
            }
        }
        for (set, pointer) in wanted.into_values() {
            let row = Row {
                change: "add",
                scope: at.clone(),
                principal: set.principal.to_string(),
                name: called(roster, &set.principal),
                role: set.role.clone(),
                starts: set.starts,
                ends: set.ends,
                pointer: Some(pointer),
                refused: None,
            };
            add.push((row, Body::BindingSet(set)));
        }
    }
    // What the caller holds goes last: the right to take the others away may rest on it.
    let own = |(_, body): &(Row, Body)| match body {
        Body::BindingRemoved(BindingRef { principal: body::Principal::Group(id), .. }) => {
            roster.group_by_id(id.as_str()).is_some_and(|group| asker.is_in(group))
        }
        Body::BindingRemoved(BindingRef { principal, .. }) => {
            roster.find_principal(principal).is_some_and(|principal| asker.is(principal))
        }
        _ => false,
    };
    remove.sort_by_key(own);
    let (mut rows, commands): (Vec<Row>, Vec<Body>) = add.into_iter().chain(remove).unzip();
    let told = preview(roster, &commands, now);
    for (row, effect) in rows.iter_mut().zip(&told.effects) {
        row.refused = effect.reason().map(str::to_owned);
    }
    // The plan is what it does: the same commands with the same consequences.
    let mut text: Vec<String> =
        commands.iter().map(|command| format!("{} {}", command.kind(), command.data())).collect();
    text.push(serde_json::to_string(&(&told.effects, &told.memberships, &told.actions)).unwrap_or_default());
    let name = format!("{:016x}", Digest::of(text.join("\n").as_bytes()).prefix());
    Ok(Worked { commands, plan: Plan { plan: name, rows, previewed: Previewed::of(told, asker) } })
}

impl DeclaredBinding {
    /// ` (user ada)`, to tell it by.
    fn text(&self) -> String {
        let who = [("user", &self.user), ("service", &self.service), ("group", &self.group)];
        who.iter().find_map(|(kind, name)| Some(format!(" ({kind} `{}`)", name.as_ref()?))).unwrap_or_default()
    }

    fn on(self, scope: bindings::Scope) -> Answer<NewBinding> {
        let Self { user, service, group, role, starts, ends } = self;
        let principal = match (user, service, group) {
            (Some(name), None, None) => bindings::Principal::User(name),
            (None, Some(id), None) => bindings::Principal::Service(id),
            (None, None, Some(id)) => bindings::Principal::Group(id),
            _ => {
                return Err(Kind::InvalidBody
                    .because("A binding is for one of `user`, `service` and `group`. Nothing was changed."));
            }
        };
        Ok(NewBinding { principal, role, scope, starts, ends })
    }
}

/// Says what of a document of bindings is not so yet, and what making it so would change. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/bindings/plan", tag = "bindings", operation_id = "bindings_plan", params(Fresh), request_body = Declared,
    responses((status = 200, body = Plan), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn plan(reads: Reads, Wide(declared): Wide<Declared>) -> Answer<Response> {
    let (now, caller) = (reads.now(), reads.caller());
    let turn = reads.heavy.preview().await?;
    let worked = turn.on_a_copy(reads.live(), move |roster| work_out(roster, &caller, declared, now)).await?;
    let mut answer = reads.answer(worked.plan.previewed.position, RestsOn::MoreThanTheLog, &worked.plan)?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", worked.plan.plan)) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    Ok(answer)
}

/// A document of bindings that is so now.
#[derive(Serialize, ToSchema)]
#[schema(as = BindingsApplied)]
struct Applied {
    /// The plan that was applied.
    plan: String,
    /// Where its commands stand, in the order of its rows.
    #[schema(value_type = Vec<u64>)]
    positions: Vec<Position>,
}

/// Makes a document of bindings so. With `If-Match`, the `ETag` of a plan, only if that is exactly what would be done.
/// Where any row would be refused nothing is recorded.
#[utoipa::path(
    post, path = "/api/v1/bindings/apply", tag = "bindings", operation_id = "bindings_apply", request_body = Declared,
    responses((status = 200, body = Applied), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn apply(orders: Planned, Wide(declared): Wide<Declared>) -> Answer<Response> {
    // The turn first: while these commands are alone nobody should wait for somebody else's preview.
    let turn = orders.turn().await?;
    let (orders, planned) = orders.begin().await;
    let (now, caller) = (orders.now(), orders.caller());
    let worked = turn.on_a_copy(orders.live(), move |roster| work_out(roster, &caller, declared, now)).await?;
    if planned.as_ref().is_some_and(|plan| *plan != format!("\"{}\"", worked.plan.plan)) {
        return Err(Kind::Changed.because(
            "What would be done is no longer what was planned. Plan again, look at it, and apply that. Nothing was changed.",
        ));
    }
    if let Some(row) = worked.plan.rows.iter().find(|row| row.refused.is_some()) {
        let why = row.refused.as_deref().unwrap_or_default();
        let text = format!("To {} role {} of {}: {why}. Nothing was recorded.", row.change, row.role, row.principal);
        let error = row.pointer.as_ref().map(|pointer| SchemaError::at(pointer, why));
        return Err(error.into_iter().fold(Kind::Refused.because(text), Problem::with_error));
    }
    let done = orders.say_all(&worked.commands).await?;
    let positions: Vec<Position> = done.iter().map(|done| done.position).collect();
    let answer = Applied { plan: worked.plan.plan, positions };
    reply::done(StatusCode::OK, done.last().map(|done| done.position), &answer)
}
