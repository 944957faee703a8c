//! What people keep in Rollcall itself: folders, projects of their own, services, local groups. Each command is judged
//! by a function that changes nothing, which the API asks too, and then done.

use chrono::{DateTime, Utc};
use rollcall_events::{
    LOCAL, Position, ProjectName,
    body::{self, Author, ProjectKind},
};

use crate::{
    Effect,
    authority::{Authority, Refusal, RefusalKind},
    facts::{Field, Folder, Holder, LocalProject, NONE, On, Origin, Service},
    fold::At,
    owners::Gone,
    place::{FolderIx, GroupIx, Place, ProfileKind, ProjectIx, ServiceIx},
    register::{Rank, Register},
    roster::Roster,
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

/// A service as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView<'a> {
    /// Its id, and the name to sign in with.
    pub id: &'a str,
    /// A label.
    pub name: Option<&'a str>,
    /// The newest event about it.
    pub changed: Position,
}

/// Ids of what is kept here stand in paths, image names and logins.
fn plain(what: &str, id: &str) -> Result<(), Refusal> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    if id.len() <= 100 && id.chars().all(good) && id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(RefusalKind::Invalid.because(format!(
            "`{}` is no id of a {what}: at most 100 of a-z, 0-9, `.`, `-` and `_`, beginning with a letter or digit",
            id.escape_debug()
        )))
    }
}

/// Whether a name is one of a pattern, in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let Some((middle, last)) = rest.rsplit_once('*') else { return left.ends_with(rest) };
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

fn missing(what: &str, id: &str) -> Refusal {
    RefusalKind::Unknown.because(format!("there is no {what} `{}`", id.escape_debug()))
}

impl Roster {
    /// The folder with an id; one that was removed is not found.
    #[must_use]
    pub fn folder_by_id(&self, id: &str) -> Option<FolderIx> {
        let ix = FolderIx(self.facts.folders.find(0, id)?);
        self.folder_row(ix).filter(|row| row.register.stands()).map(|_| ix)
    }

    /// Every folder that was not removed.
    pub fn folders(&self) -> impl Iterator<Item = FolderIx> {
        (0..self.facts.folders.len()).map(FolderIx).filter(|ix| self.open(Place::Folder(*ix)))
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

    /// The service with an id; one that was removed is not found.
    #[must_use]
    pub fn service_by_id(&self, id: &str) -> Option<ServiceIx> {
        let local = u16::try_from(self.facts.sources.find(0, LOCAL)?).ok()?;
        let ix = ServiceIx(self.facts.services.find(local, id)?);
        self.service_stands(ix).then_some(ix)
    }

    /// Every service that was not removed.
    pub fn services(&self) -> impl Iterator<Item = ServiceIx> {
        (0..self.facts.services.len()).map(ServiceIx).filter(|ix| self.service_stands(*ix))
    }

    /// A service's id and label.
    #[must_use]
    pub fn service(&self, service: ServiceIx) -> ServiceView<'_> {
        let row = self.service_row(service);
        ServiceView {
            id: self.facts.services.id(service.0),
            name: row.and_then(|row| row.name.as_deref()),
            changed: row.map(|row| row.register.cause).unwrap_or_default(),
        }
    }

    /// The place that an optional folder of a command means.
    fn within(&self, folder: Option<&rollcall_events::Id>) -> Result<Place, Refusal> {
        match folder {
            None => Ok(Place::Root),
            Some(id) => self.folder_by_id(id.as_str()).map(Place::Folder).ok_or_else(|| missing("folder", id.as_str())),
        }
    }

    pub(crate) fn judge_folder(&self, data: &body::Folder, now: DateTime<Utc>) -> Result<u32, Refusal> {
        plain("folder", data.folder.as_str())?;
        let known = self.facts.folders.find(0, data.folder.as_str()).map(FolderIx);
        let known = known.and_then(|ix| self.folder_row(ix)).filter(|row| row.register.stands());
        if let Some(row) = known.filter(|row| row.kind != data.kind.as_str()) {
            return Err(RefusalKind::Invalid
                .because(format!("folder {} is a {} and stays one; make another", data.folder, row.kind)));
        }
        let levels = &self.profile.document().levels;
        let Some(level) = self.profile.level(data.kind.as_str()).filter(|level| *level < self.profile.project_level())
        else {
            return Err(RefusalKind::Invalid.because(format!(
                "profile {} has no level `{}` above its projects; its levels are {}",
                self.profile.name(),
                data.kind,
                levels.join(", ")
            )));
        };
        let above = self.within(data.parent.as_ref())?;
        if let Place::Folder(FolderIx(ix)) = above
            && self.level(ProfileKind::Access, On::Folder(ix)).is_none_or(|above| above >= level)
        {
            return Err(RefusalKind::Invalid.because(format!(
                "a {} cannot be in folder {}, which is a {}: the levels are {}",
                data.kind,
                self.folder(FolderIx(ix)).id,
                self.folder(FolderIx(ix)).kind,
                levels.join(", ")
            )));
        }
        // Levels alone do not see to it: another profile may have them in another order.
        let mine = self.facts.folders.find(0, data.folder.as_str()).map(On::Folder);
        if self.path(above).any(|on| Some(on) == mine) {
            return Err(RefusalKind::Invalid.because(format!("folder {} would be in itself", data.folder)));
        }
        self.authorise(data.author.as_ref(), "folder.set", Place::Root, now)?;
        Ok(match above {
            Place::Folder(FolderIx(ix)) => ix,
            Place::Root | Place::Project(_) => NONE,
        })
    }

    pub(crate) fn set_folder(&mut self, at: &mut At<'_>, data: &body::Folder) -> Effect {
        let parent = match self.judge_folder(data, at.now()) {
            Ok(parent) => parent,
            Err(refusal) => return refusal.into(),
        };
        let ix = self.facts.folders.at(0, data.folder.as_str());
        let Some(slot) = self.facts.folders.get_mut(ix) else { return Effect::NoChange };
        let before = slot.as_ref().map_or(NONE, |row| row.parent);
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let effect = at.settle(&mut register, Rank::Full, "folder");
        *slot = Some(Folder { register, kind: data.kind.to_string(), parent, name: data.name.clone() });
        if before != parent {
            self.facts.left(Field::FolderParent, ix, before);
        }
        self.index.contain(ix, parent);
        self.settle();
        effect
    }

    pub(crate) fn judge_folder_removal(&self, data: &body::FolderRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let FolderIx(ix) =
            self.folder_by_id(data.folder.as_str()).ok_or_else(|| missing("folder", data.folder.as_str()))?;
        let child = self.index.folder_children.get(&ix).into_iter().flatten().filter(|child| {
            self.folder_row(FolderIx(**child)).is_some_and(|row| row.register.stands() && row.parent == ix)
        });
        // The smallest: a roster that was read from a snapshot lists them in another order.
        if let Some(inner) = child.map(|child| self.facts.folders.id(*child)).min() {
            return Err(RefusalKind::Invalid.because(format!("folder {inner} is in it; remove that first")));
        }
        let project = self.index.folder_projects.get(&ix).into_iter().flatten().filter(|project| {
            matches!(self.facts.projects.get(**project as usize).map(|row| &row.origin),
                Some(Origin::Local(local)) if local.register.stands() && local.folder == ix)
        });
        if let Some(inner) = project.map(|project| self.project_name(ProjectIx::recorded(*project))).min() {
            return Err(RefusalKind::Invalid.because(format!("project {inner} is in it; move or delete that first")));
        }
        self.authorise(data.author.as_ref(), "folder.set", Place::Root, now)?;
        Ok(ix)
    }

    pub(crate) fn remove_folder(&mut self, at: &mut At<'_>, data: &body::FolderRef) -> Effect {
        match self.judge_folder_removal(data, at.now()) {
            Ok(ix) => match self.facts.folders.get_mut(ix).and_then(Option::as_mut) {
                Some(row) => at.settle(&mut row.register, Rank::Removed, "folder"),
                None => Effect::NoChange,
            },
            Err(refusal) => refusal.into(),
        }
    }

    /// What the state of a project may be, whoever states it.
    fn judge_project(&self, data: &body::Project, mine: u32) -> Result<Place, Refusal> {
        let name: ProjectName = data
            .name
            .parse()
            .map_err(|error: rollcall_events::InvalidName| RefusalKind::Invalid.because(error.to_string()))?;
        plain("project", data.project.as_str())?;
        if let Err(holder) = self.name_is_free(mine, name.as_str()) {
            return Err(RefusalKind::Taken.because(format!("name taken: project {name} belongs to {holder}")));
        }
        if data.kind == ProjectKind::Personal {
            return Err(RefusalKind::Invalid.because("personal projects come by themselves with their users"));
        }
        match self.profile.kind(data.kind) {
            Some(kind) if kind.visibility.contains(&data.visibility) => {}
            // A profile that says nothing of its ordinary kind has private projects.
            None if data.kind == ProjectKind::Standard && data.visibility == body::Visibility::Private => {}
            kind => {
                let kinds: Vec<String> = kind.map_or_else(Vec::new, |kind| {
                    kind.visibility.iter().map(|one| format!("{one:?}").to_lowercase()).collect()
                });
                return Err(RefusalKind::Invalid.because(format!(
                    "a project of kind {} is never {} under profile {}; it can be: {}",
                    self.profile.kind_name(data.kind),
                    format!("{:?}", data.visibility).to_lowercase(),
                    self.profile.name(),
                    if kinds.is_empty() { "nothing, there is no such kind".to_owned() } else { kinds.join(", ") }
                )));
            }
        }
        let global = |project: &ProjectIx| {
            self.kind_and_visibility(*project).0 == ProjectKind::Global
                && !self.archived(*project)
                && *project != ProjectIx::recorded(mine)
        };
        let other = (data.kind == ProjectKind::Global).then(|| self.projects().find(global)).flatten();
        if let Some(other) = other {
            let name = self.project_name(other);
            return Err(RefusalKind::Taken.because(format!("there is one global project, and it is {name}")));
        }
        self.within(data.folder.as_ref())
    }

    /// Names that are kept for packages only the operator gives to another project; what a project has or had stays its own.
    fn not_reserved(&self, authority: Authority, mine: u32, name: &str) -> Result<(), Refusal> {
        let known = self.facts.project_names.find(0, name).and_then(|ix| self.facts.project_names.get(ix));
        if authority == Authority::Operator || (mine != NONE && known == Some(&mine)) {
            return Ok(());
        }
        match self.settings.reserved_names.iter().find(|pattern| fits(pattern, name)) {
            Some(pattern) => Err(RefusalKind::Taken
                .because(format!("name reserved: project {name} is one of `{pattern}`, kept for packages"))),
            None => Ok(()),
        }
    }

    /// The row of a project that people made, [`NONE`] for a new one, and whether it is there now.
    fn local_project(&self, id: &str) -> (u32, Option<&LocalProject>) {
        let row = self.facts.local_projects.find(0, id).and_then(|ix| self.facts.local_projects.get(ix)).copied();
        let local = row.and_then(|row| self.facts.projects.get(row as usize)).and_then(|row| match &row.origin {
            Origin::Local(local) => Some(local),
            Origin::Package(_) => None,
        });
        (row.unwrap_or(NONE), local)
    }

    pub(crate) fn judge_creation(&self, data: &body::Project, now: DateTime<Utc>) -> Result<(u32, Place), Refusal> {
        let (mine, local) = self.local_project(data.project.as_str());
        if local.is_some_and(|local| local.register.stands()) {
            return Err(RefusalKind::Taken.because(format!("there is a project `{}` already", data.project)));
        }
        let place = self.judge_project(data, mine)?;
        // A slice need not know who it was.
        if let Some(creator) = &data.creator
            && !self.judging.trusts()
            && self.person_of(creator.as_str()).is_none()
        {
            return Err(missing("user", creator.as_str()));
        }
        let authority = self.authorise(data.author.as_ref(), "project.create", place, now)?;
        self.not_reserved(authority, mine, &data.name)?;
        // Its content is there still: whoever may make projects may not take over one that was deleted.
        if local.is_some()
            && authority != Authority::Operator
            && !self.might(data.author.as_ref(), "project.delete", Place::Project(ProjectIx::recorded(mine)), now)?
        {
            return Err(RefusalKind::Taken.because(format!(
                "there was a project `{}`; an administrator, or who could delete it, can make it again",
                data.project
            )));
        }
        Ok((mine, place))
    }

    pub(crate) fn judge_update(&self, data: &body::Project, now: DateTime<Utc>) -> Result<(u32, Place), Refusal> {
        let (mine, local) = self.local_project(data.project.as_str());
        let local = local.filter(|local| local.register.stands());
        let local = local.ok_or_else(|| missing("project", data.project.as_str()))?;
        if local.kind != data.kind {
            return Err(RefusalKind::Invalid.because("a project keeps its kind"));
        }
        let place = self.judge_project(data, mine)?;
        let project = Place::Project(ProjectIx::recorded(mine));
        let authority = self.authorise(data.author.as_ref(), "project.update", project, now)?;
        self.not_reserved(authority, mine, &data.name)?;
        if local.visibility != data.visibility {
            self.authorise(data.author.as_ref(), "visibility.set", project, now)?;
        }
        let before = if local.folder == NONE { Place::Root } else { Place::Folder(FolderIx(local.folder)) };
        if before != place {
            // Whose it is follows from where it is.
            self.authorise(data.author.as_ref(), "binding.set", project, now)?;
            self.authorise(data.author.as_ref(), "project.create", place, now)?;
        }
        Ok((mine, place))
    }

    pub(crate) fn create_project(&mut self, at: &mut At<'_>, data: &body::Project) -> Effect {
        match self.judge_creation(data, at.now()) {
            Ok((mine, place)) => {
                let effect = self.keep_project(at, data, mine, place);
                if effect == Effect::Applied {
                    let (row, _) = self.local_project(data.project.as_str());
                    self.bind_creator(at, row, data.author.clone().unwrap_or_else(Author::operator));
                }
                effect
            }
            Err(refusal) => refusal.into(),
        }
    }

    pub(crate) fn update_project(&mut self, at: &mut At<'_>, data: &body::Project) -> Effect {
        match self.judge_update(data, at.now()) {
            Ok((mine, place)) => self.keep_project(at, data, mine, place),
            Err(refusal) => refusal.into(),
        }
    }

    fn keep_project(&mut self, at: &mut At<'_>, data: &body::Project, mine: u32, place: Place) -> Effect {
        // First of all: a new row of the table of ids points nowhere yet.
        let before = self.local_project(data.project.as_str()).1.cloned();
        let id = self.facts.local_projects.at(0, data.project.as_str());
        let mut register = before.as_ref().map_or_else(Register::default, |local| local.register);
        let effect = at.settle(&mut register, Rank::Full, "project");
        let left = before.as_ref().map(|before| before.folder);
        let person = |id: &rollcall_events::Id| self.person_of(id.as_str()).unwrap_or(NONE);
        // Who made it stays who made it, until it is made again.
        let creator = before
            .filter(|before| before.register.stands())
            .map_or_else(|| data.creator.as_ref().map_or(NONE, person), |before| before.creator);
        let folder = match place {
            Place::Folder(FolderIx(ix)) => ix,
            Place::Root | Place::Project(_) => NONE,
        };
        let (kind, visibility) = (data.kind, data.visibility);
        if let Some(left) = left.filter(|left| *left != folder) {
            self.facts.left(Field::ProjectFolder, mine, left);
        }
        let local = LocalProject { register, id, kind, visibility, folder, creator };
        let row = self.claim_name(at.position(), mine, &data.name, || Origin::Local(local.clone()));
        if let Some(slot) = self.facts.local_projects.get_mut(id) {
            *slot = row;
        }
        if let Some(project) = self.facts.projects.get_mut(row as usize) {
            project.origin = Origin::Local(local);
        }
        self.index.house(row, folder);
        self.say_project(at, ProjectIx::recorded(row));
        effect
    }

    pub(crate) fn judge_deletion(&self, data: &body::ProjectRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let (mine, local) = self.local_project(data.project.as_str());
        let local = local.filter(|local| local.register.stands());
        let local = local.ok_or_else(|| missing("project", data.project.as_str()))?;
        if local.kind == ProjectKind::Global && self.profile.kind(ProjectKind::Global).is_some() {
            return Err(RefusalKind::Invalid.because("the global project stays as long as the profile has one"));
        }
        self.authorise(data.author.as_ref(), "project.delete", Place::Project(ProjectIx::recorded(mine)), now)?;
        Ok(mine)
    }

    pub(crate) fn delete_project(&mut self, at: &mut At<'_>, data: &body::ProjectRef) -> Effect {
        let row = match self.judge_deletion(data, at.now()) {
            Ok(row) => row,
            Err(refusal) => return refusal.into(),
        };
        let effect = match self.facts.projects.get_mut(row as usize).map(|row| &mut row.origin) {
            Some(Origin::Local(local)) => at.settle(&mut local.register, Rank::Removed, "project"),
            Some(Origin::Package(_)) | None => Effect::NoChange,
        };
        self.end_bindings(at, self.index.place_bindings.get(&On::Project(row)).cloned().unwrap_or_default());
        self.say_project(at, ProjectIx::recorded(row));
        effect
    }

    pub(crate) fn judge_service(&self, data: &body::Service, now: DateTime<Utc>) -> Result<(), Refusal> {
        plain("service", data.service.as_str())?;
        self.authorise(data.author.as_ref(), "service.set", Place::Root, now).map(|_| ())
    }

    pub(crate) fn set_service(&mut self, at: &mut At<'_>, data: &body::Service) -> Effect {
        if let Err(refusal) = self.judge_service(data, at.now()) {
            return refusal.into();
        }
        let ix = self.facts.services.at(at.space, data.service.as_str());
        let Some(slot) = self.facts.services.get_mut(ix) else { return Effect::NoChange };
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let effect = at.settle(&mut register, Rank::Full, "service");
        *slot = Some(Service { register, name: data.name.clone() });
        effect
    }

    pub(crate) fn judge_service_removal(&self, data: &body::ServiceRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let ServiceIx(ix) =
            self.service_by_id(data.service.as_str()).ok_or_else(|| missing("service", data.service.as_str()))?;
        self.authorise(data.author.as_ref(), "service.set", Place::Root, now)?;
        self.somebody_stays(Gone::Service(ix), now)?;
        Ok(ix)
    }

    pub(crate) fn remove_service(&mut self, at: &mut At<'_>, data: &body::ServiceRef) -> Effect {
        match self.judge_service_removal(data, at.now()) {
            Ok(ix) => {
                let row = self.facts.services.get_mut(ix).and_then(Option::as_mut);
                let effect = row.map_or(Effect::NoChange, |row| at.settle(&mut row.register, Rank::Removed, "service"));
                self.end_holder(at, Holder::Service(ix));
                effect
            }
            Err(refusal) => refusal.into(),
        }
    }

    pub(crate) fn judge_group(&self, id: &str, author: Option<&Author>, now: DateTime<Utc>) -> Result<(), Refusal> {
        plain("group", id)?;
        self.authorise(author, "group.set", Place::Root, now).map(|_| ())
    }

    fn local_group(&self, id: &str) -> Result<u32, Refusal> {
        let found = self.group_by_id(&format!("{LOCAL}/{id}"));
        found.map(|GroupIx(ix)| ix).ok_or_else(|| missing("local group", id))
    }

    pub(crate) fn judge_group_removal(&self, data: &body::GroupRef, now: DateTime<Utc>) -> Result<(), Refusal> {
        let ix = self.local_group(data.group.as_str())?;
        let authority = self.authorise(data.author.as_ref(), "group.set", Place::Root, now)?;
        self.no_group_above(authority, data.author.as_ref(), ix, now)?;
        self.somebody_stays(Gone::Group(ix), now)
    }

    /// Whoever says who is in a group gives and takes what it holds, and what the groups above it hold: nobody does so
    /// with more than he or she has.
    fn no_group_above(
        &self,
        authority: Authority,
        author: Option<&Author>,
        group: u32,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let Some(author) = author.filter(|_| authority != Authority::Operator) else { return Ok(()) };
        for row in self.given_above([Holder::Group(group)], now) {
            if let Some(role) = self.named_role(&row.role) {
                self.not_above_the_giver(Authority::Access, author, role, row.on, self.place_on(row.on), now)?;
            }
        }
        Ok(())
    }

    pub(crate) fn judge_member(
        &self,
        data: &body::GroupMember,
        leaves: bool,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let group = self.local_group(data.group.as_str())?;
        let holder = self.local_member(&data.member).map_err(|why| RefusalKind::Unknown.because(why))?;
        let authority = self.authorise(data.author.as_ref(), "group.set", Place::Root, now)?;
        self.no_group_above(authority, data.author.as_ref(), group, now)?;
        match self.index.member.get(&(group, holder)) {
            Some(ix) if leaves => self.somebody_stays(Gone::Member(*ix), now),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, good, bad) in [
            ("acme", &["acme"][..], &["acme-db", "acm"][..]),
            ("acme*", &["acme", "acme-db"], &["x-acme", "acm"]),
            ("*-db", &["acme-db", "-db"], &["acme-dbs", "db"]),
            ("a*b*c", &["abc", "a-b-c", "abbc"], &["ab", "acb", "abcd"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("*", &["", "x"], &[]),
            ("", &[""], &["x"]),
        ] {
            assert!(good.iter().all(|name| fits(pattern, name)), "{pattern}");
            assert!(!bad.iter().any(|name| fits(pattern, name)), "{pattern}");
        }
    }
}
