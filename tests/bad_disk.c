/* A disk that is slow or full, for LD_PRELOAD. What the file named by HDS_BAD_DISK holds decides, at each call:
 * "slow MS" delays each flush by MS milliseconds, "full" fails each write that would make a regular file longer with
 * ENOSPC; anything else, or no file, leaves the disk as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

static void mood(char *word, size_t size, long *milliseconds) {
    const char *path = getenv("HDS_BAD_DISK");
    FILE *file = path ? fopen(path, "r") : NULL;
    char format[16];
    word[0] = '\0';
    *milliseconds = 0;
    if (file == NULL) return;
    snprintf(format, sizeof format, "%%%zus %%ld", size - 1);
    if (fscanf(file, format, word, milliseconds) < 1) word[0] = '\0';
    fclose(file);
}

static void wait_if_slow(void) {
    char word[8];
    long milliseconds;
    mood(word, sizeof word, &milliseconds);
    if (strcmp(word, "slow") == 0) {
        struct timespec span = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
        nanosleep(&span, NULL);
    }
}

static int has_no_room(int fd, off_t end) {
    char word[8];
    long milliseconds;
    struct stat status;
    mood(word, sizeof word, &milliseconds);
    return strcmp(word, "full") == 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && end > status.st_size;
}

static off_t length(const struct iovec *parts, int count) {
    off_t sum = 0;
    for (int i = 0; i < count; i++) sum += (off_t)parts[i].iov_len;
    return sum;
}

int fsync(int fd) {
    wait_if_slow();
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd) {
    wait_if_slow();
    return REAL("fdatasync", int (*)(int))(fd);
}

#define FAIL_IF_FULL(fd, end)      \
    if (has_no_room((fd), (end))) { \
        errno = ENOSPC;            \
        return -1;                 \
    }

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    FAIL_IF_FULL(fd, offset + (off_t)size)
    return REAL("pwrite", ssize_t(*)(int, const void *, size_t, off_t))(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    FAIL_IF_FULL(fd, offset + (off_t)size)
    return REAL("pwrite64", ssize_t(*)(int, const void *, size_t, off64_t))(fd, data, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    FAIL_IF_FULL(fd, offset + length(parts, count))
    return REAL("pwritev", ssize_t(*)(int, const struct iovec *, int, off_t))(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    FAIL_IF_FULL(fd, offset + length(parts, count))
    return REAL("pwritev64", ssize_t(*)(int, const struct iovec *, int, off64_t))(fd, parts, count, offset);
}

static off_t position(int fd) {
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &status) == 0) return status.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t size) {
    FAIL_IF_FULL(fd, position(fd) + (off_t)size)
    return REAL("write", ssize_t(*)(int, const void *, size_t))(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    FAIL_IF_FULL(fd, position(fd) + length(parts, count))
    return REAL("writev", ssize_t(*)(int, const struct iovec *, int))(fd, parts, count);
}

int posix_fallocate(int fd, off_t offset, off_t size) {
    if (has_no_room(fd, offset + size)) return ENOSPC;
    return REAL("posix_fallocate", int (*)(int, off_t, off_t))(fd, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size) {
    if (has_no_room(fd, offset + size)) return ENOSPC;
    return REAL("posix_fallocate64", int (*)(int, off64_t, off64_t))(fd, offset, size);
}
