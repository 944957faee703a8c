//! What would change, asked before it is changed: bindings as one document, another configuration. What is shown is what
//! comes.

use serde_json::{Value, json};

use crate::support::server::Server;

/// A portus server with a team of three namespaces: ada owns the team, bob views it.
fn portus() -> Server {
    let server = Server::start_with(
        "\n[access]\nprofile = \"portus\"\nconsumer_role = \"viewer\"\nproducer_role = \"contributor\"\n",
    );
    server.say("flexnet person.upserted ada\nflexnet person.upserted bob\nflexnet person.upserted eve");
    let made = server.put("/api/v1/folders/tools", &json!({"kind": "team"}));
    assert!((200..300).contains(&made.status), "{made:?}");
    let document = server.dir.write(
        "first.toml",
        "[[scope]]\nfolder = \"tools\"\nbinding = [{ user = \"ada\", role = \"owner\" }, { user = \"bob\", role = \"viewer\" }]\n",
    );
    server.cli(&["bindings", "apply", "--yes", "-f", document.to_str().unwrap()]).ok();
    for name in ["one", "two", "three"] {
        server.post("/api/v1/projects", &json!({"name": name, "folder": "tools"})).expect(201);
    }
    server
}

fn roles(server: &Server) -> Vec<String> {
    let mut roles: Vec<String> = server
        .pages("/api/v1/bindings?limit=500")
        .iter()
        .map(|row| format!("{} {}", row["user"].as_str().unwrap(), row["role"].as_str().unwrap()))
        .collect();
    roles.sort();
    roles
}

#[test]
fn a_document_of_bindings_is_shown_asked_about_and_then_made_so() {
    let server = portus();
    let file = server.dir.write(
        "bindings.toml",
        "[[scope]]\nfolder = \"tools\"\nbinding = [\n  { user = \"ada\", role = \"owner\" },\n  { user = \"eve\", role = \"contributor\", ends = 2099-01-01T00:00:00Z },\n]\n",
    );
    let file = file.to_str().unwrap();
    let plan = server.cli(&["bindings", "plan", "-f", file]);
    assert_eq!(plan.code, 1, "{}{}", plan.out, plan.err);
    for line in [
        "folder tools",
        "+ contributor eve",
        "- viewer bob",
        "project two  eve  contributor",
        "project two  bob  viewer",
    ] {
        assert!(plan.out.contains(line), "`{line}` is not in\n{}", plan.out);
    }
    let json: Value = serde_json::from_str(&server.cli(&["--json", "bindings", "plan", "-f", file]).out).unwrap();
    // One scope with a global project beside it: the team and its three namespaces, for two people.
    assert_eq!(json["memberships"]["total"], 8, "{json:#}");

    let silent = server.cli(&["bindings", "apply", "-f", file]);
    assert_eq!((silent.code, silent.err.contains("--yes")), (2, true), "{}", silent.err);
    assert_eq!(roles(&server), ["ada owner", "bob viewer"]);
    server.cli(&["bindings", "apply", "--yes", "-f", file]).ok();
    assert_eq!(roles(&server), ["ada owner", "eve contributor"]);
    let again = server.cli(&["bindings", "plan", "-f", file]);
    assert_eq!((again.code, again.out.contains("nothing to do")), (0, true), "{}", again.out);

    // The team keeps an owner: the whole document is refused, and the rest of it with it.
    let lost = server
        .dir
        .write("lost.toml", "[[scope]]\nfolder = \"tools\"\nbinding = [{ user = \"bob\", role = \"viewer\" }]\n");
    let refused = server.cli(&["bindings", "apply", "--yes", "-f", lost.to_str().unwrap()]);
    assert_eq!((refused.code, refused.err.contains("owner")), (1, true), "{}{}", refused.out, refused.err);
    assert_eq!(roles(&server), ["ada owner", "eve contributor"]);

    // Every mistake is told with the place where it stands in the file.
    let owner = "[[scope]]\nfolder = \"tools\"\n\n[[scope.binding]]\nuser = \"ada\"\nrole = \"owner\"\n\n";
    for (text, place, says) in [
        ("[[scope]\n".to_owned(), "1:9", "TOML"),
        (owner.replace("owner", "emperor"), "6:1", "emperor"),
        (owner.replace("tools", "nowhere"), "2:1", "scope 1 (folder `nowhere`)"),
        (owner.replace("[[scope]]", "[[scope]]\ncolour = \"red\""), "2:1", "colour"),
        (
            format!("{owner}[[scope.binding]]\nuser = \"nobody\"\nrole = \"viewer\"\n"),
            "9:1",
            "binding 2 (user `nobody`)",
        ),
        (format!("{owner}[[scope.binding]]\ngroup = \"local/x\"\nrole = \"viewer\"\n"), "9:1", "group"),
        (format!("{owner}[[scope.binding]]\nservice = \"x\"\nrole = \"viewer\"\n"), "9:1", "service"),
        (format!("{owner}[[scope.binding]]\nuser = \"ada\"\nrole = \"owner\"\n"), "8:1", "twice"),
        (format!("{owner}[[scope.binding]]\nuser = \"bob\"\nrole = \"viewer\"\nends = \"soon\"\n"), "11:1", "RFC 3339"),
        (format!("{owner}[[scope.binding]]\nrole = \"viewer\"\n"), "8:1", "one of `user`"),
        (format!("{owner}{owner}"), "8:1", "named twice"),
        ("scope = []\n".to_owned(), "1:1", "no scope"),
    ] {
        let bad = server.dir.write("bad.toml", &text);
        let said = server.cli(&["bindings", "plan", "-f", bad.to_str().unwrap()]);
        assert!(said.code != 0 && said.err.contains(says), "{text}: {}{}", said.out, said.err);
        assert!(said.err.contains(&format!("bad.toml:{place}: ")), "{text} at {place}: {}", said.err);
    }
    // So is a row that would be refused: the role is given at another level.
    let one = owner.replace("folder = \"tools\"", "project = \"one\"");
    let bad = server.dir.write("bad.toml", &one);
    let said = server.cli(&["bindings", "plan", "-f", bad.to_str().unwrap()]);
    assert!(said.err.contains("bad.toml:4:1: ") && said.err.contains("granted"), "{}{}", said.out, said.err);
}

/// Who may do what everywhere, by asking.
fn pushers(server: &Server) -> Vec<String> {
    let mut all = Vec::new();
    for user in ["ada", "bob", "eve"] {
        for project in ["one", "two", "three", "global", user] {
            let asked = json!({"user": user, "action": "push", "project": project});
            let answer = server.post("/api/v1/explain", &asked).expect(200).json();
            if answer["allowed"] == true {
                all.push(format!("{user} {project}"));
            }
        }
    }
    all
}

#[test]
fn a_switch_of_the_profile_is_tried_before_it_is_set_and_does_what_was_told() {
    let mut server = portus();
    let before = pushers(&server);
    assert_eq!(before, ["ada one", "ada two", "ada three", "ada ada", "bob bob", "eve eve"]);
    let told = server.cli(&["--json", "preview", "--set", "push_policy=admin-only"]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let mut lost: Vec<String> = told["actions"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["disappear"] == json!(["image.push"]))
        .filter_map(|row| Some(format!("{} {}", row["name"].as_str()?, row["scope"]["project"].as_str()?)))
        .collect();
    let mut expected = before.clone();
    lost.sort();
    expected.sort();
    assert_eq!(lost, expected, "{told:#}");
    assert_eq!(pushers(&server), before, "a preview changed something");

    let config = server.dir.join("rollcall.toml");
    let text = std::fs::read_to_string(&config).unwrap() + "\n[access.switches]\npush_policy = \"admin-only\"\n";
    std::fs::write(&config, text).unwrap();
    server.restart();
    assert_eq!(pushers(&server), before, "a start changes nobody's access");
    server.apply_configuration();
    assert_eq!(pushers(&server), Vec::<String>::new());
    assert_eq!(server.cli(&["preview"]).code, 0, "the configuration is in force");
    let wrong = server.cli(&["preview", "--set", "push_policy=never"]);
    assert_eq!((wrong.code, wrong.err.contains("allow-teams")), (2, true), "{}", wrong.err);
}
