//! Whether a folder may be set or removed: it fits the levels of the profile, is not in itself, and is empty when it
//! goes.

use chrono::{DateTime, Utc};
use rollcall_events::body;

use crate::{
    commands::{
        check_id, check_label,
        refusal::{Refusal, RefusalKind, missing},
    },
    roster::{
        Roster,
        facts::{NONE, Origin, RecordedScope},
        handles::{FolderIx, Place, ProfileKind, ProjectIx},
    },
};

impl Roster {
    /// The place that an optional folder of a command means.
    pub(super) fn resolve_parent(&self, folder: Option<&rollcall_events::Id>) -> Result<Place, Refusal> {
        match folder {
            None => Ok(Place::Root),
            Some(id) => self.folder_by_id(id.as_str()).map(Place::Folder).ok_or_else(|| missing("folder", id.as_str())),
        }
    }

    pub(crate) fn check_folder(&self, data: &body::Folder, now: DateTime<Utc>) -> Result<u32, Refusal> {
        check_id("folder", data.folder.as_str())?;
        check_label("folder", data.name.as_deref())?;
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
        let above = self.resolve_parent(data.parent.as_ref())?;
        if let Place::Folder(FolderIx(ix)) = above
            && self.level(ProfileKind::Access, RecordedScope::Folder(ix)).is_none_or(|above| above >= level)
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
        let mine = self.facts.folders.find(0, data.folder.as_str()).map(RecordedScope::Folder);
        if self.path(above).any(|on| Some(on) == mine) {
            return Err(RefusalKind::Invalid.because(format!("folder {} would be in itself", data.folder)));
        }
        self.authorize(data.author.as_ref(), "folder.set", Place::Root, now)?;
        Ok(match above {
            Place::Folder(FolderIx(ix)) => ix,
            Place::Root | Place::Project(_) => NONE,
        })
    }

    pub(crate) fn check_folder_removal(&self, data: &body::FolderRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
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
        self.authorize(data.author.as_ref(), "folder.set", Place::Root, now)?;
        Ok(ix)
    }
}
