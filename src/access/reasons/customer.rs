//! Rule 3: the lines through which a person is, was or could be an entitled customer of the package.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{Position, body::pair_subject};

use serde_json::json;

use super::{AskedPackage, Cause, Obstacle, PathSearch, RolePath, Rule, Standing, ancestors::Reach, obstacle};
use crate::roster::facts::{Field, NONE, State};

/// A line as it is or once was: for which product, of which entitlement, bought by which account.
#[derive(Debug, Clone, Copy)]
struct Purchase {
    line: u32,
    product: u32,
    entitlement: u32,
    account: u32,
}

impl PathSearch<'_> {
    /// Rule 3: every line of a product that is or was in the package, of an account that the person is or was in, or of
    /// an entitlement that the person is or was assigned to.
    pub(super) fn find_customer(&mut self, at: AskedPackage<'_>, person: u32, own: &[Obstacle]) {
        let roster = self.roster;
        let facts = &roster.facts;
        let mut lines = BTreeSet::new();
        // Where an entitlement reached sub-accounts once, the way up is what ended.
        let narrowed =
            Some(roster.setting_cause("customer_sub_accounts")).filter(|_| !roster.settings.customer_sub_accounts);
        let reach = if matches!(narrowed, Some(None)) { Reach::Own } else { Reach::Up };
        let all_paths = self.ancestor_paths(person, reach);
        let not_beyond = narrowed.flatten().map(|cause| {
            let text = "an entitlement no longer reaches sub-accounts (customer_sub_accounts)".to_owned();
            obstacle(Standing::Ended, text, "entitlements reach sub-accounts again".to_owned(), Some(cause))
        });
        // The wanted way to each account.
        let mut accounts: BTreeMap<u32, ((u64, u64), usize, usize)> = BTreeMap::new();
        for (n, paths) in all_paths.iter().enumerate() {
            for (ix, step) in paths.steps.iter().enumerate() {
                let hindrance = step.hindrance.and(not_beyond.iter().filter(|_| ix > 0));
                let this = (self.wanted.order(hindrance), n, ix);
                let best = accounts.entry(step.account).or_insert(this);
                *best = (*best).min(this);
            }
        }
        for mapping in roster.index.package_mappings.of(at.ix) {
            let Some(pair) = facts.mappings.get(*mapping as usize) else { continue };
            for account in accounts.keys() {
                lines.extend(roster.index.purchases.of((*account, pair.right)));
            }
            for assigned in roster.index.person_assignments.get(&person).into_iter().flatten() {
                let Some(assigned) = facts.assignments.get(*assigned as usize) else { continue };
                for line in roster.index.entitlement_lines.of(assigned.left) {
                    let ever = |line: &u32| {
                        facts.lines.get(*line).is_some_and(|row| {
                            facts.current_and_former(Field::LineProduct, *line, row.product).any(|p| p == pair.right)
                        })
                    };
                    lines.extend(Some(*line).filter(ever));
                }
            }
        }
        let way = |account: u32| {
            let (_, n, ix) = accounts.get(&account)?;
            let paths = all_paths.get(*n)?;
            let (mut obstacles, causes) = self.along(paths, *ix);
            obstacles.extend(not_beyond.clone().filter(|_| *ix > 0));
            Some((obstacles, causes))
        };
        let mut found = Vec::new();
        for line in lines {
            let Some(row) = facts.lines.get(line) else { continue };
            // What it is for, of and bought by now comes first; where that gives something, what was before is history.
            let ever: Vec<Purchase> = facts
                .current_and_former(Field::LineProduct, line, row.product)
                .filter(|product| roster.index.mapping.contains_key(&(at.ix, *product)))
                .flat_map(|product| {
                    let entitlements = facts.current_and_former(Field::LineEntitlement, line, row.entitlement);
                    entitlements.flat_map(move |entitlement| {
                        let now = facts.entitlements.get(entitlement).map_or(NONE, |buyer| buyer.account);
                        let accounts = facts.current_and_former(Field::EntitlementAccount, entitlement, now);
                        accounts.map(move |account| Purchase { line, product, entitlement, account })
                    })
                })
                .collect();
            for purchase in ever {
                let assigned = roster.index.assignment.contains_key(&(purchase.entitlement, person));
                let way = way(purchase.account);
                if !assigned && way.is_none() {
                    continue;
                }
                let path = self.customer_path(at, person, own, &purchase, way);
                let stands = path.as_ref().is_some_and(RolePath::stands);
                found.extend(path);
                if stands {
                    break;
                }
            }
        }
        for path in found {
            self.push(path);
        }
    }

    /// The path of one purchase. `way`: what stands between the person and the account, where there is or
    /// was a way.
    fn customer_path(
        &self,
        at: AskedPackage<'_>,
        person: u32,
        own: &[Obstacle],
        purchase: &Purchase,
        way: Option<(Vec<Obstacle>, Vec<Cause>)>,
    ) -> Option<RolePath> {
        let roster = self.roster;
        let facts = &roster.facts;
        let Purchase { line: line_ix, product: product_ix, entitlement, account } = *purchase;
        let (line, buyer) = (facts.lines.get(line_ix)?, facts.entitlements.get(entitlement)?);
        let mut obstacles = self.common.clone();
        obstacles.extend_from_slice(own);
        let space = facts.lines.names.space(line_ix);
        let (line_id, entitlement_id, product_id) =
            (facts.lines.id(line_ix), facts.entitlements.id(entitlement), facts.products.id(product_ix));
        let line_cause = roster.cause(space, format!("line/{line_id}"), &line.register);
        let entitlement_cause = roster.cause(space, format!("entitlement/{entitlement_id}"), &buyer.register);

        // The person in the entitlement.
        let assigned =
            roster.index.assignment.get(&(entitlement, person)).and_then(|ix| facts.assignments.get(*ix as usize));
        let assigned_subject = pair_subject("entitlement_person", entitlement_id, facts.persons.id(person));
        let assignment_cause = assigned.map(|pair| roster.cause(space, assigned_subject, &pair.register));
        let (between, way_causes) = way.unwrap_or_default();
        let what = format!("entitlement {entitlement_id}");
        if buyer.narrowed {
            if !assigned.is_some_and(|pair| pair.register.stands()) {
                let remedy = format!("the person is assigned to entitlement {entitlement_id}");
                let missing = match &assignment_cause {
                    Some(cause) => {
                        let text = format!("the person was unassigned from entitlement {entitlement_id}");
                        obstacle(Standing::Ended, text, remedy, Some(cause.clone()))
                    }
                    None => {
                        let text =
                            format!("entitlement {entitlement_id} is for named people, and the person is none of them");
                        obstacle(Standing::Never, text, remedy, self.narrowing(entitlement))
                    }
                };
                obstacles.push(missing.with_fix(self.fix_assignment(entitlement, person)));
            }
            match self.account_gone(buyer.account).filter(|_| buyer.account != NONE) {
                // What it went away from is there: going to one that is not is what ended it.
                Some(_) if account != buyer.account && self.account_gone(account).is_none() => {
                    let (now, name) = (facts.accounts.id(buyer.account), facts.accounts.id(account));
                    let text = format!("{what} went to account {now}, which is not there");
                    let cause =
                        self.left_by(entitlement_cause.clone(), Field::EntitlementAccount, entitlement, account);
                    let remedy = format!("{what} is of account {name} again");
                    let elsewhere = obstacle(Standing::Ended, text, remedy, Some(cause));
                    obstacles.push(elsewhere.with_fix(self.fix_entitlement(entitlement, json!({"account": name}))));
                }
                gone => obstacles.extend(gone),
            }
        } else {
            obstacles.extend(between);
            if account != buyer.account {
                let now = facts.accounts.id(buyer.account);
                let text = format!("entitlement {entitlement_id} went to account {now}");
                let remedy = format!("the person is in account {now}");
                let cause = self.left_by(entitlement_cause.clone(), Field::EntitlementAccount, entitlement, account);
                let elsewhere = obstacle(Standing::Ended, text, remedy, Some(cause));
                obstacles.push(elsewhere.with_fix(self.fix_person(person, json!({"account": now}))));
                obstacles.extend(self.account_gone(buyer.account));
            }
        }
        if entitlement != line.entitlement {
            let now = facts.entitlements.id(line.entitlement);
            let text = format!("line {line_id} went to entitlement {now}");
            let cause = self.left_by(line_cause.clone(), Field::LineEntitlement, line_ix, entitlement);
            let remedy = format!("line {line_id} is of entitlement {entitlement_id} again");
            let moved = obstacle(Standing::Ended, text, remedy, Some(cause));
            obstacles.push(moved.with_fix(self.fix_line(line_ix, json!({"entitlement": entitlement_id}))));
        }
        if product_ix != line.product {
            let now = facts.products.id(line.product);
            let text = format!("line {line_id} is for product {now} now");
            let cause = self.left_by(line_cause.clone(), Field::LineProduct, line_ix, product_ix);
            let remedy = format!("line {line_id} is for product {product_id} again");
            let other = obstacle(Standing::Ended, text, remedy, Some(cause));
            obstacles.push(other.with_fix(self.fix_line(line_ix, json!({"product": product_id}))));
        }

        // The entitlement and its line.
        match self.removed_obstacle(&what, space, format!("entitlement/{entitlement_id}"), &buyer.register) {
            Some(gone) => obstacles.push(gone.with_fix(self.fix_entitlement(entitlement, json!({})))),
            None if buyer.state != State::Active => {
                let (standing, word) = match buyer.state {
                    State::Draft => (Standing::NotYet, "a draft"),
                    State::OnHold => (Standing::Ended, "on hold"),
                    State::Obsolete => (Standing::Ended, "obsolete"),
                    State::Unknown => (Standing::Ended, "in a state that only a newer version knows"),
                    State::Inactive | State::Active => (Standing::Ended, "inactive"),
                };
                let text = format!("{what} is {word}");
                let off = obstacle(standing, text, format!("{what} is active"), Some(entitlement_cause.clone()));
                obstacles.push(off.with_fix(self.fix_entitlement(entitlement, json!({}))));
            }
            None => {}
        }
        let what = format!("line {line_id}");
        let gone = self.removed_obstacle(&what, space, format!("line/{line_id}"), &line.register);
        let open = || self.fix_line(line_ix, json!({"starts": null, "ends": null}));
        obstacles.extend(gone.map(|gone| gone.with_fix(open())));
        if line.register.stands() {
            self.window(&mut obstacles, &what, (line.starts, line.ends), &line_cause, open);
        }

        // The product in the package.
        let product = facts.products.get(product_ix).map(|row| row.register).unwrap_or_default();
        let product_subject = format!("product/{product_id}");
        let gone = self.removed_obstacle(&format!("product {product_id}"), space, product_subject.clone(), &product);
        obstacles.extend(gone.map(|gone| gone.with_fix(self.fix_product(product_ix))));
        let package_id = facts.packages.id(at.ix);
        let mapping = roster.index.mapping.get(&(at.ix, product_ix)).and_then(|ix| facts.mappings.get(*ix as usize));
        let mapping_subject = pair_subject("package_product", package_id, product_id);
        let mapping_cause = mapping.map(|pair| roster.cause(space, mapping_subject, &pair.register));
        if !mapping.is_some_and(|pair| pair.register.stands()) {
            let text = format!("product {product_id} was taken out of package {package_id}");
            let remedy = format!("product {product_id} is mapped to package {package_id} again");
            let out = obstacle(Standing::Ended, text, remedy, mapping_cause.clone());
            obstacles.push(out.with_fix(self.fix_mapping(at.ix, product_ix)));
        }
        if at.row.register.stands() {
            let what = format!("package {package_id}");
            let open = || self.fix_package(at.ix, json!({"effective_from": null, "effective_until": null}));
            self.window(&mut obstacles, &what, (at.row.from, at.row.until), &self.package_cause(at), open);
        }

        let mut causes = vec![line_cause, entitlement_cause];
        causes.extend(assignment_cause);
        causes.push(self.person_cause(person));
        causes.push(self.account_cause(account));
        let more: Vec<Cause> = way_causes.into_iter().filter(|cause| !causes.contains(cause)).collect();
        causes.extend(more);
        causes.push(roster.cause(space, product_subject, &product));
        causes.extend(mapping_cause);
        causes.push(self.package_cause(at));
        causes.retain(|cause| cause.position != Position(0));
        let (role, held) = self.role_of_rule(Rule::Customer);
        let role_path = RolePath {
            rule: Rule::Customer,
            held,
            role,
            name: line_id.to_owned(),
            text: format!(
                "entitlement {entitlement_id} (account {}, product {product_id})",
                facts.accounts.id(account)
            ),
            facts: causes,
            until: line.ends.min(at.row.until),
            obstacles,
        };
        Some(role_path)
    }

    /// The newest event about whoever was the first that an entitlement was narrowed to.
    fn narrowing(&self, entitlement: u32) -> Option<Cause> {
        let facts = &self.roster.facts;
        let first = self.roster.index.entitlement_assignments.get(&entitlement)?.first()?;
        let pair = facts.assignments.get(*first as usize)?;
        let subject =
            pair_subject("entitlement_person", facts.entitlements.id(entitlement), facts.persons.id(pair.right));
        Some(self.roster.cause(facts.entitlements.names.space(entitlement), subject, &pair.register))
    }
}
