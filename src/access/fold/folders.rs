//! Folders: set and removed.

use rollcall_events::body;

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Field, Folder, MadeThing, NONE, RecordedScope},
        register::{Rank, Register},
    },
};

impl Roster {
    pub(crate) fn set_folder(&mut self, cx: &mut FoldContext<'_>, data: &body::Folder) -> Effect {
        let parent = match self.check_folder(data, cx.now()) {
            Ok(parent) => parent,
            Err(refusal) => return refusal.into(),
        };
        let ix = self.facts.folders.intern(0, data.folder.as_str());
        let Some(slot) = self.facts.folders.get_mut(ix) else { return Effect::NoChange };
        let before = slot.as_ref().map_or(NONE, |row| row.parent);
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let stood = register.stands();
        let effect = cx.update(&mut register, Rank::Full, "folder");
        *slot = Some(Folder { register, kind: data.kind.to_string(), parent, name: data.name.clone() });
        if before != parent {
            self.facts.note_former(Field::FolderParent, ix, before, cx.position());
        }
        self.index.add_child_folder(ix, parent);
        self.note_made_with(MadeThing::Folder(ix), data.made_with.as_ref(), stood);
        // What may be given on it hangs on its kind.
        for binding in self.index.scope_bindings.get(&RecordedScope::Folder(ix)).cloned().unwrap_or_default() {
            let role = self.facts.bindings.get(binding).and_then(|row| self.binding_role(row.as_ref()?));
            if let Some(slot) = self.roles.get_or_grow(binding as usize, &None) {
                *slot = role;
            }
        }
        effect
    }

    pub(crate) fn remove_folder(&mut self, cx: &mut FoldContext<'_>, data: &body::FolderRef) -> Effect {
        match self.check_folder_removal(data, cx.now()) {
            Ok(ix) => match self.facts.folders.get_mut(ix).and_then(Option::as_mut) {
                Some(row) => cx.update(&mut row.register, Rank::Removed, "folder"),
                None => Effect::NoChange,
            },
            Err(refusal) => refusal.into(),
        }
    }
}
