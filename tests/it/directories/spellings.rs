//! Which names are one entry is the server's to say: another Unicode form, another name of an attribute type, other spaces
//! or case are one where it says so, and two where an attribute is case-exact.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rollcall_ingest::connector::Snapshot;

use super::{
    read::{config, picture, read, set},
    served::{count, members, names, served},
};
use crate::support::{
    slapd::{BASE, Kind, Slapd, dn, group, person, trunk},
    wait_for,
};

/// A person under any name: `rdn` is the attribute and value of its name.
fn named(rdn: &str, uid: &str) -> String {
    let (attribute, value) = rdn.split_once('=').unwrap();
    let text = format!("{rdn},ou=people,{BASE}");
    let [text, value] = [text.as_str(), value].map(|text| STANDARD.encode(text));
    format!(
        "dn:: {text}\nobjectClass: inetOrgPerson\nobjectClass: extensibleObject\n{attribute}:: {value}\ncn: {uid}\nsn: x\nuid: {uid}\n\n"
    )
}

/// A group whose only member is written so.
fn of(cn: &str, member: &str) -> String {
    let member = STANDARD.encode(format!("{member},ou=people,{BASE}"));
    format!("dn: cn={cn},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {cn}\nmember:: {member}\n\n")
}

/// The name of somebody, and another that OpenLDAP takes for it.
const SPELLINGS: [(&str, &str, &str); 6] = [
    ("jose", "cn=Jos\u{e9} N\u{fa}\u{f1}ez", "cn=Jose\u{301} Nu\u{301}n\u{303}ez"),
    ("svc", "cn=svc.algorithm", "cn=svc\u{fe52}algorithm"),
    ("bob", "mail=bob@ex.test", "rfc822Mailbox=bob@ex.test"),
    ("seven", "employeeNumber=007", "2.16.840.1.113730.3.1.3=007"),
    ("wide", "uid=wide", "uid=\u{ff37}ide"),
    ("space", "cn=eve smith", "CN=Eve  \u{a0}Smith"),
];

fn everybody() -> String {
    SPELLINGS.iter().map(|(uid, rdn, _)| named(rdn, uid)).collect()
}

fn has(snapshot: &Snapshot, group: &str, uid: &str) -> bool {
    picture(snapshot).contains(&format!("[{group}] has {uid}"))
}

#[test]
fn a_member_is_whom_the_server_takes_the_name_for_however_it_is_written() {
    let groups: String = SPELLINGS.iter().map(|(uid, _, other)| of(&format!("of-{uid}"), other)).collect();
    let Some(slapd) = Slapd::start(Kind::default(), &(trunk() + &everybody() + &groups)) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    for (uid, _, other) in SPELLINGS {
        assert!(has(&snapshot, &format!("of-{uid}"), uid), "{other}: {:#?}", picture(&snapshot));
    }
    assert_eq!((snapshot.absent().len(), snapshot.outside().len(), snapshot.excluded().count()), (0, 0, 0));
}

#[test]
fn where_an_attribute_is_case_exact_two_names_are_two_people() {
    // homeDirectory is caseExactIA5Match, cn is not.
    let people = named("homeDirectory=/home/Ada", "upper") + &named("homeDirectory=/home/ada", "lower");
    let groups = of("of-upper", "homeDirectory=/home/Ada") + &of("of-lower", "homeDirectory=/home/ada");
    let Some(slapd) = Slapd::start(Kind::default(), &(trunk() + &people + &groups)) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    let who: Vec<bool> = [("of-upper", "upper"), ("of-upper", "lower"), ("of-lower", "lower"), ("of-lower", "upper")]
        .map(|(group, uid)| has(&snapshot, group, uid))
        .to_vec();
    assert_eq!(who, [true, false, true, false], "{:#?}", picture(&snapshot));
}

#[test]
fn a_posix_group_has_whom_the_server_finds_by_the_name_it_lists() {
    let posix = |cn: &str, uid: &str| {
        format!("dn: cn={cn},ou=groups,{BASE}\nobjectClass: posixGroup\ncn: {cn}\ngidNumber: 1\nmemberUid: {uid}\n\n")
    };
    let ldif = trunk()
        + &person("ada", "people", "a")
        + &posix("same", "ada")
        + &posix("other", "ADA")
        + &posix("none", "eve");
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    assert_eq!(
        picture(&snapshot),
        set(&["ada", "sync", "[same]", "[other]", "[none]", "[same] has ada", "[other] has ada"])
    );
    assert_eq!(snapshot.absent().len(), 1, "{:?}", snapshot.absent());
}

#[test]
fn a_user_name_that_the_server_takes_for_that_of_two_people_is_a_conflict_and_grants_neither() {
    let posix = format!(
        "dn: cn=p,ou=groups,{BASE}\nobjectClass: posixGroup\ncn: p\ngidNumber: 1\nmemberUid: ada\nmemberUid: kim\n\n"
    );
    // Whoever comes with the very spelling of the list is not whom it meant.
    let people = named("cn=Ada Lovelace", "Ada") + &named("cn=somebody", "ada") + &person("kim", "people", "k");
    let Some(slapd) = Slapd::start(Kind::default(), &(trunk() + &people + &posix)) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    let picture = picture(&snapshot);
    assert!(picture.contains("[p] has kim") && !picture.iter().any(|one| one.to_lowercase() == "[p] has ada"));
    assert_eq!(snapshot.excluded().filter(|(_, why)| why.contains("several people")).count(), 2, "{picture:#?}");
}

#[test]
fn a_member_written_again_in_another_spelling_stays_and_is_nobody_elses_when_the_name_moves_on() {
    let ldif =
        trunk() + &everybody() + &group("devs", [format!("cn=Jos\u{e9} N\u{fa}\u{f1}ez,ou=people,{BASE}"), dn("sync")]);
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("the first read", || (members(&server, "devs") == names(&["jose", "sync"])).then_some(()));
    let rdn = |text: &str| STANDARD.encode(format!("{text},ou=people,{BASE}"));
    let nfd = SPELLINGS[0].2;
    let replace = |member: &str| {
        format!(
            "dn: cn=devs,ou=groups,{BASE}\nchangetype: modify\nreplace: member\nmember:: {member}\nmember: {}\n",
            dn("sync")
        )
    };
    slapd.change(&replace(&rdn(nfd)));
    // Something that comes behind it.
    slapd.change(&person("later", "people", "l").replace("\nobjectClass", "\nchangetype: add\nobjectClass"));
    wait_for("what came behind", || (count(&server, "person.upserted") == SPELLINGS.len() + 2).then_some(()));
    assert_eq!(count(&server, "group.member.removed"), 0, "the server says that it is jose still");
    assert_eq!(members(&server, "devs"), names(&["jose", "sync"]));

    // jose is called otherwise: the name in the list is nobody's now, then somebody else's.
    let rename = format!("dn:: {}\nchangetype: modrdn\nnewrdn: cn=pepe\ndeleteoldrdn: 1\n", rdn(SPELLINGS[0].1));
    slapd.change(&rename);
    wait_for("the name to be nobody's", || (members(&server, "devs") == names(&["sync"])).then_some(()));
    let newcomer = named(SPELLINGS[0].1, "new").replace("\nobjectClass: inet", "\nchangetype: add\nobjectClass: inet");
    slapd.change(&newcomer);
    wait_for("the name to be the newcomer's", || (members(&server, "devs") == names(&["new", "sync"])).then_some(()));
}

#[test]
fn a_group_that_lists_itself_in_another_spelling_has_nobody_for_it() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [format!("CN=OPS,ou=Groups,{BASE}"), dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    assert_eq!(picture(&snapshot), set(&["ada", "sync", "[ops]", "[ops] has ada"]));
}

/// An alias is another name of an entry: the server says of which.
fn alias(uid: &str, of: &str) -> String {
    format!(
        "dn: uid={uid},ou=staff,{BASE}\nobjectClass: alias\nobjectClass: extensibleObject\nuid: {uid}\naliasedObjectName: {}\n\n",
        dn(of)
    )
}

#[test]
fn a_group_that_lists_an_alias_has_whom_it_is_an_alias_of_and_one_of_nobody_grants_nothing() {
    let listed = |uid: &str| format!("uid={uid},ou=staff,{BASE}");
    let ldif = trunk()
        + &person("ada", "people", "a")
        + &person("kim", "people", "k")
        + &alias("countess", "ada")
        + &alias("ghost", "nobody")
        + &group("ops", [listed("countess"), dn("kim")])
        + &group("dev", [listed("ghost"), dn("kim")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let snapshot = read(config(&slapd.url())).unwrap();
    assert!(has(&snapshot, "ops", "ada") && has(&snapshot, "ops", "kim"), "{:#?}", picture(&snapshot));
    let server = served(&slapd.url(), "");
    wait_for("ops", || (members(&server, "ops") == names(&["ada", "kim"])).then_some(()));
    assert!(!members(&server, "dev").contains("ada"));
    wait_for("the one whom it cannot have is told", || {
        let told = server.pages("/api/v1/problems?source=corp-ldap");
        told.iter().any(|row| row.to_string().contains("ghost")).then_some(())
    });
}
