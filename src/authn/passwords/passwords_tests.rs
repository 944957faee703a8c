//! What is remembered of directories, and what is asked of them at once.

use std::sync::Arc;

use chrono::TimeDelta;

use super::*;
use crate::{
    Realm, SignInError,
    test_kit::{TestDirectory, World},
};

#[tokio::test]
async fn one_good_answer_is_enough_and_one_that_is_missing_leaves_it_open() {
    use PasswordAnswer::{Bad, Good, Unavailable};
    for (answers, expected) in [
        (&[][..], Bad),
        (&[Bad, Bad], Bad),
        (&[Bad, Unavailable], Unavailable),
        (&[Unavailable, Good], Good),
        (&[Good, Unavailable], Good),
    ] {
        assert_eq!(first_good(answers.iter().map(|answer| async { *answer })).await, expected, "{answers:?}");
    }
    let hangs: [std::pin::Pin<Box<dyn Future<Output = PasswordAnswer>>>; 2] =
        [Box::pin(std::future::pending()), Box::pin(async { Good })];
    assert_eq!(first_good(hangs.into_iter()).await, Good, "one that hangs holds up no good answer of another");
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_minute_and_never_past_an_event_for_the_person() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    let ask = async |password| world.password(Realm::Api, "ada", password).await.is_ok();
    for _ in 0..3 {
        assert!(ask("love:lace").await && !ask("old").await);
    }
    assert_eq!(directory.count(), 2, "right and wrong ones alike");
    world.pass(TimeDelta::seconds(60));
    assert!(ask("love:lace").await);
    assert_eq!(directory.count(), 3);
    for (source, event, data) in [
        ("corp", "person.upserted", r#"{"person":"u-ada","username":"ada","account":"acme","active":true}"#),
        ("local", "credentials.reset", r#"{"user":"corp/u-ada"}"#),
    ] {
        let before = directory.count();
        world.record(source, event, data);
        assert!(ask("love:lace").await && ask("love:lace").await);
        assert_eq!(directory.count(), before + 1, "{event}");
    }
}

#[tokio::test]
async fn an_outage_is_not_remembered_and_what_is_remembered_outlives_one() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    directory.set("u-bob", "b");
    let world = World::with(&[&directory]);
    assert!(world.password(Realm::Api, "ada", "love:lace").await.is_ok());
    directory.set_down(true);
    assert!(world.password(Realm::Registry, "ada", "love:lace").await.is_ok());
    assert_eq!(world.password(Realm::Api, "bob", "b").await, Err(SignInError::DirectoryUnavailable));
    directory.set_down(false);
    assert!(world.password(Realm::Api, "bob", "b").await.is_ok());
}

#[tokio::test]
async fn of_many_who_ask_the_same_at_once_one_asks_the_directory() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    directory.permits.forget_permits(usize::MAX);
    let world = Arc::new(World::with(&[&directory]));
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.password(Realm::Registry, "ada", "love:lace").await.is_ok() })
        })
        .collect();
    while directory.count() == 0 {
        tokio::task::yield_now().await;
    }
    directory.permits.add_permits(1);
    for one in asking {
        assert!(one.await.unwrap());
    }
    assert_eq!(directory.count(), 1);
}

#[tokio::test]
async fn a_person_is_asked_of_its_own_directory_and_nobody_of_all() {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    corp.set("u-ada", "love:lace");
    let world = World::with(&[&corp, &other]);
    assert!(world.password(Realm::Api, "ada", "love:lace").await.is_ok());
    assert_eq!((corp.count(), other.count()), (1, 0));
    assert!(world.password(Realm::Api, "nobody", "love:lace").await.is_err());
    assert_eq!((corp.count(), other.count()), (2, 1), "an unknown name takes as long as a known one");
    assert_eq!(*other.asked.lock().unwrap(), [("nobody".to_owned(), "love:lace".to_owned())]);
}
