//! What would change, before anything is changed: commands, settings and profiles tried on a copy of the roster. Records
//! nothing.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use rollcall_access::{ActionChange, Effect, Effort, MembershipChange, Preview, Profile, Roster, preview};
use rollcall_events::{
    Body, Position, Settings,
    body::{self, BindingRef, ProfileDocument},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    Answer, Reads,
    access::bindings::{self, NewBinding},
    binding_id,
    caller::{CallerView, Giver},
    error::{ErrorKind, Result},
    find,
    input::null_or_value,
    openapi_schemas::{ActionChangeShape, MembershipChangeShape},
};

/// How many rows of each kind an answer shows; the totals count all.
const MAX_ROWS: usize = 10_000;

/// Changes to be tried, in this order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewChanges {
    /// Each as it would be made.
    pub changes: Vec<PreviewChange>,
}

/// A change that could be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewChange {
    /// A role given.
    Bind(NewBinding),
    /// A role taken away, by the binding's id.
    Unbind(String),
    /// Settings; what is not named stays as it is.
    Settings(SettingsPatch),
    /// Another access profile: its whole document, or the name of one that comes with Rollcall.
    #[schema(value_type = ProfileAsked)]
    Profile(Box<RawValue>),
    /// Any other command, as its event would say it.
    Command(PreviewCommand),
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
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewCommand {
    /// E.g. `group.member.added`, `project.updated`, `folder.removed`; also as the log has it,
    /// `rollcall.folder.removed.v1`.
    pub r#type: String,
    /// The event's data; its author is the caller.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// Settings that could be other than they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsPatch {
    /// The role of producer people; `null` for the profile's own.
    #[serde(deserialize_with = "null_or_value", skip_serializing_if = "Option::is_none")]
    pub producer_role: Option<Option<String>>,
    /// The role of entitled customers; `null` for the profile's own.
    #[serde(deserialize_with = "null_or_value", skip_serializing_if = "Option::is_none")]
    pub consumer_role: Option<Option<String>>,
    /// Whether an entitlement reaches sub-accounts.
    pub customer_sub_accounts: Option<bool>,
    /// Whether customers may list each other.
    pub customers_see_each_other: Option<bool>,
    /// Whether roles may be given on managed projects.
    pub bindings_on_managed: Option<bool>,
    /// Names of projects that are kept for packages, `*` for any characters.
    pub reserved_names: Option<Vec<String>>,
    /// The profile's switches (push policy and the like) by name; those that are not named stay.
    pub switches: BTreeMap<String, String>,
}

/// What would change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Previewed {
    /// The position of the roster that it was tried on.
    #[schema(value_type = u64)]
    pub position: Position,
    /// What each change would do, in their order: `applied`, `no_change`, or `refused` with its reason.
    #[schema(value_type = Vec<Object>)]
    pub effects: Vec<Effect>,
    /// Roles that appear and disappear.
    pub memberships: Memberships,
    /// Actions that appear and disappear, ceilings and visibility counted.
    pub actions: Actions,
}

/// Roles that appear and disappear: at most ten thousand rows, and how many there are. Rows are told to those who may
/// preview anything; others are told how many.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Memberships {
    /// How many.
    pub total: usize,
    /// The first of them, by scope and name.
    #[schema(value_type = Vec<MembershipChangeShape>)]
    pub rows: Vec<MembershipChange>,
}

/// Actions that appear and disappear, told like roles.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Actions {
    /// How many.
    pub total: usize,
    /// The first of them, by scope and name.
    #[schema(value_type = Vec<ActionChangeShape>)]
    pub rows: Vec<ActionChange>,
}

impl Previewed {
    /// As this caller may be told it: who is in which group and who bought what is for those who may preview anything.
    pub(crate) fn of(preview: Preview, view: &CallerView<'_>) -> Self {
        let Preview { position, effects, mut memberships, mut actions } = preview;
        let totals = (memberships.len(), actions.len());
        let most = if view.may_everywhere("preview.run") { MAX_ROWS } else { 0 };
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
///
/// # Errors
/// A change cannot be read or names what is not there, or others ask such questions.
pub async fn try_changes(reads: &Reads, asked: PreviewChanges) -> Result<Answer<Previewed>> {
    let (now, caller, giver) = (reads.now(), reads.caller(), reads.giver());
    let turn = reads.copy_turn().await?;
    let previewed = turn.run_on_view(reads.live(), move |roster, awaited| {
        let view = caller.view(roster, now);
        // Of settings it matters under which profile they would be: one that is tried before them counts.
        let mut profile = Cow::Borrowed(roster.profile());
        let one = |change| command(roster, &view, &mut profile, change, giver.clone(), now);
        let commands: Vec<Body> = asked.changes.into_iter().map(one).collect::<Result<_>>()?;
        let go_on = || awaited.is_awaited();
        Ok(Previewed::of(preview(roster, &commands, now, &Effort::of(u64::MAX, &go_on))?, &view))
    });
    let previewed = previewed.await?;
    Ok(Answer::of_more(previewed.position, previewed))
}

/// The command that a change would be.
fn command(
    roster: &Roster,
    view: &CallerView<'_>,
    profile: &mut Cow<'_, Profile>,
    change: PreviewChange,
    giver: Giver,
    now: DateTime<Utc>,
) -> Result<Body> {
    Ok(match change {
        PreviewChange::Bind(new) => Body::BindingSet(bindings::resolve(roster, view, new, giver, now)?),
        PreviewChange::Unbind(id) => {
            let binding = binding_id::parse(&id).ok_or_else(find::no_such_binding)?;
            Body::BindingRemoved(BindingRef { author: giver.author, made_with: giver.made_with, ..binding })
        }
        PreviewChange::Settings(some) => Body::SettingsSet(some.checked(profile)?.applied_to(roster.settings())),
        PreviewChange::Profile(document) => {
            let document = match serde_json::from_str::<String>(document.get()) {
                Ok(name) => bundled_profile(&name)?,
                Err(_) => document,
            };
            // The document is read as an operator's file is, so that a mistake is named with its place.
            let tried = Profile::from_json(document.get())
                .map_err(|error| ErrorKind::InvalidBody.because(format!("{error}. Nothing was changed.")))?;
            *profile = Cow::Owned(tried);
            Body::ProfileSet(ProfileDocument(document))
        }
        PreviewChange::Command(PreviewCommand { r#type, data }) => {
            let text = with_author(data.get(), &giver).ok_or_else(|| {
                ErrorKind::InvalidBody.because("`data` of a command is an object. Nothing was changed.")
            })?;
            let kind = r#type.strip_prefix("rollcall.").unwrap_or(&r#type);
            let kind = kind.strip_suffix(".v1").unwrap_or(kind);
            if let "settings.set" | "profile.set" = kind {
                let (member, _) = kind.split_once('.').unwrap_or((kind, ""));
                let text =
                    format!("What is set as a whole has a change of its own: write `{member}` instead of `command`.");
                return Err(ErrorKind::InvalidBody.because(format!("{text} Nothing was changed.")));
            }
            let body = Body::parse_new(&format!("rollcall.{kind}.v1"), &text).map_err(|error| {
                ErrorKind::InvalidBody.because(format!("{error}. Nothing was changed.")).with_field(error)
            })?;
            if !matches!(body.emitter(), body::Emitter::Command | body::Emitter::ConnectorOrCommand) {
                return Err(
                    ErrorKind::InvalidBody.because("Facts come from sources, not from commands. Nothing was changed.")
                );
            }
            body
        }
    })
}

/// The document of a profile that comes with Rollcall.
fn bundled_profile(name: &str) -> Result<Box<RawValue>> {
    let profile = Profile::bundled(name);
    profile.and_then(|profile| serde_json::value::to_raw_value(profile.document()).ok()).ok_or_else(|| {
        ErrorKind::InvalidBody.because(format!(
            "No profile `{}` comes with Rollcall; send the document of your own. Nothing was changed.",
            name.escape_debug()
        ))
    })
}

/// The data with the caller as its author and what that one signed in with, where a command of its type has one.
fn with_author(data: &str, giver: &Giver) -> Option<String> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(data).ok()?;
    object.insert("author".to_owned(), giver.author.as_str().into());
    object.remove("made_with");
    if let Some(secret) = &giver.made_with {
        object.insert("made_with".to_owned(), secret.as_str().into());
    }
    serde_json::to_string(&object).ok()
}

impl From<Settings> for SettingsPatch {
    /// Every setting as it is there; which sources there are is no setting that somebody tries.
    fn from(settings: Settings) -> Self {
        let Settings {
            producer_role,
            consumer_role,
            customer_sub_accounts,
            customers_see_each_other,
            bindings_on_managed,
            reserved_names,
            switches,
            sources: _,
            author: _,
        } = settings;
        Self {
            producer_role: Some(producer_role),
            consumer_role: Some(consumer_role),
            customer_sub_accounts: Some(customer_sub_accounts),
            customers_see_each_other: Some(customers_see_each_other),
            bindings_on_managed: Some(bindings_on_managed),
            reserved_names: Some(reserved_names),
            switches,
        }
    }
}

impl SettingsPatch {
    /// The patch with its switches as the profile writes them.
    fn checked(self, profile: &Profile) -> Result<Self> {
        let refused = |what: String| ErrorKind::InvalidBody.because(format!("Settings: {what} Nothing was changed."));
        let mut switches = BTreeMap::new();
        for (name, value) in &self.switches {
            let (name, value) = profile.switch_value(name, value).map_err(refused)?;
            switches.insert(name.to_owned(), value.to_owned());
        }
        for role in [&self.producer_role, &self.consumer_role].into_iter().flatten().flatten() {
            if profile.role(role).is_none() {
                let known: Vec<&str> = profile.roles().map(|role| profile.role_name(role)).collect();
                let written = role.escape_debug();
                return Err(refused(format!("There is no role `{written}`; the roles are {}.", known.join(", "))));
            }
        }
        Ok(Self { switches, ..self })
    }

    fn applied_to(self, now: &Settings) -> Settings {
        let Self {
            producer_role,
            consumer_role,
            customer_sub_accounts,
            customers_see_each_other,
            bindings_on_managed,
            reserved_names,
            switches: set,
        } = self;
        let mut switches = now.switches.clone();
        switches.extend(set);
        Settings {
            producer_role: producer_role.unwrap_or_else(|| now.producer_role.clone()),
            consumer_role: consumer_role.unwrap_or_else(|| now.consumer_role.clone()),
            customer_sub_accounts: customer_sub_accounts.unwrap_or(now.customer_sub_accounts),
            customers_see_each_other: customers_see_each_other.unwrap_or(now.customers_see_each_other),
            bindings_on_managed: bindings_on_managed.unwrap_or(now.bindings_on_managed),
            reserved_names: reserved_names.unwrap_or_else(|| now.reserved_names.clone()),
            switches,
            sources: now.sources.clone(),
            author: None,
        }
    }
}
