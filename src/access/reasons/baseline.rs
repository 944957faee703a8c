//! What a caller has without a role: the rows of the profile that hold here, and those that held until the project was
//! made otherwise visible, a switch was turned, or the caller or the place ended.

use chrono::{DateTime, Utc};
use rollcall_events::{LOCAL, Position, body::Visibility};

use super::{Cause, Obstacle, PathSearch, Reason, Rule, Standing, each_once, obstacle};
use crate::{
    profile::{ActionSet, BaselineDocument, PseudoPrincipal},
    roster::{
        Roster,
        facts::Origin,
        handles::{Place, Principal, ProfileKind, ProjectIx, ServiceIx},
    },
};

/// A row of the profile for this caller, with what stands in its way.
pub(crate) struct BaselinePath {
    pub(crate) reason: Reason,
    pub(crate) obstacles: Vec<Obstacle>,
}

/// The word for a visibility.
pub(crate) fn visibility_name(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Private => "private",
        Visibility::Protected => "protected",
        Visibility::Public => "public",
    }
}

impl Roster {
    /// What a caller has, or had, of `actions` on a place without a role.
    pub(crate) fn baseline_paths(
        &self,
        caller: Principal,
        place: Place,
        actions: ActionSet,
        now: DateTime<Utc>,
    ) -> Vec<BaselinePath> {
        let Some(resource) = self.resource(ProfileKind::Access, place, caller) else { return Vec::new() };
        let search = PathSearch::new(self, place, now);
        let seen_as =
            if caller == Principal::Anyone { PseudoPrincipal::Anyone } else { PseudoPrincipal::Authenticated };
        let ways = search.baseline_ways(caller);
        if ways.iter().any(Vec::is_empty) && self.admitted(caller, now.timestamp_micros()).is_none() {
            return Vec::new();
        }
        let visibility = search.visibility_register();
        let mut found = Vec::new();
        for (n, row, mask) in self.profile.baseline_rows(seen_as, resource.level) {
            let given = mask.intersection(actions);
            if given.is_empty() {
                continue;
            }
            let mut obstacles = Vec::new();
            let mut facts = search.baseline_causes(caller);
            if let Some(wanted) = row.visibility
                && resource.visibility != Some(wanted)
            {
                // Where it never was otherwise, nothing ended.
                let Some((cause, changed)) = visibility.clone().filter(|(_, changed)| changed.0 > 0) else {
                    continue;
                };
                let is = resource.visibility.map_or("no project", visibility_name);
                let (text, remedy) = (format!("it is {is}"), format!("it is {}", visibility_name(wanted)));
                let cause = Cause { position: changed, ..cause };
                obstacles.push(obstacle(Standing::Ended, text, remedy, Some(cause)));
            }
            let unmet = self.profile.unmet(&row.when, self.switches());
            let turned: Option<Vec<Obstacle>> = unmet.iter().map(|name| search.switch_obstacle(name, row)).collect();
            let Some(turned) = turned else { continue };
            obstacles.extend(turned);
            facts.extend(row.when.keys().filter_map(|name| self.setting_cause(&format!("switches.{name}"))));
            let reason = self.baseline_reason(n, row, given, facts);
            found.extend(ways.iter().map(|way| BaselinePath {
                reason: reason.clone(),
                obstacles: way.iter().chain(&obstacles).cloned().collect(),
            }));
        }
        found
    }

    fn baseline_reason(&self, n: usize, row: &BaselineDocument, given: ActionSet, facts: Vec<Cause>) -> Reason {
        let (role, whom) = match row.principal {
            PseudoPrincipal::Anyone => ("anyone", "everybody"),
            PseudoPrincipal::Authenticated => ("authenticated", "everybody who is signed in"),
        };
        let mut on = Vec::new();
        on.extend(row.visibility.map(|visibility| format!("on {} projects", visibility_name(visibility))));
        on.extend(row.level.as_ref().map(|level| format!("at level {level}")));
        on.extend(row.when.iter().map(|(switch, says)| format!("while {switch} is {says}")));
        let text = format!("{whom} may {} {}", self.profile.names(given).join(", "), on.join(", "));
        Reason {
            rule: Rule::Baseline,
            role: role.into(),
            name: format!("{}/baseline[{n}]", self.profile.document().name),
            text: text.trim_end().into(),
            facts,
            until: None,
        }
    }
}

impl PathSearch<'_> {
    /// What keeps a caller from everything here, role or not: by its own persons, and by each that it was linked with
    /// and that would let it in.
    fn baseline_ways(&self, caller: Principal) -> Vec<Vec<Obstacle>> {
        let roster = self.roster;
        let mut own = self.common.clone();
        let mut ways = Vec::new();
        match caller {
            Principal::User(user) | Principal::Limited(user, _) if roster.shut_out(user) => {
                for person in roster.persons_of(user) {
                    own.extend(self.person_obstacles(user, *person));
                }
                let parted = roster.formerly_linked(user);
                let parted = parted.iter().filter_map(|parted| self.formerly_let_in(parted));
                ways.extend(parted.map(|parted| self.common.iter().cloned().chain([parted]).collect()));
            }
            Principal::Anyone | Principal::User(_) | Principal::Limited(..) => {}
            Principal::Service(ServiceIx(ix)) => own.extend(self.service_obstacles(ix)),
        }
        ways.insert(0, each_once(own));
        ways
    }

    /// What says that the place is there.
    pub(crate) fn place_causes(&self) -> Vec<Cause> {
        let roster = self.roster;
        let mut found: Vec<Cause> = self.visibility_register().map(|(cause, _)| cause).into_iter().collect();
        match self.place {
            Place::Folder(folder) => {
                let view = roster.folder(folder);
                let subject = format!("folder/{}", view.id);
                found.push(Cause { position: view.changed, source: LOCAL.to_owned(), subject });
            }
            Place::Project(ProjectIx::Personal(owner)) => {
                found.extend(self.owner_causes(owner));
                found.extend(roster.link_causes(owner));
            }
            Place::Root | Place::Project(_) => {}
        }
        found.retain(|cause| cause.position != Position(0));
        roster.add_suspensions(&mut found);
        found
    }

    /// What says that the place and the caller are there.
    fn baseline_causes(&self, caller: Principal) -> Vec<Cause> {
        let roster = self.roster;
        let mut found = self.place_causes();
        match caller {
            Principal::Anyone => {}
            Principal::User(user) | Principal::Limited(user, _) => {
                let persons = roster.persons_of(user).iter().map(|person| self.person_cause(*person));
                let more: Vec<Cause> =
                    persons.chain(roster.link_causes(user)).filter(|cause| !found.contains(cause)).collect();
                found.extend(more);
            }
            Principal::Service(ServiceIx(ix)) => found.extend(self.service_cause(ix)),
        }
        found.retain(|cause| cause.position != Position(0));
        roster.add_suspensions(&mut found);
        found
    }

    /// The event that says how visible the project is, and where that was changed last.
    fn visibility_register(&self) -> Option<(Cause, Position)> {
        let Place::Project(project) = self.place else { return None };
        let facts = &self.roster.facts;
        match &self.roster.project_row(project)?.origin {
            Origin::Local(local) => {
                let position = local.register.cause;
                let subject = format!("project/{}", facts.local_projects.id(local.id));
                Some((Cause { position, source: LOCAL.to_owned(), subject }, local.visibility_changed))
            }
            Origin::Package(package) => {
                let names = &facts.packages.names;
                let register = facts.packages.get(*package)?.register;
                let subject = format!("package/{}", names.text(*package));
                Some((self.roster.cause(names.space(*package), subject, &register), Position(0)))
            }
        }
    }

    /// A switch that was turned away from what a row wants; nothing where it never said anything else.
    fn switch_obstacle(&self, name: &str, row: &BaselineDocument) -> Option<Obstacle> {
        let cause = self.roster.setting_cause(&format!("switches.{name}"))?;
        let says = self.roster.profile.switch_says(name, self.roster.switches())?;
        let wanted = row.when.get(name)?;
        let (text, remedy) = (format!("switch {name} is {says}"), format!("switch {name} is {wanted}"));
        Some(obstacle(Standing::Ended, text, remedy, Some(cause)))
    }
}
