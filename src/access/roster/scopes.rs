//! Scopes: the tree from the root through folders to projects, and what a profile looks at there.
//! Who holds what on a scope is `bindings`; what that allows is `decide`.

use rollcall_events::{
    Position,
    body::{ProjectKind, Visibility},
};

use crate::{
    profile::{HeldRole, Level, Own, Profile, Resource},
    roster::{
        Roster,
        facts::{Folder, NONE, Origin, RecordedScope},
        handles::{FolderIx, Place, Principal, ProfileKind, ProjectIx, RecordedIx},
    },
};

/// A folder as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderView<'a> {
    /// Its id.
    pub id: &'a str,
    /// The scope level at which it sits.
    pub kind: &'a str,
    /// The folder above it.
    pub parent: Option<FolderIx>,
    /// A label.
    pub name: Option<&'a str>,
    /// The newest event about it.
    pub changed: Position,
}

/// The scopes that hold for a place: the folder path upwards, ending at the root.
#[derive(Clone)]
struct Ancestors<'a> {
    roster: &'a Roster,
    next: Option<RecordedScope>,
}

impl Iterator for Ancestors<'_> {
    type Item = RecordedScope;

    fn next(&mut self) -> Option<RecordedScope> {
        let on = self.next?;
        let above = |folder: u32| if folder == NONE { RecordedScope::Root } else { RecordedScope::Folder(folder) };
        self.next = match on {
            RecordedScope::Root => None,
            RecordedScope::Folder(ix) => {
                Some(above(self.roster.folder_row(FolderIx(ix)).map_or(NONE, |row| row.parent)))
            }
            RecordedScope::Project(ix) => {
                Some(match self.roster.facts.projects.get(ix as usize).map(|row| &row.origin) {
                    Some(Origin::Local(local)) => above(local.folder),
                    Some(Origin::Package(_)) | None => RecordedScope::Root,
                })
            }
        };
        Some(on)
    }
}

impl Roster {
    /// The place's own scope and all above it, nearest first.
    pub(crate) fn path(&self, place: Place) -> impl Iterator<Item = RecordedScope> + Clone + '_ {
        let next = match place {
            Place::Root | Place::Project(ProjectIx::Personal(_)) => RecordedScope::Root,
            Place::Folder(FolderIx(ix)) => RecordedScope::Folder(ix),
            Place::Project(ProjectIx::Recorded(RecordedIx(ix))) => RecordedScope::Project(ix),
        };
        Ancestors { roster: self, next: Some(next) }
    }

    pub(crate) fn place_on(&self, on: RecordedScope) -> Place {
        match on {
            RecordedScope::Root => Place::Root,
            RecordedScope::Folder(ix) => Place::Folder(FolderIx(ix)),
            RecordedScope::Project(ix) => Place::Project(ProjectIx::recorded(ix)),
        }
    }

    pub(crate) fn folder_row(&self, FolderIx(ix): FolderIx) -> Option<&Folder> {
        self.facts.folders.get(ix)?.as_ref()
    }

    /// Whether anything can be done at a place: a folder that was removed, an archived project and the personal
    /// project of somebody who is shut out are closed.
    pub(crate) fn is_open(&self, place: Place) -> bool {
        match place {
            Place::Root => true,
            Place::Folder(folder) => self.folder_row(folder).is_some_and(|row| row.register.stands()),
            Place::Project(project) => !self.archived(project),
        }
    }

    /// The profile of a kind.
    pub(crate) fn profile_of(&self, profile_kind: ProfileKind) -> &Profile {
        match profile_kind {
            ProfileKind::Access => &self.profile,
            ProfileKind::Api => &self.api,
        }
    }

    /// At which level of a profile a scope is; absent for a folder of a kind that the profile does not know.
    pub(crate) fn level(&self, profile_kind: ProfileKind, on: RecordedScope) -> Option<Level> {
        let profile = self.profile_of(profile_kind);
        match (on, profile_kind) {
            (RecordedScope::Root, _) => Some(0),
            (RecordedScope::Project(_), _) => Some(profile.project_level()),
            (RecordedScope::Folder(_), ProfileKind::Api) => profile.level("folder"),
            (RecordedScope::Folder(ix), ProfileKind::Access) => {
                let level = profile.level(&self.folder_row(FolderIx(ix))?.kind)?;
                (level < profile.project_level()).then_some(level)
            }
        }
    }

    /// What a profile looks at in a place, seen by a caller.
    pub(crate) fn resource(&self, profile_kind: ProfileKind, place: Place, caller: Principal) -> Option<Resource<'_>> {
        let above = |level| Resource { level, visibility: None, kind: None, own: Own::NotMine };
        Some(match place {
            Place::Root => above(0),
            Place::Folder(FolderIx(ix)) => above(self.level(profile_kind, RecordedScope::Folder(ix))?),
            Place::Project(project) => {
                let (kind, visibility) = self.kind_and_visibility(project);
                let mine = matches!((project, caller), (ProjectIx::Personal(a), Principal::User(b)) if a == b);
                Resource {
                    level: self.profile_of(profile_kind).project_level(),
                    visibility: Some(visibility),
                    kind: Some(self.profile.kind_name(kind)),
                    own: if mine { Own::Mine } else { Own::NotMine },
                }
            }
        })
    }

    /// A project's kind and visibility. Of a package: ordinary and private.
    #[must_use]
    pub fn kind_and_visibility(&self, project: ProjectIx) -> (ProjectKind, Visibility) {
        match project {
            ProjectIx::Personal(_) => (
                ProjectKind::Personal,
                self.profile.kind(ProjectKind::Personal).map_or(Visibility::Private, |kind| kind.default),
            ),
            ProjectIx::Recorded(_) => match self.project_row(project).map(|row| &row.origin) {
                Some(Origin::Local(local)) => (local.kind, local.visibility),
                Some(Origin::Package(_)) | None => (ProjectKind::Standard, Visibility::Private),
            },
        }
    }

    /// The role that a personal project gives to its user, at the level nearest to projects at which it may be given:
    /// what a limit keeps for higher levels does not come with a project.
    pub(crate) fn personal_role(&self) -> Option<HeldRole> {
        let role = self.profile.role(self.profile.document().rules.personal_role.as_deref()?)?;
        Some(HeldRole { role, level: self.profile.lowest(role)? })
    }

    /// The folder with an id; one that was removed is not found.
    #[must_use]
    pub fn folder_by_id(&self, id: &str) -> Option<FolderIx> {
        let ix = FolderIx(self.facts.folders.find(0, id)?);
        self.folder_row(ix).filter(|row| row.register.stands()).map(|_| ix)
    }

    /// Every folder that was not removed.
    pub fn folders(&self) -> impl Iterator<Item = FolderIx> {
        (0..self.facts.folders.len()).map(FolderIx).filter(|ix| self.is_open(Place::Folder(*ix)))
    }

    /// A folder's kind and place.
    #[must_use]
    pub fn folder(&self, folder: FolderIx) -> FolderView<'_> {
        let row = self.folder_row(folder);
        FolderView {
            id: self.facts.folders.id(folder.0),
            kind: row.map_or("", |row| &row.kind),
            parent: row.map(|row| row.parent).filter(|parent| *parent != NONE).map(FolderIx),
            name: row.and_then(|row| row.name.as_deref()),
            changed: row.map(|row| row.register.cause).unwrap_or_default(),
        }
    }

    /// Every project in a folder, to any depth.
    pub fn projects_in(&self, folder: FolderIx) -> impl Iterator<Item = ProjectIx> + '_ {
        let (mut all, mut queue) = (Vec::new(), vec![folder.0]);
        while let Some(next) = queue.pop() {
            let inner = self.index.folder_children.get(&next).into_iter().flatten().copied();
            queue.extend(inner.filter(|ix| self.folder_row(FolderIx(*ix)).is_some_and(|row| row.parent == next)));
            let projects = self.index.folder_projects.get(&next).into_iter().flatten().copied();
            all.extend(projects.map(RecordedIx).map(ProjectIx::Recorded));
        }
        let here = Place::Folder(folder);
        all.into_iter()
            .filter(move |project| self.path(Place::Project(*project)).any(|on| Some(on) == self.path(here).next()))
    }

    pub(crate) fn scope_name(&self, on: RecordedScope) -> String {
        match on {
            RecordedScope::Root => "the root".to_owned(),
            RecordedScope::Folder(ix) => format!("folder {}", self.facts.folders.id(ix)),
            RecordedScope::Project(ix) => format!("project {}", self.project_name(ProjectIx::recorded(ix))),
        }
    }
}
