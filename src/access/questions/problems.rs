//! What was said and is not in effect, as far as the roster itself knows: references to what nobody stated, cycles of
//! accounts, parked subjects, roles that are given and give nothing, user names that are not as they were asked for.
//! Walked in slices, because a roster holds millions of rows and no question may keep the fold waiting.

use chrono::{DateTime, Utc};
use rollcall_events::{LOCAL, body::pair_subject};

use crate::{
    reasons::Cause,
    roster::{
        Roster,
        facts::{Holder, NONE, RecordedScope, SecretUse, State},
        handles::{FolderIx, GroupIx, ProjectIx, ServiceIx, UserIx},
        register::Register,
        users::{AskedName, NameProblem},
    },
};

/// What a walk looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterProblem {
    /// A fact names what nobody stated, or what was removed.
    Dangling,
    /// A role is given and gives nothing.
    Binding,
    /// An account is in a cycle of parents.
    Cycle,
    /// The newest event of a subject cannot be applied.
    Parked,
    /// An entitlement is in a state that only a newer version knows.
    UnknownState,
    /// A package waits for the name of its project.
    ProjectName,
    /// A person has another user name than its source asks for.
    UserName,
    /// A source says that its person is one of another source, and they are two users.
    Link,
    /// A secret signs nobody in since the persons whose it could be were parted. Those that are over by `now` are none.
    Secret {
        /// The instant.
        now: DateTime<Utc>,
    },
}

/// Something that was said and is not in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The event that said it.
    pub said_by: Cause,
    /// What it says, in words.
    pub said: String,
    /// Why that is not in effect.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// A part of a walk over the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// What was found, each with its place in the walk.
    pub found: Vec<(u64, Flaw)>,
    /// Where the next part begins; nothing at the end.
    pub next: Option<u64>,
}

/// The tables in which facts refer to others, in the order of the walk.
#[derive(Clone, Copy)]
enum Table {
    Accounts,
    Persons,
    Packages,
    Entitlements,
    Lines,
    Mappings,
    Assignments,
    Permissions,
    Members,
}

const TABLES: [Table; 9] = [
    Table::Accounts,
    Table::Persons,
    Table::Packages,
    Table::Entitlements,
    Table::Lines,
    Table::Mappings,
    Table::Assignments,
    Table::Permissions,
    Table::Members,
];

/// A place in a walk: which table, which row.
fn place(table: usize, row: u32) -> u64 {
    ((table as u64) << 32) | u64::from(row)
}

/// A fact that refers to others: its subject, its state, and what it names, with the state of each.
struct Referring {
    space: u16,
    subject: String,
    register: Register,
    names: Vec<(String, Option<Register>)>,
}

impl Roster {
    /// Looks at no more than `rows` rows from a place on.
    #[must_use]
    pub fn problems(&self, problem: RosterProblem, from: u64, rows: u32) -> Walked {
        match problem {
            RosterProblem::Dangling => self.dangling(from, rows),
            RosterProblem::Binding => self.walk(self.facts.bindings.len(), from, rows, |ix| self.vain_binding(ix)),
            RosterProblem::Cycle => self.walk(self.facts.accounts.len(), from, rows, |ix| self.account_in_cycle(ix)),
            RosterProblem::Parked => self.parked_flaws(from, rows, false),
            RosterProblem::UnknownState => {
                self.walk(self.facts.entitlements.len(), from, rows, |ix| self.state_unknown(ix))
            }
            RosterProblem::ProjectName => self.parked_flaws(from, rows, true),
            RosterProblem::UserName => {
                self.walk(self.facts.persons.len(), from, rows, |ix| self.name_not_in_effect(ix))
            }
            RosterProblem::Secret { now } => {
                self.walk(self.facts.secrets.len(), from, rows, |ix| self.secret_of_nobody(ix, now))
            }
            RosterProblem::Link => self.walk(self.facts.persons.len(), from, rows, |ix| self.link_not_made(ix)),
        }
    }

    /// Sources with facts that stand in the log, but for `local` and those that were retired.
    pub fn fact_sources(&self) -> impl Iterator<Item = &str> {
        (0..self.facts.sources.len()).filter_map(|ix| {
            let space = u16::try_from(ix).ok()?;
            let name = self.facts.sources.id(ix);
            (name != LOCAL && !self.facts.retired.contains_key(&space)).then_some(name)
        })
    }

    fn walk(&self, len: u32, from: u64, rows: u32, look: impl Fn(u32) -> Option<Flaw>) -> Walked {
        let first = u32::try_from(from).unwrap_or(u32::MAX).min(len);
        let end = first.saturating_add(rows).min(len);
        let found = (first..end).filter_map(|ix| Some((u64::from(ix), look(ix)?))).collect();
        Walked { found, next: (end < len).then_some(u64::from(end)) }
    }

    fn dangling(&self, from: u64, rows: u32) -> Walked {
        let (mut table, mut row) =
            (usize::try_from(from >> 32).unwrap_or(usize::MAX), u32::try_from(from & 0xffff_ffff).unwrap_or(u32::MAX));
        let (mut left, mut found) = (rows, Vec::new());
        while let Some(kind) = TABLES.get(table) {
            let len = self.table_len(*kind);
            row = row.min(len);
            let end = row.saturating_add(left).min(len);
            if matches!(kind, Table::Permissions) {
                // Not a table of rows: found by the person.
                for (person, register) in self.facts.permissions.range(row..end) {
                    let flaw = self.flaw_of(&self.permission(*person, *register));
                    found.extend(flaw.map(|flaw| (place(table, *person), flaw)));
                }
            } else {
                let flaws = (row..end).filter_map(|ix| {
                    let flaw = self.flaw_of(&self.referring(*kind, ix)?)?;
                    let remedy = match kind {
                        Table::Members => self.place_remedy(ix),
                        _ => None,
                    };
                    Some((place(table, ix), Flaw { remedy: remedy.unwrap_or(flaw.remedy), ..flaw }))
                });
                found.extend(flaws);
            }
            left -= end.saturating_sub(row);
            if end < len {
                return Walked { found, next: Some(place(table, end)) };
            }
            (table, row) = (table + 1, 0);
        }
        Walked { found, next: None }
    }

    fn table_len(&self, table: Table) -> u32 {
        let facts = &self.facts;
        let len = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        match table {
            Table::Accounts => facts.accounts.len(),
            Table::Persons | Table::Permissions => facts.persons.len(),
            Table::Packages => facts.packages.len(),
            Table::Entitlements => facts.entitlements.len(),
            Table::Lines => facts.lines.len(),
            Table::Mappings => len(facts.mappings.len()),
            Table::Assignments => len(facts.assignments.len()),
            Table::Members => len(facts.members.len()),
        }
    }

    /// A row that stands and whose references do not all.
    fn referring(&self, table: Table, ix: u32) -> Option<Referring> {
        let facts = &self.facts;
        let account =
            |ix: u32| (format!("account {}", facts.accounts.id(ix)), facts.accounts.get(ix).map(|row| row.register));
        let person =
            |ix: u32| (format!("person {}", facts.persons.id(ix)), facts.persons.get(ix).map(|row| row.register));
        let product =
            |ix: u32| (format!("product {}", facts.products.id(ix)), facts.products.get(ix).map(|row| row.register));
        let package =
            |ix: u32| (format!("package {}", facts.packages.id(ix)), facts.packages.get(ix).map(|row| row.register));
        let entitlement = |ix: u32| {
            (format!("entitlement {}", facts.entitlements.id(ix)), facts.entitlements.get(ix).map(|row| row.register))
        };
        let some = |ix: u32, name: &dyn Fn(u32) -> (String, Option<Register>)| {
            if ix == NONE { Vec::new() } else { vec![name(ix)] }
        };
        let stands =
            |ix: u32, register: Option<Register>| ix == NONE || register.is_some_and(|register| register.stands());
        let account_stands = |ix: u32| stands(ix, facts.accounts.get(ix).map(|row| row.register));
        // Asked first without any text: nearly every row is well.
        Some(match table {
            Table::Accounts => {
                let row = facts.accounts.get(ix).filter(|row| row.register.stands() && !account_stands(row.parent))?;
                let subject = format!("account/{}", facts.accounts.id(ix));
                Referring {
                    space: facts.accounts.names.space(ix),
                    subject,
                    register: row.register,
                    names: some(row.parent, &account),
                }
            }
            Table::Persons => {
                let row = facts.persons.get(ix).filter(|row| row.register.stands() && !account_stands(row.account))?;
                let subject = format!("person/{}", facts.persons.id(ix));
                Referring {
                    space: facts.persons.names.space(ix),
                    subject,
                    register: row.register,
                    names: some(row.account, &account),
                }
            }
            Table::Packages => {
                let row =
                    facts.packages.get(ix).filter(|row| row.register.stands() && !account_stands(row.producer))?;
                let subject = format!("package/{}", facts.packages.id(ix));
                Referring {
                    space: facts.packages.names.space(ix),
                    subject,
                    register: row.register,
                    names: some(row.producer, &account),
                }
            }
            Table::Entitlements => {
                let row =
                    facts.entitlements.get(ix).filter(|row| row.register.stands() && !account_stands(row.account))?;
                let subject = format!("entitlement/{}", facts.entitlements.id(ix));
                Referring {
                    space: facts.entitlements.names.space(ix),
                    subject,
                    register: row.register,
                    names: some(row.account, &account),
                }
            }
            Table::Lines => {
                let row = facts.lines.get(ix).filter(|row| row.register.stands())?;
                let of = facts.entitlements.get(row.entitlement).is_some_and(|row| row.register.stands());
                let to = facts.products.get(row.product).is_some_and(|row| row.register.stands());
                if of && to {
                    return None;
                }
                let subject = format!("line/{}", facts.lines.id(ix));
                let names = vec![entitlement(row.entitlement), product(row.product)];
                Referring { space: facts.lines.names.space(ix), subject, register: row.register, names }
            }
            Table::Mappings => {
                let row = facts.mappings.get(ix as usize).filter(|row| row.register.stands())?;
                let names = vec![package(row.left), product(row.right)];
                let subject =
                    pair_subject("package_product", facts.packages.id(row.left), facts.products.id(row.right));
                Referring { space: facts.packages.names.space(row.left), subject, register: row.register, names }
            }
            Table::Assignments => {
                let row = facts.assignments.get(ix as usize).filter(|row| row.register.stands())?;
                let names = vec![entitlement(row.left), person(row.right)];
                let subject =
                    pair_subject("entitlement_person", facts.entitlements.id(row.left), facts.persons.id(row.right));
                Referring { space: facts.entitlements.names.space(row.left), subject, register: row.register, names }
            }
            Table::Permissions => return None,
            Table::Members => {
                let row = facts.members.get(ix as usize).filter(|row| row.register.stands())?;
                let group =
                    |ix: u32| (format!("group {}", self.group_key(ix)), facts.groups.get(ix).map(|row| row.register));
                let holder = match row.holder {
                    // What is given by hand is another person's of the user, while that one is there.
                    Holder::Person(ix) if self.is_kept_here(row.group) && self.holds_what_is_given(ix) => {
                        let there = self.live_person(UserIx(self.user_of(ix))).unwrap_or(ix);
                        (format!("person {}", self.person_key(ix)), person(there).1)
                    }
                    Holder::Person(ix) => (format!("person {}", self.person_key(ix)), person(ix).1),
                    Holder::Group(ix) => group(ix),
                    Holder::Service(ix) => {
                        let register = self.service_row(ServiceIx(ix)).map(|row| row.register);
                        (format!("service {}", facts.services.id(ix)), register)
                    }
                };
                let (space, subject) = self.membership_subject(row);
                Referring { space, subject, register: row.register, names: vec![group(row.group), holder] }
            }
        })
    }

    fn permission(&self, person: u32, register: Register) -> Referring {
        let persons = &self.facts.persons;
        let id = persons.id(person);
        let subject = pair_subject("permission", id, "view_and_manage_download_packages");
        let names = vec![(format!("person {id}"), persons.get(person).map(|row| row.register))];
        Referring { space: persons.names.space(person), subject, register, names }
    }

    /// What is wrong with what a fact names, if anything is.
    fn flaw_of(&self, fact: &Referring) -> Option<Flaw> {
        if !fact.register.stands() {
            return None;
        }
        let missing = |(name, register): &(String, Option<Register>)| match register {
            Some(register) if register.stands() => None,
            Some(register) if register.stated() => Some(format!("{name} was removed (event {})", register.cause)),
            _ => Some(format!("{name} was never stated")),
        };
        let why: Vec<String> = fact.names.iter().filter_map(missing).collect();
        let gone: Vec<&str> =
            fact.names.iter().filter(|name| missing(name).is_some()).map(|(name, _)| name.as_str()).collect();
        if gone.is_empty() {
            return None;
        }
        let named: Vec<&str> = fact.names.iter().map(|(name, _)| name.as_str()).collect();
        Some(Flaw {
            said_by: self.cause(fact.space, fact.subject.clone(), &fact.register),
            said: format!("{} names {}", fact.subject, named.join(" and ")),
            why: why.join(", and "),
            remedy: match (self.source_text(fact.space), named.as_slice()) {
                // Nobody but a person says it here.
                (LOCAL, [group, member]) => format!(
                    "take it out: `rollcall groups take {} {}`",
                    quoted(group.trim_start_matches("group ").trim_start_matches("local/")),
                    quoted(&member.replacen("person ", "user:", 1).replacen(' ', ":", 1)),
                ),
                (source, _) => {
                    format!("have source {source} state {}, or take {} back", gone.join(" and "), fact.subject)
                }
            },
        })
    }

    /// What to do about a group that is in one that is kept here and is not there any more.
    fn place_remedy(&self, ix: u32) -> Option<String> {
        let row = self.facts.members.get(ix as usize)?;
        let groups = &self.facts.groups;
        let kept_here = self.source_text(groups.names.space(row.group)) == LOCAL;
        let Holder::Group(gone) = row.holder else { return None };
        if !kept_here || groups.get(gone).is_some_and(|row| row.register.stands()) {
            return None;
        }
        let (own, word) = (quoted(groups.names.text(row.group)), |id: String| quoted(&format!("group:{id}")));
        let take = format!("take it out: `rollcall groups take {own} {}`", word(self.group_key(gone)));
        Some(match self.group_made_again(gone) {
            Some(id) => {
                format!("if it was made again as {id}: `rollcall groups add {own} {}`; {take}", word(id.clone()))
            }
            None => take,
        })
    }

    /// A role that is given and gives nothing: to nobody, of no role, on nothing.
    fn vain_binding(&self, ix: u32) -> Option<Flaw> {
        let row = self.facts.bindings.get(ix)?.as_ref().filter(|row| row.register.stands())?;
        let (who, there) = match row.holder {
            Holder::Person(ix) => {
                let stands = self.facts.persons.get(ix).is_some_and(|row| row.register.stands());
                (format!("person {}", self.person_key(ix)), stands || self.holds_what_is_given(ix))
            }
            Holder::Service(ix) => {
                (format!("service {}", self.facts.services.id(ix)), self.service_stands(ServiceIx(ix)))
            }
            Holder::Group(ix) => {
                let stands = self.facts.groups.get(ix).is_some_and(|row| row.register.stands());
                let name = self.group(GroupIx(ix)).name.map_or_else(String::new, |name| format!(" ({name})"));
                (format!("group {}{name}", self.group_key(ix)), stands)
            }
        };
        let on = self.scope_name(row.on);
        let open = match row.on {
            RecordedScope::Root => true,
            RecordedScope::Folder(ix) => self.is_open(FolderIx(ix).into()),
            RecordedScope::Project(ix) => self.is_open(ProjectIx::recorded(ix).into()),
        };
        let role = &row.role;
        let known = self.roles.get(ix as usize).is_some_and(Option::is_some);
        let why = match (there, open, known) {
            (false, ..) => format!("{who} is not there"),
            (_, false, _) => format!("{on} is closed: nothing can be done in it"),
            (.., false) => format!("profile {} does not let role {role} be given there", self.profile.name()),
            _ => return None,
        };
        let again = match row.holder {
            Holder::Group(gone) if !there => self.group_made_again(gone),
            Holder::Group(_) | Holder::Person(_) | Holder::Service(_) => None,
        };
        let remedy = match again {
            Some(id) => format!(
                "if it was made again as {id}: `rollcall bindings set {} {} {}`; take this one away (`rollcall bindings remove`)",
                quoted(&format!("group:{id}")),
                quoted(role),
                quoted(&match row.on {
                    RecordedScope::Root => "root".to_owned(),
                    RecordedScope::Folder(_) | RecordedScope::Project(_) => on.replacen(' ', ":", 1),
                }),
            ),
            None => "take the role away (`rollcall bindings remove`), or bring back what is missing".to_owned(),
        };
        let subject = self.facts.bindings.id(ix).to_owned();
        Some(Flaw {
            said_by: Cause { position: row.register.cause, source: LOCAL.to_owned(), subject },
            said: format!("{who} has role {role} on {on}"),
            why,
            remedy,
        })
    }

    /// The one group that is there and is called as one was that is not: of its source, or of another authoritative one. Any
    /// other could call its groups so to be taken for it.
    fn group_made_again(&self, gone: u32) -> Option<String> {
        let view = self.group(GroupIx(gone));
        let space = |group: u32| self.facts.groups.names.space(group);
        let counts = |group: u32| {
            self.group(GroupIx(group)).source != LOCAL
                && (space(group) == space(gone)
                    || self.authoritative.get(usize::from(space(group))).copied().unwrap_or(false))
        };
        let called = |word: &str| {
            let mut called = self.groups_called(word).into_iter().filter(|GroupIx(group)| counts(*group));
            called.next().filter(|_| called.next().is_none()).map(|one| self.group(one).id)
        };
        view.external_id.and_then(called).or_else(|| view.name.and_then(called))
    }

    fn name_not_in_effect(&self, ix: u32) -> Option<Flaw> {
        let AskedName { name, why } = self.asked_name(ix)?;
        let row = self.facts.persons.get(ix).filter(|row| row.register.stands())?;
        let (id, space) = (self.facts.persons.id(ix), self.facts.persons.names.space(ix));
        let (source, called) = (self.source_text(space), self.facts.user_names.id(row.name));
        let remedy = match why {
            // Somebody decided it.
            NameProblem::Overruled => return None,
            NameProblem::Taken(..) | NameProblem::Freed => self.name_remedy(ix)?,
            NameProblem::Unusable(_) => format!("have source {source} state a user name that can be used"),
        };
        let remedy = format!("{remedy}; until then the person signs in as {called}");
        Some(Flaw {
            said_by: self.cause(space, format!("person/{id}"), &row.register),
            said: format!("person {id} asks for the user name {name}"),
            why: why.to_string(),
            remedy,
        })
    }

    fn secret_of_nobody(&self, ix: u32, now: DateTime<Utc>) -> Option<Flaw> {
        let row = self.secret_row(ix)?;
        if self.is_over(row, now.timestamp_micros()) || self.is_of_one_user(row) {
            return None;
        }
        let (id, owner) = (self.facts.secrets.id(ix), self.owner_principal(row.owner)?);
        let ended = row.made_for.iter().filter_map(|one| self.index.person_links.get(one)).flatten();
        let ended =
            ended.filter_map(|link| self.facts.links.get(*link as usize)).filter(|pair| !pair.register.stands());
        let between = ended.filter(|pair| [pair.left, pair.right].iter().all(|one| row.made_for.contains(one)));
        let parted = between.map(|pair| pair.register.cause).max();
        let parted = parted.map(|at| format!(" (event {})", at.0)).unwrap_or_default();
        let could_be: Vec<String> = row.made_for.iter().map(|one| self.person_key(*one)).collect();
        let label = row.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
        let what = if row.usage == SecretUse::Invitation { "invitation" } else { "secret" };
        let name = self.caller_names(owner).1;
        Some(Flaw {
            said_by: Cause { position: row.issued, source: LOCAL.to_owned(), subject: format!("secret/{id}") },
            said: format!("{what} {id}{label} signs {name} in"),
            why: format!(
                "it could be that of {}, who were parted since{parted}: it signs nobody in",
                could_be.join(" or of ")
            ),
            remedy: format!(
                "have whoever used it fetch another, and end this one: `rollcall secrets revoke {name} {id}`; or link them again"
            ),
        })
    }

    fn state_unknown(&self, ix: u32) -> Option<Flaw> {
        let row = self.facts.entitlements.get(ix)?;
        if row.state != State::Unknown || !row.register.stands() {
            return None;
        }
        let (id, space) = (self.facts.entitlements.id(ix), self.facts.entitlements.names.space(ix));
        Some(Flaw {
            said_by: self.cause(space, format!("entitlement/{id}"), &row.register),
            said: format!("entitlement {id} is in a state that this version does not know"),
            why: "only `active` gives access".to_owned(),
            remedy: format!("start the version of Rollcall that source {} was made for", self.source_text(space)),
        })
    }

    fn account_in_cycle(&self, ix: u32) -> Option<Flaw> {
        let facts = &self.facts;
        let row = facts.accounts.get(ix)?;
        let cycle = row.cycle.filter(|cycle| cycle.closed)?;
        let (id, parent, by) = (facts.accounts.id(ix), facts.accounts.id(row.parent), facts.accounts.id(cycle.by));
        let space = facts.accounts.names.space(ix);
        let said_by = self.cause(space, format!("account/{id}"), &row.register);
        Some(Flaw {
            said_by,
            said: format!("account {id} is below account {parent}"),
            why: format!(
                "account {by} closed a cycle of parents (event {}); accounts in it are nobody's sub-accounts",
                cycle.at
            ),
            remedy: format!("have source {} state another parent for one of them", self.source_text(space)),
        })
    }

    fn parked_flaws(&self, from: u64, rows: u32, names: bool) -> Walked {
        // By position: rows come and go, and a page goes on where the one before ended all the same.
        let mut marks: Vec<_> = self.facts.parked.iter().filter(|(_, mark)| mark.position.0 >= from).collect();
        marks.sort_unstable_by_key(|(_, mark)| mark.position);
        let next = marks.get(rows as usize).map(|(_, mark)| mark.position.0);
        let part = marks.into_iter().take(rows as usize).filter(|(_, mark)| mark.wants.is_some() == names);
        let found = part.map(|((space, subject), mark)| {
            let source = self.source_text(*space);
            let remedy = match &mark.wants {
                Some(_) => format!("have source {source} state the package with another project_name, or rename the project that has it"),
                None => format!("have source {source} say it anew as it should be; until then the last state stands"),
            };
            let said_by = Cause { position: mark.position, source: source.to_owned(), subject: subject.clone() };
            let said = match &mark.wants {
                Some(name) => format!("{subject} asks for project {name}"),
                None => format!("an event about {subject}"),
            };
            (mark.position.0, Flaw { said_by, said, why: mark.reason.clone(), remedy })
        });
        Walked { found: found.collect(), next }
    }
}

/// A word of a command as a shell takes it whole.
fn quoted(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || ":._/-".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
