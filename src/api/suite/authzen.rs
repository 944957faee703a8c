//! OpenID AuthZEN: the decision of everywhere else in that standard's words, kept and found again by its id.

use serde_json::{Value, json};

use super::world::{World, ended};

fn pull(user: &str, image: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": user, "properties": {"department": "sales"}},
        "action": {"name": "pull"},
        "resource": {"type": "repository", "id": image},
        "context": {"time": "2026-01-01T00:00:00Z"},
    })
}

#[tokio::test]
async fn an_evaluation_is_the_decision_of_why_and_a_no_is_found_by_its_id() {
    let world = World::licensing().await;
    let yes = world.post("/access/v1/evaluation", pull("ada", "acme/db")).await;
    assert_eq!((yes.status.as_u16(), &yes.body["decision"]), (200, &json!(true)), "{}", yes.text);
    assert!(yes.body["context"]["reason_admin"][0].as_str().unwrap().contains("ENT-7"), "{}", yes.text);
    world.facts(&[ended(2)]).await;
    let no = world.post("/access/v1/evaluation", pull("ada", "acme/db")).await;
    assert_eq!(no.body["decision"], false, "{}", no.text);
    assert!(no.body["context"]["reason_admin"][0].as_str().unwrap().contains("ENT-7 is active"), "{}", no.text);
    let id = no.body["context"]["id"].as_str().unwrap();
    let kept = loop {
        let kept = world.get(&format!("/api/v1/decisions/{id}")).await;
        if kept.status == 200 {
            break kept.body;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&kept["user"], &kept["asked"], &kept["outcome"]),
        (&json!("ada"), &json!("repository:acme/db:pull"), &json!("denied"))
    );
    assert_eq!(kept["now"][0]["allowed"], false, "{kept}");
}

#[tokio::test]
async fn what_is_not_there_is_denied_and_what_cannot_be_read_is_refused() {
    let world = World::licensing().await;
    for (subject, resource) in [
        (json!({"type": "user", "id": "nobody"}), json!({"type": "repository", "id": "acme/db"})),
        (json!({"type": "service", "id": "ci"}), json!({"type": "project", "id": "acme"})),
        (json!({"type": "anonymous", "id": ""}), json!({"type": "project", "id": "acme"})),
        (json!({"type": "user", "id": "ada"}), json!({"type": "repository", "id": "no-such/db"})),
        (json!({"type": "user", "id": "ada"}), json!({"type": "folder", "id": "no-such"})),
        (json!({"type": "user", "id": "ada"}), json!({"type": "root", "id": ""})),
    ] {
        let asked = json!({"subject": subject, "action": {"name": "pull"}, "resource": resource});
        let answer = world.post("/access/v1/evaluation", asked.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["decision"]), (200, &json!(false)), "{asked} {}", answer.text);
    }
    let unknown = json!({"subject": {"type": "user", "id": "ada"}, "action": {"name": "dance"}, "resource": {"type": "project", "id": "acme"}});
    assert_eq!(world.post("/access/v1/evaluation", unknown).await.body["decision"], false);
    for (bad, at) in [
        (json!({"action": {"name": "pull"}, "resource": {"type": "project", "id": "acme"}}), "/subject"),
        (json!({"subject": {"type": "user", "id": "ada"}, "resource": {"type": "project", "id": "acme"}}), "/action"),
        (
            json!({"subject": {"type": "dog", "id": "rex"}, "action": {"name": "pull"}, "resource": {"type": "project", "id": "acme"}}),
            "/subject/type",
        ),
        (
            json!({"subject": {"type": "user", "id": "ada"}, "action": {"name": "pull"}, "resource": {"type": "file", "id": "acme"}}),
            "/resource/type",
        ),
    ] {
        let answer = world.post("/access/v1/evaluation", bad.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.problem()), (400, "malformed-evaluation"), "{bad} {}", answer.text);
        assert_eq!(answer.body["errors"][0]["pointer"], at, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_batch_shares_what_it_says_once_and_stops_where_it_is_told_to() {
    let world = World::licensing().await;
    let batch = |semantic: &str| {
        json!({
            "subject": {"type": "user", "id": "ada"}, "resource": {"type": "repository", "id": "acme/db"},
            "evaluations": [
                {"action": {"name": "pull"}},
                {"action": {"name": "push"}},
                {"action": {"name": "push"}, "subject": {"type": "user", "id": "pat"}},
            ],
            "options": {"evaluations_semantic": semantic},
        })
    };
    for (semantic, expected) in [
        ("execute_all", vec![true, false, true]),
        ("deny_on_first_deny", vec![true, false]),
        ("permit_on_first_permit", vec![true]),
    ] {
        let answer = world.post("/access/v1/evaluations", batch(semantic)).await;
        let decided: Vec<bool> = answer.body["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["decision"].as_bool().unwrap())
            .collect();
        assert_eq!(decided, expected, "{semantic}: {}", answer.text);
    }
    let single = world.post("/access/v1/evaluations", pull("ada", "acme/db")).await;
    assert_eq!(single.body["decision"], true, "{}", single.text);
    let many: Vec<Value> = vec![json!({}); 1_001];
    let mut long = pull("ada", "acme/db");
    long["evaluations"] = json!(many);
    assert_eq!(world.post("/access/v1/evaluations", long).await.problem(), "malformed-evaluation");
}

#[tokio::test]
async fn the_configuration_says_where_the_endpoints_are() {
    let world = World::empty().await;
    let document = world.ok("/.well-known/authzen-configuration").await;
    assert_eq!(document["access_evaluation_endpoint"], "https://rollcall.test/access/v1/evaluation");
    assert_eq!(document["policy_decision_point"], "https://rollcall.test");
}

#[tokio::test]
async fn why_is_asked_of_services_folders_and_the_root_too_and_each_answer_has_an_id() {
    let world = World::licensing().await;
    world.service("ci", "api:auditor", rollcall_events::body::Scope::Root).await;
    for (asked, allowed) in [
        (json!({"user": "ada", "action": "pull", "project": "acme"}), true),
        (json!({"user": "service:ci", "action": "pull", "project": "acme"}), false),
        (json!({"user": "service:ci", "action": "project.create"}), false),
        (json!({"action": "pull", "project": "acme"}), false),
    ] {
        let answer = world.post("/api/v1/explain", asked.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["allowed"]),
            (200, &json!(allowed)),
            "{asked} {}",
            answer.text
        );
        assert!(answer.body["decision"].as_str().unwrap().starts_with("dec_"), "{}", answer.text);
        assert_eq!(answer.body["project"], asked["project"]);
    }
    for (bad, problem) in [
        (json!({"user": "service:nobody", "action": "pull", "project": "acme"}), "unknown-user"),
        (json!({"user": "ada", "action": "pull", "project": "acme", "folder": "x"}), "invalid-body"),
        (json!({"user": "ada", "action": "pull", "folder": "nowhere"}), "unknown-folder"),
        (json!({"user": "ada", "action": "dance"}), "unknown-action"),
    ] {
        assert_eq!(world.post("/api/v1/explain", bad.clone()).await.problem(), problem, "{bad}");
    }
}

/// What a customer asks about costs as many bytes as a name that there is, however long the one that is asked about.
#[tokio::test]
async fn a_question_about_invented_names_is_kept_in_few_bytes_and_counted_for_no_project() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    let long = "y".repeat(3000);
    let mut ids = Vec::new();
    for n in 0..20 {
        let asked = pull("ada", &format!("inv{n}/{long}"));
        let answer = world.by(&ada, "POST", "/access/v1/evaluation", Some(asked)).await;
        assert_eq!(answer.body["decision"], false, "{}", answer.text);
        ids.push(answer.body["context"]["id"].as_str().unwrap().to_owned());
    }
    for id in ids {
        let kept = loop {
            let kept = world.get(&format!("/api/v1/decisions/{id}")).await;
            if kept.status == 200 {
                break kept;
            }
            tokio::task::yield_now().await;
        };
        assert!(kept.body["asked"].as_str().unwrap().len() < 1000, "{}", kept.text);
    }
    let (year, now) = (chrono::Duration::days(366), super::world::at(0));
    let counts = world.ops.decision_counts(now - year, now + year, None).await.unwrap();
    assert!(counts.is_empty(), "{counts:?}");
}
