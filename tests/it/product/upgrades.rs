//! Another version was here, or is at the other end: an upgrade that is rolled back, a backup of a newer version, a licensing
//! system that speaks a later version of the format.

use std::{process::Command, sync::Arc};

use rollcall_eventlog::{Append, EngineConfig, Log};
use rollcall_events::{Clock, NewEvent, Reader};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use crate::support::{
    corp::Now,
    facts::cloud_event,
    run,
    server::{BINARY, Server, WORLD},
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

/// What a version after this one leaves in the log of a stopped server.
fn recorded_by_a_newer_version(server: &Server, events: Vec<NewEvent>) {
    block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(Now);
        let log = Log::open(&EngineConfig::Embedded { dir: server.data("") }, clock).await.unwrap();
        log.append(events).await.unwrap();
        log.close().await;
    });
}

/// What a later version says before the first event that this one must not pass over.
fn raised() -> NewEvent {
    let mut raised = Reader(Reader::CURRENT.0 + 1).raised();
    raised.data =
        json!({"reader": Reader::CURRENT.0 + 1, "version": "9.1.0", "because": "a type of its own"}).to_string().into();
    raised
}

#[test]
fn an_upgrade_that_is_rolled_back_after_the_log_took_it_says_what_to_start_and_touches_nothing() {
    let mut server = Server::prepared("");
    server.go();
    server.say(WORLD);
    let mut newer = server.event("flexnet entitlement.upserted ENT-7 account=globex state=active");
    newer.kind = "rollcall.entitlement.upserted.v2".into();
    newer.data = r#"{"entitlement":"ENT-7","suspended":true}"#.into();
    server.stop();
    recorded_by_a_newer_version(&server, vec![raised(), newer]);
    for _ in 0..2 {
        let said = server.refuses_to_start();
        assert!(said.err.contains("cannot judge: start Rollcall 9.1.0 or a newer one"), "{}", said.err);
        assert!(said.err.contains("docs/upgrades.md") && !said.err.contains("panicked"), "{}", said.err);
    }
    // What looks at bytes alone still does; and a backup of it is refused in the same way.
    assert_eq!(server.cli(&["verify"]).code, 0);
    let copy = server.dir.join("copy");
    assert_eq!(server.cli(&["backup", copy.to_str().unwrap()]).code, 0);
    let mut restored = Command::new(BINARY);
    restored.arg("--config").arg(copy.join("rollcall.toml")).args(["serve", "--data-dir"]).arg(&copy);
    let said = run(restored.env("NO_COLOR", "1"), &server.dir);
    assert!(said.code != 0 && said.err.contains("start Rollcall 9.1.0"), "{said:?}");
}

/// A newer version recorded only what this one may pass over: it starts, and what that takes away is taken away.
#[test]
fn an_upgrade_that_is_rolled_back_before_that_goes_on_where_the_newer_version_ended() {
    let mut server = Server::prepared("");
    server.go();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    let mut newer = server.event("flexnet entitlement.upserted ENT-7 account=globex state=active");
    newer.data = r#"{"entitlement":"ENT-7","account":"globex","state":"in_dispute","since":"2026-01-01"}"#.into();
    server.stop();
    recorded_by_a_newer_version(&server, vec![newer]);
    server.go();
    assert_eq!(server.granted("ada", &secret, "acme/x"), [""; 0]);
    let why = server.cli(&["why", "ada", "pull", "acme"]);
    assert!(why.code == 1 && why.out.contains("in a state that only a newer version knows"), "{why:?}");
    let problems = server.cli(&["problems"]);
    assert!(problems.out.contains("unknown_state") && problems.out.contains("ENT-7"), "{problems:?}");
    server.stop();
}

#[test]
fn records_of_a_newer_form_are_left_as_they_are_and_name_the_version_that_gave_it() {
    let mut server = Server::prepared("");
    server.go();
    server.stop();
    for file in ["ops.db", "log.db"] {
        let path = server.data(file).display().to_string();
        block_on(async {
            let mut sql = SqliteConnection::connect(&path).await.unwrap();
            let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                         VALUES (1000, 'later', 1, x'00', 0); PRAGMA user_version = 16777731";
            sqlx::raw_sql(later).execute(&mut sql).await.unwrap();
            sql.close().await.unwrap();
        });
        let said = server.refuses_to_start();
        assert!(said.err.contains(file) && said.err.contains("start 1.2.3 or a newer one"), "{}", said.err);
    }
}

/// The sender is newer than this server and says so: what it ends is ended, whatever else it says of it.
#[test]
fn a_licensing_system_that_speaks_a_later_version_takes_away_with_words_that_are_not_known() {
    let server = Server::start();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    let said = |state: &str, schema: Option<&str>| {
        let mut event = cloud_event(&server.event("flexnet entitlement.upserted ENT-7 account=globex state=active"));
        event["data"] = json!({"entitlement": "ENT-7", "account": "globex", "state": state, "dispute": {"by": "x"}});
        if let Some(schema) = schema {
            event["dataschema"] = json!(schema);
        }
        let answer = server.post_json("application/cloudevents+json", &event).expect(202).json();
        if let Some(position) = answer["events"][0]["position"].as_u64() {
            server.reached(position);
        }
        answer["quarantined"].as_u64().unwrap()
    };
    // Without a word of another version it is a slip: nobody's access changes, and it is a problem.
    assert_eq!(said("in_dispute", None), 1);
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    assert!(server.cli(&["problems"]).out.contains("quarantined"));
    let later = Some("https://rollcall.example/rollcall.entitlement.upserted.v1.1.json");
    assert_eq!(said("in_dispute", later), 0);
    assert_eq!(server.granted("ada", &secret, "acme/x"), [""; 0]);
    assert!(server.cli(&["problems"]).out.contains("unknown_state"));
    assert_eq!(said("active", later), 0);
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    assert!(!server.cli(&["problems"]).out.contains("unknown_state"));
    // What it must not pass over has another type, and is told as that.
    let mut event = cloud_event(&server.event("flexnet entitlement.upserted ENT-7 account=globex state=active"));
    event["type"] = json!("rollcall.entitlement.upserted.v2");
    let answer = server.post_json("application/cloudevents+json", &event).expect(202).json();
    let delivery = answer["delivery"].as_str().unwrap();
    let shown = server.get(&format!("/api/v1/deliveries/{delivery}")).expect(200).text;
    assert!(shown.contains("upgrade Rollcall, or send `rollcall.entitlement.upserted.v1`"), "{shown}");
}
