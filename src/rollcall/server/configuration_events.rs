//! What the configuration says of access, and what a start records as the server's own command.
//! Reads the configuration and the roster; appends nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rollcall_access::{Configuration, SharedRoster};
use rollcall_events::{Body, NewEvent, SourceName, SourceSettings, prefixed_id};

use crate::{
    config::{Config, load::Loaded},
    server::random::random_bytes,
};

/// A command of Rollcall itself.
///
/// # Errors
/// When the machine has no random numbers, or it is too large to be recorded.
pub fn local_event(body: &Body, now: DateTime<Utc>) -> anyhow::Result<NewEvent> {
    body.check_size()
        .map_err(|error| anyhow::anyhow!("the configuration cannot be recorded: {}: {error}", body.kind()))?;
    Ok(NewEvent {
        time: Some(now),
        ..NewEvent::of(SourceName::local(), prefixed_id("evt", now, random_bytes()?), body)
    })
}

/// What the configuration says of access, as it would be recorded.
///
/// # Errors
/// When a source with facts would change its order.
pub fn configuration_of(
    loaded: &Loaded,
    profile: &rollcall_access::Profile,
    live: &SharedRoster,
) -> anyhow::Result<Configuration> {
    let roster = live.read();
    let Config { access, source, .. } = &loaded.config;
    let mut sources = BTreeMap::new();
    for (name, configured) in source {
        let said = roster.settings().sources.get(name).map(|known| known.order);
        if said.is_some_and(|order| order != configured.order()) && roster.sources().any(|seen| seen == name.as_str()) {
            let key = format!("source.{name}.order");
            let origin = loaded.origins.near(&key, &format!("source.{name}"));
            anyhow::bail!(
                "{origin}: `{key}`: the log has facts of {name} that are ordered by {}; the order of a source never changes. Give the source another name.",
                said.unwrap_or_else(|| configured.order()).as_str()
            );
        }
        sources.insert(
            name.clone(),
            SourceSettings { order: configured.order(), authoritative: configured.authoritative() },
        );
    }
    Ok(Configuration { profile: profile.clone(), settings: access.settings(sources) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rollcall_access::{Effect, Profile, Roster, configuration_to_record};
    use rollcall_app::operations::configuration::missing_global_project;
    use rollcall_events::{LogId, Position, Recorded};

    use super::*;
    use crate::config::load::{Inputs, load};

    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    fn loaded(text: &str) -> Loaded {
        let read = |_: &Path| Ok(SECRET.to_owned());
        load(&Inputs { file: Some((Path::new("r.toml"), text)), env: &[], flags: &[], read: &read }).ok().unwrap()
    }

    fn tell(live: &SharedRoster, source: &SourceName, body: &Body) -> Effect {
        let mut roster = live.write();
        let mut event = local_event(body, DateTime::UNIX_EPOCH).unwrap();
        event.key.source = source.clone();
        event.sequence = Some(1);
        let position = Position(roster.position().0 + 1);
        roster.apply(&Recorded { position, recorded_at: DateTime::UNIX_EPOCH, event }).effect
    }

    /// What a start with this records.
    fn configuration_events(loaded: &Loaded, profile: &Profile, live: &SharedRoster) -> anyhow::Result<Vec<Body>> {
        let configuration = configuration_of(loaded, profile, live)?;
        Ok(configuration_to_record(&live.read(), &configuration, DateTime::UNIX_EPOCH))
    }

    #[test]
    fn settings_are_recorded_once_and_again_when_they_change() {
        let live = SharedRoster::new(Roster::new(LogId([1; 8])));
        let profile = Profile::bundled("revenera").unwrap();
        let first = loaded("[source.flexnet]\nsecret_file = \"s\"\n");
        let said = configuration_events(&first, &profile, &live).unwrap();
        assert_eq!(
            said.iter().map(Body::kind).collect::<Vec<_>>(),
            ["rollcall.profile.set.v1", "rollcall.settings.set.v1"]
        );
        for body in &said {
            assert_eq!(tell(&live, &SourceName::local(), body), Effect::Applied);
        }
        assert_eq!(configuration_events(&first, &profile, &live).unwrap(), []);
        // A source that is configured no more keeps its order.
        assert_eq!(configuration_events(&loaded(""), &profile, &live).unwrap(), []);
        let changed = loaded("[access]\ncustomer_sub_accounts = true\n");
        let said = configuration_events(&changed, &profile, &live).unwrap();
        assert!(
            matches!(said.as_slice(), [Body::SettingsSet(settings)] if settings.customer_sub_accounts && settings.sources.len() == 1)
        );
    }

    #[test]
    fn the_order_of_a_source_with_facts_never_changes() {
        let live = SharedRoster::new(Roster::new(LogId([1; 8])));
        let profile = Profile::bundled("revenera").unwrap();
        let by_version = loaded("[source.flexnet]\nsecret_file = \"s\"\n");
        let by_time = loaded("[source.flexnet]\nsecret_file = \"s\"\norder = \"time\"\n");
        for body in configuration_events(&by_version, &profile, &live).unwrap() {
            tell(&live, &SourceName::local(), &body);
        }
        assert_eq!(
            configuration_events(&by_time, &profile, &live).unwrap().len(),
            1,
            "nothing was said in the old order"
        );
        let product = Body::parse("rollcall.product.upserted.v1", r#"{"product":"DB"}"#).unwrap();
        assert_eq!(tell(&live, &"flexnet".parse().unwrap(), &product), Effect::Applied);
        let error = configuration_events(&by_time, &profile, &live).unwrap_err().to_string();
        assert!(
            error.starts_with("r.toml:3:1: `source.flexnet.order`") && error.contains("ordered by version;"),
            "{error}"
        );
        assert!(configuration_events(&by_version, &profile, &live).unwrap().is_empty());
    }

    #[test]
    fn the_global_project_is_made_once_where_the_profile_has_one() {
        let live = SharedRoster::new(Roster::new(LogId([1; 8])));
        assert_eq!(missing_global_project(&live.read()), None, "Revenera has none");
        let portus = Profile::bundled("portus").unwrap();
        let text = "[access]\nprofile = \"portus\"\nproducer_role = \"contributor\"\nconsumer_role = \"viewer\"\n";
        for body in configuration_events(&loaded(text), &portus, &live).unwrap() {
            assert_eq!(tell(&live, &SourceName::local(), &body), Effect::Applied);
        }
        let made = missing_global_project(&live.read()).unwrap();
        assert_eq!(tell(&live, &SourceName::local(), &made), Effect::Applied);
        assert_eq!(missing_global_project(&live.read()), None);
        let project = live.read().project_by_name("global").unwrap();
        assert_eq!(live.read().project(project).visibility, rollcall_events::body::Visibility::Public);
    }
}
