//! Making what is committed durable whatever became of earlier writes and syncs. What is in the page cache after a failed
//! sync may never have reached the disk although it reads well: only what is written again makes a later sync mean something.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use sqlx::SqliteConnection;

use crate::write_ahead::{self, look};

/// Bytes before the first page of a write-ahead log, and before each page.
const HEADER: u64 = 32;
const FRAME_HEADER: usize = 24;

/// Makes all that is committed durable. What was moved into the database before is moved once more, as nobody knows
/// whether it is on the disk; then all the rest. Where somebody reads what was before, the write-ahead log is written over
/// itself instead. `data` is the database's own file; `wait` is how long the connection may wait for readers.
pub(crate) async fn make_durable(
    sql: &mut SqliteConnection,
    database: &Path,
    data: &Arc<File>,
    wait: Duration,
) -> Result<(), String> {
    move_again(sql, database, data).await?;
    if write_ahead::empty(sql, wait).await?.is_whole() {
        return Ok(());
    }
    // Nobody else may write meanwhile: neither new pages nor, from the beginning, over these.
    begin(sql).await?;
    let file = write_ahead::file(database);
    let rewritten = blocking(move || rewrite(&file)).await;
    end(sql).await?;
    rewritten.map_err(|e| format!("the write-ahead log cannot be written: {e}"))
}

/// SQLite remembers how much of the write-ahead log stands in the database, for as long as any process has it open, and
/// moves none of that again. It counts pages as moved that were not synced yet, where it was written to meanwhile.
async fn move_again(sql: &mut SqliteConnection, database: &Path, data: &Arc<File>) -> Result<(), String> {
    let file = write_ahead::file(database);
    let before = salt(&file);
    let moved = look(sql).await?.moved;
    if moved == 0 {
        return Ok(());
    }
    begin(sql).await?;
    // Begun anew meanwhile: then all that was in it had been synced.
    let again = if salt(&file) == before {
        let data = Arc::clone(data);
        blocking(move || copy_pages(&file, &data, moved)).await
    } else {
        Ok(())
    };
    end(sql).await?;
    again.map_err(|e| format!("the write-ahead log cannot be moved into the database again: {e}"))
}

async fn begin(sql: &mut SqliteConnection) -> Result<(), String> {
    let begun = sqlx::query("BEGIN IMMEDIATE").execute(sql).await;
    begun.map(drop).map_err(|_| "the write-ahead log is in use by another process that writes".to_owned())
}

async fn end(sql: &mut SqliteConnection) -> Result<(), String> {
    sqlx::query("ROLLBACK").execute(sql).await.map(drop).map_err(|e| e.to_string())
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?;
    done.map_err(|e| e.to_string())
}

/// What tells this filling of a write-ahead log from the one before.
fn salt(file: &Path) -> Option<[u8; 8]> {
    let mut header = [0; HEADER as usize];
    File::open(file).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    header.get(16..24)?.try_into().ok()
}

/// The words that a checksum is made of: in the order of bytes that the header says.
type Sum = (u32, u32);

/// Copies the newest of the first `count` pages of a write-ahead log to their places in the database, and syncs that. Each
/// is held against its checksum first: nothing is written of which it is not known what it is.
fn copy_pages(file: &Path, data: &File, count: u64) -> io::Result<()> {
    let mut wal = io::BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut header = [0; HEADER as usize];
    wal.read_exact(&mut header)?;
    let big = word(&header, 0)? & 1 == 1;
    let size = word(&header, 8)? as usize;
    let mut sum = (word(&header, 24)?, word(&header, 28)?);
    let mut frame = vec![0; FRAME_HEADER + size];
    // Where the newest of each page is, and how many pages the database had at the last commit.
    let (mut newest, mut pages) = (BTreeMap::new(), 0);
    for n in 0..count {
        wal.read_exact(&mut frame)?;
        let (head, page) = frame.split_at(FRAME_HEADER);
        sum = add(add(sum, head.get(..8).unwrap_or_default(), big), page, big);
        if head.get(8..16) != header.get(16..24) || (word(head, 16)?, word(head, 20)?) != sum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("its page {n} is not what was written")));
        }
        newest.insert(word(head, 0)?, n);
        let committed = word(head, 4)?;
        if committed > 0 {
            pages = committed;
        }
    }
    let (mut wal, mut data) = (wal.into_inner(), data);
    let page = frame.get_mut(..size).unwrap_or_default();
    for (number, n) in newest.range(1..=pages) {
        wal.seek(SeekFrom::Start(HEADER + n * (FRAME_HEADER + size) as u64 + FRAME_HEADER as u64))?;
        wal.read_exact(page)?;
        data.seek(SeekFrom::Start(u64::from(number - 1) * size as u64))?;
        data.write_all(page)?;
    }
    data.sync_all()
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map(u32::from_be_bytes).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// SQLite's checksum of a write-ahead log, carried on over some bytes.
fn add((mut a, mut b): Sum, bytes: &[u8], big: bool) -> Sum {
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    let number = |word: &[u8; 4]| if big { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) };
    for [first, second] in pairs {
        a = a.wrapping_add(number(first)).wrapping_add(b);
        b = b.wrapping_add(number(second)).wrapping_add(a);
    }
    (a, b)
}

/// Writes a file over itself and syncs it.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(part)?;
        at += read as u64;
    }
    file.sync_all()
}
