//! What names a thing of a roster: users, services, groups, projects, scopes. Each is good for the roster that gave it
//! only. Knows no row; what they stand for is looked up in the roster.

/// A user of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserIx(pub(crate) u32);

/// A service of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceIx(pub(crate) u32);

/// A group of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupIx(pub(crate) u32);

/// A folder of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderIx(pub(crate) u32);

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

/// A secret of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretIx(pub(crate) u32);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Somebody who did not sign in.
    Anyone,
    /// A signed-in user.
    User(UserIx),
    /// A user who signed in with a secret that somebody else made: it reaches only what its maker's sources give.
    Limited(UserIx, SecretIx),
    /// A service with a good secret.
    Service(ServiceIx),
}

impl From<UserIx> for Principal {
    fn from(user: UserIx) -> Self {
        Self::User(user)
    }
}

impl From<ServiceIx> for Principal {
    fn from(service: ServiceIx) -> Self {
        Self::Service(service)
    }
}

/// Which profile decides: the access profile in force, or that of Rollcall's own API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileKind {
    /// What may be done in the registry.
    Access,
    /// What may be done with Rollcall itself. No setting and no ceiling of the access profile touches it.
    Api,
}
