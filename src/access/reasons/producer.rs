//! Rule 2: the ways by which a person is, was or could be one of the package's producer.

use rollcall_events::{Position, body::pair_subject};
use serde_json::json;

use super::{AskedPackage, Cause, Obstacle, PathSearch, RolePath, Rule, Standing, ancestors::Reach, obstacle};
use crate::roster::{facts::Field, register::Register};

impl PathSearch<'_> {
    /// Rule 2: up from every account that the person is or was in, along present and former parents.
    pub(super) fn find_producer(&mut self, at: AskedPackage<'_>, person: u32, own: &[Obstacle]) {
        let facts = &self.roster.facts;
        let permission = facts.permissions.get(&person).copied().unwrap_or_default();
        let producers: Vec<u32> = facts.current_and_former(Field::PackageProducer, at.ix, at.row.producer).collect();
        for paths in self.ancestor_paths(person, Reach::Up) {
            for (ix, step) in paths.steps.iter().enumerate().filter(|(_, step)| producers.contains(&step.account)) {
                let (obstacles, steps) = self.along(&paths, ix);
                self.push_producer(at, person, own, (paths.start, step.account), &permission, &obstacles, &steps);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one path, put together once")]
    fn push_producer(
        &mut self,
        at: AskedPackage<'_>,
        person: u32,
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
            let fix = self.fix_permission(person);
            obstacles.push(obstacle(standing, text, format!("{what} is granted"), cause).with_fix(fix));
        }
        let (name, package) = (facts.accounts.id(producer), facts.packages.id(at.ix));
        if producer != at.row.producer {
            let text = format!("account {name} no longer produces package {package}");
            let remedy = format!("account {name} produces package {package} again");
            let cause = self.left_by(self.package_cause(at), Field::PackageProducer, at.ix, producer);
            let moved = obstacle(Standing::Ended, text, remedy, Some(cause));
            obstacles.push(moved.with_fix(self.fix_package(at.ix, json!({"producer": name}))));
        }
        let via = if account == producer {
            String::new()
        } else {
            format!(", through sub-account {}", facts.accounts.id(account))
        };
        let mut causes = vec![self.roster.cause(space, subject, permission), self.person_cause(person)];
        causes.extend_from_slice(steps);
        causes.push(self.package_cause(at));
        causes.retain(|cause| cause.position != Position(0));
        let (role, held) = self.role_of_rule(Rule::Producer);
        let role_path = RolePath {
            rule: Rule::Producer,
            held,
            role,
            name: facts.accounts.id(account).to_owned(),
            text: format!("producer account {name} of package {package}{via}"),
            facts: causes,
            until: i64::MAX,
            obstacles,
        };
        self.push(role_path);
    }
}
