#define _GNU_SOURCE
#include "process_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int process_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

int process_socket_pair(int ends[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
}

int process_shared_memory(int *descriptor) {
    int made = memfd_create("detector", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0) return errno;
    if (fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        int error = errno;
        close(made);
        return error;
    }
    *descriptor = made;
    return 0;
}

static int prepare_files(posix_spawn_file_actions_t *actions, const process_files *files) {
    int status = files->input < 0
                     ? posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
                     : posix_spawn_file_actions_adddup2(actions, files->input, STDIN_FILENO);
    if (status == 0) status = posix_spawn_file_actions_adddup2(actions, files->output, STDOUT_FILENO);
    if (status == 0) status = posix_spawn_file_actions_adddup2(actions, files->errors, STDERR_FILENO);
    int first_closed = STDERR_FILENO + 1;
    if (status == 0 && files->shared >= 0)
        status = posix_spawn_file_actions_adddup2(actions, files->shared, first_closed++);
    if (status == 0) status = posix_spawn_file_actions_addclosefrom_np(actions, first_closed);
    return status;
}

static int prepare_signals(posix_spawnattr_t *attributes) {
    static const int handled[] = {SIGPIPE, SIGCHLD, SIGALRM, SIGXCPU, SIGTERM, SIGINT, SIGHUP};
    sigset_t none, standard;
    sigemptyset(&none);
    sigemptyset(&standard);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) sigaddset(&standard, handled[i]);
    int status = posix_spawnattr_setsigmask(attributes, &none);
    if (status == 0) status = posix_spawnattr_setsigdefault(attributes, &standard);
    if (status == 0)
        status = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return status;
}

int process_spawn(pid_t *pid, const char *executable, char *const arguments[], char *const environment[],
                  const process_files *files) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int status = posix_spawn_file_actions_init(&actions);
    if (status != 0) return status;
    status = posix_spawnattr_init(&attributes);
    if (status == 0) {
        status = prepare_files(&actions, files);
        if (status == 0) status = prepare_signals(&attributes);
        if (status == 0) status = posix_spawn(pid, executable, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return status;
}

int process_has_ended(pid_t pid) {
    siginfo_t information = {0};
    if (waitid(P_PID, (id_t)pid, &information, WEXITED | WNOHANG | WNOWAIT) == 0) return information.si_pid != 0;
    return errno == EINTR ? 0 : -1;
}

int process_end(pid_t pid, int *exit_status) {
    int status = 0;
    pid_t reaped;
    /* Before it is reaped, while its number is sure to be its own. */
    kill(-pid, SIGKILL);
    do reaped = waitpid(pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    if (reaped < 0) return -1;
    *exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

const char *process_signal_name(int signal) { return sigabbrev_np(signal); }

static void limit(int resource, rlim_t value) {
    struct rlimit current;
    if (getrlimit(resource, &current) != 0) return;
    current.rlim_cur = value < current.rlim_max ? value : current.rlim_max;
    setrlimit(resource, &current);
}

static void *wait_for_end(void *socket) {
    struct pollfd polled = {.fd = (int)(intptr_t)socket, .events = POLLRDHUP};
    while (poll(&polled, 1, -1) < 0 && errno == EINTR) {}
    _exit(0);
}

int process_end_with_peer(int socket) {
    pthread_t thread;
    int status = pthread_create(&thread, NULL, wait_for_end, (void *)(intptr_t)socket);
    return status == 0 ? pthread_detach(thread) : status;
}

void process_limit_memory(uint64_t memory) {
    if (memory > 0) limit(RLIMIT_AS, memory);
    limit(RLIMIT_CORE, 0);
}

void process_limit(uint64_t memory, unsigned seconds) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    process_limit_memory(memory);
    limit(RLIMIT_CPU, seconds);
    alarm(seconds);
}

uint64_t process_allocated_bytes(void) {
    struct mallinfo2 information = mallinfo2();
    return information.uordblks + information.hblkhd;
}
