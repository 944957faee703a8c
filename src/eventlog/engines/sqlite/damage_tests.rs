//! Promise 6: a flipped bit is named before what it changed is used, or changes no record; a log that is shorter than
//! it was is refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    engine_tests::{newest, open},
    *,
};
use crate::{
    VerifyOptions,
    suite::kit::{Dir, events, read_all},
};

const COUNT: usize = 20;

/// What a directory holds.
fn files_of(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// A directory with just these files.
fn put(dir: &Path, files: &[(PathBuf, Vec<u8>)]) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

fn flipped(files: &[(PathBuf, Vec<u8>)], name: &str, bit: usize) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files.to_vec();
    let (_, bytes) = files.iter_mut().find(|(file, _)| file == Path::new(name)).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    files
}

/// Some bits of a file, spread over all of it; every single one if `ROLLCALL_EVERY_BIT` is set.
fn bits(files: &[(PathBuf, Vec<u8>)], name: &str, samples: usize) -> impl Iterator<Item = usize> {
    let (_, bytes) = files.iter().find(|(file, _)| file == Path::new(name)).unwrap();
    let all = bytes.len() * 8;
    let every = std::env::var_os("ROLLCALL_EVERY_BIT").is_some();
    // A prime that does not divide the number of bits: each is met once, and any stretch is spread over the file.
    let prime = if all % 1_000_003 == 0 { 1_000_033 } else { 1_000_003 };
    (0..if every { all } else { samples }).map(move |n| n * prime % all)
}

/// What a reader gets who starts at the beginning, and what stopped it.
async fn readable(dir: &Dir) -> (Vec<Recorded>, Option<String>) {
    let log = match open(dir).await {
        Ok(log) => log,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let mut found = Vec::new();
    let mut stopped = None;
    while found.len() < COUNT && stopped.is_none() {
        let after = found.last().map_or(Position(0), |record: &Recorded| record.position);
        let end = newest(&log).position;
        match log.page(after, COUNT, &Filter::default()).await {
            Ok((records, _)) if records.is_empty() => stopped = Some(format!("the log ends at {end}")),
            Ok((records, _)) => found.extend(records),
            Err(error) => stopped = Some(error.to_string()),
        }
    }
    let mut tail = log.read(Position(0), 7);
    let mut read: Vec<Recorded> = Vec::new();
    while read.len() < found.len() {
        match tail.next().await {
            Some(Ok(page)) => read.extend_from_slice(&page),
            _ => break,
        }
    }
    assert_eq!(read, found, "a page and a tail differ");
    drop(tail);
    log.close().await;
    (found, stopped)
}

/// A closed log of `COUNT` records, and the same as a kill would leave it: everything still in the write-ahead log.
async fn closed_and_killed() -> (Vec<Recorded>, Vec<(PathBuf, Vec<u8>)>, Vec<(PathBuf, Vec<u8>)>) {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    for n in 0..COUNT / 5 {
        log.append(events(n * 5..n * 5 + 5)).await.unwrap();
    }
    let records = read_all(&log, COUNT, 100).await;
    let killed = files_of(&dir.0);
    log.close().await;
    (records, files_of(&dir.0), killed)
}

/// Flips bits of a file; each flip must be refused at opening, or stop a reader before the record that it changed, or
/// change nothing. What stops a reader of `log.db`, a check must name too.
async fn flip_all(sound: &[(PathBuf, Vec<u8>)], name: &str, samples: usize, records: &[Recorded]) -> (usize, usize) {
    let dir = Dir::new();
    let (mut named, mut harmless) = (0, 0);
    for bit in bits(sound, name, samples) {
        put(&dir.0, &flipped(sound, name, bit));
        let checked = verify(&dir.0, VerifyOptions::default(), |_| ()).await;
        let (found, stopped) = readable(&dir).await;
        assert!(records.starts_with(&found), "{name}, bit {bit}: a changed record was read");
        match stopped {
            None => {
                assert_eq!(found, records, "{name}, bit {bit}");
                harmless += 1;
            }
            Some(why) => {
                assert!(!why.contains("the log ends at"), "{name}, bit {bit}: records were lost unseen");
                assert!(
                    checked.is_err() || name != files::DATABASE,
                    "{name}, bit {bit}: verify saw nothing, but: {why}"
                );
                named += 1;
            }
        }
    }
    (named, harmless)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_log_is_named_or_changes_no_record() {
    let (records, closed, _) = closed_and_killed().await;
    let (named, harmless) = flip_all(&closed, files::DATABASE, 400, &records).await;
    assert!(named > 20 && harmless > 20, "named {named}, harmless {harmless}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_write_ahead_log_of_a_killed_process_is_named_or_changes_no_record() {
    let (records, _, killed) = closed_and_killed().await;
    let (named, harmless) = flip_all(&killed, "log.db-wal", 200, &records).await;
    assert!(named > 20, "named {named}, harmless {harmless}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_files_beside_the_log_is_named_or_changes_no_record() {
    let (records, closed, _) = closed_and_killed().await;
    for name in ["log.lock", files::KEY, files::HEAD] {
        let (named, harmless) = flip_all(&closed, name, 60, &records).await;
        assert!(named > 20, "{name}: named {named}, harmless {harmless}");
    }
}

/// A power cut in the middle of a transaction: what was not acknowledged may be gone, the rest is a sound log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_ends_at_a_transaction_and_is_refused_if_it_was_acknowledged() {
    let (records, _, killed) = closed_and_killed().await;
    let (_, wal) = killed.iter().find(|(name, _)| name == Path::new("log.db-wal")).unwrap();
    let dir = Dir::new();
    let (mut refused, mut shorter) = (0, 0);
    for keep in (0..wal.len()).step_by(4099) {
        let mut torn = killed.clone();
        torn.iter_mut().find(|(name, _)| name == Path::new("log.db-wal")).unwrap().1.truncate(keep);
        put(&dir.0, &torn);
        let (found, stopped) = readable(&dir).await;
        assert!(found.is_empty() && stopped.is_some(), "acknowledged records were lost unseen");
        refused += 1;

        // Never acknowledged: no mark, no signed head.
        torn.retain(|(name, _)| name != Path::new("log.lock") && name != Path::new(files::HEAD));
        put(&dir.0, &torn);
        let log = open(&dir).await.unwrap();
        let count = usize::try_from(newest(&log).position.0).unwrap();
        assert_eq!(count % 5, 0, "half a transaction");
        assert_eq!(read_all(&log, count, 100).await, records[..count].to_vec());
        shorter += usize::from(count < COUNT);
        let outcomes = log.append(events(0..COUNT)).await.unwrap();
        assert_eq!(outcomes.iter().filter(|o| matches!(o, Outcome::Recorded(_))).count(), COUNT - count);
        log.close().await;
    }
    assert!(refused > 5 && shorter > 5, "{refused} {shorter}");
}

#[tokio::test]
async fn a_log_that_is_shorter_or_other_than_its_signed_head_is_refused() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..5)).await.unwrap();
    log.close().await;
    let older = files_of(&dir.0);
    let log = open(&dir).await.unwrap();
    log.append(events(5..9)).await.unwrap();
    log.close().await;
    let newer = files_of(&dir.0);

    let with = |files: &[(PathBuf, Vec<u8>)], from: &[(PathBuf, Vec<u8>)], names: &[&str]| -> Vec<_> {
        files
            .iter()
            .filter(|(name, _)| name != Path::new("log.lock"))
            .map(|(name, bytes)| {
                let other = from.iter().find(|(other, _)| other == name && names.iter().any(|n| name == Path::new(n)));
                (name.clone(), other.map_or_else(|| bytes.clone(), |(_, bytes)| bytes.clone()))
            })
            .collect()
    };
    let refusal = async |files: Vec<(PathBuf, Vec<u8>)>| {
        put(&dir.0, &files);
        let Err(error) = open(&dir).await else { panic!("opened") };
        let checked = verify(&dir.0, VerifyOptions::default(), |_| ()).await.unwrap_err();
        (error.to_string(), checked.to_string())
    };
    // The log as it was, the head as it is.
    let (error, checked) = refusal(with(&newer, &older, &[files::DATABASE])).await;
    assert!(error.contains("there is no record at 9"), "{error}");
    assert!(checked.contains("ends at 5, but it was recorded up to 9"), "{checked}");

    // Only the mark of what was acknowledged says so.
    let mut marked = older.clone();
    marked.retain(|(name, _)| name != Path::new("log.lock"));
    marked.extend(newer.iter().filter(|(name, _)| name == Path::new("log.lock")).cloned());
    assert!(refusal(marked).await.0.contains("there is no record at 9"));

    // No log at all.
    let mut gone = newer.clone();
    gone.retain(|(name, _)| name != Path::new(files::DATABASE));
    put(&dir.0, &gone);
    let Err(error) = open(&dir).await else { panic!("opened") };
    assert!(error.to_string().contains("the log is gone"), "{error}");

    // Another history under the same key and id: five records as before, then others.
    put(&dir.0, &older);
    let log = open(&dir).await.unwrap();
    log.append(events(100..104)).await.unwrap();
    log.close().await;
    let other = files_of(&dir.0);
    let (error, checked) = refusal(with(&newer, &other, &[files::DATABASE])).await;
    assert!(error.contains("the record at 9 is not the one that was recorded there"), "{error}");
    assert!(checked.contains("does not pass through"), "{checked}");

    // Another log altogether.
    let stranger = Dir::new();
    let log = open(&stranger).await.unwrap();
    log.append(events(0..9)).await.unwrap();
    log.close().await;
    let (error, _) = refusal(with(&newer, &files_of(&stranger.0), &[files::DATABASE])).await;
    assert!(error.contains("not the one") || error.contains("is the head of log"), "{error}");

    // The key that signed is gone.
    let mut keyless = newer.clone();
    keyless.retain(|(name, _)| name != Path::new(files::KEY));
    assert!(refusal(keyless).await.0.contains("put it back"));
}

#[tokio::test]
async fn a_duplicate_of_a_damaged_record_is_not_answered_and_others_are() {
    let (_, closed, _) = closed_and_killed().await;
    let (_, bytes) = closed.iter().find(|(name, _)| name == Path::new(files::DATABASE)).unwrap();
    let needle = br#"{"product":"3"}"#;
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    let dir = Dir::new();
    put(&dir.0, &flipped(&closed, files::DATABASE, (at + 12) * 8));
    let log = open(&dir).await.unwrap();
    let error = log.append(events(3..4)).await.unwrap_err();
    assert!(error.to_string().contains("damaged at position 4"), "{error}");
    assert_eq!(log.append(events(4..5)).await.unwrap(), [Outcome::Duplicate(Position(5))]);
    assert_eq!(log.append(events(30..31)).await.unwrap(), [Outcome::Recorded(Position(21))]);
}
