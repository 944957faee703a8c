//! One access question in words: who, what, where. The same form is asked over the API, kept with a decision, and read
//! back to be answered again.

use rollcall_access::{ActionSet, Place, Roster, ScopeName, Verb};
use rollcall_events::names::ProjectReference;

/// Where something is to be done, in the words of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Above everything.
    Root,
    /// A folder, by id.
    Folder(&'a str),
    /// A project, by name, and the rest of an image's name, which changes no answer.
    Project(&'a str, Option<&'a str>),
}

/// What is to be done where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    pub scope: Scope<'a>,
    /// `pull`, `push`, `delete`, or an action or operation of the access profile.
    pub action: &'a str,
}

/// How long a name can be of anything that there is, and so how much is kept of one that is asked about.
const LONGEST_NAME: usize = 256;

/// The beginning of a name that is too long to be one.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or(name)
}

impl<'a> Question<'a> {
    /// The same with the project by its name, where it was asked by its id: only so it is read back as it was meant.
    pub fn by_name(&self, roster: &'a Roster) -> Self {
        let scope = match self.scope {
            Scope::Project(text, rest) if matches!(ProjectReference::of(text), ProjectReference::Id(_)) => {
                let project = roster.project_by_reference(ProjectReference::of(text));
                Scope::Project(project.map_or(text, |project| roster.project_name(project)), rest)
            }
            ref scope => scope.clone(),
        };
        Self { scope, action: self.action }
    }

    /// As it is kept with a decision: of an image as a registry's scope says it, else `project:name:action`,
    /// `folder:id:action`, `root::action`.
    pub fn text(&self) -> String {
        let action = cut(self.action);
        match self.scope {
            Scope::Root => format!("root::{action}"),
            Scope::Folder(id) => format!("folder:{}:{action}", cut(id)),
            Scope::Project(name, None) => format!("project:{}:{action}", cut(name)),
            Scope::Project(name, Some(rest)) => format!("repository:{}/{}:{action}", cut(name), cut(rest)),
        }
    }

    /// Every question among scopes that are kept with a decision.
    pub fn of_scopes(scopes: &'a str) -> impl Iterator<Item = Question<'a>> {
        scopes.split(' ').flat_map(|scope| {
            let (kind, rest) = scope.split_once(':').unwrap_or((scope, ""));
            let (name, actions) =
                if kind == "repository" { rest.rsplit_once(':') } else { rest.split_once(':') }.unwrap_or((rest, ""));
            let scope = match kind {
                "repository" => Some(match name.split_once('/') {
                    Some((project, rest)) => Scope::Project(project, Some(rest)),
                    None => Scope::Project(name, Some("")),
                }),
                "project" => Some(Scope::Project(name, None)),
                "folder" => Some(Scope::Folder(name)),
                "root" => Some(Scope::Root),
                _ => None,
            };
            // An operation's name may hold a comma; only a registry's scope lists several.
            let several = kind == "repository";
            let actions: Vec<&str> = if several { actions.split(',').collect() } else { vec![actions] };
            scope.into_iter().flat_map(move |scope| {
                actions.clone().into_iter().map(move |action| Question { scope: scope.clone(), action })
            })
        })
    }

    /// The image that it is about, in full, for finding a decision by it.
    pub fn images(&self) -> Vec<String> {
        match self.scope {
            Scope::Project(name, Some(rest)) if !rest.is_empty() => vec![format!("{}/{}", cut(name), cut(rest))],
            Scope::Project(name, _) => vec![cut(name).to_owned()],
            Scope::Root | Scope::Folder(_) => Vec::new(),
        }
    }
}

impl<'a> Scope<'a> {
    /// As a question about the past names it.
    pub fn name(&self) -> ScopeName<'a> {
        match *self {
            Self::Root => ScopeName::Root,
            Self::Folder(id) => ScopeName::Folder(id),
            Self::Project(name, _) => ScopeName::Project(name),
        }
    }

    /// The place in a roster.
    pub fn find(&self, roster: &Roster) -> Option<Place> {
        match self {
            Self::Root => Some(Place::Root),
            Self::Folder(id) => roster.folder_by_id(id).map(Place::Folder),
            Self::Project(name, _) => roster.project_by_reference(ProjectReference::of(name)).map(Place::Project),
        }
    }
}

/// What an action's name needs. A verb that the profile maps to nothing is never granted: the empty set. Nothing for a name
/// that the profile does not know.
pub(crate) fn needed_actions(roster: &Roster, action: &str) -> Option<ActionSet> {
    let profile = roster.profile();
    match Verb::ALL.into_iter().find(|verb| verb.as_str() == action) {
        Some(verb) => Some(profile.registry_action(verb).unwrap_or(ActionSet::EMPTY)),
        None => profile.operation(action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_question_reads_back_as_it() {
        let questions = [
            Question { scope: Scope::Root, action: "project.create" },
            Question { scope: Scope::Folder("team-a"), action: "add, and more :: members" },
            Question { scope: Scope::Project("acme", None), action: "member.list" },
            Question { scope: Scope::Project("acme", Some("db/x")), action: "pull" },
        ];
        for one in questions {
            let text = one.text();
            // Kept scopes are parted by spaces; an operation with spaces in its name is not looked at again.
            if !one.action.contains(' ') {
                assert_eq!(Question::of_scopes(&text).collect::<Vec<_>>(), [one]);
            }
        }
        let long = "ä".repeat(10_000);
        for scope in [Scope::Folder(&long), Scope::Project(&long, None), Scope::Project(&long, Some(&long))] {
            let asked = Question { scope, action: &long };
            assert!(asked.text().len() < 1000 && asked.images().iter().all(|image| image.len() < 600));
        }
        let scopes = "repository:acme/db/x:pull,push registry:catalog:* repository:lib:pull";
        let asked: Vec<_> = Question::of_scopes(scopes).map(|asked| (asked.scope, asked.action)).collect();
        assert_eq!(
            asked,
            [
                (Scope::Project("acme", Some("db/x")), "pull"),
                (Scope::Project("acme", Some("db/x")), "push"),
                (Scope::Project("lib", Some("")), "pull")
            ]
        );
    }
}
