//! Licensing systems that speak a JSON of their own, through the hook: what their mappings make of it, who has what by it,
//! and what does not fit.

use std::fs;

use serde_json::{Value, json};

use crate::support::{server::Server, wait_for};

const PASSWORD: &str = "portal:a password of many words";

/// A portal without ids and without an order.
const PORTAL: &str = r#"
[source.portal]
kind = "mapped"
authentication = "basic"
secret_file = "portal.secret"
time_zone = "Europe/Berlin"
require = ["payload.tenant == 'live'"]

[[source.portal.map]]
when = "payload.event == 'account'"
emit = "account.upserted"
fields.account = "payload.id"
fields.kind = "payload.kind"

[[source.portal.map]]
when = "payload.event == 'user'"
emit = "person.upserted"
fields.person = "payload.id"
fields.username = "payload.login"
fields.account = "payload.account"
fields.active = "true"
fields.personal = "{'email': payload.mail}"

[[source.portal.map]]
when = "payload.event == 'package'"
emit = "package.upserted"
fields.package = "payload.id"
fields.project_name = "payload.id"
fields.producer = "payload.producer"
fields.container_delivery = "true"

[[source.portal.map]]
when = "payload.event == 'product'"
emit = "product.upserted"
fields.product = "payload.id"

[[source.portal.map]]
when = "payload.event == 'delivers'"
emit = "package.product.mapped"
fields.package = "payload.package"
fields.product = "payload.product"

[[source.portal.map]]
when = "payload.event == 'delivers-no-more'"
emit = "package.product.unmapped"
fields.package = "payload.package"
fields.product = "payload.product"

[[source.portal.map]]
when = "payload.event == 'licence'"
emit = "entitlement.upserted"
fields.entitlement = "payload.id"
fields.account = "payload.account"
fields.state = "{'ENABLED': 'active', 'ENDED': 'inactive'}[payload.state]"

[[source.portal.map]]
when = "payload.event == 'licence'"
for_each = "payload.lines"
emit = "entitlement.line.upserted"
fields.line = "payload.id + '/' + item.product"
fields.entitlement = "payload.id"
fields.product = "item.product"
fields.starts = "day_start(item.from)"
fields.ends = "never(item.to) ? null : day_end(item.to)"

[[source.portal.map]]
when = "payload.event == 'ping'"
ignore = true
"#;

/// A server with the portal, started.
fn portal(more: &str) -> Server {
    let mut server = Server::prepared(&format!("{PORTAL}{more}"));
    server.dir.write("portal.secret", PASSWORD);
    server.go();
    server
}

fn post(server: &Server, source: &str, password: &str, body: &str) -> crate::support::api::Answer {
    let (user, password) = password.split_once(':').unwrap();
    let request = server.http.post(&server.url(&format!("/hooks/{source}"))).basic_auth(user, Some(password));
    server.http.send(request.header("content-type", "application/json").body(body.to_owned()))
}

/// Posts what the portal says, waits until it counts, and gives the answer.
#[track_caller]
fn says(server: &Server, mut body: Value) -> Value {
    body["tenant"] = "live".into();
    let answer = post(server, "portal", PASSWORD, &body.to_string()).expect(202).json();
    for event in answer["events"].as_array().unwrap() {
        server.reached(event["position"].as_u64().unwrap());
    }
    answer
}

fn outcomes(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["outcome"].as_str().unwrap()).collect()
}

fn licence(id: &str, state: &str, lines: Value) -> Value {
    json!({"event": "licence", "id": id, "account": "globex", "state": state, "lines": lines})
}

/// Ada of Globex is entitled to acme by L-1.
fn world(server: &Server) {
    for said in [
        json!({"event": "account", "id": "vendor", "kind": "producer"}),
        json!({"event": "account", "id": "globex", "kind": "customer"}),
        json!({"event": "user", "id": "u1", "login": "ada", "account": "globex", "mail": "ada@globex.example"}),
        json!({"event": "product", "id": "DB"}),
        json!({"event": "package", "id": "acme", "producer": "vendor"}),
        json!({"event": "delivers", "package": "acme", "product": "DB"}),
        licence("L-1", "ENABLED", json!([{"product": "DB", "from": "2026-01-01", "to": "9999-12-31"}])),
    ] {
        let answer = says(server, said);
        assert_eq!(answer["quarantined"], 0, "{answer}");
    }
}

/// The parts of a delivery that are in quarantine, as `type pointer`.
fn quarantined(server: &Server, answer: &Value) -> Vec<String> {
    let path = format!("/api/v1/deliveries/{}", answer["delivery"].as_str().unwrap());
    let kept = wait_for("the delivery to be settled", || {
        let kept = server.get(&path).expect(200).json();
        (kept["verdict"] != "pending").then_some(kept)
    });
    let problems = kept["parts"].as_array().unwrap().iter().filter_map(|part| part["problem"].as_object());
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    problems.map(|problem| format!("{} {}", word(&problem["type"]), word(&problem["pointer"]))).collect()
}

fn may_pull(server: &Server, user: &str) -> bool {
    match server.cli(&["why", user, "pull", "acme/db"]) {
        said if said.code == 0 => true,
        said if said.code == 1 => false,
        said => panic!("{said:?}"),
    }
}

/// E1
#[test]
fn a_documented_notification_gives_its_line_and_a_header_only_update_takes_nothing() {
    let samples =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors/entitlements/testdata/mapped/flexnet");
    let besides = fs::read_to_string(samples.join("mapping.toml")).unwrap();
    let mut server = Server::prepared(&format!(
        "[source.fno]\nkind = \"mapped\"\nmapping = \"flexnet\"\nauthentication = \"basic\"\nsecret_file = \"fno.secret\"\n{besides}"
    ));
    server.dir.write("fno.secret", "fno:0123456789abcdef");
    server.go();
    let sample = |name: &str| {
        let body = fs::read_to_string(samples.join(name)).unwrap();
        post(&server, "fno", "fno:0123456789abcdef", &body).expect(202).json()
    };
    let line = sample("1-entitlement.json");
    assert_eq!((outcomes(&line), &line["quarantined"]), (vec!["recorded"], &json!(0)));
    let header_only = sample("2-header-only.json");
    assert_eq!((outcomes(&header_only), &header_only["quarantined"]), (vec![], &json!(0)));
    assert_eq!(quarantined(&server, &header_only), [""; 0]);
    assert_eq!(outcomes(&sample("1-entitlement.json")), ["duplicate"], "it comes again");
    let events = server.pages("/api/v1/events?source=fno");
    let subjects: Vec<_> = events.iter().map(|event| event["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["line/ACT-1"], "the line is kept");
    let partly = sample("3-ends.json");
    assert_eq!(outcomes(&partly), ["recorded"], "one line that cannot be read touches no other");
    let told = ["expression-failed /eventBody/lineItems/1/copies", "expression-failed /eventBody/lineItems/2"];
    assert_eq!(quarantined(&server, &partly), told);
    assert_eq!(quarantined(&server, &sample("6-other-tenant.json")), ["requirement-not-met /eventHeader/tenant"]);
    assert_eq!(quarantined(&server, &sample("7-unknown-event.json")), ["unmapped "]);
}

/// E2
#[test]
fn an_entitlement_that_ends_takes_the_right_at_the_next_token_and_leaves_the_user() {
    let server = portal("");
    world(&server);
    let secret = server.secret_for("ada");
    assert_eq!(server.granted("ada", &secret, "acme/db"), ["pull"]);
    says(&server, licence("L-1", "ENDED", json!([])));
    assert_eq!(server.granted("ada", &secret, "acme/db"), [""; 0]);
    assert_eq!(server.get("/api/v1/users/ada").expect(200).json()["name"], "ada");
    says(&server, licence("L-1", "ENABLED", json!([])));
    assert_eq!(server.granted("ada", &secret, "acme/db"), ["pull"], "its line was never taken away");
}

/// E10: the sender gives no ids, and the first and the third body are the same bytes.
#[test]
fn a_package_that_is_mapped_unmapped_and_mapped_again_is_open_closed_and_open() {
    let server = portal("");
    world(&server);
    let (delivers, no_more) = ("delivers", "delivers-no-more");
    let said = |event: &str| says(&server, json!({"event": event, "package": "acme", "product": "DB"}));
    assert_eq!(outcomes(&said(delivers)), ["duplicate"], "it only comes again");
    assert_eq!((outcomes(&said(no_more)), may_pull(&server, "ada")), (vec!["recorded"], false));
    assert_eq!(outcomes(&said(no_more)), ["duplicate"]);
    let third = said(delivers);
    assert_eq!((outcomes(&third), may_pull(&server, "ada")), (vec!["recorded"], true), "the third fact is new");
    let again = said(delivers);
    assert_eq!(
        (outcomes(&again), &again["events"][0]["position"]),
        (vec!["duplicate"], &third["events"][0]["position"])
    );
}

/// E13
#[test]
fn what_a_mapping_does_not_know_waits_until_it_is_mended_and_then_counts_as_if_it_had_been_known() {
    let mut server = portal("");
    world(&server);
    says(&server, licence("L-1", "ENDED", json!([])));
    assert!(!may_pull(&server, "ada"));
    let line = json!([{"product": "DB", "from": "2026-01-01"}]);
    let sold = says(&server, licence("L-2", "SOLD", line));
    assert_eq!(
        (outcomes(&sold), quarantined(&server, &sold)),
        (vec!["recorded"], vec!["expression-failed /state".to_owned()])
    );
    let unknown = says(&server, json!({"event": "audit"}));
    assert_eq!(quarantined(&server, &unknown), ["unmapped "]);
    assert_eq!(quarantined(&server, &says(&server, json!({"event": "ping"}))), [""; 0], "known, and means nothing");
    assert!(!may_pull(&server, "ada"), "an unknown word is never guessed");
    let config = fs::read_to_string(server.dir.join("rollcall.toml")).unwrap();
    let mended = config.replace("{'ENABLED': 'active',", "{'ENABLED': 'active', 'SOLD': 'active',");
    server.dir.write("rollcall.toml", mended);
    server.restart();
    let replay = |delivery: &Value| {
        let path = format!("/api/v1/deliveries/{}/replay", delivery["delivery"].as_str().unwrap());
        let answer = server.post(&path, &json!({})).expect(200).json();
        answer["events"]
            .as_array()
            .unwrap()
            .iter()
            .for_each(|event| server.reached(event["position"].as_u64().unwrap()));
        answer
    };
    let replayed = replay(&sold);
    assert_eq!(
        (outcomes(&replayed), &replayed["quarantined"]),
        (vec!["recorded", "duplicate"], &json!(0)),
        "{replayed}"
    );
    assert!(may_pull(&server, "ada"));
    assert_eq!(outcomes(&replay(&sold)), ["duplicate", "duplicate"], "it is re-driven once");
}

#[test]
fn who_shows_nothing_or_another_password_is_refused_and_nothing_personal_reaches_the_log() {
    let server = portal(
        "[source.open]\nkind = \"mapped\"\nauthentication = \"none\"\n[[source.open.map]]\nemit = \"product.upserted\"\nfields.product = \"payload.p\"\n",
    );
    let url = server.url("/hooks/portal");
    let refused = |request: reqwest::RequestBuilder| server.http.send(request.body("{}")).expect(401).text;
    assert!(refused(server.http.post(&url)).contains("send the source's user and password"));
    assert!(refused(server.http.post(&url).bearer_auth("a password of many words")).contains("in it `Basic`"));
    assert!(refused(server.http.post(&url).basic_auth("portal", Some("another"))).contains("none of the source's"));
    let open = server.http.post(&server.url("/hooks/open")).body(r#"{"p": "X"}"#);
    assert_eq!(outcomes(&server.http.send(open).expect(202).json()), ["recorded"]);
    world(&server);
    let log = server.pages("/api/v1/events?source=portal&limit=100");
    assert!(!log.is_empty() && !json!(log).to_string().contains("ada@globex.example"));
}

#[test]
fn a_mapping_is_tried_without_a_server_and_its_mistakes_are_told_where_they_stand() {
    // Neither its secret is there, nor is anything else of the configuration as it should be.
    let server = Server::prepared(&format!("{PORTAL}[source.other]\nkind = \"nothing\"\n[sevrer]\nx = 1\n"));
    let good = licence("L-1", "ENABLED", json!([{"product": "DB", "from": "2026-01-01"}]));
    let sample = |name: &str, mut body: Value| {
        body["tenant"] = "live".into();
        server.dir.write(name, body.to_string());
    };
    sample("good.json", good);
    sample("ping.json", json!({"event": "ping"}));
    sample("odd.json", licence("L-1", "SOLD", json!([{"product": "DB", "from": "2026-01-01"}])));
    let said = server.cli(&["map", "test", "--source", "portal", "--sample", "good.json"]);
    assert!(
        said.code == 0 && said.out.contains("line/L-1/DB") && said.out.contains("2025-12-31T23:00:00Z"),
        "{said:?}"
    );
    let said = server.cli(&["map", "test", "--source", "portal", "--sample", "ping.json"]);
    assert!(said.code == 0 && said.out.contains("no fact, 0 quarantined: it is ignored"), "{said:?}");
    let said = server.cli(&["map", "test", "--source", "portal", "--sample", "good.json", "odd.json"]);
    assert!(said.code == 1 && said.out.contains("✗ expression-failed  /state"), "{said:?}");
    let said = server.cli(&["--json", "map", "test", "--source", "portal", "--sample", "odd.json"]);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &told[0]["quarantined"][0]["problem"]["pointer"]), (1, &json!("/state")));
    assert_eq!(told[0]["facts"][0]["subject"], "line/L-1/DB");
    for (args, tells) in
        [(["portl", "good.json"], "the nearest is `portal`"), (["portal", "none.json"], "cannot be read")]
    {
        let said = server.cli(&["map", "test", "--source", args[0], "--sample", args[1]]);
        assert!(said.code == 2 && said.err.contains(tells), "{said:?}");
    }
    let shown = server.cli(&["map", "show", "keygen"]).ok();
    assert!(shown.contains("json_texts = [\"/data/attributes/payload\"]"), "{shown}");
    assert!(server.cli(&["map", "show", "strip"]).err.contains("the nearest is `stripe`"));
    let config = fs::read_to_string(server.dir.join("rollcall.toml")).unwrap();
    let line = |text: &str| config.lines().position(|line| line.contains(text)).unwrap() + 1;
    server
        .dir
        .write("rollcall.toml", config.replace("fields.product = \"item.product\"", "fields.prodct = \"itm.product\""));
    let said = server.cli(&["config", "check"]);
    let place = format!("rollcall.toml:{}:", line("fields.product = \"item.product\""));
    assert!(said.code == 1 && said.out.contains(&place), "{place} {said:?}");
    let tried = server.cli(&["map", "test", "--source", "portal", "--sample", "good.json"]);
    assert!(tried.code == 2 && tried.err.contains(&place) && !tried.err.contains("sevrer"), "{tried:?}");
    for told in ["has no `prodct`, did you mean `product`?", "there is no variable `itm`, did you mean `item`?"] {
        assert!(said.out.contains(told) && tried.err.contains(told), "{told}: {said:?} {tried:?}");
    }
}
