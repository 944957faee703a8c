//! The directory connector against a real Active Directory domain controller (Samba), read as a whole: what is particular
//! about it. What OpenLDAP shows as well is in `directory`.

use std::collections::BTreeSet;

use rollcall_ingest::connector::{Pull, Snapshot, SnapshotBuilder};
use rollcall_ldap::{AccountFound, Base, Bind, Config, Directory, Limits, PasswordAnswer, PasswordRefusal, Wanted};

use crate::{
    directories::read::{block, now, picture, set},
    support::samba::{BASE, PASSWORD, PLAIN, Samba, dn, group, group_dn, person},
};

fn config(samba: &Samba) -> Config {
    let base = |ou: &str| format!("OU={ou},{BASE}").parse::<Base>().unwrap();
    Config {
        clear_text: true,
        bind: Bind::Simple(PLAIN.to_owned(), PASSWORD.into()),
        people: vec![base("people")],
        groups: vec![base("groups")],
        limits: Limits { answer: std::time::Duration::from_secs(5), ..Limits::default() },
        ..Config::new(vec![samba.url().parse().unwrap()], base("people"))
    }
}

fn read(config: Config) -> (Directory, Snapshot) {
    let directory = Directory::new(config).unwrap();
    let snapshot =
        block(directory.read(SnapshotBuilder::detached(now()))).unwrap_or_else(|failure| panic!("{failure}"));
    (directory, snapshot)
}

fn id(snapshot: &Snapshot, name: &str) -> rollcall_events::Id {
    let mut people = snapshot.changes().filter_map(|(_, body)| match body {
        rollcall_events::Body::PersonUpserted(person) if person.username.as_deref() == Some(name) => {
            Some(person.person.clone())
        }
        _ => None,
    });
    people.next().unwrap()
}

#[test]
fn l09_a_whole_read_of_active_directory_knows_accounts_nested_groups_and_the_primary_one() {
    let mut ldif = String::new();
    for name in ["ada", "kim", "bob", "off", "late"] {
        ldif += &person(name, "people");
    }
    // Added by plain LDAP without a password: disabled (546), which is trap 15.
    ldif += &format!("dn: {}\nobjectClass: user\nsAMAccountName: bare\n\n", dn("bare"));
    // Five levels, a cycle, a diamond.
    ldif += &group("five", [dn("ada")]);
    ldif += &group("four", [group_dn("five")]);
    ldif += &group("three", [group_dn("four"), dn("off")]);
    ldif += &group("two", [group_dn("three"), group_dn("four")]);
    ldif += &group("one", [group_dn("two"), dn("late"), dn("bare"), format!("CN=Administrator,CN=Users,{BASE}")]);
    ldif += &group("crew", [dn("bob")]);
    let Some(samba) = Samba::start(&ldif) else { return };
    samba.modify(&group_dn("five"), "add", "member", &group_dn("one"));
    samba.modify(&dn("off"), "replace", "userAccountControl", "514");
    // 2026-01-01 and the end of all time are what `now` lies between.
    samba.modify(&dn("late"), "replace", "accountExpires", "134116992000000000");
    // Whose primary group it is, the group no longer lists.
    let rid = samba.rid(&group_dn("crew"));
    samba.modify(&dn("bob"), "replace", "primaryGroupID", &rid.to_string());

    let (directory, snapshot) = read(config(&samba));
    let mut expected = set(&["ada", "kim", "bob", "off inactive", "late inactive", "bare inactive"]);
    expected.extend(["five", "four", "three", "two", "one", "crew"].map(|name| format!("[{name}]")));
    expected.extend(set(&[
        "[five] has ada",
        "[five] has [one]",
        "[four] has [five]",
        "[three] has [four]",
        "[three] has off",
        "[two] has [three]",
        "[two] has [four]",
        "[one] has [two]",
        "[one] has late",
        "[one] has bare",
        "[crew] has bob",
    ]));
    assert_eq!(picture(&snapshot), expected);
    let known = directory.status().unwrap();
    assert_eq!((known.kind.as_str(), known.report.outside, known.report.references), ("Active Directory", 1, 0));
    let guid = id(&snapshot, "ada");
    assert_eq!(guid.as_str().len(), 36, "{guid}");

    // An id that happens to be text is the same kind of id (trap 12), and found again by it.
    let odd = Config { people: vec![format!("OU=odd,{BASE}").parse().unwrap()], ..config(&samba) };
    let (directory, snapshot) = read(odd);
    assert_eq!(id(&snapshot, "text").as_str(), "33323130-3534-3736-3839-616263646566");
    let subject = snapshot.changes().find(|(subject, _)| subject.starts_with("person/")).unwrap().1.clone();
    let answers = block(directory.look_up(std::slice::from_ref(&subject), now())).unwrap();
    assert!(
        matches!(&answers[0], rollcall_ingest::connector::LookupAnswer::Found(stated) if stated.body == subject),
        "{answers:?}"
    );

    // The whole domain refers to other parts of the forest, which are counted and not followed (trap 10); everybody's
    // primary group is there then.
    let root = || vec![BASE.parse::<Base>().unwrap()];
    let (directory, snapshot) = read(Config { people: root(), groups: root(), ..config(&samba) });
    let picture = picture(&snapshot);
    assert!(picture.contains("[Domain Users] has ada") && picture.contains("[crew] has bob"), "{picture:?}");
    assert!(picture.contains("[Administrators] has Administrator"), "{picture:?}");
    assert!(directory.status().unwrap().report.references > 0);
}

#[test]
fn l14_a_group_with_more_members_than_come_at_once_is_read_in_ranges() {
    // Contacts are quickly made; 620 are one whole range of 500 and some, and two of 310.
    let names: Vec<String> = (0..620).map(|i| format!("CN=c{i:04},OU=people,{BASE}")).collect();
    let contacts: String = names.iter().map(|dn| format!("dn: {dn}\nobjectClass: contact\n\n")).collect();
    let Some(samba) = Samba::start(&(contacts + &group("big", &names) + &group("small", &names[..25]))) else { return };
    let config = Config {
        people_filter: Some("(objectClass=contact)".parse().unwrap()),
        attributes: rollcall_ldap::Attributes { username: Some("cn".to_owned()), ..Default::default() },
        ..config(&samba)
    };
    let (_, whole) = read(config.clone());
    let count = |snapshot: &Snapshot| snapshot.changes().filter(|(subject, _)| subject.starts_with("member/")).count();
    assert_eq!(count(&whole), 645);
    for size in [500, 310, 620, 24] {
        let (_, snapshot) = read(Config { members: Some(size), ..config.clone() });
        assert_eq!(count(&snapshot), 645, "{size} at once");
        assert_eq!(snapshot.digest(), whole.digest());
    }
}

#[test]
fn l07_l08_who_is_renamed_and_moved_is_the_same_and_whoever_gets_the_name_is_not() {
    let ldif = person("ada", "people") + &group("ops", [dn("ada")]);
    let Some(samba) = Samba::start(&ldif) else { return };
    let staff = || format!("OU=staff,{BASE}").parse::<Base>().unwrap();
    let both = Config { people: [config(&samba).people, vec![staff()]].concat(), ..config(&samba) };
    let (_, first) = read(both.clone());
    samba.rename(&dn("ada"), "CN=augusta", Some(&format!("OU=staff,{BASE}")));
    samba.change(&person("new", "people"));
    let (_, second) = read(both.clone());
    assert_eq!(picture(&second), set(&["ada", "new", "[ops]", "[ops] has ada"]), "the server keeps the list");
    assert_eq!(id(&second, "ada"), id(&first, "ada"));
    samba.delete(&format!("CN=augusta,OU=staff,{BASE}"));
    samba.change(&person("ada", "people"));
    let (_, third) = read(both);
    assert_eq!(picture(&third), set(&["ada", "new", "[ops]"]), "who is made again inherits nothing");
    assert_ne!(id(&third, "ada"), id(&first, "ada"));
}

#[test]
fn a_password_is_checked_by_a_bind_and_a_disabled_account_has_none() {
    let Some(samba) = Samba::start(&(person("ada", "people") + &person("off", "people"))) else { return };
    let (directory, snapshot) = read(config(&samba));
    let asked = |directory: &Directory, id: &rollcall_events::Id, password: &str| {
        block(async {
            let entry = match directory.find_account(Wanted::Id(id)).await.unwrap() {
                AccountFound::One(found, entry) if found == *id => Some(entry),
                AccountFound::Nobody => None,
                other => panic!("{other:?}"),
            };
            directory.check(entry.as_deref(), &password.to_owned().into()).await.unwrap()
        })
    };
    let answer = |name: &str, password: &str| asked(&directory, &id(&snapshot, name), password);
    let refused = PasswordAnswer::Refused;
    for name in ["ada", "off"] {
        assert_eq!(answer(name, PASSWORD), PasswordAnswer::Good, "{name}");
    }
    for wrong in ["wrong", "", PLAIN] {
        assert_eq!(answer("ada", wrong), refused(PasswordRefusal::Wrong), "{wrong}");
    }
    samba.modify(&dn("off"), "replace", "userAccountControl", "514");
    assert_eq!(answer("off", PASSWORD), refused(PasswordRefusal::Disabled));
    assert_eq!(answer("off", "wrong"), refused(PasswordRefusal::Wrong), "only whoever knows the password is told");
    samba.modify(&dn("off"), "replace", "userAccountControl", "512");
    samba.modify(&dn("off"), "replace", "accountExpires", "132000000000000000");
    assert_eq!(answer("off", PASSWORD), refused(PasswordRefusal::AccountExpired));
    samba.modify(&dn("off"), "replace", "userAccountControl", "514");
    // Whoever has been moved away is no longer one of ours.
    samba.rename(&dn("ada"), "CN=ada", Some(&format!("OU=staff,{BASE}")));
    assert_eq!(answer("ada", PASSWORD), refused(PasswordRefusal::Wrong), "somebody outside");

    // By user principal name, where the operator says so.
    samba.rename(&format!("CN=ada,OU=staff,{BASE}"), "CN=ada", Some(&format!("OU=people,{BASE}")));
    let attributes =
        rollcall_ldap::Attributes { username: Some("userPrincipalName".to_owned()), ..config(&samba).attributes };
    let (directory, snapshot) = read(Config { attributes, ..config(&samba) });
    let id = id(&snapshot, "ada@ex.test");
    assert_eq!(asked(&directory, &id, PASSWORD), PasswordAnswer::Good);
    let users: BTreeSet<String> = picture(&snapshot);
    assert!(users.contains("off@ex.test inactive"), "{users:?}");
}
