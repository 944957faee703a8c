//! Packages, and the projects that they have: first come, first kept; a second claimant of a name is parked.

use rollcall_events::{Position, body, project_name_of};

use crate::{
    fold::{
        change::{Change, Effect},
        context::FoldContext,
    },
    roster::{
        Roster,
        facts::{Field, NONE, Origin, Project, micros},
        handles::ProjectIx,
        register::{Precedence, Rank},
    },
};

impl Roster {
    pub(crate) fn upsert_package(&mut self, cx: &mut FoldContext<'_>, data: &body::Package) -> Effect {
        let ix = self.facts.packages.intern(cx.space, data.package.as_str());
        let rank = if data.container_delivery { Rank::Full } else { Rank::Lesser };
        let Some(row) = self.facts.packages.get(ix) else { return Effect::NoChange };
        let (takes, mine) = (row.register.compare(cx.claim, rank) == Precedence::Wins, row.project);
        let project_name = || match &data.project_name {
            Some(name) => name.parse(),
            None => project_name_of(data.name.as_deref().unwrap_or(data.package.as_str())),
        };
        if !takes
            && data.container_delivery
            && let Ok(name) = project_name()
        {
            self.keep_name(ix, name.as_str());
        }
        if takes && data.container_delivery {
            let name: rollcall_events::ProjectName = match project_name() {
                Ok(name) => name,
                Err(error) => return self.park(cx, error.to_string()),
            };
            if let Err(holder) = self.name_is_free(mine, name.as_str()) {
                let (package, taken) = (&data.package, format!("name taken: project {name} belongs to {holder}"));
                let what = format!("{taken}; package {package} needs another project_name");
                return self.park_for(cx, what, Some(name.as_str()));
            }
            let project = self.claim_name(cx.position(), mine, name.as_str(), || Origin::Package(ix));
            if let Some(row) = self.facts.packages.get_mut(ix) {
                row.project = project;
            }
            for name in self.facts.earlier_names.remove(&ix).into_iter().flatten() {
                self.keep_name(ix, &name);
            }
        }
        let producer = self.facts.accounts.intern(cx.space, data.producer.as_str());
        let Some(row) = self.facts.packages.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, rank, "package");
        if effect == Effect::Applied {
            row.delivery = data.container_delivery;
            row.from = micros(data.effective_from, i64::MIN);
            row.until = micros(data.effective_until, i64::MAX);
            self.set_reference(Field::PackageProducer, ix, producer);
            self.fast_path.update_package(&self.facts, &self.index, ix);
            self.emit_package(cx, ix);
        }
        self.note_mention(&effect, Field::PackageProducer, ix, producer);
        effect
    }

    /// A name that a package had before it had the present one: it finds the project whenever it was said, unless somebody
    /// else has it. Of a package without a project it waits for that.
    fn keep_name(&mut self, package: u32, name: &str) {
        let Some(project) = self.facts.packages.get(package).map(|row| row.project) else { return };
        if project == NONE {
            self.facts.earlier_names.entry(package).or_default().insert(name.to_owned());
        } else if self.name_is_free(project, name).is_ok() {
            self.own_name(project, name);
        }
    }

    /// A name finds a project from here on. The name's row.
    fn own_name(&mut self, project: u32, name: &str) -> u32 {
        let facts = &mut self.facts;
        let known = facts.project_names.find(0, name).and_then(|ix| facts.project_names.get(ix)).copied();
        let name = facts.project_names.intern(0, name);
        if let Some(owner) = facts.project_names.get_mut(name).filter(|_| known != Some(project)) {
            *owner = project;
            self.index.project_names.push(project, name);
        }
        name
    }

    /// Gives a project a name that is free, and makes the project where there is none yet. The project's row.
    pub(crate) fn claim_name(
        &mut self,
        position: Position,
        mine: u32,
        name: &str,
        origin: impl FnOnce() -> Origin,
    ) -> u32 {
        let project = if mine == NONE { u32::try_from(self.facts.projects.len()).unwrap_or(NONE) } else { mine };
        let name = self.own_name(project, name);
        if mine == NONE {
            self.facts.projects.push(Project { origin: origin(), name, since: position });
        } else if let Some(row) = self.facts.projects.get_mut(project as usize) {
            row.name = name;
        }
        project
    }

    /// Says the name and state of a package's project.
    pub(crate) fn emit_package(&self, cx: &mut FoldContext<'_>, package: u32) {
        if let Some(row) = self.facts.packages.get(package).filter(|row| row.project != NONE) {
            self.emit_project(cx, ProjectIx::recorded(row.project));
        }
    }

    pub(crate) fn emit_project(&self, cx: &mut FoldContext<'_>, project: ProjectIx) {
        let (source, id) = match self.project_row(project).map(|row| &row.origin) {
            Some(Origin::Package(package)) => {
                let names = &self.facts.packages.names;
                (self.source_text(names.space(*package)), names.text(*package))
            }
            Some(Origin::Local(local)) => (rollcall_events::LOCAL, self.facts.local_projects.id(local.id)),
            None => return,
        };
        let Ok(source) = source.parse() else { return };
        cx.changes.push(Change::ProjectNamed {
            source,
            package: id.into(),
            name: self.project_name(project).into(),
            archived: self.archived(project),
        });
    }
}
