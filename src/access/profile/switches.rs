//! The switches of a profile by the names that people write. What a switch does is said by the ceilings and baselines that
//! look at it.

use super::{
    BUNDLED, Profile, SwitchDocument, plain_name,
    typos::{is_typo, nearest},
};

/// The name of a switch, or what it says, as it is compared: as other names, and `.` does not count either, since no
/// variable of the environment has one.
#[must_use]
pub fn plain_switch(text: &str) -> String {
    plain_name(text).replace('.', "")
}

impl Profile {
    /// Finds a switch; case, spaces, `_`, `-` and `.` do not count, so that a variable of the environment finds it too.
    #[must_use]
    pub fn switch(&self, name: &str) -> Option<(&str, &SwitchDocument)> {
        let wanted = plain_switch(name);
        let found = self.document().settings.iter().find(|(known, _)| plain_switch(known) == wanted);
        found.map(|(name, switch)| (name.as_str(), switch))
    }

    /// A switch and what it is to say, both as the profile writes them.
    ///
    /// # Errors
    /// That there is no such switch or that it cannot say this, and what would be right.
    pub fn switch_value(&self, name: &str, value: &str) -> Result<(&str, &str), String> {
        let Some((name, switch)) = self.switch(name) else { return Err(self.no_switch(name)) };
        let wanted = plain_switch(value);
        match switch.values.iter().find(|known| plain_switch(known) == wanted) {
            Some(value) => Ok((name, value)),
            None => Err(format!(
                "`{name}` cannot be `{}`, it is one of {}; did you mean `{}`?",
                value.escape_debug(),
                switch.values.join(", "),
                nearest(value, switch.values.iter().map(String::as_str))
            )),
        }
    }

    /// The bundled profile that has a switch of this name, or of one that is mistyped so, and what the switch is called.
    #[must_use]
    pub fn bundled_switch(name: &str) -> Option<(&'static str, String)> {
        BUNDLED.iter().find_map(|(known, _)| {
            let profile = Self::bundled(known)?;
            let own = &profile.document().settings;
            let typo = || own.keys().find(|own| is_typo(&plain_switch(name), &plain_switch(own)));
            let found = profile.switch(name).map(|(found, _)| found.to_owned());
            Some((*known, found.or_else(|| typo().cloned())?))
        })
    }

    fn no_switch(&self, name: &str) -> String {
        let own = &self.document().settings;
        let list: Vec<String> = own.iter().map(|(name, it)| format!("{name} ({})", it.values.join(", "))).collect();
        let (profile, written) = (self.name(), name.escape_debug());
        let has = if own.is_empty() {
            format!("the profile `{profile}` has no switches, and so no `{written}`")
        } else {
            format!("the profile `{profile}` has no switch `{written}`, it has {}", list.join("; "))
        };
        let bundled = || BUNDLED.iter().filter_map(|(known, _)| Some((*known, Self::bundled(known)?)));
        if let Some((other, _)) = bundled().find(|(_, other)| other.switch(name).is_some()) {
            return format!("{has}; it is one of the profile `{other}`: is `access.profile` as it should be?");
        }
        // A letter off one of another profile is that one, whatever this profile has.
        let near = own.keys().find(|known| is_typo(&plain_switch(name), &plain_switch(known)));
        let elsewhere = || {
            bundled().find_map(|(other, profile)| {
                let mut names = profile.document().settings.keys();
                let known = names.find(|known| is_typo(&plain_switch(name), &plain_switch(known)))?;
                Some(format!("`{known}` of the profile `{other}`"))
            })
        };
        match near.map(|near| format!("`{near}`")).or_else(elsewhere) {
            Some(near) => format!("{has}; did you mean {near}?"),
            None if own.is_empty() => has,
            None => format!("{has}; did you mean `{}`?", nearest(name, own.keys().map(String::as_str))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_and_its_value_are_found_whatever_their_spelling_and_nothing_else_is() {
        let sregistry = Profile::bundled("sregistry").unwrap();
        for (name, value) in
            [("USER_COLLECTIONS", "False"), ("user_collections", "false"), ("User-Collections", "FALSE")]
        {
            assert_eq!(sregistry.switch_value(name, value), Ok(("USER_COLLECTIONS", "False")), "{name}={value}");
        }
        for (name, value, told) in [
            ("USER_COLLECTIONS", "No", "one of True, False"),
            ("USER_COLECTIONS", "False", "did you mean `USER_COLLECTIONS`?"),
            ("", "False", "has no switch ``"),
            ("push_policy", "admin-only", "it is one of the profile `portus`"),
            ("push_polcy", "admin-only", "did you mean `push_policy` of the profile `portus`?"),
        ] {
            let refused = sregistry.switch_value(name, value).unwrap_err();
            assert!(refused.contains(told), "{name}={value}: {refused}");
        }
    }
}
