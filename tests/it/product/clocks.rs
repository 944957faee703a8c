//! A machine's clock that lies: it decides nothing, records nothing that it can be caught at, and what it recorded all the
//! same is mended by whoever says so.

use serde_json::json;

use crate::support::{
    false_clock::FalseClock,
    server::{Server, WORLD},
    wait_for,
};

fn why_not_ready(server: &Server) -> Option<String> {
    let answer = server.http.try_send(server.http.get(&server.url("/readyz"))).ok()?;
    (answer.status == 503).then_some(answer.text)
}

/// One record of a clock that was a year ahead must not own the log for a year.
#[test]
fn a_log_that_is_a_year_ahead_is_mended_by_whoever_says_that_the_clock_is_right() {
    let mut server = Server::prepared("");
    let clock = FalseClock::compile(&server.dir);
    clock.set(365);
    let command = clock.around(server.command());
    server.go_as(command);
    server.post("/api/v1/services", &json!({"id": "early"})).expect(201);
    server.stop();

    let command = server.command();
    server.go_unready(command);
    let said = wait_for("an answer", || why_not_ready(&server));
    assert_eq!(said, "[-] clock\nnot ready\n");
    let detail = server.get("/readyz?verbose").text;
    assert!(detail.contains("rollcall log mend-clock"), "{detail}");
    let lied = server.say(WORLD);
    let secret = server.secret_for("ada");
    assert_eq!(server.token("ada", &secret, "&scope=repository:acme/x:pull").status, 503);
    let busy = server.cli(&["log", "mend-clock"]);
    assert!(busy.code == 3 && busy.err.contains("in use"), "{busy:?}");
    let head = server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap();
    server.stop();

    let shown = server.cli(&["log", "mend-clock"]);
    assert!(
        shown.code == 1 && shown.out.contains("ahead") && shown.out.contains(&format!("--confirm {head}")),
        "{shown:?}"
    );
    let wrong = server.cli(&["log", "mend-clock", "--confirm", "1"]);
    assert!(wrong.code == 1 && wrong.err.contains("look again"), "{wrong:?}");
    let mended = server.cli(&["log", "mend-clock", "--confirm", &head.to_string()]);
    assert_eq!(mended.code, 0, "{mended:?}");
    assert_eq!(server.cli(&["log", "mend-clock"]).code, 0, "once is enough");

    server.go();
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    let event = |position: u64| server.get(&format!("/api/v1/events/{position}")).expect(200).json();
    assert_eq!(event(head + 2)["type"], "rollcall.log.clock.mended.v1");
    let late = server.say("flexnet product.upserted OTHER");
    let time = |position: u64| event(position)["recorded_at"].as_str().unwrap().to_owned();
    assert!(time(late) >= time(head + 2) && time(late) < time(lied), "time is counted again");
    for checked in [&["verify"][..], &["projection", "check"]] {
        assert_eq!(server.cli(checked).code, 0, "{checked:?} {:?}", server.cli(checked));
    }
    // The past is found across it, and says where the clock lied.
    let then = server.cli(&["why", "ada", "pull", "acme", "--as-of", &lied.to_string()]);
    assert!(then.code == 0 && then.out.contains(&format!("mended at position {}", head + 2)), "{then:?}");
    let now = server.cli(&["why", "ada", "pull", "acme", "--as-of", &time(late)]);
    assert!(now.code == 0 && !now.out.contains("mended"), "{now:?}");
    let before = server.cli(&["why", "ada", "pull", "acme", "--as-of", "2h ago"]);
    assert!(before.code == 2 && before.err.contains("before anything"), "{before:?}");
    let told = server.cli(&["diff", "acme", &(lied - 1).to_string()]);
    assert!(told.code <= 1 && !told.err.contains("exchange"), "{told:?}");
    server.restart();
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    server.stop();
}

#[test]
fn a_clock_that_jumps_decides_and_records_nothing_until_it_is_set_right() {
    let mut server = Server::prepared("");
    let clock = FalseClock::compile(&server.dir);
    let command = clock.around(server.command());
    server.go_as(command);
    server.say(WORLD);
    let secret = server.secret_for("ada");
    let head = || server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap();
    let before = head();
    clock.set(365);
    let refused = server.post("/api/v1/services", &json!({"id": "ci"}));
    assert!(refused.status == 503 && refused.text.contains("ahead of what it can say"), "{refused:?}");
    assert_eq!(server.token("ada", &secret, "&scope=repository:acme/x:pull").status, 503);
    assert!(why_not_ready(&server).is_some_and(|said| said.contains("[-] clock\n")));
    assert_eq!(head(), before);
    clock.set(0);
    assert!(server.is_ready());
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    server.post("/api/v1/services", &json!({"id": "ci"})).expect(201);
    server.stop();

    // Nor does it start so.
    clock.set(365);
    let mut command = clock.around(server.command());
    let said = crate::support::run(command.env("NO_COLOR", "1"), &server.dir);
    assert!(said.code != 0 && said.err.contains("log mend-clock"), "{said:?}");
    server.go();
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"], "nothing was touched");
}
