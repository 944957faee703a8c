//! Small accidents that somebody meets sooner or later: nobody can read what the server says, keys are gone, the disk is full.

use std::{fs, process::Command};

use crate::support::{
    server::{BINARY, Server, WORLD},
    storage::Shim,
};

/// The server with its output and its log lines on a device that is always full.
#[test]
fn a_server_serves_though_nobody_can_read_what_it_says() {
    let mut server = Server::prepared("");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >/dev/full 2>/dev/full", "sh", BINARY, "serve", "--config"]);
    command.arg(server.dir.join("rollcall.toml")).current_dir(server.dir.path());
    server.go_as(command);
    server.say(WORLD);
    let secret = server.secret_for("ada");
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    server.stop();
    // A command whose answer cannot be written does not say that all is well, and does not panic.
    server.go();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >/dev/full 2>/dev/full", "sh", BINARY, "--config"]);
    let status = command.arg(server.dir.join("rollcall.toml")).args(["who", "acme"]).status().unwrap();
    assert_eq!(status.code(), Some(3));
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>/dev/full", "sh", BINARY, "--config"]);
    let status = command.arg(server.dir.join("rollcall.toml")).args(["who", "nowhere"]).status().unwrap();
    assert_ne!(status.code(), Some(101), "it panicked");
}

#[test]
fn keys_that_are_gone_are_made_anew_only_by_whoever_says_so() {
    let mut server = Server::prepared("");
    server.go();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    let bundle = server.cli(&["keys", "bundle"]).ok();
    let busy = server.cli(&["keys", "begin-anew"]);
    assert!(busy.code != 0 && busy.err.contains("there are keys"), "{busy:?}");
    server.stop();
    let (keys, aside) = (server.data("keys"), server.dir.join("aside"));
    fs::rename(&keys, &aside).unwrap();
    for _ in 0..2 {
        let said = server.refuses_to_start();
        assert!(said.err.contains("are gone") && said.err.contains("rollcall keys begin-anew"), "{}", said.err);
        assert!(!keys.join("authority.json").exists());
    }
    // From a backup.
    let _ = fs::remove_dir_all(&keys);
    fs::rename(&aside, &keys).unwrap();
    server.go();
    assert_eq!(server.cli(&["keys", "bundle"]).ok(), bundle);
    server.stop();
    // Or anew.
    fs::remove_dir_all(&keys).unwrap();
    assert_eq!(server.cli(&["keys", "begin-anew"]).code, 0);
    server.go();
    assert_ne!(server.cli(&["keys", "bundle"]).ok(), bundle);
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
}

#[test]
fn a_server_starts_on_a_full_disk_in_the_room_that_it_kept_and_answers() {
    let mut server = Server::prepared("");
    let shim = Shim::compile(&server.dir);
    server.go();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    server.stop();
    let ballast = server.data("ballast");
    assert!(fs::metadata(&ballast).unwrap().len() >= 8 << 20);
    // It is full until the ballast is given up.
    let command = shim.full_while(server.command(), &ballast);
    server.go_as(command);
    assert_eq!(server.granted("ada", &secret, "acme/x"), ["pull"]);
    assert!(server.log().contains("the disk is full"), "{}", server.log());
    server.stop();
    // With room again it is made again.
    server.go();
    assert!(fs::metadata(&ballast).unwrap().len() >= 8 << 20);
}
