//! Along what each kind of question goes to find its subjects: one caller on one scope, everybody in a project, everything
//! that a caller is in. What is visited on the way, `subjects` collects.

use std::collections::BTreeSet;

use crate::{
    effort::GivenUp,
    past::subjects::{Places, SubjectCollector},
    roster::facts::{Field, Holder, NONE, Origin, RecordedScope},
};

impl SubjectCollector<'_> {
    /// One caller on one project.
    pub(super) fn visit_caller_on(&mut self, holders: &BTreeSet<Holder>, places: &Places) -> Result<(), GivenUp> {
        self.add_bindings(holders, |on| places.scopes.contains(&on))?;
        let roster = self.roster;
        let packages: Vec<u32> = self.packages_of(places);
        let products: BTreeSet<u32> = packages.iter().flat_map(|package| self.products_of(*package)).collect();
        // All that were reached so far: the caller's, and the producer's, whose lines are few.
        let accounts = self.visited.accounts.clone();
        let mut lines = BTreeSet::new();
        for account in &accounts {
            for product in &products {
                lines.extend(roster.index.purchases.of((*account, *product)));
            }
        }
        let mut entitlements = self.assigned_entitlements(holders);
        if !roster.index.mentioned.is_empty() {
            // What was only mentioned is not among what was bought: the long way.
            entitlements.extend(accounts.iter().flat_map(|account| self.bought_by(*account)));
        }
        for entitlement in entitlements {
            lines.extend(self.lines_of(entitlement).filter(|line| self.is_line_for_any(*line, &products)));
        }
        for line in lines {
            self.visit_line(line)?;
        }
        Ok(())
    }

    fn packages_of(&self, places: &Places) -> Vec<u32> {
        let rows = places.projects.iter().filter_map(|project| self.roster.facts.projects.get(*project as usize));
        rows.filter_map(|row| match row.origin {
            Origin::Package(package) => Some(package),
            Origin::Local(_) => None,
        })
        .chain(places.packages.iter().copied())
        .collect()
    }

    /// The entitlements that these were ever assigned to.
    fn assigned_entitlements(&self, holders: &BTreeSet<Holder>) -> Vec<u32> {
        let persons = holders.iter().filter_map(|holder| match holder {
            Holder::Person(person) => self.roster.index.person_assignments.get(person),
            Holder::Service(_) | Holder::Group(_) => None,
        });
        let pairs = persons.flatten().filter_map(|ix| self.roster.facts.assignments.get(*ix as usize));
        pairs.map(|pair| pair.left).collect()
    }

    /// Everybody who was ever in, or near, these projects.
    pub(super) fn visit_everybody_in(&mut self, places: &Places) -> Result<(), GivenUp> {
        let roster = self.roster;
        let facts = &roster.facts;
        let mut people = BTreeSet::new();
        for package in self.packages_of(places) {
            if let Some(row) = facts.packages.get(package) {
                for producer in facts.ever_named(Field::PackageProducer, package, row.producer) {
                    let staff = self.people_below(producer)?.into_iter();
                    people.extend(staff.filter(|person| facts.permissions.contains_key(person)));
                }
            }
            for line in
                self.products_of(package).into_iter().flat_map(|product| self.lines_for(product)).collect::<Vec<_>>()
            {
                self.visit_line(line)?;
            }
        }
        for entitlement in self.visited.entitlements.clone() {
            let assigned = roster.index.entitlement_assignments.get(&entitlement).into_iter().flatten();
            people.extend(assigned.filter_map(|ix| facts.assignments.get(*ix as usize)).map(|pair| pair.right));
            let Some(row) = facts.entitlements.get(entitlement) else { continue };
            for buyer in facts.ever_named(Field::EntitlementAccount, entitlement, row.account) {
                people.extend(self.people_below(buyer)?);
            }
        }
        for ix in places.scopes.iter().filter_map(|on| roster.index.scope_bindings.get(on)).flatten() {
            let Some(row) = facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
            self.add_local(facts.bindings.id(*ix).to_owned())?;
            self.visit_members(row.holder, &mut people)?;
        }
        for person in people {
            self.visit_person(person)?;
        }
        Ok(())
    }

    /// A holder and everybody who was ever in it.
    fn visit_members(&mut self, first: Holder, people: &mut BTreeSet<u32>) -> Result<(), GivenUp> {
        let mut queue = vec![first];
        while let Some(holder) = queue.pop() {
            self.add_holder(holder)?;
            match holder {
                Holder::Person(person) => {
                    people.insert(person);
                }
                Holder::Service(_) => {}
                Holder::Group(group) if self.visited.groups.insert(group) => {
                    for ix in self.roster.index.group_members.get(&group).into_iter().flatten() {
                        queue.extend(self.add_membership(*ix)?.map(|(_, holder)| holder));
                    }
                }
                Holder::Group(_) => {}
            }
        }
        Ok(())
    }

    /// Everything that a caller was ever in, or near.
    pub(super) fn visit_everywhere(&mut self, holders: &BTreeSet<Holder>) -> Result<(), GivenUp> {
        let roster = self.roster;
        let facts = &roster.facts;
        let mut places = Places::default();
        let accounts = self.visited.accounts.clone();
        let mut entitlements: BTreeSet<u32> = self.assigned_entitlements(holders).into_iter().collect();
        let mut packages = BTreeSet::new();
        for account in &accounts {
            let made = roster.index.account_packages.of(*account);
            packages.extend(self.rows_referring_to(Field::PackageProducer, made, *account));
            entitlements.extend(self.bought_by(*account));
        }
        let lines: Vec<u32> = entitlements.into_iter().flat_map(|entitlement| self.lines_of(entitlement)).collect();
        for line in lines {
            self.visit_line(line)?;
        }
        for product in &self.visited.products {
            let mappings = roster.index.product_mappings.of(*product);
            packages.extend(mappings.iter().filter_map(|ix| facts.mappings.get(*ix as usize)).map(|pair| pair.left));
        }
        let project = |package: u32| facts.packages.get(package).map(|row| row.project).filter(|ix| *ix != NONE);
        let mut projects: BTreeSet<u32> = packages.into_iter().filter_map(project).collect();
        for on in self.add_bindings(holders, |_| true)? {
            match on {
                RecordedScope::Root => projects.extend(0..u32::try_from(facts.projects.len()).unwrap_or(NONE)),
                RecordedScope::Project(project) => {
                    projects.insert(project);
                }
                RecordedScope::Folder(folder) => projects.extend(self.projects_ever_in(folder, &mut places)?),
            }
        }
        for project in projects {
            self.visit_project(project, &mut places)?;
        }
        Ok(())
    }

    /// Every project that was ever in a folder, to any depth.
    fn projects_ever_in(&mut self, first: u32, places: &mut Places) -> Result<BTreeSet<u32>, GivenUp> {
        let (mut found, mut seen, mut queue) = (BTreeSet::new(), BTreeSet::new(), vec![first]);
        while let Some(folder) = queue.pop() {
            if !seen.insert(folder) {
                continue;
            }
            self.visit_folder(folder, places)?;
            queue.extend(self.roster.index.folder_children.get(&folder).into_iter().flatten());
            found.extend(self.roster.index.folder_projects.get(&folder).into_iter().flatten());
        }
        Ok(found)
    }
}
