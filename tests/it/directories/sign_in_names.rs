//! The names that people type: whose they are, that a second one renames nobody, that several people's are nobody's, and
//! that none of them gets into the log.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    directories::{
        active_directory_served as ad,
        served::{count, events, kinds, members, names, served},
    },
    support::{
        samba::{self, PASSWORD, Samba},
        server::Server,
        slapd::{BASE, Kind, Slapd, dn, group, person, trunk},
        wait_for,
    },
};

/// Whom a password signs in, as the token says it.
fn who(server: &Server, name: &str, password: &str) -> Option<String> {
    let answer = server.token(name, password, "");
    if answer.status == 401 {
        return None;
    }
    let token = answer.expect(200).json()["token"].as_str().unwrap().to_owned();
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["sub"].as_str().map(str::to_owned)
}

/// The causes that are on record with a user's name.
pub fn causes(server: &Server, user: &str) -> BTreeSet<String> {
    let rows = server.get("/api/v1/refused-sign-ins").expect(200).json();
    let rows = rows["items"].as_array().unwrap().clone();
    let of = rows.iter().filter(|row| row["name"].as_str().unwrap_or("-") == user);
    of.map(|row| row["cause"].as_str().unwrap().to_owned()).collect()
}

pub fn has_cause(server: &Server, user: &str, cause: &str) {
    wait_for(&format!("{user}: {cause}"), || causes(server, user).contains(cause).then_some(()));
}

/// The user names that the directory was said to have, over all time.
fn said_names(server: &Server) -> BTreeSet<String> {
    let names = events(server).into_iter().filter_map(|event| event["data"]["username"].as_str().map(str::to_owned));
    names.collect()
}

#[test]
fn a_second_value_of_the_user_name_renames_nobody_and_every_value_signs_in() {
    let by_cn = format!(
        "dn: cn=Zoe Z,ou=people,{BASE}\nobjectClass: inetOrgPerson\ncn: Zoe Z\nsn: Z\nuid: zoe\nuserPassword: z\n\n"
    );
    let ldif = trunk() + &person("ada", "people", "a") + &by_cn + &group("ops", [dn("ada")]);
    for mode in ["auto", "full"] {
        let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
        let mut server = served(&slapd.url(), &format!("mode = \"{mode}\"\n"));
        wait_for("ada in ops", || (members(&server, "ops") == names(&["ada"])).then_some(()));
        // Both come before the first in the alphabet.
        slapd.modify("ada", "add", "uid", "Aaa");
        slapd.change(&format!("dn: cn=Zoe Z,ou=people,{BASE}\nchangetype: modify\nadd: uid\nuid: aab\n"));
        slapd.change(&person("last", "people", "l"));
        // A whole read finds both values at once.
        server.restart();
        wait_for("the last change", || said_names(&server).contains("last").then_some(()));
        assert_eq!(said_names(&server), names(&["ada", "last", "sync", "zoe"]), "{mode}");
        for (name, password, user) in
            [("ada", "a", "ada"), ("aaa", "a", "ada"), ("AAB", "z", "zoe"), ("zoe", "z", "zoe")]
        {
            assert_eq!(who(&server, name, password).as_deref(), Some(user), "{mode}: {name}");
            assert_eq!(who(&server, name, "wrong"), None);
        }
        // The name that the entry has is the one that it is renamed by.
        slapd.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: uid=Aaa\ndeleteoldrdn: 0\n", dn("ada")));
        if mode == "full" {
            server.restart();
        }
        wait_for("the new name", || said_names(&server).contains("Aaa").then_some(()));
        assert_eq!(who(&server, "aaa", "a").as_deref(), Some("aaa"), "{mode}");
        assert_eq!(who(&server, "ada", "a").as_deref(), Some("aaa"), "{mode}: the former name is still hers");
    }
}

#[test]
fn an_address_signs_in_whom_it_belongs_to_alone_and_is_in_no_log() {
    let ldif = trunk()
        + &person("ada", "people", "a")
        + &person("bob", "people", "b")
        + &person("kim", "people", "k")
        + &person("boss@ex.test", "people", "own")
        + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.modify("kim", "replace", "mail", "bob@ex.test");
    slapd.modify("ada", "add", "mail", "boss@ex.test");
    slapd.modify("boss@ex.test", "replace", "mail", "b@ex.test");
    let server = served(&slapd.url(), "");
    wait_for("everybody", || (said_names(&server).len() == 5).then_some(()));
    let binds = |who: &str| slapd.log().matches(&format!("BIND dn=\"{}\" method", dn(who))).count();

    assert_eq!(who(&server, "ada@ex.test", "a").as_deref(), Some("ada"));
    assert_eq!(who(&server, "ADA@Ex.Test", "a").as_deref(), Some("ada"));
    assert_eq!(who(&server, "ada@ex.test", "wrong"), None);
    has_cause(&server, "ada", "wrong_password");
    // The API takes it as well.
    let request = server.http.get(&server.url("/api/v1/users")).basic_auth("ada@ex.test", Some("a"));
    assert_eq!(server.http.send(request).expect(200).json()["items"][0]["name"], "ada");

    // Two people have it: neither is asked, and both are named to the operator.
    let before = (binds("bob"), binds("kim"));
    for password in ["b", "k"] {
        assert_eq!(who(&server, "bob@ex.test", password), None);
    }
    assert_eq!((binds("bob"), binds("kim")), before, "somebody was shown a password that may be another's");
    has_cause(&server, "bob", "ambiguous_name");
    has_cause(&server, "kim", "ambiguous_name");
    let doctor = server.cli(&["doctor"]).out;
    assert!(doctor.contains("values of mail belong to several people"), "{doctor}");

    // A user's own name comes first.
    assert_eq!(who(&server, "boss@ex.test", "own").as_deref(), Some("boss@ex.test"));
    assert_eq!(who(&server, "boss@ex.test", "a"), None);

    // A secret is good with its owner's name alone, as ever.
    let secret = server.secret_for("ada");
    assert_eq!(who(&server, "ada", &secret).as_deref(), Some("ada"));
    assert_eq!(who(&server, "ada@ex.test", &secret), None);

    for invented in ["nobody@ex.test", "*@ex.test", "ada@ex.test)(uid=*", "a*", "*", "EX\\ada", "ada@ex.test\0"] {
        assert_eq!(who(&server, invented, "a"), None, "{invented}");
    }
    has_cause(&server, "-", "no_such_name");
    // As clients do, with the name that was typed beside the credentials.
    server.token("ada@ex.test", "a", "&account=ada@ex.test&scope=repository:acme/db:pull").expect(200);
    let decisions = wait_for("the decision", || {
        Some(server.get("/api/v1/decisions").expect(200).text).filter(|text| text.contains("acme/db"))
    });
    let log = server.pages("/api/v1/events?limit=500");
    let refused = server.get("/api/v1/refused-sign-ins").text;
    let kept = format!("{log:?} {refused} {decisions} {}", server.log());
    for address in ["ada@ex.test", "bob@ex.test", "nobody@ex.test"] {
        assert!(!kept.contains(address), "{address} is kept");
    }
    assert_eq!(kinds(&server).iter().filter(|kind| *kind == "person.removed").count(), 0);
}

#[test]
fn a_directory_whose_hashes_are_slow_tells_nobody_who_there_is() {
    // A quarter of a second for each password of hers, and nothing for nobody's.
    let ada = person("ada", "people", "a").replace("userPassword: a\n", &format!("userPassword: {{CRYPT}}{SLOW}\n"));
    let Some(slapd) = Slapd::start(Kind::default(), &(trunk() + &ada + &group("ops", [dn("ada")]))) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    assert_eq!(who(&server, "ada", "a").as_deref(), Some("ada"));
    assert_eq!(who(&server, "ada", "wrong"), None);
    for invented in ["nobody", "nobody@ex.test", "EX\\nobody"] {
        let start = std::time::Instant::now();
        assert_eq!(who(&server, invented, "wrong"), None);
        assert!(start.elapsed() > std::time::Duration::from_millis(200), "{invented}: {:?}", start.elapsed());
    }
}

/// `a`, hashed 800000 times.
const SLOW: &str =
    "$6$rounds=800000$saltsalt$wbxHU6VjZNlp8Ka1jSo6hbiPtFW4.IqlyLKnj9lU/dSAQiI5ZE.TPQq1XovMs.LAySx72Ce8IQEO0wXHQ1E/K1";

#[test]
fn which_attributes_people_may_type_is_a_setting() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    slapd.modify("ada", "add", "employeeNumber", "4711");
    for (setting, mail, number) in [
        ("", true, false),
        ("sign_in_attributes = []\n", false, false),
        ("sign_in_attributes = \"employeeNumber\"\n", false, true),
    ] {
        let server = served(&slapd.url(), setting);
        wait_for("ada", || (members(&server, "ops") == names(&["ada"])).then_some(()));
        assert_eq!(who(&server, "ada@ex.test", "a").is_some(), mail, "{setting}");
        assert_eq!(who(&server, "4711", "a").is_some(), number, "{setting}");
    }
    // Elsewhere a domain has a name only where the operator gives it one.
    let server = served(&slapd.url(), "netbios_domain = \"CORP\"\n");
    wait_for("ada", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    assert_eq!(who(&server, "corp\\ada", "a").as_deref(), Some("ada"));
    assert_eq!(who(&server, "other\\ada", "a"), None);
}

#[test]
fn doctor_says_where_a_name_cannot_be_looked_up() {
    let mut ldif = trunk();
    (0..40).for_each(|n| ldif += &person(&format!("u{n}"), "people", "x"));
    let Some(mut slapd) = Slapd::start(Kind { syncprov: false, ..Kind::default() }, &ldif) else { return };
    // What has no index, as `mail` here, has to be looked for in everybody.
    slapd.reconfigure(|conf| {
        conf.replacen("size.prtotal=unlimited\naccess", "size.prtotal=unlimited size.unchecked=10\naccess", 1)
    });
    let server = served(&slapd.url(), "");
    let said = server.cli(&["doctor"]);
    assert!(said.code == 1 && said.out.contains("whose a name is cannot be looked up"), "{said:?}");
    assert!(said.out.contains("sign_in_attributes") && said.out.contains("size.unchecked"), "{said:?}");
}

#[test]
fn people_of_active_directory_sign_in_by_every_name_that_it_has_for_them() {
    let ldif =
        samba::person("ada", "people") + &samba::person("bob", "people") + &samba::group("ops", [samba::dn("ada")]);
    let Some(samba) = Samba::start(&ldif) else { return };
    samba.modify(&samba::dn("ada"), "replace", "userPrincipalName", "augusta@corp.example");
    samba.change(&format!("dn: {}\nchangetype: modify\ndelete: userPrincipalName\n", samba::dn("bob")));
    let server = ad::served(&samba, samba::SYNC);
    wait_for("both", || (count(&server, "person.upserted") >= 2).then_some(()));
    for name in ["ada", "augusta@corp.example", "EX\\ada", "ex\\ADA", "ada@ex.test"] {
        assert_eq!(who(&server, name, PASSWORD).as_deref(), Some("ada"), "{name}");
    }
    // Whoever has no userPrincipalName has one all the same: the account's name at the domain.
    for name in ["bob@ex.test", "EX\\bob"] {
        assert_eq!(who(&server, name, PASSWORD).as_deref(), Some("bob"), "{name}");
    }
    for name in ["OTHER\\ada", "\\ada", "EX\\", "EX\\a*", "bob@other.test"] {
        assert_eq!(who(&server, name, PASSWORD), None, "{name}");
    }
    assert!(!server.log().contains("augusta@corp.example"), "{}", server.log());
}
