//! Whether accounts are in force, as each kind of directory says it: what is disabled is inactive, what cannot be read is
//! never taken for in force, and what keeps somebody out at sign-in is on record for the operator alone.

use rollcall_events::Body;
use rollcall_ingest::{SourceState, connector::Failure};
use rollcall_ldap::{Config, Mode};

use crate::{
    directories::{
        active_directory_served as ad,
        read::{config, picture, read},
        served::{count, events, members, names, served},
        sign_in_names::has_cause,
    },
    support::{
        corp::Corp,
        samba::{self, PASSWORD, Samba},
        server::Server,
        slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
        wait_for,
        wire::{Act, Wire},
    },
};

/// Whether the directory's last word of somebody is that they are active.
fn is_active(server: &Server, user: &str) -> bool {
    let said = events(server).into_iter().rfind(|event| event["data"]["username"] == user);
    said.is_some_and(|event| event["data"]["active"] == true)
}

/// Who refuses what with which text: the same for everything but what only the owner of the password can know.
const WRONG: &str = "the user name or the secret is wrong";

#[test]
fn what_openldaps_policies_say_at_a_bind_is_on_record_and_the_person_is_told_only_what_the_password_proves() {
    let ldif = trunk()
        + &["ada", "bob", "old", "new"].map(|name| person(name, "people", "right")).concat()
        + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.with_policies();
    let server = served(&slapd.url(), "");
    wait_for("everybody", || (count(&server, "person.upserted") == 5).then_some(()));
    let refused = |user: &str, password: &str| server.token(user, password, "").expect(401).text;

    // Three wrong passwords lock an account until somebody unlocks it. That is no disabling: anybody can cause it.
    for guess in ["one", "two", "three"] {
        assert!(refused("ada", guess).contains(WRONG));
    }
    has_cause(&server, "ada", "wrong_password");
    assert!(refused("ada", "right").contains(WRONG), "a lock says nothing of the password");
    has_cause(&server, "ada", "locked");
    assert!(is_active(&server, "ada"));

    // Set by an administrator, so it has to be changed.
    slapd.modify("new", "add", "pwdReset", "TRUE");
    assert!(refused("new", "wrong").contains(WRONG));
    let told = refused("new", "right");
    assert!(told.contains("has to be changed") && !told.contains(WRONG), "{told}");
    has_cause(&server, "new", "must_change");

    // Too old: a password lasts a second here.
    slapd.modify("old", "add", "pwdPolicySubentry", &format!("cn=old,{BASE}"));
    slapd.modify("old", "replace", "userPassword", "older");
    wait_for("the end of a password", || (!slapd.takes("old", "older")).then_some(()));
    let told = refused("old", "older");
    assert!(told.contains("has expired") && !told.contains(WRONG), "{told}");
    has_cause(&server, "old", "password_expired");
    assert!(refused("old", "wrong").contains(WRONG));

    // Locked for good by an administrator: inactive, and nothing is asked any more.
    slapd.modify("bob", "add", "pwdAccountLockedTime", "000001010000Z");
    wait_for("bob to be inactive", || (!is_active(&server, "bob")).then_some(()));
    assert!(refused("bob", "right").contains(WRONG));
    has_cause(&server, "bob", "disabled");

    let shown = server.cli(&["sign-ins", "new"]).ok();
    assert!(shown.contains("must_change") && shown.contains("127.0.0.1"), "{shown}");
    // Of others nobody is told.
    let secret = server.secret_for("ada");
    let request = server.http.get(&server.url("/api/v1/refused-sign-ins?user=new")).basic_auth("ada", Some(&secret));
    server.http.send(request).expect(404);
}

#[test]
fn what_active_directory_says_at_a_bind_is_on_record_and_the_person_is_told_only_what_the_password_proves() {
    let ldif = ["ada", "bob", "eve", "kim"].map(|name| samba::person(name, "people")).concat()
        + &samba::group("ops", [samba::dn("ada")]);
    let Some(samba) = Samba::start(&ldif) else { return };
    let server = ad::served(&samba, samba::SYNC);
    wait_for("everybody", || (count(&server, "person.upserted") >= 4).then_some(()));
    let refused = |user: &str, password: &str| server.token(user, password, "").expect(401).text;

    samba.modify(&samba::dn("ada"), "replace", "pwdLastSet", "0");
    assert!(refused("ada", "wrong").contains(WRONG));
    has_cause(&server, "ada", "wrong_password");
    let told = refused("ada", PASSWORD);
    assert!(told.contains("has to be changed") && !told.contains(WRONG), "{told}");
    has_cause(&server, "ada", "must_change");

    // Over, and disabled: both are inactive as soon as they are read, and refused by the directory itself before.
    for (user, attribute, value, cause) in
        [("bob", "userAccountControl", "514", "disabled"), ("eve", "accountExpires", "132000000000000000", "disabled")]
    {
        samba.modify(&samba::dn(user), "replace", attribute, value);
        wait_for("inactive", || ad::said(&server).contains(&format!("person.upserted {user} inactive")).then_some(()));
        assert!(refused(user, PASSWORD).contains(WRONG));
        has_cause(&server, user, cause);
    }

    samba.modify(samba::BASE, "replace", "lockoutThreshold", "3");
    for n in 0..4 {
        assert!(refused("kim", &format!("guess {n}")).contains(WRONG));
    }
    assert!(refused("kim", PASSWORD).contains(WRONG), "a lock says nothing of the password");
    has_cause(&server, "kim", "locked");
    assert!(is_active(&server, "kim"));
}

#[test]
fn an_account_is_inactive_by_an_attribute_of_the_operators_own() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b") + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.modify("bob", "add", "employeeType", "Terminated");
    slapd.modify("ada", "add", "employeeType", "staff");
    let more = "disabled_attribute = \"employeeType\"\ndisabled_values = [\"terminated\", \"on leave\"]\n";
    let server = served(&slapd.url(), more);
    wait_for("everybody", || (count(&server, "person.upserted") == 3).then_some(()));
    assert!(is_active(&server, "ada") && !is_active(&server, "bob"));
    slapd.modify("ada", "replace", "employeeType", "on leave");
    wait_for("ada on leave", || (!is_active(&server, "ada")).then_some(()));
}

/// Active Directory shows no value of what we may not read. So does a proxy that calls it otherwise.
#[test]
fn where_active_directory_hides_what_everybody_has_nobody_is_taken_for_anything() {
    let Some(samba) = Samba::start(&samba::person("ada", "people")) else { return };
    let wire = Wire::to(samba.port);
    let base = |ou: &str| format!("OU={ou},{}", samba::BASE).parse::<rollcall_ldap::Base>().unwrap();
    let config = || Config {
        clear_text: true,
        bind: rollcall_ldap::Bind::Simple(samba::PLAIN.to_owned(), PASSWORD.into()),
        people: vec![base("people")],
        groups: vec![base("groups")],
        ..Config::new(vec![wire.url().parse().unwrap()], base("people"))
    };
    read(config()).unwrap();
    for (name, other) in [("userAccountControl", "userAccountXXXXXXX"), ("accountExpires", "accountXXXXXXX")] {
        wire.look(move |_, _, message| {
            let hidden = |part: &[u8]| part.eq_ignore_ascii_case(name.as_bytes());
            while let Some(at) = message.0.windows(name.len()).position(hidden) {
                message.0[at..at + name.len()].copy_from_slice(other.as_bytes());
            }
            Act::Pass
        });
        let why = unauthorised(config());
        assert!(why.contains(name) && why.contains("Read Account Restrictions"), "{why}");
    }
}

/// Hides an attribute from everybody but the administrator, or shows it again.
fn hide_attribute(slapd: &mut Slapd, name: &str, rights: Option<&str>) {
    slapd.reconfigure(|conf| {
        let kept = conf.lines().filter(|line| !line.starts_with(&format!("access to attrs={name} ")));
        let conf: String = kept.map(|line| format!("{line}\n")).collect();
        let rule = rights.map(|rights| format!("access to attrs={name} by * {rights}\n")).unwrap_or_default();
        conf.replacen("access to attrs=userPassword", &format!("{rule}access to attrs=userPassword"), 1)
    });
}

fn unauthorised(config: Config) -> String {
    match read(config) {
        Err(Failure::Unauthorised(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_decides_and_cannot_be_read_is_never_taken_for_in_force_and_says_what_to_do() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.with_policies();
    // Nobody is locked yet: also then it shows, for nobody may search for it.
    hide_attribute(&mut slapd, "pwdAccountLockedTime", Some("none"));
    let why = unauthorised(config(&slapd.url()));
    let what_to_do = format!("access to attrs=pwdAccountLockedTime by dn.exact=\"{SYNC}\" read");
    assert!(why.contains(&what_to_do) && why.contains("may not be read"), "{why}");
    // What it says to do is what helps.
    slapd.reconfigure(|conf| {
        let rule = format!("{what_to_do} by * break\n");
        conf.replacen("access to attrs=pwdAccountLockedTime", &format!("{rule}access to attrs=pwdAccountLockedTime"), 1)
    });
    read(config(&slapd.url())).unwrap();
    hide_attribute(&mut slapd, "pwdAccountLockedTime", None);
    slapd.modify("bob", "add", "pwdAccountLockedTime", "000001010000Z");
    read(config(&slapd.url())).unwrap();
    // May be searched for and not be read: bob, who has it, shows that.
    hide_attribute(&mut slapd, "pwdAccountLockedTime", Some("search"));
    let why = unauthorised(config(&slapd.url()));
    assert!(why.contains("uid=bob"), "{why}");
    hide_attribute(&mut slapd, "pwdAccountLockedTime", None);

    // The operator's own, and an entry that is known to be disabled.
    let own = |name: &str| {
        let mut config = config(&slapd.url());
        config.attributes.disabled = Some(name.to_owned());
        config
    };
    read(own("employeeType")).unwrap();
    let why = unauthorised(own("noSuchAttribute"));
    assert!(why.contains("noSuchAttribute") && why.contains("does not exist"), "{why}");
    let probe = |dn: &str| Config { disabled_probe: Some(dn.parse().unwrap()), ..config(&slapd.url()) };
    read(probe(&dn("bob"))).unwrap();
    for (dn, what) in [(dn("ada"), "looks in force"), (dn("gone"), "is not there")] {
        let why = unauthorised(probe(&dn));
        assert!(why.contains("disabled_probe") && why.contains(what), "{why}");
    }
}

/// What says elsewhere when an account is over: the class and attribute that slapd is taught, and a value long ago.
const ENDS: [(&str, &str, &str); 5] = [
    ("shadowAccount", "shadowExpire", "1"),
    ("pwdPolicy", "pwdEndTime", "20200101000000Z"),
    ("krbPrincipalAux", "krbPrincipalExpiration", "20200101000000Z"),
    ("ndsLoginProperties", "loginExpirationTime", "20200101000000Z"),
    ("dsAccount", "ds-pwp-account-expiration-time", "20200101000000Z"),
];

/// Teaches slapd what it does not know of these.
fn with_ends(slapd: &mut Slapd) {
    slapd.with_policies();
    slapd.reconfigure(|conf| {
        let mut taught = String::new();
        for (n, (class, attribute, _)) in ENDS.iter().enumerate().skip(2) {
            taught += &format!(
                "attributetype ( 1.3.6.1.4.1.99999.1.{n} NAME '{attribute}' EQUALITY generalizedTimeMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 SINGLE-VALUE )\n\
                 objectclass ( 1.3.6.1.4.1.99999.2.{n} NAME '{class}' SUP top AUXILIARY MAY {attribute} )\n"
            );
        }
        conf.replacen("modulepath", &format!("{taught}modulepath"), 1)
    });
}

/// Gives bob this end.
fn end(slapd: &Slapd, (class, attribute, value): (&str, &str, &str)) {
    if attribute != "pwdEndTime" {
        slapd.modify("bob", "add", "objectClass", class);
    }
    slapd.modify("bob", "add", attribute, value);
}

#[test]
fn what_says_when_an_account_is_over_and_cannot_be_read_is_never_taken_for_in_force_and_says_what_to_do() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b") + &group("ops", [dn("ada")]);
    for ended in ENDS {
        let (class, name, _) = ended;
        let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
        with_ends(&mut slapd);
        let inactive = |slapd: &Slapd| picture(&read(config(&slapd.url())).unwrap()).contains("bob inactive");
        hide_attribute(&mut slapd, name, Some("none"));
        if class == "pwdPolicy" {
            // The server keeps it itself, of anybody.
            unauthorised(config(&slapd.url()));
        } else {
            // Nobody is of a class that could have it, so nothing is hidden.
            read(config(&slapd.url())).unwrap();
        }
        end(&slapd, ended);
        let why = unauthorised(config(&slapd.url()));
        let what_to_do = format!("access to attrs={name} by dn.exact=\"{SYNC}\" read");
        assert!(why.contains(&what_to_do) && why.contains("uid=") && why.contains("is over"), "{name}: {why}");
        // What it says to do is what helps.
        slapd.reconfigure(|conf| {
            let rule = format!("access to attrs={name} ");
            conf.replacen(&rule, &format!("{what_to_do} by * break\n{rule}"), 1)
        });
        assert!(inactive(&slapd), "{name}");
        // May be searched for and not be read: bob, who has it, shows that.
        hide_attribute(&mut slapd, name, Some("search"));
        let why = unauthorised(config(&slapd.url()));
        assert!(why.contains("uid=bob"), "{name}: {why}");
        // Or nobody means anything by it, as the operator says.
        hide_attribute(&mut slapd, name, Some("none"));
        let mut unused = config(&slapd.url());
        unused.attributes.unused = vec![name.to_ascii_uppercase()];
        assert!(!picture(&read(unused).unwrap()).contains("bob inactive"), "{name}");
    }
}

#[test]
fn what_a_server_has_no_schema_for_nobody_is_asked_to_show_and_a_schema_that_is_hidden_says_nothing() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    // No attribute but nis's is known here, and it is nobody's.
    read(config(&slapd.url())).unwrap();
    slapd.reconfigure(|conf| {
        let rules = "access to dn.base=\"cn=Subschema\" by * none\naccess to * by * read\n";
        conf.replacen("database mdb", &format!("{rules}database mdb"), 1)
    });
    let why = unauthorised(config(&slapd.url()));
    assert!(why.contains("schema (cn=Subschema) may not be read") && why.contains("unused_attributes"), "{why}");
    let mut unused = config(&slapd.url());
    unused.attributes.unused = rollcall_ldap::usual_attributes().map(str::to_owned).collect();
    read(unused).unwrap();
}

#[test]
fn an_attribute_that_is_hidden_later_changes_nobody_and_is_shown_until_it_can_be_read_again() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b") + &group("ops", [dn("ada")]);
    let disabled = ("pwdPolicy", "pwdAccountLockedTime", "000001010000Z");
    for (mode, hidden) in [Mode::Full, Mode::Auto].into_iter().flat_map(|mode| [(mode, disabled), (mode, ENDS[0])]) {
        let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
        slapd.with_policies();
        let (class, name, value) = hidden;
        if class == "pwdPolicy" {
            slapd.modify("bob", "add", name, value);
        } else {
            end(&slapd, hidden);
        }
        let mut corp = Corp::new(Config { mode, ..config(&slapd.url()) });
        corp.start();
        corp.read();
        let healthy = |corp: &Corp| {
            wait_for("a healthy source", || corp.status().filter(|status| status.state == SourceState::Healthy));
        };
        healthy(&corp);
        let before = corp.head();
        hide_attribute(&mut slapd, name, Some("none"));
        corp.hint();
        let failed = wait_for("an unauthorised source", || {
            corp.status().filter(|status| status.state == SourceState::Unauthorised)
        });
        assert!(failed.reason.unwrap().contains(name));
        hide_attribute(&mut slapd, name, None);
        corp.read();
        healthy(&corp);
        let people = corp.bodies(before).into_iter().filter(|body| matches!(body, Body::PersonUpserted(_)));
        assert_eq!(people.count(), 0, "{mode:?}: somebody who is disabled or over was taken for in force");
    }
}

#[test]
fn a_follower_takes_nobody_for_in_force_by_an_entry_that_hides_what_says_otherwise() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.with_policies();
    slapd.modify("bob", "add", "pwdAccountLockedTime", "000001010000Z");
    let wire = Wire::to(slapd.port);
    let probe = Some(dn("bob").parse().unwrap());
    let mut corp = Corp::new(Config { disabled_probe: probe, ..config(&wire.url()) });
    corp.start();
    let state = |state| move |corp: &Corp| corp.status().filter(|status| status.state == state).map(drop);
    let (healthy, unauthorised) = (state(SourceState::Healthy), state(SourceState::Unauthorised));
    slapd.change(&person("first", "people", "x"));
    let said = |corp: &Corp| corp.stands().iter().filter(|subject| subject.starts_with("person/")).count();
    wait_for("the first change", || (said(&corp) == 4).then_some(()));
    let before = corp.head();
    let people = |corp: &Corp| {
        let people = corp.bodies(before).into_iter().filter(|body| matches!(body, Body::PersonUpserted(_)));
        people.count()
    };
    let (name, other) = (b"pwdAccountLockedTime", b"pwdAccountXXXXXXXXXX");
    wire.look(move |_, _, message| {
        while let Some(at) = message.0.windows(name.len()).position(|part| part.eq_ignore_ascii_case(name)) {
            message.0[at..at + name.len()].copy_from_slice(other);
        }
        Act::Pass
    });
    slapd.modify("bob", "replace", "sn", "B");
    wait_for("an answer", || unauthorised(&corp).or((people(&corp) > 0).then_some(())));
    assert_eq!(people(&corp), 0, "somebody who is locked was taken for in force");
    wire.pass();
    wire.cut();
    wait_for("a healthy source", || healthy(&corp));
    slapd.change(&person("last", "people", "x"));
    wait_for("the last change", || (said(&corp) == 5).then_some(()));
    assert_eq!(people(&corp), 1, "the last one");
}

#[test]
fn doctor_says_whether_what_decides_can_be_read() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.with_policies();
    slapd.modify("bob", "add", "pwdAccountLockedTime", "000001010000Z");
    slapd.modify("ada", "add", "objectClass", "shadowAccount");
    let server = served(&slapd.url(), &format!("disabled_probe = \"{}\"\n", dn("bob")));
    wait_for("ada in ops", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    let said = server.cli(&["sources", "show", "corp-ldap"]).ok();
    for part in [
        "pwdAccountLockedTime can be read of all 3 people",
        "pwdEndTime can be read of all 3 people",
        "shadowExpire can be read of all 1 people",
        "uid=bob",
        "looks disabled, as it should",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    for absent in ["nsAccountLock", "loginExpirationTime", "krbPrincipalExpiration"] {
        assert!(!said.contains(absent), "{said}");
    }
    // Of one alone it is hidden.
    slapd.reconfigure(|conf| {
        let rule = format!("access to dn.exact=\"{}\" attrs=pwdAccountLockedTime by * none\n", dn("ada"));
        conf.replacen("access to attrs=userPassword", &format!("{rule}access to attrs=userPassword"), 1)
    });
    let said = server.cli(&["doctor"]);
    assert!(said.code == 1 && said.out.contains("may not be read of 1 of 3 people"), "{said:?}");
    for name in ["pwdAccountLockedTime", "pwdEndTime", "shadowExpire"] {
        hide_attribute(&mut slapd, name, Some("none"));
        let said = server.cli(&["doctor"]);
        assert!(said.code == 1 && said.out.contains(&format!("access to attrs={name} by dn.exact")), "{said:?}");
        hide_attribute(&mut slapd, name, None);
    }
}
