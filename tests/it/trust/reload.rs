//! Another secret or certificate counts without a restart, and one that cannot be used changes nothing.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::support::{
    api::{Secret, signed, unix_now},
    facts::cloud_event,
    server::{Server, WORLD},
    wait_for,
};

fn hang_up(server: &Server) {
    assert!(Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap().success());
}

/// What the hook answers to a fact that is signed with this secret.
fn post_with(server: &Server, secret: &Secret) -> u16 {
    let event = cloud_event(&server.event("flexnet account.upserted vendor kind=producer"));
    let request =
        server.http.post(&server.url("/hooks/flexnet")).header("content-type", "application/cloudevents+json");
    let body = event.to_string().into_bytes();
    server.http.send(signed(request, secret, &server.delivery_id(), unix_now(), body)).status
}

fn item<'a>(answer: &'a Value, what: &str) -> &'a Value {
    answer["items"].as_array().unwrap().iter().find(|item| item["what"] == what).unwrap_or_else(|| panic!("{answer}"))
}

fn uses(server: &Server) -> Vec<(String, bool)> {
    let sources = server.get("/api/v1/sources").expect(200).json();
    let source =
        sources["items"].as_array().unwrap().iter().find(|source| source["name"] == "flexnet").unwrap().clone();
    let one = |secret: &Value| (secret["fingerprint"].as_str().unwrap().to_owned(), !secret["last_used"].is_null());
    source["secrets"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_rotated_secret_counts_after_a_signal_and_it_is_shown_which_one_was_used_last() {
    let server = Server::start();
    server.say(WORLD);
    let (old, new) = (server.secret.clone(), Secret::new(7));
    assert_eq!(post_with(&server, &new), 401);
    server.dir.write("flexnet.secret", format!("{}\n{}\n", new.text(), old.text()));
    hang_up(&server);
    wait_for("the new secret to count", || (post_with(&server, &new) == 202).then_some(()));
    let [(current, used), (previous, old_used)] = &uses(&server)[..] else { panic!("two secrets") };
    assert!(*used && *old_used, "the use of the old one was before the signal and is remembered");
    assert_ne!(current, previous);
    let shown = server.cli(&["sources", "show", "flexnet"]).ok();
    assert!(shown.contains(&format!("current secret {current}: last used 2")), "{shown}");
    assert!(shown.contains(&format!("previous secret 1 {previous}: last used 2")), "{shown}");
    assert!(!shown.contains("whsec_") && !server.log().contains("whsec_"));
    assert_eq!(post_with(&server, &old), 202, "both count in a rotation");

    server.dir.write("flexnet.secret", format!("{}\n", new.text()));
    let said = server.cli(&["reload"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("source flexnet: reloaded"), "{}", said.out);
    assert_eq!((post_with(&server, &old), post_with(&server, &new)), (401, 202));
    assert_eq!(uses(&server).len(), 1);
}

#[test]
fn a_secret_that_cannot_be_used_leaves_the_old_one_and_every_other_is_read_all_the_same() {
    let mut server = Server::prepared("[source.second]\nsecret_file = \"second.secret\"\n");
    server.dir.write("second.secret", Secret::new(3).text());
    server.go();
    server.dir.write("flexnet.secret", "hunter2\n");
    server.dir.write("second.secret", Secret::new(4).text());
    let answer = server.post("/api/v1/reload", &json!({})).expect(200).json();
    assert_eq!(item(&answer, "source flexnet")["outcome"], "kept");
    let why = item(&answer, "source flexnet")["detail"].as_str().unwrap();
    assert!(
        why.contains("rollcall.toml:") && why.contains("line 1 is not a secret") && !why.contains("hunter2"),
        "{why}"
    );
    assert_eq!(item(&answer, "source second")["outcome"], "reloaded");
    assert_eq!(post_with(&server, &server.secret), 202);
    assert_ne!(server.cli(&["reload"]).code, 0, "something is not as it should be");
    fs::remove_file(server.dir.join("flexnet.secret")).unwrap();
    hang_up(&server);
    wait_for("the log to say so", || server.log().contains("cannot be used").then_some(()));
    assert_eq!(post_with(&server, &server.secret), 202);
    server.stop();
}

#[test]
fn two_sources_may_take_each_others_secret_at_once_and_never_have_one_together() {
    let mut server = Server::prepared("[source.second]\nsecret_file = \"second.secret\"\n");
    let (one, two, three) = (server.secret.clone(), Secret::new(3), Secret::new(4));
    server.dir.write("second.secret", two.text());
    server.go();
    let reload = |first: &Secret, second: &Secret| {
        server.dir.write("flexnet.secret", first.text());
        server.dir.write("second.secret", second.text());
        let answer = server.post("/api/v1/reload", &json!({})).expect(200).json();
        ["source flexnet", "source second"].map(|what| item(&answer, what)["outcome"].as_str().unwrap().to_owned())
    };
    assert_eq!(reload(&two, &one), ["reloaded", "reloaded"]);
    assert_eq!((post_with(&server, &two), post_with(&server, &one)), (202, 401));
    // One secret for both: the first by name keeps its own, which the other then cannot have either.
    assert_eq!(reload(&three, &three), ["kept", "reloaded"]);
    assert_eq!((post_with(&server, &two), post_with(&server, &three)), (202, 401));
    assert_eq!(reload(&three, &two), ["reloaded", "reloaded"]);
    assert_eq!(reload(&three, &three), ["unchanged", "kept"]);
    assert_eq!(post_with(&server, &three), 202);
}

#[test]
fn the_key_of_the_administrator_is_read_anew_and_the_former_one_is_over() {
    let server = Server::start();
    let former = server.admin_key();
    let ask = |key: &str| server.http.send(server.http.get(&server.url("/api/v1/users")).bearer_auth(key)).status;
    fs::write(server.data("admin.key"), "rk_another_key_of_the_administrator\n").unwrap();
    hang_up(&server);
    wait_for("the new key to count", || (ask("rk_another_key_of_the_administrator") == 200).then_some(()));
    assert_eq!(ask(&former), 401);
    fs::write(server.data("admin.key"), "short\n").unwrap();
    let request = server.http.post(&server.url("/api/v1/reload")).bearer_auth("rk_another_key_of_the_administrator");
    let request = request.header("content-type", "application/json").body("{}");
    let answer = server.http.send(request).expect(200).json();
    assert_eq!(item(&answer, "admin key")["outcome"], "kept", "{answer}");
    assert_eq!(ask("rk_another_key_of_the_administrator"), 200);
}

#[test]
fn what_needs_a_restart_is_named_and_changes_nothing() {
    let server = Server::start();
    let path = server.dir.join("rollcall.toml");
    let text = fs::read_to_string(&path).unwrap();
    server.dir.write("rollcall.toml", format!("{text}[access]\nbindings_on_managed = true\n[token]\nttl = \"2m\"\n"));
    let answer = server.post("/api/v1/reload", &json!({})).expect(200).json();
    assert_eq!(answer["restart"], json!(["access.bindings_on_managed", "token.ttl"]), "{answer}");
    assert_eq!(item(&answer, "source flexnet")["outcome"], "unchanged");
    server.dir.write("rollcall.toml", format!("{text}[access.switches]\npush_polcy = \"x\"\n"));
    let said = server.cli(&["--server", &server.url(""), "reload"]);
    assert_ne!(said.code, 0, "the command reads the same file");
    hang_up(&server);
    wait_for("the log to name the mistake", || server.log().contains("push_polcy").then_some(()));
    server.get("/api/v1/users").expect(200);
}

#[test]
fn only_an_administrator_may_have_anything_read_anew() {
    let server = Server::start();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    for key in [secret.as_str(), "rk_wrong_key_of_an_administrator", ""] {
        let request = server.http.post(&server.url("/api/v1/reload")).bearer_auth(key);
        let answer = server.http.send(request.header("content-type", "application/json").body("{}"));
        assert!([401, 403].contains(&answer.status), "{answer:?}");
    }
}
