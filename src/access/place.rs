//! Where: the scopes of the tree, from the root through folders to projects, and what a profile looks at there.
//! Who holds what there is `bindings`; what that allows is `decide`.

use rollcall_events::body::{ProjectKind, Visibility};

use crate::{
    Principal,
    facts::{Folder, NONE, On, Origin, Service},
    profile::{Held, Level, Own, Profile, Resource},
    roster::{Roster, UserIx},
};

/// A folder of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderIx(pub(crate) u32);

/// A service of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceIx(pub(crate) u32);

/// A group of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub(crate) u32);

/// A project that the log speaks of. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordedIx(pub(crate) u32);

/// A project of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectIx {
    /// One that the log speaks of.
    Recorded(RecordedIx),
    /// The one that an active user has by the profile, under the user's name. It is derived, never recorded.
    Personal(UserIx),
}

impl ProjectIx {
    pub(crate) fn recorded(ix: u32) -> Self {
        Self::Recorded(RecordedIx(ix))
    }
}

/// A scope: where roles are given and questions asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Above everything.
    Root,
    /// A folder and what is below it.
    Folder(FolderIx),
    /// One project.
    Project(ProjectIx),
}

impl From<ProjectIx> for Place {
    fn from(project: ProjectIx) -> Self {
        Self::Project(project)
    }
}

impl From<FolderIx> for Place {
    fn from(folder: FolderIx) -> Self {
        Self::Folder(folder)
    }
}

/// Which profile judges: the access profile in force, or that of Rollcall's own API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileKind {
    /// What may be done in the registry.
    Access,
    /// What may be done with Rollcall itself. No setting and no ceiling of the access profile touches it.
    Api,
}

/// The scopes that hold for a place: the folder path upwards, ending at the root.
#[derive(Clone)]
struct Up<'a> {
    roster: &'a Roster,
    next: Option<On>,
}

impl Iterator for Up<'_> {
    type Item = On;

    fn next(&mut self) -> Option<On> {
        let on = self.next?;
        let above = |folder: u32| if folder == NONE { On::Root } else { On::Folder(folder) };
        self.next = match on {
            On::Root => None,
            On::Folder(ix) => Some(above(self.roster.folder_row(FolderIx(ix)).map_or(NONE, |row| row.parent))),
            On::Project(ix) => Some(match self.roster.facts.projects.get(ix as usize).map(|row| &row.origin) {
                Some(Origin::Local(local)) => above(local.folder),
                Some(Origin::Package(_)) | None => On::Root,
            }),
        };
        Some(on)
    }
}

impl Roster {
    /// The place's own scope and all above it, nearest first.
    pub(crate) fn path(&self, place: Place) -> impl Iterator<Item = On> + Clone + '_ {
        let next = match place {
            Place::Root | Place::Project(ProjectIx::Personal(_)) => On::Root,
            Place::Folder(FolderIx(ix)) => On::Folder(ix),
            Place::Project(ProjectIx::Recorded(RecordedIx(ix))) => On::Project(ix),
        };
        Up { roster: self, next: Some(next) }
    }

    /// Whether a role given on a scope holds at a place. Quick where the two are the same or it is the root.
    pub(crate) fn covers(&self, on: On, place: Place) -> bool {
        match (on, place) {
            (On::Root, _) => true,
            (On::Project(ix), Place::Project(ProjectIx::Recorded(RecordedIx(at)))) => ix == at,
            (On::Project(_), _) => false,
            (On::Folder(_), _) => self.path(place).any(|above| above == on),
        }
    }

    pub(crate) fn place_on(&self, on: On) -> Place {
        match on {
            On::Root => Place::Root,
            On::Folder(ix) => Place::Folder(FolderIx(ix)),
            On::Project(ix) => Place::Project(ProjectIx::recorded(ix)),
        }
    }

    pub(crate) fn folder_row(&self, FolderIx(ix): FolderIx) -> Option<&Folder> {
        self.facts.folders.get(ix)?.as_ref()
    }

    pub(crate) fn service_row(&self, ServiceIx(ix): ServiceIx) -> Option<&Service> {
        self.facts.services.get(ix)?.as_ref()
    }

    pub(crate) fn service_stands(&self, service: ServiceIx) -> bool {
        self.service_row(service).is_some_and(|row| row.register.stands())
    }

    /// Whether anything can be done at a place: a folder that was removed, an archived project and the personal
    /// project of somebody who is shut out are closed.
    pub(crate) fn open(&self, place: Place) -> bool {
        match place {
            Place::Root => true,
            Place::Folder(folder) => self.folder_row(folder).is_some_and(|row| row.register.stands()),
            Place::Project(project) => !self.archived(project),
        }
    }

    /// The profile that judges.
    pub(crate) fn judge_of(&self, rights: ProfileKind) -> &Profile {
        match rights {
            ProfileKind::Access => &self.profile,
            ProfileKind::Api => &self.api,
        }
    }

    /// At which level of a profile a scope is; absent for a folder of a kind that the profile does not know.
    pub(crate) fn level(&self, rights: ProfileKind, on: On) -> Option<Level> {
        let profile = self.judge_of(rights);
        match (on, rights) {
            (On::Root, _) => Some(0),
            (On::Project(_), _) => Some(profile.project_level()),
            (On::Folder(_), ProfileKind::Api) => profile.level("folder"),
            (On::Folder(ix), ProfileKind::Access) => {
                let level = profile.level(&self.folder_row(FolderIx(ix))?.kind)?;
                (level < profile.project_level()).then_some(level)
            }
        }
    }

    /// What a profile looks at in a place, seen by a caller.
    pub(crate) fn resource(&self, rights: ProfileKind, place: Place, caller: Principal) -> Option<Resource<'_>> {
        let above = |level| Resource { level, visibility: None, kind: None, own: Own::NotMine };
        Some(match place {
            Place::Root => above(0),
            Place::Folder(FolderIx(ix)) => above(self.level(rights, On::Folder(ix))?),
            Place::Project(project) => {
                let (kind, visibility) = self.kind_and_visibility(project);
                let mine = matches!((project, caller), (ProjectIx::Personal(a), Principal::User(b)) if a == b);
                Resource {
                    level: self.judge_of(rights).project_level(),
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

    /// The role that a personal project gives to its user, at the level nearest to projects at which it may be given: what
    /// a limit keeps for higher levels does not come with a project.
    pub(crate) fn personal_role(&self) -> Option<Held> {
        let role = self.profile.role(self.profile.document().rules.personal_role.as_deref()?)?;
        Some(Held { role, level: self.profile.lowest(role)? })
    }
}
