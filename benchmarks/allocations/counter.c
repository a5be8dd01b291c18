// Counts a process's allocations, for scripts/allocations: loaded before everything else by LD_PRELOAD. At the end a
// line "process count" is added to the file that ALLOCATIONS names.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static atomic_ulong count;

static void another(void) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); }

void *malloc(size_t size) {
    another();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    another();
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    another();
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    another();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **pointer, size_t alignment, size_t size) {
    void *memory = memalign(alignment, size);
    if (!memory) return ENOMEM;
    *pointer = memory;
    return 0;
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("ALLOCATIONS");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file < 0) return;
    dprintf(file, "%d %lu\n", (int)getpid(), atomic_load(&count));
    close(file);
}
