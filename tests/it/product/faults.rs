//! Storage that says no: each call on each kind of file in the data directory fails once, at a first start on nothing and
//! at one on what is there. The only thing believed is what a client outside was told. The large parts have many more of
//! each call fail; `ROLLCALL_FAULTS` says how many.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{Arc, Mutex},
};

use super::crash::{count, verified};
use crate::support::{
    Dir, asked_for,
    random::Random,
    server::Server,
    storage::{Call, Fault, Shim, counts, journal},
    told::{Load, Lost, Request, Told, begin, no_time},
    wait_for,
};

/// Where a server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    OnNothing,
    OnWhatIsThere,
}

/// What fails in every run of the tests, once each; of the rest the large parts have their share.
const AT_A_FIRST_START: &[(&str, &[Call])] = &[
    ("data", &[Call::Sync]),
    ("data/admin.new", &[Call::Write]),
    ("data/answers.new", &[Call::Rename]),
    ("data/keys/authority.new", &[Call::Sync]),
    ("data/keys/signing-*.new", &[Call::Rename]),
    ("data/log.key.new", &[Call::Open]),
    ("data/log.lock", &[Call::Write]),
    ("data/log.db", &[Call::Write]),
    ("data/log.db-wal", &[Call::Write, Call::Sync]),
    ("data/ops.db", &[Call::Write]),
    ("data/ops.db-wal", &[Call::Sync]),
    ("data/read.db", &[Call::Write]),
    ("data/roster.snap.next", &[Call::Rename]),
];
const AT_A_LATER_START: &[(&str, &[Call])] = &[
    ("data/log.db", &[Call::Write, Call::Sync]),
    ("data/log.db-wal", &[Call::Write, Call::Sync, Call::Truncate]),
    ("data/ops.db", &[Call::Write, Call::Sync]),
    ("data/ops.db-wal", &[Call::Write, Call::Sync]),
    ("data/read.db", &[Call::Write, Call::Link]),
    ("data/read.db-wal", &[Call::Write]),
    ("data/read.db.next", &[Call::Sync, Call::Rename]),
    ("data/roster.snap.next", &[Call::Write, Call::Sync, Call::Rename]),
];

/// How many of the calls fail.
#[derive(Debug, Clone, Copy)]
enum Share {
    Usual,
    /// So many of each call on each kind of file.
    Each(usize),
}

/// A server that is started, does a bit of everything, and ends.
struct Life {
    server: Server,
    told: Arc<Mutex<Told>>,
}

impl Life {
    fn new() -> Self {
        Self { server: Server::prepared(""), told: Arc::default() }
    }

    /// From its start to its end, however that comes. What it refused.
    fn live(&mut self, command: Command, start: Start) -> Option<String> {
        let Self { server, told } = self;
        let from = server.log().len();
        let mut refused = None;
        server.go_unready(command);
        wait_for("a start, or its failure", || (server.is_ready() || server.process().ended().is_some()).then_some(()));
        if server.process().ended().is_none() {
            if start == Start::OnNothing {
                begin(server, told, &no_time());
            }
            // A fixed number of requests, so that the number of calls is bounded.
            Load::start(server, 2, 16, told, &no_time()).finish();
            let answered = || told.lock().unwrap().answered();
            let before = answered();
            wait_for("a server that takes events of itself, or its end", || {
                Load::at_once(server, vec![Request::batch()], told).0.finish();
                (answered() > before || server.process().ended().is_some()).then_some(())
            });
            // After the log's storage failed nobody knows what is on the disk: nothing more is acknowledged until the file
            // was opened anew and read.
            let log = server.log()[from..].to_owned();
            let closed = log.rfind("the log takes no events until it has been opened anew");
            let opened = log.rfind("the log was opened anew and takes events again");
            assert!(answered() == before || closed <= opened, "acknowledged by a log that is not open:\n{log}");
            let rebuild = server.http.post(&server.url("/api/v1/projections/roster/rebuild"));
            let rebuild = rebuild.bearer_auth(server.admin_key()).header("content-type", "application/json").body("{}");
            match server.http.try_send(rebuild) {
                Ok(rebuilt) => {
                    assert!([200, 409, 503].contains(&rebuilt.status), "{rebuilt:?}");
                    refused = (rebuilt.status != 200).then(|| rebuilt.problem());
                    told.lock().unwrap().check_secrets(server);
                    server.ask_to_end();
                }
                // It may answer before all of its start is done, and then end.
                Err(_) => refused = Some("it was gone".to_owned()),
            }
        }
        wait_for("its end", || server.process().ended());
        server.kill();
        let log = server.log()[from..].to_owned();
        assert!(!log.contains("panicked"), "{log}");
        refused
    }

    /// Started again on storage that works, it keeps to everything that was told.
    fn again(&mut self) {
        self.server.go();
        self.told.lock().unwrap().check(&self.server, Lost::Unpromised);
        verified(&self.server);
        self.server.stop();
    }

    /// How often each call is made on each kind of file where none fails.
    fn counted(&mut self, shim: &Shim, start: Start, tools: &Dir) -> BTreeMap<(String, Call), usize> {
        let path = tools.join(&format!("{start:?}"));
        let command = shim.watching(self.server.command(), self.server.dir.path(), &path);
        assert_eq!(self.live(command, start), None);
        let mut counts = counts(&journal(&path));
        counts.retain(|(file, _), _| file.starts_with("data"));
        counts
    }

    /// Whether it came to that.
    fn with(&mut self, shim: &Shim, start: Start, fault: &Fault, tools: &Dir) -> bool {
        let mark = tools.join(&format!("mark-{start:?}-{fault}").replace(['/', ' '], "-"));
        let command = shim.failing(self.server.command(), self.server.dir.path(), fault, &mark);
        let refused = self.live(command, start);
        eprintln!(
            "{start:?}: {fault}, {}; a rebuild was refused: {refused:?}",
            if mark.is_symlink() { "failed" } else { "not reached" }
        );
        self.again();
        mark.is_symlink()
    }
}

/// Those of the calls that are to fail; early ones more than late ones.
fn faults(counts: &BTreeMap<(String, Call), usize>, usual: &[(&str, &[Call])], share: Share) -> Vec<Fault> {
    let mut random = Random(5);
    let mut faults = Vec::new();
    for ((file, call), calls) in counts {
        let nths: BTreeSet<usize> = match share {
            Share::Usual if usual.iter().any(|(name, some)| name == file && some.contains(call)) => {
                [1 + random.below(*calls)].into()
            }
            Share::Usual => continue,
            Share::Each(most) => {
                let early = 1..=most.div_ceil(2).min(*calls);
                early.chain((0..most / 2).map(|_| 1 + random.below(*calls))).collect()
            }
        };
        faults.extend(nths.into_iter().map(|nth| Fault { call: *call, file: file.clone(), nth }));
    }
    faults
}

fn sweep(start: Start, share: Share) {
    let tools = Dir::new();
    let shim = Shim::compile(&tools);
    let mut life = Life::new();
    let mut counts = life.counted(&shim, Start::OnNothing, &tools);
    let usual = match start {
        Start::OnNothing => AT_A_FIRST_START,
        Start::OnWhatIsThere => {
            counts = life.counted(&shim, start, &tools);
            AT_A_LATER_START
        }
    };
    life.again();
    for (file, calls) in usual {
        for call in *calls {
            assert!(counts.contains_key(&((*file).to_owned(), *call)), "no {call:?} of {file}: {counts:?}");
        }
    }
    let faults = faults(&counts, usual, share);
    let mut struck = 0;
    for fault in &faults {
        if start == Start::OnNothing {
            life = Life::new();
        }
        struck += usize::from(life.with(&shim, start, fault, &tools));
    }
    // How often a call is made depends a little on who comes when.
    assert!(struck * 10 >= faults.len() * 8, "only {struck} of {} failed", faults.len());
}

#[test]
fn nothing_acknowledged_is_lost_when_a_call_fails_at_a_first_start() {
    sweep(Start::OnNothing, Share::Usual);
}

#[test]
fn nothing_acknowledged_is_lost_when_a_call_fails_at_a_later_start() {
    sweep(Start::OnWhatIsThere, Share::Usual);
}

#[test]
fn nothing_acknowledged_is_lost_whichever_call_fails_at_a_first_start() {
    if asked_for() {
        sweep(Start::OnNothing, Share::Each(count("ROLLCALL_FAULTS", 6) as usize));
    }
}

#[test]
fn nothing_acknowledged_is_lost_whichever_call_fails_at_a_later_start() {
    if asked_for() {
        sweep(Start::OnWhatIsThere, Share::Each(count("ROLLCALL_FAULTS", 6) as usize));
    }
}
