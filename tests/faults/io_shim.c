// Counts what a process does to files below one folder, and lets the n-th operation fail, or kills the process before or after it.
// What is synced is only counted: no power is cut here. Loaded by LD_PRELOAD, so that it sees Python, SQLite, Rust and C++ alike; `arm` is called by ctypes (io_faults.py).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, ONCE, FOR_GOOD, KILL_BEFORE, KILL_AFTER };

static atomic_long counted;
static long position;
static int mode, number, armed;
static char folder[PATH_MAX], happened[PATH_MAX + 64];

void arm(const char *below, int what, long at, int error) {
    snprintf(folder, sizeof folder, "%s", below);
    mode = what;
    position = at;
    number = error;
    counted = 0;
    happened[0] = 0;
    armed = 1;
}
void disarm(void) { armed = 0; }
long count(void) { return counted; }
const char *what_happened(void) { return happened; }

static int below(const char *path) {
    size_t length = strlen(folder);
    return path && strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static const char *path_of(int handle, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

static const char *path_at(int handle, const char *path, char *buffer) {
    if (!path || path[0] == '/' || handle == AT_FDCWD) return path;
    char base[PATH_MAX];
    snprintf(buffer, PATH_MAX, "%.*s/%.*s", 2000, path_of(handle, base), 2000, path);
    return buffer;
}

// 0: go on; 1: fail with errno; 2: go on, and die after it
static int decide(const char *operation, const char *path) {
    if (!armed || !below(path)) return 0;
    long now = ++counted;
    if (mode == COUNT || (mode == FOR_GOOD ? now < position : now != position)) return 0;
    if (!happened[0]) snprintf(happened, sizeof happened, "%ld %s %s", now, operation, path);
    if (mode == KILL_BEFORE) {
        kill(getpid(), SIGKILL);
        pause();
    }
    if (mode == KILL_AFTER) return 2;
    errno = number;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define GUARDED(name, path, call)                                   \
    REAL(name);                                                     \
    int saved = errno, verdict = decide(#name, path);               \
    if (verdict == 1) return -1;                                    \
    errno = saved;                                                  \
    __typeof__(call) result = call;                                 \
    if (verdict == 2) { kill(getpid(), SIGKILL); pause(); }         \
    return result

static int makes(int flags) { return flags & (O_CREAT | O_TRUNC); }
static mode_t bits_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; }
#define BITS mode_t bits; va_list rest; va_start(rest, flags); bits = bits_of(flags, rest); va_end(rest)

int open(const char *path, int flags, ...) { BITS; GUARDED(open, makes(flags) ? path : NULL, real(path, flags, bits)); }
int open64(const char *path, int flags, ...) { BITS; GUARDED(open64, makes(flags) ? path : NULL, real(path, flags, bits)); }
int openat(int at, const char *path, int flags, ...) {
    BITS; char buffer[PATH_MAX];
    GUARDED(openat, makes(flags) ? path_at(at, path, buffer) : NULL, real(at, path, flags, bits));
}
int openat64(int at, const char *path, int flags, ...) {
    BITS; char buffer[PATH_MAX];
    GUARDED(openat64, makes(flags) ? path_at(at, path, buffer) : NULL, real(at, path, flags, bits));
}

#define ON_HANDLE(handle) char buffer[PATH_MAX]; const char *path = armed ? path_of(handle, buffer) : NULL
ssize_t write(int handle, const void *data, size_t size) { ON_HANDLE(handle); GUARDED(write, path, real(handle, data, size)); }
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) { ON_HANDLE(handle); GUARDED(pwrite, path, real(handle, data, size, at)); }
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) { ON_HANDLE(handle); GUARDED(pwrite64, path, real(handle, data, size, at)); }
ssize_t writev(int handle, const struct iovec *data, int size) { ON_HANDLE(handle); GUARDED(writev, path, real(handle, data, size)); }
int fsync(int handle) { ON_HANDLE(handle); GUARDED(fsync, path, path && below(path) ? 0 : real(handle)); }
int fdatasync(int handle) { ON_HANDLE(handle); GUARDED(fdatasync, path, path && below(path) ? 0 : real(handle)); }
int ftruncate(int handle, off_t size) { ON_HANDLE(handle); GUARDED(ftruncate, path, real(handle, size)); }
int ftruncate64(int handle, off64_t size) { ON_HANDLE(handle); GUARDED(ftruncate64, path, real(handle, size)); }

int rename(const char *from, const char *to) { GUARDED(rename, to, real(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { char buffer[PATH_MAX]; GUARDED(renameat, path_at(b, to, buffer), real(a, from, b, to)); }
int link(const char *from, const char *to) { GUARDED(link, to, real(from, to)); }
int linkat(int a, const char *from, int b, const char *to, int flags) { char buffer[PATH_MAX]; GUARDED(linkat, path_at(b, to, buffer), real(a, from, b, to, flags)); }
int unlink(const char *path) { GUARDED(unlink, path, real(path)); }
int unlinkat(int at, const char *path, int flags) { char buffer[PATH_MAX]; GUARDED(unlinkat, path_at(at, path, buffer), real(at, path, flags)); }
int mkdir(const char *path, mode_t bits) { GUARDED(mkdir, path, real(path, bits)); }
int rmdir(const char *path) { GUARDED(rmdir, path, real(path)); }
