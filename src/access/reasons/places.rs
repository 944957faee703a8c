//! The scopes at and above a place, along present and former folders: where a role that was given holds here, or held
//! until the project or a folder was moved.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::LOCAL;

use super::{Cause, Fix, Hindrance, Obstacle, PathSearch, Standing, obstacle};
use crate::roster::{
    facts::{Field, NONE, Origin, RecordedScope},
    handles::{FolderIx, ProjectIx},
};

/// How many scopes are looked at.
const MAX_SCOPES: usize = 4_096;

/// The way from a place up to a scope.
#[derive(Debug, Clone, Default)]
pub(super) struct ScopePath {
    pub(super) obstacles: Vec<Obstacle>,
    /// What says where each on the way is.
    pub(super) causes: Vec<Cause>,
}

impl PathSearch<'_> {
    /// Every scope at or above the place, now or formerly, by the wanted way.
    pub(super) fn scopes_above(&self) -> BTreeMap<RecordedScope, ScopePath> {
        let mut found = BTreeMap::from([(RecordedScope::Root, ScopePath::default())]);
        let Some(first) = self.roster.path(self.place).next() else { return found };
        let order_of = |way: &ScopePath| self.wanted.order(Hindrance::NONE.and(&way.obstacles));
        let mut queue = BTreeMap::from([((order_of(&ScopePath::default()), 0), (first, ScopePath::default()))]);
        let (mut seen, mut order) = (BTreeSet::new(), 0);
        while let Some((_, (on, way))) = queue.pop_first() {
            if seen.len() >= MAX_SCOPES || !seen.insert(on) {
                continue;
            }
            for (above, between, cause) in self.steps_up(on) {
                order += 1;
                let mut way = way.clone();
                way.obstacles.extend(between);
                way.causes.extend(cause);
                queue.insert((order_of(&way), order), (above, way));
            }
            if on != RecordedScope::Root {
                found.insert(on, way);
            }
        }
        found
    }

    /// The folders that a project or folder is and was in.
    fn steps_up(&self, on: RecordedScope) -> Vec<(RecordedScope, Option<Obstacle>, Option<Cause>)> {
        let roster = self.roster;
        let facts = &roster.facts;
        let (field, ix, now, subject, register) = match on {
            RecordedScope::Root => return Vec::new(),
            RecordedScope::Folder(ix) => {
                let Some(row) = roster.folder_row(FolderIx(ix)) else { return Vec::new() };
                (Field::FolderParent, ix, row.parent, format!("folder/{}", facts.folders.id(ix)), row.register)
            }
            RecordedScope::Project(ix) => match facts.projects.get(ix as usize).map(|row| &row.origin) {
                Some(Origin::Local(local)) => {
                    let subject = format!("project/{}", facts.local_projects.id(local.id));
                    (Field::ProjectFolder, ix, local.folder, subject, local.register)
                }
                Some(Origin::Package(_)) | None => return Vec::new(),
            },
        };
        let cause = Cause { position: register.cause, source: LOCAL.to_owned(), subject };
        facts
            .current_and_former(field, ix, now)
            .filter(|folder| *folder != NONE)
            .map(|folder| {
                let between = (folder != now).then(|| {
                    let (what, whence) = (roster.scope_name(on), roster.scope_name(RecordedScope::Folder(folder)));
                    let moved = self.left_by(cause.clone(), field, ix, folder);
                    let remedy = format!("{what} is in {whence} again");
                    let text = format!("{what} was moved out of {whence}");
                    obstacle(Standing::Ended, text, remedy, Some(moved)).with_fix(self.fix_moved(on, folder))
                });
                (RecordedScope::Folder(folder), between, Some(cause.clone()))
            })
            .collect()
    }

    /// A project or folder is moved back.
    fn fix_moved(&self, on: RecordedScope, folder: u32) -> Fix {
        match on {
            RecordedScope::Project(ix) => self.fix_project_in(ProjectIx::recorded(ix), FolderIx(folder)),
            RecordedScope::Folder(ix) => self.fix_folder_in(FolderIx(ix), FolderIx(folder)),
            RecordedScope::Root => Fix::None,
        }
    }
}
