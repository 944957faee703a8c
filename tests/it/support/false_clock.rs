//! A clock that lies: a shim in front of the C library's clock, loaded into the server.

use std::{path::PathBuf, process::Command};

use super::{Dir, run};

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
