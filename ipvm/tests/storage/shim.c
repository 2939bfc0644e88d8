/* Has writes and syncs of files fail, whose paths hold FAULT_UNDER: after FAULT_FULL_AFTER bytes the disk is full, and the
 * FAULT_SYNC_AT-th sync (from 1) fails, once. Preloaded into the process that is tried. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long written, synced;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : -1;
}

static int concerns(int fd) {
    char link[64], path[4096];
    const char *under = getenv("FAULT_UNDER");
    if (!under) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, under) != NULL;
}

/* How many of so many bytes there is room for; -1 where there is none. */
static ssize_t room(int fd, size_t count) {
    long most = number("FAULT_FULL_AFTER");
    if (most < 0 || count == 0 || !concerns(fd)) return (ssize_t)count;
    long before = atomic_fetch_add(&written, (long)count);
    if (before >= most) return -1;
    return before + (long)count > most ? most - before : (ssize_t)count;
}

#define FULL(count) if ((count) < 0) { errno = ENOSPC; return -1; }
#define REAL(type, name) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)

typedef ssize_t (*write_type)(int, const void *, size_t);
typedef ssize_t (*pwrite_type)(int, const void *, size_t, off_t);
typedef ssize_t (*writev_type)(int, const struct iovec *, int);
typedef int (*sync_type)(int);

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write_type, "write");
    ssize_t fits = room(fd, count);
    FULL(fits);
    return real(fd, bytes, (size_t)fits);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    REAL(pwrite_type, "pwrite64");
    ssize_t fits = room(fd, count);
    FULL(fits);
    return real(fd, bytes, (size_t)fits, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev_type, "writev");
    size_t all = 0;
    for (int at = 0; at < count; at++) all += parts[at].iov_len;
    ssize_t fits = room(fd, all);
    FULL(fits);
    /* A short write of the first part is allowed, and simple. */
    if ((size_t)fits < all) return write(fd, parts[0].iov_base, parts[0].iov_len < (size_t)fits ? parts[0].iov_len : (size_t)fits);
    return real(fd, parts, count);
}

static int fails(int fd) {
    long at = number("FAULT_SYNC_AT");
    if (at < 0 || !concerns(fd)) return 0;
    return atomic_fetch_add(&synced, 1) + 1 == at;
}

int fsync(int fd) {
    REAL(sync_type, "fsync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}

int fdatasync(int fd) {
    REAL(sync_type, "fdatasync");
    if (fails(fd)) { errno = EIO; return -1; }
    return real(fd);
}
