//! What mirrors a directory: the engine by itself, or the whole product; started, stopped, asked and confirmed alike.

use std::collections::BTreeSet;

use rollcall_events::{Body, Position, Recorded, body::Author};
use rollcall_ingest::{ChangeKind, SourceRecords};
use rollcall_ldap::{Config, Mode};
use serde_json::Value;

use crate::{
    directories::read::config,
    support::{
        corp::{Corp, name},
        server::Server,
        slapd::{BASE, SYNC},
        wire::Wire,
    },
};

/// What mirrors a directory.
pub trait Mirror {
    fn start(&mut self);
    fn stop(&mut self);
    /// Loses everything beside the log, while it is stopped.
    fn lose(&mut self);
    /// Wants a read soon. False where that is not to be had.
    fn hint(&self) -> bool;
    fn said(&self, after: Position) -> Vec<(Position, Body)>;
    /// Has everything read by a read that begins now, and confirms what is held. False where that may have to be asked
    /// for again.
    fn read(&self) -> bool;
    /// The subjects that would end by the newest plan that is held.
    fn held(&self) -> BTreeSet<String>;
    /// The product, where it is the whole.
    fn product(&self) -> Option<&Server> {
        None
    }
}

impl Mirror for Corp {
    fn start(&mut self) {
        self.start();
    }

    fn stop(&mut self) {
        self.stop();
    }

    fn lose(&mut self) {
        self.store.lose();
    }

    fn hint(&self) -> bool {
        self.hint();
        true
    }

    fn said(&self, after: Position) -> Vec<(Position, Body)> {
        let body = |record: Recorded| (record.position, Body::parse(&record.event.kind, &record.event.data).unwrap());
        self.records(after).into_iter().map(body).collect()
    }

    fn read(&self) -> bool {
        self.read();
        // One who asks after that read has its turn when all that follows from it is done.
        let _ = self.block(self.runners().plan(&name()));
        while let Some(plan) = self.block(self.store.held_plan(&name())).unwrap() {
            let _ = self.block(self.runners().apply(&plan.id, plan.removals, Author::operator()));
        }
        true
    }

    fn held(&self) -> BTreeSet<String> {
        let plan = self.block(self.store.held_plan(&name())).unwrap();
        let rows = plan.map(|plan| self.store.rows(&plan.id)).unwrap_or_default();
        rows.into_iter().filter(|row| row.verb == ChangeKind::Remove).map(|row| row.subject).collect()
    }
}

impl Mirror for Server {
    fn start(&mut self) {
        self.go();
    }

    fn stop(&mut self) {
        self.kill();
    }

    fn lose(&mut self) {}

    fn hint(&self) -> bool {
        false
    }

    fn said(&self, after: Position) -> Vec<(Position, Body)> {
        let all = self.pages(&format!("/api/v1/events?source=corp-ldap&after={}&limit=500", after.0));
        let body = |event: &Value| {
            let body = Body::parse(event["type"].as_str().unwrap(), &event["data"].to_string()).unwrap();
            (Position(event["position"].as_u64().unwrap()), body)
        };
        all.iter().map(body).collect()
    }

    /// After some failures the product waits longer for its next try than a test may, so the read is asked for.
    fn read(&self) -> bool {
        let plan = self.post("/api/v1/sources/corp-ldap/plan", &serde_json::json!({})).json();
        if let (Some(id), Some(removals)) = (plan["id"].as_str(), plan["removals"].as_u64()) {
            self.cli(&["apply", id, "--confirm-removals", &removals.to_string()]);
        }
        false
    }

    fn held(&self) -> BTreeSet<String> {
        let plans = self.pages("/api/v1/plans?source=corp-ldap&limit=100");
        let open = |plan: &&Value| plan["state"] == "open" && plan["why"] != "asked";
        let Some(plan) = plans.iter().find(open) else { return BTreeSet::new() };
        let rows = self.pages(&format!("/api/v1/plans/{}/rows?limit=500", plan["id"].as_str().unwrap()));
        let removed = rows.iter().filter(|row| row["verb"] == "remove");
        removed.map(|row| row["subject"].as_str().unwrap().to_owned()).collect()
    }

    fn product(&self) -> Option<&Server> {
        Some(self)
    }
}

/// The engine by itself.
pub fn engine(wire: &Wire, mode: Mode) -> Corp {
    let mut config = Config { mode, page: 3, ..config(&wire.url()) };
    config.people.push(format!("ou=staff,{BASE}").parse().unwrap());
    Corp::new(config)
}

/// The whole product, not started yet.
pub fn product(wire: &Wire) -> Server {
    let server = Server::prepared(&format!(
        "[source.corp-ldap]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = [\"ou=people,{BASE}\", \"ou=staff,{BASE}\"]\n\
         groups = \"ou=groups,{BASE}\"\nanswer_timeout = \"1s\"\npage_size = 3\n\
         [access]\nprofile = \"harbor\"\nconsumer_role = \"guest\"\nproducer_role = \"developer\"\n",
        wire.url()
    ));
    server.dir.write("ldap.secret", "sync\n");
    server
}
