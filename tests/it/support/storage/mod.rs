//! Storage that fails, and storage that is watched: a shim in front of the C library's calls, loaded into the server
//! (`shim.c`), and what a power cut leaves of what it saw (`disk`).

pub mod disk;

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Dir, run};

/// What a program asks of storage. A sync, an opening and a change of names fail with EIO, a write with ENOSPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Open,
    Write,
    Sync,
    Truncate,
    Rename,
    Link,
    Unlink,
    Mkdir,
}

impl Call {
    fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// One call that fails: the n-th of its kind on a file of this pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub call: Call,
    pub file: String,
    pub nth: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.call.word(), self.nth, self.file)
    }
}

/// The compiled shim.
pub struct Shim(PathBuf);

impl Shim {
    pub fn compile(dir: &Dir) -> Self {
        let (source, library) = (dir.write("shim.c", include_str!("shim.c")), dir.join("shim.so"));
        let mut cc = Command::new("cc");
        run(cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl"), dir).ok();
        Self(library)
    }

    /// The command on a disk that is full for as long as a file is there.
    pub fn full_while(&self, mut command: Command, file: &Path) -> Command {
        command.env("LD_PRELOAD", &self.0).env("FAULT_FULL_WHILE", file);
        command
    }

    /// The command whose syncs of files of a name wait for as long as another file is there; `mark` becomes a link to the file
    /// that it happened to.
    pub fn holding_syncs(&self, mut command: Command, of: &str, file: &Path, mark: &Path) -> Command {
        command.env("LD_PRELOAD", &self.0).env("FAULT_HOLD_SYNC_OF", of);
        command.env("FAULT_HOLD_WHILE", file).env("FAULT_MARK", mark);
        command
    }

    /// The command, and all that it does to the files below `root` is written into the journal.
    pub fn watching(&self, mut command: Command, root: &Path, journal: &Path) -> Command {
        command.env("LD_PRELOAD", &self.0).env("STORAGE_ROOT", root).env("STORAGE_JOURNAL", journal);
        command
    }

    /// The command with one call that fails; `mark` becomes a link to the name of the file that it happened to.
    pub fn failing(&self, mut command: Command, root: &Path, fault: &Fault, mark: &Path) -> Command {
        command.env("LD_PRELOAD", &self.0).env("STORAGE_ROOT", root).env("FAULT_MARK", mark);
        command
            .env("FAULT_IN", fault.call.word())
            .env("FAULT_FILE", &fault.file)
            .env("FAULT_AT", fault.nth.to_string());
        command
    }
}

/// What happened to one file, or to the names in a directory.
#[derive(Debug)]
pub enum Step {
    /// Opened; it was there.
    Open,
    /// Made.
    Create {
        inode: u64,
    },
    Write {
        inode: u64,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: usize,
        call: Call,
    },
    Sync {
        inode: u64,
    },
    SyncNames,
    MakeDir,
    Rename {
        to: String,
    },
    Link {
        to: String,
    },
    Unlink,
}

/// One entry of the journal.
#[derive(Debug)]
pub struct Entry {
    /// The name below the root, `.` for itself.
    pub name: String,
    pub step: Step,
    /// How long the journal was with it.
    pub end: u64,
}

impl Entry {
    pub fn call(&self) -> Call {
        match &self.step {
            Step::Open | Step::Create { .. } => Call::Open,
            Step::Write { .. } => Call::Write,
            Step::Truncate { call, .. } => *call,
            Step::Sync { .. } | Step::SyncNames => Call::Sync,
            Step::MakeDir => Call::Mkdir,
            Step::Rename { .. } => Call::Rename,
            Step::Link { .. } => Call::Link,
            Step::Unlink => Call::Unlink,
        }
    }

    /// The name as a pattern of its kind: numbers in it are any.
    pub fn pattern(&self) -> String {
        let name = self.name.trim_end_matches(" (deleted)");
        let mut pattern = String::new();
        for c in name.chars() {
            match c {
                '0'..='9' if pattern.ends_with('*') => {}
                '0'..='9' => pattern.push('*'),
                c => pattern.push(c),
            }
        }
        pattern
    }
}

/// Reads a journal.
pub fn journal(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap();
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let head = &bytes[at..at + 32];
        let long = |from: usize| u64::from_ne_bytes(head[from..from + 8].try_into().unwrap());
        let short = |from: usize| u32::from_ne_bytes(head[from..from + 4].try_into().unwrap()) as usize;
        let (kind, inode, place, name, data) = (head[0], long(8), long(16), short(24), short(28));
        let (name, data) = (at + 32..at + 32 + name, at + 32 + name..at + 32 + name + data);
        at = data.end;
        let name = String::from_utf8(bytes[name].to_vec()).unwrap();
        let text = || String::from_utf8(bytes[data.clone()].to_vec()).unwrap();
        let place = usize::try_from(place).unwrap();
        let step = match kind {
            b'o' => Step::Open,
            b'c' => Step::Create { inode },
            b'w' => Step::Write { inode, at: place, bytes: bytes[data.clone()].to_vec() },
            b't' => Step::Truncate { inode, length: place, call: Call::Truncate },
            b'z' => Step::Truncate { inode, length: 0, call: Call::Open },
            b's' => Step::Sync { inode },
            b'd' => Step::SyncNames,
            b'm' => Step::MakeDir,
            b'r' => Step::Rename { to: text() },
            b'l' => Step::Link { to: text() },
            b'u' => Step::Unlink,
            other => panic!("`{}` is no kind of entry", char::from(other)),
        };
        entries.push(Entry { name, step, end: at as u64 });
    }
    entries
}

/// How often each call was made on each kind of file.
pub fn counts(entries: &[Entry]) -> BTreeMap<(String, Call), usize> {
    let mut counts = BTreeMap::new();
    let once = |entry: &&Entry| !matches!(entry.step, Step::Truncate { call: Call::Open, .. });
    for entry in entries.iter().filter(once) {
        *counts.entry((entry.pattern(), entry.call())).or_default() += 1;
    }
    counts
}
