//! Storage that fails: a shim in front of the C library's sync and write calls, loaded into the server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{Dir, run};

/// Which call fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// fsync and fdatasync answer EIO.
    Sync,
    /// Writing to a file answers ENOSPC.
    Write,
}

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
static int n;
/* Whether the disk is full: as long as a file is there that would give room. */
static int full(void) {
    const char *file = getenv("FAULT_FULL_WHILE");
    return file && access(file, F_OK) == 0;
}
/* Whether this call is the one that fails; leaves a link behind that says on which file. */
static int fails(const char *call, int fd) {
    const char *which = getenv("FAULT_IN"), *at = getenv("FAULT_AT");
    char open[64], file[512];
    if (!which || !at || strcmp(which, call)) return 0;
    if (__atomic_add_fetch(&n, 1, __ATOMIC_SEQ_CST) != atoi(at)) return 0;
    snprintf(open, sizeof open, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(open, file, sizeof file - 1);
    file[length > 0 ? length : 0] = 0;
    if (symlink(file, getenv("FAULT_MARK"))) return 1;
    return 1;
}
static int is_file(int fd) {
    struct stat s;
    return fd > 2 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}
#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))
int fsync(int fd) {
    if (fails("sync", fd)) { errno = EIO; return -1; }
    return NEXT(int (*)(int), "fsync")(fd);
}
int fdatasync(int fd) {
    if (fails("sync", fd)) { errno = EIO; return -1; }
    return NEXT(int (*)(int), "fdatasync")(fd);
}
ssize_t pwrite64(int fd, const void *b, size_t c, off64_t o) {
    if (is_file(fd) && (full() || fails("write", fd))) { errno = ENOSPC; return -1; }
    return NEXT(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64")(fd, b, c, o);
}
ssize_t write(int fd, const void *b, size_t c) {
    if (is_file(fd) && (full() || fails("write", fd))) { errno = ENOSPC; return -1; }
    return NEXT(ssize_t (*)(int, const void *, size_t), "write")(fd, b, c);
}
"#;

/// The compiled shim.
pub struct Shim(PathBuf);

impl Shim {
    pub fn compile(dir: &Dir) -> Self {
        let (source, library) = (dir.write("shim.c", SHIM), dir.join("shim.so"));
        let mut cc = Command::new("cc");
        run(cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl"), dir).ok();
        Self(library)
    }

    /// The command on a disk that is full for as long as a file is there.
    pub fn full_while(&self, mut command: Command, file: &Path) -> Command {
        command.env("LD_PRELOAD", &self.0).env("FAULT_FULL_WHILE", file);
        command
    }

    /// The command with its n-th such call failing; `mark` is a link to the file that it happened to.
    pub fn around(&self, mut command: Command, fault: Fault, n: u32, mark: &Path) -> Command {
        let call = match fault {
            Fault::Sync => "sync",
            Fault::Write => "write",
        };
        command.env("LD_PRELOAD", &self.0).env("FAULT_IN", call).env("FAULT_AT", n.to_string()).env("FAULT_MARK", mark);
        command
    }
}

const FALSE_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static long long offset(void) {
    char text[32] = {0};
    const char *file = getenv("CLOCK_OFFSET");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? atoll(text) : 0;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = next(id, t);
    if (!failed && id == CLOCK_REALTIME) t->tv_sec += offset();
    return failed;
}
"#;

/// A clock that lies to a server, by as much as a file says.
pub struct FalseClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FalseClock {
    pub fn compile(dir: &Dir) -> Self {
        let (source, library) = (dir.write("false_clock.c", FALSE_CLOCK), dir.join("false_clock.so"));
        let mut cc = Command::new("cc");
        run(cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl"), dir).ok();
        let clock = Self { library, offset: dir.join("offset") };
        clock.set(0);
        clock
    }

    /// How many days it is ahead, from now on.
    pub fn set(&self, days: i64) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, (days * 86_400).to_string()).unwrap();
        std::fs::rename(new, &self.offset).unwrap();
    }

    /// The command with this clock.
    pub fn around(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.library).env("CLOCK_OFFSET", &self.offset);
        command
    }
}
