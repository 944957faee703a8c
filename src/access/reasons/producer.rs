//! Rule 2: the ways up from a person's accounts to the producer of the package.

use std::collections::BTreeSet;

use rollcall_events::{Position, body::pair_subject};

use super::{Cause, MOST_STEPS, Obstacle, Standing, Walk, Way, obstacle};
use crate::{
    facts::Field,
    profile::{Held, RoleIx},
    register::Register,
};

impl Walk<'_> {
    /// Rule 2: up from every account that the person is or was in, along present and former parents.
    pub(super) fn producer(&mut self, person: u32, role: RoleIx, own: &[Obstacle]) {
        let facts = &self.roster.facts;
        let Some(row) = facts.persons.get(person) else { return };
        let permission = facts.permissions.get(&person).copied().unwrap_or_default();
        let starts: Vec<u32> = facts.ever(Field::PersonAccount, person, row.account).collect();
        for start in starts {
            let mut first = Vec::new();
            if start != row.account {
                let name = facts.accounts.id(start);
                let text = format!("left account {name}");
                first.push(obstacle(
                    Standing::Ended,
                    text,
                    format!("is in account {name} again"),
                    Some(self.person_cause(person)),
                ));
            }
            // Along every present and former parent, the way with the fewest obstacles first: a clean way up is found
            // even where a former parent was a short cut.
            let mut queue = vec![(start, first, vec![self.account_cause(start)])];
            let mut seen = BTreeSet::new();
            while let Some(next) =
                (0..queue.len()).min_by_key(|i| queue.get(*i).map(|(_, obstacles, _)| obstacles.len()))
            {
                let (ix, mut obstacles, mut path) = queue.remove(next);
                if !seen.insert(ix) {
                    continue;
                }
                if seen.len() > MOST_STEPS {
                    break;
                }
                obstacles.extend(self.account_gone(ix));
                if ix != start {
                    path.push(self.account_cause(ix));
                }
                for producer in facts.ever(Field::PackageProducer, self.package_ix, self.package.producer) {
                    if producer == ix {
                        self.produced(person, role, own, (start, producer), &permission, &obstacles, &path);
                    }
                }
                let Some(account) = facts.accounts.get(ix) else { continue };
                for parent in facts.ever(Field::AccountParent, ix, account.parent) {
                    let mut obstacles = obstacles.clone();
                    let (child, name) = (facts.accounts.id(ix), facts.accounts.id(parent));
                    if parent != account.parent {
                        let text = format!("account {child} was moved away from account {name}");
                        let remedy = format!("account {child} is below account {name} again");
                        obstacles.push(obstacle(Standing::Ended, text, remedy, Some(self.account_cause(ix))));
                    } else if account.in_cycle {
                        let text = format!("account {child} is in a cycle of accounts and so nobody's sub-account");
                        let remedy = "the cycle of accounts is broken".to_owned();
                        obstacles.push(obstacle(Standing::Never, text, remedy, Some(self.account_cause(ix))));
                    }
                    queue.push((parent, obstacles, path.clone()));
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one way, put together once")]
    fn produced(
        &mut self,
        person: u32,
        role: RoleIx,
        own: &[Obstacle],
        (account, producer): (u32, u32),
        permission: &Register,
        path: &[Obstacle],
        steps: &[Cause],
    ) {
        let facts = &self.roster.facts;
        let space = facts.persons.names.space(person);
        let id = facts.persons.id(person);
        let subject = pair_subject("permission", id, "view_and_manage_download_packages");
        let mut obstacles = self.common.clone();
        obstacles.extend_from_slice(own);
        obstacles.extend_from_slice(path);
        let what = "the permission to view and manage download packages";
        if !permission.stands() {
            let (standing, text, cause) = if permission.stated() {
                (
                    Standing::Ended,
                    format!("{what} was revoked"),
                    Some(self.roster.cause(space, subject.clone(), permission)),
                )
            } else {
                (Standing::Never, format!("{what} was never granted"), None)
            };
            obstacles.push(obstacle(standing, text, format!("{what} is granted"), cause));
        }
        let (name, package) = (facts.accounts.id(producer), facts.packages.id(self.package_ix));
        if producer != self.package.producer {
            let text = format!("account {name} no longer produces package {package}");
            let remedy = format!("account {name} produces package {package} again");
            obstacles.push(obstacle(Standing::Ended, text, remedy, Some(self.package_cause())));
        }
        let via = if account == producer {
            String::new()
        } else {
            format!(", through sub-account {}", facts.accounts.id(account))
        };
        let mut causes = vec![self.roster.cause(space, subject, permission), self.person_cause(person)];
        causes.extend_from_slice(steps);
        causes.push(self.package_cause());
        causes.retain(|cause| cause.position != Position(0));
        let way = Way {
            rule: "producer",
            held: Held { role, level: self.roster.profile.project_level() },
            name: facts.accounts.id(account).to_owned(),
            text: format!("producer account {name} of package {package}{via}"),
            facts: causes,
            until: i64::MAX,
            obstacles,
        };
        self.push(way);
    }
}
