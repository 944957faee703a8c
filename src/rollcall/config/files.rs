//! Reading files that decide: who may have written them is looked at before they are believed. Links are followed, since
//! that is how an orchestrator mounts secrets; only the data directory (`data_dir`) has none.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::values::text_of;

/// The largest file that is read: none that a configuration names is nearly so large.
const MAX_BYTES: u64 = 4 << 20;

/// Write permission of the group and of others.
pub const GROUP_AND_OTHERS: u32 = 0o022;
/// Write permission of others. A group of its own for each user is usual where people work, so a configuration may have it.
const OTHERS: u32 = 0o002;
/// In a directory with it everybody removes only what is his or her own.
const STICKY: u32 = 0o1000;

/// Reads the configuration file.
///
/// # Errors
/// It cannot be read, or others may write it.
pub fn read_configuration(path: &Path) -> io::Result<String> {
    read(path, OTHERS)
}

/// Reads a secret, or another file that the configuration names.
///
/// # Errors
/// It cannot be read, or others may write it.
pub fn read_trusted(path: &Path) -> io::Result<String> {
    read(path, GROUP_AND_OTHERS)
}

fn read(path: &Path, forbidden: u32) -> io::Result<String> {
    let refused = |what: String| io::Error::new(io::ErrorKind::PermissionDenied, what);
    let file = File::open(path)?;
    let meta = file.metadata()?;
    // A pipe that a shell made for us is ours.
    if meta.is_file() {
        check_owner(path, &meta).map_err(refused)?;
        check_mode(path, &meta, forbidden).map_err(refused)?;
        let real = path.canonicalize()?;
        let folder = real.parent().unwrap_or(Path::new("/"));
        let mode = fs::metadata(folder)?.mode();
        if mode & OTHERS != 0 && mode & STICKY == 0 {
            let folder = folder.display();
            return Err(refused(format!("anybody may put another file in its place: chmod o-w {folder}")));
        }
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 4 MiB"));
    }
    text_of(&bytes)
}

/// A file is ours or the system's; whoever owns it may write it whatever its mode says.
///
/// # Errors
/// Whose it is.
pub fn check_owner(path: &Path, meta: &Metadata) -> Result<(), String> {
    let (owner, own) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner == own || owner == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(format!("{path} belongs to user {owner}, and this is user {own}: chown {own} {path}"))
}

/// # Errors
/// Who else may write it, and what to do.
pub fn check_mode(path: &Path, meta: &Metadata, forbidden: u32) -> Result<(), String> {
    let found = meta.mode() & forbidden;
    if found == 0 {
        return Ok(());
    }
    let who = if found & OTHERS == 0 { "its group" } else { "others" };
    let (path, mode) = (path.display(), meta.mode() & 0o7777);
    Err(format!("{who} may write {path} (mode {mode:04o}): chmod go-w {path}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("rollcall-files-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        path
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_that_others_may_write_or_replace_is_refused_with_what_to_do() {
        let dir = folder("modes");
        let file = dir.join("x.secret");
        fs::write(&file, "text").unwrap();
        for (bits, good) in
            [(0o600, true), (0o640, true), (0o444, true), (0o660, false), (0o606, false), (0o666, false)]
        {
            mode(&file, bits);
            let read = read_trusted(&file);
            assert_eq!(read.is_ok(), good, "{bits:o}: {read:?}");
            let told = read.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(good || told.contains("chmod go-w"), "{bits:o}: {told}");
        }
        mode(&file, 0o664);
        assert!(read_configuration(&file).is_ok(), "a configuration may be its group's");
        mode(&file, 0o600);
        mode(&dir, 0o777);
        assert!(read_trusted(&file).unwrap_err().to_string().contains("chmod o-w"));
        mode(&dir, 0o1777);
        assert_eq!(read_trusted(&file).unwrap(), "text", "nobody else can remove it there");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_secret_that_is_mounted_by_way_of_links_is_read() {
        let dir = folder("mounted");
        fs::create_dir(dir.join("..2026_11_29")).unwrap();
        fs::write(dir.join("..2026_11_29/corp.secret"), "one").unwrap();
        mode(&dir.join("..2026_11_29/corp.secret"), 0o440);
        symlink("..2026_11_29", dir.join("..data")).unwrap();
        symlink("..data/corp.secret", dir.join("corp.secret")).unwrap();
        assert_eq!(read_trusted(&dir.join("corp.secret")).unwrap(), "one");
        fs::remove_dir_all(dir).unwrap();
    }
}
