//! Bindings as one document: what of it is not so yet, and making it so, row for row as it was planned.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use rollcall_access::{Effort, NamedScope, Place, Roster, SharedRoster, preview};
use rollcall_events::{
    Body, Digest, Position, SchemaError,
    body::{self, Binding, BindingRef, EventData as _},
    time,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, Caller, Commands, Reads,
    access::{
        bindings::{self, NewBinding},
        preview::Previewed,
    },
    binding_id,
    caller::{CallerView, Giver, forbidden},
    error::{Error, ErrorKind, Result},
    find,
    turn::Turn,
};

/// Which roles there are to be on some scopes. A scope that is named here has these and no others; what is not named here
/// stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingsDocument {
    /// The scopes.
    pub scope: Vec<DeclaredScope>,
}

/// One scope: a project, a folder, or the root.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredScope {
    /// A project's name.
    #[serde(default)]
    pub project: Option<String>,
    /// A folder's id.
    #[serde(default)]
    pub folder: Option<String>,
    /// `true` for the root.
    #[serde(default)]
    pub root: bool,
    /// All its bindings.
    pub binding: Vec<DeclaredBinding>,
}

/// A role for one of a user, a service and a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredBinding {
    /// A user's name or id.
    #[serde(default)]
    pub user: Option<String>,
    /// A service's id.
    #[serde(default)]
    pub service: Option<String>,
    /// A group: `source/group`, or its name, DN or path.
    #[serde(default)]
    pub group: Option<String>,
    /// Which role.
    pub role: String,
    /// From when.
    #[serde(default, deserialize_with = "time::nullable")]
    pub starts: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    #[serde(default, deserialize_with = "time::nullable")]
    pub ends: Option<DateTime<Utc>>,
}

/// One row of a plan.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BindingsPlanRow {
    /// `add`, `change` (its window) or `remove`.
    #[schema(value_type = String)]
    pub change: Cow<'static, str>,
    /// Where.
    #[schema(value_type = serde_json::Value)]
    pub scope: NamedScope,
    /// Who: `user:source/id`, `service:id`, `group:source/id`.
    pub principal: String,
    /// Who, in words: the user's name, the service's id, the group's id with its name.
    pub name: String,
    /// Which role.
    pub role: String,
    /// From when.
    pub starts: Option<DateTime<Utc>>,
    /// Until when.
    pub ends: Option<DateTime<Utc>>,
    /// Where it stands in the document, as a JSON pointer; a removal follows from what does not stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Why it would be refused, if it would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What of a document is not so yet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BindingsPlan {
    /// Names this plan: send it as `If-Match` to apply exactly these rows. Also the `ETag`.
    pub plan: String,
    /// What would be done, additions first.
    pub rows: Vec<BindingsPlanRow>,
    /// What would change by it.
    #[serde(flatten)]
    pub previewed: Previewed,
}

/// A plan with its commands.
struct PlannedCommands {
    commands: Vec<Body>,
    plan: BindingsPlan,
}

/// The name of a principal.
fn name_of(roster: &Roster, principal: &body::Principal) -> String {
    match principal {
        body::Principal::User(id) => {
            let user = roster.user_by_id(id.as_str());
            user.map_or_else(|| id.to_string(), |user| roster.user_name(user).to_owned())
        }
        body::Principal::Service(id) => id.to_string(),
        body::Principal::Group(id) => match find::group_name(roster, id.as_str()) {
            Some(name) if !id.as_str().ends_with(&format!("/{name}")) => format!("{id} ({name})"),
            _ => id.to_string(),
        },
    }
}

/// Whether the caller may plan for these scopes. Looked at on the live roster, before anything is copied for it.
fn check_rights(view: &CallerView<'_>, document: &BindingsDocument) -> Result<()> {
    for (nth, scope) in document.scope.iter().enumerate() {
        // What is wrong with the document itself is said when it is planned.
        let Some(word) = scope.word() else { continue };
        planned_place(view, &word, nth)?;
    }
    Ok(())
}

/// The scope that a document means, if the caller may plan for it. `nth`: in the document, from 0.
fn planned_place(view: &CallerView<'_>, word: &bindings::Scope, nth: usize) -> Result<Place> {
    let (here, pointer) = (format!("scope {} ({})", nth + 1, word.text()), format!("/scope/{nth}"));
    let place = match word {
        bindings::Scope::Root => Ok(Place::Root),
        bindings::Scope::Project(name) => view.project(name).map(Place::Project),
        bindings::Scope::Folder(id) => view.folder(id).map(Place::Folder),
    };
    let place = place.map_err(|error| error.within(&here, &format!("{pointer}/{}", word.kind())))?;
    if view.may("binding.list", place) { Ok(place) } else { Err(forbidden("binding.list").within(&here, &pointer)) }
}

impl DeclaredScope {
    /// Which scope; nothing where it is not one.
    fn word(&self) -> Option<bindings::Scope> {
        match (&self.project, &self.folder, self.root) {
            (Some(name), None, false) => Some(bindings::Scope::Project(name.clone())),
            (None, Some(id), false) => Some(bindings::Scope::Folder(id.clone())),
            (None, None, true) => Some(bindings::Scope::Root),
            _ => None,
        }
    }
}

/// Works out the commands that make a document so, additions first, so that no scope is without an owner in between.
fn plan_commands(
    roster: &Roster,
    caller: &Caller,
    giver: &Giver,
    document: BindingsDocument,
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<PlannedCommands> {
    let view = &caller.view(roster, now);
    if document.scope.is_empty() {
        let error = SchemaError::at("/scope", "at least one scope");
        return Err(ErrorKind::InvalidBody
            .because("The document names no scope. Nothing was changed.")
            .with_field(error));
    }
    let mut add: Vec<(BindingsPlanRow, Body)> = Vec::new();
    let mut remove: Vec<(BindingsPlanRow, Body)> = Vec::new();
    let mut named: Vec<Place> = Vec::new();
    for (nth, scope) in document.scope.into_iter().enumerate() {
        let pointer = format!("/scope/{nth}");
        let word = scope.word().ok_or_else(|| {
            ErrorKind::InvalidBody
                .because(
                    "A scope is one of `project = \"name\"`, `folder = \"id\"` and `root = true`. Nothing was changed.",
                )
                .within(&format!("scope {}", nth + 1), &pointer)
        })?;
        let here = format!("scope {} ({})", nth + 1, word.text());
        let place = planned_place(view, &word, nth)?;
        if named.contains(&place) {
            let text = "A scope is named twice; put its bindings together. Nothing was changed.";
            return Err(ErrorKind::InvalidBody.because(text).within(&here, &pointer));
        }
        named.push(place);
        let at = roster.named_scope(place);
        let mut wanted: BTreeMap<String, (Binding, String)> = BTreeMap::new();
        for (mth, one) in scope.binding.into_iter().enumerate() {
            let pointer = format!("{pointer}/binding/{mth}");
            let here = format!("{here}, binding {}{}", mth + 1, one.description());
            let new = one.at_scope(word.clone()).map_err(|error| error.within(&here, &pointer))?;
            let set = bindings::resolve(roster, view, new, giver.clone(), now).map_err(|error| {
                let member = match error.kind {
                    ErrorKind::UnknownUser => "/user",
                    ErrorKind::UnknownService => "/service",
                    ErrorKind::UnknownGroup | ErrorKind::Ambiguous => "/group",
                    _ => "",
                };
                error.within(&here, &format!("{pointer}{member}"))
            })?;
            if let Some((twice, _)) = wanted.insert(set.subject(), (set, pointer.clone())) {
                let text =
                    format!("{} has role {} twice on one scope. Nothing was changed.", twice.principal, twice.role);
                return Err(ErrorKind::InvalidBody.because(text).within(&here, &pointer));
            }
        }
        for binding in roster.bindings_on(place) {
            let row = |change: &'static str| BindingsPlanRow {
                change: change.into(),
                scope: at.clone(),
                principal: binding.principal.to_string(),
                name: name_of(roster, &binding.principal),
                role: binding.role.to_owned(),
                starts: binding.starts,
                ends: binding.ends,
                pointer: None,
                refused: None,
            };
            match wanted.remove(binding.subject) {
                Some((set, _)) if (set.starts, set.ends) == (binding.starts, binding.ends) => {}
                Some((set, pointer)) => {
                    let row =
                        BindingsPlanRow { starts: set.starts, ends: set.ends, pointer: Some(pointer), ..row("change") };
                    add.push((row, Body::BindingSet(set)));
                }
                None => {
                    let Some(bound) = binding_id::parse_subject(binding.subject) else { continue };
                    remove.push((
                        row("remove"),
                        Body::BindingRemoved(BindingRef {
                            author: giver.author.clone(),
                            made_with: giver.made_with.clone(),
                            ..bound
                        }),
                    ));
                }
            }
        }
        for (set, pointer) in wanted.into_values() {
            let row = BindingsPlanRow {
                change: "add".into(),
                scope: at.clone(),
                principal: set.principal.to_string(),
                name: name_of(roster, &set.principal),
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
    let own = |(_, body): &(BindingsPlanRow, Body)| match body {
        Body::BindingRemoved(BindingRef { principal: body::Principal::Group(id), .. }) => {
            roster.group_by_id(id.as_str()).is_some_and(|group| view.is_in(group))
        }
        Body::BindingRemoved(BindingRef { principal, .. }) => {
            roster.find_principal(principal).is_some_and(|principal| view.is(principal))
        }
        _ => false,
    };
    remove.sort_by_key(own);
    let (mut rows, commands): (Vec<BindingsPlanRow>, Vec<Body>) = add.into_iter().chain(remove).unzip();
    let previewed = preview(roster, &commands, now, effort)?;
    for (row, effect) in rows.iter_mut().zip(&previewed.effects) {
        row.refused = effect.reason().map(str::to_owned);
    }
    // The plan is what it does: the same commands with the same consequences.
    let mut text: Vec<String> =
        commands.iter().map(|command| format!("{} {}", command.kind(), command.data())).collect();
    text.push(
        serde_json::to_string(&(&previewed.effects, &previewed.memberships, &previewed.actions)).unwrap_or_default(),
    );
    let name = format!("{:016x}", Digest::of(text.join("\n").as_bytes()).prefix());
    Ok(PlannedCommands { commands, plan: BindingsPlan { plan: name, rows, previewed: Previewed::of(previewed, view) } })
}

impl DeclaredBinding {
    /// ` (user ada)`, to tell it by.
    fn description(&self) -> String {
        let who = [("user", &self.user), ("service", &self.service), ("group", &self.group)];
        who.iter().find_map(|(kind, name)| Some(format!(" ({kind} `{}`)", name.as_ref()?))).unwrap_or_default()
    }

    fn at_scope(self, scope: bindings::Scope) -> Result<NewBinding> {
        let Self { user, service, group, role, starts, ends } = self;
        let principal = match (user, service, group) {
            (Some(name), None, None) => bindings::Principal::User(name),
            (None, Some(id), None) => bindings::Principal::Service(id),
            (None, None, Some(id)) => bindings::Principal::Group(id),
            _ => {
                return Err(ErrorKind::InvalidBody
                    .because("A binding is for one of `user`, `service` and `group`. Nothing was changed."));
            }
        };
        Ok(NewBinding { principal, role, scope, starts, ends })
    }
}

/// Says what of a document of bindings is not so yet, and what making it so would change. Changes nothing.
///
/// # Errors
/// A part of the document does not fit or is not allowed.
pub async fn plan(reads: &Reads, document: BindingsDocument) -> Result<Answer<BindingsPlan>> {
    let (now, caller, giver) = (reads.now(), reads.caller(), reads.giver());
    check_rights(&caller.view(&reads.live().read(), now), &document)?;
    let turn = reads.copy_turn().await?;
    let planned = plan_on_copy(&turn, reads.live(), (caller, giver), document, now).await?;
    Ok(Answer::of_more(planned.plan.previewed.position, planned.plan))
}

/// Plans on a copy of the roster, in the caller's turn.
async fn plan_on_copy(
    turn: &Turn,
    live: &Arc<SharedRoster>,
    (caller, giver): (Caller, Giver),
    document: BindingsDocument,
    now: DateTime<Utc>,
) -> Result<PlannedCommands> {
    turn.run_on_view(live, move |roster, awaited| {
        let go_on = || awaited.is_awaited();
        plan_commands(roster, &caller, &giver, document, now, &Effort::of(u64::MAX, &go_on))
    })
    .await
}

/// A document of bindings that is so now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BindingsApplied {
    /// The plan that was applied; `null` where it was done before and is told from the log, which does not know it.
    pub plan: Option<String>,
    /// Where its commands stand, in the order of its rows.
    #[schema(value_type = Vec<u64>)]
    pub positions: Vec<Position>,
}

/// Makes a document of bindings so. With the name of a plan, only if that is exactly what would be done. Where any row
/// would be refused nothing is recorded.
///
/// # Errors
/// As [`plan`]; or it would be another plan.
pub async fn apply(
    mut commands: Commands,
    document: BindingsDocument,
    expected_plan: Option<&str>,
) -> Result<BindingsApplied> {
    check_rights(&commands.view(&commands.live().read()), &document)?;
    // The turn first: while these commands are alone nobody should wait for somebody else's preview.
    let turn = commands.copy_turn().await?;
    commands.take_exclusive().await;
    let (now, caller, giver) = (commands.now(), commands.caller(), commands.giver());
    let planned = plan_on_copy(&turn, commands.live(), (caller, giver), document, now).await?;
    if expected_plan.is_some_and(|plan| plan != planned.plan.plan) {
        return Err(ErrorKind::Changed.because(
            "What would be done is no longer what was planned. Plan again, look at it, and apply that. Nothing was changed.",
        ));
    }
    if let Some(row) = planned.plan.rows.iter().find(|row| row.refused.is_some()) {
        let why = row.refused.as_deref().unwrap_or_default();
        let text = format!("To {} role {} of {}: {why}. Nothing was recorded.", row.change, row.role, row.principal);
        let error = row.pointer.as_ref().map(|pointer| SchemaError::at(pointer, why));
        return Err(error.into_iter().fold(ErrorKind::Refused.because(text), Error::with_field));
    }
    let outcomes = commands.append_all(&planned.commands).await?;
    let positions = outcomes.iter().map(|outcome| outcome.position).collect();
    Ok(BindingsApplied { plan: Some(planned.plan.plan), positions })
}
