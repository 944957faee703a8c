//! Which subjects a question about the past depends on, found in a roster that forgets no row and keeps former
//! references: everything that could matter now or at any earlier position.
//!
//! A subject too many costs a look-up; one too few would be a wrong answer, so every step goes along all that ever was.

use std::collections::BTreeSet;

use rollcall_events::{
    LOCAL,
    body::{EventData as _, Link, SourcePerson, pair_subject},
    names::{CallerReference, ProjectReference, canonical_name},
};

use crate::{
    past::slice::{PastQuestion, ScopeName, Subject},
    roster::{
        Roster,
        facts::{Field, Holder, NONE, Origin, RecordedScope},
        handles::{ProjectIx, RecordedIx},
    },
};

impl Roster {
    /// Every subject that could matter to a question about now or any earlier position: more than needed, never less.
    #[must_use]
    pub fn relevant_subjects(&self, about: PastQuestion<'_>) -> BTreeSet<Subject> {
        let mut collector = SubjectCollector { roster: self, subjects: BTreeSet::new(), visited: Visited::default() };
        collector.add_always_relevant();
        match about {
            PastQuestion::Access { user, scope } => {
                let places = collector.resolve_scope(scope);
                if let Some(user) = user {
                    let holders = collector.resolve_callers(user);
                    collector.visit_caller_on(&holders, &places);
                }
            }
            PastQuestion::Members(project) => {
                let places = collector.resolve_project(project);
                collector.visit_everybody_in(&places);
            }
            PastQuestion::User(user) => {
                let holders = collector.resolve_callers(user);
                collector.visit_everywhere(&holders);
            }
        }
        collector.subjects
    }
}

/// What was gone into already, by row.
#[derive(Default)]
struct Visited {
    persons: BTreeSet<u32>,
    names: BTreeSet<u32>,
    accounts: BTreeSet<u32>,
    entitlements: BTreeSet<u32>,
    lines: BTreeSet<u32>,
    products: BTreeSet<u32>,
    packages: BTreeSet<u32>,
    folders: BTreeSet<u32>,
    projects: BTreeSet<u32>,
    /// Upwards.
    holders: BTreeSet<Holder>,
    /// Downwards.
    groups: BTreeSet<u32>,
}

/// The projects that a name ever meant, and the scopes that they were ever below.
#[derive(Default)]
struct Places {
    projects: BTreeSet<u32>,
    /// Packages that never came to a project.
    packages: BTreeSet<u32>,
    scopes: BTreeSet<RecordedScope>,
}

struct SubjectCollector<'a> {
    roster: &'a Roster,
    subjects: BTreeSet<Subject>,
    visited: Visited,
}

impl SubjectCollector<'_> {
    fn add(&mut self, space: u16, subject: String) {
        self.subjects.insert((self.roster.source_text(space).to_owned(), subject));
    }

    /// Rows that refer to this one, or did, or were said to.
    fn rows_referring_to<'r>(&'r self, field: Field, list: &'r [u32], to: u32) -> impl Iterator<Item = u32> + 'r {
        let mentioned = self.roster.index.mentioned.get(&(field, to));
        list.iter().chain(mentioned.into_iter().flatten()).copied()
    }

    /// An account and everything that was ever below it.
    fn accounts_ever_below(&self, first: u32) -> BTreeSet<u32> {
        let (mut found, mut queue) = (BTreeSet::new(), vec![first]);
        while let Some(account) = queue.pop() {
            if found.insert(account) {
                let children = self.roster.index.account_children.of(account);
                queue.extend(self.rows_referring_to(Field::AccountParent, children, account));
            }
        }
        found
    }

    /// The people who were ever in an account or below it.
    fn people_below(&self, account: u32) -> BTreeSet<u32> {
        let below = self.accounts_ever_below(account).into_iter();
        below
            .flat_map(|account| {
                self.rows_referring_to(Field::PersonAccount, self.roster.index.account_people.of(account), account)
            })
            .collect()
    }

    fn lines_of(&self, entitlement: u32) -> impl Iterator<Item = u32> + '_ {
        self.rows_referring_to(Field::LineEntitlement, self.roster.index.entitlement_lines.of(entitlement), entitlement)
    }

    fn lines_for(&self, product: u32) -> Vec<u32> {
        self.rows_referring_to(Field::LineProduct, self.roster.index.product_lines.of(product), product).collect()
    }

    fn bought_by(&self, account: u32) -> impl Iterator<Item = u32> + '_ {
        self.rows_referring_to(Field::EntitlementAccount, self.roster.index.account_entitlements.of(account), account)
    }

    fn is_line_for_any(&self, line: u32, products: &BTreeSet<u32>) -> bool {
        let facts = &self.roster.facts;
        facts.lines.get(line).is_some_and(|row| {
            facts.ever_named(Field::LineProduct, line, row.product).any(|product| products.contains(&product))
        })
    }

    fn add_local(&mut self, subject: String) {
        self.subjects.insert((LOCAL.to_owned(), subject));
    }

    /// What every answer depends on.
    fn add_always_relevant(&mut self) {
        self.add_local("settings".to_owned());
        self.add_local("profile".to_owned());
        for space in &self.roster.facts.retired {
            self.add_local(format!("source/{}", self.roster.source_text(*space)));
        }
    }

    /// A person with every person that it was ever linked to, and what each was ever called, permitted and in.
    fn visit_person(&mut self, first: u32) {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(person) = queue.pop() {
            if !self.visited.persons.insert(person) {
                continue;
            }
            let Some(row) = facts.persons.get(person) else { continue };
            let (space, id) = (facts.persons.names.space(person), facts.persons.id(person));
            self.visit_name_rivals(person);
            if facts.permissions.contains_key(&person) {
                self.add(space, pair_subject("permission", id, "view_and_manage_download_packages"));
            }
            for account in facts.ever_named(Field::PersonAccount, person, row.account) {
                self.visit_account(account);
            }
            for link in self.roster.index.person_links.get(&person).into_iter().flatten() {
                let Some(pair) = facts.links.get(*link as usize) else { continue };
                if let (Some(a), Some(b)) = (self.source_person(pair.left), self.source_person(pair.right)) {
                    self.add_local(Link { persons: [a, b], rule: None, author: None, made_with: None }.subject());
                }
                queue.extend([pair.left, pair.right]);
            }
        }
    }

    fn source_person(&self, person: u32) -> Option<SourcePerson> {
        let names = &self.roster.facts.persons.names;
        Some(SourcePerson {
            source: self.roster.source_text(names.space(person)).parse().ok()?,
            person: names.text(person).parse().ok()?,
        })
    }

    /// A person's own events, and those of whoever held the names that it might have had: `x~source` is somebody who
    /// asked for `x` when `x` was taken.
    fn visit_name_rivals(&mut self, first: u32) {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(person) = queue.pop() {
            if !self.visited.names.insert(person) {
                continue;
            }
            let Some(row) = facts.persons.get(person) else { continue };
            self.add(facts.persons.names.space(person), format!("person/{}", facts.persons.id(person)));
            for name in facts.ever_named(Field::PersonName, person, row.name) {
                let name = facts.user_names.id(name);
                for (end, _) in name.match_indices('~') {
                    let rival = name.get(..end).and_then(|name| facts.user_names.find(0, name));
                    queue.extend(rival.and_then(|ix| facts.user_names.get(ix)));
                }
            }
        }
    }

    /// An account and all that were ever above it.
    fn visit_account(&mut self, first: u32) {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(account) = queue.pop() {
            if !self.visited.accounts.insert(account) {
                continue;
            }
            let Some(row) = facts.accounts.get(account) else { continue };
            self.add(facts.accounts.names.space(account), format!("account/{}", facts.accounts.id(account)));
            queue.extend(facts.ever_named(Field::AccountParent, account, row.parent));
        }
    }

    fn visit_entitlement(&mut self, entitlement: u32) {
        let facts = &self.roster.facts;
        if !self.visited.entitlements.insert(entitlement) {
            return;
        }
        let Some(row) = facts.entitlements.get(entitlement) else { return };
        let (space, id) = (facts.entitlements.names.space(entitlement), facts.entitlements.id(entitlement));
        self.add(space, format!("entitlement/{id}"));
        for account in facts.ever_named(Field::EntitlementAccount, entitlement, row.account) {
            self.visit_account(account);
        }
        // Also of others: the first of them is what narrowed it.
        for ix in self.roster.index.entitlement_assignments.get(&entitlement).into_iter().flatten() {
            if let Some(pair) = facts.assignments.get(*ix as usize) {
                self.add(space, pair_subject("entitlement_person", id, facts.persons.id(pair.right)));
            }
        }
    }

    /// A line with everything that it was ever of and for.
    fn visit_line(&mut self, line: u32) {
        let facts = &self.roster.facts;
        if !self.visited.lines.insert(line) {
            return;
        }
        let Some(row) = facts.lines.get(line) else { return };
        self.add(facts.lines.names.space(line), format!("line/{}", facts.lines.id(line)));
        for entitlement in facts.ever_named(Field::LineEntitlement, line, row.entitlement) {
            self.visit_entitlement(entitlement);
        }
        for product in facts.ever_named(Field::LineProduct, line, row.product) {
            self.visit_product(product);
        }
    }

    fn visit_product(&mut self, product: u32) {
        let names = &self.roster.facts.products.names;
        if self.visited.products.insert(product) {
            self.add(names.space(product), format!("product/{}", names.text(product)));
        }
    }

    /// A package with whoever ever produced it and whatever was ever in it.
    fn visit_package(&mut self, package: u32) {
        let facts = &self.roster.facts;
        if !self.visited.packages.insert(package) {
            return;
        }
        let Some(row) = facts.packages.get(package) else { return };
        let (space, id) = (facts.packages.names.space(package), facts.packages.id(package));
        self.add(space, format!("package/{id}"));
        for producer in facts.ever_named(Field::PackageProducer, package, row.producer) {
            self.visit_account(producer);
        }
        for product in self.products_of(package) {
            self.add(space, pair_subject("package_product", id, facts.products.id(product)));
            self.visit_product(product);
        }
    }

    /// Every product that was ever in a package.
    fn products_of(&self, package: u32) -> Vec<u32> {
        let mappings = self.roster.index.package_mappings.of(package);
        mappings.iter().filter_map(|ix| self.roster.facts.mappings.get(*ix as usize)).map(|pair| pair.right).collect()
    }

    /// A folder and all that were ever above it.
    fn visit_folder(&mut self, first: u32, places: &mut Places) {
        let facts = &self.roster.facts;
        let mut queue = vec![first];
        while let Some(folder) = queue.pop() {
            if !places.scopes.insert(RecordedScope::Folder(folder)) {
                continue;
            }
            if self.visited.folders.insert(folder) {
                self.add_local(format!("folder/{}", facts.folders.id(folder)));
            }
            let parent = facts.folders.get(folder).and_then(Option::as_ref).map_or(NONE, |row| row.parent);
            queue.extend(facts.ever_named(Field::FolderParent, folder, parent));
        }
    }

    /// A project, what it comes from, and every scope that it was ever below.
    fn visit_project(&mut self, project: u32, places: &mut Places) {
        let facts = &self.roster.facts;
        places.projects.insert(project);
        places.scopes.extend([RecordedScope::Project(project), RecordedScope::Root]);
        let Some(row) = facts.projects.get(project as usize) else { return };
        if self.visited.projects.insert(project) {
            match &row.origin {
                Origin::Package(package) => self.visit_package(*package),
                Origin::Local(local) => self.add_local(format!("project/{}", facts.local_projects.id(local.id))),
            }
        }
        if let Origin::Local(local) = &row.origin {
            for folder in facts.ever_named(Field::ProjectFolder, project, local.folder) {
                self.visit_folder(folder, places);
            }
        }
    }

    /// What a scope's name ever meant.
    fn resolve_scope(&mut self, scope: ScopeName<'_>) -> Places {
        let mut places = Places { scopes: [RecordedScope::Root].into(), ..Places::default() };
        match scope {
            ScopeName::Root => {}
            ScopeName::Folder(id) => {
                if let Some(folder) = self.roster.facts.folders.find(0, id) {
                    self.visit_folder(folder, &mut places);
                }
            }
            ScopeName::Project(name) => places = self.resolve_project(name),
        }
        places
    }

    /// What a project's name or id ever meant: a project, or somebody's own.
    fn resolve_project(&mut self, name: &str) -> Places {
        let roster = self.roster;
        let facts = &roster.facts;
        let mut places = Places { scopes: [RecordedScope::Root].into(), ..Places::default() };
        let (found, owner) = match (ProjectReference::of(name), name.strip_prefix("personal/")) {
            (ProjectReference::Name(name), _) => {
                let named = facts.project_names.find(0, name).and_then(|ix| facts.project_names.get(ix)).copied();
                (named, self.owner_of_name(name))
            }
            (ProjectReference::Id(_), Some(user)) => (None, roster.person_of(user)),
            (ProjectReference::Id(id), None) => match roster.project_by_id(id) {
                Some(ProjectIx::Recorded(RecordedIx(ix))) => (Some(ix), None),
                _ => (None, None),
            },
        };
        found.into_iter().for_each(|project| self.visit_project(project, &mut places));
        owner.into_iter().for_each(|owner| self.visit_person(owner));
        if places.projects.is_empty() {
            // What came too late to name a project when it was recorded may have named this one by what is known now.
            let late = facts.mentions.range((Field::PackageProducer, 0)..=(Field::PackageProducer, u32::MAX));
            let unnamed = |package: &u32| facts.packages.get(*package).is_some_and(|row| row.project == NONE);
            for package in late.map(|((_, package), _)| *package).filter(unnamed) {
                self.visit_package(package);
                places.packages.insert(package);
            }
        }
        places
    }

    fn owner_of_name(&self, name: &str) -> Option<u32> {
        let names = &self.roster.facts.user_names;
        let find = |name: &str| names.find(0, name).and_then(|ix| names.get(ix)).copied();
        find(name).or_else(|| find(&canonical_name(name)))
    }

    /// Whoever a name or id ever meant, with every group that each was ever in, to any depth.
    fn resolve_callers(&mut self, text: &str) -> BTreeSet<Holder> {
        let roster = self.roster;
        let facts = &roster.facts;
        let row = |source: &str| u16::try_from(facts.sources.find(0, source)?).ok();
        let (person, service) = match CallerReference::of(text) {
            CallerReference::Name(name) => (self.owner_of_name(name), None),
            CallerReference::Id(id) => {
                (id.split_once('/').and_then(|(source, id)| facts.persons.find(row(source)?, id)), None)
            }
            CallerReference::Service(id) => (None, row(LOCAL).and_then(|local| facts.services.find(local, id))),
        };
        person.into_iter().for_each(|person| self.visit_person(person));
        let persons = self.visited.persons.iter().map(|person| Holder::Person(*person));
        let holders: Vec<Holder> = persons.chain(service.map(Holder::Service)).collect();
        for holder in holders {
            self.visit_groups_above(holder);
        }
        self.visited.holders.clone()
    }

    /// A holder and every group that it was ever in.
    fn visit_groups_above(&mut self, first: Holder) {
        let mut queue = vec![first];
        while let Some(holder) = queue.pop() {
            if !self.visited.holders.insert(holder) {
                continue;
            }
            self.add_holder(holder);
            for ix in self.roster.index.member_of.get(&holder).into_iter().flatten() {
                queue.extend(self.add_membership(*ix).map(|(group, _)| Holder::Group(group)));
            }
        }
    }

    /// A holder's own events; those of a person are found on another way.
    fn add_holder(&mut self, holder: Holder) {
        let facts = &self.roster.facts;
        match holder {
            Holder::Person(_) => {}
            Holder::Service(ix) => {
                self.add(facts.services.names.space(ix), format!("service/{}", facts.services.id(ix)));
            }
            Holder::Group(ix) => self.add(facts.groups.names.space(ix), format!("group/{}", facts.groups.id(ix))),
        }
    }

    /// One membership of a group: which group, and who.
    fn add_membership(&mut self, ix: u32) -> Option<(u32, Holder)> {
        let roster = self.roster;
        let row = roster.facts.members.get(ix as usize)?;
        let (space, subject) = roster.membership_subject(row);
        self.add(space, subject);
        Some((row.group, row.holder))
    }

    /// The bindings that these holders ever had on these scopes.
    fn add_bindings(
        &mut self,
        holders: &BTreeSet<Holder>,
        fits: impl Fn(RecordedScope) -> bool,
    ) -> BTreeSet<RecordedScope> {
        let roster = self.roster;
        let mut found = BTreeSet::new();
        for ix in holders.iter().filter_map(|holder| roster.index.holder_bindings.get(holder)).flatten() {
            let Some(row) = roster.facts.bindings.get(*ix).and_then(Option::as_ref).filter(|row| fits(row.on)) else {
                continue;
            };
            self.add_local(roster.facts.bindings.id(*ix).to_owned());
            found.insert(row.on);
        }
        found
    }

    /// One caller on one project.
    fn visit_caller_on(&mut self, holders: &BTreeSet<Holder>, places: &Places) {
        self.add_bindings(holders, |on| places.scopes.contains(&on));
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
            self.visit_line(line);
        }
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
    fn visit_everybody_in(&mut self, places: &Places) {
        let roster = self.roster;
        let facts = &roster.facts;
        let mut people = BTreeSet::new();
        for package in self.packages_of(places) {
            if let Some(row) = facts.packages.get(package) {
                for producer in facts.ever_named(Field::PackageProducer, package, row.producer) {
                    let staff = self.people_below(producer).into_iter();
                    people.extend(staff.filter(|person| facts.permissions.contains_key(person)));
                }
            }
            for line in
                self.products_of(package).into_iter().flat_map(|product| self.lines_for(product)).collect::<Vec<_>>()
            {
                self.visit_line(line);
            }
        }
        for entitlement in self.visited.entitlements.clone() {
            let assigned = roster.index.entitlement_assignments.get(&entitlement).into_iter().flatten();
            people.extend(assigned.filter_map(|ix| facts.assignments.get(*ix as usize)).map(|pair| pair.right));
            let Some(row) = facts.entitlements.get(entitlement) else { continue };
            for buyer in facts.ever_named(Field::EntitlementAccount, entitlement, row.account) {
                people.extend(self.people_below(buyer));
            }
        }
        for ix in places.scopes.iter().filter_map(|on| roster.index.scope_bindings.get(on)).flatten() {
            let Some(row) = facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
            self.add_local(facts.bindings.id(*ix).to_owned());
            self.visit_members(row.holder, &mut people);
        }
        for person in people {
            self.visit_person(person);
        }
    }

    /// A holder and everybody who was ever in it.
    fn visit_members(&mut self, first: Holder, people: &mut BTreeSet<u32>) {
        let mut queue = vec![first];
        while let Some(holder) = queue.pop() {
            self.add_holder(holder);
            match holder {
                Holder::Person(person) => {
                    people.insert(person);
                }
                Holder::Service(_) => {}
                Holder::Group(group) if self.visited.groups.insert(group) => {
                    for ix in self.roster.index.group_members.get(&group).into_iter().flatten() {
                        queue.extend(self.add_membership(*ix).map(|(_, holder)| holder));
                    }
                }
                Holder::Group(_) => {}
            }
        }
    }

    /// Everything that a caller was ever in, or near.
    fn visit_everywhere(&mut self, holders: &BTreeSet<Holder>) {
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
            self.visit_line(line);
        }
        for product in &self.visited.products {
            let mappings = roster.index.product_mappings.of(*product);
            packages.extend(mappings.iter().filter_map(|ix| facts.mappings.get(*ix as usize)).map(|pair| pair.left));
        }
        let project = |package: u32| facts.packages.get(package).map(|row| row.project).filter(|ix| *ix != NONE);
        let mut projects: BTreeSet<u32> = packages.into_iter().filter_map(project).collect();
        for on in self.add_bindings(holders, |_| true) {
            match on {
                RecordedScope::Root => projects.extend((0_u32..).zip(&facts.projects).map(|(ix, _)| ix)),
                RecordedScope::Project(project) => {
                    projects.insert(project);
                }
                RecordedScope::Folder(folder) => projects.extend(self.projects_ever_in(folder, &mut places)),
            }
        }
        for project in projects {
            self.visit_project(project, &mut places);
        }
    }

    /// Every project that was ever in a folder, to any depth.
    fn projects_ever_in(&mut self, first: u32, places: &mut Places) -> BTreeSet<u32> {
        let (mut found, mut seen, mut queue) = (BTreeSet::new(), BTreeSet::new(), vec![first]);
        while let Some(folder) = queue.pop() {
            if !seen.insert(folder) {
                continue;
            }
            self.visit_folder(folder, places);
            queue.extend(self.roster.index.folder_children.get(&folder).into_iter().flatten());
            found.extend(self.roster.index.folder_projects.get(&folder).into_iter().flatten());
        }
        found
    }
}
