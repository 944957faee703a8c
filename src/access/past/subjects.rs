//! Which subjects a question about the past depends on, found in a roster that forgets no row and keeps former
//! references: everything that could matter now or at any earlier position.
//!
//! A subject too many costs a look-up; one too few would be a wrong answer, so every step goes along all that ever was.

use std::collections::BTreeSet;

use rollcall_events::{
    LOCAL,
    body::{EventData as _, Link, pair_subject, username_subject},
    names::{CallerReference, ProjectReference, canonical_name},
};

use crate::{
    effort::{Effort, GivenUp},
    fold::names::MOST_NUMBERED,
    past::slice::{Basis, PastQuestion, ScopeName, Subject},
    roster::{
        Roster,
        facts::{Field, Holder, NONE, Origin, RecordedScope},
        handles::{ProjectIx, RecordedIx},
    },
};

impl Roster {
    /// Every subject that could matter to a question about now or any earlier position: more than needed, never less.
    ///
    /// # Errors
    /// It was given up half way.
    pub fn relevant_subjects(
        &self,
        about: PastQuestion<'_>,
        basis: Basis,
        effort: &Effort<'_>,
    ) -> Result<BTreeSet<Subject>, GivenUp> {
        let (subjects, visited) = (BTreeSet::new(), Visited::default());
        let assigned = match (about, basis) {
            (PastQuestion::Access { .. } | PastQuestion::User(_), Basis::Recorded) => Assigned::Caller,
            // Of the events that narrowed an entitlement the first may be of later than is asked about.
            (PastQuestion::Members(_), _) | (_, Basis::Effective) => Assigned::Everybody,
        };
        let mut collector = SubjectCollector { roster: self, subjects, visited, assigned, effort };
        collector.add_always_relevant()?;
        match about {
            PastQuestion::Access { user, scope } => {
                let places = collector.resolve_scope(scope)?;
                if let Some(user) = user {
                    let holders = collector.resolve_callers(user)?;
                    collector.visit_caller_on(&holders, &places)?;
                }
            }
            PastQuestion::Members(project) => {
                let places = collector.resolve_project(project)?;
                collector.visit_everybody_in(&places)?;
            }
            PastQuestion::User(user) => {
                let holders = collector.resolve_callers(user)?;
                collector.visit_everywhere(&holders)?;
            }
        }
        Ok(collector.subjects)
    }
}

/// What was gone into already, by row.
#[derive(Default)]
pub(super) struct Visited {
    persons: BTreeSet<u32>,
    names: BTreeSet<u32>,
    pub accounts: BTreeSet<u32>,
    pub entitlements: BTreeSet<u32>,
    lines: BTreeSet<u32>,
    pub products: BTreeSet<u32>,
    packages: BTreeSet<u32>,
    folders: BTreeSet<u32>,
    projects: BTreeSet<u32>,
    /// Upwards.
    holders: BTreeSet<Holder>,
    /// Downwards.
    pub groups: BTreeSet<u32>,
}

/// The projects that a name ever meant, and the scopes that they were ever below.
#[derive(Default)]
pub(super) struct Places {
    pub projects: BTreeSet<u32>,
    /// Packages that never came to a project.
    pub packages: BTreeSet<u32>,
    pub scopes: BTreeSet<RecordedScope>,
}

/// Whose assignments to an entitlement matter.
#[derive(Clone, Copy)]
enum Assigned {
    /// The caller's, and the first of all, which narrowed it.
    Caller,
    /// Of all who ever were.
    Everybody,
}

pub(super) struct SubjectCollector<'a> {
    pub roster: &'a Roster,
    subjects: BTreeSet<Subject>,
    pub visited: Visited,
    assigned: Assigned,
    pub effort: &'a Effort<'a>,
}

impl SubjectCollector<'_> {
    fn add(&mut self, space: u16, subject: String) -> Result<(), GivenUp> {
        self.effort.step()?;
        self.subjects.insert((self.roster.source_text(space).to_owned(), subject));
        Ok(())
    }

    /// Rows that refer to this one, or did, or were said to.
    pub(super) fn rows_referring_to<'r>(
        &'r self,
        field: Field,
        list: &'r [u32],
        to: u32,
    ) -> impl Iterator<Item = u32> + 'r {
        let mentioned = self.roster.index.mentioned.get(&(field, to));
        list.iter().chain(mentioned.into_iter().flatten()).copied()
    }

    /// An account and everything that was ever below it.
    fn accounts_ever_below(&self, first: u32) -> Result<BTreeSet<u32>, GivenUp> {
        let (mut found, mut queue) = (BTreeSet::new(), vec![first]);
        while let Some(account) = queue.pop() {
            if found.insert(account) {
                self.effort.step()?;
                let children = self.roster.index.account_children.of(account);
                queue.extend(self.rows_referring_to(Field::AccountParent, children, account));
            }
        }
        Ok(found)
    }

    /// The people who were ever in an account or below it.
    pub(super) fn people_below(&self, account: u32) -> Result<BTreeSet<u32>, GivenUp> {
        let mut people = BTreeSet::new();
        for account in self.accounts_ever_below(account)? {
            let list = self.roster.index.account_people.of(account);
            for person in self.rows_referring_to(Field::PersonAccount, list, account) {
                self.effort.step()?;
                people.insert(person);
            }
        }
        Ok(people)
    }

    pub(super) fn lines_of(&self, entitlement: u32) -> impl Iterator<Item = u32> + '_ {
        self.rows_referring_to(Field::LineEntitlement, self.roster.index.entitlement_lines.of(entitlement), entitlement)
    }

    pub(super) fn lines_for(&self, product: u32) -> Vec<u32> {
        self.rows_referring_to(Field::LineProduct, self.roster.index.product_lines.of(product), product).collect()
    }

    pub(super) fn bought_by(&self, account: u32) -> impl Iterator<Item = u32> + '_ {
        self.rows_referring_to(Field::EntitlementAccount, self.roster.index.account_entitlements.of(account), account)
    }

    pub(super) fn is_line_for_any(&self, line: u32, products: &BTreeSet<u32>) -> bool {
        let facts = &self.roster.facts;
        facts.lines.get(line).is_some_and(|row| {
            facts.ever_named(Field::LineProduct, line, row.product).any(|product| products.contains(&product))
        })
    }

    pub(super) fn add_local(&mut self, subject: String) -> Result<(), GivenUp> {
        self.effort.step()?;
        self.subjects.insert((LOCAL.to_owned(), subject));
        Ok(())
    }

    /// What every answer depends on.
    fn add_always_relevant(&mut self) -> Result<(), GivenUp> {
        self.add_local("settings".to_owned())?;
        self.add_local("profile".to_owned())?;
        let facts = &self.roster.facts;
        for space in facts.retired.keys().chain(facts.suspensions.keys()) {
            self.add_local(format!("source/{}", self.roster.source_text(*space)))?;
        }
        Ok(())
    }

    /// A person with every person that it was ever linked to, and what each was ever called, permitted and in.
    pub(super) fn visit_person(&mut self, first: u32) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(person) = queue.pop() {
            if !self.visited.persons.insert(person) {
                continue;
            }
            let Some(row) = facts.persons.get(person) else { continue };
            let (space, id) = (facts.persons.names.space(person), facts.persons.id(person));
            self.visit_name_rivals(person)?;
            if facts.permissions.contains_key(&person) {
                self.add(space, pair_subject("permission", id, "view_and_manage_download_packages"))?;
            }
            for account in facts.ever_named(Field::PersonAccount, person, row.account) {
                self.visit_account(account)?;
            }
            queue.extend(self.add_links_of(person)?);
        }
        Ok(())
    }

    /// The links that a person ever had, and with whom.
    fn add_links_of(&mut self, person: u32) -> Result<Vec<u32>, GivenUp> {
        let mut others = Vec::new();
        for link in self.roster.index.person_links.get(&person).into_iter().flatten() {
            let Some(pair) = self.roster.facts.links.get(*link as usize) else { continue };
            if let (Some(a), Some(b)) = (self.roster.source_person(pair.left), self.roster.source_person(pair.right)) {
                let link = Link { persons: [a, b], rule: None, author: None, made_with: None, given_since: None };
                self.add_local(link.subject())?;
            }
            others.extend([pair.left, pair.right].into_iter().filter(|one| *one != person));
        }
        Ok(others)
    }

    /// Everybody with whom some were ever one user: which of a user's persons has a name that the user was given depends on them.
    fn ever_one_with(&mut self, mut queue: Vec<u32>) -> Result<BTreeSet<u32>, GivenUp> {
        let mut all = BTreeSet::new();
        while let Some(person) = queue.pop() {
            if all.insert(person) {
                queue.extend(self.add_links_of(person)?);
            }
        }
        Ok(all)
    }

    /// A person's own events, and those of whoever had the names that it might have had: `x~source` is somebody who asked
    /// for `x` when `x` was taken, and a name may have been given to another.
    fn visit_name_rivals(&mut self, first: u32) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(person) = queue.pop() {
            if !self.visited.names.insert(person) {
                continue;
            }
            let Some(row) = facts.persons.get(person) else { continue };
            self.add(facts.persons.names.space(person), format!("person/{}", facts.persons.id(person)))?;
            for name in facts.ever_named(Field::PersonName, person, row.name) {
                let text = facts.user_names.id(name);
                let shorter = text.match_indices('~').filter_map(|(end, _)| facts.user_names.find(0, text.get(..end)?));
                for name in std::iter::once(name).chain(shorter).chain(Self::other_numbers(self.roster, text)) {
                    if facts.name_holders.contains_key(&name) {
                        self.add_local(username_subject(facts.user_names.id(name)))?;
                        let rivals = self.ever_asked_for(name).collect();
                        queue.extend(self.ever_one_with(rivals)?);
                    }
                    queue.extend(self.ever_asked_for(name));
                }
            }
        }
        Ok(())
    }

    /// The names that a person who has this one was not given, as they were taken: those of other numbers.
    fn other_numbers<'r>(roster: &'r Roster, text: &'r str) -> impl Iterator<Item = u32> + use<'r> {
        let names = &roster.facts.user_names;
        let told_apart = text.match_indices('~').skip(1).filter_map(|(end, _)| text.get(..end));
        told_apart.flat_map(move |base| (2..=MOST_NUMBERED).filter_map(move |n| names.find(0, &format!("{base}~{n}"))))
    }

    /// An account and all that were ever above it.
    fn visit_account(&mut self, first: u32) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(account) = queue.pop() {
            if !self.visited.accounts.insert(account) {
                continue;
            }
            let Some(row) = facts.accounts.get(account) else { continue };
            self.add(facts.accounts.names.space(account), format!("account/{}", facts.accounts.id(account)))?;
            queue.extend(facts.ever_named(Field::AccountParent, account, row.parent));
        }
        Ok(())
    }

    fn visit_entitlement(&mut self, entitlement: u32) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        if !self.visited.entitlements.insert(entitlement) {
            return Ok(());
        }
        let Some(row) = facts.entitlements.get(entitlement) else { return Ok(()) };
        let (space, id) = (facts.entitlements.names.space(entitlement), facts.entitlements.id(entitlement));
        self.add(space, format!("entitlement/{id}"))?;
        for account in facts.ever_named(Field::EntitlementAccount, entitlement, row.account) {
            self.visit_account(account)?;
        }
        let index = &self.roster.index;
        let all = index.entitlement_assignments.get(&entitlement).map(Vec::as_slice).unwrap_or_default();
        let assigned = match self.assigned {
            Assigned::Everybody => all.to_vec(),
            Assigned::Caller => {
                let own =
                    self.visited.persons.iter().filter_map(|person| index.assignment.get(&(entitlement, *person)));
                all.first().into_iter().chain(own).copied().collect()
            }
        };
        for pair in assigned.into_iter().filter_map(|ix| facts.assignments.get(ix as usize)) {
            self.add(space, pair_subject("entitlement_person", id, facts.persons.id(pair.right)))?;
        }
        Ok(())
    }

    /// A line with everything that it was ever of and for.
    pub(super) fn visit_line(&mut self, line: u32) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        if !self.visited.lines.insert(line) {
            return Ok(());
        }
        let Some(row) = facts.lines.get(line) else { return Ok(()) };
        self.add(facts.lines.names.space(line), format!("line/{}", facts.lines.id(line)))?;
        for entitlement in facts.ever_named(Field::LineEntitlement, line, row.entitlement) {
            self.visit_entitlement(entitlement)?;
        }
        for product in facts.ever_named(Field::LineProduct, line, row.product) {
            self.visit_product(product)?;
        }
        Ok(())
    }

    fn visit_product(&mut self, product: u32) -> Result<(), GivenUp> {
        let names = &self.roster.facts.products.names;
        if self.visited.products.insert(product) {
            self.add(names.space(product), format!("product/{}", names.text(product)))?;
        }
        Ok(())
    }

    /// A package with whoever ever produced it and whatever was ever in it.
    fn visit_package(&mut self, package: u32) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        if !self.visited.packages.insert(package) {
            return Ok(());
        }
        let Some(row) = facts.packages.get(package) else { return Ok(()) };
        let (space, id) = (facts.packages.names.space(package), facts.packages.id(package));
        self.add(space, format!("package/{id}"))?;
        for producer in facts.ever_named(Field::PackageProducer, package, row.producer) {
            self.visit_account(producer)?;
        }
        for product in self.products_of(package) {
            self.add(space, pair_subject("package_product", id, facts.products.id(product)))?;
            self.visit_product(product)?;
        }
        Ok(())
    }

    /// Every product that was ever in a package.
    pub(super) fn products_of(&self, package: u32) -> Vec<u32> {
        let mappings = self.roster.index.package_mappings.of(package);
        mappings.iter().filter_map(|ix| self.roster.facts.mappings.get(*ix as usize)).map(|pair| pair.right).collect()
    }

    /// A folder and all that were ever above it.
    pub(super) fn visit_folder(&mut self, first: u32, places: &mut Places) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(folder) = queue.pop() {
            if !places.scopes.insert(RecordedScope::Folder(folder)) {
                continue;
            }
            if self.visited.folders.insert(folder) {
                self.add_local(format!("folder/{}", facts.folders.id(folder)))?;
            }
            let parent = facts.folders.get(folder).and_then(Option::as_ref).map_or(NONE, |row| row.parent);
            queue.extend(facts.ever_named(Field::FolderParent, folder, parent));
        }
        Ok(())
    }

    /// A project, what it comes from, and every scope that it was ever below.
    pub(super) fn visit_project(&mut self, project: u32, places: &mut Places) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        places.projects.insert(project);
        places.scopes.extend([RecordedScope::Project(project), RecordedScope::Root]);
        let Some(row) = facts.projects.get(project as usize) else { return Ok(()) };
        if self.visited.projects.insert(project) {
            match &row.origin {
                Origin::Package(package) => self.visit_package(*package),
                Origin::Local(local) => self.add_local(format!("project/{}", facts.local_projects.id(local.id))),
            }?;
        }
        if let Origin::Local(local) = &row.origin {
            for folder in facts.ever_named(Field::ProjectFolder, project, local.folder) {
                self.visit_folder(folder, places)?;
            }
        }
        Ok(())
    }

    /// What a scope's name ever meant.
    fn resolve_scope(&mut self, scope: ScopeName<'_>) -> Result<Places, GivenUp> {
        let mut places = Places { scopes: [RecordedScope::Root].into(), ..Places::default() };
        match scope {
            ScopeName::Root => {}
            ScopeName::Folder(id) => {
                if let Some(folder) = self.roster.facts.folders.find(0, id) {
                    self.visit_folder(folder, &mut places)?;
                }
            }
            ScopeName::Project(name) => places = self.resolve_project(name)?,
        }
        Ok(places)
    }

    /// What a project's name or id ever meant: a project, or somebody's own.
    fn resolve_project(&mut self, name: &str) -> Result<Places, GivenUp> {
        let roster = self.roster;
        let facts = &roster.facts;
        let mut places = Places { scopes: [RecordedScope::Root].into(), ..Places::default() };
        let (found, owners) = match (ProjectReference::of(name), name.strip_prefix("personal/")) {
            (ProjectReference::Name(name), _) => {
                let named = facts.project_names.find(0, name).and_then(|ix| facts.project_names.get(ix)).copied();
                (named, self.ever_called(name))
            }
            (ProjectReference::Id(_), Some(user)) => (None, roster.person_of(user).into_iter().collect()),
            (ProjectReference::Id(id), None) => match roster.project_by_id(id) {
                Some(ProjectIx::Recorded(RecordedIx(ix))) => (Some(ix), Vec::new()),
                _ => (None, Vec::new()),
            },
        };
        if let Some(project) = found {
            self.visit_project(project, &mut places)?;
        }
        for owner in owners {
            self.visit_person(owner)?;
        }
        if places.projects.is_empty() {
            // What came too late to name a project when it was recorded may have named this one by what is known now.
            let late = facts.mentions.range((Field::PackageProducer, 0)..=(Field::PackageProducer, u32::MAX));
            let unnamed = |package: &u32| facts.packages.get(*package).is_some_and(|row| row.project == NONE);
            for package in late.map(|((_, package), _)| *package).filter(unnamed) {
                self.visit_package(package)?;
                places.packages.insert(package);
            }
        }
        Ok(places)
    }

    /// Whoever ever had a name, or was said to have it by an event that was superseded.
    fn ever_asked_for(&self, name: u32) -> impl Iterator<Item = u32> + '_ {
        self.roster.facts.ever_had_name(name).chain(self.rows_referring_to(Field::PersonName, &[], name))
    }

    /// Whoever ever had a name or may have had it: `x~source` is somebody who asked for `x` when `x` was taken.
    fn ever_called(&self, name: &str) -> Vec<u32> {
        let find = |name: &str| self.roster.facts.user_names.find(0, name);
        let typed = if find(name).is_some() { name.to_owned() } else { canonical_name(name) };
        let shorter = typed.match_indices('~').filter_map(|(end, _)| typed.get(..end));
        std::iter::once(typed.as_str()).chain(shorter).filter_map(find).flat_map(|ix| self.ever_asked_for(ix)).collect()
    }

    /// Whoever a name or id ever meant, with every group that each was ever in, to any depth.
    fn resolve_callers(&mut self, text: &str) -> Result<BTreeSet<Holder>, GivenUp> {
        let roster = self.roster;
        let facts = &roster.facts;
        let row = |source: &str| u16::try_from(facts.sources.find(0, source)?).ok();
        let (persons, service) = match CallerReference::of(text) {
            CallerReference::Name(name) => (self.ever_called(name), None),
            CallerReference::Id(id) => {
                let person = id.split_once('/').and_then(|(source, id)| facts.persons.find(row(source)?, id));
                (person.into_iter().collect(), None)
            }
            CallerReference::Service(id) => (Vec::new(), row(LOCAL).and_then(|local| facts.services.find(local, id))),
        };
        for person in persons {
            self.visit_person(person)?;
        }
        let persons = self.visited.persons.iter().map(|person| Holder::Person(*person));
        let holders: Vec<Holder> = persons.chain(service.map(Holder::Service)).collect();
        for holder in holders {
            self.visit_groups_above(holder)?;
        }
        Ok(self.visited.holders.clone())
    }

    /// A holder and every group that it was ever in.
    fn visit_groups_above(&mut self, first: Holder) -> Result<(), GivenUp> {
        let mut queue = vec![first];
        while let Some(holder) = queue.pop() {
            if !self.visited.holders.insert(holder) {
                continue;
            }
            self.add_holder(holder)?;
            for ix in self.roster.index.member_of.get(&holder).into_iter().flatten() {
                queue.extend(self.add_membership(*ix)?.map(|(group, _)| Holder::Group(group)));
            }
        }
        Ok(())
    }

    /// A holder's own events; those of a person are found on another way.
    pub(super) fn add_holder(&mut self, holder: Holder) -> Result<(), GivenUp> {
        let facts = &self.roster.facts;
        match holder {
            Holder::Person(_) => {}
            Holder::Service(ix) => {
                self.add(facts.services.names.space(ix), format!("service/{}", facts.services.id(ix)))?;
            }
            Holder::Group(ix) => self.add(facts.groups.names.space(ix), format!("group/{}", facts.groups.id(ix)))?,
        }
        Ok(())
    }

    /// One membership of a group: which group, and who.
    pub(super) fn add_membership(&mut self, ix: u32) -> Result<Option<(u32, Holder)>, GivenUp> {
        let roster = self.roster;
        let Some(row) = roster.facts.members.get(ix as usize) else { return Ok(None) };
        let (space, subject) = roster.membership_subject(row);
        self.add(space, subject)?;
        Ok(Some((row.group, row.holder)))
    }

    /// The bindings that these holders ever had on these scopes.
    pub(super) fn add_bindings(
        &mut self,
        holders: &BTreeSet<Holder>,
        fits: impl Fn(RecordedScope) -> bool,
    ) -> Result<BTreeSet<RecordedScope>, GivenUp> {
        let roster = self.roster;
        let mut found = BTreeSet::new();
        for ix in holders.iter().filter_map(|holder| roster.index.holder_bindings.get(holder)).flatten() {
            let Some(row) = roster.facts.bindings.get(*ix).and_then(Option::as_ref).filter(|row| fits(row.on)) else {
                continue;
            };
            self.add_local(roster.facts.bindings.id(*ix).to_owned())?;
            found.insert(row.on);
        }
        Ok(found)
    }
}
