//! The power fails: of what was not synced the disk keeps nothing, or something. One run is written down call by call, with
//! what clients were told and when; a cut may then come after any call of it. At each a server is started on what the disk
//! would have and held against what had been told by then. The large parts cut at many more places;
//! `ROLLCALL_POWER_CUTS` says at how many.

use std::{
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex},
};

use super::crash::{count, verified};
use crate::support::{
    asked_for,
    random::Random,
    server::Server,
    storage::{
        Call, Entry, Shim,
        disk::{Disk, Left},
        journal,
    },
    told::{Load, Lost, Time, Told, begin},
};

/// A run that was written down.
struct Run {
    server: Server,
    entries: Vec<Entry>,
    told: Told,
    /// When the first start was said to be ready, and the keys that were there then.
    ready: (u64, Keys),
}

/// What others were given to trust or to sign in with, and must find again.
#[derive(Debug, PartialEq, Eq)]
struct Keys {
    admin: String,
    authority: String,
}

fn keys(server: &Server) -> Keys {
    let authority = fs::read_to_string(server.data("keys/authority.json")).unwrap();
    Keys { admin: server.admin_key(), authority }
}

/// Two lives on one disk, with a rebuild in each.
fn run() -> Run {
    let mut server = Server::prepared("");
    let (shim, path) = (Shim::compile(&server.dir), server.dir.join("journal"));
    let told = Arc::new(Mutex::new(Told::default()));
    let time: Time = Arc::new({
        let path = path.clone();
        move || fs::metadata(&path).unwrap().len()
    });
    let mut ready = None;
    for life in 0..2 {
        let command = shim.watching(server.command(), server.dir.path(), &path);
        server.go_as(command);
        ready.get_or_insert_with(|| (time(), keys(&server)));
        if life == 0 {
            begin(&mut server, &told, &time);
        }
        Load::start(&server, 3, 24, &told, &time).finish();
        server.cli(&["projection", "rebuild"]).ok();
        Load::start(&server, 3, 8, &told, &time).finish();
        server.stop();
    }
    let told = told.lock().unwrap().clone();
    Run { server, entries: journal(&path), told, ready: ready.unwrap() }
}

/// After how many calls it is cut: of each kind of call on each kind of file one or more just before it, and then anywhere.
fn cuts(entries: &[Entry], number: usize, random: &mut Random) -> Vec<usize> {
    let mut kinds: BTreeMap<(String, Call), Vec<usize>> = BTreeMap::new();
    for (n, entry) in entries.iter().enumerate() {
        kinds.entry((entry.pattern(), entry.call())).or_default().push(n);
    }
    let mut kinds: Vec<_> = kinds.into_iter().filter(|((_, call), _)| *call != Call::Open).map(|(_, at)| at).collect();
    random.shuffle(&mut kinds);
    let mut cuts: Vec<usize> = (0..number / 4).map(|_| random.below(entries.len())).collect();
    while cuts.len() < number {
        cuts.extend(kinds.iter().map(|at| at[random.below(at.len())]));
    }
    cuts.truncate(number);
    cuts.sort_unstable();
    cuts
}

fn cut_the_power(number: usize, seed: u64) {
    let Run { mut server, entries, told, ready } = run();
    let mut random = Random(seed);
    let (mut disk, mut done) = (Disk::default(), 0);
    eprintln!("{} calls, seed {seed}", entries.len());
    for (n, cut) in cuts(&entries, number, &mut random).into_iter().enumerate() {
        entries[done..cut].iter().for_each(|entry| disk.step(entry));
        done = cut;
        let left = [Left::Nothing, Left::Some(random.next()), Left::Names, Left::Some(random.next())][n % 4];
        let time = cut.checked_sub(1).map_or(0, |last| entries[last].end);
        let mut told = told.until(time);
        let next = entries.get(cut).map(|entry| (entry.call(), &entry.name));
        eprintln!("cut after {cut} calls, before {next:?}: {left:?} is left; {} were answered", told.answered());
        disk.cut(left, server.dir.path(), "data");
        server.go();
        if ready.0 <= time {
            assert_eq!(keys(&server), ready.1, "keys that were given to others");
        }
        told.check(&server, Lost::Unpromised);
        verified(&server);
        server.stop();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails() {
    cut_the_power(count("ROLLCALL_POWER_CUTS", 16) as usize, 3);
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    if asked_for() {
        for seed in 1..=3 {
            cut_the_power(count("ROLLCALL_POWER_CUTS", 100) as usize, seed);
        }
    }
}

/// That these tests can fail: with a disk that is told to sync the log no more, as by one that asks for no syncs.
#[test]
fn a_log_that_is_not_synced_is_found_out_when_the_power_fails() {
    let Run { mut server, entries, told, .. } = run();
    let mut disk = Disk::default();
    // Before a rebuild: that syncs what it derived from the log, and a log that is behind it is refused at the start.
    let (honest, time) = (told.nth_answer(20), told.nth_answer(60));
    let reaches =
        |entry: &&Entry| entry.end <= honest || !(entry.name == "data/log.db-wal" && entry.call() == Call::Sync);
    entries.iter().take_while(|entry| entry.end <= time).filter(reaches).for_each(|entry| disk.step(entry));
    disk.cut(Left::Nothing, server.dir.path(), "data");
    server.go();
    let mut told = told.until(time);
    let held = panic::catch_unwind(AssertUnwindSafe(|| told.check(&server, Lost::Unpromised)));
    let found = held.expect_err("nothing was found").downcast::<String>().unwrap();
    assert!(found.contains("was told at") && found.contains("is at None"), "{found}");
}
