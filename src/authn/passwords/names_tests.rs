//! What people type in place of their user name: whose it is, whose it is not, and that nobody learns that from outside.

use chrono::TimeDelta;
use rollcall_access::Principal;

use crate::{
    Identity, PasswordRefusal, Realm, SignInError,
    test_kit::{TestDirectory, World},
};

/// The user whom this signs in.
async fn who(world: &World, name: &str, password: &str) -> Result<String, SignInError> {
    let found = world.password(Realm::Registry, name, password).await?;
    let Identity::Principal { principal: Principal::User(user), secret: None } = found else { panic!("{found:?}") };
    Ok(world.live.read().user_id(user))
}

/// Whose names and causes were told since.
fn told(world: &World) -> Vec<(String, &'static str)> {
    let told: Vec<_> = world.refusals.0.lock().unwrap().drain(..).collect();
    told.into_iter().map(|one| (one.principal.map_or("-".to_owned(), |who| who.1), one.cause.as_str())).collect()
}

fn one(name: &str, cause: &'static str) -> Vec<(String, &'static str)> {
    vec![(name.to_owned(), cause)]
}

const WRONG: Result<String, SignInError> = Err(SignInError::WrongCredentials);

#[tokio::test(start_paused = true)]
async fn a_name_that_one_account_of_the_directories_has_signs_that_user_in() {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    corp.set("u-ada", "love:lace");
    corp.call("ada@ex.test", &["u-ada"]);
    corp.call("EX\\ada", &["u-ada"]);
    let world = World::with(&[&corp, &other]);
    for name in ["ada", "ada@ex.test", "EX\\ada"] {
        assert_eq!(who(&world, name, "love:lace").await.as_deref(), Ok("corp/u-ada"), "{name}");
        assert_eq!(who(&world, name, "love:lace").await.as_deref(), Ok("corp/u-ada"), "{name}, remembered");
        assert_eq!(who(&world, name, "wrong").await, WRONG, "{name}");
        assert_eq!(told(&world), one("ada", "wrong_password"), "{name}");
    }
    let shown = other.asked.lock().unwrap().clone();
    assert!(shown.iter().all(|(_, password)| password != "love:lace"), "another directory was shown it: {shown:?}");
    // An answer ends with an event for the person, whatever the name.
    let before = corp.count();
    let moved = r#"{"person":"u-ada","username":"ada","account":"acme","active":true}"#;
    world.record("corp", "person.upserted", moved);
    assert!(who(&world, "ada@ex.test", "love:lace").await.is_ok());
    assert_eq!(corp.count(), before + 1);
    world.person("corp", "ada", false);
    assert_eq!(who(&world, "ada@ex.test", "love:lace").await, WRONG);
    assert_eq!(told(&world), one("ada", "disabled"));
}

#[tokio::test(start_paused = true)]
async fn a_users_own_name_comes_first_and_a_name_of_several_is_nobodys() {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    for (person, password) in [("u-ada", "a"), ("u-bob", "b"), ("u-boss@ex.test", "c")] {
        corp.set(person, password);
    }
    other.set("u-cyd", "d");
    let world = World::with(&[&corp, &other]);
    world.person("other", "cyd", true);
    world.person("corp", "boss@ex.test", true);

    // Somebody's own name, which the directory also finds with somebody else.
    corp.call("boss@ex.test", &["u-ada"]);
    assert_eq!(who(&world, "boss@ex.test", "c").await.as_deref(), Ok("corp/u-boss@ex.test"));
    assert_eq!(who(&world, "boss@ex.test", "a").await, WRONG);
    told(&world);

    corp.call("both@ex.test", &["u-ada", "u-bob"]);
    for password in ["a", "b"] {
        assert_eq!(who(&world, "both@ex.test", password).await, WRONG);
    }
    let expected = [("ada", "ambiguous_name"), ("bob", "ambiguous_name")].map(|(who, why)| (who.to_owned(), why));
    assert_eq!(told(&world), [expected.clone(), expected].concat());

    corp.call("two@ex.test", &["u-ada"]);
    other.call("two@ex.test", &["u-cyd"]);
    assert_eq!(who(&world, "two@ex.test", "a").await, WRONG);
    let expected = [("ada", "ambiguous_name"), ("cyd", "ambiguous_name")].map(|(who, why)| (who.to_owned(), why));
    assert_eq!(told(&world), expected);
    // Two persons who are one user are one.
    let link = r#"{"persons":[{"source":"corp","person":"u-ada"},{"source":"other","person":"u-cyd"}]}"#;
    world.record("local", "identity.linked", link);
    world.pass(TimeDelta::seconds(61));
    for password in ["a", "d"] {
        assert_eq!(who(&world, "two@ex.test", password).await.as_deref(), Ok("corp/u-ada"), "{password}");
    }

    // Of somebody whom no read has stated yet it is nobody's.
    corp.call("new@ex.test", &["u-new"]);
    corp.set("u-new", "n");
    assert_eq!(who(&world, "new@ex.test", "n").await, WRONG);
    assert_eq!(told(&world), one("-", "no_such_name"));
    // And while one directory cannot say whether it has another, nobody knows.
    other.set_down(true);
    corp.call("ada@ex.test", &["u-ada"]);
    assert_eq!(who(&world, "ada@ex.test", "a").await, Err(SignInError::DirectoryUnavailable));
    let shown = corp.asked.lock().unwrap().clone();
    let of = |name: &str| shown.iter().filter(|(whom, _)| whom == name).count();
    assert_eq!((of("u-bob"), of("u-new")), (0, 0), "a password was shown to the wrong one: {shown:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_with_a_link_that_is_made_or_ended() {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    corp.set("u-ada", "a");
    other.set("u-cyd", "d");
    let world = World::with(&[&corp, &other]);
    world.person("other", "cyd", true);
    let link = r#"{"persons":[{"source":"corp","person":"u-ada"},{"source":"other","person":"u-cyd"}]}"#;
    // Another event for the person that stays is the newer one.
    for newest in ["other", "corp"] {
        if newest == "corp" {
            let moved = r#"{"person":"u-ada","username":"ada","account":"acme","active":true}"#;
            world.record("corp", "person.upserted", moved);
        }
        assert_eq!(who(&world, "ada", "d").await, WRONG, "{newest}");
        world.record("local", "identity.linked", link);
        assert_eq!(who(&world, "ada", "d").await.as_deref(), Ok("corp/u-ada"), "{newest}");
        world.record("local", "identity.unlinked", link);
        assert_eq!(who(&world, "ada", "d").await, WRONG, "{newest}: the password of who is another user now");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_belongs_to_another_user_than_the_directory_means_is_refused_and_told_so() {
    let corp = TestDirectory::new("corp");
    corp.set("u-bob", "b");
    corp.call("lea", &["u-bob"]);
    let world = World::with(&[&corp]);
    world.person("flexnet", "lea", true);
    assert_eq!(who(&world, "lea", "b").await, WRONG);
    let before = corp.effort();
    assert_eq!(who(&world, "lea", "b").await, WRONG);
    assert_eq!(corp.effort(), before, "remembered, as for any name");
    world.refusals.0.lock().unwrap().truncate(2);
    let expected = [("lea", "name_taken"), ("bob", "name_taken")].map(|(who, why)| (who.to_owned(), why));
    assert_eq!(told(&world), expected);
}

/// As while the removals of a directory that was restored are held.
#[tokio::test(start_paused = true)]
async fn whose_entry_is_gone_from_the_directory_is_refused_and_that_is_told_and_no_wrong_password() {
    let corp = TestDirectory::new("corp");
    corp.set("u-ada", "a");
    let world = World::with(&[&corp]);
    corp.lose("u-ada");
    assert_eq!(who(&world, "ada", "a").await, WRONG);
    assert_eq!(told(&world), one("ada", "no_such_name"));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_a_password_ends_when_two_are_linked_and_when_they_part() {
    let corp = TestDirectory::new("corp");
    corp.set("u-zoe", "z");
    corp.call("lea", &["u-zoe"]);
    let world = World::with(&[&corp]);
    world.person("flexnet", "lea", true);
    world.person("corp", "zoe", true);
    world.record("flexnet", "person.upserted", r#"{"person":"u-lea","username":"lea","account":"a","active":true}"#);
    let link = r#"{"persons":[{"source":"flexnet","person":"u-lea"},{"source":"corp","person":"u-zoe"}]}"#;
    for _ in 0..2 {
        assert_eq!(who(&world, "lea", "z").await, WRONG);
        world.record("local", "identity.linked", link);
        assert_eq!(who(&world, "lea", "z").await.as_deref(), Ok("flexnet/u-lea"));
        world.record("local", "identity.unlinked", link);
    }
}

#[tokio::test(start_paused = true)]
async fn only_whoever_knows_the_password_is_told_that_it_is_over() {
    let corp = TestDirectory::new("corp");
    let world = World::with(&[&corp]);
    corp.set("u-ada", "a");
    corp.call("ada@ex.test", &["u-ada"]);
    use PasswordRefusal::{AccountExpired, Disabled, Locked, MustChange, NotNow, PasswordExpired};
    for (why, cause, answer) in [
        (MustChange, "must_change", SignInError::PasswordOver),
        (PasswordExpired, "password_expired", SignInError::PasswordOver),
        (Locked, "locked", SignInError::WrongCredentials),
        (Disabled, "disabled", SignInError::WrongCredentials),
        (AccountExpired, "account_expired", SignInError::WrongCredentials),
        (NotNow, "not_now", SignInError::WrongCredentials),
    ] {
        corp.set_over("u-ada", why);
        for name in ["ada", "ada@ex.test"] {
            assert_eq!(who(&world, name, "a").await, Err(answer), "{why:?}");
            assert_eq!(told(&world), one("ada", cause));
            assert_eq!(who(&world, name, "wrong").await, WRONG, "{why:?}");
            assert_eq!(told(&world), one("ada", "wrong_password"));
        }
        world.pass(TimeDelta::seconds(121));
    }
}

#[tokio::test(start_paused = true)]
async fn guesses_under_any_name_count_for_the_account_and_lock_no_owner_out() {
    let corp = TestDirectory::new("corp");
    corp.set("u-ada", "a");
    corp.call("ada@ex.test", &["u-ada"]);
    corp.call("EX\\ada", &["u-ada"]);
    let world = World::with(&[&corp]);
    let (owner, elsewhere) = (7, 8);
    assert!(world.password_from(owner, "ada@ex.test", "a").await.is_ok());
    for n in 0..10 {
        let name = if n % 2 == 0 { "ada@ex.test" } else { "EX\\ada" };
        assert!(world.password_from(100 + n, name, &format!("guess {n}")).await.is_err());
    }
    let waits = world.password_from(elsewhere, "ada", "a").await;
    assert!(matches!(waits, Err(SignInError::Throttled(_))), "ten guesses are ten guesses: {waits:?}");
    // Under a name that nobody guessed at it is refused like a wrong one, and nothing is shown to the directory.
    corp.call("a.lovelace", &["u-ada"]);
    let shown = corp.asked.lock().unwrap().len();
    assert_eq!(world.password_from(elsewhere, "a.lovelace", "a").await, Err(SignInError::WrongCredentials));
    let after: Vec<_> = corp.asked.lock().unwrap()[shown..].to_vec();
    assert!(after.iter().all(|(whom, password)| whom == "nobody" && password != "a"), "{after:?}");
    assert_eq!(told(&world).last().unwrap(), &("ada".to_owned(), "waiting"));
    // And no longer than under her own.
    world.pass(TimeDelta::seconds(2));
    assert!(world.password_from(elsewhere, "a.lovelace", "a").await.is_ok());
    // The owner is known where the right one came from, by both names.
    world.pass(TimeDelta::seconds(61));
    for n in 0..200 {
        for name in ["ada@ex.test", "ada"] {
            assert!(world.password_from(300 + n, name, &format!("more {n}")).await.is_err());
        }
    }
    for name in ["ada@ex.test", "ada"] {
        assert!(world.password_from(owner, name, "a").await.is_ok(), "{name}");
    }
    assert!(world.password_from(elsewhere, "ada@ex.test", "a").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_name_of_a_domain_that_one_directory_owns_is_asked_of_no_other_and_waits_for_none() {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    corp.set("u-ada", "a");
    other.set("u-cyd", "d");
    let world = World::with(&[&corp, &other]);
    world.person("other", "cyd", true);
    corp.own("@corp.test");
    corp.call("ada@corp.test", &["u-ada"]);
    // Whoever fills the other one claims the address: neither is the name two people's, nor is the other shown anything.
    other.call("ada@corp.test", &["u-cyd"]);
    assert_eq!(who(&world, "ada@corp.test", "a").await.as_deref(), Ok("corp/u-ada"));
    other.set_down(true);
    world.pass(TimeDelta::seconds(61));
    assert_eq!(who(&world, "ada@corp.test", "a").await.as_deref(), Ok("corp/u-ada"));
    assert_eq!(other.effort(), 0, "the other directory was asked");
    // A name of no domain that somebody owns may be anybody's.
    corp.call("ada@ex.test", &["u-ada"]);
    assert_eq!(who(&world, "ada@ex.test", "a").await, Err(SignInError::DirectoryUnavailable));
    // Nor does another one answer for the owner.
    other.set_down(false);
    corp.set_down(true);
    world.pass(TimeDelta::seconds(61));
    assert_eq!(who(&world, "ada@corp.test", "d").await, Err(SignInError::DirectoryUnavailable));
    world.record("local", "source.suspended", r#"{"source":"corp"}"#);
    assert_eq!(who(&world, "ada@corp.test", "d").await, WRONG, "a suspended one keeps what is its own");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_suspended_or_retired_is_neither_asked_about_a_name_nor_waited_for() {
    for said in ["source.suspended", "source.retired"] {
        let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
        other.set("u-cyd", "d");
        other.call("cyd@ex.test", &["u-cyd"]);
        let world = World::with(&[&corp, &other]);
        world.person("other", "cyd", true);
        corp.set_down(true);
        assert_eq!(who(&world, "cyd@ex.test", "d").await, Err(SignInError::DirectoryUnavailable));
        let before = corp.effort();
        world.record("local", said, r#"{"source":"corp"}"#);
        assert_eq!(who(&world, "cyd@ex.test", "d").await.as_deref(), Ok("other/u-cyd"), "{said}");
        assert_eq!(who(&world, "cyd@ex.test", "wrong").await, WRONG, "{said}");
        assert_eq!(who(&world, "cyd", "wrong").await, WRONG, "{said}");
        assert_eq!(who(&world, "nobody@ex.test", "d").await, WRONG, "{said}");
        assert_eq!(corp.effort(), before, "{said}: it was asked");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_had_before_signs_nobody_in_and_the_record_says_whose_it_was() {
    let corp = TestDirectory::new("corp");
    corp.set("u-ada", "a");
    let world = World::with(&[&corp]);
    world.issue("ada", "rc_secret");
    world.record("local", "user.name.given", r#"{"username":"lace","user":"corp/u-ada"}"#);
    for credential in ["a", "rc_secret"] {
        assert_eq!(who(&world, "ada", credential).await, WRONG);
        assert_eq!(told(&world), one("lace", "former_name"), "{credential}");
    }
    assert_eq!(who(&world, "lace", "a").await.as_deref(), Ok("corp/u-ada"));
    assert_eq!(who(&world, "nobody", "a").await, WRONG);
    assert_eq!(told(&world), one("-", "no_such_name"));
}
