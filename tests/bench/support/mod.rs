//! What every benchmark shares: its size, its rounds, the one JSON line per measurement, and what the machine was like.
//! Asserts nothing about time: a run fails when an answer is wrong or an event is lost, never because it was slow.

pub mod bare;
pub mod http;
pub mod server;
pub mod slapd;
pub mod world;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use rollcall_events::Clock;
use serde::Serialize;
use serde_json::Value;

/// Five slices of each side; the median counts (reference: `A B A B ...`).
pub const ROUNDS: usize = 5;

/// The full size under `cargo bench` (which passes `--bench`), a small one under `cargo test`, as in `tests/run`.
pub fn pick<T>(small: T, full: T) -> T {
    if is_full() { full } else { small }
}

/// Whether this run's figures mean anything.
pub fn is_full() -> bool {
    std::env::args().any(|arg| arg == "--bench") && std::env::var("ROLLCALL_BENCH").as_deref() != Ok("small")
}

/// The clock of the machine.
pub struct Wall;

impl Clock for Wall {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// How long something took, in seconds, and what it gave.
pub fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed().as_secs_f64(), value)
}

/// CPU time of this thread for some work that it does alone, in seconds, and what the work gave. On a shared machine
/// this is what can be compared; wall time counts the neighbours too.
pub fn spent<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let now = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let start = now();
    let value = work();
    ((now() - start) / 1e9, value)
}

/// A directory on the disk that is measured, gone afterwards.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One round: what was reached, and the limit that was measured next to it.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub value: f64,
    pub limit: f64,
}

/// Rounds of an open loop, each with the share of requests that the generator gave out late. A round in which it was
/// short of CPU (more than one in a hundred) says little and is left out, unless all are so; how many are so.
pub fn on_time(rounds: &[(Round, f64)]) -> (Vec<Round>, usize) {
    let late = rounds.iter().filter(|(_, late)| *late > 0.01).count();
    let keep = |late: f64| late <= 0.01 || rounds.iter().all(|(_, late)| *late > 0.01);
    (rounds.iter().filter(|(_, late)| keep(*late)).map(|(round, _)| *round).collect(), late)
}

/// What a measurement says besides its rounds.
pub struct About<'a> {
    /// The goal that it answers to, e.g. `P4`.
    pub goal: &'a str,
    /// What `value` is, in words.
    pub what: &'a str,
    /// What `limit` is, in words.
    pub limit: &'a str,
    pub unit: &'a str,
    /// What is aimed at, in words; never asserted.
    pub target: &'a str,
    /// Whatever explains the figure.
    pub parts: Value,
}

/// What is printed, in this order.
#[derive(Serialize)]
struct Line<'a> {
    goal: &'a str,
    ratio: f64,
    rounds: Vec<f64>,
    value: f64,
    limit: f64,
    unit: &'a str,
    what: &'a str,
    limit_is: &'a str,
    target: &'a str,
    parts: Value,
    size: &'a str,
    machine: &'a str,
    load: [f64; 2],
    rustc: String,
    commit: String,
    cmd: String,
}

/// A benchmark program: remembers what the machine was like when it started.
pub struct Bench {
    name: &'static str,
    machine: String,
    load: f64,
    pub dir: Scratch,
}

impl Bench {
    pub fn start(name: &'static str) -> Self {
        let dir = Scratch::new(name);
        let syncs = sync_times(dir.path(), pick(20, 300));
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown CPU");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let machine = format!(
            "{} x {cores}, Linux {}, fdatasync p50 {:.2} ms p99 {:.2} ms",
            model.trim_start_matches(['\t', ' ', ':']),
            kernel.trim(),
            percentile(&syncs, 50.0) * 1e3,
            percentile(&syncs, 99.0) * 1e3
        );
        eprintln!("{name}, {}: {machine}", pick("small (figures mean nothing)", "full size"));
        Self { name, machine, load: load(), dir }
    }

    /// Prints one measurement: the JSON line, and the same for people.
    pub fn report(&self, about: About<'_>, rounds: &[Round]) {
        let ratios: Vec<f64> = rounds.iter().map(|round| round.value / round.limit).collect();
        let [ratio, value, limit] = [
            median(&ratios),
            median(&rounds.iter().map(|round| round.value).collect::<Vec<_>>()),
            median(&rounds.iter().map(|round| round.limit).collect::<Vec<_>>()),
        ];
        let line = serde_json::to_string(&Line {
            goal: about.goal,
            ratio: short(ratio),
            rounds: ratios.iter().map(|ratio| short(*ratio)).collect(),
            value: short(value),
            limit: short(limit),
            unit: about.unit,
            what: about.what,
            limit_is: about.limit,
            target: about.target,
            parts: about.parts,
            size: pick("small", "full"),
            machine: &self.machine,
            load: [self.load, load()],
            rustc: said("rustc", &["--version"]),
            commit: said("git", &["describe", "--always", "--dirty"]),
            cmd: format!("{} --bench {}", pick("cargo test -p rollcall", "cargo bench -p rollcall"), self.name),
        })
        .unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
        eprintln!(
            "  {:<9} {}: {} x the limit ({} {} against {} for {}); target {}",
            about.goal,
            about.what,
            short(ratio),
            short(value),
            about.unit,
            short(limit),
            about.limit,
            about.target
        );
    }
}

fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().ok().filter(|out| out.status.success());
    out.map_or_else(|| "unknown".to_owned(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Three significant digits say all that such a run knows.
pub fn short(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The nearest-rank percentile.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// Seconds that `count` appends of 512 bytes with an fdatasync each take.
pub fn sync_times(dir: &Path, count: usize) -> Vec<f64> {
    let path = dir.join("fdatasync");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let times = (0..count)
        .map(|_| {
            timed(|| {
                file.write_all(&[7; 512]).unwrap();
                file.sync_data().unwrap();
            })
            .0
        })
        .collect();
    let _ = fs::remove_file(path);
    times
}

/// User and system time of a process so far; to the tick, so a slice should last seconds.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; what follows it does not.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 1000 / 100)
}

/// Keeps all threads of a process on these cores; whether that was possible.
pub fn pin(pid: u32, cores: &str) -> bool {
    let done = Command::new("taskset").args(["-a", "-c", "-p", cores, &pid.to_string()]).output();
    done.is_ok_and(|out| out.status.success())
}

/// A line of `/proc/<pid>/status` in bytes, e.g. `VmRSS`.
pub fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// A small generator of the same numbers every time (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * u64::from(end)) >> 32) as u32
    }
}
