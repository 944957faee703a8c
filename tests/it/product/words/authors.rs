//! Who caused what is told with events, differences and reports.

use serde_json::json;

use crate::support::server::{Server, WORLD};

#[test]
fn who_caused_it_is_told_with_events_differences_and_reports() {
    let server = Server::start_with("\n[access]\nbindings_on_managed = true\n");
    let before = server.say(WORLD);
    server.cli(&["bindings", "set", "user:pia", "api:administrator", "root"]).ok();
    server.dir.write("pia.key", server.secret_for("pia"));
    let key = server.dir.join("pia.key");
    server
        .cli(&["bindings", "set", "user:ada", "Developer", "project:acme", "--token-file", key.to_str().unwrap()])
        .ok();
    server.say("flexnet entitlement.upserted ENT-7 account=globex state=inactive");

    let tail = server.cli(&["events", "tail", "--type", "binding.set"]).ok();
    let lines: Vec<&str> = tail.lines().collect();
    assert!(lines[0].contains("by admin key") && lines[1].contains("by pia (user:flexnet/pia)"), "{tail}");
    let first = server.cli(&["events", "show", "1"]).ok();
    assert!(first.contains("the configuration"), "{first}");
    let event = server.pages("/api/v1/events?type=binding.set&limit=10").pop().unwrap();
    assert_eq!((&event["caused_by"]["kind"], &event["caused_by"]["name"]), (&json!("caller"), &json!("pia")));
    assert!(event["caused_by"]["secret"].as_str().unwrap().starts_with("sec_"), "{event}");
    let said = server.pages("/api/v1/events?type=entitlement.upserted&limit=10").pop().unwrap();
    assert_eq!(said["caused_by"], json!({"kind": "source", "by": "flexnet"}));

    let diff = server.cli(&["diff", "acme", &before.to_string()]);
    assert!(diff.out.contains("by pia (user:flexnet/pia)") && diff.out.contains("by source flexnet"), "{}", diff.out);
    let report = server.cli(&["who", "acme", "--csv"]).ok();
    assert!(report.lines().next().unwrap().contains(",events,by,until,"), "{report}");
    assert!(report.contains(",pia (user:flexnet/pia),") && report.contains(",source flexnet,"), "{report}");
}

/// Of a log of which most matters, the earlier moment is read in order; what somebody gave later with a secret of the own is
/// in the difference all the same.
#[test]
fn a_role_that_was_given_with_a_secret_is_in_the_difference_of_a_short_log() {
    let server = Server::start_with("\n[access]\nbindings_on_managed = true\n");
    let before = server.say(WORLD);
    server.cli(&["bindings", "set", "user:pia", "api:administrator", "root"]).ok();
    server.dir.write("pia.key", server.secret_for("pia"));
    let key = server.dir.join("pia.key");
    server.cli(&["bindings", "set", "user:max", "Guest", "project:acme", "--token-file", key.to_str().unwrap()]).ok();
    let diff = server.cli(&["diff", "acme", &before.to_string()]);
    assert!(diff.code == 1 && diff.out.starts_with("1 roles appeared, 0 disappeared"), "{}", diff.out);
    assert!(diff.out.contains("max") && diff.out.contains("Guest"), "{}", diff.out);
}
