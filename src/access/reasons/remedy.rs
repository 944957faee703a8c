//! What would make a no a yes, as things that can be done: events that a source or a command says, a switch, time.
//! Restates rows as the roster keeps them; whether doing it is enough, `explain` finds out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rollcall_events::{LOCAL, body::Visibility};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::PathSearch;
use crate::roster::{
    Roster,
    facts::{Binding, Holder, Member, NONE, Origin, RecordedScope, instant},
    handles::{FolderIx, ProjectIx, RecordedIx, ServiceIx},
};

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// An event is said: by its source, or by a command where the source is `local`.
    Say {
        /// Who says it.
        source: String,
        /// The event's type.
        #[serde(rename = "type")]
        kind: String,
        /// What it has to say. What the roster does not keep (labels, the kind of an account) is left out.
        data: Map<String, Value>,
    },
    /// A switch of the profile is set.
    Set {
        /// Its name.
        switch: String,
        /// What it has to say.
        value: String,
    },
    /// Time passes until this instant.
    Wait {
        /// The instant.
        until: DateTime<Utc>,
    },
}

/// What would make a no a yes, all of it together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// In words.
    pub text: String,
    /// What to do, in this order.
    pub steps: Vec<Step>,
}

/// What takes one obstacle away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Fix {
    /// Nothing that can be said in one step.
    #[default]
    None,
    /// A row is stated with some members changed.
    State { source: String, kind: &'static str, row: Map<String, Value>, change: Map<String, Value> },
    /// Time.
    Wait(DateTime<Utc>),
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What has to be there before what names it.
fn creation_order(kind: &str) -> usize {
    const ORDER: [&str; 8] =
        ["account.", "person.", "folder.", "service.", "group.upserted", "project.", "group.member", "binding."];
    ORDER.iter().position(|noun| kind.contains(noun)).unwrap_or(0)
}

/// The steps that take all of these away; two changes of one row are one step. Nothing where one of them has none.
pub(crate) fn steps(fixes: &[Fix]) -> Option<Vec<Step>> {
    let mut rows: BTreeMap<(usize, String, &str, String), Map<String, Value>> = BTreeMap::new();
    let mut wait: Option<DateTime<Utc>> = None;
    for fix in fixes {
        match fix {
            Fix::None => return None,
            Fix::Wait(until) => wait = wait.max(Some(*until)),
            Fix::State { source, kind, row, change } => {
                let known = Value::Object(row.clone()).to_string();
                let said =
                    rows.entry((creation_order(kind), source.clone(), kind, known)).or_insert_with(|| row.clone());
                said.extend(change.clone());
            }
        }
    }
    let mut steps: Vec<Step> = rows
        .into_iter()
        .map(|((_, source, kind, _), data)| Step::Say { source, kind: format!("rollcall.{kind}.v1"), data })
        .collect();
    steps.extend(wait.map(|until| Step::Wait { until }));
    Some(steps)
}

impl PathSearch<'_> {
    /// A row of a source's table, restated with a change. A source that is no more says nothing.
    fn restate(&self, space: u16, kind: &'static str, row: Value, change: Value) -> Fix {
        if self.roster.facts.retired.contains_key(&space) {
            return Fix::None;
        }
        Fix::State {
            source: self.roster.source_text(space).to_owned(),
            kind,
            row: into_map(row),
            change: into_map(change),
        }
    }

    /// A source that is suspended is resumed.
    pub(super) fn fix_suspended(&self, space: u16) -> Fix {
        self.command("source.resumed", json!({"source": self.roster.source_text(space)}), json!({}))
    }

    pub(super) fn fix_account(&self, ix: u32, change: Value) -> Fix {
        let accounts = &self.roster.facts.accounts;
        let parent = accounts.get(ix).map(|row| row.parent).filter(|parent| *parent != NONE).map(|ix| accounts.id(ix));
        let row = json!({"account": accounts.id(ix), "parent": parent});
        self.restate(accounts.names.space(ix), "account.upserted", row, change)
    }

    pub(super) fn fix_person(&self, ix: u32, change: Value) -> Fix {
        let facts = &self.roster.facts;
        let Some(row) = facts.persons.get(ix) else { return Fix::None };
        let account = (row.account != NONE).then(|| facts.accounts.id(row.account));
        let username = (row.name != NONE).then(|| self.roster.wanted_name(ix)).flatten();
        let row = json!({"person": facts.persons.id(ix), "username": username, "account": account, "active": true});
        self.restate(facts.persons.names.space(ix), "person.upserted", row, change)
    }

    pub(super) fn fix_permission(&self, person: u32) -> Fix {
        let persons = &self.roster.facts.persons;
        let row = json!({"person": persons.id(person), "permission": "view_and_manage_download_packages"});
        self.restate(persons.names.space(person), "permission.granted", row, json!({}))
    }

    pub(super) fn fix_product(&self, ix: u32) -> Fix {
        let products = &self.roster.facts.products;
        self.restate(products.names.space(ix), "product.upserted", json!({"product": products.id(ix)}), json!({}))
    }

    pub(super) fn fix_package(&self, ix: u32, change: Value) -> Fix {
        let facts = &self.roster.facts;
        let Some(row) = facts.packages.get(ix) else { return Fix::None };
        let name = (row.project != NONE).then(|| self.roster.project_name(ProjectIx::recorded(row.project)));
        let producer = (row.producer != NONE).then(|| facts.accounts.id(row.producer));
        let row = json!({
            "package": facts.packages.id(ix), "project_name": name, "producer": producer, "container_delivery": true,
            "effective_from": instant(row.from), "effective_until": instant(row.until),
        });
        self.restate(facts.packages.names.space(ix), "package.upserted", row, change)
    }

    pub(super) fn fix_mapping(&self, package: u32, product: u32) -> Fix {
        let facts = &self.roster.facts;
        let row = json!({"package": facts.packages.id(package), "product": facts.products.id(product)});
        self.restate(facts.packages.names.space(package), "package.product.mapped", row, json!({}))
    }

    pub(super) fn fix_entitlement(&self, ix: u32, change: Value) -> Fix {
        let facts = &self.roster.facts;
        let Some(row) = facts.entitlements.get(ix).filter(|row| row.account != NONE) else { return Fix::None };
        let said = json!({"entitlement": facts.entitlements.id(ix), "account": facts.accounts.id(row.account), "state": "active"});
        self.restate(facts.entitlements.names.space(ix), "entitlement.upserted", said, change)
    }

    pub(super) fn fix_line(&self, ix: u32, change: Value) -> Fix {
        let facts = &self.roster.facts;
        let Some(row) = facts.lines.get(ix) else { return Fix::None };
        let row = json!({
            "line": facts.lines.id(ix), "entitlement": facts.entitlements.id(row.entitlement),
            "product": facts.products.id(row.product), "starts": instant(row.starts), "ends": instant(row.ends),
        });
        self.restate(facts.lines.names.space(ix), "entitlement.line.upserted", row, change)
    }

    pub(super) fn fix_assignment(&self, entitlement: u32, person: u32) -> Fix {
        let facts = &self.roster.facts;
        let row = json!({"entitlement": facts.entitlements.id(entitlement), "person": facts.persons.id(person)});
        self.restate(facts.entitlements.names.space(entitlement), "entitlement.person.assigned", row, json!({}))
    }

    pub(super) fn fix_group(&self, ix: u32) -> Fix {
        let groups = &self.roster.facts.groups;
        let row = json!({"group": groups.id(ix), "name": groups.get(ix).and_then(|row| row.name.as_deref())});
        self.restate(groups.names.space(ix), "group.upserted", row, json!({}))
    }

    pub(super) fn fix_member(&self, row: &Member, kind: &str, id: &str) -> Fix {
        let groups = &self.roster.facts.groups;
        // What is kept here names what is there: a service that is gone has to be made first, which its own way says.
        if let Holder::Service(ix) = row.holder
            && !self.roster.service_stands(ServiceIx(ix))
        {
            return Fix::None;
        }
        let said = json!({"group": groups.id(row.group), "member": {kind: id}});
        self.restate(groups.names.space(row.group), "group.member.added", said, json!({}))
    }

    fn command(&self, kind: &'static str, row: Value, change: Value) -> Fix {
        Fix::State { source: LOCAL.to_owned(), kind, row: into_map(row), change: into_map(change) }
    }

    pub(super) fn fix_service(&self, ix: u32) -> Fix {
        let row = self.roster.service(ServiceIx(ix));
        self.command("service.created", json!({"service": row.id, "name": row.name}), json!({}))
    }

    pub(super) fn fix_folder(&self, folder: FolderIx) -> Fix {
        let view = self.roster.folder(folder);
        let parent = view.parent.map(|parent| self.roster.folder(parent).id);
        if parent.is_some_and(|parent| self.roster.folder_by_id(parent).is_none()) {
            return Fix::None;
        }
        let row = json!({"folder": view.id, "kind": view.kind, "parent": parent, "name": view.name});
        self.command("folder.upserted", row, json!({}))
    }

    /// A folder back in another one.
    pub(super) fn fix_folder_in(&self, folder: FolderIx, parent: FolderIx) -> Fix {
        let view = self.roster.folder(folder);
        let row =
            json!({"folder": view.id, "kind": view.kind, "parent": self.roster.folder(parent).id, "name": view.name});
        if self.roster.is_open(parent.into()) { self.command("folder.upserted", row, json!({})) } else { Fix::None }
    }

    /// A project back in another folder.
    pub(super) fn fix_project_in(&self, project: ProjectIx, folder: FolderIx) -> Fix {
        let open = self.roster.is_open(folder.into()) && self.roster.is_open(project.into());
        match self.roster.local_project_data(project).filter(|_| open) {
            Some(row) => self.command("project.updated", row, json!({"folder": self.roster.folder(folder).id})),
            None => Fix::None,
        }
    }

    /// As it was. Nothing where the profile of now does not let a project of its kind be that visible.
    pub(super) fn fix_project(&self, project: ProjectIx) -> Fix {
        let Some(row) = self.roster.local_project_data(project) else { return Fix::None };
        let Some(Origin::Local(local)) = self.roster.project_row(project).map(|row| &row.origin) else {
            return Fix::None;
        };
        let possible = match self.roster.profile().kind(local.kind) {
            Some(kind) => kind.visibility.contains(&local.visibility),
            None => local.visibility == Visibility::Private,
        };
        if possible { self.command("project.created", row, json!({})) } else { Fix::None }
    }

    pub(super) fn fix_binding(&self, row: &Binding) -> Fix {
        let roster = self.roster;
        let (Some(principal), Some(scope)) = (roster.event_holder(row.holder), roster.event_scope(row.on)) else {
            return Fix::None;
        };
        let managed =
            matches!(row.on, RecordedScope::Project(ix) if roster.package_of(ProjectIx::recorded(ix)).is_some());
        if managed && !roster.settings.bindings_on_managed {
            return Fix::None;
        }
        let said = json!({"principal": principal, "role": row.role, "scope": scope, "author": "admin key",
            "starts": null, "ends": null});
        self.command("binding.set", said, json!({}))
    }
}

impl Roster {
    /// A project that people made, as a command states it. Not who made it: that is nobody's business here.
    pub(crate) fn local_project_data(&self, project: ProjectIx) -> Option<Value> {
        let ProjectIx::Recorded(RecordedIx(_)) = project else { return None };
        let Origin::Local(local) = &self.project_row(project)?.origin else { return None };
        let folder = (local.folder != NONE).then(|| self.folder(FolderIx(local.folder)).id);
        Some(json!({
            "project": self.facts.local_projects.id(local.id), "name": self.project_name(project), "kind": local.kind,
            "visibility": local.visibility, "folder": folder,
        }))
    }

    /// Whether stating these accounts anew would make one of them its own sub-account.
    pub(crate) fn would_make_cycle(&self, steps: &[Step]) -> bool {
        let mut said: BTreeMap<(&str, &str), Option<&str>> = BTreeMap::new();
        for step in steps {
            if let Step::Say { source, data, .. } = step
                && let Some(account) =
                    data.get("account").and_then(Value::as_str).filter(|_| data.contains_key("parent"))
            {
                said.insert((source, account), data.get("parent").and_then(Value::as_str));
            }
        }
        let above = |source: &str, id: &str| -> Option<String> {
            if let Some(parent) = said.get(&(source, id)) {
                return parent.map(str::to_owned);
            }
            let space = u16::try_from(self.facts.sources.find(0, source)?).ok()?;
            let row = self.facts.accounts.get(self.facts.accounts.find(space, id)?)?;
            (row.register.stands() && row.parent != NONE).then(|| self.facts.accounts.id(row.parent).to_owned())
        };
        said.keys().any(|(source, account)| {
            let mut seen = std::collections::BTreeSet::new();
            let mut next = above(source, account);
            while let Some(id) = next.filter(|id| seen.insert(id.clone())) {
                next = above(source, &id);
            }
            seen.contains(*account)
        })
    }
}
