//! What lies on the disk is what we put there: nothing that others may write or that leads elsewhere is believed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use crate::support::server::{Server, WORLD};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_data_directory_or_a_secret_that_others_may_write_starts_no_server_and_sends_no_key() {
    let mut server = Server::start();
    server.stop();
    for (path, bits, good, told) in [
        (server.data(""), 0o770, 0o700, "its group may write"),
        (server.data(""), 0o707, 0o700, "others may write"),
        (server.data("ops.db"), 0o620, 0o600, "ops.db"),
        (server.data("keys"), 0o770, 0o700, "keys"),
        (server.dir.join("flexnet.secret"), 0o622, 0o644, "flexnet.secret"),
        (server.dir.join("rollcall.toml"), 0o606, 0o644, "rollcall.toml"),
    ] {
        mode(&path, bits);
        for command in ["serve", "projects", "verify"] {
            let said = match command {
                "serve" => server.refuses_to_start(),
                "projects" => server.cli(&["projects", "list"]),
                _ => server.cli(&[command]),
            };
            assert_eq!(said.code, 2, "{command} with {told}: {}", said.err);
            assert!(said.err.contains(told) && said.err.contains("chmod go-w"), "{command} with {told}: {}", said.err);
        }
        mode(&path, good);
    }
    server.go();
}

#[test]
fn a_link_that_was_planted_in_the_data_directory_is_not_followed() {
    let mut server = Server::start();
    server.stop();
    let elsewhere = server.dir.write("elsewhere", "somebody else's");
    for name in
        ["log.db", "ops.db-wal", "roster.snap", "roster.snap.next", "head.json.new", "server.new", "keys/planted"]
    {
        let path = server.data(name);
        let kept = server.dir.join("kept");
        let there = path.exists() && fs::rename(&path, &kept).is_ok();
        symlink(&elsewhere, &path).unwrap();
        for command in ["serve", "verify", "backup"] {
            let said = match command {
                "serve" => server.refuses_to_start(),
                "backup" => server.cli(&["backup", "copy"]),
                _ => server.cli(&[command]),
            };
            assert_eq!(said.code, 2, "{command} with {name}: {}", said.err);
            assert!(said.err.contains(name) && said.err.contains("is a link"), "{command} with {name}: {}", said.err);
        }
        fs::remove_file(&path).unwrap();
        if there {
            fs::rename(&kept, &path).unwrap();
        }
    }
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "somebody else's");
    symlink(server.dir.path(), server.dir.join("copy")).unwrap();
    let said = server.cli(&["backup", "copy"]);
    assert!(said.code == 2 && !server.dir.join("log.db").exists(), "{}", said.err);
    server.go();
}

#[test]
fn a_backup_is_not_made_inside_of_what_it_is_a_backup_of() {
    let server = Server::start();
    symlink(server.dir.join("data"), server.dir.join("other")).unwrap();
    for target in ["data/copy", "data/a/b", "other/copy", "data/../data/copy"] {
        let said = server.cli(&["backup", target]);
        assert!(said.code == 2 && said.err.contains("inside the data directory"), "{target}: {}{}", said.out, said.err);
    }
    let inside = fs::read_dir(server.dir.join("data")).unwrap().filter_map(Result::ok);
    let names: Vec<_> = inside.map(|entry| entry.file_name()).filter(|name| name == "copy" || name == "a").collect();
    assert!(names.is_empty(), "{names:?} was made");
    let beside = server.cli(&["backup", "data-copy"]);
    assert_eq!(beside.code, 0, "{}", beside.err);
}

#[test]
fn secrets_that_an_orchestrator_mounts_by_way_of_links_are_used() {
    let mut server = Server::prepared("");
    let file = server.dir.join("flexnet.secret");
    let mounted = server.dir.write("..2026_11_29/flexnet.secret", fs::read(&file).unwrap());
    mode(&mounted, 0o440);
    fs::remove_file(&file).unwrap();
    symlink("..2026_11_29", server.dir.join("..data")).unwrap();
    symlink("..data/flexnet.secret", &file).unwrap();
    server.go();
    server.say(WORLD);
}

#[test]
fn the_first_start_writes_the_key_of_the_administrator_into_no_log() {
    for demo in ["", "--demo"] {
        let mut server = Server::prepared("");
        let mut command = server.command();
        if !demo.is_empty() {
            command = std::process::Command::new(crate::support::server::BINARY);
            command.args(["serve", "--demo", "--listen"]).arg(format!("127.0.0.1:{}", server.port));
            command.arg("--data-dir").arg(server.data("")).current_dir(server.dir.path());
        }
        server.go_as(command);
        let key = server.admin_key();
        let told =
            crate::support::wait_for("the greeting", || Some(server.log()).filter(|log| log.contains("admin key")));
        assert!(!told.contains(&key), "{demo}: the key stands in {told}");
        assert!(told.contains("admin.key (mode 0600)"), "{demo}: {told}");
    }
}
