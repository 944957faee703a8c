//! A licensing world of any size: people of accounts that bought products that packages deliver.
//! Ten people to an account and ten projects to each of them; holds no events, it makes them one after the other.

use chrono::DateTime;
use rollcall_events::{EventKey, NewEvent, Position, Recorded, SourceName};

/// The source that says it.
pub const SOURCE: &str = "licences";

const PEOPLE_PER_ACCOUNT: u32 = 10;
const LINES_PER_ACCOUNT: u32 = 5;
const PACKAGES_PER_PRODUCT: u32 = 2;
/// Producers: one account for so many packages, with so many people who hold the permission.
const PACKAGES_PER_PRODUCER: u32 = 100;
const PRODUCER_PEOPLE: u32 = 2;

#[derive(Debug, Clone, Copy)]
pub struct World {
    accounts: u32,
    products: u32,
}

impl World {
    /// About so many (user, project) pairs, all of them in force.
    pub fn of_memberships(memberships: u32) -> Self {
        let accounts = (memberships / 100).max(20);
        Self { accounts, products: (accounts / PACKAGES_PER_PRODUCT).max(10) }
    }

    pub fn people(&self) -> u32 {
        self.accounts * PEOPLE_PER_ACCOUNT
    }

    pub fn projects(&self) -> u32 {
        self.products * PACKAGES_PER_PRODUCT
    }

    fn producers(&self) -> u32 {
        self.projects().div_ceil(PACKAGES_PER_PRODUCER)
    }

    /// Effective (user, project) pairs.
    pub fn memberships(&self) -> u64 {
        let customers = self.people() * LINES_PER_ACCOUNT * PACKAGES_PER_PRODUCT;
        u64::from(customers) + u64::from(self.projects() * PRODUCER_PEOPLE)
    }

    /// Everything that is called by a name: account, person, user name, product, package, project, entitlement, line.
    pub fn names(&self) -> u64 {
        let producer_people = self.producers() * PRODUCER_PEOPLE;
        let names = self.accounts
            + self.producers()
            + 2 * (self.people() + producer_people)
            + self.products
            + 2 * self.projects()
            + self.accounts
            + self.accounts * LINES_PER_ACCOUNT;
        u64::from(names)
    }

    pub fn user_name(person: u32) -> String {
        format!("user{person}")
    }

    pub fn project_name(project: u32) -> String {
        format!("project-{project}")
    }

    /// A project that a person may pull, by its running number.
    pub fn project_of(&self, person: u32, line: u32, package: u32) -> u32 {
        let product = self.product(person / PEOPLE_PER_ACCOUNT, line % LINES_PER_ACCOUNT);
        product * PACKAGES_PER_PRODUCT + package % PACKAGES_PER_PRODUCT
    }

    /// Far from each other, so that no two accounts next to each other buy the same.
    fn product(&self, account: u32, line: u32) -> u32 {
        let far = u64::from(account) * 7919 + u64::from(line) * u64::from(self.products / LINES_PER_ACCOUNT);
        (far % u64::from(self.products)) as u32
    }

    /// Everything that is so, as a licensing system would say it. The first event is the settings.
    pub fn events(self) -> impl Iterator<Item = NewEvent> {
        let settings = format!(r#"{{"sources":{{"{SOURCE}":{{"order":"version"}}}}}}"#);
        let settings = event(SourceName::local(), "settings.set", "settings".into(), settings, None);
        std::iter::once(settings).chain(self.facts())
    }

    fn facts(self) -> impl Iterator<Item = NewEvent> {
        let source: SourceName = SOURCE.parse().unwrap();
        let say = move |kind: &str, subject: String, data: String| event(source.clone(), kind, subject, data, Some(1));
        let (a, b, c, d, e) = (say.clone(), say.clone(), say.clone(), say.clone(), say);
        let producers = (0..self.producers()).flat_map(move |n| {
            let account = format!(r#"{{"account":"P{n}","kind":"producer","name":"Producer {n}"}}"#);
            let mut events = vec![a("account.upserted", format!("account/P{n}"), account)];
            for m in 0..PRODUCER_PEOPLE {
                let id = format!("m{n}-{m}");
                let permission = "view_and_manage_download_packages";
                events.push(a(
                    "person.upserted",
                    format!("person/{id}"),
                    person(&id, &format!("maker{n}-{m}"), &format!("P{n}")),
                ));
                let data = format!(r#"{{"person":"{id}","permission":"{permission}"}}"#);
                events.push(a("permission.granted", format!("permission/{id}/{permission}"), data));
            }
            events
        });
        let products = (0..self.products).map(move |n| {
            b("product.upserted", format!("product/D{n}"), format!(r#"{{"product":"D{n}","name":"Product {n}"}}"#))
        });
        let packages = (0..self.projects()).flat_map(move |n| {
            let (producer, product) = (n / PACKAGES_PER_PRODUCER, n / PACKAGES_PER_PRODUCT);
            let name = Self::project_name(n);
            let package = format!(
                r#"{{"package":"K{n}","project_name":"{name}","producer":"P{producer}","container_delivery":true}}"#
            );
            let mapped = format!(r#"{{"package":"K{n}","product":"D{product}"}}"#);
            [
                c("package.upserted", format!("package/K{n}"), package),
                c("package.product.mapped", format!("package_product/K{n}/D{product}"), mapped),
            ]
        });
        let accounts = (0..self.accounts).flat_map(move |n| {
            let account = format!(r#"{{"account":"A{n}","kind":"customer","name":"Customer {n}"}}"#);
            let bought = format!(r#"{{"entitlement":"E{n}","account":"A{n}","state":"active"}}"#);
            let mut events = vec![
                d("account.upserted", format!("account/A{n}"), account),
                d("entitlement.upserted", format!("entitlement/E{n}"), bought),
            ];
            for m in 0..LINES_PER_ACCOUNT {
                let product = self.product(n, m);
                let line = format!(
                    r#"{{"line":"L{n}-{m}","entitlement":"E{n}","product":"D{product}","starts":"2026-01-01T00:00:00Z","ends":"2099-01-01T00:00:00Z","quantity":10}}"#
                );
                events.push(d("entitlement.line.upserted", format!("line/L{n}-{m}"), line));
            }
            events
        });
        let people = (0..self.people()).map(move |n| {
            let account = format!("A{}", n / PEOPLE_PER_ACCOUNT);
            e("person.upserted", format!("person/p{n}"), person(&format!("p{n}"), &Self::user_name(n), &account))
        });
        producers.chain(products).chain(packages).chain(accounts).chain(people)
    }

    /// The same as records of a log, to be folded.
    pub fn records(self) -> impl Iterator<Item = Recorded> {
        let recorded_at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        (1..).zip(self.events()).map(move |(n, event)| Recorded { position: Position(n), recorded_at, event })
    }
}

fn person(id: &str, name: &str, account: &str) -> String {
    format!(r#"{{"person":"{id}","username":"{name}","account":"{account}","active":true}}"#)
}

fn event(source: SourceName, kind: &str, subject: String, data: String, sequence: Option<u64>) -> NewEvent {
    NewEvent {
        key: EventKey { source, id: format!("{subject}@1").into() },
        kind: format!("rollcall.{kind}.v1").into(),
        subject: subject.into(),
        time: None,
        sequence,
        origin: None,
        correlation: Some("dlv_01993d6e7c1b7d50a3f4c2b1e0d9c8b7".into()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        data: data.into(),
    }
}
