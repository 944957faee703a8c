//! Packages and their projects: which package holds which project name. First come, first kept; names are labels.

use rollcall_events::{body, project_name_of};

use crate::{
    Change, Effect,
    facts::{Field, NONE, Project},
    fold::{At, micros},
    register::{Judgement, Rank},
    roster::Roster,
};

impl Roster {
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
            let name = match name {
                Ok(name) => name,
                Err(error) => return self.park(at, error.to_string()),
            };
            if let Err(holder) = self.claim_name(at, ix, name.as_str()) {
                return self.park(at, format!("name taken: project {name} belongs to package {holder}"));
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
            self.say_project(at, ix);
        }
        effect
    }

    /// Gives the package's project this name; first come, first kept. Who holds it, if somebody else does.
    fn claim_name(&mut self, at: &At<'_>, package: u32, name: &str) -> Result<(), String> {
        let facts = &mut self.facts;
        let mine = facts.packages.get(package).map_or(NONE, |row| row.project);
        let holder = facts.project_names.find(0, name).and_then(|ix| facts.project_names.get(ix));
        if let Some(holder) = holder.filter(|holder| **holder != mine) {
            let holder = facts.projects.get(*holder as usize).map_or(NONE, |row| row.package);
            let source = facts.sources.id(u32::from(facts.packages.names.space(holder)));
            return Err(format!("{} of source {source}", facts.packages.id(holder)));
        }
        let name = facts.project_names.at(0, name);
        let project = if mine == NONE { u32::try_from(facts.projects.len()).unwrap_or(NONE) } else { mine };
        if mine == NONE {
            facts.projects.push(Project { package, name, since: at.position() });
        } else if let Some(row) = facts.projects.get_mut(project as usize) {
            row.name = name;
        }
        if let Some(owner) = facts.project_names.get_mut(name) {
            *owner = project;
        }
        if let Some(row) = facts.packages.get_mut(package) {
            row.project = project;
        }
        Ok(())
    }

    pub(crate) fn say_project(&self, at: &mut At<'_>, package: u32) {
        let Some(row) = self.facts.packages.get(package).filter(|row| row.project != NONE) else { return };
        let project = crate::ProjectIx(row.project);
        let Ok(source) = self.source_text(self.facts.packages.names.space(package)).parse() else { return };
        at.changes.push(Change::ProjectNamed {
            source,
            package: self.facts.packages.id(package).into(),
            name: self.project_name(project).into(),
            archived: self.archived(project),
        });
    }
}
