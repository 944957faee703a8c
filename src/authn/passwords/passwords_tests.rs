//! What is remembered of directories, and what is asked of them at once.

use std::sync::Arc;

use chrono::TimeDelta;

use super::*;
use crate::{
    Realm, SignInError,
    test_kit::{TestDirectory, World},
};

#[tokio::test(start_paused = true)]
async fn one_good_answer_is_enough_and_one_that_is_missing_leaves_it_open() {
    use PasswordAnswer::{Good, Refused, Unavailable};
    use PasswordRefusal::{Locked, PasswordExpired, Wrong};
    for (answers, expected) in [
        (&[][..], Err(Unsaid::Refused(Wrong))),
        (&[Refused(Wrong), Refused(Wrong)], Err(Unsaid::Refused(Wrong))),
        (&[Refused(PasswordExpired), Refused(Locked), Refused(Wrong)], Err(Unsaid::Refused(PasswordExpired))),
        (&[Refused(Wrong), Unavailable], Err(Unsaid::Open(Heard::Some))),
        (&[Unavailable, Unavailable], Err(Unsaid::Open(Heard::None))),
        (&[Unavailable, Good], Ok(())),
        (&[Good, Unavailable], Ok(())),
    ] {
        assert_eq!(first_good(answers.iter().map(|answer| async { *answer })).await, expected, "{answers:?}");
    }
    let hangs: [std::pin::Pin<Box<dyn Future<Output = PasswordAnswer>>>; 2] =
        [Box::pin(std::future::pending()), Box::pin(async { Good })];
    assert_eq!(first_good(hangs.into_iter()).await, Ok(()), "one that hangs holds up no good answer of another");
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn every_directory_is_asked_about_everybody_and_shown_no_password_but_of_its_own_people() {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    corp.set("u-ada", "love:lace");
    // Whoever says yes about somebody else's person signs nobody in.
    let world = World::with(&[&corp, &other]);
    assert!(world.password(Realm::Api, "ada", "love:lace").await.is_ok());
    assert!(world.password(Realm::Api, "ada", "wrong").await.is_err());
    assert!(world.password(Realm::Api, "nobody", "love:lace").await.is_err());
    let asked = |directory: &TestDirectory| directory.asked.lock().unwrap().clone();
    let named = |asked: &[(String, String)]| asked.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(named(&asked(&corp)), ["u-ada", "u-ada", "nobody"]);
    // Where the right one says yes at once nobody else need be asked.
    assert_eq!(named(&asked(&other)), ["nobody", "nobody"]);
    let looked_for = |directory: &TestDirectory| directory.looked_for.lock().unwrap().clone();
    assert_eq!(looked_for(&corp), ["u-ada", "u-ada", "nobody"]);
    assert_eq!(looked_for(&other)[looked_for(&other).len() - 2..], ["ada", "nobody"]);
    let shown: Vec<String> = asked(&other).into_iter().map(|(_, password)| password).collect();
    assert_eq!(shown.iter().map(String::len).collect::<Vec<_>>(), [5, 9], "as long as what was typed");
    assert!(!shown.iter().any(|password| ["love:lace", "wrong"].contains(&password.as_str())), "{shown:?}");
    assert_ne!(asked(&corp)[2].1, "love:lace");
}

/// What can be told apart from outside: the answer, how long it took, and what the directories had to do for it.
type Trace = Vec<(String, Duration, usize, usize)>;

/// One after the other: guesses again and again, others, from here and there, while directories come and go.
async fn trace(name: &str, other_name: &str) -> Trace {
    let (corp, other) = (TestDirectory::new("corp"), TestDirectory::new("other"));
    corp.set("u-ada", "a");
    corp.call("ada@ex.test", &["u-ada"]);
    corp.call("both@ex.test", &["u-ada", "u-bob"]);
    corp.call("twice@ex.test", &["u-ada"]);
    other.call("twice@ex.test", &["u-cyd"]);
    other.call("taken", &["u-cyd"]);
    let world = World::with(&[&corp, &other]);
    world.person("other", "cyd", true);
    world.person("flexnet", "lea", true);
    world.person("flexnet", "taken", true);
    let mut trace = Trace::new();
    for (corp_down, other_down) in [(false, false), (false, true), (true, false), (true, true), (false, false)] {
        corp.set_down(corp_down);
        other.set_down(other_down);
        for n in 0..24_u32 {
            let (name, guess) = match n % 6 {
                0 | 1 | 3 => (name, "the same again".to_owned()),
                5 => (other_name, format!("guess {n}")),
                _ => (name, format!("guess {n} {corp_down} {other_down}")),
            };
            let (before, start) = ((corp.effort(), other.effort()), Instant::now());
            let answer = world.password_from(n % 2, name, &guess).await.unwrap_err();
            let asked = (corp.effort() - before.0, other.effort() - before.1);
            trace.push((answer.to_string(), start.elapsed(), asked.0, asked.1));
            world.pass(TimeDelta::seconds(7));
        }
    }
    trace
}

#[tokio::test(start_paused = true)]
async fn nobody_learns_from_a_refusal_whether_a_name_is_somebodys_by_answer_by_time_or_by_repetition() {
    let expected = trace("nobody", "no one").await;
    let answers: std::collections::BTreeSet<&str> = expected.iter().map(|(answer, ..)| &answer[..14]).collect();
    assert_eq!(answers.len(), 3, "wrong, wait and cannot be reached all come: {answers:?}");
    let own =
        [("ada", "no one"), ("cyd", "no one"), ("lea", "ada"), ("ADA", "cyd"), ("nobody", "ada"), ("taken", "ada")];
    let others = [("ada@ex.test", "no one"), ("both@ex.test", "ada@ex.test"), ("twice@ex.test", "cyd")];
    for (name, other) in own.into_iter().chain(others) {
        assert_eq!(trace(name, other).await, expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_at_the_end_of_a_span_and_a_yes_at_once() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    let start = Instant::now();
    assert!(world.password(Realm::Api, "ada", "love:lace").await.is_ok());
    assert_eq!(start.elapsed(), Duration::ZERO);
    for _ in 0..2 {
        let start = Instant::now();
        assert!(world.password(Realm::Api, "ada", "wrong").await.is_err());
        assert_eq!(start.elapsed(), REFUSAL_SPAN, "remembered or not");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_nobody_takes_as_long_as_one_for_somebody_whose_password_is_slow_to_check() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    directory.slow.store(450, Ordering::SeqCst);
    let world = World::with(&[&directory]);
    let took = async |name: &str, password: &str| {
        let start = Instant::now();
        assert!(world.password(Realm::Api, name, password).await.is_err());
        start.elapsed()
    };
    assert_eq!(took("ada", "wrong").await, REFUSAL_SPAN * 5);
    for (name, password) in [("nobody", "wrong"), ("nobody", "another"), ("ada@ex.test", "wrong"), ("ada", "wrong")] {
        assert_eq!(took(name, password).await, REFUSAL_SPAN * 5, "{name}");
    }
    // A directory that was slow for once is forgotten, and one that hangs is nobody's measure.
    directory.slow.store(0, Ordering::SeqCst);
    tokio::time::advance(SLOWEST_COUNTS).await;
    assert_eq!(took("nobody", "third").await, REFUSAL_SPAN);
    directory.slow.store(7000, Ordering::SeqCst);
    assert_eq!(took("ada", "third").await, REFUSAL_SPAN * 71);
    assert_eq!(took("nobody", "fourth").await, REFUSAL_SPAN * MOST_SPANS);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_directory_lets_nobody_in_also_whom_another_source_knows_and_does_when_it_is_resumed() {
    let directory = TestDirectory::new("corp");
    directory.set("u-ada", "love:lace");
    let world = World::with(&[&directory]);
    world.person("hub", "countess", true);
    let link = r#"{"persons":[{"source":"corp","person":"u-ada"},{"source":"hub","person":"u-countess"}]}"#;
    world.record("local", "identity.linked", link);
    world.issue("ada", "rcs_ada");
    let ask = async |password| world.password(Realm::Registry, "ada", password).await.is_ok();
    assert!(ask("love:lace").await, "and the answer is remembered");
    let before = directory.effort();
    world.record("local", "source.suspended", r#"{"source":"corp"}"#);
    assert!(!ask("love:lace").await);
    assert_eq!(
        directory.effort(),
        before,
        "it is asked nothing, and shown no password of whom its word does not count for"
    );
    assert!(ask("rcs_ada").await, "who is known by another source signs in with what is no directory's");
    world.record("local", "source.resumed", r#"{"source":"corp"}"#);
    assert!(ask("love:lace").await);
    world.record("local", "source.suspended", r#"{"source":"hub"}"#);
    world.record("local", "source.suspended", r#"{"source":"corp"}"#);
    assert!(!ask("rcs_ada").await && !ask("love:lace").await, "nobody counts who she is");
}
