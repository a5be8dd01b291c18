#ifndef PROCESS_SHIM_H
#define PROCESS_SHIM_H

/* What Plugins needs of glibc and cannot call from Swift: GNU extensions, macros and overloaded enumerations. */

#include <stdint.h>
#include <sys/types.h>

/* A pipe whose ends no child inherits and whose reading end, ends[0], does not block. 0, or an errno. */
int process_pipe(int ends[2]);

/* Starts a program with posix_spawn, in a process group of its own, with /dev/null, `output` and `errors` as its only
 * descriptors and the signals' standard handling. 0, or an errno. */
int process_spawn(pid_t *pid, const char *executable, char *const arguments[], char *const environment[], int output,
                  int errors);

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

/* Bytes that are allocated and not freed. */
uint64_t process_allocated_bytes(void);

#endif
