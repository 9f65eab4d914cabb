// worker/memory.h - a limit on the private memory of a job's whole tree.
//
// By a memory cgroup where this machine lets us make one (version 2, else 1): the kernel kills at
// the limit and counts it. In version 2 a group that has processes in it hands no controller down to those
// below it, but for the root: where the run is alone in its group it goes into one of its own below that,
// beside those of its jobs. Else the supervisor adds up ten times a second what the tree has written:
// what is its own and what its processes share with each other, not what the host had before the fork.
// Never by RLIMIT_AS: a compiler maps ten times what it uses.
#ifndef GT_WORKER_MEMORY_H
#define GT_WORKER_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gt_memory_kind { GT_MEMORY_NONE, GT_MEMORY_CGROUP2, GT_MEMORY_CGROUP1, GT_MEMORY_POLLING };

struct gt_memory {
	enum gt_memory_kind kind;
	uint64_t limit;     // bytes
	uint64_t before;    // KiB that were there before the limit began; counted by polling only
	int procs;          // descriptor of cgroup.procs
	char group[512];    // folder of the cgroup
};

// Is the variable GAUNTLET_MEMORY, which names the only way that is allowed (cgroup2, cgroup1, polling; for
// tests), one of them or not set? Else GT_BAD_USAGE.
GT_MUST_USE gt_code gt_memory_check(struct gt_err *err);

// Prepare for one job; a limit of 0 is none. Never fails: polling always works.
void gt_memory_open(struct gt_memory *memory, uint64_t limit);

// A run that limits its jobs.
struct gt_memory_run {
	char leaf[512]; // folder of the group that this process has gone into; "" if it has not
};

// Before the hosts are started, which stay where this process is: make room for the groups of jobs, if a
// group of version 2 gives it. Where that cannot be done all is as before. Sweeps.
void gt_memory_begin(struct gt_memory_run *run, uint64_t limit);

// When all jobs and hosts have ended: sweep, and put back what gt_memory_begin() has changed.
void gt_memory_end(struct gt_memory_run *run, uint64_t limit);

// In the child, before it works: put this process under the limit. False: it is not under it.
bool gt_memory_enter(const struct gt_memory *memory);

// In a child that has loaded an engine since its fork: what it has written by now, in KiB, for the
// supervisor's `before`. 0 if nobody needs it.
uint64_t gt_memory_before(const struct gt_memory *memory);

// Milliseconds between two calls of gt_memory_exceeded(); -1 if it need not be called, because the
// kernel kills the whole tree.
int gt_memory_interval_ms(const struct gt_memory *memory);

// Does the tree below this process use more than the limit, or was part of it killed for it?
bool gt_memory_exceeded(const struct gt_memory *memory);

// After the whole tree is dead: was anything killed for the limit, and not for one around it or for
// the memory of the machine? Removes the cgroup.
bool gt_memory_close(struct gt_memory *memory);

// Remove the cgroups that supervisors and runs left which had no time to (kill -9 of one, or of a host).
void gt_memory_sweep(void);

// What a run would use that is started like this process, for doctor: "cgroup v2", "cgroup v1", "polling of
// private memory". Tried, and put back.
const char *gt_memory_describe(void);

#endif // GT_WORKER_MEMORY_H
