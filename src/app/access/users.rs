//! Users: who can log in, what they may do and why, and the end of everything they sign in with.
//! Derived, all of it: a user is never made or deleted here.

use std::ops::Bound;

use rollcall_access::{Basis, PersonView, Principal, Reason, Roster, UserIx, memberships_of};
use rollcall_events::{Body, Id, Position, body::UserRef, names::canonical_name};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, CommandOutcome, Commands, List, Page, PageRequest, Reads,
    caller::CallerView,
    error::Result,
    filters, find,
    openapi_schemas::ReasonShape,
    past::{About, parse_moment},
};

/// The action of the API's profile that asking about others demands.
const ACTION: &str = "access.explain";

/// A user: a set of linked persons.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name to sign in with.
    pub name: String,
    /// `source/person` of the oldest person.
    pub id: String,
    /// Whether the user can neither sign in nor do anything: an authoritative source calls a person of it inactive, or
    /// no source that counts knows a live person of it.
    pub shut_out: bool,
    /// The position of the newest reset of the credentials; what was issued before it is over.
    pub credential_epoch: u64,
    /// Names of other users that look like this one; for callers who may list users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks_like: Vec<String>,
    /// Other users whose sources ask for this user's name; for callers who may list users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_asked_by: Vec<String>,
    /// The persons, oldest first.
    pub persons: Vec<Person>,
}

/// A person as one source knows them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The source.
    pub source: String,
    /// The source's immutable id.
    pub person: String,
    /// The user name.
    pub username: String,
    /// The name that the source asks for, where it is not in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_name: Option<AskedName>,
    /// The account that the person is in.
    pub account: Option<String>,
    /// The source calls the person active.
    pub active: bool,
    /// Removed at the source.
    pub removed: bool,
    /// The source is suspended: what it says of the person is kept and does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// The event that says so.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// A user name that a source asks for and that is not in effect.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AskedName {
    /// As the source writes it, at most 256 bytes of it.
    pub name: String,
    /// Why it is not in effect.
    pub why: String,
}

impl Person {
    pub(crate) fn of(view: &PersonView<'_>) -> Self {
        Self {
            source: view.source.to_owned(),
            person: view.person.to_owned(),
            username: view.username.to_owned(),
            asked_name: view
                .asked_name
                .map(|asked| AskedName { name: asked.name.to_owned(), why: asked.why.to_string() }),
            account: view.account.map(str::to_owned),
            active: view.active,
            removed: view.removed,
            suspended: view.suspended,
            position: view.position,
        }
    }
}

impl User {
    fn of(roster: &Roster, user: UserIx, caller: &CallerView<'_>) -> Self {
        let view = roster.user(user);
        let who = caller.within_reach(user.into());
        let reached = |person: &&PersonView<'_>| roster.reaches_source(who, person.source);
        Self {
            name: view.name.to_owned(),
            id: view.id,
            shut_out: view.shut_out,
            credential_epoch: view.credential_epoch,
            looks_like: looks_like(roster, user, caller),
            // Of one user it is told, as it takes a look at everybody who waits for a name.
            name_asked_by: Vec::new(),
            persons: view.persons.iter().filter(reached).map(Person::of).collect(),
        }
    }
}

/// The names that look like a user's, for whoever may know of all users.
pub(crate) fn looks_like(roster: &Roster, user: UserIx, caller: &CallerView<'_>) -> Vec<String> {
    if !caller.may_everywhere("user.list") {
        return Vec::new();
    }
    roster.look_alikes(user).into_iter().map(str::to_owned).collect()
}

/// The users whose sources ask for a user's name, for whoever may know of all users.
pub(crate) fn name_asked_by(roster: &Roster, user: UserIx, caller: &CallerView<'_>) -> Vec<String> {
    if !caller.may_everywhere("user.list") {
        return Vec::new();
    }
    roster.askers_of(roster.user_name(user)).map(|other| roster.user_name(other).to_owned()).collect()
}

/// Which users.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Only with this name; may end in `*`.
    pub name: Option<String>,
    /// Only with a person of this source.
    pub source: Option<String>,
    /// Only with a person in this account.
    pub account: Option<String>,
    /// Only those who are shut out (`true`), or who are not (`false`).
    pub shut_out: Option<bool>,
}

impl UsersQuery {
    /// Refuses a name that is nobody's, or that of one whom the caller does not see: an empty list would be taken for an answer.
    fn refuse_unknown(&self, roster: &Roster, sees: impl Fn(UserIx) -> bool) -> Result<()> {
        match self.name.as_deref().filter(|name| !name.ends_with('*')) {
            Some(name) => roster.user_by_name(name).filter(|user| sees(*user)).map(drop).ok_or_else(find::no_such_user),
            None => Ok(()),
        }
    }

    fn matches(&self, roster: &Roster, user: UserIx) -> bool {
        let named = self.name.as_deref().is_none_or(|asked| match asked.strip_suffix('*') {
            Some(begins) => roster.user_name(user).starts_with(&canonical_name(begins)),
            None => roster.user_name(user) == canonical_name(asked),
        });
        if !named || (self.source.is_none() && self.account.is_none() && self.shut_out.is_none()) {
            return named;
        }
        let view = roster.user(user);
        let person = |person: &PersonView<'_>| {
            self.source.as_deref().is_none_or(|source| person.source == source)
                && self.account.as_deref().is_none_or(|account| person.account == Some(account))
        };
        self.shut_out.is_none_or(|asked| view.shut_out == asked) && view.persons.iter().any(person)
    }
}

/// Users by name; whoever may not list them sees only the own row.
///
/// # Errors
/// The query names a user, a source or an account that there is not, or the caller asks for much at once.
pub async fn list(reads: &Reads, query: UsersQuery, page: PageRequest) -> Result<Answer<Page<User>>> {
    filters::known_source(reads, query.source.as_deref())?;
    filters::known_account(reads, query.account.as_deref())?;
    let list = reads.list(move |roster, view, awaited| {
        let own = view.itself().and_then(|who| match who {
            Principal::User(user) | Principal::Limited(user, _) => Some(user),
            Principal::Service(_) | Principal::Anyone => None,
        });
        let all = view.may_everywhere("user.list");
        query.refuse_unknown(roster, |user| all || own == Some(user))?;
        let row = |user: UserIx| query.matches(roster, user).then(|| User::of(roster, user, view));
        let key = |user: &User| user.name.clone();
        if !all {
            return Ok(page.sorted_page(own.into_iter().filter_map(row).collect(), key));
        }
        if let Some(account) = &query.account {
            let rows = roster.users_ever_in(account).into_iter().filter(|user| page.is_after(roster.user_name(*user)));
            return page.gather(awaited, rows.map(row), key);
        }
        // Names that begin alike stand together.
        let begins = query.name.as_deref().map(|name| canonical_name(name.trim_end_matches('*')));
        let from = match (&begins, page.after()) {
            (Some(begins), after) if after.is_none_or(|after| after < begins.as_str()) => Bound::Included(&**begins),
            _ => page.from(),
        };
        let alike = |user: &UserIx| begins.as_ref().is_none_or(|begins| roster.user_name(*user).starts_with(&**begins));
        page.gather(awaited, roster.users_by_name(from).take_while(alike).map(row), key)
    });
    let (position, page) = list.await?;
    // Whom the caller sees follows from roles that begin and end without an event.
    Ok(Answer::of_more(position, page))
}

/// One user, by name or by id.
///
/// # Errors
/// There is no such user.
pub fn show(reads: &Reads, name: &str) -> Result<Answer<User>> {
    let roster = reads.live().view();
    let user = find::user(&roster, name)?;
    let view = reads.view(&roster);
    let shown = User { name_asked_by: name_asked_by(&roster, user, &view), ..User::of(&roster, user, &view) };
    Ok(Answer::of_log(roster.position(), shown))
}

/// A role that a user has on a project now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Access {
    /// The project.
    pub project: String,
    /// The role.
    pub role: String,
    /// Every reason for it; it ends with the last.
    #[schema(value_type = Vec<ReasonShape>)]
    pub reasons: Vec<Reason>,
}

/// What a user may do now, or might do then, project by project, with every reason.
///
/// # Errors
/// There is or was no such user, or there is no such moment.
pub async fn access(reads: &Reads, name: &str, as_of: Option<&str>) -> Result<Answer<List<Access>>> {
    let (position, all) = match parse_moment("as_of", as_of, reads.now())? {
        None => {
            let (name, now) = (name.to_owned(), reads.now());
            let list = reads.list(move |roster, view, _| {
                let who = view.within_reach(find::user(roster, &name)?.into());
                Ok(memberships_of(roster, who, now))
            });
            list.await?
        }
        Some(as_of) => {
            let (name, id) = {
                let roster = reads.live().read();
                let view = reads.view(&roster);
                view.may_ask_of_the_past()?;
                let id = find::user_id(&roster, name);
                // Others ask about themselves: who had the name then is another question.
                let own = id.clone().filter(|_| !view.may_everywhere(ACTION));
                (own.unwrap_or_else(|| name.to_owned()), id)
            };
            let turn = reads.past_turn().await?;
            let past = reads.past_roster(&turn, as_of, Basis::Recorded, &About::User(name.clone())).await?;
            turn.run(move |_| {
                let user = past.user(&name, id.as_deref())?;
                Ok((past.moment.position, memberships_of(&past.roster, user, past.at)))
            })
            .await?
        }
    };
    let items = all.into_iter().map(|m| Access { project: m.project, role: m.role, reasons: m.reasons }).collect();
    Ok(Answer::of_more(position, List { items }))
}

/// Ends every secret, invitation, refresh token and cached password of a user, everywhere.
///
/// # Errors
/// There is no such user, or the command was refused.
pub async fn reset_credentials(commands: Commands, name: &str) -> Result<CommandOutcome> {
    let user = command_id(&commands, name)?;
    commands
        .append(&Body::CredentialsReset(UserRef {
            user,
            author: Some(commands.author()),
            made_with: commands.made_with(),
        }))
        .await
}

/// The id of a user that a command is about.
pub(crate) fn command_id(commands: &Commands, name: &str) -> Result<Id> {
    let roster = commands.live().read();
    let id = roster.user_id(find::user(&roster, name)?);
    id.parse().map_err(|_| find::no_such_user())
}
