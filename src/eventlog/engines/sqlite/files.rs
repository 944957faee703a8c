//! The small files beside `log.db`: the lock that also holds the head that was acknowledged last, the key, the last signed
//! head. Knows nothing of SQL.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use rollcall_events::{LogId, Position};
use rollcall_sqlite::locks_on;

use crate::{
    Head, OpenError, SignedHead,
    head::{SigningKey, parse_digest},
};

pub(crate) const DATABASE: &str = "log.db";
const LOCK: &str = "log.lock";
pub(crate) const KEY: &str = "log.key";
pub(crate) const HEAD: &str = "head.json";

/// A path as a place in an error.
pub(crate) fn place(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn storage(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |error| OpenError::Storage { place: place(path), what: error.to_string() }
}

/// The advisory lock on a data directory. Its file holds the head that was acknowledged last: written after each
/// commit and not synced, so after a power cut it may lag behind the log, but it never leads. A log that ends before
/// it has lost acknowledged events.
///
/// The directory is locked too: who deletes the file lets nobody else in. Where a directory cannot be locked (some network
/// file systems) the file alone is.
#[derive(Debug)]
pub(crate) struct Lock {
    head: File,
    _dir: File,
}

impl Lock {
    /// Takes the lock.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let in_use = || OpenError::InUse {
            place: format!("the data directory {}", dir.display()),
            remedy: "stop it, or choose another data_dir",
        };
        let whole = File::open(dir).map_err(storage(dir))?;
        match whole.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(in_use()),
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let path = dir.join(LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(storage(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { head: file, _dir: whole }),
            Err(TryLockError::WouldBlock) => Err(in_use()),
            Err(TryLockError::Error(error)) => Err(storage(&path)(error)),
        }
    }

    /// Makes the head in it durable. Done once, at the opening: what is written over it later is less than a sector and at
    /// the same place, so that a power cut leaves one head or another and never half of one.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.head.sync_all()
    }

    pub(crate) fn write_head(&mut self, head: Head) -> io::Result<()> {
        self.head.seek(SeekFrom::Start(0))?;
        self.head.write_all(format!("{:020} {}\n", head.position.0, head.hash).as_bytes())
    }
}

/// When the log was last known to be there: its head is noted at each commit, at the opening, and now and then; of a copy
/// into which nothing was noted yet, when it was made. Nothing where there is none.
pub(crate) fn last_noted(dir: &Path) -> Result<Option<DateTime<Utc>>, OpenError> {
    for path in [dir.join(LOCK), database(dir)] {
        match fs::metadata(&path) {
            Ok(file) if file.len() > 0 => return file.modified().map(|t| Some(t.into())).map_err(storage(&path)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(storage(&path)(error)),
        }
    }
    Ok(None)
}

/// Whether a process writes the log, as far as the system tells. Takes no lock, not even for a moment: a server that starts
/// just then would be refused.
pub(crate) fn is_in_use(dir: &Path) -> bool {
    !locks_on(&dir.join(LOCK)).is_empty()
}

/// The head that was acknowledged last; `None` where nothing ever was. Readable without the lock.
pub(crate) fn acknowledged_head(dir: &Path) -> Result<Option<Head>, OpenError> {
    let path = dir.join(LOCK);
    let mut text = String::new();
    match File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(storage(&path)(error)),
        _ => {}
    }
    // Empty: just made. Zeros: made, and then the power was cut before anything was acknowledged.
    if text.bytes().all(|byte| byte == 0) {
        return Ok(None);
    }
    let head = text.strip_suffix('\n').and_then(|line| line.split_once(' ')).and_then(|(position, hash)| {
        Some(Head { position: Position(position.parse().ok()?), hash: parse_digest(hash)? })
    });
    head.map(Some).ok_or_else(|| {
        damaged(
            &path,
            "it does not say what was acknowledged last; if `rollcall verify` finds the log \
                                              in order, remove this file",
        )
    })
}

/// The log's key; `None` where there is none yet.
pub(crate) fn read_key(dir: &Path) -> Result<Option<SigningKey>, OpenError> {
    let path = dir.join(KEY);
    match fs::read_to_string(&path) {
        Ok(pem) => {
            SigningKey::parse(&pem).map(Some).ok_or_else(|| damaged(&path, "it is not an ES256 key in PKCS 8 PEM"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged(&path, "it is not PEM")),
        Err(error) => Err(storage(&path)(error)),
    }
}

/// The log's key, made at the first open. A log that has signed a head must keep the key that signed it.
pub(crate) fn read_or_make_key(dir: &Path) -> Result<SigningKey, OpenError> {
    if let Some(key) = read_key(dir)? {
        return Ok(key);
    }
    let path = dir.join(KEY);
    if dir.join(HEAD).exists() {
        return Err(damaged(&path, KEY_IS_GONE));
    }
    let (key, pem) = SigningKey::generate().ok_or_else(|| damaged(&path, "no key could be made"))?;
    write_secret(dir, KEY, pem.as_bytes()).map_err(storage(&path))?;
    Ok(key)
}

const KEY_IS_GONE: &str =
    "the key that signed head.json is gone: put it back, or move head.json away to begin with a new key";

/// The head in `head.json` under a good signature; `None` before the first.
pub(crate) fn checked_signed_head(dir: &Path, id: Option<LogId>) -> Result<Option<Head>, OpenError> {
    let Some(signed) = read_signed_head(dir)? else { return Ok(None) };
    let path = dir.join(HEAD);
    if let Some(id) = id.filter(|id| signed.log != id.to_string()) {
        return Err(damaged(&path, &format!("it is the head of log {}, but {DATABASE} is log {id}", signed.log)));
    }
    let key = read_key(dir)?.ok_or_else(|| damaged(&dir.join(KEY), KEY_IS_GONE))?;
    signed.check(&key.public_key_pem()).map(Some).map_err(|error| damaged(&path, &error.to_string()))
}

fn damaged(path: &Path, what: &str) -> OpenError {
    OpenError::Damaged { place: place(path), what: what.to_owned() }
}

/// Writes a file that only its owner may read, whole or not at all: a key of half its bytes would stop every later
/// start.
pub(crate) fn write_secret(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    sync_dir(dir)
}

/// The last signed head; `None` before the first.
pub(crate) fn read_signed_head(dir: &Path) -> Result<Option<SignedHead>, OpenError> {
    let path = dir.join(HEAD);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(&path, &error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(storage(&path)(error)),
    }
}

/// Replaces the last signed head in one step.
pub(crate) fn write_signed_head(dir: &Path, head: &SignedHead) -> io::Result<()> {
    let new = dir.join("head.json.new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(head)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, dir.join(HEAD))?;
    sync_dir(dir)
}

/// Makes new names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join(DATABASE)
}
