/* Faults between a process and its files, by LD_PRELOAD.
 *
 * CLIPTUNE_FAULTS holds rules separated by ';', each "OPERATION PATH-PART NTH ACTION":
 *   OPERATION  write, sync, open (for writing), rename, truncate
 *   PATH-PART  the rule counts only calls whose path contains it
 *   NTH        "3": the third such call of the process; "3+": that one and all later ones
 *   ACTION     ENOSPC, EIO, EROFS: the call fails so; kill: SIGKILL before it; torn: half of a write, then SIGKILL;
 *              slow: 30 ms later
 * CLIPTUNE_CLOCK names a file; while it exists, the seconds in it are added to the time of day.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define RULES 8
static struct { char op[16], part[96], action[16]; int nth, and_later; volatile int seen; } rules[RULES];
static int count;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void parse(void) {
    const char *text = getenv("CLIPTUNE_FAULTS");
    char copy[1024], *rest = NULL;
    if (!text) return;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *one = strtok_r(copy, ";", &rest); one && count < RULES; one = strtok_r(NULL, ";", &rest)) {
        char nth[16] = "";
        if (sscanf(one, " %15s %95s %15s %15s", rules[count].op, rules[count].part, nth, rules[count].action) == 4) {
            rules[count].nth = atoi(nth);
            rules[count].and_later = strchr(nth, '+') != NULL;
            count++;
        }
    }
}

/* 0: go on; 1: fail with errno set; 2: tear the write. */
static int fault(const char *op, const char *path) {
    for (int i = 0; i < count; i++) {
        if (strcmp(rules[i].op, op) || !path || !strstr(path, rules[i].part)) continue;
        int seen = __sync_add_and_fetch(&rules[i].seen, 1);
        if (seen != rules[i].nth && !(rules[i].and_later && seen > rules[i].nth)) continue;
        const char *action = rules[i].action;
        if (!strcmp(action, "kill")) kill(getpid(), SIGKILL);
        if (!strcmp(action, "torn")) return 2;
        if (!strcmp(action, "slow")) { usleep(30000); continue; }
        errno = !strcmp(action, "ENOSPC") ? ENOSPC : !strcmp(action, "EROFS") ? EROFS : EIO;
        return 1;
    }
    return 0;
}

static int fault_fd(const char *op, int fd) {
    char link[64], path[512];
    if (!count) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return fault(op, path);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    int f = fault_fd("write", fd);
    if (f == 1) return -1;
    ssize_t done = REAL(write)(fd, bytes, f == 2 ? n / 2 : n);
    if (f == 2) kill(getpid(), SIGKILL);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    int f = fault_fd("write", fd);
    if (f == 1) return -1;
    ssize_t done = REAL(pwrite64)(fd, bytes, f == 2 ? n / 2 : n, at);
    if (f == 2) kill(getpid(), SIGKILL);
    return done;
}

int fsync(int fd) { return fault_fd("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fault_fd("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int sync_file_range(int fd, off64_t from, off64_t n, unsigned flags) {
    return fault_fd("sync", fd) ? -1 : REAL(sync_file_range)(fd, from, n, flags);
}
int ftruncate64(int fd, off64_t n) { return fault_fd("truncate", fd) ? -1 : REAL(ftruncate64)(fd, n); }
int rename(const char *from, const char *to) { return fault("rename", to) ? -1 : REAL(rename)(from, to); }

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    if ((flags & O_ACCMODE) != O_RDONLY && fault("open", path)) return -1;
    return REAL(open64)(path, flags, mode);
}

int clock_gettime(clockid_t id, struct timespec *t) {
    static __thread int inside;
    int result = REAL(clock_gettime)(id, t);
    const char *path = getenv("CLIPTUNE_CLOCK");
    if (id == CLOCK_REALTIME && path && !inside) {
        inside = 1;
        FILE *file = fopen(path, "r");
        long seconds = 0;
        if (file) {
            if (fscanf(file, "%ld", &seconds) == 1) t->tv_sec += seconds;
            fclose(file);
        }
        inside = 0;
    }
    return result;
}
