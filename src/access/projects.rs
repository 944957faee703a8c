//! Projects: which package or person holds which project name, and what a project is. First come, first kept; names are
//! labels. What people do to projects of their own is `locals`.

use std::collections::BTreeMap;

use rollcall_events::{
    Position,
    body::{self, Visibility},
    project_name_of,
};

use crate::{
    Change, Effect,
    facts::{Field, NONE, Origin, Project},
    fold::{At, micros},
    place::{FolderIx, ProjectIx, RecordedIx},
    register::{Judgement, Rank},
    roster::Roster,
    slice::Judging,
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
    /// The project with a name; earlier names count. Under a profile that has them, the name of an active user finds the
    /// user's personal project.
    #[must_use]
    pub fn project_by_name(&self, name: &str) -> Option<ProjectIx> {
        let recorded = self.facts.project_names.find(0, name).and_then(|ix| self.facts.project_names.get(ix)).copied();
        if let Some(ix) = recorded {
            return Some(ProjectIx::recorded(ix));
        }
        self.profile.document().rules.personal_project.as_ref()?;
        let user = self.user_by_name(name)?;
        let own = ProjectIx::Personal(user);
        (self.user_name(user) == name && !self.archived(own)).then_some(own)
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
        (0_u32..).zip(&self.facts.projects).map(|(ix, _)| ProjectIx::recorded(ix))
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
        }
        view
    }

    /// Packages, `source/package`, that are parked as somebody else has their project's name, by the project that has it.
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
            ProjectIx::Personal(user) => self.user_name(user),
            ProjectIx::Recorded(_) => self.project_row(project).map_or("", |row| self.facts.project_names.id(row.name)),
        }
    }

    /// Whether nothing can be done in a project.
    pub(crate) fn archived(&self, project: ProjectIx) -> bool {
        match (project, self.project_row(project).map(|row| &row.origin)) {
            (ProjectIx::Personal(user), _) => {
                let name = self.user_name(user);
                self.profile.document().rules.personal_project.is_none()
                    || !self.is_user(user)
                    || self.shut_out(user)
                    || name.parse::<rollcall_events::ProjectName>().is_err()
                    || self.facts.project_names.find(0, name).is_some()
            }
            (_, Some(Origin::Package(package))) => {
                let row = self.facts.packages.get(*package);
                row.is_none_or(|row| !(row.register.stands() && row.delivery))
            }
            (_, Some(Origin::Local(local))) => !local.register.stands(),
            (_, None) => true,
        }
    }

    pub(crate) fn package(&mut self, at: &mut At<'_>, data: &body::Package) -> Effect {
        let ix = self.facts.packages.at(at.space, data.package.as_str());
        let rank = if data.container_delivery { Rank::Full } else { Rank::Lesser };
        let Some(row) = self.facts.packages.get(ix) else { return Effect::NoChange };
        let takes = row.register.judge(at.claim, rank) == Judgement::Takes;
        if takes && data.container_delivery {
            let name = match &data.project_name {
                Some(name) => name.parse(),
                None => project_name_of(data.name.as_deref().unwrap_or(data.package.as_str())),
            };
            let name: rollcall_events::ProjectName = match name {
                Ok(name) => name,
                Err(error) => return self.park(at, error.to_string()),
            };
            let mine = row.project;
            if let Err(holder) = self.name_is_free(mine, name.as_str()) {
                let (package, taken) = (&data.package, format!("name taken: project {name} belongs to {holder}"));
                let what = format!("{taken}; package {package} needs another project_name");
                return self.park_for(at, what, Some(name.as_str()));
            }
            let project = self.claim_name(at.position(), mine, name.as_str(), || Origin::Package(ix));
            if let Some(row) = self.facts.packages.get_mut(ix) {
                row.project = project;
            }
        }
        let producer = self.facts.accounts.at(at.space, data.producer.as_str());
        let Some(row) = self.facts.packages.get_mut(ix) else { return Effect::NoChange };
        let effect = at.settle(&mut row.register, rank, "package");
        if effect == Effect::Applied {
            row.delivery = data.container_delivery;
            row.from = micros(data.effective_from, i64::MIN);
            row.until = micros(data.effective_until, i64::MAX);
            self.refer(Field::PackageProducer, ix, producer);
            self.plain.package(&self.facts, &self.index, ix);
            self.say_package(at, ix);
        }
        self.mention(&effect, Field::PackageProducer, ix, producer);
        effect
    }

    /// Whether a project ([`NONE`] for a new one) may have this name; else who holds it. A name belongs to its first
    /// holder for ever, and where users have personal projects theirs are held too.
    pub(crate) fn name_is_free(&self, mine: u32, name: &str) -> Result<(), String> {
        if matches!(self.judging, Judging::Known) {
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
                && facts.user_names.find(0, name).is_some() =>
            {
                Err(format!("user {name}, whose personal project it is"))
            }
            None => Ok(()),
        }
    }

    /// Gives a project a name that is free, and makes the project where there is none yet. The project's row.
    pub(crate) fn claim_name(&mut self, at: Position, mine: u32, name: &str, origin: impl FnOnce() -> Origin) -> u32 {
        let facts = &mut self.facts;
        let known = facts.project_names.find(0, name).and_then(|ix| facts.project_names.get(ix)).copied();
        let name = facts.project_names.at(0, name);
        let project = if mine == NONE { u32::try_from(facts.projects.len()).unwrap_or(NONE) } else { mine };
        if mine == NONE {
            facts.projects.push(Project { origin: origin(), name, since: at });
        } else if let Some(row) = facts.projects.get_mut(project as usize) {
            row.name = name;
        }
        if let Some(owner) = facts.project_names.get_mut(name).filter(|_| known != Some(project)) {
            *owner = project;
            self.index.project_names.push(project, name);
        }
        project
    }

    /// Says the name and state of a package's project.
    pub(crate) fn say_package(&self, at: &mut At<'_>, package: u32) {
        if let Some(row) = self.facts.packages.get(package).filter(|row| row.project != NONE) {
            self.say_project(at, ProjectIx::recorded(row.project));
        }
    }

    pub(crate) fn say_project(&self, at: &mut At<'_>, project: ProjectIx) {
        let (source, id) = match self.project_row(project).map(|row| &row.origin) {
            Some(Origin::Package(package)) => {
                let names = &self.facts.packages.names;
                (self.source_text(names.space(*package)), names.text(*package))
            }
            Some(Origin::Local(local)) => (rollcall_events::LOCAL, self.facts.local_projects.id(local.id)),
            None => return,
        };
        let Ok(source) = source.parse() else { return };
        at.changes.push(Change::ProjectNamed {
            source,
            package: id.into(),
            name: self.project_name(project).into(),
            archived: self.archived(project),
        });
    }
}
