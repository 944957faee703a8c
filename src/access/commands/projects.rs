//! Whether a project may be made, changed or deleted: its name is free, its kind can be seen like that, its folder is
//! there.

use chrono::{DateTime, Utc};
use rollcall_events::{
    ProjectName,
    body::{self, ProjectKind},
};

use crate::{
    commands::{
        authority::Authority,
        check_id,
        refusal::{Refusal, RefusalKind, missing},
    },
    roster::{
        Roster,
        facts::NONE,
        handles::{FolderIx, Place, ProjectIx},
    },
};

impl Roster {
    pub(crate) fn check_project_creation(
        &self,
        data: &body::Project,
        now: DateTime<Utc>,
    ) -> Result<(u32, Place), Refusal> {
        let (mine, local) = self.local_project(data.project.as_str());
        if local.is_some_and(|local| local.register.stands()) {
            return Err(RefusalKind::Taken.because(format!("there is a project `{}` already", data.project)));
        }
        let place = self.check_project(data, mine)?;
        // A slice need not know who it was.
        if let Some(creator) = &data.creator
            && !self.mode.trusts_commands()
            && self.person_of(creator.as_str()).is_none()
        {
            return Err(missing("user", creator.as_str()));
        }
        let authority = self.authorize(data.author.as_ref(), "project.create", place, now)?;
        self.check_not_reserved(authority, mine, &data.name)?;
        // Its content is there still: whoever may make projects may not take over one that was deleted.
        if local.is_some()
            && authority != Authority::Operator
            && !self.could_if_open(
                data.author.as_ref(),
                "project.delete",
                Place::Project(ProjectIx::recorded(mine)),
                now,
            )?
        {
            return Err(RefusalKind::Taken.because(format!(
                "there was a project `{}`; an administrator, or who could delete it, can make it again",
                data.project
            )));
        }
        Ok((mine, place))
    }

    pub(crate) fn check_project_update(
        &self,
        data: &body::Project,
        now: DateTime<Utc>,
    ) -> Result<(u32, Place), Refusal> {
        let (mine, local) = self.local_project(data.project.as_str());
        let local = local.filter(|local| local.register.stands());
        let local = local.ok_or_else(|| missing("project", data.project.as_str()))?;
        if local.kind != data.kind {
            return Err(RefusalKind::Invalid.because("a project keeps its kind"));
        }
        let place = self.check_project(data, mine)?;
        let project = Place::Project(ProjectIx::recorded(mine));
        let authority = self.authorize(data.author.as_ref(), "project.update", project, now)?;
        self.check_not_reserved(authority, mine, &data.name)?;
        if local.visibility != data.visibility {
            self.authorize(data.author.as_ref(), "visibility.set", project, now)?;
        }
        let before = if local.folder == NONE { Place::Root } else { Place::Folder(FolderIx(local.folder)) };
        if before != place {
            // Whose it is follows from where it is.
            self.authorize(data.author.as_ref(), "binding.set", project, now)?;
            self.authorize(data.author.as_ref(), "project.create", place, now)?;
        }
        Ok((mine, place))
    }

    pub(crate) fn check_project_deletion(&self, data: &body::ProjectRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let (mine, local) = self.local_project(data.project.as_str());
        let local = local.filter(|local| local.register.stands());
        let local = local.ok_or_else(|| missing("project", data.project.as_str()))?;
        if local.kind == ProjectKind::Global && self.profile.kind(ProjectKind::Global).is_some() {
            return Err(RefusalKind::Invalid.because("the global project stays as long as the profile has one"));
        }
        self.authorize(data.author.as_ref(), "project.delete", Place::Project(ProjectIx::recorded(mine)), now)?;
        Ok(mine)
    }

    /// What the state of a project may be, whoever states it.
    fn check_project(&self, data: &body::Project, mine: u32) -> Result<Place, Refusal> {
        let name: ProjectName = data
            .name
            .parse()
            .map_err(|error: rollcall_events::InvalidName| RefusalKind::Invalid.because(error.to_string()))?;
        check_id("project", data.project.as_str())?;
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
        self.resolve_parent(data.folder.as_ref())
    }

    /// Names that are kept for packages only the operator gives to another project; what a project has or had stays its
    /// own.
    fn check_not_reserved(&self, authority: Authority, mine: u32, name: &str) -> Result<(), Refusal> {
        let known = self.facts.project_names.find(0, name).and_then(|ix| self.facts.project_names.get(ix));
        if authority == Authority::Operator || (mine != NONE && known == Some(&mine)) {
            return Ok(());
        }
        match self.settings.reserved_names.iter().find(|pattern| matches_pattern(pattern, name)) {
            Some(pattern) => Err(RefusalKind::Taken
                .because(format!("name reserved: project {name} is one of `{pattern}`, kept for packages"))),
            None => Ok(()),
        }
    }
}

/// Whether a name is one of a pattern, in which `*` stands for any characters.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let Some((middle, last)) = rest.rsplit_once('*') else { return left.ends_with(rest) };
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

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
            assert!(good.iter().all(|name| matches_pattern(pattern, name)), "{pattern}");
            assert!(!bad.iter().any(|name| matches_pattern(pattern, name)), "{pattern}");
        }
    }
}
