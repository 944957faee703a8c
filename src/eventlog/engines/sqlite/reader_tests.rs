//! Readers of the file besides the writer, in this process and in others: they stop nobody, and cost what they take.

use std::{io::BufRead, process::Command, time::Duration};

use rollcall_sqlite::{Limits, readers};
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    engine_tests::{insist, newest, open, quick, stray},
    *,
};
use crate::{
    PAGE_BYTES, VerifyError, VerifyOptions,
    sequence::sequence,
    suite::kit::{Dir, TestClock, event, events, read_all},
};

/// Somebody who reads the log and stays: sees what there is now, and keeps it.
async fn reader_that_stays(dir: &Dir) -> SqliteConnection {
    let mut reader = stray(dir).await;
    reader.execute("BEGIN").await.unwrap();
    reader.execute("SELECT count(*) FROM event").await.unwrap();
    reader
}

/// Little is much.
fn small() -> Limits {
    Limits { step: 64 << 10, most: 1 << 20, rest: Duration::ZERO, ..quick().write_ahead }
}

/// Readers who stay are processes of their own (the test runs itself again): the system tells who has a lock, by process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_stops_no_append_and_is_named_until_it_is_gone() {
    const CHILD: &str = "ROLLCALL_TEST_READER_THAT_STAYS";
    if let Some(dir) = std::env::var_os(CHILD) {
        let mut reader =
            SqliteConnectOptions::new().filename(files::database(Path::new(&dir))).connect().await.unwrap();
        reader.execute("BEGIN").await.unwrap();
        reader.execute("SELECT count(*) FROM event").await.unwrap();
        println!("reads");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let dir = Dir::new();
    let look_again = Duration::from_millis(20);
    let options = Options { write_ahead: Limits { look_again, ..small() }, ..quick() };
    let log = SqliteLog::open(&dir.0, TestClock::new(), options).await.unwrap();
    log.append(events(0..10)).await.unwrap();
    let name = "engines::sqlite::reader_tests::a_reader_that_stays_stops_no_append_and_is_named_until_it_is_gone";
    let mut reader = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, &dir.0)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = std::io::BufReader::new(reader.stdout.take().unwrap()).lines();
    while !told.next().unwrap().unwrap().contains("reads") {}
    assert_eq!(log.write_ahead().held, None, "little is written ahead yet");
    for n in 0..60 {
        let outcome = log.append(vec![event(&format!("large{n}"), &"x".repeat(100_000))]).await;
        assert!(outcome.is_ok(), "append {n}: {outcome:?}");
    }
    let by = loop {
        match log.write_ahead() {
            WriteAhead { bytes, held: Some(held), .. } if bytes > 5 << 20 => break held.by,
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(by.len() == 1 && by[0].contains(&format!("(process {})", reader.id())), "{by:?}");

    drop(reader.stdin.take());
    reader.wait().unwrap();
    // Nobody appends: the log looks by itself whether the reader is gone.
    while log.write_ahead() != (WriteAhead { database: "log.db", ..WriteAhead::default() }) {
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::metadata(dir.0.join("log.db-wal")).unwrap().len(), 0, "what it took is given back");
    log.close().await;
}

#[tokio::test]
async fn what_is_taken_from_the_file_at_once_is_bounded_in_bytes_whatever_is_looked_for() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    let large = (0..12).map(|n| event(&format!("large{n}"), &"x".repeat(900_000)));
    log.append(large.collect()).await.unwrap();
    let mut sql = open::read_only(&files::database(&dir.0), Duration::from_secs(5)).connect().await.unwrap();
    let (to, bytes) = chain::read_bytes(&mut sql, Position(0), Position(12)).await.unwrap();
    assert_eq!(to, Position(3));
    assert!(bytes.len() < PAGE_BYTES, "{}", bytes.len());
    let positions: Vec<_> = (1..=12).map(Position).collect();
    let id = log.shared.id;
    let (found, count) = record::find_at(&mut sql, &mut record::Decoder::default(), id, &positions).await.unwrap();
    assert_eq!((found.len(), count), (3, 3));
    sql.close().await.unwrap();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_and_go_do_not_let_the_write_ahead_log_grow() {
    let dir = Arc::new(Dir::new());
    let options = Options { write_ahead: Limits { step: 256 << 10, ..small() }, ..quick() };
    let log = SqliteLog::open(&dir.0, TestClock::new(), options).await.unwrap();
    log.append(events(0..10)).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    // One of two readers is always there, and none of them stays.
    let come_and_go = || {
        let (dir, stopped) = (Arc::clone(&dir), stopped.clone());
        tokio::spawn(async move {
            while !*stopped.borrow() {
                reader_that_stays(&dir).await.close().await.unwrap();
            }
        })
    };
    let readers = [come_and_go(), come_and_go()];
    for n in 0..100 {
        log.append(vec![event(&format!("large{n}"), &"x".repeat(100_000))]).await.unwrap();
        assert!(log.write_ahead().bytes < 2 << 20, "{:?}", log.write_ahead());
    }
    stop.send(true).unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_and_a_check_beside_a_server_keep_nobody_from_moving_what_is_written_ahead() {
    let (dir, target) = (Dir::new(), Dir::new());
    let log = open(&dir).await.unwrap();
    log.append(events(0..5000)).await.unwrap();
    // Not even the log's own readers, which are none now.
    let file = files::database(&dir.0);
    let mut looked = 0;
    let mut nobody_reads = || {
        assert_eq!(readers(&file), []);
        looked += 1;
    };
    backup::copy(&file, &target.0.join("copy.db"), |_| nobody_reads()).await.unwrap();
    verify(&dir.0, VerifyOptions::default(), |_| nobody_reads()).await.unwrap();
    assert_eq!(looked, 10, "both go page by page");
    let reader = reader_that_stays(&dir).await;
    assert_eq!(readers(&file).len(), 1, "who reads is seen");
    reader.close().await.unwrap();
    assert!(files::is_in_use(&dir.0), "the check was one beside a server");
    log.close().await;
    assert!(!files::is_in_use(&dir.0));
}

#[tokio::test]
async fn a_key_that_is_not_found_is_seen_by_a_check_beside_a_server_too() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..300)).await.unwrap();
    log.close().await;
    // The page of the index that has some key: its copy there, not the record's.
    let file = files::database(&dir.0);
    let mut bytes = std::fs::read(&file).unwrap();
    let key = b"flexnete77";
    for at in 0..bytes.len() - key.len() {
        if bytes[at..].starts_with(key) && !bytes[at..].starts_with(b"flexnete77rollcall") {
            bytes[at + key.len() - 1] = b'\x7f';
        }
    }
    std::fs::write(&file, bytes).unwrap();
    let whole = verify(&dir.0, VerifyOptions::default(), |_| ()).await.unwrap_err();
    assert!(matches!(whole, VerifyError::Structure { .. }), "{whole}");
    let server = Lock::take(&dir.0).unwrap();
    let beside = verify(&dir.0, VerifyOptions::default(), |_| ()).await.unwrap_err();
    assert!(beside.to_string().contains("is found by its key"), "{beside}");
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_opened_and_opened_anew_while_a_reader_stays() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..3)).await.unwrap();
    let reader = reader_that_stays(&dir).await;
    log.append(events(3..6)).await.unwrap();
    log.close().await;
    let log = open(&dir).await.unwrap();
    assert_eq!(log.append(events(6..7)).await.unwrap(), [Outcome::Recorded(Position(7))]);
    // A write fails, as somebody wrote what would have come next.
    let (head, mut sql) = (newest(&log), stray(&dir).await);
    let left = sequence(vec![events(7..8)], |_| None, head, TestClock::new().now(), TestClock::new().now());
    record::insert(&mut sql, &left.new, &left.hashes).await.unwrap();
    log.append(events(8..9)).await.unwrap_err();
    assert_eq!(insist(&log, &events(7..9)).await, [Outcome::Duplicate(Position(8)), Outcome::Recorded(Position(9))]);
    assert_eq!(read_all(&log, 9, 100).await.into_iter().map(|r| r.event).collect::<Vec<_>>(), events(0..9));
    reader.close().await.unwrap();
}
