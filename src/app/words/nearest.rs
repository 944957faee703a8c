//! Names that are nearly what somebody wrote, told to whoever may list the things that have them and to nobody else: to a
//! caller who may not, there are none.

use chrono::{DateTime, Utc};
use rollcall_access::Roster;
use rollcall_events::{Position, names::canonical_name};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Reads,
    caller::CallerView,
    error::{ErrorKind, Result},
    turn::Awaited,
};

/// How many are told.
const TOLD: usize = 3;
/// How long a name may be that something near is looked for.
const LONGEST: usize = 128;

/// What has names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamedKind {
    /// Users, by name.
    User,
    /// Groups, by name.
    Group,
    /// Projects, by name, and by the packages that they are of.
    Project,
    /// Services, by id.
    Service,
    /// Folders, by id.
    Folder,
    /// Sources, by name.
    Source,
    /// Accounts, by id.
    Account,
    /// Roles, by name.
    Role,
}

/// What was written, and of what it was to be the name.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NearestQuery {
    /// Of what.
    pub kind: NamedKind,
    /// What was written.
    pub name: String,
}

/// The names nearest to what was written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NearestNames {
    /// The names, the nearest first.
    pub items: Vec<String>,
    /// The user who was called so, where nobody is; for callers who may list users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerName>,
}

/// A user who had another name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FormerName {
    /// What the user is called now.
    pub name: String,
    /// `source/person` of its oldest person.
    pub id: String,
    /// The event by which it ceased to have the former name.
    #[schema(value_type = Option<u64>)]
    pub position: Option<Position>,
    /// When that was recorded.
    pub until: Option<DateTime<Utc>>,
}

/// The nearest of the names that were offered.
#[derive(Debug, Default)]
pub(crate) struct Nearest {
    wanted: String,
    found: Vec<(usize, String)>,
}

impl Nearest {
    pub(crate) fn of(text: &str) -> Self {
        Self { wanted: canonical_name(text), found: Vec::new() }
    }

    /// How far a name is from what was written; nothing where it is too far. What stands before an `@` or a `~`, or behind a `/`,
    /// counts by itself: people leave the rest away, or never knew it.
    fn distance(&self, name: &str) -> Option<usize> {
        let most = (self.wanted.chars().count() / 3).clamp(1, 4);
        let name = canonical_name(name);
        let short = name.split(['@', '~']).next().unwrap_or_default();
        let last = name.rsplit('/').next().unwrap_or_default();
        let forms = [name.as_str(), short, last].into_iter();
        let near = forms.filter(|form| form.len().abs_diff(self.wanted.len()) <= 4 * most);
        near.map(|form| strsim::damerau_levenshtein(form, &self.wanted)).min().filter(|distance| *distance <= most)
    }

    /// Keeps a name if it is among the nearest and `visible`.
    pub(crate) fn offer(&mut self, name: &str, visible: impl FnOnce() -> bool) {
        let Some(distance) = self.distance(name) else { return };
        let is_known = self.found.iter().any(|(_, known)| known == name);
        let is_further = self.found.len() == TOLD && self.found.last().is_some_and(|(last, _)| distance >= *last);
        if is_known || is_further || !visible() {
            return;
        }
        self.found.push((distance, name.to_owned()));
        self.found.sort();
        self.found.truncate(TOLD);
    }

    pub(crate) fn names(self) -> Vec<String> {
        self.found.into_iter().map(|(_, name)| name).collect()
    }
}

/// ` Did you mean ..?`, where something is near.
pub(crate) fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut nearest = Nearest::of(text);
    known.into_iter().for_each(|name| nearest.offer(name, || true));
    let names: Vec<String> = nearest.names().iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!(" Did you mean {}?", names.join(" or ")) }
}

/// The names nearest to what was written, of things that the caller may list, the nearest first.
///
/// # Errors
/// What was written is too long for a name, or the caller asks for much at once.
pub async fn list(reads: &Reads, query: NearestQuery) -> Result<Answer<NearestNames>> {
    let NearestQuery { kind, name } = query;
    if name.len() > LONGEST {
        return Err(ErrorKind::InvalidQuery.because(format!("A name that is looked for has at most {LONGEST} bytes.")));
    }
    // A source before a group's name is not what is misspelled.
    let wanted = match kind {
        NamedKind::Group => name.rsplit('/').next().unwrap_or_default(),
        _ => name.as_str(),
    };
    let former = if kind == NamedKind::User { former(reads, &name).await? } else { None };
    let nearest = Nearest::of(wanted);
    let (position, items) = reads.list(move |roster, view, awaited| look(roster, view, kind, awaited, nearest)).await?;
    Ok(Answer::of_more(position, NearestNames { items, former }))
}

/// Who was called so, for whoever may list users.
async fn former(reads: &Reads, name: &str) -> Result<Option<FormerName>> {
    let found = {
        let roster = reads.live().read();
        let may = reads.view(&roster).may_everywhere("user.list");
        let found = roster.formerly_called(name).filter(|_| may);
        found.map(|(user, position)| (roster.user_name(user).to_owned(), roster.user_id(user), position))
    };
    let Some((name, id, position)) = found else { return Ok(None) };
    let until = match position {
        Some(position) => Some(reads.app().tail.record(position).await?.recorded_at),
        None => None,
    };
    Ok(Some(FormerName { name, id, position, until }))
}

/// The names of a kind that are nearest.
fn look(
    roster: &Roster,
    view: &CallerView<'_>,
    kind: NamedKind,
    awaited: &Awaited,
    mut nearest: Nearest,
) -> Result<Vec<String>> {
    let may = |action| view.may_everywhere(action);
    match kind {
        NamedKind::User if may("user.list") => {
            for user in awaited.while_awaited(roster.users()) {
                nearest.offer(roster.user_name(user?), || true);
            }
        }
        NamedKind::Group if may("group.list") => {
            for group in awaited.while_awaited(roster.groups()) {
                let group = roster.group(group?);
                nearest.offer(group.name.unwrap_or(&group.id), || true);
            }
        }
        NamedKind::Project => {
            for project in awaited.while_awaited(roster.projects()) {
                let project = project?;
                let visible = || view.sees(project);
                nearest.offer(roster.project_name(project), visible);
                let shown = roster.project(project);
                if shown.package.is_some() {
                    nearest.offer(&shown.id, visible);
                }
            }
        }
        NamedKind::Service if may("service.list") => {
            for service in awaited.while_awaited(roster.services()) {
                nearest.offer(roster.service(service?).id, || true);
            }
        }
        NamedKind::Folder => {
            for folder in awaited.while_awaited(roster.folders()) {
                let folder = folder?;
                nearest.offer(roster.folder(folder).id, || view.sees_folder(folder));
            }
        }
        NamedKind::Account if may("person.list") => {
            for account in awaited.while_awaited(roster.accounts()) {
                nearest.offer(account?.1, || true);
            }
        }
        NamedKind::Source if may("source.list") => {
            roster.sources().for_each(|source| nearest.offer(source, || true));
            roster.settings().sources.keys().for_each(|source| nearest.offer(source.as_str(), || true));
        }
        // What roles there are stands in the profile, for everybody who signs in.
        NamedKind::Role => roster.bindable_roles().iter().for_each(|role| nearest.offer(role, || true)),
        NamedKind::User | NamedKind::Group | NamedKind::Service | NamedKind::Account | NamedKind::Source => {}
    }
    Ok(nearest.names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_told_and_what_is_far_or_unseen_is_not() {
        let known = ["ada@globex.test", "ada@initech.test", "pia", "max", "corp/devs"];
        assert_eq!(did_you_mean("adaa", known), " Did you mean `ada@globex.test` or `ada@initech.test`?");
        assert_eq!(did_you_mean("Pai", known), " Did you mean `pia`?");
        assert_eq!(did_you_mean("dev", known), " Did you mean `corp/devs`?");
        assert_eq!(did_you_mean("zebra", known), "");
        let mut nearest = Nearest::of("pia");
        nearest.offer("pia1", || false);
        assert!(nearest.names().is_empty());
    }
}
