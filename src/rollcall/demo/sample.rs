//! The demo's licensing system: two producers, their packages, some 300 people and entitlements in every state.
//! Pure: the same instant gives the same facts, byte for byte. Posts nothing; `demo` does.

use chrono::{DateTime, Days, TimeDelta, Utc};
use rollcall_events::{
    Body, Id,
    body::{
        Account, AccountKind, Entitlement, EntitlementPerson, EntitlementState, Line, Package, PackageProduct,
        Permission, PermissionOf, Person, PersonRef, Product,
    },
};
use serde_json::{Value, json};

/// The person whose commands are printed.
pub const ADA: &str = "ada@globex.test";
/// The entitlement that her pull rests on, and nothing else does.
pub const ADA_ENTITLEMENT: &str = "ENT-7";
/// The image that she pulls.
pub const IMAGE: &str = "acme/db";

/// One fact, before it is written as a CloudEvent.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleFact {
    /// What it says.
    pub body: Body,
    /// The subject's version.
    pub sequence: u64,
    /// When the licensing system says it happened.
    pub time: DateTime<Utc>,
    /// E-mail and display name of a person, handed over apart.
    pub personal: Option<(String, String)>,
}

impl SampleFact {
    /// As CloudEvents 1.0, structured.
    pub fn cloud_event(&self, origin: &str) -> Value {
        let mut data: Value = serde_json::from_str(&self.body.data()).unwrap_or_default();
        if let (Some((email, name)), Some(data)) = (&self.personal, data.as_object_mut()) {
            data.insert("personal".into(), json!({"email": email, "name": name}));
        }
        let subject = self.body.subject();
        json!({
            "specversion": "1.0",
            "id": format!("{subject}#{}", self.sequence),
            "source": origin,
            "type": self.body.kind(),
            "subject": subject,
            "time": self.time,
            "sequence": self.sequence.to_string(),
            "datacontenttype": "application/json",
            "data": data,
        })
    }
}

/// (project, name, product, its label): what the producer acme delivers.
const ACME: [(&str, &str, &str, &str); 12] = [
    ("acme", "Acme DB", "DB", "DB Suite"),
    ("acme-analytics", "Acme Analytics", "ANALYTICS", "Analytics"),
    ("acme-backup", "Acme Backup", "BACKUP", "Backup"),
    ("acme-cache", "Acme Cache", "CACHE", "Cache"),
    ("acme-edge", "Acme Edge", "EDGE", "Edge"),
    ("acme-flow", "Acme Flow", "FLOW", "Flow"),
    ("acme-gateway", "Acme Gateway", "GATEWAY", "Gateway"),
    ("acme-ledger", "Acme Ledger", "LEDGER", "Ledger"),
    ("acme-monitor", "Acme Monitor", "MONITOR", "Monitor"),
    ("acme-queue", "Acme Queue", "QUEUE", "Queue"),
    ("acme-search", "Acme Search", "SEARCH", "Search"),
    ("acme-vault", "Acme Vault", "VAULT", "Vault"),
];

/// The same for the producer initech; its projects take their names from the packages' names.
const INITECH: [(&str, &str, &str, &str); 8] = [
    ("initech-archive", "Initech Archive", "ARCHIVE", "Archive"),
    ("initech-forms", "Initech Forms", "FORMS", "Forms"),
    ("initech-mail", "Initech Mail", "MAIL", "Mail"),
    ("initech-print", "Initech Print", "PRINT", "Print"),
    ("initech-reports", "Initech Reports", "REPORTS", "Reports"),
    ("initech-scan", "Initech Scan", "SCAN", "Scan"),
    ("initech-sync", "Initech Sync", "SYNC", "Sync"),
    ("initech-tps", "Initech TPS", "TPS", "TPS"),
];

/// Customers: id, label, the account above.
const CUSTOMERS: [(&str, &str, Option<&str>); 24] = [
    ("globex", "Globex", None),
    ("globex-west", "Globex West", Some("globex")),
    ("amber-mills", "Amber Mills", None),
    ("birch-freight", "Birch Freight", None),
    ("cedar-health", "Cedar Health", None),
    ("cedar-labs", "Cedar Labs", Some("cedar-health")),
    ("delta-rail", "Delta Rail", None),
    ("elm-energy", "Elm Energy", None),
    ("fjord-foods", "Fjord Foods", None),
    ("garnet-air", "Garnet Air", None),
    ("harbour-bank", "Harbour Bank", None),
    ("harbour-trust", "Harbour Trust", Some("harbour-bank")),
    ("iris-media", "Iris Media", None),
    ("juniper-steel", "Juniper Steel", None),
    ("kestrel-post", "Kestrel Post", None),
    ("linden-paper", "Linden Paper", None),
    ("maple-motors", "Maple Motors", None),
    ("north-water", "North Water", None),
    ("opal-optics", "Opal Optics", None),
    ("pine-pharma", "Pine Pharma", None),
    ("quartz-games", "Quartz Games", None),
    ("river-retail", "River Retail", None),
    ("slate-stone", "Slate Stone", None),
    ("tidal-tours", "Tidal Tours", None),
];

/// Producers: id, label, the account above, how many people.
const PRODUCERS: [(&str, &str, Option<&str>, usize); 6] = [
    ("acme", "Acme", None, 14),
    ("acme-emea", "Acme EMEA", Some("acme"), 10),
    ("acme-research", "Acme Research", Some("acme"), 10),
    ("acme-research-storage", "Acme Storage Research", Some("acme-research"), 6),
    ("initech", "Initech", None, 12),
    ("initech-labs", "Initech Labs", Some("initech"), 8),
];

const NAMES: [&str; 20] = [
    "ada", "bob", "carol", "dave", "eve", "frank", "grace", "heidi", "ivan", "judy", "kim", "leo", "mona", "nils",
    "olga", "peggy", "quin", "rosa", "sam", "tess",
];

/// Customers with people of their own have so many each; Globex has more.
const PEOPLE_OF_A_CUSTOMER: usize = 10;

/// The state that an entitlement starts in, by its number: mostly active, every state somewhere.
fn state(number: usize) -> EntitlementState {
    match number {
        15 | 47 => EntitlementState::Draft,
        22 | 53 => EntitlementState::OnHold,
        31 | 58 | 66 => EntitlementState::Inactive,
        40 | 71 => EntitlementState::Obsolete,
        _ => EntitlementState::Active,
    }
}

/// Who has entitlement `number`: Globex a few, the rest in turn.
fn owner(number: usize) -> &'static str {
    match number {
        7 | 20 | 33 => "globex",
        _ => CUSTOMERS.get(2 + number % 22).map_or("globex", |(id, ..)| id),
    }
}

/// What it is for. No product of Globex but ENT-7's leads to `acme`.
fn product(number: usize) -> &'static str {
    match number {
        7 => "DB",
        NARROWED => "LEDGER",
        20 => "SEARCH",
        33 => "MONITOR",
        UNMAPPED => "TELEX",
        _ => {
            let all = ACME.iter().chain(&INITECH).map(|(_, _, product, _)| *product);
            all.cycle().nth(number * 3).unwrap_or("DB")
        }
    }
}

/// How many entitlements there are; `ENT-1` is the first.
const ENTITLEMENTS: usize = 80;
/// Its line ends ten minutes after the demo was made.
const ENDING_SOON: usize = 12;
/// It is narrowed to two named people.
const NARROWED: usize = 9;
/// Its line begins in the future.
const FUTURE: usize = 18;
/// Its line has ended.
const EXPIRED: usize = 26;
/// Its product is in no package.
const UNMAPPED: usize = 60;

fn id(text: &str) -> Option<Id> {
    text.parse().ok()
}

/// Writes facts down in the order in which they happened.
struct FactList {
    now: DateTime<Utc>,
    facts: Vec<SampleFact>,
}

impl FactList {
    fn ago(&self, days: u64) -> DateTime<Utc> {
        self.now.checked_sub_days(Days::new(days)).unwrap_or(self.now)
    }

    fn add(&mut self, days_ago: u64, sequence: u64, body: Option<Body>) {
        let time = self.ago(days_ago);
        self.facts.extend(body.map(|body| SampleFact { body, sequence, time, personal: None }));
    }
}

/// All of it as it stands at `now`, oldest facts first. Every subject starts with sequence 1.
pub fn sample_facts(now: DateTime<Utc>) -> Vec<SampleFact> {
    let mut list = FactList { now, facts: Vec::new() };
    accounts(&mut list);
    people(&mut list);
    catalogue(&mut list);
    entitlements(&mut list);
    list.facts
}

fn accounts(list: &mut FactList) {
    let producers = PRODUCERS.iter().map(|(id, name, parent, _)| (AccountKind::Producer, *id, *name, *parent));
    let customers = CUSTOMERS.iter().map(|(id, name, parent)| (AccountKind::Customer, *id, *name, *parent));
    for (kind, account, name, parent) in producers.chain(customers) {
        let body = id(account).map(|account| {
            Body::AccountUpserted(Account { account, kind, parent: parent.and_then(id), name: Some(name.into()) })
        });
        list.add(700, 1, body);
    }
}

/// Everybody: (person's id, user name, account). Ids are the licensing system's own numbers.
fn all_people() -> Vec<(String, String, &'static str)> {
    let producers = PRODUCERS.iter().map(|(account, _, _, people)| (*account, *people));
    let customers = CUSTOMERS
        .iter()
        .map(|(account, ..)| (*account, if *account == "globex" { NAMES.len() } else { PEOPLE_OF_A_CUSTOMER }));
    let mut all = Vec::new();
    for (at, (account, people)) in producers.chain(customers).enumerate() {
        // Each account begins elsewhere in the list of names, Globex with ada.
        let names = NAMES.iter().cycle().skip(if account == "globex" { 0 } else { at * 7 }).take(people);
        for name in names {
            all.push((format!("{}", 1001 + all.len()), format!("{name}@{account}.test"), account));
        }
    }
    all
}

/// A person's id.
fn person_id(username: &str) -> Option<Id> {
    all_people().iter().find(|(_, name, _)| name == username).and_then(|(person, ..)| id(person))
}

fn people(list: &mut FactList) {
    let producers: Vec<&str> = PRODUCERS.iter().map(|(id, ..)| *id).collect();
    for (at, (number, username, account)) in all_people().into_iter().enumerate() {
        let Some(person) = id(&number) else { continue };
        let first = username.split('@').next().unwrap_or_default();
        let display = first.chars().take(1).flat_map(char::to_uppercase).chain(first.chars().skip(1)).collect();
        // Somebody is suspended now and then; never ada.
        let active = at % 37 != 36;
        let body = Person {
            person: person.clone(),
            username: Some(username.clone()),
            account: id(account),
            active,
            same_as: Vec::new(),
        };
        let time = list.ago(400);
        let personal = Some((username, display));
        list.facts.push(SampleFact { body: Body::PersonUpserted(body), sequence: 1, time, personal });
        // Most people of a producer manage its packages; some held the permission once.
        if producers.contains(&account) && at % 4 != 3 {
            let of = PermissionOf { person: person.clone(), permission: Permission::ViewAndManageDownloadPackages };
            list.add(399, 1, Some(Body::PermissionGranted(of.clone())));
            if at % 11 == 10 {
                list.add(90, 2, Some(Body::PermissionRevoked(of)));
            }
        }
        if at % 41 == 40 {
            list.add(30, 2, Some(Body::PersonRemoved(PersonRef { person })));
        }
    }
}

fn catalogue(list: &mut FactList) {
    let package = |list: &mut FactList, name: &str, project: Option<&str>, producer: &str, container_delivery| {
        let package = id(&format!("pkg-{}", name.to_lowercase().replace(' ', "-")));
        let body = package.clone().zip(id(producer)).map(|(package, producer)| {
            Body::PackageUpserted(Package {
                package,
                name: Some(name.into()),
                project_name: project.map(Into::into),
                producer,
                container_delivery,
                effective_from: None,
                effective_until: None,
            })
        });
        list.add(380, 1, body);
        package
    };
    let product = |list: &mut FactList, key: &str, label: &str| {
        let body = id(key).map(|product| Body::ProductUpserted(Product { product, name: Some(label.into()) }));
        list.add(390, 1, body);
        id(key)
    };
    let mapped = |list: &mut FactList, package: Option<Id>, product: Option<Id>| {
        let body = package
            .zip(product)
            .map(|(package, product)| Body::PackageProductMapped(PackageProduct { package, product }));
        list.add(370, 1, body);
    };
    let acme = ACME.iter().map(|(project, name, product, label)| ("acme", Some(*project), name, product, label));
    let initech = INITECH.iter().map(|(_, name, product, label)| ("initech", None, name, product, label));
    for (producer, project, name, key, label) in acme.chain(initech) {
        let product = product(list, key, label);
        let package = package(list, name, project, producer, true);
        mapped(list, package, product);
    }
    // Delivered as an installer, not as a container: no project.
    let desktop = package(list, "Acme Desktop", None, "acme", false);
    let desktop_product = product(list, "DESKTOP", "Desktop");
    mapped(list, desktop, desktop_product);
    // A bundle of two packages, and a product that no package delivers any more.
    let office = product(list, "OFFICE", "Office Bundle");
    for package in ["pkg-initech-mail", "pkg-initech-forms"] {
        mapped(list, id(package), office.clone());
    }
    product(list, "TELEX", "Telex");
}

fn entitlement_body(number: usize, state: EntitlementState) -> Option<Body> {
    let (entitlement, account) = id(&format!("ENT-{number}")).zip(id(owner(number)))?;
    Some(Body::EntitlementUpserted(Entitlement { entitlement, account, state }))
}

fn entitlements(list: &mut FactList) {
    for number in 1..=ENTITLEMENTS {
        let days = 365 - 4 * u64::try_from(number).unwrap_or_default();
        // Born as a draft, then what it is now: a history to look at.
        let now = state(number);
        list.add(days + 2, 1, entitlement_body(number, EntitlementState::Draft));
        if now != EntitlementState::Draft {
            list.add(days, 2, entitlement_body(number, EntitlementState::Active));
        }
        if !matches!(now, EntitlementState::Draft | EntitlementState::Active) {
            list.add(20, 3, entitlement_body(number, now));
        }
        let ahead = |days| list.now.checked_add_days(Days::new(days));
        let (starts, ends) = match number {
            ENDING_SOON => (Some(list.ago(days)), list.now.checked_add_signed(TimeDelta::minutes(10))),
            FUTURE => (ahead(30), ahead(395)),
            EXPIRED => (Some(list.ago(days)), Some(list.ago(20))),
            _ if number % 5 == 0 => (Some(list.ago(days)), None),
            _ => (Some(list.ago(days)), ahead(60 + 10 * (days % 30))),
        };
        let line = id(&format!("ENT-{number}/1")).zip(id(&format!("ENT-{number}"))).zip(id(product(number)));
        let line = line.map(|((line, entitlement), product)| {
            Body::LineUpserted(Line { line, entitlement, product, starts, ends, quantity: Some(10 + days % 90) })
        });
        list.add(days, 1, line);
    }
    for username in ["bob@globex.test", "carol@globex.test"] {
        let both = id(&format!("ENT-{NARROWED}")).zip(person_id(username));
        let body = both.map(|(entitlement, person)| Body::PersonAssigned(EntitlementPerson { entitlement, person }));
        list.add(15, 1, body);
    }
}

/// An entitlement of the demo in another state, as the licensing system would say it at `now`.
///
/// # Errors
/// When the demo has no such entitlement.
pub fn entitlement_change(
    entitlement: &str,
    state: EntitlementState,
    now: DateTime<Utc>,
) -> Result<SampleFact, String> {
    let number = entitlement.strip_prefix("ENT-").and_then(|number| number.parse::<usize>().ok());
    let known = number.filter(|number| (1..=ENTITLEMENTS).contains(number) && entitlement == format!("ENT-{number}"));
    let body = known.and_then(|number| entitlement_body(number, state));
    let body = body.ok_or_else(|| {
        format!("the demo has no entitlement `{}`; it has ENT-1 to ENT-{ENTITLEMENTS}", entitlement.escape_debug())
    })?;
    // The time in milliseconds is above every number that the demo starts with, and grows.
    let sequence = u64::try_from(now.timestamp_millis()).unwrap_or_default();
    Ok(SampleFact { body, sequence, time: now, personal: None })
}

/// How large the demo is: (producers, projects, people).
pub fn size() -> (usize, usize, usize) {
    let producers = PRODUCERS.iter().filter(|(_, _, parent, _)| parent.is_none()).count();
    (producers, ACME.len() + INITECH.len(), all_people().len())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_000_000, 0).unwrap()
    }

    #[test]
    fn every_fact_reads_strictly_as_what_it_is() {
        for fact in sample_facts(at()) {
            let event = fact.cloud_event("https://licences.acme.test");
            let mut data = event["data"].clone();
            if let Some(personal) = data.as_object_mut().unwrap().remove("personal") {
                assert!(personal["email"].as_str().unwrap().contains('@'));
            }
            let read = Body::parse(event["type"].as_str().unwrap(), &data.to_string()).unwrap();
            assert_eq!(read, fact.body);
            assert_eq!(event["subject"], read.subject());
        }
    }

    #[test]
    fn no_two_facts_share_an_id_and_each_subject_counts_from_one() {
        let mut ids = BTreeSet::new();
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for fact in sample_facts(at()) {
            assert!(ids.insert(fact.cloud_event("x")["id"].to_string()), "{fact:?}");
            let last = versions.entry(fact.body.subject()).or_default();
            assert!(fact.sequence > *last, "{fact:?}");
            *last = fact.sequence;
            assert!(fact.time <= at());
        }
    }

    #[test]
    fn the_same_instant_gives_the_same_bytes() {
        let text = || sample_facts(at()).iter().map(|fact| fact.cloud_event("x").to_string()).collect::<Vec<_>>();
        assert_eq!(text(), text());
    }

    #[test]
    fn the_demo_is_as_lively_as_promised() {
        let (producers, projects, people) = size();
        assert_eq!((producers, projects), (2, 20));
        assert!((290..=320).contains(&people), "{people}");
        let facts = sample_facts(at());
        let states: BTreeSet<String> = facts
            .iter()
            .filter_map(|fact| match &fact.body {
                Body::EntitlementUpserted(entitlement) => Some(format!("{:?}", entitlement.state)),
                _ => None,
            })
            .collect();
        assert_eq!(states.len(), 5, "{states:?}");
        let last = |wanted: usize| {
            facts
                .iter()
                .rev()
                .find_map(|fact| match &fact.body {
                    Body::LineUpserted(line) if line.entitlement.as_str() == format!("ENT-{wanted}") => {
                        Some(line.clone())
                    }
                    _ => None,
                })
                .unwrap()
        };
        assert_eq!(last(ENDING_SOON).ends, at().checked_add_signed(TimeDelta::minutes(10)));
        assert!(last(FUTURE).starts > Some(at()));
        assert!(last(EXPIRED).ends < Some(at()));
        let mapped = |product: &Id| {
            facts.iter().any(|fact| matches!(&fact.body, Body::PackageProductMapped(m) if m.product == *product))
        };
        assert!(!mapped(&last(UNMAPPED).product) && mapped(&last(7).product));
        assert!(facts.iter().any(|fact| matches!(&fact.body, Body::PersonAssigned(_))));
        assert!(facts.iter().any(|fact| matches!(&fact.body, Body::PackageUpserted(p) if !p.container_delivery)));
        for number in [7, 9, ENDING_SOON, FUTURE, EXPIRED, UNMAPPED] {
            assert_eq!(state(number), EntitlementState::Active, "{number}");
        }
    }

    #[test]
    fn adas_pull_rests_on_one_entitlement() {
        let of_globex: Vec<usize> =
            (1..=ENTITLEMENTS).filter(|n| owner(*n) == "globex" && product(*n) == "DB").collect();
        assert_eq!(of_globex, [7]);
        assert!(person_id(ADA).is_some());
        let ada = person_id(ADA).unwrap();
        let facts = sample_facts(at());
        assert!(facts.iter().any(|fact| matches!(&fact.body, Body::PersonUpserted(p) if p.person == ada && p.active)));
        assert!(!facts.iter().any(|fact| matches!(&fact.body, Body::PersonRemoved(p) if p.person == ada)));
    }

    #[test]
    fn user_names_are_unique() {
        let names: Vec<_> = all_people().into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn an_entitlement_ends_and_is_renewed_with_a_higher_version() {
        let ended = entitlement_change("ENT-7", EntitlementState::Inactive, at()).unwrap();
        let before = sample_facts(at()).into_iter().rfind(|fact| fact.body.subject() == "entitlement/ENT-7").unwrap();
        assert!(ended.sequence > before.sequence);
        for unknown in ["ENT-0", "ENT-81", "ENT-07", "DB", "ENT-"] {
            assert!(
                entitlement_change(unknown, EntitlementState::Active, at()).unwrap_err().contains("ENT-80"),
                "{unknown}"
            );
        }
    }
}
