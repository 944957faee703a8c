//! A configuration held against what the log says: what of it changes nobody's access, and what the rest would change.
//! Records nothing. Settings and profile change no fact, so both states are tried on one copy of the roster.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Digest, Order, Settings, SourceName, SourceSettings,
    body::{Author, ProfileDocument},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::{
    fold::change::Effect,
    persistent::Pages,
    profile::{ActionSet, Document, HeldRole, Profile, RoleIx},
    roster::{Roster, handles::ProfileKind},
    what_if::standing::{AccessRow, AccessRowKey, AccessTotals, TwoStates, changes_nobody, next_rows, totals},
};

/// What an operator's configuration says of access.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The access profile.
    pub profile: Profile,
    /// The settings; of sources those that are configured.
    pub settings: Settings,
}

/// A setting that the log has otherwise than the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingDifference {
    /// The key of the configuration, e.g. `access.profile`, `access.switches.push_policy`, `source.corp.authoritative`.
    pub setting: String,
    /// What is in force: what the log says.
    pub in_force: Value,
    /// What is configured and not in force.
    pub configured: Value,
}

/// What applying a configuration would change.
#[derive(Debug, Clone)]
pub struct ConfigurationPlan {
    /// Setting by setting.
    pub settings: Vec<SettingDifference>,
    /// How much access.
    pub access: AccessTotals,
    /// What it would record, in this order.
    pub events: Vec<Body>,
    /// What the fold would say of each.
    pub effects: Vec<Effect>,
    /// Names it: what does the same has the same name.
    pub name: String,
}

/// Profile and settings as the log has them, or would.
#[derive(Debug, Clone)]
struct InForce {
    profile: Profile,
    settings: Settings,
}

/// What of a configuration is judged and recorded together: the access model means something only as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Model,
    CustomerSubAccounts,
    CustomersSeeEachOther,
    BindingsOnManaged,
    ReservedNames,
    Source(SourceName),
}

impl InForce {
    fn of(roster: &Roster) -> Self {
        Self { profile: roster.profile.clone(), settings: roster.settings.clone() }
    }

    /// The configuration as it would be in force. Sources that are configured no more stay: their facts are still ordered
    /// as they were.
    fn wanted(roster: &Roster, configuration: &Configuration) -> Self {
        let Configuration { profile, settings } = configuration.clone();
        let mut sources = roster.settings.sources.clone();
        sources.extend(settings.sources);
        Self { profile, settings: Settings { sources, author: roster.settings.author.clone(), ..settings } }
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.settings.sources.keys().cloned().map(Part::Source).collect();
        parts.extend([
            Part::Model,
            Part::CustomerSubAccounts,
            Part::CustomersSeeEachOther,
            Part::BindingsOnManaged,
            Part::ReservedNames,
        ]);
        parts
    }

    /// This with one part of another. A setting that is in no part does not compile.
    fn with(mut self, part: &Part, from: &Self) -> Self {
        let Settings {
            producer_role,
            consumer_role,
            customer_sub_accounts,
            customers_see_each_other,
            bindings_on_managed,
            reserved_names,
            switches,
            sources,
            author: _,
        } = &mut self.settings;
        let wanted = &from.settings;
        match part {
            Part::Model => {
                self.profile = from.profile.clone();
                producer_role.clone_from(&wanted.producer_role);
                consumer_role.clone_from(&wanted.consumer_role);
                switches.clone_from(&wanted.switches);
            }
            Part::CustomerSubAccounts => *customer_sub_accounts = wanted.customer_sub_accounts,
            Part::CustomersSeeEachOther => *customers_see_each_other = wanted.customers_see_each_other,
            Part::BindingsOnManaged => *bindings_on_managed = wanted.bindings_on_managed,
            Part::ReservedNames => reserved_names.clone_from(&wanted.reserved_names),
            Part::Source(name) => {
                if let Some(said) = wanted.sources.get(name) {
                    sources.insert(name.clone(), *said);
                }
            }
        }
        self
    }

    fn same_as(&self, other: &Self) -> bool {
        self.profile.document() == other.profile.document() && self.settings == other.settings
    }

    /// What has to be recorded so that this is in force where `said` is.
    fn events(&self, said: Option<&Self>, author: Option<&Author>) -> Vec<Body> {
        let mut bodies = Vec::new();
        if said.is_none_or(|said| said.profile.document() != self.profile.document())
            && let Ok(document) = profile_event(self.profile.document(), author)
        {
            bodies.push(Body::ProfileSet(document));
        }
        if said.is_none_or(|said| said.settings != self.settings) {
            bodies.push(Body::SettingsSet(Settings { author: author.cloned(), ..self.settings.clone() }));
        }
        bodies
    }

    /// Setting by setting, where the log has another.
    fn differences(&self, said: &Self) -> Vec<SettingDifference> {
        let mut found = Vec::new();
        let (mut was, mut is) = (Vec::new(), Vec::new());
        flatten("access".to_owned(), &said.shown(), &mut was);
        flatten("access".to_owned(), &self.shown(), &mut is);
        if said.profile.name() == self.profile.name() {
            // The same name and another document: which of its keys.
            let document = |profile: &Profile| serde_json::to_value(profile.document()).unwrap_or_default();
            flatten("access.profile".to_owned(), &document(&said.profile), &mut was);
            flatten("access.profile".to_owned(), &document(&self.profile), &mut is);
        }
        let (was, is) = (was.into_iter().collect::<Sorted>(), is.into_iter().collect::<Sorted>());
        let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for key in keys {
            let value = |all: &Sorted| all.get(key).cloned().unwrap_or_default();
            let (in_force, configured) = (value(&was), value(&is));
            if in_force != configured {
                let setting = key.strip_prefix("access.source.").map_or(key.clone(), |rest| format!("source.{rest}"));
                found.push(SettingDifference { setting, in_force, configured });
            }
        }
        found
    }

    /// As the configuration writes it.
    fn shown(&self) -> Value {
        let mut shown = serde_json::to_value(&self.settings).unwrap_or_default();
        if let Some(shown) = shown.as_object_mut() {
            shown.remove("author");
            let sources = shown.remove("sources").unwrap_or_default();
            shown.insert("source".to_owned(), sources);
            shown.insert("profile".to_owned(), self.profile.name().into());
        }
        shown
    }
}

type Sorted = BTreeMap<String, Value>;

/// Every value below a key.
fn flatten(key: String, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, inner)| flatten(format!("{key}.{name}"), inner, into));
        }
        value => into.push((key, value.clone())),
    }
}

/// A profile's document as `profile.set` carries it.
fn profile_event(document: &Document, author: Option<&Author>) -> serde_json::Result<ProfileDocument> {
    let mut value = serde_json::to_value(document)?;
    if let (Some(author), Some(members)) = (author, value.as_object_mut()) {
        members.insert("author".to_owned(), author.as_str().into());
    }
    Ok(ProfileDocument(RawValue::from_string(value.to_string())?))
}

/// What a start records of a configuration: all of it on a log that has none, else what changes nobody's access, now or
/// when a window that is stated already begins or ends. What is left waits as a plan. Costs a copy of the roster where
/// the configuration means something else.
#[must_use]
pub fn configuration_to_record(roster: &Roster, configuration: &Configuration, now: DateTime<Utc>) -> Vec<Body> {
    let wanted = InForce::wanted(roster, configuration);
    if !roster.has_settings() {
        return wanted.events(None, None);
    }
    let said = InForce::of(roster);
    if said.same_as(&wanted) {
        return Vec::new();
    }
    let mut trial: Option<Trial> = None;
    let mut harmless = |proposed: &InForce| {
        roster.means_the_same(proposed)
            || changes_nobody(trial.get_or_insert_with(|| Trial::of(roster.clone())).proposing(proposed), now)
    };
    // What belongs together may change nobody only as a whole.
    if harmless(&wanted) {
        return wanted.events(Some(&said), None);
    }
    let taken = wanted.parts().iter().fold(said.clone(), |taken, part| {
        let next = taken.clone().with(part, &wanted);
        if next.same_as(&taken) || harmless(&next) { next } else { taken }
    });
    taken.events(Some(&said), None)
}

/// What the log has otherwise than a configuration. Costs nothing.
#[must_use]
pub fn configuration_differences(roster: &Roster, configuration: &Configuration) -> Vec<SettingDifference> {
    InForce::wanted(roster, configuration).differences(&InForce::of(roster))
}

/// What applying a configuration would record and change. Takes the copy of the roster that it is tried on.
#[must_use]
pub fn plan_configuration(
    copy: Roster,
    configuration: &Configuration,
    author: &Author,
    now: DateTime<Utc>,
) -> ConfigurationPlan {
    let (said, wanted) = (InForce::of(&copy), InForce::wanted(&copy, configuration));
    let settings = wanted.differences(&said);
    let events = wanted.events(Some(&said), Some(author));
    let mut trial = Trial::of(copy);
    let access = totals(trial.proposing(&wanted), now);
    let mut roster = trial.back();
    let local = SourceName::local();
    let effects = events.iter().map(|event| roster.fold_unrecorded(&local, event, now)).collect();
    // The profile whole: a file that was changed since somebody looked is another plan, though it has the same name and
    // gives the same today.
    let text = serde_json::to_string(&(&settings, wanted.profile.document())).unwrap_or_default();
    let name = format!("cfg_{:016x}", Digest::of(format!("{text}\n{}", access.digest).as_bytes()).prefix());
    ConfigurationPlan { settings, access, events, effects, name }
}

/// Whom applying a configuration would change, after one row and at most so many.
#[must_use]
pub fn configuration_rows(
    copy: Roster,
    configuration: &Configuration,
    now: DateTime<Utc>,
    after: Option<&AccessRowKey>,
    limit: usize,
) -> Vec<AccessRow> {
    let wanted = InForce::wanted(&copy, configuration);
    next_rows(Trial::of(copy).proposing(&wanted), now, after, limit)
}

/// One roster with two sets of what settings and profile make of its facts.
struct Trial {
    roster: Roster,
    other: Derived,
    /// Whether what is proposed is in the roster now, and what is in force in `other`.
    proposed: bool,
}

/// What follows from settings and profile. The tables of the fast path are not among it: nothing here takes that way.
struct Derived {
    settings: Settings,
    profile: Profile,
    roles: Pages<Option<(ProfileKind, HeldRole)>>,
    producer_role: Option<RoleIx>,
    consumer_role: Option<RoleIx>,
    authoritative: Vec<bool>,
    authenticated: ActionSet,
    customer: ActionSet,
}

impl Trial {
    fn of(roster: Roster) -> Self {
        let other = Derived {
            settings: roster.settings.clone(),
            profile: roster.profile.clone(),
            roles: roster.roles.clone(),
            producer_role: roster.producer_role,
            consumer_role: roster.consumer_role,
            authoritative: roster.authoritative.clone(),
            authenticated: roster.fast_path.authenticated,
            customer: roster.fast_path.customer,
        };
        Self { roster, other, proposed: false }
    }

    fn proposing(&mut self, proposed: &InForce) -> &mut Self {
        self.show(false);
        (self.other.settings, self.other.profile) = (proposed.settings.clone(), proposed.profile.clone());
        self.show(true);
        self.roster.derive_from_settings();
        self
    }

    /// The roster as it is in force.
    fn back(mut self) -> Roster {
        self.show(false);
        self.roster
    }

    fn show(&mut self, proposed: bool) -> &Roster {
        if self.proposed != proposed {
            self.proposed = proposed;
            let (roster, other) = (&mut self.roster, &mut self.other);
            mem::swap(&mut roster.settings, &mut other.settings);
            mem::swap(&mut roster.profile, &mut other.profile);
            mem::swap(&mut roster.roles, &mut other.roles);
            mem::swap(&mut roster.producer_role, &mut other.producer_role);
            mem::swap(&mut roster.consumer_role, &mut other.consumer_role);
            mem::swap(&mut roster.authoritative, &mut other.authoritative);
            mem::swap(&mut roster.fast_path.authenticated, &mut other.authenticated);
            mem::swap(&mut roster.fast_path.customer, &mut other.customer);
        }
        &self.roster
    }
}

impl TwoStates for Trial {
    fn before(&mut self) -> &Roster {
        self.show(false)
    }

    fn after(&mut self) -> &Roster {
        self.show(true)
    }
}

impl Roster {
    /// Whether a proposal could change nobody, whoever there is: only remarks differ, words for the same thing, settings
    /// that look at what somebody does next, and sources that said nothing yet.
    fn means_the_same(&self, proposed: &InForce) -> bool {
        let (said, next) = (&self.settings, &proposed.settings);
        let Settings {
            producer_role: _,
            consumer_role: _,
            customer_sub_accounts,
            customers_see_each_other,
            // These two stand against commands that are yet to come; what was given stays given.
            bindings_on_managed: _,
            reserved_names: _,
            switches: _,
            sources,
            author: _,
        } = said;
        let meant = |document: &Document| document.without_remarks();
        let switches = |of: &Settings, profile: &Profile| -> Vec<String> {
            let all = profile.document().settings.iter();
            all.map(|(name, switch)| of.switches.get(name).unwrap_or(&switch.default).clone()).collect()
        };
        let rules = |of: &Settings, profile: &Profile| {
            let rules = &profile.document().rules;
            [
                profile.role(of.producer_role.as_deref().or(rules.producer_role.as_deref()).unwrap_or("Developer")),
                profile.role(of.consumer_role.as_deref().or(rules.consumer_role.as_deref()).unwrap_or("Guest")),
            ]
        };
        let of_source = |all: &BTreeMap<SourceName, SourceSettings>, name: &str| {
            let said = all.iter().find(|(source, _)| source.as_str() == name).map(|(_, said)| *said);
            said.map_or((Order::Observed, false), |said| (said.order, said.authoritative))
        };
        meant(self.profile.document()) == meant(proposed.profile.document())
            && switches(said, &self.profile) == switches(next, &proposed.profile)
            && rules(said, &self.profile) == rules(next, &proposed.profile)
            && *customer_sub_accounts == next.customer_sub_accounts
            && *customers_see_each_other == next.customers_see_each_other
            && self.sources().all(|name| of_source(sources, name) == of_source(&next.sources, name))
    }
}
