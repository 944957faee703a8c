//! `why` and `who` take what the customer pasted; nearest names are told to whoever may know them.

use std::process::Command;

use serde_json::json;

use crate::support::{
    run,
    server::{BINARY, Server, WORLD},
    wait_for,
};

fn world() -> Server {
    let server = Server::start_with("\n[token]\nregistry = \"registry.example.com:5000\"\n");
    server.say(WORLD);
    server
}

/// The decision of a pull that is refused with its reason, and the message.
fn refused(server: &Server) -> (String, String) {
    let secret = server.secret_for("ada");
    server.say("flexnet entitlement.upserted ENT-7 account=globex state=inactive");
    let url = server.url("/token?service=rollcall&scope=repository:acme/db:pull");
    let request = server.http.get(&url).basic_auth("ada", Some(&secret)).header("user-agent", "docker/27.0");
    let told = server.http.send(request).expect(403).json();
    let message = told["errors"][0]["message"].as_str().unwrap().to_owned();
    let id = message.rsplit('[').next().unwrap().trim_end_matches(']').to_owned();
    wait_for("the decision", || {
        let path = format!("/api/v1/decisions/{id}");
        (server.http.send(server.http.get(&server.url(&path)).bearer_auth(server.admin_key())).status == 200)
            .then_some(())
    });
    (id, message)
}

#[test]
fn why_takes_an_image_as_clients_write_it_and_says_what_was_read() {
    let server = world();
    let digest = format!("sha256:{}", "0a".repeat(32));
    for image in [
        "registry.example.com:5000/acme/db:1.2".to_owned(),
        format!("registry.example.com:5000/acme/db:1.2@{digest}"),
        format!("acme/db@{digest}"),
        "docker://registry.example.com:5000/acme/db".to_owned(),
        "oci://registry.example.com:5000/acme/db".to_owned(),
    ] {
        let said = server.cli(&["why", "ada", "pull", &image]).ok();
        assert!(said.starts_with("read as: may ada pull acme/db?\nYES"), "{image}: {said}");
        let said = server.cli(&["who", &image]).ok();
        assert!(said.starts_with("read as: who is in acme?\nUSER") && said.contains("ada"), "{image}: {said}");
    }
    let said = server.cli(&["why", "ada", "pull", "elsewhere.test/acme/db"]).ok();
    assert!(said.contains("note: elsewhere.test is left away; the registry of this server is registry"), "{said}");
    // What is asked in plain words is answered as ever.
    assert!(server.cli(&["why", "ada", "pull", "acme/db"]).ok().starts_with("YES"));
    // A project may look like a host.
    server.say("flexnet package.upserted dotted producer=vendor project_name=my.project");
    let said = server.cli(&["why", "pia", "push", "my.project/x"]).ok();
    assert!(said.contains("my.project is a project here") && said.contains("YES"), "{said}");
    // For programs the answer alone is on standard output.
    let said = server.cli(&["why", "ada", "pull", "docker://acme/db", "--json"]);
    assert!(said.out.starts_with('{') && said.err.contains("read as"), "{} {}", said.out, said.err);
}

#[test]
fn why_takes_what_a_client_said_and_a_decision_and_a_delivery() {
    let server = world();
    let (id, message) = refused(&server);
    let host = "registry.example.com:5000";
    for text in [
        format!("Error response from daemon: pull access denied for {host}/acme/db, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"),
        format!("Failed to pull image \"{host}/acme/db:1\": failed to resolve reference \"{host}/acme/db:1\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"),
        format!("Error: initializing source docker://{host}/acme/db:1: Requesting bearer token: invalid status code from registry 403 (Forbidden)"),
        "failed to fetch oauth token: unexpected status from GET request to https://rollcall.test/token?scope=repository%3Aacme%2Fdb%3Apull&service=rollcall: 403 Forbidden".to_owned(),
        format!("docker pull {host}/acme/db:1"),
    ] {
        let said = server.cli(&["why", "ada", &text]);
        assert_eq!(said.code, 1, "{text}: {} {}", said.out, said.err);
        assert!(said.out.starts_with("read as: may ada pull acme/db?\nNO"), "{text}: {}", said.out);
        assert!(said.out.contains("ENT-7"), "{}", said.out);
    }
    let said = server.cli(&["why", "ada", &format!("docker pull {host}/acme/db; docker pull {host}/zeta/db")]);
    assert!(said.out.contains("note: zeta/db stands there too, and was not asked about"), "{}", said.out);
    let said = server.cli(&["why", "ada", "docker", "push", &format!("{host}/acme/db")]);
    assert!(said.out.starts_with("read as: may ada push acme/db?\nNO"), "{} {}", said.out, said.err);
    // Our own refusal carries its decision, which says who and what.
    for text in [format!("Error response from daemon: denied: {message}"), id.clone(), id[..20].to_owned()] {
        let said = server.cli(&["why", &text]);
        assert_eq!(said.code, 1, "{text}: {}", said.err);
        assert!(said.out.starts_with(&format!("read as: decision {id}, in which ada asked for")), "{}", said.out);
        assert!(said.out.contains("now: NO") && said.out.contains("ENT-7"), "{}", said.out);
        let said = server.cli(&["who", &text]).ok();
        assert!(said.starts_with("read as: who is in acme?"), "{said}");
    }
    // From a pipe.
    let script = format!(
        "printf %s 'The push refers to repository [{host}/acme/db]\ndenied: requested access' | {BINARY} --config rollcall.toml why ada -"
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(server.dir.path()).env("NO_COLOR", "1");
    let said = run(&mut shell, &server.dir);
    assert!(said.out.starts_with("read as: may ada push acme/db?\nNO"), "{} {}", said.out, said.err);
    // A delivery: what became of it.
    let delivery = server.pages("/api/v1/deliveries?limit=1").remove(0)["id"].as_str().unwrap().to_owned();
    let said = server.cli(&["why", &delivery]).ok();
    assert!(said.starts_with("read as: what became of delivery") && said.contains("applied"), "{said}");
    server.post_json(
        "application/cloudevents+json",
        &json!({"specversion": "1.0", "id": "x", "type": "rollcall.nothing.v1", "source": "x"}),
    );
    let delivery = server.pages("/api/v1/deliveries?limit=1").remove(0)["id"].as_str().unwrap().to_owned();
    let said = server.cli(&["why", &delivery]);
    assert!(said.code == 1 && said.out.contains("the event has no data"), "{} {}", said.out, said.err);
    // What says too little is told so, and what is no question.
    for (text, told) in [
        (format!("docker pull {host}/acme/db"), "does not say"),
        ("unauthorized: authentication required".to_owned(), "rollcall sign-ins USER"),
        ("good morning".to_owned(), "nothing in that names an image"),
    ] {
        let said = server.cli(&["why", &text]);
        assert!(said.code == 2 && said.err.contains(told), "{text}: {}", said.err);
    }
    let said = server.cli(&["why", "docker", "pull", "acme/db"]);
    assert!(said.err.contains("stands behind the user"), "{}", said.err);
    server.token("ada", "wrong", "");
    wait_for("the refused sign-in", || {
        let said = server.cli(&["why", "ada", "unauthorized: incorrect username or password"]);
        (said.code == 1 && said.out.contains("wrong_")).then_some(())
    });
}

#[test]
fn the_nearest_names_are_told_to_whoever_may_know_them_and_to_nobody_else() {
    let server = world();
    server.cli(&["services", "create", "nightly"]).ok();
    server.cli(&["projects", "create", "kit"]).ok();
    for (args, near) in [
        (vec!["why", "adaa", "pull", "acme/db"], "ada"),
        (vec!["why", "ada", "pull", "acmee/db"], "acme"),
        (vec!["who", "acmr"], "acme"),
        (vec!["users", "show", "piaa"], "pia"),
        (vec!["projects", "show", "flexnet/db-suit"], "flexnet/db-suite"),
        (vec!["services", "show", "nightlly"], "nightly"),
        (vec!["users", "list", "--account", "globx"], "globex"),
        (vec!["events", "tail", "--source", "flexnt"], "flexnet"),
        (vec!["events", "tail", "--type", "entitlment.upserted"], "entitlement.upserted"),
        (vec!["bindings", "set", "user:adaa", "Guest", "project:kit"], "ada"),
        (vec!["bindings", "set", "user:ada", "Gest", "project:kit"], "Guest"),
        (vec!["bindings", "set", "user:ada", "Guest", "project:kitt"], "kit"),
    ] {
        let said = server.cli(&args);
        assert!(said.code != 0 && said.err.contains(&format!("Did you mean `{near}`")), "{args:?}: {}", said.err);
    }
    server.dir.write("ada.key", server.secret_for("ada"));
    let key = server.dir.join("ada.key");
    for args in [
        vec!["why", "piaa", "pull", "acme/db"],
        vec!["why", "pia", "pull", "acme/db"],
        vec!["users", "show", "piaa"],
        vec!["users", "show", "pia"],
        vec!["services", "show", "nightlly"],
    ] {
        let said = server.cli(&[args.clone(), vec!["--token-file", key.to_str().unwrap()]].concat());
        assert!(said.code == 1 && !said.err.contains("mean"), "{args:?}: {}", said.err);
    }
    for (kind, name) in
        [("user", "piaa"), ("service", "nightlly"), ("account", "globx"), ("source", "flexnt"), ("group", "x")]
    {
        let url = server.url(&format!("/api/v1/nearest?kind={kind}&name={name}"));
        let secret = std::fs::read_to_string(&key).unwrap();
        let told = server.http.send(server.http.get(&url).bearer_auth(secret)).expect(200).json();
        assert_eq!(told["items"], json!([]), "{kind}");
    }
    // What they see they are told.
    let said = server.cli(&["why", "ada", "pull", "acmee/db", "--token-file", key.to_str().unwrap()]);
    assert!(said.err.contains("Did you mean `acme`?"), "{}", said.err);
}
