//! Ways to find facts: derived from the facts, rebuilt when a snapshot is read, never written.
//! An entry may be stale (a person is still listed under an account that he or she left), so that an explanation finds
//! what was; whoever follows an entry checks it against the row.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::Digest;

use crate::{
    persistent::{HashMap, Pages, SortedMap},
    roster::{
        facts::{Facts, Field, Holder, NONE, Origin, Owner, RecordedScope},
        groups::GroupNames,
        look_alikes::LookAlikes,
    },
};

#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) account_people: Lists,
    pub(crate) account_children: Lists,
    pub(crate) account_packages: Lists,
    pub(crate) account_entitlements: Lists,
    pub(crate) entitlement_lines: Lists,
    pub(crate) product_lines: Lists,
    /// Lines by the account that bought and the product.
    pub(crate) purchases: Pairs,
    pub(crate) mapping: HashMap<(u32, u32), u32>,
    pub(crate) package_mappings: Lists,
    pub(crate) product_mappings: Lists,
    pub(crate) assignment: HashMap<(u32, u32), u32>,
    pub(crate) person_assignments: HashMap<u32, Vec<u32>>,
    pub(crate) entitlement_assignments: HashMap<u32, Vec<u32>>,
    pub(crate) link: HashMap<(u32, u32), u32>,
    pub(crate) person_links: HashMap<u32, Vec<u32>>,
    /// Persons by whom a source says or said once that they are.
    pub(crate) said_to_be: HashMap<u32, BTreeSet<u32>>,
    /// How many pairs of persons were parted by hand and are not linked since.
    pub(crate) partings: usize,
    /// Names that are asked for and not in effect, by the source that asks, each with the person that it asks for.
    pub(crate) asked_names: SortedMap<(u16, String, u32), ()>,
    /// The persons of a user who is more than one.
    pub(crate) linked: HashMap<u32, Vec<u32>>,
    pub(crate) secret_hash: HashMap<[u8; 32], u32>,
    pub(crate) owner_secrets: HashMap<Owner, Vec<u32>>,
    pub(crate) holder_bindings: HashMap<Holder, Vec<u32>>,
    pub(crate) scope_bindings: HashMap<RecordedScope, Vec<u32>>,
    /// The bindings of one holder on one scope: what a decision looks for.
    pub(crate) holder_scope_bindings: HashMap<(Holder, RecordedScope), Vec<u32>>,
    /// Bindings by the digest of their subject: what their short ids are the beginning of.
    pub(crate) binding_digests: SortedMap<(u64, u32), ()>,
    pub(crate) member: HashMap<(u32, Holder), u32>,
    /// The memberships of a person, service or group in groups.
    pub(crate) member_of: HashMap<Holder, Vec<u32>>,
    pub(crate) group_members: HashMap<u32, Vec<u32>>,
    pub(crate) group_names: GroupNames,
    pub(crate) folder_children: HashMap<u32, Vec<u32>>,
    /// Local projects by the folder that they are or were in.
    pub(crate) folder_projects: HashMap<u32, Vec<u32>>,
    /// Names by the project that has or had them.
    pub(crate) project_names: Lists,
    /// Rows by a reference that only a superseded event of them made.
    pub(crate) mentioned: HashMap<(Field, u32), Vec<u32>>,
    pub(crate) look_alikes: LookAlikes,
    /// How many subjects are parked as they wait for a project's name.
    pub(crate) wanted_names: usize,
}

/// For each row, the rows that refer to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists(Pages<List>);

/// Most lists hold one row: it stands here, without an allocation and one miss of the cache nearer.
#[derive(Debug, Clone, Default)]
enum List {
    #[default]
    Empty,
    One(u32),
    #[expect(clippy::box_collection, reason = "16 bytes a list instead of 24, of which there are millions")]
    Many(Box<Vec<u32>>),
}

impl Lists {
    pub(crate) fn push(&mut self, of: u32, row: u32) {
        if of == NONE {
            return;
        }
        match self.0.get_or_grow(of as usize, &List::Empty) {
            Some(List::Many(rows)) => rows.push(row),
            Some(list @ List::Empty) => *list = List::One(row),
            Some(list) => {
                if let List::One(first) = *list {
                    *list = List::Many(Box::new(vec![first, row]));
                }
            }
            None => {}
        }
    }

    pub(crate) fn of(&self, row: u32) -> &[u32] {
        match self.0.get(row as usize) {
            Some(List::One(row)) => std::slice::from_ref(row),
            Some(List::Many(rows)) => rows,
            Some(List::Empty) | None => &[],
        }
    }
}

/// For a pair of rows, the rows that belong to it. Nearly every pair has one, so the first stands in the table and the
/// others elsewhere: a decision looks here, and every allocation would be a miss of the cache more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs {
    first: HashMap<(u32, u32), u32>,
    more: HashMap<(u32, u32), Vec<u32>>,
}

/// In `first`: there are more. Rows never come near this bit; a table of so many does not fit a machine.
const MORE: u32 = 1 << 31;

impl Pairs {
    /// Adds a row, once.
    fn add(&mut self, pair: (u32, u32), row: u32) {
        let Some(first) = self.first.get_mut(&pair) else {
            self.first.insert(pair, row);
            return;
        };
        if *first & !MORE == row {
            return;
        }
        *first |= MORE;
        self.more.update(pair, |more| {
            // Sorted, so that a line of an account with very many is filed without a walk past all of them.
            if let Err(at) = more.binary_search(&row) {
                more.insert(at, row);
            }
        });
    }

    pub(crate) fn of(&self, pair: (u32, u32)) -> impl Iterator<Item = u32> + '_ {
        let first = self.first.get(&pair).copied();
        let more = first.filter(|first| first & MORE != 0).and_then(|_| self.more.get(&pair));
        first.map(|first| first & !MORE).into_iter().chain(more.into_iter().flatten().copied())
    }
}

impl Index {
    pub(crate) fn build(facts: &Facts) -> Self {
        let wanted_names = facts.parked.values().filter(|mark| mark.wants.is_some()).count();
        let mut index = Self { look_alikes: LookAlikes::build(facts), wanted_names, ..Self::default() };
        for (ix, account) in (0_u32..).zip(facts.accounts.rows.iter()) {
            for parent in facts.current_and_former(Field::AccountParent, ix, account.parent) {
                index.account_children.push(parent, ix);
            }
        }
        let mut linked: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (ix, person) in (0_u32..).zip(facts.persons.rows.iter()) {
            for account in facts.current_and_former(Field::PersonAccount, ix, person.account) {
                index.account_people.push(account, ix);
            }
            if person.user != NONE && person.user != ix {
                linked.entry(person.user).or_insert_with(|| vec![person.user]).push(ix);
            }
        }
        for (user, mut set) in linked {
            set.sort_by_key(|ix| facts.persons.get(*ix).map(|row| row.first));
            index.linked.insert(user, set);
        }
        for (ix, package) in (0_u32..).zip(facts.packages.rows.iter()) {
            for producer in facts.current_and_former(Field::PackageProducer, ix, package.producer) {
                index.account_packages.push(producer, ix);
            }
        }
        for (ix, entitlement) in (0_u32..).zip(facts.entitlements.rows.iter()) {
            for account in facts.current_and_former(Field::EntitlementAccount, ix, entitlement.account) {
                index.account_entitlements.push(account, ix);
            }
        }
        for (ix, line) in (0_u32..).zip(facts.lines.rows.iter()) {
            for entitlement in facts.current_and_former(Field::LineEntitlement, ix, line.entitlement) {
                index.entitlement_lines.push(entitlement, ix);
            }
            for product in facts.current_and_former(Field::LineProduct, ix, line.product) {
                index.product_lines.push(product, ix);
            }
            index.add_purchase(facts, ix);
        }
        for (ix, pair) in (0_u32..).zip(facts.mappings.iter()) {
            index.add_mapping(ix, pair.left, pair.right);
        }
        for (ix, pair) in (0_u32..).zip(facts.assignments.iter()) {
            index.add_assignment(ix, pair.left, pair.right);
        }
        for (ix, pair) in (0_u32..).zip(facts.links.iter()) {
            index.add_link(ix, pair.left, pair.right);
            index.partings += usize::from(facts.is_parting(ix));
        }
        for (ix, secret) in (0_u32..).zip(facts.secrets.rows.iter()) {
            if let Some(secret) = secret {
                index.add_secret(ix, secret.sha256, secret.owner);
            }
        }
        for (ix, binding) in (0_u32..).zip(facts.bindings.rows.iter()) {
            if let Some(binding) = binding {
                index.add_binding(ix, facts.bindings.id(ix), binding.holder, binding.on);
            }
        }
        for (ix, group) in (0_u32..).zip(facts.groups.rows.iter()) {
            index.group_names.add(ix, group);
        }
        for (ix, member) in (0_u32..).zip(facts.members.iter()) {
            index.add_member(ix, member.group, member.holder);
        }
        for (ix, folder) in (0_u32..).zip(facts.folders.rows.iter()) {
            if let Some(folder) = folder {
                index.add_child_folder(ix, folder.parent);
                for parent in facts.current_and_former(Field::FolderParent, ix, folder.parent) {
                    index.add_child_folder(ix, parent);
                }
            }
        }
        for (ix, project) in (0_u32..).zip(facts.projects.iter()) {
            if let Origin::Local(local) = &project.origin {
                index.add_folder_project(ix, local.folder);
                for folder in facts.current_and_former(Field::ProjectFolder, ix, local.folder) {
                    index.add_folder_project(ix, folder);
                }
            }
        }
        for (person, others) in facts.same_as.iter() {
            for other in others {
                index.said_to_be.update(*other, |all| all.insert(*person));
            }
        }
        let said = (Field::PersonSameAs, 0)..=(Field::PersonSameAs, u32::MAX);
        for ((_, person), past) in facts.formers.range(said.clone()) {
            for former in past {
                index.said_to_be.update(former.to, |all| all.insert(*person));
            }
        }
        for ((_, person), mentions) in facts.mentions.range(said) {
            for other in mentions {
                index.said_to_be.update(*other, |all| all.insert(*person));
            }
        }
        for (person, why) in facts.names_not_in_effect.iter() {
            index.asked_names.insert(facts.asked_key(*person, why), ());
        }
        for (name, project) in (0_u32..).zip(facts.project_names.rows.iter()) {
            index.project_names.push(*project, name);
        }
        for ((field, row), mentions) in facts.mentions.iter() {
            for to in mentions {
                index.mentioned.update((*field, *to), |all| all.push(*row));
            }
        }
        index
    }

    /// Files a line under every account and product that it was ever bought by and for.
    pub(crate) fn add_purchase(&mut self, facts: &Facts, line: u32) {
        let Some(row) = facts.lines.get(line) else { return };
        for entitlement in facts.current_and_former(Field::LineEntitlement, line, row.entitlement) {
            let Some(buyer) = facts.entitlements.get(entitlement) else { continue };
            for account in facts.current_and_former(Field::EntitlementAccount, entitlement, buyer.account) {
                for product in facts.current_and_former(Field::LineProduct, line, row.product) {
                    self.purchases.add((account, product), line);
                }
            }
        }
    }

    /// The products that a package delivers: mapped now, stated and not removed.
    pub(crate) fn delivered_products(&self, facts: &Facts, package: u32) -> impl Iterator<Item = u32> {
        self.package_mappings.of(package).iter().filter_map(|ix| {
            let pair = facts.mappings.get(*ix as usize)?;
            let stands = pair.register.stands() && facts.products.get(pair.right)?.register.stands();
            stands.then_some(pair.right)
        })
    }

    pub(crate) fn add_mapping(&mut self, ix: u32, package: u32, product: u32) {
        self.mapping.insert((package, product), ix);
        self.package_mappings.push(package, ix);
        self.product_mappings.push(product, ix);
    }

    pub(crate) fn add_assignment(&mut self, ix: u32, entitlement: u32, person: u32) {
        self.assignment.insert((entitlement, person), ix);
        self.person_assignments.update(person, |all| all.push(ix));
        self.entitlement_assignments.update(entitlement, |all| all.push(ix));
    }

    pub(crate) fn add_link(&mut self, ix: u32, a: u32, b: u32) {
        self.link.insert((a, b), ix);
        self.person_links.update(a, |all| all.push(ix));
        self.person_links.update(b, |all| all.push(ix));
    }

    pub(crate) fn add_secret(&mut self, ix: u32, sha256: [u8; 32], owner: Owner) {
        self.secret_hash.insert(sha256, ix);
        self.owner_secrets.update(owner, |all| all.push(ix));
    }

    pub(crate) fn add_binding(&mut self, ix: u32, subject: &str, holder: Holder, on: RecordedScope) {
        self.binding_digests.insert((Digest::of(subject.as_bytes()).prefix(), ix), ());
        self.holder_bindings.update(holder, |all| all.push(ix));
        self.scope_bindings.update(on, |all| all.push(ix));
        self.holder_scope_bindings.update((holder, on), |all| all.push(ix));
    }

    pub(crate) fn add_member(&mut self, ix: u32, group: u32, holder: Holder) {
        self.member.insert((group, holder), ix);
        self.member_of.update(holder, |all| all.push(ix));
        self.group_members.update(group, |all| all.push(ix));
    }

    /// Files a folder under the one above it.
    pub(crate) fn add_child_folder(&mut self, ix: u32, parent: u32) {
        insert_sorted(&mut self.folder_children, parent, ix);
    }

    /// Files a project under its folder.
    pub(crate) fn add_folder_project(&mut self, ix: u32, folder: u32) {
        insert_sorted(&mut self.folder_projects, folder, ix);
    }
}

/// Once, sorted, so that the order is the same live and rebuilt; an entry of before may be stale.
fn insert_sorted(lists: &mut HashMap<u32, Vec<u32>>, under: u32, ix: u32) {
    if under == NONE {
        return;
    }
    lists.update(under, |list| {
        if let Err(at) = list.binary_search(&ix) {
            list.insert(at, ix);
        }
    });
}
