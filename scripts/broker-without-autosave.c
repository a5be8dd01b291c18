// For the broker of the test stack, loaded before it (LD_PRELOAD) while speed is measured. Once a second its thread "autosave" copies the
// whole log under the broker's lock and writes it out as one file, which holds every client up for longer the more there is. Kafka
// does nothing of the kind. Here that thread sleeps.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *rest) {
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real) real = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(RTLD_NEXT, "clock_nanosleep");
    char name[16] = "";
    struct timespec day = {.tv_sec = 86400};
    pthread_getname_np(pthread_self(), name, sizeof name);
    return real(clock, flags, strcmp(name, "autosave") == 0 ? &day : wanted, rest);
}
