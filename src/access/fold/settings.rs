//! The settings and the profile in force.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::Settings;
use serde_json::Value;

use crate::{
    fold::{change::Effect, context::FoldContext},
    profile::Profile,
    roster::Roster,
};

impl Roster {
    pub(super) fn set_settings(&mut self, cx: &mut FoldContext<'_>, settings: Settings) -> Effect {
        let said = Settings { author: settings.author.clone(), ..self.settings.clone() };
        if said == settings && !self.facts.settings.is_empty() {
            return Effect::NoChange;
        }
        self.facts.settings = cx.record.event.data.to_string();
        self.facts.settings_said = cx.position();
        for path in changed(&self.settings, &settings) {
            self.facts.settings_changed.insert(path, cx.position());
        }
        let before = std::mem::replace(&mut self.settings, settings);
        self.derive_from_settings();
        if before.customer_sub_accounts != self.settings.customer_sub_accounts {
            self.rebuild_fast_path();
        }
        cx.applied("settings")
    }

    pub(super) fn set_profile(&mut self, cx: &mut FoldContext<'_>, text: &str) -> Effect {
        match Profile::from_json(text) {
            Ok(profile) if profile.document() == self.profile.document() && !self.facts.profile.is_empty() => {
                Effect::NoChange
            }
            Ok(profile) => {
                self.facts.profile = text.to_owned();
                self.facts.profile_said = cx.position();
                self.profile = profile;
                self.derive_from_settings();
                cx.applied("profile")
            }
            Err(error) => Effect::Refused(error.to_string()),
        }
    }
}

/// The settings, by their paths in the document, that have another value now.
fn changed(before: &Settings, after: &Settings) -> BTreeSet<String> {
    let (before, after) = (leaves(before), leaves(after));
    let differs = |path: &&String| before.get(*path) != after.get(*path);
    before.keys().chain(after.keys()).filter(differs).cloned().collect()
}

fn leaves(settings: &Settings) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: Value, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    walk(&if path.is_empty() { name } else { format!("{path}.{name}") }, value, found);
                }
            }
            Value::Null => {}
            value => drop(found.insert(path.to_owned(), value)),
        }
    }
    let mut found = BTreeMap::new();
    walk("", serde_json::to_value(settings).unwrap_or_default(), &mut found);
    found
}
