//! What outsiders are called cannot steer a terminal, forge a line of a log or turn round what stands beside it.

use serde_json::{Value, json};

use crate::support::server::{Server, WORLD};

/// Control characters of both sets, what turns text round, what has no width.
const HIDDEN: &str = "x\u{7f}\u{85}\u{9b}31m\u{200b}\u{200e}\u{202e}\u{2066}\u{2028}\u{feff}y";

/// What of it stands in a text as it is.
fn raw(text: &str) -> String {
    let hidden = |c: &char| {
        HIDDEN.contains(*c) && !matches!(c, 'x' | 'y' | '3' | '1' | 'm') || (*c < ' ' && *c != '\n' && *c != '\r')
    };
    text.chars().filter(hidden).collect()
}

#[test]
fn no_command_prints_what_is_hidden_in_a_name_neither_for_people_nor_for_programs() {
    let server = Server::start();
    server.say(WORLD);
    // What cannot be read is kept as it came, and can be looked at.
    let event = json!([{"specversion": "1.0", "id": HIDDEN, "type": format!("rollcall.{HIDDEN}.v1"), "source": "x",
                        "subject": HIDDEN, "data": {HIDDEN: HIDDEN}}]);
    let answer = server.post_json("application/cloudevents-batch+json", &event).expect(202).json();
    let delivery = answer["delivery"].as_str().unwrap().to_owned();
    let kept = server.get(&format!("/api/v1/deliveries/{delivery}")).expect(200);
    assert!(kept.text.contains('\u{202e}'), "nothing hidden is kept any more: {}", kept.text);
    for args in [
        &["folders", "list"][..],
        &["services", "list"],
        &["secrets", "list", "ada"],
        &["events", "tail"],
        &["projects", "list"],
        &["deliveries", "list"],
        &["deliveries", "show", &delivery],
        &["deliveries", "replay", &delivery],
        &["sources"],
        &["who", "acme"],
        &["who", "acme", "--csv"],
        &["why", HIDDEN, "pull", "acme"],
        &["why", "ada", HIDDEN, "acme"],
        &["folders", "set", HIDDEN, "--kind", HIDDEN],
        &["sources", "show", HIDDEN],
        &["secrets", "list", HIDDEN],
        &["diff", HIDDEN, "1"],
        &["doctor"],
        &["config", "show"],
    ] {
        for json in [false, true] {
            if json && args.contains(&"--csv") {
                continue;
            }
            let more = if json { &["--json"][..] } else { &[] };
            let said = server.cli(&[args, more].concat());
            assert_eq!(raw(&said.out), "", "{args:?} prints {:?}", said.out);
            assert_eq!(raw(&said.err), "", "{args:?} says {:?}", said.err);
            if json && said.code == 0 {
                let parsed = said.out.lines().map(serde_json::from_str::<Value>).all(|line| line.is_ok());
                assert!(
                    parsed || serde_json::from_str::<Value>(&said.out).is_ok(),
                    "{args:?} is no JSON: {}",
                    said.out
                );
            }
        }
    }
    let shown = server.cli(&["--json", "deliveries", "show", &delivery]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!(shown.to_string().contains(&json!(HIDDEN).to_string()), "the same value: {shown}");
}

#[test]
fn no_line_of_the_log_has_what_is_hidden_in_what_outsiders_send() {
    let mut server = Server::start_with("[log]\nlevel = \"debug\"\n");
    let event = json!([{"specversion": "1.0", "id": HIDDEN, "type": format!("rollcall.{HIDDEN}.v1"), "source": HIDDEN,
                        "subject": HIDDEN, "data": {HIDDEN: HIDDEN}}]);
    server.post_json("application/cloudevents-batch+json", &event);
    server.token("ada\u{85}\u{202e}", "wrong", "&scope=repository:acme/db:pull");
    server.get("/api/v1/users/%C2%85%E2%80%AE/secrets");
    server.stop();
    let log = server.log();
    assert_eq!(raw(&log), "", "{log:?}");
    for line in log.lines().filter(|line| line.starts_with('{')) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}
