//! What only the embedded engine must do: one process, everything kept, errors survived.
//! Damage has its own file.

use std::{path::PathBuf, process::Command, time::Duration};

use futures_util::future::join_all;
use rollcall_events::Reader;
use rollcall_sqlite::Limits;
use sqlx::{ConnectOptions, Connection, Executor, SqlSafeStr, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::{
    HeadError, VerifyError, VerifyOptions,
    sequence::sequence,
    suite::kit::{Dir, TestClock, event, events, read_all},
};

pub(super) fn quick() -> Options {
    let (back_off, wait) = (Duration::from_millis(20), Duration::from_millis(50));
    Options { back_off, busy_timeout: wait, write_ahead: Limits { wait, ..Limits::USUAL }, ..Options::default() }
}

/// The newest durable record.
pub(super) fn newest(log: &SqliteLog) -> Head {
    *log.shared.head.borrow()
}

pub(super) async fn open(dir: &Dir) -> Result<SqliteLog, OpenError> {
    SqliteLog::open(&dir.0, TestClock::new(), quick()).await
}

/// A stray tool with the file open for writing.
pub(super) async fn stray(dir: &Dir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(files::database(&dir.0)).connect().await.unwrap()
}

/// Appends until the log takes events again.
pub(super) async fn insist(log: &SqliteLog, batch: &[NewEvent]) -> Vec<Outcome> {
    loop {
        match log.append(batch.to_vec()).await {
            Ok(outcomes) => return outcomes,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Rolled back after a day: the older version says what to start instead, and leaves everything as it is.
#[tokio::test]
async fn an_older_version_does_not_start_on_a_log_that_it_cannot_judge() {
    let dir = Dir::new();
    let config = crate::EngineConfig::Embedded { dir: dir.0.clone() };
    let log = crate::Log::open(&config, TestClock::new()).await.unwrap();
    log.append(events(0..2)).await.unwrap();
    let mut newer = Reader(Reader::CURRENT.0 + 1).raised();
    newer.data = r#"{"reader":99,"version":"9.1.0","because":"x"}"#.into();
    log.append(vec![newer]).await.unwrap();
    log.close().await;
    for _ in 0..2 {
        let error = crate::Log::open(&config, TestClock::new()).await.err().unwrap();
        let (told, is) = (error.to_string(), matches!(error, OpenError::Newer { position: Position(3), .. }));
        assert!(is && told.contains("position 3") && told.contains("start Rollcall 9.1.0"), "{told}");
    }
    assert!(crate::Log::open_to_mend(&config, TestClock::new()).await.is_err());
    // Whoever only looks at bytes can.
    let report = crate::Log::verify(&config, VerifyOptions::default(), |_| ()).await.unwrap();
    assert_eq!(report.head.position, Position(3));
}

#[tokio::test]
async fn a_file_of_a_newer_form_names_the_version_that_gave_it() {
    let dir = Dir::new();
    open(&dir).await.unwrap().close().await;
    let mut sql = stray(&dir).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (1000, 'later', 1, x'00', 0)";
    sql.execute(newer).await.unwrap();
    for (number, says) in [(0x0100_0203, "start 1.2.3 or a newer one"), (0, "start that one")] {
        sql.execute(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {number}")).into_sql_str()).await.unwrap();
        let error = open(&dir).await.err().unwrap();
        let told = error.to_string();
        assert!(
            matches!(error, OpenError::NewerForm { .. }) && told.contains("log.db") && told.contains(says),
            "{told}"
        );
    }
}

#[tokio::test]
async fn everything_is_kept_through_a_reopening() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..50)).await.unwrap();
    let (id, head, read) = (Tail::log_id(&log), newest(&log), read_all(&log, 50, 7).await);
    log.close().await;
    let error = log.append(events(50..51)).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error}");

    let log = open(&dir).await.unwrap();
    assert_eq!((Tail::log_id(&log), newest(&log)), (id, head));
    assert_eq!(read_all(&log, 50, 7).await, read);
    assert!(log.append(events(0..50)).await.unwrap().iter().all(|o| matches!(o, Outcome::Duplicate(_))));
    assert_eq!(log.append(events(50..51)).await.unwrap(), [Outcome::Recorded(Position(51))]);
    assert_eq!(read_all(&log, 51, 7).await[..50], read);
}

#[tokio::test]
async fn recorded_at_does_not_fall_behind_what_an_earlier_process_wrote() {
    let dir = Dir::new();
    let clock = TestClock::new();
    let log = SqliteLog::open(&dir.0, clock.clone(), quick()).await.unwrap();
    log.append(events(0..1)).await.unwrap();
    log.close().await;
    clock.step(chrono::Duration::days(-1));
    let log = SqliteLog::open(&dir.0, clock, quick()).await.unwrap();
    log.append(events(1..2)).await.unwrap();
    let read = read_all(&log, 2, 2).await;
    assert_eq!(read[0].recorded_at, read[1].recorded_at);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_records_nothing_until_it_is_set_right() {
    let (dir, clock) = (Dir::new(), TestClock::new());
    clock.run_for(1_000);
    let log = SqliteLog::open(&dir.0, clock.clone(), quick()).await.unwrap();
    log.append(events(0..1)).await.unwrap();
    clock.step(chrono::Duration::days(365));
    clock.run_for(1_001);
    for _ in 0..2 {
        let refused = log.append(events(1..3)).await.unwrap_err().to_string();
        assert!(refused.contains("364 days ahead") && refused.contains("log mend-clock"), "{refused}");
    }
    assert_eq!(log.health().error().map(|why| why.contains("364 days ahead")), Some(true));
    assert_eq!(newest(&log).position, Position(1));
    clock.step(chrono::Duration::days(-365) + chrono::Duration::seconds(2));
    assert_eq!(log.health(), Health::Writable);
    assert_eq!(log.append(events(1..3)).await.unwrap().len(), 2);
    let read = read_all(&log, 3, 3).await;
    assert_eq!(read[1].recorded_at - read[0].recorded_at, chrono::Duration::seconds(2));
    // However long the machine runs and nothing is recorded.
    clock.step(chrono::Duration::days(400));
    clock.run_for(1_001 + 400 * 86_400);
    log.append(events(3..4)).await.unwrap();
    assert_eq!(read_all(&log, 4, 4).await[3].recorded_at - read[2].recorded_at, chrono::Duration::days(400));
}

#[tokio::test]
async fn a_log_is_not_opened_with_a_clock_that_is_far_ahead_of_it_until_somebody_says_that_it_is_right() {
    let (dir, clock) = (Dir::new(), TestClock::new());
    let log = SqliteLog::open(&dir.0, clock.clone(), quick()).await.unwrap();
    log.append(events(0..2)).await.unwrap();
    log.close().await;
    // The file's own time is the machine's.
    clock.step(chrono::Duration::days(30_000));
    for _ in 0..2 {
        let Err(error) = SqliteLog::open(&dir.0, clock.clone(), quick()).await else { panic!("it was opened") };
        assert!(matches!(error, OpenError::Clock(_)) && error.to_string().contains("log mend-clock"), "{error}");
    }
    // Nor is a copy into which nothing was noted yet.
    let copy = Dir::new();
    for file in ["log.db", "log.key", "head.json"] {
        std::fs::copy(dir.0.join(file), copy.0.join(file)).unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(SqliteLog::open(&copy.0, clock.clone(), quick()).await, Err(OpenError::Clock(_))));
    }
    let config = crate::EngineConfig::Embedded { dir: dir.0.clone() };
    let log = crate::Log::open_to_mend(&config, clock.clone()).await.unwrap();
    log.mend_clock(rollcall_events::Clock::now(&*clock)).await.unwrap();
    log.close().await;
    let log = SqliteLog::open(&dir.0, clock, quick()).await.unwrap();
    log.append(events(2..3)).await.unwrap();
    assert_eq!(newest(&log).position, Position(5));
    log.close().await;
    verify(&dir.0, VerifyOptions::default(), |_| {}).await.unwrap();
}

#[tokio::test]
async fn a_second_writer_is_refused_and_told_which_directory() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    let Err(error) = open(&dir).await else { panic!("two writers") };
    let named = format!("the data directory {}", dir.0.display());
    assert!(matches!(&error, OpenError::InUse { place, .. } if *place == named), "{error}");
    assert!(error.to_string().contains(&named), "{error}");
    // The lock is not the file's alone: who cleans up lets nobody in.
    for file in ["log.lock", "log.lock"] {
        std::fs::remove_file(dir.0.join(file)).unwrap();
        assert!(matches!(open(&dir).await, Err(OpenError::InUse { .. })));
        std::fs::write(dir.0.join(file), "").unwrap();
        assert!(matches!(open(&dir).await, Err(OpenError::InUse { .. })));
    }
    log.close().await;
    open(&dir).await.unwrap();
}

#[test]
fn what_others_await_can_move_between_threads() {
    fn movable<T: Send>(_: impl Fn() -> T) {}
    let dir = Dir::new();
    movable(|| verify(&dir.0, VerifyOptions::default(), |_| ()));
    movable(|| backup(&dir.0, &dir.0));
    movable(|| SqliteLog::open(&dir.0, TestClock::new(), quick()));
}

#[tokio::test]
async fn every_statement_prepares() {
    let dir = Dir::new();
    open(&dir).await.unwrap().close().await;
    let mut sql = open::read_only(&files::database(&dir.0), Duration::ZERO).connect().await.unwrap();
    for statement in record::STATEMENTS {
        sql.prepare(statement.into_sql_str()).await.unwrap();
    }
    sql.close().await.unwrap();
}

#[tokio::test]
async fn records_are_never_changed_deleted_or_replaced() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..3)).await.unwrap();
    let before = read_all(&log, 3, 3).await;
    let mut sql = stray(&dir).await;
    for statement in [
        "UPDATE event SET data = '{}' WHERE position = 2",
        "UPDATE event SET position = 9 WHERE position = 2",
        "DELETE FROM event WHERE position = 3",
        "DELETE FROM event",
        "INSERT OR REPLACE INTO event SELECT 2, recorded_at, source, 'x', kind, subject, NULL, NULL, NULL, NULL, NULL, '{}', hash \
         FROM event WHERE position = 1",
        "INSERT OR REPLACE INTO event SELECT 4, recorded_at, source, id, kind, subject, NULL, NULL, NULL, NULL, NULL, '{}', hash \
         FROM event WHERE position = 1",
        "UPDATE log SET log_id = x'0000000000000000'",
        "DELETE FROM log",
    ] {
        let refused = sql.execute(statement).await.unwrap_err().to_string();
        assert!(refused.contains("the log is never changed"), "{statement}: {refused}");
    }
    log.close().await;
    assert_eq!(read_all(&open(&dir).await.unwrap(), 3, 3).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_from_the_file_to_memory_without_a_gap() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..3000)).await.unwrap();
    log.close().await;
    let log = open(&dir).await.unwrap();
    let appending = log.clone();
    let writer = tokio::spawn(async move {
        for n in 300..500 {
            appending.append(events(n * 10..n * 10 + 10)).await.unwrap();
        }
    });
    let readers = [3, 100, 4096].map(|page| {
        let log = log.clone();
        tokio::spawn(async move { read_all(&log, 5000, page).await })
    });
    for read in join_all(readers).await {
        assert_eq!(read.unwrap().into_iter().map(|r| r.event).collect::<Vec<_>>(), events(0..5000));
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_queue_appends_are_refused_and_nothing_that_waits_is_lost() {
    let dir = Dir::new();
    let options = Options { queue: 8, busy_timeout: Duration::from_secs(60), ..Options::default() };
    let log = SqliteLog::open(&dir.0, TestClock::new(), options).await.unwrap();
    let mut sql = stray(&dir).await;
    sql.execute("BEGIN IMMEDIATE").await.unwrap();
    // One batch larger than the queue is taken when nothing waits, and then the queue is full.
    let large = tokio::spawn({
        let log = log.clone();
        async move { log.append(events(0..20)).await }
    });
    let refused = loop {
        match log.append(Vec::new()).await {
            Ok(_) if log.shared.waiting.load(Ordering::Relaxed) == 0 => tokio::task::yield_now().await,
            _ => break log.append(events(20..21)).await.unwrap_err(),
        }
    };
    assert!(matches!(refused, AppendError::Overloaded { waiting: 20, limit: 8 }), "{refused}");
    sql.execute("ROLLBACK").await.unwrap();
    assert_eq!(large.await.unwrap().unwrap().len(), 20);
    assert_eq!(log.append(events(20..21)).await.unwrap(), [Outcome::Recorded(Position(21))]);
}

#[tokio::test]
async fn what_a_failed_commit_left_behind_is_checked_and_taken_up_before_anything_is_acknowledged() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..3)).await.unwrap();
    // Somebody else writes what the log itself would have written next: as if a commit had failed and yet reached the
    // file. The writer does not know of it and fails; opened anew it must.
    let (head, mut sql) = (newest(&log), stray(&dir).await);
    let left = sequence(vec![events(3..5)], |_| None, head, TestClock::new().now(), TestClock::new().now());
    record::insert(&mut sql, &left.new, &left.hashes).await.unwrap();
    let error = log.append(events(5..6)).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
    assert_eq!(
        insist(&log, &events(3..6)).await,
        [Outcome::Duplicate(Position(4)), Outcome::Duplicate(Position(5)), Outcome::Recorded(Position(6))]
    );
    assert_eq!(read_all(&log, 6, 2).await.into_iter().map(|r| r.event).collect::<Vec<_>>(), events(0..6));
}

#[tokio::test]
async fn a_log_whose_tail_does_not_fit_the_chain_acknowledges_nothing_ever_again() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..3)).await.unwrap();
    let (head, mut sql) = (newest(&log), stray(&dir).await);
    let mut left = sequence(vec![events(3..4)], |_| None, head, TestClock::new().now(), TestClock::new().now());
    left.hashes[0].0[0] ^= 1;
    record::insert(&mut sql, &left.new, &left.hashes).await.unwrap();
    let mut refusals = Vec::new();
    while !refusals.iter().any(|e: &String| e.contains("damaged at position 4")) {
        refusals.push(log.append(events(5..6)).await.unwrap_err().to_string());
        tokio::task::yield_now().await;
    }
    assert!(log.health().error().unwrap().contains("damaged at position 4"));
    assert_eq!(newest(&log), head);
    log.close().await;
    let Err(error) = open(&dir).await else { panic!("opened") };
    assert!(error.to_string().contains("damaged at position 4"), "{error}");
}

/// A disk that is full for a while, by a limit on file sizes in a process of its own (the test runs itself again).
/// The write-ahead log reaches the limit first; opening anew moves it into the database and there is room again.
#[tokio::test]
async fn a_write_that_fails_is_never_acknowledged_and_the_log_goes_on_after_it() {
    const CHILD: &str = "ROLLCALL_TEST_LIMITED_LOG";
    if let Some(dir) = std::env::var_os(CHILD) {
        let options = Options { back_off: Duration::from_secs(2), ..Options::default() };
        let log = SqliteLog::open(&PathBuf::from(dir), TestClock::new(), options).await.unwrap();
        let mut told = std::collections::BTreeSet::new();
        let (mut acknowledged, mut failures) = (0, 0);
        while failures < 3 {
            let batch = events(acknowledged..acknowledged + 20);
            match log.append(batch.clone()).await {
                Ok(_) => acknowledged += 20,
                Err(error) => {
                    failures += 1;
                    told.insert(error.to_string());
                    // At rest: nothing is even tried.
                    assert!(matches!(log.append(batch.clone()).await, Err(AppendError::Unavailable(_))));
                    insist(&log, &batch).await;
                    acknowledged += 20;
                }
            }
        }
        println!("acknowledged={acknowledged} told={told:?}");
        return;
    }
    let dir = Dir::new();
    let name = "engines::sqlite::engine_tests::a_write_that_fails_is_never_acknowledged_and_the_log_goes_on_after_it";
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1200; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, &dir.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    let count: usize = said.split("acknowledged=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let log = open(&dir).await.unwrap();
    let read: Vec<_> = read_all(&log, count, 100).await.into_iter().map(|r| r.event).collect();
    assert_eq!(read, events(0..count), "{said}");
    log.close().await;
    verify(&dir.0, VerifyOptions::default(), |_| ()).await.unwrap();
}

#[tokio::test]
async fn a_log_is_verified_beside_a_running_server_and_against_a_head() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..1500)).await.unwrap();
    let signed = log.signed_head().await.unwrap();
    log.append(events(1500..3000)).await.unwrap();

    let mut seen = Vec::new();
    let plain = verify(&dir.0, VerifyOptions::default(), |p| seen.push(p.position)).await.unwrap();
    assert_eq!((plain.events, plain.head), (3000, newest(&log)));
    assert!(plain.to_string().contains("consistent with itself"), "{plain}");
    assert!(seen.len() > 1 && seen.is_sorted() && seen.last() == Some(&Position(3000)));

    let check = |against: &SignedHead| VerifyOptions { against: Some(against.clone()), ..VerifyOptions::default() };
    let proven = verify(&dir.0, check(&signed), |_| ()).await.unwrap();
    assert!(proven.to_string().contains("unaltered up to position 1500"), "{proven}");
    let late = VerifyOptions { after: Position(2000), ..check(&signed) };
    assert_eq!(verify(&dir.0, late, |_| ()).await.unwrap().events, 1000);

    let mut forged = signed.clone();
    forged.position = Position(1499);
    assert!(matches!(verify(&dir.0, check(&forged), |_| ()).await, Err(VerifyError::Head(HeadError::Signature))));

    // The same key over another history, as somebody with the data directory could make it.
    let other = Head { position: Position(1499), hash: rollcall_events::Digest::of(b"other") };
    let other = log.shared.key.sign(log.shared.id, other, signed.signed_at).unwrap();
    let altered = verify(&dir.0, check(&other), |_| ()).await.unwrap_err();
    assert!(matches!(altered, VerifyError::Altered { position: Position(1499) }), "{altered}");
    let elsewhere = log.shared.key.sign(LogId([0; 8]), newest(&log), signed.signed_at).unwrap();
    assert!(matches!(verify(&dir.0, check(&elsewhere), |_| ()).await, Err(VerifyError::OtherLog { .. })));
}

#[tokio::test]
async fn a_backup_beside_a_running_server_is_a_log_like_the_first() {
    let (dir, target) = (Dir::new(), Dir::new());
    let log = open(&dir).await.unwrap();
    log.append(events(0..40)).await.unwrap();
    log.append(vec![event("large", &"x".repeat(100_000))]).await.unwrap();
    let signed = log.signed_head().await.unwrap();
    let copied = backup(&dir.0, &target.0).await.unwrap();
    assert_eq!((copied.events, copied.head, copied.log), (41, newest(&log), Tail::log_id(&log)));
    log.append(events(50..60)).await.unwrap();

    let copy = open(&target).await.unwrap();
    assert_eq!(read_all(&copy, 41, 10).await, read_all(&log, 41, 10).await);
    assert_eq!(copy.public_key_pem(), log.public_key_pem());
    let check = VerifyOptions { against: Some(signed), ..VerifyOptions::default() };
    verify(&target.0, check, |_| ()).await.unwrap();
    assert!(matches!(copy.append(events(0..1)).await.unwrap()[..], [Outcome::Duplicate(Position(1))]));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for key in [dir.0.join(files::KEY), target.0.join(files::KEY)] {
            assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let again = backup(&dir.0, &target.0).await.unwrap_err();
    assert!(again.to_string().contains("exists already"), "{again}");
}

#[tokio::test]
async fn the_head_is_signed_at_the_end_and_once_more_only_when_there_is_more() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..3)).await.unwrap();
    let (first, again) = (log.signed_head().await.unwrap(), log.signed_head().await.unwrap());
    assert_eq!(first, again);
    log.append(events(3..4)).await.unwrap();
    log.close().await;
    let kept = files::read_signed_head(&dir.0).unwrap().unwrap();
    assert_eq!(kept.check(&log.public_key_pem()), Ok(newest(&log)));
}
