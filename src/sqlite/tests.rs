//! A database with one who writes, one who moves, and readers: nobody waits for what is moved, and nothing is lost that was.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, Executor, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{Checkpointer, Limits, WriteAhead};

/// A directory of one test, gone with it.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("rollcall-sqlite-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join("some.db")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Little is much.
fn small() -> Limits {
    let (look_again, wait) = (Duration::from_millis(20), Duration::from_millis(50));
    Limits { step: 64 << 10, most: 1 << 20, look_again, rest: Duration::ZERO, wait, ..Limits::USUAL }
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
}

async fn connect(file: &Path) -> SqliteConnection {
    options(file).connect().await.unwrap()
}

async fn write(sql: &mut SqliteConnection, rows: u32) {
    sql.execute("CREATE TABLE IF NOT EXISTS row (n INTEGER PRIMARY KEY, text TEXT)").await.unwrap();
    for _ in 0..rows {
        sql.execute("INSERT INTO row (text) VALUES (hex(randomblob(4000)))").await.unwrap();
    }
}

async fn count(sql: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM row WHERE length(text) = 8000").fetch_one(sql).await.unwrap()
}

/// Somebody who sees what there is now, and keeps it.
async fn reader_that_stays(file: &Path) -> SqliteConnection {
    let mut reader = connect(file).await;
    reader.execute("BEGIN").await.unwrap();
    count(&mut reader).await;
    reader
}

async fn start(file: &Path, writer: &mut SqliteConnection) -> Checkpointer {
    Checkpointer::start(("some.db", file), options(file), writer, small()).await.unwrap()
}

async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

fn file_bytes(file: &Path) -> u64 {
    std::fs::metadata(crate::write_ahead::file(file)).unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reader_held_is_moved_beside_whoever_writes_and_its_room_is_given_back() {
    let dir = Dir::new();
    let mut writer = connect(&dir.file()).await;
    let checkpointer = start(&dir.file(), &mut writer).await;
    write(&mut writer, 1).await;
    let reader = reader_that_stays(&dir.file()).await;
    write(&mut writer, 300).await;
    drop(checkpointer.turn().await);
    until(|| checkpointer.write_ahead().held.is_some()).await;
    assert!(checkpointer.write_ahead().bytes > 2 << 20);
    // A pass that takes as long as it takes: whoever has it has nothing that whoever writes needs.
    let pass = checkpointer.hold_moving().await;
    reader.close().await.unwrap();
    for _ in 0..20 {
        let _turn = checkpointer.turn().await;
        write(&mut writer, 1).await;
    }
    drop(pass);
    let is_well = |told: WriteAhead| told.held.is_none() && told.bytes <= small().most;
    until(|| is_well(checkpointer.write_ahead()) && file_bytes(&dir.file()) <= small().most).await;
    assert_eq!(count(&mut writer).await, 321);
    checkpointer.close(Some(writer)).await;
    assert!(!crate::write_ahead::file(&dir.file()).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_reads_what_is_written_ahead_stays_small_though_it_is_written_without_a_break() {
    let dir = Dir::new();
    let mut writer = connect(&dir.file()).await;
    let checkpointer = start(&dir.file(), &mut writer).await;
    for _ in 0..300 {
        let _turn = checkpointer.turn().await;
        write(&mut writer, 1).await;
        assert!(file_bytes(&dir.file()) < 2 << 20);
    }
    checkpointer.close(Some(writer)).await;
}

/// SQLite counts pages as moved that it did not sync, where somebody wrote meanwhile or a reader keeps the rest. If the disk
/// loses those, they stand in the write-ahead log still, and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_moved_and_is_lost_by_the_disk_is_moved_again_after_a_failure() {
    let dir = Dir::new();
    let mut writer = connect(&dir.file()).await;
    write(&mut writer, 10).await;
    let checkpointer = start(&dir.file(), &mut writer).await;
    checkpointer.stop().await;
    let on_disk = std::fs::read(dir.file()).unwrap();
    write(&mut writer, 40).await;
    let reader = reader_that_stays(&dir.file()).await;
    write(&mut writer, 40).await;
    let moved = crate::write_ahead::advance(&mut writer).await.unwrap();
    assert!(moved.moved > 40 && moved.moved < moved.frames, "{moved:?}");
    std::fs::write(dir.file(), on_disk).unwrap();

    let mut writer_anew = connect(&dir.file()).await;
    checkpointer.begin_anew(&mut writer_anew).await.unwrap();
    reader.close().await.unwrap();
    assert!(checkpointer.empty().await.unwrap(), "the reader is gone");
    writer.close().await.unwrap();
    let mut reader = connect(&dir.file()).await;
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut reader).await.unwrap();
    assert_eq!((sound.as_str(), count(&mut reader).await), ("ok", 90));
    reader.close().await.unwrap();
    checkpointer.close(Some(writer_anew)).await;
}

/// What cannot be what was written is not put over what is there.
#[tokio::test]
async fn a_page_that_is_not_what_was_written_is_not_moved_again() {
    let dir = Dir::new();
    let mut writer = connect(&dir.file()).await;
    let checkpointer = start(&dir.file(), &mut writer).await;
    write(&mut writer, 20).await;
    let reader = reader_that_stays(&dir.file()).await;
    write(&mut writer, 20).await;
    crate::write_ahead::advance(&mut writer).await.unwrap();
    let (file, before) = (crate::write_ahead::file(&dir.file()), std::fs::read(dir.file()).unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[32 + 24 + 4000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = checkpointer.begin_anew(&mut writer).await.unwrap_err();
    assert!(told.contains("page 0 is not what was written"), "{told}");
    assert!(std::fs::read(dir.file()).unwrap() == before);
    reader.close().await.unwrap();
    checkpointer.close(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_nothing_is_moved_until_it_begins_anew_also_beside_a_reader_that_stays() {
    let dir = Dir::new();
    let mut writer = connect(&dir.file()).await;
    let checkpointer = start(&dir.file(), &mut writer).await;
    write(&mut writer, 20).await;
    let reader = reader_that_stays(&dir.file()).await;
    write(&mut writer, 20).await;
    checkpointer.fail_once().await;
    drop(checkpointer.turn().await);
    checkpointer.failed().await;
    assert!(checkpointer.fault().is_some());
    let mut fresh = connect(&dir.file()).await;
    writer.close().await.unwrap();
    checkpointer.begin_anew(&mut fresh).await.unwrap();
    assert_eq!(checkpointer.fault(), None);
    write(&mut fresh, 20).await;
    drop(checkpointer.turn().await);
    reader.close().await.unwrap();
    until(|| checkpointer.write_ahead().bytes == 0 || checkpointer.write_ahead().held.is_none()).await;
    assert_eq!(count(&mut fresh).await, 60);
    checkpointer.close(Some(fresh)).await;
}
