//! The access profile that a configuration names, and whether its roles are the ones that the configuration needs.

use std::{io, path::Path};

use rollcall_access::{Profile, Verb, profile::BUNDLED};

use crate::config::{Access, Config, origin::Origin};

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
        format!(
            "`{}` is neither a profile that comes with Rollcall ({}) nor a file that can be read: {error}",
            access.profile.escape_debug(),
            names.join(", ")
        )
    })?;
    Profile::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))
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
    for (key, said, name, whose) in [
        ("access.producer_role", &access.producer_role, &producer, "a producer's people"),
        ("access.consumer_role", &access.consumer_role, &consumer, "customers"),
    ] {
        if profile.role(name).is_some() {
            continue;
        }
        let (profile, name) = (profile.name(), name.escape_debug());
        if said.is_some() {
            wrong(key, format!("the profile `{profile}` has no role `{name}`; its roles are {known}"));
        } else if entitlements {
            let what = format!("`{profile}` does not say which role {whose} have; write `{key}` = one of {known}");
            wrong("access.profile", what);
        }
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
