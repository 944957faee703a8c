//! Which processes lock a file, as the system tells it. Knows nothing of what the locks mean, and takes none.

use std::{fs, path::Path};

/// A lock of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessLock {
    /// The process; 0 or less where it is outside what this one sees.
    pub process: i64,
    /// The first byte that it locks.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl ProcessLock {
    /// Who it is, for people.
    pub fn holder(&self) -> String {
        if self.process == i64::from(std::process::id()) {
            return format!("this server itself (process {})", self.process);
        }
        match fs::read_to_string(format!("/proc/{}/comm", self.process)) {
            Ok(name) => format!("{} (process {})", name.trim_end(), self.process),
            Err(_) if self.process > 0 => format!("process {}", self.process),
            Err(_) => "a process outside this container".to_owned(),
        }
    }
}

/// The locks on a file. None where the system does not tell.
pub fn locks_on(path: &Path) -> Vec<ProcessLock> {
    let Some(inode) = inode(path) else { return Vec::new() };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    table.lines().filter_map(|line| read(line, inode)).collect()
}

/// A line of `/proc/locks`: `1: POSIX  ADVISORY  READ 4711 fe:00:5414914 123 123`. Who only waits has an arrow behind the
/// number.
fn read(line: &str, inode: u64) -> Option<ProcessLock> {
    let mut words = line.split_ascii_whitespace().skip(1).filter(|word| *word != "->").skip(3);
    let process = words.next()?.parse().ok()?;
    // Not compared by device: file systems in layers call theirs otherwise here than to whoever asks for it.
    let is_asked = words.next()?.rsplit(':').next()?.parse() == Ok(inode);
    let first = words.next()?.parse().ok()?;
    let last = words.next()?;
    let last = if last == "EOF" { u64::MAX } else { last.parse().ok()? };
    (is_asked && !line.contains("->")).then_some(ProcessLock { process, first, last })
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).ok()?))
}

#[cfg(not(unix))]
fn inode(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_a_lock_of_the_file_that_is_asked_for() {
        let line = "12: POSIX  ADVISORY  READ 4711 fe:00:5414914 123 124";
        assert_eq!(read(line, 5_414_914), Some(ProcessLock { process: 4711, first: 123, last: 124 }));
        assert_eq!(read(line, 5_414_915), None);
        let whole = "3: FLOCK  ADVISORY  WRITE 7 fe:00:9 0 EOF";
        assert_eq!(read(whole, 9), Some(ProcessLock { process: 7, first: 0, last: u64::MAX }));
        assert_eq!(read("3: -> FLOCK  ADVISORY  WRITE 8 fe:00:9 0 EOF", 9), None, "it only waits");
        assert_eq!(read("nonsense", 9), None);
    }
}
