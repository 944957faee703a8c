//! What is good in which realm, what reaches a directory, and what is counted.

use rollcall_access::Principal;
use rollcall_events::{Clock as _, body};

use crate::{
    Credentials, Identity, Realm, RefusalCause, SignInError,
    test_kit::{ADMIN_KEY, CLIENT, TestDirectory, World},
};

const SECRET: &str = "rcs_YWRhLWFkYS1hZGEtYWRhLWFkYS1hZGEtYWRhLWFkYS0";

/// Who an answer says it is: the word of the principal, `operator`, `anonymous`, or what is wrong.
fn who(world: &World, found: Result<Identity, SignInError>) -> String {
    match found {
        Ok(Identity::Anonymous) => "anonymous".to_owned(),
        Ok(Identity::Operator) => "operator".to_owned(),
        Ok(Identity::Principal { principal, secret }) => {
            let Some(body::Principal::User(user)) = world.live.read().event_principal(principal) else {
                panic!("no user")
            };
            format!("{user}{}", secret.map(|secret| format!(" by {}", secret.id)).unwrap_or_default())
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_realm_takes_its_own_credentials() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    world.issue("ada", SECRET);
    let (wrong, by_secret) = ("the credentials are wrong", "corp/u-ada by sec_ada");
    let refresh = world.authenticator.issue_refresh_token("corp/u-ada", "sec_ada", 0, world.clock.now());
    let foreign = crate::RefreshKey::new(&[7; 32]).sign(&crate::refresh::RefreshClaims {
        user: "corp/u-ada".into(),
        secret: "sec_ada".into(),
        service: "other".into(),
        issued: 0,
        epoch: 0,
    });
    let password = |name: &str, text: &str| Credentials::password(name.to_owned(), text.to_owned()).unwrap();
    for (credentials, registry, api) in [
        (Credentials::Anonymous, "anonymous", wrong),
        (Credentials::Bearer(ADMIN_KEY.into()), wrong, "operator"),
        (Credentials::Bearer(SECRET.into()), wrong, by_secret),
        (Credentials::Bearer("rcs_other".into()), wrong, wrong),
        (password("ada", SECRET), by_secret, by_secret),
        (password("bob", SECRET), wrong, wrong),
        (password("ada", "love:lace"), "corp/u-ada", "corp/u-ada"),
        (password("bob", "love:lace"), wrong, wrong),
        (password("ada", ADMIN_KEY), wrong, wrong),
        (Credentials::Refresh(refresh.into()), by_secret, wrong),
        (Credentials::Refresh(foreign.into()), wrong, wrong),
    ] {
        for (realm, expected) in [(Realm::Registry, registry), (Realm::Api, api)] {
            let found = world.authenticate(realm, &credentials).await;
            assert_eq!(who(&world, found), expected, "{credentials:?} {realm:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_ours_is_sent_to_a_directory() {
    let directory = TestDirectory::new("corp");
    let world = World::with(&[&directory]);
    world.issue("ada", "a secret of another form");
    for ours in [SECRET, "rcr_refresh", "rk_admin", ADMIN_KEY, "a secret of another form", "", " ", "\0"] {
        for realm in [Realm::Registry, Realm::Api] {
            let _ = world.password(realm, "bob", ours).await;
            assert_eq!(directory.count(), 0, "{ours:?} {realm:?}");
        }
    }
    assert!(world.password(Realm::Registry, "bob", "a password").await.is_err());
    assert_eq!(directory.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn guesses_are_counted_together_and_a_registry_secret_does_not_wait() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    world.issue("ada", SECRET);
    for guess in 0..10 {
        let realm = if guess % 2 == 0 { Realm::Registry } else { Realm::Api };
        let found = world.password(realm, "ada", &format!("guess {guess}")).await;
        assert_eq!(found, Err(SignInError::WrongCredentials), "{guess}");
    }
    for realm in [Realm::Registry, Realm::Api] {
        let found = world.password(realm, "ada", "love:lace").await;
        assert!(matches!(found, Err(SignInError::Throttled(_))), "{realm:?}: {found:?}");
        assert!(world.password(realm, "ada", SECRET).await.is_ok(), "{realm:?}");
    }
    assert_eq!(directory.count(), 10, "nothing is checked while there is a wait");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_forgets_no_guess_and_one_that_is_set_back_makes_nobody_wait_longer() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    let ran = |seconds: i64| world.clock.1.store(seconds, std::sync::atomic::Ordering::SeqCst);
    ran(1_000);
    for guess in 0..10 {
        assert!(world.password(Realm::Registry, "ada", &format!("guess {guess}")).await.is_err());
    }
    let waits =
        async || matches!(world.password(Realm::Registry, "ada", "love:lace").await, Err(SignInError::Throttled(_)));
    assert!(waits().await);
    world.pass(chrono::TimeDelta::days(365));
    assert!(waits().await, "not a second has passed");
    world.pass(chrono::TimeDelta::days(-730));
    assert!(waits().await);
    ran(1_060);
    assert!(!waits().await, "a minute has");
    // And the answer that is remembered is so for a minute of the machine.
    let asked = directory.count();
    world.pass(chrono::TimeDelta::days(-1));
    assert!(!waits().await);
    assert_eq!(directory.count(), asked);
    ran(1_130);
    assert!(!waits().await);
    assert_eq!(directory.count(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn wrong_registry_secrets_are_counted_at_the_token_endpoint_only() {
    let world = World::with(&[]);
    for guess in 0..200 {
        let found = world.password(Realm::Api, "ada", &format!("rcs_{guess}")).await;
        assert_eq!(found, Err(SignInError::WrongCredentials));
    }
    let mut throttled = 0;
    for guess in 0..40 {
        let found = world.password(Realm::Registry, "ada", &format!("rcs_{guess}")).await;
        throttled += usize::from(matches!(found, Err(SignInError::Throttled(_))));
    }
    assert_eq!(throttled, 30);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_shut_out_is_nobody_though_a_directory_knows_the_password() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    let ada = world.live.read().user_by_name("ada").unwrap();
    let found = world.password(Realm::Registry, "ada", "love:lace").await;
    assert_eq!(found, Ok(Identity::Principal { principal: Principal::User(ada), secret: None }));
    world.person("corp", "ada", false);
    assert_eq!(world.password(Realm::Registry, "ada", "love:lace").await, Err(SignInError::WrongCredentials));
}

#[tokio::test(start_paused = true)]
async fn what_never_reaches_a_directory_keeps_no_password_out() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    for n in 0..300 {
        for (realm, name) in [(Realm::Registry, "ada"), (Realm::Registry, "nobody"), (Realm::Api, "ada")] {
            for prefix in ["rcs_", "rci_", "rcr_", "rk_"] {
                assert!(world.password(realm, name, &format!("{prefix}{n}")).await.is_err());
            }
        }
        let junk = Credentials::Refresh(format!("rcr_{n}").into());
        assert!(world.authenticate(Realm::Registry, &junk).await.is_err());
        world.authenticator.note_malformed(CLIENT, world.clock.now());
    }
    assert_eq!(directory.count(), 0);
    for realm in [Realm::Registry, Realm::Api] {
        assert!(world.password(realm, "ada", "love:lace").await.is_ok(), "{realm:?}");
    }
}

/// Case 08: everybody behind one address.
#[tokio::test(start_paused = true)]
async fn guesses_at_other_names_from_the_same_address_keep_nobody_out_who_signed_in_there() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    directory.set("u-bob", "b");
    let world = World::with(&[&directory]);
    let proxy = 0x0a00_0001;
    assert!(world.password_from(proxy, "ada", "love:lace").await.is_ok());
    for n in 0..200 {
        assert!(world.password_from(proxy, &format!("x{n}"), &format!("guess{n}")).await.is_err());
    }
    world.pass(chrono::TimeDelta::seconds(61));
    assert!(world.password_from(proxy, &"x".repeat(9), "guess").await.is_err());
    assert!(world.password_from(proxy, "ada", "love:lace").await.is_ok(), "also when the answer is not remembered");
    assert!(world.password_from(0x0a00_0002, "bob", "b").await.is_ok(), "the neighbour in the network");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_not_locked_from_outside_without_its_owner_noticing() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    assert!(world.password_from(1, "ada", "love:lace").await.is_ok());
    for n in 0..500 {
        assert!(world.password_from(100 + n, " ADA", &format!("guess {n}")).await.is_err());
    }
    let owner = world.password_from(1, "ada", "love:lace").await;
    assert!(owner.is_ok(), "the owner signs in where it did before: {owner:?}");
    assert!(directory.count() <= 12, "nothing of it reached the directory: {}", directory.count());
    let refusals = world.refusals.0.lock().unwrap();
    assert_eq!(refusals.len(), 500);
    let ada = Some(("corp/u-ada".to_owned(), "ada".to_owned()));
    assert!(refusals.iter().all(|refused| refused.principal == ada));
    let of = |cause| refusals.iter().filter(|refused| refused.cause == cause).count();
    assert_eq!((of(RefusalCause::WrongPassword), of(RefusalCause::Waiting)), (10, 490));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_with_its_cause_and_no_name_that_nobody_has() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    let _ = world.password(Realm::Api, "ada", "wrong").await;
    let _ = world.password(Realm::Api, "her password by mistake", "wrong").await;
    let _ = world.password(Realm::Registry, "bob", "rcs_old").await;
    let _ = world.authenticate(Realm::Api, &Credentials::Bearer("rcs_old".into())).await;
    let _ = world.authenticate(Realm::Api, &Credentials::Anonymous).await;
    directory.set_down(true);
    let _ = world.password(Realm::Api, "bob", "b").await;
    directory.set_down(false);
    world.person("corp", "ada", false);
    let _ = world.password(Realm::Api, "ada", "love:lace").await;
    let told: Vec<_> = world.refusals.0.lock().unwrap().drain(..).collect();
    let told: Vec<_> =
        told.iter().map(|one| (one.principal.as_ref().map_or("-", |who| who.1.as_str()), one.cause.as_str())).collect();
    let expected = [
        ("ada", "wrong_password"),
        ("-", "no_such_name"),
        ("bob", "wrong_secret"),
        ("-", "wrong_secret"),
        ("bob", "no_directory"),
        ("ada", "disabled"),
    ];
    assert_eq!(told, expected);
}
