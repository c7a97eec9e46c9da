/* A disk that is slow or full, for LD_PRELOAD. What the file named by HDS_BAD_DISK holds decides, at each call:
 * "slow MS" delays each flush by MS milliseconds, "full" fails each write of a regular file with ENOSPC; anything
 * else, or no file, leaves the disk as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

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

static int is_full(int fd) {
    char word[8];
    long milliseconds;
    struct stat status;
    mood(word, sizeof word, &milliseconds);
    return strcmp(word, "full") == 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

int fsync(int fd) {
    wait_if_slow();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_if_slow();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    if (is_full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    if (is_full(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, data, size, offset);
}
