#define _GNU_SOURCE
#include "process_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/landlock.h of Debian 12 ends at ABI 2; the numbers are the kernel's for ever. */
#define LANDLOCK_CREATE 444
#define LANDLOCK_ADD 445
#define LANDLOCK_RESTRICT 446
#define LANDLOCK_VERSION_FLAG 1u
#define LANDLOCK_PATH_BENEATH 1

#define ACCESS_EXECUTE (UINT64_C(1) << 0)
#define ACCESS_WRITE_FILE (UINT64_C(1) << 1)
#define ACCESS_READ_FILE (UINT64_C(1) << 2)
#define ACCESS_READ_DIR (UINT64_C(1) << 3)

struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

struct rule {
    uint64_t access;
    int32_t parent;
} __attribute__((packed));

static int allow(int rules, const char *path, uint64_t access) {
    int file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    struct stat information;
    int status = 0;
    if (fstat(file, &information) != 0) status = errno;
    if (status == 0 && !S_ISDIR(information.st_mode)) access &= ~ACCESS_READ_DIR;
    struct rule rule = {access, file};
    if (status == 0 && syscall(LANDLOCK_ADD, rules, LANDLOCK_PATH_BENEATH, &rule, 0) != 0) status = errno;
    close(file);
    return status;
}

struct loaded {
    int rules;
    int status;
};

/* A library of this process: it loads it again when it begins anew. Of the language's runtime plugins may want more. */
static int allow_loaded(struct dl_phdr_info *information, size_t size, void *argument) {
    (void)size;
    struct loaded *loaded = argument;
    static const char runtime[] = "/libswiftCore.so";
    char path[4096];
    size_t length = strlen(information->dlpi_name);
    if (length == 0 || length >= sizeof path) return 0;
    memcpy(path, information->dlpi_name, length + 1);
    if (length > sizeof runtime && strcmp(path + length + 1 - sizeof runtime, runtime) == 0)
        path[length + 1 - sizeof runtime] = '\0';
    loaded->status = allow(loaded->rules, path, ACCESS_EXECUTE | ACCESS_READ_FILE | ACCESS_READ_DIR);
    return loaded->status;
}

int process_confine_files(const char *const readable[]) {
    long version = syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_VERSION_FLAG);
    if (version < 0) return errno;
    /* Everything that this version of the kernel can forbid: 13 kinds of access, then moving, truncating and device calls;
     * TCP from 4 on; signals and abstract sockets of others from 6 on. */
    struct ruleset forbidden = {(UINT64_C(1) << 13) - 1, 0, 0};
    if (version >= 2) forbidden.files |= UINT64_C(1) << 13;
    if (version >= 3) forbidden.files |= UINT64_C(1) << 14;
    if (version >= 5) forbidden.files |= UINT64_C(1) << 15;
    if (version >= 4) forbidden.network = 3;
    if (version >= 6) forbidden.scopes = 3;
    size_t size = version >= 6   ? sizeof forbidden
                  : version >= 4 ? offsetof(struct ruleset, scopes)
                                 : offsetof(struct ruleset, network);
    int rules = (int)syscall(LANDLOCK_CREATE, &forbidden, size, 0);
    if (rules < 0) return errno;
    int status = allow(rules, "/dev/null", ACCESS_READ_FILE | ACCESS_WRITE_FILE);
    /* Its own: the language's runtime reads its arguments and its stack there. */
    if (status == 0) status = allow(rules, "/proc/self", ACCESS_READ_FILE | ACCESS_READ_DIR);
    for (; status == 0 && *readable != NULL; readable++)
        status = allow(rules, *readable, ACCESS_EXECUTE | ACCESS_READ_FILE | ACCESS_READ_DIR);
    struct loaded loaded = {rules, status};
    if (status == 0) dl_iterate_phdr(allow_loaded, &loaded);
    status = loaded.status;
    if (status == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) status = errno;
    if (status == 0 && syscall(LANDLOCK_RESTRICT, rules, 0) != 0) status = errno;
    close(rules);
    return status;
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GIVE(action) BPF_STMT(BPF_RET | BPF_K, action)
/* The next statement is for this value only. */
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, 1)
#define REFUSE(error) GIVE(SECCOMP_RET_ERRNO | (error))
#define FORBID(call) IF(__NR_##call), REFUSE(EACCES)

int process_confine_calls(void) {
    const uint32_t self = (uint32_t)getpid();
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        GIVE(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
#ifdef __x86_64__
        /* Calls of x32, which have numbers of their own. */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1),
        REFUSE(ENOSYS),
#endif
        /* The network, and what makes calls that no filter sees. The socket to the host is there already. */
        FORBID(socket), FORBID(connect), FORBID(bind), FORBID(listen), FORBID(accept), FORBID(accept4),
        FORBID(io_uring_setup), FORBID(io_uring_enter), FORBID(io_uring_register),
        /* Other programs and other processes. */
        FORBID(execve), FORBID(execveat), FORBID(ptrace), FORBID(process_vm_readv), FORBID(process_vm_writev),
        FORBID(pidfd_open), FORBID(pidfd_getfd), FORBID(pidfd_send_signal), FORBID(kcmp), FORBID(setpriority),
        FORBID(tkill),
#ifdef __x86_64__
        FORBID(fork), FORBID(vfork),
#endif
        /* What the kernel has for administrators and debuggers. */
        FORBID(mount), FORBID(umount2), FORBID(unshare), FORBID(setns), FORBID(chroot), FORBID(pivot_root), FORBID(bpf),
        FORBID(perf_event_open), FORBID(userfaultfd), FORBID(keyctl), FORBID(add_key), FORBID(request_key),
        FORBID(open_by_handle_at), FORBID(init_module), FORBID(finit_module), FORBID(kexec_load), FORBID(reboot),
        FORBID(swapon), FORBID(settimeofday), FORBID(clock_settime), FORBID(sethostname),
        /* Its flags lie in memory, where no filter looks: the C library then takes clone. */
        IF(__NR_clone3), REFUSE(ENOSYS),
        /* Threads, and no processes. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        REFUSE(EACCES),
        GIVE(SECCOMP_RET_ALLOW),
        /* Signals to itself: abort() is one. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_kill, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_tgkill, 0, 3),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, self, 1, 0),
        REFUSE(EACCES),
        GIVE(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    /* All threads at once: what one may do another would do for it. A number above zero is a thread that cannot follow. */
    long status = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    return status == 0 ? 0 : status > 0 ? EBUSY : errno;
}
#else
int process_confine_calls(void) { return ENOSYS; }
#endif
