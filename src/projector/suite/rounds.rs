//! Rounds of everything that may come, in any order: what sources say, commands of which most apply, links, other profiles,
//! restarts on what is there or was there earlier, rebuilds. Whatever came, the live roster, the log folded anew, a snapshot
//! with what came after it, and the SQL view say the same. `ROLLCALL_ROUNDS` says how many rounds, `ROLLCALL_ROUND` which one
//! to play alone.

use std::{fs, path::Path, time::Duration};

use futures_util::StreamExt;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rollcall_access::{FoldVersions, Profile, Roster};
use rollcall_eventlog::{Append, Log, Tail};
use rollcall_events::{Body, Clock, NewEvent, Position};

use super::{
    kit::{Dir, TestClock},
    projector_tests::{Running, log, options},
    worlds::{self, event},
};
use crate::{Compared, Handle, Options, RebuildError, history, snapshot};

/// How much happens in a round.
const STEPS: u64 = 60;
/// How many commands are thought of until one is found that may be given.
const TRIES: u32 = 6;

/// The access models that come with it.
const PROFILES: [&str; 5] = ["harbor", "ibm", "portus", "revenera", "sregistry"];

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Said,
    /// A command that may be given now, if one is found.
    Allowed,
    Profile,
    Restart(Left),
    Rebuild,
    /// The SQL side forgets what is over.
    Forget,
}

/// What of what is derived is there at a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    All,
    /// As it was at an earlier stop.
    EarlierSnapshot,
    EarlierView,
    NoSnapshot,
    NoView,
    Nothing,
}

fn next() -> impl Strategy<Value = Next> {
    let left = prop_oneof![
        4 => Just(Left::All), 2 => Just(Left::EarlierSnapshot), 1 => Just(Left::EarlierView), 1 => Just(Left::NoSnapshot),
        1 => Just(Left::NoView), 1 => Just(Left::Nothing),
    ];
    prop_oneof![
        40 => Just(Next::Said),
        40 => Just(Next::Allowed),
        3 => Just(Next::Profile),
        5 => left.prop_map(Next::Restart),
        1 => Just(Next::Rebuild),
        1 => Just(Next::Forget),
    ]
}

struct Round {
    random: TestRunner,
    dir: Dir,
    log: Log,
    running: Option<Running>,
    /// How many were thought of, for their ids.
    count: u64,
}

impl Round {
    async fn begin(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let (dir, log) = (Dir::new(), log());
        let mut round = Self {
            random: TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng),
            dir,
            log,
            running: None,
            count: 0,
        };
        let world = round.draw(&worlds::worlds());
        round.log.append(world).await.unwrap();
        round.start().await;
        round
    }

    fn draw<T: std::fmt::Debug>(&mut self, strategy: &impl Strategy<Value = T>) -> T {
        strategy.new_tree(&mut self.random).unwrap().current()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    async fn start(&mut self) {
        let snapshot_every = self.draw(&prop_oneof![Just(1_u64), Just(5), Just(17), Just(1_000_000)]);
        // Few may wait for the SQL side: now and then it is detached, and folds the log for itself.
        let waiting = self.draw(&prop_oneof![1 => Just(2_u32), 4 => Just(65_536)]);
        let options = Options { snapshot_every, waiting, ..options() };
        self.running = Some(Running::start(&self.dir, &self.log, options).await);
    }

    /// Stops, and starts on what is left.
    async fn restart(&mut self, left: Left) {
        self.running.take().unwrap().stop().await;
        until_closed(&self.dir).await;
        let dir = self.dir.to_path_buf();
        let (file, earlier) = (|name: &str| dir.join(name), |name: &str| dir.join(format!("earlier-{name}")));
        let remove = |name: &str| {
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(file(&format!("{name}{suffix}")));
            }
        };
        let put_back = |name: &str| {
            remove(name);
            let _ = fs::copy(earlier(name), file(name));
        };
        let snapshot = fs::read(file(snapshot::FILE)).ok();
        let view = whole_view(&self.dir);
        match left {
            Left::All => {}
            Left::EarlierSnapshot => put_back(snapshot::FILE),
            Left::EarlierView => put_back("read.db"),
            Left::NoSnapshot => remove(snapshot::FILE),
            Left::NoView => remove("read.db"),
            Left::Nothing => {
                remove(snapshot::FILE);
                remove("read.db");
            }
        }
        // For some later restart.
        if self.draw(&any::<bool>()) {
            if let Some(bytes) = snapshot {
                fs::write(earlier(snapshot::FILE), bytes).unwrap();
            }
            if let Some(bytes) = view {
                fs::write(earlier("read.db"), bytes).unwrap();
            }
        }
        self.start().await;
    }

    fn think(&mut self, (source, kind, data): (&str, &str, String)) -> NewEvent {
        self.count += 1;
        // Now and then behind what the source said before.
        let late = self.draw(&prop_oneof![6 => Just(0_u64), 1 => 1..30_u64]);
        event(source, &format!("r{}", self.count), kind, &data, (1_000 + self.count).saturating_sub(late))
    }

    /// Something that a source says or somebody commands.
    fn said(&mut self) -> NewEvent {
        let step = self.draw(&worlds::random_step());
        self.think(step)
    }

    /// A command that is allowed as things stand; where none is found, the last one that was thought of.
    fn allowed(&mut self) -> NewEvent {
        let live = self.running().handle.live();
        let mut command = None;
        for _ in 0..TRIES {
            let (source, kind, data) = self.draw(&worlds::command());
            let body = Body::parse(&format!("rollcall.{kind}.v1"), &data).unwrap();
            let is_allowed = live.read().check_command(&body, TestClock::new().now()).is_ok();
            command = Some((source, kind, data));
            if is_allowed {
                break;
            }
        }
        self.think(command.unwrap())
    }

    fn profile(&mut self) -> NewEvent {
        let name = self.draw(&proptest::sample::select(&PROFILES[..]));
        let profile = serde_json::to_string(Profile::bundled(name).unwrap().document()).unwrap();
        self.think(("local", "profile.set", profile))
    }

    async fn step(&mut self) {
        match self.draw(&next()) {
            Next::Said => {
                let many = self.draw(&prop_oneof![3 => Just(1), 1 => 2..9_usize]);
                let batch = (0..many).map(|_| self.said()).collect();
                self.log.append(batch).await.unwrap();
            }
            Next::Allowed => {
                let command = self.allowed();
                self.append_and_fold(command).await;
            }
            Next::Profile => {
                let profile = self.profile();
                self.append_and_fold(profile).await;
            }
            Next::Restart(left) => self.restart(left).await,
            Next::Rebuild => {
                self.running().settled().await;
                let rebuilt = self.in_turn(Handle::rebuild).await;
                assert!(rebuilt.same(), "{rebuilt:?}");
            }
            Next::Forget => {
                self.running().settled().await;
                history::forget(&self.running().handle.shared, Duration::ZERO).await.unwrap();
            }
        }
    }

    /// What the SQL side that catches up by itself may be in the way of.
    async fn in_turn(&self, work: impl AsyncFn(&Handle) -> Result<Compared, RebuildError>) -> Compared {
        loop {
            match work(&self.running().handle).await {
                Err(RebuildError::Busy) => tokio::task::yield_now().await,
                done => return done.unwrap(),
            }
        }
    }

    async fn append_and_fold(&self, event: NewEvent) {
        self.log.append(vec![event]).await.unwrap();
        let head = self.log.head().borrow().position;
        assert!(self.running().handle.wait_for(head, super::projector_tests::TIMEOUT).await);
    }

    /// All that is kept says the same.
    async fn agree(&mut self) {
        self.running().assert_views_agree().await;
        let checked = self.in_turn(Handle::check).await;
        assert!(checked.same() && checked.sql.is_some_and(|sql| sql.same()), "{checked:?}");
        let live = self.running().handle.live().read().to_snapshot();
        let replayed = fold(&self.log, Roster::new(Append::log_id(&self.log))).await;
        assert!(live == replayed.to_snapshot(), "the live roster is not what the log says");
        if let Some((kept, _)) = snapshot::load(&self.dir, Append::log_id(&self.log), FoldVersions::CURRENT) {
            let at = kept.position();
            assert!(
                live == fold(&self.log, kept).await.to_snapshot(),
                "a snapshot at {at} and what came after it differ"
            );
        }
    }

    async fn end(mut self) {
        self.agree().await;
        self.restart(Left::All).await;
        self.agree().await;
        self.running.take().unwrap().stop().await;
    }
}

/// Connections are closed by threads of their own, and remove then what was written ahead: that of the next file too, had it
/// the name already.
async fn until_closed(dir: &Path) {
    let is_open = || {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|file| file.starts_with(dir)))
    };
    while is_open() {
        tokio::task::yield_now().await;
    }
}

/// What of the view is in one file: nothing where something is written ahead.
fn whole_view(dir: &Path) -> Option<Vec<u8>> {
    let ahead = fs::metadata(dir.join("read.db-wal")).map_or(0, |file| file.len());
    fs::read(dir.join("read.db")).ok().filter(|_| ahead == 0)
}

/// A roster with all that came after it.
async fn fold(log: &Log, mut roster: Roster) -> Roster {
    let mut pages = log.read(roster.position(), 1_024);
    while roster.position() < log.head().borrow().position {
        for record in pages.next().await.unwrap().unwrap().iter() {
            drop(roster.apply(record));
        }
    }
    assert!(roster.position() > Position(0));
    roster
}

async fn play(seed: u64) {
    let mut round = Round::begin(seed).await;
    for step in 0..STEPS {
        round.step().await;
        if step % 20 == 19 {
            round.agree().await;
        }
    }
    round.end().await;
}

#[test]
fn whatever_comes_the_live_roster_the_replay_a_snapshot_with_its_tail_and_the_view_are_one() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("a number"));
    let large = std::env::var_os("ROLLCALL_ALL").is_some();
    let rounds = match (number("ROLLCALL_ROUND"), number("ROLLCALL_ROUNDS")) {
        (Some(one), _) => one..one + 1,
        (None, many) => 0..many.unwrap_or(if large { 2_000 } else { 6 }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in rounds {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(play(round))));
        if let Err(failure) = played {
            eprintln!("round {round} failed: ROLLCALL_ROUND={round} plays it alone");
            std::panic::resume_unwind(failure);
        }
    }
}
