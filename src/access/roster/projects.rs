//! Projects: found by name or id, and what each is. First come, first kept: a name belongs to its first holder for
//! ever.

use std::collections::BTreeMap;

use rollcall_events::{Position, body::Visibility, names::ProjectReference};

use crate::roster::{
    FoldMode, Roster,
    facts::{LocalProject, NONE, Origin, Project},
    handles::{FolderIx, ProjectIx, RecordedIx, UserIx},
};

/// A project as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectView<'a> {
    /// `source/package`, `local/id` or `personal/user`: a project is identified by it; names are labels.
    pub id: String,
    /// The name in image names.
    pub name: &'a str,
    /// Earlier names, which still find it.
    pub aliases: Vec<&'a str>,
    /// The source that owns it and alone changes it; `local` for a project that a person made or has.
    pub source: &'a str,
    /// The package; absent for a project that a person made or has.
    pub package: Option<&'a str>,
    /// What the profile calls its kind.
    pub kind: &'a str,
    /// Who may pull without a role.
    pub visibility: Visibility,
    /// The folder that it is in.
    pub folder: Option<FolderIx>,
    /// The id of the user who made it.
    pub creator: Option<String>,
    /// The package is removed or delivers no containers, or the project was deleted.
    pub archived: bool,
    /// Where the project came to be.
    pub since: Position,
    /// The newest event that changed it.
    pub changed: Position,
}

impl Roster {
    /// The project that somebody means, by name or id as the form says.
    #[must_use]
    pub fn project_by_reference(&self, reference: ProjectReference<'_>) -> Option<ProjectIx> {
        match reference {
            ProjectReference::Name(name) => self.project_by_name(name),
            ProjectReference::Id(id) => match id.strip_prefix("personal/") {
                Some(user) => {
                    let own = ProjectIx::Personal(self.user_by_id(user)?);
                    (self.project_by_name(self.project_name(own)) == Some(own)).then_some(own)
                }
                None => self.project_by_id(id),
            },
        }
    }

    /// The project with a name; earlier names count. Under a profile that has them, every name that an active user's persons
    /// have or had finds the user's personal project, while the name is kept for them.
    #[must_use]
    pub fn project_by_name(&self, name: &str) -> Option<ProjectIx> {
        let recorded = self.facts.project_names.find(0, name).and_then(|ix| self.facts.project_names.get(ix)).copied();
        if let Some(ix) = recorded {
            return Some(ProjectIx::recorded(ix));
        }
        self.profile.document().rules.personal_project.as_ref()?;
        let own = ProjectIx::Personal(UserIx(self.user_of(self.kept_for(name)?)));
        (name.parse::<rollcall_events::ProjectName>().is_ok() && !self.archived(own)).then_some(own)
    }

    /// The project with an id: `source/package` or `local/id`.
    #[must_use]
    pub fn project_by_id(&self, id: &str) -> Option<ProjectIx> {
        let (source, id) = id.split_once('/')?;
        let found = if source == rollcall_events::LOCAL {
            *self.facts.local_projects.get(self.facts.local_projects.find(0, id)?)?
        } else {
            let space = u16::try_from(self.facts.sources.find(0, source)?).ok()?;
            self.facts.packages.get(self.facts.packages.find(space, id)?)?.project
        };
        (found != NONE).then_some(ProjectIx::recorded(found))
    }

    /// Every recorded project, in the order in which they came to be.
    pub fn projects(&self) -> impl Iterator<Item = ProjectIx> {
        (0..u32::try_from(self.facts.projects.len()).unwrap_or(NONE)).map(ProjectIx::recorded)
    }

    pub(crate) fn project_row(&self, project: ProjectIx) -> Option<&Project> {
        match project {
            ProjectIx::Recorded(RecordedIx(ix)) => self.facts.projects.get(ix as usize),
            ProjectIx::Personal(_) => None,
        }
    }

    /// The package of a project, if it has one.
    pub(crate) fn package_of(&self, project: ProjectIx) -> Option<u32> {
        match self.project_row(project)?.origin {
            Origin::Package(package) => Some(package),
            Origin::Local(_) => None,
        }
    }

    /// A project's name and state.
    #[must_use]
    pub fn project(&self, project: ProjectIx) -> ProjectView<'_> {
        let (kind, visibility) = self.kind_and_visibility(project);
        let row = self.project_row(project);
        let mut view = ProjectView {
            id: String::new(),
            name: self.project_name(project),
            aliases: Vec::new(),
            source: rollcall_events::LOCAL,
            package: None,
            kind: self.profile.kind_name(kind),
            visibility,
            folder: None,
            creator: None,
            archived: self.archived(project),
            since: row.map_or(Position(0), |row| row.since),
            changed: Position(0),
        };
        match (project, row.map(|row| &row.origin)) {
            (ProjectIx::Personal(user), _) => view.id = format!("personal/{}", self.user_id(user)),
            (_, Some(Origin::Package(package))) => {
                let names = &self.facts.packages.names;
                view.source = self.source_text(names.space(*package));
                view.package = Some(names.text(*package));
                view.id = format!("{}/{}", view.source, names.text(*package));
                view.changed = self.facts.packages.get(*package).map_or(Position(0), |row| row.register.cause);
            }
            (_, Some(Origin::Local(local))) => {
                view.id = format!("{}/{}", rollcall_events::LOCAL, self.facts.local_projects.id(local.id));
                view.folder = (local.folder != NONE).then_some(FolderIx(local.folder));
                view.creator = (local.creator != NONE).then(|| self.person_key(local.creator));
                view.changed = local.register.cause;
            }
            (_, None) => {}
        }
        if let (ProjectIx::Recorded(RecordedIx(ix)), Some(row)) = (project, row) {
            let names = &self.facts.project_names;
            let mut mine: Vec<u32> = self.index.project_names.of(ix).to_vec();
            mine.retain(|name| *name != row.name && names.get(*name) == Some(&ix));
            mine.sort_unstable();
            mine.dedup();
            view.aliases = mine.into_iter().map(|name| names.id(name)).collect();
            view.aliases.sort_unstable();
        }
        view
    }

    /// Packages, `source/package`, that are parked as somebody else has their project's name, by the project that has
    /// it.
    #[must_use]
    pub fn claims(&self) -> BTreeMap<ProjectIx, Vec<String>> {
        let mut found: BTreeMap<ProjectIx, Vec<String>> = BTreeMap::new();
        for parked in self.parked() {
            let holder = parked.wants.and_then(|name| self.project_by_name(name));
            if let (Some(holder), Some(package)) = (holder, parked.subject.strip_prefix("package/")) {
                found.entry(holder).or_default().push(format!("{}/{package}", parked.source));
            }
        }
        found
    }

    /// The project's present name.
    #[must_use]
    pub fn project_name(&self, project: ProjectIx) -> &str {
        match project {
            ProjectIx::Personal(user) => self.personal_name(user).unwrap_or_else(|| self.user_name(user)),
            ProjectIx::Recorded(_) => self.project_row(project).map_or("", |row| self.facts.project_names.id(row.name)),
        }
    }

    /// The name of a user under which it can have a project of its own.
    fn personal_name(&self, user: UserIx) -> Option<&str> {
        let taken = |name: &str| self.facts.project_names.find(0, name).is_some();
        self.user_names(user).find(|name| name.parse::<rollcall_events::ProjectName>().is_ok() && !taken(name))
    }

    /// Whether nothing can be done in a project.
    pub(crate) fn archived(&self, project: ProjectIx) -> bool {
        match (project, self.project_row(project).map(|row| &row.origin)) {
            (ProjectIx::Personal(user), _) => {
                self.profile.document().rules.personal_project.is_none()
                    || !self.is_user(user)
                    || self.shut_out(user)
                    || self.personal_name(user).is_none()
            }
            (_, Some(Origin::Package(package))) => {
                let row = self.facts.packages.get(*package);
                row.is_none_or(|row| !(row.register.stands() && row.delivery))
                    || self.facts.is_suspended(self.facts.packages.names.space(*package))
            }
            (_, Some(Origin::Local(local))) => !local.register.stands(),
            (_, None) => true,
        }
    }

    /// Whether a project ([`NONE`] for a new one) may have this name; else who holds it. A name belongs to its first
    /// holder for ever, and where users have personal projects theirs are held too.
    pub(crate) fn name_is_free(&self, mine: u32, name: &str) -> Result<(), String> {
        if matches!(self.mode, FoldMode::Recorded) {
            return Ok(());
        }
        let facts = &self.facts;
        let holder = facts.project_names.find(0, name).and_then(|ix| facts.project_names.get(ix)).copied();
        match holder {
            Some(holder) if holder == mine => Ok(()),
            Some(holder) => {
                let view = self.project(ProjectIx::recorded(holder));
                Err(match view.package {
                    Some(package) => format!("package {package} of source {}", view.source),
                    None => format!("project {}", view.id),
                })
            }
            None if self.profile.document().rules.personal_project.is_some()
                && facts
                    .user_names
                    .find(0, name)
                    .and_then(|ix| facts.user_names.get(ix))
                    .is_some_and(|of| *of != NONE) =>
            {
                Err(format!("user {name}, whose personal project it is"))
            }
            None => Ok(()),
        }
    }

    /// The row of a project that people made, [`NONE`] for a new one, and whether it is there now.
    pub(crate) fn local_project(&self, id: &str) -> (u32, Option<&LocalProject>) {
        let row = self.facts.local_projects.find(0, id).and_then(|ix| self.facts.local_projects.get(ix)).copied();
        let local = row.and_then(|row| self.facts.projects.get(row as usize)).and_then(|row| match &row.origin {
            Origin::Local(local) => Some(local),
            Origin::Package(_) => None,
        });
        (row.unwrap_or(NONE), local)
    }
}
