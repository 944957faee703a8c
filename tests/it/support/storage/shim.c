/* Storage that fails, and storage that is watched. Loaded in front of the C library.
 *
 * FAULT_IN, FAULT_FILE, FAULT_AT: the n-th such call on a file whose name below STORAGE_ROOT fits the pattern fails; the
 * directory itself is `.`. FAULT_MARK becomes a link to the name that it happened to.
 * FAULT_HOLD_SYNC_OF, FAULT_HOLD_WHILE: a sync of a file of that name waits for as long as the other file is there, and
 * FAULT_MARK becomes a link to it.
 * FAULT_FULL_WHILE: nothing can be written for as long as that file is there.
 * STORAGE_JOURNAL: what happens below STORAGE_ROOT is written there in the order in which it happens, one call after the
 * other: what a power cut leaves is made from it. No sync below STORAGE_ROOT is a real one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))
typedef ssize_t (*writev_call)(int, const struct iovec *, int);

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static int calls;

/* The name below the root, `.` for the root itself; nothing for what is elsewhere. */
static const char *below(const char *path) {
    const char *root = getenv("STORAGE_ROOT");
    size_t length = root ? strlen(root) : 0;
    if (!length || !path || strncmp(path, root, length)) return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] ? NULL : ".";
}

static char *path_of(int fd, char path[512]) {
    char open[64];
    snprintf(open, sizeof open, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(open, path, 511);
    path[length > 0 ? length : 0] = 0;
    return path;
}

static struct stat stat_of(int fd) {
    struct stat s;
    memset(&s, 0, sizeof s);
    if (fstat(fd, &s)) s.st_mode = 0;
    return s;
}

static int full(void) {
    const char *file = getenv("FAULT_FULL_WHILE");
    return file && access(file, F_OK) == 0;
}

/* Whether this call is the one that fails. */
static int fails(const char *call, const char *name) {
    const char *which = getenv("FAULT_IN"), *file = getenv("FAULT_FILE"), *at = getenv("FAULT_AT");
    if (!name || !which || !file || !at || strcmp(which, call) || fnmatch(file, name, 0)) return 0;
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) != atoi(at)) return 0;
    if (symlink(name, getenv("FAULT_MARK"))) return 1;
    return 1;
}

struct entry {
    uint8_t kind, pad[7];
    uint64_t inode, at;
    uint32_t name, data;
};

/* One entry: what it is, of which file, its name, its bytes. Under the lock. */
static void note(char kind, uint64_t inode, uint64_t at, const char *name, const void *data, size_t size) {
    static int journal = -1;
    const char *path = getenv("STORAGE_JOURNAL");
    if (!path) return;
    if (journal < 0) {
        journal = NEXT(int (*)(const char *, int, ...), "open64")(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    struct entry head = {.kind = kind, .inode = inode, .at = at, .name = strlen(name), .data = size};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)name, head.name}, {(void *)data, size}};
    if (NEXT(writev_call, "writev")(journal, parts, 3) != (ssize_t)(sizeof head + head.name + size)) abort();
}

static int open_as(const char *call, const char *path, int flags, mode_t mode) {
    int (*next)(const char *, int, ...) = NEXT(int (*)(const char *, int, ...), call);
    const char *name = below(path), *ballast = getenv("FAULT_FULL_WHILE");
    /* Room is allocated by a call that does not come by here: of the file that stands for a full disk there is none again. */
    if (ballast && (flags & O_CREAT) && !strcmp(path, ballast)) { errno = ENOSPC; return -1; }
    if (!name) return next(path, flags, mode);
    if (fails("open", name)) { errno = EIO; return -1; }
    pthread_mutex_lock(&order);
    int made = (flags & O_CREAT) && access(path, F_OK), fd = next(path, flags, mode), error = errno;
    if (fd >= 0) {
        struct stat s = stat_of(fd);
        note(made ? 'c' : 'o', s.st_ino, 0, name, "", 0);
        if (!made && (flags & O_TRUNC)) note('z', s.st_ino, 0, name, "", 0);
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return fd;
}
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & O_CREAT ? va_arg(more, int) : 0; \
        va_end(more); \
        return open_as(#name, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

static ssize_t write_as(int fd, const struct iovec *parts, int count, off64_t at, int moves) {
    char path[512];
    const char *name;
    struct stat s = fd > 2 ? stat_of(fd) : (struct stat){0};
    int file = S_ISREG(s.st_mode);
    if (file && full()) { errno = ENOSPC; return -1; }
    if (!file || !(name = below(path_of(fd, path)))) {
        if (moves) return NEXT(writev_call, "writev")(fd, parts, count);
        return NEXT(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64")(fd, parts->iov_base, parts->iov_len, at);
    }
    if (fails("write", name)) { errno = ENOSPC; return -1; }
    pthread_mutex_lock(&order);
    if (moves) at = lseek64(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t written = moves ? NEXT(writev_call, "writev")(fd, parts, count)
        : NEXT(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64")(fd, parts->iov_base, parts->iov_len, at);
    int error = errno;
    ssize_t left = written;
    for (int i = 0; i < count && left > 0; i++) {
        size_t size = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
        note('w', s.st_ino, at, name, parts[i].iov_base, size);
        at += size, left -= size;
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return written;
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    struct iovec part = {(void *)bytes, size};
    return write_as(fd, &part, 1, at, 0);
}
ssize_t write(int fd, const void *bytes, size_t size) {
    struct iovec part = {(void *)bytes, size};
    return write_as(fd, &part, 1, 0, 1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_as(fd, parts, count, 0, 1); }

static void hold(const char *path) {
    const char *name = getenv("FAULT_HOLD_SYNC_OF"), *file = getenv("FAULT_HOLD_WHILE"), *last = strrchr(path, '/');
    if (!name || !file || !last || strcmp(last + 1, name) || access(file, F_OK)) return;
    if (symlink(path, getenv("FAULT_MARK"))) errno = 0;
    while (access(file, F_OK) == 0) usleep(1000);
}

static int sync_as(const char *call, int fd) {
    char path[512];
    hold(path_of(fd, path));
    const char *name = below(path_of(fd, path));
    if (fails("sync", name)) { errno = EIO; return -1; }
    if (!name) return NEXT(int (*)(int), call)(fd);
    struct stat s = stat_of(fd);
    pthread_mutex_lock(&order);
    note(S_ISDIR(s.st_mode) ? 'd' : 's', s.st_ino, 0, name, "", 0);
    pthread_mutex_unlock(&order);
    return 0;
}
int fsync(int fd) { return sync_as("fsync", fd); }
int fdatasync(int fd) { return sync_as("fdatasync", fd); }

int ftruncate64(int fd, off64_t size) {
    char path[512];
    const char *name = below(path_of(fd, path));
    if (fails("truncate", name)) { errno = EIO; return -1; }
    pthread_mutex_lock(&order);
    int failed = NEXT(int (*)(int, off64_t), "ftruncate64")(fd, size), error = errno;
    if (!failed && name) note('t', stat_of(fd).st_ino, size, name, "", 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return failed;
}

/* A change of names: `to` stands in the entry as its bytes. */
static int named(char kind, const char *call, const char *from, const char *to, int (*change)(const char *, const char *)) {
    const char *name = below(from), *other = to ? below(to) : "";
    if (fails(call, name)) { errno = EIO; return -1; }
    pthread_mutex_lock(&order);
    int failed = change(from, to), error = errno;
    if (!failed && name && other) note(kind, 0, 0, name, other, strlen(other));
    pthread_mutex_unlock(&order);
    errno = error;
    return failed;
}
static int next_rename(const char *a, const char *b) { return NEXT(int (*)(const char *, const char *), "rename")(a, b); }
static int next_link(const char *a, const char *b) {
    return NEXT(int (*)(int, const char *, int, const char *, int), "linkat")(AT_FDCWD, a, AT_FDCWD, b, 0);
}
static int next_unlink(const char *a, const char *b) { return (void)b, NEXT(int (*)(const char *), "unlink")(a); }
int rename(const char *from, const char *to) { return named('r', "rename", from, to, next_rename); }
int unlink(const char *path) { return named('u', "unlink", path, NULL, next_unlink); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    if (a != AT_FDCWD || b != AT_FDCWD) {
        return NEXT(int (*)(int, const char *, int, const char *, int), "linkat")(a, from, b, to, flags);
    }
    return named('l', "link", from, to, next_link);
}
int mkdir(const char *path, mode_t mode) {
    const char *name = below(path);
    if (fails("mkdir", name)) { errno = EIO; return -1; }
    pthread_mutex_lock(&order);
    int failed = NEXT(int (*)(const char *, mode_t), "mkdir")(path, mode), error = errno;
    if (!failed && name) note('m', 0, 0, name, "", 0);
    pthread_mutex_unlock(&order);
    errno = error;
    return failed;
}
