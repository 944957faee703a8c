//! What is configured is what is meant: a word that nothing knows starts no server, wherever it stands, and a backup takes its
//! configuration along.

use std::process::Command;

use serde_json::json;

use crate::support::{
    Said, run,
    server::{BINARY, Server, WORLD},
};

const PORTUS: &str = "[access]\nprofile = \"portus\"\nproducer_role = \"contributor\"\nconsumer_role = \"viewer\"\n";

fn with_variable(server: &Server, (name, value): (&str, &str), args: &[&str]) -> Said {
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(server.dir.join("rollcall.toml")).args(args).current_dir(server.dir.path());
    run(command.env(name, value).env("NO_COLOR", "1"), &server.dir)
}

#[test]
fn a_switch_that_nobody_knows_starts_no_server_whether_a_file_or_a_variable_says_it() {
    let server = Server::prepared(&format!("{PORTUS}[access.switches]\npush_polcy = \"admin-only\"\n"));
    let check = server.cli(&["config", "check"]);
    assert_eq!(check.code, 1);
    for told in ["rollcall.toml:15:1:", "no switch `push_polcy`", "did you mean `push_policy`?", "allow-personal"] {
        assert!(check.out.contains(told), "{told}: {}", check.out);
    }
    let serve = server.refuses_to_start();
    assert_eq!(serve.code, 2);
    assert!(serve.err.contains("no switch `push_polcy`"), "{}", serve.err);
    assert!(!server.data("log.db").exists(), "nothing was opened");

    let server = Server::prepared(PORTUS);
    let unknown = ("ROLLCALL__ACCESS__SWITCHES__PROJECT_CREATION_RESTRICTIONS", "adminonly");
    let serve = with_variable(&server, unknown, &["serve"]);
    assert_eq!(serve.code, 2);
    for told in ["PROJECT_CREATION_RESTRICTIONS: ", "`project_creation_restriction` of the profile `harbor`"] {
        assert!(serve.err.contains(told), "{told}: {}", serve.err);
    }
    let value = with_variable(&server, ("ROLLCALL__ACCESS__SWITCHES__PUSH_POLICY", "admin"), &["serve"]);
    assert_eq!(value.code, 2);
    assert!(value.err.contains("allow-teams, allow-personal, admin-only"), "{}", value.err);
}

#[test]
fn a_switch_of_capitals_is_reached_by_its_variable_and_counts() {
    let sregistry = "[access]\nprofile = \"sregistry\"\nproducer_role = \"collection_contributor\"\n\
                     consumer_role = \"collection_owner\"\nconfirm_consumer_role = \"collection_owner\"\n";
    let mut server = Server::prepared(sregistry);
    let mut command = server.command();
    command.env("ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS", "false");
    server.go_as(command);
    let events = server.get("/api/v1/events?type=rollcall.settings.set.v1").expect(200).json();
    assert!(events.to_string().contains("\"USER_COLLECTIONS\":\"False\""), "{events}");
    let shown =
        with_variable(&server, ("ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS", "false"), &["config", "show"]).ok();
    let line = shown.lines().find(|line| line.contains("access.switches.USER_COLLECTIONS")).unwrap_or_default();
    assert!(
        line.contains("False") && line.contains("environment ROLLCALL__ACCESS__SWITCHES__USER_COLLECTIONS"),
        "{shown}"
    );
}

#[test]
fn a_preview_refuses_a_switch_or_a_role_that_the_profile_does_not_have() {
    let server = Server::start_with(PORTUS);
    let told = server.cli(&["preview", "--set", "push_polcy=admin-only"]);
    assert_eq!(told.code, 2);
    assert!(
        told.err.contains("--set push_polcy=admin-only: ") && told.err.contains("did you mean `push_policy`?"),
        "{}",
        told.err
    );
    for (settings, wanted) in [
        (r#"{"switches": {"push_polcy": "admin-only"}}"#, "did you mean `push_policy`"),
        (r#"{"switches": {"push_policy": "never"}}"#, "admin-only"),
        (r#"{"producer_role": "contributer"}"#, "contributor"),
    ] {
        let body = json!({"changes": [{"settings": serde_json::from_str::<serde_json::Value>(settings).unwrap()}]});
        let answer = server.post("/api/v1/preview", &body).expect(422);
        assert!(answer.text.contains(wanted), "{settings}: {}", answer.text);
    }
    let changed = server.cli(&["preview", "--set", "Push-Policy=ADMIN_ONLY"]);
    assert!(changed.code <= 1, "{}", changed.err);
}

/// The access profile of a file of its own, and everything else that a backup has to carry.
fn backed_up() -> (Server, Vec<String>) {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../access/profiles/portus.toml");
    let own = std::fs::read_to_string(own).unwrap();
    let mut server = Server::prepared(&PORTUS.replace("\"portus\"", "\"mine.toml\""));
    server.dir.write("mine.toml", own);
    server.go();
    server.say(WORLD);
    let before = server.memberships();
    assert!(before.iter().any(|row| row.contains("viewer")), "{before:?}");
    let said = server.cli(&["backup", "copy"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("rollcall serve --config copy/rollcall.toml --data-dir copy"), "{}", said.out);
    server.stop();
    std::fs::remove_file(server.dir.join("mine.toml")).unwrap();
    (server, before)
}

fn serve_copy(server: &mut Server, config: &str) {
    let mut command = Command::new(BINARY);
    command.args(["serve", "--config", config, "--data-dir", "copy"]).current_dir(server.dir.path());
    server.go_as(command);
}

#[test]
fn a_backup_carries_the_configuration_without_its_secrets_and_starts_with_it_as_it_was() {
    let (mut server, before) = backed_up();
    let carried = std::fs::read_to_string(server.dir.join("copy/rollcall.toml")).unwrap();
    let secret = std::fs::read_to_string(server.dir.join("flexnet.secret")).unwrap();
    assert!(!carried.contains(secret.trim()), "a secret is in a backup");
    let named = format!("secret_file = \"{}\"", server.dir.join("flexnet.secret").display());
    for part in ["profile = \"profile.toml\"", "producer_role = \"contributor\"", &named] {
        assert!(carried.contains(part), "`{part}` is not in\n{carried}");
    }
    let mut check = Command::new(BINARY);
    check.args(["--config", "copy/rollcall.toml", "config", "check"]).current_dir(server.dir.path());
    let checked = run(&mut check, &server.dir);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    serve_copy(&mut server, "copy/rollcall.toml");
    assert_eq!(server.memberships(), before);
    let plan = server.get("/api/v1/configuration").expect(200).json();
    assert_eq!(plan["items"], json!([]), "nothing waits: it is the configuration that it was made with");
}

#[test]
fn a_restored_backup_that_is_started_with_another_configuration_moves_nobody_and_says_what_differs() {
    let (mut server, before) = backed_up();
    server.configure("");
    serve_copy(&mut server, "rollcall.toml");
    assert_eq!(server.memberships(), before, "a restored backup moved somebody");
    let problems = server.cli(&["--data-dir", "copy", "problems", "--kind", "configuration"]);
    for told in ["access.profile", "rollcall config plan"] {
        assert!(problems.out.contains(told), "{told}: {}{}", problems.out, problems.err);
    }
    let doctor = server.cli(&["--data-dir", "copy", "doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.out);
    assert!(doctor.out.contains("access.profile"), "{}", doctor.out);
    server.stop();
    serve_copy(&mut server, "rollcall.toml");
    assert_eq!(server.memberships(), before, "nor does the next start");
}

#[test]
fn doctor_says_which_hook_believes_whoever_reaches_it() {
    let open = "[source.portal]\nkind = \"entitlements\"\nauthentication = \"none\"\n";
    let mut server = Server::prepared(open);
    server.go();
    let said = server.cli(&["doctor"]);
    let told: Vec<&str> = said.out.lines().filter(|line| line.contains("authentication")).collect();
    assert!(matches!(&*told, [line] if line.contains("portal") && line.contains("whoever reaches")), "{}", said.out);
}
