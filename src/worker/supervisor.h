// worker/supervisor.h - the parent of a job's child: watches it, drains it, kills its whole tree.
#ifndef GT_WORKER_SUPERVISOR_H
#define GT_WORKER_SUPERVISOR_H

#include "worker/host.h"

#include "base/status.h"

// Descriptor of its own socket in every child, beside the standard streams.
#define GT_CHILD_FD 3

// Kept of what a child prints: the first and the last bytes; the middle is counted and dropped.
#define GT_LOG_HEAD (8u << 20)
#define GT_LOG_TAIL (256u << 10)

// Runner to supervisor, one byte each. The end of the socket is an order to kill too.
#define GT_ORDER_KILL_TREE 'k'
#define GT_ORDER_PAUSE 's' // stop the whole tree
#define GT_ORDER_CONTINUE 'c'
#define GT_ORDER_DRAIN 'd' // put into the log what the child has printed so far, then say so

// Supervisor to runner: the answer to GT_ORDER_DRAIN, four bytes.
#define GT_DRAINED_MAGIC 0x31445447u // "GTD1"

// Supervisor to runner, once: the last thing a job says. If the child crashed, the text of its
// backtrace follows in the same message (worker/backtrace.h), without NUL.
#define GT_REPORT_MAGIC 0x31525447u // "GTR1"
struct gt_job_report {
	uint32_t magic;
	int32_t exit_code;   // of the child, if it exited; else -1
	int32_t signal;      // that ended the child; else 0
	uint32_t killed;     // 1: we killed it on the runner's order
	uint32_t leftovers;  // processes that outlived the child and were killed; 0 if it was killed by us
	uint32_t isolated;   // 1: in a PID namespace of its own
	uint32_t out_of_memory; // 1: something in the tree was killed for the limit of its memory
	uint32_t reserved;
	uint64_t crash; // key of the place where the child crashed; 0: none
	int64_t user_us, system_us; // CPU time of the child and what it waited for
	int64_t max_rss_kb;
	uint64_t output_bytes;  // written by the child, kept or not
	uint64_t dropped_bytes;
	char leftover_names[128]; // of those processes: "python3 (2), sleep"
};

// The descriptors of one job, owned by the supervisor.
struct gt_job_fds {
	int report; // to the runner
	int child;  // the child's own socket, for frames
	int log;    // file that receives the child's output
	int folder; // the child's working folder: TMPDIR and HOME
	int alive;  // read end of a pipe whose only writer is the host
	int loaded; // takes a byte when the child has loaded its engine; -1 if it has none to load
};

// What else the supervisor must know of its job.
struct gt_job_terms {
	bool instance;   // the child serves requests until its socket closes
	bool isolated;   // this process is pid 1 of a PID namespace
	uint64_t memory; // limit of the tree's private memory in bytes; 0: none
};

// Be the supervisor: fork the child, have it serve, see it end, report. Never returns.
_Noreturn void gt_supervise(const struct gt_job_fds *fds, const struct gt_job_terms *terms,
                            const struct gt_host_ops *ops);

#endif // GT_WORKER_SUPERVISOR_H
