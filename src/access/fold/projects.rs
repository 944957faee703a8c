//! Projects that people make: created, changed, deleted.

use rollcall_events::{
    Position,
    body::{self, Author},
};

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Field, LocalProject, MadeThing, NONE, Origin, RecordedScope},
        handles::{FolderIx, Place, ProjectIx},
        register::{Rank, Register},
    },
};

impl Roster {
    pub(crate) fn create_project(&mut self, cx: &mut FoldContext<'_>, data: &body::Project) -> Effect {
        match self.check_project_creation(data, cx.now()) {
            Ok((mine, place)) => {
                let effect = self.store_project(cx, data, mine, place);
                if effect == Effect::Applied {
                    let (row, _) = self.local_project(data.project.as_str());
                    self.note_made_with(MadeThing::Project(row), data.made_with.as_ref(), false);
                    self.bind_creator(cx, row, data.author.clone().unwrap_or_else(Author::operator));
                }
                effect
            }
            Err(refusal) => refusal.into(),
        }
    }

    pub(crate) fn update_project(&mut self, cx: &mut FoldContext<'_>, data: &body::Project) -> Effect {
        match self.check_project_update(data, cx.now()) {
            Ok((mine, place)) => self.store_project(cx, data, mine, place),
            Err(refusal) => refusal.into(),
        }
    }

    fn store_project(&mut self, cx: &mut FoldContext<'_>, data: &body::Project, mine: u32, place: Place) -> Effect {
        // First of all: a new row of the table of ids points nowhere yet.
        let before = self.local_project(data.project.as_str()).1.cloned();
        let id = self.facts.local_projects.intern(0, data.project.as_str());
        let mut register = before.as_ref().map_or_else(Register::default, |local| local.register);
        let effect = cx.update(&mut register, Rank::Full, "project");
        let left = before.as_ref().map(|before| before.folder);
        let visibility_changed = match &before {
            Some(before) if before.visibility == data.visibility => before.visibility_changed,
            Some(_) => cx.position(),
            None => Position(0),
        };
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
            self.facts.note_former(Field::ProjectFolder, mine, left, cx.position());
        }
        let local = LocalProject { register, id, kind, visibility, visibility_changed, folder, creator };
        let row = self.claim_name(cx.position(), mine, &data.name, || Origin::Local(local.clone()));
        if let Some(slot) = self.facts.local_projects.get_mut(id) {
            *slot = row;
        }
        if let Some(project) = self.facts.projects.get_mut(row as usize) {
            project.origin = Origin::Local(local);
        }
        self.index.add_folder_project(row, folder);
        self.emit_project(cx, ProjectIx::recorded(row));
        effect
    }

    pub(crate) fn delete_project(&mut self, cx: &mut FoldContext<'_>, data: &body::ProjectRef) -> Effect {
        let row = match self.check_project_deletion(data, cx.now()) {
            Ok(row) => row,
            Err(refusal) => return refusal.into(),
        };
        let effect = match self.facts.projects.get_mut(row as usize).map(|row| &mut row.origin) {
            Some(Origin::Local(local)) => cx.update(&mut local.register, Rank::Removed, "project"),
            Some(Origin::Package(_)) | None => Effect::NoChange,
        };
        self.end_bindings(cx, self.index.scope_bindings.get(&RecordedScope::Project(row)).cloned().unwrap_or_default());
        self.emit_project(cx, ProjectIx::recorded(row));
        effect
    }
}
