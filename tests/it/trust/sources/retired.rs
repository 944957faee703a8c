//! A source that is retired is so for ever: its name is typed, the plan is named where it takes from many, and nothing that it
//! says later counts, with that reason.

use serde_json::{Value, json};

use crate::support::{
    api::{Secret, signed, unix_now},
    server::{Server, WORLD},
};

fn plan(server: &Server) -> Value {
    server.get("/api/v1/sources/flexnet/retire/plan").expect(200).json()
}

fn event() -> Vec<u8> {
    let data = json!({"person": "late", "account": "globex", "active": true});
    let event = json!({
        "specversion": "1.0", "id": "late-1", "source": "/fn", "type": "rollcall.person.upserted.v1", "sequence": "900",
        "data": data,
    });
    event.to_string().into_bytes()
}

#[test]
fn retiring_wants_the_name_typed_and_later_news_is_refused_with_that_reason() {
    let mut server = Server::start();
    server.say(WORLD);
    let before = server.memberships();
    let path = "/api/v1/sources/flexnet/retire";
    let head = || server.get("/api/v1/log/head").json()["position"].clone();
    let untouched = head();
    for body in [json!({}), json!({"source": "flexne"}), json!({"confirm": plan(&server)["plan"]})] {
        server.post(path, &body).expect(422);
    }
    let unsaid = server.cli(&["sources", "retire", "flexnet"]);
    assert_eq!((unsaid.code, unsaid.err.contains("--for-ever flexnet")), (2, true), "{}{}", unsaid.out, unsaid.err);
    assert!(unsaid.out.contains("-Guest"), "it is shown whom that takes what: {}", unsaid.out);
    let other = server.cli(&["sources", "retire", "flexnet", "--for-ever", "corp"]);
    assert_eq!((other.code, other.err.contains("another name")), (1, true), "{}", other.err);
    assert_eq!((server.memberships(), head()), (before, untouched), "nothing was changed");

    let done = server.cli(&["sources", "retire", "flexnet", "--for-ever", "flexnet"]).ok();
    assert!(done.contains("is retired, for ever"), "{done}");
    assert_eq!(server.memberships(), Vec::<String>::new());
    for _ in 0..2 {
        let after = server.get("/api/v1/log/head").json()["position"].clone();
        let told = server.post_raw("application/cloudevents+json", event()).expect(410);
        assert!(told.text.contains("source-retired") && told.text.contains("retired, for ever"), "{}", told.text);
        let stranger =
            server.http.post(&server.url("/hooks/flexnet")).header("content-type", "application/cloudevents+json");
        let stranger = signed(stranger, &Secret::new(9), "msg-stranger", unix_now(), event());
        server.http.send(stranger).expect(401);
        assert_eq!(server.get("/api/v1/log/head").json()["position"], after, "nothing of it is in the log");
        let rejected = server.pages("/api/v1/deliveries?verdict=rejected");
        assert!(rejected.iter().any(|row| row["reason"] == "source-retired"), "{rejected:?}");
        let shown = server.cli(&["sources"]).ok();
        assert!(shown.contains("retired by admin key"), "{shown}");
        let problems = server.cli(&["problems", "--kind", "source_retired"]);
        assert!(problems.code == 1 && problems.out.contains("[source.flexnet]"), "{}{}", problems.out, problems.err);
        for (change, body) in [("suspend", json!({})), ("resume", json!({})), ("retire", json!({"source": "flexnet"}))]
        {
            let again = server.post(&format!("/api/v1/sources/flexnet/{change}"), &body);
            assert!(again.status != 200 && again.text.contains("retired, for ever"), "{change}: {}", again.text);
            let rows = server.get(&format!("/api/v1/sources/flexnet/{change}/plan/rows")).expect(409);
            assert!(rows.text.contains("retired, for ever"), "{change}: {}", rows.text);
        }
        server.restart();
    }
}

#[test]
fn retiring_what_many_rest_on_waits_for_whoever_names_the_plan() {
    let server = Server::start();
    server.say(WORLD);
    let people: String = (0..30).map(|n| format!("flexnet person.upserted p{n} account=globex\n")).collect();
    server.say(&people);
    let path = "/api/v1/sources/flexnet/retire";
    let held = server.post(path, &json!({"source": "flexnet"})).expect(409);
    let name = plan(&server)["plan"].as_str().unwrap().to_owned();
    assert!(held.text.contains(&name) && held.text.contains("33 users"), "{}", held.text);
    let said = server.cli(&["sources", "retire", "flexnet", "--for-ever", "flexnet"]);
    assert_eq!((said.code, said.err.contains(&format!("--confirm {name}"))), (1, true), "{}{}", said.out, said.err);
    server.cli(&["sources", "retire", "flexnet", "--for-ever", "flexnet", "--confirm", &name]).ok();
    assert_eq!(server.memberships(), Vec::<String>::new());
}

#[test]
fn what_is_in_quarantine_of_a_retired_source_is_not_said_to_be_replayed_and_can_be_dismissed() {
    let server = Server::start();
    server.say(WORLD);
    let unknown = String::from_utf8(event()).unwrap().replace("person.upserted", "person.upsetted");
    server.post_raw("application/cloudevents+json", unknown.into_bytes()).expect(202);
    let told = || server.pages("/api/v1/problems?kind=quarantined");
    let remedy = |told: &[Value]| told[0]["remedy"].as_str().unwrap().to_owned();
    let before = told();
    assert!(remedy(&before).contains("rollcall deliveries replay"), "{before:#?}");
    server.cli(&["sources", "retire", "flexnet", "--for-ever", "flexnet"]).ok();
    let after = told();
    let (delivery, remedy) = (after[0]["subject"].as_str().unwrap(), remedy(&after));
    assert!(remedy.starts_with("source flexnet is retired") && !remedy.contains("deliveries replay"), "{remedy}");
    server.post(&format!("/api/v1/deliveries/{delivery}/replay"), &json!({})).expect(410);
    assert!(remedy.contains(&format!("rollcall deliveries dismiss {delivery}")), "{remedy}");
    server.cli(&["deliveries", "dismiss", delivery, "--because", "it is retired"]).ok();
    assert_eq!(told(), [] as [Value; 0]);
}
