//! Room that is kept for a start on a full disk. Answers need no room, but opening what they come from does: a few pages
//! beside each database. The ballast is a file that is given up for that, and made again when there is room.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// What is given up.
const BALLAST: &str = "ballast";
/// Enough for every start: what one writes is well below a mebibyte.
const BALLAST_BYTES: u64 = 8 << 20;
/// Written and taken away again, to see whether there is room.
const PROBE: &str = "ballast.probe";
const PROBE_BYTES: usize = 1 << 20;

/// Gives the ballast up where there is no room to start in, and makes one where there is none and room for it. A disk that
/// says no in any other way is found by what is opened next.
pub fn make_room(dir: &Path) {
    let full = probe(dir).is_err_and(|error| is_full(&error));
    if !full {
        return keep(dir);
    }
    match fs::remove_file(dir.join(BALLAST)) {
        Ok(()) => {
            tracing::error!(dir = %dir.display(), "the disk is full: started in the room that was kept for it, nothing more will be recorded")
        }
        Err(error) => {
            tracing::error!(dir = %dir.display(), %error, "the disk is full, and no room was kept for a start")
        }
    }
}

/// Makes the ballast where there is none, if there is room.
pub fn keep(dir: &Path) {
    let path = dir.join(BALLAST);
    let missing = || fs::metadata(&path).map_or(true, |file| file.len() < BALLAST_BYTES);
    if missing()
        && let Err(error) = fill(&path)
    {
        drop(fs::remove_file(&path));
        tracing::warn!(path = %path.display(), %error, "no room is kept for a start on a full disk");
    }
}

fn fill(path: &Path) -> io::Result<()> {
    let file = new(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST_BYTES).map_err(io::Error::from)?;
    file.sync_all()
}

fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(PROBE);
    let written = new(&path).and_then(|mut file| file.write_all(&vec![0; PROBE_BYTES]).and_then(|()| file.sync_all()));
    drop(fs::remove_file(&path));
    written
}

fn new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
