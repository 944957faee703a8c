//! What callers can cause: one customer's questions and waits delay that customer, and nobody else's token, delivery or
//! readiness. Work is counted, never time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::support::{
    server::{Server, WORLD},
    wait_for,
};

/// The value of a metric whose line begins so; zero where there is none.
fn metric(server: &Server, begins: &str) -> u64 {
    let answer = server.get("/metrics").expect(200);
    let line = answer.text.lines().find_map(|line| line.strip_prefix(begins)?.trim().parse::<f64>().ok());
    line.unwrap_or_default() as u64
}

fn folded(server: &Server) -> u64 {
    metric(server, "rollcall_past_events_folded_total")
}

/// Ada's server, with a crowd of other customers of the same product.
fn crowded(people: usize) -> Server {
    let server = Server::start();
    server.say(WORLD);
    let crowd: Vec<String> = (0..people)
        .map(|n| {
            format!(
                "flexnet account.upserted a{n}\nflexnet person.upserted p{n} account=a{n}\n\
                 flexnet entitlement.upserted e{n} account=a{n} state=active\n\
                 flexnet entitlement.line.upserted e{n}/1 product=DB"
            )
        })
        .collect();
    for some in crowd.chunks(50) {
        server.say(&some.join("\n"));
    }
    server
}

#[test]
fn a_question_about_the_past_folds_what_the_caller_may_see_and_nothing_before_a_right_is_judged() {
    let server = crowded(100);
    let ada = server.secret_for("ada");
    let by_ada = |path: &str| server.http.send(server.http.get(&server.url(path)).bearer_auth(&ada));
    let position = server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap();
    server.reached(position);
    let before = folded(&server);
    by_ada(&format!("/api/v1/reports/who?project=acme&as_of={position}")).expect(403);
    by_ada(&format!("/api/v1/users/pia/access?as_of={position}")).expect(404);
    assert_eq!(folded(&server), before, "nothing is folded for who may not ask");
    let own = by_ada(&format!("/api/v1/projects/acme/members?as_of={position}")).expect(200).json();
    assert_eq!(own["items"].as_array().unwrap().len(), 1, "{own}");
    let for_ada = folded(&server) - before;
    assert!((1..40).contains(&for_ada), "{for_ada} events were folded for one row of a hundred");
    let all = server.get(&format!("/api/v1/projects/acme/members?limit=500&as_of={position}")).expect(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 103, "{all}");
    assert!(folded(&server) - before - for_ada > 400);
    // The roster is not copied for who may not plan, either.
    let plan = server.http.post(&server.url("/api/v1/bindings/plan")).bearer_auth(&ada);
    let plan = plan.header("content-type", "application/json");
    server.http.send(plan.body(json!({"scope": [{"root": true, "binding": []}]}).to_string())).expect(403);
    assert_eq!(metric(&server, "rollcall_share_uses_total{share=\"what_if\"}"), 0);
    server.post("/api/v1/preview", &json!({"changes": []})).expect(200);
    assert_eq!(metric(&server, "rollcall_share_uses_total{share=\"what_if\"}"), 1);
}

#[test]
fn sixty_four_waits_of_one_customer_hold_its_share_and_nobody_else() {
    let server = Arc::new(crowded(3));
    let ada = server.secret_for("ada");
    let next = server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap() + 1;
    let asked: Vec<_> = (0..64)
        .map(|_| {
            let (server, ada) = (Arc::clone(&server), ada.clone());
            thread::spawn(move || {
                let path = format!("/api/v1/projects/acme/members?min_position={next}&wait=30s");
                server.http.send(server.http.get(&server.url(&path)).bearer_auth(&ada)).status
            })
        })
        .collect();
    wait_for("half of them to be refused", || {
        (metric(&server, "rollcall_share_refused_total{share=\"waits\",bound=\"caller\"}") == 32).then_some(())
    });
    assert_eq!(metric(&server, "rollcall_share_held{share=\"waits\"}"), 32);
    // Everything else is answered while they wait.
    for path in ["/readyz", "/livez"] {
        server.http.send(server.http.get(&server.url(path))).expect(200);
    }
    assert_eq!(server.granted("ada", &ada, "acme/db"), ["pull"]);
    server.get("/api/v1/projects/acme/members").expect(200);
    assert_eq!(server.post_event(&server.event("flexnet account.upserted late")).status, 202);
    let mut answers: Vec<u16> = asked.into_iter().map(|asked| asked.join().unwrap()).collect();
    answers.sort_unstable();
    let (answered, refused) = answers.split_at(32);
    assert!(answered.iter().all(|status| *status == 200) && refused.iter().all(|status| *status == 429), "{answers:?}");
    assert_eq!(metric(&server, "rollcall_share_held{share=\"waits\"}"), 0);
}

#[test]
fn sixty_questions_of_one_customer_about_the_past_are_answered_in_turn_or_told_when_to_come_again() {
    let server = Arc::new(crowded(20));
    let ada = server.secret_for("ada");
    let position = server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap();
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let (server, ada) = (Arc::clone(&server), ada.clone());
            thread::spawn(move || {
                let path = format!("/api/v1/users/ada/access?as_of={position}");
                server.http.send(server.http.get(&server.url(&path)).bearer_auth(&ada))
            })
        })
        .collect();
    let report = server.get(&format!("/api/v1/reports/who?project=acme&as_of={position}")).expect(200).json();
    assert_eq!(report["rows"].as_array().unwrap().len(), 23, "{report}");
    // Never more than hers and that of the report.
    while asked.iter().any(|asked| !asked.is_finished()) {
        assert!(metric(&server, "rollcall_share_held{share=\"past\"}") <= 2);
    }
    let (mut answered, mut refused) = (0, 0);
    for answer in asked.into_iter().map(|asked| asked.join().unwrap()) {
        match answer.status {
            200 => {
                answered += 1;
                assert_eq!(answer.json()["items"][0]["project"], "acme");
            }
            429 => {
                refused += 1;
                assert_eq!((answer.header("retry-after"), answer.problem().as_str()), (Some("2"), "overloaded"));
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    // Each was answered in a turn of the share, or refused by it: all sixty, and the report.
    let counted = |begins| metric(&server, begins);
    assert_eq!(counted("rollcall_share_uses_total{share=\"past\"}"), answered + 1);
    assert_eq!(counted("rollcall_share_refused_total{share=\"past\",bound=\"caller\"}"), refused);
    assert_eq!(metric(&server, "rollcall_share_held{share=\"past\"}"), 0, "nothing is held afterwards");
}

#[test]
fn whatever_lists_or_answers_in_numbers_takes_a_turn_of_its_caller() {
    let server = crowded(2);
    let uses = |share: &str| metric(&server, &format!("rollcall_share_uses_total{{share=\"{share}\"}}"));
    server.post("/api/v1/groups", &json!({"id": "team"})).expect(201);
    for path in [
        "users",
        "people",
        "projects",
        "projects/acme/members",
        "groups",
        "groups/local/team/members?transitive=true",
        "folders",
        "services",
        "bindings",
        "events",
        "decisions",
        "deliveries",
        "refused-sign-ins",
        "sources",
    ] {
        let before = uses("lists");
        server.get(&format!("/api/v1/{path}")).expect(200);
        assert_eq!(uses("lists"), before + 1, "{path}");
    }
    let one = |user: &str| json!({"subject": {"type": "user", "id": user}, "action": {"name": "pull"}, "resource": {"type": "project", "id": "acme"}});
    server.post("/access/v1/evaluation", &one("ada")).expect(200);
    assert_eq!(uses("batches"), 0, "one question is no batch");
    let decided =
        server.post("/access/v1/evaluations", &json!({"evaluations": [one("ada"), one("nobody")]})).expect(200).json();
    let decided: Vec<_> =
        decided["evaluations"].as_array().unwrap().iter().map(|one| one["decision"].clone()).collect();
    assert_eq!((decided, uses("batches")), (vec![json!(true), json!(false)], 1));
}

/// Who takes no notice of a refusal is refused once a second, and not as often as the server can.
#[test]
fn who_asks_again_at_once_is_refused_in_the_time_in_which_others_get_hundreds_of_answers() {
    let server = Arc::new(crowded(3));
    let ada = server.secret_for("ada");
    let next = server.get("/api/v1/log/head").expect(200).json()["position"].as_u64().unwrap() + 1;
    let path = format!("/api/v1/projects/acme/members?min_position={next}&wait=30s");
    let ask = |server: &Server, ada: &str, path: &str| {
        server.http.send(server.http.get(&server.url(path)).bearer_auth(ada)).status
    };
    let spawn = |work: Box<dyn FnOnce(&Server) + Send>| {
        let server = Arc::clone(&server);
        thread::spawn(move || work(&server))
    };
    let waiting: Vec<_> = (0..32)
        .map(|_| {
            let (ada, path) = (ada.clone(), path.clone());
            spawn(Box::new(move |server| assert_eq!(ask(server, &ada, &path), 200)))
        })
        .collect();
    wait_for("her share to be taken", || (metric(&server, "rollcall_share_held{share=\"waits\"}") == 32).then_some(()));
    let done = Arc::new(AtomicBool::new(false));
    let (ended, key, asked) = (Arc::clone(&done), ada.clone(), path.clone());
    let again = spawn(Box::new(move |server| {
        while !ended.load(Ordering::Relaxed) {
            assert_eq!(ask(server, &key, &asked), 429);
        }
    }));
    let refused = || metric(&server, "rollcall_share_refused_total{share=\"waits\",bound=\"caller\"}");
    wait_for("her to be refused", || (refused() > 0).then_some(()));
    let (before, answers) = (refused(), 300);
    for _ in 0..answers {
        assert_eq!(server.granted("ada", &ada, "acme/db"), ["pull"]);
    }
    let refused = refused() - before;
    done.store(true, Ordering::Relaxed);
    server.say("flexnet account.upserted late");
    again.join().unwrap();
    waiting.into_iter().for_each(|one| one.join().unwrap());
    assert!(4 * refused < answers, "{refused} refusals beside {answers} answers");
}
