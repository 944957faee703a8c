//! Nobody learns who there is: a directory has as much to do for a name that nobody has as for one that somebody has, at
//! the first try and at every other.

use crate::{
    directories::served::{count, served},
    support::{
        server::Server,
        slapd::{Kind, Proxy, Slapd, Then, person, trunk},
        wait_for,
    },
};

/// What can be told apart: the status, and how often the directory was spoken to.
fn tries(server: &Server, proxy: &Proxy, name: &str) -> Vec<(u16, usize)> {
    let mut seen = Vec::new();
    for n in 0..16 {
        let guess = if n % 3 == 2 { format!("guess {n}") } else { "the same again".to_owned() };
        let before = proxy.connections();
        let status = server.token(name, &guess, "").status;
        seen.push((status, proxy.connections() - before));
    }
    seen
}

#[test]
fn a_directory_is_asked_as_much_about_nobody_as_about_somebody_however_often() {
    let ldif = trunk() + &person("ada", "people", "love:lace") + &person("bob", "people", "b");
    let Some(slapd) = Slapd::start(Kind { syncprov: false, ..Kind::default() }, &ldif) else { return };
    let proxy = Proxy::new(slapd.port, Then::Cut);
    let server = served(&format!("ldap://127.0.0.1:{}", proxy.port), "");
    wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
    let known = tries(&server, &proxy, "ada");
    let unknown = tries(&server, &proxy, "nobody");
    assert_eq!(known, unknown);
    // And by an address: of somebody, of two people, of nobody.
    slapd.modify("bob", "add", "mail", "two@ex.test");
    slapd.modify("sync", "add", "mail", "two@ex.test");
    for name in ["bob@ex.test", "two@ex.test", "nobody@ex.test"] {
        assert_eq!(tries(&server, &proxy, name), unknown, "{name}");
    }
    assert_eq!((known[0].0, known[1]), (401, (401, 0)), "an answer is remembered: {known:?}");
    assert!(known[0].1 >= 1, "{known:?}");
    // And with the directory away.
    proxy.cut();
    let (known, unknown) = (server.token("bob", "wrong", "").status, server.token("no-one", "wrong", "").status);
    assert_eq!((known, unknown), (503, 503));
}

/// Everybody behind one proxy: a hundred guesses at names that need not exist.
#[test]
fn guesses_behind_a_proxy_keep_nobody_else_out_and_its_owner_sees_who_tried_a_name() {
    let ldif = trunk() + &person("u5", "people", "his-right-password") + &person("u6", "people", "hers");
    let Some(slapd) = Slapd::start(Kind { syncprov: false, ..Kind::default() }, &ldif) else { return };
    for named in [true, false] {
        let more = "trusted_proxies = \"127.0.0.1\"\nclient_header = \"X-Forwarded-For\"\n";
        let mut server = served(&slapd.url(), "");
        wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
        if named {
            server.stop();
            let path = server.dir.join("rollcall.toml");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replacen("[server]\n", &format!("[server]\n{more}"), 1)).unwrap();
            server.go();
        }
        let sign_in = |name: &str, password: &str, from: &str| {
            let url = server.url("/token?service=rollcall");
            let request = server.http.get(&url).basic_auth(name, Some(password)).header("x-forwarded-for", from);
            server.http.send(request).status
        };
        // Without the setting: whoever signed in lately from this address is not kept out either.
        assert_eq!(sign_in("u5", "his-right-password", "198.51.100.7"), 200);
        // The hundredth has to wait a second, whoever is not kept waiting by that two, then four: one is met on any machine.
        let waits = (0..120).find(|n| sign_in(&format!("x{n}"), &format!("guess{n}"), "203.0.113.9") == 429);
        assert!(waits.is_some_and(|n| n >= 99), "the guesser waits: {waits:?}");
        assert_eq!(sign_in("u5", "his-right-password", "198.51.100.7"), 200, "named: {named}");
        if named {
            assert_eq!(sign_in("u6", "hers", "198.51.100.8"), 200, "somebody new from elsewhere");
        }
        for n in 0..12 {
            sign_in("u5", &format!("guess{n}"), "203.0.113.10");
        }
        let client = if named { "203.0.113.10" } else { "127.0.0.1" };
        let told = wait_for("what was refused", || {
            let told = server.get("/api/v1/refused-sign-ins?user=u5").expect(200).json();
            let wrong = told["items"].as_array().unwrap().iter().find(|row| row["cause"] == "wrong_password");
            wrong.filter(|row| row["client"] == client).cloned()
        });
        assert_eq!(told["name"], "u5", "{told}");
        let shown = server.cli(&["sign-ins", "u5"]).ok();
        assert!(shown.contains(client) && shown.contains("wrong_password"), "{shown}");
        let invented = server.get("/api/v1/refused-sign-ins").expect(200).text;
        assert!(!invented.contains("x17"), "an invented name is kept: {invented}");
        let metrics = server.get("/metrics").expect(200).text;
        assert!(metrics.contains("rollcall_sign_ins_refused_total{cause=\"wrong_password\"}"), "{metrics}");
    }
}
