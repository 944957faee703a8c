//! A second file takes the place of the one in use, which is written, moved and read meanwhile, by whoever may give up at any
//! moment.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rollcall_access::Folded;
use rollcall_events::Position;
use rollcall_sqlite::Limits;

use super::{
    file::LIMITS,
    read_tests::{ORIGIN, began, folded},
    store::SqliteRead,
};
use crate::{
    read::{Lists, Projection},
    suite::kit::Dir,
};

/// Little is much: it is moved all the time.
fn restless() -> Limits {
    let (look_again, rest) = (Duration::from_millis(1), Duration::ZERO);
    Limits { step: 16 << 10, most: 64 << 10, look_again, rest, insist: Duration::from_millis(1), ..LIMITS }
}

/// One product more, with a name that fills some pages.
fn product(at: u64) -> Folded {
    let name = "x".repeat(5_000);
    folded(at, [began(&format!("product/{at}"), &format!(r#"{{"product":"{at}","name":"{name}"}}"#))])
}

/// What is asked for, by somebody who has the patience for so many turns.
async fn asked<T>(question: impl Future<Output = T>, turns: u64) -> Option<T> {
    let patience = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        answer = question => Some(answer),
        () = patience => None,
    }
}

/// Whoever asks and gives up, from the first moment of a question to its answer.
async fn ask_and_give_up(read: SqliteRead, stop: Arc<AtomicBool>, given_up: Arc<AtomicU64>) {
    for turns in (0..40).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let answered = match turns % 4 {
            0 => asked(read.parked_count(), turns).await.is_some(),
            1 => asked(read.history("flexnet", "product/1"), turns).await.is_some(),
            2 => asked(read.position(), turns).await.is_some(),
            _ => asked(async { read.freeze().await?.membership_digest(chrono::DateTime::UNIX_EPOCH).await }, turns)
                .await
                .is_some(),
        };
        given_up.fetch_add(u64::from(!answered), Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_replaced_again_and_again_while_it_is_written_moved_and_asked() {
    let (dir, stop, given_up) = (Dir::new(), Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let read = SqliteRead::open_with(&dir, ORIGIN, restless()).await.unwrap();
    let askers: Vec<_> =
        (0..3).map(|_| tokio::spawn(ask_and_give_up(read.clone(), Arc::clone(&stop), Arc::clone(&given_up)))).collect();
    let mut at = 0;
    for _ in 0..25 {
        for _ in 0..4 {
            read.apply(&[product(at + 1)], Position(at), Position(at + 1)).await.unwrap();
            at += 1;
        }
        let next = read.start_rebuild().await.unwrap();
        let all: Vec<Folded> = (1..=at).map(product).collect();
        next.apply(&all, Position(0), Position(at)).await.unwrap();
        next.index().await.unwrap();
        next.swap().await.unwrap();
        assert_eq!(read.position().await.unwrap(), Position(at));
    }
    stop.store(true, Ordering::Relaxed);
    for asker in askers {
        asker.await.unwrap();
    }
    assert!(given_up.load(Ordering::Relaxed) > 0, "everybody was answered");
    for n in 1..=at {
        assert_eq!(read.history("flexnet", &format!("product/{n}")).await.unwrap().len(), 1, "{n}");
    }
}

/// A check that its client does not wait for any more, amid its look at the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_the_file_that_was_given_up_keeps_no_other_from_its_place() {
    let dir = Dir::new();
    let read = SqliteRead::open(&dir, ORIGIN).await.unwrap();
    read.apply(&[product(1)], Position(0), Position(1)).await.unwrap();
    for _ in 0..8 {
        let next = read.start_rebuild().await.unwrap();
        next.apply(&[product(1)], Position(0), Position(1)).await.unwrap();
        next.index().await.unwrap();
        drop(read.freeze().await.unwrap());
        next.swap().await.unwrap();
    }
}
