//! The settings and the profile in force.

use rollcall_events::Settings;

use crate::{
    fold::{change::Effect, context::FoldContext},
    profile::Profile,
    roster::Roster,
};

impl Roster {
    pub(super) fn set_settings(&mut self, cx: &mut FoldContext<'_>, settings: Settings) -> Effect {
        if self.settings == settings && !self.facts.settings.is_empty() {
            return Effect::NoChange;
        }
        self.facts.settings = cx.record.event.data.to_string();
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
                self.profile = profile;
                self.derive_from_settings();
                cx.applied("profile")
            }
            Err(error) => Effect::Refused(error.to_string()),
        }
    }
}
