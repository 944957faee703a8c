//! One directory takes the place of another, or is made again under its name: whoever is left out is told with the reason, and
//! what is told to do is done and lets people in.

use serde_json::{Value, json};

use crate::{
    directories::merge::{are_read, begin_anew, says, signed_in, source, word},
    support::{
        server::{Server, WORLD},
        slapd::{Kind, Slapd, person, trunk},
        wait_for,
    },
};

/// The commands that a text names, in their order.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let quoted = text.split('`').skip(1).step_by(2).filter_map(|word| word.strip_prefix("rollcall "));
    quoted.map(|command| command.split(' ').map(str::to_owned).collect()).collect()
}

/// Does what a text says, and what a plan that it shows is confirmed by.
pub fn follow(server: &Server, command: &[String]) -> String {
    let args: Vec<&str> = command.iter().map(String::as_str).collect();
    let shown = server.cli(&args);
    match shown.out.split_whitespace().find(|word| word.starts_with("lnk_")) {
        Some(plan) => server.cli(&[&args[..], &["--confirm", plan]].concat()).ok(),
        None => shown.ok(),
    }
}

fn contact(server: &Server, id: &str, name: &str) {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/fn", "type": "rollcall.person.upserted.v1", "sequence": "1",
        "data": {"person": id, "username": name, "account": "globex", "active": true},
    });
    let answer = server.post_json("application/cloudevents+json", &event).expect(202).json();
    server.reached(answer["events"][0]["position"].as_u64().unwrap());
}

fn problem_of(server: &Server, who: &str) -> Value {
    wait_for(who, || {
        let all = server.pages("/api/v1/problems?kind=user_name");
        all.into_iter().find(|row| row["remedy"].as_str().unwrap().contains(who))
    })
}

fn pushes(server: &Server, name: &str, password: &str) -> bool {
    let answer = server.token(name, password, "&scope=repository:tools/x:pull,push");
    answer.status == 200
        && crate::support::server::access(answer.json()["token"].as_str().unwrap())
            .iter()
            .any(|(_, actions)| actions.contains(&"push".to_owned()))
}

/// Two directories with the same people, a customer who is called as one of them, and roles given by name in the first one.
fn moved() -> Option<(Server, [Slapd; 2])> {
    let people = |n: &str| {
        let all = ["p07", "ann", "zoe"].map(|uid| person(uid, "people", &format!("{uid}{n}")));
        trunk() + &all.concat()
    };
    let (Some(first), Some(second)) =
        (Slapd::start(Kind::default(), &people("a")), Slapd::start(Kind::default(), &people("b")))
    else {
        return None;
    };
    let mut server = Server::prepared("");
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    server.say(WORLD);
    contact(&server, "C-7", "p07");
    server.secret_for("p07");
    begin_anew(&mut server, &source("old", &first, ""));
    are_read(&server, "old", 4);
    server.cli(&["projects", "create", "tools"]).ok();
    for name in ["p07~old", "ann", "zoe"] {
        server.cli(&["bindings", "set", &format!("user:{name}"), "Developer", "project:tools"]).ok();
    }
    assert!(pushes(&server, "p07~old", "p07a") && pushes(&server, "ann", "anna"));
    Some((server, [first, second]))
}

#[test]
fn who_is_in_the_directory_that_takes_the_place_of_another_is_linked_whoever_has_the_name_once_that_one_ended() {
    let Some((mut server, [first, second])) = moved() else { return };
    begin_anew(&mut server, &(source("old", &first, "") + &source("new", &second, "")));
    are_read(&server, "new", 4);
    let rule = ["users", "link", "--rule", "made_again", "--source", "old", "--with", "new"];
    for more in [&[][..], &["--overlapping"]] {
        let told = server.cli(&[&rule[..], more].concat()).ok();
        says(&told, &["nobody is to be linked: 4 of source new (", "is there still", "that one ends first"]);
    }
    // What it says is done, word for word.
    let told = server.cli(&rule).ok();
    let [retire, link] = &commands(&told)[..] else { panic!("{told}") };
    follow(&server, retire);
    assert!(!pushes(&server, "ann", "anna") && !pushes(&server, "ann~new", "annb"));
    let shown = server.cli(&link.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(shown.out.matches("are one user\n").count(), 4, "{}", shown.out);
    says(&shown.out, &["(p07~old) and new/", "(p07~new) are one user"]);
    follow(&server, link);
    assert!(pushes(&server, "ann", "annb") && pushes(&server, "zoe", "zoeb"));
    assert!(pushes(&server, "p07~old", "p07b") && pushes(&server, "p07~new", "p07b"));
    // The customer has the name still, and it passes as the remedy says.
    let told = problem_of(&server, "as soon as p07 has no secret in force");
    assert!(!told["remedy"].as_str().unwrap().contains("users link"), "{told}");
    assert!(!pushes(&server, "p07", "p07b"));
    let id = server.get("/api/v1/users/p07/secrets").json()["items"][0]["id"].as_str().unwrap().to_owned();
    server.cli(&["secrets", "revoke", "p07", &id]).ok();
    wait_for("p07 to be in", || pushes(&server, "p07", "p07b").then_some(()));
    let left = server.pages("/api/v1/problems?kind=user_name&source=new");
    assert_eq!(left, Vec::<Value>::new());
}

/// Somebody who reads the problem of one person alone.
#[test]
fn what_is_told_to_do_about_one_who_was_made_again_and_whose_name_a_customer_has_lets_that_one_in() {
    let Some((mut server, [first, second])) = moved() else { return };
    server.cli(&["sources", "retire", "old", "--for-ever", "old"]).ok();
    // What was there before is nobody's by that.
    assert_eq!(signed_in(&server, "p07~old", "p07a"), None);
    drop(first);
    begin_anew(&mut server, &source("new", &second, ""));
    are_read(&server, "new", 4);
    assert_eq!(signed_in(&server, "p07~new", "p07b").as_deref(), Some("p07~new"));
    assert!(!pushes(&server, "p07~new", "p07b"));
    let plan = server.cli(&["users", "link", "--rule", "made_again", "--source", "old", "--with", "new"]).out;
    assert_eq!(plan.matches("are one user\n").count(), 4, "{plan}");
    word(&plan, "lnk_");
    for who in ["p07~new", "ann~new", "zoe~new"] {
        let told = problem_of(&server, who);
        let remedy = told["remedy"].as_str().unwrap();
        says(remedy, &["if it is the same person, made again: `rollcall users link "]);
        follow(&server, &commands(remedy)[0]);
    }
    assert!(pushes(&server, "p07~new", "p07b") && pushes(&server, "ann", "annb") && pushes(&server, "zoe", "zoeb"));
}
