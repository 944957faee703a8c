//! What the tests stand on: directories, ports, child processes, skips. The only place that waits for time to pass,
//! between two looks at a real answer.

pub mod api;
pub mod corp;
pub mod csv;
pub mod ds389;
pub mod facts;
pub mod false_clock;
pub mod image;
pub mod random;
pub mod registry;
pub mod samba;
pub mod server;
pub mod slapd;
pub mod storage;
pub mod told;
pub mod wire;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// How long anything may take to become ready. Generous: a busy machine is slow, a hung program is hung for ever.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Looks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory of this test alone, removed with it, kept when the test fails. Short: socket paths end at 107 bytes.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rc-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A port that is free, and that the kernel gives to nobody who asks for any: those begin at 32768.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = std::process::id().wrapping_mul(977).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(n % 22_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A child process with its output in a file. Killed when dropped; its log is printed when the test fails.
pub struct Process {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = || OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log, ended: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
    }

    /// SIGTERM.
    pub fn ask_to_end(&mut self) {
        if self.ended().is_none() {
            assert!(Command::new("kill").arg(self.id().to_string()).status().unwrap().success());
        }
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        let log = self.log.clone();
        wait_for(&format!("the end of the process that logs to {}", log.display()), || self.ended())
    }

    /// Waits for an answer while the process lives.
    pub fn ready<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        wait_for(what, || {
            if let Some(status) = self.ended() {
                panic!("{what} ended with {status} before it was ready:\n{}", self.log());
            }
            look()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of {}", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Where programs are looked for; Debian has some of them where only root looks.
pub fn path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

/// Whether a program is there. When not, says that the test is skipped: in the file of `tests/run`, and aloud.
pub fn found(program: &str) -> bool {
    if path().split(':').any(|folder| Path::new(folder).join(program).is_file()) {
        return true;
    }
    skip(program, "was not found");
    false
}

/// Whether the large parts are asked for (`tests/run --all`). When not, the test has nothing to do, and says so.
pub fn asked_for() -> bool {
    if std::env::var_os("ROLLCALL_ALL").is_some() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("{test} is one of the large parts, which ROLLCALL_ALL=1 asks for");
    if let Some(file) = std::env::var_os("ROLLCALL_NOT_ASKED_FOR") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{test}").unwrap();
    }
    false
}

/// Notes that this test is skipped for want of a program.
pub fn skip(program: &str, why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped {test}: {program} {why}");
    if let Some(file) = std::env::var_os("ROLLCALL_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{program}\t{test}\t{why}").unwrap();
    }
}

/// What a program said, whatever its status.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.out
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a program to its end. Its output goes through files, so that a grandchild that keeps it open hangs nothing.
pub fn run(command: &mut Command, dir: &Dir) -> Said {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let (out, err) = (dir.join(&format!("out-{n}")), dir.join(&format!("err-{n}")));
    let file = |path: &Path| File::create(path).unwrap();
    let status = command
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Said { code: status.code().unwrap_or(-1), out: read(&out), err: read(&err) }
}
