//! The directory connector and what goes wrong with a directory, through the engine: result codes in the middle of a
//! read, rights that were lost, client certificates. Nobody is removed, the state says why, the next read heals.

use std::collections::HashMap;

use rollcall_events::{Body, Position, body::Author};
use rollcall_ingest::{ApplyOutcome, SourceRecords, SourceState, connector::Failure};
use rollcall_ldap::{Attributes, Bind, Config, Mode};

use crate::{
    directories::read::{config, read},
    support::{
        corp::{Corp, name},
        slapd::{Authority, BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
        wait_for,
        wire::{Act, DONE, Wire, ending},
    },
};

/// People u0 to u{n-1}, all of them in the group `ops`.
fn crowd(n: usize) -> String {
    let mut ldif = trunk();
    (0..n).for_each(|i| ldif += &person(&format!("u{i}"), "people", "x"));
    ldif + &group("ops", (0..n).map(|i| dn(&format!("u{i}"))))
}

/// Waits for a state that is not healthy, and gives its text.
fn failed(corp: &Corp, state: SourceState) -> String {
    let status = wait_for(state.as_str(), || corp.status().filter(|status| status.state == state));
    status.reason.unwrap()
}

fn healthy(corp: &Corp) {
    wait_for("a healthy source", || corp.status().filter(|status| status.state == SourceState::Healthy));
}

fn aborted(corp: &Corp, after: Position) -> usize {
    corp.bodies(after).iter().filter(|body| matches!(body, Body::SnapshotAborted(_))).count()
}

#[test]
fn l04_a_result_code_at_any_page_concludes_nothing_and_the_next_read_heals() {
    let Some(slapd) = Slapd::start(Kind::default(), &crowd(60)) else { return };
    let wire = Wire::to(slapd.port);
    // Nothing that has to be proven comes before the people.
    let unused = rollcall_ldap::usual_attributes().map(str::to_owned).collect();
    let attributes = Attributes { unused, ..Attributes::default() };
    let mut corp = Corp::new(Config { mode: Mode::Full, page: 20, attributes, ..config(&wire.url()) });
    corp.start();
    corp.read();
    let (before, all) = (corp.head(), corp.stands());
    // Results of a connection: the root entry, four pages of people, one of groups.
    for (code, name, state) in [
        (3, "timeLimitExceeded", SourceState::Blind),
        (4, "sizeLimitExceeded", SourceState::Blind),
        (11, "adminLimitExceeded", SourceState::Blind),
        (32, "noSuchObject", SourceState::Blind),
        (51, "busy", SourceState::Blind),
        (52, "unavailable", SourceState::Blind),
        (53, "unwillingToPerform", SourceState::Blind),
    ] {
        for page in 1..=5 {
            let at = corp.head();
            let mut results = HashMap::new();
            wire.look(move |connection, _, message| {
                if message.tag() == DONE {
                    let count = results.entry(connection).or_insert(0);
                    // Whoever asks for smaller pages after 11 is told 11 again.
                    if *count == page || (code == 11 && *count > page) {
                        message.set_code(code);
                    }
                    *count += 1;
                }
                Act::Pass
            });
            corp.hint();
            let why = failed(&corp, state);
            let base = if page < 5 { "ou=people" } else { "ou=groups" };
            assert!(why.contains(&format!("{code} ({name})")) && why.contains(base), "{code} at page {page}: {why}");
            assert!(aborted(&corp, at) >= 1, "{code} at page {page}");
            wire.pass();
            corp.read();
            healthy(&corp);
            assert_eq!(corp.removals(before), 0, "{code} at page {page}");
            assert_eq!(corp.stands(), all, "{code} at page {page}");
        }
    }
}

#[test]
fn l04_a_server_that_stops_by_itself_at_a_limit_concludes_nothing_and_is_named() {
    let Some(mut slapd) = Slapd::start(Kind { syncprov: false, ..Kind::default() }, &crowd(60)) else { return };
    let mut corp = Corp::new(Config { page: 20, ..config(&slapd.url()) });
    corp.start();
    corp.read();
    let before = corp.head();
    for (limit, says, advice) in [
        // So many entries over all pages; so many candidates.
        ("size.prtotal=30", "4 (sizeLimitExceeded)", "size.prtotal=unlimited"),
        ("size.prtotal=unlimited size.unchecked=10", "11 (adminLimitExceeded)", "size.unchecked=unlimited"),
    ] {
        slapd.reconfigure(|conf| conf.replacen("size.prtotal=unlimited\naccess", &format!("{limit}\naccess"), 1));
        corp.hint();
        let why = failed(&corp, SourceState::Blind);
        assert!(why.contains(says), "{why}");
        let what_to_set = format!("limits dn.exact=\"{SYNC}\" {advice}");
        assert!(why.contains(&what_to_set), "no `{what_to_set}` in: {why}");
        // What it says to set is what helps.
        slapd.reconfigure(|conf| conf.replacen(&format!("{limit}\naccess"), "size.prtotal=unlimited\naccess", 1));
        corp.read();
        healthy(&corp);
        assert_eq!(corp.removals(before), 0);
    }
}

#[test]
fn l04_a_code_in_the_middle_of_a_follow_concludes_nothing_and_it_goes_on() {
    let Some(slapd) = Slapd::start(Kind::default(), &crowd(30)) else { return };
    for code in [3, 4, 11, 32, 51, 52, 53] {
        let wire = Wire::to(slapd.port);
        let mut corp = Corp::new(config(&wire.url()));
        corp.start();
        healthy(&corp);
        let all = wait_for("everybody", || Some(corp.stands()).filter(|all| all.len() > 60));
        // An entry that is announced, and then the end of the search with this code in its place.
        wire.look(move |_, _, message| {
            if message.tag() == 0x64 {
                *message = ending(message, code);
            }
            Act::Pass
        });
        let before = corp.head();
        slapd.change(&format!("dn: {}\nchangetype: modify\nreplace: sn\nsn: {code}\n", dn("u7")));
        wait_for("the end of the follow", || {
            corp.status().filter(|status| status.state.is_failure() && status.failures > 0)
        });
        wire.pass();
        wire.cut();
        let after = format!("after{code}");
        slapd.change(&person(&after, "people", "x"));
        wait_for("the next change", || Some(corp.stands()).filter(|now| now.len() == all.len() + 1));
        healthy(&corp);
        assert_eq!(corp.removals(before), 0, "{code}");
        slapd.delete(&dn(&after));
    }
}

/// The names of who stands, as far as they are people.
fn people(corp: &Corp) -> usize {
    corp.stands().iter().filter(|subject| subject.starts_with("person/")).count()
}

#[test]
fn an_account_that_lost_its_rights_is_empty_or_held_and_nobody_is_removed() {
    for mode in [Mode::Full, Mode::Auto] {
        let Some(mut slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &crowd(60)) else { return };
        let mut corp = Corp::new(Config { mode, ..config(&slapd.url()) });
        corp.start();
        corp.read();
        healthy(&corp);
        let (before, all) = (corp.head(), corp.stands());

        // Success, and not one entry.
        slapd.hide(&format!("dn.children=\"{BASE}\" filter=(!(objectClass=organizationalUnit))"));
        corp.read();
        let why = failed(&corp, SourceState::Empty);
        assert!(why.contains("answered with nothing"), "{why}");
        assert_eq!((corp.removals(before), corp.stands()), (0, all.clone()), "{mode:?}");
        slapd.hide("");
        corp.read();
        healthy(&corp);

        // Half of the people. The groups list them still, and a search for one of them says that there is none.
        slapd.hide(&format!("dn.regex=\"^uid=u[345][0-9],ou=people,{BASE}$\""));
        slapd.change(&person("new", "people", "x"));
        corp.read();
        let why = failed(&corp, SourceState::Held);
        // A follower may have told of the new one before.
        assert!(why.contains("60 of its 122 facts") || why.contains("60 of its 123 facts"), "{why}");
        wait_for("the addition", || (people(&corp) == 62).then_some(()));
        // What a follower says then, who knows more than the read could see, takes nothing of it back.
        slapd.change(&person("later", "people", "x"));
        if mode == Mode::Full {
            corp.read();
        }
        wait_for("the later one", || (people(&corp) == 63).then_some(()));
        assert_eq!(corp.removals(before), 0, "{mode:?}");
        let absent = corp.status().unwrap().absent;
        assert_eq!(absent.count, 30, "{absent:?}");
        let plan = corp.block(corp.store.held_plan(&name())).unwrap().unwrap();
        assert_eq!(plan.removals, 60);
        slapd.hide("");
        ["new", "later"].iter().for_each(|uid| slapd.delete(&dn(uid)));
        corp.read();
        healthy(&corp);
        wait_for("those who really left", || (corp.stands() == all).then_some(()));
        assert_eq!(corp.removals(before), 2, "{mode:?}");
        let differs = corp.block(corp.runners().apply(&plan.id, 60, Author::operator()));
        assert!(!matches!(differs, Ok(ApplyOutcome::Done(_))), "a plan of then was applied now");
    }
}

#[test]
fn l07_a_person_who_moves_to_another_base_while_its_connection_lags_is_not_removed() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada"), dn("sync")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let wire = Wire::to(slapd.port);
    let mut config = config(&wire.url());
    config.people.push(format!("ou=staff,{BASE}").parse().unwrap());
    let mut corp = Corp::new(config);
    corp.start();
    healthy(&corp);
    slapd.change(&person("first", "people", "x"));
    wait_for("the first change", || (people(&corp) == 3).then_some(()));
    let (before, followers) = (corp.head(), wire.connections());
    // One connection for each base: people, staff, groups.
    wire.look(move |connection, _, _| if connection + 2 == followers { Act::Hold } else { Act::Pass });
    slapd.change(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: uid=ada\ndeleteoldrdn: 1\nnewsuperior: ou=staff,{BASE}\n",
        dn("ada")
    ));
    wait_for("the other base's news", || (wire.held() == 1).then_some(()));
    slapd.change(&person("second", "people", "x"));
    wait_for("the second change", || (people(&corp) >= 4).then_some(()));
    corp.read();
    assert_eq!(corp.removals(before), 0);
    wire.pass();
    slapd.delete(&dn("first"));
    wait_for("an end", || (corp.removals(before) > 0).then_some(()));
    assert_eq!((corp.removals(before), people(&corp)), (1, 3));
}

#[test]
fn a_client_certificate_says_who_we_are() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Some(mut slapd) = Slapd::start_with(Kind::default(), &crowd(3), Some(&authority)) else { return };
    let secure = |url: &str, client: Option<(String, String)>, bind: Bind| {
        let mut config = Config { clear_text: false, bind, ..config(url) };
        config.trust.ca = Some(authority.pem.clone());
        config.trust.client = client;
        config
    };
    let demand = "TLSVerifyClient demand\nauthz-regexp \"^cn=([^,]+)$\" \"uid=$1,ou=people,dc=ex,dc=test\"\n";
    slapd.reconfigure(|conf| conf.replacen("sizelimit", &format!("{demand}sizelimit"), 1));
    let urls = [format!("ldaps://127.0.0.1:{}", slapd.tls_port), slapd.url()];
    for url in &urls {
        read(secure(url, Some(authority.client("sync")), Bind::External)).unwrap_or_else(|why| panic!("{url}: {why}"));
        assert!(slapd.log().contains("BIND dn=\"uid=sync,ou=people,dc=ex,dc=test\" mech=EXTERNAL"), "{}", slapd.log());
        let both = Bind::Simple(SYNC.to_owned(), "sync".into());
        read(secure(url, Some(authority.client("any")), both.clone())).unwrap_or_else(|why| panic!("{url}: {why}"));

        let unauthorised = |config: Config| match read(config) {
            Err(Failure::Unauthorised(why)) => why,
            other => panic!("{url}: {other:?}"),
        };
        let none = unauthorised(secure(url, None, both.clone()));
        assert!(none.contains("client_certificate_file") && none.contains("client_key_file"), "{none}");
        let wrong = unauthorised(secure(url, Some(other.client("sync")), Bind::External));
        assert!(wrong.contains("client certificate") && wrong.contains("authority"), "{wrong}");
    }
    // One that does not ask for certificates knows nobody by one.
    slapd.reconfigure(|conf| conf.replacen("TLSVerifyClient demand", "TLSVerifyClient never", 1));
    match read(secure(&urls[0], Some(authority.client("sync")), Bind::External)) {
        Err(Failure::Unauthorised(why)) => assert!(why.contains("TLSVerifyClient"), "{why}"),
        other => panic!("{other:?}"),
    }
}
