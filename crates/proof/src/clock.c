// Adds to the time of day what a file says, for a process that loads this first: its clock can be stepped while it runs.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *seconds;

__attribute__((constructor)) static void open_file(void) {
    int file = open(getenv("CLOCK_FILE"), O_RDONLY);
    if (file < 0) _exit(99);
    seconds = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (seconds == MAP_FAILED) _exit(99);
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int result = (int) syscall(SYS_clock_gettime, id, at);
    if (result == 0 && id == CLOCK_REALTIME && seconds) at->tv_sec += *seconds;
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    (void) zone;
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
