//! A directory that is followed while Rollcall goes and comes: what is kept to go on from is enough to go on from, and
//! where it is not, everything is read, the reason is shown, and nobody is lost or comes back for a moment.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::{
    directories::served::{add, count, events, kinds, members, names, served, take},
    support::{
        server::Server,
        slapd::{BASE, Backup, Kind, Slapd, dn, group, person, trunk},
        wait_for,
    },
};

/// Read as a whole by nobody's schedule.
const NEVER: &str = "schedule = \"0 0 1 1 *\"\n";

fn reading(server: &Server) -> Value {
    let sources = server.get("/api/v1/sources").json();
    let all = sources["items"].as_array().unwrap();
    all.iter().find(|source| source["name"] == "corp-ldap").unwrap()["reading"].clone()
}

/// Why everything was read last.
fn why(server: &Server) -> String {
    reading(server)["whole"]["why"].as_str().unwrap_or_default().to_owned()
}

/// Waits until it is shown that everything was read for this reason.
pub fn read_because(server: &Server, because: &str) {
    wait_for(because, || why(server).contains(because).then_some(()));
}

fn facts(server: &Server) -> usize {
    kinds(server).iter().filter(|kind| !kind.starts_with("snapshot.")).count()
}

/// Heard by the follower after everything before it was kept.
fn told(server: &Server, slapd: &Slapd, uid: &str) {
    slapd.change(&person(uid, "people", "x"));
    wait_for(uid, || {
        let said = events(server).iter().filter(|event| event["data"]["username"] == uid).count();
        assert!(said <= 1, "{uid} is said {said} times");
        (said == 1).then_some(())
    });
}

/// The process, by its number, that read everything last.
fn epoch(server: &Server) -> Option<u64> {
    let sealed = |event: &&Value| event["type"] == "rollcall.snapshot.sealed.v1";
    events(server).iter().filter(sealed).filter_map(|event| event["data"]["epoch"].as_u64()).max()
}

/// Changes what a stopped Rollcall keeps.
fn tamper(server: &Server, statement: String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", server.data("ops.db").display());
        let mut db = SqliteConnection::connect(&url).await.unwrap();
        let changed = db.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        assert!(changed.rows_affected() > 0, "nothing was kept");
        db.close().await.unwrap();
    });
}

/// The files of a stopped Rollcall's ops.db: kept aside, put back, or gone.
fn ops(server: &Server, what: Backup) {
    for name in ["ops.db", "ops.db-wal", "ops.db-shm"] {
        let (file, aside) = (server.data(name), server.data(&format!("{name}.aside")));
        let (from, to) = match what {
            Backup::Make => (file, aside),
            Backup::Restore => (aside, file),
        };
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// A cursor with these cookies, as it is kept.
fn cursor(cookies: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for cookie in cookies {
        all.extend(u32::try_from(cookie.len()).unwrap().to_be_bytes());
        all.extend_from_slice(cookie);
    }
    let mut bytes = vec![2, 1, 2, 4, 8];
    bytes.extend(b"RFC 4533");
    bytes.extend([4, u8::try_from(all.len()).unwrap()]);
    bytes.extend(all);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn two_groups() -> String {
    let people = ["ada", "kim", "bob", "gone"].map(|uid| person(uid, "people", "x")).concat();
    trunk() + &people + &group("ops", [dn("ada"), dn("kim")]) + &group("dev", [dn("gone")])
}

#[test]
fn a_restart_goes_on_from_the_cookie_and_hears_what_changed_meanwhile() {
    let Some(slapd) = Slapd::start(Kind::default(), &two_groups()) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 2 && members(&server, "dev").len() == 1).then_some(()));
    told(&server, &slapd, "first");
    let whole = reading(&server)["whole"].clone();
    assert_eq!(whole["why"], "first start");

    for killed in [true, false] {
        let before = facts(&server);
        if killed {
            server.kill();
            add(&slapd, "ops", "bob");
            take(&slapd, "ops", "kim");
            slapd.delete(&dn("gone"));
            slapd.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: uid=augusta\ndeleteoldrdn: 1\n", dn("ada")));
            slapd.change(&(person("new", "people", "n") + &group("late", [dn("new")])));
            server.go();
            wait_for("what changed meanwhile", || {
                let is = |group, people: &[&str]| members(&server, group) == names(people);
                (is("ops", &["augusta", "bob"]) && is("dev", &[]) && is("late", &["new"])).then_some(())
            });
            told(&server, &slapd, "second");
            // augusta, gone, new, second; late; bob and new come, kim and gone leave.
            assert_eq!(facts(&server), before + 9, "{:?}", kinds(&server));
        } else {
            server.restart();
            told(&server, &slapd, "third");
            assert_eq!(facts(&server), before + 1, "{:?}", kinds(&server));
        }
        assert_eq!(count(&server, "snapshot.sealed"), 1, "it was read as a whole");
        assert_eq!(reading(&server)["whole"], whole);
    }
    let said = server.cli(&["sources", "show", "corp-ldap"]).ok();
    assert!(said.contains("read as a whole") && said.contains(": first start"), "{said}");
    let metrics = server.get("/metrics").text;
    let starts: Vec<&str> = metrics.lines().filter(|line| line.starts_with("rollcall_source_follows_total")).collect();
    assert!(starts.len() == 1 && starts[0].contains("from=\"cursor\""), "{starts:?}");
}

#[test]
fn a_lost_store_leads_to_a_full_read_that_says_so_and_to_no_flap() {
    let Some(slapd) = Slapd::start(Kind::default(), &two_groups()) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 2).then_some(()));
    told(&server, &slapd, "first");
    let before = facts(&server);
    server.kill();
    for name in ["ops.db", "ops.db-wal", "ops.db-shm"] {
        let _ = std::fs::remove_file(server.data(name));
    }
    slapd.delete(&dn("gone"));
    server.go();
    wait_for("the end of gone", || (count(&server, "person.removed") == 1).then_some(()));
    read_because(&server, "there is no saved sync state");
    told(&server, &slapd, "second");
    // gone, their membership (the group is told again after refint mended it), second.
    wait_for("the group", || members(&server, "dev").is_empty().then_some(()));
    assert_eq!(facts(&server), before + 3, "{:?}", kinds(&server));
}

#[test]
fn l12_no_cookie_that_is_kept_leads_astray_whatever_it_is() {
    let Some(slapd) = Slapd::start(Kind::default(), &two_groups()) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 2).then_some(()));
    let set = |cursor: String| format!("UPDATE saved_cursor SET cursor = X'{cursor}'");
    let cases = [
        ("garbage", set(cursor(&[b"garbage", b"rid=000,csn=nonsense"])), "does not know the cookie"),
        ("empty", set(cursor(&[b"", b""])), "a cookie is missing"),
        ("one", set(cursor(&[b"rid=000"])), "a cookie is missing"),
        ("version", set("020109".to_owned()), "cannot be read: a cursor of another version"),
        ("broken", set("02".to_owned()), "cannot be read"),
        ("note", "UPDATE sync_state_entry SET value = X'0201010500'".to_owned(), "cannot be read"),
        ("scope", "UPDATE saved_cursor SET scope = 'another'".to_owned(), "the scope is another one"),
        ("log", "UPDATE saved_cursor SET log = 'another'".to_owned(), "the sync state was saved with another log"),
    ];
    for (n, (uid, statement, because)) in cases.into_iter().enumerate() {
        told(&server, &slapd, uid);
        let before = facts(&server);
        server.kill();
        tamper(&server, statement);
        slapd.delete(&dn(uid));
        server.go();
        wait_for(uid, || (count(&server, "person.removed") == n + 1).then_some(()));
        read_because(&server, because);
        assert_eq!(facts(&server), before + 1, "{uid}");
    }
}

/// bob joins ops, somebody comes, Rollcall hears of it and ends, and the server goes back to before that.
fn restored(slapd: &mut Slapd, server: &mut Server, uid: &str) {
    slapd.backup(Backup::Make);
    add(slapd, "ops", "bob");
    wait_for("bob in ops", || members(server, "ops").contains("bob").then_some(()));
    // What was recorded after the cursor was kept is not believed anyway; this one is kept by now.
    told(server, slapd, uid);
    server.kill();
    slapd.backup(Backup::Restore);
}

#[test]
fn l12_a_cookie_from_the_future_of_a_restored_server_converges_to_what_that_has() {
    let Some(mut slapd) = Slapd::start(Kind::default(), &two_groups()) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 2).then_some(()));
    restored(&mut slapd, &mut server, "lost");
    server.go();
    wait_for("the truth", || (members(&server, "ops") == names(&["ada", "kim"])).then_some(()));
    assert_eq!(count(&server, "person.removed"), 1);
    read_because(&server, "from the server's future");
    told(&server, &slapd, "after");
}

#[test]
fn l12_a_restored_server_that_was_written_to_since_is_put_right_by_the_next_full_read() {
    let Some(mut slapd) = Slapd::start(Kind::default(), &two_groups()) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 2).then_some(()));
    restored(&mut slapd, &mut server, "lost");
    // Newer than our cookie: for the server that is all that we missed.
    slapd.change(&person("since", "people", "s"));
    server.go();
    told(&server, &slapd, "after");
    let plan = server.cli(&["plan", "corp-ldap"]).out;
    assert!(plan.contains("- bob leaves the group ops\n"), "{plan}");
    let id = plan.split_whitespace().find(|word| word.starts_with("pln_")).unwrap();
    server.cli(&["apply", id, "--confirm-removals", "2"]).ok();
    assert_eq!((members(&server, "ops"), count(&server, "person.removed")), (names(&["ada", "kim"]), 1));
    told(&server, &slapd, "last");
}

#[test]
fn l11_what_was_deleted_beyond_the_session_log_is_found_and_the_removal_guard_applies() {
    let people =
        |range: std::ops::Range<u32>| range.map(|i| person(&format!("u{i}"), "people", "x")).collect::<String>();
    let ldif = trunk() + &people(0..60) + &group("ops", (0..60).map(|i| dn(&format!("u{i}"))));
    let Some(slapd) = Slapd::start(Kind { session_log: 5, ..Kind::default() }, &ldif) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 60).then_some(()));
    told(&server, &slapd, "first");
    let away = |server: &mut Server, gone: std::ops::Range<u32>, new: std::ops::Range<u32>| {
        server.kill();
        gone.for_each(|i| slapd.delete(&dn(&format!("u{i}"))));
        slapd.change(&people(new));
        server.go();
    };
    away(&mut server, 0..2, 60..70);
    wait_for("both deletions", || (count(&server, "person.removed") == 2).then_some(()));
    read_because(&server, "no longer knows what was deleted");
    wait_for("the group", || (members(&server, "ops").len() == 58).then_some(()));
    told(&server, &slapd, "second");

    away(&mut server, 2..42, 70..80);
    wait_for("the held plan", || (reading(&server)["state"] == "held").then_some(()));
    wait_for("the additions", || (count(&server, "person.upserted") == 1 + 80 + 2).then_some(()));
    assert_eq!((count(&server, "person.removed"), members(&server, "ops").len()), (2, 58));
}

#[test]
fn what_is_held_by_the_guard_is_still_held_after_a_restart_and_nothing_is_lost() {
    let mut ldif = trunk();
    (0..60).for_each(|i| ldif += &person(&format!("u{i}"), "people", "x"));
    ldif += &group("ops", (0..60).map(|i| dn(&format!("u{i}"))));
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "ops").len() == 60).then_some(()));
    told(&server, &slapd, "first");
    let mut gone = format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\ndelete: member\n");
    (0..40).for_each(|i| gone += &format!("member: {}\n", dn(&format!("u{i}"))));
    slapd.change(&gone);
    wait_for("the held plan", || (reading(&server)["state"] == "held").then_some(()));
    add(&slapd, "ops", "first");
    wait_for("the addition", || members(&server, "ops").contains("first").then_some(()));
    let plan = reading(&server)["held"]["plan"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let before = epoch(&server);
        server.kill();
        server.go();
        // It is told again, held again, and looked at by a full read again.
        wait_for("the full read", || (epoch(&server) > before).then_some(()));
        assert_eq!(reading(&server)["held"]["plan"], json!(plan));
        assert_eq!((members(&server, "ops").len(), count(&server, "group.member.removed")), (61, 0));
    }
    assert_eq!(why(&server), "first start", "it went on from where it was before");
    server.cli(&["apply", &plan, "--confirm-removals", "40"]).ok();
    assert_eq!(members(&server, "ops").len(), 21);
    told(&server, &slapd, "second");
    let before = facts(&server);
    server.kill();
    take(&slapd, "ops", "first");
    server.go();
    wait_for("a change after that", || (members(&server, "ops").len() == 20).then_some(()));
    assert_eq!((facts(&server), why(&server).as_str()), (before + 1, "first start"));
}

#[test]
fn what_was_told_and_not_kept_is_not_believed_after_a_restart() {
    let ldif = two_groups() + &group("odd", [dn("later"), dn("bob")]);
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let mut server = served(&slapd.url(), NEVER);
    wait_for("everybody", || (members(&server, "odd") == names(&["bob"])).then_some(()));
    told(&server, &slapd, "first");
    server.stop();
    ops(&server, Backup::Make);
    server.go();
    // Somebody comes; somebody takes a name that a group lists: the group has a member more, and did not change.
    told(&server, &slapd, "short");
    add(&slapd, "ops", "short");
    let rename = |from: &str, to: &str| {
        slapd.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: uid={to}\ndeleteoldrdn: 1\n", dn(from)));
    };
    rename("gone", "later");
    wait_for("the member by name", || (members(&server, "odd") == names(&["later", "bob"])).then_some(()));
    wait_for("short", || members(&server, "ops").contains("short").then_some(()));
    server.kill();
    // As if the process had ended before any of that was kept; and all of it is undone.
    ops(&server, Backup::Restore);
    take(&slapd, "ops", "short");
    slapd.delete(&dn("short"));
    rename("later", "gone");
    server.go();
    wait_for("the truth", || {
        let is = |group, people: &[&str]| members(&server, group) == names(people);
        (is("odd", &["bob"]) && is("ops", &["ada", "kim"]) && count(&server, "person.removed") == 1).then_some(())
    });
    assert_eq!((count(&server, "snapshot.sealed"), why(&server).as_str()), (1, "first start"));
}
