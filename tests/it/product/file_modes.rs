//! Who may read what lies on the disk: the owner alone, whatever the directory lets in.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::server::{Server, WORLD};

/// Every file below, with its permission bits.
fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::metadata(&path).unwrap();
        if meta.is_dir() {
            modes(&path, found);
        } else {
            found.push((path.display().to_string(), meta.permissions().mode() & 0o777));
        }
    }
}

#[test]
fn every_file_is_its_owners_alone_also_in_a_directory_that_others_may_enter() {
    let mut server = Server::prepared("");
    let data = server.data("");
    fs::create_dir_all(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    server.go();
    server.say(WORLD);
    assert_eq!(server.cli(&["backup", "copy"]).code, 0);
    let mut found = Vec::new();
    modes(&data, &mut found);
    modes(&server.dir.join("copy"), &mut found);
    server.stop();
    modes(&data, &mut found);
    for wanted in ["data/log.db", "data/ops.db", "data/read.db", "copy/log.db", "copy/ops.db", "data/ops.db-wal"] {
        assert!(found.iter().any(|(name, _)| name.ends_with(wanted)), "{wanted} is not there: {found:?}");
    }
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "others may read {open:?}");
}
