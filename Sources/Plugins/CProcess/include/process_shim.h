#ifndef PROCESS_SHIM_H
#define PROCESS_SHIM_H

/* What Plugins needs of glibc and cannot call from Swift: GNU extensions, macros and overloaded enumerations. */

#include <stdint.h>
#include <sys/types.h>

/* A pipe whose ends no child inherits and whose reading end, ends[0], does not block. 0, or an errno. */
int process_pipe(int ends[2]);

/* Two connected sockets that keep messages apart and that no child inherits. 0, or an errno. */
int process_socket_pair(int ends[2]);

/* Memory without a name that processes can share by its descriptor. It may grow and never shrinks: whoever has mapped it
 * cannot be made to fault. 0, or an errno. */
int process_shared_memory(int *descriptor);

/* The only descriptors that a child has. */
typedef struct process_files {
    int input;  /* its 0; -1: /dev/null */
    int output; /* its 1 */
    int errors; /* its 2 */
    int shared; /* its 3; -1: none */
} process_files;

/* Starts a program with posix_spawn, in a process group of its own, with the signals' standard handling. 0, or an
 * errno. */
int process_spawn(pid_t *pid, const char *executable, char *const arguments[], char *const environment[],
                  const process_files *files);

/* 1: the child has ended and is not reaped; 0: it runs; -1: there is no such child. */
int process_has_ended(pid_t pid);

/* Ends the child's process group and reaps the child. The signal that had ended it, or 0 and its exit status. -1: there
 * was no such child. */
int process_end(pid_t pid, int *exit_status);

/* "SEGV", or NULL for a signal without a name. */
const char *process_signal_name(int signal);

/* Binds this process: bytes of address space, seconds of processor time and of wall time; no core dump; and it ends
 * when the thread that started it does. */
void process_limit(uint64_t memory, unsigned seconds);

/* The same without limits on time, and whoever started it may end. */
void process_limit_memory(uint64_t memory);

/* Ends this process, from a thread of its own, when the other end of the socket is closed. 0, or an errno. */
int process_end_with_peer(int socket);

/* From now on the calling thread and the threads that it starts can open these files, and what is below these folders, for
 * reading and executing, and nothing else; nor TCP connections, where the kernel knows of that. Paths that are not there are passed over.
 * What this process has loaded belongs to them. readable ends with NULL. 0, or an errno: ENOSYS or EOPNOTSUPP where the kernel has no Landlock. */
int process_confine_files(const char *const readable[]);

/* From now on this process has no network, starts no programs or processes, and reaches no other process. 0, or an errno:
 * ENOSYS or EINVAL where the kernel has no seccomp. */
int process_confine_calls(void);

/* Bytes that are allocated and not freed. */
uint64_t process_allocated_bytes(void);

#endif
