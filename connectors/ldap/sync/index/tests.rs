//! Names that mean somebody, nobody, or somebody else by now, and who is in a group for it.
//! Worlds of a few entries; no server.

use chrono::DateTime;
use rollcall_events::body::Member;
use rollcall_ingest::connector::{FactSelector, UnreadMembers};

use super::*;

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

fn person(name: &str, base: &str) -> Person {
    Person {
        id: id(&format!("{name}-{base}")),
        dn: dn(&format!("uid={name},ou={base},dc=x")),
        username: Some(name.to_owned()),
        active: true,
        names: None,
        uids: vec![name.to_owned()],
        primary: None,
        member_of: Vec::new(),
        same_as: Vec::new(),
    }
}

fn group(name: &str, members: Vec<Listed>) -> Group {
    Group {
        id: id(name),
        dn: dn(&format!("cn={name},dc=x")),
        text: format!("cn={name},dc=x"),
        name: None,
        members,
        sid: None,
    }
}

fn members(index: &DirectoryIndex, name: &str) -> super::statements::Members {
    index.members(index.group(&id(name)).unwrap())
}

#[test]
fn every_kind_of_list_leads_to_its_people_and_groups() {
    let mut index = DirectoryIndex::default();
    let mut kim = person("kim", "a");
    kim.primary = Some(b"S-513".to_vec());
    kim.member_of = vec![dn("CN=named, DC=x")];
    index.put_person(person("ada", "a"));
    index.put_person(kim);
    index.put_group(group("inner", vec![Listed::Uid("ada".into())]));
    index.put_group(group("outer", vec![Listed::Dn(dn("CN=inner,DC=x")), Listed::Dn(dn("uid=ada,ou=a,dc=x"))]));
    index.put_group(Group { sid: Some(b"S-513".to_vec()), ..group("users", Vec::new()) });
    index.put_group(group("named", Vec::new()));
    let of = |name| members(&index, name).members;
    assert_eq!(of("inner"), [Member::Person(id("ada-a"))]);
    assert_eq!(of("outer"), [Member::Person(id("ada-a")), Member::Group(id("inner"))]);
    assert_eq!(of("users"), [Member::Person(id("kim-a"))]);
    assert_eq!(of("named"), [Member::Person(id("kim-a"))]);
}

#[test]
fn a_listed_name_is_absent_outside_or_unresolved_and_each_is_told_apart() {
    let mut index = DirectoryIndex::default();
    let names = ["uid=gone,dc=x", "uid=far,dc=y", "uid=silent,dc=x"];
    let mut listed: Vec<Listed> = names.iter().map(|name| Listed::Dn(dn(name))).collect();
    listed.push(Listed::Garbage("admins".into()));
    index.put_group(group("g", listed));
    assert_eq!(index.unknown().len(), 3);
    for (name, lookup) in
        names.iter().zip([LookupResult::Absent, LookupResult::Outside, LookupResult::Unresolved("busy".into())])
    {
        index.set_lookup(&dn(name), lookup);
    }
    assert!(index.unknown().is_empty());
    let found = members(&index, "g");
    assert_eq!((found.members.len(), found.absent.len(), found.outside.len(), found.unresolved.len()), (0, 1, 1, 2));

    let mut builder = SnapshotBuilder::detached(DateTime::UNIX_EPOCH);
    let part = builder.open_section("all");
    index.state(&mut builder);
    builder.close_section(part);
    let sealed = builder.seal().unwrap();
    assert_eq!(sealed.absent(), ["uid=gone,dc=x (listed in cn=g,dc=x)"]);
    let excluded: Vec<_> = sealed.excluded().map(|(which, _)| which.clone()).collect();
    assert_eq!(excluded, [FactSelector::MembersOf(id("g"))]);
}

#[test]
fn l16_a_user_name_of_two_people_grants_neither() {
    let mut index = DirectoryIndex::default();
    index.put_person(person("ada", "a"));
    index.put_person(person("ada", "b"));
    index.put_group(group("g", vec![Listed::Uid("ada".into())]));
    let found = members(&index, "g");
    assert_eq!(found.members, []);
    assert_eq!(found.conflicts, [("ada".to_owned(), vec![id("ada-a"), id("ada-b")])]);
}

#[test]
fn l07_a_person_who_moves_is_the_same_and_the_old_name_is_free() {
    let mut index = DirectoryIndex::default();
    index.put_person(person("ada", "a"));
    let moved = Person { dn: dn("uid=ada,ou=b,dc=x"), ..person("ada", "a") };
    index.put_person(moved);
    let other = Person { id: id("new"), ..person("ada", "a") };
    index.put_person(other);
    index.put_group(group("g", vec![Listed::Dn(dn("uid=ada,ou=a,dc=x"))]));
    assert_eq!(members(&index, "g").members, [Member::Person(id("new"))]);
    assert_eq!(index.remove(&id("ada-a")), Some(Resolved::Person(id("ada-a"))));
    assert_eq!(members(&index, "g").members, [Member::Person(id("new"))]);
}

#[test]
fn who_is_listed_and_not_read_is_known_at_any_time() {
    let mut index = DirectoryIndex::default();
    let names = ["uid=gone,dc=x", "uid=far,dc=y"].map(dn);
    let listed: Vec<Listed> = names.iter().cloned().map(Listed::Dn).chain([Listed::Uid("kim".into())]).collect();
    index.put_group(group("g", listed));
    for (name, lookup) in names.iter().zip([LookupResult::Absent, LookupResult::Outside]) {
        index.set_lookup(name, lookup);
    }
    index.set_uid_lookup("kim", BTreeSet::new());
    let in_g = |name: &str| format!("{name} (listed in cn=g,dc=x)");
    let unread = index.unread_members();
    assert_eq!((unread.absent, unread.outside), (vec![in_g("kim"), in_g("uid=gone,dc=x")], vec![in_g("uid=far,dc=y")]));
    index.put_person(person("kim", "a"));
    assert_eq!(index.unread_members().absent, [in_g("uid=gone,dc=x")]);
    index.remove(&id("kim-a"));
    assert_eq!(index.unread_members().absent, [in_g("kim"), in_g("uid=gone,dc=x")]);
    index.put_group(group("g", Vec::new()));
    assert_eq!(index.unread_members(), UnreadMembers::default());
}

#[test]
fn another_spelling_means_whom_the_server_says_until_that_one_is_called_otherwise() {
    let mut index = DirectoryIndex::default();
    index.put_person(person("ada", "a"));
    let other = dn("uid=ADA,ou=a,dc=x");
    index.put_group(group("g", vec![Listed::Dn(other.clone())]));
    assert_eq!(index.unknown(), std::slice::from_ref(&other), "ours to ask, not to fold");
    index.set_lookup(&other, LookupResult::Means(Resolved::Person(id("ada-a"))));
    assert_eq!(members(&index, "g").members, [Member::Person(id("ada-a"))]);
    // Another name of hers is in force, and the list is as it was.
    index.put_person(Person { active: false, ..person("ada", "a") });
    assert_eq!((index.unknown(), index.spellings(&id("ada-a"))), (vec![], vec![other.clone()]));
    index.put_person(Person { dn: dn("uid=eve,ou=a,dc=x"), ..person("ada", "a") });
    assert_eq!(index.unknown(), std::slice::from_ref(&other), "she is called otherwise: asked again");
    index.set_lookup(&other, LookupResult::Absent);
    assert_eq!(members(&index, "g").members, []);
    // Somebody comes, and the server may take that name for this one.
    let doubted = index.clear_doubtful_lookups();
    assert_eq!(index.unknown(), std::slice::from_ref(&other));
    index.put_person(person("ada", "b"));
    index.set_lookup(&other, LookupResult::Means(Resolved::Person(id("ada-b"))));
    assert_eq!(index.groups_of_changed_lookups(&doubted), [id("g")]);
    index.remove(&id("ada-b"));
    assert_eq!(index.unknown(), [other]);
}

#[test]
fn a_user_name_that_nobody_has_exactly_so_is_whose_the_server_says() {
    let mut index = DirectoryIndex::default();
    index.put_person(person("ada", "a"));
    index.put_group(group("g", vec![Listed::Uid("Ada".into())]));
    assert_eq!(index.unknown_uids(), ["Ada"]);
    assert_eq!(members(&index, "g").unresolved.len(), 1, "nothing is concluded before the server is asked");
    index.set_uid_lookup("Ada", BTreeSet::from([id("ada-a")]));
    assert_eq!(members(&index, "g").members, [Member::Person(id("ada-a"))]);
    let doubted = index.clear_doubtful_lookups();
    index.set_uid_lookup("Ada", BTreeSet::from([id("ada-a"), id("ada-b")]));
    assert_eq!(index.groups_of_changed_lookups(&doubted), [id("g")]);
    assert_eq!(members(&index, "g").conflicts.len(), 1);
}

#[test]
fn a_user_name_that_seems_to_be_that_of_another_too_is_whose_the_server_says() {
    let mut index = DirectoryIndex::default();
    index.put_group(group("g", vec![Listed::Uid("ada".into())]));
    let upper = Person { uids: vec!["Ada".to_owned()], ..person("upper", "a") };
    index.put_person(upper.clone());
    index.set_uid_lookup("ada", BTreeSet::from([id("upper-a")]));
    assert_eq!(members(&index, "g").members, [Member::Person(id("upper-a"))]);
    // Whoever comes with the spelling of the list is not at once whom it means.
    index.put_person(person("ada", "a"));
    let doubted = index.clear_doubtful_lookups();
    assert_eq!(index.unknown_uids(), ["ada"]);
    assert_eq!(index.unread_members().absent, [] as [String; 0]);
    index.set_uid_lookup("ada", BTreeSet::from([id("upper-a"), id("ada-a")]));
    assert_eq!(index.groups_of_changed_lookups(&doubted), [id("g")]);
    assert_eq!(members(&index, "g").conflicts, [("ada".to_owned(), vec![id("ada-a"), id("upper-a")])]);
    // A server on which case counts says another thing.
    index.set_uid_lookup("ada", BTreeSet::from([id("ada-a")]));
    assert_eq!(members(&index, "g").members, [Member::Person(id("ada-a"))]);
    assert!(index.seem_same("Ada").contains(&"ada".to_owned()), "the group is told again when Ada goes");
    index.remove(&id("upper-a"));
    assert_eq!((index.unknown_uids(), members(&index, "g").members), (vec![], vec![Member::Person(id("ada-a"))]));
}

#[test]
fn a_group_that_people_claim_in_another_spelling_has_them() {
    let mut index = DirectoryIndex::default();
    let claimed = dn("CN=Named,dc=x");
    index.put_person(Person { member_of: vec![claimed.clone()], ..person("kim", "a") });
    index.put_group(group("named", Vec::new()));
    assert_eq!(index.unknown(), std::slice::from_ref(&claimed));
    index.set_lookup(&claimed, LookupResult::Means(Resolved::Group(id("named"))));
    assert_eq!(members(&index, "named").members, [Member::Person(id("kim-a"))]);
}
