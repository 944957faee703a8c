//! What a configuration would change is what it changes, and what a start records of it changes nobody: held against the
//! whole table of who may do what, asked one by one, on random worlds with random configurations.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use rollcall_events::{
    Body, LogId, NewEvent, Settings,
    body::{Author, ProfileDocument},
};
use serde_json::{json, value::RawValue};

use super::{
    agreement::{callers, places},
    worlds::{Random, World, configuration},
};
use crate::{
    decide::decide,
    fold::change::Effect,
    profile::Profile,
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind},
    },
    suite::histories::{History, body, fold_next, next_id, noon, small},
    what_if::{
        configuration::{
            Configuration, configuration_differences, configuration_rows, configuration_to_record, plan_configuration,
        },
        preview::NamedScope,
        standing::AccessRow,
    },
};

/// Roles and actions of each caller on each scope.
type Table = BTreeMap<(NamedScope, String), (BTreeSet<String>, BTreeSet<String>)>;

/// What of the API these profiles give to somebody.
fn given_by(rosters: &[&Roster]) -> BTreeSet<String> {
    rosters.iter().flat_map(|roster| roster.profile.document().api.keys().cloned()).collect()
}

/// By asking for every action, one by one.
fn table(roster: &Roster, names: &Roster, api: &BTreeSet<String>, now: DateTime<Utc>) -> Table {
    let mut all = Table::new();
    for (_, caller) in callers(roster) {
        for (_, place) in places(roster) {
            let name = if caller == Principal::Anyone { "anyone".to_owned() } else { names.caller_names(caller).1 };
            let open = roster.is_open(place)
                && roster.admitted(caller, now.timestamp_micros()).is_some()
                && roster.is_there(caller);
            let live = roster.live_roles(ProfileKind::Access, caller, place, now.timestamp_micros());
            // On a folder of a kind that the profile does not know a role gives nothing.
            let known = roster.resource(ProfileKind::Access, place, caller).is_some();
            let roles = live.filter(|_| open && known).map(|live| roster.profile.role_name(live.held.role).to_owned());
            let may = |set| decide(roster, caller, set, place, now).is_allowed();
            let actions = roster.profile.actions().filter(|(_, set)| may(*set)).map(|(name, _)| name.to_owned());
            let given = |name: &&String| roster.allows(caller, name, place, now);
            let api = api.iter();
            let api = api.filter(given).map(|name| format!("api:{name}"));
            // A project that has the name of somebody's own takes its place.
            let row: &mut (BTreeSet<String>, BTreeSet<String>) =
                all.entry((names.named_scope(place), name)).or_default();
            row.0.extend(roles);
            row.1.extend(actions.chain(api));
        }
    }
    all
}

fn configured(random: &mut Random) -> Configuration {
    let (profile, settings) = configuration(random);
    Configuration {
        profile: Profile::from_json(&profile.to_string()).unwrap(),
        settings: serde_json::from_value(settings).unwrap(),
    }
}

fn record(roster: &mut Roster, bodies: &[Body]) -> Vec<Effect> {
    let say = |body: &Body| {
        let event = NewEvent::of("local".parse().unwrap(), next_id(roster), body);
        fold_next(roster, NewEvent { time: Some(noon()), ..event }, noon())
    };
    bodies.iter().map(say).collect()
}

/// Now and later: the windows of the random worlds begin and end at noon.
fn instants() -> impl Iterator<Item = DateTime<Utc>> {
    (0..6).flat_map(|day| [noon() + Duration::days(day), noon() + Duration::days(day) + Duration::hours(1)])
}

#[test]
fn what_a_start_records_of_a_configuration_changes_nobodys_access_now_or_later() {
    let (mut recorded, mut waiting) = (0, 0);
    for seed in 0..24 {
        let random = &mut Random::new(seed ^ 0xc0f1);
        let before = World::new(seed).history.fold();
        // Another configuration, and the same but for a little.
        let other = configured(random);
        let mut little = Configuration { profile: before.profile.clone(), settings: before.settings.clone() };
        little.settings.customer_sub_accounts ^= random.one_in(3);
        little.settings.bindings_on_managed ^= random.one_in(2);
        little.settings.switches.extend(random.one_in(3).then(|| ("mode".to_owned(), "b".to_owned())));
        for configuration in [other, little] {
            let bodies = configuration_to_record(&before, &configuration, noon());
            let mut after = before.clone();
            let effects = record(&mut after, &bodies);
            assert!(effects.iter().all(|effect| *effect == Effect::Applied), "{effects:?}");
            let api = given_by(&[&before, &after]);
            for now in instants() {
                let (had, has) = (table(&before, &before, &api, now), table(&after, &before, &api, now));
                assert_eq!(had, has, "seed {seed} at {now}");
            }
            recorded += bodies.len();
            waiting += configuration_differences(&after, &configuration).len();
        }
    }
    assert!(recorded > 5 && waiting > 40, "{recorded} recorded, {waiting} waiting");
}

#[test]
fn a_profile_that_was_changed_since_its_plan_was_looked_at_is_another_plan() {
    let before = World::new(1).history.fold();
    let named = |source: &str| {
        let (mut profile, settings) = configuration(&mut Random::new(7));
        (profile["name"], profile["source"]) = ("ours".into(), source.into());
        let profile = Profile::from_json(&profile.to_string()).unwrap();
        let configuration = Configuration { profile, settings: serde_json::from_value(settings).unwrap() };
        plan_configuration(before.clone(), &configuration, &Author::operator(), noon()).name
    };
    assert_eq!(named("one"), named("one"));
    assert_ne!(named("one"), named("another"));
}

#[test]
fn what_a_configuration_plan_says_is_what_applying_it_does() {
    let mut told = 0;
    for seed in 0..40 {
        let random = &mut Random::new(seed ^ 0xab1e);
        let before = World::new(seed).history.fold();
        let configuration = configured(random);
        let plan = plan_configuration(before.clone(), &configuration, &Author::operator(), noon());
        let rows = configuration_rows(before.clone(), &configuration, noon(), None, usize::MAX);
        assert_eq!(rows.len() as u64, plan.access.rows);
        let mut after = before.clone();
        assert_eq!(record(&mut after, &plan.events), plan.effects);
        assert_eq!(configuration_differences(&after, &configuration), []);
        let api = given_by(&[&before, &after]);
        let (had, has) = (table(&before, &before, &api, noon()), table(&after, &before, &api, noon()));
        let row_of = |key: &(NamedScope, String)| {
            rows.iter().find(|row| row.from.is_none() && (&row.scope, &row.name) == (&key.0, &key.1))
        };
        for (key, (roles, actions)) in &has {
            let (former_roles, former_actions) = &had[key];
            let without = |all: &[String]| -> BTreeSet<String> {
                all.iter().filter(|name| !["sign in", "see other members"].contains(&name.as_str())).cloned().collect()
            };
            let Some(row) = row_of(key) else {
                assert_eq!(roles, former_roles, "seed {seed}: {key:?}");
                // What everybody has is told once.
                assert!(actions == former_actions || roles.is_empty(), "seed {seed}: {key:?}");
                continue;
            };
            told += 1;
            assert_eq!(
                without(&row.roles_gained),
                roles.difference(former_roles).cloned().collect(),
                "seed {seed}: {key:?}"
            );
            assert_eq!(
                without(&row.roles_lost),
                former_roles.difference(roles).cloned().collect(),
                "seed {seed}: {key:?}"
            );
            let gained = actions.difference(former_actions).cloned().collect();
            assert_eq!(without(&row.actions_gained), gained, "seed {seed}: {key:?}");
            let lost = former_actions.difference(actions).cloned().collect();
            assert_eq!(without(&row.actions_lost), lost, "seed {seed}: {key:?}");
        }
        // Page by page it is the same.
        let (mut paged, mut last) = (Vec::new(), None);
        loop {
            let page = configuration_rows(before.clone(), &configuration, noon(), last.as_ref(), 7);
            let Some(end) = page.last().map(AccessRow::key) else { break };
            last = Some(end);
            paged.extend(page);
        }
        assert_eq!(paged, rows, "seed {seed}");
    }
    assert!(told > 100, "{told} rows");
}

/// The smallest world with what it has in force as its configuration.
fn small_configured() -> (Roster, Configuration) {
    let mut roster = small().fold();
    let text = serde_json::to_string(roster.profile.document()).unwrap();
    record(&mut roster, &[Body::ProfileSet(ProfileDocument(RawValue::from_string(text).unwrap()))]);
    let configuration = Configuration { profile: roster.profile.clone(), settings: roster.settings.clone() };
    (roster, configuration)
}

#[test]
fn on_an_empty_log_everything_is_recorded_and_then_nothing_is() {
    let configuration = Configuration { profile: Profile::bundled("harbor").unwrap(), settings: Settings::default() };
    let mut roster = Roster::new(LogId([1; 8]));
    let bodies = configuration_to_record(&roster, &configuration, noon());
    assert_eq!(
        bodies.iter().map(Body::kind).collect::<Vec<_>>(),
        ["rollcall.profile.set.v1", "rollcall.settings.set.v1"]
    );
    record(&mut roster, &bodies);
    assert_eq!(configuration_to_record(&roster, &configuration, noon()), []);
}

#[test]
fn another_role_for_customers_waits_and_is_told_setting_by_setting_and_row_by_row() {
    let (roster, mut configuration) = small_configured();
    configuration.settings.consumer_role = Some("Developer".to_owned());
    assert_eq!(configuration_to_record(&roster, &configuration, noon()), [], "it would change ada's access");
    let plan = plan_configuration(roster.clone(), &configuration, &Author::operator(), noon());
    assert_eq!(
        serde_json::to_value(&plan.settings).unwrap(),
        json!([{"setting": "access.consumer_role", "in_force": null, "configured": "Developer"}])
    );
    assert_eq!((plan.access.people, plan.access.rows), (1, 1));
    let rows = configuration_rows(roster.clone(), &configuration, noon(), None, 9);
    assert_eq!(
        (rows[0].name.as_str(), &*rows[0].roles_gained, &*rows[0].roles_lost),
        ("ada@globex.test", &["Developer".to_owned()][..], &["Guest".to_owned()][..])
    );
    assert!(matches!(&plan.events[..], [Body::SettingsSet(settings)] if settings.author == Some(Author::operator())));
    let again = plan_configuration(roster, &configuration, &Author::operator(), noon());
    assert_eq!(plan.name, again.name, "the same difference is the same plan");
}

#[test]
fn what_would_change_somebody_only_tomorrow_waits_too() {
    let (mut roster, mut configuration) = small_configured();
    // Ada's line has not begun yet.
    let line = r#"{"line":"ENT-7/1","entitlement":"ENT-7","product":"DB","starts":"2026-03-05T00:00:00Z","ends":null}"#;
    let event = NewEvent::of("flexnet".parse().unwrap(), "later", &body("entitlement.line.upserted", line));
    fold_next(&mut roster, NewEvent { sequence: Some(2), ..event }, noon());
    configuration.settings.consumer_role = Some("Developer".to_owned());
    assert_eq!(configuration_to_record(&roster, &configuration, noon()), []);
    let rows = configuration_rows(roster, &configuration, noon(), None, 9);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].from, Some("2026-03-05T00:00:00Z".parse().unwrap()));
}

#[test]
fn what_changes_nobody_is_recorded_beside_what_waits() {
    let (roster, mut configuration) = small_configured();
    configuration.settings.consumer_role = Some("Developer".to_owned());
    configuration.settings.reserved_names = vec!["acme-*".to_owned()];
    configuration.settings.bindings_on_managed = true;
    let new = json!({"order": "time", "authoritative": true});
    configuration.settings.sources.insert("github".parse().unwrap(), serde_json::from_value(new).unwrap());
    let bodies = configuration_to_record(&roster, &configuration, noon());
    let [Body::SettingsSet(said)] = &bodies[..] else { panic!("{bodies:?}") };
    assert_eq!((said.consumer_role.as_deref(), said.reserved_names.len(), said.bindings_on_managed), (None, 1, true));
    assert!(said.sources.contains_key(&"github".parse().unwrap()), "a source that said nothing yet");
}

#[test]
fn a_source_becomes_authoritative_by_plan_where_that_shuts_somebody_out() {
    let mut history: History = small();
    history.say("corp", "person.upserted", Some(1), r#"{"person":"q","account":null,"active":false}"#);
    history.say(
        "local",
        "identity.linked",
        None,
        r#"{"persons":[{"source":"flexnet","person":"ada"},{"source":"corp","person":"q"}]}"#,
    );
    let mut roster = history.fold();
    let mut settings = roster.settings.clone();
    settings.sources.get_mut(&"corp".parse().unwrap()).unwrap().authoritative = false;
    let text = serde_json::to_string(roster.profile.document()).unwrap();
    let profile = Body::ProfileSet(ProfileDocument(RawValue::from_string(text).unwrap()));
    record(&mut roster, &[profile, Body::SettingsSet(settings.clone())]);
    settings.sources.get_mut(&"corp".parse().unwrap()).unwrap().authoritative = true;
    let configuration = Configuration { profile: roster.profile.clone(), settings };
    assert_eq!(configuration_to_record(&roster, &configuration, noon()), []);
    let rows = configuration_rows(roster, &configuration, noon(), None, 9);
    let told: Vec<_> = rows.iter().map(|row| (row.scope.clone(), row.loses())).collect();
    assert_eq!(told, [(NamedScope::Root, true), (NamedScope::Project("acme".to_owned()), true)]);
    assert_eq!(rows[0].actions_lost, ["sign in"]);
}

#[test]
fn another_remark_in_a_profile_and_a_default_that_is_written_out_are_recorded_at_once() {
    let (roster, mut configuration) = small_configured();
    configuration.settings.consumer_role = Some("guest".to_owned());
    let mut document = roster.profile.document().clone();
    document.source = Some("another page".to_owned());
    configuration.profile = Profile::compile(document).unwrap();
    let bodies = configuration_to_record(&roster, &configuration, noon());
    assert_eq!(
        bodies.iter().map(Body::kind).collect::<Vec<_>>(),
        ["rollcall.profile.set.v1", "rollcall.settings.set.v1"]
    );
}

#[test]
fn whoever_may_not_set_settings_applies_none() {
    let (roster, mut configuration) = small_configured();
    configuration.settings.consumer_role = Some("Developer".to_owned());
    let author = Author::of(&rollcall_events::body::Principal::User("flexnet/bob".parse().unwrap()));
    let plan = plan_configuration(roster, &configuration, &author, noon());
    assert!(matches!(&plan.effects[..], [Effect::Refused(why)] if why.contains("settings.set")), "{:?}", plan.effects);
    let _ = Place::Root;
}
