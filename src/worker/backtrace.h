// worker/backtrace.h - where a job's child stood when it crashed.
//
// The child writes its stack into memory that it shares with its supervisor, so that neither locks
// nor descriptors nor a full pipe are in the way; whatever goes wrong on the way, it dies of the
// signal that it would have died of. The supervisor finds names and makes text of it when the child
// is dead. A child built with an address or thread sanitizer is left to that.
#ifndef GT_WORKER_BACKTRACE_H
#define GT_WORKER_BACKTRACE_H

#include "base/buf.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GT_BACKTRACE_FRAMES 128
#define GT_BACKTRACE_MODULES 32
#define GT_BACKTRACE_PATH 512
#define GT_BACKTRACE_TEXT (64u << 10) // bytes of its text, at most

struct gt_backtrace_frame {
	uint64_t offset;  // in its module, as in the file's own addresses; without module: in memory
	uint32_t module;  // index; GT_BACKTRACE_MODULES: none
	uint32_t by_signal; // 1: a signal interrupted it here
};

// Written by a process that has just crashed: nothing in it may be believed.
struct gt_backtrace {
	int32_t signal; // 0: nothing was written
	int32_t pid;
	int32_t sent_by; // process that sent the signal, 0 for one out of sight; -1: a fault of its own
	uint32_t raised;   // 1: by itself, as abort() does
	uint32_t overflow; // 1: the stack was full
	uint32_t whole;    // 1: the stack was read to its end, or to as much as there is room for
	uint32_t count, modules;
	struct gt_backtrace_frame frames[GT_BACKTRACE_FRAMES];
	char paths[GT_BACKTRACE_MODULES][GT_BACKTRACE_PATH];
};

// In the host, once: what the first reading of a stack would have to load or to set up.
void gt_backtrace_warm_up(void);

// In the supervisor: shared memory for one job; NULL if there is none to be had.
struct gt_backtrace *gt_backtrace_new(void);

// Is this one of the signals that gt_backtrace_arm() catches?
bool gt_backtrace_catches(int number);

// In the child, when its signals are at their defaults: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT,
// SIGSYS and SIGTRAP write where it stands, then it dies of them. Only in this very process: one
// that it forks dies as ever.
void gt_backtrace_arm(struct gt_backtrace *backtrace);

// Append what is known of the death of process `pid` by `signal`, one frame a line, "" for signals
// that are not caught. Returns the key of the crash: equal for crashes at the same place of the same
// tools; 0 if there is none.
uint64_t gt_backtrace_text(const struct gt_backtrace *backtrace, pid_t pid, int signal,
                           struct gt_buf *out);

#endif // GT_WORKER_BACKTRACE_H
