//! The access profile that a configuration names, and whether its roles are the ones that the configuration needs.

use std::{collections::BTreeMap, io, path::Path};

use rollcall_access::{
    Profile, Verb,
    profile::{BUNDLED, is_typo, nearest},
};

use crate::{
    config::{
        Access, Config,
        origin::{Origin, Origins, Problem},
    },
    values::SwitchValue,
};

/// The access profile that a configuration names: a bundled one, or a file.
///
/// # Errors
/// When there is none, or it is not one.
pub fn load_profile(
    access: &Access,
    origin: &Origin,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Profile, String> {
    if let Some(profile) = Profile::bundled(&access.profile) {
        return Ok(profile);
    }
    let path = origin.resolve(Path::new(&access.profile));
    let text = read(&path).map_err(|error| {
        let names: Vec<&str> = BUNDLED.iter().map(|(name, _)| *name).collect();
        let written = access.profile.to_lowercase();
        let near = names.iter().find(|name| written == **name || is_typo(&written, name));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        format!(
            "`{}` is neither a profile that comes with Rollcall ({}) nor a file that can be read: {error}{near}",
            access.profile.escape_debug(),
            names.join(", ")
        )
    })?;
    Profile::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes the switches as the profile does, in `access` and in `origins`, and reports those that it does not have.
pub fn resolve_switches(access: &mut Access, profile: &Profile, origins: &mut Origins, problems: &mut Vec<Problem>) {
    let mut resolved: BTreeMap<String, SwitchValue> = BTreeMap::new();
    for (written, SwitchValue(value)) in std::mem::take(&mut access.switches) {
        let key = format!("access.switches.{written}");
        let what = match profile.switch_value(&written, &value) {
            Ok((name, value)) => {
                if resolved.insert(name.to_owned(), SwitchValue(value.to_owned())).is_none() {
                    origins.rename(&key, format!("access.switches.{name}"));
                    continue;
                }
                format!("`{name}` is said twice; keep one of them")
            }
            Err(what) => what,
        };
        problems.push(Problem { origin: origins.of(&key), what: format!("`{}`: {what}", key.escape_debug()) });
    }
    access.switches = resolved;
}

/// The roles of rules 2 and 3 exist in the profile where something follows from them, and a customer's role does not push
/// unless that is meant (DESIGN 7, rule 6).
pub fn check_roles(config: &Config, profile: &Profile, wrong: &mut dyn FnMut(&str, String)) {
    let access = &config.access;
    let rules = &profile.document().rules;
    let named = |set: &Option<String>, rule: &Option<String>, usual: &str| {
        set.clone().or_else(|| rule.clone()).unwrap_or_else(|| usual.into())
    };
    let producer = named(&access.producer_role, &rules.producer_role, "Developer");
    let consumer = named(&access.consumer_role, &rules.consumer_role, "Guest");
    let known: Vec<&str> = profile.roles().map(|role| profile.role_name(role)).collect();
    let (known, entitlements) = (known.join(", "), config.source.values().any(|source| source.states_entitlements()));
    let near = |name: &str| {
        let names = profile.roles().map(|role| profile.role_name(role));
        format!("did you mean `{}`?", nearest(name, names))
    };
    for (key, said, name, whose) in [
        ("access.producer_role", &access.producer_role, &producer, "a producer's people"),
        ("access.consumer_role", &access.consumer_role, &consumer, "customers"),
    ] {
        if profile.role(name).is_some() {
            continue;
        }
        let profile = profile.name();
        if said.is_some() {
            wrong(
                key,
                format!(
                    "the profile `{profile}` has no role `{}`; its roles are {known}; {}",
                    name.escape_debug(),
                    near(name)
                ),
            );
        } else if entitlements {
            let what = format!("`{profile}` does not say which role {whose} have; write `{key}` = one of {known}");
            wrong("access.profile", what);
        }
    }
    if let Some(name) = access.confirm_consumer_role.as_deref().filter(|name| profile.role(name).is_none()) {
        let (written, profile) = (name.escape_debug(), profile.name());
        let what = format!("confirms nothing: the profile `{profile}` has no role `{written}`; {}", near(name));
        wrong("access.confirm_consumer_role", what);
    }
    let Some(role) = profile.role(&consumer) else { return };
    let actions = profile.role_actions(role);
    let may = |verb: Verb| profile.registry_action(verb).is_some_and(|needed| actions.contains(needed));
    let confirmed = access.confirm_consumer_role.as_deref().and_then(|name| profile.role(name)) == Some(role);
    if (may(Verb::Push) || may(Verb::Delete)) && !confirmed {
        let name = profile.role_name(role);
        wrong(
            "access.consumer_role",
            format!(
                "customers with the role {name} may push or delete images; if that is meant, write `confirm_consumer_role = \"{name}\"`"
            ),
        );
    }
}
