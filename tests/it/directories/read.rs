//! The directory connector against a real OpenLDAP server: L1 to L19 of the acceptance cases as far as a read by itself
//! shows them. What becomes of a read is shown with the whole product in `served`.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, body::Member};
use rollcall_ingest::connector::{Failure, Pull, Snapshot, SnapshotBuilder};
use rollcall_ldap::{Base, Bind, Config, Directory, Limits};

use crate::support::slapd::{Authority, BASE, Kind, Proxy, SYNC, Slapd, Then, dn, group, person, trunk};

pub fn config(url: &str) -> Config {
    let base = |ou: &str| format!("ou={ou},{BASE}").parse::<Base>().unwrap();
    Config {
        clear_text: true,
        bind: Bind::Simple(SYNC.to_owned(), "sync".into()),
        people: vec![base("people")],
        groups: vec![base("groups")],
        limits: Limits { connect: Duration::from_secs(2), answer: Duration::from_secs(2), ..Limits::default() },
        ..Config::new(vec![url.parse().unwrap()], base("people"))
    }
}

pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

pub fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

pub fn read(config: Config) -> Result<Snapshot, Failure> {
    block(async { Directory::new(config).unwrap().read(SnapshotBuilder::detached(now())).await })
}

/// Who is in which group, by user name and by group name: `ops: ada, (inner)`.
pub fn picture(snapshot: &Snapshot) -> BTreeSet<String> {
    let name = |kind: &str, id: &str| match snapshot.change(&format!("{kind}/{id}")).unwrap() {
        Body::PersonUpserted(person) => person.username.clone().unwrap(),
        Body::GroupUpserted(group) => group.name.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    snapshot
        .changes()
        .map(|(_, body)| match body {
            Body::PersonUpserted(person) => {
                format!("{}{}", person.username.as_deref().unwrap(), if person.active { "" } else { " inactive" })
            }
            Body::GroupUpserted(group) => format!("[{}]", group.name.as_deref().unwrap()),
            Body::GroupMemberAdded(fact) => {
                let member = match &fact.member {
                    Member::Person(id) => name("person", id.as_str()),
                    Member::Group(id) => format!("[{}]", name("group", id.as_str())),
                    Member::Service(_) => unreachable!(),
                };
                format!("[{}] has {member}", name("group", fact.group.as_str()))
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

pub fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_whole_read_states_people_groups_and_who_is_in_them() {
    let ldif = trunk()
        + &person("ada", "people", "lovelace")
        + &person("kim", "people", "k")
        + &person("far", "staff", "f")
        + &group("ops", [dn("ada"), format!("cn=inner,ou=groups,{BASE}")])
        + &group(
            "inner",
            [dn("kim"), dn("gone"), format!("uid=far,ou=staff,{BASE}"), format!("cn=ops,ou=groups,{BASE}")],
        );
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    assert_eq!(
        picture(&snapshot),
        set(&[
            "sync",
            "ada",
            "kim",
            "[ops]",
            "[inner]",
            "[ops] has ada",
            "[ops] has [inner]",
            "[inner] has kim",
            "[inner] has [ops]"
        ])
    );
    assert_eq!(snapshot.absent().len(), 1);
    assert!(snapshot.absent()[0].contains("uid=gone"), "{:?}", snapshot.absent());
    assert!(snapshot.personal().iter().any(|(_, names)| names.email.as_deref() == Some("ada@ex.test")));
}

#[test]
fn l01_ten_thousand_people_arrive_in_pages_whatever_size_the_server_allows() {
    let mut ldif = trunk();
    (0..10_000).for_each(|i| ldif += &person(&format!("u{i:05}"), "people", "x"));
    ldif += &group("big", (0..5_000).map(|i| dn(&format!("u{i:05}"))));
    // The server gives pages of 50; 200 are asked for, refused with rc 11, and halved.
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    let count = |kind: &str| snapshot.changes().filter(|(subject, _)| subject.starts_with(kind)).count();
    assert_eq!((count("person/"), count("group/"), count("member/")), (10_001, 1, 5_000));
}

#[test]
fn l02_l03_a_read_that_is_cut_stalled_or_garbled_at_any_place_concludes_nothing() {
    let mut ldif = trunk();
    (0..300).for_each(|i| ldif += &person(&format!("u{i:05}"), "people", "x"));
    ldif += &group("all", (0..300).map(|i| dn(&format!("u{i:05}"))));
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    for then in [Then::Cut, Then::Garble, Then::Stall] {
        let proxy = Proxy::new(slapd.port, then);
        let mut config = config(&format!("ldap://127.0.0.1:{}", proxy.port));
        let whole = read(config.clone()).unwrap().digest();
        config.limits.answer = Duration::from_millis(300);
        let step = if then == Then::Stall { 15_000 } else { 4096 };
        let mut failed = 0;
        for after in (0..).step_by(step) {
            proxy.after(after);
            match read(config.clone()) {
                Err(_) => failed += 1,
                Ok(snapshot) => {
                    assert_eq!(snapshot.digest(), whole, "{then:?} after {after}");
                    break;
                }
            }
        }
        assert!(failed >= 3, "{then:?} failed {failed} times");
    }
}

#[test]
fn l05_a_base_that_is_gone_is_named_and_concludes_nothing() {
    let Some(slapd) = Slapd::start(Kind::default(), &(trunk() + &group("g", [dn("sync")]))) else { return };
    let mut config = config(&slapd.url());
    config.people = vec![format!("ou=moved,{BASE}").parse().unwrap()];
    match read(config) {
        Err(Failure::Partial(why)) => assert!(why.contains("ou=moved") && why.contains("noSuchObject"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn l06_a_changed_password_is_unauthorised_and_not_an_empty_directory() {
    let Some(slapd) = Slapd::start(Kind::default(), &trunk()) else { return };
    let mut config = config(&slapd.url());
    config.bind = Bind::Simple(SYNC.to_owned(), "changed".into());
    match read(config.clone()) {
        Err(Failure::Unauthorised(why)) => assert!(why.contains("invalidCredentials"), "{why}"),
        other => panic!("{other:?}"),
    }
    // An empty one is never sent.
    config.bind = Bind::Simple(SYNC.to_owned(), "".into());
    let binds = slapd.log().matches("BIND dn").count();
    assert!(matches!(read(config), Err(Failure::Unauthorised(_))));
    assert_eq!(slapd.log().matches("BIND dn").count(), binds);
}

#[test]
fn a_server_that_is_down_is_passed_over_for_the_next() {
    let Some(mut slapd) = Slapd::start(Kind::default(), &trunk()) else { return };
    let mut config = config(&slapd.url());
    config.urls.insert(0, "ldap://127.0.0.1:9".parse().unwrap());
    assert!(read(config.clone()).is_ok());
    slapd.stop();
    assert!(matches!(read(config), Err(Failure::Unreachable(_))));
}

#[test]
fn l15_odd_names_are_one_identity_and_never_syntax() {
    let odd = r#"uid=a\,b\+c\"d\;e\#f,ou=people,dc=ex,dc=test"#;
    let ldif = trunk()
        + &format!("dn: {odd}\nobjectClass: inetOrgPerson\nuid: a,b+c\"d;e#f\ncn: odd\nsn: odd\n\n")
        + "dn: uid=*)(uid\\=*,ou=people,dc=ex,dc=test\nobjectClass: inetOrgPerson\nuid: *)(uid=*\ncn: x\nsn: x\n\n"
        + &group(
            "g",
            [r#"UID = A\2cb\2Bc\22D\3be\23f , OU=People,dc=ex,DC=TEST"#, "uid=\\2a)(uid\\3d*,ou=people,dc=ex,dc=test"],
        );
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    assert_eq!(
        picture(&snapshot),
        set(&["sync", "a,b+c\"d;e#f", "*)(uid=*", "[g]", "[g] has a,b+c\"d;e#f", "[g] has *)(uid=*"])
    );
}

#[test]
fn l16_a_user_name_in_two_bases_is_a_conflict_and_grants_nobody() {
    let posix = format!(
        "dn: cn=p,ou=groups,{BASE}\nobjectClass: posixGroup\ncn: p\ngidNumber: 1\nmemberUid: ada\nmemberUid: kim\nmemberUid: nobody\n\n"
    );
    let ldif =
        trunk() + &person("ada", "people", "a") + &person("ada", "staff", "b") + &person("kim", "people", "k") + &posix;
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let mut config = config(&slapd.url());
    config.people.push(format!("ou=staff,{BASE}").parse().unwrap());
    let snapshot = read(config).unwrap();
    assert!(picture(&snapshot).contains("[p] has kim"));
    assert!(!picture(&snapshot).contains("[p] has ada"));
    assert_eq!(snapshot.excluded().count(), 2);
    assert!(snapshot.excluded().all(|(_, why)| why.contains("several people")));
    assert!(snapshot.absent()[0].starts_with("nobody"));
}

#[test]
fn other_shapes_of_groups_are_read_and_a_dynamic_one_is_named() {
    let groups = format!(
        "dn: cn=unique,ou=groups,{BASE}\nobjectClass: groupOfUniqueNames\ncn: unique\nuniqueMember: {ada}#'0101'B\nuniqueMember: {kim}\n\n\
         dn: cn=dummy,ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: dummy\nmember: cn=dummy,ou=groups,{BASE}\n\n",
        ada = dn("ada"),
        kim = dn("kim"),
    );
    let ldif = trunk() + &person("ada", "people", "a") + &person("kim", "people", "k") + &groups;
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    assert_eq!(
        picture(&snapshot),
        set(&["sync", "ada", "kim", "[unique]", "[dummy]", "[unique] has ada", "[unique] has kim"])
    );
}

#[test]
fn l07_l08_a_renamed_and_moved_person_is_the_same_and_a_recreated_one_is_not() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("g", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let mut config = config(&slapd.url());
    config.people.push(format!("ou=staff,{BASE}").parse().unwrap());
    let id = |name: &str| {
        let snapshot = read(config.clone()).unwrap();
        assert!(picture(&snapshot).contains(&format!("[g] has {name}")), "{:?}", picture(&snapshot));
        let mut people = snapshot.changes().filter_map(|(_, body)| match body {
            Body::PersonUpserted(person) if person.username.as_deref() == Some(name) => Some(person.person.clone()),
            _ => None,
        });
        people.next().unwrap()
    };
    let first = id("ada");
    slapd.change(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: uid=augusta\ndeleteoldrdn: 1\nnewsuperior: ou=staff,{BASE}\n",
        dn("ada")
    ));
    assert_eq!(id("augusta"), first);
    slapd.change(&person("ada", "people", "a"));
    slapd.change(&format!("dn: cn=g,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {}\n", dn("ada")));
    let second = id("ada");
    assert_ne!(second, first, "a new entry under the old name");
    slapd.delete(&dn("ada"));
    slapd.change(&person("ada", "people", "a"));
    slapd.change(&format!("dn: cn=g,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {}\n", dn("ada")));
    assert_ne!(id("ada"), second, "deleted and made again");
}

#[test]
fn l19_nothing_is_bound_in_clear_whatever_is_wrong_with_the_certificate() {
    let good = Authority::new();
    let Some(slapd) = Slapd::start_with(Kind::default(), &trunk(), Some(&good)) else { return };
    let secure = |url: &str, ca: Option<&Authority>| {
        let mut config = config(url);
        config.clear_text = false;
        config.trust.ca = ca.map(|ca| ca.pem.clone());
        config
    };
    let (ldaps, ldap) = (format!("ldaps://127.0.0.1:{}", slapd.tls_port), slapd.url());
    for url in [&ldaps, &ldap] {
        read(secure(url, Some(&good))).unwrap_or_else(|error| panic!("{url}: {error}"));
        let mut pinned = secure(url, None);
        pinned.trust.pins = vec![good.pin];
        read(pinned.clone()).unwrap_or_else(|error| panic!("{url}, pinned: {error}"));

        let binds = slapd.log().matches("BIND dn").count();
        let why = |config: Config| match read(config) {
            Err(Failure::Unreachable(why)) => why,
            other => panic!("{other:?}"),
        };
        let other = why(secure(url, Some(&Authority::new())));
        assert!(other.contains("ca_file"), "{other}");
        pinned.trust.pins = vec![[7; 32]];
        assert!(why(pinned).contains("is not pinned"));
        let named = secure(&url.replace("127.0.0.1", "localhost"), Some(&good));
        let named = why(named);
        assert!(named.contains("another name"), "{named}");
        assert_eq!(slapd.log().matches("BIND dn").count(), binds, "a bind was sent");
    }

    let expired = Authority::expired();
    let Some(late) = Slapd::start_with(Kind::default(), &trunk(), Some(&expired)) else { return };
    match read(secure(&late.url(), Some(&expired))) {
        Err(Failure::Unreachable(why)) => assert!(why.contains("expired"), "{why}"),
        other => panic!("{other:?}"),
    }
    let Some(plain) = Slapd::start(Kind::default(), &trunk()) else { return };
    match read(secure(&plain.url(), Some(&good))) {
        Err(Failure::Unreachable(why)) => assert!(why.contains("refuses StartTLS"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(!late.log().contains("BIND") && !plain.log().contains("BIND"));
}

#[test]
fn two_servers_in_a_row_are_each_asked_once() {
    let Some(slapd) = Slapd::start(Kind::default(), &trunk()) else { return };
    let (one, two) = (Proxy::new(slapd.port, Then::Cut), Proxy::new(slapd.port, Then::Cut));
    let mut config = config(&format!("ldap://127.0.0.1:{}", one.port));
    config.urls.push(format!("ldap://127.0.0.1:{}", two.port).parse().unwrap());
    one.after(0);
    let directory = Directory::new(config).unwrap();
    for _ in 0..3 {
        block(directory.read(SnapshotBuilder::detached(now()))).unwrap();
    }
    assert_eq!((one.connections(), two.connections()), (1, 3), "the one that answered is asked first");
}
