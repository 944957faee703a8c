//! A second, naive account of the rules: keeps every event for ever and works each answer out from scratch.
//! Shares no code with the roster; slow on purpose. One source ordered by version, no links; bindings are set once and
//! for all.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, NewEvent};
use serde_json::Value;

/// Every event that was ever said, by subject.
#[derive(Debug, Default)]
pub struct Oracle {
    said: BTreeMap<String, Vec<(String, u64, Value, String)>>,
}

/// (user, project, role).
pub type Membership = (String, String, String);

impl Oracle {
    pub fn of(events: &[NewEvent]) -> Self {
        let mut oracle = Self::default();
        for event in events {
            let name = event.kind.trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned();
            let data = serde_json::from_str(&event.data).unwrap();
            let said = oracle.said.entry(event.subject.to_string()).or_default();
            // A command has no rivals here.
            said.push((name, event.sequence.unwrap_or_default(), data, event.data.to_string()));
        }
        oracle
    }

    /// DESIGN 5: the highest version; of equals the lesser; else the smaller hash. `None` when that is a removal.
    fn state(&self, subject: &str) -> Option<&Value> {
        let gives = |name: &str, data: &Value| match name {
            "person.upserted" if data["active"] == false => 1,
            "package.upserted" if data["container_delivery"] == false => 1,
            "entitlement.upserted" if data["state"] != "active" => 1,
            _ if is_end(name) => 0,
            _ => 2,
        };
        let best = self.said.get(subject)?.iter().min_by_key(|(name, version, data, text)| {
            (std::cmp::Reverse(*version), gives(name, data), Digest::of(text.as_bytes()))
        })?;
        (!is_end(&best.0)).then_some(&best.2)
    }

    /// The ids of one noun that are stated and not removed.
    fn all(&self, noun: &str) -> Vec<(&str, &Value)> {
        let subjects =
            self.said.keys().filter_map(|subject| Some((subject, subject.strip_prefix(noun)?.strip_prefix('/')?)));
        subjects.filter_map(|(subject, id)| Some((id, self.state(subject)?))).collect()
    }

    fn account(&self, id: &str) -> Option<&Value> {
        self.state(&format!("account/{id}"))
    }

    fn parent(&self, id: &str) -> Option<String> {
        Some(self.account(id)?["parent"].as_str()?.to_owned())
    }

    fn in_cycle(&self, id: &str) -> bool {
        let (mut seen, mut at) = (BTreeSet::new(), id.to_owned());
        while let Some(above) = self.parent(&at) {
            if above == id {
                return true;
            }
            if !seen.insert(above.clone()) {
                return false;
            }
            at = above;
        }
        false
    }

    /// The account and those that it is a sub-account of.
    fn line(&self, id: &str) -> BTreeSet<String> {
        let (mut line, mut at) = (BTreeSet::new(), id.to_owned());
        while self.account(&at).is_some() && line.insert(at.clone()) && !self.in_cycle(&at) {
            match self.parent(&at) {
                Some(above) => at = above,
                None => break,
            }
        }
        line
    }

    /// Every group that a person is in, by whatever way: looked for until no more is found.
    fn groups_of(&self, person: &str) -> BTreeSet<String> {
        let groups: Vec<&str> = self.all("group").into_iter().map(|(id, _)| id).collect();
        let mut found = BTreeSet::new();
        loop {
            let inside = |group: &&&str| {
                let member = |kind: &str, id: &str| self.state(&format!("member/{group}/{kind}/{id}")).is_some();
                member("person", person) || found.iter().any(|inner: &String| member("group", inner))
            };
            let more: BTreeSet<String> = groups.iter().filter(inside).map(|group| (*group).to_owned()).collect();
            if more == found {
                return found;
            }
            found = more;
        }
    }

    /// Rules 4 and 5: a role for a person or for everybody in a group, on the project of a package.
    fn is_bound(&self, binding: &Value, person: &str, package: &str) -> bool {
        let own = |value: &Value, id: &str| value.as_str() == Some(&format!("flexnet/{id}"));
        let principal = &binding["principal"];
        let holds = own(&principal["user"], person)
            || self.groups_of(person).iter().any(|group| own(&principal["group"], group));
        holds && own(&binding["scope"]["project"], package)
    }

    /// Rules 2 to 5 of DESIGN 7, word for word.
    pub fn memberships(&self, now: DateTime<Utc>) -> BTreeSet<Membership> {
        let within = |data: &Value, from: &str, until: &str| {
            let at = |key: &str| data[key].as_str().map(|t| t.parse::<DateTime<Utc>>().unwrap());
            at(from).is_none_or(|from| from <= now) && at(until).is_none_or(|until| now < until)
        };
        let mut found = BTreeSet::new();
        for (package_id, package) in self.all("package") {
            if package["container_delivery"] == false {
                continue;
            }
            let project = package["project_name"].as_str().unwrap();
            for (person_id, person) in self.all("person") {
                if person["active"] == false {
                    continue;
                }
                let account = person["account"].as_str();
                let permitted =
                    self.state(&format!("permission/{person_id}/view_and_manage_download_packages")).is_some();
                let producer = package["producer"].as_str().unwrap();
                if permitted && account.is_some_and(|account| self.line(account).contains(producer)) {
                    found.insert((person_id.to_owned(), project.to_owned(), "Developer".to_owned()));
                }
                let entitled = self.all("line").into_iter().any(|(_, line)| {
                    let (product, entitlement) =
                        (line["product"].as_str().unwrap(), line["entitlement"].as_str().unwrap());
                    let Some(bought) = self.state(&format!("entitlement/{entitlement}")) else { return false };
                    let buyer = bought["account"].as_str().unwrap();
                    let assigned = format!("entitlement_person/{entitlement}/");
                    // Whoever is unassigned was assigned, also where that fact never came.
                    let ever = self.said.keys().any(|subject| subject.starts_with(&assigned));
                    let reached = if ever {
                        self.state(&format!("{assigned}{person_id}")).is_some()
                    } else {
                        account == Some(buyer)
                    };
                    reached
                        && bought["state"] == "active"
                        && self.account(buyer).is_some()
                        && self.state(&format!("product/{product}")).is_some()
                        && self.state(&format!("package_product/{package_id}/{product}")).is_some()
                        && within(line, "starts", "ends")
                        && within(package, "effective_from", "effective_until")
                });
                if entitled {
                    found.insert((person_id.to_owned(), project.to_owned(), "Guest".to_owned()));
                }
                for (_, binding) in self.all("binding") {
                    if within(binding, "starts", "ends") && self.is_bound(binding, person_id, package_id) {
                        let role = binding["role"].as_str().unwrap().to_owned();
                        found.insert((person_id.to_owned(), project.to_owned(), role));
                    }
                }
            }
        }
        found
    }
}

fn is_end(name: &str) -> bool {
    [".removed", ".revoked", ".unmapped", ".unassigned"].iter().any(|end| name.ends_with(end))
}
