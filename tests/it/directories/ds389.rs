//! 389 Directory Server, as FreeIPA has it: read as a whole, its own ways to disable and to end an account, its rights, its
//! limits and what it takes for one name. Large: only where it is asked for (`tests/run --all`).

use rollcall_ingest::{SourceState, connector::Failure};

use crate::{
    directories::{
        read::{config, picture, read, set},
        served::{count, events, members, names, served},
        sign_in_names::has_cause,
    },
    support::{
        corp::Corp,
        ds389::Ds389,
        server::Server,
        slapd::{BASE, SYNC, dn, group, person, trunk},
        wait_for,
    },
};

const WRONG: &str = "the user name or the secret is wrong";

fn ops(members: &[&str]) -> String {
    trunk()
        + &["ada", "bob", "kim"].map(|name| person(name, "people", "right")).concat()
        + &group("ops", members.iter().map(|name| dn(name)))
}

fn is_active(server: &Server, user: &str) -> bool {
    let said = events(server).into_iter().rfind(|event| event["data"]["username"] == user);
    said.is_some_and(|event| event["data"]["active"] == true)
}

#[test]
fn it_is_read_as_a_whole_and_what_changes_is_found_by_the_next_read() {
    let Some(ds) = Ds389::start(&ops(&["ada", "bob"])) else { return };
    let snapshot = read(config(&ds.url())).unwrap();
    let all = ["ada", "bob", "kim", "sync", "[ops]", "[ops] has ada", "[ops] has bob"];
    assert_eq!(picture(&snapshot), set(&all));
    let mut corp = Corp::new(config(&ds.url()));
    corp.start();
    corp.read();
    let stood = corp.stands();
    assert_eq!(stood.len(), 7, "{stood:?}");
    // Renamed, moved out of the group, deleted with its place in the group.
    let before = corp.head();
    ds.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: uid=bert\ndeleteoldrdn: 1\n", dn("bob")));
    ds.change(&format!("dn: {}\nchangetype: delete\n", dn("ada")));
    ds.change(&format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {}\n", dn("kim")));
    corp.read();
    let said: Vec<String> = corp.bodies(before).iter().map(|body| body.kind().to_owned()).collect();
    let count = |kind: &str| said.iter().filter(|known| known.contains(kind)).count();
    let counts = ["person.upserted", "person.removed", "group.member.added", "group.member.removed"].map(count);
    assert_eq!(counts, [1, 1, 1, 1], "{said:?}");
    assert_eq!(corp.stands().len(), 6);
}

#[test]
fn what_it_says_at_a_bind_is_on_record_and_the_person_is_told_only_what_the_password_proves() {
    let Some(ds) = Ds389::start(&ops(&["ada", "bob"])) else { return };
    for (attribute, value) in [
        ("passwordLockout", "on"),
        ("passwordMaxFailure", "3"),
        ("passwordMustChange", "on"),
        ("nsslapd-pwpolicy-local", "on"),
    ] {
        ds.modify("cn=config", "replace", attribute, value);
    }
    let mut server = served(&ds.url(), "");
    wait_for("ada in ops", || (members(&server, "ops") == names(&["ada", "bob"])).then_some(()));
    let refused = |user: &str, password: &str| server.token(user, password, "").expect(401).text;

    for guess in ["one", "two", "three"] {
        assert!(refused("ada", guess).contains(WRONG));
    }
    has_cause(&server, "ada", "wrong_password");
    assert!(refused("ada", "right").contains(WRONG), "a lock says nothing of the password");
    has_cause(&server, "ada", "locked");

    // Set by an administrator, so it has to be changed.
    ds.modify(&dn("kim"), "replace", "userPassword", "fresh");
    assert!(refused("kim", "wrong").contains(WRONG));
    let told = refused("kim", "fresh");
    assert!(told.contains("has to be changed") && !told.contains(WRONG), "{told}");
    has_cause(&server, "kim", "must_change");
    assert!(["ada", "kim"].iter().all(|user| is_active(&server, user)), "neither is a disabling");

    // Locked by an administrator: refused at once, and inactive as soon as it is read.
    ds.modify(&dn("bob"), "replace", "nsAccountLock", "true");
    assert!(refused("bob", "right").contains(WRONG));
    has_cause(&server, "bob", "disabled");
    server.restart();
    wait_for("bob to be inactive", || (!is_active(&server, "bob")).then_some(()));
    ds.change(&format!("dn: {}\nchangetype: modify\ndelete: nsAccountLock\n", dn("bob")));
    server.restart();
    wait_for("bob to be active", || is_active(&server, "bob").then_some(()));
    assert_eq!(count(&server, "person.removed"), 0);
}

#[test]
fn a_password_that_is_over_is_told_to_whoever_has_it() {
    let Some(ds) = Ds389::start(&ops(&["ada"])) else { return };
    for (attribute, value) in [("passwordExp", "on"), ("passwordMaxAge", "1"), ("passwordWarning", "0")] {
        ds.modify("cn=config", "replace", attribute, value);
    }
    ds.modify(SYNC, "replace", "passwordExpirationTime", "20380101000000Z");
    let server = served(&ds.url(), "");
    ds.modify(&dn("ada"), "replace", "userPassword", "older");
    wait_for("the end of a password", || (!ds.takes("ada", "older")).then_some(()));
    let told = server.token("ada", "older", "").expect(401).text;
    assert!(told.contains("has expired") && !told.contains(WRONG), "{told}");
    has_cause(&server, "ada", "password_expired");
    assert!(server.token("ada", "wrong", "").expect(401).text.contains(WRONG));
}

#[test]
fn what_its_rights_hide_is_never_taken_for_in_force_and_doctor_says_what_to_add() {
    let Some(ds) = Ds389::start(&ops(&["ada"])) else { return };
    ds.modify(&dn("bob"), "add", "nsAccountLock", "true");
    ds.change(&format!(
        "dn: {}\nchangetype: modify\nadd: objectClass\nobjectClass: shadowAccount\n-\nadd: shadowExpire\nshadowExpire: 1\n",
        dn("kim")
    ));
    let read = || read(config(&ds.url()));
    let picture = picture(&read().unwrap());
    assert!(picture.contains("bob inactive") && picture.contains("kim inactive"), "{picture:?}");
    let mut server = served(&ds.url(), "");
    wait_for("ada in ops", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    let said = server.cli(&["sources", "show", "corp-ldap"]).ok();
    for part in ["nsAccountLock can be read of all 4 people", "shadowExpire can be read of all 1 people"] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    for name in ["nsAccountLock", "shadowExpire"] {
        ds.hide(&format!("userPassword || {name}"));
        let Err(Failure::Unauthorised(why)) = read() else { panic!("{name} is hidden") };
        let aci = why.split('`').nth(1).unwrap().to_owned();
        assert!(aci.contains(&format!("(targetattr=\"{name}\")")) && aci.contains(SYNC), "{why}");
        let said = server.cli(&["doctor"]);
        assert!(said.code == 1 && said.out.contains(&aci), "{said:?}");
        server.restart();
        wait_for("an unauthorised source", || {
            server.cli(&["sources", "show", "corp-ldap"]).out.contains("unauthorised").then_some(())
        });
        // What it says to do is what helps.
        ds.modify(&format!("ou=people,{BASE}"), "add", "aci", aci.strip_prefix("aci: ").unwrap());
        read().unwrap();
        ds.hide("userPassword");
        ds.change(&format!("dn: ou=people,{BASE}\nchangetype: modify\ndelete: aci\n"));
    }
    // What its schema does not know hides nothing.
    assert!(!said.contains("loginExpirationTime") && !said.contains("krbPrincipalExpiration"), "{said}");
    assert_eq!(count(&server, "person.removed"), 0);
    assert!(!is_active(&server, "bob") && !is_active(&server, "kim"));
}

#[test]
fn a_limit_that_ends_a_read_is_answered_with_what_to_set_and_that_helps() {
    let many: String = (0..60).map(|n| person(&format!("p{n}"), "people", "x")).collect();
    let Some(ds) = Ds389::start(&(ops(&["ada"]) + &many)) else { return };
    read(config(&ds.url())).unwrap();
    let backend = "cn=config,cn=ldbm database,cn=plugins,cn=config";
    for attribute in ["nsslapd-lookthroughlimit", "nsslapd-pagedlookthroughlimit"] {
        ds.modify(backend, "replace", attribute, "20");
    }
    let mut corp = Corp::new(config(&ds.url()));
    corp.start();
    corp.hint();
    let status =
        wait_for("a read that a limit ends", || corp.status().filter(|status| status.state == SourceState::Blind));
    let why = status.reason.unwrap();
    for part in ["11 (adminLimitExceeded)", SYNC, "nsLookThroughLimit, nsPagedLookThroughLimit"] {
        assert!(why.contains(part), "no `{part}` in {why}");
    }
    assert_eq!(corp.stands().len(), 0);
    for attribute in ["nsLookThroughLimit", "nsPagedLookThroughLimit", "nsIDListScanLimit", "nsPagedIDListScanLimit"] {
        ds.modify(SYNC, "replace", attribute, "-1");
    }
    corp.read();
    assert_eq!(corp.stands().iter().filter(|subject| subject.starts_with("person/")).count(), 64);
}

#[test]
fn a_member_is_whom_it_takes_the_name_for_however_it_is_written() {
    let spellings = [
        ("case", format!("UID=Ada,OU=People,{}", BASE.to_uppercase())),
        ("spaces", format!("uid = ada , ou=people,  {BASE}")),
        ("escaped", format!("uid=\\61da,ou=people,{BASE}")),
        ("alias", format!("userid=ada,organizationalUnitName=people,{BASE}")),
        ("number", format!("0.9.2342.19200300.100.1.1=ada,ou=people,{BASE}")),
    ];
    let groups: String = spellings.iter().map(|(cn, member)| group(cn, [member])).collect();
    let Some(ds) = Ds389::start(&ops(&["bob"])) else { return };
    // As older versions took them.
    ds.modify("cn=config", "replace", "nsslapd-syntaxcheck", "off");
    ds.change(&groups);
    let snapshot = read(config(&ds.url())).unwrap();
    let picture = picture(&snapshot);
    for (cn, member) in spellings {
        // It decides, and says so itself.
        let taken = ds.finds(&member);
        assert_eq!(picture.contains(&format!("[{cn}] has ada")), taken, "{member}: {picture:#?}");
    }
    assert!(["case", "spaces", "escaped"].iter().all(|cn| picture.contains(&format!("[{cn}] has ada"))));
}
