//! A small installation, administered command by command, and the words that its commands are made of.

use chrono::{DateTime, Utc};
use rollcall_events::{LogId, NewEvent};
use serde_json::{Value, json};

use super::worlds::bundled;
use crate::{
    decide::decide,
    fold::change::Effect,
    roster::{
        Roster,
        handles::{Place, Principal},
    },
    suite::histories::{body, fold_next, next_id, noon},
};

/// A small installation: a log in the making, folded as it is written.
pub(super) struct Installation {
    pub(super) roster: Roster,
    pub(super) now: DateTime<Utc>,
}

impl Installation {
    /// Ada, bob and eve of one source, and a profile.
    pub(super) fn with(profile: &Value) -> Self {
        let mut book = Self { roster: Roster::new(LogId([7; 8])), now: noon() };
        book.done("profile.set", profile);
        let sources = json!({"corp": {"order": "observed", "authoritative": true}});
        book.done("settings.set", &json!({"sources": sources}));
        for person in ["ada", "bob", "eve"] {
            book.fact("hub", "person.upserted", &json!({"person": person, "account": null, "active": true}));
        }
        book
    }

    pub(super) fn of(profile: &str) -> Self {
        Self::with(&bundled(profile))
    }

    pub(super) fn fact(&mut self, source: &str, kind: &str, data: &Value) -> Effect {
        let body = body(kind, &data.to_string());
        let event = NewEvent::of(source.parse().unwrap(), next_id(&self.roster), &body);
        fold_next(&mut self.roster, NewEvent { data: data.to_string().into(), ..event }, self.now)
    }

    pub(super) fn done(&mut self, kind: &str, data: &Value) {
        assert_eq!(self.fact("local", kind, data), Effect::Applied, "{kind} {data}");
    }

    /// The command loses: the fold says why, and nothing but its position is another.
    #[track_caller]
    pub(super) fn refused(&mut self, kind: &str, data: &Value, why: &str) {
        let body = body(kind, &data.to_string());
        let asked = self.roster.check_command(&body, self.now).map_err(|refusal| refusal.text);
        let mut before = Roster::from_snapshot(&self.roster.to_snapshot()).unwrap();
        let effect = self.fact("local", kind, data);
        let Effect::Refused(said) = &effect else { panic!("{effect:?}, not refused: {kind} {data}") };
        assert!(said.contains(why), "{said}");
        assert_eq!(asked.as_ref(), Err(said), "what is asked before is what the fold says");
        before.facts.position = self.roster.facts.position;
        assert!(before.to_snapshot() == self.roster.to_snapshot(), "a refused command changed something");
    }

    pub(super) fn user(&self, name: &str) -> Principal {
        Principal::User(self.roster.user_by_id(&format!("hub/{name}")).unwrap())
    }

    pub(super) fn project(&self, name: &str) -> Place {
        Place::Project(self.roster.project_by_name(name).unwrap())
    }

    pub(super) fn can(&self, who: Principal, operation: &str, place: Place) -> bool {
        decide(&self.roster, who, self.roster.profile().operation(operation).unwrap(), place, self.now).is_allowed()
    }
}

pub(super) fn user(name: &str) -> Value {
    json!({"user": format!("hub/{name}")})
}

pub(super) fn bind(principal: &Value, role: &str, scope: &Value, author: &str) -> Value {
    json!({"principal": principal, "role": role, "scope": scope, "author": author})
}

pub(super) fn project(id: &str, creator: Option<&str>) -> Value {
    let creator = creator.map(|name| format!("hub/{name}"));
    json!({"project": id, "name": id, "kind": "standard", "visibility": "private", "creator": creator})
}

pub(super) fn on(id: &str) -> Value {
    json!({"project": format!("local/{id}")})
}

pub(super) const ADMIN: &str = "admin key";
