//! What is on record of a refused sign-in: for every state that an account can be in, and whatever it is tried with, the true
//! cause, and to the client one answer in one time.

use std::time::Duration;

use rollcall_events::Clock as _;
use tokio::time::Instant;

use crate::{
    Credentials, Realm, SignInError,
    test_kit::{TestDirectory, World},
};

const SECRET: &str = "rcs_YWRhLWFkYS1hZGEtYWRhLWFkYS1hZGEtYWRhLWFkYS0";
const LINK: &str = r#"{"persons":[{"source":"corp","person":"u-ada"},{"source":"hub","person":"u-countess"}]}"#;
const CORP: &str = r#"{"source":"corp"}"#;
const HUB: &str = r#"{"source":"hub"}"#;
const ADA: &str = r#"{"person":"u-ada"}"#;
const COUNTESS: &str = r#"{"person":"u-countess"}"#;
const INACTIVE: &str = r#"{"person":"u-ada","username":"ada","account":null,"active":false}"#;
const SEC_ADA: &str = r#"{"secret":"sec_ada"}"#;
const RESET: &str = r#"{"user":"corp/u-ada"}"#;

/// Ada, who has a password in the directory `corp` and a secret, and what became of her.
struct State {
    what: &'static str,
    /// Before the secret is made, and after it.
    before: &'static [(&'static str, &'static str, &'static str)],
    after: &'static [(&'static str, &'static str, &'static str)],
    /// Whom she signs in as.
    name: &'static str,
    /// By her password, another one, her secret as a password, as the API's bearer and by a refresh token, another secret.
    causes: [&'static str; 6],
}

/// What gives Ada a second person, in the source `hub`.
const LINKED: (&str, &str, &str) = ("local", "identity.linked", LINK);

fn states() -> Vec<State> {
    let state = |what, before, after, name, causes| State { what, before, after, name, causes };
    let right = ["in", "wrong_password", "in", "in", "in", "wrong_secret"];
    let whatever = |cause| [cause, cause, cause, cause, cause, "wrong_secret"];
    let by_secret = |cause| [cause, cause, "in", "in", "in", "wrong_secret"];
    let by_password = ["in", "wrong_password", "secret_ended", "secret_ended", "secret_ended", "wrong_secret"];
    vec![
        state("there", &[], &[], "ada", right),
        state("inactive", &[], &[("corp", "person.upserted", INACTIVE)], "ada", whatever("disabled")),
        state("removed", &[], &[("corp", "person.removed", ADA)], "ada", whatever("shut_out")),
        state("suspended", &[], &[("local", "source.suspended", CORP)], "ada", whatever("shut_out")),
        state("retired", &[], &[("local", "source.retired", CORP)], "ada", whatever("shut_out")),
        // Who is somebody elsewhere too.
        state("linked", &[LINKED], &[], "ada", right),
        state("linked, inactive", &[LINKED], &[("corp", "person.upserted", INACTIVE)], "ada", by_secret("disabled")),
        state("linked, removed", &[LINKED], &[("corp", "person.removed", ADA)], "ada", by_secret("no_such_name")),
        state("linked, suspended", &[LINKED], &[("local", "source.suspended", CORP)], "ada", by_secret("no_directory")),
        state("linked, retired", &[LINKED], &[("local", "source.retired", CORP)], "ada", by_secret("no_such_name")),
        state("linked, the other one removed", &[LINKED], &[("hub", "person.removed", COUNTESS)], "ada", right),
        state(
            "linked, both gone",
            &[LINKED],
            &[("corp", "person.removed", ADA), ("local", "source.suspended", HUB)],
            "ada",
            whatever("shut_out"),
        ),
        // What was hers while the two were one is neither's, and what was hers alone is not the other's.
        state("parted", &[LINKED], &[("local", "identity.unlinked", LINK)], "ada", by_password),
        state(
            "parted, as the other one",
            &[LINKED],
            &[("local", "identity.unlinked", LINK)],
            "countess",
            ["no_such_name", "no_such_name", "secret_ended", "secret_ended", "secret_ended", "wrong_secret"],
        ),
        state(
            "linked and parted, as the other one",
            &[],
            &[LINKED, ("local", "identity.unlinked", LINK)],
            "countess",
            ["no_such_name", "no_such_name", "secret_ended", "in", "in", "wrong_secret"],
        ),
        // Secrets that are over.
        state("revoked", &[], &[("local", "secret.revoked", SEC_ADA)], "ada", by_password),
        state("reset", &[], &[("local", "credentials.reset", RESET)], "ada", by_password),
        // Names that are not hers.
        state(
            "called otherwise",
            &[],
            &[("local", "user.name.given", r#"{"username":"lace","user":"corp/u-ada"}"#)],
            "ada",
            ["former_name", "former_name", "former_name", "in", "in", "former_name"],
        ),
        state(
            "somebody else's name",
            &[],
            &[],
            "bob",
            ["wrong_password", "wrong_password", "wrong_secret", "in", "in", "wrong_secret"],
        ),
        state(
            "nobody's name",
            &[],
            &[],
            "nobody",
            ["no_such_name", "no_such_name", "no_such_name", "in", "in", "no_such_name"],
        ),
    ]
}

/// Everything that came to be, the secret in its place.
fn world(state: &State, directories: &[&std::sync::Arc<TestDirectory>]) -> World {
    let world = World::with(directories);
    world.person("hub", "countess", true);
    let record = |(source, name, data): &(&str, &str, &str)| world.record(source, name, data);
    state.before.iter().for_each(record);
    world.issue("ada", SECRET);
    state.after.iter().for_each(record);
    world
}

fn tries(world: &World, name: &str) -> [(Realm, Credentials); 6] {
    let password = |text: &str| Credentials::password(name.to_owned(), text.to_owned()).unwrap();
    let refresh = world.authenticator.issue_refresh_token("corp/u-ada", "sec_ada", 0, world.clock.now());
    [
        (Realm::Registry, password("love:lace")),
        (Realm::Registry, password("another")),
        (Realm::Registry, password(SECRET)),
        (Realm::Api, Credentials::Bearer(SECRET.into())),
        (Realm::Registry, Credentials::Refresh(refresh.into())),
        (Realm::Registry, password("rcs_another")),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_cause_on_record_is_the_true_one_whatever_became_of_an_account_and_whatever_it_is_tried_with() {
    let mut wrong = Vec::new();
    for state in states() {
        let corp = TestDirectory::new("corp");
        corp.set("u-ada", "love:lace");
        let world = world(&state, &[&corp]);
        let mut causes = Vec::new();
        for (realm, credentials) in &tries(&world, state.name) {
            let start = Instant::now();
            let answer = world.authenticate(*realm, credentials).await;
            let took = start.elapsed();
            let told: Vec<_> = world.refusals.0.lock().unwrap().drain(..).map(|one| one.cause.as_str()).collect();
            if answer.is_ok() {
                assert!(told.is_empty(), "{}: {told:?}", state.what);
                causes.push("in".to_owned());
                continue;
            }
            // One answer, and of a password one time: what is on record is nothing that a client could tell.
            assert_eq!(answer, Err(SignInError::WrongCredentials), "{} {credentials:?}", state.what);
            let asks = matches!(credentials, Credentials::Password { password, .. } if !secrecy::ExposeSecret::expose_secret(password).starts_with("rcs_"));
            let expected = if asks { Duration::from_millis(100) } else { Duration::ZERO };
            assert_eq!(took, expected, "{} {credentials:?}", state.what);
            causes.push(told.join("+"));
        }
        if causes != state.causes {
            wrong.push(format!("{}: {causes:?}, not {:?}", state.what, state.causes));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn of_a_service_the_record_says_whether_its_secret_is_wrong_or_over_or_the_service_is() {
    let corp = TestDirectory::new("corp");
    let issued = format!(
        r#"{{"secret":"sec_ci","owner":{{"service":"ci"}},"sha256":"{}"}}"#,
        rollcall_events::Digest::of(SECRET.as_bytes())
    );
    for (what, said, data, cause) in [
        ("there", "", "", ""),
        ("removed", "service.removed", r#"{"service":"ci"}"#, "shut_out"),
        ("revoked", "secret.revoked", r#"{"secret":"sec_ci"}"#, "secret_ended"),
    ] {
        let world = World::with(&[&corp]);
        world.record("local", "service.created", r#"{"service":"ci"}"#);
        world.record("local", "secret.issued", &issued);
        if !said.is_empty() {
            world.record("local", said, data);
        }
        let told = || -> Vec<_> {
            let told: Vec<_> = world.refusals.0.lock().unwrap().drain(..).collect();
            told.into_iter().map(|one| (one.principal.unwrap_or_default().1, one.cause.as_str())).collect()
        };
        let expected = if cause.is_empty() { vec![] } else { vec![("service:ci".to_owned(), cause)] };
        let _ = world.password(Realm::Registry, "ci", SECRET).await;
        assert_eq!(told(), expected, "{what}");
        let wrong = if what == "removed" { ("", "no_such_name") } else { ("service:ci", "wrong_secret") };
        for typed in ["rcs_another", "a password"] {
            assert_eq!(world.password(Realm::Registry, "ci", typed).await, Err(SignInError::WrongCredentials));
            assert_eq!(told(), [(wrong.0.to_owned(), wrong.1)], "{what}: {typed}");
        }
    }
}

/// Where no directory checks passwords, as after its source was retired and taken out of the configuration.
#[tokio::test(start_paused = true)]
async fn without_any_directory_the_record_says_who_is_shut_out_whatever_was_typed_but_a_secret_that_is_none() {
    let world = World::with(&[]);
    world.record("local", "source.retired", CORP);
    for (typed, cause) in [("love:lace", "shut_out"), ("rcs_another", "wrong_secret")] {
        assert_eq!(world.password(Realm::Registry, "ada", typed).await, Err(SignInError::WrongCredentials));
        let told = world.refusals.0.lock().unwrap().pop();
        assert_eq!(told.map(|one| one.cause.as_str()), Some(cause), "{typed}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_shut_out_is_so_on_record_also_while_a_directory_does_not_answer_or_is_suspended_whose_name_it_may_be() {
    let (corp, lab) = (TestDirectory::new("corp"), TestDirectory::new("lab"));
    let world = World::with(&[&corp, &lab]);
    let cause = || world.refusals.0.lock().unwrap().pop().map(|one| one.cause.as_str());
    world.record("corp", "person.removed", ADA);
    lab.set_down(true);
    assert_eq!(
        world.password(Realm::Registry, "ada", "love:lace").await,
        Err(SignInError::DirectoryUnavailable),
        "the answer is as for everybody"
    );
    assert_eq!(cause(), Some("shut_out"));
    lab.set_down(false);
    world.record("local", "source.suspended", CORP);
    assert_eq!(world.password(Realm::Registry, "ada@ex.test", "x").await, Err(SignInError::WrongCredentials));
    assert_eq!(cause(), Some("no_directory"), "whose address it is only the one knows that is not asked");
}
